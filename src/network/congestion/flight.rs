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
    /// Bytes among them whose fate the receiver has told, though no acknowledgement has.
    settled: f64,
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
        self.settled = (self.settled - bytes).max(0.0);
    }

    /// Of what is in flight the receiver has not told the fate of `bytes`, at most.
    pub(super) fn unsettled(&mut self, bytes: f64) {
        self.settled = (self.bytes - bytes).max(0.0);
    }

    /// Bytes that are in flight for the connection only.
    pub(super) fn settled(&self) -> f64 {
        self.settled
    }

    /// Corrects the count to the connection's own; ours also sees packets that never count as in flight.
    pub(super) fn correct(&mut self, bytes: f64) {
        self.bytes = bytes;
        self.settled = self.settled.min(bytes);
    }

    /// Bytes in flight right after the packet of `sent` had left. Forgets everything older.
    pub(super) fn when_left(&mut self, sent: Seconds) -> Option<f64> {
        while self.left.front().is_some_and(|&(at, _)| at < sent) {
            self.left.pop_front();
        }
        self.left.front().filter(|&&(at, _)| at <= sent).map(|&(_, bytes)| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_has_told_of_is_not_in_flight_until_it_is_acknowledged_as_well() {
        let mut flight = Flight::default();
        flight.sent(0.0, 1000.0);
        flight.sent(0.1, 500.0);
        flight.unsettled(600.0);
        assert_eq!((flight.bytes(), flight.settled()), (1500.0, 900.0));
        flight.resolved(700.0);
        assert_eq!((flight.bytes(), flight.settled()), (800.0, 200.0));
        flight.correct(100.0);
        assert_eq!((flight.bytes(), flight.settled()), (100.0, 100.0));
        flight.unsettled(600.0);
        assert_eq!(
            (flight.bytes(), flight.settled()),
            (100.0, 0.0),
            "more can be on its way than the connection counts"
        );
    }
}
