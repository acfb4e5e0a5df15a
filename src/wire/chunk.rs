//! The encoded chunk: what is cut into stripes. Written by hand; integers are big endian, `v` is an unsigned LEB128 of ≤ 10 bytes.
//!
//! ```text
//! length u32                                   bytes that follow
//! kind u8                                      0 control, 1 data, 2 rest
//! control   order u32 | messages …             `order` counts control chunks; they are acted on in that order
//! data      codec u8 | extents v | (entry v | offset v | length v | value 32 B) × extents | body …
//! rest      entry v | offset v | bytes …       what was missing of a data chunk of which the receiver has said what is there
//! ```
//!
//! The body is the extents' bytes, one after the other, compressed as `codec` says. An extent's value is the BLAKE3 value of those
//! bytes at that place of their entry ([`ChunkValue`]): the root digest where the extent is the whole entry.

use super::WireError;
use super::datagram::{MAX_DATA_SHARDS, MAX_PARTS, SHARD_BYTES};
use crate::integrity::ChunkValue;
use crate::manifest::EntryId;
use bytes::Bytes;

/// Bytes of file data in a full chunk. A power of two of KiB, so that BLAKE3 subtree values combine; about three stripes, so that
/// little is lost with a chunk and little is spent on its header.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// Room that [`encode_data_in_place`] needs before a body: the longest head of a chunk of one extent.
pub const LEAD: usize = 4 + 2 + 1 + 5 + 10 + 5 + 32;
/// Most extents in one chunk.
pub const MAX_EXTENTS: usize = 2048;
/// Most bytes of an encoded chunk: what fits [`MAX_PARTS`] stripes.
pub const MAX_ENCODED: usize = MAX_PARTS * MAX_DATA_SHARDS * SHARD_BYTES;
/// Most bytes of messages in one control chunk.
pub const MAX_CONTROL: usize = 48 * 1024;

/// A run of bytes of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whose bytes.
    pub entry: EntryId,
    /// Where they begin.
    pub offset: u64,
    /// How many, 1 ..= [`CHUNK_BYTES`].
    pub length: u32,
    /// Their BLAKE3 value at that place.
    pub value: ChunkValue,
}

/// A chunk as it is decoded from its stripes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Control messages, to be acted on in order.
    Control {
        /// Place in that order.
        order: u32,
        /// The messages.
        messages: Bytes,
    },
    /// File data.
    Data(Data),
    /// What was missing of a data chunk that is there in part.
    Rest {
        /// The entry of its only extent.
        entry: EntryId,
        /// Where that begins.
        offset: u64,
        /// The missing bytes of the encoded chunk.
        bytes: Bytes,
    },
}

/// File data of one or more entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Number of the codec of `body`.
    pub codec: u8,
    /// Whose bytes the body holds, in this order.
    pub extents: Vec<Extent>,
    /// The bytes, perhaps compressed.
    pub body: Bytes,
}

impl Data {
    /// Bytes of the body once decompressed.
    pub fn raw_length(&self) -> usize {
        self.extents.iter().map(|extent| extent.length as usize).sum()
    }
}

/// Writes a control chunk.
pub fn encode_control(order: u32, messages: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(9 + messages.len());
    out.extend_from_slice(&(5 + messages.len() as u32).to_be_bytes());
    out.push(0);
    out.extend_from_slice(&order.to_be_bytes());
    out.extend_from_slice(messages);
    Bytes::from(out)
}

/// Writes what is missing of a data chunk.
pub fn encode_rest(entry: EntryId, offset: u64, missing: &[u8]) -> Bytes {
    let mut out = vec![0, 0, 0, 0, 2];
    put_varint(&mut out, u64::from(entry.0));
    put_varint(&mut out, offset);
    out.extend_from_slice(missing);
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Bytes::from(out)
}

/// Writes a data chunk.
pub fn encode_data(codec: u8, extents: &[Extent], body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(16 + extents.len() * 48 + body.len());
    put_head(&mut out, codec, extents, body.len());
    out.extend_from_slice(body);
    Bytes::from(out)
}

/// Writes the head of a data chunk of one extent before its body, which stands in `buffer` behind [`LEAD`] bytes. Where the chunk
/// begins in it.
///
/// # Panics
///
/// If `buffer` is shorter than [`LEAD`].
pub fn encode_data_in_place(codec: u8, extent: &Extent, buffer: &mut [u8]) -> usize {
    let mut head = Vec::with_capacity(LEAD);
    put_head(&mut head, codec, std::slice::from_ref(extent), buffer.len() - LEAD);
    let start = LEAD - head.len();
    buffer[start..LEAD].copy_from_slice(&head);
    start
}

/// What stands before a body of `length` bytes.
fn put_head(out: &mut Vec<u8>, codec: u8, extents: &[Extent], length: usize) {
    out.extend_from_slice(&[0, 0, 0, 0, 1, codec]);
    put_varint(out, extents.len() as u64);
    for extent in extents {
        put_varint(out, u64::from(extent.entry.0));
        put_varint(out, extent.offset);
        put_varint(out, u64::from(extent.length));
        out.extend_from_slice(extent.value.as_bytes());
    }
    let length = (out.len() - 4 + length) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
}

/// The length of the whole encoded chunk, read from its first four bytes.
pub fn encoded_length(first: &[u8]) -> Result<usize, WireError> {
    let prefix = first.get(..4).ok_or(WireError::Short("chunk"))?;
    let length = u32::from_be_bytes(prefix.try_into().expect("four bytes")) as usize;
    if (5..=MAX_ENCODED - 4).contains(&length) { Ok(length + 4) } else { Err(WireError::Range("chunk")) }
}

/// Reads a chunk.
pub fn decode(bytes: &Bytes) -> Result<Chunk, WireError> {
    if encoded_length(bytes)? != bytes.len() {
        return Err(WireError::Short("chunk"));
    }
    match bytes[4] {
        0 if bytes.len() < 9 || bytes.len() > 9 + MAX_CONTROL => Err(WireError::Range("control chunk")),
        0 => Ok(Chunk::Control {
            order: u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes")),
            messages: bytes.slice(9..),
        }),
        1 => decode_data(bytes).map(Chunk::Data),
        2 => {
            let mut rest = &bytes[5..];
            let entry = u32::try_from(take_varint(&mut rest)?).map_err(|_| WireError::Range("rest"))?;
            let offset = take_varint(&mut rest)?;
            Ok(Chunk::Rest { entry: EntryId(entry), offset, bytes: bytes.slice(bytes.len() - rest.len()..) })
        }
        _ => Err(WireError::Unknown("kind of chunk")),
    }
}

/// Entry and offset of a data chunk of one extent, out of its first bytes, if these are such a chunk's.
pub fn single_extent(beginning: &[u8]) -> Option<(EntryId, u64)> {
    let mut rest = beginning.get(6..).filter(|_| beginning[4] == 1)?;
    let (count, entry) = (take_varint(&mut rest).ok()?, take_varint(&mut rest).ok()?);
    let offset = take_varint(&mut rest).ok()?;
    u32::try_from(entry).ok().filter(|_| count == 1).map(|entry| (EntryId(entry), offset))
}

fn decode_data(bytes: &Bytes) -> Result<Data, WireError> {
    let codec = bytes[5];
    let mut rest = &bytes[6..];
    let count = take_varint(&mut rest)?;
    if count == 0 || count > MAX_EXTENTS as u64 {
        return Err(WireError::Range("extents"));
    }
    let mut extents = Vec::with_capacity(count as usize);
    let mut raw = 0;
    for _ in 0..count {
        let entry = u32::try_from(take_varint(&mut rest)?).map_err(|_| WireError::Range("extent"))?;
        let offset = take_varint(&mut rest)?;
        let length = take_varint(&mut rest)?;
        raw += length;
        let value = rest.split_off(..32).ok_or(WireError::Short("extent"))?;
        if length == 0 || raw > CHUNK_BYTES as u64 || offset.checked_add(length).is_none() {
            return Err(WireError::Range("extent"));
        }
        let value = ChunkValue::from_bytes(value.try_into().expect("32 bytes"));
        extents.push(Extent { entry: EntryId(entry), offset, length: length as u32, value });
    }
    let body = bytes.slice(bytes.len() - rest.len()..);
    if body.len() as u64 > raw {
        return Err(WireError::Range("body"));
    }
    Ok(Data { codec, extents, body })
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first().ok_or(WireError::Short("number"))?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Range("number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(entry: u32, offset: u64, length: u32) -> Extent {
        Extent { entry: EntryId(entry), offset, length, value: ChunkValue::from_bytes([entry as u8; 32]) }
    }

    #[test]
    fn golden_data_chunk() {
        let bytes = encode_data(0, &[extent(300, 131_072, 3)], b"abc");
        let mut golden = vec![0, 0, 0, 44, 1, 0, 1, 0xac, 2, 0x80, 0x80, 8, 3];
        golden.extend([44; 32]);
        golden.extend(b"abc");
        assert_eq!(bytes, golden);
    }

    #[test]
    fn a_chunk_around_its_body_is_the_same() {
        for extent in [extent(0, 0, 3), extent(300, 131_072, 3), extent(u32::MAX, u64::MAX, u32::MAX)] {
            let mut buffer = [vec![9; LEAD], b"abc".to_vec()].concat();
            let start = encode_data_in_place(7, &extent, &mut buffer);
            assert_eq!(buffer[start..], encode_data(7, &[extent], b"abc"));
        }
    }

    #[test]
    fn golden_control_chunk() {
        assert_eq!(&encode_control(7, b"hi")[..], [0, 0, 0, 7, 0, 0, 0, 0, 7, b'h', b'i']);
        assert_eq!(
            decode(&encode_control(7, b"hi")).unwrap(),
            Chunk::Control { order: 7, messages: Bytes::from_static(b"hi") }
        );
    }

    #[test]
    fn golden_rest() {
        let bytes = encode_rest(EntryId(300), 131_072, b"abc");
        assert_eq!(&bytes[..], [0, 0, 0, 9, 2, 0xac, 2, 0x80, 0x80, 8, b'a', b'b', b'c']);
        let (entry, offset) = (EntryId(300), 131_072);
        assert_eq!(decode(&bytes).unwrap(), Chunk::Rest { entry, offset, bytes: Bytes::from_static(b"abc") });
        assert_eq!(single_extent(&bytes), None);
    }

    #[test]
    fn the_place_of_a_chunk_of_one_extent_is_in_its_first_bytes() {
        let bytes = encode_data(0, &[extent(300, 131_072, 3)], b"abc");
        assert_eq!(single_extent(&bytes[..20]), Some((EntryId(300), 131_072)));
        assert_eq!(single_extent(&encode_data(0, &[extent(1, 0, 3), extent(2, 0, 3)], b"abcabc")), None);
        assert_eq!(single_extent(&encode_control(7, b"hi")), None);
        assert!((0..11).all(|length| single_extent(&bytes[..length]).is_none_or(|(_, offset)| offset < 131_072)));
        assert!((0..10).all(|length| single_extent(&bytes[..length]).is_none()));
    }

    #[test]
    fn every_prefix_and_every_claim_is_refused() {
        let bytes = encode_data(1, &[extent(1, 0, 5), extent(2, 9, 4)], b"12345");
        assert!(decode(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(decode(&bytes.slice(..length)).is_err(), "{length}");
        }
        for bad in [
            encode_data(0, &[], b""),
            encode_data(0, &[extent(1, 0, 0)], b""),
            encode_data(0, &[extent(1, u64::MAX, 2)], b"ab"),
            encode_data(0, &[extent(1, 0, CHUNK_BYTES as u32 + 1)], b"a"),
            encode_data(0, &[extent(1, 0, 1)], b"ab"),
            Bytes::from_static(&[0, 0, 0, 5, 9, 0, 0, 0, 0]),
            Bytes::from_static(&[255, 255, 255, 255, 0]),
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(parts in proptest::collection::vec((any::<u32>(), 0u64..1 << 62, 1u32..64), 1..64)) {
            let extents: Vec<_> = parts.iter().map(|&(e, o, l)| extent(e, o, l)).collect();
            let body = vec![7; extents.iter().map(|e| e.length as usize).sum()];
            let decoded = decode(&encode_data(0, &extents, &body)).unwrap();
            prop_assert_eq!(decoded, Chunk::Data(Data { codec: 0, extents, body: Bytes::from(body) }));
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 4..200)) {
            let length = (bytes.len() as u32 - 4).to_be_bytes();
            bytes[..4].copy_from_slice(&length);
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
