//! Rounds: counts of what was delivered and lost between two looks at the path, and the figures that need several of them.
//!
//! Invariant: a round with a hole in its acknowledgements tells nothing about rates or loss and leaves no trace here. Random
//! loss is the median of rounds, so that one round of tail drops does not pass for the nature of the path.

use std::collections::VecDeque;

use super::Seconds;

/// Rounds the random loss is the median of.
const LOSS_ROUNDS: usize = 9;
/// Packets below which a round says nothing about loss.
const LOSS_PACKETS: f64 = 8.0;
/// Rounds the capacity is the largest of.
const CAPACITY_ROUNDS: usize = 4;
/// A round's loss above the usual by more than this is taken for tail drops.
const LOSS_SLACK: f64 = 0.05;
/// Seconds in which the remembered peak of the capacity halves.
const PEAK_HALVES: Seconds = 28.0;

/// A round under way, and its counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// When it began.
    pub(super) start: Seconds,
    /// Bytes acknowledged.
    pub(super) acked: f64,
    /// Bytes declared lost.
    pub(super) lost: f64,
    /// Most bytes in flight.
    pub(super) flight: f64,
    /// ACK frames seen.
    pub(super) frames: u32,
    /// The acknowledgements had a hole.
    pub(super) holed: bool,
    /// The path marked a packet as having met congestion (ECN).
    pub(super) marked: bool,
}

impl Round {
    pub(super) fn new(start: Seconds, flight: f64) -> Self {
        Self { start, flight, ..Self::default() }
    }

    /// Share of bytes lost, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        self.lost / (self.acked + self.lost).max(1.0)
    }
}

/// What the past rounds say.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    losses: VecDeque<f64>,
    rates: VecDeque<f64>,
    peak: f64,
    peak_at: Seconds,
}

impl History {
    /// Adds a finished round of `lasted` seconds.
    pub(super) fn add(&mut self, now: Seconds, round: &Round, lasted: Seconds, mtu: f64) {
        if round.holed || round.acked <= 0.0 || lasted <= 0.0 {
            return;
        }
        if round.acked + round.lost >= LOSS_PACKETS * mtu {
            if self.losses.len() == LOSS_ROUNDS {
                self.losses.pop_front();
            }
            self.losses.push_back(round.loss());
        }
        if self.rates.len() == CAPACITY_ROUNDS {
            self.rates.pop_front();
        }
        let loss = round.loss().min(self.loss() + LOSS_SLACK);
        self.rates.push_back(round.acked / (1.0 - loss).max(0.05) / lasted);
        self.peak = self.peak(now).max(self.capacity());
        self.peak_at = now;
    }

    /// The usual loss, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        let mut sorted: Vec<f64> = self.losses.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// Bytes per second that the path takes from us before its random loss; 0 while unknown.
    pub(super) fn capacity(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    /// The highest capacity seen, fading.
    pub(super) fn peak(&self, now: Seconds) -> f64 {
        self.peak * 0.5f64.powf((now - self.peak_at) / PEAK_HALVES)
    }
}
