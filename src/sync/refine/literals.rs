//! The bytes that no round found, as one Zstandard stream over all gaps, and the new file made of them and the pieces.
//!
//! Invariants: both ends hold what Zstandard looks back on, 8 MiB, and one message; a stream that makes more bytes than the gaps have is
//! refused before they are written; nothing is written twice, and all of it is hashed.

use super::layout::{Copy, Layout};
use super::ranges::Ranges;
use super::{READ, RefineError};
use crate::sync::apply::Basis;
use std::collections::HashMap;
use std::io::{self, Write};
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::{CParameter, DParameter};

/// Logarithm of the bytes that the compressor looks back.
const WINDOW_LOG: u32 = 23;
/// Bytes of literals that go into one message.
const MESSAGE: usize = 512 << 10;

/// Reads gaps and compresses them.
pub(super) struct LiteralReader {
    encoder: Encoder<'static>,
    gap: usize,
    /// Bytes of that gap that are done.
    done: u64,
    plain: Vec<u8>,
}

fn malformed(_: io::Error) -> RefineError {
    RefineError::Malformed("literals that do not unpack")
}

impl LiteralReader {
    pub(super) fn new(level: i32) -> Result<Self, RefineError> {
        let encoder = Encoder::new(level).and_then(|mut encoder| {
            encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
            Ok(encoder)
        });
        Ok(LiteralReader { encoder: encoder.map_err(RefineError::New)?, gap: 0, done: 0, plain: Vec::new() })
    }

    /// The next bytes of the stream; none at the end.
    pub(super) fn next<B: Basis + ?Sized>(&mut self, layout: &Layout, new: &B) -> Result<Option<Vec<u8>>, RefineError> {
        self.plain.clear();
        let gaps = layout.gaps.as_slice();
        while let Some(gap) = gaps.get(self.gap).filter(|_| self.plain.len() < MESSAGE) {
            let from = self.plain.len();
            let len = (gap.end - gap.start - self.done).min((MESSAGE - from) as u64);
            self.plain.resize(from + len as usize, 0);
            new.read_exact_at(&mut self.plain[from..], gap.start + self.done).map_err(RefineError::New)?;
            self.done += len;
            if gap.start + self.done == gap.end {
                (self.gap, self.done) = (self.gap + 1, 0);
            }
        }
        if self.plain.is_empty() {
            return Ok(None);
        }
        let last = self.gap == gaps.len();
        self.pack(last).map(Some).map_err(RefineError::New)
    }

    /// What has come out of the compressor for what went in; `last` ends the stream.
    fn pack(&mut self, last: bool) -> io::Result<Vec<u8>> {
        // What it keeps for later can come out of any later call: there is room for it, too.
        let mut packed = vec![0; zstd::zstd_safe::compress_bound(self.plain.len()) + (256 << 10)];
        let mut input = InBuffer::around(&self.plain);
        let mut output = OutBuffer::around(&mut packed);
        while input.pos() < input.src.len() {
            self.encoder.run(&mut input, &mut output)?;
        }
        if last && self.encoder.finish(&mut output, true)? > 0 {
            return Err(io::Error::other("the compressor needs more room than it said"));
        }
        let len = output.pos();
        packed.truncate(len);
        Ok(packed)
    }
}

/// What the bytes of gaps come to when they are compressed, by a sample of them: 1 where they do not shrink.
pub(super) fn ratio<B: Basis + ?Sized>(layout: &Layout, new: &B, level: i32) -> Result<f64, RefineError> {
    const PIECE: u64 = 64 << 10;
    const PIECES: u64 = 16;
    let every = layout.gaps.bytes().div_ceil(PIECE * PIECES).max(1);
    let sample = layout.gaps.sample(PIECE, every);
    let plain = bytes_of(&sample, new)?;
    Ok((packed_len(&plain, level)? / plain.len().max(1) as f64).min(1.0))
}

/// Bytes of compressed literals that are saved where `copies` of `block` bytes' blocks are found in the gaps of `layout`, of which a byte comes
/// to `packed`.
pub(super) fn saved<B: Basis + ?Sized>(
    layout: &Layout,
    block: u64,
    copies: &[Copy],
    packed: f64,
    new: &B,
    level: i32,
) -> Result<f64, RefineError> {
    /// Copies that are looked at, bytes of each, and bytes of gaps on both sides of it.
    const COPIES: usize = 128;
    const BYTES: u64 = 64 << 10;
    const AROUND: u64 = 8 << 10;
    let ranges = |copies: &[Copy], around: u64| {
        let mut ranges = Ranges::default();
        for copy in copies {
            let end = copy.new + copy.count * block;
            ranges.push(copy.new.saturating_sub(around).max(ranges.end().unwrap_or(0))..end + around);
        }
        ranges
    };
    // What is found often stands often in the old file, too: the rest of its blocks bring nothing new.
    let mut times: HashMap<u64, u32> = HashMap::new();
    for copy in copies {
        *times.entry(copy.block).or_default() += 1;
    }
    let singles: Vec<Copy> = copies.iter().filter(|copy| times[&copy.block] == 1).copied().collect();
    let some = singles.iter().step_by(singles.len().div_ceil(COPIES).max(1));
    let some: Vec<Copy> = some.map(|copy| Copy { count: copy.count.min((BYTES / block).max(1)), ..*copy }).collect();
    let bytes = |copies: &[Copy]| copies.iter().map(|copy| copy.count * block).sum::<u64>().max(1) as f64;
    let (all_bytes, some_bytes) = (bytes(&singles), bytes(&some));
    let around = layout.gaps.without(layout.gaps.without(ranges(&some, AROUND).iter()).iter());
    let left = around.without(ranges(&singles, 0).iter());
    let (before, after) = (packed_len(&bytes_of(&around, new)?, level)?, packed_len(&bytes_of(&left, new)?, level)?);
    // With more to look back on, the compressor does better than with these alone.
    let alike = (packed * around.bytes() as f64 / before.max(1.0)).min(1.0);
    Ok((before - after) * alike * all_bytes / some_bytes)
}

fn bytes_of<B: Basis + ?Sized>(ranges: &Ranges, new: &B) -> Result<Vec<u8>, RefineError> {
    let mut plain = Vec::new();
    for range in ranges.iter() {
        let from = plain.len();
        plain.resize(from + (range.end - range.start) as usize, 0);
        new.read_exact_at(&mut plain[from..], range.start).map_err(RefineError::New)?;
    }
    Ok(plain)
}

fn packed_len(plain: &[u8], level: i32) -> Result<f64, RefineError> {
    zstd::bulk::compress(plain, level).map(|packed| packed.len() as f64).map_err(RefineError::New)
}

/// Makes the new file: pieces of the old one and literals, in order.
pub(super) struct Rebuild {
    decoder: Decoder<'static>,
    piece: usize,
    written: u64,
    digest: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Rebuild {
    pub(super) fn new() -> Result<Self, RefineError> {
        let decoder = Decoder::new().and_then(|mut decoder| {
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
            Ok(decoder)
        });
        Ok(Rebuild {
            decoder: decoder.map_err(RefineError::Target)?,
            piece: 0,
            written: 0,
            digest: blake3::Hasher::new(),
            buffer: vec![0; READ],
        })
    }

    /// Bytes of the new file that are written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The BLAKE3 digest of what is written.
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.digest.finalize().as_bytes()
    }

    /// Writes the pieces that are next, up to the next gap.
    pub(super) fn copy<B: Basis + ?Sized>(
        &mut self,
        layout: &Layout,
        old: &B,
        to: &mut impl Write,
    ) -> Result<(), RefineError> {
        while let Some(piece) = layout.pieces.get(self.piece).filter(|piece| piece.new == self.written) {
            let (mut at, end) = (piece.old, piece.old + piece.len);
            while at < end {
                let buffer = &mut self.buffer[..(end - at).min(READ as u64) as usize];
                old.read_exact_at(buffer, at).map_err(RefineError::Old)?;
                to.write_all(buffer).map_err(RefineError::Target)?;
                self.digest.update(buffer);
                at += buffer.len() as u64;
            }
            self.written += piece.len;
            self.piece += 1;
        }
        Ok(())
    }

    /// Takes the next bytes of the stream.
    pub(super) fn take<B: Basis + ?Sized>(
        &mut self,
        packed: &[u8],
        layout: &Layout,
        old: &B,
        to: &mut impl Write,
    ) -> Result<(), RefineError> {
        let mut input = InBuffer::around(packed);
        let mut plain = vec![0; 256 << 10];
        loop {
            let mut output = OutBuffer::around(&mut plain);
            let before = input.pos();
            self.decoder.run(&mut input, &mut output).map_err(malformed)?;
            let len = output.pos();
            if len == 0 && input.pos() == before {
                break;
            }
            self.literal(&plain[..len], layout, old, to)?;
        }
        if input.pos() < packed.len() { Err(RefineError::Malformed("something follows the literals")) } else { Ok(()) }
    }

    fn literal<B: Basis + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        layout: &Layout,
        old: &B,
        to: &mut impl Write,
    ) -> Result<(), RefineError> {
        while !bytes.is_empty() {
            let end = layout.pieces.get(self.piece).map(|piece| piece.new).or_else(|| layout.gaps.end());
            let free = end.unwrap_or(0).saturating_sub(self.written);
            if free == 0 {
                return Err(RefineError::Malformed("more literals than there are gaps"));
            }
            let (now, rest) = bytes.split_at(free.min(bytes.len() as u64) as usize);
            to.write_all(now).map_err(RefineError::Target)?;
            self.digest.update(now);
            self.written += now.len() as u64;
            bytes = rest;
            self.copy(layout, old, to)?;
        }
        Ok(())
    }
}
