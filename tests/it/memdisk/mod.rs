//! A destination in memory: a disk for simulations of thousands of transfers.
//!
//! Invariant: it answers as the disk of a machine does (`fs::real`), for every operation of the seam: nothing below a link or a
//! file, nothing replaced unless said, partials apart from the tree. It counts syncs, can be full, and clones share one tree, so
//! a test keeps one to look at. What was not synced is kept all the same.

#[cfg(test)]
mod agreement;

use resilient::fs::disk::{Disk, DiskError, Found, PARTIAL_DIR, Partial, ReadAt};
use resilient::manifest::{FileTime, Meta, Name, TreePath};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A regular file.
    File { bytes: Vec<u8>, meta: Meta },
    /// A directory.
    Directory { meta: Meta },
    /// A symbolic link; its mode is not kept.
    Symlink { target: Vec<u8>, mtime: FileTime },
}

/// How often something was made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Syncs {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
}

/// One destination tree in memory.
#[derive(Clone, Default)]
pub(crate) struct MemDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<Vec<u8>, Stored>,
    root: Meta,
    partials: Option<BTreeMap<Vec<u8>, File>>,
    /// Bytes that fit, and bytes that files and partials take.
    capacity: Option<u64>,
    used: u64,
    syncs: Syncs,
}

/// The same as [`Node`] while it may still be open.
enum Stored {
    File(File),
    Directory(Meta),
    Symlink { target: Vec<u8>, mtime: FileTime },
}

/// Bytes and meta of a file, shared with whoever has it open: it lives on when its name goes or changes.
#[derive(Clone)]
struct File(Arc<Mutex<(Vec<u8>, Meta)>>);

impl MemDisk {
    /// An empty tree with room for 4 GiB.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An empty tree with room for that many bytes of files.
    pub(crate) fn with_capacity(bytes: u64) -> Self {
        let disk = Self::new();
        disk.state().capacity = Some(bytes);
        disk
    }

    /// Puts something there, as if it had been there before; its parent must be there.
    pub(crate) fn plant(&self, path: &TreePath, node: Node) {
        let mut state = self.state();
        state.parent(path).expect("the parent is a directory");
        let stored = match node {
            Node::File { bytes, meta } => {
                state.used += bytes.len() as u64;
                Stored::File(File::new(bytes, meta))
            }
            Node::Directory { meta } => Stored::Directory(meta),
            Node::Symlink { target, mtime } => Stored::Symlink { target, mtime },
        };
        let before = state.nodes.insert(path.to_bytes(), stored);
        assert!(before.is_none(), "something stands there");
    }

    /// Everything that has its final name, by its path; the root itself is not in it.
    pub(crate) fn tree(&self) -> BTreeMap<Vec<u8>, Node> {
        let node = |stored: &Stored| match stored {
            Stored::File(file) => {
                let (bytes, meta) = file.lock().clone();
                Node::File { bytes, meta }
            }
            Stored::Directory(meta) => Node::Directory { meta: *meta },
            Stored::Symlink { target, mtime } => Node::Symlink { target: target.clone(), mtime: *mtime },
        };
        self.state().nodes.iter().map(|(path, stored)| (path.clone(), node(stored))).collect()
    }

    /// Mode and time of the root itself.
    pub(crate) fn root(&self) -> Meta {
        self.state().root
    }

    /// Names of the partial files; `None` if their directory is not there.
    pub(crate) fn partials(&self) -> Option<Vec<String>> {
        let state = self.state();
        let names = state.partials.as_ref()?.keys();
        Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// How often something was synced so far.
    pub(crate) fn syncs(&self) -> Syncs {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}

fn io_error(kind: io::ErrorKind) -> DiskError {
    DiskError::Io(kind.into())
}

fn partial_name(name: &str) -> Result<Vec<u8>, DiskError> {
    Name::new(name).map(Vec::from).map_err(|_| io_error(io::ErrorKind::InvalidInput))
}

fn masked(meta: Meta) -> Result<Meta, DiskError> {
    if meta.mtime.nanoseconds > 999_999_999 {
        return Err(io_error(io::ErrorKind::InvalidInput));
    }
    Ok(Meta { mode: meta.mode & 0o777, ..meta })
}

impl State {
    /// Checks that everything above `path` is a directory.
    fn parent(&self, path: &TreePath) -> Result<(), DiskError> {
        let Some((parents, _)) = path.split_last() else {
            return Err(io_error(io::ErrorKind::IsADirectory));
        };
        self.directory(&parents)?;
        refuse_reserved(path)
    }

    /// Checks that `path` is a directory.
    fn directory(&self, path: &TreePath) -> Result<(), DiskError> {
        refuse_reserved(path)?;
        let mut above = TreePath::ROOT;
        for name in path.names() {
            above = above.join(name.clone()).expect("a part of a path is no longer than it");
            match self.nodes.get(&above.to_bytes()) {
                None => return Err(io_error(io::ErrorKind::NotFound)),
                Some(Stored::Directory(_)) => {}
                Some(_) => return Err(DiskError::NotDirectory),
            }
        }
        Ok(())
    }

    fn take_partial(&mut self, name: &[u8]) -> Option<File> {
        let file = self.partials.as_mut()?.remove(name)?;
        self.used -= file.length();
        Some(file)
    }
}

fn refuse_reserved(path: &TreePath) -> Result<(), DiskError> {
    match path.names().first() {
        Some(top) if top.as_bytes().eq_ignore_ascii_case(PARTIAL_DIR.as_bytes()) => {
            Err(io_error(io::ErrorKind::PermissionDenied))
        }
        _ => Ok(()),
    }
}

impl Disk for MemDisk {
    fn look(&self, path: &TreePath) -> Result<Option<Found>, DiskError> {
        if path.names().is_empty() {
            return Ok(Some(Found::Directory { meta: self.root() }));
        }
        let state = self.state();
        match state.parent(path) {
            Err(DiskError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        }
        Ok(state.nodes.get(&path.to_bytes()).map(|node| match node {
            Stored::File(file) => Found::File { size: file.length(), meta: file.lock().1 },
            Stored::Directory(meta) => Found::Directory { meta: *meta },
            Stored::Symlink { .. } => Found::Symlink,
        }))
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError> {
        let state = self.state();
        state.parent(path)?;
        match state.nodes.get(&path.to_bytes()) {
            Some(Stored::Symlink { target, .. }) => Ok(target.clone()),
            Some(_) => Err(io_error(io::ErrorKind::InvalidInput)),
            None => Err(io_error(io::ErrorKind::NotFound)),
        }
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn ReadAt>, DiskError> {
        let state = self.state();
        state.parent(path)?;
        match state.nodes.get(&path.to_bytes()) {
            Some(Stored::File(file)) => Ok(Box::new(file.clone())),
            Some(Stored::Symlink { .. }) => Err(DiskError::NotDirectory),
            Some(Stored::Directory(_)) => Err(io_error(io::ErrorKind::InvalidInput)),
            None => Err(io_error(io::ErrorKind::NotFound)),
        }
    }

    fn make_dir(&self, path: &TreePath, mode: u32) -> Result<(), DiskError> {
        if path.names().is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.parent(path)?;
        let new = Stored::Directory(Meta { mode: mode & 0o777 | 0o700, mtime: FileTime::default() });
        match state.nodes.entry(path.to_bytes()).or_insert(new) {
            Stored::Directory(meta) => {
                meta.mode |= 0o700;
                Ok(())
            }
            _ => Err(DiskError::Exists),
        }
    }

    fn make_symlink(&self, path: &TreePath, target: &[u8], replace: bool) -> Result<(), DiskError> {
        if path.names().is_empty() {
            return Err(DiskError::Exists);
        }
        let mut state = self.state();
        state.parent(path)?;
        if target.is_empty() {
            return Err(io_error(io::ErrorKind::NotFound));
        }
        if target.contains(&0) {
            return Err(io_error(io::ErrorKind::InvalidInput));
        }
        match state.nodes.get(&path.to_bytes()) {
            None => {}
            Some(Stored::File(file)) if replace => {
                let freed = file.length();
                state.used -= freed;
                state.partials.get_or_insert_default();
            }
            Some(Stored::Symlink { .. }) if replace => drop(state.partials.get_or_insert_default()),
            Some(_) if replace => {
                state.partials.get_or_insert_default();
                return Err(DiskError::Exists);
            }
            Some(_) => return Err(DiskError::Exists),
        }
        let link = Stored::Symlink { target: target.to_vec(), mtime: FileTime::default() };
        state.nodes.insert(path.to_bytes(), link);
        Ok(())
    }

    fn create_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let name = partial_name(name)?;
        let mut state = self.state();
        drop(state.take_partial(&name));
        state.partials.get_or_insert_default();
        let capacity = state.capacity.unwrap_or(1 << 32);
        if state.used.checked_add(size).is_none_or(|used| used > capacity) {
            return Err(DiskError::NoSpace);
        }
        state.used += size;
        let meta = Meta { mode: 0o600, mtime: FileTime::default() };
        let file = File::new(vec![0; size as usize], meta);
        state.partials.get_or_insert_default().insert(name, file.clone());
        Ok(Box::new(MemPartial { file, disk: self.clone() }))
    }

    fn open_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let name = partial_name(name)?;
        let mut state = self.state();
        let file = state.partials.as_ref().and_then(|partials| partials.get(&name).cloned());
        let file = file.ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        if file.length() != size {
            state.used = state.used - file.length() + size;
            file.write(|bytes| bytes.resize(size as usize, 0));
        }
        drop(state);
        Ok(Box::new(MemPartial { file, disk: self.clone() }))
    }

    fn sync_partials(&self) -> Result<(), DiskError> {
        self.state().syncs.directories += 1;
        Ok(())
    }

    fn publish(&self, name: &str, to: &TreePath, replace: bool) -> Result<(), DiskError> {
        let name = partial_name(name)?;
        if to.names().is_empty() {
            return Err(DiskError::Exists);
        }
        let mut state = self.state();
        if state.partials.as_ref().is_none_or(|partials| !partials.contains_key(&name)) {
            return Err(io_error(io::ErrorKind::NotFound));
        }
        state.parent(to)?;
        let path = to.to_bytes();
        let before = match state.nodes.get(&path) {
            None => 0,
            Some(Stored::File(file)) if replace => file.length(),
            Some(Stored::Symlink { .. }) if replace => 0,
            Some(_) => return Err(DiskError::Exists),
        };
        let file = state.take_partial(&name).expect("looked at just now");
        state.used = state.used - before + file.length();
        state.nodes.insert(path, Stored::File(file));
        Ok(())
    }

    fn remove_partial(&self, name: &str) -> Result<(), DiskError> {
        let name = partial_name(name)?;
        drop(self.state().take_partial(&name));
        Ok(())
    }

    fn remove_partial_dir(&self) -> Result<(), DiskError> {
        let mut state = self.state();
        if state.partials.as_ref().is_some_and(BTreeMap::is_empty) {
            state.partials = None;
        }
        Ok(())
    }

    fn set_meta(&self, path: &TreePath, meta: Meta) -> Result<(), DiskError> {
        let new = masked(meta)?;
        let mut state = self.state();
        if path.names().is_empty() {
            state.root = new;
            return Ok(());
        }
        state.parent(path)?;
        match state.nodes.get_mut(&path.to_bytes()) {
            None => return Err(io_error(io::ErrorKind::NotFound)),
            Some(Stored::File(file)) => file.lock().1 = new,
            Some(Stored::Directory(meta)) => *meta = new,
            Some(Stored::Symlink { mtime, .. }) => *mtime = new.mtime,
        }
        Ok(())
    }

    fn sync_dir(&self, path: &TreePath) -> Result<(), DiskError> {
        let mut state = self.state();
        state.directory(path)?;
        state.syncs.directories += 1;
        Ok(())
    }

    fn free(&self) -> Result<u64, DiskError> {
        let state = self.state();
        Ok(state.capacity.unwrap_or(1 << 32) - state.used)
    }
}

impl File {
    fn new(bytes: Vec<u8>, meta: Meta) -> Self {
        Self(Arc::new(Mutex::new((bytes, meta))))
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, Meta)> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Changes the bytes. Each write has a time of its own.
    fn write<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut file = self.lock();
        file.1.mtime.seconds += 1;
        change(&mut file.0)
    }

    fn length(&self) -> u64 {
        self.lock().0.len() as u64
    }
}

impl ReadAt for File {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.lock();
        let rest = usize::try_from(offset).ok().and_then(|offset| file.0.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

struct MemPartial {
    file: File,
    disk: MemDisk,
}

/// Where `length` bytes at `offset` are, if they are within `bytes`.
fn within(bytes: &mut [u8], offset: u64, length: usize) -> Result<&mut [u8], DiskError> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get_mut(start..start.checked_add(length)?))
        .ok_or_else(|| io_error(io::ErrorKind::InvalidInput))
}

impl Partial for MemPartial {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write(|file| within(file, offset, bytes.len()).map(|place| place.copy_from_slice(bytes)))
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let mut file = self.file.lock();
        buffer.copy_from_slice(within(&mut file.0, offset, buffer.len())?);
        Ok(())
    }

    fn extend(&mut self, size: u64) -> Result<(), DiskError> {
        let length = self.file.length();
        let mut state = self.disk.state();
        let more = size.saturating_sub(length);
        if state.used.checked_add(more).is_none_or(|used| used > state.capacity.unwrap_or(1 << 32)) {
            return Err(DiskError::NoSpace);
        }
        state.used += more;
        self.file.lock().0.resize(length.max(size) as usize, 0);
        Ok(())
    }

    fn begin_sync(&mut self) {}
    fn set_meta(&mut self, meta: Meta) -> Result<(), DiskError> {
        self.file.lock().1 = masked(meta)?;
        Ok(())
    }

    fn written_at(&mut self) -> Result<FileTime, DiskError> {
        Ok(self.file.lock().1.mtime)
    }
    fn sync(&mut self) -> Result<(), DiskError> {
        self.disk.state().syncs.files += 1;
        Ok(())
    }
}
