//! A disk in memory that counts its open partial files, logs what is made durable, and fails where it is told to.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::memdisk::MemDisk;
use resilient::fs::disk::{Disk, DiskError, Found, Partial, ReadAt};
use resilient::manifest::{FileTime, Meta, TreePath};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a [`Watched`] disk does beside what it is told.
#[derive(Default)]
pub(crate) struct Orders {
    /// `look` fails there as for a directory that may not be entered.
    pub(crate) closed: Option<TreePath>,
    /// `publish` panics.
    pub(crate) panics: bool,
    /// `sync` of data fails.
    pub(crate) sync_fails: bool,
    /// `sync_dir` fails.
    pub(crate) sync_dir_fails: bool,
}

/// A disk in memory that counts, logs and fails.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) disk: MemDisk,
    orders: Arc<Orders>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    pub(crate) fn new(orders: Orders) -> Watched {
        Watched {
            disk: MemDisk::new(),
            orders: Arc::new(orders),
            open: Arc::default(),
            most: Arc::default(),
            log: Arc::default(),
        }
    }

    /// Most partial files that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// What was done, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }
}

struct WatchedPartial {
    inner: Box<dyn Partial>,
    name: String,
    disk: Watched,
}

impl Drop for WatchedPartial {
    fn drop(&mut self) {
        self.disk.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn io_error() -> DiskError {
    DiskError::Io(std::io::ErrorKind::PermissionDenied.into())
}

impl Disk for Watched {
    fn look(&self, path: &TreePath) -> Result<Option<Found>, DiskError> {
        if self.orders.closed.as_ref() == Some(path) { Err(io_error()) } else { self.disk.look(path) }
    }
    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError> {
        self.disk.read_link(path)
    }
    fn open(&self, path: &TreePath) -> Result<Box<dyn ReadAt>, DiskError> {
        self.disk.open(path)
    }
    fn make_dir(&self, path: &TreePath, mode: u32) -> Result<(), DiskError> {
        self.disk.make_dir(path, mode)
    }
    fn make_symlink(&self, path: &TreePath, target: &[u8], replace: bool) -> Result<(), DiskError> {
        self.disk.make_symlink(path, target, replace)
    }
    fn create_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let inner = self.disk.create_partial(name, size)?;
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Ok(Box::new(WatchedPartial { inner, name: name.to_owned(), disk: self.clone() }))
    }
    fn open_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let inner = self.disk.open_partial(name, size)?;
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Ok(Box::new(WatchedPartial { inner, name: name.to_owned(), disk: self.clone() }))
    }
    fn sync_partials(&self) -> Result<(), DiskError> {
        self.disk.sync_partials()
    }
    fn publish(&self, name: &str, to: &TreePath, replace: bool) -> Result<(), DiskError> {
        assert!(!self.orders.panics, "a bug in the disk");
        self.note(format!("publish {name}"));
        self.disk.publish(name, to, replace)
    }
    fn remove_partial(&self, name: &str) -> Result<(), DiskError> {
        self.disk.remove_partial(name)
    }
    fn remove_partial_dir(&self) -> Result<(), DiskError> {
        self.disk.remove_partial_dir()
    }
    fn set_meta(&self, path: &TreePath, meta: Meta) -> Result<(), DiskError> {
        self.disk.set_meta(path, meta)
    }
    fn sync_dir(&self, path: &TreePath) -> Result<(), DiskError> {
        self.note(format!("sync_dir {}", String::from_utf8_lossy(&path.to_bytes())));
        if self.orders.sync_dir_fails { Err(io_error()) } else { self.disk.sync_dir(path) }
    }
    fn free(&self) -> Result<u64, DiskError> {
        self.disk.free()
    }
}

impl Partial for WatchedPartial {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.inner.write_at(offset, bytes)
    }
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.inner.read_exact_at(offset, buffer)
    }
    fn extend(&mut self, size: u64) -> Result<(), DiskError> {
        self.inner.extend(size)
    }
    fn begin_sync(&mut self) {
        self.disk.note(format!("begin_sync {}", self.name));
        self.inner.begin_sync();
    }
    fn set_meta(&mut self, meta: Meta) -> Result<(), DiskError> {
        self.inner.set_meta(meta)
    }
    fn written_at(&mut self) -> Result<FileTime, DiskError> {
        self.inner.written_at()
    }
    fn sync(&mut self) -> Result<(), DiskError> {
        self.disk.note(format!("sync {}", self.name));
        if self.disk.orders.sync_fails { Err(io_error()) } else { self.inner.sync() }
    }
}
