//! BLAKE3 of many blocks of one length side by side.
//!
//! One block of 4 KiB has four chunks of 1 KiB, which fill a part of the widest registers; eight or sixteen blocks fill them, which makes sums of
//! short blocks two to six times as fast. Invariant: the sums are those of [`blake3::keyed_hash`], which the tests
//! compare. It is the tree of the BLAKE3 paper (§ 2.1, § 2.4) put together of the crate's compression of many inputs, which it keeps
//! out of its documentation: this module alone knows it, and [`fits`] may say no to everything without any sum changing.

use super::{FULL, MANY};
use blake3::IncrementCounter;
use blake3::platform::Platform;

/// Bytes of a leaf of the tree, and of what a parent is made of.
const CHUNK: usize = 1024;
const PARENT_INPUT: usize = 2 * FULL;
/// Longest blocks that gain: longer ones fill the registers by themselves.
const LONGEST: usize = 64 * 1024;

/// Flags of the compression (BLAKE3 paper, table 3).
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// How many inputs are as soon done as `count`: three take longer than four, and so on.
fn lanes(count: usize) -> usize {
    if count <= 2 { count } else { count.next_power_of_two() }
}

/// Whether blocks of `len` bytes are for this module: whole trees, whose every level halves.
pub(super) fn fits(len: usize) -> bool {
    len.is_power_of_two() && (CHUNK..=LONGEST).contains(&len)
}

/// The keyed sums of `blocks`, which have one length that [`fits`], added to `sums`.
pub(super) fn keyed(key: &[u8; 32], blocks: &[&[u8]], sums: &mut Vec<[u8; FULL]>) {
    let platform = Platform::detect();
    let (words, _) = key.as_chunks::<4>();
    let words: [u32; 8] = std::array::from_fn(|at| u32::from_le_bytes(words[at]));
    let leaves = blocks[0].len() / CHUNK;
    let root = |nodes: usize| if nodes == 1 { ROOT } else { 0 };

    // Leaves that stand at the same place of their blocks have the same counter: one call for each place.
    let mut values = vec![[0; FULL]; blocks.len() * leaves];
    let mut level = [[0; FULL]; MANY];
    let lanes = lanes(blocks.len());
    for leaf in 0..leaves {
        let chunk = |lane: usize| blocks[lane.min(blocks.len() - 1)][leaf * CHUNK..].first_chunk();
        let inputs: Vec<&[u8; CHUNK]> = (0..lanes).filter_map(chunk).collect();
        let last = CHUNK_END | root(leaves);
        platform.hash_many(
            &inputs,
            &words,
            leaf as u64,
            IncrementCounter::No,
            KEYED_HASH,
            CHUNK_START,
            last,
            level[..lanes].as_flattened_mut(),
        );
        for (block, value) in level[..blocks.len()].iter().enumerate() {
            values[block * leaves + leaf] = *value;
        }
    }
    let mut nodes = leaves;
    while nodes > 1 {
        let parents = nodes / 2;
        let mut above = vec![[0; FULL]; blocks.len() * parents];
        let (inputs, _) = values.as_flattened().as_chunks::<PARENT_INPUT>();
        let flags = PARENT | KEYED_HASH | root(parents);
        for (inputs, above) in inputs.chunks(MANY).zip(above.chunks_mut(MANY)) {
            let inputs: Vec<&[u8; PARENT_INPUT]> = inputs.iter().collect();
            platform.hash_many(&inputs, &words, 0, IncrementCounter::No, flags, 0, 0, above.as_flattened_mut());
        }
        (values, nodes) = (above, parents);
    }
    sums.extend(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sums_are_those_of_one() {
        let data: Vec<u8> = (0..MANY * LONGEST).map(|at| (at * at / 251 + at) as u8).collect();
        let key = blake3::derive_key("test", b"key");
        for len in (10..=16).map(|power| 1 << power) {
            assert!(fits(len));
            for blocks in 1..=MANY {
                let mut sums = Vec::new();
                let all: Vec<&[u8]> = data.chunks(len).take(blocks).collect();
                keyed(&key, &all, &mut sums);
                let alone: Vec<[u8; FULL]> =
                    all.iter().map(|block| *blake3::keyed_hash(&key, block).as_bytes()).collect();
                assert_eq!(sums, alone, "{blocks} blocks of {len} bytes");
            }
        }
        assert!(!fits(512) && !fits(3072) && !fits(2 * LONGEST));
    }
}
