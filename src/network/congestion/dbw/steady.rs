//! The steady state: one step per round towards the target of queue, and the looks at what else may be going on.
//!
//! Invariant: the window grows only while it is what limits the flow, and a queue above the target always shrinks it. Whether
//! the path ends in a policer or is shared with flows that only loss slows down is asked here and answered elsewhere.

use super::super::Seconds;
use super::super::compete::{CLEAN, Compete, Sight};
use super::super::policer::Look;
use super::super::rounds::Round;
use super::super::startup::INITIAL_PACKETS;
use super::drain::Reach;
use super::{Law, State};

/// Share of the step that is taken when the window has to shrink.
const YIELD: f64 = 0.7;
/// Share of the step that is taken when the window may grow: less, because the queue of sparse acknowledgements is seen late.
const GROW: f64 = 0.5;
/// Largest growth of the window in one round.
const STEP_MAX: f64 = 1.5;
/// Seconds and round trips after which a queue that never was empty is drained, to see the path's own round trip.
const DRAIN_AFTER: (Seconds, f64) = (5.0, 25.0);
/// Targets of queue that nobody but others has kept up until then.
const STOOD: f64 = 1.25;
/// And so many mean steps of the delay: in jitter a queue is seen where none is.
const CERTAIN: f64 = 6.0;
/// Least round trip from which looking for others by that sign alone costs more than it is worth.
const STOOD_TRIP: Seconds = 0.55;
/// Seconds within which a second cry of "crowd" means that draining did not help.
const CROWD_AGAIN: Seconds = 8.0;
/// Shares of that for the first times: what stood before we came is to be known soon.
const SOONER: [f64; 2] = [0.25, 0.5];
/// Times that a queue of others is looked for below the least round trip.
const LATE: usize = 1;
/// Round trip from which that costs more than it is worth: the estimate may have been wrong.
const LATE_TRIP: Seconds = 0.3;
/// Share of the receiver's first estimate below which others have the rest.
const SHARED: f64 = 0.75;
/// Cut on a congestion mark (RFC 8511 suggests 0.85 for CUBIC).
const MARK_CUT: f64 = 0.85;

impl Law {
    /// Takes a finished round: `queues` stood before and now; `full` if the window was what limited the flow.
    pub(super) fn steady_round(
        &mut self,
        now: Seconds,
        round: &Round,
        look: Look,
        queues: [Seconds; 2],
        target: Seconds,
        full: bool,
    ) {
        let min = self.delay.min();
        let [before, queue] = queues;
        let mut factor = (min + target) / (min + queue);
        if factor > 1.0 {
            factor = 1.0 + GROW * (factor - 1.0);
        }
        // A full path answers a larger window with a longer queue. Bursts between sparse acknowledgements can look like a queue,
        // but they do not grow with the window.
        let unmoved = self.expected > 0.02 * min && queue - before < 0.3 * self.expected;
        self.expected = 0.0;
        let full = match self.pace {
            Some(pace) => look.rate > 0.8 * pace.capacity,
            None => full,
        };
        if full && (queue < target / 2.0 || (unmoved && queue < 0.75 * target)) {
            self.empty += 1;
            let most = if self.empty > 8 { 0.5 } else { 0.25 };
            factor = factor.max(1.0 + (0.05 * 1.6f64.powi(self.empty - 1)).min(most));
        } else {
            self.empty = 0;
        }
        self.deep = if queue > 3.0 * target { self.deep + 1 } else { 0 };
        if round.marked {
            factor = factor.min(MARK_CUT);
        }
        if let Some(pace) = &mut self.pace {
            if round.marked {
                pace.capacity *= MARK_CUT;
            }
        } else if factor > 1.0 {
            let capacity = self.history.capacity();
            if full {
                let most = if capacity > 0.0 {
                    (2.0 * capacity * (min + target) / self.window).clamp(1.0, STEP_MAX)
                } else {
                    STEP_MAX
                };
                let window = self.window;
                self.set_window(window * factor.min(most));
                self.expected = (self.window / window - 1.0) * (min + queue);
            }
        } else {
            let damped = if self.deep >= 2 { factor } else { 1.0 - YIELD * (1.0 - factor) };
            // A window that is not used did not make the queue.
            let floor = if full { 0.0 } else { INITIAL_PACKETS * self.mtu };
            self.set_window((self.window * damped).max(floor.min(self.window)));
        }
        if self.doubt(now, round, look) {
            return;
        }
        if !full {
            self.low_at = self.low_at.max(now - DRAIN_AFTER.0 / 2.0);
            self.crowd.clear();
            return;
        }
        if queue > target || self.reorders(look.rate) {
            self.gradient.clear();
        } else if queue < target / 2.0
            && !round.holed
            && let Some(ceiling) = self.gradient.add(look, self.reports.dispersion())
        {
            self.hold(now, ceiling);
            return;
        }
        self.look_for_crowd(now, queue, target);
        let sooner = SOONER.get(self.looks).copied().unwrap_or(1.0);
        let patience = sooner * DRAIN_AFTER.0.max(DRAIN_AFTER.1 * self.delay.smoothed());
        if matches!(self.state, State::Steady) && now - self.low_at > patience {
            self.looks += 1;
            // Who has so little of what the first packets crossed at is not alone, and what stood when it came is in its least round trip.
            let shared = self.pace.is_some_and(|pace| pace.capacity < SHARED * self.hint);
            let late = shared && self.looks <= LATE && self.delay.smoothed() < LATE_TRIP;
            let clear = min < STOOD_TRIP && self.usual_loss() < CLEAN;
            if clear && queue > STOOD * target + CERTAIN * self.delay.jitter() {
                self.suspect(now, queue, target);
                return;
            }
            if late || !self.dip(now, queues, target) {
                let reach = if late { Reach::Whole } else { Reach::Until };
                self.drain(now, reach, queue, target);
            }
        }
    }

    fn look_for_crowd(&mut self, now: Seconds, queue: Seconds, target: Seconds) {
        let min = self.delay.min();
        let peak = self.peak(now);
        let rate = self.window / (min + queue).max(1e-5);
        let sight = Sight {
            queue,
            target,
            window: self.window,
            squeezed: (rate < 0.35 * peak && queue > 1.8 * self.target(rate.max(peak / 8.0)))
                || (rate < 0.12 * peak && queue > 1.3 * self.target(peak / 6.0)),
        };
        if !self.crowd.add(sight, self.mtu) || now - self.steady_since < 0.5 {
            return;
        }
        self.suspect(now, queue, target);
    }

    /// Others seem to keep the queue standing: a drain is to show it, and if it was only just tried they do.
    fn suspect(&mut self, now: Seconds, queue: Seconds, target: Seconds) {
        let min = self.delay.min();
        let again = CROWD_AGAIN.max(40.0 * self.delay.smoothed());
        let clean = self.usual_loss() < CLEAN;
        if clean && self.crowd_at.is_some_and(|at| now - at < again) {
            self.compete(now, self.crowd.from().max(self.window), min + queue);
        } else {
            self.crowd_at = Some(now);
            self.drain(now, Reach::Crowd, queue, target);
        }
    }

    /// Begins to compete with `window` bytes, or what makes half of the path while `rtt` stands.
    pub(super) fn compete(&mut self, now: Seconds, window: f64, rtt: Seconds) {
        let window = window.max(self.peak(now) / 2.0 * rtt);
        let compete = Compete::new(now, window, self.mtu, self.delay.smoothed());
        self.crowd_at = None;
        self.crowd.clear();
        self.set_window(window);
        self.enter(State::Compete(compete));
    }
}
