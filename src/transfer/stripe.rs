//! One stripe at the sender: its shards, and how many of them are where.
//!
//! Invariant: a shard that was given out is under way until its fate is known, however that comes to be known; parity is computed row by
//! row when it is wanted. The bytes are those of the chunk, not a copy.

use super::Cut;
use crate::chunk::erasure::ParityRows;
use crate::wire::datagram::encode_shard;
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Stripe {
    pub(super) k: u8,
    part: u8,
    parts: u8,
    shard_bytes: usize,
    data: Bytes,
    parity: ParityRows,
    /// Shards sent, which is the index of the next one; from k on they are parity.
    pub(super) next: u32,
    /// Shards the receiver still lacked when it last spoke.
    pub(super) missing: u8,
    /// Shards whose fate is not known yet.
    under_way: u16,
    /// Shards before these whose fate is not known either, and that are not waited for any more.
    given_up: u16,
    /// First stripe of the chunk.
    pub(super) chunk: u32,
}

impl Stripe {
    /// Part `part` of the `encoded` chunk whose first stripe is `chunk`.
    pub(super) fn of(chunk: u32, cut: Cut, part: usize, encoded: &Bytes) -> Self {
        let start = part * cut.per_part;
        let data = encoded.slice(start..start + cut.part_length(part));
        let (k, shard_bytes) = Cut::geometry(data.len());
        let parity =
            ParityRows::new(k, shard_bytes, data.clone()).expect("a chunk is cut into stripes of 1 to 50 equal shards");
        Self {
            k: k as u8,
            part: part as u8,
            parts: cut.parts as u8,
            shard_bytes,
            data,
            parity,
            next: 0,
            missing: k as u8,
            under_way: 0,
            given_up: 0,
            chunk,
        }
    }

    /// Data shards that were never sent.
    pub(super) fn unsent(&self) -> usize {
        usize::from(self.k).saturating_sub(self.next as usize)
    }

    /// Shards sent beyond its data.
    pub(super) fn parity_sent(&self) -> u32 {
        self.next.saturating_sub(u32::from(self.k))
    }

    pub(super) fn all_data_sent(&self) -> bool {
        self.next >= u32::from(self.k)
    }

    /// Whether what is under way cannot complete it.
    pub(super) fn lacks(&self) -> bool {
        self.all_data_sent() && u16::from(self.missing) > self.under_way
    }

    /// The fate of its oldest shard under way is known.
    pub(super) fn settle_one(&mut self) {
        if self.given_up > 0 {
            self.given_up -= 1;
        } else {
            self.under_way -= 1;
        }
    }

    /// Nothing that is under way is waited for any more.
    pub(super) fn give_up_all(&mut self) {
        self.given_up += std::mem::take(&mut self.under_way);
    }

    /// By how many standard deviations what is under way is more than what is missing, where each is lost with probability `loss`; none
    /// where more would be out of all proportion.
    pub(super) fn surplus(&self, loss: f64) -> Option<f64> {
        if self.under_way > 3 * u16::from(self.missing) + 6 {
            return None;
        }
        let (n, missing) = (f64::from(self.under_way), f64::from(self.missing));
        Some((n * (1.0 - loss) - missing) / (n * loss * (1.0 - loss) + 0.3).sqrt())
    }

    /// The next shard, as the datagram of number `seq` of the stripe of `number`; `more` if other shards wait to be sent.
    pub(super) fn send_next(&mut self, seq: u32, number: u32, more: bool) -> Bytes {
        // 255 shards of a stripe and still not enough: begin again; most of what is sent is new to the receiver all the same.
        let index = (self.next % 255) as u8;
        let row;
        let padded;
        let payload = if index < self.k {
            let start = usize::from(index) * self.shard_bytes;
            let shard = &self.data[start..(start + self.shard_bytes).min(self.data.len())];
            if shard.len() == self.shard_bytes {
                shard
            } else {
                padded = [shard, &vec![0; self.shard_bytes - shard.len()]].concat();
                &padded[..]
            }
        } else {
            row = self.parity.row(usize::from(index - self.k)).expect("k + rows stay below 255");
            &row[..]
        };
        let datagram = encode_shard(seq, number, index, self.k, more, self.part, self.parts, payload);
        self.next += 1;
        self.under_way += 1;
        datagram
    }
}
