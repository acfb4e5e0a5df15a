//! Spaces shards out at the pace that congestion control keeps, where it keeps one.
//!
//! Invariant: in any stretch of time no more leaves than the pace times it and [`AHEAD`]; what was not used is not saved beyond that. No IO:
//! time is an argument.

use crate::link::Link;
use crate::transfer::PACKET_OVERHEAD;
use std::time::{Duration, Instant};

/// What may leave at once: of time, because timers tick in milliseconds, and at least so many bytes.
const AHEAD: Duration = Duration::from_millis(4);
const LEAST: f64 = 2400.0;
const SLOW_LEAST: f64 = 1200.0;

#[derive(Debug)]
pub(super) struct Pacer {
    pace: Option<f64>,
    /// Bytes that may leave now; what exceeds is owed.
    credit: f64,
    at: Instant,
    /// What may be saved, at least.
    least: f64,
}

impl Pacer {
    /// One over a link of which this was said: if its queue holds a few packets, they go one at a time, and the last packet of the handshake is
    /// on its way.
    pub(super) fn over(link: Option<Link>, now: Instant) -> Self {
        let pacer = Self::new(now);
        if link.is_some() { Self { least: SLOW_LEAST, credit: -SLOW_LEAST / 3.0, ..pacer } } else { pacer }
    }

    pub(super) fn new(now: Instant) -> Self {
        Self { pace: None, credit: LEAST, at: now, least: LEAST }
    }

    /// Time has passed; from now on `pace` bytes per second leave.
    pub(super) fn refill(&mut self, now: Instant, pace: Option<f64>) {
        let earned = self.pace.unwrap_or(0.0) * now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.pace = pace.filter(|pace| *pace > 0.0);
        let most = self.pace.map_or(self.least, |pace| (pace * AHEAD.as_secs_f64()).max(self.least));
        self.credit = (self.credit + earned).min(most);
    }

    pub(super) fn lets_go(&self) -> bool {
        self.pace.is_none() || self.credit > 0.0
    }

    /// A datagram of `bytes` leaves.
    pub(super) fn sent(&mut self, bytes: usize) {
        if self.pace.is_some() {
            self.credit -= (bytes + PACKET_OVERHEAD) as f64;
        }
    }

    /// When the next may leave; none if one may now.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let pace = self.pace.filter(|_| self.credit <= 0.0)?;
        // The pace may be another one before long.
        Some(self.at + Duration::from_secs_f64(((1.0 - self.credit) / pace).min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    /// Bytes that leave in a second at `pace`, asked every `step`.
    fn second(pace: Option<f64>, step: Duration) -> usize {
        let start = origin();
        let mut pacer = Pacer::new(start);
        let (mut bytes, mut now) = (0, start);
        while now < start + Duration::from_secs(1) {
            pacer.refill(now, pace);
            while pacer.lets_go() && bytes < 100_000_000 {
                pacer.sent(1162);
                bytes += 1200;
            }
            now += step;
        }
        bytes
    }

    #[test]
    fn the_pace_is_kept_however_often_it_is_asked() {
        for step in [100, 1000, 3000] {
            let bytes = second(Some(1e6), Duration::from_micros(step));
            assert!((990_000..1_010_000).contains(&bytes), "{bytes} in steps of {step} us");
        }
    }

    #[test]
    fn what_was_not_used_is_not_saved() {
        let start = origin();
        let mut pacer = Pacer::new(start);
        pacer.refill(start, Some(1e6));
        pacer.refill(start + Duration::from_secs(10), Some(1e6));
        let mut left = 0;
        while pacer.lets_go() {
            pacer.sent(1162);
            left += 1;
        }
        assert!(left <= 4, "{left} packets at once");
        let due = pacer.next_timeout().unwrap() - (start + Duration::from_secs(10));
        assert!(due <= Duration::from_micros(1300), "{due:?}");
    }

    #[test]
    fn the_slowest_pace_is_waited_for_and_looked_at_again() {
        let start = origin();
        let mut pacer = Pacer::new(start);
        pacer.refill(start, Some(f64::MIN_POSITIVE));
        while pacer.lets_go() {
            pacer.sent(1162);
        }
        assert_eq!(pacer.next_timeout(), Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn without_a_pace_all_goes() {
        assert_eq!(second(None, Duration::from_millis(500)), 100_000_800);
        assert_eq!(Pacer::new(origin()).next_timeout(), None);
    }
}
