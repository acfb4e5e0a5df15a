//! What a session has come to: for the sender, and for the user.
//!
//! Invariant: bytes of files are counted by assembly, over all connections; shards by the last connection.

use super::Session;
use crate::class::Class;
use crate::pipeline::Summary;
use crate::pipeline::assemble::Tally;
use crate::transfer::Inbound;
use crate::wire::reply::Counters;

impl Session {
    /// How it ended.
    pub(super) fn summary(&self, counters: &Counters) -> Summary {
        let tally = self.lock().tally();
        let (sent, received) = self.traffic;
        Summary {
            class: Class::of_run(tally.worst, tally.files_done),
            session: self.id.to_string(),
            files: tally.files_done,
            bytes_sent: sent,
            bytes_literal: tally.bytes_literal,
            bytes_matched: tally.bytes_matched,
            stats: vec![
                ("entries complete", tally.files_done),
                ("file bytes written", tally.bytes_literal),
                ("file bytes there already", tally.bytes_matched),
                ("shards received", counters.shards),
                ("shards lost", counters.lost),
                ("stripes decoded", counters.stripes),
                ("shards rebuilt from parity", counters.rebuilt),
                ("shards not needed", counters.spare),
                ("UDP bytes sent", sent),
                ("UDP bytes received", received),
            ],
        }
    }
}

/// What the sender is told at the end.
pub(super) fn counters(inbound: &Inbound, tally: &Tally) -> Counters {
    Counters { bytes_literal: tally.bytes_literal, bytes_matched: tally.bytes_matched, ..inbound.counters() }
}
