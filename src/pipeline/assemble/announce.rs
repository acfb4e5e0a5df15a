//! What stands where an announced entry is to go, and what the sender is told of it.
//!
//! Invariant: nothing that stands there is changed here but directories being made; a file of the same size is hashed and compared
//! before anything else is decided, unless what exists is left alone anyway. What the policy does not allow is refused here, before
//! a byte of it is written.

use super::memory::number_of;
use super::{AssembleError, Assembler, disk_class};
use crate::class::Class;
use crate::event::Event;
use crate::fs::disk::{DiskError, Found};
use crate::integrity::{self, Digest};
use crate::manifest::{Entry, EntryId, Kind, Meta, TreePath, link_stays_below};
use crate::pipeline::entries::{Flow, Pending, Target};
use crate::pipeline::fragments;
use crate::pipeline::landing::Landing;
use crate::pipeline::parts::Parts;
use crate::pipeline::policy::{Existing, Place, Stream, numbered};
use crate::wire::WireError;
use crate::wire::reply::{MAX_HAVE, Outcome, Status};
use std::io;
use std::sync::atomic::Ordering;

/// Other names under which a file may stand that are compared.
const COMPARED_NAMES: u32 = 16;
/// What is said of a file that is another one than was begun.
const CHANGED: &str =
    "has changed since a part of it was sent, and that part is given up; the same command sends it anew";
/// Paths that are kept in mind where files are replaced, so that a manifest does not replace its own.
const MAX_REPLACING: usize = 1 << 20;

/// Why what is here of a file is not gone on with.
enum Held {
    /// Reading it was broken off with the connection.
    Unread,
    /// It is of another file.
    Changed,
}

impl Assembler {
    /// Looks at what stands where an announced entry is to go.
    pub(super) fn announce(&mut self, id: EntryId, entry: Entry) -> Result<(), AssembleError> {
        self.come_to(entry.parent)?;
        let directory = entry.parent.and_then(|parent| self.directories.get(&parent));
        let above = directory.map_or(&self.policy.base, |directory| &directory.target.path);
        let usable = directory.is_none_or(|directory| directory.usable);
        let mut path = above.join(entry.name.clone()).map_err(|_| WireError::Range("path"))?;
        if let (Place::File(name), None) = (&self.policy.place, entry.parent) {
            path = self.policy.base.join(name.clone()).map_err(|_| WireError::Range("path"))?;
        }
        self.memory.announced(&path);
        let target =
            Target { id, parent: entry.parent, path, meta: self.policy.masked(entry.meta), size: entry.size() };
        let refusal = if usable {
            self.refusal(&entry, &target)
        } else {
            // The cause was said for the directory itself.
            Some((Class::Partial, "its directory could not be used".to_owned()))
        };
        if entry.kind == Kind::Directory {
            return self.announce_directory(target, refusal);
        }
        if let Some((class, cause)) = refusal {
            self.fail(&target, class, &cause);
            return Ok(());
        }
        if let Place::Stream(stream) = &self.policy.place {
            let stream = stream.clone();
            return self.announce_flow(target, &entry.kind, stream);
        }
        let found = match self.disk.look(&target.path) {
            Ok(found) => found,
            Err(error) => {
                self.fail_disk(&target, &error);
                return Ok(());
            }
        };
        if found.is_some() && self.policy.existing == Existing::Skip {
            self.done(&target, Outcome::Skipped);
            return Ok(());
        }
        match entry.kind {
            Kind::Symlink { target: to } => self.announce_link(target, to, found),
            Kind::File { size } => self.announce_file(target, size, found)?,
            Kind::Stream if found.is_some() && !self.may_replace(found) => self.refuse_overwrite(&target),
            Kind::Stream => self.land(target, None)?,
            Kind::Directory => {}
        }
        Ok(())
    }

    /// Why the policy does not let this entry in, if it does not.
    fn refusal(&mut self, entry: &Entry, target: &Target) -> Option<(Class, String)> {
        if !matches!(self.policy.place, Place::Tree) {
            if !matches!(entry.kind, Kind::File { .. } | Kind::Stream) {
                return Some((Class::Select, "not a regular file; this receiver takes one".to_owned()));
            }
            if target.id.0 > 0 {
                return Some((Class::Select, "one of several; this receiver takes one file".to_owned()));
            }
        }
        if entry.kind == Kind::Directory {
            return None;
        }
        if !self.policy.accepts(&target.path) {
            return Some((Class::Refused, "not among the names that are taken here".to_owned()));
        }
        if let Some(most) = self.policy.max_files.filter(|most| self.announced_files >= *most) {
            return Some((Class::Refused, format!("more than the {most} files that are taken here")));
        }
        if let Some(cause) = self.excess(1, target.size) {
            return Some((Class::Refused, cause));
        }
        if self.policy.existing == Existing::Replace {
            if self.replacing.len() >= MAX_REPLACING {
                return Some((Class::Refused, "more files than can be replaced in one transfer".to_owned()));
            }
            if !self.replacing.insert(number_of(&target.path)) {
                return Some((Class::Select, "announced twice".to_owned()));
            }
        }
        self.announced_files += 1;
        self.announced_bytes = self.announced_bytes.saturating_add(target.size);
        None
    }

    /// Why so many entries and bytes would be too much beside what was let in before.
    pub(super) fn excess(&self, entries: u64, bytes: u64) -> Option<String> {
        let others = self.announced_bytes.saturating_add(self.unannounced_bytes);
        self.policy.excess(self.announced_files + self.directories_made + entries, others.saturating_add(bytes))
    }

    /// Why one more file or link of `bytes` would be too much beside what earlier connections of the session have brought. Who goes on
    /// with the same files is let begin only what is not there yet, so it never is.
    fn excess_in_session(&mut self, bytes: u64) -> Option<String> {
        let (before, here) = (self.named_before, &mut self.begun_here);
        let entries = before.entries + here.entries + 1;
        let cause = if let Some(most) = self.policy.max_files.filter(|most| entries > *most) {
            Some(format!("more than the {most} files that are taken here"))
        } else {
            let bytes = before.bytes.saturating_add(here.bytes).saturating_add(bytes);
            self.policy.excess(entries + self.directories_made, bytes)
        };
        if cause.is_none() {
            here.add(bytes);
        }
        cause
    }

    /// Why no other directory may be made.
    fn refusal_of_directory(&self) -> Option<(Class, String)> {
        let most = self.policy.max_directories().filter(|most| self.directories_made >= *most);
        let cause = most.map(|most| format!("more than the {most} directories that are made here"));
        cause.or_else(|| self.excess(1, 0)).map(|cause| (Class::Refused, cause))
    }

    fn announce_directory(
        &mut self,
        mut target: Target,
        refusal: Option<(Class, String)>,
    ) -> Result<(), AssembleError> {
        let made = match refusal {
            Some(refusal) => Err(refusal),
            None => self.make_directory(&mut target),
        };
        if let Err((class, cause)) = &made {
            self.say_failed(&target, *class, cause);
        }
        self.enter(target, made.is_ok())
    }

    fn make_directory(&mut self, target: &mut Target) -> Result<(), (Class, String)> {
        let broken = |error: DiskError| (disk_class(&error), error.to_string());
        let found = self.disk.look(&target.path).map_err(broken)?;
        if let Some(refusal) = self.refusal_of_directory().filter(|_| found.is_none()) {
            return Err(refusal);
        }
        match found {
            // One that is there is made writable for as long as we need it.
            // It has its mode from the beginning: a run that is cut off leaves it to the next one, which leaves modes alone.
            Some(Found::Directory { .. }) | None => {
                self.disk.make_dir(&target.path, target.meta.mode).map_err(broken)?;
            }
            Some(_) => return Err((Class::Select, "exists and is not a directory".to_owned())),
        }
        match found {
            Some(Found::Directory { meta }) if !self.memory.was_made(target.id) => {
                // Whoever may add to a directory of ours may not open it to others.
                target.meta.mode = meta.mode;
            }
            None => {
                self.directories_made += 1;
                self.memory.make(target.id);
            }
            Some(_) => {}
        }
        // One that is there may have been made by a run that was killed before its name was durable.
        self.new_names.extend(target.path.split_last().map(|(parent, _)| parent));
        Ok(())
    }

    fn announce_link(&mut self, target: Target, to: Vec<u8>, found: Option<Found>) {
        let parent = target.path.split_last().map(|(parent, _)| parent).unwrap_or_default();
        let below = parent.names().get(self.policy.base.names().len()..).unwrap_or_default();
        let depth = below.iter().try_fold(TreePath::ROOT, |path, name| path.join(name.clone())).unwrap_or_default();
        if !link_stays_below(&depth, &to) {
            return self.fail(&target, Class::Partial, "link leads out of the tree");
        }
        match found {
            Some(Found::Symlink) if self.disk.read_link(&target.path).is_ok_and(|known| known == to) => {
                self.identical(target);
            }
            Some(_) if !self.may_replace(found) => self.refuse_overwrite(&target),
            _ => match self.excess_in_session(0) {
                Some(cause) => self.fail(&target, Class::Refused, &cause),
                None => self.ready.push(super::Ready::Link(target, to)),
            },
        }
    }

    fn announce_file(&mut self, target: Target, size: u64, found: Option<Found>) -> Result<(), AssembleError> {
        let mut standing = Vec::new();
        let (mut place, mut number) = (target.path.clone(), 0);
        let mut next = found;
        while let Some(found) = next {
            if let Found::File { size: known, .. } = found
                && known == size
            {
                match self.digest_standing(&place) {
                    Ok(digest) => standing.push((place.clone(), digest)),
                    Err(DiskError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {
                        return self.wait_for(target.id, Pending::Unread(target));
                    }
                    // One that cannot be read is not the same.
                    Err(error) if !self.may_replace(Some(found)) => {
                        self.fail_disk(&target, &error);
                        return Ok(());
                    }
                    Err(_) => {}
                }
            }
            // It may have been given another name by an earlier run.
            number += 1;
            if self.policy.existing != Existing::Rename || number > COMPARED_NAMES {
                break;
            }
            let Some(other) = numbered(&target.path, number) else { break };
            next = self.disk.look(&other).unwrap_or(None);
            place = other;
        }
        if size == 0 && !standing.is_empty() {
            let (path, _) = standing.swap_remove(0);
            self.identical(Target { path, ..target });
            return Ok(());
        }
        if !standing.is_empty() {
            self.status(target.id, Status::Held);
            return self.wait_for(target.id, Pending::Standing { target, standing });
        }
        if found.is_some() && !self.may_replace(found) {
            self.refuse_overwrite(&target);
            return Ok(());
        }
        self.land(target, Some(size))
    }

    /// Whether the new one may come although that stands there: in its place, or under another name.
    fn may_replace(&self, found: Option<Found>) -> bool {
        match self.policy.existing {
            Existing::Refuse | Existing::Skip => false,
            Existing::Replace => matches!(found, Some(Found::File { .. } | Found::Symlink)),
            Existing::Rename => true,
        }
    }

    /// Receives a file, from where an earlier connection ended.
    pub(super) fn land(&mut self, target: Target, size: Option<u64>) -> Result<(), AssembleError> {
        let id = target.id;
        if let Some(cause) = self.excess_in_session(target.size) {
            self.fail(&target, Class::Refused, &cause);
            return Ok(());
        }
        let landing = match self.kept_of(&target) {
            Ok(Some(mut kept)) => {
                kept.target = target;
                kept
            }
            Ok(None) => {
                if !self.has_room(target.size) {
                    self.fail_disk(&target, &DiskError::NoSpace);
                    return Ok(());
                }
                // By its path as well as its number, which is another one when the sender comes back with more files.
                let name = format!("{}-{:016x}-{:x}", self.session, number_of(&target.path), id.0);
                self.begins(&name);
                let mut parts = Parts::new(self.chunk_bytes, size);
                if self.record.is_some() {
                    parts.mark();
                }
                Landing::new(target, parts, name)
            }
            Err(Held::Unread) => return self.wait_for(id, Pending::Unread(target)),
            Err(Held::Changed) => {
                self.fail(&target, Class::Session, CHANGED);
                return Ok(());
            }
        };
        if !landing.has_room() {
            self.reserved = self.reserved.saturating_add(landing.target.size);
        }
        if size != Some(0) {
            let have: Vec<_> = landing.parts.have.iter().take(MAX_HAVE).map(|range| (range.start, range.end)).collect();
            let parts = fragments::lock(&self.fragments).outlines(id, self.chunk_bytes, &landing.parts.have);
            self.status(
                id,
                match (have.is_empty(), parts.is_empty()) {
                    (true, true) => Status::Want,
                    (false, true) => Status::Have(have),
                    (_, false) => Status::Begun { have, parts },
                },
            );
        }
        self.begun += usize::from(landing.parts.is_large() && !landing.parts.have.is_empty());
        self.wait_for(id, Pending::Landing(landing))?;
        self.check_landed(id);
        Ok(())
    }

    /// What an earlier connection or run has left of the same file, if anything can be made of it.
    fn kept_of(&mut self, target: &Target) -> Result<Option<Landing>, Held> {
        let Some(mut kept) = self.kept.remove(&target.path) else { return Ok(None) };
        if !kept.target.is_again(target) {
            // Said once: the user decides, and running the command again is one way to.
            kept.discard(&*self.disk);
            return Err(Held::Changed);
        }
        match kept.take_up(&*self.disk, &self.stop) {
            Ok(()) => Ok(Some(kept)),
            Err(DiskError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {
                self.kept.insert(target.path.clone(), kept);
                Err(Held::Unread)
            }
            // It is gone or cannot be read: it comes anew, under a name that may be the same.
            Err(_) => Ok(None),
        }
    }

    /// Whether the disk holds that much beside what was let in before.
    fn has_room(&mut self, size: u64) -> bool {
        // Where the system cannot tell, writing will.
        let disk = &self.disk;
        let free = *self.free.get_or_insert_with(|| disk.free().unwrap_or(u64::MAX));
        size == 0 || self.reserved.saturating_add(size) <= free
    }

    fn announce_flow(&mut self, target: Target, kind: &Kind, stream: Stream) -> Result<(), AssembleError> {
        if self.memory.was_told(target.id) {
            self.done(&target, Outcome::Transferred);
        } else if stream.is_used() {
            self.fail(&target, Class::Network, "the connection was cut; what goes into a stream cannot be continued");
        } else {
            let size = if let Kind::File { size } = kind { Some(*size) } else { None };
            let id = target.id;
            if size != Some(0) {
                self.status(id, Status::Want);
            }
            let flow = Flow::new(target, Parts::new(self.chunk_bytes, size), stream);
            self.wait_for(id, Pending::Flowing(flow))?;
            self.check_landed(id);
        }
        Ok(())
    }

    fn wait_for(&mut self, id: EntryId, pending: Pending) -> Result<(), AssembleError> {
        self.remember(&pending.target().path)?;
        self.pending.insert(id, pending);
        Ok(())
    }

    /// The sender has told the digest of a file of which one of the same size stands here.
    pub(super) fn compare(&mut self, id: EntryId, digest: Digest) -> Result<(), AssembleError> {
        if !matches!(self.pending.get(&id), Some(Pending::Standing { .. })) {
            return Ok(());
        }
        let Some(Pending::Standing { target, standing }) = self.remove_pending(id) else { return Ok(()) };
        if let Some((path, _)) = standing.into_iter().find(|(_, known)| *known == digest) {
            self.identical(Target { path, ..target });
            return Ok(());
        }
        // What stands there now decides at the end, whatever it was.
        let found = Found::File { size: target.size, meta: Meta::default() };
        if self.may_replace(Some(found)) {
            let size = target.size;
            return self.land(target, Some(size));
        }
        self.refuse_overwrite(&target);
        Ok(())
    }

    pub(super) fn digest_standing(&self, path: &TreePath) -> Result<Digest, DiskError> {
        let mut file = self.disk.open(path)?;
        let mut offset = 0;
        integrity::digest_of(|buffer| {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DiskError::Io(io::ErrorKind::Interrupted.into()));
            }
            let read = file.read_at(offset, buffer)?;
            offset += read as u64;
            Ok(read)
        })
    }

    /// The sender has told how many it could not announce.
    pub(super) fn unsent(&mut self, files: u32) {
        if files > 0 {
            self.tally.failed(Class::Partial);
            self.out.events.push(Event::Unsent { files: u64::from(files) });
        }
    }
}
