//! Which blocks are to be trusted where sums are too short to tell all windows from all blocks.
//!
//! A window that has the sums of a block is that block if it is expected there, or about there; if the next window is the next block, so that
//! both sums speak for it; or if an equal window, by its whole strong sum, was trusted before. Invariant: so far from chance is what is trusted
//! as the bits of the sums say for these pairs, which are fewer than all of windows and blocks (`refine::rounds` has the sum).

use crate::sync::index::Index;
use crate::sync::signature::Signature;
use crate::sync::strong::FULL;
use std::collections::HashMap;

/// Shortest blocks, in bytes, that are worth a copy wherever they stand: the compressor has what repeats of shorter ones for less.
const WORTH: usize = 1024;

/// The index of a signature without what is not worth a copy: short blocks of one byte.
pub(super) fn index(signature: &Signature) -> Index {
    let plan = signature.plan();
    if plan.block >= WORTH {
        return Index::new(signature);
    }
    let sums = |byte: u8| {
        let block = vec![byte; plan.block];
        (plan.weak.of(&block), plan.strong.of(&block))
    };
    let fills: HashMap<u32, [u8; FULL]> = (0..=u8::MAX).map(sums).collect();
    let is_fill = |entry| fills.get(&signature.weak(entry)).is_some_and(|sum| signature.is(entry, sum));
    Index::of(signature, |entry| !is_fill(entry))
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trust {
    /// Bytes from where a block is expected.
    near: u64,
    /// What is added to a place in the target for the place in the basis where the target's end is expected.
    shift_of_end: Option<u64>,
    /// The whole strong sums of what was found of each entry.
    proven: HashMap<usize, [u8; FULL]>,
}

impl Trust {
    /// In what is `near` bytes from where it is expected.
    pub(super) fn new(near: u64) -> Trust {
        Trust { near, shift_of_end: None, proven: HashMap::new() }
    }

    /// Says what shift is expected at the end of the target.
    pub(super) fn ends_with(&mut self, shift: u64) {
        self.shift_of_end = Some(shift);
    }

    /// Takes what was found: blocks from `block` on that have these sums.
    pub(super) fn found(&mut self, signature: &Signature, block: u64, sums: &[[u8; FULL]]) {
        if signature.plan().block >= WORTH {
            self.proven.extend((block..).map(|block| signature.entry(block)).zip(sums.iter().copied()));
        }
    }

    /// Whether `block`, whose sums are those of the window at position `at`, is to be trusted there. The window's whole strong sum is `sum`;
    /// `window` is it and what of the target is known behind it; `shift` is that of the last match.
    pub(super) fn is_plausible(
        &self,
        signature: &Signature,
        block: u64,
        sum: &[u8; FULL],
        at: u64,
        shift: Option<u64>,
        window: &[u8],
    ) -> bool {
        let (plan, len) = (signature.plan(), signature.plan().block);
        let far = |shift: u64| ((block * len as u64).wrapping_sub(at.wrapping_add(shift)) as i64).unsigned_abs();
        if [shift, self.shift_of_end].into_iter().flatten().any(|shift| far(shift) <= self.near)
            || self.proven.get(&signature.entry(block)) == Some(sum)
        {
            return true;
        }
        let (window, behind) = window.split_at(len);
        let Some(following) = behind.get(..len) else { return false };
        // A run of one byte is one block again and again, which the basis may have once.
        if len >= WORTH && following == window {
            return true;
        }
        let next = (block + 1 < signature.whole_blocks()).then(|| signature.entry(block + 1));
        next.is_some_and(|next| {
            plan.weak.of(following) == signature.weak(next) && signature.is(next, &plan.strong.of(following))
        })
    }
}
