//! Whether limiting the lower classes serves the higher ones: found out by doing it.
//!
//! Rates of both sides are compared before and after a change. Where they share a bottleneck, what the one side loses the other gains;
//! where they do not, a limit is a loss for everybody and is lifted, for longer each time. No IO, no time of its own.

use super::FlowId;
use std::time::{Duration, Instant};

/// Time for a change to show, beyond some round trips.
const SETTLE: Duration = Duration::from_secs(2);
const ROUND_TRIPS: u32 = 8;
/// Share of what the one side lost that the other must have gained.
const GAIN: f64 = 0.3;
/// Share of the whole by which the lower classes must have changed for anything to be told from it.
const CHANGE: f64 = 0.08;
/// Time without limits after they were found to be of no use: at first, and at most.
const FREE: Duration = Duration::from_secs(5);
const FREE_MOST: Duration = Duration::from_secs(60);
/// A found bottleneck is believed in for this long.
const BELIEF: Duration = Duration::from_secs(30);
/// Less than this share of what went through when it was found: it is looked for again.
const FALLEN: f64 = 0.7;

/// Rates of the higher and the lower classes, bytes per second.
#[derive(Clone, Copy, Debug)]
struct Rates {
    leaders: f64,
    followers: f64,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody contends.
    #[default]
    Idle,
    /// Limits are in force; whether they help is seen at `until`.
    Limiting { before: Rates, until: Instant },
    /// They help.
    Shared { until: Instant, total: f64 },
    /// Limits are lifted to see whether that hurts.
    Lifting { before: Rates, until: Instant },
    /// They do not help.
    Free { until: Instant },
}

#[derive(Debug, Default)]
pub(super) struct Trial {
    state: State,
    contending: Vec<FlowId>,
    pause: Duration,
}

impl Trial {
    /// Whether limits are in force now. `contending` are all that have more to send, if they are of different classes.
    pub(super) fn limits(
        &mut self,
        now: Instant,
        rtt: Duration,
        contending: Option<&Vec<FlowId>>,
        leaders: f64,
        followers: f64,
    ) -> bool {
        let Some(contending) = contending else {
            self.state = State::Idle;
            self.contending.clear();
            return false;
        };
        let rates = Rates { leaders, followers };
        let settled = now + SETTLE + rtt * ROUND_TRIPS;
        if *contending != self.contending {
            self.contending.clone_from(contending);
            self.pause = FREE;
            self.state = State::Limiting { before: rates, until: settled };
        }
        let total = leaders + followers;
        match self.state {
            State::Limiting { before, until } if now >= until => match serves(before, rates) {
                Some(false) => self.release(now),
                Some(true) => self.state = State::Shared { until: now + BELIEF, total },
                // Nothing to be told from it: limits that hold nobody back do no harm, but another look is due.
                None => self.state = State::Lifting { before: rates, until: settled },
            },
            State::Lifting { before, until } if now >= until => match serves(rates, before) {
                Some(true) => self.state = State::Shared { until: now + BELIEF, total },
                _ => self.release(now),
            },
            State::Shared { until, total: found } if now >= until || total < FALLEN * found => {
                self.state = State::Lifting { before: rates, until: settled };
            }
            State::Free { until } if now >= until => {
                self.state = State::Limiting { before: rates, until: settled };
            }
            _ => {}
        }
        matches!(self.state, State::Limiting { .. } | State::Shared { .. })
    }

    fn release(&mut self, now: Instant) {
        self.state = State::Free { until: now + self.pause };
        self.pause = (self.pause * 2).min(FREE_MOST);
    }
}

/// Whether the higher classes have more under `limited` than under `free` at the cost of the lower ones; `None` if nothing changed.
fn serves(free: Rates, limited: Rates) -> Option<bool> {
    let lost = free.followers - limited.followers;
    let total = (free.leaders + free.followers).max(limited.leaders + limited.followers);
    (lost.abs() > CHANGE * total).then(|| (limited.leaders - free.leaders) / lost > GAIN)
}
