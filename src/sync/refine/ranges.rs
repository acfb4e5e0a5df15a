//! Ranges of a file, and the blocks that a round cuts of them.
//!
//! Both sides derive the same ranges from what was found so far, so that offsets never travel. Invariants: [`Ranges`] are in order, not
//! empty, and do not touch; [`Blocks`] have one length, begin at the start of each range, and what is left of a range behind its last whole
//! block has none: it stays for the next round. Memory is proportional to the ranges, whatever the number of blocks.

use std::ops::Range;

/// Places in a file, of bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// All of a file of `len` bytes.
    pub(super) fn whole(len: u64) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.push(0..len);
        ranges
    }

    /// Adds a range behind the others.
    pub(super) fn push(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }

    /// How many bytes they have together.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    pub(super) fn as_slice(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.last().map(|range| range.end)
    }

    /// What is left of them without `taken`, which is in order and does not overlap.
    pub(super) fn without(&self, taken: impl IntoIterator<Item = Range<u64>>) -> Ranges {
        let mut taken = taken.into_iter().filter(|range| !range.is_empty()).peekable();
        let mut left = Ranges::default();
        for range in &self.0 {
            let mut at = range.start;
            while let Some(next) = taken.next_if(|next| next.end <= range.end) {
                left.push(at..next.start.max(at));
                at = at.max(next.end);
            }
            // One that goes on behind this range is needed again for the next.
            let end = taken.peek().map_or(range.end, |next| next.start.clamp(at, range.end));
            left.push(at..end);
        }
        left
    }

    /// About one in `every` of their bytes, in pieces of up to `piece` bytes; of more bytes where that made too many pieces.
    pub(super) fn sample(&self, piece: u64, every: u64) -> Ranges {
        const PIECES: u64 = 1 << 16;
        let piece = piece * (self.bytes() / piece / PIECES + 1);
        let mut sample = Ranges::default();
        let mut passed = 0_u64;
        for range in &self.0 {
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min(at.saturating_add(piece));
                if (passed / piece).is_multiple_of(every) {
                    sample.push(at..end);
                }
                passed += end - at;
                at = end;
            }
        }
        sample
    }
}

/// Whole blocks of ranges, numbered in order.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    /// Bytes of a block.
    len: u64,
    /// The number of the first block of a range, and where that is in the file.
    firsts: Vec<(u64, u64)>,
    count: u64,
}

impl Blocks {
    /// Blocks of `len` bytes.
    pub(super) fn of(ranges: &Ranges, len: u64) -> Blocks {
        let mut blocks = Blocks { len, firsts: Vec::new(), count: 0 };
        for range in ranges.as_slice() {
            let here = (range.end - range.start) / len;
            if here > 0 {
                blocks.firsts.push((blocks.count, range.start));
                blocks.count += here;
            }
        }
        blocks
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of each.
    pub(super) fn block(&self) -> u64 {
        self.len
    }

    /// Where in the file block `block` is, and how many blocks stand there up to the end of its range. The block is one of these.
    fn place(&self, block: u64) -> (u64, u64) {
        let at = self.firsts.partition_point(|(first, _)| *first <= block) - 1;
        let (first, offset) = self.firsts[at];
        let next = self.firsts.get(at + 1).map_or(self.count, |(first, _)| *first);
        (offset + (block - first) * self.len, next - block)
    }

    /// Where in the file block `block` is. It is one of these.
    pub(super) fn offset(&self, block: u64) -> u64 {
        self.place(block).0
    }

    /// The first block that starts at `offset` or behind it; their number if there is none.
    pub(super) fn from(&self, offset: u64) -> u64 {
        let at = self.firsts.partition_point(|(_, start)| *start <= offset);
        let next = self.firsts.get(at).map_or(self.count, |(first, _)| *first);
        let Some((first, start)) = at.checked_sub(1).map(|at| self.firsts[at]) else { return next };
        next.min(first + (offset - start).div_ceil(self.len))
    }

    /// The ranges of the file that `count` blocks from `block` on are, each once for every range of blocks.
    pub(super) fn ranges(&self, mut block: u64, mut count: u64) -> impl Iterator<Item = Range<u64>> {
        std::iter::from_fn(move || {
            if count == 0 {
                return None;
            }
            let (offset, here) = self.place(block);
            let here = here.min(count);
            block += here;
            count -= here;
            Some(offset..offset + here * self.len)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(from: &[Range<u64>]) -> Ranges {
        let mut ranges = Ranges::default();
        for range in from {
            ranges.push(range.clone());
        }
        ranges
    }

    #[test]
    fn blocks_begin_with_their_ranges() {
        let blocks = Blocks::of(&ranges(&[3..14, 20..24, 30..41]), 5);
        assert_eq!(blocks.count(), 4);
        assert_eq!((0..4).map(|block| blocks.offset(block)).collect::<Vec<_>>(), [3, 8, 30, 35]);
        assert_eq!([0, 3, 4, 8, 9, 30, 31, 35, 36].map(|at| blocks.from(at)), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
        assert_eq!(blocks.ranges(1, 3).collect::<Vec<_>>(), [8..13, 30..40]);
        assert_eq!(Blocks::of(&Ranges::whole(4), 5).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_left_out(
            some in prop::collection::vec((0_u64..9, 1_u64..9), 0..8),
            taken in prop::collection::vec((0_u64..9, 1_u64..20), 0..8),
        ) {
            let place = |pairs: &[(u64, u64)]| {
                let mut at = 0;
                pairs.iter().map(|(skip, len)| { let start = at + skip; at = start + len; start..at }).collect::<Vec<_>>()
            };
            let (some, taken) = (ranges(&place(&some)), place(&taken));
            let left = some.without(taken.clone());
            for at in 0..200 {
                let within = |ranges: &[Range<u64>]| ranges.iter().any(|range| range.contains(&at));
                prop_assert_eq!(within(left.as_slice()), within(some.as_slice()) && !within(&taken), "{}", at);
            }
            prop_assert!(left.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start));
            let sample = some.sample(2, 3);
            prop_assert_eq!(some.without(sample.as_slice().to_vec()).bytes() + sample.bytes(), some.bytes());
        }
    }
}
