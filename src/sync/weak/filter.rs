//! What tells most positions from those that a block may stand at, without touching the table: a blocked Bloom filter
//! (Putze, Sanders & Singler 2007) with one word of 32 bits and three of its bits a sum.
//!
//! Invariant: what was added passes. Of other sums about one in two hundred does at one sum a word. Its words stay in the second-level
//! cache up to 2¹⁷ blocks, which is why block sizes grow with the file.

/// Spreads a weak sum over all bits: the lower ones of a polynomial depend on the lower ones of the data alone.
#[inline(always)]
pub(in super::super) fn mix(sum: u32) -> u32 {
    (sum ^ (sum >> SHIFT)).wrapping_mul(MULTIPLIER)
}

pub(super) const SHIFT: u32 = 15;
pub(super) const MULTIPLIER: u32 = 0x9E37_79B1;

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
        let words = sums.next_power_of_two().clamp(1 << 10, 1 << 20);
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
