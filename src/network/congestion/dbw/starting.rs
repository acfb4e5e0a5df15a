//! Start-up as the law does it: growth with what is acknowledged, and the end of it at the first queue.
//!
//! How far to grow and when growth is in vain is decided in [`super::super::startup`]. Invariant: the window that start-up ends with is what
//! the path has been seen to pass, not what it was sent.

use super::super::Seconds;
use super::super::startup::INITIAL_PACKETS;
use super::{Frame, Law, SHORT_TRIP, State};

/// How far back the rate of a path is looked for that has just begun to queue: seconds and packets, at least.
const LOOK_BACK: Seconds = 0.03;
const LOOK_BACK_PACKETS: f64 = 24.0;
/// How long the receiver is waited for after the first acknowledgement.
const TELLS: Seconds = 1.0;

impl Law {
    /// Takes an ACK frame into start-up.
    pub(super) fn startup_frame(&mut self, now: Seconds, frame: &Frame) {
        let min = self.delay.min();
        if !min.is_finite() {
            return;
        }
        let began = *self.first_frame.get_or_insert(now);
        // The first round trips have the handshake's copies in them, which may stand on the way back: a receiver that tells is waited for.
        let told = self.delay.is_one_way() || (self.delay.smoothed() >= SHORT_TRIP && now - began < TELLS);
        if !told && self.look_for_queue(now) {
            return;
        }
        if self.take_estimate(now) {
            return;
        }
        if let State::StartUp(startup) = &mut self.state {
            let flight = self.round.flight.max(self.flight.bytes() + frame.acked);
            let window = startup.grow(self.window, frame.acked, self.lost_lately, min, flight, self.mtu);
            self.set_window(window);
        }
    }

    /// Ends start-up if the receiver's estimate says all; whether it does.
    pub(super) fn take_estimate(&mut self, now: Seconds) -> bool {
        let trip = self.delay.min() + self.target(self.hint);
        let State::StartUp(startup) = &self.state else { return false };
        let Some(rate) = startup.known(self.window, trip, self.delay.is_one_way()) else { return false };
        let floor = 0.25 * INITIAL_PACKETS * self.mtu;
        self.set_window((rate * trip).max(floor));
        self.enter_steady(now);
        self.round = self.new_round(now);
        true
    }

    /// Ends start-up if a queue stands; whether it does.
    pub(super) fn look_for_queue(&mut self, now: Seconds) -> bool {
        let min = self.delay.min();
        let first_flight = self.first_frame.zip(self.newest_sent).is_none_or(|(first, sent)| sent < first);
        if let Some(rtt) = self.delay.recent() {
            let queue = rtt - min;
            // The first flight goes as a burst; unless it takes half a round trip to get through, that is no standing queue.
            let queue = if first_flight && queue < 0.5 * min { 0.0 } else { queue };
            let target = self.target(self.own_rate(queue));
            if queue > (1.5 * target).max(0.1 * min).max(0.006).max(1.5 * self.delay.jitter()) {
                self.leave_startup(now, min + queue, target);
                return true;
            }
        }
        false
    }

    /// A queue has been seen: `rtt` stands.
    pub(super) fn leave_startup(&mut self, now: Seconds, rtt: Seconds, target: Seconds) {
        let min = self.delay.min();
        let by_flight = self.newest_sent.and_then(|sent| self.flight.when_left(sent)).unwrap_or(0.0) / rtt;
        // While a queue stands, what passes is what the path can do.
        let passed = self.reports.rate((rtt - min).max(LOOK_BACK), LOOK_BACK_PACKETS * self.mtu);
        let passed = passed.filter(|_| self.delay.is_one_way());
        let rate = passed.unwrap_or_else(|| self.delay.rate().unwrap_or(0.0).max(by_flight));
        let floor = 0.5 * INITIAL_PACKETS * self.mtu;
        self.set_window((rate * (min + target)).clamp(floor.min(self.window), self.window));
        self.enter_steady(now);
        self.round = self.new_round(now);
    }
}
