//! Makes a target of a basis and a delta.
//!
//! Invariant: nothing of a frame is written before all of it was found possible and within the limit, and when [`Apply::frame`] returns, what
//! was written is the target up to there, as the digest of the delta says. Reading the basis and keeping what is written from others until the end
//! are the caller's.

mod piece;

use super::format::frame::{Frame, Op};
use super::format::{FormatError, signature};
use super::signature::Plan;
use super::strong::FULL;
use piece::Piece;
use std::io::{self, Write};

/// Why a target could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The delta cannot be used.
    #[error("{0}")]
    Delta(#[from] FormatError),
    /// The basis could not be read.
    #[error("{0}")]
    Basis(io::Error),
    /// The target could not be written.
    #[error("{0}")]
    Target(io::Error),
    /// The target is not what it was.
    #[error("the result is not what the delta was made of")]
    Mismatch,
    /// The target would be longer than is allowed.
    #[error("the result would be longer than {0} bytes")]
    TooLong(u64),
}

/// Bytes of a basis, at any place.
pub trait Basis {
    /// Fills `buffer` from `offset` on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Basis for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|from| self.get(from..)?.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Writes the target of a delta frame by frame.
#[derive(Debug)]
pub struct Apply<'b, B: ?Sized, W> {
    basis: &'b B,
    to: W,
    most: u64,
    written: u64,
    /// How blocks are summed, if there is a digest.
    plan: Option<Plan>,
    digest: blake3::Hasher,
    piece: Piece,
}

impl<'b, B: Basis + ?Sized, W: Write> Apply<'b, B, W> {
    /// To make no more than `most` bytes of `basis`, which is described like this if the delta says how.
    pub fn new(basis: &'b B, described: Option<&signature::Basis>, to: W, most: u64) -> Self {
        let plan = described.map(|basis| Plan::salted(&basis.salt, basis.block, FULL));
        let piece = Piece::new(plan.as_ref().map_or(1, |plan| plan.block));
        Apply { basis, to, most, written: 0, plan, digest: blake3::Hasher::new(), piece }
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Does what a frame says.
    pub fn frame(&mut self, frame: &Frame) -> Result<(), ApplyError> {
        let written = self.written.checked_add(frame.target);
        let written = written.ok_or(FormatError::Malformed("a target without end"))?;
        if written > self.most {
            return Err(ApplyError::TooLong(self.most));
        }
        self.written = written;
        for op in &frame.ops {
            self.op(op, &frame.literals)?;
        }
        self.flush()?;
        self.digest.update(&frame.coded).update(&frame.literals);
        if frame.digest.is(self.digest.finalize().as_bytes()) { Ok(()) } else { Err(ApplyError::Mismatch) }
    }

    /// Bytes written, and where to.
    pub fn finish(mut self) -> Result<(u64, W), ApplyError> {
        self.to.flush().map_err(ApplyError::Target)?;
        Ok((self.written, self.to))
    }

    fn op(&mut self, op: &Op, literals: &[u8]) -> Result<(), ApplyError> {
        match *op {
            Op::Data { at, len } => {
                let mut bytes = &literals[at..at + len];
                if len >= self.piece.len() {
                    // It is in memory already.
                    self.flush()?;
                    return self.to.write_all(bytes).map_err(ApplyError::Target);
                }
                while !bytes.is_empty() {
                    let space = self.space(bytes.len() as u64, 1)?;
                    let (now, rest) = bytes.split_at(space.len());
                    space.copy_from_slice(now);
                    bytes = rest;
                }
            }
            Op::Copy { mut offset, mut len } => {
                let basis = self.basis;
                let unit = self.plan.as_ref().map_or(1, |plan| plan.block);
                while len > 0 {
                    let space = self.space(len, unit)?;
                    let read = space.len();
                    basis.read_exact_at(space, offset).map_err(ApplyError::Basis)?;
                    if self.plan.is_some() {
                        self.piece.copied(read, unit);
                    }
                    offset += read as u64;
                    len -= read as u64;
                }
            }
            Op::Fill { byte, mut len } => {
                while len > 0 {
                    let space = self.space(len, 1)?;
                    space.fill(byte);
                    len -= space.len() as u64;
                }
            }
        }
        Ok(())
    }

    /// Where the next bytes go, as [`Piece::space`] says.
    fn space(&mut self, wanted: u64, unit: usize) -> Result<&mut [u8], ApplyError> {
        if self.piece.is_full(wanted, unit) {
            self.flush()?;
        }
        Ok(self.piece.space(wanted, unit))
    }

    /// Sums and writes what is there.
    fn flush(&mut self) -> Result<(), ApplyError> {
        if let Some(plan) = &self.plan {
            self.piece.sum(plan, &mut self.digest);
        }
        for run in self.piece.runs() {
            self.to.write_all(run).map_err(ApplyError::Target)?;
        }
        self.piece.clear();
        Ok(())
    }
}
