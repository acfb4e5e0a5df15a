//! Which chunks of a file are here, and what they come to.
//!
//! Invariant: it takes only what fits the length that was announced or, of a stream, the length that it ends with; each chunk once; and what
//! is written down for another run is never more than what is here.

use crate::integrity::{Digest, Marks, MarksError, Node, OPEN_ENDED, TreeHasher, Verified};
use crate::manifest::MAX_FILE;
use crate::range_set::RangeSet;
use crate::wire::WireError;
use std::collections::BTreeMap;

/// Which chunks of a file are here, and what they come to.
pub(super) struct Parts {
    chunk: u64,
    /// Bytes of the whole; nothing while a stream has not ended.
    size: Option<u64>,
    /// Where a stream ends by its last chunk, which is short.
    end: Option<u64>,
    /// Chunks that are here, by number.
    pub(super) have: RangeSet,
    tree: TreeHasher,
    /// The digest that the sender ended the file with.
    sealed: Option<Digest>,
    /// What is to be written down of it, so that another run can go on.
    marks: Option<Marks>,
}

impl Parts {
    pub(super) fn new(chunk: u64, size: Option<u64>) -> Self {
        let tree = TreeHasher::new(chunk, size.unwrap_or(OPEN_ENDED));
        let tree = tree.expect("the hello was refused unless this is a power of two of KiB");
        Self { chunk, size, end: None, have: RangeSet::default(), tree, sealed: None, marks: None }
    }

    /// Those of a file that an earlier run began.
    pub(super) fn again(chunk: u64, size: u64, segments: &BTreeMap<u64, Vec<u8>>) -> Result<Self, MarksError> {
        Marks::restore(chunk, size, segments).map(|marks| Self::of(chunk, size, marks))
    }

    fn of(chunk: u64, size: u64, marks: Marks) -> Self {
        Self { have: marks.have(), tree: marks.hasher(), marks: Some(marks), ..Self::new(chunk, Some(size)) }
    }

    /// Bytes of a chunk.
    pub(super) fn chunk_bytes(&self) -> u32 {
        self.chunk as u32
    }

    /// Bytes that are here.
    pub(super) fn bytes(&self) -> u64 {
        let whole = self.have.len() * self.chunk;
        let short = |size: u64| if self.have.contains(size / self.chunk) { self.chunk - size % self.chunk } else { 0 };
        whole - self.size.map_or(0, short)
    }

    /// Lets it be written down what is here, if that is worth it: of more than one chunk, and as long as was announced. One that is longer than
    /// any file fails when its partial file is to be made.
    pub(super) fn mark(&mut self) {
        if let Some(size) = self.size.filter(|size| (self.chunk + 1..=MAX_FILE).contains(size)) {
            let marks = Marks::new(self.chunk, size);
            self.marks =
                Some(marks.expect("the tree has taken chunks of this size, and files of this length have an end"));
        }
    }

    /// What is to be written down since the last time, by segment.
    pub(super) fn take_marks(&mut self) -> BTreeMap<u64, Vec<u8>> {
        self.marks.as_mut().map(Marks::take_changed).unwrap_or_default()
    }

    /// Whether another run can go on from what is here.
    pub(super) fn lasts(&self) -> bool {
        self.marks.is_some() && !self.have.is_empty()
    }

    /// Takes out what `is_right` does not find right on the disk.
    pub(super) fn retain<E>(&mut self, mut is_right: impl FnMut(&Node) -> Result<bool, E>) -> Result<(), E> {
        let (Some(marks), Some(size)) = (&mut self.marks, self.size) else { return Ok(()) };
        let mut wrong = Vec::new();
        for node in marks.nodes() {
            if !is_right(&node)? {
                wrong.push(node);
            }
        }
        for node in wrong {
            marks.remove(node.offset, node.length);
        }
        let marks = marks.clone();
        *self = Self { sealed: self.sealed, ..Self::of(self.chunk, size, marks) };
        Ok(())
    }

    /// The size of the whole that a chunk of `length` bytes at `offset` is to be checked with, if there can be such a chunk.
    pub(super) fn total(&self, offset: u64, length: u64) -> Result<u64, WireError> {
        let end = offset.checked_add(length).ok_or(WireError::Range("extent"))?;
        let (fits, total) = match self.size {
            Some(size) => (length == self.chunk.min(size.saturating_sub(offset)), size),
            None if length == self.chunk => (self.end.is_none_or(|last| end <= last), OPEN_ENDED),
            // The last one; a stream is longer than one chunk.
            None => (length < self.chunk && offset > 0 && self.end.is_none_or(|last| end == last), end),
        };
        if fits && offset.is_multiple_of(self.chunk) { Ok(total) } else { Err(WireError::Range("extent")) }
    }

    pub(super) fn has(&self, offset: u64) -> bool {
        self.have.contains(offset / self.chunk)
    }

    /// A chunk was taken where it goes.
    pub(super) fn insert(&mut self, bytes: &Verified<&[u8]>) -> Result<(), WireError> {
        let (offset, length) = (bytes.offset(), bytes.bytes().len() as u64);
        if self.size.is_none() && length < self.chunk {
            if self.have.iter().any(|range| range.end * self.chunk > offset) {
                return Err(WireError::Range("extent"));
            }
            self.end = Some(offset + length);
        }
        self.tree.insert(offset, bytes.value()).map_err(|_| WireError::Range("extent"))?;
        let number = offset / self.chunk;
        self.have.insert(number..number + 1);
        if let Some(marks) = &mut self.marks {
            marks.insert(number, bytes.value());
        }
        Ok(())
    }

    /// The digest of a file that has landed.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.sealed.or_else(|| self.tree.finish().ok())
    }

    /// The sender has told size and digest of the whole.
    pub(super) fn seal(&mut self, size: u64, digest: Digest) -> Result<(), WireError> {
        let fits = self.size.is_none_or(|known| known == size) && self.end.is_none_or(|end| end == size);
        if !fits {
            return Err(WireError::Range("size"));
        }
        if self.size.is_none() {
            self.tree.close(size).map_err(|_| WireError::Range("size"))?;
            self.size = Some(size);
        }
        self.sealed = Some(digest);
        Ok(())
    }

    /// Whether its length is not known yet.
    pub(super) fn is_open(&self) -> bool {
        self.size.is_none()
    }

    /// What is here of it, while its length is not known.
    pub(super) fn bytes_of_open(&self) -> u64 {
        if self.is_open() { self.have.len() * self.chunk } else { 0 }
    }

    /// Whether it takes more than one chunk.
    pub(super) fn is_large(&self) -> bool {
        self.size.is_none_or(|size| size > self.chunk)
    }

    /// Whether all of it is here and right; `None` while it is not all here.
    pub(super) fn landed(&self) -> Option<bool> {
        let chunks = self.size?.div_ceil(self.chunk);
        if self.have.len() < chunks {
            return None;
        }
        // A file of one chunk came with its digest as the chunk's value.
        if chunks <= 1 {
            return Some(true);
        }
        let sealed = self.sealed.as_ref()?;
        Some(self.tree.finish().is_ok_and(|digest| digest == *sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_run_can_go_on_with_is_written_down() {
        for (size, is_marked) in [
            (Some(0), false),
            (Some(1024), false),
            (Some(1025), true),
            (Some(MAX_FILE), true),
            (Some(MAX_FILE + 1), false),
            (Some(u64::MAX), false),
            (None, false),
        ] {
            let mut parts = Parts::new(1024, size);
            parts.mark();
            assert_eq!(parts.marks.is_some(), is_marked, "{size:?}");
            assert!(!parts.lasts(), "nothing is here");
        }
    }
}
