//! Peers made by hand that speak the wire format through quinn and need not keep to it, for both directions.
//!
//! A [`Peer`] is a sender to a real `recv`, a [`Liar`](super::liar::Liar) a receiver for a real `send`. Neither repairs what a network
//! loses: they are for links that lose nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

pub(crate) use super::liar::*;
use crate::memdisk::MemDisk;
use crate::sim::Net;
use bytes::Bytes;
use quinn::{Connection, Endpoint};
use resilient::chunk::compression::Choice;
use resilient::event::{Event, Observer};
use resilient::fs::disk::Disk;
use resilient::integrity::{ChunkValue, chunk_value};
use resilient::manifest::{Entry, EntryId, FileTime, Kind, Meta, Name, TreePath};
use resilient::network::identity::Identity;
use resilient::network::seam::Blocking;
use resilient::pipeline::{
    Cancel, Env, Error, Family, Listen, Policy, Ports, RecvOptions, RetryFor, SendOptions, Stop, Summary, recv, send,
};
use resilient::priority::Priority;
use resilient::ticket::Ticket;
use resilient::wire::chunk::{Extent, encode_control, encode_data};
use resilient::wire::codec;
use resilient::wire::control::{Control, Hello, SessionId};
use resilient::wire::datagram::{Datagram, Feedback, MAX_DATA_SHARDS, SHARD_BYTES, encode_shard};
use resilient::wire::reply::{Reply, ReplyReader};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
pub(crate) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 66));
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// The secret of every ticket here.
pub(crate) const SECRET: [u8; 16] = [7; 16];

/// Waits in virtual time.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Keeps what an observer saw and hands the ticket on.
pub(crate) struct Seen {
    events: Mutex<Vec<Event>>,
    ticket: watch::Sender<Option<String>>,
}

impl Seen {
    pub(crate) fn new() -> Arc<Seen> {
        Arc::new(Seen { events: Mutex::default(), ticket: watch::Sender::new(None) })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The ticket, when there is one.
    pub(crate) async fn ticket(&self) -> Ticket {
        let uri = self.ticket.subscribe().wait_for(Option::is_some).await.unwrap().clone();
        uri.unwrap().parse().unwrap()
    }

    /// Paths and codes of the files that failed.
    pub(crate) fn failed(&self) -> Vec<(String, u8, String)> {
        let failed = |event: &Event| match event {
            Event::FileFailed { path, code, message } => {
                Some((String::from_utf8_lossy(&path.0).into_owned(), *code, message.clone()))
            }
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(failed).collect()
    }
}

impl Observer for Seen {
    fn event(&self, event: &Event) {
        if let Event::Ticket { uri } = event {
            self.ticket.send_replace(Some(uri.clone()));
        }
        self.events.lock().unwrap().push(event.clone());
    }
}

/// Different for every endpoint: two with one seed choose the same connection IDs.
pub(super) fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn env(net: &Net, host: IpAddr, disk: Arc<dyn Disk>) -> Env {
    Env {
        authority: None,
        identity: Arc::new(Identity::generate().unwrap()),
        sockets: net.host(host),
        open_disk: Arc::new(move |_| Ok(disk.clone())),
        authorized: Arc::new(|_| Ok(None)),
        sessions: None,
        blocking: Blocking::Inline,
        random: Arc::new(|bytes| bytes.copy_from_slice(&SECRET)),
        link: None,
        seed: Some(fresh()),
    }
}

/// A `recv` that runs.
pub(crate) struct Waiting {
    pub(crate) seen: Arc<Seen>,
    pub(crate) task: JoinHandle<Result<Summary, Error>>,
    pub(crate) cancel: watch::Sender<bool>,
    pub(crate) ticket: Ticket,
}

pub(crate) async fn waiting_for(net: &Net, disk: Arc<dyn Disk>, ticket_life: Duration, retry: Duration) -> Waiting {
    waiting_under(net, disk, ticket_life, retry, Policy::default()).await
}

pub(crate) async fn waiting_under(
    net: &Net,
    disk: Arc<dyn Disk>,
    ticket_life: Duration,
    retry: Duration,
    policy: Policy,
) -> Waiting {
    let (cancel, cancelled) = Cancel::channel();
    let seen = Seen::new();
    let (env, observer) = (env(net, RECEIVER, disk), seen.clone());
    let options = RecvOptions {
        listen: Listen { address: Some(RECEIVER), ..Listen::default() },
        ticket_life,
        retry_for: RetryFor::Span(retry),
        policy,
        ..RecvOptions::into_dir(".")
    };
    let task = tokio::spawn(async move { recv(&env, options, observer, cancelled).await });
    let ticket = seen.ticket().await;
    Waiting { seen, task, cancel, ticket }
}

pub(crate) async fn waiting(net: &Net, disk: &MemDisk) -> Waiting {
    waiting_for(net, Arc::new(disk.clone()), HOUR, HOUR).await
}

impl Waiting {
    /// How it ended, if it does within that time.
    pub(crate) async fn ends(&mut self, within: Duration) -> Option<Result<Summary, Error>> {
        tokio::time::timeout(within, &mut self.task).await.ok().map(|ended| ended.unwrap())
    }
}

pub(crate) fn send_options(source: &Path, ticket: &Ticket) -> SendOptions {
    SendOptions {
        compress: Choice::default(),
        limit: None,
        chunk_rate: None,
        parity: resilient::transfer::Parity::Auto,
        classes: resilient::filter::Classes::default(),
        lock_wait: Duration::ZERO,
        timeout: Duration::from_secs(60),
        sources: vec![source.join("")],
        pipe: None,
        stop: Stop::default(),
        selection: resilient::fs::source::Selection::default(),
        peer: ticket.clone().into(),
        ports: Ports::default(),
        family: Family::Any,
        contimeout: Duration::from_secs(60),
        retry_for: RetryFor::Span(HOUR),
    }
}

/// A real `send` of the contents of `source`.
pub(crate) async fn honest(env: &Env, source: &Path, ticket: &Ticket, seen: &Arc<Seen>) -> Result<Summary, Error> {
    let (_keep, cancel) = Cancel::channel();
    send(env, send_options(source, ticket), seen.clone(), cancel).await
}

/// A sender made by hand.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
    pub(crate) seq: u32,
    pub(crate) stripe: u32,
    pub(crate) order: u32,
    replies: mpsc::UnboundedReceiver<Reply>,
    pub(crate) feedback: watch::Receiver<Feedback>,
}

impl Peer {
    pub(crate) async fn connect(net: &Net, host: IpAddr, identity: &Identity, ticket: &Ticket) -> Peer {
        Peer::connect_with(net, host, identity, ticket, 1).await.unwrap()
    }

    /// `streams`: how many the receiver may open.
    pub(crate) async fn connect_with(
        net: &Net,
        host: IpAddr,
        identity: &Identity,
        ticket: &Ticket,
        streams: u32,
    ) -> Result<Peer, quinn::ConnectionError> {
        let socket = net.host(host).bind(SocketAddr::new(host, 0)).unwrap();
        Ok(Peer::on(Wire::dial(socket, identity, ticket, streams).await?))
    }

    /// The same on a connection that is there, whoever has made it.
    pub(crate) fn on(Wire { connection, endpoint }: Wire) -> Peer {
        let (give, replies) = mpsc::unbounded_channel();
        let (tell, feedback) = watch::channel(Feedback::default());
        let reader = Arc::new(Mutex::new(ReplyReader::default()));
        let take = move |reader: &Mutex<ReplyReader>, offset, bytes| {
            let mut reader = reader.lock().unwrap();
            reader.insert(offset, bytes);
            while let Ok(Some(reply)) = reader.next_reply() {
                let _ = give.send(reply);
            }
        };
        tokio::spawn({
            let (connection, reader, take) = (connection.clone(), reader.clone(), take.clone());
            async move {
                while let Ok(bytes) = connection.read_datagram().await {
                    if let Ok(Datagram::Feedback(feedback)) = Datagram::decode(&bytes) {
                        take(&reader, u64::from(feedback.offset), feedback.replies.clone());
                        tell.send_replace(feedback);
                    }
                }
            }
        });
        tokio::spawn({
            let connection = connection.clone();
            async move {
                let Ok(mut stream) = connection.accept_uni().await else { return };
                while let Ok(Some(chunk)) = stream.read_chunk(16 * 1024, true).await {
                    take(&reader, chunk.offset, chunk.bytes);
                }
            }
        });
        Peer { connection, _endpoint: endpoint, seq: 0, stripe: 0, order: 0, replies, feedback }
    }

    pub(crate) async fn datagram(&self, bytes: Bytes) {
        let _ = self.connection.send_datagram_wait(bytes).await;
    }

    /// Sends one encoded chunk, every data shard once; `but` is the number of a stripe of it whose last shard is left out.
    pub(crate) async fn chunk_but(&mut self, encoded: &[u8], but: Option<usize>) {
        let parts = encoded.len().div_ceil(MAX_DATA_SHARDS * SHARD_BYTES);
        for (part, bytes) in encoded.chunks(encoded.len().div_ceil(parts)).enumerate() {
            let k = bytes.len().div_ceil(SHARD_BYTES);
            let shard_bytes = bytes.len().div_ceil(k);
            for index in 0..k {
                if but == Some(part) && index + 1 == k {
                    continue;
                }
                let start = (index * shard_bytes).min(bytes.len());
                let mut shard = bytes[start..(start + shard_bytes).min(bytes.len())].to_vec();
                shard.resize(shard_bytes, 0);
                let (k, part, parts) = (k as u8, part as u8, parts as u8);
                let datagram = encode_shard(self.seq, self.stripe, index as u8, k, false, part, parts, &shard);
                self.seq += 1;
                self.datagram(datagram).await;
            }
            self.stripe += 1;
        }
    }

    pub(crate) async fn chunk(&mut self, encoded: &[u8]) {
        self.chunk_but(encoded, None).await;
    }

    pub(crate) async fn control(&mut self, messages: &[Control]) {
        let mut bytes = Vec::new();
        for message in messages {
            codec::encode(message, &mut bytes);
        }
        let chunk = encode_control(self.order, &bytes);
        self.order += 1;
        self.chunk(&chunk).await;
    }

    pub(crate) async fn hello(&mut self, session: u8, secret: Option<[u8; 16]>) {
        self.control(&[Control::Hello(hello(session, secret))]).await;
    }

    /// Sends the bytes of `file` from `offset` on as one chunk of one extent.
    pub(crate) async fn data(&mut self, entry: u32, file: &[u8], offset: usize, length: usize) {
        let body = &file[offset..offset + length];
        let value = chunk_value(offset as u64, file.len() as u64, body);
        self.chunk(&encode_data(0, &[extent(entry, offset as u64, length, value)], body)).await;
    }

    /// The next reply, if one comes within a minute.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        tokio::time::timeout(Duration::from_secs(60), self.replies.recv()).await.ok().flatten()
    }

    /// Replies until one is as wanted, that one last. Panics if it does not come.
    pub(crate) async fn replies_until(&mut self, wanted: impl Fn(&Reply) -> bool) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            let reply = self.reply().await;
            let Some(reply) = reply else { panic!("not among {replies:?}; {:?}", self.connection.close_reason()) };
            let found = wanted(&reply);
            replies.push(reply);
            if found {
                return replies;
            }
        }
    }

    /// Waits until what was sent has left.
    pub(crate) async fn flush(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn hello(session: u8, secret: Option<[u8; 16]>) -> Hello {
    let session = SessionId([session; 16]);
    Hello {
        version: resilient::wire::VERSION,
        session,
        secret,
        chunk_bytes: 128 * 1024,
        files: 1,
        bytes: 1,
        priority: Priority::Normal,
        link: None,
    }
}

pub(crate) fn extent(entry: u32, offset: u64, length: usize, value: ChunkValue) -> Extent {
    Extent { entry: EntryId(entry), offset, length: length as u32, value }
}

pub(crate) fn meta() -> Meta {
    Meta { mode: 0o644, mtime: FileTime { seconds: 1, nanoseconds: 0 } }
}

pub(crate) fn entry(parent: Option<u32>, name: &str, kind: Kind) -> Entry {
    Entry { parent: parent.map(EntryId), name: Name::new(name).unwrap(), kind, meta: meta() }
}

pub(crate) fn file(name: &str, size: usize) -> Entry {
    entry(None, name, Kind::File { size: size as u64 })
}

pub(crate) fn entries(first: u32, entries: Vec<Entry>) -> Control {
    Control::Entries { first: EntryId(first), entries }
}

pub(crate) fn finish(entries: u32) -> Control {
    Control::Finish { entries, skipped: 0 }
}

pub(crate) fn path(names: &[&str]) -> TreePath {
    names.iter().fold(TreePath::ROOT, |path, name| path.join(Name::new(*name).unwrap()).unwrap())
}

/// Content that is different for every `salt` and does not compress.
pub(crate) fn noise(salt: u64, length: usize) -> Vec<u8> {
    let mut reader = blake3::Hasher::new().update(&salt.to_le_bytes()).finalize_xof();
    let mut bytes = vec![0; length];
    reader.fill(&mut bytes);
    bytes
}

/// A folder with these files, and what must stand at the receiver: bytes by path.
pub(crate) fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, BTreeMap<String, Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    (dir, files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect())
}

/// The files at a destination: bytes by path.
pub(crate) fn files(disk: &MemDisk) -> BTreeMap<String, Vec<u8>> {
    let file = |(path, node): (Vec<u8>, crate::memdisk::Node)| match node {
        crate::memdisk::Node::File { bytes, .. } => Some((String::from_utf8_lossy(&path).into_owned(), bytes)),
        _ => None,
    };
    disk.tree().into_iter().filter_map(file).collect()
}
