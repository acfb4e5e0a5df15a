//! `resilient send`: files and directories to a waiting receiver.
//!
//! 1. look at the sources and count them; 2. connect to whom was asked for, and to no other (or be dialled: [`super::offer()`]); 3. ingest and
//!    the network side run side by side until the receiver says that everything is complete and durable; 4. say goodbye.

mod kept;

use super::connect::{FLUSH, Line, Peer, Ports, dial};
use super::ingest::{Ingest, Pipe, Source};
use super::outward::{Outward, Pace, Patience};
use super::press::Press;
use super::progress::Tally;
use super::replies::Replies;
use super::retries::{Retries, redial};
use super::silence::Heard;
use super::throttle::Throttle;
use super::{Cancel, Env, Error, Family, RetryFor, Summary, close};
use crate::chunk::compression::Choice;
use crate::class::Class;
use crate::event::{Event, LimitedBy, Observer, SoFar};
use crate::filter::Classes;
use crate::fs::source::{Selection, Sources, Totals};
use crate::network::congestion::Pilot;
use crate::network::endpoint::Endpoint;
use crate::network::limit::Bandwidth;
use crate::network::seam::{now, sleep_until};
use crate::node_id::NodeId;
use crate::transfer::Parity;
use crate::wire::chunk::CHUNK_BYTES;
use crate::wire::control::{Hello, SessionId};
use crate::wire::reply::Counters;
use kept::{Following, Kept};
use quinn::Connection;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
    /// What of them is sent.
    pub selection: Selection,
    /// Who receives.
    pub peer: Peer,
    /// Which addresses may be used.
    pub family: Family,
    /// Where to dial from.
    pub ports: Ports,
    /// Time to a usable connection.
    pub contimeout: Duration,
    /// How long to probe a silent path.
    pub retry_for: RetryFor,
    /// After how much silence another connection is tried as well.
    pub timeout: Duration,
    /// How chunks are compressed.
    pub compress: Choice,
    /// Limit of what is sent, UDP payload.
    pub limit: Option<Bandwidth>,
    /// Most chunks a second.
    pub chunk_rate: Option<NonZeroU32>,
    /// Parity ahead of any loss.
    pub parity: Parity,
    /// The class of the transfer, and those of files in it.
    pub classes: Classes,
    /// How long to wait while another run sends the same there.
    pub lock_wait: Duration,
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
    let done = Arc::<AtomicU64>::default();
    let following = Arc::new(Following { observer: observer.clone(), done: done.clone() });
    let cargo = Cargo::new(env, options, following, cancel).await?;
    // Who is not known before is not one session from one run to the next.
    let kept = match cargo.options.peer.expected.key {
        Some(peer) => Kept::open(&cargo, peer).await?,
        None => None,
    };
    let Some(kept) = kept else { return attempts(&cargo).await };
    let result = tokio::select! {
        biased;
        result = attempts(&cargo) => result,
        () = kept.follow(&done) => Err(Error::Bug),
    };
    kept.end(result, &done, &*observer).await
}

/// Connects and sends, and again as long as there is hope.
async fn attempts(cargo: &Cargo) -> Result<Summary, Error> {
    let Cargo { env, options, observer, cancel, .. } = cargo;
    let began = now();
    let mut connected_by = began + options.contimeout;
    let mut retries = Retries::new(began, options.retry_for);
    let mut other = None;
    loop {
        match attempt(cargo, connected_by, &mut other).await {
            // The last one was silent, and another one is there.
            Err(_) if other.is_some() => {
                retries.lost();
                connected_by = now() + options.contimeout;
            }
            // A connection that broke before we were let in was never one: the handshake alone means nothing.
            Err(Unfinished { error: Error::Lost { cause }, accepted: false }) if now() < connected_by => {
                observer.event(&Event::Detail { message: format!("not let in yet ({cause}); connecting again") });
                tokio::time::sleep(REDIAL).await;
            }
            Err(Unfinished { error, accepted }) => {
                // What came in on stdin is not there to be sent again.
                if accepted && options.pipe.is_none() {
                    retries.lost();
                }
                retries.wait(error, cargo.stop_at, &**observer, cancel).await?;
                connected_by = now() + retries.deadline(options.contimeout, env.link);
            }
            Ok(summary) => return Ok(summary),
        }
    }
}

/// What is sent, and everything about it that does not depend on who dials.
pub(super) struct Cargo {
    pub(super) env: Env,
    pub(super) options: SendOptions,
    sources: Sources,
    totals: Totals,
    nonce: Option<[u8; 16]>,
    pub(super) stop_at: Option<Instant>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) cancel: Cancel,
}

impl Cargo {
    /// Looks at the sources and counts them.
    pub(super) async fn new(
        env: &Env,
        options: SendOptions,
        observer: Arc<dyn Observer>,
        cancel: Cancel,
    ) -> Result<Cargo, Error> {
        let sources = Sources::new(&options.sources, options.selection.clone())?;
        // What was read once from a pipe is not there to be continued by another run.
        let nonce = options.pipe.is_some().then(|| {
            let mut nonce = [0; 16];
            (env.random)(&mut nonce);
            nonce
        });
        let (sources, totals) = env
            .blocking
            .run(move || {
                let totals = sources.totals();
                (sources, totals)
            })
            .await;
        let mut totals = totals;
        if options.pipe.is_some() {
            totals.files = 1;
            let message =
                "what comes in on stdin is read once: a transfer that breaks off cannot be continued".to_owned();
            observer.event(&Event::Note { message });
        }
        observer.event(&Event::Plan { files: totals.files, bytes: totals.bytes });
        if let Some(limit) = options.limit {
            observer.event(&Event::Limit { rate: limit.rate.get(), by: LimitedBy::Option });
        }
        let stop_at = options.stop.after.map(|after| now() + after);
        Ok(Cargo { env: env.clone(), options, sources, totals, nonce, stop_at, observer, cancel })
    }
}

/// An attempt that did not complete.
pub(super) struct Unfinished {
    pub(super) error: Error,
    /// The receiver had let us in.
    pub(super) accepted: bool,
}

impl<E: Into<Error>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Unfinished { error: error.into(), accepted: false }
    }
}

/// One connection that we have made, from dialling, unless it is there as `other`, to goodbye. If it falls silent and another one can be made
/// meanwhile, that is left there.
async fn attempt(cargo: &Cargo, connected_by: Instant, other: &mut Option<Line>) -> Result<Summary, Unfinished> {
    let Cargo { env, options, stop_at, observer, cancel, .. } = cargo;
    let deadline = connected_by.saturating_duration_since(now());
    let line = if let Some(line) = other.take() {
        line
    } else {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Interrupted.into()),
            () = sleep_until(*stop_at) => return Err(Error::Stopped.into()),
            line = dial(env, &options.peer, options.family, options.ports, deadline) => {
                line.map_err(|error| error.within(options.contimeout))?
            }
        }
    };
    let Line { connection, peer, pilot, endpoint } = line;
    let replies = Replies::of(&connection);
    let secret = options.peer.secret.as_ref().map(|secret| *secret.as_bytes());
    let (heard, hearing) = Heard::channel();
    let outlet = Outlet { connection, pilot, replies, endpoint, peer, secret, heard };
    let mut sending = pin!(transfer(cargo, outlet, connected_by));
    // What comes from a pipe is not there for another connection, and a slow link has no room for one beside the first.
    if options.pipe.is_some() || env.link.is_some() {
        return sending.await;
    }
    loop {
        tokio::select! {
            biased;
            ended = &mut sending => return ended,
            () = hearing.silent_for(options.timeout) => {}
        }
        let silent = Error::Silent { span: options.timeout };
        observer.event(&Event::Detail { message: format!("{silent}; trying another connection as well") });
        tokio::select! {
            biased;
            ended = &mut sending => return ended,
            () = hearing.again(options.timeout) => {}
            line = redial(env, &options.peer, options.family, options.ports) => {
                *other = Some(line);
                return Err(Unfinished { error: silent, accepted: true });
            }
        }
    }
}

/// A connection to send on, whoever has made it.
pub(super) struct Outlet {
    pub(super) connection: Connection,
    pub(super) pilot: Arc<Pilot>,
    pub(super) replies: Replies,
    pub(super) endpoint: Endpoint,
    /// The key that the receiver has proved.
    pub(super) peer: NodeId,
    /// What the hello is to show.
    pub(super) secret: Option<[u8; 16]>,
    /// Who is told when the receiver was heard.
    pub(super) heard: Heard,
}

/// Sends on a connection, from the hello to the goodbye. The receiver must have let us in by `accepted_by`.
pub(super) async fn transfer(cargo: &Cargo, outlet: Outlet, accepted_by: Instant) -> Result<Summary, Unfinished> {
    let Cargo { env, options, sources, totals, nonce, stop_at, observer, cancel } = cargo;
    let Outlet { connection, pilot, replies, endpoint, peer, secret, heard } = outlet;
    let session = session_id(env, peer, *nonce, options);
    observer.event(&Event::SoFar(SoFar { session: Some(session.to_string()), ..SoFar::default() }));
    let hello = Hello {
        version: crate::wire::VERSION,
        session,
        secret,
        chunk_bytes: CHUNK_BYTES as u32,
        files: totals.files,
        bytes: totals.bytes,
        priority: options.classes.otherwise(),
        link: env.link,
    };
    let tally = Arc::new(Tally::default());
    let (offers, offered) = mpsc::channel(PREPARED);
    let (answers, answered) = mpsc::unbounded_channel();
    let press = Arc::new(Press::new(options.compress));
    let source = match &options.pipe {
        Some(pipe) => Source::Pipe(pipe.clone()),
        None => Source::Walk(Box::new(sources.walk()), options.classes.clone(), *totals),
    };
    let ingest = Ingest::new(
        env.blocking,
        source,
        options.stop.bytes,
        hello,
        (offers, answered),
        observer.clone(),
        (tally.clone(), press.clone()),
    );
    let patience =
        Patience { accepted_by, contimeout: options.contimeout, retry_for: options.retry_for, stop_at: *stop_at };
    let throttle = Throttle::new(options.limit, options.chunk_rate);
    let pace = Pace { throttle, parity: options.parity.clone(), press };
    let (watching, bytes) = (observer.clone(), totals.bytes);
    let mut outward = Outward::new(connection.clone(), replies, pilot, watching, tally.clone(), bytes, patience, pace);
    outward.tell(heard);
    let mut ingest = pin!(ingest.run());
    let mut ended = None;
    let result = {
        let mut running = pin!(outward.run(offered, answers, cancel, peer));
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
            observer.event(&Event::SoFar(SoFar {
                session: Some(session.to_string()),
                bytes_sent: endpoint.traffic.sent_bytes(),
                bytes_literal: outward.outbound.delivered_bytes(),
                bytes_matched: tally.bytes_matched(),
            }));
            outward.goodbye().await;
            part(&connection, &endpoint, close::BROKEN_OFF).await;
            return Err(Unfinished { error, accepted: outward.is_accepted() });
        }
    };
    outward.goodbye().await;
    part(&connection, &endpoint, close::DONE).await;
    let (sent_bytes, received_bytes) = (endpoint.traffic.sent_bytes(), endpoint.traffic.received_bytes());
    Ok(Summary {
        class: Class::of_run(tally.worst(), tally.files_done()),
        session: session.to_string(),
        files: tally.files_done(),
        bytes_sent: sent_bytes,
        bytes_literal: counters.bytes_literal,
        bytes_matched: counters.bytes_matched,
        stats: stats(&outward, &tally, &counters, sent_bytes, received_bytes),
    })
}

/// Closes the connection and lets its last packets leave. One who was dialled still listens: others may be there.
async fn part(connection: &Connection, endpoint: &Endpoint, code: u32) {
    connection.close(code.into(), b"");
    let _ = tokio::time::timeout(FLUSH, endpoint.quic.wait_idle()).await;
}

/// Names the session: who, to whom, what; so the same command is the same session, whatever ticket it uses.
fn session_id(env: &Env, peer: NodeId, nonce: Option<[u8; 16]>, options: &SendOptions) -> SessionId {
    let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 session id");
    hasher.update(env.identity.node_id().as_bytes());
    hasher.update(peer.as_bytes());
    if let Some(nonce) = nonce {
        hasher.update(&nonce);
    }
    for source in &options.sources {
        let absolute = std::path::absolute(source).unwrap_or_else(|_| source.clone());
        let bytes = absolute.as_os_str().as_encoded_bytes();
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    }
    if !options.selection.is_everything() {
        options.selection.fingerprint(|bytes| {
            hasher.update(bytes);
        });
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
