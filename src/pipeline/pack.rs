//! Chunks at the sender: files read, hashed, packed and compressed, ready to be cut into stripes. Runs on a blocking thread.
//!
//! Invariant: a file that is smaller than a chunk travels whole in one extent, next to its neighbours in the manifest; a larger one in
//! chunks of exactly [`CHUNK_BYTES`] but the last. A file that changes while it is read is never sent as if it had not.

use super::press::Press;
use crate::chunk::compression::{Codec, Compressed};
use crate::fs::source::{SourceError, SourceFile};
use crate::integrity::{self, Digest, TreeHasher, chunk_value};
use crate::manifest::{EntryId, FileTime, TreePath};
use crate::priority::Priority;
use crate::range_set::RangeSet;
use crate::transfer::fragment;
use crate::wire::chunk::{CHUNK_BYTES, Extent, LEAD, MAX_EXTENTS, encode_data, encode_data_in_place, encode_rest};
use crate::wire::reply::Outline;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Buffers of chunks that are kept to be used again: what is under way on a short path.
const SPENT: usize = 32;

/// A file of the manifest that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: EntryId,
    pub(super) origin: Origin,
    pub(super) path: TreePath,
    pub(super) size: u64,
    pub(super) mtime: FileTime,
    pub(super) class: Priority,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// In this file.
    Path(PathBuf),
    /// Here; no more than one chunk.
    Memory(Bytes),
}

/// An encoded chunk.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) encoded: Bytes,
    /// File bytes in it, before compression.
    pub(super) file_bytes: u64,
}

/// Extents gathered for one chunk.
#[derive(Debug, Default)]
pub(super) struct Pack {
    extents: Vec<Extent>,
    body: Vec<u8>,
}

impl Pack {
    /// A chunk of one extent.
    pub(super) fn of(extent: Extent, body: Vec<u8>) -> Self {
        Self { extents: vec![extent], body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Whether a file of `size` bytes still goes in.
    pub(super) fn has_room(&self, size: u64) -> bool {
        self.extents.len() < MAX_EXTENTS && self.body.len() as u64 + size <= CHUNK_BYTES as u64
    }

    /// Reads the whole of a small file into the pack.
    pub(super) fn add(&mut self, file: &Planned) -> Result<(), SourceError> {
        let start = self.body.len();
        match &file.origin {
            Origin::Memory(bytes) => self.body.extend_from_slice(bytes),
            Origin::Path(path) => {
                let source = SourceFile::open(path, file.size, file.mtime)?;
                self.body.resize(start + file.size as usize, 0);
                let read = source.read_exact_at(0, &mut self.body[start..]).and_then(|()| check_unchanged(&source));
                if let Err(error) = read {
                    self.body.truncate(start);
                    return Err(error);
                }
            }
        }
        let value = chunk_value(0, file.size, &self.body[start..]);
        self.extents.push(Extent { entry: file.id, offset: 0, length: file.size as u32, value });
        Ok(())
    }

    /// Compresses and encodes what was gathered.
    pub(super) fn encode(self, press: &Press) -> Packed {
        let body = Bytes::from(self.body);
        let compressed = press.pack(&body);
        Packed {
            encoded: encode_data(compressed.codec.number(), &self.extents, &compressed.bytes),
            file_bytes: body.len() as u64,
        }
    }
}

/// Compresses and encodes a chunk of one extent, whose body stands in `buffer` behind [`LEAD`] bytes. Gives the buffer, too.
fn encode_one(extent: &Extent, buffer: BytesMut, press: &Press) -> (Packed, Bytes) {
    let buffer = buffer.freeze();
    let Compressed { codec, bytes } = press.pack(&buffer.slice(LEAD..));
    let file_bytes = u64::from(extent.length);
    if codec != Codec::None {
        let encoded = encode_data(codec.number(), std::slice::from_ref(extent), &bytes);
        return (Packed { encoded, file_bytes }, buffer);
    }
    // What was not packed is another handle on the buffer.
    drop(bytes);
    let mut buffer = buffer.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let start = encode_data_in_place(codec.number(), extent, &mut buffer);
    let buffer = buffer.freeze();
    (Packed { encoded: buffer.slice(start..), file_bytes }, buffer)
}

fn check_unchanged(source: &SourceFile) -> Result<(), SourceError> {
    if source.unchanged() { Ok(()) } else { Err(SourceError::Changed) }
}

/// A large file on its way, chunk by chunk.
pub(super) struct Large {
    pub(super) file: Planned,
    source: SourceFile,
    tree: TreeHasher,
    next: u64,
    /// Buffers that were handed over, to be used again: fresh memory of this size comes zeroed and page by page from the system.
    spent: VecDeque<Bytes>,
}

/// What the next step of a large file gave.
pub(super) enum Step {
    /// A chunk to send.
    Chunk(Packed),
    /// A chunk that the receiver has; its bytes.
    Known(u64),
    /// All chunks are done; the digest of the file.
    Sealed(Digest),
}

impl Large {
    pub(super) fn open(file: Planned) -> Result<Self, (Planned, SourceError)> {
        let opened = match &file.origin {
            Origin::Path(path) => SourceFile::open(path, file.size, file.mtime),
            Origin::Memory(_) => Err(SourceError::Changed),
        };
        match opened {
            Ok(source) => {
                let tree =
                    TreeHasher::new(CHUNK_BYTES as u64, file.size).expect("the chunk size is a power of two of KiB");
                Ok(Self { tree, source, next: 0, file, spent: VecDeque::new() })
            }
            Err(error) => Err((file, error)),
        }
    }

    /// Number of the chunk that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> u64 {
        self.file.size.saturating_sub(self.next * CHUNK_BYTES as u64)
    }

    /// The next chunk. Chunks in `have` are read and hashed, because the digest of the whole is needed, and not sent.
    /// Of one that is there as in `outline` only what is missing is.
    pub(super) fn step(
        &mut self,
        have: &RangeSet,
        outline: Option<&Outline>,
        press: &Press,
    ) -> Result<Step, SourceError> {
        let offset = self.next * CHUNK_BYTES as u64;
        if offset >= self.file.size {
            check_unchanged(&self.source)?;
            let digest = self.tree.finish().expect("every chunk was inserted");
            return Ok(Step::Sealed(digest));
        }
        let length = (self.file.size - offset).min(CHUNK_BYTES as u64) as usize;
        // The chunk is read to where it is sent from.
        let mut buffer = self.buffer(LEAD + length);
        self.source.read_exact_at(offset, &mut buffer[LEAD..])?;
        let value = chunk_value(offset, self.file.size, &buffer[LEAD..]);
        self.tree.insert(offset, &value).expect("chunks are read in order, each once");
        let known = have.contains(self.next);
        self.next += 1;
        if known {
            return Ok(Step::Known(length as u64));
        }
        let extent = Extent { entry: self.file.id, offset, length: length as u32, value };
        let (mut packed, buffer) = encode_one(&extent, buffer, press);
        if let Some(missing) = outline.and_then(|outline| fragment::rest(&packed.encoded, outline)) {
            packed.encoded = encode_rest(extent.entry, offset, &missing);
        }
        if self.spent.len() < SPENT {
            self.spent.push_back(buffer);
        }
        Ok(Step::Chunk(packed))
    }

    /// A buffer of `length` bytes: the oldest that was handed over, if nobody holds a part of it any more.
    fn buffer(&mut self, length: usize) -> BytesMut {
        match self.spent.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(mut buffer)) if buffer.len() >= length => {
                buffer.truncate(length);
                return buffer;
            }
            Some(Err(held)) => self.spent.push_front(held),
            Some(Ok(_)) | None => {}
        }
        BytesMut::zeroed(length)
    }
}

/// The digest of a file, to be compared with what stands at the receiver; none if `is_over` says that nobody waits for it any more.
pub(super) fn digest_of(file: &Planned, is_over: &dyn Fn() -> bool) -> Result<Option<Digest>, SourceError> {
    let path = match &file.origin {
        Origin::Path(path) => path,
        Origin::Memory(bytes) => return Ok(Some(integrity::digest(bytes))),
    };
    let source = SourceFile::open(path, file.size, file.mtime)?;
    let (mut offset, mut over) = (0, false);
    let digest = integrity::digest_of(|buffer| {
        over = is_over();
        let length = if over { 0 } else { (file.size - offset).min(buffer.len() as u64) as usize };
        source.read_exact_at(offset, &mut buffer[..length])?;
        offset += length as u64;
        Ok::<_, SourceError>(length)
    })?;
    if over {
        return Ok(None);
    }
    check_unchanged(&source)?;
    Ok(Some(digest))
}
