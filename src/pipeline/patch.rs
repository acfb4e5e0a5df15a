//! `resilient patch`: the target again, of a basis and a delta.
//!
//! Invariant: a basis of another length is refused before anything is written; a result that is not what the delta was made of gets no
//! name and does not leave through a stream, unless it was asked to stream.

use super::files::{FileError, Input, Output, Source, Watch, watched};
use super::{Cancel, Error, Summary};
use crate::event::{Action, Event, EventPath, Observer};
use crate::fs::staged::reserve;
use crate::sync::apply::{Apply, ApplyError, Basis};
use crate::sync::format::frame::{Frame, Frames, Op};
use crate::sync::format::{self, DELTA_MAGIC, FormatError, recognized};
use crate::sync::librsync::{self, Magic};
use crate::unit::Size;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// What to patch, and where the result goes.
pub struct PatchOptions {
    /// What to call the basis.
    pub basis_name: String,
    /// The basis, which can be read at any place.
    pub basis: File,
    /// Its length.
    pub basis_len: u64,
    /// The same file, and how it was.
    pub source: Option<Source>,
    /// The delta.
    pub delta: Input,
    /// Where the result goes.
    pub target: Output,
    /// Where the result is kept until it is verified, if it goes to a stream, a pipe or a device.
    pub spool: Option<File>,
    /// A file that may be what would come out: then there is nothing to do.
    pub existing: Option<PathBuf>,
    /// Whether the delta has to be one of librsync, or must not be.
    pub librsync: Option<bool>,
    /// Bytes of the result at most.
    pub most: u64,
}

impl Basis for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

/// Either reader.
enum Reader<R: Read> {
    Own(Box<Frames<R>>),
    Librsync(librsync::frames::Frames<R>),
}

impl<R: Read> Reader<R> {
    fn next(&mut self) -> Result<Option<Frame>, FormatError> {
        match self {
            Reader::Own(frames) => frames.next_frame(),
            Reader::Librsync(frames) => frames.next_frame(),
        }
    }
}

/// Patches.
pub async fn patch(options: PatchOptions, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Error> {
    let told = Arc::clone(&observer);
    let name = options.target.name.clone();
    let (bytes, literal, identical) = watched(None, observer, cancel, move |watch| run(options, watch)).await?;
    if identical {
        let path = EventPath(name.into_bytes());
        told.event(&Event::File { path, action: Action::Identical, bytes });
    }
    told.event(&Event::Note { message: format!("{}, {} of it new", Size(bytes), Size(literal)) });
    let stats = vec![("bytes written", bytes), ("bytes copied", bytes - literal), ("bytes new", literal)];
    Ok(Summary { bytes_literal: literal, bytes_matched: bytes - literal, stats, ..Summary::NOTHING })
}

/// Bytes of the result, how many of them came in the delta, and whether the result was there already.
fn run(options: PatchOptions, mut watch: Watch) -> Result<(u64, u64, bool), FileError> {
    let PatchOptions {
        basis_name,
        basis,
        basis_len,
        source,
        delta: mut input,
        mut target,
        mut spool,
        existing,
        librsync,
        most,
    } = options;
    let head = input.head()?;
    let wanted = match librsync {
        None => "a delta",
        Some(true) => "a delta of librsync",
        Some(false) => "a delta of resilient",
    };
    let mut reader = match head.map(|head| (head, Magic::of(head))) {
        Some((DELTA_MAGIC, _)) if librsync != Some(true) => {
            let from = BufReader::new(std::mem::replace(&mut input.from, Box::new(io::empty())));
            Reader::Own(Box::new(Frames::new(from).map_err(|error| input.malformed(error))?))
        }
        Some((_, Some(Magic::Delta))) if librsync != Some(false) => {
            let from = BufReader::new(std::mem::replace(&mut input.from, Box::new(io::empty())));
            watch.warn("a delta of librsync: nothing in it tells whether the result is right");
            Reader::Librsync(librsync::frames::Frames::new(from, basis_len))
        }
        _ => return Err(input.malformed(FormatError::NotA { wanted, found: head.and_then(recognized) })),
    };
    if let Reader::Own(frames) = &reader
        && frames.basis().len != basis_len
    {
        return Err(FileError::WrongBasis { name: basis_name, len: basis_len, wanted: Some(frames.basis().len) });
    }
    let (described, source) = match &reader {
        Reader::Own(frames) => (Some(*frames.basis()), None),
        // Nothing else would tell.
        Reader::Librsync(_) => (None, source),
    };
    let mut literal = 0;
    let room = spool.as_ref().or(target.file()).and_then(|file| file.try_clone().ok());
    let to: &mut dyn Write = match &mut spool {
        Some(spool) => spool,
        None => target.writer(),
    };
    let mut apply = Apply::new(&basis, described.as_ref(), to, most);
    let result = (|| {
        while let Some(frame) = reader.next().map_err(ApplyError::Delta)? {
            let filled = frame.ops.iter().map(|op| if let Op::Fill { len, .. } = op { *len } else { 0 });
            literal += frame.literals.len() as u64 + filled.sum::<u64>();
            if let Some(file) = &room {
                reserve(file, apply.written(), frame.target).map_err(ApplyError::Target)?;
            }
            apply.frame(&frame)?;
            if watch.step(frame.target).is_err() {
                return Ok(None);
            }
        }
        apply.finish().map(|(bytes, _)| Some(bytes))
    })();
    let bytes = match result {
        Ok(Some(done)) => done,
        Ok(None) => return Err(FileError::Interrupted),
        Err(ApplyError::Delta(error)) => return Err(input.malformed(error)),
        Err(ApplyError::Basis(error)) => return Err(FileError::Read { name: basis_name, error }),
        Err(ApplyError::Target(error)) => return Err(target.error(error)),
        Err(ApplyError::Mismatch) => {
            return Err(match &reader {
                Reader::Own(frames) if is_basis(frames.basis(), basis) => FileError::Unlike { name: input.name },
                _ => FileError::WrongBasis { name: basis_name, len: basis_len, wanted: None },
            });
        }
        Err(error @ ApplyError::TooLong(_)) => {
            return Err(FileError::TooLong { name: input.name, cause: error.to_string() });
        }
    };
    source.map_or(Ok(()), |source| source.unchanged(basis_name))?;
    if let Some(mut spool) = spool {
        let moved = spool.seek(SeekFrom::Start(0)).and_then(|_| io::copy(&mut spool, target.writer()));
        moved.map_err(|error| target.error(error))?;
    }
    if let Some(there) = existing {
        return if target.is(&there).map_err(|error| target.error(error))? {
            Ok((bytes, literal, true))
        } else {
            Err(FileError::Exists { name: target.name })
        };
    }
    target.finish()?;
    Ok((bytes, literal, false))
}

/// Whether the file is the basis that was signed.
fn is_basis(basis: &format::signature::Basis, mut file: File) -> bool {
    file.seek(SeekFrom::Start(0)).is_ok() && basis.is(file).unwrap_or(false)
}
