//! Bytes of files: checked, written, and counted; and the moment when a file is whole.
//!
//! Invariant: a chunk is checked against its value and against the length that was announced before anything is done with it. What
//! goes into a stream goes there in order: a chunk that is ahead is early, as one whose entry is not known yet.

use super::{AssembleError, Assembler, Ready};
use crate::chunk::compression::{self, Codec};
use crate::class::Class;
use crate::fs::disk::DiskError;
use crate::integrity::{Digest, Verified};
use crate::manifest::EntryId;
use crate::pipeline::entries::{Pending, Target};
use crate::pipeline::fragments;
use crate::pipeline::landing::Refusal;
use crate::pipeline::policy::Place;
use crate::wire::WireError;
use crate::wire::chunk::{self, CHUNK_BYTES, Chunk, Data, Extent};
use crate::wire::reply::Outcome;

/// Whether the one thing in `data` is that chunk.
fn is_of(data: &Data, entry: EntryId, offset: u64) -> bool {
    matches!(&data.extents[..], [extent] if (extent.entry, extent.offset) == (entry, offset))
}

impl Assembler {
    /// Whether something must come before this chunk.
    pub(super) fn is_early(&self, data: &Data) -> bool {
        data.extents.iter().any(|extent| {
            extent.entry.0 >= self.announced
                || matches!(self.pending.get(&extent.entry), Some(Pending::Flowing(flow)) if flow.next < extent.offset)
        })
    }

    pub(super) fn data(&mut self, data: &Data) -> Result<(), AssembleError> {
        let codec = Codec::try_from(data.codec).map_err(|_| WireError::Unknown("codec"))?;
        let raw = compression::decompress(codec, &data.body, data.raw_length(), CHUNK_BYTES)
            .map_err(|_| WireError::Range("body"))?;
        let mut rest = &raw[..];
        for extent in &data.extents {
            // Each file of a group is open.
            self.commit_if_full();
            let Some(bytes) = rest.split_off(..extent.length as usize) else {
                return Err(WireError::Short("body").into());
            };
            self.compare_small(extent)?;
            self.extent(extent, bytes)?;
        }
        Ok(())
    }

    /// What was missing of a chunk that was here in part.
    pub(super) fn rest(&mut self, entry: EntryId, offset: u64, missing: &[u8]) -> Result<(), AssembleError> {
        let Some(fragment) = fragments::lock(&self.fragments).take(entry, offset) else {
            let parts = self.pending.get_mut(&entry).and_then(Pending::parts);
            // Where nothing is waited for any more, the sender has not heard yet.
            return if parts.is_none_or(|parts| parts.has(offset)) {
                Ok(())
            } else {
                Err(WireError::Range("rest").into())
            };
        };
        let whole = fragment.complete(missing).ok_or(WireError::Range("rest"))?;
        match chunk::decode(&whole)? {
            Chunk::Data(data) if !self.is_early(&data) && is_of(&data, entry, offset) => self.data(&data),
            _ => Err(WireError::Range("rest").into()),
        }
    }

    /// A file that was sent whole before the sender knew that one of its size stands here: its value is the digest of the whole.
    fn compare_small(&mut self, extent: &Extent) -> Result<(), AssembleError> {
        match self.pending.get(&extent.entry) {
            Some(Pending::Standing { target, .. }) if extent.offset == 0 && u64::from(extent.length) == target.size => {
                self.compare(extent.entry, Digest::from_bytes(*extent.value.as_bytes()))
            }
            _ => Ok(()),
        }
    }

    fn extent(&mut self, extent: &Extent, bytes: &[u8]) -> Result<(), AssembleError> {
        // Without parts it failed here already, and the sender has not heard yet.
        let Some(parts) = self.pending.get_mut(&extent.entry).and_then(Pending::parts) else { return Ok(()) };
        let length = u64::from(extent.length);
        let total = parts.total(extent.offset, length)?;
        let verified =
            Verified::check(extent.offset, total, &extent.value, bytes).map_err(|_| AssembleError::Integrity)?;
        if parts.has(extent.offset) {
            return Ok(());
        }
        let (is_first, is_large, is_open) = (parts.have.is_empty(), parts.is_large(), parts.is_open());
        if self.is_too_much(extent.entry, extent.offset + length) {
            return Ok(());
        }
        let (written, size) = match self.pending.get_mut(&extent.entry) {
            Some(Pending::Landing(landing)) => {
                let had_room = landing.has_room();
                let written = landing.write(&*self.disk, &verified);
                self.begun += usize::from(is_large && is_first && !landing.parts.have.is_empty());
                (written, if had_room || !landing.has_room() { 0 } else { landing.target.size })
            }
            Some(Pending::Flowing(flow)) => (flow.write(&verified), 0),
            _ => return Ok(()),
        };
        self.reserved = self.reserved.saturating_sub(size);
        match written {
            Ok(()) => {
                if is_large {
                    fragments::lock(&self.fragments).take(extent.entry, extent.offset);
                }
                self.tally.bytes_literal += length;
                self.unannounced_bytes += if is_open { length } else { 0 };
                self.check_landed(extent.entry);
                Ok(())
            }
            Err(Refusal::Wire(error)) => Err(error.into()),
            Err(Refusal::Disk(error)) => {
                self.give_up(extent.entry, |assembler, target| assembler.fail_output(target, &error));
                Ok(())
            }
        }
    }

    /// Whether a stream has become longer than what is taken here; it fails then.
    fn is_too_much(&mut self, id: EntryId, end: u64) -> bool {
        let Some(pending) = self.pending.get_mut(&id) else { return false };
        let size = pending.target().size;
        let own = pending.parts().map_or(0, |parts| parts.bytes_of_open());
        let more = end.saturating_sub(size).saturating_sub(own);
        let Some(cause) = self.excess(0, more).filter(|_| more > 0) else { return false };
        self.give_up(id, |assembler, target| assembler.fail(target, Class::Refused, &cause));
        true
    }

    /// A file or the stream could not be written.
    fn fail_output(&mut self, target: &Target, error: &DiskError) {
        let Place::Stream(stream) = &self.policy.place else { return self.fail_disk(target, error) };
        // To the user it is the stream that failed.
        let (name, cause) = (stream.name(), error.to_string());
        self.settle(target.parent);
        self.reply_failed(target.id, Class::FileIo, &format!("{name}: {cause}"));
        self.event_failed(name.as_bytes().to_vec(), Class::FileIo, cause);
    }

    /// The sender says that it has sent all of a file.
    pub(super) fn seal(&mut self, id: EntryId, size: u64, digest: Digest) -> Result<(), AssembleError> {
        let Some(pending) = self.pending.get_mut(&id) else { return Ok(()) };
        if let Some(parts) = pending.parts() {
            parts.seal(size, digest)?;
            match pending {
                Pending::Landing(landing) => landing.target.size = size,
                Pending::Flowing(flow) => flow.target.size = size,
                Pending::Standing { .. } | Pending::Unread(_) => {}
            }
            self.check_landed(id);
        }
        Ok(())
    }

    /// If all of a file is here and its digest is known to be right, it waits for the next commit.
    pub(super) fn check_landed(&mut self, id: EntryId) {
        match self.pending.get_mut(&id).and_then(Pending::parts).and_then(|parts| parts.landed()) {
            None => {}
            Some(true) => match self.remove_pending(id) {
                Some(Pending::Landing(landing)) => self.ready.push(Ready::File(Box::new(landing))),
                Some(Pending::Flowing(mut flow)) => match flow.finish() {
                    Ok(()) => self.done(&flow.target, Outcome::Transferred),
                    Err(error) => self.fail_output(&flow.target, &error.into()),
                },
                _ => {}
            },
            Some(false) => self.give_up(id, |assembler, target| {
                assembler.fail(target, Class::Integrity, "the file does not match its digest");
            }),
        }
    }

    /// Takes what has arrived of a file away and says why.
    fn give_up(&mut self, id: EntryId, say: impl FnOnce(&mut Self, &Target)) {
        if let Some(pending) = self.remove_pending(id) {
            let target = pending.into_target(&*self.disk);
            say(self, &target);
        }
    }
}
