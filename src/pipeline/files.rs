//! What `sig`, `delta` and `patch` read and write: a file or a stream each, and how they run beside a wish to stop.
//!
//! Invariant: a result has its name only when all of it is there and verified; whoever asks for the end gets it between two pieces.

use super::Cancel;
use super::progress::Meter;
use crate::class::Class;
use crate::event::{Event, Observer, Progress};
use crate::fs::staged::Staged;
use crate::network::seam::{self, Blocking};
use crate::sync::format::FormatError;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Why a file could not be read, made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Something could not be read.
    #[error("{name}: {error}")]
    Read {
        /// What.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// A result could not be written.
    #[error("{name}: {error}")]
    Write {
        /// Where to.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// Where a result should go stands something else.
    #[error("{name}: exists, and is not what would come out")]
    Exists {
        /// Where.
        name: String,
    },
    /// Something is no signature or delta that can be used.
    #[error("{name}: {error}")]
    Format {
        /// What.
        name: String,
        /// Why.
        error: FormatError,
    },
    /// A basis is not the one that a delta is for: by its length, or by what comes of it.
    #[error("{name}: the delta is for another basis{}", wanted.map(|wanted| format!(", of {wanted} bytes and not {len}")).unwrap_or_default())]
    WrongBasis {
        /// The basis.
        name: String,
        /// Its length.
        len: u64,
        /// The length that it should have, if that is another.
        wanted: Option<u64>,
    },
    /// A signature does not say what basis it is of.
    #[error("{name}: a signature of librsync makes deltas of librsync only")]
    NoBasis {
        /// The signature.
        name: String,
    },
    /// A delta does not make what it says, and the basis is the right one.
    #[error("{name}: it is damaged: what it makes is not what it was made of")]
    Unlike {
        /// The delta.
        name: String,
    },
    /// Something changed while it was read, so that what comes of it would fit neither what it was nor what it is.
    #[error("{name}: changed while it was read")]
    Changed {
        /// What.
        name: String,
    },
    /// Compression was asked for where there is none.
    #[error("{name}: a signature of librsync, and deltas of librsync are not compressed")]
    NotPacked {
        /// The signature.
        name: String,
    },
    /// A delta would make more than is allowed.
    #[error("{name}: {cause}")]
    TooLong {
        /// The delta.
        name: String,
        /// What is allowed.
        cause: String,
    },
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
}

impl FileError {
    /// The one thing that the exit code depends on.
    pub fn class(&self) -> Class {
        match self {
            FileError::Exists { .. } => Class::Select,
            FileError::Read { .. } | FileError::Write { .. } => Class::FileIo,
            FileError::Format { error: FormatError::Version { .. } | FormatError::LongBlocks(_), .. } => {
                Class::Unsupported
            }
            FileError::Format { .. } | FileError::Unlike { .. } => Class::Malformed,
            FileError::Changed { .. } => Class::Vanished,
            FileError::WrongBasis { .. } => Class::Integrity,
            FileError::NoBasis { .. } | FileError::NotPacked { .. } => Class::Usage,
            FileError::TooLong { .. } => Class::Refused,
            FileError::Interrupted => Class::Interrupted,
        }
    }

    /// What the user can do about it, in one line.
    pub fn hint(&self) -> Option<String> {
        match self {
            FileError::Exists { .. } => Some("--force overwrites it".into()),
            FileError::Unlike { .. } => Some(
                "if it arrived whole, sign the basis anew with --salt random: two of its blocks may look alike".into(),
            ),
            FileError::Changed { .. } => Some("try again, or read a copy or a snapshot that stays as it is".into()),
            FileError::TooLong { .. } => Some("--max-output SIZE allows more".into()),
            _ => None,
        }
    }
}

/// Bytes that are compared at once.
const PIECE: usize = 256 * 1024;

/// Something to read.
pub struct Input {
    /// What to call it.
    pub name: String,
    /// Its bytes.
    pub from: Box<dyn Read + Send>,
    /// How many there are, if that is known.
    pub len: Option<u64>,
    /// The file that they are of, if it is one, and how it was.
    pub source: Option<Source>,
}

/// A file that is read, and how long and of what time it was before.
pub struct Source {
    file: File,
    was: (u64, i64, i64),
}

impl Source {
    /// The same file as this one, if it is a regular one: the times of devices and pipes tell nothing.
    pub fn of(file: &File, metadata: &Metadata) -> io::Result<Option<Source>> {
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(Source { file: file.try_clone()?, was: Source::state(metadata) }))
    }

    fn state(metadata: &Metadata) -> (u64, i64, i64) {
        (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
    }

    /// An error if it is not as it was: then what was read was never there at one time.
    pub(super) fn unchanged(self, name: String) -> Result<(), FileError> {
        match self.file.metadata() {
            Ok(metadata) if Source::state(&metadata) == self.was => Ok(()),
            Ok(_) => Err(FileError::Changed { name }),
            Err(error) => Err(FileError::Read { name, error }),
        }
    }
}

impl Input {
    /// To be asked when all was read: see [`Source::unchanged`].
    pub(super) fn unchanged(self) -> Result<(), FileError> {
        self.source.map_or(Ok(()), |source| source.unchanged(self.name))
    }

    /// Fills `buffer` as far as there is something; with how many bytes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut there = 0;
        while there < buffer.len() {
            match self.read(&mut buffer[there..])? {
                0 => break,
                read => there += read,
            }
        }
        Ok(there)
    }

    /// Reads what is there, nothing only at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        loop {
            match self.from.read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// Its first four bytes, if it is that long.
    pub(super) fn head(&mut self) -> Result<Option<[u8; 4]>, FileError> {
        let mut head = [0; 4];
        Ok((self.fill(&mut head)? == head.len()).then_some(head))
    }

    pub(super) fn error(&self, error: io::Error) -> FileError {
        FileError::Read { name: self.name.clone(), error }
    }

    pub(super) fn malformed(&self, error: FormatError) -> FileError {
        match error {
            FormatError::Io(error) => self.error(error),
            error => FileError::Format { name: self.name.clone(), error },
        }
    }
}

/// Somewhere to write a result.
pub struct Output {
    /// What to call it.
    pub name: String,
    /// What it is.
    pub to: Outlet,
}

/// What a result is written to.
pub enum Outlet {
    /// A stream, as it comes.
    Stream(Box<dyn Write + Send>),
    /// A file that has its name at the end; whether in place of another.
    File(Staged, bool),
}

impl Output {
    /// Where to write.
    pub(super) fn writer(&mut self) -> &mut dyn Write {
        match &mut self.to {
            Outlet::Stream(stream) => stream,
            Outlet::File(staged, _) => staged.file(),
        }
    }

    /// The same as a file, if it is one.
    pub(super) fn file(&mut self) -> Option<&File> {
        match &mut self.to {
            Outlet::Stream(_) => None,
            Outlet::File(staged, _) => Some(staged.file()),
        }
    }

    /// Whether the file `path` has the same bytes as the result, which is a file.
    pub(super) fn is(&mut self, path: &Path) -> io::Result<bool> {
        let Outlet::File(staged, _) = &mut self.to else { return Ok(false) };
        let (result, mut there) = (staged.file(), File::open(path)?);
        if result.metadata()?.len() != there.metadata()?.len() {
            return Ok(false);
        }
        result.seek(SeekFrom::Start(0))?;
        let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let read = result.read(&mut one)?;
            if read == 0 {
                return Ok(true);
            }
            match there.read_exact(&mut other[..read]) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            if one[..read] != other[..read] {
                return Ok(false);
            }
        }
    }

    /// The result is complete.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let done = match self.to {
            Outlet::Stream(mut stream) => stream.flush(),
            Outlet::File(staged, true) => staged.replace(),
            Outlet::File(staged, false) => staged.create(),
        };
        done.map_err(|error| match error.kind() {
            // Somebody else has made it meanwhile.
            io::ErrorKind::AlreadyExists => FileError::Exists { name: self.name },
            _ => FileError::Write { name: self.name, error },
        })
    }

    pub(super) fn error(&self, error: io::Error) -> FileError {
        FileError::Write { name: self.name.clone(), error }
    }
}

/// Watches over work that goes through a file once: tells how far it is, and whether to stop.
pub(super) struct Watch {
    observer: Arc<dyn Observer>,
    stop: Arc<AtomicBool>,
    meter: Meter,
    done: u64,
    total: u64,
}

impl Watch {
    /// Says that `bytes` more are done of `self.total`.
    pub(super) fn step(&mut self, bytes: u64) -> Result<(), FileError> {
        if self.stop.load(Relaxed) {
            return Err(FileError::Interrupted);
        }
        self.done += bytes;
        let progress =
            Progress { bytes_done: self.done, bytes_total: self.total.max(self.done), ..Progress::default() };
        if let Some(progress) = self.meter.tick(seam::now(), progress) {
            self.observer.event(&Event::Progress(progress));
        }
        Ok(())
    }

    /// Says what the user should know.
    pub(super) fn warn(&self, message: &str) {
        self.observer.event(&Event::Warning { message: message.to_owned() });
    }
}

/// Does `work` on another thread until it ends, telling how far it is of `total` bytes; or asks it to stop when `cancel` says so.
pub(super) async fn watched<T: Send + 'static>(
    total: Option<u64>,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
    work: impl FnOnce(Watch) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let stop = Arc::new(AtomicBool::new(false));
    let meter = Meter::new(seam::now());
    let watch = Watch { observer, stop: Arc::clone(&stop), meter, done: 0, total: total.unwrap_or(0) };
    let work = Blocking::Pool.run(move || work(watch));
    tokio::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = cancel.cancelled() => stop.store(true, Relaxed),
    }
    work.await
}
