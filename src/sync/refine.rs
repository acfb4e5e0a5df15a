//! A delta in rounds: two ends that talk find what their files have in common with blocks that become shorter where the files differ.
//!
//! The **holder** has the old file and wants the new one; the **finder** has the new one. One block length for all of a file is too coarse where
//! it was edited and too fine where it was not; here sums are sent only of what is still unused of the old file, and searched for only
//! in what is still missing of the new one:
//!
//! ```text
//! finder → holder   offer   length and digest of the new file
//! holder → finder   same    if that is the old one; or
//!                   open    length of the old file, salt; then the sums of its blocks, in order
//! finder → holder   found   where blocks stand in the new file; the block length of the next round, or that there is none
//! holder → finder   sums    of the blocks of the ranges that are not used so far
//!                   …       found, sums, found
//! finder → holder   found   (no next round), then the literals: what is still missing, as one Zstandard stream
//! ```
//!
//! [`Holder`] and [`Finder`] are these two ends without their wire: each [`give`](Finder::give)s messages until it has none, and
//! [`take`](Finder::take)s those of the other, whole and in order. Ranges, block numbers and the bits of a sum are derived by both from what
//! was said before (`layout`, `ranges`, `rounds`), so none of them travels.
//!
//! # How sure it is
//!
//! A sum has 32 bits of the weak one and some of the strong one, as many as a round needs (`rounds::bits`). Where one block alone counts as
//! found, that is expected within `rounds::NEAR` blocks of there: so in g bytes that are searched, 10 · g pairs may look alike by
//! chance. Anywhere among m blocks, which are m · g pairs, two in a row have to be found; or one, in a round that
//! says so and has bits for them. Of all kinds, and with another 12 bits
//! (`rounds::SPARE`), a round goes wrong with a probability of 2⁻¹² at most each, and a transfer of four rounds with less than 1 in 500. It is
//! noticed: the new file is what has the digest of the offer, or [`RefineError::Mismatch`]. The caller then starts anew with another salt and
//! [`Settings::extra`] bits. The sums have a key of the salt, so that data cannot be made to look alike beforehand.
//!
//! # Invariants
//!
//! No IO, clock or chance: files are behind [`Basis`], and the same files, salt and settings give the same messages. Memory is proportional
//! to the sums and copies of a round and never to a file; what a peer sends is bounded before it is kept ([`RefineError::Malformed`]) and costs
//! time in proportion to the files. Whatever [`Holder`] writes, it is the new file only once [`Holder::outcome`] says so: to keep it
//! from others until then is the caller's, and so is whether a transfer is worth more rounds than the line has patience for ([`Settings::wait`]).

mod finder;
mod found;
mod holder;
mod layout;
mod literals;
mod ranges;
mod rounds;
mod sums;
#[cfg(test)]
mod tests;
mod worth;

pub use finder::Finder;
pub use holder::{Holder, Outcome};
pub use rounds::Round;

use super::apply::Basis;
use super::format::FormatError;
use super::signature::SALT;
use std::io;

/// Longest file: places in it and their differences have to fit 64 bits with a sign, and some blocks more.
const LONGEST: u64 = 1 << 62;
/// Bytes that are read at once.
const READ: usize = 1 << 20;

/// The first byte of a message says what it is.
mod kind {
    pub(super) const OFFER: u8 = 1;
    pub(super) const SAME: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const SUMS: u8 = 4;
    pub(super) const FOUND: u8 = 5;
    pub(super) const LITERALS: u8 = 6;
}

/// What is decided beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The salt of the sums: unpredictable, and another one for each attempt. The holder's counts.
    pub salt: [u8; SALT],
    /// Bits of a sum beyond those that are usual, at most 32: 0 at first, 24 after a mismatch. The holder's counts.
    pub extra: u8,
    /// Bytes that could be sent while a message and its answer are on their way: another round has to save more. The finder's counts.
    pub wait: u64,
    /// The level of Zstandard for literals. The finder's counts.
    pub level: i32,
    /// Longest new file that is accepted, in bytes. The holder's counts.
    pub most: u64,
}

impl Settings {
    /// The usual ones with this salt: no time lost by waiting, any length.
    pub fn new(salt: [u8; SALT]) -> Settings {
        Settings { salt, extra: 0, wait: 0, level: 3, most: LONGEST }
    }
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefineError {
    /// The old file could not be read.
    #[error("{0}")]
    Old(io::Error),
    /// The new file could not be read.
    #[error("{0}")]
    New(io::Error),
    /// What was made could not be written.
    #[error("{0}")]
    Target(io::Error),
    /// The other end said what it cannot mean.
    #[error("the other end sent a message that is impossible: {0}")]
    Malformed(&'static str),
    /// The new file would be longer than is allowed.
    #[error("the new file would be longer than {0} bytes")]
    TooLong(u64),
    /// What was made is not the new file: a sum was right by chance, or a file changed meanwhile. Start anew with another salt.
    #[error("the result is not what the other end has")]
    Mismatch,
}

impl From<FormatError> for RefineError {
    fn from(error: FormatError) -> RefineError {
        RefineError::Malformed(match error {
            FormatError::Malformed(what) => what,
            _ => "it is cut off",
        })
    }
}

/// The BLAKE3 digest of the `len` bytes of `file`.
fn digest<B: Basis + ?Sized>(file: &B, len: u64) -> io::Result<[u8; 32]> {
    let mut digest = blake3::Hasher::new();
    let mut buffer = vec![0; READ.min(usize::try_from(len).unwrap_or(READ))];
    let mut at = 0;
    while at < len {
        let piece = &mut buffer[..usize::try_from(len - at).unwrap_or(READ).min(READ)];
        file.read_exact_at(piece, at)?;
        digest.update(piece);
        at += piece.len() as u64;
    }
    Ok(*digest.finalize().as_bytes())
}
