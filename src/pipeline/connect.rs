//! Reaching the peer: the one place where endpoints, controllers and addresses are put together.

use super::{Cancel, Env, Error, Family, close};
use crate::link::Link;
use crate::network::congestion::{DbwFactory, Pilot};
use crate::network::dial::{self, Dialled};
use crate::network::endpoint::{Congestion, Endpoint, EndpointError, dial_endpoint, listen_endpoint};
use crate::network::gate::{Arrival, Gate};
use crate::network::identity::Identity;
use crate::network::pin::Expected;
use crate::network::seam::Sockets;
use crate::node_id::NodeId;
use crate::ticket::{MAX_ADDRESSES, Secret, Ticket};
use quinn::Connection;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Time for the last packets to leave after a connection is closed.
pub(super) const FLUSH: Duration = Duration::from_millis(2);

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

/// Whom to dial; nobody by default, who has no address.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it may be, in order of preference.
    pub addresses: Vec<SocketAddr>,
    /// Who must answer there.
    pub expected: Expected,
    /// What it will ask for, if it has given us a ticket.
    pub secret: Option<Secret>,
}

impl From<Ticket> for Peer {
    fn from(ticket: Ticket) -> Peer {
        Peer { addresses: ticket.addresses, expected: ticket.key.into(), secret: ticket.secret }
    }
}

/// Local UDP ports to dial from, tried from the first to the last; 0: whichever the system gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The first of them.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

/// A connection that we have made.
pub(super) struct Line {
    pub(super) connection: Connection,
    /// The key that the other side has proved.
    pub(super) peer: NodeId,
    pub(super) pilot: Arc<Pilot>,
    pub(super) endpoint: Endpoint,
}

fn controller(link: Option<Link>) -> (Congestion, Arc<Pilot>) {
    let (factory, pilot) = DbwFactory::over(link);
    (Arc::new(factory), pilot)
}

/// Connects to `peer` at one of its addresses.
pub(super) async fn dial(
    env: &Env,
    peer: &Peer,
    family: Family,
    ports: Ports,
    deadline: Duration,
) -> Result<Line, Error> {
    let addresses = of_family(&peer.addresses, family);
    let outlet = outlets(&*env.sockets, env.seed, env.link, &addresses, ports);
    let expected = peer.expected.clone();
    let Dialled { connection, endpoint, peer, control } =
        dial::dial(outlet, &env.identity, expected, &addresses, deadline, || controller(env.link)).await?;
    Ok(Line { connection, peer, pilot: control, endpoint })
}

/// The key of whoever answers at one of `addresses`: by a handshake with a key made for it, so that nothing of ours is told.
#[expect(clippy::too_many_arguments, reason = "what a connection depends on, and nothing of ours besides")]
pub async fn ask_key(
    sockets: &dyn Sockets,
    seed: Option<u64>,
    link: Option<Link>,
    addresses: &[SocketAddr],
    family: Family,
    ports: Ports,
    deadline: Duration,
    cancel: &Cancel,
) -> Result<NodeId, Error> {
    let addresses = of_family(addresses, family);
    let outlet = outlets(sockets, seed, link, &addresses, ports);
    let nobody = Identity::generate().map_err(|_| Error::Bug)?;
    let dialled = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Interrupted),
        dialled = dial::dial(outlet, &nobody, Expected::default(), &addresses, deadline, || controller(link)) => dialled?,
    };
    hang_up(&dialled.endpoint, close::BROKEN_OFF).await;
    Ok(dialled.peer)
}

fn of_family(addresses: &[SocketAddr], family: Family) -> Vec<SocketAddr> {
    addresses.iter().copied().filter(|address| family.allows(address.ip())).collect()
}

/// Endpoints to dial `addresses` from.
fn outlets(
    sockets: &dyn Sockets,
    mut seed: Option<u64>,
    link: Option<Link>,
    addresses: &[SocketAddr],
    ports: Ports,
) -> impl FnMut() -> Result<Endpoint, EndpointError> {
    let v6 = addresses.iter().any(SocketAddr::is_ipv6);
    move || {
        let outlet = outlet(sockets, seed, link, v6, ports);
        // Another one that draws the same would be taken for the first.
        seed = seed.map(|seed| seed.wrapping_add(1 << 32));
        outlet
    }
}

/// One that reaches IPv6 addresses where the system has such.
fn outlet(
    sockets: &dyn Sockets,
    seed: Option<u64>,
    link: Option<Link>,
    v6: bool,
    ports: Ports,
) -> Result<Endpoint, EndpointError> {
    let bind = |v6| {
        let mut failed = None;
        for port in ports.first..=ports.last {
            match dial_endpoint(sockets, any(v6, port), seed, link) {
                Err(error) if is_taken(&error) => failed = Some(error),
                bound => return bound,
            }
        }
        Err(failed.expect("a range has at least one port"))
    };
    match v6.then(|| bind(true)) {
        Some(Ok(endpoint)) => Ok(endpoint),
        _ => bind(false),
    }
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

impl Door {
    /// The addresses for a ticket, of which there must be one.
    pub(super) fn for_ticket(&self) -> Result<Vec<SocketAddr>, Error> {
        if self.addresses.is_empty() {
            let error = std::io::Error::new(ErrorKind::AddrNotAvailable, "this host has none of that IP version");
            return Err(Error::Address(error));
        }
        Ok(self.addresses.clone())
    }
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
            match listen_endpoint(&*env.sockets, address, env.seed, env.link, &env.identity, env.authority.as_ref()) {
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
    let link = env.link;
    Ok(Door { gate: Gate::new(listener, move || controller(link)), endpoint, addresses, moved })
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
