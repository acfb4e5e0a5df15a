//! Files under construction: the bytes, their permissions and their being durable.
//!
//! Invariant: nothing is written or read outside of the size that was declared. Blocks for a file of more than one chunk are set aside
//! at once where the file system can do that, so a disk that is too full says so before the first byte; and only if it has room
//! for all of it, for a size that no disk has must not fill this one first.
//!
//! Where the files stand and how they get their names is left to [`super`].

use crate::fs::confine::{disk_error, disk_io_error};
use crate::fs::disk::{DiskError, Partial};
use crate::manifest::{FileTime, MAX_FILE, Meta};
use rustix::fs::{Mode, RawMode, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat, fstatvfs, ftruncate, futimens};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often something that was received was made durable by this process.
static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How often files and directories that were received were synced by this process.
pub fn syncs() -> u64 {
    SYNCS.load(Ordering::Relaxed)
}

/// Something was.
pub(super) fn synced() {
    SYNCS.fetch_add(1, Ordering::Relaxed);
}

/// The permission bits and nothing more.
pub(super) fn mode(meta: Meta) -> Mode {
    Mode::from_raw_mode((meta.mode & 0o777) as RawMode)
}

/// The time of modification, that of access left alone.
pub(super) fn times(time: FileTime) -> Result<Timestamps, DiskError> {
    // Above a second the system takes some values as orders of another kind.
    if time.nanoseconds > 999_999_999 {
        return Err(DiskError::Io(Errno::INVAL.into()));
    }
    Ok(Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
    })
}

/// Files up to this many bytes come with one write, which fails by itself on a full disk. Blocks that are set aside and then written
/// change their state in the journal once more, which made 10,000 files of 1 kB three times as slow.
#[cfg(target_os = "linux")]
const WRITTEN_AT_ONCE: u64 = 128 * 1024;

/// Bytes that the file system of `file` has for us.
pub(super) fn free(file: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let system = retry_on_intr(|| fstatvfs(file))?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Makes `file` that long, with the blocks for it where the file system can set them aside.
fn reserve(file: BorrowedFd<'_>, size: u64) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    if size > WRITTEN_AT_ONCE {
        if free(file)? < size {
            return Err(Errno::NOSPC);
        }
        match retry_on_intr(|| rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            other => return other,
        }
    }
    retry_on_intr(|| ftruncate(file, size))
}

/// A file under construction.
pub(super) struct RealPartial {
    file: File,
    size: u64,
    meta_changed: bool,
}

impl RealPartial {
    /// Takes `file`, which is new and empty, and makes it `size` bytes long.
    pub(super) fn new(file: OwnedFd, size: u64) -> Result<Self, DiskError> {
        if size > MAX_FILE {
            return Err(DiskError::Io(Errno::FBIG.into()));
        }
        reserve(file.as_fd(), size).map_err(disk_error)?;
        Ok(Self { file: file.into(), size, meta_changed: false })
    }

    /// Takes `file`, which an earlier run began for `size` bytes. What is wrong with its length shows in when it was written.
    pub(super) fn again(file: OwnedFd, size: u64) -> Result<Self, DiskError> {
        if size > MAX_FILE {
            return Err(DiskError::Io(Errno::FBIG.into()));
        }
        if fstat(&file).map_err(disk_error)?.st_size as u64 != size {
            retry_on_intr(|| ftruncate(&file, size)).map_err(disk_error)?;
        }
        Ok(Self { file: file.into(), size, meta_changed: true })
    }

    /// Nothing is read or written outside of the declared size, whatever the peer says.
    fn check(&self, offset: u64, length: usize) -> Result<(), DiskError> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(DiskError::Io(io::Error::new(io::ErrorKind::InvalidInput, "outside of the declared size"))),
        }
    }
}

impl Partial for RealPartial {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.check(offset, bytes.len())?;
        self.file.write_all_at(bytes, offset).map_err(disk_io_error)
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.check(offset, buffer.len())?;
        self.file.read_exact_at(buffer, offset).map_err(disk_io_error)
    }

    fn extend(&mut self, size: u64) -> Result<(), DiskError> {
        if size > MAX_FILE {
            return Err(DiskError::Io(Errno::FBIG.into()));
        }
        self.size = self.size.max(size);
        Ok(())
    }

    fn set_meta(&mut self, meta: Meta) -> Result<(), DiskError> {
        let times = times(meta.mtime)?;
        self.meta_changed = true;
        fchmod(&self.file, mode(meta)).map_err(disk_error)?;
        futimens(&self.file, &times).map_err(disk_error)
    }

    fn begin_sync(&mut self) {
        // Advice that asks for pages to be dropped starts to write those that are not on the disk yet. What comes of it is told by
        // `sync`.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn written_at(&mut self) -> Result<FileTime, DiskError> {
        let stat = fstat(&self.file).map_err(disk_error)?;
        Ok(FileTime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 })
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        // Data and size are durable after the lesser call; mode and times need the greater.
        let synced = if self.meta_changed { self.file.sync_all() } else { self.file.sync_data() };
        synced.map_err(disk_io_error)?;
        self::synced();
        self.meta_changed = false;
        Ok(())
    }
}
