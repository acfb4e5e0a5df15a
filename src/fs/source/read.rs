//! Reading a source file that may change, vanish or be swapped while it is read.
//!
//! Invariant: what is read is the file that was listed (same size and time when it was opened, a regular file, reached without
//! any link), or it is an error; opening never waits. Whether it stayed the same to the end is told by
//! [`SourceFile::unchanged`].
//!
//! What to do about a file that changed is left to the caller.

use super::SourceError;
use crate::fs::confine::open_below;
use crate::manifest::FileTime;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

/// A source file, open for reading.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    first: Stamp,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: FileTime,
    changed: FileTime,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: FileTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 },
            changed: FileTime { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() as u32 },
        }
    }
}

impl SourceFile {
    /// Opens the file at `path`, as [`super::WalkItem::Entry`] gives it: absolute and without links. It must have the size in bytes
    /// and the time of modification that were announced, else it is [`SourceError::Changed`].
    pub fn open(path: &Path, size: u64, mtime: FileTime) -> Result<Self, SourceError> {
        let file = open_without_links(path).map_err(open_error)?;
        let metadata = file.metadata().map_err(SourceError::Unreadable)?;
        if !metadata.is_file() {
            return Err(SourceError::Special);
        }
        let first = Stamp::of(&metadata);
        if (first.size, first.modified) != (size, mtime) {
            return Err(SourceError::Changed);
        }
        Ok(Self { file, first })
    }

    /// Fills `buffer` with the bytes at `offset`. [`SourceError::Changed`] if the file ends before.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::Changed,
            _ => SourceError::Unreadable(error),
        })
    }

    /// Size in bytes when it was opened, which is the one that was announced.
    pub fn size(&self) -> u64 {
        self.first.size
    }

    /// Whether size, time of modification and time of status change are those of the opening still. A change of permissions
    /// or a new hard link counts as a change; one within the clock tick of the file system (some milliseconds) can escape.
    pub fn unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == self.first)
    }
}

/// Opens `path` for reading, from the root of the file system down, through no link at all.
fn open_without_links(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    {
        let top = root()?;
        let below = path.as_os_str().as_bytes();
        // `openat2` takes an absolute path for an attempt to get out.
        let below = below.strip_prefix(b"/").ok_or(Errno::INVAL)?;
        open_below(top, below, flags).map(File::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        openat(CWD, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(File::from)
    }
}

/// The root of the file system, opened once for all files.
#[cfg(target_os = "linux")]
fn root() -> rustix::io::Result<BorrowedFd<'static>> {
    static ROOT: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(root) = ROOT.get() {
        return Ok(root.as_fd());
    }
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(ROOT.get_or_init(|| root).as_fd())
}

fn open_error(errno: Errno) -> SourceError {
    match errno {
        Errno::NOENT => SourceError::Vanished,
        // A link or something else has taken the place of the file or of a directory above it.
        Errno::LOOP | Errno::NOTDIR => SourceError::Changed,
        // A socket, or a FIFO or device that nobody serves.
        Errno::NXIO | Errno::NODEV => SourceError::Special,
        other => SourceError::Unreadable(other.into()),
    }
}
