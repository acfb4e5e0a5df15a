//! A file under construction at the receiver.
//!
//! Invariant: its partial file is open from the first byte written until it is finished, and a chunk counts as had only after it was
//! written; what is said to be durable is. When that is, and what becomes of it, is for assembly to say.

use super::entries::Target;
use super::parts::Parts;
use crate::fs::disk::{Disk, DiskError, Partial};
use crate::integrity::{Verified, chunk_value};
use crate::manifest::FileTime;
use crate::wire::WireError;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a verified chunk could not be taken.
pub(super) enum Refusal {
    /// The peer broke the protocol.
    Wire(WireError),
    /// The disk did not take it.
    Disk(DiskError),
}

/// What is to be written down of a file.
pub(super) struct Mark {
    /// What is here, by segment, where that has changed.
    pub(super) segments: BTreeMap<u64, Vec<u8>>,
    /// When the partial file was last written to, if all of that is durable.
    pub(super) written: Option<FileTime>,
}

/// A partial file that an earlier run has left.
struct Left {
    /// When it was written to for the last time, if all that was recorded of it is durable.
    written: Option<FileTime>,
}

/// A file that is being received.
pub(super) struct Landing {
    pub(super) target: Target,
    pub(super) partial_name: String,
    partial: Option<Box<dyn Partial>>,
    /// That an earlier run has left the partial file, as long as nobody has taken it up.
    left: Option<Left>,
    /// What was recorded last is not durable.
    is_owed: bool,
    pub(super) parts: Parts,
}

impl Landing {
    pub(super) fn new(target: Target, parts: Parts, partial_name: String) -> Self {
        Self { target, partial_name, partial: None, left: None, is_owed: false, parts }
    }

    /// One that an earlier run has left, as it was written down at `written`.
    pub(super) fn left(target: Target, parts: Parts, partial_name: String, written: Option<FileTime>) -> Self {
        Self { left: Some(Left { written }), ..Self::new(target, parts, partial_name) }
    }

    /// Opens the partial file that an earlier run has left. If it was written to since that was written down, it is read again, unless
    /// `stop` says to do that another time, and what is not as it was counts as missing.
    pub(super) fn take_up(&mut self, disk: &dyn Disk, stop: &AtomicBool) -> Result<(), DiskError> {
        let Some(Left { written }) = self.left else { return Ok(()) };
        let (mut partial, size) = (disk.open_partial(&self.partial_name, self.target.size)?, self.target.size);
        if written != Some(partial.written_at()?) {
            let mut buffer = Vec::new();
            self.parts.retain(|node| {
                if stop.load(Ordering::Relaxed) {
                    return Err(DiskError::Io(io::ErrorKind::Interrupted.into()));
                }
                buffer.resize(node.length as usize, 0);
                partial.read_exact_at(node.offset, &mut buffer)?;
                Ok(chunk_value(node.offset, size, &buffer) == node.value)
            })?;
        }
        self.is_owed = written.is_none();
        self.left = None;
        self.partial = Some(partial);
        Ok(())
    }

    /// What is to be written down of it since the last time, made durable if `durably`.
    pub(super) fn mark(&mut self, durably: bool) -> Result<Option<Mark>, DiskError> {
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let segments = self.parts.take_marks();
        if segments.is_empty() && !(durably && self.is_owed) {
            return Ok(None);
        }
        self.is_owed = !durably;
        if durably {
            partial.sync()?;
        }
        let written = if durably { Some(partial.written_at()?) } else { None };
        Ok(Some(Mark { segments, written }))
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
        let is_open = self.parts.is_open();
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
        if self.partial.is_some() || self.left.is_some() {
            drop(self.partial);
            // Nothing better can be done about a leftover than to leave it for a later run.
            let _ = disk.remove_partial(&self.partial_name);
        }
        self.target
    }
}
