//! Messages of the receiver: the reply log.
//!
//! Invariant: the log is one ordered run of bytes. All of it travels on a QUIC stream; the newest part also travels as copies in
//! feedback datagrams, because a lost stream packet costs round trips. [`ReplyReader`] takes both and gives each reply once, in order.

use super::WireError;
use super::codec;
use super::control::{MAX_TEXT, Refusal};
use super::datagram::{MAX_DATA_SHARDS, MAX_PARTS};
use crate::class::Class;
use crate::manifest::EntryId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest single reply, encoded.
pub const MAX_REPLY: usize = 64 * 1024;
/// Most ranges in one have-set; what lies beyond is sent again.
pub const MAX_HAVE: usize = 4096;
/// Most chunks that are told to be here in part, and bits of one; what lies beyond is sent again.
pub const MAX_OUTLINES: usize = 128;
const MAX_HELD: usize = (MAX_PARTS * MAX_DATA_SHARDS).div_ceil(8);
/// Most bytes held that arrived ahead of a gap.
const MAX_AHEAD: usize = 256 * 1024;

/// What the receiver knows of an entry when it is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Nothing of it is here.
    Want,
    /// These chunks of it are here, verified: half-open ranges of chunk numbers, ascending.
    Have(Vec<(u64, u64)>),
    /// The same of these chunks, and of others there are parts.
    Begun {
        /// As of [`Status::Have`].
        have: Vec<(u64, u64)>,
        /// Chunks that are here in part.
        parts: Vec<Outline>,
    },
    /// A file of that size stands at the destination. Its digest is not told: who may write here may not read here.
    Held,
}

/// What is here of a chunk that is not whole: `transfer::fragment` says what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// Number of the chunk in its file.
    pub chunk: u64,
    /// Bytes of the encoded chunk.
    pub length: u32,
    /// A bit for each of its data shards, those of the first stripe first, the lowest bit of a byte first: whether it is here.
    pub held: Vec<u8>,
    /// A digest of those.
    pub digest: [u8; 16],
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was transferred and is durable under its final name.
    Transferred,
    /// It was there already.
    Identical,
    /// Something else stands there, and the receiver leaves that as it is.
    Skipped,
}

/// The receiver's counters, for the sender's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Shard datagrams that arrived.
    pub shards: u64,
    /// Shard datagrams that were sent and did not arrive.
    pub lost: u64,
    /// Shard datagrams that arrived and were not needed.
    pub spare: u64,
    /// Data shards that were rebuilt from parity.
    pub rebuilt: u64,
    /// Stripes decoded.
    pub stripes: u64,
    /// File bytes written.
    pub bytes_literal: u64,
    /// File bytes that stood there already.
    pub bytes_matched: u64,
}

/// A message of the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The hello is accepted.
    Accepted,
    /// The hello is refused; the connection ends.
    Refused(Refusal),
    /// What is known of `count` entries from `first` on.
    Status {
        /// First of them.
        first: EntryId,
        /// How many.
        count: u32,
        /// The same for all of them.
        status: Status,
    },
    /// `count` entries from `first` on are complete.
    Done {
        /// First of them.
        first: EntryId,
        /// How many.
        count: u32,
        /// How.
        outcome: Outcome,
    },
    /// An entry failed; the others go on.
    Failed {
        /// Which.
        entry: EntryId,
        /// Exit code of the failure.
        code: u8,
        /// The cause.
        message: String,
    },
    /// Every entry is complete or failed and everything written is durable.
    Complete(Counters),
    /// The first word of a receiver that has dialled a sender: send to me.
    Ask {
        /// Protocol version, [`super::VERSION`].
        version: u16,
        /// The one-time secret of the sender's ticket.
        secret: Option<[u8; 16]>,
    },
}

/// Writes `reply` to the end of a log.
pub fn append(reply: &Reply, log: &mut Vec<u8>) {
    let at = log.len();
    log.extend_from_slice(&[0; 4]);
    codec::encode(reply, log);
    let length = (log.len() - at - 4) as u32;
    log[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Puts the log together again from the stream and from copies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// Bytes taken from the log so far.
    offset: u64,
    /// Bytes in order that are not yet a whole reply.
    buffer: Vec<u8>,
    /// Bytes behind a gap, by their place in the log.
    ahead: BTreeMap<u64, Bytes>,
}

impl ReplyReader {
    /// Takes `bytes` that stand at `offset` of the log. What is known already is skipped.
    pub fn insert(&mut self, offset: u64, bytes: Bytes) {
        let held: usize = self.ahead.values().map(Bytes::len).sum();
        let next = self.offset + self.buffer.len() as u64;
        // A copy that is far ahead is not kept: the stream brings it again.
        if bytes.is_empty() || (offset > next && held + bytes.len() > MAX_AHEAD) {
            return;
        }
        let longer = self.ahead.get(&offset).is_none_or(|known| known.len() < bytes.len());
        if longer {
            self.ahead.insert(offset, bytes);
        }
        while let Some(first) = self.ahead.first_entry() {
            let next = self.offset + self.buffer.len() as u64;
            if *first.key() > next {
                break;
            }
            let (at, bytes) = first.remove_entry();
            let known = (next - at) as usize;
            self.buffer.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
    }

    /// The offset in the log up to which everything is here.
    pub fn received(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// The next reply, once all of it is here.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, WireError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length == 0 || length > MAX_REPLY {
            return Err(WireError::Range("reply"));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        let mut bytes = &self.buffer[4..4 + length];
        let reply: Reply = codec::decode(&mut bytes, "reply")?;
        let sound = match &reply {
            Reply::Refused(refusal) => refusal.is_sound(),
            Reply::Failed { code, message, .. } => {
                Class::from_failure_code(*code).is_some() && message.len() <= MAX_TEXT
            }
            Reply::Status { count, status: Status::Have(ranges), .. } => *count == 1 && ranges.len() <= MAX_HAVE,
            Reply::Status { count, status: Status::Begun { have, parts }, .. } => {
                let sound = parts.iter().all(|part| part.held.len() <= MAX_HELD);
                *count == 1 && have.len() <= MAX_HAVE && parts.len() <= MAX_OUTLINES && sound
            }
            Reply::Status { first, count, .. } | Reply::Done { first, count, .. } => {
                first.0.checked_add(*count).is_some()
            }
            Reply::Accepted | Reply::Complete(_) | Reply::Ask { .. } => true,
        };
        if !sound || !bytes.is_empty() {
            return Err(WireError::Range("reply"));
        }
        self.buffer.drain(..4 + length);
        self.offset += 4 + length as u64;
        Ok(Some(reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(count: u32) -> Vec<u8> {
        let mut log = Vec::new();
        for i in 0..count {
            append(&Reply::Failed { entry: EntryId(i), code: 11, message: "m".repeat(i as usize % 50) }, &mut log);
        }
        log
    }

    #[test]
    fn golden_reply() {
        let mut log = Vec::new();
        append(&Reply::Done { first: EntryId(1), count: 2, outcome: Outcome::Identical }, &mut log);
        assert_eq!(log, [0, 0, 0, 4, 3, 1, 2, 1]);
    }

    fn begun(parts: Vec<Outline>) -> Reply {
        Reply::Status { first: EntryId(1), count: 1, status: Status::Begun { have: vec![(0, 3)], parts } }
    }

    #[test]
    fn golden_outline() {
        let outline = Outline { chunk: 4, length: 300, held: vec![2], digest: [9; 16] };
        let mut log = Vec::new();
        append(&begun(vec![outline]), &mut log);
        let mut golden = vec![0, 0, 0, 30, 2, 1, 1, 2, 1, 0, 3, 1, 4, 251, 44, 1, 1, 2];
        golden.extend([9; 16]);
        assert_eq!(log, golden);
    }

    #[test]
    fn more_outlines_or_bits_than_can_be_are_refused() {
        let outline = |bytes| Outline { chunk: 0, length: 9, held: vec![0; bytes], digest: [0; 16] };
        let read = |parts| {
            let (mut log, mut reader) = (Vec::new(), ReplyReader::default());
            append(&begun(parts), &mut log);
            reader.insert(0, Bytes::from(log));
            reader.next_reply()
        };
        assert!(read(vec![outline(MAX_HELD); MAX_OUTLINES]).is_ok());
        assert!(read(vec![outline(MAX_HELD + 1)]).is_err());
        assert!(read(vec![outline(1); MAX_OUTLINES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_and_number_give_the_log(pieces in proptest::collection::vec((0usize..2000, 1usize..300), 0..60)) {
            let log = Bytes::from(log(40));
            let mut reader = ReplyReader::default();
            let mut seen = 0;
            let mut take = |reader: &mut ReplyReader| while let Some(reply) = reader.next_reply().unwrap() {
                assert!(matches!(reply, Reply::Failed { entry, .. } if entry.0 == seen));
                seen += 1;
            };
            for (at, length) in pieces {
                let at = at.min(log.len());
                let end = (at + length).min(log.len());
                reader.insert(at as u64, log.slice(at..end));
                take(&mut reader);
            }
            let received = reader.received();
            reader.insert(received, log.slice(received as usize..));
            take(&mut reader);
            prop_assert_eq!(seen, 40);
        }
    }

    #[test]
    fn a_reply_that_claims_too_much_is_refused() {
        let mut reader = ReplyReader::default();
        reader.insert(0, Bytes::from_static(&[255, 255, 255, 255]));
        assert!(reader.next_reply().is_err());
    }
}
