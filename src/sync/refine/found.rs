//! What a round found, on its way: the copies in the order of the new file, as what differs from what was expected.
//!
//! A gap is expected to hold what follows, in the old file, the piece before it; behind a copy, what follows that. For each copy:
//!
//! ```text
//! gaps   that it is further on than the copy before it
//! block  zigzag: its first block - the first one at or behind the expected place
//! skip   zigzag: bytes of the gap that are passed over - bytes of the old file that are; where that is no place in the gap, the bytes passed over
//! rest   blocks that would fit and follow - blocks it has
//! ```
//!
//! Each is a LEB128, and each stands in a column of its own, since a compressor does better with columns. Bytes that were changed in place
//! make copies of `0 n 0 m` only. Invariant: what a reader returns lies within the gaps, in order, and is of blocks that there are;
//! a message makes [`MOST`] copies at most.

use super::RefineError;
use super::layout::{Copy, Layout};
use super::ranges::Blocks;
use crate::sync::format::{Bytes as _, FormatError, put, unzigzag, zigzag};

/// Copies in one message.
pub(super) const MOST: usize = 1 << 14;
/// Bytes of one uncompressed: four numbers of ten bytes at most for each copy.
const LONGEST: usize = 40 * MOST;
const COLUMNS: usize = 4;
/// The level of Zstandard: there are few, and they are worth it.
const LEVEL: i32 = 12;
/// The first byte of columns as they are, and of compressed ones.
const PLAIN: u8 = 0;
const PACKED: u8 = 1;

/// Where the next copy is expected. Reader and writer move it alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    gap: usize,
    /// Where in the new file what is left of the gap starts, and what is expected there of the old file.
    at: u64,
    anchor: u64,
}

impl Cursor {
    /// At the start of the first gap.
    pub(super) fn new(layout: &Layout) -> Cursor {
        Cursor::at_gap(layout, 0)
    }

    fn at_gap(layout: &Layout, gap: usize) -> Cursor {
        let at = layout.gaps.as_slice().get(gap).map_or(0, |gap| gap.start);
        Cursor { gap, at, anchor: layout.anchor(at) }
    }

    /// Bytes of the gap from here on.
    fn free(self, layout: &Layout) -> u64 {
        layout.gaps.as_slice().get(self.gap).map_or(0, |gap| gap.end - self.at)
    }

    /// How many bytes of the gap are passed over where nothing was inserted or deleted before a block at `offset` of the old file.
    fn expected_skip(self, layout: &Layout, offset: u64) -> Option<u64> {
        offset.checked_sub(self.anchor).filter(|skip| *skip <= self.free(layout))
    }

    /// Goes behind a copy.
    fn pass(&mut self, blocks: &Blocks, copy: Copy) {
        self.at = copy.new + copy.count * blocks.block();
        self.anchor = blocks.offset(copy.block + copy.count - 1) + blocks.block();
    }
}

/// The blocks that a copy has if nothing ends it: up to the end of its gap, or of the blocks.
fn most(blocks: &Blocks, free: u64, skip: u64, block: u64) -> u64 {
    (free.saturating_sub(skip) / blocks.block()).min(blocks.count() - block)
}

/// `copies`, at most [`MOST`], as they are sent.
pub(super) fn write(layout: &Layout, blocks: &Blocks, cursor: &mut Cursor, copies: &[Copy]) -> Vec<u8> {
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    for copy in copies {
        let gaps = layout.gaps.as_slice();
        let ahead = gaps[cursor.gap..].partition_point(|gap| gap.end <= copy.new);
        if ahead > 0 {
            *cursor = Cursor::at_gap(layout, cursor.gap + ahead);
        }
        let (free, skip) = (cursor.free(layout), copy.new - cursor.at);
        let expected = cursor.expected_skip(layout, blocks.offset(copy.block));
        let block = copy.block.wrapping_sub(blocks.from(cursor.anchor)) as i64;
        put(&mut columns[0], ahead as u64);
        put(&mut columns[1], zigzag(block));
        put(&mut columns[2], expected.map_or(skip, |expected| zigzag(skip.wrapping_sub(expected) as i64)));
        put(&mut columns[3], most(blocks, free, skip, copy.block) - copy.count);
        cursor.pass(blocks, *copy);
    }
    let plain = columns.concat();
    let packed = zstd::bulk::compress(&plain, LEVEL).ok().filter(|packed| packed.len() + 3 < plain.len());
    let mut out = Vec::new();
    put(&mut out, copies.len() as u64);
    if let Some(packed) = packed {
        out.push(PACKED);
        put(&mut out, plain.len() as u64);
        out.extend(packed);
    } else {
        out.push(PLAIN);
        out.extend(plain);
    }
    out
}

/// The copies that were sent as `bytes`.
pub(super) fn read(
    mut bytes: &[u8],
    layout: &Layout,
    blocks: &Blocks,
    cursor: &mut Cursor,
) -> Result<Vec<Copy>, RefineError> {
    let count = bytes.number()?;
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST).ok_or(IMPOSSIBLE)?;
    let unpacked;
    let mut plain = match bytes.byte()? {
        PLAIN => bytes,
        PACKED => {
            let len = usize::try_from(bytes.number()?).ok().filter(|len| *len <= LONGEST).ok_or(IMPOSSIBLE)?;
            unpacked = zstd::bulk::decompress(bytes, len).map_err(|_| IMPOSSIBLE)?;
            unpacked.as_slice()
        }
        _ => return Err(IMPOSSIBLE),
    };
    if plain.len() < COLUMNS * count {
        return Err(IMPOSSIBLE);
    }
    let mut column = || (0..count).map(|_| plain.number()).collect::<Result<Vec<u64>, FormatError>>();
    let (ahead, block, skip, rest) = (column()?, column()?, column()?, column()?);
    if !plain.is_empty() {
        return Err(IMPOSSIBLE);
    }
    let mut copies = Vec::with_capacity(count);
    for (((ahead, block), skip), rest) in ahead.into_iter().zip(block).zip(skip).zip(rest) {
        let copy = one(layout, blocks, cursor, [ahead, block, skip, rest]).ok_or(IMPOSSIBLE)?;
        copies.push(copy);
        cursor.pass(blocks, copy);
    }
    Ok(copies)
}

const IMPOSSIBLE: RefineError = RefineError::Malformed("impossible copies");

/// The copy that these numbers mean, if there can be one.
fn one(layout: &Layout, blocks: &Blocks, cursor: &mut Cursor, numbers: [u64; COLUMNS]) -> Option<Copy> {
    let [ahead, block, skip, rest] = numbers;
    if ahead > 0 {
        let gap = usize::try_from(ahead).ok()?.checked_add(cursor.gap)?;
        *cursor = (gap < layout.gaps.as_slice().len()).then(|| Cursor::at_gap(layout, gap))?;
    }
    let block = blocks.from(cursor.anchor).wrapping_add(unzigzag(block) as u64);
    let offset = (block < blocks.count()).then(|| blocks.offset(block))?;
    let free = cursor.free(layout);
    let expected = cursor.expected_skip(layout, offset);
    let skip = expected.map_or(skip, |expected| expected.wrapping_add(unzigzag(skip) as u64));
    let count = most(blocks, free, skip, block).checked_sub(rest).filter(|count| *count > 0)?;
    Some(Copy { new: cursor.at + skip, block, count })
}
