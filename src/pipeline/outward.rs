//! The sending end of a connection: chunks offered by ingest go out as shards, replies come in.
//!
//! This is where the sans-IO [`Outbound`] meets quinn. Shards are chosen as late as possible: no more than a few milliseconds of them wait
//! inside quinn, because a queued shard is a decision taken too early.

use super::error::{Error, Side};
use super::ingest::Offer;
use super::pacer::Pacer;
use super::press::Press;
use super::progress::{Meter, TICK, Tally};
use super::replies::Replies;
use super::silence::Heard;
use super::throttle::Throttle;
use super::{Cancel, RetryFor, close};
use crate::event::{Event, LimitedBy, Observer, Progress};
use crate::network::congestion::Pilot;
use crate::network::dial::ConnectError;
use crate::network::seam::now;
use crate::node_id::NodeId;
use crate::transfer::{Outbound, Parity};
use crate::unit::Rate;
use crate::wire::WireError;
use crate::wire::datagram::{Datagram, MAX_DATAGRAM, encode_bye, encode_ping};
use crate::wire::reply::{Counters, Reply};
use bytes::Bytes;
use quinn::{Connection, ConnectionError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Silence that means nothing yet, beyond four round trips.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of datagrams inside quinn on any link: ten segments of a GSO batch several times over.
const AHEAD_MOST: usize = 128 * 1024;
/// What quinn's count of its datagram buffer adds for each datagram: the handle of its bytes.
const QUEUED_OVERHEAD: usize = size_of::<Bytes>();
/// Packets that a probe may send beyond what is in flight.
const PROBE_PACKETS: u32 = 3;
/// Time beyond 1.5 round trips in which nothing leaves although something is queued.
const STALL: Duration = Duration::from_millis(100);
/// Datagrams that tell the receiver goodbye, each in a packet of its own; and on a slow link.
const BYES: [usize; 2] = [5, 2];
/// Time for them to leave.
const FAREWELL: Duration = Duration::from_millis(20);

pub(super) struct Outward {
    pub(super) connection: Connection,
    pilot: Arc<Pilot>,
    pub(super) outbound: Outbound,
    replies: Replies,
    observer: Arc<dyn Observer>,
    tally: Arc<Tally>,
    bytes_total: u64,
    meter: Meter,
    patience: Patience,
    throttle: Throttle,
    pacer: Pacer,
    press: Arc<Press>,
    accepted: bool,
    /// Nothing more is to be sent than what was offered.
    stopping: bool,
    train_told: bool,
    limit_told: bool,
    /// The parity by the table that the user knows of, and since when.
    parity_told: Option<(Instant, usize)>,
    /// Who is told when the receiver was heard.
    heard: Option<Heard>,
    /// When quinn last sent something.
    last_sent: Instant,
    /// Room in quinn's datagram buffer while nothing is queued.
    empty_space: usize,
    /// Bytes of datagrams given to quinn, and which of them will have left when how many have: number of the shard that follows.
    given: u64,
    leaving: VecDeque<(u64, u32)>,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The receiver must have let us in.
    pub(super) accepted_by: Instant,
    /// The time that was given for that, as the user said it.
    pub(super) contimeout: Duration,
    /// A path that was good is probed for this long.
    pub(super) retry_for: RetryFor,
    /// Then it is over, complete or not.
    pub(super) stop_at: Option<Instant>,
}

/// What sets the pace besides the path, and what goes along with the data.
pub(super) struct Pace {
    pub(super) throttle: Throttle,
    pub(super) parity: Parity,
    pub(super) press: Arc<Press>,
}

/// Something that happened on the network side.
enum Input {
    Datagram(Bytes),
    Stream(u64, Bytes),
    Offer(Option<Offer>),
    Room,
    Time,
}

impl Outward {
    #[expect(clippy::too_many_arguments, reason = "the parts of a sending end, put together in one place")]
    pub(super) fn new(
        connection: Connection,
        replies: Replies,
        pilot: Arc<Pilot>,
        observer: Arc<dyn Observer>,
        tally: Arc<Tally>,
        bytes_total: u64,
        patience: Patience,
        pace: Pace,
    ) -> Self {
        let empty_space = connection.datagram_send_buffer_space();
        let link = pilot.link();
        pilot.first_flight(link.is_none());
        pace.press.hint(link.map_or(0, |link| link.rate().into()));
        Self {
            outbound: Outbound::over(link, now(), pace.parity),
            meter: Meter::new(now()),
            train_told: false,
            limit_told: false,
            parity_told: None,
            connection,
            pilot,
            replies,
            observer,
            tally,
            bytes_total,
            patience,
            throttle: pace.throttle,
            pacer: Pacer::over(link, now()),
            press: pace.press,
            accepted: false,
            stopping: false,
            heard: None,
            last_sent: now(),
            empty_space,
            given: 0,
            leaving: VecDeque::new(),
        }
    }

    /// Tells `heard` from now on when the receiver was.
    pub(super) fn tell(&mut self, heard: Heard) {
        self.heard = Some(heard);
    }

    /// Sends what is offered until the receiver says that everything is complete; replies for single entries go to `replies`.
    pub(super) async fn run(
        &mut self,
        offers: mpsc::Receiver<Offer>,
        replies: mpsc::UnboundedSender<Reply>,
        cancel: &Cancel,
        peer: NodeId,
    ) -> Result<Counters, Error> {
        let mut offers = Some(offers);
        loop {
            while let Some(reply) = self.replies.log.next_reply()? {
                match reply {
                    Reply::Complete(counters) => return Ok(counters),
                    Reply::Refused(refusal) => {
                        return Err(Error::refused(Side::Receiver, refusal));
                    }
                    Reply::Ask { .. } => return Err(WireError::Range("reply").into()),
                    Reply::Accepted => {
                        self.on_accepted(peer);
                        drop(replies.send(Reply::Accepted));
                    }
                    // Ingest has nothing to do with it any more if it is gone.
                    reply => drop(replies.send(reply)),
                }
            }
            let over = self.patience.stop_at.is_some_and(|at| at <= now());
            if over || (self.stopping && self.outbound.is_drained()) {
                return Err(Error::Stopped);
            }
            self.fill()?;
            self.progress();
            let input = match self.wait(&mut offers, cancel).await {
                // The last word itself was lost, and the receiver has left because it heard nothing of us.
                Err(Error::Lost { .. }) if self.was_completed() => return Ok(Counters::default()),
                input => input?,
            };
            match input {
                Input::Datagram(bytes) => self.datagram(&bytes)?,
                Input::Stream(offset, bytes) => self.replies.log.insert(offset, bytes),
                Input::Offer(Some(Offer::Chunk(encoded, file_bytes))) => {
                    if file_bytes > 0 {
                        self.throttle.took_chunk();
                    }
                    self.outbound.offer(encoded, file_bytes);
                }
                Input::Offer(Some(Offer::Idle)) => self.outbound.set_idle(),
                Input::Offer(Some(Offer::Stop)) => {
                    self.stopping = true;
                    self.outbound.set_idle();
                }
                Input::Offer(None) => {
                    offers = None;
                    self.outbound.set_idle();
                }
                Input::Room => self.last_sent = now(),
                Input::Time => {}
            }
        }
    }

    fn on_accepted(&mut self, peer: NodeId) {
        self.accepted = true;
        self.observer.event(&Event::Connected {
            peer: self.connection.remote_address().to_string(),
            key: peer.to_string(),
            transport: "quic",
            rtt_ms: self.connection.rtt().as_millis() as u64,
        });
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// Whether the receiver that has let us in has closed the connection because everything is complete and done.
    pub(super) fn was_completed(&self) -> bool {
        let closed = self.connection.close_reason();
        self.accepted
            && matches!(closed, Some(ConnectionError::ApplicationClosed(closed)) if closed.error_code == close::COMPLETE.into())
            && self.outbound.is_drained()
    }

    async fn wait(&mut self, offers: &mut Option<mpsc::Receiver<Offer>>, cancel: &Cancel) -> Result<Input, Error> {
        let rtt = self.pilot.trip(self.connection.rtt());
        let take_offers = self.outbound.has_room();
        let held = self.throttle.next_chunk().filter(|_| take_offers);
        let due = [
            self.outbound.next_timeout(rtt),
            self.stalled_at(rtt),
            self.patience.stop_at,
            self.throttle.next_timeout(),
            self.pacer.next_timeout(),
            held,
        ]
        .into_iter()
        .flatten()
        .fold(self.meter.due(), Instant::min);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Interrupted),
            datagram = self.connection.read_datagram() => {
                datagram.map(Input::Datagram).map_err(|error| Error::lost(&self.connection, &error))
            }
            Some((offset, bytes)) = self.replies.stream.recv() => Ok(Input::Stream(offset, bytes)),
            offer = next_offer(offers), if take_offers && held.is_none() => Ok(Input::Offer(offer)),
            () = self.pilot.sent() => Ok(Input::Room),
            () = tokio::time::sleep_until(due.into()) => Ok(Input::Time),
        }
    }

    fn datagram(&mut self, bytes: &Bytes) -> Result<(), Error> {
        if let Datagram::Feedback(feedback) = Datagram::decode(bytes)? {
            self.pilot.first_flight(false);
            if feedback.train > 0 && !self.train_told {
                self.train_told = true;
                self.pilot.train_hint(u64::from(feedback.train));
                self.press.hint(u64::from(feedback.train));
                let message = format!("the first burst crossed at {}", Rate(u64::from(feedback.train)));
                self.observer.event(&Event::Detail { message });
            }
            self.hold_to(feedback.allowed);
            self.outbound.on_feedback(now(), &feedback);
            self.tell_parity(now());
            let (report, left) = self.outbound.report();
            self.pilot.report(now(), report, left);
            self.replies.log.insert(u64::from(feedback.offset), feedback.replies);
        }
        Ok(())
    }

    /// The receiver allows that many bytes a second. The user is told once.
    fn hold_to(&mut self, allowed: u32) {
        let before = self.throttle.in_force();
        self.throttle.allow(allowed);
        let limited = self.throttle.in_force().filter(|limit| before != Some(*limit) && allowed > 0);
        if let Some(limit) = limited.filter(|_| !self.limit_told) {
            self.limit_told = true;
            self.observer.event(&Event::Limit { rate: limit.rate.get(), by: LimitedBy::Receiver });
        }
    }

    /// Tells a change of the parity by the table; loss that wavers about a threshold is told once a second.
    fn tell_parity(&mut self, now: Instant) {
        let Some((parity, loss)) = self.outbound.parity_step() else { return };
        if self.parity_told.is_some_and(|(at, told)| told == parity || now < at + TICK) {
            return;
        }
        self.parity_told = Some((now, parity));
        let message = format!("parity: {parity} on 50 data shards, at {:.1} % loss", 100.0 * loss);
        self.observer.event(&Event::Detail { message });
    }

    /// Gives quinn as much as will leave within a few milliseconds, and probes a silent path.
    fn fill(&mut self) -> Result<(), Error> {
        let (now, rtt) = (now(), self.pilot.trip(self.connection.rtt()));
        self.check_silence(now)?;
        self.note_left();
        self.outbound.settle(now, rtt);
        let ahead = self.ahead(rtt);
        self.pacer.refill(now, self.pilot.pace(now));
        while self.queued() < ahead && self.pacer.lets_go() && self.throttle.lets_shard_go() {
            let Some(datagram) = self.outbound.poll_shard(now) else { break };
            self.pacer.sent(datagram.len());
            self.send(datagram)?;
        }
        if let Some(probe) = self.outbound.poll_probe(now, rtt) {
            self.pilot.grant(PROBE_PACKETS);
            self.send(probe)?;
        } else if self.stalled_at(rtt).is_some_and(|at| at <= now) {
            self.last_sent = now;
            self.pilot.grant(PROBE_PACKETS);
            self.send(encode_ping())?;
        }
        Ok(())
    }

    /// When what is queued will have waited for too long. The receiver may be heard well while everything we sent is lost: then the window
    /// is full of packets that quinn gives up only after time-outs that double without a useful bound.
    fn stalled_at(&self, rtt: Duration) -> Option<Instant> {
        (self.queued() > 0).then(|| self.last_sent + rtt + rtt / 2 + STALL)
    }

    fn check_silence(&self, now: Instant) -> Result<(), Error> {
        if !self.accepted && now >= self.patience.accepted_by {
            return Err(ConnectError::NoContact { after: self.patience.contimeout, besides: None }.into());
        }
        if let (Some(heard), Some(at)) = (&self.heard, self.outbound.heard()) {
            heard.tell(at);
        }
        let silence = self.outbound.heard().map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        match self.patience.retry_for {
            // Even one who does not want to wait must wait for an answer.
            RetryFor::Span(span) if silence > span.max(LEAST_PATIENCE + 4 * self.pilot.trip(self.connection.rtt())) => {
                Err(Error::Silent { span: silence })
            }
            _ => Ok(()),
        }
    }

    /// Notes when shards have left: the last time that anything did, if they are not queued any more.
    fn note_left(&mut self) {
        let gone = self.given.saturating_sub(self.queued() as u64);
        let mut next = None;
        while let Some((_, seq)) = self.leaving.front().copied().filter(|(sum, _)| *sum <= gone) {
            self.leaving.pop_front();
            next = Some(seq);
        }
        if let Some((next, at)) = next.zip(self.pilot.last_sent()) {
            self.outbound.left(next, at);
        }
    }

    fn queued(&self) -> usize {
        self.empty_space.saturating_sub(self.connection.datagram_send_buffer_space())
    }

    /// Two shards, or four milliseconds at the present rate.
    fn ahead(&self, rtt: Duration) -> usize {
        let rate = self.pilot.snapshot().window as f64 / rtt.as_secs_f64().max(1e-4);
        ((rate * 0.004) as usize).clamp(2 * MAX_DATAGRAM, AHEAD_MOST)
    }

    fn send(&mut self, datagram: Bytes) -> Result<(), Error> {
        self.throttle.sent(datagram.len());
        self.given += (datagram.len() + QUEUED_OVERHEAD) as u64;
        self.leaving.push_back((self.given, self.outbound.next_seq()));
        self.connection.send_datagram(datagram).map_err(|error| Error::unsent(&self.connection, error))
    }

    fn progress(&mut self) {
        if now() < self.meter.due() {
            return;
        }
        let sent = self.outbound.sent();
        let extra = sent.parity + sent.repair;
        let snapshot = Progress {
            bytes_done: self.outbound.delivered_bytes() + self.tally.bytes_matched(),
            bytes_total: self.bytes_total,
            files_done: self.tally.files_done(),
            loss: self.outbound.loss(),
            parity: extra as f64 / (extra + sent.data).max(1) as f64,
            ..Progress::default()
        };
        if let Some(progress) = self.meter.tick(now(), snapshot) {
            self.observer.event(&Event::Progress(progress));
        }
    }

    /// Tells the receiver that it may leave. Only a courtesy: without it, it waits a while and leaves by itself.
    pub(super) async fn goodbye(&mut self) {
        let byes = BYES[usize::from(self.pilot.link().is_some())];
        self.pilot.grant(byes as u32);
        for _ in 0..byes {
            if self.send(encode_bye()).is_err() {
                return;
            }
        }
        // What is still queued when a connection is closed never leaves.
        let sent = async {
            while self.queued() > 0 {
                self.pilot.sent().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, sent).await;
    }
}

async fn next_offer(offers: &mut Option<mpsc::Receiver<Offer>>) -> Option<Offer> {
    match offers {
        Some(offers) => offers.recv().await,
        None => std::future::pending().await,
    }
}
