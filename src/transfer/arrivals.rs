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
/// Packets in their order that are believed at once to have kept it.
const SURE: usize = 6;
/// Numbers of the first flight, from whose arrivals the rate is fitted where they overtake each other; the share of them that has to have
/// arrived, and the standard error, relative to the rate, up to which it is believed.
const FLIGHT: u32 = 40;
const FITTED: u32 = FLIGHT / 2;
const FITS: f64 = 0.12;
/// Datagrams read this close to one another were waiting.
const TOGETHER: Duration = Duration::from_micros(150);
/// Time over which a rate is taken that is no chance.
const SECOND: Duration = Duration::from_secs(1);
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
    /// The highest rate over a second so far, and that of an earlier connection, in bytes per second; 0 while unknown.
    passed: u32,
    expected: u32,
    /// Where the present second began: number and time.
    second: Option<(u32, Instant)>,
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

    /// Rate of the first burst in bytes per second; 0 while unknown. One that is above what an earlier connection has carried is not believed: it
    /// was read together, by a reader that had just been started.
    pub(super) fn train(&self) -> u32 {
        match self.train {
            train if self.expected == 0 => train,
            0 if self.high < 2 * TRAIN => 0,
            0 => self.expected,
            train => train.min(self.expected),
        }
    }

    /// An earlier connection of the same two has carried so many bytes per second, a moment ago.
    pub(super) fn expect(&mut self, rate: u32) {
        self.expected = rate;
    }

    /// The highest rate at which shards passed the path over a second, those that were lost later among them, or what was expected if there was
    /// none yet; 0 while unknown.
    pub(super) fn passed(&self) -> u32 {
        if self.passed > 0 { self.passed } else { self.expected }
    }

    fn time_second(&mut self, now: Instant) {
        let (from, since) = *self.second.get_or_insert((self.high, now));
        let took = now.saturating_duration_since(since);
        if took >= SECOND {
            let bytes = f64::from(self.high - from) * (SHARD_BYTES + 80) as f64;
            self.passed = self.passed.max((bytes / took.as_secs_f64()).min(4e9) as u32);
            self.second = Some((self.high, now));
        }
    }

    pub(super) fn arrived(&mut self, now: Instant, seq: u32) {
        // quinn gives a packet up once, so this only keeps a lying peer's counts consistent.
        self.received = (self.received + 1).min(self.high.max(seq + 1));
        self.time_train(now, seq);
        self.time_second(now);
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
    /// after them is paced, which says nothing about the path. Where they overtake each other, the whole flight is looked at.
    fn time_train(&mut self, now: Instant, seq: u32) {
        self.jumbled |= seq < self.high;
        if self.train != 0 || seq >= 2 * FLIGHT {
            return;
        }
        if seq < FLIGHT {
            self.burst.push((seq, now));
        }
        let rate = if self.jumbled {
            if seq + 2 < FLIGHT || self.burst.len() < FITTED as usize { None } else { self.fitted() }
        } else if (TRAIN - 2..2 * TRAIN).contains(&seq) && (self.burst.len() >= SURE || seq + 2 >= 2 * TRAIN) {
            // Fewer may have come in their order by chance.
            // What had arrived before anybody read it came together, and only the last of it was read when it came.
            let together = self.burst.windows(2).take_while(|pair| pair[1].1 - pair[0].1 < TOGETHER).count();
            self.fastest_after(together)
        } else {
            None
        };
        self.train = rate.unwrap_or(0.0).min(4e9) as u32;
    }

    /// The rate in bytes per second that a line through number and arrival has, if they lie close enough to one (least squares).
    fn fitted(&self) -> Option<f64> {
        let (_, from) = *self.burst.first()?;
        let points =
            || self.burst.iter().map(|(seq, at)| (f64::from(*seq), at.saturating_duration_since(from).as_secs_f64()));
        let n = self.burst.len() as f64;
        let (x, y) = points().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / n, sum.1 + point.1 / n));
        let (xx, xy, yy) = points().fold((0.0, 0.0, 0.0), |sum, point| {
            let (dx, dy) = (point.0 - x, point.1 - y);
            (sum.0 + dx * dx, sum.1 + dx * dy, sum.2 + dy * dy)
        });
        let slope = xy / xx;
        let error = ((yy - slope * xy).max(0.0) / (n - 2.0) / xx).sqrt();
        (error < FITS * slope).then(|| (SHARD_BYTES + 80) as f64 / slope)
    }

    /// The highest rate of the first packets without so many that came `together`, in bytes per second. A longer run is worth more: the clock
    /// of a busy host errs by a packet or two.
    fn fastest_after(&self, together: usize) -> Option<f64> {
        let burst = self.burst.get(together..)?;
        [3 * RUN / 2, RUN].into_iter().find_map(|run| fastest(burst, run))
    }
}

/// The highest rate over any run of at least `run` packets of which half has arrived, in bytes per second. What is lost beyond the bottleneck has
/// passed it; what a full queue has dropped has not, and of a train that overflows it most is.
fn fastest(burst: &[(u32, Instant)], run: u32) -> Option<f64> {
    let mut best: Option<f64> = None;
    for (at, (first, from)) in burst.iter().enumerate() {
        let long = burst.iter().enumerate().skip(at + 1).filter(|(_, (last, _))| *last >= first + run);
        for (_, (last, to)) in long.filter(|(place, (last, _))| 2 * (place - at) >= (last - first) as usize) {
            let spread = to.saturating_duration_since(*from).as_secs_f64().max(20e-6);
            let rate = f64::from(last - first) * (SHARD_BYTES + 80) as f64 / spread;
            best = Some(best.map_or(rate, |best| best.max(rate)));
        }
    }
    best
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
        for seq in [0, 1, 4, 5, 8, 10] {
            arrivals.arrived(start + Duration::from_millis(u64::from(seq)), seq);
        }
        let expected = (SHARD_BYTES + 80) as u32 * 1000;
        assert!(arrivals.train().abs_diff(expected) < expected / 100, "{}", arrivals.train());
    }

    #[test]
    fn what_a_full_queue_dropped_of_the_first_burst_has_not_passed_at_its_rate() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        // One packet leaves the queue each millisecond, and one of four or five finds a place in it.
        for (seq, ms) in [(0, 0), (1, 1), (2, 2), (6, 3), (11, 4), (15, 5), (19, 6)] {
            arrivals.arrived(start + Duration::from_millis(ms), seq);
        }
        assert!(arrivals.train() < 2_100 * (SHARD_BYTES + 80) as u32, "{}", arrivals.train());
    }

    /// Arrivals of packets that take `spacing` ms of the link with up to `jitter` ms of delay each, in the order in which they come; a few are lost.
    fn jittery(spacing: u64, jitter: u64) -> Arrivals {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        let mut draw = 7u64;
        let mut came: Vec<(u64, u32)> = (0..40u32)
            .filter(|seq| seq % 5 != 3)
            .map(|seq| {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (u64::from(seq) * spacing + (draw >> 33) % (jitter + 1), seq)
            })
            .collect();
        came.sort_unstable();
        for (ms, seq) in came {
            arrivals.arrived(start + Duration::from_millis(ms), seq);
        }
        arrivals
    }

    #[test]
    fn the_first_flight_tells_the_rate_in_spite_of_jitter_shorter_than_itself() {
        let expected = (SHARD_BYTES + 80) as u32 * 100;
        let train = jittery(10, 100).train();
        assert!(train.abs_diff(expected) < expected / 8, "{train}");
    }

    #[test]
    fn jitter_longer_than_the_first_flight_tells_nothing() {
        assert_eq!(jittery(1, 100).train(), 0);
    }

    #[test]
    fn a_first_burst_is_not_believed_above_what_crossed_before() {
        let burst = |expected: u32, spacing_us: u64| {
            let (start, mut arrivals) = (origin(), Arrivals::default());
            arrivals.expect(expected);
            for seq in 0..40 {
                arrivals.arrived(start + Duration::from_micros(u64::from(seq) * spacing_us), seq);
            }
            arrivals.train()
        };
        let rate = (SHARD_BYTES + 80) as u32 * 1000;
        // Read faster than the path is; slower; and all at once, which says nothing.
        assert_eq!(burst(rate, 250), rate);
        assert!(burst(2 * rate, 1000).abs_diff(rate) < rate / 100);
        assert_eq!((burst(rate, 0), burst(0, 0)), (rate, 0));
    }

    #[test]
    fn what_crossed_in_a_second_is_known_with_what_was_lost() {
        let (start, mut arrivals) = (origin(), Arrivals::default());
        arrivals.expect(77);
        for ms in 0..1000u64 {
            arrivals.arrived(start + Duration::from_millis(ms), 2 * ms as u32);
        }
        assert_eq!(arrivals.passed(), 77);
        // Silence after it changes nothing.
        arrivals.arrived(start + Duration::from_secs(1), 2000);
        arrivals.arrived(start + Duration::from_secs(60), 2001);
        let expected = (SHARD_BYTES + 80) as u32 * 2000;
        assert!(arrivals.passed().abs_diff(expected) < expected / 100, "{}", arrivals.passed());
    }
}
