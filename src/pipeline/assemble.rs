//! Assembly at the receiver: chunks in, files out.
//!
//! Invariant: only `Verified` bytes are written; a file gets its final name only after all its chunks are written, its digest matches
//! and its data is durable; "done" is said only after the new name is durable too. What stands at the destination is replaced only
//! where the [`Policy`] says so. What is held in memory is bounded by what is under way, however many entries there are.
//! The network, the clock and the choice of moment are the caller's: this is told what arrived and when to commit.

mod announce;
mod commit;
mod data;
mod directories;
mod memory;
mod outcome;
mod record;

use self::directories::Directory;
use self::memory::Memory;
use self::record::Record;
pub(super) use super::entries::Tally;
use super::entries::{Pending, Target};
use super::fragments::Shared;
use super::landing::Landing;
use super::policy::{Place, Policy};
use crate::class::Class;
use crate::event::Event;
use crate::fs::disk::{Disk, DiskError};
use crate::manifest::{EntryId, TreePath};
use crate::transfer::Delivered;
use crate::wire::WireError;
use crate::wire::chunk::{self, Chunk, Data};
use crate::wire::control::{self, Control, SessionId};
use crate::wire::reply::Reply;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Entries that are made durable together at most. Each of the files among them is open.
const GROUP: usize = 256;
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

/// Something that is complete and waits for the next commit.
enum Ready {
    /// All of a file is here and right.
    File(Box<Landing>),
    /// A link and its target.
    Link(Target, Vec<u8>),
}

/// Entries and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    entries: u64,
    bytes: u64,
}

impl Taken {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The state of one session at the receiver. It outlives connections: a sender that comes back finds what it had sent.
pub(super) struct Assembler {
    disk: Arc<dyn Disk>,
    policy: Policy,
    session: SessionId,
    chunk_bytes: u64,
    /// Breaks the reading of large files off: the connection has ended.
    stop: Arc<AtomicBool>,
    next_order: u32,
    early_control: BTreeMap<u32, Bytes>,
    early_data: Vec<(Data, u32)>,
    /// Chunks that are here in part.
    fragments: Shared,
    announced: u32,
    announced_files: u64,
    announced_bytes: u64,
    /// In all connections: one that comes back does not get others for those that it has.
    directories_made: u64,
    /// Files and links that got their names, and their bytes: in all connections, and in those before this one.
    named: Taken,
    named_before: Taken,
    /// Those that this connection was let begin.
    begun_here: Taken,
    /// Bytes that were taken of files whose length was not announced.
    unannounced_bytes: u64,
    finish: Option<u32>,
    complete: bool,
    /// Directories that are not finished, and those of them in which the next entry may stand, outermost first.
    directories: BTreeMap<EntryId, Directory>,
    stack: Vec<EntryId>,
    /// Directories that nothing more goes into, innermost first.
    closing: Vec<Target>,
    /// The destination itself was synced because something stood there already.
    root_settled: bool,
    pending: BTreeMap<EntryId, Pending>,
    /// What directories and pending entries take in memory, about.
    remembered: usize,
    /// Bytes of pending files that have no room on the disk yet, and what was free there lately.
    reserved: u64,
    free: Option<u64>,
    /// Large files among them of which something has arrived.
    begun: usize,
    ready: Vec<Ready>,
    /// Unfinished files of an earlier connection of this session, or of an earlier run, by path.
    kept: BTreeMap<TreePath, Landing>,
    /// Where what is here is written down for another run.
    record: Option<Record>,
    /// Directories in which directories stand whose names may not be durable yet.
    new_names: BTreeSet<TreePath>,
    /// Paths, as numbers, of the files that this manifest has named so far, where they may replace others.
    replacing: HashSet<u64>,
    memory: Memory,
    out: Assembled,
    tally: Tally,
}

impl Assembler {
    pub(super) fn new(disk: Arc<dyn Disk>, session: SessionId, chunk_bytes: u32, policy: Policy) -> Self {
        Self {
            disk,
            policy,
            session,
            chunk_bytes: u64::from(chunk_bytes),
            stop: Arc::default(),
            next_order: 0,
            early_control: BTreeMap::new(),
            early_data: Vec::new(),
            fragments: Shared::default(),
            announced: 0,
            announced_files: 0,
            announced_bytes: 0,
            directories_made: 0,
            named: Taken::default(),
            named_before: Taken::default(),
            begun_here: Taken::default(),
            unannounced_bytes: 0,
            finish: None,
            complete: false,
            directories: BTreeMap::new(),
            stack: Vec::new(),
            closing: Vec::new(),
            root_settled: false,
            pending: BTreeMap::new(),
            remembered: 0,
            reserved: 0,
            free: None,
            begun: 0,
            ready: Vec::new(),
            kept: BTreeMap::new(),
            record: None,
            new_names: BTreeSet::new(),
            replacing: HashSet::new(),
            memory: Memory::default(),
            out: Assembled::default(),
            tally: Tally::default(),
        }
    }

    /// A new connection of the same session begins: the manifest comes again, what is verified stays.
    pub(super) fn reconnect(&mut self) {
        self.stop.store(false, Ordering::Relaxed);
        let pending = std::mem::take(&mut self.pending).into_values().filter_map(|pending| match pending {
            Pending::Landing(landing) => Some(landing),
            Pending::Standing { .. } | Pending::Flowing(_) | Pending::Unread(_) => None,
        });
        let ready = std::mem::take(&mut self.ready).into_iter().filter_map(|ready| match ready {
            Ready::File(landing) => Some(*landing),
            Ready::Link(..) => None,
        });
        self.kept.extend(pending.chain(ready).map(|landing| (landing.target.path.clone(), landing)));
        self.begun = 0;
        self.remembered = 0;
        (self.reserved, self.free) = (0, None);
        self.next_order = 0;
        self.early_control.clear();
        self.early_data.clear();
        (self.announced, self.announced_files, self.announced_bytes) = (0, 0, 0);
        (self.named_before, self.begun_here) = (self.named, Taken::default());
        self.finish = None;
        self.leave_directories();
        self.replacing.clear();
        self.memory.again();
        self.out = Assembled::default();
        self.complete = false;
        // What failed is tried anew; what was done stays done.
        self.tally.worst = None;
    }

    /// What breaks the reading of large files off when it is set; the next connection goes on.
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Chunks that are here in part, which the connection keeps.
    pub(super) fn fragments(&self) -> Shared {
        self.fragments.clone()
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

    /// Whether something waits for [`Assembler::commit`].
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.closing.is_empty()
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
                    self.free = None;
                    for message in control::decode_all(&messages)? {
                        self.control(message)?;
                        self.commit_if_full();
                    }
                }
            }
            // Its manifest batch or, of a stream, an earlier chunk is still on its way. Its stripes are not given back meanwhile, so
            // this is bounded by the credit.
            Chunk::Data(data) if self.is_early(&data) => self.early_data.push((data, delivered.stripes)),
            Chunk::Data(data) => {
                self.out.stripes += delivered.stripes;
                self.data(&data)?;
            }
            Chunk::Rest { entry, offset, bytes } => {
                self.out.stripes += delivered.stripes;
                self.rest(entry, offset, &bytes)?;
            }
        }
        while let Some(place) = self.early_data.iter().position(|(data, _)| !self.is_early(data)) {
            let (data, stripes) = self.early_data.swap_remove(place);
            self.out.stripes += stripes;
            self.data(&data)?;
        }
        self.commit_if_full();
        self.conclude();
        Ok(())
    }

    fn commit_if_full(&mut self) {
        if self.ready.len() + self.closing.len() >= GROUP {
            self.commit();
        }
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
                    self.commit_if_full();
                }
            }
            Control::Sealed { entry, size, digest } => self.seal(entry, size, digest)?,
            Control::Digest { entry, digest } => self.compare(entry, digest)?,
            Control::Failed { entry, code, message } => {
                let class = Class::from_failure_code(code).ok_or(WireError::Range("code"))?;
                let Some(pending) = self.remove_pending(entry) else { return Ok(()) };
                let target = pending.into_target(&*self.disk);
                self.settle(target.parent);
                self.event_failed(target.path.to_bytes(), class, format!("sender: {message}"));
            }
            Control::Finish { entries, skipped } => {
                if entries != self.announced || self.finish.is_some() {
                    return Err(WireError::Range("finish").into());
                }
                self.come_to(None)?;
                self.unsent(skipped);
                let one = match &self.policy.place {
                    Place::Tree => None,
                    Place::File(name) => Some(name.as_bytes()),
                    Place::Stream(stream) => Some(stream.name().as_bytes()),
                };
                if let Some(name) = one.filter(|_| entries == 0 && skipped == 0).map(<[u8]>::to_vec) {
                    // One file was to come, and whoever waits for it must not take nothing for it.
                    self.event_failed(name, Class::Select, "the sender has sent no file".to_owned());
                }
                self.finish = Some(entries);
            }
        }
        Ok(())
    }

    fn remove_pending(&mut self, id: EntryId) -> Option<Pending> {
        let mut pending = self.pending.remove(&id)?;
        self.forget(&pending.target().path.clone());
        if let Pending::Landing(landing) = &pending
            && !landing.has_room()
        {
            self.reserved = self.reserved.saturating_sub(landing.target.size);
        }
        let begun = pending.parts().is_some_and(|parts| parts.is_large() && !parts.have.is_empty());
        self.begun -= usize::from(begun && matches!(pending, Pending::Landing(_)));
        Some(pending)
    }
}

fn disk_class(error: &DiskError) -> Class {
    match error.root() {
        DiskError::Exists | DiskError::NotDirectory => Class::Select,
        DiskError::NoSpace => Class::FileIo,
        DiskError::Io(_) | DiskError::Partials { .. } => Class::Partial,
    }
}
