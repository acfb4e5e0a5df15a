//! The socket of copies against a recorder, and against a real handshake.

use super::*;
use std::collections::VecDeque;
use tokio::time::Instant;

/// A socket that writes down what is sent and when, and receives what it is told to.
#[derive(Debug)]
struct Recorder {
    start: Instant,
    sent: Mutex<Vec<(u64, SocketAddr, Vec<u8>)>>,
    inbox: Mutex<VecDeque<(SocketAddr, Vec<u8>, usize)>>,
    blocked: Mutex<bool>,
}

impl Recorder {
    fn new() -> Arc<Recorder> {
        Arc::new(Recorder {
            start: Instant::now(),
            sent: Mutex::default(),
            inbox: Mutex::default(),
            blocked: Mutex::new(false),
        })
    }

    /// (milliseconds, first byte, length) of everything sent so far.
    fn log(&self) -> Vec<(u64, u8, usize)> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(at, _, contents)| (*at, contents[0], contents.len())).collect()
    }
}

#[derive(Debug)]
struct Ready;

impl UdpPoller for Ready {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Recorder {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Ready)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if *self.blocked.lock().unwrap() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let at = self.start.elapsed().as_millis() as u64;
        for contents in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len())) {
            self.sent.lock().unwrap().push((at, transmit.destination, contents.to_vec()));
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some((addr, contents, stride)) = self.inbox.lock().unwrap().pop_front() else {
            return Poll::Pending;
        };
        bufs[0][..contents.len()].copy_from_slice(&contents);
        meta[0] = RecvMeta { addr, len: contents.len(), stride, ecn: None, dst_ip: None };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(peer(1))
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// A packet of version 1 with this first byte, connection IDs of eight bytes and this length.
fn packet(first: u8, destination: u8, source: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![first];
    if first & 0x80 != 0 {
        packet.extend([0, 0, 0, 1, 8]);
        packet.extend([destination; 8]);
        packet.push(8);
        packet.extend([source; 8]);
    } else {
        packet.extend([destination; 8]);
    }
    packet.resize(len, 0);
    packet
}

const INITIAL: u8 = 0xC0;
const HANDSHAKE: u8 = 0xE0;
const RETRY: u8 = 0xF0;
const SHORT: u8 = 0x40;

fn send(socket: &Copies, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
    socket.try_send(&Transmit { destination: peer(2), ecn: None, contents, segment_size, src_ip: None })
}

/// Lets the socket receive this from `peer(2)`.
fn receive(recorder: &Recorder, socket: &Copies, contents: Vec<u8>, stride: usize) {
    recorder.inbox.lock().unwrap().push_back((peer(2), contents, stride));
    let mut buffer = [0; 4096];
    let mut bufs = [IoSliceMut::new(&mut buffer)];
    let mut meta = [RecvMeta::default()];
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(socket.poll_recv(&mut cx, &mut bufs, &mut meta).is_ready());
}

async fn pass(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Goes through a second of virtual time, every timer on its own millisecond.
async fn second() {
    for _ in 0..1000 {
        pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_sends_eight_times() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    send(&socket, &packet(INITIAL, 1, 2, 1200), None).unwrap();
    assert_eq!(recorder.log(), [(0, INITIAL, 1200); 3], "two copies have gone before the call returns");
    second().await;
    let times: Vec<u64> = recorder.log().iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [0, 0, 0, 6, 26, 70, 150, 300]);
    assert_eq!(socket.sent_bytes(), 8 * 1200);
}

#[tokio::test(start_paused = true)]
async fn the_copy_of_the_handshake_goes_ahead_of_the_data_in_the_same_batch() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    let batch = [packet(HANDSHAKE, 1, 2, 500), packet(SHORT, 1, 0, 500), packet(SHORT, 1, 0, 300)].concat();
    send(&socket, &batch, Some(500)).unwrap();
    let handshake = (0, HANDSHAKE, 500);
    let expected = [handshake, handshake, handshake, (0, SHORT, 500), (0, SHORT, 300)];
    assert_eq!(recorder.log(), expected);
    second().await;
    assert!(recorder.log()[5..].iter().all(|(_, first, len)| (*first, *len) == (HANDSHAKE, 500)));
    assert_eq!(recorder.log().len(), 5 + 5);
}

#[tokio::test(start_paused = true)]
async fn data_retry_and_version_negotiation_go_once() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    let mut negotiation = packet(INITIAL, 1, 2, 60);
    negotiation[1..5].fill(0);
    for contents in [packet(SHORT, 1, 0, 1200), packet(RETRY, 1, 2, 90), negotiation] {
        send(&socket, &contents, None).unwrap();
    }
    second().await;
    assert_eq!(recorder.log(), [(0, SHORT, 1200), (0, RETRY, 90), (0, INITIAL, 60)]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_full_is_said_so_and_makes_no_copies() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    *recorder.blocked.lock().unwrap() = true;
    let error = send(&socket, &packet(INITIAL, 1, 2, 1200), None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    *recorder.blocked.lock().unwrap() = false;
    second().await;
    assert!(recorder.log().is_empty());
    assert_eq!(socket.sent_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_copy_outlives_the_socket() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    let traffic = socket.traffic();
    send(&socket, &packet(INITIAL, 1, 2, 1200), None).unwrap();
    pass(6).await;
    drop(socket);
    second().await;
    assert_eq!(recorder.log().len(), 4);
    assert_eq!(traffic.sent_bytes(), 4800);
}

#[tokio::test(start_paused = true)]
async fn a_server_sends_three_times_within_its_credit() {
    let recorder = Recorder::new();
    let socket = Copies::server(recorder.clone());
    receive(&recorder, &socket, packet(INITIAL, 1, 2, 1200), 1200);
    assert_eq!(socket.received_bytes(), 1200);
    send(&socket, &packet(INITIAL, 2, 7, 1000), None).unwrap();
    second().await;
    assert_eq!(recorder.log(), [(0, INITIAL, 1000), (9, INITIAL, 1000), (70, INITIAL, 1000)]);
    // 600 bytes are left, for quinn's own sends as well.
    send(&socket, &packet(INITIAL, 2, 7, 700), None).unwrap();
    second().await;
    assert_eq!(recorder.log().len(), 3);
    send(&socket, &packet(INITIAL, 2, 7, 600), None).unwrap();
    second().await;
    assert_eq!(recorder.log().len(), 4);
    assert_eq!(socket.sent_bytes(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_the_address_lifts_the_bound_and_ends_late_copies() {
    let recorder = Recorder::new();
    let socket = Copies::server(recorder.clone());
    receive(&recorder, &socket, packet(INITIAL, 1, 2, 1200), 1200);
    send(&socket, &packet(INITIAL, 2, 7, 1200), None).unwrap();
    // Two datagrams in one buffer; the second uses the connection ID of the server.
    let batch = [packet(INITIAL, 1, 2, 200), packet(HANDSHAKE, 7, 2, 200)].concat();
    receive(&recorder, &socket, batch, 200);
    for _ in 0..5 {
        send(&socket, &packet(HANDSHAKE, 2, 7, 1200), None).unwrap();
    }
    second().await;
    assert_eq!(recorder.log().len(), 6 * 2);
}

#[tokio::test(start_paused = true)]
async fn data_is_left_to_quinn() {
    let recorder = Recorder::new();
    let socket = Copies::server(recorder.clone());
    receive(&recorder, &socket, packet(INITIAL, 1, 2, 1200), 1200);
    for _ in 0..10 {
        send(&socket, &packet(SHORT, 2, 0, 1200), None).unwrap();
    }
    assert_eq!(recorder.log().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_real_handshake_proves_the_address() {
    use crate::network::dial::dial;
    use crate::network::endpoint::{Congestion, dial_endpoint};
    use crate::network::identity::Identity;
    use crate::network::seam::Sockets as _;
    use crate::network::{hub::Hub, pin};

    let (hub, identity) = (Hub::new(|_| true), Identity::generate().unwrap());
    let address = SocketAddr::from(([10, 0, 0, 1], 1));
    let addresses = [address];
    let socket = Copies::server(hub.host([10, 0, 0, 1]).bind(address).unwrap());
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(pin::server_config(&identity, None).unwrap()).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let runtime = Arc::new(quinn::TokioRuntime);
    let server = quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(config),
        socket.clone(),
        runtime,
    )
    .unwrap();
    let client = dial_endpoint(&hub.host([10, 0, 0, 2]), SocketAddr::from(([0, 0, 0, 0], 0)), None, None).unwrap();
    let from = client.quic.local_addr().unwrap();
    let proved = || socket.credit.as_ref().unwrap().lock().unwrap().proved(from);
    let cubic = || (Arc::new(quinn::congestion::CubicConfig::default()) as Congestion, ());
    let dialling = dial(&client, &identity, identity.node_id(), &addresses, Duration::from_secs(9), cubic);
    let accepting = async {
        let incoming = server.accept().await.unwrap();
        assert!(!proved(), "one packet from a forged address would be no proof");
        incoming.await.unwrap()
    };
    let (dialled, accepted) = tokio::join!(dialling, accepting);
    assert!(proved());
    drop((dialled, accepted));
}
