//! QUIC datagrams (RFC 9221), byte for byte. Integers are big endian.
//!
//! ```text
//! SHARD     1 u1, more u1, k u6 | seq u24 | stripe u16 | index u8 | part u4, parts-1 u4 | payload
//! FEEDBACK  03 | flags u8 | high u32 | received u32 | resolved u32 | base u32 | credit u32 | train u32 | allowed u32
//!              | at u32 | runs u32 | n u16 | missing u8 × n | offset u32 | replies …
//! PING      04 | padding …
//! BYE       05 | padding …
//! ```
//!
//! `seq` counts every shard datagram of a connection and is never reused; `stripe` counts stripes. They travel cut to 24 and 16 bits
//! and are expanded next to a number that the receiver knows (as QUIC does with packet numbers, RFC 9000 §A.3). `index` < k is a data
//! shard, from k on a row of parity. A chunk is `parts` stripes in a row; `part` says which of them this one is. `more` says that the
//! sender has more to send than it may: a receiver that divides a link between senders gives such a one its share.

use super::WireError;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a SHARD before its payload.
pub const SHARD_HEADER: usize = 8;
/// Bytes of a shard in a full datagram: what fits a QUIC packet of 1200 bytes (1162) less [`SHARD_HEADER`].
pub const SHARD_BYTES: usize = 1154;
/// Bits that the number of a shard is cut to.
pub const SEQ_BITS: u32 = 24;
/// Bits that the number of a stripe is cut to.
pub const STRIPE_BITS: u32 = 16;
/// Most stripes that one chunk may be coded as: `part` has four bits.
pub const MAX_PARTS: usize = 16;
/// Most data shards of a stripe.
pub const MAX_DATA_SHARDS: usize = 50;
/// Largest datagram that is ever sent.
pub const MAX_DATAGRAM: usize = SHARD_HEADER + SHARD_BYTES;
/// In [`Feedback::missing`]: no shard of this stripe has arrived.
pub const NOTHING: u8 = 255;

const FEEDBACK_FIXED: usize = 1 + 1 + 9 * 4 + 2 + 4;
/// Bits beside a shard's `k`: that it is a shard, and that there is more behind it.
const SHARD: u8 = 0x80;
const MORE: u8 = 0x40;
/// Most stripes that one feedback reports on.
pub const MAX_REPORT: usize = 800;

/// One shard in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Number of this datagram, cut to 24 bits.
    pub seq: u32,
    /// Number of its stripe, cut to 16 bits.
    pub stripe: u32,
    /// Which shard of the stripe it is.
    pub index: u8,
    /// Data shards of the stripe, 1 ..= 50.
    pub k: u8,
    /// Whether the sender has more to send than congestion and limits let it.
    pub more: bool,
    /// Which stripe of its chunk this is, below `parts`.
    pub part: u8,
    /// Stripes of the chunk, 1 ..= 16.
    pub parts: u8,
    /// The shard, 1 ..= 1154 bytes.
    pub payload: Bytes,
}

/// What the receiver has, said again and again: every one replaces all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// The hello was accepted.
    pub accepted: bool,
    /// One more than the newest `seq` that arrived; 0 before any.
    pub high: u32,
    /// Shard datagrams that arrived, each counted once.
    pub received: u32,
    /// Every `seq` below this has arrived or is lost.
    pub resolved: u32,
    /// Every stripe below this is decoded.
    pub base: u32,
    /// Stripes below this may be sent.
    pub credit: u32,
    /// Rate of the first back-to-back burst in bytes per second; 0 while unknown.
    pub train: u32,
    /// Bytes per second that the sender may send; 0 for as much as the path carries.
    pub allowed: u32,
    /// When the newest `seq` arrived: microseconds since the first shard did, cut to 32 bits.
    pub at: u32,
    /// Gaps in the numbers that arrived: runs of shards that were lost, or overtaken.
    pub runs: u32,
    /// For stripes `base`, `base` + 1, …: shards that still lack, 0 = decoded, [`NOTHING`] = none arrived.
    pub missing: Vec<u8>,
    /// Where in the reply log `replies` stands.
    pub offset: u32,
    /// A copy of a part of the reply log.
    pub replies: Bytes,
}

/// Any datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A shard.
    Shard(Shard),
    /// A report of the receiver.
    Feedback(Feedback),
    /// Are you there? Answered by feedback.
    Ping,
    /// The sender has all it needs and goes.
    Bye,
}

/// Writes a SHARD with `payload` behind the header; `more` as in [`Shard::more`].
#[expect(clippy::too_many_arguments, reason = "the fields of the header, in their order")]
pub fn encode_shard(seq: u32, stripe: u32, index: u8, k: u8, more: bool, part: u8, parts: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(SHARD_HEADER + payload.len());
    out.put_u8(SHARD | k | if more { MORE } else { 0 });
    out.put_uint(u64::from(seq & 0xff_ffff), 3);
    out.put_u16(stripe as u16);
    out.put_u8(index);
    out.put_u8(part << 4 | (parts - 1));
    out.put_slice(payload);
    out.freeze()
}

impl Feedback {
    /// Room for replies in a datagram that reports on `missing` stripes.
    pub fn room_for_replies(missing: usize) -> usize {
        MAX_DATAGRAM.saturating_sub(FEEDBACK_FIXED + missing)
    }

    /// Writes a FEEDBACK.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(FEEDBACK_FIXED + self.missing.len() + self.replies.len());
        out.put_u8(0x03);
        out.put_u8(u8::from(self.accepted));
        let Feedback { high, received, resolved, base, credit, train, allowed, at, runs, .. } = *self;
        for field in [high, received, resolved, base, credit, train, allowed, at, runs] {
            out.put_u32(field);
        }
        out.put_u16(self.missing.len() as u16);
        out.put_slice(&self.missing);
        out.put_u32(self.offset);
        out.put_slice(&self.replies);
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let short = || WireError::Short("feedback");
        let u32_at = |at: usize| -> u32 { u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) };
        if bytes.len() < FEEDBACK_FIXED {
            return Err(short());
        }
        let count = usize::from(u16::from_be_bytes([bytes[38], bytes[39]]));
        if count > MAX_REPORT {
            return Err(WireError::Range("feedback"));
        }
        if bytes.len() < FEEDBACK_FIXED + count {
            return Err(short());
        }
        let feedback = Feedback {
            accepted: bytes[1] & 1 != 0,
            high: u32_at(2),
            received: u32_at(6),
            resolved: u32_at(10),
            base: u32_at(14),
            credit: u32_at(18),
            train: u32_at(22),
            allowed: u32_at(26),
            at: u32_at(30),
            runs: u32_at(34),
            missing: bytes[40..40 + count].to_vec(),
            offset: u32_at(40 + count),
            replies: bytes.slice(44 + count..),
        };
        if feedback.received > feedback.high || feedback.resolved > feedback.high {
            return Err(WireError::Range("feedback"));
        }
        Ok(feedback)
    }
}

/// Writes a PING.
pub fn encode_ping() -> Bytes {
    Bytes::from_static(&[0x04])
}

/// Writes a BYE, as long as a full datagram: so that several travel in packets of their own and one loss does not take them all.
pub fn encode_bye() -> Bytes {
    let mut bytes = vec![0; MAX_DATAGRAM];
    bytes[0] = 0x05;
    Bytes::from(bytes)
}

impl Datagram {
    /// Reads a datagram of any kind.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        match bytes.first() {
            Some(SHARD..) => decode_shard(bytes).map(Datagram::Shard),
            Some(0x03) => Feedback::decode(bytes).map(Datagram::Feedback),
            Some(0x04) => Ok(Datagram::Ping),
            Some(0x05) => Ok(Datagram::Bye),
            Some(_) => Err(WireError::Unknown("kind of datagram")),
            None => Err(WireError::Short("datagram")),
        }
    }
}

fn decode_shard(bytes: &Bytes) -> Result<Shard, WireError> {
    if bytes.len() <= SHARD_HEADER {
        return Err(WireError::Short("shard"));
    }
    let shard = Shard {
        seq: u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]),
        stripe: u32::from_be_bytes([0, 0, bytes[4], bytes[5]]),
        index: bytes[6],
        k: bytes[0] & !(SHARD | MORE),
        more: bytes[0] & MORE != 0,
        part: bytes[7] >> 4,
        parts: (bytes[7] & 15) + 1,
        payload: bytes.slice(SHARD_HEADER..),
    };
    let range = (1..=MAX_DATA_SHARDS).contains(&usize::from(shard.k))
        && shard.index < 255
        && shard.part < shard.parts
        && shard.payload.len() <= SHARD_BYTES;
    if range { Ok(shard) } else { Err(WireError::Range("shard")) }
}

/// The number next to `near` whose low `bits` bits are `cut`; `bits` is less than 32.
pub fn expand(cut: u32, near: u32, bits: u32) -> u32 {
    let turn = 1 << bits;
    let difference = cut.wrapping_sub(near) & (turn - 1);
    if difference < turn / 2 || near < turn - difference {
        near.wrapping_add(difference)
    } else {
        near - (turn - difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_shard() {
        let bytes = encode_shard(0x0102_0304, 0x0a0b_0c0d, 7, 38, true, 2, 3, b"xyz");
        assert_eq!(&bytes[..], b"\xe6\x02\x03\x04\x0c\x0d\x07\x22xyz");
        let Datagram::Shard(shard) = Datagram::decode(&bytes).unwrap() else { panic!() };
        assert_eq!((shard.seq, shard.stripe, shard.index, shard.k, shard.more), (0x0002_0304, 0x0c0d, 7, 38, true));
        assert_eq!((shard.part, shard.parts, &shard.payload[..]), (2, 3, &b"xyz"[..]));
    }

    #[test]
    fn golden_feedback() {
        let feedback = Feedback {
            accepted: true,
            high: 9,
            received: 7,
            resolved: 8,
            base: 1,
            credit: 400,
            train: 1_000_000,
            allowed: 258,
            at: 0x0102_0304,
            runs: 2,
            missing: vec![3, 0, NOTHING],
            offset: 5,
            replies: Bytes::from_static(b"re"),
        };
        let bytes = feedback.encode();
        assert_eq!(
            &bytes[..],
            b"\x03\x01\0\0\0\x09\0\0\0\x07\0\0\0\x08\0\0\0\x01\0\0\x01\x90\0\x0f\x42\x40\0\0\x01\x02\x01\x02\x03\x04\0\0\0\x02\0\x03\x03\0\xff\0\0\0\x05re"
        );
        assert_eq!(Datagram::decode(&bytes).unwrap(), Datagram::Feedback(feedback));
    }

    #[test]
    fn every_prefix_is_an_error_or_a_shorter_reply() {
        let bytes =
            Feedback { missing: vec![1; 9], replies: Bytes::from_static(b"abc"), ..Feedback::default() }.encode();
        for length in 0..bytes.len() - 3 {
            assert!(Datagram::decode(&bytes.slice(..length)).is_err(), "{length}");
        }
        let shard = encode_shard(0, 0, 0, 1, false, 0, 1, b"x");
        for length in 0..shard.len() {
            assert!(Datagram::decode(&shard.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn shards_out_of_range_are_refused() {
        for (index, k, part, parts, length) in
            [(0, 0, 0, 1, 1), (0, 51, 0, 1, 1), (255, 1, 0, 1, 1), (0, 1, 1, 1, 1), (0, 1, 0, 1, 1155)]
        {
            let bytes = encode_shard(0, 0, index, k, false, part, parts, &vec![0; length]);
            assert_eq!(Datagram::decode(&bytes), Err(WireError::Range("shard")));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_expanded_near_what_is_known(near in 0u32..u32::MAX / 2, distance in -8_000_000i64..8_000_000) {
            for (bits, distance) in [(SEQ_BITS, distance), (STRIPE_BITS, distance / 256)] {
                let number = i64::from(near) + distance;
                prop_assume!(number >= 0);
                prop_assert_eq!(i64::from(expand(number as u32 & ((1 << bits) - 1), near, bits)), number);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Datagram::decode(&Bytes::from(bytes));
        }
    }
}
