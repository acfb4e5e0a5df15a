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
/// Datagrams read this close to one another were waiting.
const TOGETHER: Duration = Duration::from_micros(150);
/// Packets that make a run long enough to be timed.
const RUN: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    high: u32,
    received: u32,
    runs: u32,
    resolved: u32,
    /// (highest number + 1, when it became the highest), ascending in both.
    marks: VecDeque<(u32, Instant)>,
    latest: Duration,
    /// When the first shard came, and the newest.
    first_at: Option<Instant>,
    newest_at: Option<Instant>,
    /// Arrivals of the first burst.
    burst: Vec<(u32, Instant)>,
    train: u32,
    /// The first shards overtook each other: what lies between them says nothing.
    jumbled: bool,
}

impl Arrivals {
    pub(super) fn high(&self) -> u32 {
        self.high
    }

    pub(super) fn received(&self) -> u32 {
        self.received
    }

    /// Gaps in the numbers that arrived.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Microseconds from the first arrival to that of the newest number, cut to 32 bits.
    pub(super) fn at(&self) -> u32 {
        let since = self.first_at.zip(self.newest_at).map(|(first, newest)| newest.saturating_duration_since(first));
        since.unwrap_or_default().as_micros() as u32
    }

    /// Rate of the first burst in bytes per second; 0 while unknown.
    pub(super) fn train(&self) -> u32 {
        self.train
    }

    pub(super) fn arrived(&mut self, now: Instant, seq: u32) {
        // quinn gives a packet up once, so this only keeps a lying peer's counts consistent.
        self.received = (self.received + 1).min(self.high.max(seq + 1));
        self.time_train(now, seq);
        self.first_at.get_or_insert(now);
        if seq >= self.high {
            self.runs += u32::from(seq > self.high);
            self.high = seq + 1;
            self.newest_at = Some(now);
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

    /// The fastest run of the first packets: quinn sends about ten back to back, but the handshake takes some of them, and what comes
    /// after them is paced, which says nothing about the path.
    fn time_train(&mut self, now: Instant, seq: u32) {
        self.jumbled |= seq < self.high;
        if self.train != 0 || self.jumbled || seq >= 2 * TRAIN {
            return;
        }
        self.burst.push((seq, now));
        if seq + 2 < TRAIN {
            return;
        }
        // What had arrived before anybody read it came together, and only the last of it was read when it came.
        let together = self.burst.windows(2).take_while(|pair| pair[1].1 - pair[0].1 < TOGETHER).count();
        self.burst.drain(..together);
        // A longer run is worth more: the clock of a busy host errs by a packet or two.
        let rate = [3 * RUN / 2, RUN].into_iter().find_map(|run| self.fastest(run));
        self.train = rate.unwrap_or(0.0).min(4e9) as u32;
    }

    /// The highest rate over any run of at least `run` packets, in bytes per second.
    fn fastest(&self, run: u32) -> Option<f64> {
        let mut best: Option<f64> = None;
        for (at, (first, from)) in self.burst.iter().enumerate() {
            for (last, to) in self.burst[at + 1..].iter().filter(|(last, _)| *last >= first + run) {
                let spread = to.saturating_duration_since(*from).as_secs_f64().max(20e-6);
                let rate = f64::from(last - first) * (SHARD_BYTES + 80) as f64 / spread;
                best = Some(best.map_or(rate, |best| best.max(rate)));
            }
        }
        best
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
    fn a_pause_in_the_burst_is_not_the_rate_of_the_path() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        for (seq, ms) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 80), (8, 120)] {
            arrivals.arrived(start + Duration::from_millis(ms), seq);
        }
        let expected = (SHARD_BYTES + 80) as u32 * 1000;
        assert!(arrivals.train().abs_diff(expected) < expected / 100, "{}", arrivals.train());
    }

    #[test]
    fn datagrams_that_had_waited_for_their_reader_are_not_timed() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        for (seq, us) in
            [(0, 4000), (1, 4010), (2, 4020), (3, 4030), (4, 4100), (5, 5000), (6, 6000), (7, 7000), (8, 8000)]
        {
            arrivals.arrived(start + Duration::from_micros(us), seq);
        }
        let expected = (SHARD_BYTES + 80) as u32 * 1000;
        assert!(arrivals.train().abs_diff(expected) < expected / 20, "{}", arrivals.train());
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
