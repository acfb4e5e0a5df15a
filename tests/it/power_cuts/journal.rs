//! What was done to a disk, in order, and what a power cut leaves of it.
//!
//! The model is what a file system may do and still be one. It takes more liberties than ext4, XFS or Btrfs take together, but for
//! what is said at the end:
//!
//! * **Data.** Each write that was not synced is there whole, not at all, up to some sector, or in any of its sectors (512 bytes, which
//!   are written or not); what was set aside and not written reads as zeros or, as with `data=writeback`, as what lay there before.
//! * **Length, mode, time.** Each is any of the values that it has had since it was synced, whatever became of the data and of the
//!   others: data may be there without its time, a time without its data. What is longer than its data has zeros.
//! * **`fdatasync`** ([`Partial::sync`](resilient::fs::disk::Partial::sync) of a file whose mode and time were not set) makes data and
//!   length durable and no time. So the time on the disk may be older than the one that was written down with the data.
//! * **Names** change in one step, a rename in both of its directories at once. Each change that was not synced is there or not, whatever
//!   became of earlier and later ones; syncing either directory of a rename makes it durable. Syncing a file makes no name durable, neither
//!   its own nor one above it. What has lost a name above it is lost with all that is below; a directory goes only when it is empty.
//! * **The clock** ticks once for several writes, as a kernel's does, and does not go back over a cut.
//!
//! Taken as given: sectors are whole, what was synced stays, a link has its target as soon as it has its name, a directory has one
//! name for good, a clock that a battery keeps. Of a link that replaces something only the last step is seen.

use super::store::Sessions;
use crate::memdisk::Node;
use crate::sim::Rng;
use resilient::manifest::{FileTime, Meta};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What stands on a disk, by path; unfinished files and their directory among the rest.
pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;
/// Number of a file, directory or link, whatever its name.
pub(super) type Inode = usize;

const SECTOR: usize = 512;
/// Writes for which the clock shows the same time.
const WRITES_A_TICK: i64 = 4;
/// What the clock goes on by between two runs.
const AWAY: i64 = 10 * WRITES_A_TICK;

/// One change of the disk, or something that makes others durable.
#[derive(Clone)]
pub(super) enum Op {
    /// Paths that come to lead to something, or to nothing any more.
    Names(Vec<(Vec<u8>, Option<Inode>)>),
    Write {
        file: Inode,
        offset: usize,
        bytes: Arc<[u8]>,
        time: FileTime,
    },
    Resize {
        file: Inode,
        size: usize,
        time: FileTime,
    },
    Meta(Inode, Meta),
    SyncFile {
        file: Inode,
        with_meta: bool,
    },
    SyncDirectory(Vec<u8>, Option<Inode>),
}

/// Something after which, or before which, the power may go.
#[derive(Clone)]
pub(super) enum Event {
    Disk(Op),
    /// What the store holds from here on, and whether it is durable.
    Store(Arc<Sessions>, bool),
    /// The sender is told that this is done.
    Told(Vec<u8>),
    /// The sender was told that everything is.
    Complete,
}

/// A disk from the moment when all of it was durable.
#[derive(Clone)]
pub(super) struct Journal {
    /// Everything that ever had a name, as it was in the beginning or when it was made.
    pub(super) inodes: Vec<Node>,
    names: BTreeMap<Vec<u8>, Inode>,
    pub(super) events: Vec<Event>,
    clock: i64,
}

/// How much of what was not synced there is after a cut.
pub(super) struct Fate {
    rng: Rng,
    /// Of names, data, and the rest: in halves.
    names: u8,
    data: u8,
    meta: u8,
    has_garbage: bool,
}

impl Fate {
    /// One of many: for names, data and the rest in turn nothing, half or all of it.
    pub(super) fn draw(rng: &mut Rng) -> Fate {
        let mut halves = || (rng.bits() % 3) as u8;
        let (names, data, meta) = (halves(), halves(), halves());
        let has_garbage = rng.chance(0.5);
        Fate { rng: Rng::new(rng.bits()), names, data, meta, has_garbage }
    }

    /// The process ends, and the system lives on.
    fn gentle() -> Fate {
        Fate { rng: Rng::new(0), names: 2, data: 2, meta: 2, has_garbage: false }
    }

    /// Whether something has come to the disk of which so many halves have.
    fn comes(&mut self, halves: u8) -> bool {
        self.rng.chance(f64::from(halves) / 2.0)
    }

    /// Whether `value` has come to its `place`: surely if it `is_durable`.
    fn set<T>(&mut self, place: &mut T, value: T, is_durable: bool) -> bool {
        let is_there = is_durable || self.comes(self.meta);
        if is_there {
            *place = value;
        }
        is_there
    }

    /// Writes what comes of `bytes` to `place`.
    fn write(&mut self, place: &mut [u8], bytes: &[u8], is_durable: bool) {
        let drawn = if self.data == 1 { self.rng.bits() % 4 } else { 2 * u64::from(self.data) };
        let manner = if is_durable { 4 } else { drawn };
        let prefix = self.rng.bits() as usize % bytes.len().div_ceil(SECTOR);
        for (number, (place, bytes)) in place.chunks_mut(SECTOR).zip(bytes.chunks(SECTOR)).enumerate() {
            let is_there = match manner {
                0 => false,
                1 => number < prefix,
                2 => self.rng.chance(0.5),
                _ => true,
            };
            if is_there {
                place.copy_from_slice(bytes);
            } else if self.has_garbage && place.iter().all(|byte| *byte == 0) {
                place.fill(0xDB);
            }
        }
    }
}

/// The directory of a path.
fn parent(path: &[u8]) -> &[u8] {
    path.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default()
}

fn file_of(node: &mut Node) -> (&mut Vec<u8>, &mut Meta) {
    match node {
        Node::File { bytes, meta } => (bytes, meta),
        Node::Directory { .. } | Node::Symlink { .. } => unreachable!("what is written to is a file"),
    }
}

impl Journal {
    /// A disk that holds this, durably.
    pub(super) fn new(tree: Tree, clock: i64) -> Journal {
        let (names, inodes) = tree.into_iter().enumerate().map(|(inode, (path, node))| ((path, inode), node)).unzip();
        Journal { inodes, names, events: Vec::new(), clock }
    }

    /// The time of a write.
    pub(super) fn tick(&mut self) -> FileTime {
        self.clock += 1;
        FileTime { seconds: self.clock / WRITES_A_TICK, nanoseconds: 0 }
    }

    /// The disk that a power cut has left like that.
    pub(super) fn cut(&self, left: Tree) -> Journal {
        Journal::new(left, self.clock + AWAY)
    }

    /// The disk after the process has ended there and nothing else: nothing is more durable for that.
    pub(super) fn killed(&self, at: usize) -> Journal {
        let (events, clock) = (self.events[..at].to_vec(), self.clock + AWAY);
        Journal { inodes: self.inodes.clone(), names: self.names.clone(), events, clock }
    }

    /// The same without some of what was done.
    pub(super) fn without(&self, is_left_out: impl Fn(&Op) -> bool) -> Journal {
        let mut journal = self.clone();
        journal.events.retain(|event| !matches!(event, Event::Disk(op) if is_left_out(op)));
        journal
    }

    /// The same with each durable record made before what was synced for it.
    pub(super) fn hasty(&self) -> Journal {
        let mut journal = self.clone();
        for end in 1..journal.events.len() {
            for at in (1..=end).rev() {
                match &journal.events[at - 1..=at] {
                    [Event::Disk(Op::SyncFile { .. } | Op::SyncDirectory(..)), Event::Store(_, true)] => {
                        journal.events.swap(at - 1, at);
                    }
                    _ => break,
                }
            }
        }
        journal
    }

    /// What stands there, durable or not.
    pub(super) fn tree(&self) -> Tree {
        self.left(self.events.len(), Fate::gentle())
    }

    /// What every path leads to, durable or not.
    pub(super) fn names(&self) -> BTreeMap<Vec<u8>, Inode> {
        let mut names = self.names.clone();
        for event in &self.events {
            if let Event::Disk(Op::Names(changes)) = event {
                rename(&mut names, changes);
            }
        }
        names
    }

    /// For each of the first events whether what it did is durable, and whether the mode and the time are that it set.
    fn durable(&self, at: usize) -> Vec<(bool, bool)> {
        let (mut data, mut meta, mut directories) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut durable: Vec<_> = self.events[..at]
            .iter()
            .rev()
            .map(|event| match event {
                Event::Disk(Op::Names(changes)) => {
                    (changes.iter().any(|(path, _)| directories.contains(parent(path))), false)
                }
                Event::Disk(Op::Write { file, .. } | Op::Resize { file, .. }) => {
                    (data.contains(file), meta.contains(file))
                }
                Event::Disk(Op::Meta(inode, _)) => (false, meta.contains(inode)),
                Event::Disk(Op::SyncFile { file, with_meta }) => {
                    data.insert(*file);
                    if *with_meta {
                        meta.insert(*file);
                    }
                    (true, true)
                }
                Event::Disk(Op::SyncDirectory(path, inode)) => {
                    directories.insert(path.as_slice());
                    meta.extend(inode);
                    (true, true)
                }
                Event::Store(..) | Event::Told(_) | Event::Complete => (true, true),
            })
            .collect();
        durable.reverse();
        durable
    }

    /// What a power cut after so many events leaves.
    pub(super) fn left(&self, at: usize, mut fate: Fate) -> Tree {
        let fate = &mut fate;
        let (mut names, mut inodes) = (self.names.clone(), self.inodes.clone());
        let length = |node: &Node| if let Node::File { bytes, .. } = node { bytes.len() } else { 0 };
        // The length of each file: that which is left, and the one it has had at that moment.
        let mut sizes: Vec<usize> = inodes.iter().map(length).collect();
        let mut now = sizes.clone();
        for (event, (is_durable, has_meta)) in self.events[..at].iter().zip(self.durable(at)) {
            let Event::Disk(op) = event else { continue };
            match op {
                Op::Names(changes) if is_durable || fate.comes(fate.names) => {
                    let is_full = |path: &Vec<u8>| names.keys().any(|name| parent(name) == path);
                    if !changes.iter().any(|(path, inode)| inode.is_none() && is_full(path)) {
                        rename(&mut names, changes);
                    }
                }
                Op::Names(_) | Op::SyncFile { .. } | Op::SyncDirectory(..) => {}
                Op::Write { file, offset, bytes: written, time } => {
                    let (bytes, meta) = file_of(&mut inodes[*file]);
                    let end = offset + written.len();
                    bytes.resize(bytes.len().max(end), 0);
                    fate.write(&mut bytes[*offset..end], written, is_durable);
                    now[*file] = now[*file].max(end);
                    fate.set(&mut sizes[*file], now[*file], is_durable);
                    fate.set(&mut meta.mtime, *time, has_meta);
                }
                Op::Resize { file, size, time } => {
                    let (bytes, meta) = file_of(&mut inodes[*file]);
                    now[*file] = *size;
                    if fate.set(&mut sizes[*file], *size, is_durable) {
                        bytes.truncate(*size);
                    }
                    fate.set(&mut meta.mtime, *time, has_meta);
                }
                Op::Meta(inode, new) => match &mut inodes[*inode] {
                    Node::Symlink { mtime, .. } => drop(fate.set(mtime, new.mtime, has_meta)),
                    Node::File { meta, .. } | Node::Directory { meta } => {
                        fate.set(&mut meta.mode, new.mode, has_meta);
                        fate.set(&mut meta.mtime, new.mtime, has_meta);
                    }
                },
            }
        }
        let mut tree = Tree::new();
        for (path, inode) in names {
            let above = parent(&path);
            if above.is_empty() || matches!(tree.get(above), Some(Node::Directory { .. })) {
                let mut node = std::mem::replace(&mut inodes[inode], Node::Directory { meta: Meta::default() });
                if let Node::File { bytes, .. } = &mut node {
                    bytes.resize(sizes[inode], 0);
                }
                tree.insert(path, node);
            }
        }
        tree
    }

    /// What may be left of the store after so many events: that which is durable, and then each that may be, the last one last.
    pub(super) fn stores(&self, at: usize) -> Vec<Arc<Sessions>> {
        let mut stores = Vec::new();
        for event in &self.events[..at] {
            if let Event::Store(sessions, is_durable) = event {
                if *is_durable {
                    stores.clear();
                }
                stores.push(sessions.clone());
            }
        }
        stores
    }

    /// What the sender was told of by then, and whether that was all.
    pub(super) fn told(&self, at: usize) -> (BTreeSet<&[u8]>, bool) {
        let (mut told, mut is_complete) = (BTreeSet::new(), false);
        for event in &self.events[..at] {
            match event {
                Event::Told(path) => drop(told.insert(path.as_slice())),
                Event::Complete => is_complete = true,
                Event::Disk(_) | Event::Store(..) => {}
            }
        }
        (told, is_complete)
    }
}

fn rename(names: &mut BTreeMap<Vec<u8>, Inode>, changes: &[(Vec<u8>, Option<Inode>)]) {
    for (path, inode) in changes {
        match inode {
            Some(inode) => drop(names.insert(path.clone(), *inode)),
            None => drop(names.remove(path)),
        }
    }
}
