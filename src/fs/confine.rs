//! Reaching a path without ever following a link: the root of a tree as an open directory, and everything else from there.
//!
//! Invariant: after the root is opened no path string is resolved again from outside it; no symbolic link below it is followed,
//! whether it stands in the middle of a path or at its end, and whether it was there before or is put there meanwhile. A
//! directory that is held open stays the directory it was, wherever it is moved to: what was asked for is what is acted upon.
//!
//! What is done in the directories is left to [`super::real`] and [`super::source`].

use super::disk::{DiskError, PARTIAL_DIR};
use crate::manifest::{Name, TreePath};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::{Errno, retry_on_intr};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How many directories are held open beside the root.
const HELD_DIRECTORIES: usize = 64;

/// Times a resolution is repeated when the kernel says that a rename went on meanwhile.
#[cfg(target_os = "linux")]
const RACES: usize = 8;

/// How a directory is opened that others are reached through: to pass, not to read, where the system knows the difference.
#[cfg(target_os = "linux")]
pub(super) const PASSAGE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(super) const PASSAGE: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Says in the words of the seam what the system said.
pub(super) fn disk_error(errno: Errno) -> DiskError {
    match errno {
        Errno::EXIST => DiskError::Exists,
        Errno::NOTDIR | Errno::LOOP => DiskError::NotDirectory,
        Errno::NOSPC | Errno::DQUOT => DiskError::NoSpace,
        other => DiskError::Io(other.into()),
    }
}

/// The same for the root itself, which is below nothing.
fn root_error(errno: Errno) -> DiskError {
    match disk_error(errno) {
        DiskError::NotDirectory => DiskError::Io(errno.into()),
        other => other,
    }
}

/// The same for errors of the standard library.
pub(super) fn disk_io_error(error: io::Error) -> DiskError {
    match Errno::from_io_error(&error) {
        Some(errno) => disk_error(errno),
        None => DiskError::Io(error),
    }
}

/// Opens `path`, components separated by `/`, below `base`. No component may be a link ([`Errno::LOOP`] or [`Errno::NOTDIR`]) or
/// lead out of `base`.
pub(super) fn open_below(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RACES {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match retry_on_intr(|| openat2(base, path, flags, Mode::empty(), resolve)) {
                Err(Errno::AGAIN) => {}
                // An old kernel, a sandbox that does not know the call, or a path too long for one call.
                Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => break,
                Err(Errno::XDEV) => return Err(Errno::LOOP),
                other => return other,
            }
        }
    }
    walk_below(base, path, flags)
}

/// [`open_below`] where the system cannot do it in one step: one component after the other.
pub(super) fn walk_below(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut names = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).peekable();
    let mut held: Option<OwnedFd> = None;
    loop {
        let name = match names.next() {
            None => return Err(Errno::NOENT),
            Some(b".." | b".") => return Err(Errno::LOOP),
            Some(name) => name,
        };
        let directory = held.as_ref().map_or(base, |held| held.as_fd());
        if names.peek().is_none() {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return retry_on_intr(|| openat(directory, name, flags, Mode::empty()));
        }
        held = Some(retry_on_intr(|| openat(directory, name, PASSAGE, Mode::empty()))?);
    }
}

/// A directory and everything below it.
pub(super) struct Root {
    directory: Arc<OwnedFd>,
    /// A name at the top that is kept for unfinished files beside [`PARTIAL_DIR`].
    reserved: Option<Name>,
    held: Mutex<Held>,
}

/// Directories that were used lately, by path. Many small files in one directory cost one resolution.
#[derive(Default)]
struct Held {
    directories: HashMap<Vec<Name>, (Arc<OwnedFd>, u64)>,
    uses: u64,
}

impl Root {
    /// Opens the directory `path`, which may itself be reached through links; makes it if only its last component is missing.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))
        };
        let directory = match open() {
            Err(Errno::NOENT) => {
                match mkdirat(CWD, path, Mode::from_raw_mode(0o777)) {
                    // Somebody else was quicker, or it is a link to nowhere, which the second opening tells.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(root_error(errno)),
                }
                let directory = open().map_err(root_error)?;
                // The name of the new directory is durable before anything in it is said to be. A parent that cannot be read
                // cannot be synced either; the directory is usable all the same.
                let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if let Ok(parent) = File::open(parent) {
                    parent.sync_all().map_err(disk_io_error)?;
                }
                directory
            }
            other => other.map_err(root_error)?,
        };
        Ok(Self { directory: Arc::new(directory), reserved: None, held: Mutex::default() })
    }

    /// Keeps a name at the top for unfinished files: it is no part of the tree.
    pub(super) fn reserve(&mut self, name: Name) {
        self.reserved = Some(name);
    }

    /// The directory of unfinished files is no part of the tree: whoever names it could change partials and their permissions.
    /// Case is ignored because some file systems ignore it.
    fn refuse_reserved(&self, top: &Name) -> Result<(), DiskError> {
        let kept = self.reserved.as_ref().map_or(PARTIAL_DIR.as_bytes(), Name::as_bytes);
        if [kept, PARTIAL_DIR.as_bytes()].iter().any(|kept| top.as_bytes().eq_ignore_ascii_case(kept)) {
            return Err(DiskError::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the name is kept for unfinished files",
            )));
        }
        Ok(())
    }

    /// The root itself, open for reading.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The directory `names`, open to pass through.
    pub(super) fn directory(&self, names: &[Name]) -> Result<Arc<OwnedFd>, DiskError> {
        let Some(top) = names.first() else {
            return Ok(Arc::clone(&self.directory));
        };
        self.refuse_reserved(top)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.uses += 1;
        let now = held.uses;
        if let Some((directory, used)) = held.directories.get_mut(names) {
            *used = now;
            return Ok(Arc::clone(directory));
        }
        let path = names.iter().map(Name::as_bytes).collect::<Vec<_>>().join(&b'/');
        let directory = Arc::new(open_below(self.as_fd(), &path, PASSAGE).map_err(disk_error)?);
        if held.directories.len() >= HELD_DIRECTORIES {
            let oldest = held.directories.iter().min_by_key(|(_, (_, used))| *used).map(|(names, _)| names.clone());
            if let Some(oldest) = oldest {
                held.directories.remove(&oldest);
            }
        }
        held.directories.insert(names.to_vec(), (Arc::clone(&directory), now));
        Ok(directory)
    }

    /// Does `act` to the last component of `path` in the directory that holds it.
    pub(super) fn at<T>(
        &self,
        path: &TreePath,
        mut act: impl FnMut(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T, DiskError> {
        let Some((last, parents)) = path.names().split_last() else {
            return Err(DiskError::Io(Errno::ISDIR.into()));
        };
        if parents.is_empty() {
            self.refuse_reserved(last)?;
        }
        let directory = self.directory(parents)?;
        match retry_on_intr(|| act(directory.as_fd(), last.as_bytes())) {
            // The directory that is held was deleted: another may stand at its path now.
            Err(Errno::NOENT) if !parents.is_empty() && fstat(&directory).is_ok_and(|stat| stat.st_nlink == 0) => {
                self.held.lock().unwrap_or_else(PoisonError::into_inner).directories.remove(parents);
                let directory = self.directory(parents)?;
                retry_on_intr(|| act(directory.as_fd(), last.as_bytes())).map_err(disk_error)
            }
            other => other.map_err(disk_error),
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.lock().unwrap().directories.len()
    }
}

/// Sets the permissions of the file or directory `name` in `directory`, never through a link. Works for what its owner may not
/// read, too.
pub(super) fn chmod_no_follow(directory: BorrowedFd<'_>, name: &[u8], mode: Mode) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FileType, chmodat};
        use std::os::fd::AsRawFd;
        let object = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&object)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        // `fchmod` refuses such a descriptor and `fchmodat` follows links; this names exactly the inode that is held.
        let through = format!("/proc/self/fd/{}", object.as_raw_fd());
        match chmodat(CWD, through, mode, AtFlags::empty()) {
            // No /proc here.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => return other,
        }
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::fchmod(openat(directory, name, flags, Mode::empty())?, mode)
}

#[cfg(test)]
mod tests;
