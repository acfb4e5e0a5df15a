//! Sharing a queue with flows that only loss slows down: noticing that yielding does not empty the queue, and holding our own
//! by a shadow CUBIC until we are alone again.
//!
//! Invariant: competing is entered only after a drain was tried that did not help or showed the windows of others, and is left only on evidence (an empty
//! queue, or a test in which sending less delivered the same), never on a timer.

use super::Seconds;
use super::cubic::Cubic;

/// Rounds in a row before a crowd is believed, with a queue so many targets long, and what is left of the window by then. Who gives way ever
/// more and has a queue that is only a little long is in one as well, if it goes on.
const ROUNDS: u32 = 8;
const LONG: f64 = 1.6;
const GAVE_WAY: f64 = 0.85;
const MANY_ROUNDS: u32 = 24;
const LONGISH: f64 = 1.25;
const GAVE_MUCH: f64 = 0.75;
/// Loss above which nobody beside us is driven by loss.
pub(super) const CLEAN: f64 = 0.03;
/// Packets of the flows beside us, bytes: those of Ethernet. A cubic grows by packets, and smaller ones would grow slower.
const SEGMENT: f64 = 1448.0;
/// Seconds and rounds that a queue is idle before nobody is beside us: one that was cut takes that long to come back.
const IDLE: (Seconds, u32) = (1.0, 3);
/// A round trip that much less than the least before was none without a queue.
const LESS: Seconds = 0.001;
/// Seconds between tests for being alone.
const TEST_EVERY: Seconds = 7.0;
/// Rounds of a test, and the share of the window during it.
const TEST_ROUNDS: u32 = 3;
const TEST_SHARE: f64 = 0.7;
/// Tests in a row that have to say so.
const TESTS: u32 = 2;
/// Delivery during the test, relative to before, that only a flow alone can have.
const ALONE: f64 = 0.94;

/// Counts of rounds in which the queue stood although we gave way.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd {
    long: Standing,
    longish: Standing,
    squeezed: u32,
}

/// Rounds in which a queue stood, and the window when it began to.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    rounds: u32,
    from: f64,
}

impl Standing {
    fn add(&mut self, stands: bool, window: f64) {
        if !stands {
            self.rounds = 0;
            return;
        }
        if self.rounds == 0 {
            self.from = window;
        }
        self.rounds += 1;
    }
}

/// One round as the crowd detector sees it: delays in seconds, windows in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) queue: Seconds,
    pub(super) target: Seconds,
    pub(super) window: f64,
    /// Own rate is a small share of what the path can do, and the queue is above what even a larger share would aim at.
    pub(super) squeezed: bool,
}

impl Crowd {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The window when the queue began to stand.
    pub(super) fn from(&self) -> f64 {
        self.long.from.max(self.longish.from)
    }

    /// Takes a round; true if giving way has been in vain for long enough.
    pub(super) fn add(&mut self, sight: Sight, mtu: f64) -> bool {
        self.long.add(sight.queue > LONG * sight.target, sight.window);
        self.longish.add(sight.queue > LONGISH * sight.target, sight.window);
        self.squeezed = if sight.squeezed { self.squeezed + 1 } else { 0 };
        let gave_way = sight.window < GAVE_WAY * self.long.from || sight.window < 6.0 * mtu;
        let gave_much = sight.window < GAVE_MUCH * self.longish.from;
        (self.long.rounds >= ROUNDS && gave_way)
            || (self.longish.rounds >= MANY_ROUNDS && gave_much)
            || self.squeezed >= ROUNDS
    }
}

/// The state while competing.
#[derive(Debug, Clone)]
pub(super) struct Compete {
    cubic: Cubic,
    next_test: Seconds,
    tests: u32,
    /// Bytes per second acknowledged lately.
    delivered: f64,
    test: Option<Test>,
    /// Tests passed in a row, and rounds in a row with an idle queue.
    passed: u32,
    idle: u32,
    idle_since: Seconds,
    /// The round trip without queue.
    least: Seconds,
}

/// A running test for being alone.
#[derive(Debug, Clone)]
struct Test {
    rounds: u32,
    /// Best delivery so far.
    best: f64,
    /// The queue before, and how much shorter a window of ours makes it if nobody else is there.
    queue: Seconds,
    shorter: Seconds,
}

impl Compete {
    pub(super) fn new(now: Seconds, window: f64, mtu: f64, rtt: Seconds) -> Self {
        Self {
            cubic: Cubic::new(window, window, SEGMENT.max(mtu)),
            next_test: now + TEST_EVERY.max(20.0 * rtt),
            tests: 0,
            delivered: 0.0,
            test: None,
            passed: 0,
            idle: 0,
            idle_since: now,
            least: 0.0,
        }
    }

    pub(super) fn cubic(&mut self) -> &mut Cubic {
        &mut self.cubic
    }

    /// The window to use, in bytes.
    pub(super) fn window(&self) -> f64 {
        self.cubic.window() * if self.test.is_some() { TEST_SHARE } else { 1.0 }
    }

    /// Takes a finished round that delivered `rate` bytes per second with `queue` standing on a round trip of `min`. Below
    /// `idle` a queue is nobody's; `fair` is a window it is never below before its first loss. True if we are alone.
    pub(super) fn round(
        &mut self,
        now: Seconds,
        rate: f64,
        min: Seconds,
        queue: Seconds,
        idle: Seconds,
        fair: f64,
    ) -> bool {
        if !self.cubic.has_been_cut() {
            self.cubic.raise_to(fair);
        }
        let known = min > self.least - LESS;
        self.least = min;
        if queue < idle && known {
            self.idle += 1;
        } else {
            (self.idle, self.idle_since) = (0, now);
        }
        if self.idle >= IDLE.1 && now - self.idle_since > IDLE.0 {
            return true;
        }
        let rtt = min + queue;
        if let Some(mut test) = self.test.take() {
            // The first round still delivers the old flight.
            if test.rounds > 0 {
                test.best = test.best.max(rate);
            }
            test.rounds += 1;
            if test.rounds < TEST_ROUNDS {
                self.test = Some(test);
                return false;
            }
            // Not in step with anyone: tests of two flows at once would cheat each other.
            self.tests += 1;
            let spread = 0.8 + 0.5 * (f64::from(self.tests) * 0.618_034).fract();
            self.next_test = now + (TEST_EVERY * spread).max(20.0 * rtt);
            // Others would have filled the room we left: then the queue is no shorter.
            if test.best > ALONE * self.delivered && queue < test.queue - 0.6 * test.shorter {
                self.passed += 1;
                // Once may be chance: another flow backing off at the same time.
                self.next_test = now + 5.0 * rtt;
            } else {
                self.passed = 0;
            }
            return self.passed >= TESTS;
        }
        self.delivered = if self.delivered == 0.0 { rate } else { f64::midpoint(self.delivered, rate) };
        if now >= self.next_test {
            self.test = Some(Test { rounds: 0, best: 0.0, queue, shorter: queue.min((1.0 - TEST_SHARE) * rtt) });
        }
        false
    }
}
