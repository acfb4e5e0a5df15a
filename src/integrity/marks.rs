//! What is remembered of a file that is there in part: the values of the chunks that were verified.
//!
//! Four neighbouring chunks (a group, aligned) are remembered by the one value of their subtree once all of them are there, else each
//! by its own. A last group of fewer chunks, and a file of at most four, keep the values of single chunks: the node above four chunks
//! that are the whole file is its root, and is no [`ChunkValue`] of a group.
//!
//! Marks are stored by segments of 256 chunks. A segment is, byte for byte:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | then, for each group of which something is there, ascending: | |
//! | 1 | number of the group within the segment, 0 to 63 |
//! | 1 | mask: `0xFF` = the whole group in one value, else bit `n` (of 0 to 3) = chunk `n` of the group |
//! | 32 each | the value of the group, or those of the chunks of the mask, ascending |
//!
//! Invariants: each chunk is in at most one mark, each mark is one node of the file's tree, a group that could be whole is; so
//! equal marks have equal bytes, and other bytes are refused. When marks are stored (not before the bytes they stand for are durable),
//! whether stored marks belong to this file, and re-reading what they stand for, is for the layers above.

use super::tree::{ChunkValue, OPEN_ENDED, TreeError, TreeHasher};
use crate::range_set::RangeSet;
use blake3::hazmat::{Mode, merge_subtrees_non_root};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Chunks in a group.
const GROUP: u64 = 4;
/// Chunks in a segment.
const SEGMENT: u64 = 256;
/// Groups in a segment.
const GROUPS: u8 = (SEGMENT / GROUP) as u8;
/// First byte of a stored segment.
const VERSION: u8 = 1;
/// Mask of a group that is remembered by one value.
const WHOLE: u8 = 0xFF;

/// Bytes of a file that are remembered by one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where they start. Bytes.
    pub offset: u64,
    /// How many they are. Bytes.
    pub length: u64,
    /// What [`chunk_value`](super::chunk_value) gives for them at this offset of the file.
    pub value: ChunkValue,
}

/// There are no marks of such a file, or stored bytes are not those of that file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarksError {
    /// No file can be cut so.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file that has not ended: the last of its nodes are not known.
    #[error("the size of the file is not known")]
    OpenEnded,
    /// A segment that lies beyond the end of the file.
    #[error("the file has no segment {0}")]
    Segment(u64),
    /// A version that is not known.
    #[error("segment {segment} is of version {version}")]
    Version {
        /// Number of the segment.
        segment: u64,
        /// Its first byte.
        version: u8,
    },
    /// It ends before all is there that it begins.
    #[error("segment {0} is cut short")]
    Short(u64),
    /// A group that is there twice or precedes the one before.
    #[error("groups of segment {segment} do not ascend at {group}")]
    Order {
        /// Number of the segment.
        segment: u64,
        /// Number of the group within it.
        group: u8,
    },
    /// A group or chunks of it that the file does not have, none, or all of them one by one where they have one value.
    #[error("group {group} of segment {segment} cannot have the mask {mask:#04x}")]
    Mask {
        /// Number of the segment.
        segment: u64,
        /// Number of the group within it.
        group: u8,
        /// The mask.
        mask: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    value: ChunkValue,
    /// Whether it stands for a whole group, else for one chunk.
    whole: bool,
}

impl Mark {
    /// The chunks it stands for if it starts at chunk `first`.
    fn run(&self, first: u64) -> Range<u64> {
        first..first + if self.whole { GROUP } else { 1 }
    }
}

/// Which chunks of a file are there, with the values that they had when they were verified.
///
/// A complete file costs 34 stored bytes for four chunks, and somewhat more in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    chunk_bytes: u64,
    size: u64,
    chunks: u64,
    /// Each by its first chunk.
    by_first: BTreeMap<u64, Mark>,
    /// Segments that [`Marks::take_changed`] has not given since they changed.
    changed: BTreeSet<u64>,
}

impl Marks {
    /// Of a file of `size` bytes in chunks of `chunk_bytes`, a power of two of KiB, of which nothing is there.
    pub fn new(chunk_bytes: u64, size: u64) -> Result<Self, MarksError> {
        if size == OPEN_ENDED {
            return Err(MarksError::OpenEnded);
        }
        TreeHasher::new(chunk_bytes, size)?;
        let chunks = size.div_ceil(chunk_bytes);
        Ok(Self { chunk_bytes, size, chunks, by_first: BTreeMap::new(), changed: BTreeSet::new() })
    }

    /// Out of stored segments, by number: all that [`Marks::take_changed`] gave, the latest of each. Nothing counts as changed.
    pub fn restore(chunk_bytes: u64, size: u64, segments: &BTreeMap<u64, Vec<u8>>) -> Result<Self, MarksError> {
        let mut marks = Self::new(chunk_bytes, size)?;
        for (&segment, bytes) in segments {
            marks.decode(segment, bytes)?;
        }
        Ok(marks)
    }

    /// Remembers that chunk number `chunk` is there and has this value. Of a chunk that is there already, the first value stands.
    ///
    /// # Panics
    ///
    /// If the file has no such chunk.
    pub fn insert(&mut self, chunk: u64, value: &ChunkValue) {
        assert!(chunk < self.chunks, "chunk {chunk} of {}", self.chunks);
        let first = chunk - chunk % GROUP;
        if self.by_first.contains_key(&chunk) || self.by_first.get(&first).is_some_and(|mark| mark.whole) {
            return;
        }
        self.by_first.insert(chunk, Mark { value: *value, whole: false });
        if let Some(value) = self.merged(first) {
            for chunk in first..first + GROUP {
                self.by_first.remove(&chunk);
            }
            self.by_first.insert(first, Mark { value, whole: true });
        }
        self.changed.insert(chunk / SEGMENT);
    }

    /// Whether the group that starts at chunk `first` has one value when it is complete.
    fn merges(&self, first: u64) -> bool {
        self.chunks > GROUP && first + GROUP <= self.chunks
    }

    /// The value of the group that starts at chunk `first`, if it has one and all of its chunks are there one by one.
    fn merged(&self, first: u64) -> Option<ChunkValue> {
        if !self.merges(first) {
            return None;
        }
        let mut values = self.by_first.range(first..first + GROUP).map(|(_, mark)| mark.value);
        let [a, b, c, d] = [values.next()?, values.next()?, values.next()?, values.next()?];
        let parent = |left: ChunkValue, right: ChunkValue| {
            ChunkValue::from_bytes(merge_subtrees_non_root(left.as_bytes(), right.as_bytes(), Mode::Hash))
        };
        Some(parent(parent(a, b), parent(c, d)))
    }

    /// Forgets what has a byte in common with the `length` bytes at `offset`, such as a [`Node`] that turned out to be damaged. Of a
    /// whole group nothing stays.
    pub fn remove(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length).min(self.size);
        if offset >= end {
            return;
        }
        let chunks = offset / self.chunk_bytes..end.div_ceil(self.chunk_bytes);
        let from = chunks.start - chunks.start % GROUP;
        let marks = self.by_first.range(from..chunks.end).filter(|(first, mark)| mark.run(**first).end > chunks.start);
        let gone: Vec<u64> = marks.map(|(&first, _)| first).collect();
        for first in gone {
            self.by_first.remove(&first);
            self.changed.insert(first / SEGMENT);
        }
    }

    /// The chunks that are there, by number.
    pub fn have(&self) -> RangeSet {
        self.by_first.iter().map(|(&first, mark)| mark.run(first)).collect()
    }

    /// What is there, ascending and without overlap: what is to be read again and compared when the disk is in doubt.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.by_first.iter().map(|(&first, mark)| {
            let run = mark.run(first);
            let offset = run.start * self.chunk_bytes;
            let length = ((run.end - run.start) * self.chunk_bytes).min(self.size - offset);
            Node { offset, length, value: mark.value }
        })
    }

    /// A hasher of the file that has taken all that is there.
    pub fn hasher(&self) -> TreeHasher {
        let tree = TreeHasher::new(self.chunk_bytes, self.size);
        let mut tree = tree.expect("the same was accepted when the marks were made");
        for Node { offset, length, value } in self.nodes() {
            let taken = if length > self.chunk_bytes {
                tree.insert_subtree(offset, length, &value)
            } else {
                tree.insert(offset, &value)
            };
            taken.expect("marks are nodes below the root and do not overlap");
        }
        tree
    }

    /// The bytes of each segment that changed since the last call, by number, to take the place of those stored before. A segment of
    /// which nothing is left is one byte long.
    pub fn take_changed(&mut self) -> BTreeMap<u64, Vec<u8>> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|segment| (segment, self.encode(segment))).collect()
    }

    fn encode(&self, segment: u64) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for group in 0..GROUPS {
            let first = segment * SEGMENT + u64::from(group) * GROUP;
            let marks = self.by_first.range(first..first + GROUP);
            let masks = marks.clone().map(|(chunk, mark)| if mark.whole { WHOLE } else { 1 << (chunk - first) });
            let mask = masks.fold(0, |all, mask| all | mask);
            if mask != 0 {
                bytes.extend([group, mask]);
                bytes.extend(marks.flat_map(|(_, mark)| mark.value.as_bytes()));
            }
        }
        bytes
    }

    /// Takes in what [`Marks::encode`] made of a segment of which nothing is there yet.
    fn decode(&mut self, segment: u64, bytes: &[u8]) -> Result<(), MarksError> {
        if segment >= self.chunks.div_ceil(SEGMENT) {
            return Err(MarksError::Segment(segment));
        }
        let (&version, mut rest) = bytes.split_first().ok_or(MarksError::Short(segment))?;
        if version != VERSION {
            return Err(MarksError::Version { segment, version });
        }
        let mut least = 0;
        while let &[group, mask, ref values @ ..] = rest {
            rest = values;
            if group < least {
                return Err(MarksError::Order { segment, group });
            }
            let first = segment * SEGMENT + u64::from(group) * GROUP;
            let (whole, merges) = (mask == WHOLE, self.merges(first));
            // One bit for each chunk that the group has; all of them at once are written as a whole group if that has a value.
            let all = (1 << self.chunks.saturating_sub(first).min(GROUP)) - 1;
            let fits = if whole { merges } else { (1..=if merges { all - 1 } else { all }).contains(&mask) };
            if group >= GROUPS || !fits {
                return Err(MarksError::Mask { segment, group, mask });
            }
            let starts = if whole { 1 } else { mask };
            for chunk in (0..GROUP).filter(|n| starts >> n & 1 == 1).map(|n| first + n) {
                let (value, after) = rest.split_first_chunk().ok_or(MarksError::Short(segment))?;
                self.by_first.insert(chunk, Mark { value: ChunkValue::from_bytes(*value), whole });
                rest = after;
            }
            least = group + 1;
        }
        if rest.is_empty() { Ok(()) } else { Err(MarksError::Short(segment)) }
    }
}

#[cfg(test)]
mod tests;
