//! Entries on their way to their final names, at the receiver.
//!
//! Invariant: a [`Landing`] has its partial file open from the first byte written until it is finished, and counts a chunk as had only
//! after the disk has taken it.

use crate::class::Class;
use crate::fs::disk::{Disk, DiskError, Partial};
use crate::integrity::{Digest, TreeHasher, Verified};
use crate::manifest::{Meta, TreePath};
use crate::range_set::RangeSet;

/// Where an entry goes and what it is to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: TreePath,
    pub(super) meta: Meta,
    pub(super) size: u64,
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

/// A directory of the manifest.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) target: Target,
    /// It is there and things may go into it.
    pub(super) usable: bool,
}

/// An entry that has no outcome yet.
pub(super) enum Pending {
    /// It is being received.
    Landing(Landing),
    /// Something of its size stands there; the sender compares the digest.
    Standing {
        /// Where.
        target: Target,
        /// Digest of what stands there.
        digest: Digest,
    },
}

impl Pending {
    pub(super) fn target(&self) -> &Target {
        match self {
            Pending::Standing { target, .. } => target,
            Pending::Landing(landing) => &landing.target,
        }
    }

    /// Gives it up; takes its partial file away.
    pub(super) fn into_target(self, disk: &dyn Disk) -> Target {
        match self {
            Pending::Standing { target, .. } => target,
            Pending::Landing(landing) => {
                if landing.partial.is_some() {
                    drop(landing.partial);
                    // Nothing better can be done about a leftover than to leave it for the next run of the session.
                    let _ = disk.remove_partial(&landing.partial_name);
                }
                landing.target
            }
        }
    }
}

/// Whether a chunk was needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    New,
    Known,
}

/// A file that is being received.
pub(super) struct Landing {
    pub(super) target: Target,
    pub(super) partial_name: String,
    partial: Option<Box<dyn Partial>>,
    /// Chunks that are written, by number.
    pub(super) have: RangeSet,
    chunks: u64,
    tree: TreeHasher,
    /// The digest that the sender ended the file with.
    pub(super) sealed: Option<Digest>,
}

impl Landing {
    pub(super) fn new(target: Target, chunk_bytes: u64, partial_name: String) -> Self {
        Self {
            chunks: target.size.div_ceil(chunk_bytes),
            tree: TreeHasher::new(chunk_bytes, target.size)
                .expect("the hello was refused unless this is a power of two of KiB"),
            target,
            partial_name,
            partial: None,
            have: RangeSet::default(),
            sealed: None,
        }
    }

    fn partial(&mut self, disk: &dyn Disk) -> Result<&mut dyn Partial, DiskError> {
        if self.partial.is_none() {
            self.partial = Some(disk.create_partial(&self.partial_name, self.target.size)?);
        }
        Ok(&mut **self.partial.as_mut().expect("made just above"))
    }

    /// Writes chunk `number`.
    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        bytes: &Verified<&[u8]>,
    ) -> Result<Arrived, DiskError> {
        if self.have.contains(number) {
            return Ok(Arrived::Known);
        }
        self.partial(disk)?.write_at(bytes.offset(), bytes.bytes())?;
        self.tree.insert(bytes.offset(), bytes.value()).expect("a verified chunk has its place in the tree");
        self.have.insert(number..number + 1);
        Ok(Arrived::New)
    }

    /// Whether it takes more than one chunk.
    pub(super) fn is_large(&self) -> bool {
        self.chunks > 1
    }

    /// Whether all of it is here and right; `None` while it is not all here.
    pub(super) fn landed(&self) -> Option<bool> {
        if self.have.len() < self.chunks {
            return None;
        }
        // A file of one chunk came with its digest as the chunk's value.
        if self.chunks <= 1 {
            return Some(true);
        }
        let sealed = self.sealed.as_ref()?;
        Some(self.tree.finish().is_ok_and(|digest| digest == *sealed))
    }

    /// Puts the metadata on and makes data and metadata durable.
    pub(super) fn finish(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        let meta = self.target.meta;
        let partial = self.partial(disk)?;
        partial.set_meta(meta)?;
        partial.sync()
    }
}
