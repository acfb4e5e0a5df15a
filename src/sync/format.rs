//! How signatures and deltas look at rest: what both forms of this project's own have in common.
//!
//! All integers are little endian; counts and lengths within are LEB128 (as in DWARF and WebAssembly), at most ten bytes. `man
//! resilient-format` is the specification, `tests/it/formats.rs` has golden vectors. Invariants: a reader allocates no more than has
//! arrived, or a stated maximum; every length is checked before it is used; whatever follows the end is an error.

pub mod delta;
pub mod frame;
mod packer;
pub mod signature;

use std::io::{self, Read};

/// First bytes of a signature, and of a delta.
pub const SIGNATURE_MAGIC: [u8; 4] = *b"RSLS";
/// See [`SIGNATURE_MAGIC`].
pub const DELTA_MAGIC: [u8; 4] = *b"RSLD";
/// The version of both.
pub const VERSION: u8 = 1;
/// Bytes of a checksum of what is at rest.
const CHECK: usize = 8;

/// Why something is not a signature or a delta that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is not {wanted}{}", .found.map(|found| format!(": it is {found}")).unwrap_or_default())]
    NotA {
        /// What was wanted.
        wanted: &'static str,
        /// What it is, if that is known.
        found: Option<&'static str>,
    },
    /// Its version is not known here.
    #[error("a {what} of version {found}; this program knows {VERSION}")]
    Version {
        /// What it is.
        what: &'static str,
        /// Its version.
        found: u8,
    },
    /// Its blocks are longer than those that are read here.
    #[error("a signature of blocks of {0} bytes; this program takes up to {most}", most = super::signature::BLOCK_LENGTHS.end())]
    LongBlocks(u64),
    /// It ends too early.
    #[error("it is cut off")]
    Truncated,
    /// It goes on behind its end.
    #[error("something follows its end")]
    Trailing,
    /// What it says is impossible.
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
}

impl FormatError {
    /// What an error of reading comes to: an early end is one of the data.
    pub(in crate::sync) fn of(error: io::Error) -> FormatError {
        if error.kind() == io::ErrorKind::UnexpectedEof { FormatError::Truncated } else { FormatError::Io(error) }
    }
}

/// What a file that begins like this is, in words, if it is one that this program knows.
pub fn recognized(head: [u8; 4]) -> Option<&'static str> {
    match head {
        SIGNATURE_MAGIC => Some("a signature of resilient"),
        DELTA_MAGIC => Some("a delta of resilient"),
        _ => match super::librsync::Magic::of(head)? {
            super::librsync::Magic::Delta => Some("a delta of librsync"),
            super::librsync::Magic::Signature(..) => Some("a signature of librsync"),
        },
    }
}

/// Adds `value` as LEB128.
pub(in crate::sync) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small for numbers near to 0 on both sides.
pub(in crate::sync) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(in crate::sync) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// One byte after the other.
pub(in crate::sync) trait Bytes {
    fn byte(&mut self) -> Result<u8, FormatError>;

    /// A number in LEB128.
    fn number(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7F);
            value |= part << shift;
            if byte & 0x80 == 0 {
                let fits = (part << shift) >> shift == part;
                return if fits { Ok(value) } else { Err(FormatError::Malformed("a number is too large")) };
            }
        }
        Err(FormatError::Malformed("a number is too long"))
    }
}

impl Bytes for &[u8] {
    fn byte(&mut self) -> Result<u8, FormatError> {
        let (first, rest) = self.split_first().ok_or(FormatError::Truncated)?;
        *self = rest;
        Ok(*first)
    }
}

/// Reads, and keeps a checksum of what was read.
struct Checked<R> {
    from: R,
    read: blake3::Hasher,
}

impl<R: Read> Checked<R> {
    fn new(from: R, head: &[u8]) -> Self {
        let mut read = blake3::Hasher::new();
        read.update(head);
        Checked { from, read }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FormatError> {
        self.from.read_exact(buffer).map_err(FormatError::of)?;
        self.read.update(buffer);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    /// The next `len` bytes, in a buffer that grows as they come.
    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, FormatError> {
        let bytes = self.unchecked(len)?;
        self.read.update(&bytes);
        Ok(bytes)
    }

    /// The same without counting them to what the checksum is of.
    fn unchecked(&mut self, len: usize) -> Result<Vec<u8>, FormatError> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(len as u64).read_to_end(&mut bytes)?;
        if read < len { Err(FormatError::Truncated) } else { Ok(bytes) }
    }

    /// Whether the next bytes are the checksum of all since the last one.
    fn checks(&mut self) -> Result<bool, FormatError> {
        let sum = self.read.finalize();
        self.read.reset();
        let mut found = [0; CHECK];
        self.from.read_exact(&mut found).map_err(FormatError::of)?;
        Ok(sum.as_bytes()[..CHECK] == found)
    }

    /// Nothing may follow.
    fn ends(&mut self) -> Result<(), FormatError> {
        let mut more = [0];
        loop {
            match self.from.read(&mut more) {
                Ok(0) => return Ok(()),
                Ok(_) => return Err(FormatError::Trailing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FormatError::of(error)),
            }
        }
    }
}

impl<R: Read> Bytes for Checked<R> {
    fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(bytes.as_slice().number().unwrap(), value);
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let number = |bytes: &[u8]| { bytes }.number().map_err(|error| error.to_string());
        assert_eq!(number(&[0xFF; 9]), Err("it is cut off".into()));
        assert_eq!(number(&[0xFF; 11]), Err("it is damaged: a number is too long".into()));
        let mut most = [0xFF; 10];
        most[9] = 1;
        assert_eq!(number(&most), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(number(&most), Err("it is damaged: a number is too large".into()));
    }
}
