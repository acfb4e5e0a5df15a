//! Greeting: the first words of a connection, whoever has dialled.
//!
//! A sender that dials says its hello at once; a receiver that dials asks, and the sender answers with its hello or a refusal. Invariant:
//! until the hello or the question was judged ([`super::admission`]), nothing is written, at most 64 KiB and the hello are held, and a peer knows
//! nothing but that we exist, and whether we send or receive. In TLS 1.3 a client believes it is connected before its key was judged; only the answer means anything.

use super::admission::same_version;
use super::connect::Line;
use super::error::{Error, Side};
use super::inward::{Inward, Received};
use super::replies::Replies;
use super::{Cancel, RetryFor, close};
use crate::class::Class;
use crate::link::Link;
use crate::network::congestion::Pilot;
use crate::network::gate::{Arrival, Pass};
use crate::node_id::NodeId;
use crate::transfer::{Delivered, Outbound, Parity};
use crate::wire::WireError;
use crate::wire::chunk::{self, Chunk, encode_control};
use crate::wire::codec;
use crate::wire::control::{self, Control, Hello, Refusal, bounded_text};
use crate::wire::reply::Reply;
use quinn::Connection;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that anybody has to say the first word: those who say nothing take places from others.
const LONGEST: Duration = Duration::from_secs(600);
/// Time that a refused peer gets to hear why.
const REFUSAL: Duration = Duration::from_secs(5);
/// The same in answers, over a slow link.
const SLOW_REFUSAL: u32 = 3;
/// How often a refusal is looked after while nothing is heard.
const REPEAT: Duration = Duration::from_millis(50);

/// A sender that has said hello.
pub(super) struct Guest {
    pub(super) inward: Inward,
    pub(super) hello: Hello,
    pub(super) node: NodeId,
    /// Chunks that arrived so far, the one with the hello among them.
    pub(super) held: Vec<Delivered>,
    /// Counts a peer that came to us as half-open until it is let in or sent away.
    _pass: Option<Pass>,
}

/// Waits for the hello on a new connection, for `within` at most whatever else the peer says.
pub(super) async fn greet(arrival: Arrival<Arc<Pilot>>, within: Duration) -> (IpAddr, Result<Guest, Error>) {
    let within = within.min(LONGEST);
    let Arrival { connection, peer, control, pass } = arrival;
    let address = connection.remote_address().ip();
    let inward = Inward::new(connection, control);
    let greeted = tokio::time::timeout(within, hear(inward, peer, Some(pass), within)).await;
    (address, greeted.unwrap_or(Err(Error::Silent { span: within })))
}

/// Asks the sender at the other end of `line` to send, and waits for its hello until `deadline`. One of another version is told so.
pub(super) async fn ask(
    line: &Line,
    node: NodeId,
    secret: Option<[u8; 16]>,
    deadline: Duration,
    cancel: Cancel,
) -> Result<Guest, Error> {
    let mut inward = Inward::new(line.connection.clone(), line.pilot.clone());
    inward.ask(&Reply::Ask { version: crate::wire::VERSION, secret });
    let heard = tokio::time::timeout(deadline, hear(inward, node, None, deadline)).await;
    let guest = heard.unwrap_or(Err(Error::Silent { span: deadline }))?;
    let Err(refused) = same_version(guest.hello.version) else { return Ok(guest) };
    let (ours, theirs) = (crate::wire::VERSION, guest.hello.version);
    refuse(guest, refused, cancel).await;
    let message = format!("speaks protocol version {theirs}, not {ours}");
    Err(Error::Declined { class: Class::Version, message })
}

async fn hear(mut inward: Inward, node: NodeId, pass: Option<Pass>, patience: Duration) -> Result<Guest, Error> {
    let mut held = Vec::new();
    loop {
        let delivered = match inward.next(RetryFor::Span(patience)).await? {
            Received::Chunk(delivered) => delivered,
            Received::Bye => return Err(Error::Lost { cause: "the peer left".into() }),
            Received::Feedback => {
                // Two receivers: the other one is told, and whoever is expected here can still come.
                inward.connection.close(close::RECEIVES.into(), b"receives, too");
                return Err(Error::same_side(&inward.connection, Side::Receiver));
            }
        };
        let hello = match chunk::decode(&delivered.bytes)? {
            Chunk::Control { order: 0, messages } => match control::decode_all(&messages)?.into_iter().next() {
                Some(Control::Hello(hello)) => Some(hello),
                Some(Control::Refused(refusal)) if pass.is_none() => {
                    return Err(Error::refused(Side::Sender, refusal));
                }
                _ => return Err(WireError::Range("hello").into()),
            },
            _ => None,
        };
        held.push(delivered);
        if let Some(hello) = hello {
            return Ok(Guest { inward, hello, node, held, _pass: pass });
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) class: Class,
    pub(super) message: String,
    /// Seconds after which it may come again; 0: it need not.
    pub(super) retry_after: u32,
}

impl Refused {
    pub(super) fn new(class: Class, message: impl Into<String>) -> Refused {
        Refused { class, message: message.into(), retry_after: 0 }
    }

    fn wire(&self) -> Refusal {
        Refusal { code: self.class.code(), message: bounded_text(&self.message), retry_after: self.retry_after }
    }
}

/// Tells a guest why not, as long as it listens.
pub(super) async fn refuse(mut guest: Guest, refused: Refused, cancel: Cancel) {
    guest.inward.reply(&Reply::Refused(refused.wire()));
    let patience = guest.inward.silence(REFUSAL);
    let until_gone = async {
        while guest
            .inward
            .next(RetryFor::Span(patience))
            .await
            .is_ok_and(|received| matches!(received, Received::Chunk(_)))
        {}
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        // It has most likely hung up well before that.
        _ = tokio::time::timeout(patience, until_gone) => {}
    }
    guest.inward.connection.close(close::REFUSED.into(), b"refused");
}

/// A receiver that has dialled us and asked.
pub(super) struct Caller {
    pub(super) connection: Connection,
    pub(super) pilot: Arc<Pilot>,
    pub(super) replies: Replies,
    pub(super) node: NodeId,
    pub(super) version: u16,
    pub(super) secret: Option<[u8; 16]>,
    _pass: Pass,
}

/// Waits for the question on a new connection, for `within` at most.
pub(super) async fn listen_to(arrival: Arrival<Arc<Pilot>>, within: Duration) -> (IpAddr, Result<Caller, Error>) {
    let within = within.min(LONGEST);
    let Arrival { connection, peer, control, pass } = arrival;
    let address = connection.remote_address().ip();
    let mut replies = Replies::of(&connection);
    let asked = match tokio::time::timeout(within, replies.first(&connection)).await {
        Ok(Ok(Reply::Ask { version, secret })) => {
            let connection = connection.clone();
            Ok(Caller { connection, pilot: control, replies, node: peer, version, secret, _pass: pass })
        }
        Ok(Ok(_)) => Err(WireError::Range("question").into()),
        Ok(Err(error)) => {
            if matches!(error, Error::SameSide { .. }) {
                connection.close(close::SENDS.into(), b"sends, too");
            }
            Err(error)
        }
        Err(_) => Err(Error::Silent { span: within }),
    };
    if asked.is_err() {
        // Whoever reads its replies still holds it open.
        connection.close(close::BROKEN_OFF.into(), b"");
    }
    (address, asked)
}

/// Tells a receiver that has asked why it gets nothing, as long as it listens.
pub(super) async fn turn_away(caller: Caller, refused: Refused, cancel: Cancel) {
    let Caller { connection, replies, pilot, .. } = caller;
    let link = pilot.link();
    let repeat = link.map_or(REPEAT, Link::packet);
    let patience = link.map_or(REFUSAL, |link| REFUSAL.max(SLOW_REFUSAL * link.answer()));
    let trip = || pilot.trip(connection.rtt());
    // Its replies are not read any more: whether it has heard is seen by its leaving.
    drop(replies);
    let mut message = Vec::new();
    codec::encode(&Control::Refused(refused.wire()), &mut message);
    let chunk = encode_control(0, &message);
    let until_gone = async {
        let mut outbound = Outbound::over(link, Instant::now().into_std(), Parity::Auto);
        outbound.offer(chunk, 0);
        outbound.set_idle();
        loop {
            let now = Instant::now();
            let next = outbound.poll_shard(now.into_std());
            let next = next.or_else(|| outbound.poll_probe(now.into_std(), trip()));
            if next.is_some_and(|datagram| connection.send_datagram(datagram).is_err()) {
                return;
            }
            tokio::select! {
                biased;
                _ = connection.closed() => return,
                () = tokio::time::sleep_until(now + repeat) => outbound.settle(Instant::now().into_std(), trip()),
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        _ = tokio::time::timeout(patience, until_gone) => {}
    }
    connection.close(close::BROKEN_OFF.into(), b"refused");
}
