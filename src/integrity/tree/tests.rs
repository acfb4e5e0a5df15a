//! Chunk values in any order give BLAKE3 of the whole, at every size that is awkward.

use super::*;
use crate::integrity::digest;
use proptest::prelude::*;

const KIB: u64 = 1024;

fn entry(length: u64) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 17)) as u8).collect()
}

/// Offset and value of each chunk.
fn values(entry: &[u8], chunk_size: u64) -> Vec<(u64, ChunkValue)> {
    let total = entry.len() as u64;
    let chunks = entry.chunks(chunk_size as usize);
    let offsets = (0..).step_by(chunk_size as usize);
    offsets.zip(chunks).map(|(offset, bytes)| (offset, chunk_value(offset, total, bytes))).collect()
}

fn combine(chunk_size: u64, total: u64, values: &[(u64, ChunkValue)]) -> Digest {
    let mut tree = TreeHasher::new(chunk_size, total).unwrap();
    for (n, (offset, value)) in values.iter().enumerate() {
        let missing = (values.len() - n) as u64;
        assert_eq!(tree.finish(), Err(Incomplete { missing }));
        assert_eq!(tree.insert(*offset, value), Ok(true));
    }
    assert!(tree.waiting.is_empty());
    tree.finish().unwrap()
}

#[test]
fn awkward_sizes() {
    for chunk_size in [KIB, 2 * KIB, 16 * KIB, 256 * KIB] {
        let mut sizes = vec![0, 1, KIB - 1, KIB, KIB + 1];
        for chunks in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17] {
            let size = chunks * chunk_size;
            sizes.extend([size - 1, size, size + 1]);
        }
        let whole = entry(*sizes.iter().max().unwrap());
        for size in sizes {
            let entry = &whole[..size as usize];
            let mut values = values(entry, chunk_size);
            assert_eq!(combine(chunk_size, size, &values), digest(entry), "{size} by {chunk_size}");
            values.reverse();
            assert_eq!(combine(chunk_size, size, &values), digest(entry), "{size} by {chunk_size}");
        }
    }
}

#[test]
fn an_entry_may_tell_its_length_last() {
    let whole = entry(40 * KIB);
    for size in (KIB + 1..40 * KIB).step_by(509) {
        let entry = &whole[..size as usize];
        let mut values: Vec<_> = (0..size)
            .step_by(KIB as usize)
            .map(|offset| {
                let end = (offset + KIB).min(size);
                let total = if end - offset == KIB { OPEN_ENDED } else { end };
                (offset, chunk_value(offset, total, &entry[offset as usize..end as usize]))
            })
            .collect();
        for reversed in [false, true] {
            for closed_after in [0, values.len() / 2, values.len()] {
                let mut tree = TreeHasher::open_ended(KIB).unwrap();
                for (n, (offset, value)) in values.iter().enumerate() {
                    if n == closed_after {
                        tree.close(size).unwrap();
                    }
                    assert!(tree.finish().is_err());
                    tree.insert(*offset, value).unwrap();
                }
                if closed_after == values.len() {
                    tree.close(size).unwrap();
                }
                assert_eq!(tree.finish().unwrap(), digest(entry), "{size} {reversed} {closed_after}");
            }
            values.reverse();
        }
    }
    let mut tree = TreeHasher::open_ended(KIB).unwrap();
    tree.insert(9 * KIB, &ChunkValue([1; 32])).unwrap();
    assert_eq!((tree.close(KIB), tree.close(9 * KIB)), (Err(TreeError::Offset(KIB)), Err(TreeError::Offset(9 * KIB))));
}

#[test]
fn in_order_only_one_value_a_level_waits() {
    let mut tree = TreeHasher::new(KIB, 1000 * KIB).unwrap();
    for n in 0..1000 {
        tree.insert(n * KIB, &ChunkValue([n as u8; 32])).unwrap();
        assert!(tree.waiting.len() <= 10, "{}", tree.waiting.len());
    }
}

#[test]
fn the_first_value_of_a_chunk_stands() {
    let entry = entry(5 * KIB);
    let values = values(&entry, KIB);
    let wrong = ChunkValue([9; 32]);
    let mut tree = TreeHasher::new(KIB, 5 * KIB).unwrap();
    for (offset, value) in &values {
        assert_eq!(tree.insert(*offset, value), Ok(true));
        for (before, _) in values.iter().filter(|(before, _)| before <= offset) {
            assert_eq!(tree.insert(*before, &wrong), Ok(false));
        }
    }
    assert_eq!(tree.finish(), Ok(digest(&entry)));
}

#[test]
fn a_wrong_or_swapped_value_changes_the_digest() {
    let entry = entry(5 * KIB);
    let mut values = values(&entry, KIB);
    let (first, second) = (values[0].1, values[1].1);
    values[0].1 = second;
    values[1].1 = first;
    assert_ne!(combine(KIB, 5 * KIB, &values), digest(&entry));
}

#[test]
fn nonsense_is_refused() {
    for size in [0, 1, 512, 1023, 1025, 3 * KIB, u64::MAX] {
        assert_eq!(TreeHasher::new(size, 10).unwrap_err(), TreeError::ChunkSize(size));
    }
    let mut tree = TreeHasher::new(KIB, 2 * KIB).unwrap();
    for offset in [1, KIB - 1, 2 * KIB, u64::MAX, 1 << 63] {
        let refused = tree.insert(offset, &ChunkValue([0; 32]));
        assert_eq!(refused, Err(TreeError::Offset(offset)));
    }
    let mut empty = TreeHasher::new(KIB, 0).unwrap();
    assert!(empty.insert(0, &ChunkValue([0; 32])).is_err());
    // The largest size that can be named does not overflow anything.
    let mut largest = TreeHasher::new(1 << 63, u64::MAX).unwrap();
    assert_eq!(largest.insert(1 << 63, &ChunkValue([0; 32])), Ok(true));
    assert_eq!(largest.finish(), Err(Incomplete { missing: 1 }));
}

/// Whether the range is a node, by walking down the tree of the BLAKE3 paper.
fn is_node(offset: u64, length: u64, start: u64, size: u64) -> bool {
    if (offset, length) == (start, size) {
        return true;
    }
    if size <= KIB {
        return false;
    }
    let left = blake3::hazmat::left_subtree_len(size);
    is_node(offset, length, start, left) || is_node(offset, length, start + left, size - left)
}

#[test]
fn subtrees_are_the_nodes_of_the_tree() {
    for total in (0..12 * KIB).step_by(256) {
        for offset in (0..=total).step_by(256) {
            for length in (0..=total - offset).step_by(256) {
                let expected = is_node(offset, length, 0, total);
                assert_eq!(is_subtree(offset, total, length), expected, "{length} at {offset} of {total}");
            }
        }
    }
    assert!(!is_subtree(0, 10, 11));
    assert!(!is_subtree(u64::MAX, 10, 2));
    assert!(is_subtree(1 << 63, u64::MAX, (1 << 63) - 1));
    assert!(!is_subtree(1, u64::MAX, u64::MAX - 1));
}

/// Offset and length of each node that is made of whole chunks of 1 KiB, the root first.
fn nodes(start: u64, size: u64) -> Vec<(u64, u64)> {
    let mut found = vec![(start, size)];
    if size > KIB {
        let left = blake3::hazmat::left_subtree_len(size);
        found.extend(nodes(start, left));
        found.extend(nodes(start + left, size - left));
    }
    found
}

#[test]
fn any_node_below_the_root_may_come_at_once() {
    for size in (2 * KIB..20 * KIB).step_by(KIB as usize).flat_map(|size| [size, size + 1]) {
        let entry = entry(size);
        let mut values = values(&entry, KIB);
        for (offset, length) in nodes(0, size).into_iter().skip(1) {
            let range = offset..offset + length;
            let value = chunk_value(offset, size, &entry[offset as usize..range.end as usize]);
            let taken = |(chunk, _): &&(u64, ChunkValue)| range.contains(chunk);
            for _ in 0..2 {
                // The node before the other chunks, and after them.
                for first in [false, true] {
                    let mut tree = TreeHasher::new(KIB, size).unwrap();
                    if first {
                        assert_eq!(tree.insert_subtree(offset, length, &value), Ok(true));
                    }
                    for (chunk, value) in values.iter().filter(|chunk| !taken(chunk)) {
                        assert_eq!(tree.insert(*chunk, value), Ok(true));
                    }
                    if !first {
                        assert_eq!(tree.insert_subtree(offset, length, &value), Ok(true));
                    }
                    assert_eq!(tree.finish(), Ok(digest(&entry)), "{length} at {offset} of {size}");
                    assert_eq!(tree.insert_subtree(offset, length, &ChunkValue([9; 32])), Ok(false));
                    assert_eq!(tree.insert(offset, &ChunkValue([9; 32])), Ok(false));
                    // A part of it is there already.
                    let mut tree = TreeHasher::new(KIB, size).unwrap();
                    tree.insert(offset, &value).unwrap();
                    let again = if length <= KIB { Ok(false) } else { Err(TreeError::Overlap { offset, length }) };
                    assert_eq!(tree.insert_subtree(offset, length, &value), again);
                }
                values.reverse();
            }
        }
    }
}

#[test]
fn what_is_no_node_of_whole_chunks_is_refused() {
    let size = 11 * KIB - 100;
    for offset in (0..=12 * KIB).step_by(512) {
        for length in (0..=12 * KIB).step_by(512).flat_map(|length| [length, length.saturating_sub(100)]) {
            let is_node = nodes(0, size).into_iter().skip(1).any(|node| node == (offset, length));
            let mut tree = TreeHasher::new(KIB, size).unwrap();
            let taken = tree.insert_subtree(offset, length, &ChunkValue([1; 32]));
            let expected = if is_node { Ok(true) } else { Err(TreeError::Subtree { offset, length }) };
            assert_eq!(taken, expected, "{length} at {offset}");
        }
    }
    for (offset, length) in [(0, u64::MAX), (u64::MAX, u64::MAX), (KIB, u64::MAX), (1 << 63, 1 << 63)] {
        let mut tree = TreeHasher::new(KIB, size).unwrap();
        assert!(tree.insert_subtree(offset, length, &ChunkValue([1; 32])).is_err());
    }
}

#[test]
fn in_an_open_ended_entry_the_first_run_might_be_the_root() {
    let entry = entry(8 * KIB);
    let value = |offset: u64| chunk_value(offset, OPEN_ENDED, &entry[offset as usize..][..4096]);
    let mut tree = TreeHasher::open_ended(KIB).unwrap();
    let refused = tree.insert_subtree(0, 4 * KIB, &value(0));
    assert_eq!(refused, Err(TreeError::Subtree { offset: 0, length: 4 * KIB }));
    assert_eq!(tree.insert_subtree(4 * KIB, 4 * KIB, &value(4 * KIB)), Ok(true));
    tree.close(8 * KIB).unwrap();
    assert_eq!(tree.insert_subtree(0, 4 * KIB, &value(0)), Ok(true));
    assert_eq!(tree.finish(), Ok(digest(&entry)));
}

#[test]
#[should_panic(expected = "1024 bytes at 512 of 4096 are no subtree")]
fn a_value_that_is_nobodys_is_not_computed() {
    chunk_value(512, 4096, &[0; 1024]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_gives_blake3_of_the_whole(
        total in 0u64..5 * 1024 * 1024,
        power in 0u32..9,
        seed in any::<u64>(),
    ) {
        let chunk_size = KIB << power;
        let entry = entry(total);
        let mut values = values(&entry, chunk_size);
        // Fisher and Yates with a linear congruential generator.
        let mut state = seed | 1;
        for i in (1..values.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            values.swap(i, ((state >> 33) % (i as u64 + 1)) as usize);
        }
        prop_assert_eq!(combine(chunk_size, total, &values), digest(&entry));
    }
}
