//! A source that can be read only once: `send -`.
//!
//! What ends within one chunk is announced as a file of that size and is like any other. What is longer is announced as a stream
//! ([`Kind::Stream`]) and sent as it is read; size and digest come at its end. Invariant: nothing is read before the receiver has let us
//! in, and nothing of a stream is sent before the receiver has said that it wants it: it cannot be read a second time.

use super::{Announced, Ingest, Offer};
use crate::class::Class;
use crate::fs::source::SourceError;
use crate::integrity::{OPEN_ENDED, TreeHasher, chunk_value};
use crate::manifest::{Entry, EntryId, Kind, Meta, Name, TreePath};
use crate::pipeline::pack::{Origin, Pack, Planned};
use crate::priority::Priority;
use crate::wire::chunk::{CHUNK_BYTES, Extent};
use crate::wire::control::Control;
use bytes::Bytes;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time that a reader may take before the network side is told that nothing comes for now.
const PROMPT: Duration = Duration::from_millis(20);
/// The stream is the only entry of its manifest.
const ID: EntryId = EntryId(0);

/// A source that is read once, and what it is called at the receiver.
#[derive(Clone)]
pub struct Pipe {
    /// Its name there.
    pub name: Name,
    /// Its mode and time there.
    pub meta: Meta,
    reader: Arc<Mutex<dyn Read + Send>>,
    begun: Arc<AtomicBool>,
}

impl Pipe {
    /// What comes from `reader`.
    pub fn new(name: Name, meta: Meta, reader: impl Read + Send + 'static) -> Pipe {
        Pipe { name, meta, reader: Arc::new(Mutex::new(reader)), begun: Arc::default() }
    }

    /// Whether something may have been read: then it cannot be sent again from its beginning.
    pub(in crate::pipeline) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How far a pipe is.
pub(super) enum Reading {
    /// Nothing was read.
    Fresh(Pipe),
    /// It is longer than a chunk; the next chunk is here.
    Flowing(Box<Flow>),
}

/// A stream under way.
pub(super) struct Flow {
    pipe: Pipe,
    path: TreePath,
    tree: TreeHasher,
    offset: u64,
    next: Vec<u8>,
}

impl Ingest {
    /// Does the next piece of work on the pipe; false if there is none before the receiver answers.
    pub(super) async fn advance_pipe(&mut self) -> bool {
        if let Some(hello) = self.hello.take() {
            self.say(&Control::Hello(hello)).await;
            self.flush_control().await;
        }
        match self.pipe.take() {
            None => false,
            Some(reading) if !self.accepted => {
                self.pipe = Some(reading);
                false
            }
            Some(Reading::Fresh(pipe)) => {
                self.begin_pipe(pipe).await;
                true
            }
            Some(Reading::Flowing(flow)) if !self.waiting.contains_key(&ID) => {
                // Refused there, and said so. What is left is not read: whoever writes it hears of a broken pipe.
                drop(flow);
                true
            }
            Some(Reading::Flowing(flow)) if !self.status.contains_key(&ID) => {
                self.pipe = Some(Reading::Flowing(flow));
                false
            }
            Some(Reading::Flowing(flow)) => {
                self.advance_stream(*flow).await;
                true
            }
        }
    }

    /// Reads the first chunk and announces what it is the beginning of.
    async fn begin_pipe(&mut self, pipe: Pipe) {
        if pipe.begun.swap(true, Ordering::Relaxed) {
            // What is left would look like a whole file.
            self.skipped += 1;
            let cause = "the connection was cut; what comes from a pipe cannot be sent again";
            self.report_failed(pipe.name.as_bytes().to_vec(), Class::Network, cause.to_owned());
            return self.finish_pipe(None).await;
        }
        let read = match self.read_pipe(&pipe).await {
            Ok(first) if first.len() == CHUNK_BYTES => self.read_pipe(&pipe).await.map(|next| (first, next)),
            first => first.map(|first| (first, Vec::new())),
        };
        let (first, next) = match read {
            Ok(read) => read,
            Err(error) => {
                self.skipped += 1;
                self.report_failed(pipe.name.as_bytes().to_vec(), error.class(), error.to_string());
                return self.finish_pipe(None).await;
            }
        };
        let path = TreePath::ROOT.join(pipe.name.clone()).expect("one name is never too long a path");
        let size = first.len() as u64;
        let kind = if next.is_empty() { Kind::File { size } } else { Kind::Stream };
        let entry = Entry { parent: None, name: pipe.name.clone(), kind, meta: pipe.meta };
        self.waiting.insert(ID, Announced { path: path.clone(), size, is_file: true, is_directory: false });
        self.files_waiting += 1;
        self.announced = 1;
        if next.is_empty() {
            if size > 0 {
                let origin = Origin::Memory(Bytes::from(first));
                let class = Priority::Normal;
                self.queue.push(Planned { id: ID, origin, path, size, mtime: pipe.meta.mtime, class });
            }
        } else {
            let mut tree = TreeHasher::open_ended(CHUNK_BYTES as u64).expect("the chunk size is a power of two of KiB");
            let packed = stream_chunk(&mut tree, 0, first, false);
            let flow = Flow { pipe, path, tree, offset: size, next };
            self.pipe = Some(Reading::Flowing(Box::new(flow)));
            self.held_back = Some(packed);
        }
        self.finish_pipe(Some(entry)).await;
    }

    async fn finish_pipe(&mut self, entry: Option<Entry>) {
        let entries = u32::from(entry.is_some());
        if let Some(entry) = entry {
            self.say(&Control::Entries { first: ID, entries: vec![entry] }).await;
        }
        self.finished = true;
        self.say(&Control::Finish { entries, skipped: self.skipped }).await;
        self.flush_control().await;
    }

    /// Sends the chunk that is here and reads the one after it.
    async fn advance_stream(&mut self, mut flow: Flow) {
        if let Some(first) = self.held_back.take() {
            self.offer_pack(first).await;
        }
        let after = match self.read_pipe(&flow.pipe).await {
            Ok(after) => after,
            Err(error) => {
                let failed = Planned {
                    id: ID,
                    origin: Origin::Memory(Bytes::new()),
                    path: flow.path,
                    size: flow.offset,
                    mtime: flow.pipe.meta.mtime,
                    class: Priority::Normal,
                };
                self.cannot_send(&failed, &error).await;
                return self.flush_control().await;
            }
        };
        let (offset, bytes) = (flow.offset, std::mem::replace(&mut flow.next, after));
        flow.offset += bytes.len() as u64;
        let is_last = flow.next.is_empty();
        let pack = stream_chunk(&mut flow.tree, offset, bytes, is_last);
        self.offer_pack(pack).await;
        if !is_last {
            self.pipe = Some(Reading::Flowing(Box::new(flow)));
            return;
        }
        flow.tree.close(flow.offset).expect("no chunk lies beyond the end");
        let digest = flow.tree.finish().expect("every chunk was inserted");
        self.status.remove(&ID);
        self.say(&Control::Sealed { entry: ID, size: flow.offset, digest }).await;
        self.flush_control().await;
    }

    async fn offer_pack(&mut self, pack: Pack) {
        let press = self.press.clone();
        let packed = self.blocking.run(move || pack.encode(&press)).await;
        self.offer(packed).await;
    }

    /// Reads one chunk; a shorter one is the last.
    async fn read_pipe(&mut self, pipe: &Pipe) -> Result<Vec<u8>, SourceError> {
        let reader = pipe.reader.clone();
        let mut read = Box::pin(
            self.blocking.run(move || read_chunk(&mut *reader.lock().unwrap_or_else(PoisonError::into_inner))),
        );
        if let Ok(read) = tokio::time::timeout(PROMPT, &mut read).await {
            return read.map_err(SourceError::Unreadable);
        }
        // Meanwhile what was sent is secured, as at the end.
        let _ = self.offers.send(Offer::Idle).await;
        let read = tokio::select! {
            biased;
            () = self.offers.closed() => Err(SourceError::Unreadable(ErrorKind::BrokenPipe.into())),
            read = read => read.map_err(SourceError::Unreadable),
        };
        self.resume();
        read
    }
}

fn stream_chunk(tree: &mut TreeHasher, offset: u64, bytes: Vec<u8>, is_last: bool) -> Pack {
    let end = offset + bytes.len() as u64;
    // Short or not, the last chunk of several is no root.
    let total = if is_last && bytes.len() < CHUNK_BYTES { end } else { OPEN_ENDED };
    let value = chunk_value(offset, total, &bytes);
    tree.insert(offset, &value).expect("chunks are read in order, each once");
    Pack::of(Extent { entry: ID, offset, length: bytes.len() as u32, value }, bytes)
}

fn read_chunk(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK_BYTES);
    reader.take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
