//! Marks are nodes of the tree, come back from their bytes as they were, and nothing else comes back.

use super::*;
use crate::integrity::{chunk_value, digest};
use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const KIB: u64 = 1024;

fn file(size: u64) -> Vec<u8> {
    (0..size).map(|i| (i ^ (i >> 8) ^ (i >> 17)) as u8).collect()
}

fn piece(file: &[u8], offset: u64, length: u64) -> &[u8] {
    &file[offset as usize..(offset + length) as usize]
}

fn value_of(file: &[u8], chunk_bytes: u64, chunk: u64) -> ChunkValue {
    let (size, offset) = (file.len() as u64, chunk * chunk_bytes);
    chunk_value(offset, size, piece(file, offset, chunk_bytes.min(size - offset)))
}

/// Marks of a file of 1 KiB chunks, of which these are there; the value of chunk `n` is 32 times the byte `n`.
fn with(size: u64, chunks: impl IntoIterator<Item = u64>) -> Marks {
    let mut marks = Marks::new(KIB, size).unwrap();
    for chunk in chunks {
        marks.insert(chunk, &ChunkValue::from_bytes([chunk as u8; 32]));
    }
    marks
}

/// Offsets and lengths of the nodes, in KiB.
fn shape(marks: &Marks) -> Vec<(u64, u64)> {
    marks.nodes().map(|node| (node.offset / KIB, node.length.div_ceil(KIB))).collect()
}

fn restored(size: u64, segment: u64, bytes: &[u8]) -> Result<Marks, MarksError> {
    Marks::restore(KIB, size, &BTreeMap::from([(segment, bytes.to_vec())]))
}

#[test]
fn the_stored_form() {
    let mut marks = with(1000 * KIB, [3, 1, 255, 0, 6, 4, 2]);
    let group = "72d0f93e85a473d27d47775a5a378b9c882b018e0405b670d5bcb1d99e6cad04";
    let golden = [
        "01".to_owned(),
        format!("00ff{group}"),
        format!("0105{}{}", "04".repeat(32), "06".repeat(32)),
        format!("3f08{}", "ff".repeat(32)),
    ];
    let stored = marks.take_changed();
    assert_eq!(stored.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(HEXLOWER.encode(&stored[&0]), golden.concat());
    assert_eq!(Marks::restore(KIB, 1000 * KIB, &stored), Ok(marks));
    let complete = with(1000 * KIB, 0..1000).take_changed();
    assert_eq!(complete.values().map(Vec::len).collect::<Vec<_>>(), [2177, 2177, 2177, 1 + 58 * 34]);
}

#[test]
fn only_what_changed_is_given() {
    let mut marks = with(1000 * KIB, [700, 5, 6]);
    let numbers = |marks: &mut Marks| marks.take_changed().into_keys().collect::<Vec<_>>();
    assert_eq!((numbers(&mut marks), numbers(&mut marks)), (vec![0, 2], vec![]));
    for chunk in [256, 257, 258, 259] {
        marks.insert(chunk, &ChunkValue::from_bytes([0; 32]));
    }
    assert_eq!(numbers(&mut marks), [1]);
    // The first value stands, alone and in a group; what is not there is not removed.
    let before = marks.clone();
    for chunk in [700, 256, 258] {
        marks.insert(chunk, &ChunkValue::from_bytes([1; 32]));
    }
    marks.remove(4 * KIB, KIB);
    marks.remove(1000 * KIB, u64::MAX);
    marks.remove(5 * KIB, 0);
    assert_eq!(marks, before);
    marks.remove(5 * KIB, KIB);
    assert_eq!((numbers(&mut marks), shape(&marks)), (vec![0], vec![(6, 1), (256, 4), (700, 1)]));
    marks.remove(6 * KIB, KIB);
    assert_eq!(marks.take_changed(), BTreeMap::from([(0, vec![1])]));
    assert!(restored(1000 * KIB, 0, &[1]).unwrap().have().is_empty());
}

#[test]
fn the_root_and_a_cut_group_are_not_merged() {
    for (size, nodes) in [
        (0, vec![]),
        (1, vec![(0, 1)]),
        (4 * KIB - 1, vec![(0, 1), (1, 1), (2, 1), (3, 1)]),
        (4 * KIB, vec![(0, 1), (1, 1), (2, 1), (3, 1)]),
        (4 * KIB + 1, vec![(0, 4), (4, 1)]),
        (7 * KIB, vec![(0, 4), (4, 1), (5, 1), (6, 1)]),
        (7 * KIB + 1, vec![(0, 4), (4, 4)]),
    ] {
        let mut marks = with(size, 0..size.div_ceil(KIB));
        assert_eq!(shape(&marks), nodes, "{size}");
        assert_eq!(marks.nodes().map(|node| node.length).sum::<u64>(), size);
        assert!(marks.hasher().finish().is_ok());
        let stored = marks.take_changed();
        assert_eq!(Marks::restore(KIB, size, &stored), Ok(marks));
    }
}

#[test]
fn removing_takes_every_mark_it_touches() {
    for (offset, length, left) in [
        (0, 1, vec![(4, 4), (9, 1), (11, 1)]),
        (3 * KIB, KIB, vec![(4, 4), (9, 1), (11, 1)]),
        (4 * KIB - 1, 2, vec![(9, 1), (11, 1)]),
        (8 * KIB, 2 * KIB, vec![(0, 4), (4, 4), (11, 1)]),
        (10 * KIB, KIB, vec![(0, 4), (4, 4), (9, 1), (11, 1)]),
        (11 * KIB, u64::MAX, vec![(0, 4), (4, 4), (9, 1)]),
        (0, u64::MAX, vec![]),
    ] {
        let mut marks = with(20 * KIB, [0, 1, 2, 3, 4, 5, 6, 7, 9, 11]);
        marks.remove(offset, length);
        assert_eq!(shape(&marks), left, "{length} at {offset}");
    }
}

#[test]
fn malformed_segments_are_refused() {
    let value = [7; 32];
    let bytes = |parts: &[&[u8]]| parts.concat();
    let (short, order) = (MarksError::Short(0), |group| MarksError::Order { segment: 0, group });
    let mask = |group, mask| MarksError::Mask { segment: 0, group, mask };
    // Two whole groups and one of three chunks.
    let size = 11 * KIB;
    for (stored, error) in [
        (bytes(&[]), short),
        (bytes(&[&[0]]), MarksError::Version { segment: 0, version: 0 }),
        (bytes(&[&[2, 0, 1], &value]), MarksError::Version { segment: 0, version: 2 }),
        (bytes(&[&[1, 0]]), short),
        (bytes(&[&[1, 0, 1]]), short),
        (bytes(&[&[1, 0, 1], &value[1..]]), short),
        (bytes(&[&[1, 0, 3], &value]), short),
        (bytes(&[&[1, 0, 1], &value, &[1]]), short),
        (bytes(&[&[1, 0, 0]]), mask(0, 0)),
        (bytes(&[&[1, 0, 15], &value, &value, &value, &value]), mask(0, 15)),
        (bytes(&[&[1, 0, 16], &value]), mask(0, 16)),
        (bytes(&[&[1, 0, 0xFE], &value]), mask(0, 0xFE)),
        (bytes(&[&[1, 2, 8], &value]), mask(2, 8)),
        (bytes(&[&[1, 2, 0xFF], &value]), mask(2, 0xFF)),
        (bytes(&[&[1, 3, 1], &value]), mask(3, 1)),
        (bytes(&[&[1, 64, 1], &value]), mask(64, 1)),
        (bytes(&[&[1, 255, 0xFF], &value]), mask(255, 0xFF)),
        (bytes(&[&[1, 0, 1], &value, &[0, 2], &value]), order(0)),
        (bytes(&[&[1, 0, 0xFF], &value, &[0, 1], &value]), order(0)),
        (bytes(&[&[1, 1, 1], &value, &[0, 1], &value]), order(0)),
    ] {
        assert_eq!(restored(size, 0, &stored), Err(error), "{stored:?}");
    }
    for segment in [1, u64::MAX / SEGMENT, u64::MAX] {
        assert_eq!(restored(size, segment, &[1]), Err(MarksError::Segment(segment)));
    }
    assert_eq!(restored(0, 0, &[1]), Err(MarksError::Segment(0)));
    // A group of the next segment is not reached from this one.
    assert_eq!(restored(1000 * KIB, 0, &bytes(&[&[1, 64, 1], &value])), Err(mask(64, 1)));
    // All four chunks one by one are right where they are the whole file.
    assert!(restored(4 * KIB, 0, &bytes(&[&[1, 0, 15], &value, &value, &value, &value])).is_ok());
}

#[test]
fn files_that_cannot_be_are_refused() {
    assert_eq!(Marks::new(1000, 5), Err(MarksError::Tree(TreeError::ChunkSize(1000))));
    assert_eq!(Marks::new(KIB, OPEN_ENDED), Err(MarksError::OpenEnded));
}

#[test]
fn the_largest_sizes_do_not_overflow() {
    let size = u64::MAX - 1;
    for chunk_bytes in [KIB, 1 << 61, 1 << 62, 1 << 63] {
        let last = size.div_ceil(chunk_bytes) - 1;
        let mut marks = Marks::new(chunk_bytes, size).unwrap();
        for chunk in (0..4.min(last)).chain(last - last % GROUP..=last) {
            marks.insert(chunk, &ChunkValue::from_bytes([0; 32]));
        }
        let node = marks.nodes().last().unwrap();
        assert_eq!(node.offset + node.length, size);
        assert_eq!((marks.have().contains(last), marks.hasher().finish().is_ok()), (true, last < 8));
        let stored = marks.take_changed();
        assert_eq!(Marks::restore(chunk_bytes, size, &stored), Ok(marks.clone()));
        marks.remove(size - 1, 1);
        assert!(!marks.have().contains(last));
    }
}

#[test]
#[should_panic(expected = "chunk 2 of 2")]
fn a_chunk_beyond_the_end_is_not_remembered() {
    with(2 * KIB, [2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_is_continued_from_its_marks(
        (size, power) in prop_oneof![(0u64..20 * KIB, 0u32..3), (0u64..700 * KIB, 0u32..9)],
        order in any::<u64>(),
        kept in any::<Index>(),
        damaged in any::<Index>(),
    ) {
        let (file, chunk_bytes) = (file(size), KIB << power);
        let mut chunks: Vec<u64> = (0..size.div_ceil(chunk_bytes)).collect();
        chunks.sort_by_key(|&chunk| *digest(&[chunk, order].map(u64::to_le_bytes).concat()).as_bytes());
        let there = &chunks[..kept.index(chunks.len() + 1)];
        let mut marks = Marks::new(chunk_bytes, size).unwrap();
        let mut stored = BTreeMap::new();
        for (n, &chunk) in there.iter().enumerate() {
            marks.insert(chunk, &value_of(&file, chunk_bytes, chunk));
            if n % 7 == 0 {
                stored.extend(marks.take_changed());
            }
        }
        stored.extend(marks.take_changed());

        let mut again = Marks::restore(chunk_bytes, size, &stored).unwrap();
        prop_assert!(again.take_changed().is_empty());
        prop_assert_eq!(&again, &marks);
        prop_assert_eq!(again.have(), there.iter().map(|&chunk| chunk..chunk + 1).collect());
        let nodes: Vec<Node> = again.nodes().collect();
        prop_assert!(nodes.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset));
        for node in &nodes {
            prop_assert_eq!(chunk_value(node.offset, size, piece(&file, node.offset, node.length)), node.value);
        }
        complete(&again, &file, &chunks)?;

        // A node turns out to be damaged: all the rest counts, and what is missing completes the file.
        if !nodes.is_empty() {
            let node = damaged.get(&nodes);
            again.remove(node.offset, node.length);
            prop_assert!(again.nodes().eq(nodes.iter().copied().filter(|other| other != node)));
            stored.extend(again.take_changed());
            prop_assert_eq!(&Marks::restore(chunk_bytes, size, &stored).unwrap(), &again);
            complete(&again, &file, &chunks)?;
        }
    }

    /// Whatever bytes are stored, what is believed of them is what would have been stored.
    #[test]
    fn other_bytes_are_refused(
        size in prop_oneof![0u64..20 * KIB, 0u64..300 * KIB],
        groups in vec((prop_oneof![0u8..5, 0u8..70], prop_oneof![0u8..18, Just(WHOLE)], any::<bool>()), 0..4),
        tail in prop_oneof![Just(0usize), 0usize..40],
    ) {
        let mut bytes = vec![VERSION];
        for (group, mask, right) in groups {
            let values = if mask == WHOLE { 1 } else { mask.count_ones() as usize };
            bytes.extend([group, mask]);
            bytes.extend(vec![group; 32 * values - if right { 0 } else { values }]);
        }
        bytes.extend(vec![0; tail]);
        if let Ok(marks) = restored(size, 0, &bytes) {
            prop_assert_eq!(marks.encode(0), bytes);
            prop_assert!(marks.nodes().all(|node| node.length > 0 && node.offset + node.length <= size));
            marks.hasher();
        }
    }
}

/// What is missing, in that order of chunks, and what is remembered are the whole.
fn complete(marks: &Marks, file: &[u8], order: &[u64]) -> Result<(), TestCaseError> {
    let (mut hasher, have) = (marks.hasher(), marks.have());
    for &chunk in order.iter().filter(|chunk| !have.contains(**chunk)) {
        prop_assert!(hasher.finish().is_err());
        let value = value_of(file, marks.chunk_bytes, chunk);
        prop_assert_eq!(hasher.insert(chunk * marks.chunk_bytes, &value), Ok(true));
    }
    prop_assert_eq!(hasher.finish(), Ok(digest(file)));
    Ok(())
}
