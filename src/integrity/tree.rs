//! The BLAKE3 tree above the chunks of one entry: the value of a chunk at its place, and the digest out of such values.
//!
//! Invariants: a [`ChunkValue`] depends on the bytes, on their offset, and on whether they are the whole entry; the digest that a
//! [`TreeHasher`] ends with is `blake3(whole entry)` if every value it was given is right, whatever their order. Chunk sizes are
//! powers of two of 1 KiB, so that every chunk is one node of the tree (section 2.1 of the BLAKE3 paper: the left subtree is
//! the largest power of two that leaves something for the right one).
//!
//! It judges nothing: comparing is `verified`'s part.

use super::Digest;
use crate::range_set::RangeSet;
use blake3::CHUNK_LEN;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Stands for the length of an entry that has not ended yet: longer than any.
pub const OPEN_ENDED: u64 = u64::MAX;
/// Length in bytes of BLAKE3's own leaves.
const LEAF: u64 = CHUNK_LEN as u64;

/// What a chunk hashes to at its place: the entry's digest if it is the whole entry, else the chaining value of its subtree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkValue([u8; 32]);

impl ChunkValue {
    /// The value that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChunkValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

/// Whether `length` bytes at `offset` of an entry of `total` bytes are one node of its tree, and so have a [`ChunkValue`].
///
/// True for every chunk of an entry that is cut at multiples of a power of two of KiB, the last one short or not.
pub fn is_subtree(offset: u64, total: u64, length: u64) -> bool {
    let Some(end) = offset.checked_add(length).filter(|&end| end <= total) else {
        return false;
    };
    if length == total {
        return true;
    }
    let width = length.div_ceil(LEAF).checked_next_power_of_two();
    let Some(width) = width.and_then(|leaves| leaves.checked_mul(LEAF)) else {
        return false;
    };
    // A full node lies anywhere at a multiple of its width; one that is cut short lies at the end of the entry.
    length > 0 && offset.is_multiple_of(width) && (length == width || end == total)
}

/// The value of the chunk `bytes` that stands at `offset` of an entry of `total` bytes.
///
/// # Panics
///
/// If they are not a node of the tree ([`is_subtree`]): a value that is nobody's would be compared with a right one. Bytes
/// and offsets that a peer names are for [`Verified::check`](super::Verified::check), which asks first.
pub fn chunk_value(offset: u64, total: u64, bytes: &[u8]) -> ChunkValue {
    let length = bytes.len() as u64;
    assert!(is_subtree(offset, total, length), "{length} bytes at {offset} of {total} are no subtree");
    if length == total {
        return ChunkValue(*super::digest(bytes).as_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    ChunkValue(hasher.update(bytes).finalize_non_root())
}

/// Why a [`TreeHasher`] cannot be, or cannot take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A chunk size that is not a power of two of KiB. Bytes.
    #[error("chunk size {0} is not a power of two of 1024 bytes")]
    ChunkSize(u64),
    /// No chunk starts there. Bytes.
    #[error("no chunk of the entry starts at {0}")]
    Offset(u64),
    /// Not a run of whole chunks that is one node of the tree below its root.
    #[error("{length} bytes at {offset} are no node between the chunks and the root")]
    Subtree {
        /// Where it was said to start. Bytes.
        offset: u64,
        /// Its length. Bytes.
        length: u64,
    },
    /// Some chunks of a run were accepted before, others not.
    #[error("{length} bytes at {offset} are there in part")]
    Overlap {
        /// Where the run starts. Bytes.
        offset: u64,
        /// Its length. Bytes.
        length: u64,
    },
}

/// Chunks are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missing} chunks are not hashed yet")]
pub struct Incomplete {
    /// How many.
    pub missing: u64,
}

/// Makes the digest of an entry from the values of its chunks, in any order.
///
/// Two neighbours become their parent as soon as both are there: in order it holds one value per level of the tree, at worst (every
/// second chunk) 32 bytes for two chunks and the map around them.
#[derive(Clone, Debug)]
pub struct TreeHasher {
    chunk_size: u64,
    /// Bytes of the entry.
    total: u64,
    accepted: RangeSet,
    /// Nodes that wait for their sibling, by level above the chunks and position in it.
    waiting: BTreeMap<(u32, u64), ChainingValue>,
    root: Option<Digest>,
}

impl TreeHasher {
    /// For an entry of `total` bytes in chunks of `chunk_size` bytes, a power of two of KiB.
    pub fn new(chunk_size: u64, total: u64) -> Result<Self, TreeError> {
        if chunk_size < LEAF || !chunk_size.is_power_of_two() {
            return Err(TreeError::ChunkSize(chunk_size));
        }
        Ok(Self {
            chunk_size,
            total,
            accepted: RangeSet::new(),
            waiting: BTreeMap::new(),
            // An empty entry has no chunks and is complete.
            root: (total == 0).then(|| super::digest(&[])),
        })
    }

    /// For an entry of a length that [`TreeHasher::close`] will tell: of more than one chunk, for the value of a first chunk that is the
    /// whole entry is another one. Values are those of chunks at their place in an entry of any greater length.
    pub fn open_ended(chunk_size: u64) -> Result<Self, TreeError> {
        Self::new(chunk_size, OPEN_ENDED)
    }

    /// Ends an open-ended entry at `total` bytes. Chunks beyond that are [`TreeError::Offset`].
    pub fn close(&mut self, total: u64) -> Result<(), TreeError> {
        let chunks = total.div_ceil(self.chunk_size);
        if chunks < 2 || self.accepted.iter().any(|range| range.end > chunks) {
            return Err(TreeError::Offset(total));
        }
        self.total = total;
        // What waits has climbed as far as it could without knowing where the tree ends.
        for ((level, position), node) in std::mem::take(&mut self.waiting) {
            self.climb(node, position, level);
        }
        Ok(())
    }

    /// How many chunks the entry has.
    fn chunks(&self) -> u64 {
        self.total.div_ceil(self.chunk_size)
    }

    /// Takes the value of the chunk at `offset`. `false` if that chunk was accepted before: the first value stands.
    pub fn insert(&mut self, offset: u64, value: &ChunkValue) -> Result<bool, TreeError> {
        let position = offset / self.chunk_size;
        if !offset.is_multiple_of(self.chunk_size) || position >= self.chunks() {
            return Err(TreeError::Offset(offset));
        }
        if self.accepted.contains(position) {
            return Ok(false);
        }
        self.accepted.insert(position..position + 1);
        self.climb(value.0, position, 0);
        Ok(true)
    }

    /// Takes the value of several chunks at once: of the `length` bytes at `offset`, which are whole chunks (the last one of the entry
    /// may be short) and one node of the tree, but not its root. `false` if all of them were accepted before: the first values stand.
    ///
    /// Where it is not known yet where the entry ends, the node that starts it might be the root, and is refused.
    pub fn insert_subtree(&mut self, offset: u64, length: u64, value: &ChunkValue) -> Result<bool, TreeError> {
        let end = offset.saturating_add(length);
        let whole =
            offset.is_multiple_of(self.chunk_size) && (end.is_multiple_of(self.chunk_size) || end == self.total);
        let may_be_root = length == self.total || (self.is_open() && offset == 0);
        if !whole || may_be_root || !is_subtree(offset, self.total, length) {
            return Err(TreeError::Subtree { offset, length });
        }
        let run = offset / self.chunk_size..end.div_ceil(self.chunk_size);
        match self.accepted.missing(run.clone()).next() {
            None => return Ok(false),
            Some(hole) if hole == run => {}
            Some(_) => return Err(TreeError::Overlap { offset, length }),
        }
        // The last node of a level may stand for fewer chunks than the others.
        let level = (run.end - run.start).next_power_of_two().ilog2();
        self.accepted.insert(run.clone());
        self.climb(value.0, run.start >> level, level);
        Ok(true)
    }

    /// Whether it is not known yet where the entry ends.
    fn is_open(&self) -> bool {
        self.total == OPEN_ENDED
    }

    /// Climbs while siblings are there. A last node without a sibling is its own parent.
    fn climb(&mut self, mut node: ChainingValue, mut position: u64, mut level: u32) {
        let open = self.is_open();
        let mut width = (0..level).fold(self.chunks(), |width, _| width.div_ceil(2));
        while width > 1 {
            let sibling = position ^ 1;
            if sibling < width {
                // The first two nodes of a level are the root's children if the entry ends there.
                let other = if open && position < 2 { None } else { self.waiting.remove(&(level, sibling)) };
                let Some(other) = other else {
                    self.waiting.insert((level, position), node);
                    return;
                };
                let (left, right) = if position < sibling { (node, other) } else { (other, node) };
                node = if width == 2 {
                    *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
                } else {
                    merge_subtrees_non_root(&left, &right, Mode::Hash)
                };
            }
            (position, level, width) = (position / 2, level + 1, width.div_ceil(2));
        }
        self.root = Some(Digest(node));
    }

    /// The digest of the entry, once every chunk was accepted.
    pub fn finish(&self) -> Result<Digest, Incomplete> {
        self.root.ok_or(Incomplete { missing: self.chunks() - self.accepted.len() })
    }
}

#[cfg(test)]
mod tests;
