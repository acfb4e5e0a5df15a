//! A disk in memory that writes down what is done to it, and the store beside it: one order of events for both.
//!
//! It answers as [`MemDisk`] does, and does to it what it is told. Of the operations of the seam it makes those of a file system as
//! `fs::real` does: a partial file gets its name first and its length then, and its mode and time are synced only where they were set.

use super::journal::{Event, Inode, Journal, Op, Tree};
use super::store;
use crate::memdisk::{MemDisk, Node};
use resilient::fs::disk::{Disk, DiskError, Found, PARTIAL_DIR, Partial, ReadAt};
use resilient::manifest::{FileTime, Meta, Name, TreePath};
use resilient::session::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What the events have come to.
struct Live {
    journal: Journal,
    names: BTreeMap<Vec<u8>, Inode>,
    sizes: BTreeMap<Inode, u64>,
    times: BTreeMap<Inode, FileTime>,
    /// The store may have changed since it was looked at.
    has_stored: bool,
}

/// A disk and a store that are looked over.
#[derive(Clone)]
pub(super) struct Watched {
    disk: MemDisk,
    store: Arc<Store>,
    live: Arc<Mutex<Live>>,
}

/// The path of the directory of unfinished files.
const PARTIALS: &[u8] = PARTIAL_DIR.as_bytes();

fn partial_path(name: &str) -> Vec<u8> {
    [PARTIALS, b"/", name.as_bytes()].concat()
}

pub(super) fn tree_path(path: &[u8]) -> TreePath {
    path.split(|byte| *byte == b'/').fold(TreePath::ROOT, |path, name| path.join(Name::new(name).unwrap()).unwrap())
}

/// A disk in memory on which that stands.
fn load(tree: &Tree) -> MemDisk {
    let disk = MemDisk::new();
    for (path, node) in tree {
        match (path.strip_prefix(PARTIALS), node) {
            (Some(b""), _) => {
                drop(disk.create_partial("x", 0).unwrap());
                disk.remove_partial("x").unwrap();
            }
            (Some(name), Node::File { bytes, meta }) => {
                let mut partial =
                    disk.create_partial(std::str::from_utf8(&name[1..]).unwrap(), bytes.len() as u64).unwrap();
                partial.write_at(0, bytes).unwrap();
                partial.set_meta(*meta).unwrap();
            }
            _ => disk.plant(&tree_path(path), node.clone()),
        }
    }
    disk
}

impl Watched {
    /// Goes on where `journal` ends, with what `store` holds.
    pub(super) fn after(journal: Journal, store: Arc<Store>) -> Watched {
        let (tree, names) = (journal.tree(), journal.names());
        let (mut sizes, mut times) = (BTreeMap::new(), BTreeMap::new());
        for (path, node) in &tree {
            if let Node::File { bytes, meta } = node {
                sizes.insert(names[path], bytes.len() as u64);
                times.insert(names[path], meta.mtime);
            }
        }
        let live = Live { journal, names, sizes, times, has_stored: true };
        let watched = Watched { disk: load(&tree), store, live: Arc::new(Mutex::new(live)) };
        watched.look_at_store(true);
        watched
    }

    /// What stands there now under final names, and the names of unfinished files.
    pub(super) fn stands(&self) -> (Tree, Option<Vec<String>>) {
        (self.disk.tree(), self.disk.partials())
    }

    /// All that has happened.
    pub(super) fn journal(&self) -> Journal {
        self.look_at_store(true);
        self.live.lock().unwrap().journal.clone()
    }

    /// Notes what the store holds if it is something else; the next thing that happens may be that it changes, or `is_over`.
    pub(super) fn look_at_store(&self, is_over: bool) {
        let mut live = self.live.lock().unwrap();
        live.look(&self.store);
        live.has_stored = !is_over;
    }

    /// Notes that something has happened.
    pub(super) fn note(&self, event: Event) {
        let mut live = self.live.lock().unwrap();
        if std::mem::take(&mut live.has_stored) {
            live.look(&self.store);
        }
        live.journal.events.push(event);
    }

    fn op(&self, op: Op) {
        if let Op::Names(changes) = &op {
            let names = &mut self.live.lock().unwrap().names;
            for (path, inode) in changes {
                match inode {
                    Some(inode) => names.insert(path.clone(), *inode),
                    None => names.remove(path),
                };
            }
        }
        self.note(Event::Disk(op));
    }

    fn inode(&self, path: &[u8]) -> Option<Inode> {
        self.live.lock().unwrap().names.get(path).copied()
    }

    /// Something gets a name that is new.
    fn appear(&self, path: Vec<u8>, node: Node) -> Inode {
        let inode = {
            let inodes = &mut self.live.lock().unwrap().journal.inodes;
            inodes.push(node);
            inodes.len() - 1
        };
        self.op(Op::Names(vec![(path, Some(inode))]));
        inode
    }

    fn disappear(&self, path: Vec<u8>) {
        if self.inode(&path).is_some() {
            self.op(Op::Names(vec![(path, None)]));
        }
    }

    /// The directory of unfinished files comes and goes by itself.
    fn settle_partials(&self) {
        match (self.disk.partials().is_some(), self.inode(PARTIALS).is_some()) {
            (true, false) => {
                let meta = Meta { mode: 0o700, mtime: FileTime::default() };
                self.appear(PARTIALS.to_vec(), Node::Directory { meta });
            }
            (false, true) => self.disappear(PARTIALS.to_vec()),
            _ => {}
        }
    }

    fn tick(&self, file: Inode) -> FileTime {
        let mut live = self.live.lock().unwrap();
        let time = live.journal.tick();
        live.times.insert(file, time);
        time
    }

    fn resize(&self, file: Inode, size: u64) {
        self.live.lock().unwrap().sizes.insert(file, size);
        let time = self.tick(file);
        self.op(Op::Resize { file, size: size as usize, time });
    }

    fn opened(&self, disk: Box<dyn Partial>, file: Inode, is_meta_set: bool) -> Box<dyn Partial> {
        Box::new(WatchedPartial { disk, file, is_meta_set, watched: self.clone() })
    }
}

impl Live {
    fn look(&mut self, store: &Store) {
        let now = store::read(store);
        let known = self.journal.events.iter().rev().find_map(|event| match event {
            Event::Store(sessions, _) => Some(sessions),
            _ => None,
        });
        if known.is_none_or(|known| **known != now) {
            let is_durable = known.is_none_or(|known| store::is_durable(known, &now));
            self.journal.events.push(Event::Store(Arc::new(now), is_durable));
        }
    }
}

impl Disk for Watched {
    fn look(&self, path: &TreePath) -> Result<Option<Found>, DiskError> {
        self.disk.look(path)
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError> {
        self.disk.read_link(path)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn ReadAt>, DiskError> {
        self.disk.open(path)
    }

    fn make_dir(&self, path: &TreePath, mode: u32) -> Result<(), DiskError> {
        let before = self.disk.look(path)?;
        self.disk.make_dir(path, mode)?;
        let (bytes, after) = (path.to_bytes(), self.disk.look(path)?);
        match (self.inode(&bytes), after) {
            (None, Some(Found::Directory { meta })) if !bytes.is_empty() => {
                self.appear(bytes, Node::Directory { meta });
            }
            (Some(inode), Some(Found::Directory { meta })) if before != after => self.op(Op::Meta(inode, meta)),
            _ => {}
        }
        Ok(())
    }

    fn make_symlink(&self, path: &TreePath, target: &[u8], replace: bool) -> Result<(), DiskError> {
        self.disk.make_symlink(path, target, replace)?;
        self.settle_partials();
        self.appear(path.to_bytes(), Node::Symlink { target: target.to_vec(), mtime: FileTime::default() });
        Ok(())
    }

    fn create_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let partial = self.disk.create_partial(name, size)?;
        self.settle_partials();
        self.disappear(partial_path(name));
        let meta = Meta { mode: 0o600, mtime: FileTime::default() };
        let file = self.appear(partial_path(name), Node::File { bytes: Vec::new(), meta });
        self.resize(file, size);
        Ok(self.opened(partial, file, false))
    }

    fn open_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let partial = self.disk.open_partial(name, size)?;
        let file = self.inode(&partial_path(name)).unwrap();
        if self.live.lock().unwrap().sizes[&file] != size {
            self.resize(file, size);
        }
        Ok(self.opened(partial, file, true))
    }

    fn sync_partials(&self) -> Result<(), DiskError> {
        self.disk.sync_partials()?;
        self.op(Op::SyncDirectory(PARTIALS.to_vec(), self.inode(PARTIALS)));
        self.op(Op::SyncDirectory(Vec::new(), None));
        Ok(())
    }

    fn publish(&self, name: &str, to: &TreePath, replace: bool) -> Result<(), DiskError> {
        self.disk.publish(name, to, replace)?;
        let partial = partial_path(name);
        let file = self.inode(&partial);
        self.op(Op::Names(vec![(partial, None), (to.to_bytes(), file)]));
        Ok(())
    }

    fn remove_partial(&self, name: &str) -> Result<(), DiskError> {
        self.disk.remove_partial(name)?;
        self.disappear(partial_path(name));
        Ok(())
    }

    fn remove_partial_dir(&self) -> Result<(), DiskError> {
        self.disk.remove_partial_dir()?;
        self.settle_partials();
        Ok(())
    }

    fn set_meta(&self, path: &TreePath, meta: Meta) -> Result<(), DiskError> {
        self.disk.set_meta(path, meta)?;
        if let Some(inode) = self.inode(&path.to_bytes()) {
            self.op(Op::Meta(inode, meta));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &TreePath) -> Result<(), DiskError> {
        self.disk.sync_dir(path)?;
        let bytes = path.to_bytes();
        let inode = self.inode(&bytes);
        self.op(Op::SyncDirectory(bytes, inode));
        Ok(())
    }

    fn free(&self) -> Result<u64, DiskError> {
        self.disk.free()
    }
}

/// A file under construction on a [`Watched`] disk.
struct WatchedPartial {
    disk: Box<dyn Partial>,
    file: Inode,
    is_meta_set: bool,
    watched: Watched,
}

impl Partial for WatchedPartial {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.write_at(offset, bytes)?;
        let time = self.watched.tick(self.file);
        self.watched.op(Op::Write { file: self.file, offset: offset as usize, bytes: bytes.into(), time });
        Ok(())
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.disk.read_exact_at(offset, buffer)
    }

    fn extend(&mut self, size: u64) -> Result<(), DiskError> {
        self.disk.extend(size)
    }

    fn set_meta(&mut self, meta: Meta) -> Result<(), DiskError> {
        self.disk.set_meta(meta)?;
        self.is_meta_set = true;
        self.watched.live.lock().unwrap().times.insert(self.file, meta.mtime);
        self.watched.op(Op::Meta(self.file, meta));
        Ok(())
    }

    fn begin_sync(&mut self) {
        self.disk.begin_sync();
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.disk.sync()?;
        self.watched.op(Op::SyncFile { file: self.file, with_meta: std::mem::take(&mut self.is_meta_set) });
        Ok(())
    }

    fn written_at(&mut self) -> Result<FileTime, DiskError> {
        Ok(self.watched.live.lock().unwrap().times[&self.file])
    }
}
