//! Greeting at the receiver: who comes, and whether they may.
//!
//! Invariant: until [`Admission::admit`] has said yes, nothing is written, at most 64 KiB are held, and the peer knows nothing but that we
//! exist. In TLS 1.3 a client believes it is connected before its key was judged; only the accepted hello means anything.

use super::error::Error;
use super::inward::{Inward, Received};
use super::{Cancel, RetryFor, close};
use crate::class::Class;
use crate::network::congestion::Pilot;
use crate::network::gate::Pass;
use crate::node_id::NodeId;
use crate::ticket::Secret;
use crate::transfer::Delivered;
use crate::wire::WireError;
use crate::wire::chunk::{self, Chunk};
use crate::wire::control::{self, Control, Hello, Refusal, SessionId, bounded_text};
use crate::wire::reply::Reply;
use quinn::Connection;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for a connected peer to say hello.
const HELLO: Duration = Duration::from_secs(30);
/// Time that a refused peer gets to hear why.
const REFUSAL: Duration = Duration::from_secs(5);
/// A session whose sender was silent for this long may be taken over by another one of the same key.
const STALE: Duration = Duration::from_secs(5);

/// A peer that has said hello.
pub(super) struct Guest {
    pub(super) inward: Inward,
    pub(super) hello: Hello,
    pub(super) node: NodeId,
    /// Chunks that arrived so far, the one with the hello among them.
    pub(super) held: Vec<Delivered>,
    /// Counts the peer as half-open until it is let in or sent away.
    _pass: Pass,
}

/// Waits for the hello on a new connection, [`HELLO`] at most whatever else the peer says.
pub(super) async fn greet(
    connection: Connection,
    pilot: Arc<Pilot>,
    node: NodeId,
    pass: Pass,
) -> (IpAddr, Result<Guest, Error>) {
    let address = connection.remote_address().ip();
    let greeted = tokio::time::timeout(HELLO, hear(connection, pilot, node, pass)).await;
    (address, greeted.unwrap_or(Err(Error::Silent { span: HELLO })))
}

async fn hear(connection: Connection, pilot: Arc<Pilot>, node: NodeId, pass: Pass) -> Result<Guest, Error> {
    let mut inward = Inward::new(connection, pilot);
    let mut held = Vec::new();
    loop {
        let delivered = match inward.next(RetryFor::Span(HELLO)).await? {
            Received::Chunk(delivered) => delivered,
            Received::Bye => return Err(Error::Lost { cause: "the peer left".into() }),
        };
        let hello = match chunk::decode(&delivered.bytes)? {
            Chunk::Control { order: 0, messages } => match control::decode_all(&messages)?.into_iter().next() {
                Some(Control::Hello(hello)) => Some(hello),
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

/// Tells a guest why not, as long as it listens.
pub(super) async fn refuse(mut guest: Guest, class: Class, message: String, cancel: Cancel) {
    guest.inward.reply(&Reply::Refused(Refusal {
        code: class.code(),
        message: bounded_text(&message),
        retry_after: 0,
    }));
    let until_gone = async {
        while guest
            .inward
            .next(RetryFor::Span(REFUSAL))
            .await
            .is_ok_and(|received| matches!(received, Received::Chunk(_)))
        {}
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        // It has most likely hung up well before that.
        _ = tokio::time::timeout(REFUSAL, until_gone) => {}
    }
    guest.inward.connection.close(close::REFUSED.into(), b"refused");
}

/// The one-time ticket of this receiver and who has spent it.
pub(super) struct Admission {
    secret: Secret,
    issued: Instant,
    life: Duration,
    /// The first key that spent it; it may come again until its session ends.
    spent_by: Option<NodeId>,
}

impl Admission {
    pub(super) fn new(secret: Secret, issued: Instant, life: Duration) -> Self {
        Self { secret, issued, life, spent_by: None }
    }

    /// Whether the ticket can still be spent by somebody, or has been.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.spent_by.is_none().then(|| self.issued + self.life)
    }

    /// Whether `guest` may come in; `running` is the session that is being received and when its sender was last heard.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        node: NodeId,
        hello: &Hello,
        running: Option<(SessionId, Instant)>,
    ) -> Result<(), (Class, String)> {
        if hello.version != crate::wire::VERSION {
            return Err((
                Class::Version,
                format!("speaks protocol version {}, not {}", crate::wire::VERSION, hello.version),
            ));
        }
        let refuse = |message: &str| Err((Class::Authentication, message.to_string()));
        let Some(secret) = hello.secret else {
            return refuse("asks for a ticket; this sender has shown none");
        };
        if self.secret.hash() != Secret::from_bytes(secret).hash() {
            return refuse("the ticket is not one of this receiver's");
        }
        match self.spent_by {
            Some(spender) if spender != node => return refuse("the ticket has been used by another sender"),
            None if now.saturating_duration_since(self.issued) > self.life => return refuse("the ticket has expired"),
            _ => {}
        }
        if let Some((session, heard)) = running
            && session != hello.session
            && now.saturating_duration_since(heard) < STALE
        {
            return Err((Class::Busy, "another transfer of this ticket is under way".into()));
        }
        self.spent_by = Some(node);
        Ok(())
    }
}
