//! Entries on their way to their final names, at the receiver.
//!
//! Invariant: a [`Landing`] has its partial file open from the first byte written until it is finished, and a chunk counts as had only
//! after it was taken where it goes; [`Parts`] takes only what fits the length that was announced or, of a stream, the length that
//! it ends with.

use super::policy::Stream;
use crate::class::Class;
use crate::fs::disk::{Disk, DiskError, Partial};
use crate::integrity::{Digest, OPEN_ENDED, TreeHasher, Verified};
use crate::manifest::{EntryId, Meta, TreePath};
use crate::range_set::RangeSet;
use crate::wire::WireError;
use std::io::{self, Write};

/// Where an entry goes and what it is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: EntryId,
    /// The directory of the manifest that it stands in.
    pub(super) parent: Option<EntryId>,
    pub(super) path: TreePath,
    pub(super) meta: Meta,
    /// Its bytes; 0 for a stream that has not ended.
    pub(super) size: u64,
}

impl Target {
    /// Whether it is the same file, announced again under whatever number.
    pub(super) fn is_again(&self, other: &Target) -> bool {
        (&self.path, self.meta, self.size) == (&other.path, other.meta, other.size)
    }
}

/// What the run has come to so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) files_done: u64,
    pub(super) bytes_literal: u64,
    pub(super) bytes_matched: u64,
    pub(super) worst: Option<Class>,
}

impl Tally {
    pub(super) fn failed(&mut self, class: Class) {
        self.worst = Some(self.worst.map_or(class, |worst| worst.worse(class)));
    }
}

/// An entry that has no outcome yet.
pub(super) enum Pending {
    /// It is being received.
    Landing(Landing),
    /// Files of its size stand there, under its name or one that it was given instead; the sender compares the digest.
    Standing {
        /// Where it goes.
        target: Target,
        /// What stands there.
        standing: Vec<(TreePath, Digest)>,
    },
    /// Its bytes go into a stream.
    Flowing(Flow),
    /// Reading what stands there was broken off with the connection: it will be announced again.
    Unread(Target),
}

impl Pending {
    pub(super) fn target(&self) -> &Target {
        match self {
            Pending::Standing { target, .. } | Pending::Unread(target) => target,
            Pending::Landing(landing) => &landing.target,
            Pending::Flowing(flow) => &flow.target,
        }
    }

    /// Its parts, if it is being received.
    pub(super) fn parts(&mut self) -> Option<&mut Parts> {
        match self {
            Pending::Landing(landing) => Some(&mut landing.parts),
            Pending::Flowing(flow) => Some(&mut flow.parts),
            Pending::Standing { .. } | Pending::Unread(_) => None,
        }
    }

    /// Gives it up; takes its partial file away.
    pub(super) fn into_target(self, disk: &dyn Disk) -> Target {
        match self {
            Pending::Standing { target, .. } | Pending::Unread(target) => target,
            Pending::Landing(landing) => landing.discard(disk),
            Pending::Flowing(flow) => flow.target,
        }
    }
}

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
}

impl Parts {
    pub(super) fn new(chunk: u64, size: Option<u64>) -> Self {
        let tree = TreeHasher::new(chunk, size.unwrap_or(OPEN_ENDED));
        let tree = tree.expect("the hello was refused unless this is a power of two of KiB");
        Self { chunk, size, end: None, have: RangeSet::default(), tree, sealed: None }
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
    fn insert(&mut self, bytes: &Verified<&[u8]>) -> Result<(), WireError> {
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

/// Why a verified chunk could not be taken.
pub(super) enum Refusal {
    /// The peer broke the protocol.
    Wire(WireError),
    /// The disk did not take it.
    Disk(DiskError),
}

/// A file that is being received.
pub(super) struct Landing {
    pub(super) target: Target,
    pub(super) partial_name: String,
    partial: Option<Box<dyn Partial>>,
    pub(super) parts: Parts,
}

impl Landing {
    pub(super) fn new(target: Target, parts: Parts, partial_name: String) -> Self {
        Self { target, partial_name, partial: None, parts }
    }

    /// Whether room on the disk was taken for it.
    pub(super) fn has_room(&self) -> bool {
        self.partial.is_some()
    }

    fn partial(&mut self, disk: &dyn Disk) -> Result<&mut dyn Partial, DiskError> {
        if self.partial.is_none() {
            self.partial = Some(disk.create_partial(&self.partial_name, self.target.size)?);
        }
        Ok(&mut **self.partial.as_mut().expect("made just above"))
    }

    /// Writes a chunk.
    pub(super) fn write(&mut self, disk: &dyn Disk, bytes: &Verified<&[u8]>) -> Result<(), Refusal> {
        let is_open = self.parts.size.is_none();
        let partial = self.partial(disk).map_err(Refusal::Disk)?;
        let end = bytes.offset() + bytes.bytes().len() as u64;
        let written = if is_open { partial.extend(end) } else { Ok(()) };
        written.and_then(|()| partial.write_at(bytes.offset(), bytes.bytes())).map_err(Refusal::Disk)?;
        self.parts.insert(bytes).map_err(Refusal::Wire)
    }

    /// Puts the metadata on and lets the system begin to write.
    pub(super) fn finish(&mut self, disk: &dyn Disk, sync: bool) -> Result<(), DiskError> {
        let meta = self.target.meta;
        let partial = self.partial(disk)?;
        partial.set_meta(meta)?;
        if sync {
            partial.begin_sync();
        }
        Ok(())
    }

    /// Makes data and metadata durable.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        self.partial.as_mut().map_or(Ok(()), |partial| partial.sync())
    }

    /// Gives it up; takes its partial file away.
    pub(super) fn discard(self, disk: &dyn Disk) -> Target {
        if self.partial.is_some() {
            drop(self.partial);
            // Nothing better can be done about a leftover than to leave it for a later run.
            let _ = disk.remove_partial(&self.partial_name);
        }
        self.target
    }
}

/// A file whose bytes go into a stream, in order.
pub(super) struct Flow {
    pub(super) target: Target,
    pub(super) parts: Parts,
    stream: Stream,
    writer: Option<Box<dyn Write + Send>>,
    /// Where the next chunk begins.
    pub(super) next: u64,
}

impl Flow {
    pub(super) fn new(target: Target, parts: Parts, stream: Stream) -> Self {
        Self { target, parts, stream, writer: None, next: 0 }
    }

    /// Writes the next chunk.
    pub(super) fn write(&mut self, bytes: &Verified<&[u8]>) -> Result<(), Refusal> {
        if self.writer.is_none() {
            self.writer = self.stream.take();
        }
        let Some(writer) = &mut self.writer else {
            return Err(Refusal::Disk(io::Error::from(io::ErrorKind::BrokenPipe).into()));
        };
        writer.write_all(bytes.bytes()).map_err(|error| Refusal::Disk(error.into()))?;
        self.next += bytes.bytes().len() as u64;
        self.parts.insert(bytes).map_err(Refusal::Wire)
    }

    /// Hands on what the writer may hold back.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}
