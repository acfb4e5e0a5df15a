//! What tells most positions from those that a block may stand at, without touching the table: a blocked Bloom filter
//! (Putze, Sanders & Singler 2007) with one word of 32 bits and three of its bits a sum.
//!
//! Invariant: what was added passes. Of other sums about one in two hundred does at one sum a word. Its words stay in the second-level
//! cache up to 2¹⁷ blocks, which is why block sizes grow with the file.

/// Spreads a weak sum over all bits: the lower ones of a polynomial depend on the lower ones of the data alone. That of zeros is zero, and they
/// are frequent: they get three different bits of a word, as most sums do.
#[inline(always)]
pub(in super::super) fn mix(sum: u32) -> u32 {
    (sum ^ (sum >> SHIFT)).wrapping_mul(MULTIPLIER).wrapping_add(ADDEND)
}

pub(super) const SHIFT: u32 = 15;
pub(super) const MULTIPLIER: u32 = 0x9E37_79B1;
pub(super) const ADDEND: u32 = 0x85EB_CA77;

/// Words that may be as many as sums: more do not stay in the cache.
const CACHED: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub(in super::super) struct Filter {
    words: Vec<u32>,
    /// How far a mixed sum is shifted to be the number of its word.
    shift: u32,
}

impl Filter {
    /// One for so many sums.
    pub(in super::super) fn new(sums: usize) -> Filter {
        let words = sums.next_power_of_two().max(1 << 10);
        let words = if words > CACHED { CACHED.max(words / 4) } else { words };
        Filter { words: vec![0; words], shift: 32 - words.trailing_zeros() }
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    #[inline(always)]
    fn place(&self, sum: u32) -> (usize, u32) {
        let mixed = mix(sum);
        ((mixed >> self.shift) as usize, bits(mixed))
    }

    /// Lets `sum` pass.
    pub(in super::super) fn add(&mut self, sum: u32) {
        let (word, bits) = self.place(sum);
        self.words[word] |= bits;
    }

    /// Whether `sum` may have been added.
    #[inline(always)]
    pub(in super::super) fn passes(&self, sum: u32) -> bool {
        let (word, bits) = self.place(sum);
        self.words[word] & bits == bits
    }
}

/// The bits of a word that stand for a mixed sum.
#[inline(always)]
fn bits(mixed: u32) -> u32 {
    (1 << (mixed & 31)) | (1 << ((mixed >> 5) & 31)) | (1 << ((mixed >> 10) & 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_held_back_like_anything_else() {
        assert_eq!(bits(mix(0)).count_ones(), 3);
    }

    #[test]
    fn words_are_as_many_as_sums_and_few_where_these_are_many() {
        for (sums, words) in
            [(0, 1 << 10), (100_000, 1 << 17), (1 << 20, 1 << 20), (1 << 21, 1 << 20), (1 << 23, 1 << 21)]
        {
            let filter = Filter::new(sums);
            assert_eq!(filter.words().len(), words);
            assert_eq!(filter.place(u32::MAX).0 >> filter.words().len().trailing_zeros(), 0);
        }
    }
}
