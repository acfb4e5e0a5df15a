//! Signatures and deltas in the form of librsync, as `rdiff` has them (librsync, `doc/formats.md`).
//!
//! All integers are big endian. A signature is a magic number, the length of a block, the bytes of a strong sum, and then for each block
//! its weak and its strong sum; a delta is a magic number and commands up to END. Neither says how long anything is or what it must come
//! to: a delta used on the wrong basis makes a wrong file, and nobody can tell. Invariant: what librsync reads, is read here, but for
//! blocks that are longer than ours may be; what is written here, librsync reads; MD4, which is broken, is read only.

pub mod delta;
pub mod frames;

use super::format::FormatError;
use super::signature::{BLOCK_LENGTHS, Plan, Signature};
use super::strong::{FULL, Strong};
use super::weak::{Poly, Weak};
use std::io::{self, Read, Write};

/// First bytes of a delta.
const DELTA: u32 = 0x7273_0236;
/// What librsync's polynomial starts with, and its base.
const RABIN_KARP: (u32, u32) = (1, 0x0810_4225);

/// Its two weak sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolling {
    /// After Adler-32.
    Rollsum,
    /// A polynomial, since version 2.2.
    RabinKarp,
}

/// Its two strong sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// MD4.
    Md4,
    /// BLAKE2b of 32 bytes.
    Blake2,
}

/// What the first four bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// A signature with these sums.
    Signature(Hash, Rolling),
    /// A delta.
    Delta,
}

impl Magic {
    /// What a file that begins like this is.
    pub fn of(head: [u8; 4]) -> Option<Magic> {
        Some(match u32::from_be_bytes(head) {
            0x7273_0136 => Magic::Signature(Hash::Md4, Rolling::Rollsum),
            0x7273_0137 => Magic::Signature(Hash::Blake2, Rolling::Rollsum),
            0x7273_0146 => Magic::Signature(Hash::Md4, Rolling::RabinKarp),
            0x7273_0147 => Magic::Signature(Hash::Blake2, Rolling::RabinKarp),
            DELTA => Magic::Delta,
            _ => return None,
        })
    }
}

/// How such a signature is made, with blocks of `block` bytes and strong sums of `kept`.
pub fn plan(hash: Hash, rolling: Rolling, block: usize, kept: usize) -> Plan {
    let weak = match rolling {
        Rolling::Rollsum => Weak::Rollsum,
        Rolling::RabinKarp => Weak::Poly(Poly::new(RABIN_KARP.1, RABIN_KARP.0)),
    };
    let strong = match hash {
        Hash::Md4 => Strong::Md4,
        Hash::Blake2 => Strong::Blake2b,
    };
    Plan { weak, strong, block, kept }
}

/// Writes a signature of BLAKE2 sums of a basis that streams by.
#[derive(Debug)]
pub struct SignatureWriter<W> {
    to: W,
    plan: Plan,
}

impl<W: Write> SignatureWriter<W> {
    /// Begins one.
    pub fn new(mut to: W, rolling: Rolling, block: usize, kept: usize) -> io::Result<Self> {
        debug_assert!(BLOCK_LENGTHS.contains(&block) && (1..=FULL).contains(&kept));
        let magic: u32 = if rolling == Rolling::Rollsum { 0x7273_0137 } else { 0x7273_0147 };
        for number in [magic, block as u32, kept as u32] {
            to.write_all(&number.to_be_bytes())?;
        }
        Ok(SignatureWriter { to, plan: plan(Hash::Blake2, rolling, block, kept) })
    }

    /// Takes the next bytes of the basis: whole blocks, but at its end.
    pub fn add(&mut self, data: &[u8]) -> io::Result<()> {
        let mut sums = Vec::with_capacity((data.len() / self.plan.block + 1) * (4 + self.plan.kept));
        self.plan.sums(data, |weak, strong| {
            sums.extend(weak.to_be_bytes());
            sums.extend(&strong[..self.plan.kept]);
        });
        self.to.write_all(&sums)
    }

    /// Gives back where it was written to.
    pub fn finish(self) -> W {
        self.to
    }
}

/// Reads a signature from behind its magic.
pub fn read_signature(from: impl Read, hash: Hash, rolling: Rolling) -> Result<Signature, FormatError> {
    let mut from = io::BufReader::new(from);
    let mut number = || {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).map_err(FormatError::of)?;
        Ok::<_, FormatError>(u32::from_be_bytes(bytes) as usize)
    };
    let (block, kept) = (number()?, number()?);
    let plan = plan(hash, rolling, block, kept);
    // librsync takes blocks of any length that its signed numbers can have.
    if !(1..=i32::MAX as usize).contains(&block) || !(1..=plan.strong.full()).contains(&kept) {
        return Err(FormatError::Malformed("lengths that no signature has"));
    }
    if block > *BLOCK_LENGTHS.end() {
        return Err(FormatError::LongBlocks(block as u64));
    }
    let mut signature = Signature::new(plan);
    let mut entry = vec![0; 4 + kept];
    loop {
        let mut there = 0;
        while there < entry.len() {
            match from.read(&mut entry[there..]) {
                Ok(0) if there == 0 => return Ok(signature),
                Ok(0) => return Err(FormatError::Truncated),
                Ok(read) => there += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FormatError::Io(error)),
            }
        }
        let weak = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
        signature.push(weak, &entry[4..]);
    }
}
