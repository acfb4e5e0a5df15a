//! Dialling: from addresses to one connection with whom the caller expects there.
//!
//! All addresses are tried, [`STAGGER`] apart, and again every [`REPEAT`] while none answers (quinn alone would double its pauses);
//! the first completed handshake wins and the others are dropped. An address that gave a definite answer is not asked again; only
//! when all have, the dial fails before its deadline. The client is connected before the server has judged its key (TLS 1.3): say
//! so to nobody before the protocol's first answer. Trying again after a failure is the pipeline's.

use crate::class::Class;
use crate::network::endpoint::{self, Congestion, Endpoint, EndpointError};
use crate::network::identity::Identity;
use crate::network::pin::{CheckedServer, Expected, SERVER_NAME};
use crate::node_id::NodeId;
use crate::ticket;
use quinn::{Connection, ConnectionError};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Between the first attempts at two addresses (RFC 8305, connection attempt delay).
pub const STAGGER: Duration = Duration::from_millis(250);
/// Between two attempts at the same address.
pub const REPEAT: Duration = Duration::from_secs(5);
/// Both in answers, over a slow link: an attempt takes the link from those before it, and quinn repeats its packets itself.
const SLOW_STAGGER: f64 = 1.25;
const SLOW_REPEAT: u32 = 4;
/// Attempts at one address that go on at the same time: a handshake may take 15 s before it is given up for newer ones.
const ROUNDS_ALIVE: usize = 3;
/// TLS alert no_application_protocol (RFC 7301) as a QUIC error code (RFC 9001, 4.8).
const NO_APPLICATION_PROTOCOL: u64 = 0x178;
/// QUIC error codes that are TLS alerts.
pub const TLS_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// A connection to whom was expected.
#[derive(Debug)]
pub struct Dialled<C> {
    /// The connection.
    pub connection: Connection,
    /// What it was made from.
    pub endpoint: Endpoint,
    /// The key that the other side has proved to hold.
    pub peer: NodeId,
    /// What came with its congestion controller.
    pub control: C,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Somebody else answers there.
    #[error("{address} has another key: expected {expected}, found {seen}")]
    WrongKey {
        /// Where.
        address: SocketAddr,
        /// The pinned key.
        expected: NodeId,
        /// The key that was shown.
        seen: NodeId,
    },
    /// The authority does not vouch for who answers there.
    #[error("{address} has the key {seen}, and its certificate is not accepted: {cause}")]
    NotVouched {
        /// Where.
        address: SocketAddr,
        /// The key that was shown.
        seen: NodeId,
        /// What is wrong with the certificate.
        cause: String,
    },
    /// The other side speaks no version of the protocol that we do.
    #[error("{0} speaks no protocol version of ours")]
    Version(SocketAddr),
    /// Nobody completed a handshake in time.
    #[error("no answer within {} s{}", after.as_secs_f64(), besides.as_ref().map(|e| format!("; besides, {e}")).unwrap_or_default())]
    NoContact {
        /// The deadline.
        after: Duration,
        /// A definite answer from some, but not all addresses.
        besides: Option<Box<ConnectError>>,
    },
    /// The other side ended the handshake.
    #[error("{address} refused the connection: {reason}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// QUIC's error code.
        code: u64,
        /// What it said.
        reason: String,
    },
    /// There was no address to dial.
    #[error("there is no address to connect to")]
    NoAddress,
    /// This address cannot be dialled from here, as IPv6 from an IPv4 socket.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// The cause.
        source: quinn::ConnectError,
    },
    /// The connection broke while it was made.
    #[error("{address}: {source}")]
    Broken {
        /// Where.
        address: SocketAddr,
        /// The cause.
        source: ConnectionError,
    },
    /// No TLS configuration for this identity.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl ConnectError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            ConnectError::WrongKey { .. } | ConnectError::NotVouched { .. } => Class::Authentication,
            ConnectError::Version(_) => Class::Version,
            ConnectError::NoContact { .. } => Class::NoContact,
            // An alert during the handshake is about keys and certificates; anything else may be better next time.
            ConnectError::Refused { code, .. } if TLS_ALERTS.contains(code) => Class::Authentication,
            ConnectError::Refused { .. } | ConnectError::Unreachable { .. } | ConnectError::Broken { .. } => {
                Class::Network
            }
            ConnectError::NoAddress => Class::Usage,
            ConnectError::Endpoint(error) => error.class(),
        }
    }

    /// The address that need not be asked again soon; a busy or restarting node may answer otherwise the next time.
    fn settles(&self) -> Option<SocketAddr> {
        match self {
            ConnectError::WrongKey { address, .. }
            | ConnectError::NotVouched { address, .. }
            | ConnectError::Version(address)
            | ConnectError::Unreachable { address, .. } => Some(*address),
            ConnectError::Refused { address, code, .. } if TLS_ALERTS.contains(code) => Some(*address),
            _ => None,
        }
    }

    /// Of several addresses' answers the one that tells most.
    fn rank(&self) -> u8 {
        match self {
            ConnectError::WrongKey { .. } | ConnectError::NotVouched { .. } => 5,
            ConnectError::Version(_) => 4,
            ConnectError::Refused { .. } => 3,
            ConnectError::Broken { .. } => 2,
            ConnectError::Unreachable { .. } => 1,
            _ => 0,
        }
    }
}

/// Connects `identity` to whom is `expected` at one of `addresses` (the first 16) within `deadline`, from what `outlet` gives: one endpoint, or
/// over a slow link one for each time that all of them are tried (and none where there is no other one, and the last attempts go on).
///
/// `congestion` makes the controller of each attempt, and whatever controls it. Streams may be used at their full window at once,
/// since the server is whom we wanted.
pub async fn dial<C: Send + 'static>(
    mut outlet: impl FnMut() -> Result<Endpoint, EndpointError>,
    identity: &Identity,
    expected: impl Into<Expected>,
    addresses: &[SocketAddr],
    deadline: Duration,
    mut congestion: impl FnMut() -> (Congestion, C),
) -> Result<Dialled<C>, ConnectError> {
    let (expected, end) = (expected.into(), Instant::now() + deadline);
    let mut endpoint = outlet()?;
    let link = endpoint.link;
    let stagger = link.map_or(STAGGER, |link| link.answer().mul_f64(SLOW_STAGGER));
    let repeat = link.map_or(REPEAT, |link| REPEAT.max(SLOW_REPEAT * link.answer()));
    let mut open: Vec<SocketAddr> = Vec::new();
    for address in addresses.iter().take(ticket::MAX_ADDRESSES) {
        let same = |other: &SocketAddr| {
            (other.ip().to_canonical(), other.port()) == (address.ip().to_canonical(), address.port())
        };
        if !open.iter().any(same) {
            open.push(*address);
        }
    }
    let mut worst = ConnectError::NoAddress;
    let mut attempts: JoinSet<Result<Dialled<C>, ConnectError>> = JoinSet::new();
    let mut alive: VecDeque<AbortHandle> = VecDeque::new();
    let mut round: VecDeque<SocketAddr> = VecDeque::new();
    let (mut next, mut next_round) = (Instant::now(), Instant::now());
    let mut used = false;
    while !open.is_empty() {
        let answer = tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok(answer) => answer,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // An old attempt that made room for a newer one.
                    Err(_) => continue,
                },
            },
            () = sleep_until(end) => {
                let besides = Some(worst).filter(|worst| worst.rank() > 0).map(Box::new);
                return Err(ConnectError::NoContact { after: deadline, besides });
            }
            () = sleep_until(next) => {
                if round.is_empty() {
                    next_round = Instant::now() + repeat;
                    if used && endpoint.once {
                        let Ok(another) = outlet() else {
                            next = next_round;
                            continue;
                        };
                        endpoint = another;
                    }
                    used = true;
                    round.extend(&open);
                }
                let Some(address) = round.pop_front() else { continue };
                let server = CheckedServer::new(expected.clone()).map_err(EndpointError::from)?;
                let (congestion, control) = congestion();
                let config = endpoint::client_config(identity, Arc::clone(&server), congestion, link, endpoint.local.mtu(address.ip()))?;
                next = Instant::now() + stagger;
                if round.is_empty() {
                    next = next.max(next_round);
                }
                match endpoint.quic.connect_with(config, address, SERVER_NAME) {
                    Ok(connecting) => {
                        let (key, endpoint) = (expected.key, endpoint.clone());
                        alive.push_back(attempts.spawn(async move {
                            match (connecting.await, server.seen()) {
                                (Ok(connection), Some(peer)) => Ok(Dialled { connection, endpoint, peer, control }),
                                (Ok(_), None) => unreachable!("TLS asks the verifier before it is done"),
                                (Err(error), seen) => Err(explain(address, key, seen, error)),
                            }
                        }));
                        if alive.len() > ROUNDS_ALIVE * open.len()
                            && let Some(oldest) = alive.pop_front()
                        {
                            oldest.abort();
                        }
                        continue;
                    }
                    Err(source) => Err(ConnectError::Unreachable { address, source }),
                }
            }
        };
        let error = match answer {
            Ok(dialled) => {
                // The first window is more than a slow link holds, and telling of another is a packet in front of the data.
                if link.is_none() {
                    endpoint::open_window(&dialled.connection);
                }
                return Ok(dialled);
            }
            Err(error) => error,
        };
        if let Some(address) = error.settles() {
            open.retain(|other| *other != address);
            round.retain(|other| *other != address);
        }
        if !round.is_empty() {
            next = Instant::now();
        }
        if error.rank() > worst.rank() {
            worst = error;
        }
    }
    Err(worst)
}

/// What the end of an attempt means.
fn explain(
    address: SocketAddr,
    expected: Option<NodeId>,
    seen: Option<NodeId>,
    error: ConnectionError,
) -> ConnectError {
    if let (Some(seen), Some(expected)) = (seen, expected)
        && seen != expected
    {
        return ConnectError::WrongKey { address, expected, seen };
    }
    let (code, reason) = match &error {
        ConnectionError::VersionMismatch => return ConnectError::Version(address),
        ConnectionError::TransportError(error) => {
            let code = u64::from(error.code);
            // An alert of ours, after a certificate was shown: it was not accepted.
            if let Some(seen) = seen.filter(|_| TLS_ALERTS.contains(&code)) {
                return ConnectError::NotVouched { address, seen, cause: error.reason.clone() };
            }
            (code, error.to_string())
        }
        ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), close.to_string()),
        _ => {
            return ConnectError::Broken { address, source: error };
        }
    };
    match code {
        NO_APPLICATION_PROTOCOL => ConnectError::Version(address),
        _ => ConnectError::Refused { address, code, reason },
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
