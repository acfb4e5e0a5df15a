//! Draining: sending less for a moment, until the round trip is seen without the queue we keep ourselves.
//!
//! A flow that keeps a pace knows how much stands, so it first sends less for just as long as that takes to leave: a dip, which costs
//! the path hardly anything. Where that was not enough, others keep the queue standing, and the window is made smaller in steps.
//! Invariant: a drain ends as soon as the round trip is at its minimum, at the latest after three steps; only one that asks whether less than
//! that minimum can be seen goes on to its end, two steps. Flows that see a new minimum restart their clocks, so flows that share a path
//! come to drain together.

use std::ops::Range;

use super::super::Seconds;
use super::super::compete::CLEAN;
use super::pace::LOOK;
use super::{Law, ROUND_MIN, State};

/// Windows of a drain, relative to the bandwidth-delay product; each lasts 1.2 round trips.
const DRAIN: [f64; 3] = [0.9, 0.6, 0.3];
/// The same of one that goes on whatever is seen.
const WHOLE: [f64; 2] = [0.3, 0.3];

/// Share of the pace during a dip, and by how much it is longer than what stands needs: to be sure, and against the granularity of timers.
const DIP: f64 = 0.5;
const SURELY: f64 = 1.3;
const GRAIN: Seconds = 0.002;
/// Targets of queue that are let out where the least delay is a guess.
const DEEP: f64 = 6.0;
/// Targets that a queue of our own making hardly exceeds.
const OURS: f64 = 2.0;
/// What is left of a queue that shrinks, from one round to the next.
const SHRINKS: f64 = 0.9;

/// How much shorter the queue became, over what this flow had less in it: where others keep windows, and where there is none. The receiver's
/// estimate of the path, which is in it, errs by a third.
const AS_MUCH: Range<f64> = 0.8..1.6;
const NOTHING: f64 = 0.15;

/// How much shorter at least, where nothing else speaks for it: paced flows together keep less, and when all of that leaves it may be just as
/// much by chance.
const PLAIN: Seconds = 0.040;

/// A dip under way, or the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dip {
    began: Seconds,
    /// The queue then.
    stood: Seconds,
    until: Seconds,
    /// Share of the pace meanwhile.
    share: f64,
    /// The loss before, if that is what it is for.
    doubted: Option<f64>,
    /// When all that left during it has been heard of.
    settled: Seconds,
}

impl Dip {
    /// One that sends `share` of the pace for so many seconds, because `loss` is doubted.
    pub(super) fn doubting(now: Seconds, share: f64, lasts: Seconds, loss: f64) -> Dip {
        let until = now + lasts;
        Dip { began: now, stood: f64::INFINITY, until, settled: until, share, doubted: Some(loss) }
    }

    /// The factor on the rate of the path at `now`.
    pub(super) fn gain(&self, now: Seconds) -> f64 {
        if now < self.until { self.share } else { 1.0 }
    }

    /// The loss that it was for, and since when less was sent.
    pub(super) fn doubted(&self) -> Option<(f64, Seconds)> {
        self.doubted.map(|loss| (loss, self.began))
    }

    pub(super) fn stood(&self) -> Seconds {
        self.stood
    }

    pub(super) fn is_over(&self, now: Seconds) -> bool {
        now >= self.settled
    }
}

/// How far a drain goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Until the least round trip is seen.
    Until,
    /// The same, and less at once, because others are suspected to keep the queue standing.
    Crowd,
    /// To its end: the least round trip may be less than any seen.
    Whole,
}

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
    /// Whether it was started because of a crowd, and whether it goes on to its end.
    crowd: bool,
    whole: bool,
    /// Where to go back to if the queue was only a drain away.
    cap: f64,
}

impl Drain {
    fn steps(&self) -> &'static [f64] {
        if self.whole { &WHOLE } else { &DRAIN }
    }
}

impl Law {
    /// Begins to drain with `queue` standing.
    pub(super) fn drain(&mut self, now: Seconds, reach: Reach, queue: Seconds, target: Seconds) {
        let min = self.delay.min();
        let stood = min + queue;
        let rate = self.window / stood.max(1e-5);
        let crowd = reach == Reach::Crowd;
        let whole = std::mem::take(&mut self.guessed) || reach == Reach::Whole || (crowd && self.usual_loss() < CLEAN);
        let drain = Drain {
            step: usize::from(crowd && !whole),
            until: now + 1.2 * self.delay.smoothed().max(ROUND_MIN),
            product: rate * min,
            rate,
            target,
            stood,
            lowest: f64::INFINITY,
            crowd,
            whole,
            cap: self.window,
        };
        self.set_window(drain.steps()[drain.step] * drain.product);
        self.enter(State::Drain(drain));
    }

    /// Lets the queue leave that stood `before` and stands now; whether that is being done. Not where no pace is kept or another queue
    /// stands than the one aimed at, unless it shrinks already, nor where the last dip did not help.
    pub(super) fn dip(&mut self, now: Seconds, [before, queue]: [Seconds; 2], target: Seconds) -> bool {
        let low_at = self.low_at;
        let clean = self.usual_loss() < CLEAN;
        let Some(pace) = &mut self.pace else { return false };
        if queue > OURS * target && clean {
            return queue < SHRINKS * before;
        }
        if let Some(dip) = pace.dip {
            if !dip.is_over(now) {
                return true;
            }
            if low_at < dip.began {
                pace.dip = None;
                return false;
            }
        }
        let length = if std::mem::take(&mut self.guessed) { DEEP * target } else { SURELY * queue };
        let until = now + length / (1.0 - DIP) + GRAIN;
        let settled = until + self.delay.smoothed() + queue + 2.0 * self.delay.gap() + LOOK;
        pace.dip = Some(Dip { began: now, stood: queue, until, settled, share: DIP, doubted: None });
        true
    }

    /// Whether the newest round trip shows that hardly a queue stands.
    pub(super) fn is_low(&self, now: Seconds) -> bool {
        let (min, target) = (self.delay.min(), self.target(self.own_rate(self.queue)));
        // In jitter a single way hardly ever comes near the least.
        let stands = if self.delay.is_jittery() { self.delay.standing(now) } else { f64::INFINITY };
        self.delay.newest() <= min + target / 4.0 || stands < min + target / 2.0
    }

    /// A round trip was measured.
    pub(super) fn drain_sample(&mut self, now: Seconds, rtt: Seconds) {
        if let State::Drain(drain) = &mut self.state {
            drain.lowest = drain.lowest.min(rtt);
            if self.low_at >= now && !drain.whole {
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
        if let Some(share) = drain.steps().get(drain.step) {
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
        let lossy = self.usual_loss() >= CLEAN;
        if drain.crowd && lossy && left.is_finite() && left > (stood / 2.0).max(1.6 * drain.target) {
            // Sending a third did not shorten the queue and nobody here is driven by loss: it is no queue of ours to yield
            // to, or no queue at all but a longer path.
            self.delay.rebase(now, drain.lowest);
        } else if drain.whole && !lossy {
            match self.response(now, &drain) {
                Response::Windows => {
                    self.compete(now, drain.cap.max(self.crowd.from()), drain.stood);
                    return;
                }
                Response::None if drain.crowd => self.delay.rebase(now, drain.lowest),
                _ => {}
            }
        }
        self.low_at = now;
        self.set_window((drain.rate * (self.delay.min() + drain.target)).min(drain.cap));
        self.crowd.clear();
        self.enter_steady(now);
        self.round = self.new_round(now);
    }

    /// What the queue did while this flow had less under way. It becomes shorter by just that much where the others keep a window, whatever
    /// the queue: only loss slows them down. Flows that keep a pace let more of it out, or all.
    fn response(&self, now: Seconds, drain: &Drain) -> Response {
        let path = self.hint.max(self.history.peak(now));
        let less = (drain.rate * drain.stood - WHOLE[1] * drain.product) / path;
        let shorter = drain.stood - drain.lowest;
        let share = shorter / less;
        let seen = (1.5 * drain.target).max(if drain.crowd { 0.0 } else { PLAIN });
        if shorter > seen && AS_MUCH.contains(&share) {
            Response::Windows
        } else if less > drain.target / 2.0 && share.abs() < NOTHING {
            Response::None
        } else {
            Response::More
        }
    }
}

/// How a queue answers a drain.
#[derive(Debug)]
enum Response {
    /// It was not ours, and nothing else fills it: the path is longer.
    None,
    /// The others keep their windows.
    Windows,
    /// It left, or the others gave way.
    More,
}
