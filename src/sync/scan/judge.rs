//! What stands at a position where the filter passes: the table, then strong sums, within the budget.
//!
//! Invariant: a block is found by its strong sum alone; sums that fail count to the budget of the scan, and a weak sum that was wrong too often is
//! not looked at again.

use super::{FREE, FULL, HEAD, STOP, Scan, WRONG};

/// What a position where the filter passes comes to.
pub(super) enum Judged {
    /// This block, which has this strong sum.
    Found(u64, [u8; FULL]),
    /// None that has its weak sum.
    Unlisted,
    /// None, though there are some with its weak sum.
    Failed,
}

impl Scan<'_> {
    /// What stands at `at`, where the weak sum is `weak`.
    pub(super) fn judge(&mut self, weak: u32) -> Judged {
        let signature = self.signature;
        // Of equal blocks the first is listed, so where none is, there is none.
        if self.index.candidates(signature, weak).next().is_none() {
            return Judged::Unlisted;
        }
        let (block, at) = (self.block as u64, self.position(self.at));
        if !self.may_fail(at) {
            return Judged::Failed;
        }
        let wrong = self.wrong.get(&weak).copied().unwrap_or(0);
        if wrong >= WRONG {
            // To stop here was in vain, too, and costs as much as to sum so many bytes.
            self.failed += STOP;
            return Judged::Failed;
        }
        let (strong, window) = (&signature.plan().strong, &self.buffer[self.at..self.at + self.block]);
        if let Some(head) = strong.head(window)
            && !self.index.candidates(signature, weak).any(|entry| signature.strong(entry).starts_with(&head))
        {
            self.failed += HEAD as u64;
            return Judged::Failed;
        }
        // First what goes on with the last match, then what has not moved: of blocks that are alike, these make long copies.
        let whole = signature.whole_blocks();
        let numbered = |offset: u64| (offset.is_multiple_of(block) && offset / block < whole).then_some(offset / block);
        let likely = [self.shift.and_then(|shift| numbered(shift.wrapping_add(at))), numbered(at)];
        let likely = likely.into_iter().flatten().map(|block| (block, signature.entry(block)));
        let likely = likely.filter(|(_, entry)| signature.weak(*entry) == weak);
        let listed = self.index.candidates(signature, weak).map(|entry| (signature.first_block(entry), entry));
        let sum = strong.of(window);
        let equal: Vec<u64> =
            likely.chain(listed).filter(|(_, entry)| signature.is(*entry, &sum)).map(|(block, _)| block).collect();
        let window = &self.buffer[self.at..self.end];
        let is_plausible = |block: &u64| {
            let trust = self.trust.as_ref();
            trust.is_none_or(|trust| trust.is_plausible(signature, *block, &sum, at, self.shift, window))
        };
        if let Some(block) = equal.iter().copied().find(is_plausible) {
            return Judged::Found(block, sum);
        }
        self.failed += block * (1 + equal.len() as u64);
        if equal.is_empty() {
            self.wrong.insert(weak, wrong + 1);
        }
        Judged::Failed
    }

    /// Whether another strong sum may be taken in vain at this position.
    pub(super) fn may_fail(&self, position: u64) -> bool {
        self.failed + self.block as u64 <= FREE.max(self.block as u64) + position / 2
    }
}
