//! What both sides know of the two files: which pieces of the new one are found in the old one, and what is left of both.
//!
//! Invariants: pieces and gaps make up the new file, in order and without overlap; what is left of the old file are the ranges of which no
//! block was found, and no block with the same sums as one that was: so runs and repetitions of one block are spoken of once. Both sides
//! hold equal layouts after each round, because both make them of the same sums and copies.

use super::ranges::{Blocks, Ranges};
use crate::sync::signature::Signature;
use std::collections::HashSet;
use std::ops::Range;

/// A piece of the new file that is one of the old file; all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where in the new file.
    pub(super) new: u64,
    /// Where in the old file.
    pub(super) old: u64,
    pub(super) len: u64,
}

/// Blocks that were found in the new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Where in the new file, in bytes.
    pub(super) new: u64,
    /// The first of them.
    pub(super) block: u64,
    /// How many.
    pub(super) count: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Ranges of the old file that are not used.
    pub(super) unused: Ranges,
    /// Ranges of the new file that are not found.
    pub(super) gaps: Ranges,
    /// What is found, in the order of the new file.
    pub(super) pieces: Vec<Piece>,
    old_len: u64,
}

impl Layout {
    /// Of files of so many bytes, of which nothing is known.
    pub(super) fn new(old: u64, new: u64) -> Layout {
        Layout { unused: Ranges::whole(old), gaps: Ranges::whole(new), pieces: Vec::new(), old_len: old }
    }

    /// Bytes of the old file.
    pub(super) fn old_len(&self) -> u64 {
        self.old_len
    }

    /// Where in the old file the gap that starts at `gap` is expected: behind the piece before it.
    pub(super) fn anchor(&self, gap: u64) -> u64 {
        let before = self.pieces.partition_point(|piece| piece.new < gap).checked_sub(1);
        before.map_or(0, |at| self.pieces[at].old + self.pieces[at].len)
    }

    /// Where in the old file what is before and what is behind a gap of the new one stands: the end of the piece before it, and the start of
    /// that behind it. Behind the last one, where the old file ends.
    pub(super) fn anchors(&self, gap: &Range<u64>) -> (u64, u64) {
        let behind = self.pieces.partition_point(|piece| piece.new < gap.end);
        (self.anchor(gap.start), self.pieces.get(behind).map_or(self.old_len, |piece| piece.old))
    }

    /// Takes what a round found of `blocks`, whose sums are `sums`. The copies are in order, lie within the gaps, and are of these blocks.
    pub(super) fn add(&mut self, blocks: &Blocks, sums: &Signature, copies: &[Copy]) {
        let size = blocks.block();
        self.gaps = self.gaps.without(copies.iter().map(|copy| copy.new..copy.new + copy.count * size));
        for copy in copies {
            let mut new = copy.new;
            for range in blocks.ranges(copy.block, copy.count) {
                let len = range.end - range.start;
                self.pieces.push(Piece { new, old: range.start, len });
                new += len;
            }
        }
        self.pieces.sort_by_key(|piece| piece.new);
        self.pieces.dedup_by(|piece, last| {
            let goes_on = last.new + last.len == piece.new && last.old + last.len == piece.old;
            if goes_on {
                last.len += piece.len;
            }
            goes_on
        });
        let used = used(sums, copies);
        self.unused = self.unused.without(used.iter().flat_map(|(block, count)| blocks.ranges(*block, *count)));
    }
}

/// The runs of blocks (first and number) whose sums are those of a block that was copied, in order.
fn used(sums: &Signature, copies: &[Copy]) -> Vec<(u64, u64)> {
    let sum = |entry: usize| (sums.weak(entry), sums.strong(entry));
    let mut found = HashSet::new();
    for copy in copies {
        found.extend((sums.entry(copy.block)..=sums.entry(copy.block + copy.count - 1)).map(sum));
    }
    let mut used: Vec<(u64, u64)> = Vec::new();
    for (entry, block, count) in sums.runs().filter(|(entry, _, _)| found.contains(&sum(*entry))) {
        debug_assert_eq!(sums.first_block(entry), block);
        match used.last_mut() {
            Some((first, so_far)) if *first + *so_far == block => *so_far += count,
            _ => used.push((block, count)),
        }
    }
    used
}
