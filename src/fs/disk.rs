//! The disk seam: every operation that a receiver does to its destination tree, and nothing else.
//!
//! Invariant: a [`Disk`] is one destination root; no value that reaches it can name anything outside (see
//! [`TreePath`]), no operation follows a symbolic link below the root, and nothing gets its final name but by
//! [`Disk::publish`]. Real disks are in [`super::real`]; tests put a disk here that forgets what was not synced. Policy (when to
//! write, sync and publish) is the pipeline's.

use crate::manifest::{FileTime, Meta, TreePath};
use std::io;
use std::path::{Path, PathBuf};

/// The directory below a destination root where unfinished files live, mode 0700, unless another one was chosen.
pub const PARTIAL_DIR: &str = ".resilient-partial";

/// What stands at a path, looked at without following links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Its mode and time.
        meta: Meta,
    },
    /// A directory.
    Directory {
        /// Its mode and time.
        meta: Meta,
    },
    /// A symbolic link.
    Symlink,
    /// A device, socket or FIFO.
    Special,
}

/// Why an operation failed. `Display` gives the cause alone: whoever reports it names the object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// Something else stands at the final name.
    #[error("already exists")]
    Exists,
    /// The path leads through something that is not a directory, or through a link.
    #[error("a component of the path is not a directory of the destination")]
    NotDirectory,
    /// The directory for unfinished files cannot be used.
    #[error("unfinished files: {}: {}", path.display(), cause.of_one())]
    Partials {
        /// Where they were to go.
        path: PathBuf,
        /// Why they cannot.
        cause: Box<DiskError>,
    },
    /// The disk is full or a quota is reached.
    #[error("no space left on device")]
    NoSpace,
    /// Anything else the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DiskError {
    /// Says that it is about the directory for unfinished files at `path`.
    pub(super) fn of_partials(self, path: &Path) -> DiskError {
        DiskError::Partials { path: path.to_owned(), cause: Box::new(self) }
    }

    /// Of one directory there are no components to speak of.
    fn of_one(&self) -> String {
        match self {
            DiskError::NotDirectory => "not a directory".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether something is not there that was expected.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self.root(), DiskError::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The error below all that is said of where it is.
    pub fn root(&self) -> &DiskError {
        match self {
            DiskError::Partials { cause, .. } => cause.root(),
            other => other,
        }
    }
}

/// One destination tree. Paths are relative to its root.
pub trait Disk: Send + Sync {
    /// What stands at `path`; `None` if nothing does.
    fn look(&self, path: &TreePath) -> Result<Option<Found>, DiskError>;
    /// Target of the symbolic link at `path`.
    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError>;
    /// Opens the regular file at `path` for reading.
    fn open(&self, path: &TreePath) -> Result<Box<dyn ReadAt>, DiskError>;
    /// Makes the directory `path` with `mode`, as far as the umask of the process lets it; it is no error if that directory is there
    /// already. Its owner can always write to it until [`Disk::set_meta`], whatever its mode is or was. Its parent must exist.
    fn make_dir(&self, path: &TreePath, mode: u32) -> Result<(), DiskError>;
    /// Makes a symbolic link at `path`, where nothing may stand, unless `replace` is said and it is a regular file or a link: that is
    /// replaced in one step.
    fn make_symlink(&self, path: &TreePath, target: &[u8], replace: bool) -> Result<(), DiskError>;
    /// Makes the partial file `name` (a plain file name) of `size` bytes, mode 0600, empty of earlier content; makes the directory
    /// for partial files on first use. Fails early with [`DiskError::NoSpace`] where the file system can tell.
    fn create_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError>;
    /// Takes up the partial file `name` where an earlier run has left it, for a file of `size` bytes; one of another length is made
    /// that long. An error if it is not there, is no plain file of ours, or another run writes to it.
    fn open_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError>;
    /// Makes the names of the partial files durable.
    fn sync_partials(&self) -> Result<(), DiskError>;
    /// Gives the partial file `name` its final name `to` in one step. Refuses with [`DiskError::Exists`] if anything stands there,
    /// unless `replace` is said and it is a regular file or a link, which is replaced and not followed. Durable only after
    /// [`Disk::sync_dir`].
    fn publish(&self, name: &str, to: &TreePath, replace: bool) -> Result<(), DiskError>;
    /// Takes the partial file `name` away; no error if it is not there.
    fn remove_partial(&self, name: &str) -> Result<(), DiskError>;
    /// Takes the directory for partial files away if it is empty and below the root; no error otherwise.
    fn remove_partial_dir(&self) -> Result<(), DiskError>;
    /// Sets mode (not for links) and mtime of what stands at `path`, which is not followed if it is a link.
    fn set_meta(&self, path: &TreePath, meta: Meta) -> Result<(), DiskError>;
    /// Makes the names in the directory `path`, its mode and its time durable.
    fn sync_dir(&self, path: &TreePath) -> Result<(), DiskError>;
    /// Bytes that new files may take, about.
    fn free(&self) -> Result<u64, DiskError>;
}

/// A file under construction.
pub trait Partial: Send {
    /// Writes all of `bytes` at `offset`, which lies within the size that was declared.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Reads exactly `buffer.len()` bytes at `offset`.
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;
    /// Declares a greater size, for a file whose size is not known when it begins. Nothing is set aside for it.
    fn extend(&mut self, size: u64) -> Result<(), DiskError>;
    /// Sets mode and mtime on the open file.
    fn set_meta(&mut self, meta: Meta) -> Result<(), DiskError>;
    /// Lets the system begin to write what [`Partial::sync`] will wait for, so that many files wait together. Promises nothing.
    fn begin_sync(&mut self);
    /// Makes everything written so far durable.
    fn sync(&mut self) -> Result<(), DiskError>;
    /// When it was last written to, by the clock of the disk: by us or by anybody.
    fn written_at(&mut self) -> Result<FileTime, DiskError>;
}

/// A file that can be read at any offset.
pub trait ReadAt: Send {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
}
