//! Reaching the peer: the one place where endpoints, controllers and addresses are put together.

use super::{Env, Error, Family};
use crate::network::congestion::{DbwFactory, Pilot};
use crate::network::dial::{self, Dialled};
use crate::network::endpoint::{Congestion, Endpoint, EndpointError, dial_endpoint, listen_endpoint};
use crate::network::gate::{Arrival, Gate};
use crate::ticket::{MAX_ADDRESSES, Ticket};
use quinn::Connection;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Time for the last packets to leave after a connection is closed.
pub(super) const FLUSH: Duration = Duration::from_millis(10);

/// The port that `recv` listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 27183;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// On this address; `None`: on all.
    pub address: Option<IpAddr>,
    /// On this port; 0: on any.
    pub port: u16,
    /// Whether any port will do if that one is taken: tickets carry the port, so it need not be a particular one.
    pub or_any: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: None, port: DEFAULT_PORT, or_any: true }
    }
}

/// A connection that we have made.
pub(super) struct Line {
    pub(super) connection: Connection,
    pub(super) pilot: Arc<Pilot>,
    pub(super) endpoint: Endpoint,
}

fn controller() -> (Congestion, Arc<Pilot>) {
    let (factory, pilot) = DbwFactory::new();
    (Arc::new(factory), pilot)
}

/// Connects to the node that `ticket` names, at one of its addresses.
pub(super) async fn dial(env: &Env, ticket: &Ticket, family: Family, deadline: Duration) -> Result<Line, Error> {
    let addresses: Vec<_> = ticket.addresses.iter().copied().filter(|address| family.allows(address.ip())).collect();
    let v6 = addresses.iter().any(SocketAddr::is_ipv6);
    let endpoint = match v6.then(|| dial_endpoint(&*env.sockets, any(true, 0), env.seed)) {
        Some(Ok(endpoint)) => endpoint,
        _ => dial_endpoint(&*env.sockets, any(false, 0), env.seed)?,
    };
    let Dialled { connection, control } =
        dial::dial(&endpoint, &env.identity, ticket.key, &addresses, deadline, controller).await?;
    Ok(Line { connection, pilot: control, endpoint })
}

fn any(v6: bool, port: u16) -> SocketAddr {
    let ip = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    SocketAddr::new(ip, port)
}

/// Where others come in.
pub(super) struct Door {
    gate: Gate<Arc<Pilot>>,
    pub(super) endpoint: Endpoint,
    /// The addresses for a ticket.
    pub(super) addresses: Vec<SocketAddr>,
    /// The port that was wanted was taken.
    pub(super) moved: bool,
}

/// Listens.
pub(super) fn listen(env: &Env, listen: Listen, family: Family) -> Result<Door, Error> {
    let wanted = |port| match (listen.address, family) {
        (Some(address), _) => vec![SocketAddr::new(address, port)],
        (None, Family::V4) => vec![any(false, port)],
        (None, Family::V6) => vec![any(true, port)],
        // An IPv6 wildcard takes IPv4 as well, where the system has IPv6 at all.
        (None, Family::Any) => vec![any(true, port), any(false, port)],
    };
    let bind = |port| {
        let mut failed = None;
        for address in wanted(port) {
            match listen_endpoint(&*env.sockets, address, env.seed, &env.identity) {
                Ok(listener) => return Ok(listener),
                Err(error) if is_taken(&error) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.expect("there is at least one address to try"))
    };
    let (listener, moved) = match bind(listen.port) {
        Err(error) if listen.or_any && is_taken(&error) => (bind(0)?, true),
        bound => (bound?, false),
    };
    let endpoint = listener.endpoint.clone();
    let addresses = reachable(env, &endpoint, listen.address, family)?;
    Ok(Door { gate: Gate::new(listener, controller), endpoint, addresses, moved })
}

fn is_taken(error: &EndpointError) -> bool {
    matches!(error, EndpointError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

fn reachable(env: &Env, endpoint: &Endpoint, bound: Option<IpAddr>, family: Family) -> Result<Vec<SocketAddr>, Error> {
    let local = endpoint.quic.local_addr().map_err(Error::Address)?;
    let ips = match bound.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => vec![ip],
        None => env.sockets.addresses().map_err(Error::Address)?,
    };
    let usable = |ip: &IpAddr| family.allows(*ip) && (local.is_ipv6() || ip.is_ipv4());
    Ok(ips.into_iter().filter(usable).take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, local.port())).collect())
}

impl Door {
    /// The next peer whose handshake is complete; `None` once the door is closed. Must be asked all the time.
    pub(super) async fn next(&mut self) -> Option<Arrival<Arc<Pilot>>> {
        self.gate.accept().await
    }
}

impl Door {
    /// A peer at `address` was not let in.
    pub(super) fn failed(&self, address: IpAddr) {
        self.gate.failed(address);
    }
}

/// Closes an endpoint, and what connections it still has with `code`, and lets its last packets leave.
pub(super) async fn hang_up(endpoint: &Endpoint, code: u32) {
    endpoint.quic.close(code.into(), b"");
    // Longer would only serve a peer whose last packet was lost, and it ends without us.
    let _ = tokio::time::timeout(FLUSH, endpoint.quic.wait_idle()).await;
}
