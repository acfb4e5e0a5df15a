//! Files that the user has named for this program's own use: configuration, log, events.
//!
//! Invariant: a symbolic link in the last place of the name is followed only if root or this user has made it, so that a link planted in
//! a folder that others can write leads nothing of ours astray. A new file is for this user alone (0600).

use rustix::fs::{CWD, Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Opens for reading; never waits, as a FIFO would have it.
pub(in crate::cli) fn read(path: &Path) -> io::Result<File> {
    open(path, OFlags::RDONLY | OFlags::NONBLOCK)
}

/// Opens for writing at the end, made if it is not there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    open(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
}

/// Opens for writing from the start, made if it is not there and emptied if it is a plain file.
pub(super) fn truncate(path: &Path) -> io::Result<File> {
    let file = open(path, OFlags::WRONLY | OFlags::CREATE)?;
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let at = |flags| rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::RUSR | Mode::WUSR);
    match at(flags | OFlags::NOFOLLOW) {
        Ok(file) => Ok(File::from(file)),
        // What a link gives with NOFOLLOW: ELOOP, on some systems EMLINK.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::MLINK) => {
            let before = trusted(path)?;
            let file = at(flags)?;
            // Exchanged meanwhile: whatever was opened is not what was judged.
            if trusted(path)? == before { Ok(File::from(file)) } else { Err(planted()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// What tells this link from another, if its owner is one whose links are followed.
fn trusted(path: &Path) -> io::Result<(u64, u64, i64, i64)> {
    let link = std::fs::symlink_metadata(path)?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&link.uid());
    if ours { Ok((link.dev(), link.ino(), link.ctime(), link.ctime_nsec())) } else { Err(planted()) }
}

fn planted() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a symbolic link of another user is not followed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_new_file_is_private_and_an_old_one_is_kept_or_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path).unwrap().write_all(b"one\n").unwrap();
        append(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut text = String::new();
        read(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        truncate(&path).unwrap().write_all(b"3").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
    }

    #[test]
    fn links_of_this_user_are_followed_and_those_of_others_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("log"), folder.path().join("link"));
        symlink("log", &link).unwrap();
        append(&link).unwrap().write_all(b"1").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
        // Giving a link away is root's alone.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
            for error in [append(&link).unwrap_err(), truncate(&link).unwrap_err(), read(&link).unwrap_err()] {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"1");
        }
    }
}
