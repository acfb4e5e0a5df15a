//! Doubt: whether what is lost is lost by our own doing.
//!
//! A queue that is shorter than the jitter cannot be seen to be full, and one that was full from the first packet on looks like the path
//! itself. Then all that is sent too fast passes for the path's own loss. So where very much is lost, only as much is sent for a moment as
//! has arrived: that passes any queue, and what is lost of it is what the path loses. Invariant: on a path that does lose that much, this
//! happens once and changes nothing.

use super::super::Seconds;
use super::super::policer::Look;
use super::super::rounds::Round;
use super::Law;
use super::drain::Dip;
use super::pace::Pace;

/// Loss from which on it is doubted: where a queue can be seen, and where jitter hides it.
const SEEN: f64 = 0.55;
const HIDDEN: f64 = 0.4;
/// How much more than was found to be the path's is doubted again.
const MORE: f64 = 0.1;
/// Rounds in a row of so much: runs of losses fill one.
const ROUNDS: u32 = 2;
/// Packets by which it is judged.
const JUDGED: f64 = 40.0;
/// Least share of the rate that is sent meanwhile.
const LEAST: f64 = 0.1;
/// By how much less has to be lost, beyond so many standard deviations.
const LESS: f64 = 0.05;
const SURE: f64 = 2.0;

/// Dispersion of losses that is reckoned with before.
pub(super) const ALIKE: f64 = 2.0;

/// What was doubted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts {
    /// Share lost, 0 to 1, that was found to be the path's, and when that was.
    trusted: f64,
    judged: Seconds,
    /// Rounds in a row with reason to doubt.
    rounds: u32,
}

impl Law {
    /// Begins to doubt the loss of a round if there is reason to; whether it does.
    pub(super) fn doubt(&mut self, now: Seconds, round: &Round, look: Look) -> bool {
        let least = if self.delay.is_jittery() { HIDDEN } else { SEEN };
        let loss = round.loss();
        let paced = self.pace.is_some_and(|pace| pace.dip.is_none_or(|dip| dip.is_over(now)));
        if !paced || round.counted.is_none() || round.holed {
            return false;
        }
        let trip = self.delay.smoothed() + self.delay.gap();
        // What left before this rate was kept says nothing of it.
        let old = round.start < self.doubts.judged.max(self.steady_since) + trip;
        if old || loss < least.max(self.doubts.trusted + MORE) {
            self.doubts.rounds = 0;
            return false;
        }
        self.doubts.rounds += 1;
        if self.doubts.rounds < ROUNDS {
            return false;
        }
        self.begin_doubt(now, loss, look.rate);
        true
    }

    /// Sends no more than has arrived for a while, of what is sent at `rate` bytes per second and is lost to a share of `loss`.
    pub(super) fn begin_doubt(&mut self, now: Seconds, loss: f64, rate: f64) {
        let Some(pace) = self.pace else { return };
        let floor = self.least * self.mtu / self.delay.standing(now).max(self.delay.min());
        let rate = rate.min(pace.capacity).max(floor);
        let share = (1.0 - loss).max(LEAST).max(floor / rate);
        let lasts = self.delay.smoothed() + 2.0 * self.delay.gap() + JUDGED * self.mtu / (share * rate);
        let dip = Dip::doubting(now, share, lasts, loss);
        self.pace = Some(Pace { capacity: rate, dip: Some(dip), ..pace });
    }

    /// The share of the rate before that the path has passed, now that it is known what is lost of less; `before` was lost of that rate, and
    /// less is sent since `began`.
    pub(super) fn judge(&mut self, now: Seconds, began: Seconds, before: f64) -> f64 {
        self.doubts = Doubts { trusted: before, judged: now, rounds: 0 };
        let Some((loss, noise)) = self.reports.loss_since(began) else { return 1.0 };
        if before < loss + LESS + SURE * noise {
            return 1.0;
        }
        self.doubts.trusted = loss;
        self.reports.believe(loss);
        (1.0 - before) / (1.0 - loss)
    }
}
