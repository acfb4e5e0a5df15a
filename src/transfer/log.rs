//! The shards under way: what is known of each until its fate is.
//!
//! Invariant: numbers follow each other without a gap and are never reused. What is settled is remembered for a while, because what was taken
//! for lost may still be reported: of what is forgotten only the sum of bytes is kept. No IO: time is an argument.

use std::collections::VecDeque;
use std::time::Instant;

/// Bytes of a QUIC packet around the datagram that it carries: header, frame and tag.
pub const PACKET_OVERHEAD: usize = 38;

/// What the path has done so far with what was sent, as the receiver counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Bytes of all QUIC packets up to the newest that has arrived, those that were lost on the way among them.
    pub passed: u64,
    /// Shards among these, and how many of them have arrived.
    pub sent: u32,
    /// See `sent`.
    pub arrived: u32,
    /// When the newest arrived: microseconds on the receiver's clock, cut to 32 bits.
    pub at: u32,
    /// Runs of shards that have not arrived.
    pub runs: u32,
}

/// Settled shards that are remembered: a round trip of the first flight and what follows it.
const REMEMBERED: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Logged {
    stripe: u32,
    /// When it was given to be sent, and when it left this host, as soon as that is known.
    at: Instant,
    left: Option<Instant>,
    /// Bytes of all packets up to this one.
    sum: u64,
}

/// The log of one connection.
#[derive(Debug, Default)]
pub(super) struct Log {
    shards: VecDeque<Logged>,
    /// How many of them are settled.
    settled: usize,
    /// Number of the first of them, and the bytes of all packets before it.
    first: u32,
    sum: u64,
    /// Number from which on it is not known when shards left.
    leaving: u32,
}

impl Log {
    /// The number of the oldest shard whose fate is unknown.
    pub(super) fn base(&self) -> u32 {
        self.first + self.settled as u32
    }

    /// The number of the shard that comes next.
    pub(super) fn next(&self) -> u32 {
        self.first + self.shards.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled == self.shards.len()
    }

    /// A shard of `stripe` is given to be sent, in a datagram of so many bytes.
    pub(super) fn push(&mut self, stripe: u32, at: Instant, bytes: usize) {
        let before = self.shards.back().map_or(self.sum, |logged| logged.sum);
        self.shards.push_back(Logged { stripe, at, left: None, sum: before + (bytes + PACKET_OVERHEAD) as u64 });
    }

    /// The shards below number `next` have left this host, the last of them at `at`.
    pub(super) fn left(&mut self, next: u32, at: Instant) {
        for seq in self.leaving.max(self.first)..next {
            if let Some(logged) = self.shards.get_mut((seq - self.first) as usize) {
                logged.left = Some(at);
            }
        }
        self.leaving = self.leaving.max(next);
    }

    /// When the oldest whose fate is unknown was given to be sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.shards.get(self.settled).map(|logged| logged.at)
    }

    /// The fate of the oldest is known; gives its stripe.
    pub(super) fn settle(&mut self) -> Option<u32> {
        let stripe = self.shards.get(self.settled)?.stripe;
        self.settled += 1;
        if self.settled > REMEMBERED
            && let Some(forgotten) = self.shards.pop_front()
        {
            self.settled -= 1;
            self.first += 1;
            self.sum = forgotten.sum;
        }
        Some(stripe)
    }

    /// Bytes of all packets below number `high`, and when the last of them left, as far as they are remembered.
    pub(super) fn below(&self, high: u32) -> (u64, Option<Instant>) {
        let last = high.checked_sub(self.first + 1).and_then(|at| self.shards.get(at as usize));
        last.map_or((self.sum, None), |logged| (logged.sum, logged.left))
    }
}
