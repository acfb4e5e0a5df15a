//! Ingest at the sender: the manifest in batches, then each file's chunks as the receiver's answers allow.
//!
//! Invariant: every announced entry comes to exactly one end (done, failed here, or failed there), and what the receiver has is not sent
//! to it, but for a first flight ([`files`]) that leaves before any answer can have come.

mod files;
mod outcomes;
mod pipe;
mod queue;

pub use pipe::Pipe;

use super::dry_run::excluded;
use super::pack::{Origin, Pack, Planned};
use super::press::Press;
use super::progress::Tally;
use crate::class::Class;
use crate::event::Observer;
use crate::filter::Classes;
use crate::fs::source::{Totals, WalkItem};
use crate::manifest::{EntryId, Kind, TreePath};
use crate::network::seam::{Blocking, now};
use crate::wire::chunk::{MAX_CONTROL, encode_control};
use crate::wire::codec;
use crate::wire::control::{Control, Hello};
use crate::wire::reply::{Reply, Status};
use bytes::Bytes;
use pipe::Reading;
use queue::Queue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

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
    /// Nothing more at all: as much was sent as may be.
    Stop,
}

/// The walk over the sources, one entry at a time.
pub(super) type Walk = Box<dyn Iterator<Item = WalkItem> + Send>;

/// Where the manifest and its bytes come from.
pub(super) enum Source {
    /// Files, and what was counted of them.
    Walk(Walk, Classes, Totals),
    /// What can be read once.
    Pipe(Pipe),
}

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
    counted: Totals,
    classes: Classes,
    offers: mpsc::Sender<Offer>,
    replies: mpsc::UnboundedReceiver<Reply>,
    observer: Arc<dyn Observer>,
    tally: Arc<Tally>,
    press: Arc<Press>,
    /// When the last chunk was handed over, or work began again.
    handed: Instant,
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
    queue: Queue,
    pack: Pack,
    pipe: Option<Reading>,
    /// The first chunk of a stream, while the receiver has not said whether it wants it.
    held_back: Option<Pack>,
    control: Vec<u8>,
    order: u32,
    speculated: u64,
    /// File bytes that may still be sent.
    allowance: Option<u64>,
    /// The receiver has let us in.
    accepted: bool,
    /// It has said something of an entry.
    answered: bool,
}

impl Ingest {
    pub(super) fn new(
        blocking: Blocking,
        source: Source,
        allowance: Option<u64>,
        hello: Hello,
        channels: (mpsc::Sender<Offer>, mpsc::UnboundedReceiver<Reply>),
        observer: Arc<dyn Observer>,
        (tally, press): (Arc<Tally>, Arc<Press>),
    ) -> Self {
        let (walk, counted, classes, pipe) = match source {
            Source::Walk(walk, classes, counted) => (Some(walk), counted, classes, None),
            Source::Pipe(pipe) => (None, Totals::default(), Classes::default(), Some(Reading::Fresh(pipe))),
        };
        Self {
            blocking,
            walk,
            counted,
            classes,
            offers: channels.0,
            replies: channels.1,
            observer,
            tally,
            press,
            handed: now(),
            hello: Some(hello),
            announced: 0,
            skipped: 0,
            finished: false,
            waiting: BTreeMap::new(),
            files_waiting: 0,
            status: BTreeMap::new(),
            compared: BTreeMap::new(),
            queue: Queue::default(),
            pack: Pack::default(),
            pipe,
            held_back: None,
            control: Vec::new(),
            order: 0,
            speculated: 0,
            allowance,
            accepted: false,
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
            } else if !self.advance_pipe().await && !self.advance().await {
                // Nothing can be done before the receiver says something.
                self.flush_pack().await;
                self.flush_control().await;
                if self.offers.send(Offer::Idle).await.is_ok() {
                    match self.replies.recv().await {
                        Some(reply) => self.reply(reply),
                        None => return,
                    }
                    self.resume();
                }
            }
            if self.offers.is_closed() {
                // What was said last is as good as what was said before.
                while let Some(reply) = self.replies.recv().await {
                    self.reply(reply);
                }
                return;
            }
        }
    }

    /// After a pause that was nobody's fault: the time it took says nothing of the link.
    fn resume(&mut self) {
        self.press.paused();
        self.handed = now();
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
                        WalkItem::Skipped { .. } | WalkItem::Excluded { .. } => 0,
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
                WalkItem::Excluded { path } => self.observer.event(&excluded(&path)),
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
                        let class = self.classes.of(&path.to_bytes());
                        let (origin, mtime) = (Origin::Path(source), entry.meta.mtime);
                        self.queue.push(Planned { id, origin, path: path.clone(), size, mtime, class });
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
            self.miss();
            self.say(&Control::Finish { entries: self.announced, skipped: self.skipped }).await;
        }
        // Entries must be there before their data.
        self.flush_control().await;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::compression::Choice;
    use crate::event::Event;
    use crate::fs::source::{Selection, Sources};
    use crate::priority::Priority;
    use crate::wire::control::SessionId;

    struct Deaf;

    impl Observer for Deaf {
        fn event(&self, _: &Event) {}
    }

    /// The network side hangs up with the last word, while ingest is about to tell it that there is nothing more to send.
    #[tokio::test]
    async fn the_last_replies_are_heard_after_the_network_side_has_hung_up() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), "").unwrap();
        let sources = Sources::new(&[folder.path().join("empty")], Selection::default()).unwrap();
        let hello = Hello {
            version: 1,
            session: SessionId([0; 16]),
            secret: None,
            chunk_bytes: 1024,
            files: 1,
            bytes: 0,
            priority: Priority::Normal,
            link: None,
        };
        // The manifest takes the only place, so that what comes after it has to wait.
        let (offers, offered) = mpsc::channel(1);
        let (replies, replied) = mpsc::unbounded_channel();
        let tally = Arc::new(Tally::default());
        let ingest = Ingest::new(
            Blocking::Inline,
            Source::Walk(Box::new(sources.walk()), Classes::default(), sources.totals()),
            None,
            hello,
            (offers, replied),
            Arc::new(Deaf),
            (tally.clone(), Arc::new(Press::new(Choice::default()))),
        );
        let mut ingest = std::pin::pin!(ingest.run());
        tokio::select! {
            biased;
            _ = &mut ingest => panic!("it has more to wait for"),
            () = std::future::ready(()) => {}
        }
        replies.send(Reply::Failed { entry: EntryId(0), code: 3, message: "stands there".into() }).unwrap();
        drop((offered, replies));
        assert!(ingest.await);
        assert_eq!(tally.worst(), Some(Class::Select));
    }
}
