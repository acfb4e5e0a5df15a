//! A session that is being received, on a task of its own: from the accepted hello to the last word.
//!
//! Chunks from the network go to assembly, its replies go back; a sender that is lost may come back and goes on where it was; when
//! everything is complete and durable, that is said until the sender has heard it. Who may come in, and who has dialled whom, is
//! decided by those who bring the [`Guest`]s. Invariant: however it ends, assembly has ended and, unless it is complete, its
//! unfinished files are taken away.

mod summary;

use self::summary::counters;
use super::assemble::{Assembler, Tally};
use super::assembling::{Output, assembling, lock};
use super::fragments::{self, Keeping};
use super::greet::Guest;
use super::inward::{Inward, Received};
use super::progress::Meter;
use super::sessions::{self, Journal, Remembered, Sessions, remember};
use super::{Cancel, Error, Policy, RetryFor, Summary, close};
use crate::event::{Event, Observer, Progress, SoFar};
use crate::fs::disk::Disk;
use crate::network::seam::{Blocking, now, sleep_until};
use crate::transfer::Delivered;
use crate::transfer::share::{FlowId, Shares, TICK};
use crate::wire::WireError;
use crate::wire::control::SessionId;
use crate::wire::reply::{Counters, Reply};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Silence after which a sender that did not say goodbye has left: it probes several times a second until it has heard the last word.
const LINGER: Duration = Duration::from_secs(30);

/// How a receiver divides what it can take among its sessions.
pub(super) type Pool = Arc<Mutex<Shares>>;

pub(super) fn pool(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session needs of the receiver it belongs to.
pub(super) struct Place {
    pub(super) blocking: Blocking,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) policy: Policy,
    pub(super) retry_for: RetryFor,
    /// File bytes that may cross the network before it is to stop.
    pub(super) most: Option<u64>,
    /// When it is to stop.
    pub(super) stop_at: Option<Instant>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) cancel: Cancel,
    /// Whether the receiver stays, and is started again when it was told to end.
    pub(super) stays: bool,
    pub(super) pool: Pool,
    /// Where it is remembered, and the destination as another run would name it.
    pub(super) sessions: Option<Sessions>,
    pub(super) dir: PathBuf,
}

/// What others can see of a session that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    /// When its sender was last heard.
    pub(super) heard: Instant,
    /// Whether it has a connection.
    pub(super) connected: bool,
}

impl Presence {
    pub(super) fn channel() -> (watch::Sender<Presence>, watch::Receiver<Presence>) {
        watch::channel(Presence { heard: now(), connected: true })
    }
}

/// Runs the session of `guest` to its end, and remembers how it ended. Its sender may come again through `visits`; when that is closed, the
/// session is given up.
pub(super) async fn receive(
    place: Place,
    guest: Guest,
    visits: mpsc::UnboundedReceiver<Guest>,
    presence: watch::Sender<Presence>,
) -> Result<Summary, Error> {
    let remembered = remember(&place, &guest).await;
    let journal = remembered.as_ref().map(|remembered| remembered.journal.clone());
    // For as long as it runs; where another run has it, that is to be kept from nothing.
    let _claim = journal.as_ref().and_then(Journal::claim);
    let result = serve(&place, guest, remembered, visits, presence).await;
    match journal {
        Some(journal) => sessions::close(journal, result, place.blocking, &*place.observer).await,
        None => result,
    }
}

async fn serve(
    place: &Place,
    guest: Guest,
    remembered: Option<Remembered>,
    mut visits: mpsc::UnboundedReceiver<Guest>,
    presence: watch::Sender<Presence>,
) -> Result<Summary, Error> {
    let flow = pool(&place.pool).join(guest.hello.priority);
    let _member = Member { pool: place.pool.clone(), flow };
    let mut session = Session::begin(place, guest, flow, remembered);
    loop {
        presence.send_if_modified(|presence| {
            let connected = session.inward.is_some();
            let changed = presence.connected != connected;
            *presence = Presence { heard: session.heard, connected };
            changed
        });
        let given_up = session.given_up_at(place.retry_for);
        tokio::select! {
            biased;
            () = place.cancel.cancelled() => {
                return Err(session.give_up(place, Error::Interrupted).await);
            }
            () = sleep_until(place.stop_at) => {
                return Err(session.give_up(place, Error::Stopped).await);
            }
            guest = visits.recv() => {
                let Some(guest) = guest else {
                    let cause = "another transfer has taken its place".into();
                    return Err(session.give_up(place, Error::Lost { cause }).await);
                };
                session.reconnect(place, guest).await;
            }
            ended = session.run(place, &presence) => match ended {
                Ok(counters) => {
                    // Who has not heard what has failed must not take it for done.
                    let failed = session.lock().tally().worst.is_some();
                    session.stop_assembling(if failed { close::STOPPED } else { close::COMPLETE }).await;
                    return Ok(session.summary(&counters));
                }
                Err(error @ (Error::Lost { .. } | Error::Silent { .. } | Error::SameSide { .. })) => {
                    // What had arrived is still assembled, and that may have been all.
                    session.stop_assembling(close::STOPPED).await;
                    match session.last_outputs(&*place.observer) {
                        Ok(None) => {}
                        Ok(Some(counters)) => return Ok(session.summary(&counters)),
                        Err(error) => return Err(session.give_up(place, error).await),
                    }
                    let message = format!("{error}; waiting for the sender to come back");
                    place.observer.event(&Event::Warning { message });
                    session.lost = Some(error);
                }
                Err(error) => return Err(session.give_up(place, error).await),
            },
            () = sleep_until(given_up) => {
                let error = session.lost.take().unwrap_or(Error::Bug);
                return Err(session.give_up(place, error).await);
            }
        }
    }
}

/// Leaves the pool when the session ends, in whatever way.
struct Member {
    pool: Pool,
    flow: FlowId,
}

impl Drop for Member {
    fn drop(&mut self) {
        pool(&self.pool).leave(self.flow);
    }
}

struct Session {
    id: SessionId,
    flow: FlowId,
    /// The connection; none while the sender is lost.
    inward: Option<Inward>,
    assembler: Arc<Mutex<Assembler>>,
    /// What is here of chunks that are not whole.
    keeping: Keeping,
    chunks: Option<mpsc::UnboundedSender<Delivered>>,
    outputs: mpsc::UnboundedReceiver<Output>,
    task: Option<JoinHandle<()>>,
    bytes_total: u64,
    chunk_bytes: u32,
    tally: Tally,
    meter: Meter,
    /// When the share of the link is looked at next.
    share_due: Instant,
    heard: Instant,
    /// What the last connection had counted when it ended.
    received: Counters,
    /// UDP payload of the connections before the present one: sent, received.
    traffic: (u64, u64),
    /// Everything is complete, and the sender is being told.
    complete: Option<Counters>,
    lost: Option<Error>,
}

impl Session {
    fn begin(place: &Place, guest: Guest, flow: FlowId, remembered: Option<Remembered>) -> Session {
        let mut assembler =
            Assembler::new(place.disk.clone(), guest.hello.session, guest.hello.chunk_bytes, place.policy.clone());
        let mut keeping = Keeping::new(assembler.fragments(), None, 0);
        if let Some(Remembered { journal, left, open, rate }) = remembered {
            *fragments::lock(&keeping.shared) = open;
            keeping = Keeping::new(keeping.shared, Some(journal.clone()), rate);
            assembler.record_in(journal, left);
        }
        let told = guest.hello.link;
        let mut session = Session::connected(place, guest, flow, Arc::new(Mutex::new(assembler)), keeping);
        if let Some(message) = session.inward.as_mut().and_then(|inward| inward.told(told)) {
            place.observer.event(&Event::Warning { message: message.into() });
        }
        session
    }

    /// The sender has come back: what is verified stays, all else begins anew.
    async fn reconnect(&mut self, place: &Place, guest: Guest) {
        self.stop_assembling(close::SUPERSEDED).await;
        let traffic = self.traffic;
        if self.chunk_bytes == guest.hello.chunk_bytes {
            self.lock().reconnect();
            let assembler = self.assembler.clone();
            let told = guest.hello.link;
            *self = Session::connected(place, guest, self.flow, assembler, self.keeping.again());
            // Once is enough to be warned.
            let _ = self.inward.as_mut().and_then(|inward| inward.told(told));
        } else {
            self.abandon(place).await;
            *self = Session::begin(place, guest, self.flow, None);
        }
        self.traffic = traffic;
    }

    /// Lets the guest in.
    fn connected(
        place: &Place,
        guest: Guest,
        flow: FlowId,
        assembler: Arc<Mutex<Assembler>>,
        keeping: Keeping,
    ) -> Session {
        let Guest { mut inward, hello, node, held, .. } = guest;
        inward.inbound.expect(keeping.rate());
        inward.inbound.accept();
        inward.reply(&Reply::Accepted);
        place.observer.event(&Event::Connected {
            peer: inward.connection.remote_address().to_string(),
            key: node.to_string(),
            transport: "quic",
            rtt_ms: inward.connection.rtt().as_millis() as u64,
        });
        place.observer.event(&Event::Plan { files: hello.files, bytes: hello.bytes });
        let (chunks, taken) = mpsc::unbounded_channel();
        let (given, outputs) = mpsc::unbounded_channel();
        let task = tokio::spawn(assembling(place.blocking, assembler.clone(), taken, given));
        for delivered in held {
            // The task has just begun and listens.
            let _ = chunks.send(delivered);
        }
        let mut session = Session {
            id: hello.session,
            flow,
            inward: Some(inward),
            assembler,
            keeping,
            chunks: Some(chunks),
            outputs,
            task: Some(task),
            bytes_total: hello.bytes,
            chunk_bytes: hello.chunk_bytes,
            tally: Tally::default(),
            meter: Meter::new(now()),
            share_due: now(),
            heard: now(),
            received: Counters::default(),
            traffic: (0, 0),
            complete: None,
            lost: None,
        };
        session.share(&place.pool);
        session
    }

    /// Runs until everything is complete or the connection is lost. Waits for ever without one. May be dropped and called again.
    async fn run(&mut self, place: &Place, presence: &watch::Sender<Presence>) -> Result<Counters, Error> {
        loop {
            let share_due = self.share_due;
            let Some(inward) = &mut self.inward else { return std::future::pending().await };
            if let Some(counters) = self.complete {
                // Chunks that still arrive are repairs of what is complete.
                let linger = RetryFor::Span(inward.silence(LINGER));
                while let Ok(Received::Chunk(delivered)) = inward.next(linger).await {
                    inward.inbound.consumed(delivered.stripes);
                }
                return Ok(counters);
            }
            self.heard = inward.heard();
            presence.send_if_modified(|presence| {
                presence.heard = self.heard;
                false
            });
            tokio::select! {
                biased;
                output = self.outputs.recv() => {
                    let (assembled, newest, ended) = output.ok_or(Error::Bug)??;
                    self.tally = newest;
                    inward.inbound.consumed(assembled.stripes);
                    for event in &assembled.events {
                        place.observer.event(event);
                    }
                    for reply in &assembled.replies {
                        fragments::waive(&mut inward.inbound, reply, self.chunk_bytes.into());
                        inward.reply(reply);
                    }
                    if !ended && place.most.is_some_and(|most| self.tally.bytes_literal >= most) {
                        return Err(Error::Stopped);
                    }
                    if ended {
                        let counters = counters(&inward.inbound, &self.tally);
                        inward.reply(&Reply::Complete(counters));
                        self.complete = Some(counters);
                    }
                }
                received = inward.next(place.retry_for) => match received? {
                    Received::Chunk(delivered) => {
                        if let Some(chunks) = &self.chunks {
                            // The task ends only after this sender is dropped.
                            let _ = chunks.send(delivered);
                        }
                    }
                    Received::Bye => return Err(Error::Lost { cause: "the sender left".into() }),
                    Received::Feedback => return Err(WireError::Unknown("kind of datagram").into()),
                },
                () = tokio::time::sleep_until(self.meter.due().min(share_due).min(self.keeping.due()).into()) => {
                    if now() >= self.keeping.due() {
                        self.keeping.tick(place.blocking, &inward.inbound);
                    }
                    self.progress(&*place.observer);
                    if now() >= share_due {
                        self.share(&place.pool);
                    }
                }
            }
        }
    }

    fn progress(&mut self, observer: &dyn Observer) {
        let Some(inward) = &self.inward else { return };
        let counters = inward.inbound.counters();
        let snapshot = Progress {
            bytes_done: self.tally.bytes_literal + self.tally.bytes_matched,
            bytes_total: self.bytes_total,
            files_done: self.tally.files_done,
            loss: counters.lost as f64 / (counters.lost + counters.shards).max(1) as f64,
            parity: counters.rebuilt as f64 / counters.shards.max(1) as f64,
            ..Progress::default()
        };
        if let Some(progress) = self.meter.tick(now(), snapshot) {
            observer.event(&Event::Progress(progress));
        }
    }

    /// Takes this session's part of what all sessions may have: memory and rate.
    fn share(&mut self, shares: &Pool) {
        let Some(inward) = &mut self.inward else { return };
        let mut shares = pool(shares);
        let window = shares.window(self.flow, inward.inbound.promised());
        inward.inbound.set_window(window);
        let allowed = shares.allowed(now(), self.flow, inward.inbound.seen(), inward.connection.rtt());
        inward.inbound.allow(allowed);
        // As often as the meter is looked at anyway, while there is nothing to divide.
        self.share_due = if shares.is_simple() { self.meter.due() } else { now() + TICK };
    }

    fn lock(&self) -> MutexGuard<'_, Assembler> {
        lock(&self.assembler)
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
        let inward = self.inward.take();
        if let Some(inward) = &inward {
            self.heard = inward.heard();
            self.received = inward.inbound.counters();
            let stats = inward.connection.stats();
            self.traffic = (self.traffic.0 + stats.udp_tx.bytes, self.traffic.1 + stats.udp_rx.bytes);
            inward.connection.close(code.into(), b"");
        }
        self.chunks = None;
        if let Some(task) = self.task.take()
            && let Err(panic) = task.await
            && panic.is_panic()
        {
            std::panic::resume_unwind(panic.into_panic());
        }
        // What came whole meanwhile is none of them any more.
        if let Some(inward) = inward {
            self.keeping.keep(&inward.inbound);
        }
    }

    /// Ends the session for `error`.
    async fn give_up(&mut self, place: &Place, error: Error) -> Error {
        self.stop_assembling(error.closes_with(place.stays)).await;
        self.abandon(place).await;
        error
    }

    /// Takes unfinished files away, but those that can be gone on with. Assembly has ended.
    async fn abandon(&mut self, place: &Place) {
        let tally = self.lock().tally();
        place.observer.event(&Event::SoFar(SoFar {
            session: Some(self.id.to_string()),
            bytes_sent: self.traffic.0,
            bytes_literal: tally.bytes_literal,
            bytes_matched: tally.bytes_matched,
        }));
        let assembler = self.assembler.clone();
        place.blocking.run(move || lock(&assembler).abandon()).await;
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
}
