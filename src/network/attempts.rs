//! How often an address may fail to be let in.
//!
//! Only failures count (a refusal, no hello, nonsense), and only those of addresses that have proved that they receive, so nobody can use
//! up another's: [`BURST`] of them, then one a second; all addresses together [`BURST_ALL`], then [`RATE_ALL`] a second. Invariant: at
//! most [`MAX_ADDRESSES`] are remembered, the longest silent is forgotten first. No IO; time is an argument.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures in a row that an address may have.
pub const BURST: u32 = 10;
/// Time after which it may have another one.
pub const AGAIN: Duration = Duration::from_secs(1);
/// The same for all addresses together: failures in a row, and failures a second.
pub const BURST_ALL: u32 = 256;
/// Failures a second of all addresses.
pub const RATE_ALL: u32 = 64;
/// Addresses remembered.
pub const MAX_ADDRESSES: usize = 4096;

/// Fills up with time; a failure takes one from it (a generic cell rate: the time at which it is full again is all there is to it).
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    fn has(self, now: Instant, burst: u32, again: Duration) -> bool {
        self.full_at.saturating_duration_since(now) + again <= again * burst
    }

    fn take(&mut self, now: Instant, burst: u32, again: Duration) {
        self.full_at = (self.full_at.max(now) + again).min(now + again * burst);
    }
}

/// Who has failed how often lately.
#[derive(Debug, Default)]
pub struct Attempts {
    addresses: BTreeMap<IpAddr, Bucket>,
    all: Option<Bucket>,
}

impl Attempts {
    /// Whether another attempt of `address` is looked at.
    pub fn allows(&self, now: Instant, address: IpAddr) -> bool {
        let own = self.addresses.get(&network_of(address));
        own.is_none_or(|bucket| bucket.has(now, BURST, AGAIN))
            && self.all.is_none_or(|bucket| bucket.has(now, BURST_ALL, AGAIN / RATE_ALL))
    }

    /// An attempt of `address` has failed.
    pub fn failed(&mut self, now: Instant, address: IpAddr) {
        self.all.get_or_insert(Bucket { full_at: now }).take(now, BURST_ALL, AGAIN / RATE_ALL);
        let address = network_of(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain(|_, bucket| bucket.full_at > now);
            let oldest = self.addresses.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| self.addresses.len() >= MAX_ADDRESSES) {
                self.addresses.remove(&oldest);
            }
        }
        self.addresses.entry(address).or_insert(Bucket { full_at: now }).take(now, BURST, AGAIN);
    }
}

/// What one peer may have as many of as it likes counts as one: IPv4 in either form, and the last 64 bits of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_failures_then_one_a_second() {
        let (now, mut attempts) = (origin(), Attempts::default());
        for _ in 0..BURST {
            assert!(attempts.allows(now, ip("10.0.0.1")));
            attempts.failed(now, ip("::ffff:10.0.0.1"));
        }
        assert!(!attempts.allows(now, ip("10.0.0.1")));
        assert!(attempts.allows(now, ip("10.0.0.2")));
        let later = now + AGAIN;
        assert!(attempts.allows(later, ip("10.0.0.1")));
        attempts.failed(later, ip("10.0.0.1"));
        assert!(!attempts.allows(later, ip("10.0.0.1")));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (now, mut attempts) = (origin(), Attempts::default());
        for n in 0..BURST {
            attempts.failed(now, ip(&format!("fd00::{n:x}")));
        }
        assert!(!attempts.allows(now, ip("fd00::ffff")));
        assert!(attempts.allows(now, ip("fd00:0:0:1::1")));
    }

    #[test]
    fn memory_and_the_rate_of_all_are_bounded() {
        let (mut now, mut attempts) = (origin(), Attempts::default());
        let mut looked_at = 0;
        for n in 0..20_000u32 {
            now += Duration::from_millis(1);
            let address = IpAddr::from(n.to_be_bytes());
            if attempts.allows(now, address) {
                looked_at += 1;
                attempts.failed(now, address);
            }
        }
        assert!(looked_at <= BURST_ALL + 21 * RATE_ALL, "{looked_at}");
        for n in 0..20_000u32 {
            attempts.failed(now, IpAddr::from(n.to_be_bytes()));
        }
        assert!(attempts.addresses.len() <= MAX_ADDRESSES);
    }
}
