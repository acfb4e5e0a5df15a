//! Entries on their way to their final names, at the receiver, and those whose bytes go into a stream.
//!
//! Invariant: an entry has one outcome. What is here of it is kept by [`Parts`], a file under construction by [`Landing`].

use super::landing::{Landing, Refusal};
use super::parts::Parts;
use super::policy::Stream;
use crate::class::Class;
use crate::fs::disk::Disk;
use crate::integrity::{Digest, Verified};
use crate::manifest::{EntryId, Meta, TreePath};
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
