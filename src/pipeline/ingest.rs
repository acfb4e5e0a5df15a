//! Ingest at the sender: the manifest in batches, then each file's chunks as the receiver's answers allow.
//!
//! Invariant: every announced entry comes to exactly one end (done, failed here, or failed there), and what the receiver has is not sent
//! to it, but for a first flight of [`SPECULATION`] bytes that leaves before any answer can have come.

mod outcomes;

use super::pack::{Large, Pack, Packed, Planned, Step, digest_of};
use super::progress::Tally;
use crate::class::Class;
use crate::event::Observer;
use crate::fs::source::{SourceError, WalkItem};
use crate::manifest::{EntryId, Kind, TreePath};
use crate::network::seam::Blocking;
use crate::range_set::RangeSet;
use crate::wire::chunk::{CHUNK_BYTES, MAX_CONTROL, encode_control};
use crate::wire::codec;
use crate::wire::control::{Control, Hello, bounded_text};
use crate::wire::reply::{MAX_HAVE, Reply, Status};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// File bytes sent before the receiver has said what it has: about the initial congestion window.
const SPECULATION: u64 = 48 * 1024;
/// Entries announced that have no end yet: enough for a round trip of 600 ms at thousands of files a second.
const WAITING: usize = 16 * 1024;
/// Bytes of entries in one control chunk; the first one is small, because everything waits for it.
const BATCH: usize = 24 * 1024;
const FIRST_BATCH: usize = 1024;

/// What ingest hands to the network.
#[derive(Debug)]
pub(super) enum Offer {
    /// An encoded chunk and the file bytes it carries.
    Chunk(Bytes, u64),
    /// Nothing more until the receiver answers.
    Idle,
}

/// The walk over the sources, one entry at a time.
pub(super) type Walk = Box<dyn Iterator<Item = WalkItem> + Send>;

/// An announced entry that has no end yet.
#[derive(Debug)]
struct Announced {
    path: TreePath,
    size: u64,
    is_file: bool,
    is_directory: bool,
}

pub(super) struct Ingest {
    blocking: Blocking,
    walk: Option<Walk>,
    offers: mpsc::Sender<Offer>,
    replies: mpsc::UnboundedReceiver<Reply>,
    observer: Arc<dyn Observer>,
    tally: Arc<Tally>,
    hello: Option<Hello>,
    announced: u32,
    skipped: u32,
    finished: bool,
    waiting: BTreeMap<EntryId, Announced>,
    /// Files among them. Directories and links wait until everything else is done, so they are not held against the bound.
    files_waiting: usize,
    status: BTreeMap<EntryId, Status>,
    /// Files whose digest the receiver compares; it may want them all the same.
    compared: BTreeMap<EntryId, Planned>,
    queue: VecDeque<Planned>,
    current: Option<Large>,
    pack: Pack,
    control: Vec<u8>,
    order: u32,
    speculated: u64,
    answered: bool,
}

/// What can be done for the file at the head of the queue.
enum Turn {
    Send(RangeSet),
    Compare,
    Drop,
    Wait,
}

impl Ingest {
    pub(super) fn new(
        blocking: Blocking,
        walk: Walk,
        hello: Hello,
        channels: (mpsc::Sender<Offer>, mpsc::UnboundedReceiver<Reply>),
        observer: Arc<dyn Observer>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            blocking,
            walk: Some(walk),
            offers: channels.0,
            replies: channels.1,
            observer,
            tally,
            hello: Some(hello),
            announced: 0,
            skipped: 0,
            finished: false,
            waiting: BTreeMap::new(),
            files_waiting: 0,
            status: BTreeMap::new(),
            compared: BTreeMap::new(),
            queue: VecDeque::new(),
            current: None,
            pack: Pack::default(),
            control: Vec::new(),
            order: 0,
            speculated: 0,
            answered: false,
        }
    }

    /// Runs until the network side hangs up, which it does when the receiver has said that everything is complete. Whether that can
    /// be: everything was announced, and every entry has come to its end.
    pub(super) async fn run(mut self) -> bool {
        self.work().await;
        self.finished && self.waiting.is_empty()
    }

    async fn work(&mut self) {
        loop {
            while let Ok(reply) = self.replies.try_recv() {
                self.reply(reply);
            }
            if self.walk.is_some() && self.files_waiting < WAITING && self.queue.len() < WAITING / 4 {
                self.announce().await;
            } else if !self.advance().await {
                // Nothing can be done before the receiver says something.
                self.flush_pack().await;
                self.flush_control().await;
                if self.offers.send(Offer::Idle).await.is_err() {
                    return;
                }
                match self.replies.recv().await {
                    Some(reply) => self.reply(reply),
                    None => return,
                }
            }
            if self.offers.is_closed() {
                while let Some(reply) = self.replies.recv().await {
                    self.reply(reply);
                }
                return;
            }
        }
    }

    /// Announces the next batch of entries, and the end when the walk has come to it.
    async fn announce(&mut self) {
        let Some(mut walk) = self.walk.take() else { return };
        let limit = if self.order == 0 { FIRST_BATCH } else { BATCH };
        let (walk, items) = self
            .blocking
            .run(move || {
                let (mut items, mut bytes) = (Vec::new(), 0);
                while bytes < limit && items.len() < crate::wire::control::MAX_BATCH {
                    let Some(item) = walk.next() else { return (None, items) };
                    bytes += match &item {
                        WalkItem::Entry { entry, .. } => {
                            let target = if let Kind::Symlink { target } = &entry.kind { target.len() } else { 0 };
                            entry.name.as_bytes().len() + target + 24
                        }
                        WalkItem::Skipped { .. } => 0,
                    };
                    items.push(item);
                }
                (Some(walk), items)
            })
            .await;
        self.walk = walk;
        let mut entries = Vec::new();
        let first = EntryId(self.announced);
        for item in items {
            match item {
                WalkItem::Skipped { path, error } => {
                    self.skipped += 1;
                    // One of several that is missing leaves the others complete.
                    let class = if error.class() == Class::Select { Class::Partial } else { error.class() };
                    self.report_failed(path.into_os_string().into_encoded_bytes(), class, error.to_string());
                }
                WalkItem::Entry { id, entry, tree: path, path: source } => {
                    self.announced += 1;
                    let size = entry.size();
                    if size > 0 {
                        self.queue.push_back(Planned { id, source, path: path.clone(), size, mtime: entry.meta.mtime });
                    }
                    let is_file = matches!(entry.kind, Kind::File { .. });
                    self.files_waiting += usize::from(is_file);
                    let is_directory = entry.kind == Kind::Directory;
                    self.waiting.insert(id, Announced { path, size, is_file, is_directory });
                    entries.push(entry);
                }
            }
        }
        if let Some(hello) = self.hello.take() {
            self.say(&Control::Hello(hello)).await;
        }
        if !entries.is_empty() {
            self.say(&Control::Entries { first, entries }).await;
        }
        if self.walk.is_none() && !self.finished {
            self.finished = true;
            self.say(&Control::Finish { entries: self.announced, skipped: self.skipped }).await;
        }
        // Entries must be there before their data.
        self.flush_control().await;
    }

    /// Does the next piece of work on files; false if there is none before the receiver answers.
    async fn advance(&mut self) -> bool {
        if let Some(large) = self.current.take() {
            return self.advance_large(large).await;
        }
        let Some(file) = self.queue.front() else { return false };
        let turn = self.turn(file.id);
        match turn {
            Turn::Wait => return false,
            Turn::Drop => {
                self.queue.pop_front();
            }
            Turn::Compare => {
                let Some(file) = self.queue.pop_front() else { return false };
                self.tell_digest(file).await;
            }
            Turn::Send(_) if file.size > CHUNK_BYTES as u64 => {
                self.flush_pack().await;
                let Some(file) = self.queue.pop_front() else { return false };
                match self.blocking.run(move || Large::open(file)).await {
                    Ok(large) => self.current = Some(large),
                    Err((file, error)) => self.cannot_send(&file, &error).await,
                }
            }
            Turn::Send(_) => self.pack_small().await,
        }
        true
    }

    fn turn(&self, id: EntryId) -> Turn {
        if !self.waiting.contains_key(&id) {
            return Turn::Drop;
        }
        match self.status.get(&id) {
            Some(Status::Want) => Turn::Send(RangeSet::default()),
            Some(Status::Have(ranges)) => RangeSet::from_pairs(ranges.iter().copied(), MAX_HAVE)
                .map_or(Turn::Send(RangeSet::default()), Turn::Send),
            Some(Status::Held) => Turn::Compare,
            None if !self.answered && self.speculated < SPECULATION => Turn::Send(RangeSet::default()),
            None => Turn::Wait,
        }
    }

    /// Fills the pack with the small files at the head of the queue that may be sent now.
    async fn pack_small(&mut self) {
        let mut files = Vec::new();
        let mut bytes = 0;
        while let Some(file) = self.queue.front().filter(|file| file.size <= CHUNK_BYTES as u64) {
            if !matches!(self.turn(file.id), Turn::Send(_))
                || (!files.is_empty() && bytes + file.size > CHUNK_BYTES as u64)
            {
                break;
            }
            bytes += file.size;
            if !self.status.contains_key(&file.id) {
                self.speculated += file.size;
            }
            files.extend(self.queue.pop_front());
        }
        for file in &files {
            self.status.remove(&file.id);
        }
        let mut pack = std::mem::take(&mut self.pack);
        let (pack, full, failed) = self
            .blocking
            .run(move || {
                let (mut full, mut failed) = (Vec::new(), Vec::new());
                for file in files {
                    if !pack.has_room(file.size) {
                        full.push(std::mem::take(&mut pack).encode());
                    }
                    if let Err(error) = pack.add(&file) {
                        failed.push((file, error));
                    }
                }
                (pack, full, failed)
            })
            .await;
        self.pack = pack;
        for packed in full {
            self.offer(packed).await;
        }
        for (file, error) in failed {
            self.cannot_send(&file, &error).await;
        }
    }

    async fn advance_large(&mut self, mut large: Large) -> bool {
        let id = large.file.id;
        let have = match self.turn(id) {
            Turn::Wait => {
                self.current = Some(large);
                return false;
            }
            Turn::Drop => return true,
            Turn::Compare => {
                self.tell_digest(large.file).await;
                return true;
            }
            Turn::Send(have) => have,
        };
        let (large, step) = self
            .blocking
            .run(move || {
                let step = large.step(&have);
                (large, step)
            })
            .await;
        match step {
            Ok(Step::Chunk(packed)) => {
                if !self.status.contains_key(&id) {
                    self.speculated += packed.file_bytes;
                }
                self.current = Some(large);
                self.offer(packed).await;
            }
            Ok(Step::Known(bytes)) => {
                self.tally.add_matched(bytes);
                self.current = Some(large);
            }
            Ok(Step::Sealed(digest)) => {
                self.status.remove(&id);
                let size = large.file.size;
                self.say(&Control::Sealed { entry: id, size, digest }).await;
                // The receiver keeps a large file open until it hears this.
                self.flush_control().await;
            }
            Err(error) => {
                let file = large.file;
                self.cannot_send(&file, &error).await;
            }
        }
        true
    }

    /// One of the same size stands there: the receiver compares.
    async fn tell_digest(&mut self, file: Planned) {
        let id = file.id;
        self.status.remove(&id);
        let (file, digest) = self
            .blocking
            .run(move || {
                let digest = digest_of(&file);
                (file, digest)
            })
            .await;
        match digest {
            Ok(digest) => {
                self.compared.insert(id, file);
                self.say(&Control::Digest { entry: id, digest }).await;
            }
            Err(error) => self.cannot_send(&file, &error).await,
        }
    }

    async fn cannot_send(&mut self, file: &Planned, error: &SourceError) {
        self.forget(file.id);
        let (class, cause) = (error.class(), error.to_string());
        let message = Control::Failed { entry: file.id, code: class.code(), message: bounded_text(&cause) };
        self.report_failed(file.path.to_bytes(), class, cause);
        self.say(&message).await;
    }

    async fn say(&mut self, message: &Control) {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes);
        if self.control.len() + bytes.len() > MAX_CONTROL {
            self.flush_control().await;
        }
        self.control.extend_from_slice(&bytes);
    }

    async fn flush_control(&mut self) {
        if !self.control.is_empty() {
            let chunk = encode_control(self.order, &self.control);
            self.order += 1;
            self.control.clear();
            // A closed channel is noticed by `run`.
            let _ = self.offers.send(Offer::Chunk(chunk, 0)).await;
        }
    }

    async fn flush_pack(&mut self) {
        if !self.pack.is_empty() {
            let pack = std::mem::take(&mut self.pack);
            let packed = self.blocking.run(move || pack.encode()).await;
            self.offer(packed).await;
        }
    }

    async fn offer(&mut self, packed: Packed) {
        self.tally.add_encoded(packed.encoded.len() as u64);
        let _ = self.offers.send(Offer::Chunk(packed.encoded, packed.file_bytes)).await;
    }
}
