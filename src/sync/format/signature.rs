//! Signatures at rest, version 1.
//!
//! ```text
//! "RSLS"  version u8  kept u8  block u32  salt [16]
//! groups: LEB128 2n      then n weak sums (u32) and n strong sums (kept bytes each), n ≤ 4096
//!         LEB128 2n + 1  the last block n times more
//!         0              the end
//! basis length u64   basis digest [32]   checksum [8]
//! ```
//!
//! The basis digest is BLAKE3 of the full strong sums (32 bytes each) of all blocks; the checksum is the head of BLAKE3 of all before it.
//! Invariant: the same basis, block length, sum length and salt give the same bytes.

use super::{CHECK, Checked, FormatError, SIGNATURE_MAGIC, VERSION, put};
use crate::sync::signature::{BLOCK_LENGTHS, Plan, SALT, Signature};
use crate::sync::strong::FULL;
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;

use super::Bytes as _;

/// Bytes that are read at once, or one block.
const READ: usize = 256 * 1024;
/// Blocks of a group at most.
const GROUP: usize = 4096;
/// Shortest run of equal blocks that becomes one.
const RUN: u64 = 4;
/// Longest basis: places in it and their differences have to fit 64 bits with a sign, and some blocks more.
pub(super) const LONGEST: u64 = 1 << 62;
/// Bytes of a strong sum that can be kept.
pub const KEPT: RangeInclusive<usize> = 4..=FULL;

/// What names a basis: the salt and the lengths of its signature, its own length, and the digest of its strong sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The salt of the sums.
    pub salt: [u8; SALT],
    /// Bytes of a block.
    pub block: usize,
    /// Bytes of the basis.
    pub len: u64,
    /// BLAKE3 of the full strong sums.
    pub digest: [u8; 32],
}

impl Basis {
    /// Whether what `from` reads is this basis.
    pub fn is(&self, mut from: impl Read) -> io::Result<bool> {
        let plan = Plan::salted(&self.salt, self.block, *KEPT.start());
        let mut buffer = vec![0; READ.div_ceil(self.block) * self.block];
        let (mut digest, mut len) = (blake3::Hasher::new(), 0);
        loop {
            let mut there = 0;
            while there < buffer.len() {
                match from.read(&mut buffer[there..]) {
                    Ok(0) => break,
                    Ok(read) => there += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            plan.sums(&buffer[..there], |_, strong| {
                digest.update(strong);
            });
            len += there as u64;
            if there < buffer.len() {
                return Ok(len == self.len && *digest.finalize().as_bytes() == self.digest);
            }
        }
    }
}

/// Writes the signature of a basis that streams by.
#[derive(Debug)]
pub struct SignatureWriter<W> {
    to: W,
    plan: Plan,
    salt: [u8; SALT],
    weak: Vec<u8>,
    strong: Vec<u8>,
    last: Option<(u32, [u8; FULL])>,
    run: u64,
    basis: blake3::Hasher,
    check: blake3::Hasher,
    len: u64,
}

impl<W: Write> SignatureWriter<W> {
    /// Begins one, with blocks of `block` bytes and strong sums of `kept`.
    pub fn new(to: W, salt: [u8; SALT], block: usize, kept: usize) -> io::Result<Self> {
        debug_assert!(BLOCK_LENGTHS.contains(&block) && KEPT.contains(&kept));
        let mut writer = SignatureWriter {
            to,
            plan: Plan::salted(&salt, block, kept),
            salt,
            weak: Vec::new(),
            strong: Vec::new(),
            last: None,
            run: 0,
            basis: blake3::Hasher::new(),
            check: blake3::Hasher::new(),
            len: 0,
        };
        let mut head = SIGNATURE_MAGIC.to_vec();
        head.extend([VERSION, kept as u8]);
        head.extend((block as u32).to_le_bytes());
        head.extend(salt);
        writer.write(&head)?;
        Ok(writer)
    }

    /// Takes the next bytes of the basis: whole blocks, but at its end.
    pub fn add(&mut self, data: &[u8]) -> io::Result<()> {
        let plan = self.plan.clone();
        let mut result = Ok(());
        self.len += data.len() as u64;
        plan.sums(data, |weak, strong| {
            if result.is_ok() {
                result = self.push(weak, strong);
            }
        });
        result
    }

    fn push(&mut self, weak: u32, strong: &[u8; FULL]) -> io::Result<()> {
        self.basis.update(strong);
        if self.last == Some((weak, *strong)) {
            self.run += 1;
            return Ok(());
        }
        self.end_run()?;
        self.last = Some((weak, *strong));
        self.list(weak, strong)
    }

    fn list(&mut self, weak: u32, strong: &[u8; FULL]) -> io::Result<()> {
        self.weak.extend(weak.to_le_bytes());
        self.strong.extend(&strong[..self.plan.kept]);
        if self.weak.len() == 4 * GROUP { self.end_group() } else { Ok(()) }
    }

    /// Writes what repeats the last block: as a run, or where it is short, as it is.
    fn end_run(&mut self) -> io::Result<()> {
        let run = std::mem::take(&mut self.run);
        let Some((weak, strong)) = self.last.filter(|_| run > 0) else { return Ok(()) };
        if run < RUN {
            return (0..run).try_for_each(|_| self.list(weak, &strong));
        }
        self.end_group()?;
        let mut tag = Vec::new();
        put(&mut tag, 2 * run + 1);
        self.write(&tag)
    }

    fn end_group(&mut self) -> io::Result<()> {
        if self.weak.is_empty() {
            return Ok(());
        }
        let mut group = Vec::new();
        put(&mut group, 2 * (self.weak.len() / 4) as u64);
        group.append(&mut self.weak);
        group.append(&mut self.strong);
        self.write(&group)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check.update(bytes);
        self.to.write_all(bytes)
    }

    /// Writes the end, and says of what basis it was.
    pub fn finish(mut self) -> io::Result<(W, Basis)> {
        self.end_run()?;
        self.end_group()?;
        let digest = *self.basis.finalize().as_bytes();
        let mut end = vec![0];
        end.extend(self.len.to_le_bytes());
        end.extend(digest);
        self.write(&end)?;
        let check = self.check.finalize();
        self.to.write_all(&check.as_bytes()[..CHECK])?;
        Ok((self.to, Basis { salt: self.salt, block: self.plan.block, len: self.len, digest }))
    }
}

/// Reads a signature from behind its first four bytes, which were its magic.
pub fn read(from: impl Read) -> Result<(Signature, Basis), FormatError> {
    let mut from = Checked::new(from, &SIGNATURE_MAGIC);
    let version = from.byte()?;
    if version != VERSION {
        return Err(FormatError::Version { what: "signature", found: version });
    }
    let kept = usize::from(from.byte()?);
    let block = u32::from_le_bytes(from.array()?) as usize;
    if !KEPT.contains(&kept) || !BLOCK_LENGTHS.contains(&block) {
        return Err(FormatError::Malformed("lengths that no signature has"));
    }
    let salt = from.array()?;
    let mut signature = Signature::new(Plan::salted(&salt, block, kept));
    let mut bytes = Vec::new();
    loop {
        let tag = from.number()?;
        let count = tag >> 1;
        match (tag & 1, count) {
            (0, 0) => break,
            (0, count) if count <= GROUP as u64 => {
                let count = count as usize;
                bytes.resize(count * (4 + kept), 0);
                from.fill(&mut bytes)?;
                let (weak, strong) = bytes.split_at(count * 4);
                for (weak, strong) in weak.as_chunks::<4>().0.iter().zip(strong.chunks_exact(kept)) {
                    signature.push(u32::from_le_bytes(*weak), strong);
                }
            }
            (1, count) if count > 0 && signature.blocks() > 0 && count < 1 << 48 && signature.blocks() < 1 << 48 => {
                signature.repeat(count);
            }
            _ => return Err(FormatError::Malformed("an impossible number of blocks")),
        }
    }
    let len = u64::from_le_bytes(from.array()?);
    let digest = from.array()?;
    if !from.checks()? {
        return Err(FormatError::Malformed("its checksum is wrong"));
    }
    if len > LONGEST || len.div_ceil(block as u64) != signature.blocks() {
        return Err(FormatError::Malformed("its length and its blocks differ"));
    }
    from.ends()?;
    signature.set_basis_len(len);
    Ok((signature, Basis { salt, block, len, digest }))
}
