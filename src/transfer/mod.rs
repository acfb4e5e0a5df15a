//! The protocol core, sans IO: chunks in, shard datagrams out, and back.
//!
//! [`Outbound`] cuts encoded chunks into stripes, decides shard by shard what is worth sending next and repairs what the receiver
//! counts as missing with fresh parity; [`Inbound`] puts stripes together again and says what it has. Time is an argument, sockets and
//! randomness are not known here, so a transfer is a function of its inputs.

mod arrivals;
mod cadence;
mod first_flight;
pub mod fragment;
mod inbound;
mod log;
mod outbound;
mod parity;
pub mod share;
mod stripe;
#[cfg(test)]
mod tests;

pub use fragment::Fragment;
pub use inbound::{Delivered, Inbound};
pub use log::{PACKET_OVERHEAD, Report};
pub use outbound::{Outbound, Sent};
pub use parity::Parity;

use crate::wire::datagram::{MAX_DATA_SHARDS, SHARD_BYTES};

/// Stripes that may be open at once: the receiver's credit. With stripes of at most 57.7 kB this bounds the memory of a transfer to
/// about 22 MB on either side, and it is enough for 100 Mbit/s at a second of round trip and 30 % loss.
pub const WINDOW: u32 = 384;
/// The same before the receiver has said how many: enough for the first flight, and no receiver gives less.
pub const FIRST_WINDOW: u32 = 16;
/// Bytes that a receiver holds for a peer whose hello it has not accepted, beside the stripe of the hello, which may come last.
pub const UNACCEPTED_BYTES: usize = 64 * 1024;
/// Shards of the first flight, ahead of that acceptance; only repairs and probes go beyond. They may leave as fast as they can.
pub const UNACCEPTED_SHARDS: u64 = 40;

/// How an encoded chunk of `length` bytes is cut: into `parts` stripes of `per_part` bytes, the last one shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    parts: usize,
    per_part: usize,
    length: usize,
}

impl Cut {
    fn new(length: usize) -> Self {
        let parts = length.div_ceil(MAX_DATA_SHARDS * SHARD_BYTES);
        Self { parts, per_part: length.div_ceil(parts), length }
    }

    /// Bytes of stripe `part`.
    fn part_length(self, part: usize) -> usize {
        self.per_part.min(self.length.saturating_sub(part * self.per_part))
    }

    /// Data shards of a stripe of `length` bytes, and the bytes of each; the last is padded with zeros.
    fn geometry(length: usize) -> (usize, usize) {
        let k = length.div_ceil(SHARD_BYTES);
        (k, length.div_ceil(k))
    }
}
