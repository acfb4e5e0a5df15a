//! Draining: sending less for a moment, until the round trip is seen without the queue we keep ourselves.
//!
//! Invariant: a drain ends as soon as the round trip is at its minimum, at the latest after three steps. Flows that see a new
//! minimum restart their clocks, so flows that share a path come to drain together.

use super::super::Seconds;
use super::super::compete::CLEAN;
use super::{Law, ROUND_MIN, State};

/// Windows of a drain, relative to the bandwidth-delay product; each lasts 1.2 round trips.
const DRAIN: [f64; 3] = [0.9, 0.6, 0.3];

/// A drain under way.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    step: usize,
    until: Seconds,
    /// Bandwidth-delay product, bytes.
    product: f64,
    /// Own rate before, bytes per second.
    rate: f64,
    target: Seconds,
    /// Round trip that stood before, and the smallest seen since.
    stood: Seconds,
    lowest: Seconds,
    /// Whether it was started because of a crowd.
    crowd: bool,
    /// Where to go back to if the queue was only a drain away.
    cap: f64,
}

impl Law {
    /// Begins to drain at `step`, with `queue` standing; `crowd` if others are suspected to keep it standing.
    pub(super) fn drain(&mut self, now: Seconds, step: usize, queue: Seconds, target: Seconds, crowd: bool) {
        let min = self.delay.min();
        let stood = min + queue;
        let rate = self.window / stood.max(1e-5);
        let drain = Drain {
            step,
            until: now + 1.2 * self.delay.smoothed().max(ROUND_MIN),
            product: rate * min,
            rate,
            target,
            stood,
            lowest: f64::INFINITY,
            crowd,
            cap: self.window,
        };
        self.set_window(DRAIN[step] * drain.product);
        self.enter(State::Drain(drain));
    }

    /// A round trip was measured.
    pub(super) fn drain_sample(&mut self, now: Seconds, rtt: Seconds) {
        if let State::Drain(drain) = &mut self.state {
            drain.lowest = drain.lowest.min(rtt);
            if self.low_at >= now {
                self.end_drain(now);
            }
        }
    }

    /// Time has passed.
    pub(super) fn drain_tick(&mut self, now: Seconds) {
        let State::Drain(drain) = &mut self.state else {
            return;
        };
        if now < drain.until {
            return;
        }
        drain.step += 1;
        if let Some(share) = DRAIN.get(drain.step) {
            drain.until = now + 1.2 * self.delay.smoothed().max(ROUND_MIN);
            let window = share * drain.product;
            self.set_window(window);
        } else {
            self.end_drain(now);
        }
    }

    fn end_drain(&mut self, now: Seconds) {
        let State::Drain(drain) = &self.state else {
            return;
        };
        let drain = drain.clone();
        let stood = drain.stood - self.delay.min();
        let left = drain.lowest - self.delay.min();
        let lossy = self.history.loss() >= CLEAN;
        if drain.crowd && lossy && left.is_finite() && left > (stood / 2.0).max(1.6 * drain.target) {
            // Sending a third did not shorten the queue and nobody here is driven by loss: it is no queue of ours to yield
            // to, or no queue at all but a longer path.
            self.delay.rebase(now, drain.lowest);
        }
        self.low_at = now;
        self.set_window((drain.rate * (self.delay.min() + drain.target)).min(drain.cap));
        self.crowd.clear();
        self.enter_steady(now);
        self.round = self.new_round(now);
    }
}
