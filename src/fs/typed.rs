//! Files that the user named for the program to read: rules, lists of files.
//!
//! Invariant: a symbolic link on the way is followed only if it belongs to root or to the user who runs the program, so that
//! nobody else who may write a directory on the way can choose what is read. Every directory passed is held open, and what was
//! looked at is what is opened. Links of `/proc` (`/dev/fd/63`, as shells give it for `<(command)`) are the kernel's and followed.
//!
//! Sources and destinations are not opened here: see [`super::source`] and [`super::real`].

use super::confine::PASSAGE;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Links followed on one way, as many as Linux follows.
const MAX_LINKS: usize = 40;

const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the file `path` for reading.
pub fn open(path: &Path) -> io::Result<File> {
    let user = rustix::process::geteuid().as_raw();
    open_for(path, |owner| owner == 0 || owner == user).map_err(io::Error::from)
}

/// [`open`] with links of those owners whom `trusted` knows.
fn open_for(path: &Path, trusted: impl Fn(u32) -> bool) -> rustix::io::Result<File> {
    let root = || openat(CWD, "/", PASSAGE, Mode::empty());
    let here = || openat(CWD, ".", PASSAGE, Mode::empty());
    let text = path.as_os_str().as_bytes();
    if text.is_empty() {
        return Err(Errno::NOENT);
    }
    let mut directory = if text.starts_with(b"/") { root()? } else { here()? };
    // What is still to be passed, the next one last.
    let mut ahead: Vec<Vec<u8>> = Vec::new();
    push(&mut ahead, text);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        let last = ahead.is_empty();
        let stat = retry_on_intr(|| statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            let flags = if last { FILE | OFlags::NOFOLLOW } else { PASSAGE };
            let opened = retry_on_intr(|| openat(&directory, name.as_slice(), flags, Mode::empty()))?;
            if last {
                return Ok(File::from(opened));
            }
            directory = opened;
            continue;
        }
        links += 1;
        if links > MAX_LINKS || !trusted(stat.st_uid) {
            return Err(Errno::LOOP);
        }
        if is_kernels(directory.as_fd()) && last {
            return retry_on_intr(|| openat(&directory, name.as_slice(), FILE, Mode::empty())).map(File::from);
        }
        let target = target_of(directory.as_fd(), &name, &trusted)?;
        if target.starts_with(b"/") {
            directory = root()?;
        }
        push(&mut ahead, &target);
    }
    Err(Errno::ISDIR)
}

/// Puts the components of `path` before those that are still to be passed.
fn push(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty() && *name != b".");
    ahead.extend(names.map(<[u8]>::to_vec));
}

/// Reads a link, and looks at its owner again through what was read.
fn target_of(directory: BorrowedFd<'_>, name: &[u8], trusted: &impl Fn(u32) -> bool) -> rustix::io::Result<Vec<u8>> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link: OwnedFd = retry_on_intr(|| openat(directory, name, flags, Mode::empty()))?;
        if !trusted(rustix::fs::fstat(&link)?.st_uid) {
            return Err(Errno::LOOP);
        }
        readlinkat(&link, "", Vec::new()).map(std::ffi::CString::into_bytes)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let target = readlinkat(directory, name, Vec::new())?.into_bytes();
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if trusted(stat.st_uid) { Ok(target) } else { Err(Errno::LOOP) }
    }
}

/// Whether nobody can put a link into this directory because it is the kernel's.
fn is_kernels(directory: BorrowedFd<'_>) -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::fstatfs(directory).is_ok_and(|system| system.f_type == rustix::fs::PROC_SUPER_MAGIC)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    fn text(file: rustix::io::Result<File>) -> Result<String, Errno> {
        let mut text = String::new();
        file?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn links_are_followed_for_whom_they_belong_to() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("d")).unwrap();
        std::fs::write(top.path().join("d/file"), "rules").unwrap();
        symlink("d/../d/file", top.path().join("last")).unwrap();
        symlink(top.path().join("d"), top.path().join("middle")).unwrap();
        symlink("round", top.path().join("round")).unwrap();
        for name in ["d/file", "./d//./file", "last", "middle/file"] {
            let path = top.path().join(name);
            assert_eq!(text(open_for(&path, |_| true)), Ok("rules".into()), "{name}");
            let mut said = String::new();
            open(&path).unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "rules", "{name}");
        }
        // The temporary directory itself may be reached through somebody's link: only what is below it is judged.
        let top = std::fs::canonicalize(top.path()).unwrap();
        assert_eq!(text(open_for(&top.join("d/file"), |_| false)), Ok("rules".into()));
        for name in ["last", "middle/file"] {
            assert_eq!(text(open_for(&top.join(name), |_| false)), Err(Errno::LOOP), "{name}");
        }
        assert_eq!(text(open_for(&top.join("round"), |_| true)), Err(Errno::LOOP));
        assert_eq!(text(open_for(&top.join("none"), |_| true)), Err(Errno::NOENT));
        assert_eq!(text(open_for(Path::new(""), |_| true)), Err(Errno::NOENT));
        assert_eq!(text(open_for(&top.join("d/file/x"), |_| true)), Err(Errno::NOTDIR));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_that_a_shell_has_made_can_be_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"- x\n").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(text(open_for(Path::new(&path), |_| true)), Ok("- x\n".into()));
    }
}
