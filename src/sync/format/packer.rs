//! What packs the literals of a delta, frame by frame.
//!
//! Invariant: what a frame's literals are packed into can be unpacked with no more than what is before it, back to where a stream began; the
//! same literals and level give the same bytes.

use super::delta::{LEVEL, WINDOW_LOG};
use std::io;
use zstd::bulk::Compressor;
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::{CParameter, compress_bound};

/// Up to this level the compressor remembers less than a frame: each is packed alone, which spares a copy of its bytes.
const FORGETFUL: i32 = 2;
/// Logarithm of the places that the default level remembers, twice those of its own: worth as much as what is lost between frames.
const HASH_LOG: u32 = 15;
/// Bytes after which a stream begins anew: what goes round in the compressor's buffer costs it twice the time.
const ANEW: usize = 1 << WINDOW_LOG;

/// See the module.
pub(super) struct Packer {
    how: How,
    packed: Vec<u8>,
}

enum How {
    /// Each frame alone.
    Alone(Compressor<'static>),
    /// One stream through several frames, and the bytes that went into it since it began.
    Stream(Encoder<'static>, usize),
}

/// The literals of a frame.
pub(super) struct Packed<'p> {
    pub bytes: &'p [u8],
    /// Whether they begin a stream.
    pub anew: bool,
}

impl Packer {
    /// With this level of Zstandard.
    pub(super) fn new(level: i32) -> io::Result<Packer> {
        let how = if level > FORGETFUL {
            let mut encoder = Encoder::new(level)?;
            encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
            How::Stream(encoder, 0)
        } else {
            let mut compressor = Compressor::new(level)?;
            if level == LEVEL {
                compressor.set_parameter(CParameter::HashLog(HASH_LOG))?;
            }
            How::Alone(compressor)
        };
        Ok(Packer { how, packed: Vec::new() })
    }

    /// Packs the literals of the next frame.
    pub(super) fn pack(&mut self, literals: &[u8]) -> io::Result<Packed<'_>> {
        // A flush adds the head of a block.
        let room = compress_bound(literals.len()) + 64;
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let (len, anew) = match &mut self.how {
            How::Alone(compressor) => (compressor.compress_to_buffer(literals, self.packed.as_mut_slice())?, true),
            How::Stream(encoder, streamed) => {
                let anew = *streamed == 0 || *streamed + literals.len() > ANEW;
                if anew {
                    *streamed = 0;
                    encoder.reinit()?;
                }
                *streamed += literals.len();
                (flushed(encoder, literals, &mut self.packed)?, anew)
            }
        };
        Ok(Packed { bytes: &self.packed[..len], anew })
    }
}

/// Packs `bytes` as the next of a stream, up to a flush; into how many of `packed`.
fn flushed(encoder: &mut Encoder<'_>, bytes: &[u8], packed: &mut [u8]) -> io::Result<usize> {
    let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(packed));
    while input.pos() < input.src.len() {
        encoder.run(&mut input, &mut output)?;
    }
    if encoder.flush(&mut output)? > 0 {
        return Err(io::Error::other("the compressor needs more room than it said"));
    }
    Ok(output.pos())
}
