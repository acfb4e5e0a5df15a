//! Whether the senders together flood what they have in common: found out by slowing all of them down at once.
//!
//! Where many begin together the queue is full from the first packet on, and what one of them sends less the others fill at once: to each, what
//! the queue drops looks like the path's own loss, which is no reason to send less. Together they may then send ten times what passes. Only
//! their receiver sees all of them. So where very much is lost of what they send, they may together send no more than has arrived, for
//! a moment. If as much less is lost then, the rest was their own doing: from then on they get a total, which rises slowly while nothing more is
//! lost for it. If not, the path is like that, and they are left alone, for longer each time. Invariant: nothing is limited in which
//! less than [`DOUBTED`] is lost. No IO, no time of its own.

use std::time::{Duration, Instant};

/// Share of what is sent that has to be lost for it to be doubted, and for how long.
const DOUBTED: f64 = 0.4;
const LASTING: Duration = Duration::from_secs(1);
/// How much more than was found to be the path's is doubted again.
const MORE: f64 = 0.1;
/// Time for a change to show, beyond some round trips: senders have to hear of it and rates to follow.
const SETTLE: Duration = Duration::from_millis(2500);
const ROUND_TRIPS: u32 = 4;
/// A longer round trip than this is not waited for.
const LONGEST_TRIP: Duration = Duration::from_secs(1);
/// By how much less has to be lost, and the share of what arrived before that still has to.
const LESS: f64 = 0.15;
const STILL: f64 = 0.6;
/// Time without limits after they were found to be of no use: at first, and at most.
const FREE: Duration = Duration::from_secs(20);
const FREE_MOST: Duration = Duration::from_secs(640);
/// How often the total is looked at, beyond two round trips, and by how much it may rise; and until it has once been too much, since it was
/// measured while some had hardly begun.
const LOOK: Duration = Duration::from_secs(1);
const RISE: f64 = 1.08;
const FAST_RISE: f64 = 1.3;
/// Loss beyond the path's own up to which it rises, and from which on it falls.
const ROOM: f64 = 0.06;
const TOO_MUCH: f64 = 0.15;
/// How fast what is taken for the path's own loss follows what is seen while nothing is too much.
const FOLLOW: f64 = 0.2;
/// Less than this share of what once arrived: the path is another one.
const FALLEN: f64 = 0.4;
/// A total of which less than this share is sent limits nobody; after so many looks it is lifted.
const USED: f64 = 0.7;
const UNUSED: u32 = 5;

/// What all senders do together, bytes per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) sent: f64,
    pub(super) arrived: f64,
    /// How many have more to send.
    pub(super) senders: usize,
}

impl Sum {
    fn loss(self) -> f64 {
        if self.sent > 0.0 { (1.0 - self.arrived / self.sent).max(0.0) } else { 0.0 }
    }
}

/// A total that is held to.
#[derive(Clone, Copy, Debug)]
struct Hold {
    total: f64,
    /// It was too much once.
    was_reached: bool,
    /// Share that the path itself loses.
    usual: f64,
    /// The most that arrived.
    most: f64,
    look: Instant,
    /// Looks in a row at which it limited nobody.
    unused: u32,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing to doubt.
    #[default]
    Calm,
    /// Much is lost since then.
    Doubting { since: Instant, most: f64 },
    /// Less is sent; what that changes is seen at `until`.
    Trying { before: Sum, until: Instant },
    /// They had flooded it.
    Holding(Hold),
    /// The path loses that much.
    Free { until: Instant, loss: f64 },
}

#[derive(Debug, Default)]
pub(super) struct Flood {
    state: State,
    pause: Option<Duration>,
}

impl Flood {
    /// What all of them together may send, if that is limited now.
    pub(super) fn total(&mut self, now: Instant, trip: Duration, sum: Sum) -> Option<f64> {
        let trip = trip.min(LONGEST_TRIP);
        if sum.senders < 2 {
            // Who is alone sees by itself what it does.
            self.state = State::Calm;
            return None;
        }
        match &mut self.state {
            State::Free { until, loss } if now < *until && sum.loss() < *loss + MORE => {}
            State::Calm | State::Free { .. } if sum.loss() >= DOUBTED => {
                self.state = State::Doubting { since: now, most: 0.0 }
            }
            State::Free { until, .. } if now >= *until => self.state = State::Calm,
            State::Doubting { .. } if sum.loss() < DOUBTED => self.state = State::Calm,
            State::Doubting { since, most } => {
                *most = most.max(sum.arrived);
                if now >= *since + LASTING + trip {
                    let before = Sum { arrived: *most, sent: sum.sent * *most / sum.arrived.max(1.0), ..sum };
                    self.state = State::Trying { before, until: now + SETTLE + ROUND_TRIPS * trip };
                }
            }
            State::Trying { before, until } if now >= *until => {
                let before = *before;
                self.state = self.judge(now, trip, before, sum);
            }
            State::Holding(hold) if now >= hold.look => {
                hold.look = now + LOOK + 2 * trip;
                if hold.is_over(sum) {
                    self.state = State::Calm;
                }
            }
            _ => {}
        }
        match &self.state {
            State::Trying { before, .. } => Some(before.arrived),
            State::Holding(hold) => Some(hold.total),
            _ => None,
        }
    }

    fn judge(&mut self, now: Instant, trip: Duration, before: Sum, sum: Sum) -> State {
        // On a path that does lose so much, as much less arrives as is sent.
        if sum.loss() < before.loss() - LESS && sum.arrived > STILL * before.arrived {
            self.pause = None;
            let look = now + LOOK + 2 * trip;
            return State::Holding(Hold {
                total: before.arrived * FAST_RISE,
                was_reached: false,
                usual: sum.loss(),
                most: sum.arrived,
                look,
                unused: 0,
            });
        }
        let pause = self.pause.unwrap_or(FREE);
        self.pause = Some((2 * pause).min(FREE_MOST));
        State::Free { until: now + pause, loss: before.loss() }
    }
}

impl Hold {
    /// Adjusts the total to what it has led to; whether there is nothing to hold any more.
    fn is_over(&mut self, sum: Sum) -> bool {
        let loss = sum.loss();
        self.most = self.most.max(sum.arrived);
        if sum.sent < USED * self.total {
            self.unused += 1;
            return self.unused >= UNUSED;
        }
        self.unused = 0;
        if loss < self.usual + ROOM {
            self.total *= if self.was_reached { RISE } else { FAST_RISE };
            self.usual += FOLLOW * (loss - self.usual);
            return false;
        }
        self.was_reached = true;
        if loss > self.usual + TOO_MUCH {
            self.total = (sum.arrived / (1.0 - self.usual)).clamp(self.total / 2.0, self.total);
        }
        sum.arrived < FALLEN * self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
    fn origin() -> Instant {
        Instant::now()
    }

    /// Senders that together send `wanted` unless they may not, over a path that passes `rate` and then loses a share of `loss`. The mean of
    /// what is sent and arrives in each of so many seconds, and whether it was limited at its end.
    fn seconds(
        flood: &mut Flood,
        now: &mut Instant,
        count: u32,
        wanted: f64,
        rate: f64,
        loss: f64,
    ) -> Vec<(f64, f64, bool)> {
        let step = Duration::from_millis(100);
        let (mut allowed, mut sum) = (None, Sum { senders: 100, ..Sum::default() });
        let mut seconds = Vec::new();
        for _ in 0..count {
            let (mut sent, mut arrived) = (0.0, 0.0);
            for _ in 0..10 {
                *now += step;
                let goes = f64::min(wanted, allowed.unwrap_or(f64::INFINITY));
                let comes = goes.min(rate) * (1.0 - loss);
                sum.sent += 0.13 * (goes - sum.sent);
                sum.arrived += 0.13 * (comes - sum.arrived);
                allowed = flood.total(*now, Duration::from_millis(300), sum);
                (sent, arrived) = (sent + goes / 10.0, arrived + comes / 10.0);
            }
            seconds.push((sent, arrived, allowed.is_some()));
        }
        seconds
    }

    #[test]
    fn a_flood_is_ended_and_the_path_stays_full() {
        for loss in [0.0, 0.1, 0.33] {
            let mut flood = Flood::default();
            let seconds = seconds(&mut flood, &mut origin(), 120, 10e6, 1e6, loss);
            for (at, (sent, arrived, limited)) in seconds.into_iter().enumerate().skip(20) {
                assert!(limited && sent < 1.35e6, "loss {loss}, second {at}: {sent}");
                assert!(arrived > 0.95e6 * (1.0 - loss), "loss {loss}, second {at}: {arrived}");
            }
        }
    }

    #[test]
    fn a_path_that_loses_so_much_is_left_alone() {
        let mut flood = Flood::default();
        let seconds = seconds(&mut flood, &mut origin(), 1200, 1e6, f64::INFINITY, 0.5);
        let limited = seconds.iter().filter(|(.., limited)| *limited).count();
        assert!((1..=40).contains(&limited), "{limited}");
    }

    #[test]
    fn a_path_that_becomes_wider_or_narrower_is_followed() {
        let (mut flood, mut now) = (Flood::default(), origin());
        for (rate, least) in [(1e6, 0.95), (4e6, 0.95), (0.5e6, 0.95)] {
            let (sent, arrived, _) = *seconds(&mut flood, &mut now, 90, 20e6, rate, 0.1).last().unwrap();
            assert!(sent < 1.5 * rate && arrived > least * 0.9 * rate, "{rate}: {sent} {arrived}");
        }
    }

    #[test]
    fn one_sender_is_never_limited() {
        let sum = Sum { sent: 10.0, arrived: 1.0, senders: 1 };
        let (mut flood, start) = (Flood::default(), origin());
        assert!((0..600).all(|tick| flood.total(start + tick * Duration::from_millis(100), LOOK, sum).is_none()));
    }
}
