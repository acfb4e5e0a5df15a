//! Files and streams that `sig`, `delta` and `patch` read and write: rdiff's words, `-` or nothing for stdin and stdout.
//!
//! Invariant: everything is opened, and what would overwrite refused, before the first byte is read; nothing is written over what is
//! read; bytes do not go to a terminal unless `-` asks for that.

use super::exit::Failure;
use super::output::escape;
use super::policy;
use crate::class::Class;
use crate::fs::staged::Staged;
use crate::location::Location;
use crate::pipeline::files::{Input, Outlet, Output, Source};
use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, fstat, seek};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

/// A word that stands for a file or a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// stdin or stdout; whether that was typed.
    Stream(bool),
    /// A file.
    File(PathBuf),
}

/// What `word` stands for.
pub(super) fn place(word: Option<&OsString>) -> Result<Place, Failure> {
    let Some(word) = word else { return Ok(Place::Stream(false)) };
    match Location::parse(word) {
        Location::Stdio => Ok(Place::Stream(true)),
        Location::Local(path) => Ok(Place::File(path)),
        Location::Refused { typed, hint } if typed.is_empty() => Err(Failure::usage("an empty name").hint(hint)),
        _ => Err(Failure::usage(format!("{}: not a file of this host", name(word))).hint(
            "start `resilient` over there and use pipes: ssh HOST resilient sig PATH | …; a file with a colon is ./a:b",
        )),
    }
}

impl Place {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Place::Stream(_))
    }
}

/// Something that was opened to be read.
pub(super) struct Reading {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) len: Option<u64>,
    pub(super) source: Option<Source>,
}

/// Opens what is read.
pub(super) fn read(place: &Place) -> Result<Reading, Failure> {
    let (name, file) = match place {
        Place::Stream(_) => {
            if is_closed(io::stdin().as_fd()) {
                return Err(Failure::new(Class::FileIo, "stdin: is closed"));
            }
            ("stdin".to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from))
        }
        Place::File(path) => (name(path.as_os_str()), File::open(path)),
    };
    let failed = |class, error: &io::Error| Failure::new(class, format!("{name}: {}", escape::cause(error)));
    let file = file.map_err(|error| failed(Class::Select, &error))?;
    let metadata = file.metadata().map_err(|error| failed(Class::FileIo, &error))?;
    if metadata.is_dir() {
        return Err(Failure::new(Class::Select, format!("{name}: is a directory")));
    }
    let len = left(&file, &metadata).map_err(|error| failed(Class::FileIo, &error.into()))?;
    let source = Source::of(&file, &metadata).map_err(|error| failed(Class::FileIo, &error))?;
    Ok(Reading { name, file, len, source })
}

/// Bytes that are still to be read of a file or a block device, which has an end: where it is stdin, maybe not all.
fn left(file: &File, metadata: &Metadata) -> rustix::io::Result<Option<u64>> {
    let is_device = metadata.file_type().is_block_device();
    if !metadata.is_file() && !is_device {
        return Ok(None);
    }
    let at = seek(file, SeekFrom::Current(0))?;
    let mut end = metadata.len();
    if is_device {
        // A device says its length in no other way. Only there: whoever shares a file with us would be moved for a moment.
        end = seek(file, SeekFrom::End(0))?;
        seek(file, SeekFrom::Start(at))?;
    }
    Ok(Some(end.saturating_sub(at)))
}

impl Reading {
    /// The same as what the library reads.
    pub(super) fn input(self) -> Input {
        Input { name: self.name, from: Box::new(self.file), len: self.len, source: self.source }
    }

    /// Its length, if it can be read at any place.
    pub(super) fn length(&self) -> Result<u64, Failure> {
        let length = seek(&self.file, SeekFrom::End(0));
        length.map_err(|_| basis_is_a_stream(&self.name))
    }

    fn is(&self, path: &std::path::Path) -> bool {
        let same = |there: Metadata, this: Metadata| {
            let is_device = there.file_type().is_block_device() && this.file_type().is_block_device();
            let is_one = (there.dev(), there.ino()) == (this.dev(), this.ino());
            there.is_file() && is_one || is_device && there.rdev() == this.rdev()
        };
        std::fs::metadata(path).and_then(|there| Ok(same(there, self.file.metadata()?))).unwrap_or(false)
    }
}

/// Opens a basis, which is read here and there.
pub(super) fn basis(place: &Place) -> Result<Reading, Failure> {
    match place {
        Place::Stream(_) => Err(basis_is_a_stream("stdin")),
        // To open a pipe is to wait for whoever writes.
        Place::File(path) if std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo()) => {
            Err(basis_is_a_stream(&name(path.as_os_str())))
        }
        Place::File(_) => read(place),
    }
}

/// Whether a stream was closed when we were started: the runtime of the language opens the null device for both directions then.
fn is_closed(stream: BorrowedFd<'_>) -> bool {
    let both = fcntl_getfl(stream).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
    let null = || Some((fstat(stream).ok()?.st_rdev, rustix::fs::stat("/dev/null").ok()?.st_rdev));
    both && null().is_some_and(|(this, null)| this != 0 && this == null)
}

/// The refusal of a basis that comes by a pipe.
fn basis_is_a_stream(name: &str) -> Failure {
    Failure::usage(format!(
        "{name}: the basis has to be a file, because it is read here and there and not from start to end"
    ))
}

/// Opens what is written; what is there is replaced if `force`, and is none of those that are read.
pub(super) fn write(place: &Place, force: bool, read: &[&Reading]) -> Result<Output, Failure> {
    let path = match place {
        Place::Stream(typed) => {
            let stdout = io::stdout();
            if is_closed(stdout.as_fd()) {
                return Err(Failure::new(Class::FileIo, "stdout: is closed"));
            }
            if !typed && stdout.is_terminal() {
                return Err(Failure::usage("stdout: is a terminal, and what would come is not for reading")
                    .hint("name a file or a pipe, or say - for the terminal"));
            }
            let file = stdout.as_fd().try_clone_to_owned().map(File::from);
            let file =
                file.map_err(|error| Failure::new(Class::FileIo, format!("stdout: {}", escape::cause(&error))))?;
            return Ok(Output { name: "stdout".into(), to: Outlet::Stream(Box::new(file)) });
        }
        Place::File(path) => path,
    };
    let name = name(path.as_os_str());
    if read.iter().any(|read| read.is(path)) {
        return Err(Failure::usage(format!("{name}: is read and would be written over")));
    }
    if std::fs::metadata(path).is_err() && path.symlink_metadata().is_ok() {
        return Err(Failure::new(Class::Select, format!("{name}: is a link to nothing")));
    }
    if !force && exists(path) {
        return Err(Failure::new(Class::Select, format!("{name}: exists")).hint("--force overwrites it"));
    }
    let staged = Staged::new(path, policy::umask());
    let staged = staged.map_err(|error| Failure::new(Class::Select, format!("{name}: {}", escape::cause(&error))))?;
    Ok(Output { name, to: Outlet::File(staged, force) })
}

/// Whether there is something that would be written over: a file, or a device that has one's place.
pub(super) fn exists(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.is_file() || there.file_type().is_block_device())
}

fn name(word: &OsStr) -> String {
    escape::name(word.as_bytes())
}
