//! Assembly at the receiver: chunks in, files out.
//!
//! Invariant: only [`Verified`] bytes are written; a file gets its final name only after all its chunks are written, its digest matches
//! and its data is durable; "done" is said only after the new name is durable too. Nothing that stands at the destination is replaced.
//! The network, the clock and the choice of moment are the caller's: this is told what arrived and when to commit.

mod announce;
mod commit;

pub(super) use super::entries::Tally;
use super::entries::{Arrived, Directory, Landing, Pending, Target};
use crate::chunk::compression::{self, Codec};
use crate::class::Class;
use crate::event::{Action, Event, EventPath};
use crate::fs::disk::{Disk, DiskError};
use crate::integrity::Verified;
use crate::manifest::{EntryId, TreePath};
use crate::transfer::Delivered;
use crate::wire::WireError;
use crate::wire::chunk::{self, CHUNK_BYTES, Chunk, Data};
use crate::wire::control::{self, Control, SessionId, bounded_text};
use crate::wire::reply::{Outcome, Reply, Status};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Finished files that are made durable together at most.
const GROUP: usize = 128;
/// Bytes that directories and entries without an outcome may take: some 100,000 of them with paths of ordinary length.
const MAX_REMEMBERED: usize = 32 << 20;
/// Control chunks held because an earlier one is missing.
const EARLY_CONTROL: usize = 512;

/// Why assembly cannot go on at all. Failures of single files are replies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The peer broke the protocol.
    #[error("malformed data from the sender: {0}")]
    Malformed(#[from] WireError),
    /// The manifest names more at once than this receiver keeps in mind.
    #[error("announces more directories and unsent files at once than fit {} MiB", MAX_REMEMBERED >> 20)]
    TooLarge,
    /// A chunk does not match the value that came with it.
    #[error("a chunk does not match its digest")]
    Integrity,
}

/// What came of taking in some chunks.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    pub(super) replies: Vec<Reply>,
    pub(super) events: Vec<Event>,
    /// Stripes that are done with.
    pub(super) stripes: u32,
}

/// The state of one session at the receiver. It outlives connections: a sender that comes back finds what it had sent.
pub(super) struct Assembler {
    disk: Arc<dyn Disk>,
    session: SessionId,
    chunk_bytes: u64,
    next_order: u32,
    early_control: BTreeMap<u32, Bytes>,
    early_data: Vec<(Data, u32)>,
    announced: u32,
    finish: Option<u32>,
    complete: bool,
    directories: BTreeMap<EntryId, Directory>,
    pending: BTreeMap<EntryId, Pending>,
    /// What directories and pending entries take in memory, about.
    remembered: usize,
    /// Large files among them of which something has arrived.
    begun: usize,
    links: Vec<(EntryId, Target, Vec<u8>)>,
    ready: Vec<(EntryId, Landing)>,
    /// Unfinished files of an earlier connection of this session, by path.
    kept: BTreeMap<TreePath, Landing>,
    /// Directories in which directories were made whose names are not durable yet.
    new_names: BTreeSet<TreePath>,
    /// Paths, as numbers, of the directories that this session has made.
    made: BTreeSet<u64>,
    /// Directories that were synced because something stood there already.
    settled: BTreeSet<TreePath>,
    /// Paths, as numbers, that were said to be done: a later connection of the session does not say so again.
    told: BTreeSet<u64>,
    out: Assembled,
    tally: Tally,
}

impl Assembler {
    pub(super) fn new(disk: Arc<dyn Disk>, session: SessionId, chunk_bytes: u32) -> Self {
        Self {
            disk,
            session,
            chunk_bytes: u64::from(chunk_bytes),
            next_order: 0,
            early_control: BTreeMap::new(),
            early_data: Vec::new(),
            announced: 0,
            finish: None,
            complete: false,
            directories: BTreeMap::new(),
            pending: BTreeMap::new(),
            remembered: 0,
            begun: 0,
            links: Vec::new(),
            ready: Vec::new(),
            kept: BTreeMap::new(),
            new_names: BTreeSet::new(),
            made: BTreeSet::new(),
            settled: BTreeSet::new(),
            told: BTreeSet::new(),
            out: Assembled::default(),
            tally: Tally::default(),
        }
    }

    /// A new connection of the same session begins: the manifest comes again, what is verified stays.
    pub(super) fn reconnect(&mut self) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            if let Pending::Landing(landing) = pending {
                self.kept.insert(landing.target.path.clone(), landing);
            }
        }
        for (_, landing) in std::mem::take(&mut self.ready) {
            self.kept.insert(landing.target.path.clone(), landing);
        }
        self.begun = 0;
        self.remembered = 0;
        self.next_order = 0;
        self.early_control.clear();
        self.early_data.clear();
        self.announced = 0;
        self.finish = None;
        self.directories.clear();
        self.links.clear();
        self.out = Assembled::default();
        self.complete = false;
        // What failed is tried anew; what was done stays done.
        self.tally.worst = None;
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn take_output(&mut self) -> Assembled {
        std::mem::take(&mut self.out)
    }

    /// Whether finished files wait for [`Assembler::commit`].
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a large file has arrived in part: then waiting a little gathers a larger group.
    pub(super) fn is_landing(&self) -> bool {
        self.begun > 0
    }

    /// Takes a chunk in.
    pub(super) fn take(&mut self, delivered: Delivered) -> Result<(), AssembleError> {
        match chunk::decode(&delivered.bytes)? {
            Chunk::Control { order, messages } => {
                self.out.stripes += delivered.stripes;
                if order < self.next_order || self.early_control.len() >= EARLY_CONTROL {
                    return Err(WireError::Range("control chunk").into());
                }
                self.early_control.insert(order, messages);
                while let Some(messages) = self.early_control.remove(&self.next_order) {
                    self.next_order += 1;
                    for message in control::decode_all(&messages)? {
                        self.control(message)?;
                    }
                }
                self.retry_early_data()?;
            }
            Chunk::Data(data) if data.extents.iter().any(|extent| extent.entry.0 >= self.announced) => {
                // Its manifest batch is still on its way. Its stripes are not given back meanwhile, so this is bounded by the credit.
                self.early_data.push((data, delivered.stripes));
            }
            Chunk::Data(data) => {
                self.out.stripes += delivered.stripes;
                self.data(&data)?;
            }
        }
        if self.ready.len() >= GROUP {
            self.commit();
        }
        self.conclude();
        Ok(())
    }

    fn retry_early_data(&mut self) -> Result<(), AssembleError> {
        let announced = self.announced;
        let known = |(data, _): &mut (Data, u32)| data.extents.iter().all(|extent| extent.entry.0 < announced);
        for (data, stripes) in self.early_data.extract_if(.., known).collect::<Vec<_>>() {
            self.out.stripes += stripes;
            self.data(&data)?;
        }
        Ok(())
    }

    fn control(&mut self, message: Control) -> Result<(), AssembleError> {
        match message {
            Control::Hello(_) => {}
            Control::Refused(_) => return Err(WireError::Range("refusal").into()),
            Control::Entries { first, entries } => {
                if first.0 != self.announced || self.finish.is_some() {
                    return Err(WireError::Range("entries").into());
                }
                for entry in entries {
                    let id = EntryId(self.announced);
                    self.announced += 1;
                    self.announce(id, entry)?;
                }
            }
            Control::Sealed { entry, size, digest } => {
                if let Some(Pending::Landing(landing)) = self.pending.get_mut(&entry) {
                    if size != landing.target.size {
                        return Err(WireError::Range("size").into());
                    }
                    landing.sealed = Some(digest);
                    self.check_landed(entry);
                }
            }
            Control::Digest { entry, digest } => {
                if let Some(Pending::Standing { target, digest: standing }) = self.remove_standing(entry) {
                    if digest == standing {
                        self.identical(entry, &target);
                    } else {
                        self.refuse_overwrite(entry, &target);
                    }
                }
            }
            Control::Failed { entry, code, message } => {
                let class = Class::from_failure_code(code).ok_or(WireError::Range("code"))?;
                let Some(pending) = self.remove_pending(entry) else { return Ok(()) };
                let target = pending.into_target(&*self.disk);
                self.tally.failed(class);
                self.event_failed(&target.path, class, format!("sender: {message}"));
            }
            Control::Finish { entries, skipped } => {
                if entries != self.announced {
                    return Err(WireError::Range("finish").into());
                }
                if skipped > 0 {
                    self.tally.failed(Class::Partial);
                }
                self.finish = Some(entries);
            }
        }
        Ok(())
    }

    fn remove_standing(&mut self, entry: EntryId) -> Option<Pending> {
        if matches!(self.pending.get(&entry), Some(Pending::Standing { .. })) {
            self.remove_pending(entry)
        } else {
            None
        }
    }

    fn data(&mut self, data: &Data) -> Result<(), AssembleError> {
        let codec = Codec::try_from(data.codec).map_err(|_| WireError::Unknown("codec"))?;
        let raw = compression::decompress(codec, data.body.clone(), data.raw_length(), CHUNK_BYTES)
            .map_err(|_| WireError::Range("body"))?;
        let mut rest = &raw[..];
        for extent in &data.extents {
            if self.ready.len() >= GROUP {
                // Each of them is an open file.
                self.commit();
            }
            let Some(bytes) = rest.split_off(..extent.length as usize) else {
                return Err(WireError::Short("body").into());
            };
            match self.pending.get_mut(&extent.entry) {
                Some(Pending::Landing(landing)) => {
                    let size = landing.target.size;
                    let whole = self.chunk_bytes.min(size.saturating_sub(extent.offset));
                    if !extent.offset.is_multiple_of(self.chunk_bytes) || u64::from(extent.length) != whole {
                        return Err(WireError::Range("extent").into());
                    }
                    let verified = Verified::check(extent.offset, size, &extent.value, bytes)
                        .map_err(|_| AssembleError::Integrity)?;
                    let number = extent.offset / self.chunk_bytes;
                    match landing.write(&*self.disk, number, &verified) {
                        Ok(Arrived::New) => {
                            self.begun += usize::from(landing.is_large() && landing.have.len() == 1);
                            self.tally.bytes_literal += u64::from(extent.length);
                            self.check_landed(extent.entry);
                        }
                        Ok(Arrived::Known) => {}
                        Err(error) => {
                            let path = landing.target.path.clone();
                            self.discard(extent.entry);
                            self.fail_disk(extent.entry, &path, &error);
                        }
                    }
                }
                Some(Pending::Standing { target, digest })
                    if extent.offset == 0 && u64::from(extent.length) == target.size =>
                {
                    // Sent before the sender knew that something stands here: the value is the digest of the whole.
                    let same = *extent.value.as_bytes() == *digest.as_bytes();
                    let target = target.clone();
                    self.remove_pending(extent.entry);
                    if same {
                        self.identical(extent.entry, &target);
                    } else {
                        self.refuse_overwrite(extent.entry, &target);
                    }
                }
                // Failed here already; the sender has not heard yet.
                _ => {}
            }
        }
        Ok(())
    }

    /// If all of a file is here and its digest is known to be right, it waits for the next commit.
    fn check_landed(&mut self, id: EntryId) {
        let Some(Pending::Landing(landing)) = self.pending.get_mut(&id) else { return };
        match landing.landed() {
            None => {}
            Some(true) => {
                if let Some(Pending::Landing(landing)) = self.remove_pending(id) {
                    self.ready.push((id, landing));
                }
            }
            Some(false) => {
                let path = landing.target.path.clone();
                self.discard(id);
                self.fail(id, &path, Class::Integrity, "the file does not match its digest");
            }
        }
    }

    fn remove_pending(&mut self, id: EntryId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.remembered = self.remembered.saturating_sub(cost(&pending.target().path));
        if let Pending::Landing(landing) = &pending {
            self.begun -= usize::from(landing.is_large() && !landing.have.is_empty());
        }
        Some(pending)
    }

    fn discard(&mut self, id: EntryId) {
        if let Some(pending) = self.remove_pending(id) {
            pending.into_target(&*self.disk);
        }
    }

    fn identical(&mut self, id: EntryId, target: &Target) {
        // An earlier run may have ended between giving it that name and making the name durable.
        let parent =
            target.path.split_last().map(|(parent, _)| parent).filter(|parent| self.settled.insert(parent.clone()));
        let settled = parent.map_or(Ok(()), |parent| self.disk.sync_dir(&parent));
        if let Err(error) = settled.and_then(|()| self.disk.set_meta(&target.path, target.meta)) {
            return self.fail_disk(id, &target.path, &error);
        }
        if !self.was_told(&target.path) {
            self.tally.bytes_matched += target.size;
        }
        self.done(id, target, Outcome::Identical);
    }

    fn done(&mut self, id: EntryId, target: &Target, outcome: Outcome) {
        let action = match outcome {
            Outcome::Transferred => Action::Transferred,
            Outcome::Identical => Action::Identical,
        };
        if self.told.insert(number_of(&target.path)) {
            self.tally.files_done += 1;
            let path = EventPath(target.path.to_bytes());
            self.out.events.push(Event::File { path, action, bytes: target.size });
        }
        match self.out.replies.last_mut() {
            Some(Reply::Done { first, count, outcome: last }) if *last == outcome && first.0 + *count == id.0 => {
                *count += 1;
            }
            _ => self.out.replies.push(Reply::Done { first: id, count: 1, outcome }),
        }
    }

    fn was_told(&self, path: &TreePath) -> bool {
        self.told.contains(&number_of(path))
    }

    fn status(&mut self, id: EntryId, status: Status) {
        match self.out.replies.last_mut() {
            Some(Reply::Status { first, count, status: Status::Want })
                if status == Status::Want && first.0 + *count == id.0 =>
            {
                *count += 1;
            }
            _ => self.out.replies.push(Reply::Status { first: id, count: 1, status }),
        }
    }

    fn refuse_overwrite(&mut self, id: EntryId, target: &Target) {
        self.fail(id, &target.path, Class::Select, "exists already and is different; not overwritten");
    }

    fn fail_disk(&mut self, id: EntryId, path: &TreePath, error: &DiskError) {
        self.fail(id, path, disk_class(error), &error.to_string());
    }

    fn fail(&mut self, id: EntryId, path: &TreePath, class: Class, cause: &str) {
        self.tally.failed(class);
        self.out.replies.push(Reply::Failed { entry: id, code: class.code(), message: bounded_text(cause) });
        self.event_failed(path, class, cause.to_string());
    }

    fn event_failed(&mut self, path: &TreePath, class: Class, message: String) {
        self.out.events.push(Event::FileFailed { path: EventPath(path.to_bytes()), code: class.code(), message });
    }
}

/// A number for a path that no two paths of a transfer share but by an accident of 1 in 2⁶⁴.
fn number_of(path: &TreePath) -> u64 {
    let digest = blake3::hash(&path.to_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// What a path takes in memory, about.
fn cost(path: &TreePath) -> usize {
    path.names().iter().map(|name| name.as_bytes().len() + 48).sum()
}

fn disk_class(error: &DiskError) -> Class {
    match error {
        DiskError::Exists | DiskError::NotDirectory => Class::Select,
        DiskError::NoSpace => Class::FileIo,
        DiskError::Io(_) => Class::Partial,
    }
}
