//! `resilient send`: files and directories to a waiting receiver.
//!
//! 1. look at the sources and count them; 2. connect to the node that the ticket names, and to no other; 3. ingest and the network side run
//!    side by side until the receiver says that everything is complete and durable; 4. say goodbye.

use super::connect::{Line, dial, hang_up};
use super::ingest::{Ingest, Pipe, Source};
use super::outward::{Outward, Patience};
use super::progress::Tally;
use super::{Cancel, Env, Error, Family, RetryFor, Summary, close};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::fs::source::{Sources, Totals};
use crate::network::seam::now;
use crate::priority::Priority;
use crate::ticket::Ticket;
use crate::wire::chunk::CHUNK_BYTES;
use crate::wire::control::{Hello, SessionId};
use crate::wire::reply::Counters;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Chunks that ingest prepares ahead of the network.
const PREPARED: usize = 3;
/// Pause before a connection that broke before we were let in is made again.
const REDIAL: Duration = Duration::from_millis(200);

/// What `send` is to do.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// Sources as typed.
    pub sources: Vec<PathBuf>,
    /// A source that can be read only once, instead of those.
    pub pipe: Option<Pipe>,
    /// When to stop although there is more to send.
    pub stop: Stop,
    /// Who receives.
    pub ticket: Ticket,
    /// Which addresses may be used.
    pub family: Family,
    /// Time to a usable connection.
    pub contimeout: Duration,
    /// How long to probe a silent path.
    pub retry_for: RetryFor,
}

/// When to stop a transfer that could go on. What has arrived stays, and the same command continues from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After this time.
    pub after: Option<Duration>,
    /// Before more than so many file bytes are sent.
    pub bytes: Option<u64>,
}

/// Sends `options.sources`; see the module.
pub async fn send(
    env: &Env,
    options: SendOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
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

    let connected_by = now() + options.contimeout;
    let stop_at = options.stop.after.map(|after| now() + after);
    loop {
        match attempt(env, &options, &sources, totals, session, (connected_by, stop_at), &observer, &cancel).await {
            // A connection that broke before we were let in was never one: the handshake alone means nothing.
            Err(Unfinished { error: Error::Lost { cause }, accepted: false }) if now() < connected_by => {
                observer.event(&Event::Detail { message: format!("not let in yet ({cause}); connecting again") });
                tokio::time::sleep(REDIAL).await;
            }
            ended => return ended.map_err(|unfinished| unfinished.error),
        }
    }
}

/// An attempt that did not complete.
struct Unfinished {
    error: Error,
    /// The receiver had let us in.
    accepted: bool,
}

impl<E: Into<Error>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Unfinished { error: error.into(), accepted: false }
    }
}

/// One connection, from dialling to goodbye.
#[expect(clippy::too_many_arguments, reason = "these are the state of one run, needed in one place")]
async fn attempt(
    env: &Env,
    options: &SendOptions,
    sources: &Sources,
    totals: Totals,
    session: SessionId,
    (connected_by, stop_at): (Instant, Option<Instant>),
    observer: &Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<Summary, Unfinished> {
    let Line { connection, pilot, endpoint } = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Interrupted.into()),
        () = sleep_until(stop_at) => return Err(Error::Stopped.into()),
        line = dial(env, &options.ticket, options.family, connected_by.saturating_duration_since(now())) => line.map_err(|error| error.within(options.contimeout))?,
    };
    let hello = Hello {
        version: crate::wire::VERSION,
        session,
        secret: options.ticket.secret.as_ref().map(|secret| *secret.as_bytes()),
        chunk_bytes: CHUNK_BYTES as u32,
        files: totals.files,
        bytes: totals.bytes,
        priority: Priority::Normal,
    };
    let tally = Arc::new(Tally::default());
    let (offers, offered) = mpsc::channel(PREPARED);
    let (replies, replied) = mpsc::unbounded_channel();
    let source = match &options.pipe {
        Some(pipe) => Source::Pipe(pipe.clone()),
        None => Source::Walk(Box::new(sources.walk())),
    };
    let ingest = Ingest::new(
        env.blocking,
        source,
        options.stop.bytes,
        hello,
        (offers, replied),
        observer.clone(),
        tally.clone(),
    );
    let patience =
        Patience { accepted_by: connected_by, contimeout: options.contimeout, retry_for: options.retry_for, stop_at };
    let mut outward = Outward::new(connection.clone(), pilot, observer.clone(), tally.clone(), totals.bytes, patience);
    let mut ingest = pin!(ingest.run());
    let mut ended = None;
    let result = {
        let mut running = pin!(outward.run(offered, replies, cancel, options.ticket.key));
        loop {
            tokio::select! {
                biased;
                result = &mut running => break result,
                all = &mut ingest, if ended.is_none() => ended = Some(all),
            }
        }
    };
    // Ingest may be in the middle of a large file: only a good end waits for it.
    let ended = match (&result, ended) {
        (Ok(_), None) => ingest.await,
        (_, ended) => ended.unwrap_or(false),
    };
    let counters = match result {
        Ok(counters) if ended || outward.was_completed() => counters,
        result => {
            let error = result.err().unwrap_or(Error::Incomplete);
            outward.goodbye().await;
            connection.close(close::BROKEN_OFF.into(), b"broken off");
            hang_up(&endpoint, close::BROKEN_OFF).await;
            return Err(Unfinished { error, accepted: outward.is_accepted() });
        }
    };
    outward.goodbye().await;
    connection.close(close::DONE.into(), b"done");
    hang_up(&endpoint, close::DONE).await;
    let (sent_bytes, received_bytes) = (endpoint.traffic.sent_bytes(), endpoint.traffic.received_bytes());
    Ok(Summary {
        class: tally.worst().unwrap_or(Class::Done),
        session: session.to_string(),
        files: tally.files_done(),
        bytes_sent: sent_bytes,
        bytes_literal: counters.bytes_literal,
        bytes_matched: counters.bytes_matched,
        stats: stats(&outward, &tally, &counters, sent_bytes, received_bytes),
    })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Names the session: who, to whom, what; so the same command is the same session, whatever ticket it uses.
fn session_id(env: &Env, options: &SendOptions) -> SessionId {
    let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 session id");
    hasher.update(env.identity.node_id().as_bytes());
    hasher.update(options.ticket.key.as_bytes());
    if options.pipe.is_some() {
        // What was read once is not there to be continued.
        let mut nonce = [0; 16];
        (env.random)(&mut nonce);
        hasher.update(&nonce);
    }
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

fn stats(
    outward: &Outward,
    tally: &Tally,
    counters: &Counters,
    sent_bytes: u64,
    received_bytes: u64,
) -> Vec<(&'static str, u64)> {
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
