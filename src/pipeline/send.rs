//! `resilient send`: files and directories to a waiting receiver.
//!
//! 1. look at the sources and count them; 2. connect to the node that the ticket names, and to no other; 3. ingest and the network side run
//!    side by side until the receiver says that everything is complete and durable; 4. say goodbye.

use super::connect::{Line, close, dial};
use super::ingest::Ingest;
use super::outward::Outward;
use super::progress::Tally;
use super::{Cancel, Env, Error, Family, RetryFor, Summary};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::fs::source::Sources;
use crate::ticket::Ticket;
use crate::wire::chunk::CHUNK_BYTES;
use crate::wire::control::{Hello, SessionId};
use crate::wire::reply::Counters;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Chunks that ingest prepares ahead of the network.
const PREPARED: usize = 3;
/// How the connection is closed: nothing more to say.
const CLOSE_DONE: u32 = 0;
/// The user ended it.
const CLOSE_INTERRUPTED: u32 = 1;

/// What `send` is to do.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// Sources as typed.
    pub sources: Vec<PathBuf>,
    /// Who receives.
    pub ticket: Ticket,
    /// Which addresses may be used.
    pub family: Family,
    /// Time to a usable connection.
    pub contimeout: Duration,
    /// How long to probe a silent path.
    pub retry_for: RetryFor,
}

/// Sends `options.sources`; see the module.
pub async fn send(env: &Env, options: SendOptions, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Error> {
    let sources = Sources::new(&options.sources)?;
    let session = session_id(env, &options);
    let (sources, totals) = env
        .blocking
        .run(move || {
            let totals = sources.totals();
            (sources, totals)
        })
        .await;
    observer.event(&Event::Plan { files: totals.files, bytes: totals.bytes });

    let Line { connection, pilot, endpoint } = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Interrupted),
        line = dial(env, &options.ticket, options.family, options.contimeout) => line?,
    };
    let hello = Hello {
        version: crate::wire::VERSION,
        session,
        secret: options.ticket.secret.as_ref().map(|secret| *secret.as_bytes()),
        chunk_bytes: CHUNK_BYTES as u32,
        files: totals.files,
        bytes: totals.bytes,
    };

    let tally = Arc::new(Tally::default());
    let (offers, offered) = mpsc::channel(PREPARED);
    let (replies, replied) = mpsc::unbounded_channel();
    let walk = Box::new(sources.walk());
    let ingest = Ingest::new(env.blocking, walk, hello, (offers, replied), observer.clone(), tally.clone());
    let mut outward =
        Outward::new(connection.clone(), pilot, observer.clone(), tally.clone(), totals.bytes, options.retry_for);
    let key = options.ticket.key.to_string();
    let connected = |connection: &quinn::Connection| {
        observer.event(&Event::Connected {
            peer: connection.remote_address().to_string(),
            key,
            transport: "quic",
            rtt_ms: connection.rtt().as_millis() as u64,
        });
    };
    let (counters, ()) = tokio::join!(biased; outward.run(offered, replies, &cancel, connected), ingest.run());
    let counters = match counters {
        Ok(counters) => counters,
        Err(error) => {
            connection.close(CLOSE_INTERRUPTED.into(), b"interrupted");
            close(&endpoint).await;
            return Err(error);
        }
    };
    outward.goodbye();
    connection.close(CLOSE_DONE.into(), b"done");
    close(&endpoint).await;
    let traffic = &endpoint.traffic;
    Ok(Summary {
        class: tally.worst().unwrap_or(Class::Done),
        session: session.to_string(),
        files: tally.files_done(),
        bytes_sent: traffic.sent_bytes(),
        bytes_literal: counters.bytes_literal,
        bytes_matched: counters.bytes_matched,
        stats: stats(&outward, &tally, &counters, traffic.sent_bytes(), traffic.received_bytes()),
    })
}

/// Names the session: who, to whom, what; so the same command is the same session, whatever ticket it uses.
fn session_id(env: &Env, options: &SendOptions) -> SessionId {
    let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 session id");
    hasher.update(env.identity.node_id().as_bytes());
    hasher.update(options.ticket.key.as_bytes());
    for source in &options.sources {
        let absolute = std::path::absolute(source).unwrap_or_else(|_| source.clone());
        let bytes = absolute.as_os_str().as_encoded_bytes();
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    SessionId(id)
}

fn stats(outward: &Outward, tally: &Tally, counters: &Counters, sent_bytes: u64, received_bytes: u64) -> Vec<(&'static str, u64)> {
    let sent = outward.outbound.sent();
    vec![
        ("entries complete", tally.files_done()),
        ("file bytes written", counters.bytes_literal),
        ("file bytes there already", counters.bytes_matched),
        ("file bytes after compression", tally.bytes_encoded()),
        ("data shards sent", sent.data),
        ("parity shards sent ahead", sent.parity),
        ("repair shards sent", sent.repair),
        ("probes sent", sent.probes),
        ("shards lost", counters.lost),
        ("shards rebuilt from parity", counters.rebuilt),
        ("shards not needed", counters.spare),
        ("UDP bytes sent", sent_bytes),
        ("UDP bytes received", received_bytes),
    ]
}
