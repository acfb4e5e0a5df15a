//! QUIC endpoints and the one transport configuration that all connections have.
//!
//! Invariant: an endpoint is made of a seam's socket under [`Copies`], TLS that pins keys, and the settings below, which are for
//! networks that lose a third of everything; a connection always gets its own congestion controller. Before a peer is accepted by
//! the protocol above it can make us hold [`FIRST_WINDOW`] and the datagram buffer, no more. Dialling is in [`super::dial`],
//! letting in is in [`super::gate`]. There is no idle time-out: how long silence may last is decided above.

use crate::class::Class;
use crate::link::Link;
use crate::network::authority::Authority;
use crate::network::copies::{Copies, Traffic};
use crate::network::early::Early;
use crate::network::identity::Identity;
use crate::network::mtu::{LOCAL_MTU, Local, MTU};
use crate::network::pin::{self, CheckedServer};
use crate::network::reset::ResetKey;
use crate::network::seam::Sockets;
use crate::network::unpadded::Unpadded;
use quinn::congestion::ControllerFactory;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, AsyncUdpSocket, EndpointConfig, TransportConfig, VarInt};
use quinn_proto::RandomConnectionIdGenerator;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Makes the congestion controller of a connection.
pub type Congestion = Arc<dyn ControllerFactory + Send + Sync>;

/// Assumed round trip before the first is measured: quinn's first timer is three times that, and 1 s (its default 333 ms) is too
/// long to wait at 33 % loss.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);
/// quinn's first timer over a link of which the rate is known, as a multiple of the longest wait for an answer, and a packet more: the
/// one that is answered may be the copy.
const FIRST_TIMER: f64 = 1.1;
/// Packets that may arrive out of order before one counts as lost: jitter of 100 ms alone reorders more than quinn's 3.
pub const PACKET_THRESHOLD: u32 = 32;
/// The same as a share of the round trip (RFC 9002, 6.1.2).
pub const TIME_THRESHOLD: f32 = 1.25;
/// Ack-eliciting packets between two of quinn's own ACKs. They ride on the feedback datagrams of the protocol above anyway.
pub const ACK_THRESHOLD: u32 = 100;
/// Reordering that makes quinn acknowledge at once: never.
pub const ACK_REORDERING: u32 = 0;
/// Longest wait for quinn's own ACK. More makes its timers long.
pub const ACK_DELAY: Duration = Duration::from_millis(100);
/// Received datagrams that wait to be read; the oldest are dropped beyond.
pub const DATAGRAM_RECEIVE_BUFFER: usize = 2_000_000;
/// Datagrams that wait to be sent.
pub const DATAGRAM_SEND_BUFFER: usize = 512_000;
/// Stream bytes taken from a peer that is not yet accepted.
pub const FIRST_WINDOW: u32 = 64 * 1024;
/// Stream bytes under way to us afterwards; streams carry manifests and control, never file contents.
pub const OPEN_WINDOW: u32 = 1024 * 1024;

/// Connection attempts that wait for the gate's decision.
const MAX_INCOMING: usize = 256;
/// Bytes kept for each of them beyond its first packet, and for all.
const INCOMING_BUFFER: u64 = 64 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 8 * 1024 * 1024;
/// How long the answer to a Retry is good: it may wait at a full gate (quinn's default is 15 s).
const RETRY_LIFETIME: Duration = Duration::from_secs(60);

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The socket cannot be had.
    #[error("cannot use UDP address {address}: {source}")]
    Bind {
        /// The local address that was wanted.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The identity does not make a TLS configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library has not the cipher of QUIC's first packets.
    #[error("TLS: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
}

impl EndpointError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            EndpointError::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => {
                    Class::Usage
                }
                _ => Class::Network,
            },
            EndpointError::Tls(_) | EndpointError::Cipher(_) => Class::Internal,
        }
    }
}

/// An endpoint that dials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// quinn's endpoint.
    pub quic: quinn::Endpoint,
    /// UDP payload of all its connections.
    pub traffic: Arc<Traffic>,
    /// What the user has said of the link.
    pub link: Option<Link>,
    /// Its connections have no IDs of their own, so there can be one to each address, ever.
    pub(super) once: bool,
    pub(super) local: Local,
}

/// An endpoint that waits for others; [`Gate`](super::gate::Gate) lets them in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The endpoint, which could dial as well.
    pub endpoint: Endpoint,
    pub(super) config: quinn::ServerConfig,
}

/// An endpoint for dialling from `local` (port 0: any; an IPv6 wildcard reaches IPv4 too where the system has it so).
///
/// A `seed` makes the sizes and times of all it sends repeatable; without one they are random.
///
/// Over a slow link its connections have no IDs of their own (RFC 9000, 5.1): quinn would tell the server of five spare ones ahead of the
/// data, 250 bytes. What comes is then known by its address alone, and another attempt at one needs another port: not where that is given.
pub fn dial_endpoint(
    sockets: &dyn Sockets,
    local: SocketAddr,
    seed: Option<u64>,
    link: Option<Link>,
) -> Result<Endpoint, EndpointError> {
    let at = |source| EndpointError::Bind { address: local, source };
    let socket = sockets.bind(local).map_err(at)?;
    let counted = if link.is_some() { Copies::counter(socket) } else { Copies::client(socket) };
    let traffic = counted.traffic();
    let socket = Unpadded::new(counted, link);
    let mut config = endpoint_config(seed, "resilient 2026-11 endpoint seed: dials");
    let once = link.is_some() && local.port() == 0;
    if once {
        config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)));
    }
    let endpoint = endpoint(config, None, socket, traffic, link, Local::of(sockets)).map_err(at)?;
    Ok(Endpoint { once, ..endpoint })
}

/// An endpoint that waits at `local` as `identity`, for those whom `authority` vouches for if there is one.
pub fn listen_endpoint(
    sockets: &dyn Sockets,
    local: SocketAddr,
    seed: Option<u64>,
    link: Option<Link>,
    identity: &Identity,
    authority: Option<&Authority>,
) -> Result<Listener, EndpointError> {
    let at = |source| EndpointError::Bind { address: local, source };
    let tls = QuicServerConfig::try_from(pin::server_config(identity, authority)?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.migration(true);
    config.retry_token_lifetime(RETRY_LIFETIME);
    config.max_incoming(MAX_INCOMING);
    config.incoming_buffer_size(INCOMING_BUFFER);
    config.incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
    let socket = sockets.bind(local).map_err(at)?;
    let socket = if link.is_some() { Copies::slow_server(socket) } else { Copies::server(socket) };
    let mut seeded = endpoint_config(seed, "resilient 2026-11 endpoint seed: listens");
    let reset = ResetKey::new(identity, socket.local_addr().map_err(at)?.port());
    // A simulation repeats what its seed says, IDs as well.
    if seed.is_none() {
        seeded.cid_generator(reset.connection_ids());
    }
    seeded.reset_key(reset.shared());
    let traffic = socket.traffic();
    let socket: Arc<dyn AsyncUdpSocket> = if link.is_some() { Early::new(socket) } else { socket };
    let endpoint = endpoint(seeded, Some(config.clone()), socket, traffic, link, Local::of(sockets)).map_err(at)?;
    Ok(Listener { endpoint, config })
}

/// Lets the peer send [`OPEN_WINDOW`] on streams: to be called once the protocol above has accepted it.
pub fn open_window(connection: &quinn::Connection) {
    connection.set_receive_window(VarInt::from_u32(OPEN_WINDOW));
}

/// The settings of a connection with this controller, over a link of which this was said, in packets of `mtu` bytes.
pub fn transport_config(congestion: Congestion, link: Option<Link>, mtu: u16) -> TransportConfig {
    // Nothing is repeated before the first answer, and an acknowledgement waits for data that it can ride on.
    let initial_rtt = link.map_or(INITIAL_RTT, |link| (link.answer().mul_f64(FIRST_TIMER) + link.packet()) / 3);
    let ack_delay = link.map_or(ACK_DELAY, |link| 2 * link.packet());
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD))
        .reordering_threshold(VarInt::from_u32(ACK_REORDERING))
        .max_ack_delay(Some(ack_delay));
    let mut config = TransportConfig::default();
    config
        .initial_rtt(initial_rtt)
        .packet_threshold(PACKET_THRESHOLD)
        .time_threshold(TIME_THRESHOLD)
        .max_idle_timeout(None)
        .keep_alive_interval(None)
        .initial_mtu(mtu)
        .min_mtu(MTU)
        .mtu_discovery_config(None)
        .ack_frequency_config(Some(acks))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(OPEN_WINDOW))
        .receive_window(VarInt::from_u32(FIRST_WINDOW))
        .send_window(u64::from(OPEN_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .congestion_controller_factory(congestion);
    config
}

/// How a client connects to the server that `server` accepts.
pub(super) fn client_config(
    identity: &Identity,
    server: Arc<CheckedServer>,
    congestion: Congestion,
    link: Option<Link>,
    mtu: u16,
) -> Result<quinn::ClientConfig, EndpointError> {
    let tls = QuicClientConfig::try_from(pin::client_config(identity, server)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport_config(congestion, link, mtu)));
    Ok(config)
}

/// Client and server draw from different seeds, else both would choose the same numbers.
fn endpoint_config(seed: Option<u64>, role: &str) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // Room for what comes from this host; others send less of their own accord.
    config.max_udp_payload_size(LOCAL_MTU).expect("no less than QUIC's least");
    config.rng_seed(seed.map(|seed| blake3::derive_key(role, &seed.to_le_bytes())));
    config
}

fn endpoint(
    config: EndpointConfig,
    server: Option<quinn::ServerConfig>,
    socket: Arc<dyn AsyncUdpSocket>,
    traffic: Arc<Traffic>,
    link: Option<Link>,
    local: Local,
) -> io::Result<Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let quic = quinn::Endpoint::new_with_abstract_socket(config, server, socket, runtime)?;
    Ok(Endpoint { quic, traffic, link, once: false, local })
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
