//! Where the basis goes on behind a few blocks that have changed in place.
//!
//! Most changes leave what is behind them where it was. A few weak sums of whole windows find it sooner than rolling to it, and no start in
//! the block's length before it has to be rolled: a block found there would overlap the one that is known.
//! Invariant: only what is directly behind a match is looked behind, so that windows that merely look alike cost no more than that match;
//! what is found is still to be tested by its strong sum, and the starts before it that may hold a whole block are rolled first.

use super::Scan;

/// How many blocks are looked over.
const BLOCKS: usize = 8;

/// A block that may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    block: u64,
    /// Where in the target.
    position: u64,
}

impl Scan<'_> {
    /// Looks behind `at`, where block `next` was expected and is not, for those behind it.
    pub(super) fn look_ahead(&mut self, next: u64) {
        // Short sums need more than one weak sum to be believed where nothing was found for a while.
        if self.trust.is_some() || self.position(self.at) != self.matched_to {
            return;
        }
        let Some(first) = self.buffer[self.at..self.end].get(..self.block) else { return };
        let sum = self.signature.plan().weak.of(first);
        self.sum = Some(sum);
        if self.index.filter().passes(sum) {
            // Something that has moved, most likely: rolling finds it at once.
            return;
        }
        let (signature, whole) = (self.signature, self.signature.whole_blocks());
        let windows = self.buffer[self.at..self.end].chunks_exact(self.block).zip(next..whole);
        let known = self.summed(next).map_or(&[][..], |from| &self.sums[from..]);
        let known = known.iter().map(Some).chain(std::iter::repeat(None));
        let mut coming = windows.zip(known).skip(1).take(BLOCKS);
        let found = coming.find(|((window, block), known)| {
            let entry = signature.entry(*block);
            known.map_or_else(
                || signature.weak(entry) == signature.plan().weak.of(window),
                |known| self.is_block(*block, window, known),
            )
        });
        self.ahead = found.map(|((_, block), _)| {
            let distance = (block - next) * self.block as u64;
            Ahead { block, position: self.matched_to + distance }
        });
    }

    /// Where in `sums` that of the window at `at` is, of which `block` is expected, if it was taken.
    pub(super) fn summed(&self, block: u64) -> Option<usize> {
        let (first, from) = self.sums_of;
        let place = usize::try_from(block.checked_sub(first)?).ok().filter(|place| *place < self.sums.len())?;
        (from + (place * self.block) as u64 == self.position(self.at)).then_some(place)
    }

    /// Where the last start is behind us that may hold a whole block before what is ahead.
    pub(super) fn near(&self) -> usize {
        self.ahead.map_or(usize::MAX, |ahead| self.place(ahead) + 1 - self.block)
    }

    /// Goes to what is ahead, and expects it there.
    pub(super) fn jump(&mut self) {
        let Some(ahead) = self.ahead.take() else { return };
        self.at = self.place(ahead);
        self.next = Some(ahead.block);
        (self.sum, self.strip, self.pass) = (None, self.block, 0);
    }

    fn place(&self, ahead: Ahead) -> usize {
        (ahead.position - self.base) as usize
    }
}
