//! The signature of a basis: its length, and two sums of each of its blocks.
//!
//! Invariant: what is in memory is proportional to what was read: a run of equal blocks is one [entry](Signature::entry) and a count, however
//! long it is. Blocks are numbered from the start of the basis, each [`Plan::block`] bytes long but for the last. How signatures look
//! at rest is in `format` and `librsync`; finding blocks again is for `index`.

use super::strong::{self, FULL, Strong};
use super::weak::{Poly, Weak};
use std::ops::RangeInclusive;

/// Lengths of blocks that are accepted.
pub const BLOCK_LENGTHS: RangeInclusive<usize> = 16..=4 << 20;
/// The block length for a basis whose length is not known beforehand: right for about 256 MB.
const BLOCK_OF_STREAM: usize = 4096;
/// How long such a basis is counted to be where strong sums are cut.
const BYTES_OF_STREAM: u64 = 1 << 33;
/// Bytes of a strong sum that are kept at least.
const LEAST_KEPT: usize = 4;
/// Fewer bytes of it than these are not believed without the weak one.
const ENOUGH: usize = 6;
/// Bytes of a salt.
pub const SALT: usize = 16;

/// How a signature is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The weak sums.
    pub weak: Weak,
    /// The strong sums.
    pub strong: Strong,
    /// Bytes of a block.
    pub block: usize,
    /// Bytes of a strong sum that are kept.
    pub kept: usize,
}

impl Plan {
    /// This project's own sums, with what `salt` decides.
    pub fn salted(salt: &[u8; SALT], block: usize, kept: usize) -> Plan {
        let key = blake3::derive_key("resilient 2026-11 keys of delta signatures", salt);
        let base = blake3::derive_key("resilient 2026-11 base of delta signatures", salt);
        // 5 modulo 8: powers of such a base do not repeat before 2^30, the most there is.
        let base = (u32::from_le_bytes([base[0], base[1], base[2], base[3]]) & !7) | 5;
        Plan { weak: Weak::Poly(Poly::new(base, 0)), strong: Strong::Blake3(key), block, kept }
    }

    /// The block length for a basis of `bytes`, and the bytes of strong sums for it.
    ///
    /// The power of two nearest to √n / 4 between 1 and 64 KiB, so that pages of databases and disk images stay whole; but no more
    /// than 2¹⁷ blocks, so that their filter stays in the cache.
    pub fn lengths(bytes: Option<u64>) -> (usize, usize) {
        let block = bytes.map_or(BLOCK_OF_STREAM, |bytes| {
            let wanted = (bytes as f64).sqrt() / 4.0;
            let root = (wanted.max(1.0).log2().round() as u32).clamp(10, 16);
            let least = bytes.div_ceil(1 << 17).next_power_of_two().trailing_zeros();
            1 << root.max(least).min(22)
        });
        (block, Plan::kept_for(bytes, block))
    }

    /// The bytes of strong sums for a basis of `bytes` in blocks of this length.
    pub fn kept_for(bytes: Option<u64>, block: usize) -> usize {
        strong::length(bytes.unwrap_or(BYTES_OF_STREAM), block)
    }

    /// The bytes of strong sums that may be kept of blocks of this length: fewer do not tell blocks apart.
    pub fn kept_at_least(block: usize) -> usize {
        LEAST_KEPT + strong::of_head(block)
    }

    /// The sums of the blocks of `data`, in order; a last one may be short.
    pub fn sums(&self, data: &[u8], mut each: impl FnMut(u32, &[u8; FULL])) {
        let mut sums = Vec::with_capacity(strong::MANY);
        let whole = data.len() - data.len() % self.block;
        for group in data[..whole].chunks(self.block * strong::in_a_row(self.block)) {
            self.strong.of_each(group.chunks_exact(self.block), &mut sums);
            for (block, sum) in group.chunks_exact(self.block).zip(&sums) {
                each(self.weak.of(block), sum);
            }
        }
        if whole < data.len() {
            each(self.weak.of(&data[whole..]), &self.strong.of(&data[whole..]));
        }
    }
}

/// From block `block` on stand the entries from `entry` on, one each; the last of them stands for all blocks up to the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    block: u64,
    entry: usize,
}

/// A signature in memory.
#[derive(Clone, Debug)]
pub struct Signature {
    plan: Plan,
    weak: Vec<u32>,
    strong: Vec<u8>,
    /// The bits that count of the last byte that is kept of a strong sum.
    mask: u8,
    segments: Vec<Segment>,
    blocks: u64,
    basis_len: Option<u64>,
}

impl Signature {
    /// One without blocks.
    pub fn new(plan: Plan) -> Signature {
        Signature::cut(plan, 0xFF)
    }

    /// One without blocks, of whose strong sums the last byte is kept in part: only the bits of `mask`.
    pub(super) fn cut(plan: Plan, mask: u8) -> Signature {
        Signature { plan, weak: Vec::new(), strong: Vec::new(), mask, segments: Vec::new(), blocks: 0, basis_len: None }
    }

    /// The signature of `basis`.
    pub fn of(plan: Plan, basis: &[u8]) -> Signature {
        let mut signature = Signature::new(plan.clone());
        plan.sums(basis, |weak, strong| signature.push(weak, &strong[..plan.kept]));
        signature.basis_len = Some(basis.len() as u64);
        signature
    }

    /// Adds the next block.
    pub(super) fn push(&mut self, weak: u32, strong: &[u8]) {
        debug_assert_eq!(strong.len(), self.plan.kept);
        let repeats =
            self.segments.last().is_some_and(|last| self.blocks - last.block > (self.weak.len() - last.entry) as u64);
        if repeats || self.segments.is_empty() {
            self.segments.push(Segment { block: self.blocks, entry: self.weak.len() });
        }
        self.weak.push(weak);
        self.strong.extend_from_slice(strong);
        self.blocks += 1;
    }

    /// Adds `count` blocks that are equal to the last one. There is one, and their number does not pass [`u64`]: the reader looks.
    pub(super) fn repeat(&mut self, count: u64) {
        debug_assert!(!self.weak.is_empty());
        self.blocks += count;
    }

    /// Says how long the basis is; the number of blocks has to be that of such a basis.
    pub(super) fn set_basis_len(&mut self, len: u64) {
        debug_assert_eq!(len.div_ceil(self.plan.block as u64), self.blocks);
        self.basis_len = Some(len);
    }

    /// How it was made.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The length of the basis, if that is known: librsync's signatures do not say it.
    pub fn basis_len(&self) -> Option<u64> {
        self.basis_len
    }

    /// Number of blocks, the last and maybe short one with them.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Different entries: blocks, but each run of equal ones counts once.
    pub(super) fn entries(&self) -> usize {
        self.weak.len()
    }

    /// The entry of a block.
    pub(super) fn entry(&self, block: u64) -> usize {
        let at = self.segments.partition_point(|segment| segment.block <= block) - 1;
        let segment = self.segments[at];
        let end = self.segments.get(at + 1).map_or(self.weak.len(), |next| next.entry);
        segment.entry + usize::try_from(block - segment.block).unwrap_or(usize::MAX).min(end - segment.entry - 1)
    }

    /// The first block of an entry.
    pub(super) fn first_block(&self, entry: usize) -> u64 {
        let at = self.segments.partition_point(|segment| segment.entry <= entry) - 1;
        self.segments[at].block + (entry - self.segments[at].entry) as u64
    }

    pub(super) fn weak(&self, entry: usize) -> u32 {
        self.weak[entry]
    }

    pub(super) fn strong(&self, entry: usize) -> &[u8] {
        &self.strong[entry * self.plan.kept..][..self.plan.kept]
    }

    /// Whether the strong sum `sum` is that of an entry.
    pub(super) fn is(&self, entry: usize, sum: &[u8; FULL]) -> bool {
        *self.strong(entry) == self.cut_of(sum)[..self.plan.kept]
    }

    /// The strong sum `sum` with nothing but what is kept of it.
    pub(super) fn cut_of(&self, sum: &[u8; FULL]) -> [u8; FULL] {
        let mut cut = *sum;
        cut[self.plan.kept - 1] &= self.mask;
        cut
    }

    /// Whether the strong sums say too little without the weak ones.
    pub(super) fn is_short(&self) -> bool {
        self.plan.kept < ENOUGH + strong::of_head(self.plan.block)
    }

    /// Each entry with its first block and how many blocks it stands for.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        self.segments.iter().enumerate().flat_map(|(at, segment)| {
            let next = self.segments.get(at + 1);
            let (end, behind) = next.map_or((self.weak.len(), self.blocks), |next| (next.entry, next.block));
            (segment.entry..end).map(move |entry| {
                let block = segment.block + (entry - segment.entry) as u64;
                (entry, block, if entry + 1 == end { behind - block } else { 1 })
            })
        })
    }

    /// Blocks that have the full length: all, but for a short last one. Where the length of the basis is not known, the last is taken for one
    /// of them: if it is short, no window of the full length has its sum.
    pub(super) fn whole_blocks(&self) -> u64 {
        self.basis_len.map_or(self.blocks, |len| len / self.plan.block as u64)
    }

    /// The length of the last block if it is short.
    pub(super) fn tail(&self) -> Option<usize> {
        self.basis_len.map(|len| (len % self.plan.block as u64) as usize).filter(|tail| *tail > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(block: usize) -> Plan {
        Plan::salted(&[1; SALT], block, 8)
    }

    #[test]
    fn block_lengths_follow_the_root_of_the_length() {
        for (bytes, block, kept) in [
            (0, 1 << 10, 4),
            (1 << 20, 1 << 10, 5),
            (45_740_000, 1 << 11, 7),
            (256 << 20, 1 << 12, 7),
            (1 << 30, 1 << 13, 8),
            (8 << 30, 1 << 16, 8),
            (1 << 40, 1 << 22, 13),
            (u64::MAX, 1 << 22, 19),
        ] {
            assert_eq!(Plan::lengths(Some(bytes)), (block, kept), "{bytes}");
        }
        assert_eq!(Plan::lengths(None), (4096, 8));
    }

    #[test]
    fn runs_of_equal_blocks_are_one_entry() {
        let mut signature = Signature::new(plan(16));
        signature.push(1, &[1; 8]);
        signature.push(2, &[2; 8]);
        signature.repeat(1 << 40);
        signature.push(3, &[3; 8]);
        signature.push(4, &[4; 8]);
        let last = (1 << 40) + 2;
        assert_eq!((signature.entries(), signature.blocks()), (4, last + 2));
        for (block, entry) in [(0, 0), (1, 1), (2, 1), (1 << 40, 1), (last - 1, 1), (last, 2), (last + 1, 3)] {
            assert_eq!(signature.entry(block), entry, "{block}");
        }
        let first: Vec<u64> = (0..4).map(|entry| signature.first_block(entry)).collect();
        assert_eq!(first, [0, 1, last, last + 1]);
        let runs: Vec<_> = signature.runs().collect();
        assert_eq!(runs, [(0, 0, 1), (1, 1, last - 1), (2, last, 1), (3, last + 1, 1)]);
    }

    #[test]
    fn the_last_block_may_be_short() {
        let basis = [7; 16 * 3 + 5];
        let signature = Signature::of(plan(16), &basis);
        assert_eq!((signature.blocks(), signature.whole_blocks(), signature.tail()), (4, 3, Some(5)));
        let sum = signature.plan().strong.of(&basis[48..]);
        assert!(signature.is(signature.entry(3), &sum) && !signature.is(signature.entry(2), &sum));
        assert_eq!(Signature::of(plan(16), &basis[..48]).tail(), None);
        assert_eq!(Signature::of(plan(16), &[]).blocks(), 0);
    }
}
