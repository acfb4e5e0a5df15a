//! Deltas at rest, version 1: writing them.
//!
//! ```text
//! "RSLD"  version u8  block u32  salt [16]  basis length u64  basis digest [32]
//! frames: flags u8   1 the last one · 2 its operations are one Zstandard frame · 4 its literals are Zstandard · 8 from here on a new stream of it
//!         LEB128 bytes of target · bytes of operations, as stored · and before that, if compressed
//!                · bytes of literals, as stored · and before that, if compressed
//!         operations   literals
//!         digest so far: its head [8], in the last frame all of it [32]
//!         checksum [8] of the frame, and in the first of what is before it, but for uncompressed literals
//! operation: LEB128 length · 4 + kind:  0 DATA: so many bytes of the literals
//!                                       1 COPY: so many blocks of the basis; zigzag LEB128 of the first - the one behind the last COPY
//!                                       2 FILL: u8, so many times
//! ```
//!
//! The digest is BLAKE3 of, frame after frame: the full strong sums (32 bytes each) of the blocks that are copied, in order; the operations;
//! the literals, both uncompressed. So every byte of the target is hashed once, by whoever makes the delta as well as by whoever applies
//! it, and a block that only looked like another one is found. A checksum is the head of BLAKE3; it tells damage from a wrong basis.
//!
//! Invariant: the same signature, target, version and level give the same bytes. A frame ends where enough has come together, and what is
//! before its end can be made and checked without what is after it.

use super::packer::Packer;
use super::signature::Basis;
use super::{CHECK, DELTA_MAGIC, VERSION, put, zigzag};
use crate::chunk::compression::{Promise, promise};
use crate::sync::scan::Sink;
use crate::sync::strong::FULL;
use std::io::{self, Write};

/// The level of Zstandard for literals, if nobody says another: half the time of level 3, and a tenth more bytes at most.
pub const LEVEL: i32 = 1;

pub(super) const LAST: u8 = 1;
pub(super) const OPS_PACKED: u8 = 2;
pub(super) const LITERALS_PACKED: u8 = 4;
pub(super) const LITERALS_ANEW: u8 = 8;
pub(super) const DATA: u64 = 0;
pub(super) const COPY: u64 = 1;
pub(super) const FILL: u64 = 2;
/// Bytes of the head of the digest.
pub(super) const SO_FAR: usize = 8;

/// A frame ends when it has so many bytes of literals, or of operations.
const LITERALS: usize = 1 << 20;
const OPERATIONS: usize = 256 << 10;
/// Shortest run of one byte that becomes a FILL: shorter ones the compressor has for less.
const RUN: usize = 256;
/// Operations that are worth compressing.
const WORTH: usize = 64;
/// Logarithm of the bytes that the compressor looks back.
pub(super) const WINDOW_LOG: u32 = 23;
/// The level of Zstandard that operations are packed with.
const OPS_LEVEL: i32 = 3;

/// Writes a delta: takes what a target is made of. Whoever feeds it ends frames when they are [full](Self::is_full).
pub struct DeltaWriter<W> {
    to: W,
    packer: Option<Packer>,
    /// Whether the last literals shrank: then the next ones are not looked at before.
    shrank: bool,
    /// The checksum of the next frame, so far.
    check: blake3::Hasher,
    operations: Vec<u8>,
    literals: Vec<u8>,
    /// An operation that may still grow.
    open: Option<Open>,
    /// The block behind the last COPY.
    next: u64,
    digest: blake3::Hasher,
    frame_bytes: u64,
    totals: Totals,
}

/// An operation that the next one may be one with.
#[derive(Clone, Copy, Debug)]
enum Open {
    Data { len: u64 },
    Copy { block: u64, blocks: u64 },
}

/// What a delta has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Copies from the basis, and their bytes.
    pub copies: u64,
    /// See `copies`.
    pub copied: u64,
    /// Bytes that are in the delta as they are.
    pub literal: u64,
    /// Bytes of runs of one byte.
    pub filled: u64,
}

impl<W: Write> DeltaWriter<W> {
    /// Begins a delta to `basis`, with literals packed by Zstandard of this level, if at all.
    pub fn new(mut to: W, basis: &Basis, level: Option<i32>) -> io::Result<Self> {
        let mut head = DELTA_MAGIC.to_vec();
        head.push(VERSION);
        head.extend((basis.block as u32).to_le_bytes());
        head.extend(basis.salt);
        head.extend(basis.len.to_le_bytes());
        head.extend(basis.digest);
        to.write_all(&head)?;
        let mut check = blake3::Hasher::new();
        check.update(&head);
        Ok(DeltaWriter {
            to,
            packer: level.map(Packer::new).transpose()?,
            shrank: false,
            check,
            operations: Vec::new(),
            literals: Vec::new(),
            open: None,
            next: 0,
            digest: blake3::Hasher::new(),
            frame_bytes: 0,
            totals: Totals::default(),
        })
    }

    /// Whether it is time to end a frame.
    pub fn is_full(&self) -> bool {
        self.literals.len() >= LITERALS || self.operations.len() >= OPERATIONS
    }

    /// Ends a frame.
    pub fn end_frame(&mut self) -> io::Result<()> {
        self.write_frame(0)
    }

    /// Ends the delta.
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        self.write_frame(LAST)?;
        Ok((self.to, self.totals))
    }

    fn write_frame(&mut self, mut flags: u8) -> io::Result<()> {
        self.close();
        let operations = std::mem::take(&mut self.operations);
        self.digest.update(&operations).update(&self.literals);
        let digest = self.digest.finalize();
        let digest = &digest.as_bytes()[..if flags & LAST == 0 { SO_FAR } else { 32 }];
        let packed = (operations.len() >= WORTH).then(|| zstd::bulk::compress(&operations, OPS_LEVEL)).transpose()?;
        let packed = packed.filter(|packed| packed.len() < operations.len());
        // They are packed unless they do not look as if they would shrink.
        let packer = self.packer.as_mut().filter(|_| !self.literals.is_empty());
        let packer = packer.filter(|_| self.shrank || promise(&self.literals) != Promise::Nothing);
        let literals = packer.map(|packer| packer.pack(&self.literals)).transpose()?;
        if let Some(packed) = &literals {
            self.shrank = packed.bytes.len() < self.literals.len() - self.literals.len() / 16;
            flags |= if packed.anew { LITERALS_ANEW } else { 0 };
        }
        let mut frame = vec![0];
        put(&mut frame, std::mem::take(&mut self.frame_bytes));
        let mut length = |stored: Option<usize>, plain: usize, flag: u8| {
            put(&mut frame, stored.unwrap_or(plain) as u64);
            if stored.is_some() {
                put(&mut frame, plain as u64);
                flags |= flag;
            }
        };
        length(packed.as_ref().map(Vec::len), operations.len(), OPS_PACKED);
        length(literals.as_ref().map(|packed| packed.bytes.len()), self.literals.len(), LITERALS_PACKED);
        frame[0] = flags;
        frame.extend(packed.as_ref().unwrap_or(&operations));
        self.to.write_all(&frame)?;
        let mut check = std::mem::take(&mut self.check);
        check.update(&frame);
        if let Some(packed) = literals {
            self.to.write_all(packed.bytes)?;
            check.update(packed.bytes);
        } else {
            self.to.write_all(&self.literals)?;
        }
        check.update(digest);
        self.to.write_all(digest)?;
        self.to.write_all(&check.finalize().as_bytes()[..CHECK])?;
        self.literals.clear();
        Ok(())
    }

    /// Ends the operation that might have grown.
    fn close(&mut self) {
        match self.open.take() {
            None => {}
            Some(Open::Data { len }) => put(&mut self.operations, len << 2 | DATA),
            Some(Open::Copy { block, blocks }) => {
                put(&mut self.operations, blocks << 2 | COPY);
                put(&mut self.operations, zigzag(block.wrapping_sub(self.next) as i64));
                self.next = block + blocks;
                self.totals.copies += 1;
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.literals.extend_from_slice(bytes);
        self.totals.literal += bytes.len() as u64;
        let mut len = bytes.len() as u64;
        if let Some(Open::Data { len: before }) = self.open {
            len += before;
        } else {
            self.close();
        }
        self.open = Some(Open::Data { len });
    }

    fn fill(&mut self, byte: u8, len: u64) {
        self.close();
        put(&mut self.operations, len << 2 | FILL);
        self.operations.push(byte);
        self.totals.filled += len;
    }
}

impl<W: Write> Sink for DeltaWriter<W> {
    fn copy(&mut self, block: u64, len: u64, sums: &[[u8; FULL]]) {
        self.frame_bytes += len;
        self.totals.copied += len;
        self.digest.update(sums.as_flattened());
        let blocks = sums.len() as u64;
        match &mut self.open {
            Some(Open::Copy { block: first, blocks: so_far }) if *first + *so_far == block => *so_far += blocks,
            _ => {
                self.close();
                self.open = Some(Open::Copy { block, blocks });
            }
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.frame_bytes += bytes.len() as u64;
        let mut rest = bytes;
        while let Some((start, len)) = run_of_one(rest) {
            self.data(&rest[..start]);
            self.fill(rest[start], len as u64);
            rest = &rest[start + len..];
        }
        self.data(rest);
    }
}

/// Where the first run of [`RUN`] equal bytes starts, and how long it is.
fn run_of_one(bytes: &[u8]) -> Option<(usize, usize)> {
    // Every such run covers a whole group of this length: only such groups are looked at closely.
    const GROUP: usize = RUN / 2;
    let mut from = 0;
    for (at, group) in bytes.chunks_exact(GROUP).enumerate() {
        let (start, byte) = (at * GROUP, group[0]);
        if start < from || group[GROUP - 1] != byte || group.iter().any(|other| *other != byte) {
            continue;
        }
        let before = bytes[..start].iter().rev().take_while(|other| **other == byte).count();
        let after = bytes[start..].iter().take_while(|other| **other == byte).count();
        if before + after >= RUN {
            return Some((start - before, before + after));
        }
        from = start + after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_wherever_they_start() {
        for start in [0, 1, 100, 127, 128, 300] {
            for len in [RUN, RUN + 1, 1000] {
                let mut bytes: Vec<u8> = (0..2000).map(|at| (at % 251) as u8 + 1).collect();
                bytes[start..start + len].fill(0);
                assert_eq!(run_of_one(&bytes), Some((start, len)), "{start} {len}");
            }
            let mut bytes: Vec<u8> = (0..2000).map(|at| (at % 251) as u8 + 1).collect();
            bytes[start..start + RUN - 1].fill(0);
            assert_eq!(run_of_one(&bytes), None);
        }
    }
}
