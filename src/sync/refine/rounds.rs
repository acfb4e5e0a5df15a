//! Which rounds there are: block lengths, bits of a sum, which blocks are asked for.
//!
//! Invariant: all of it is a function of what both ends know, so that they agree. Whether there is another round, `worth` decides.

use super::RefineError;
use super::layout::Layout;
use super::ranges::Blocks;
use crate::sync::format::Bytes as _;

/// Bits of a sum beyond those that tell all pairs apart.
pub(super) const SPARE: u32 = 12;
/// How many blocks from where it is expected one is found that stands alone.
pub(super) const NEAR: u64 = 2;
/// Bits of a sum.
const LEAST_BITS: u32 = 36;
const MOST_BITS: u32 = 96;
/// Logarithms of the bytes of a block.
pub(super) const SHORTEST: u8 = 7;
const LONGEST: u8 = 22;

/// A probe asks for pieces of what is unused, of so many bytes each at least.
const PIECE: u64 = 16 << 10;

/// One in how many pieces that is: half a megabyte tells enough, but not of too few places.
pub(super) fn probed(unused: u64) -> u64 {
    (unused >> 19).clamp(8, 64)
}

/// What a round was, as the finder knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Bytes of a block.
    pub block: u64,
    /// How many blocks were asked for.
    pub blocks: u64,
    /// Bits of a sum.
    pub bits: u32,
    /// Whether it was a probe, of a part of the blocks only.
    pub probe: bool,
    /// Whether one block alone counted as found wherever it stood.
    pub anywhere: bool,
    /// Bytes of the new file that they were searched in.
    pub searched: u64,
    /// Bytes that could be found if nothing were found twice: no more than were searched, or asked for.
    pub reach: u64,
    /// Bytes of the new file that were found.
    pub found: u64,
    /// How many copies that made.
    pub copies: u64,
}

/// A round to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// The logarithm of the bytes of a block.
    pub(super) log: u8,
    /// Whether only some of the blocks are asked for.
    pub(super) probe: bool,
    /// Whether one block alone counts as found wherever it stands: for what has moved, and with longer sums.
    pub(super) anywhere: bool,
}

impl Next {
    /// The blocks that are asked for.
    pub(super) fn blocks(self, layout: &Layout) -> Blocks {
        if self.probe {
            let sample = layout.unused.sample(PIECE, probed(layout.unused.bytes()));
            return Blocks::of(&sample, 1 << self.log);
        }
        Blocks::of(&layout.unused, 1 << self.log)
    }

    /// Whether it may come after this one: so there are few, whatever the other end says.
    pub(super) fn may_follow(self, last: Next) -> bool {
        self.log < last.log || (self.log == last.log && last.probe && !self.probe)
    }
}

/// Copies of a round, at most, of an old file of so many bytes: what is found beyond them is not told.
pub(super) fn most_copies(old: u64) -> usize {
    /// Each of the shortest blocks four times, and some for short files.
    const BYTES: u64 = 32;
    const SOME: u64 = 1 << 16;
    usize::try_from(SOME + old / BYTES).unwrap_or(usize::MAX)
}

/// The first round for an old file of so many bytes.
pub(super) fn first(old: u64) -> Next {
    let wanted = 4.0 * (old.max(1) as f64).sqrt();
    let log = (wanted.log2().round() as u8).clamp(14, 16);
    // Of a short file there are some blocks, too.
    let some = old.max(1).ilog2().saturating_sub(3) as u8;
    Next { log: log.min(some).max(9), probe: false, anywhere: false }
}

/// Bits of the sums of so many blocks that are searched in so many bytes.
///
/// Where not one alone counts `anywhere`, two blocks in a row have to be found there, and one only at [`NEAR`] blocks around two places where it
/// may be expected.
pub(super) fn bits(searched: u64, blocks: u64, extra: u8, anywhere: bool) -> u32 {
    let bits_of = |pairs: u128| pairs.max(1).ilog2() + 1 + SPARE + u32::from(extra);
    let (searched, blocks) = (u128::from(searched), u128::from(blocks));
    let alone = bits_of(searched * if anywhere { blocks } else { blocks.min(u128::from(4 * NEAR + 2)) });
    let two = bits_of(searched * blocks).div_ceil(2);
    alone.max(two).clamp(LEAST_BITS, MOST_BITS)
}

/// What follows a message of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// More of the same round.
    More,
    /// Another round.
    Round(Next),
    /// The literals.
    Literals,
}

impl Then {
    const MORE: u8 = 0xFF;
    const LITERALS: u8 = 0;
    const PROBE: u8 = 0x80;
    const ANYWHERE: u8 = 0x40;

    /// Says it in a message.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(match self {
            Then::More => Then::MORE,
            Then::Literals => Then::LITERALS,
            Then::Round(next) => {
                let flag = |is: bool, flag: u8| if is { flag } else { 0 };
                next.log | flag(next.probe, Then::PROBE) | flag(next.anywhere, Then::ANYWHERE)
            }
        });
    }

    /// Takes it from a message.
    pub(super) fn read(bytes: &mut &[u8]) -> Result<Then, RefineError> {
        match bytes.byte()? {
            Then::MORE => Ok(Then::More),
            Then::LITERALS => Ok(Then::Literals),
            next => {
                let next = Next {
                    log: next & !(Then::PROBE | Then::ANYWHERE),
                    probe: next & Then::PROBE != 0,
                    anywhere: next & Then::ANYWHERE != 0,
                };
                let possible = (SHORTEST..=LONGEST).contains(&next.log);
                possible.then_some(Then::Round(next)).ok_or(RefineError::Malformed("an impossible block length"))
            }
        }
    }
}
