//! The disk of this machine: [`Disk`] by directory descriptors, confined below one root.
//!
//! Invariant: every call acts on a name in a directory that is held open and follows no link there (`confine`). Unfinished files
//! are plain files of mode 0600 in a directory of mode 0700 that belongs to us; they get their final name by a rename that
//! replaces nothing unless that was said, so a final name never shows half a file. Setuid, setgid and sticky are never set.
//!
//! When to sync, and what may be replaced, is left to the caller.

mod partial;
mod partials;
#[cfg(test)]
mod tests;

pub use self::partial::syncs;
use self::partial::{RealPartial, free, mode, synced, times};
pub use self::partials::PartialDir;
use self::partials::Partials;
use super::confine::{Root, chmod_no_follow, disk_error, disk_io_error};
use super::disk::{Disk, DiskError, Found, Partial, ReadAt};
use crate::manifest::{FileTime, Meta, Name, TreePath};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, Stat, fchmod, fstat, fsync, futimens, linkat, mkdirat, openat,
    readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Times that the directory of partial files is made again when it goes away under our hands.
const REMAKES: usize = 100;

/// A destination directory of this machine.
///
/// A file system mounted below the root can be written to, but nothing can be published there: a rename does not cross from one
/// file system to another, and the partial files are on the root's.
pub struct RealDisk {
    root: Root,
    partials: Partials,
}

impl RealDisk {
    /// Opens the directory `path`, makes it if only its last component is missing. `path` may lead through links and be one:
    /// it is the user's own. Nothing below it may.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        Self::open_with(path, PartialDir::default())
    }

    /// The same with unfinished files in a directory of the user's choice.
    pub fn open_with(path: &Path, partial_dir: PartialDir) -> Result<Self, DiskError> {
        let mut root = Root::open(path)?;
        let partials = Partials::new(&mut root, path, partial_dir)?;
        Ok(Self { root, partials })
    }

    /// The directory of partial files, if there is one or `make` is said.
    fn partials(&self, make: bool) -> Result<Option<Arc<OwnedFd>>, DiskError> {
        self.partials.open(&self.root, make)
    }

    /// Makes something in the directory of partial files, which another run or session takes away whenever it is empty.
    fn make_partial<T>(
        &self,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, DiskError>,
    ) -> Result<(Arc<OwnedFd>, T), DiskError> {
        let attempt = || {
            let partials = self.partials(true)?.ok_or_else(|| disk_error(Errno::NOENT))?;
            let made = make(partials.as_fd())?;
            Ok((partials, made))
        };
        for _ in 0..REMAKES {
            match attempt() {
                Err::<_, DiskError>(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        attempt()
    }
}

/// The name of a partial file, if it is one.
fn partial_name(name: &str) -> Result<Name, DiskError> {
    Name::new(name).map_err(|error| DiskError::Io(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

/// What `stat` tells of mode and time.
fn meta(stat: &Stat) -> Meta {
    let mtime = FileTime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
    Meta { mode: stat.st_mode & 0o777, mtime }
}

/// What stands there, or nothing.
fn found(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Found>> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Found::File { size: stat.st_size as u64, meta: meta(&stat) },
        FileType::Directory => Found::Directory { meta: meta(&stat) },
        FileType::Symlink => Found::Symlink,
        _ => Found::Special,
    }))
}

/// Puts `name` in `from` in the place of the file or link `last` in `to`. A link is replaced, not followed.
fn replace_with(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, last: &[u8]) -> rustix::io::Result<()> {
    match found(to, last)? {
        None => rename_to_free(from, name, to, last),
        Some(Found::File { .. } | Found::Symlink) => match renameat(from, name, to, last) {
            // A directory has come meanwhile.
            Err(Errno::ISDIR) => Err(Errno::EXIST),
            other => other,
        },
        Some(Found::Directory { .. } | Found::Special) => Err(Errno::EXIST),
    }
}

/// Gives `name` in `from` the name `last` in `to`, where nothing may stand.
fn rename_to_free(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, last: &[u8]) -> rustix::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    match rustix::fs::renameat_with(from, name, to, last, rustix::fs::RenameFlags::NOREPLACE) {
        // The file system does not know the flag; a hard link is as strict.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    link_to_free(from, name, to, last)
}

/// [`rename_to_free`] by a hard link, which never replaces anything.
fn link_to_free(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, last: &[u8]) -> rustix::io::Result<()> {
    linkat(from, name, to, last, AtFlags::empty())?;
    // The file has its name. A partial that stays behind is taken away by the next one of its name.
    let _ = unlinkat(from, name, AtFlags::empty());
    Ok(())
}

impl Disk for RealDisk {
    fn look(&self, path: &TreePath) -> Result<Option<Found>, DiskError> {
        if path.names().is_empty() {
            let stat = fstat(self.root.as_fd()).map_err(disk_error)?;
            return Ok(Some(Found::Directory { meta: meta(&stat) }));
        }
        match self.root.at(path, found) {
            // The directory above is missing.
            Err(DiskError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError> {
        self.root.at(path, |directory, name| Ok(readlinkat(directory, name, Vec::new())?.into_bytes()))
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn ReadAt>, DiskError> {
        let file = self.root.at(path, |directory, name| {
            // A FIFO must not hold us up before it can be refused.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            openat(directory, name, flags, Mode::empty())
        })?;
        if FileType::from_raw_mode(fstat(&file).map_err(disk_error)?.st_mode) != FileType::RegularFile {
            return Err(DiskError::Io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        Ok(Box::new(RealFile(file.into())))
    }

    fn make_dir(&self, path: &TreePath, mode: u32) -> Result<(), DiskError> {
        if path.names().is_empty() {
            return Ok(());
        }
        self.root.at(path, |directory, name| {
            match mkdirat(directory, name, Mode::from_raw_mode((mode & 0o777 | 0o700) as RawMode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Err(Errno::EXIST);
            }
            let ours = stat.st_uid == rustix::process::geteuid().as_raw();
            if ours && stat.st_mode & 0o700 != 0o700 {
                chmod_no_follow(directory, name, Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700))?;
            }
            Ok(())
        })
    }

    fn make_symlink(&self, path: &TreePath, target: &[u8], replace: bool) -> Result<(), DiskError> {
        if path.names().is_empty() {
            return Err(DiskError::Exists);
        }
        match self.root.at(path, |directory, name| symlinkat(target, directory, name)) {
            Err(DiskError::Exists) if replace => {}
            other => return other,
        }
        let (partials, name) = self.make_partial(|partials| {
            loop {
                let name = partials::passing_name();
                match symlinkat(target, partials, &name) {
                    // Left by a run of the same number that was killed.
                    Err(Errno::EXIST) => {}
                    made => return made.map(|()| name).map_err(disk_error),
                }
            }
        })?;
        let replaced = self.root.at(path, |directory, last| replace_with(partials.as_fd(), &name, directory, last));
        if replaced.is_err() {
            let _ = unlinkat(&partials, &name, AtFlags::empty());
        }
        replaced
    }

    fn create_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let name = partial_name(name)?;
        let (partials, file) = self.make_partial(|partials| partials::create(partials, name.as_bytes()))?;
        match RealPartial::new(file, size) {
            Ok(partial) => Ok(Box::new(partial)),
            Err(error) => {
                let _ = unlinkat(&partials, name.as_bytes(), AtFlags::empty());
                Err(error)
            }
        }
    }

    fn open_partial(&self, name: &str, size: u64) -> Result<Box<dyn Partial>, DiskError> {
        let name = partial_name(name)?;
        let partials = self.partials(false)?.ok_or_else(|| disk_error(Errno::NOENT))?;
        Ok(Box::new(RealPartial::again(partials::open(partials.as_fd(), name.as_bytes())?, size)?))
    }

    fn sync_partials(&self) -> Result<(), DiskError> {
        let Some(partials) = self.partials(false)? else { return Ok(()) };
        retry_on_intr(|| fsync(&partials)).map_err(disk_error)?;
        synced();
        // Its own name, too, where it was made just now.
        self.sync_dir(&TreePath::ROOT)
    }

    fn publish(&self, name: &str, to: &TreePath, replace: bool) -> Result<(), DiskError> {
        let name = partial_name(name)?;
        if to.names().is_empty() {
            return Err(DiskError::Exists);
        }
        let partials = self.partials(false)?.ok_or_else(|| disk_error(Errno::NOENT))?;
        self.root.at(to, |directory, last| {
            if replace && found(directory, last)?.is_some() {
                return replace_with(partials.as_fd(), name.as_bytes(), directory, last);
            }
            rename_to_free(partials.as_fd(), name.as_bytes(), directory, last)
        })
    }

    fn remove_partial(&self, name: &str) -> Result<(), DiskError> {
        let name = partial_name(name)?;
        let Some(partials) = self.partials(false)? else {
            return Ok(());
        };
        match unlinkat(&partials, name.as_bytes(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(disk_error(errno)),
        }
    }

    fn remove_partial_dir(&self) -> Result<(), DiskError> {
        self.partials.remove(&self.root)
    }

    fn set_meta(&self, path: &TreePath, meta: Meta) -> Result<(), DiskError> {
        let times = times(meta.mtime)?;
        if path.names().is_empty() {
            fchmod(self.root.as_fd(), mode(meta)).map_err(disk_error)?;
            return futimens(self.root.as_fd(), &times).map_err(disk_error);
        }
        self.root.at(path, |directory, name| {
            match found(directory, name)? {
                None => return Err(Errno::NOENT),
                Some(Found::Special) => return Err(Errno::OPNOTSUPP),
                Some(Found::Symlink) => {}
                Some(Found::File { .. } | Found::Directory { .. }) => {
                    chmod_no_follow(directory, name, mode(meta))?;
                }
            }
            utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    fn sync_dir(&self, path: &TreePath) -> Result<(), DiskError> {
        let directory = self.root.directory(path.names())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let done = match retry_on_intr(|| openat(&directory, ".", flags, Mode::empty())) {
            // Its owner may not read it, so it cannot be synced alone.
            #[cfg(target_os = "linux")]
            Err(Errno::ACCESS) => rustix::fs::syncfs(self.root.as_fd()).map_err(disk_error),
            Err(errno) => Err(disk_error(errno)),
            Ok(open) => File::from(open).sync_all().map_err(disk_io_error),
        };
        done.map(|()| synced())
    }

    fn free(&self) -> Result<u64, DiskError> {
        free(self.root.as_fd()).map_err(disk_error)
    }
}

/// A file of the destination that is read.
struct RealFile(File);

impl ReadAt for RealFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(disk_io_error),
            }
        }
    }
}
