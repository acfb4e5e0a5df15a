//! What is tested where the next blocks are expected: their strong sums, several side by side, and nothing is rolled.
//!
//! Invariant: a block is told only after its strong sum matched, and its weak one too where the strong one is short; a window is summed once,
//! also where some blocks before it have changed.

use super::{FULL, SIDE_BY_SIDE, Scan, Sink, in_a_row};

/// What happened where the next block was expected.
pub(super) enum Followed {
    /// It may be there, but more of the target is needed to tell.
    Unknown,
    /// It was there; look for the next one.
    Found,
    /// It is not, or there is none.
    Lost,
}

impl Scan<'_> {
    /// Tests what is expected at `at`.
    pub(super) fn follow(&mut self, last: bool, sink: &mut impl Sink) -> Followed {
        let Some(next) = self.next else { return Followed::Lost };
        let whole = self.signature.whole_blocks();
        if next >= whole {
            return self.follow_tail(next, last, sink);
        }
        let there = (self.end - self.at) / self.block;
        if there == 0 && !last {
            return Followed::Unknown;
        }
        let (from, all) = if let Some(from) = self.summed(next) {
            (from, self.sums.len() - from)
        } else {
            let most = (SIDE_BY_SIDE / self.block).clamp(1, in_a_row(self.block));
            let side_by_side = most.min(there).min(usize::try_from(whole - next).unwrap_or(usize::MAX));
            let likely = self.likely(next, side_by_side);
            let windows = &self.buffer[self.at..self.at + likely * self.block];
            self.signature.plan().strong.of_each(windows.chunks_exact(self.block), &mut self.sums);
            self.sums_of = (next, self.position(self.at));
            #[cfg(test)]
            (self.work.1 += likely as u64);
            (0, side_by_side)
        };
        let sums = std::mem::take(&mut self.sums);
        let windows = self.buffer[self.at..self.end].chunks_exact(self.block);
        let windows = (next..).zip(sums[from..].iter().zip(windows));
        let equal = windows.take_while(|(block, (sum, window))| self.is_block(*block, window, sum)).count();
        if equal > 0 {
            self.matched(self.at, equal * self.block, next, &sums[from..from + equal], sink);
        }
        self.sums = sums;
        if equal > 0 && equal == all {
            return Followed::Found;
        }
        self.next = None;
        self.look_ahead(next + equal as u64);
        Followed::Lost
    }

    /// Whether `window`, whose strong sum is `sum`, is block `block`.
    pub(super) fn is_block(&self, block: u64, window: &[u8], sum: &[u8; FULL]) -> bool {
        let (signature, entry) = (self.signature, self.signature.entry(block));
        signature.is(entry, sum) && (!signature.is_short() || signature.plan().weak.of(window) == signature.weak(entry))
    }

    /// How many of the next `count` windows may be the blocks from `next` on, by a few weak sums: all if the last one may, else as many as
    /// halving finds. What it misses is found by rolling.
    fn likely(&self, next: u64, count: usize) -> usize {
        let may = |at: usize| {
            let start = self.at + at * self.block;
            let weak = self.signature.plan().weak.of(&self.buffer[start..start + self.block]);
            weak == self.signature.weak(self.signature.entry(next + at as u64))
        };
        let (mut good, mut bad) = (0, count + 1);
        let mut at = count;
        while good + 1 < bad {
            if may(at - 1) {
                good = at;
            } else {
                bad = at;
            }
            at = usize::midpoint(good, bad);
        }
        good
    }

    /// Tests for the short last block of the basis.
    fn follow_tail(&mut self, block: u64, last: bool, sink: &mut impl Sink) -> Followed {
        let tail = self.signature.tail().filter(|_| block < self.signature.blocks());
        if let Some(tail) = tail {
            if self.end - self.at < tail && !last {
                return Followed::Unknown;
            }
            if self.end - self.at >= tail
                && let Some(sum) = self.last_block(&self.buffer[self.at..self.at + tail])
            {
                self.matched(self.at, tail, block, &[sum], sink);
            }
        }
        self.next = None;
        Followed::Lost
    }

    /// The strong sum of `bytes`, if they are the last block of the basis.
    pub(super) fn last_block(&self, bytes: &[u8]) -> Option<[u8; FULL]> {
        let plan = self.signature.plan();
        let entry = self.signature.entries().checked_sub(1)?;
        if plan.weak.of(bytes) != self.signature.weak(entry) {
            return None;
        }
        Some(plan.strong.of(bytes)).filter(|sum| self.signature.is(entry, sum))
    }
}
