//! Compression of one chunk.
//!
//! Invariants: what [`compress`] returns is never longer than what it was given; [`decompress`] allocates what the caller allows
//! and no more, before it looks at a byte, and returns exactly as many bytes as were announced or an error. Whether they are
//! the right bytes is for `integrity` to say; which method a chunk deserves, for [`chooser`].
//!
//! The numbers of the codecs travel; the blocks are LZ4's block format without a size in front (the length of a chunk is known) and
//! Zstandard frames (RFC 8878). A frame is unpacked in one go into the buffer of the chunk, which is its window as well: nothing is
//! allocated by what a frame says of its window.

pub mod chooser;

use bytes::Bytes;
use lz4_flex::block::{self, DecompressError};
use std::cell::RefCell;
use zstd::zstd_safe::{self, CCtx, DCtx};

/// How the bytes of a chunk are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    None = 0,
    /// One LZ4 block.
    Lz4 = 1,
    /// Zstandard frames.
    Zstd = 2,
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
            2 => Ok(Self::Zstd),
            _ => Err(CompressionError::Codec(number)),
        }
    }
}

/// How one chunk is to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Not at all.
    None,
    /// As an LZ4 block.
    Lz4,
    /// As a Zstandard frame of this level, one of [`ZSTD_LEVELS`].
    Zstd(i32),
}

/// Levels of [`Method::Zstd`] that a user may ask for. Levels above 19 differ only in windows larger than a chunk.
pub const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=19;
/// The level of Zstandard itself.
pub const ZSTD_DEFAULT: i32 = 3;

/// What the sender is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// What brings a chunk across soonest, as [`chooser`] finds out.
    #[default]
    Auto,
    /// The same for every chunk, wherever it helps at all.
    Always(Method),
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
    #[error("malformed {0}")]
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

thread_local! {
    /// Contexts of Zstandard are a hundred kilobytes and more: one a thread, used again.
    static CONTEXTS: RefCell<(CCtx<'static>, DCtx<'static>)> = RefCell::new((CCtx::create(), DCtx::create()));
}

/// Packs a chunk by `method`, or leaves it (at no copy) where that does not make it smaller by 3 %.
pub fn compress(method: Method, chunk: &Bytes) -> Compressed {
    let packed = match method {
        Method::None => None,
        Method::Lz4 => Some((Codec::Lz4, block::compress(chunk))),
        Method::Zstd(level) => zstd_frame(chunk, level).map(|frame| (Codec::Zstd, frame)),
    };
    match packed.filter(|(_, bytes)| is_worth_it(chunk.len(), bytes.len())) {
        Some((codec, mut bytes)) => {
            bytes.shrink_to_fit();
            Compressed { codec, bytes: bytes.into() }
        }
        None => Compressed { codec: Codec::None, bytes: chunk.clone() },
    }
}

fn is_worth_it(before: usize, after: usize) -> bool {
    before.checked_sub(after).is_some_and(|saved| saved > 0 && saved >= before / WORTH)
}

/// One frame of `bytes`; `None` if it is not smaller than they are.
fn zstd_frame(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut frame = Vec::with_capacity(bytes.len());
    // The only error there can be is that the frame does not fit.
    CONTEXTS.with_borrow_mut(|(context, _)| context.compress(&mut frame, bytes, level)).ok()?;
    Some(frame)
}

/// What samples of a chunk promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// They hardly shrink.
    Nothing,
    /// They shrink, or the chunk is too short to be sampled.
    Something,
    /// Little is left of them: packing costs less than carrying what it takes away, on any link.
    Much,
}

/// Looks at samples of the chunk. One that is not longer than one stride is not sampled.
///
/// Samples see no repetition that is further away than they are long, so they need not promise what the chunk must hold.
pub fn promise(chunk: &[u8]) -> Promise {
    if chunk.len() <= STRIDE {
        return Promise::Something;
    }
    let mut samples = Vec::with_capacity(chunk.len().div_ceil(STRIDE) * SAMPLE);
    for stride in chunk.chunks(STRIDE) {
        // From the middle: the head of a stride is where formats put their headers.
        let start = stride.len().saturating_sub(SAMPLE) / 2;
        samples.extend_from_slice(&stride[start..stride.len().min(start + SAMPLE)]);
    }
    let packed = block::compress(&samples).len();
    match packed {
        packed if packed * 4 < samples.len() => Promise::Much,
        packed if packed < samples.len() - samples.len() / (2 * WORTH) => Promise::Something,
        _ => Promise::Nothing,
    }
}

/// Unpacks a chunk of `exact_len` bytes, which must not be more than `max`. What is not packed is not copied.
pub fn decompress(codec: Codec, bytes: &Bytes, exact_len: usize, max: usize) -> Result<Bytes, CompressionError> {
    if exact_len > max {
        return Err(CompressionError::TooLong { announced: exact_len, max });
    }
    let wrong_length = |found| CompressionError::Length { announced: exact_len, found };
    let given = bytes.len();
    match codec {
        Codec::None if given == exact_len => Ok(bytes.clone()),
        Codec::None => Err(wrong_length(given)),
        // No byte of an LZ4 block stands for more than 255: what cannot fill the buffer does not get one.
        Codec::Lz4 if exact_len / 255 > given => Err(wrong_length(given.saturating_mul(255))),
        Codec::Lz4 => {
            let mut unpacked = vec![0; exact_len];
            let filled = block::decompress_into(bytes, &mut unpacked).map_err(|e| match e {
                DecompressError::OutputTooSmall { expected, .. } => wrong_length(expected),
                other => CompressionError::Malformed(format!("LZ4 block: {other}")),
            })?;
            if filled == exact_len { Ok(unpacked.into()) } else { Err(wrong_length(filled)) }
        }
        Codec::Zstd => {
            let malformed =
                |error| CompressionError::Malformed(format!("Zstandard frame: {}", zstd_safe::get_error_name(error)));
            match zstd_safe::get_frame_content_size(bytes) {
                Ok(Some(size)) if size > exact_len as u64 => {
                    return Err(wrong_length(usize::try_from(size).unwrap_or(usize::MAX)));
                }
                _ => {}
            }
            let mut unpacked = Vec::with_capacity(exact_len);
            CONTEXTS.with_borrow_mut(|(_, context)| context.decompress(&mut unpacked, bytes)).map_err(malformed)?;
            if unpacked.len() == exact_len { Ok(unpacked.into()) } else { Err(wrong_length(unpacked.len())) }
        }
    }
}

#[cfg(test)]
mod tests;
