//! Connections made by hand, over a simulated network or real UDP, and the receiver that lies on one.
//!
//! A [`Wire`] is made by dialling or in a [`Lair`]; who speaks on it, a [`Liar`] or a [`Peer`](super::peer::Peer) that sends, does not
//! depend on that.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use super::peer::{RECEIVER, SECRET, fresh};
use crate::sim::Net;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AsyncUdpSocket, Connection, Endpoint, EndpointConfig, TokioRuntime, VarInt};
use resilient::network::endpoint::transport_config;
use resilient::network::identity::Identity;
use resilient::network::pin::{self, CheckedServer, SERVER_NAME};
use resilient::network::seam::{Sockets as _, UdpSockets};
use resilient::ticket::{Secret, Ticket};
use resilient::wire::datagram::Feedback;
use resilient::wire::reply::{self, Reply};
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection, and the endpoint that it needs.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) endpoint: Endpoint,
}

fn seeded() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&fresh().to_le_bytes());
    seed[8] = 0xee;
    config.rng_seed(Some(seed));
    config
}

/// A socket of this machine.
pub(crate) fn loopback() -> Arc<dyn AsyncUdpSocket> {
    UdpSockets.bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

impl Wire {
    /// To whoever gave out `ticket`; `streams`: how many it may open.
    pub(crate) async fn dial(
        socket: Arc<dyn AsyncUdpSocket>,
        identity: &Identity,
        ticket: &Ticket,
        streams: u32,
    ) -> Result<Wire, quinn::ConnectionError> {
        let tls = pin::client_config(identity, CheckedServer::new(ticket.key).unwrap()).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = transport_config(Arc::new(quinn::congestion::NewRenoConfig::default()), None, 1200);
        transport.max_concurrent_uni_streams(VarInt::from_u32(streams)).receive_window(VarInt::from_u32(1 << 20));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::new_with_abstract_socket(seeded(), None, socket, Arc::new(TokioRuntime)).unwrap();
        let connection = endpoint.connect_with(config, ticket.addresses[0], SERVER_NAME).unwrap().await?;
        Ok(Wire { connection, endpoint })
    }
}

/// Where somebody made by hand waits.
pub(crate) struct Lair {
    pub(crate) ticket: Ticket,
    endpoint: Endpoint,
}

pub(crate) fn lair(net: &Net) -> Lair {
    let socket = net.host(RECEIVER).bind(SocketAddr::new(RECEIVER, 27183)).unwrap();
    Lair::at(socket, pin::ALPN)
}

impl Lair {
    /// At this socket, for those who speak `protocol`.
    pub(crate) fn at(socket: Arc<dyn AsyncUdpSocket>, protocol: &[u8]) -> Lair {
        let identity = Identity::generate().unwrap();
        let mut tls = pin::server_config(&identity, None).unwrap();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport_config(
            Arc::new(quinn::congestion::NewRenoConfig::default()),
            None,
            1200,
        )));
        let address = socket.local_addr().unwrap();
        let endpoint =
            Endpoint::new_with_abstract_socket(seeded(), Some(config), socket, Arc::new(TokioRuntime)).unwrap();
        Lair { ticket: Ticket::new(identity.node_id(), [address], Some(Secret::from_bytes(SECRET))), endpoint }
    }

    /// Whoever comes.
    pub(crate) async fn arrival(self) -> Wire {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        Wire { connection, endpoint: self.endpoint }
    }

    /// Whoever comes, and does not come in.
    pub(crate) async fn met(self) -> quinn::ConnectionError {
        self.endpoint.accept().await.unwrap().await.unwrap_err()
    }

    /// The sender that comes.
    pub(crate) async fn accept(self) -> Liar {
        Liar::on(self.arrival().await).await
    }
}

/// A receiver made by hand.
pub(crate) struct Liar {
    pub(crate) connection: Connection,
    stream: quinn::SendStream,
    log: Vec<u8>,
    _endpoint: Endpoint,
}

impl Liar {
    pub(crate) async fn on(Wire { connection, endpoint }: Wire) -> Liar {
        let stream = connection.open_uni().await.unwrap();
        Liar { connection, stream, log: Vec::new(), _endpoint: endpoint }
    }

    /// Says something on the reply stream.
    pub(crate) async fn say(&mut self, reply: &Reply) {
        let before = self.log.len();
        reply::append(reply, &mut self.log);
        let bytes = self.log[before..].to_vec();
        let _ = self.stream.write_all(&bytes).await;
    }

    pub(crate) fn feedback(&self, feedback: &Feedback) {
        let _ = self.connection.send_datagram(feedback.encode());
    }

    /// Waits for the first datagram of the sender.
    pub(crate) async fn heard(&self) {
        self.connection.read_datagram().await.unwrap();
    }
}
