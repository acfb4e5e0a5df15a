//! What is made of a target before it is written: a piece of it, in memory.
//!
//! Invariants: its bytes are given away in order, as two runs; what is copied of a basis is summed in its order, once. The piece has two halves,
//! whose addresses differ by half a page beyond whole pages, so that blocks of both, where they begin at the same place of a page, can be summed
//! side by side without being in each other's way in the first-level cache ([`in_a_row`]).

use crate::sync::signature::Plan;
use crate::sync::strong::{FULL, MANY, in_a_row};

/// Bytes of a half, or one block.
const HALF: usize = 512 << 10;
/// Bytes between the halves.
const BETWEEN: usize = 2048;

/// See the module.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    half: usize,
    /// Bytes that are there, of each half.
    there: [usize; 2],
    /// Where blocks of the basis stand, and how long they are: all as the plan says, but for the last one of the basis.
    blocks: Vec<(usize, usize)>,
}

impl Piece {
    /// An empty one, for blocks of this length.
    pub(super) fn new(block: usize) -> Piece {
        let half = HALF.max(block);
        Piece { bytes: vec![0; 2 * half + BETWEEN], half, there: [0; 2], blocks: Vec::new() }
    }

    /// Bytes that it has room for at most.
    pub(super) fn len(&self) -> usize {
        2 * self.half
    }

    /// Where the next bytes go: at most `wanted`, and a multiple of `unit` if they are fewer; they count as there. Nowhere if it is full.
    pub(super) fn space(&mut self, wanted: u64, unit: usize) -> &mut [u8] {
        let (start, len) = self.room(wanted, unit);
        self.there[usize::from(start > self.half)] += len;
        &mut self.bytes[start..start + len]
    }

    /// Whether that is nowhere.
    pub(super) fn is_full(&self, wanted: u64, unit: usize) -> bool {
        self.room(wanted, unit).1 == 0
    }

    fn room(&self, wanted: u64, unit: usize) -> (usize, usize) {
        let fits = |half: usize| {
            let free = self.half - self.there[half];
            wanted.min((free - free % unit) as u64) as usize
        };
        // The first half is left for good when something did not fit.
        let first = if self.there[1] == 0 { fits(0) } else { 0 };
        if first > 0 { (self.there[0], first) } else { (self.half + BETWEEN + self.there[1], fits(1)) }
    }

    /// Says that the last `len` bytes are blocks of the basis.
    pub(super) fn copied(&mut self, len: usize, block: usize) {
        let end = if self.there[1] > 0 { self.half + BETWEEN + self.there[1] } else { self.there[0] };
        let blocks = (end - len..end).step_by(block).map(|start| (start, block.min(end - start)));
        self.blocks.extend(blocks);
    }

    /// Takes the sums of the blocks of the basis into `digest`.
    pub(super) fn sum(&self, plan: &Plan, digest: &mut blake3::Hasher) {
        let mut sums = vec![[0; FULL]; self.blocks.len()];
        let whole =
            |range: std::ops::Range<usize>| range.filter(|at| self.blocks[*at].1 == plan.block).collect::<Vec<usize>>();
        let second = self.blocks.partition_point(|(start, _)| *start < self.half);
        let (first, second) = (whole(0..second), whole(second..self.blocks.len()));
        // Together they are as many as are summed side by side.
        let few = in_a_row(plan.block).min(MANY / 2);
        let (mut first, mut second) = (first.chunks(few), second.chunks(few));
        let mut made = Vec::with_capacity(MANY);
        loop {
            let group = [first.next().unwrap_or_default(), second.next().unwrap_or_default()].concat();
            if group.is_empty() {
                break;
            }
            plan.strong.of_each(group.iter().map(|at| self.block(*at)), &mut made);
            group.iter().zip(&made).for_each(|(at, sum)| sums[*at] = *sum);
        }
        for (at, sum) in sums.iter_mut().enumerate().filter(|(at, _)| self.blocks[*at].1 < plan.block) {
            *sum = plan.strong.of(self.block(at));
        }
        digest.update(sums.as_flattened());
    }

    fn block(&self, at: usize) -> &[u8] {
        let (start, len) = self.blocks[at];
        &self.bytes[start..start + len]
    }

    /// What is there, in order.
    pub(super) fn runs(&self) -> [&[u8]; 2] {
        let second = self.half + BETWEEN;
        [&self.bytes[..self.there[0]], &self.bytes[second..second + self.there[1]]]
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.there = [0; 2];
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::signature::SALT;

    #[test]
    fn bytes_and_sums_are_in_their_order() {
        for block in [16, 1000, 4096, HALF + 5] {
            // The last block is short, and stands within the target too.
            let basis: Vec<u8> = (0..(HALF / 3).max(block) + block / 2).map(|at| (at * at / 253) as u8).collect();
            let plan = Plan::salted(&[7; SALT], block, FULL);
            let mut piece = Piece::new(block);
            let (mut target, mut wanted) = (Vec::new(), blake3::Hasher::new());
            for literal in [0, 4095, 1, 9, 100, 3, 70_000, 2] {
                let mut left = literal;
                while left > 0 && !piece.is_full(left as u64, 1) {
                    let space = piece.space(left as u64, 1);
                    space.fill(literal as u8);
                    left -= space.len();
                }
                target.extend(std::iter::repeat_n(literal as u8, literal - left));
                let mut at = 0;
                while at < basis.len() && !piece.is_full((basis.len() - at) as u64, block) {
                    let space = piece.space((basis.len() - at) as u64, block);
                    let len = space.len();
                    space.copy_from_slice(&basis[at..at + len]);
                    piece.copied(len, block);
                    at += len;
                }
                target.extend(&basis[..at]);
                plan.sums(&basis[..at], |_, sum| {
                    wanted.update(sum);
                });
            }
            let mut digest = blake3::Hasher::new();
            piece.sum(&plan, &mut digest);
            assert!(piece.runs().concat() == target, "{block}");
            assert_eq!(digest.finalize(), wanted.finalize(), "{block}");
            assert!(piece.there[1] > 0 && piece.blocks.iter().any(|(_, len)| *len < block), "{block}");
            piece.clear();
            assert!(piece.runs().concat().is_empty());
        }
    }
}
