//! Deltas at rest, version 1: reading them. See [`super::delta`] for how they look.
//!
//! Invariant: a [`Frame`] that comes out is whole and possible: its operations make as many bytes as it says, take all of its literals, and
//! copy only what the basis has. Whether they make the right bytes, its digest says.

use super::delta::{COPY, DATA, FILL, LAST, LITERALS_ANEW, LITERALS_PACKED, OPS_PACKED, SO_FAR, WINDOW_LOG};
use super::signature::{Basis, LONGEST};
use super::{Bytes as _, Checked, DELTA_MAGIC, FormatError, VERSION, unzigzag};
use crate::sync::signature::{BLOCK_LENGTHS, SALT};
use std::io::Read;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::DParameter;

/// Bytes of literals in a frame, at most. A writer ends frames long before.
const MOST_LITERALS: usize = 16 << 20;
/// Bytes of operations in a frame, at most.
const MOST_OPERATIONS: usize = 1 << 20;

/// What makes a piece of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The next bytes of the literals.
    Data {
        /// Where in the literals of the frame.
        at: usize,
        /// How many.
        len: usize,
    },
    /// Bytes of the basis, of whole blocks if it is a delta of our own: the last of the basis may be shorter.
    Copy {
        /// Where in the basis.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// One byte several times.
    Fill {
        /// That byte.
        byte: u8,
        /// How many times.
        len: u64,
    },
}

/// What a frame says of everything up to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The head of its digest.
    SoFar([u8; SO_FAR]),
    /// The digest of all of it.
    Whole([u8; 32]),
    /// Nothing: librsync's deltas have no digest.
    Unknown,
}

impl Digest {
    /// Whether `digest` is what is said.
    pub fn is(&self, digest: &[u8; 32]) -> bool {
        match self {
            Digest::SoFar(head) => digest.starts_with(head),
            Digest::Whole(whole) => digest == whole,
            Digest::Unknown => true,
        }
    }
}

/// A part of a delta.
#[derive(Debug)]
pub struct Frame {
    /// What to do, in order.
    pub ops: Vec<Op>,
    /// The same as it is hashed.
    pub coded: Vec<u8>,
    /// The literals that the operations take.
    pub literals: Vec<u8>,
    /// Bytes that the operations make.
    pub target: u64,
    /// What the target has to be then.
    pub digest: Digest,
}

/// The frames of a delta.
pub struct Frames<R> {
    from: Checked<R>,
    basis: Basis,
    decoder: Option<Decoder<'static>>,
    /// The block behind the last COPY.
    next: u64,
    ended: bool,
}

impl<R: Read> Frames<R> {
    /// Reads a delta from behind its first four bytes, which were its magic.
    pub fn new(from: R) -> Result<Self, FormatError> {
        let mut from = Checked::new(from, &DELTA_MAGIC);
        let version = from.byte()?;
        if version != VERSION {
            return Err(FormatError::Version { what: "delta", found: version });
        }
        let basis = Basis {
            block: u32::from_le_bytes(from.array()?) as usize,
            salt: from.array::<SALT>()?,
            len: u64::from_le_bytes(from.array()?),
            digest: from.array()?,
        };
        if !BLOCK_LENGTHS.contains(&basis.block) || basis.len > LONGEST {
            return Err(FormatError::Malformed("lengths that no delta has"));
        }
        Ok(Frames { from, basis, decoder: None, next: 0, ended: false })
    }

    /// What it is a delta to.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The next frame; none behind the last one.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FormatError> {
        if self.ended {
            return Ok(None);
        }
        let flags = self.from.byte()?;
        if flags & !(LAST | OPS_PACKED | LITERALS_PACKED | LITERALS_ANEW) != 0 {
            return Err(FormatError::Malformed("a frame of an unknown kind"));
        }
        let target = self.from.number()?;
        let (ops_stored, ops_len) = self.lengths(flags & OPS_PACKED != 0, MOST_OPERATIONS)?;
        let (stored, literals_len) = self.lengths(flags & LITERALS_PACKED != 0, MOST_LITERALS)?;
        let mut coded = self.from.bytes(ops_stored)?;
        if flags & OPS_PACKED != 0 {
            let plain = zstd::bulk::decompress(&coded, ops_len);
            coded = plain.map_err(|_| FormatError::Malformed("operations that do not unpack"))?;
            if coded.len() != ops_len {
                return Err(FormatError::Malformed("operations of another length"));
            }
        }
        let literals = if flags & LITERALS_PACKED != 0 {
            let packed = self.from.bytes(stored)?;
            self.unpack(&packed, literals_len, flags & LITERALS_ANEW != 0)?
        } else {
            self.from.unchecked(literals_len)?
        };
        let ops = self.operations(&coded, literals.len(), target)?;
        self.ended = flags & LAST != 0;
        let digest = if self.ended { Digest::Whole(self.from.array()?) } else { Digest::SoFar(self.from.array()?) };
        if !self.from.checks()? {
            return Err(FormatError::Malformed("a checksum is wrong"));
        }
        if self.ended {
            self.from.ends()?;
        }
        Ok(Some(Frame { ops, coded, literals, target, digest }))
    }

    /// Stored and plain length of a part.
    fn lengths(&mut self, packed: bool, most: usize) -> Result<(usize, usize), FormatError> {
        let bound = |len: u64| {
            let len = usize::try_from(len).ok().filter(|len| *len <= most);
            len.ok_or(FormatError::Malformed("a frame is too long"))
        };
        let len = bound(self.from.number()?)?;
        let plain = if packed { bound(self.from.number()?)? } else { len };
        Ok((len, plain))
    }

    fn unpack(&mut self, packed: &[u8], len: usize, anew: bool) -> Result<Vec<u8>, FormatError> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
                none.insert(decoder)
            }
        };
        if anew {
            decoder.reinit()?;
        }
        let mut literals = vec![0; len];
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(&mut literals);
        let malformed = |_| FormatError::Malformed("literals that do not unpack");
        loop {
            let before = (input.pos(), output.pos());
            decoder.run(&mut input, &mut output).map_err(malformed)?;
            if before == (input.pos(), output.pos()) {
                break;
            }
        }
        if input.pos() < packed.len() || output.pos() < len {
            return Err(FormatError::Malformed("literals of another length"));
        }
        Ok(literals)
    }

    fn operations(&mut self, mut bytes: &[u8], literals: usize, target: u64) -> Result<Vec<Op>, FormatError> {
        let mut ops = Vec::new();
        let (mut taken, mut made) = (0, 0_u64);
        while !bytes.is_empty() {
            let head = bytes.number()?;
            let len = head >> 2;
            let impossible = FormatError::Malformed("an operation that is impossible");
            let op = match head & 3 {
                _ if len == 0 => return Err(impossible),
                DATA if len <= (literals - taken) as u64 => {
                    let at = taken;
                    taken += len as usize;
                    Op::Data { at, len: len as usize }
                }
                COPY => {
                    let (size, all) = (self.basis.block as u64, self.basis.len.div_ceil(self.basis.block as u64));
                    let first = self.next.wrapping_add(unzigzag(bytes.number()?) as u64);
                    self.next = first.checked_add(len).filter(|end| *end <= all).ok_or(impossible)?;
                    let offset = first * size;
                    Op::Copy { offset, len: (self.next * size).min(self.basis.len) - offset }
                }
                FILL => Op::Fill { byte: bytes.byte()?, len },
                _ => return Err(impossible),
            };
            let len = match op {
                Op::Data { len, .. } => len as u64,
                Op::Copy { len, .. } | Op::Fill { len, .. } => len,
            };
            made = made.checked_add(len).ok_or(FormatError::Malformed("a target without end"))?;
            ops.push(op);
        }
        if taken == literals && made == target {
            return Ok(ops);
        }
        Err(FormatError::Malformed("a frame that makes another length than it says"))
    }
}
