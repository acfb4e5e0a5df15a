//! What was in flight when a packet left: with the round trip of that packet it gives the path's rate by Little's law, long
//! before a round of deliveries could be counted.
//!
//! Invariant: records are in order of time and bounded in number. An acknowledged packet is found again by its send time, the
//! only key that quinn hands back.

use std::collections::VecDeque;

use super::Seconds;

/// Records kept; beyond it the oldest go. At 10 packets a record this is 80 MB in flight.
const RECORDS: usize = 8192;

/// The bytes in flight and their recent history.
#[derive(Debug, Clone, Default)]
pub(super) struct Flight {
    bytes: f64,
    left: VecDeque<(Seconds, f64)>,
}

impl Flight {
    /// Bytes in flight now.
    pub(super) fn bytes(&self) -> f64 {
        self.bytes
    }

    pub(super) fn sent(&mut self, now: Seconds, bytes: f64) {
        self.bytes += bytes;
        if self.left.len() == RECORDS {
            self.left.pop_front();
        }
        self.left.push_back((now, self.bytes));
    }

    /// Takes out what was acknowledged or lost.
    pub(super) fn resolved(&mut self, bytes: f64) {
        self.bytes = (self.bytes - bytes).max(0.0);
    }

    /// Corrects the count to the connection's own; ours also sees packets that never count as in flight.
    pub(super) fn correct(&mut self, bytes: f64) {
        self.bytes = bytes;
    }

    /// Bytes in flight right after the packet of `sent` had left. Forgets everything older.
    pub(super) fn when_left(&mut self, sent: Seconds) -> Option<f64> {
        while self.left.front().is_some_and(|&(at, _)| at < sent) {
            self.left.pop_front();
        }
        self.left.front().filter(|&&(at, _)| at <= sent).map(|&(_, bytes)| bytes)
    }
}
