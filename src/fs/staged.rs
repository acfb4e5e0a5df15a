//! A file that takes its name when it is complete.
//!
//! Invariant: under the name stands what stood there before, or all of the new file; a run that is killed leaves nothing behind where the
//! file system has files without names (Linux: `O_TMPFILE`), elsewhere a file beside it whose name begins with `.resilient-`. What exists is replaced only by
//! [`Staged::replace`], and a link to a file stays one; a device or a pipe that exists is written to as it is.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Tries of names that others might have.
const TRIES: u32 = 16;
/// Where open files have names.
const HELD: &str = "/proc/self/fd";
/// What the name of a file begins with that is to have another. The other may be as long as names can be.
const PREFIX: &str = ".resilient-";

/// A file to be. Dropped, it never was.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    mode: u32,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Has no name yet.
    Nameless(File),
    /// Has another name.
    Named(NamedTempFile),
    /// Exists, and is no regular file: a device, a pipe.
    Special(File),
}

impl Staged {
    /// One that will be `path`, with the mode that `umask` leaves of a new file's.
    pub fn new(path: &Path, umask: u32) -> io::Result<Staged> {
        Staged::of_kind(path, umask, true)
    }

    /// The same; without a name only if `nameless`.
    fn of_kind(path: &Path, umask: u32, nameless: bool) -> io::Result<Staged> {
        let mode = 0o666 & !umask;
        let mut path = path.to_owned();
        match std::fs::metadata(&path) {
            Ok(there) if there.is_dir() => return Err(Errno::ISDIR.into()),
            Ok(there) if !there.is_file() => {
                let file = File::options().write(true).open(&path)?;
                return Ok(Staged { path, mode, form: Form::Special(file) });
            }
            Ok(_) => path = std::fs::canonicalize(&path)?,
            Err(_) => {}
        }
        if path.file_name().is_none() {
            return Err(Errno::INVAL.into());
        }
        let folder = folder_of(&path);
        // A nameless file gets its name through /proc.
        let nameless = nameless && Path::new(HELD).is_dir();
        let without_name = || {
            if !nameless {
                return Err(Errno::OPNOTSUPP);
            }
            openat(CWD, folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
        };
        let form = match without_name() {
            Ok(file) => Form::Nameless(File::from(file)),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) if folder.is_dir() => {
                Form::Named(tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder)?)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Staged { path, mode, form })
    }

    /// Whether it is no file that takes a name: what is written to it is out.
    pub fn is_special(&self) -> bool {
        matches!(self.form, Form::Special(_))
    }

    /// Where to write.
    pub fn file(&mut self) -> &mut File {
        match &mut self.form {
            Form::Nameless(file) | Form::Special(file) => file,
            Form::Named(file) => file.as_file_mut(),
        }
    }

    /// Gives it its name, unless something has that: then it never was, and the error is [`io::ErrorKind::AlreadyExists`].
    pub fn create(self) -> io::Result<()> {
        self.finish(false)
    }

    /// Gives it its name, in place of what has it. A file keeps the mode that it had, and the owner if we may give files away.
    pub fn replace(mut self) -> io::Result<()> {
        if let Some(there) = std::fs::metadata(&self.path).ok().filter(std::fs::Metadata::is_file) {
            self.mode = there.permissions().mode() & 0o777;
            let _ = std::os::unix::fs::fchown(self.file(), Some(there.uid()), Some(there.gid()));
        }
        self.finish(true)
    }

    fn finish(mut self, replace: bool) -> io::Result<()> {
        let mode = self.mode;
        let file = self.file();
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        if kind.is_file() || kind.is_block_device() {
            file.sync_all()?;
        }
        let path = &self.path;
        match self.form {
            Form::Special(_) => return Ok(()),
            Form::Named(file) => {
                let named = if replace { file.persist(path) } else { file.persist_noclobber(path) };
                named.map_err(|error| error.error)?;
            }
            Form::Nameless(file) => {
                let held = format!("{HELD}/{}", file.as_raw_fd());
                let give = |name: &Path| linkat(CWD, held.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW);
                match give(path) {
                    Err(Errno::EXIST) if replace => beside(path, give)?,
                    given => given?,
                }
            }
        }
        // The name is to last as well as what is behind it.
        let folder = folder_of(path);
        File::open(folder).and_then(|folder| folder.sync_all()).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Ok(()),
            _ => Err(error),
        })
    }
}

/// Lets `give` give a name beside `path`, which then becomes `path`.
fn beside(path: &Path, give: impl Fn(&Path) -> rustix::io::Result<()>) -> io::Result<()> {
    for number in 0..TRIES {
        let other = path.with_file_name(format!("{PREFIX}{}-{number}", std::process::id()));
        match give(&other) {
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                return renameat(CWD, &other, CWD, path).map_err(|error| {
                    let _ = unlinkat(CWD, &other, AtFlags::empty());
                    error.into()
                });
            }
        }
    }
    Err(Errno::EXIST.into())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Sets room aside for `len` bytes of `file` from `from` on, where the file system can: so that too little is noticed before anything is
/// written, and writing costs less. The file grows only when it is written.
pub fn reserve(file: &File, from: u64, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if len > 0 {
        use rustix::fs::{FallocateFlags, fallocate};
        return match fallocate(file, FallocateFlags::KEEP_SIZE, from, len) {
            Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) => Err(error.into()),
            _ => Ok(()),
        };
    }
    let _ = (file, from, len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::io::Write as _;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn staged_as(path: &Path, text: &str, nameless: bool) -> Staged {
        let mut staged = Staged::of_kind(path, 0o027, nameless).unwrap();
        staged.file().write_all(text.as_bytes()).unwrap();
        staged
    }

    fn staged(path: &Path, text: &str) -> Staged {
        staged_as(path, text, true)
    }

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        for nameless in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let staged = |path: &Path, text: &str| staged_as(path, text, nameless);
            let path = folder.path().join("new");
            drop(staged(&path, "dropped"));
            assert!(names(folder.path()).is_empty());
            staged(&path, "one").create().unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            assert_eq!(staged(&path, "two").create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            staged(&path, "three").replace().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            staged(&folder.path().join("other"), "").replace().unwrap();
            assert_eq!(names(folder.path()), ["new", "other"]);
        }
    }

    #[test]
    fn a_link_stays_one_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        staged(&link, "new").replace().unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("file"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        staged(Path::new("/dev/null"), "gone").create().unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(Staged::new(folder.path(), 0).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(Staged::new(&folder.path().join("none/file"), 0).is_err());
        let mut file = staged(&folder.path().join("large"), "abc");
        assert!(reserve(file.file(), 0, 100).is_ok() && file.file().metadata().unwrap().len() == 3);
        #[cfg(target_os = "linux")]
        assert!(reserve(file.file(), 0, 1 << 62).is_err());
    }
}
