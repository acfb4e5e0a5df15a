//! Holding: a rate is kept below a policer's, by the window.
//!
//! Which rate, when to probe above it and when it is refuted is decided in [`super::super::policer`]. Invariant: nothing here looks at a queue;
//! a policer has none.

use super::super::Seconds;
use super::super::policer::{Ceiling, Hold};
use super::{Law, State};

/// Share of the time between acknowledgements by which they come late, on average, where a rate is kept by a window.
const HEARD_LATE: f64 = 0.33;

impl Law {
    pub(super) fn hold(&mut self, now: Seconds, ceiling: Ceiling) {
        self.gradient.clear();
        let hold = Hold::new(now, ceiling);
        let cap = hold.cap();
        self.enter(State::Hold(hold));
        self.keep(cap);
    }

    /// Keeps to `cap` bytes per second. What arrives is known later by part of the time between acknowledgements.
    pub(super) fn keep(&mut self, cap: f64) {
        self.set_window(cap * (self.delay.min() + self.target(cap) / 4.0 + HEARD_LATE * self.delay.gap()));
    }
}
