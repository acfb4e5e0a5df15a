//! Makes a target of a basis and a delta.
//!
//! Invariant: nothing of a frame is written before all of it was found possible and within the limit, and when [`Apply::frame`] returns, what
//! was written is the target up to there, as the digest of the delta says. Reading the basis and keeping what is written from others until the end
//! are the caller's.

use super::format::frame::{Frame, Op};
use super::format::{FormatError, signature};
use super::signature::Plan;
use super::strong::{FULL, MANY};
use std::io::{self, Write};

/// Bytes that are read, hashed and written at once.
const PIECE: usize = 1 << 20;

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
    sums: Vec<[u8; FULL]>,
    piece: Vec<u8>,
    /// Bytes of `piece` that are there.
    there: usize,
}

impl<'b, B: Basis + ?Sized, W: Write> Apply<'b, B, W> {
    /// To make no more than `most` bytes of `basis`, which is described like this if the delta says how.
    pub fn new(basis: &'b B, described: Option<&signature::Basis>, to: W, most: u64) -> Self {
        let plan = described.map(|basis| Plan::salted(&basis.salt, basis.block, FULL));
        let piece = plan.as_ref().map_or(PIECE, |plan| PIECE.max(plan.block));
        Apply {
            basis,
            to,
            most,
            written: 0,
            plan,
            digest: blake3::Hasher::new(),
            sums: Vec::new(),
            piece: vec![0; piece],
            there: 0,
        }
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
                    return self.write(bytes);
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
                    self.sum(read);
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

    /// Takes the sums of the last `len` bytes of the piece, which are blocks of the basis, into the digest.
    fn sum(&mut self, len: usize) {
        let Some(plan) = &self.plan else { return };
        let blocks = &self.piece[self.there - len..self.there];
        let (whole, tail) = blocks.split_at(len - len % plan.block);
        for group in whole.chunks(plan.block * MANY) {
            plan.strong.of_each(group, plan.block, &mut self.sums);
            self.digest.update(self.sums.as_flattened());
        }
        if !tail.is_empty() {
            self.digest.update(&plan.strong.of(tail));
        }
    }

    /// Where the next bytes go, at most `wanted`, and a multiple of `unit` if they are fewer; they count as there.
    fn space(&mut self, wanted: u64, unit: usize) -> Result<&mut [u8], ApplyError> {
        let fits = |free: usize| wanted.min((free - free % unit) as u64) as usize;
        if fits(self.piece.len() - self.there) == 0 {
            self.flush()?;
        }
        let from = self.there;
        self.there += fits(self.piece.len() - from);
        Ok(&mut self.piece[from..self.there])
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        let (piece, there) = (std::mem::take(&mut self.piece), std::mem::take(&mut self.there));
        let written = self.write(&piece[..there]);
        self.piece = piece;
        written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ApplyError> {
        self.to.write_all(bytes).map_err(ApplyError::Target)
    }
}
