//! Rounds: counts of what was delivered and lost between two looks at the path, and the figures that need several of them.
//!
//! Invariant: a round with a hole in its acknowledgements tells nothing about rates or loss and leaves no trace here. Random
//! loss is the median of rounds, so that one round of tail drops does not pass for the nature of the path.

use std::collections::VecDeque;

use super::{Seconds, reports};

/// Rounds the random loss is the median of.
const LOSS_ROUNDS: usize = 9;
/// Packets below which a round says nothing about loss.
const LOSS_PACKETS: f64 = 8.0;
/// Shards that the receiver must have counted in a round for its count to be taken.
const LEAST: u32 = 8;
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
    /// Shards that the receiver counted, sent and arrived: at the beginning, and in this round.
    pub(super) from: Option<(u32, u32)>,
    pub(super) counted: Option<(u32, u32)>,
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
    pub(super) fn new(start: Seconds, flight: f64, from: Option<(u32, u32)>) -> Self {
        Self { start, from, flight, ..Self::default() }
    }

    /// The receiver has counted `to` by now.
    pub(super) fn count(&mut self, to: Option<(u32, u32)>) {
        self.counted =
            self.from.zip(to).map(|(from, to)| (to.0 - from.0, to.1 - from.1)).filter(|count| count.0 >= LEAST);
    }

    /// Share lost, 0 to 1: by the receiver's count where there is one.
    pub(super) fn loss(&self) -> f64 {
        match self.counted {
            Some((sent, arrived)) => reports::loss(sent, arrived),
            None => self.lost / (self.acked + self.lost).max(1.0),
        }
    }

    /// Bytes whose fate is known now and was not before.
    pub(super) fn resolved(&self) -> f64 {
        match self.counted {
            Some(_) => self.acked / (1.0 - self.loss()).max(0.05),
            None => self.acked + self.lost,
        }
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
        if round.resolved() >= LOSS_PACKETS * mtu {
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
