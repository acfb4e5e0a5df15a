//! Links without a queue to grow (policers, very short buffers): finding them by what more sending delivers, and holding a rate
//! below them.
//!
//! Invariant: loss alone proves nothing. Only loss that is higher in the fast rounds than in the slow ones of the same
//! stretch, beyond what chance and bursts explain, caps the rate; and a cap that does not lower the loss is taken back.

use std::collections::VecDeque;

use super::Seconds;

/// Rounds the gradient is looked for in.
const ROUNDS: usize = 40;
/// Fast and slow rounds, relative to the newest.
const FAST: f64 = 0.93;
const SLOW: f64 = 0.85;
/// Packets needed on each side.
const PACKETS: f64 = 60.0;
/// Rounds before the first verdict.
const LEARNING: usize = 6;
/// Share of the measured rate a cap keeps.
const MARGIN: f64 = 0.97;
/// Cap after a probe that passed its first step and failed later, over the one before.
const KEPT: f64 = 1.05;
/// Steps of a probe upwards.
const PROBE: [f64; 6] = [1.1, 1.15, 1.25, 1.5, 1.5, 1.5];

/// One round as the test sees it: rate in bytes per second before loss, packets, packets lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) rate: f64,
    pub(super) packets: f64,
    pub(super) lost: f64,
}

/// A finding: the rate that gets through, in bytes per second before random loss, and that random loss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    pub(super) rate: f64,
    pub(super) loss: f64,
    /// What was lost above the ceiling.
    pub(super) above: f64,
}

/// The gradient test over rounds with a full window and an empty queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Gradient {
    looks: VecDeque<Look>,
}

impl Gradient {
    pub(super) fn clear(&mut self) {
        self.looks.clear();
    }

    /// Adds a round; a ceiling if sending faster only lost more.
    pub(super) fn add(&mut self, look: Look, dispersion: f64) -> Option<Ceiling> {
        if self.looks.len() == ROUNDS {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
        let n = self.looks.len();
        if n < LEARNING {
            return None;
        }
        let newest = self.looks[n - 1].rate;
        let sum = |(count, packets, lost): (u32, f64, f64), l: &Look| (count + 1, packets + l.packets, lost + l.lost);
        let fast = self.looks.iter().rev().take(6).filter(|l| l.rate >= FAST * newest);
        let (fast_rounds, fast_packets, fast_lost) = fast.fold((0, 0.0, 0.0), sum);
        let slow = self.looks.iter().filter(|l| l.rate <= SLOW * newest);
        let (slow_rounds, slow_packets, slow_lost) = slow.fold((0, 0.0, 0.0), sum);
        let few = fast_packets < PACKETS || (fast_rounds < 2 && fast_packets < 4.0 * PACKETS);
        if few || slow_rounds < 2 || slow_packets < PACKETS {
            return None;
        }
        let (high, low) = (fast_lost / fast_packets, slow_lost / slow_packets);
        let q = ((fast_lost + slow_lost) / (fast_packets + slow_packets)).clamp(0.01, 0.99);
        let noise = (dispersion * q * (1.0 - q) * (1.0 / fast_packets + 1.0 / slow_packets)).sqrt();
        (high - low > 0.05 + 3.0 * noise).then(|| Ceiling {
            rate: newest * (1.0 - high) / (1.0 - low).max(0.05),
            loss: low,
            above: high,
        })
    }
}

/// A rate held below a ceiling, with probes above it.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    cap: f64,
    /// Random loss below the ceiling.
    loss: f64,
    rounds: u32,
    packets: f64,
    lost: f64,
    rate: f64,
    /// Cap before the running probe, and the next step of it.
    probe: Option<(f64, usize)>,
    next_probe: Seconds,
    interval: Seconds,
    /// Excess of the loss that made the last cut outside a probe.
    cut_for: Option<f64>,
}

/// What a round of holding led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on at [`Hold::cap`].
    Stay,
    /// There is no ceiling any more.
    Leave,
    /// There never was one: as much is lost below it as above.
    Refuted,
}

impl Hold {
    pub(super) fn new(now: Seconds, ceiling: Ceiling) -> Self {
        Self {
            cap: MARGIN * ceiling.rate,
            loss: ceiling.loss,
            rounds: 0,
            packets: 0.0,
            lost: 0.0,
            rate: 0.0,
            probe: None,
            next_probe: now + 1.0,
            interval: 1.0,
            cut_for: Some(ceiling.above - ceiling.loss),
        }
    }

    /// Bytes per second to keep to.
    pub(super) fn cap(&self) -> f64 {
        self.cap
    }

    fn change(&mut self, cap: f64) {
        self.cap = cap;
        self.rounds = 0;
        self.packets = 0.0;
        self.lost = 0.0;
        self.rate = 0.0;
    }

    /// Takes a finished round in; `rtt` is the round trip without queue.
    pub(super) fn round(&mut self, now: Seconds, rtt: Seconds, look: &Look, dispersion: f64) -> Verdict {
        self.rounds += 1;
        // The losses of the flight from before the last change are still coming in.
        if self.rounds < 3 {
            return Verdict::Stay;
        }
        self.packets += look.packets;
        self.lost += look.lost;
        self.rate = self.rate.max(look.rate);
        let n = self.packets;
        if n >= PACKETS {
            let loss = self.lost / n;
            let p = self.loss;
            let noise = (dispersion * (p * (1.0 - p)).max(0.01) / n).sqrt();
            let excess = loss - p - 0.04 - 2.5 * noise;
            if excess > 0.0 {
                return self.too_fast(now, rtt, loss);
            }
        }
        if let Some((before, step)) = self.probe {
            if (self.rounds >= 5 && n >= PACKETS) || self.rounds >= 12 {
                let Some(factor) = PROBE.get(step) else {
                    return Verdict::Leave;
                };
                self.probe = Some((before, step + 1));
                self.change(self.cap * factor);
            }
        } else if n >= 4.0 * PACKETS {
            // The cap has proved itself, and what is lost below it is the path's own: the finding had to guess that.
            self.loss += 0.25 * (self.lost / n - self.loss);
            self.cut_for = None;
            self.packets /= 2.0;
            self.lost /= 2.0;
            if now >= self.next_probe {
                self.probe = Some((self.cap, 1));
                self.change(self.cap * PROBE[0]);
            }
        }
        Verdict::Stay
    }

    fn too_fast(&mut self, now: Seconds, rtt: Seconds, loss: f64) -> Verdict {
        let fits = MARGIN * self.rate * (1.0 - loss) / (1.0 - self.loss).max(0.05);
        if let Some((before, step)) = self.probe.take() {
            self.interval = (self.interval * 1.7).min(10.0);
            self.next_probe = now + self.interval + 8.0 * rtt;
            // A bucket's credit passes the first step even at the ceiling, so only part of what passed is kept.
            let kept = if step > 1 { KEPT * before } else { before };
            self.change(fits.min(kept));
            return Verdict::Stay;
        }
        let excess = loss - self.loss;
        if self.cut_for.is_some_and(|before| excess > 0.6 * before) {
            // Less sending did not lose less: this loss is the path's own.
            return Verdict::Refuted;
        }
        self.cut_for = Some(excess);
        self.next_probe = now + self.interval + 8.0 * rtt;
        self.change(fits.min(self.cap));
        Verdict::Stay
    }
}
