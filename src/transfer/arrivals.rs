//! Which datagrams have arrived, which are lost, and which may still come.
//!
//! Invariant: a number below [`Arrivals::resolved`] has arrived or will, as far as the reordering seen so far tells, never arrive. How
//! late a datagram may be is learnt from the path: a path that reorders makes us wait, one that does not lets a loss be known at once.

use crate::wire::datagram::SHARD_BYTES;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Marks of the highest number kept; enough to see how late a datagram is on any path worth using.
const MARKS: usize = 4096;
/// Numbers of the first burst that quinn's pacer sends back to back.
const TRAIN: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    high: u32,
    received: u32,
    resolved: u32,
    /// (highest number + 1, when it became the highest), ascending in both.
    marks: VecDeque<(u32, Instant)>,
    latest: Duration,
    train_first: Option<(u32, Instant)>,
    train: u32,
}

impl Arrivals {
    pub(super) fn high(&self) -> u32 {
        self.high
    }

    pub(super) fn received(&self) -> u32 {
        self.received
    }

    /// Rate of the first burst in bytes per second; 0 while unknown.
    pub(super) fn train(&self) -> u32 {
        self.train
    }

    pub(super) fn arrived(&mut self, now: Instant, seq: u32) {
        // quinn gives a packet up once, so this only keeps a lying peer's counts consistent.
        self.received = (self.received + 1).min(self.high.max(seq + 1));
        self.time_train(now, seq);
        if seq >= self.high {
            self.high = seq + 1;
            if self.marks.len() == MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((self.high, now));
            return;
        }
        let overtaken = self.marks.partition_point(|(high, _)| *high <= seq + 1);
        if let Some((_, at)) = self.marks.get(overtaken) {
            self.latest = self.latest.max(now.saturating_duration_since(*at));
        }
    }

    /// Every number below the answer has arrived or is lost.
    pub(super) fn resolved(&mut self, now: Instant) -> u32 {
        let patience = self.latest + self.latest / 10;
        let settled = self.marks.partition_point(|(_, at)| *at + patience <= now);
        if let Some((high, _)) = settled.checked_sub(1).and_then(|last| self.marks.get(last)) {
            self.resolved = self.resolved.max(*high);
        }
        self.resolved
    }

    /// Forgets a little of the worst reordering; called once per feedback.
    pub(super) fn relax(&mut self) {
        self.latest -= self.latest / 500;
    }

    fn time_train(&mut self, now: Instant, seq: u32) {
        if self.train != 0 || seq >= TRAIN {
            return;
        }
        match self.train_first {
            None => self.train_first = Some((seq, now)),
            Some((first, at)) if seq >= first + TRAIN / 2 && seq + 3 >= TRAIN => {
                let spread = now.saturating_duration_since(at).as_secs_f64().max(20e-6);
                self.train = (f64::from(seq - first) * (SHARD_BYTES + 80) as f64 / spread).min(4e9) as u32;
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn without_reordering_a_gap_is_a_loss_at_once() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        for seq in [0, 1, 3, 4] {
            arrivals.arrived(start, seq);
        }
        assert_eq!((arrivals.resolved(start), arrivals.received(), arrivals.high()), (5, 4, 5));
    }

    #[test]
    fn a_path_that_reorders_is_given_time() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        let at = |ms| start + Duration::from_millis(ms);
        arrivals.arrived(at(0), 0);
        arrivals.arrived(at(1), 2);
        arrivals.arrived(at(31), 1);
        arrivals.arrived(at(40), 4);
        assert_eq!(arrivals.resolved(at(50)), 3);
        assert_eq!(arrivals.resolved(at(74)), 5);
    }

    #[test]
    fn the_first_burst_tells_the_rate_in_spite_of_losses() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        for seq in [0, 1, 4, 5, 8] {
            arrivals.arrived(start + Duration::from_millis(u64::from(seq)), seq);
        }
        let expected = (SHARD_BYTES + 80) as u32 * 1000;
        assert!(arrivals.train().abs_diff(expected) < expected / 100, "{}", arrivals.train());
    }
}
