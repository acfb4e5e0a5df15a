//! Compression of one chunk.
//!
//! Invariants: what [`compress`] returns is never longer than what it was given; [`decompress`] allocates what the caller allows
//! and no more, before it looks at a byte, and returns exactly as many bytes as were announced or an error. Whether they are
//! the right bytes is for `integrity` to say.
//!
//! The numbers of the codecs travel; the blocks are LZ4's block format without a size in front (the length of a chunk is known).

use bytes::Bytes;
use lz4_flex::block::{self, DecompressError};

/// How the bytes of a chunk are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    None = 0,
    /// One LZ4 block.
    Lz4 = 1,
}

impl Codec {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for Codec {
    type Error = CompressionError;
    fn try_from(number: u8) -> Result<Self, CompressionError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Lz4),
            _ => Err(CompressionError::Codec(number)),
        }
    }
}

/// What the sender is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// LZ4 where it helps, found out at the price of a look at a sixteenth of the chunk.
    #[default]
    Auto,
    /// LZ4 wherever it helps at all, without a look first.
    Lz4,
    /// Never.
    None,
}

/// Why bytes are not a packed chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// No codec has this number.
    #[error("unknown compression codec {0}")]
    Codec(u8),
    /// More bytes announced than the caller allows.
    #[error("{announced} bytes announced where {max} are allowed")]
    TooLong {
        /// Bytes announced.
        announced: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes unpack to another length than was announced.
    #[error("chunk unpacks to {found} bytes, {announced} were announced")]
    Length {
        /// Bytes announced.
        announced: usize,
        /// Bytes that there are, or at least are.
        found: usize,
    },
    /// Not a block of this codec.
    #[error("malformed LZ4 block: {0}")]
    Malformed(String),
}

/// A packed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// How it is packed.
    pub codec: Codec,
    /// The packed bytes.
    pub bytes: Bytes,
}

/// A chunk must shrink by one part in this many to be sent packed (3 %): less does not pay for unpacking it.
const WORTH: usize = 32;
/// The look is one sample of [`SAMPLE`] bytes out of each stride of this many.
const STRIDE: usize = 64 * 1024;
/// Length of one sample.
const SAMPLE: usize = 4 * 1024;

/// Packs a chunk as `choice` says, or leaves it (at no copy) where that does not make it smaller by 3 %.
pub fn compress(choice: Choice, chunk: &Bytes) -> Compressed {
    let packed = match choice {
        Choice::None => None,
        Choice::Lz4 => pack(chunk),
        Choice::Auto => is_promising(chunk).then(|| pack(chunk)).flatten(),
    };
    match packed {
        Some(bytes) => Compressed { codec: Codec::Lz4, bytes: bytes.into() },
        None => Compressed { codec: Codec::None, bytes: chunk.clone() },
    }
}

/// One LZ4 block of `bytes`, if it is small enough to be worth it.
fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = block::compress(bytes);
    let saved = bytes.len().checked_sub(packed.len())?;
    if saved == 0 || saved < bytes.len() / WORTH {
        return None;
    }
    packed.shrink_to_fit();
    Some(packed)
}

/// Whether samples of the chunk shrink at all. A chunk that is not longer than one stride is its own sample.
///
/// Samples see no repetition that is further away than they are long, so they need not promise what the chunk must hold.
fn is_promising(chunk: &[u8]) -> bool {
    if chunk.len() <= STRIDE {
        return true;
    }
    let mut samples = Vec::with_capacity(chunk.len().div_ceil(STRIDE) * SAMPLE);
    for stride in chunk.chunks(STRIDE) {
        // From the middle: the head of a stride is where formats put their headers.
        let start = stride.len().saturating_sub(SAMPLE) / 2;
        samples.extend_from_slice(&stride[start..stride.len().min(start + SAMPLE)]);
    }
    let packed = block::compress(&samples).len();
    packed < samples.len() - samples.len() / (2 * WORTH)
}

/// Unpacks a chunk of `exact_len` bytes, which must not be more than `max`.
pub fn decompress(
    codec: Codec,
    bytes: impl AsRef<[u8]> + Into<Vec<u8>>,
    exact_len: usize,
    max: usize,
) -> Result<Vec<u8>, CompressionError> {
    if exact_len > max {
        return Err(CompressionError::TooLong { announced: exact_len, max });
    }
    let wrong_length = |found| CompressionError::Length { announced: exact_len, found };
    let given = bytes.as_ref().len();
    match codec {
        Codec::None if given == exact_len => Ok(bytes.into()),
        Codec::None => Err(wrong_length(given)),
        // No byte of an LZ4 block stands for more than 255: what cannot fill the buffer does not get one.
        Codec::Lz4 if exact_len / 255 > given => Err(wrong_length(given.saturating_mul(255))),
        Codec::Lz4 => {
            let mut unpacked = vec![0; exact_len];
            let filled = block::decompress_into(bytes.as_ref(), &mut unpacked).map_err(|e| match e {
                DecompressError::OutputTooSmall { expected, .. } => wrong_length(expected),
                other => CompressionError::Malformed(other.to_string()),
            })?;
            if filled == exact_len { Ok(unpacked) } else { Err(wrong_length(filled)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..length).map(|_| step()).collect()
    }

    fn text(length: usize) -> Vec<u8> {
        let line = b"2026-03-01T12:00:00Z station 17 temperature 21.5 humidity 40 battery ok\n";
        line.iter().copied().cycle().take(length).collect()
    }

    fn round_trip(choice: Choice, chunk: Vec<u8>) -> Compressed {
        let chunk = Bytes::from(chunk);
        let packed = compress(choice, &chunk);
        assert!(packed.bytes.len() <= chunk.len());
        let unpacked = decompress(packed.codec, &packed.bytes[..], chunk.len(), chunk.len());
        assert!(unpacked.unwrap() == chunk);
        packed
    }

    #[test]
    fn repetitive_text_shrinks_by_96_percent() {
        for length in [16 * 1024, 256 * 1024, MIB] {
            let packed = round_trip(Choice::Auto, text(length));
            assert_eq!(packed.codec, Codec::Lz4);
            assert!(packed.bytes.len() * 25 <= length, "{} of {length}", packed.bytes.len());
        }
    }

    #[test]
    fn noise_is_left_as_it_is_and_not_copied() {
        for length in [0, 1, 100, STRIDE, STRIDE + 1, MIB] {
            for choice in [Choice::Auto, Choice::Lz4, Choice::None] {
                let chunk = Bytes::from(noise(length));
                let packed = compress(choice, &chunk);
                assert_eq!(packed.codec, Codec::None);
                assert_eq!(packed.bytes.as_ptr(), chunk.as_ptr());
            }
        }
        assert_eq!(round_trip(Choice::None, text(MIB)).codec, Codec::None);
    }

    #[test]
    fn the_look_is_a_sixteenth_and_sees_text_among_noise() {
        assert!(!is_promising(&noise(MIB)));
        // One quarter text, wherever it stands.
        for quarter in 0..4 {
            let mut chunk = noise(MIB);
            chunk[quarter * MIB / 4..][..MIB / 4].copy_from_slice(&text(MIB / 4));
            let packed = round_trip(Choice::Auto, chunk);
            assert_eq!(packed.codec, Codec::Lz4);
            assert!(packed.bytes.len() < MIB * 77 / 100);
        }
    }

    #[test]
    fn what_saves_less_than_three_percent_is_not_packed() {
        let with_text = |share: usize| {
            let mut chunk = noise(STRIDE);
            chunk[..share].copy_from_slice(&text(share));
            round_trip(Choice::Lz4, chunk).codec
        };
        assert_eq!(with_text(STRIDE / 64), Codec::None);
        assert_eq!(with_text(STRIDE / 16), Codec::Lz4);
    }

    #[test]
    fn repetition_beyond_a_sample_is_found_only_without_the_look() {
        // Within LZ4's reach of 64 KiB, but no two samples hold the same part of it.
        let mut chunk = noise(60_000).repeat(6);
        chunk.truncate(5 * STRIDE);
        assert_eq!(round_trip(Choice::Lz4, chunk.clone()).codec, Codec::Lz4);
        assert_eq!(round_trip(Choice::Auto, chunk).codec, Codec::None);
    }

    #[test]
    fn codecs_keep_their_numbers() {
        for (number, codec) in [(0, Codec::None), (1, Codec::Lz4)] {
            assert_eq!(Codec::try_from(number), Ok(codec));
            assert_eq!(codec.number(), number);
        }
        assert_eq!(Codec::try_from(2), Err(CompressionError::Codec(2)));
    }

    #[test]
    fn an_lz4_block_of_another_implementation_is_read() {
        // Block format by hand: 4 literals, then a match of 19 + 8 bytes 4 back, then 5 last literals.
        let block = b"\x4fabcd\x04\x00\x08\x50tail.";
        let unpacked = decompress(Codec::Lz4, &block[..], 36, 36).unwrap();
        assert_eq!(unpacked, b"abcdabcdabcdabcdabcdabcdabcdabctail.");
    }

    #[test]
    fn bombs_are_refused_before_anything_is_allocated() {
        let bomb = compress(Choice::Lz4, &vec![0; MIB].into()).bytes;
        assert!(bomb.len() < MIB / 200);
        let refused = |announced, max| decompress(Codec::Lz4, &bomb[..], announced, max).unwrap_err();
        // More than allowed, whatever the block holds; usize::MAX could not be allocated at all.
        for (announced, max) in [(MIB, MIB - 1), (usize::MAX, MIB), (usize::MAX, 0)] {
            assert_eq!(refused(announced, max), CompressionError::TooLong { announced, max });
        }
        // More than the block could hold at all, though it is allowed.
        assert!(matches!(refused(usize::MAX, usize::MAX), CompressionError::Length { announced: usize::MAX, .. }));
        // It holds more or less than announced.
        assert!(matches!(refused(1000, MIB), CompressionError::Length { announced: 1000, .. }));
        assert_eq!(refused(MIB + 1, 2 * MIB), CompressionError::Length { announced: MIB + 1, found: MIB });
        assert_eq!(
            decompress(Codec::None, &b"abc"[..], 2, 9),
            Err(CompressionError::Length { announced: 2, found: 3 })
        );
    }

    #[test]
    fn every_truncation_fails() {
        let chunk = Bytes::from([text(3000), noise(300), text(500)].concat());
        let packed = compress(Choice::Lz4, &chunk);
        assert_eq!(packed.codec, Codec::Lz4);
        for length in 0..packed.bytes.len() {
            let cut = decompress(Codec::Lz4, &packed.bytes[..length], chunk.len(), MIB);
            assert!(cut.is_err(), "{length}");
        }
        // So does every byte too many: the buffer is full by then.
        let longer = [&packed.bytes[..], &[0x10, b'x']].concat();
        assert!(decompress(Codec::Lz4, longer, chunk.len(), MIB).is_err());
    }

    proptest! {
        #[test]
        fn chunks_come_back(
            parts in vec((vec(any::<u8>(), 1..40), 1usize..3000), 0..12),
            auto in any::<bool>(),
        ) {
            let chunk = parts.iter().flat_map(|(part, times)| part.repeat(*times)).collect();
            round_trip(if auto { Choice::Auto } else { Choice::Lz4 }, chunk);
        }

        #[test]
        fn hostile_blocks_never_panic_and_never_give_another_length(
            block in vec(any::<u8>(), 0..200),
            announced in 0usize..5000,
        ) {
            if let Ok(unpacked) = decompress(Codec::Lz4, block, announced, 4000) {
                prop_assert!(unpacked.len() == announced && announced <= 4000);
            }
        }
    }
}
