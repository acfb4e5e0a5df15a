//! How bad one direction of a path is, and the names for the usual ways of being bad.
//!
//! A profile is plain data; what happens to a packet under it is decided in `link`. The simulation and the `lossy_link` example
//! share both, so a word means the same network in a test, in a demonstration and in a benchmark.

use super::rng::Rng;
use std::time::Duration;

/// One direction of a path. Times are one way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// Time from the far end of the transmitter to the receiver.
    pub delay: Duration,
    /// Added to `delay`, uniform in `0..jitter` for each packet.
    pub jitter: Duration,
    /// Whether jitter may only stretch the gaps between packets; otherwise it reorders them.
    pub keep_order: bool,
    /// Share of the packets lost after they took their time on the link, 0–1.
    pub loss: f64,
    /// Zero: each packet is lost independently. Else everything is lost for times of this mean length, and nothing between them.
    pub burst: Duration,
    /// Share of the packets that arrive twice, 0–1.
    pub dup: f64,
    /// Share of the packets that arrive with one bit flipped, 0–1.
    pub corrupt: f64,
    /// Bits per second, counted over whole IP packets.
    pub rate: u64,
    /// A packet that would wait longer than this for the transmitter is dropped.
    pub queue: Duration,
    /// A packet that can carry the mark and waits longer than this is marked (RFC 3168 CE).
    pub ecn_at: Option<Duration>,
    /// The largest IP packet, bytes; larger ones vanish.
    pub mtu: usize,
    /// Start and length of the times when nothing gets through, counted from the network's start.
    pub outages: Vec<(Duration, Duration)>,
}

/// Milliseconds, for brevity below.
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Makes a named profile.
type Make = fn() -> Profile;

impl Profile {
    /// The profiles that have a word, mildest first.
    pub(crate) const NAMED: [(&'static str, Make); 8] = [
        ("lan", Profile::lan),
        ("wifi", Profile::wifi),
        ("lte-edge", Profile::lte_edge),
        ("satellite", Profile::satellite),
        ("disaster-fast", Profile::disaster_fast),
        ("extreme", Profile::extreme),
        ("burst", Profile::bursty),
        ("disaster", Profile::disaster),
    ];

    /// The profile with this word.
    pub(crate) fn named(word: &str) -> Option<Profile> {
        Profile::NAMED.iter().find(|(name, _)| *name == word).map(|(_, profile)| profile())
    }

    /// A path of `mbit` Mbit/s, `delay_ms` one way and independent loss, with a queue of 200 ms and no other fault.
    pub(crate) fn plain(mbit: f64, delay_ms: u64, loss: f64) -> Profile {
        Profile {
            delay: ms(delay_ms),
            jitter: Duration::ZERO,
            keep_order: false,
            loss,
            burst: Duration::ZERO,
            dup: 0.0,
            corrupt: 0.0,
            rate: (mbit * 1e6) as u64,
            queue: ms(200),
            ecn_at: None,
            mtu: 1500,
            outages: Vec::new(),
        }
    }

    /// Nothing is wrong: 1 Gbit/s, 1 ms.
    pub(crate) fn lan() -> Profile {
        Profile { queue: ms(20), ..Profile::plain(1000.0, 1, 0.0) }
    }

    /// A crowded wireless LAN: 50 Mbit/s, 10 ms, 5 % loss.
    pub(crate) fn wifi() -> Profile {
        Profile::plain(50.0, 10, 0.05)
    }

    /// The edge of a mobile cell: 10 Mbit/s, 50 ms, 10 % loss.
    pub(crate) fn lte_edge() -> Profile {
        Profile::plain(10.0, 50, 0.10)
    }

    /// A geostationary satellite: 20 Mbit/s, 300 ms, 2 % loss.
    pub(crate) fn satellite() -> Profile {
        Profile::plain(20.0, 300, 0.02)
    }

    /// What is left after a disaster, where there is still some rate: 10 Mbit/s, 100 ms, 20 % loss.
    pub(crate) fn disaster_fast() -> Profile {
        Profile::plain(10.0, 100, 0.20)
    }

    /// 10 Mbit/s, 100 ms, every third packet lost.
    pub(crate) fn extreme() -> Profile {
        Profile::plain(10.0, 100, 0.33)
    }

    /// 10 Mbit/s, 100 ms, 20 % loss in holes of 10 ms (eight full packets) on average.
    pub(crate) fn bursty() -> Profile {
        Profile { burst: ms(10), ..Profile::plain(10.0, 100, 0.20) }
    }

    /// What is left after a disaster: 1 Mbit/s, 200 ms and up to 100 ms of jitter that reorders, 20 % loss. The queue holds 64 kB.
    pub(crate) fn disaster() -> Profile {
        Profile { jitter: ms(100), queue: ms(524), ..Profile::plain(1.0, 200, 0.20) }
    }

    /// Any path at all, every fault over a wide range: 0.25–50 Mbit/s, 1–300 ms, jitter to 100 ms, loss to 35 % and on one path in
    /// twenty to 90 %, bursts to seconds, duplicates, flipped bits, small MTUs, up to two outages in the first minute.
    ///
    /// Takes the same number of draws whatever comes out.
    pub(crate) fn random(rng: &mut Rng) -> Profile {
        let rate = rng.decades(0.25e6, 50e6);
        let delay = ms(rng.decades(1.0, 300.0) as u64);
        let jitter = zero_unless(rng.chance(0.6), ms(rng.between(1.0, 100.0) as u64));
        let keep_order = rng.chance(0.4);
        let (usual, worse) = (rng.between(0.0, 0.35), rng.between(0.35, 0.9));
        let loss = if rng.chance(0.05) { worse } else { usual };
        let burst = zero_unless(rng.chance(0.4), Duration::from_secs_f64(rng.decades(0.005, 2.0)));
        let (some_dup, dup) = (rng.chance(0.4), rng.between(0.0, 0.1));
        let (some_corrupt, corrupt) = (rng.chance(0.3), rng.between(0.0, 0.02));
        // Less than a few packets of queue is no network that anybody built.
        let queue = Duration::from_secs_f64(rng.decades(0.02, 1.0).max(16_384.0 * 8.0 / rate));
        let (marks, mark_share) = (rng.chance(0.3), rng.between(0.05, 0.5));
        let mtu = [1280, 1400, 1492, 1500][(rng.bits() % 4) as usize];
        let mut outages: Vec<_> = (0..2)
            .map(|_| (ms(rng.between(0.0, 60_000.0) as u64), Duration::from_secs_f64(rng.decades(0.1, 30.0))))
            .collect();
        outages.truncate((rng.bits() % 3) as usize);
        Profile {
            delay,
            jitter,
            keep_order,
            loss,
            burst,
            dup: if some_dup { dup } else { 0.0 },
            corrupt: if some_corrupt { corrupt } else { 0.0 },
            rate: rate as u64,
            queue,
            ecn_at: marks.then(|| queue.mul_f64(mark_share)),
            mtu,
            outages,
        }
    }

    /// Whether nothing gets through at `at`.
    pub(crate) fn is_out(&self, at: Duration) -> bool {
        self.outages.iter().any(|&(start, length)| at >= start && at < start + length)
    }

    /// How long the transmitter is busy with a packet of `size` bytes.
    pub(crate) fn time_on_wire(&self, size: usize) -> Duration {
        Duration::from_nanos(size as u64 * 8 * 1_000_000_000 / self.rate.max(1))
    }
}

fn zero_unless(wanted: bool, value: Duration) -> Duration {
    if wanted { value } else { Duration::ZERO }
}
