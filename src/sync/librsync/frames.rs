//! Reads deltas in the form of librsync, as frames that say nothing of a digest.
//!
//! Invariant: a frame's literals are at most `LITERALS`, however long a command says they are, and its copies are of the basis.

use crate::sync::format::FormatError;
use crate::sync::format::frame::{Digest, Frame, Op};
use std::io::{BufReader, Read};

/// Bytes of literals, and operations, that make a frame.
const LITERALS: usize = 1 << 20;
const OPERATIONS: usize = 1 << 14;

/// The frames of a delta of librsync.
pub struct Frames<R: Read> {
    from: BufReader<R>,
    basis_len: u64,
    /// What is left of a literal that is longer than a frame.
    left: u64,
    ended: bool,
}

impl<R: Read> Frames<R> {
    /// Reads a delta to a basis of so many bytes, from behind the magic.
    pub fn new(from: R, basis_len: u64) -> Self {
        Frames { from: BufReader::new(from), basis_len, left: 0, ended: false }
    }

    /// The next frame; none at the end.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FormatError> {
        let (mut ops, mut literals, mut target) = (Vec::new(), Vec::new(), 0_u64);
        while !self.ended && ops.len() < OPERATIONS && literals.len() < LITERALS {
            if self.left > 0 {
                let at = literals.len();
                let len = self.left.min((LITERALS - at) as u64);
                let read = (&mut self.from).take(len).read_to_end(&mut literals)?;
                if (read as u64) < len {
                    return Err(FormatError::Truncated);
                }
                self.left -= len;
                target += len;
                ops.push(Op::Data { at, len: read });
                continue;
            }
            let command = self.number(0)? as u8;
            match command {
                0x00 => {
                    self.ended = true;
                    match self.from.read_exact(&mut [0]).map_err(FormatError::of) {
                        Err(FormatError::Truncated) => {}
                        Ok(()) => return Err(FormatError::Trailing),
                        Err(error) => return Err(error),
                    }
                }
                0x01..=0x40 => self.left = u64::from(command),
                0x41..=0x44 => self.left = self.number(command - 0x41)?,
                0x45..=0x54 => {
                    let (wide, long) = ((command - 0x45) / 4, (command - 0x45) % 4);
                    let (offset, len) = (self.number(wide)?, self.number(long)?);
                    if offset.checked_add(len).is_none_or(|end| end > self.basis_len) {
                        return Err(FormatError::Malformed("it copies what the basis does not have"));
                    }
                    target = target.checked_add(len).ok_or(FormatError::Malformed("a target without end"))?;
                    if len > 0 {
                        ops.push(Op::Copy { offset, len });
                    }
                }
                _ => return Err(FormatError::Malformed("an unknown command")),
            }
        }
        let is_over = self.ended && ops.is_empty();
        Ok((!is_over).then_some(Frame { ops, coded: Vec::new(), literals, target, digest: Digest::Unknown }))
    }

    /// A number of the width 2^`width` bytes.
    fn number(&mut self, width: u8) -> Result<u64, FormatError> {
        let mut bytes = [0; 8];
        let from = &mut bytes[8 - (1 << width)..];
        self.from.read_exact(from).map_err(FormatError::of)?;
        Ok(u64::from_be_bytes(bytes))
    }
}
