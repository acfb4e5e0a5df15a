//! Strong sums: what makes a block of the basis out of a window that looks like one.
//!
//! Ours is BLAKE3 with a key from the signature's salt, cut to a length that [`length`] chooses; librsync's are BLAKE2b of 32 bytes
//! and MD4, cut likewise. Invariant: equal bytes have equal sums, whether they were summed one by one or many side by side. How sure
//! an equal sum is of equal bytes, [`length`] says; the digest of the whole is what nothing gets past.

mod many;

use blake2::Digest as _;
use blake2::digest::consts::U32;

/// Bytes of a strong sum before it is cut.
pub const FULL: usize = 32;
/// Windows that are summed side by side at most.
pub(super) const MANY: usize = 16;

/// How many windows of `len` bytes that lie one behind the other are best summed side by side. A set of the first-level cache has eight lines for
/// addresses that differ by multiples of 4096: of more windows, each would throw out what the others need.
pub(super) const fn in_a_row(len: usize) -> usize {
    if len <= 2048 { MANY } else { MANY / 2 }
}

/// Blocks that are longer than this have a [head](Strong::head) in their sums, of so many bytes.
const LONG: usize = 64 * 1024;
pub(super) const HEAD: usize = 1024;
/// Bytes of a sum that are the head's.
const HEAD_SUM: usize = 4;

/// Bytes of the strong sum of a block of `block` bytes that are only of its [head](Strong::head).
pub(super) const fn of_head(block: usize) -> usize {
    if block > LONG { HEAD_SUM } else { 0 }
}

/// Which sums, with what they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strong {
    /// BLAKE3 with this key.
    Blake3([u8; 32]),
    /// BLAKE2b with an output of 32 bytes (RFC 7693).
    Blake2b,
    /// MD4 (RFC 1320), which is broken: for reading what old programs have made.
    Md4,
}

impl Strong {
    /// Bytes of its sums.
    pub const fn full(&self) -> usize {
        match self {
            Strong::Blake3(_) | Strong::Blake2b => FULL,
            Strong::Md4 => 16,
        }
    }

    /// The sum of `block`; behind [`full`](Self::full) bytes of it, zeros.
    pub fn of(&self, block: &[u8]) -> [u8; FULL] {
        match self {
            Strong::Blake3(key) => {
                let mut sum = *blake3::keyed_hash(key, block).as_bytes();
                if let Some(head) = self.head(block) {
                    sum.copy_within(..FULL - HEAD_SUM, HEAD_SUM);
                    sum[..HEAD_SUM].copy_from_slice(&head);
                }
                sum
            }
            Strong::Blake2b => blake2::Blake2b::<U32>::digest(block).into(),
            Strong::Md4 => {
                let mut sum = [0; FULL];
                sum[..16].copy_from_slice(&md4::Md4::digest(block));
                sum
            }
        }
    }

    /// What the sum of a long block begins with: that of its first [`HEAD`] bytes. In files of many gigabytes weak sums are equal by chance so
    /// often that it would cost too much to sum the whole block each time.
    pub(super) fn head(&self, block: &[u8]) -> Option<[u8; HEAD_SUM]> {
        let Strong::Blake3(key) = self else { return None };
        let start = block.first_chunk::<HEAD>().filter(|_| block.len() > LONG)?;
        blake3::keyed_hash(key, start).as_bytes().first_chunk().copied()
    }

    /// The sums of blocks of one length, at most [`MANY`], put into `sums`.
    pub(super) fn of_each<'d>(&self, blocks: impl ExactSizeIterator<Item = &'d [u8]>, sums: &mut Vec<[u8; FULL]>) {
        sums.clear();
        let mut all = [&[][..]; MANY];
        let count = blocks.len();
        all.iter_mut().zip(blocks).for_each(|(place, block)| *place = block);
        let all = &all[..count];
        match self {
            Strong::Blake3(key) if count > 1 && many::fits(all[0].len()) => many::keyed(key, all, sums),
            _ => sums.extend(all.iter().map(|block| self.of(block))),
        }
    }
}

/// How many bytes of a strong sum make a false match improbable in a file of `bytes` in blocks of `block` bytes: behind the 32 bits of the weak sum
/// log₂(windows · blocks) bits for all pairs that may meet by chance, and [`SPARE`] more.
///
/// So a file of random data comes out wrong with a probability of 2⁻⁴⁰ (and that is noticed, by its digest); where blocks are expected and the
/// strong sum alone decides, with 2⁻⁴⁸ at most for each that has changed. Where the salt is not known beforehand, bytes made on purpose do
/// no better.
pub(super) fn length(bytes: u64, block: usize) -> usize {
    let log = |count: u64| u64::BITS - count.max(1).leading_zeros();
    let bits = log(bytes) + log(bytes.div_ceil(block as u64)) + SPARE - 32;
    (bits.div_ceil(8) as usize).clamp(LEAST, 16) + of_head(block)
}

/// Bits beyond those that chance asks for.
const SPARE: u32 = 40;
/// Shorter ones save nothing worth having.
const LEAST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    #[test]
    fn they_are_the_published_functions() {
        // RFC 1320, appendix 5, and what `b2sum -l 256` and `b3sum --keyed` print.
        assert_eq!(hex(&Strong::Md4.of(b"abc")[..16]), "a448017aaf21d8525fc10ae87aa6729d");
        assert_eq!(
            hex(&Strong::Blake2b.of(b"abc")),
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
        );
        assert_eq!(Strong::Blake3([7; 32]).of(b"abc"), *blake3::keyed_hash(&[7; 32], b"abc").as_bytes());
    }

    #[test]
    fn lengths_follow_the_pairs_that_may_meet() {
        // 2^28 windows and 2^16 blocks: 28 + 16 + 40 bits, of which 32 are the weak sum's.
        assert_eq!(length((1 << 28) - 1, 4097), 7);
        assert_eq!(length(8 << 30, 1 << 16), 8);
        assert_eq!(length(8 << 30, 1 << 17), 8 + HEAD_SUM);
        assert_eq!(length(0, 1024), 4);
        assert_eq!(length(u64::MAX, 16), 16);
    }

    #[test]
    fn sums_of_long_blocks_begin_with_that_of_their_heads() {
        let strong = Strong::Blake3([7; 32]);
        let block = vec![5; LONG + 1];
        let (head, whole) = (strong.of(&block[..HEAD]), *blake3::keyed_hash(&[7; 32], &block).as_bytes());
        assert_eq!(strong.of(&block), *[&head[..HEAD_SUM], &whole[..FULL - HEAD_SUM]].concat());
        assert_eq!(strong.of(&block[1..]), *blake3::keyed_hash(&[7; 32], &block[1..]).as_bytes());
    }
}
