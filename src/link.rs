//! What the user says of a slow link before anything was measured on it: its rate (`--link`).
//!
//! On radio and satellite telephones a full packet takes seconds, and whatever is repeated before an answer can have come stands in
//! front of it. From the rate follow the times that the layers above would otherwise learn too late. Nothing is limited by it: what is
//! measured afterwards counts. Times only, no IO.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of a full packet with the headers of UDP and IP.
const PACKET: u32 = 1228;
/// The longest way, beyond the time that a packet takes, that is reckoned with.
const DELAY: Duration = Duration::from_secs(1);

/// A link of a known low rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Link {
    /// Bytes per second.
    rate: u32,
}

impl Link {
    /// The least rate, in bytes per second: 240 bit/s.
    pub const SLOWEST: u32 = 30;
    /// The highest, about 64 kbit/s: a faster link is measured sooner than it could be spoilt.
    pub const FASTEST: u32 = 8192;

    /// A link that carries `rate` bytes per second, [`Self::SLOWEST`] ..= [`Self::FASTEST`].
    pub fn new(rate: u64) -> Option<Link> {
        let rate = u32::try_from(rate).ok()?;
        (Self::SLOWEST..=Self::FASTEST).contains(&rate).then_some(Link { rate })
    }

    /// Bytes per second.
    pub fn rate(self) -> u32 {
        self.rate
    }

    /// How long a full packet takes to be sent.
    pub fn packet(self) -> Duration {
        Duration::from_secs(PACKET.into()) / self.rate
    }

    /// How long a full packet takes to be answered by another one, at most.
    pub fn answer(self) -> Duration {
        2 * (self.packet() + DELAY)
    }

    /// Whether a handshake with this round trip can have crossed the link: it has a full packet each way.
    pub fn agrees_with(self, rtt: Duration) -> bool {
        rtt > self.packet()
    }

    /// How long half a packet takes to be answered by another half, at most.
    pub fn reply(self) -> Duration {
        self.packet() + 2 * DELAY
    }
}

impl TryFrom<u64> for Link {
    type Error = &'static str;

    fn try_from(rate: u64) -> Result<Link, &'static str> {
        Link::new(rate).ok_or("no slow link has this rate")
    }
}

impl From<Link> for u64 {
    fn from(link: Link) -> u64 {
        link.rate.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_takes_its_time_and_an_answer_comes_later() {
        let link = |rate| Link::new(rate).unwrap();
        assert_eq!((link(1228).packet(), link(1228).answer()), (Duration::from_secs(1), Duration::from_secs(4)));
        assert_eq!(link(1228).reply(), Duration::from_secs(3));
        assert!(link(300).answer() > Duration::from_secs(10));
        assert!(link(8192).answer() < Duration::from_millis(2400));
    }

    #[test]
    fn a_handshake_shows_that_a_link_is_fast() {
        let link = Link::new(1228).unwrap();
        assert!(link.agrees_with(Duration::from_millis(2_050)) && !link.agrees_with(Duration::from_millis(600)));
    }

    #[test]
    fn only_slow_links_need_a_hint() {
        for rate in [0, 29, 8193, 1 << 40] {
            assert_eq!(Link::new(rate), None, "{rate}");
        }
    }
}
