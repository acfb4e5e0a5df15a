//! When the receiver speaks.
//!
//! A feedback datagram also carries quinn's pending acknowledgements, so this is the ACK clock of the connection. Dense at the start,
//! where the sender learns the path; sparse after that, because a return path may be a hundred times thinner than the forward one
//! (about 1 % of the arriving bytes); and slower still when the return path shows a queue. A silent sender is reminded a number of times,
//! then ever more rarely: nothing here ever stops for good.

use crate::link::Link;
use std::time::{Duration, Instant};

/// Bytes of a feedback with its headers and acknowledgements, about.
const COST: f64 = 150.0;
/// Shards after which feedback thins out.
const DENSE: u64 = 400;
/// Shards that are reported at once, whatever the time.
const AT_ONCE: u32 = 48;
/// Reminders at the short interval before they slow down, and how much each after them is later than the one before.
const REMINDERS: u32 = 3;
const SLOWER: f64 = 1.4;
/// The same on a slow link, where a reminder takes half an answer's time; the interval there, in packets.
const SLOW_REMINDERS: u32 = 6;
const SLOW_INTERVAL: f64 = 0.9;
/// How long word of a shard that has completed a chunk waits there for what is said to that chunk: two small packets would be one too many.
const SLOW_WORD: Duration = Duration::from_millis(50);
/// The longest pause between two requests of a receiver to which nothing has come yet.
const ASKING: Duration = Duration::from_millis(400);
/// The longest silence of a receiver that still lacks something.
const LONGEST: Duration = Duration::from_secs(1);

/// Stretch from which on a queue in the return path has to become shorter, round trips in which it has to, and what is left of the round trip
/// by then if it did. If it did not, nothing is stretched for so long.
const WIDE: f64 = 2.0;
const ANSWERED: u32 = 3;
const LEFT: f64 = 0.85;
const BLAMELESS: Duration = Duration::from_secs(10);

/// The path as the receiver's end of the connection sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) rtt: Duration,
    pub(super) min_rtt: Duration,
}

#[derive(Debug)]
pub(super) struct Cadence {
    /// When there first was a reason to speak.
    began: Option<Instant>,
    last: Option<Instant>,
    /// Shards since the last feedback.
    fresh: u32,
    /// Something changed that the sender should know now.
    urgent: bool,
    shards: u64,
    /// Arriving bytes per second, smoothed over about 100 ms.
    rate: f64,
    counted_from: Option<Instant>,
    counted: u64,
    reminders: u32,
    /// Until when something may have to be said to a chunk that is whole.
    word: Option<Instant>,
    /// Stretch of the interval while the return path queues, 1 ..= 16.
    stretch: f64,
    /// When it came to be wide, and the round trip then.
    wide: Option<(Instant, Duration)>,
    /// Until when the queue is known not to stand in the return path.
    blameless: Option<Instant>,
    /// What the user has said of the link.
    link: Option<Link>,
}

impl Cadence {
    pub(super) fn new() -> Self {
        Self {
            began: None,
            last: None,
            fresh: 0,
            urgent: false,
            shards: 0,
            rate: 0.0,
            counted_from: None,
            counted: 0,
            reminders: 0,
            word: None,
            stretch: 1.0,
            wide: None,
            blameless: None,
            link: None,
        }
    }

    pub(super) fn over(link: Option<Link>) -> Self {
        Self { link, ..Self::new() }
    }

    pub(super) fn told(&mut self, link: Link) {
        self.link = Some(link);
    }

    pub(super) fn on_shard(&mut self, now: Instant, bytes: usize) {
        self.begin(now);
        self.shards += 1;
        self.fresh += 1;
        self.reminders = 0;
        let from = *self.counted_from.get_or_insert(now);
        self.counted += bytes as u64;
        let span = now.saturating_duration_since(from).as_secs_f64();
        if span >= 0.1 {
            let sample = self.counted as f64 / span;
            self.rate = if self.rate == 0.0 { sample } else { 0.6 * self.rate + 0.4 * sample };
            (self.counted_from, self.counted) = (Some(now), 0);
        }
    }

    /// A chunk is whole.
    pub(super) fn on_chunk(&mut self, now: Instant) {
        self.word = self.link.map(|_| now + SLOW_WORD);
    }

    /// There is something to say from now on, whether or not anything has arrived.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// Something is worth saying at once: acceptance, completion, an answer to a ping.
    pub(super) fn urge(&mut self) {
        self.urgent = true;
        self.reminders = 0;
    }

    /// Whether nothing arrives any more and the sender is only being reminded.
    pub(super) fn is_reminding(&self) -> bool {
        self.reminders > 0
    }

    /// When the next feedback is due, `None` before anything arrived or was begun.
    pub(super) fn due(&self, path: Path) -> Option<Instant> {
        let Some(last) = self.last else { return self.began };
        if self.urgent || self.fresh >= AT_ONCE {
            return Some(last + Duration::from_millis(u64::from(!self.urgent)));
        }
        if self.fresh > 0 {
            return Some((last + self.interval(path)).max(self.word.unwrap_or(last)));
        }
        if let Some(link) = self.link {
            let slower = 2u32.saturating_pow(self.reminders.saturating_sub(SLOW_REMINDERS).min(2));
            return Some(last + link.answer() * slower / 2);
        }
        let short = (path.rtt / 20).max(Duration::from_millis(8)).max(Duration::from_secs_f64(self.cost_seconds(0.1)));
        let slower = SLOWER.powi(self.reminders.saturating_sub(REMINDERS).min(32) as i32) * self.stretch;
        Some(last + short.mul_f64(slower).min(if self.shards == 0 { ASKING } else { LONGEST }))
    }

    pub(super) fn sent(&mut self, now: Instant, path: Path) {
        self.reminders = if self.fresh == 0 && !self.urgent { self.reminders + 1 } else { 0 };
        self.last = Some(now);
        self.fresh = 0;
        self.urgent = false;
        self.word = None;
        // The forward queue is mostly kept at some 15 ms by the sender: what is beyond may stand in the return path.
        let queued = path.rtt > path.min_rtt + path.min_rtt / 4 + Duration::from_millis(40);
        let innocent = self.blameless.is_some_and(|until| now < until);
        self.stretch =
            if queued && !innocent { (self.stretch * 1.1).min(16.0) } else { (self.stretch * 0.97).max(1.0) };
        if self.stretch < WIDE {
            self.wide = None;
            return;
        }
        let (since, rtt) = *self.wide.get_or_insert((now, path.rtt));
        if now >= since + rtt * ANSWERED && path.rtt > rtt.mul_f64(LEFT) {
            // Saying less has not made it shorter: it is in the way there, and the sender needs to hear of it.
            (self.stretch, self.wide, self.blameless) = (1.0, None, Some(now + BLAMELESS));
        }
    }

    fn interval(&self, path: Path) -> Duration {
        if let Some(link) = self.link {
            return link.packet().mul_f64(SLOW_INTERVAL);
        }
        let share = if self.shards < DENSE { 0.018 } else { 0.009 };
        let shortest = path.rtt / 12;
        let longest = (path.rtt / 3).max(Duration::from_millis(25));
        let by_cost = Duration::from_secs_f64(self.cost_seconds(share));
        by_cost.clamp(shortest, longest).mul_f64(self.stretch)
    }

    /// How far apart feedback must be to cost `share` of the arriving bytes.
    fn cost_seconds(&self, share: f64) -> f64 {
        if self.rate > 0.0 { (COST / (share * self.rate)).min(1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    const PATH: Path = Path { rtt: Duration::from_millis(200), min_rtt: Duration::from_millis(200) };

    #[test]
    fn the_first_shard_is_answered_at_once() {
        let (start, mut cadence) = (origin(), Cadence::new());
        assert_eq!(cadence.due(PATH), None);
        cadence.on_shard(start, 1200);
        assert_eq!(cadence.due(PATH), Some(start));
    }

    #[test]
    fn on_a_slow_link_word_of_a_chunk_waits_for_what_is_said_to_it() {
        let (start, mut cadence) = (origin(), Cadence::over(Link::new(1228)));
        cadence.on_shard(start, 1200);
        cadence.sent(start, PATH);
        let later = start + Duration::from_secs(2);
        cadence.on_shard(later, 1200);
        cadence.on_chunk(later);
        assert_eq!(cadence.due(PATH), Some(later + SLOW_WORD));
        cadence.urge();
        assert_eq!(cadence.due(PATH), Some(start), "it is said");
        cadence.sent(later, PATH);
        cadence.on_shard(later, 1200);
        assert_eq!(cadence.due(PATH), Some(later + Duration::from_millis(900)));
    }

    #[test]
    fn long_transfers_cost_about_one_percent_of_return_bytes() {
        let (start, mut cadence) = (origin(), Cadence::new());
        let mut feedbacks = 0;
        for i in 0..10_000u32 {
            // 10 Mbit/s of 1200-byte packets.
            let now = start + Duration::from_micros(960) * i;
            cadence.on_shard(now, 1200);
            if cadence.due(PATH).is_some_and(|due| due <= now) {
                cadence.sent(now, PATH);
                feedbacks += 1;
            }
        }
        let share = f64::from(feedbacks) * COST / (10_000.0 * 1200.0);
        assert!((0.004..0.016).contains(&share), "{share}");
    }

    #[test]
    fn a_silent_sender_is_reminded_ever_more_rarely_but_always() {
        let (start, mut cadence) = (origin(), Cadence::new());
        cadence.on_shard(start, 1200);
        let mut now = start;
        let mut count = 0;
        while now < start + Duration::from_secs(60) {
            let due = cadence.due(PATH).expect("a receiver that heard something always has a next feedback");
            now = now.max(due);
            cadence.sent(now, PATH);
            count += 1;
        }
        assert!((50..120).contains(&count), "{count}");
    }

    /// What stays however little is said stands in the way there, of which the sender is to be told.
    #[test]
    fn a_queue_that_does_not_leave_when_less_is_said_does_not_silence_the_receiver() {
        let (start, mut cadence) = (origin(), Cadence::new());
        let path = Path { rtt: Duration::from_millis(700), min_rtt: Duration::from_millis(250) };
        let mut longest = Duration::ZERO;
        let mut last = start;
        for i in 0..1000u32 {
            // 1 Mbit/s of 1200-byte packets for ten seconds.
            let now = start + Duration::from_micros(9600) * i;
            cadence.on_shard(now, 1200);
            if cadence.due(path).is_some_and(|due| due <= now) {
                cadence.sent(now, path);
                if now > start + Duration::from_secs(5) {
                    longest = longest.max(now - last);
                }
                last = now;
            }
        }
        assert!(longest < Duration::from_millis(300), "{longest:?}");
    }
}
