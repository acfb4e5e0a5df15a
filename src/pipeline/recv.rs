//! `resilient recv`: wait for one sender and write what it sends.
//!
//! 1. open the destination, listen, make a ticket; 2. greet whoever connects and admit who holds the ticket; 3. receive: chunks from the
//!    network go to assembly, its replies go back; a sender that is lost may come back and goes on where it was; 4. when everything is
//!    complete and durable, say so until the sender has heard it.

use super::assemble::{Assembler, Tally};
use super::assembling::{Output, assembling, lock};
use super::connect::{Listen, hang_up, listen};
use super::greet::{Admission, Guest, greet, refuse};
use super::inward::{Inward, Received};
use super::progress::Meter;
use super::{Cancel, Env, Error, Family, Policy, RetryFor, Summary, close};
use crate::class::Class;
use crate::event::{Event, Observer, Progress, SoFar};
use crate::fs::disk::Disk;
use crate::network::copies::Traffic;
use crate::network::gate::Arrival;
use crate::network::seam::{Blocking, now};
use crate::ticket::{Secret, Ticket};
use crate::transfer::{Delivered, Inbound};
use crate::unit::Span;
use crate::wire::control::SessionId;
use crate::wire::reply::{Counters, Reply};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Peers that are connected and have not yet said hello.
const MAX_GREETINGS: usize = 64;
/// The same from one address.
const MAX_GREETINGS_EACH: usize = 8;
/// Silence after which a sender that did not say goodbye has left: it probes several times a second until it has heard the last word.
const LINGER: Duration = Duration::from_secs(15);

/// What `recv` is to do.
#[derive(Clone, Debug)]
pub struct RecvOptions {
    /// Where files go.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Which addresses may be used.
    pub family: Family,
    /// How long the ticket can be spent.
    pub ticket_life: Duration,
    /// How long to wait for a sender that was lost.
    pub retry_for: RetryFor,
    /// What the sender may send, bytes per second; `None`: as much as the path carries.
    pub allowed: Option<NonZeroU32>,
    /// What is taken, and what is done with what stands there.
    pub policy: Policy,
}

/// Receives one transfer into `options.dir`; see the module.
pub async fn recv(
    env: &Env,
    options: RecvOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
    let disk = options.policy.destination(env, &options.dir)?;
    let mut door = listen(env, options.listen, options.family)?;
    let mut secret = [0; 16];
    (env.random)(&mut secret);
    let secret = Secret::from_bytes(secret);
    let ticket =
        Ticket { key: env.identity.node_id(), addresses: door.addresses.clone(), secret: Some(secret.clone()) };
    observer.event(&Event::Ticket { uri: ticket.to_string() });

    if door.moved {
        let message = format!("UDP port {} is taken; listening on another one", options.listen.port);
        observer.event(&Event::Detail { message });
    }

    let mut admission = Admission::new(secret, now(), options.ticket_life);
    let mut greetings: JoinSet<(IpAddr, Result<Guest, Error>)> = JoinSet::new();
    let mut greeted: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut refusals: JoinSet<()> = JoinSet::new();
    let mut session: Option<Session> = None;
    let mut expiry_told = false;
    loop {
        // After it has expired, whoever comes too late is told so for a while; then there is nobody left to wait for.
        let expires = match options.retry_for {
            RetryFor::Span(span) if expiry_told => admission.expires().map(|at| at + span),
            RetryFor::Forever if expiry_told => None,
            _ => admission.expires(),
        };
        let given_up = session.as_ref().and_then(|session| session.given_up_at(options.retry_for));
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                if let Some(session) = &mut session {
                    observer.event(&session.so_far(&door.endpoint.traffic));
                    session.abandon(env.blocking).await;
                }
                hang_up(&door.endpoint, close::STOPPED).await;
                return Err(Error::Interrupted);
            }
            Some(Arrival { connection, peer, control, pass }) = door.next() => {
                let address = connection.remote_address().ip();
                let theirs = greeted.entry(address).or_insert(0);
                if greetings.len() < MAX_GREETINGS && *theirs < MAX_GREETINGS_EACH {
                    *theirs += 1;
                    greetings.spawn(greet(connection, control, peer, pass));
                }
            }
            Some(heard) = greetings.join_next() => {
                let (address, heard) = heard.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                if let Entry::Occupied(mut theirs) = greeted.entry(address) {
                    *theirs.get_mut() -= 1;
                    if *theirs.get() == 0 {
                        theirs.remove();
                    }
                }
                let mut guest = match heard {
                    Ok(guest) => guest,
                    Err(error) => {
                        observer.event(&Event::Detail { message: format!("a peer said no hello: {error}") });
                        continue;
                    }
                };
                guest.inward.allowed = options.allowed.map_or(0, NonZeroU32::get);
                let running = session.as_ref().map(|session| (session.id, session.heard()));
                let admitted = admission.admit(now(), guest.node, &guest.hello, running);
                match admitted.and_then(|()| options.policy.admits(&guest.hello)) {
                    Ok(()) => admit(&mut session, guest, env, &disk, &options.policy, &*observer).await,
                    Err((class, message)) => {
                        observer.event(&Event::Warning { message: format!("refused {}: {message}", guest.node) });
                        refusals.spawn(refuse(guest, class, message, cancel.clone()));
                    }
                }
            }
            _ = refusals.join_next(), if !refusals.is_empty() => {}
            ended = run(&mut session, options.retry_for, &*observer) => match ended {
                Ok(counters) => {
                    let Some(mut session) = session.take() else { continue };
                    session.stop_assembling(close::COMPLETE).await;
                    hang_up(&door.endpoint, close::COMPLETE).await;
                    return Ok(session.summary(&counters, &door.endpoint.traffic));
                }
                Err(error @ (Error::Lost { .. } | Error::Silent { .. })) => {
                    let Some(running) = &mut session else { continue };
                    // What had arrived is still assembled, and that may have been all.
                    running.stop_assembling(close::STOPPED).await;
                    match running.last_outputs(&*observer) {
                        Ok(None) => {}
                        Ok(Some(counters)) => {
                            hang_up(&door.endpoint, close::COMPLETE).await;
                            return Ok(running.summary(&counters, &door.endpoint.traffic));
                        }
                        Err(error) => {
                            observer.event(&running.so_far(&door.endpoint.traffic));
                            running.abandon(env.blocking).await;
                            return Err(error);
                        }
                    }
                    observer.event(&Event::Warning { message: format!("{error}; waiting for the sender to come back") });
                    running.lost = Some(error);
                }
                Err(error) => {
                    if let Some(session) = &mut session {
                        observer.event(&session.so_far(&door.endpoint.traffic));
                        session.abandon(env.blocking).await;
                    }
                    hang_up(&door.endpoint, close::STOPPED).await;
                    return Err(error);
                }
            },
            () = sleep_until(given_up) => {
                let Some(mut session) = session.take() else { continue };
                observer.event(&session.so_far(&door.endpoint.traffic));
                session.abandon(env.blocking).await;
                hang_up(&door.endpoint, close::STOPPED).await;
                return Err(session.lost.unwrap_or(Error::Bug));
            }
            () = sleep_until(expires) => {
                if expiry_told {
                    hang_up(&door.endpoint, close::STOPPED).await;
                    return Err(Error::NobodyCame);
                }
                expiry_told = true;
                let life = Span(options.ticket_life);
                observer.event(&Event::Warning { message: format!("the ticket expired unused after {life}; run recv again for a new one") });
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Lets a guest in: as a new session, or as the sender of the running one that has come back.
async fn admit(
    session: &mut Option<Session>,
    guest: Guest,
    env: &Env,
    disk: &Arc<dyn Disk>,
    policy: &Policy,
    observer: &dyn Observer,
) {
    let Guest { mut inward, hello, node, held, .. } = guest;
    let assemble = || {
        let assembler = Assembler::new(disk.clone(), hello.session, hello.chunk_bytes, policy.clone());
        Arc::new(Mutex::new(assembler))
    };
    let assembler = match session.take() {
        Some(mut old) if old.id == hello.session && old.chunk_bytes == hello.chunk_bytes => {
            old.stop_assembling(close::SUPERSEDED).await;
            old.lock().reconnect();
            old.assembler
        }
        Some(mut old) => {
            old.abandon(env.blocking).await;
            assemble()
        }
        None => assemble(),
    };
    inward.inbound.accept();
    inward.reply(&Reply::Accepted);
    observer.event(&Event::Connected {
        peer: inward.connection.remote_address().to_string(),
        key: node.to_string(),
        transport: "quic",
        rtt_ms: inward.connection.rtt().as_millis() as u64,
    });
    observer.event(&Event::Plan { files: hello.files, bytes: hello.bytes });
    let (chunks, taken) = mpsc::unbounded_channel();
    let (given, outputs) = mpsc::unbounded_channel();
    let task = tokio::spawn(assembling(env.blocking, assembler.clone(), taken, given));
    for delivered in held {
        // The task has just begun and listens.
        let _ = chunks.send(delivered);
    }
    *session = Some(Session {
        id: hello.session,
        inward: Some(inward),
        assembler,
        chunks: Some(chunks),
        outputs,
        task: Some(task),
        bytes_total: hello.bytes,
        chunk_bytes: hello.chunk_bytes,
        tally: Tally::default(),
        meter: Meter::new(now()),
        heard: now(),
        received: Counters::default(),
        complete: None,
        lost: None,
    });
}

/// A session that is being received.
struct Session {
    id: SessionId,
    /// The connection; none while the sender is lost.
    inward: Option<Inward>,
    assembler: Arc<Mutex<Assembler>>,
    chunks: Option<mpsc::UnboundedSender<Delivered>>,
    outputs: mpsc::UnboundedReceiver<Output>,
    task: Option<JoinHandle<()>>,
    bytes_total: u64,
    chunk_bytes: u32,
    tally: Tally,
    meter: Meter,
    heard: Instant,
    /// What the last connection had counted when it ended.
    received: Counters,
    /// Everything is complete, and the sender is being told.
    complete: Option<Counters>,
    lost: Option<Error>,
}

/// Runs the session until it is complete or its connection is lost. Waits for ever without one. May be dropped and called again.
async fn run(session: &mut Option<Session>, retry_for: RetryFor, observer: &dyn Observer) -> Result<Counters, Error> {
    let Some(Session { inward: Some(inward), outputs, chunks, meter, bytes_total, heard, complete, tally, .. }) =
        session
    else {
        return std::future::pending().await;
    };
    if let Some(counters) = *complete {
        // Chunks that still arrive are repairs of what is complete.
        while let Ok(Received::Chunk(delivered)) = inward.next(RetryFor::Span(LINGER)).await {
            inward.inbound.consumed(delivered.stripes);
        }
        return Ok(counters);
    }
    loop {
        *heard = inward.heard();
        tokio::select! {
            biased;
            output = outputs.recv() => {
                let (assembled, newest, ended) = output.ok_or(Error::Bug)??;
                *tally = newest;
                inward.inbound.consumed(assembled.stripes);
                for event in &assembled.events {
                    observer.event(event);
                }
                for reply in &assembled.replies {
                    inward.reply(reply);
                }
                if ended {
                    let counters = counters(&inward.inbound, tally);
                    inward.reply(&Reply::Complete(counters));
                    *complete = Some(counters);
                    return Box::pin(run(session, retry_for, observer)).await;
                }
            }
            received = inward.next(retry_for) => match received? {
                Received::Chunk(delivered) => {
                    if let Some(chunks) = chunks {
                        // The task ends only after this sender is dropped.
                        let _ = chunks.send(delivered);
                    }
                }
                Received::Bye => return Err(Error::Lost { cause: "the sender left".into() }),
            },
            () = tokio::time::sleep_until(meter.due().into()) => {
                let counters = inward.inbound.counters();
                let snapshot = Progress {
                    bytes_done: tally.bytes_literal + tally.bytes_matched,
                    bytes_total: *bytes_total,
                    files_done: tally.files_done,
                    loss: counters.lost as f64 / (counters.lost + counters.shards).max(1) as f64,
                    parity: counters.rebuilt as f64 / counters.shards.max(1) as f64,
                    ..Progress::default()
                };
                if let Some(progress) = meter.tick(now(), snapshot) {
                    observer.event(&Event::Progress(progress));
                }
            }
        }
    }
}

/// What the sender is told at the end.
fn counters(inbound: &Inbound, tally: &Tally) -> Counters {
    Counters { bytes_literal: tally.bytes_literal, bytes_matched: tally.bytes_matched, ..inbound.counters() }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Assembler> {
        lock(&self.assembler)
    }

    fn heard(&self) -> Instant {
        self.heard
    }

    /// When waiting for a lost sender ends.
    fn given_up_at(&self, retry_for: RetryFor) -> Option<Instant> {
        match (&self.lost, retry_for) {
            (Some(_), RetryFor::Span(span)) => Some(self.heard + span),
            _ => None,
        }
    }

    /// Ends the connection and waits until assembly has finished with what had arrived.
    async fn stop_assembling(&mut self, code: u32) {
        if let Some(inward) = self.inward.take() {
            self.heard = inward.heard();
            self.received = inward.inbound.counters();
            inward.connection.close(code.into(), b"");
        }
        self.chunks = None;
        if let Some(task) = self.task.take()
            && let Err(panic) = task.await
            && panic.is_panic()
        {
            std::panic::resume_unwind(panic.into_panic());
        }
    }

    /// Gives the session up: takes its unfinished files away.
    async fn abandon(&mut self, blocking: Blocking) {
        self.stop_assembling(close::STOPPED).await;
        let assembler = self.assembler.clone();
        blocking.run(move || lock(&assembler).abandon()).await;
    }

    /// Tells what assembly still had to say when it was stopped. Counters if everything is complete.
    fn last_outputs(&mut self, observer: &dyn Observer) -> Result<Option<Counters>, Error> {
        while let Ok(output) = self.outputs.try_recv() {
            let (assembled, tally, complete) = output?;
            for event in &assembled.events {
                observer.event(event);
            }
            if complete {
                let (bytes_literal, bytes_matched) = (tally.bytes_literal, tally.bytes_matched);
                return Ok(Some(Counters { bytes_literal, bytes_matched, ..self.received }));
            }
        }
        Ok(None)
    }

    /// What it has come to, for a run that fails.
    fn so_far(&self, traffic: &Traffic) -> Event {
        let tally = self.lock().tally();
        Event::SoFar(SoFar {
            session: Some(self.id.to_string()),
            bytes_sent: traffic.sent_bytes(),
            bytes_literal: tally.bytes_literal,
            bytes_matched: tally.bytes_matched,
        })
    }

    fn summary(&self, counters: &Counters, traffic: &Traffic) -> Summary {
        let tally = self.lock().tally();
        Summary {
            class: tally.worst.unwrap_or(Class::Done),
            session: self.id.to_string(),
            files: tally.files_done,
            bytes_sent: traffic.sent_bytes(),
            bytes_literal: tally.bytes_literal,
            bytes_matched: tally.bytes_matched,
            stats: vec![
                ("entries complete", tally.files_done),
                ("file bytes written", tally.bytes_literal),
                ("file bytes there already", tally.bytes_matched),
                ("shards received", counters.shards),
                ("shards lost", counters.lost),
                ("stripes decoded", counters.stripes),
                ("shards rebuilt from parity", counters.rebuilt),
                ("shards not needed", counters.spare),
                ("UDP bytes sent", traffic.sent_bytes()),
                ("UDP bytes received", traffic.received_bytes()),
            ],
        }
    }
}
