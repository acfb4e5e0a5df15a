//! The directory of unfinished files: where it is, whose it is, and what is left in it by runs that were killed.
//!
//! Invariant: it belongs to us, nobody else may enter it, it is reached through no link, and it is on the file system of the
//! destination, so a rename leads out of it. Every unfinished file is locked by the run that writes it (`flock`, which ends with the
//! process): nobody takes away what another run still writes, and what has been unlocked for [`STALE`] is taken away at the start.
//!
//! The files themselves are left to `partial`.

use crate::fs::confine::{Root, disk_error};
use crate::fs::disk::{DiskError, PARTIAL_DIR};
use crate::manifest::Name;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Age from which an unfinished file that nobody writes is a leftover: no session is taken up after that.
const STALE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most leftovers that one start takes away.
const SWEPT_AT_ONCE: usize = 10_000;

/// Where unfinished files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartialDir {
    /// In a directory of that name below the destination, which is no part of the tree.
    Below(Name),
    /// In a directory elsewhere on the same file system. Its parent must exist.
    At(PathBuf),
}

impl Default for PartialDir {
    fn default() -> Self {
        Self::Below(Name::new(PARTIAL_DIR).expect("it is a plain name"))
    }
}

/// The directory, opened when it is first needed.
pub(super) struct Partials {
    place: PartialDir,
    open: Mutex<Option<Arc<OwnedFd>>>,
}

impl Partials {
    /// The place for the destination `root` at `path`. A name below it is kept from the tree from now on.
    pub(super) fn new(root: &mut Root, path: &Path, place: PartialDir) -> Result<Self, DiskError> {
        match &place {
            PartialDir::Below(name) => root.reserve(name.clone()),
            PartialDir::At(at) => {
                let parent = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let parent = std::fs::canonicalize(parent).map_err(|error| DiskError::from(error).of_partials(at))?;
                let path = std::fs::canonicalize(path)?;
                if parent.starts_with(path) {
                    return Err(refusal(
                        "the directory for unfinished files is below the destination: give its name alone",
                    ));
                }
            }
        }
        Ok(Self { place, open: Mutex::new(None) })
    }

    /// The directory, if there is one or `make` is said. Leftovers are taken away when it is opened.
    pub(super) fn open(&self, root: &Root, make: bool) -> Result<Option<Arc<OwnedFd>>, DiskError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = open.as_ref() {
            // Deleted under our hands: what is written there could never be published.
            if fstat(directory).map_err(disk_error)?.st_nlink != 0 {
                return Ok(Some(Arc::clone(directory)));
            }
            *open = None;
        }
        let (base, path) = match &self.place {
            PartialDir::Below(name) => (root.as_fd(), Path::new(OsStr::from_bytes(name.as_bytes()))),
            PartialDir::At(path) => (CWD, path.as_path()),
        };
        let here = |errno| disk_error(errno).of_partials(path);
        if make {
            match mkdirat(base, path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(here(errno)),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match retry_on_intr(|| openat(base, path, flags, Mode::empty())) {
            Err(Errno::NOENT) if !make => return Ok(None),
            other => other.map_err(here)?,
        };
        self.check(root, &directory)?;
        // The clock of the file system, which is the one that ages are told by: the directory was changed just now.
        fchmod(&directory, Mode::RWXU).map_err(disk_error)?;
        sweep(directory.as_fd(), fstat(&directory).map_err(disk_error)?.st_ctime as u64);
        let directory = Arc::new(directory);
        *open = Some(Arc::clone(&directory));
        Ok(Some(directory))
    }

    fn check(&self, root: &Root, directory: &OwnedFd) -> Result<(), DiskError> {
        let stat = fstat(directory).map_err(disk_error)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(refusal("the directory for unfinished files belongs to another user"));
        }
        if stat.st_dev != fstat(root.as_fd()).map_err(disk_error)?.st_dev {
            return Err(refusal("the directory for unfinished files is on another file system"));
        }
        if stat.st_mode & 0o777 != 0o700 {
            if self.place != PartialDir::default() {
                // It may be one that is used for something else.
                return Err(refusal(
                    "the directory for unfinished files can be entered by others (mode 0700 is needed)",
                ));
            }
            fchmod(directory, Mode::RWXU).map_err(disk_error)?;
        }
        Ok(())
    }

    /// Takes the directory away if it is empty and below the root.
    pub(super) fn remove(&self, root: &Root) -> Result<(), DiskError> {
        let PartialDir::Below(name) = &self.place else { return Ok(()) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match unlinkat(root.as_fd(), name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) => *open = None,
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(errno) => return Err(disk_error(errno)),
        }
        Ok(())
    }
}

fn refusal(cause: &'static str) -> DiskError {
    DiskError::Io(io::Error::new(io::ErrorKind::PermissionDenied, cause))
}

/// Whether a name is one that unfinished files get (session, path and number, in hexadecimal) or a link that passes through here.
fn is_ours(name: &[u8]) -> bool {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'-').collect();
    let number = |part: &[u8], digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit)
    };
    match parts[..] {
        [PASSING, process, count] => number(process, 1..=8) && number(count, 1..=16),
        [session, path, count] => number(session, 32..=32) && number(path, 16..=16) && number(count, 1..=8),
        _ => false,
    }
}

/// How the names of links begin that pass through here.
const PASSING: &[u8] = b"link";

/// A name for a link that passes through here.
pub(super) fn passing_name() -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("-{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    [PASSING, name.as_bytes()].concat()
}

/// Whether the lock on `file` could be had. Where there are no locks, nobody else has one.
fn lock(file: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Err(Errno::AGAIN) => Ok(false),
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Makes the file `name`, locked, in the place of a leftover of that name.
pub(super) fn create(partials: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, DiskError> {
    let busy = || refusal("another run receives this file");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let make = || retry_on_intr(|| openat(partials, name, flags, Mode::RUSR | Mode::WUSR));
    let file = match make() {
        Err(Errno::EXIST) => {
            if !is_unlocked(partials, name).map_err(disk_error)? {
                return Err(busy());
            }
            match unlinkat(partials, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(disk_error(errno)),
            }
            make().map_err(disk_error)?
        }
        other => other.map_err(disk_error)?,
    };
    if lock(file.as_fd()).map_err(disk_error)? { Ok(file) } else { Err(busy()) }
}

/// Opens the file `name` that an earlier run has left, and locks it.
pub(super) fn open(partials: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, DiskError> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(partials, name, flags, Mode::empty())).map_err(disk_error)?;
    let stat = fstat(&file).map_err(disk_error)?;
    // A name more would be a way to write to somebody's file: it is not what we made.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(disk_error(Errno::NOENT));
    }
    if lock(file.as_fd()).map_err(disk_error)? { Ok(file) } else { Err(refusal("another run receives this file")) }
}

/// Whether nobody writes `name`.
fn is_unlocked(partials: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(partials, name, flags, Mode::empty()) {
        Ok(file) => lock(file.as_fd()),
        // A link that was put there, or something that went away just now.
        Err(Errno::LOOP | Errno::NOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Takes leftovers away; `now` is in seconds since 1970. What cannot be looked at stays: it is in nobody's way.
pub(super) fn sweep(partials: BorrowedFd<'_>, now: u64) {
    let Ok(listing) = Dir::read_from(partials) else { return };
    let mut stale = Vec::new();
    for found in listing.flatten().filter(|found| is_ours(found.file_name().to_bytes())) {
        let name = found.file_name().to_bytes();
        // When it was last changed in any way: its other time may have been set to that of the file it was to be.
        let is_stale = statat(partials, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
            // Somebody else's `link-1-2` in a directory of the user's choice is no link that passes through.
            let kind = if name.starts_with(PASSING) { FileType::Symlink } else { FileType::RegularFile };
            let age = (stat.st_ctime as u64).saturating_add(STALE.as_secs());
            FileType::from_raw_mode(stat.st_mode) == kind && age < now
        });
        if is_stale {
            stale.push(name.to_vec());
        }
        if stale.len() == SWEPT_AT_ONCE {
            break;
        }
    }
    for name in stale {
        if is_unlocked(partials, &name) == Ok(true) {
            let _ = unlinkat(partials, &name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_files_are_known() {
        let session = "0123456789abcdef0123456789abcdef";
        let yes = format!("{session}-0123456789abcdef-1f");
        assert!(is_ours(yes.as_bytes()) && is_ours(&passing_name()));
        for no in [
            "proof",
            "link",
            "link-1",
            "link-1-",
            "link-x-1",
            "link-1-1-1",
            "link-123456789-1",
            "photo.jpg",
            session,
            &format!("{session}-x123456789abcdef-1"),
            &format!("{yes}-1"),
        ] {
            assert!(!is_ours(no.as_bytes()), "{no}");
        }
    }
}
