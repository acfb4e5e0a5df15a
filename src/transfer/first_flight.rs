//! What may be sent before anything is heard, and when it is sent again.
//!
//! Everything hangs on the hello, the first stripe, until it is accepted: copies of it go along. The peer may not have been able to read
//! the flight, because the last packet of the handshake came later or was lost; copies of that packet are spaced like [`RENEWALS`], and after
//! each the flight is taken for lost if nothing was heard. No IO: time is an argument.

use super::UNACCEPTED_SHARDS;
use std::time::{Duration, Instant};

/// Times after the first shard at which what it went with is taken for lost if nothing was heard.
const RENEWALS: [Duration; 3] = [Duration::from_millis(28), Duration::from_millis(72), Duration::from_millis(152)];
/// Most shards of a first flight that is renewed whole; of a longer one, and where more is to follow, only the hello is: a slow link has a
/// second of it in its queue.
const RENEWED_WHOLE: u64 = 64;
/// Copies of the hello at a renewal, beside what it lacks.
const HELLO_AGAIN: u8 = 2;
/// Data shards with which one copy of the hello goes.
const PER_COPY: u64 = 8;

#[derive(Debug)]
pub(super) struct FirstFlight {
    /// Shards that may leave before the hello is accepted, and copies of it that may go beyond.
    limit: u64,
    spare: u8,
    copies: u64,
    /// When the first shard left, and renewals since.
    began: Option<Instant>,
    renewals: usize,
}

impl Default for FirstFlight {
    fn default() -> Self {
        Self { limit: UNACCEPTED_SHARDS, spare: 0, copies: 0, began: None, renewals: 0 }
    }
}

impl FirstFlight {
    /// One over a slow link: nothing is renewed, for no answer can have come by then.
    pub(super) fn slow() -> Self {
        Self { renewals: RENEWALS.len(), ..Self::default() }
    }

    /// A shard leaves.
    pub(super) fn on_sent(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// Whether so many shards are all that may leave before the hello is accepted.
    pub(super) fn is_full(&self, shards: u64) -> bool {
        shards >= self.limit
    }

    /// Takes one of the copies of the hello that may go beyond the flight.
    pub(super) fn take_spare(&mut self) -> Option<()> {
        self.spare = self.spare.checked_sub(1)?;
        Some(())
    }

    /// Whether a copy of the hello is due with so many data shards; takes it.
    pub(super) fn take_copy(&mut self, data: u64) -> bool {
        let due = data >= PER_COPY * (self.copies + 1);
        self.copies += u64::from(due);
        due
    }

    /// When the flight is to be renewed, if nothing was heard.
    pub(super) fn renewal(&self, rtt: Duration) -> Option<Instant> {
        let after = RENEWALS.get(self.renewals).filter(|after| **after < rtt)?;
        Some(self.began? + *after)
    }

    /// Begins a renewal if one is due, of a flight of so many `shards`, behind which more is to follow or not: whether it is renewed whole.
    pub(super) fn renew(&mut self, now: Instant, rtt: Duration, shards: u64, complete: bool) -> Option<bool> {
        self.renewal(rtt).filter(|at| *at <= now)?;
        self.renewals += 1;
        let whole = complete && shards < RENEWED_WHOLE;
        if whole {
            self.limit += UNACCEPTED_SHARDS / 4;
        }
        self.spare = HELLO_AGAIN;
        Some(whole)
    }
}
