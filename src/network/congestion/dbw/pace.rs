//! Keeping a pace: where the receiver tells what it counts, the steady state steers a rate, not a window.
//!
//! What passes the bottleneck while a queue stands is its rate, exactly; so that rate is kept, and a little more or less brings the
//! queue to its target. A window is worse at it: packets count as in flight until they are known to be lost, so what a constant
//! window sends rises and falls with the news. Invariant: the pace exceeds what has passed only by the gain and is never less than the
//! smallest window in each round trip, whatever the receiver says; the window of the connection only bounds what leaves while nothing
//! is heard.

use super::super::Seconds;
use super::super::reports::Rates;
use super::Law;
use super::drain::Dip;

/// How long the rate is measured: seconds, and packets, at least.
pub(super) const LOOK: Seconds = 0.05;
const LOOK_PACKETS: f64 = 32.0;
/// The same in round trips, and in jitters.
const LOOK_TRIPS: f64 = 0.5;
const LOOK_JITTERS: f64 = 16.0;
/// Share of the target from which on a queue is sure to stand.
const STANDS: f64 = 0.35;
/// Targets from which on a queue is long.
pub(super) const LONG: f64 = 3.0;
/// Weight of a new rate while a queue stands.
const BUSY: f64 = 0.4;
/// Difference of the rates of sending and arriving that only a bottleneck makes; and how soon, in seconds and round trips, the rate
/// follows without one.
const SPREAD: f64 = 0.04;
const FOLLOWED: Seconds = 0.4;
const FOLLOWED_TRIPS: f64 = 2.0;
/// Share of what is sent below which what passes shows a queue that grows, though none can be seen.
const HIDDEN: f64 = 0.85;
/// Round trips, with the wait for the answer, in which an error of the queue is to be mended.
const HORIZON: f64 = 2.5;
/// Bounds of the gain while a queue is steered.
const SLOWEST: f64 = 0.5;
const FASTEST: f64 = 1.1;
/// Most that is searched beyond the rate while jitter is longer than the queue that is looked for.
const SEARCHED_BLINDLY: f64 = 0.1;
/// Silence that the window bridges, in round trips.
const BRIDGED: f64 = 0.5;

/// The rate of the path, as far as it is known, and the factor on it that is sent at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) capacity: f64,
    pub(super) gain: f64,
    /// When it was last looked after.
    pub(super) steered: Seconds,
    pub(super) dip: Option<Dip>,
}

impl Pace {
    pub(super) fn new(now: Seconds, capacity: f64) -> Self {
        Self { capacity, gain: 1.0, steered: now, dip: None }
    }

    pub(super) fn rate(&self) -> f64 {
        self.capacity * self.gain
    }

    /// What is sent at `now`.
    pub(super) fn rate_at(&self, now: Seconds) -> f64 {
        let dip = self.dip.filter(|dip| !dip.is_over(now));
        dip.map_or_else(|| self.rate(), |dip| self.capacity * dip.gain(now))
    }
}

impl Law {
    /// The window at `pace` bytes per second: a round trip of them, what is lost and not yet known to be, and some silence.
    pub(super) fn bound(&self, pace: f64) -> f64 {
        let trips = 1.0 + BRIDGED + 1.3 * self.history.loss();
        1.1 * pace * (self.delay.smoothed() * trips + 2.0 * self.delay.gap()) + 10.0 * self.mtu
    }

    /// Takes the newest report into the pace.
    pub(super) fn steer(&mut self, now: Seconds) {
        let Some(mut pace) = self.pace else { return };
        let min = self.delay.min();
        let queue = (self.delay.standing(now) - min).max(0.0);
        let target = self.target(pace.capacity);
        match pace.dip {
            Some(dip) if !dip.is_over(now) && queue <= dip.stood() + target => {
                // What passes now says nothing about the path.
                pace.steered = now;
                self.pace = Some(pace);
                return;
            }
            Some(dip) if !dip.is_over(now) => pace.dip = None,
            _ => {}
        }
        if let Some((loss, began)) = pace.dip.and_then(|dip| dip.doubted()) {
            pace.capacity *= self.judge(now, began, loss);
            pace.dip = None;
        }
        let trip = self.delay.smoothed();
        let span = LOOK.max(LOOK_TRIPS * trip).max(LOOK_JITTERS * self.delay.jitter());
        let lasted = now - std::mem::replace(&mut pace.steered, now);
        if let Some(Rates { passed, sent }) = self.reports.rates(span, LOOK_PACKETS * self.mtu, queue > LONG * target) {
            if queue > STANDS * target {
                // What came as it was sent may have met no queue of ours at all.
                let spread = sent.is_none_or(|sent| (passed / sent - 1.0).abs() > SPREAD);
                let slow = (lasted / FOLLOWED.max(FOLLOWED_TRIPS * trip)).min(BUSY);
                pace.capacity += if spread { BUSY } else { slow } * (passed - pace.capacity);
            } else if self.looks == 0 && self.delay.is_jittery() && sent.is_some_and(|sent| passed < HIDDEN * sent) {
                // A queue that the first packets made before it could be seen, and that is growing.
                pace.capacity = pace.capacity.min(pace.capacity + BUSY * (passed - pace.capacity));
            } else {
                pace.capacity = pace.capacity.max(passed);
            }
        }
        let least = self.least * self.mtu;
        pace.capacity = pace.capacity.max(least / (min + queue));
        // In jitter the queue is only seen over a while.
        let seen_late = if self.delay.is_jittery() { span } else { 0.0 };
        let horizon = HORIZON * (trip + self.delay.gap() + seen_late);
        let steered = (1.0 + (target - queue) / horizon).clamp(SLOWEST, FASTEST);
        pace.gain = if queue < target / 2.0 { steered.max(1.0 + self.searching()) } else { steered };
        self.window = (pace.rate() * (min + queue)).max(least);
        self.pace = Some(pace);
    }

    /// How much faster than what passes is sent after so many rounds with an empty queue.
    fn searching(&self) -> f64 {
        let most = match self.empty {
            0 => return 0.0,
            // Where jitter hides a short queue, it looks empty until it is long.
            _ if self.delay.is_jittery() => SEARCHED_BLINDLY,
            1..=4 => 0.25,
            _ => 0.5,
        };
        (0.05 * 1.6f64.powi(self.empty - 1)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Report;

    /// A receiver may say what it likes about its clock and its losses.
    #[test]
    fn a_receiver_that_lies_cannot_stop_the_sender() {
        let mut draw = 1u64;
        let mut any = move |n: u32| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((draw >> 33) as u32) % n
        };
        for lie in 0..4 {
            let mut law = Law::new(1200.0);
            let mut report = Report::default();
            let mut paced = false;
            for step in 0..5000u32 {
                let now = f64::from(step) * 0.02;
                law.on_sent(now, 1200.0);
                law.on_ack(now + 0.1, now, 1200.0);
                report.sent += 1 + any(50);
                report.passed = u64::from(report.sent) * 1200;
                if lie != 1 {
                    report.arrived = report.arrived.max(any(report.sent));
                }
                report.runs = any(report.sent);
                report.at = match lie {
                    0 => any(u32::MAX),
                    1 => report.at.wrapping_add(u32::MAX / 2),
                    2 => 0,
                    _ => report.at.wrapping_add(20_000),
                };
                law.on_report(now + 0.1, report, Some(now));
                if let Some(pace) = law.pace(now + 0.1) {
                    paced = true;
                    let trip = law.delay.standing(now + 0.1).max(law.delay.min());
                    let least = SLOWEST * 4.0 * 1200.0 / trip;
                    assert!(pace.is_normal() && pace > 0.99 * least, "lie {lie}: pace {pace} in {trip} s");
                }
                law.on_frame(now + 0.1, 1200.0);
                if step % 100 == 0 && law.pace(now).is_none() {
                    law.enter_steady(now);
                }
                assert!(law.window() >= 4800.0 && law.window().is_finite(), "lie {lie}: window {}", law.window());
            }
            assert!(paced, "lie {lie}: never came to a pace");
        }
    }
}
