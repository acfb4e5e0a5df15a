//! The socket of copies against a recorder, and against a real handshake.

use super::*;
use crate::network::recorder::{HANDSHAKE, INITIAL, RETRY, Recorder, SHORT, packet, pass, receive, second, send};

#[tokio::test(start_paused = true)]
async fn a_client_sends_eight_times() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    send(socket.as_ref(), &packet(INITIAL, 1, 2, 1200), None).unwrap();
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
    send(socket.as_ref(), &batch, Some(500)).unwrap();
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
        send(socket.as_ref(), &contents, None).unwrap();
    }
    second().await;
    assert_eq!(recorder.log(), [(0, SHORT, 1200), (0, RETRY, 90), (0, INITIAL, 60)]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_full_is_said_so_and_makes_no_copies() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    recorder.block(true);
    let error = send(socket.as_ref(), &packet(INITIAL, 1, 2, 1200), None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    recorder.block(false);
    second().await;
    assert!(recorder.log().is_empty());
    assert_eq!(socket.sent_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_copy_outlives_the_socket() {
    let recorder = Recorder::new();
    let socket = Copies::client(recorder.clone());
    let traffic = socket.traffic();
    send(socket.as_ref(), &packet(INITIAL, 1, 2, 1200), None).unwrap();
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
    receive(&recorder, socket.as_ref(), packet(INITIAL, 1, 2, 1200), 1200);
    assert_eq!(socket.received_bytes(), 1200);
    send(socket.as_ref(), &packet(INITIAL, 2, 7, 1000), None).unwrap();
    second().await;
    assert_eq!(recorder.log(), [(0, INITIAL, 1000), (9, INITIAL, 1000), (70, INITIAL, 1000)]);
    // 600 bytes are left, for quinn's own sends as well.
    send(socket.as_ref(), &packet(INITIAL, 2, 7, 700), None).unwrap();
    second().await;
    assert_eq!(recorder.log().len(), 3);
    send(socket.as_ref(), &packet(INITIAL, 2, 7, 600), None).unwrap();
    second().await;
    assert_eq!(recorder.log().len(), 4);
    assert_eq!(socket.sent_bytes(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_the_address_lifts_the_bound_and_ends_late_copies() {
    let recorder = Recorder::new();
    let socket = Copies::server(recorder.clone());
    receive(&recorder, socket.as_ref(), packet(INITIAL, 1, 2, 1200), 1200);
    send(socket.as_ref(), &packet(INITIAL, 2, 7, 1200), None).unwrap();
    // Two datagrams in one buffer; the second uses the connection ID of the server.
    let batch = [packet(INITIAL, 1, 2, 200), packet(HANDSHAKE, 7, 2, 200)].concat();
    receive(&recorder, socket.as_ref(), batch, 200);
    for _ in 0..5 {
        send(socket.as_ref(), &packet(HANDSHAKE, 2, 7, 1200), None).unwrap();
    }
    second().await;
    assert_eq!(recorder.log().len(), 6 * 2);
}

#[tokio::test(start_paused = true)]
async fn data_is_left_to_quinn() {
    let recorder = Recorder::new();
    let socket = Copies::server(recorder.clone());
    receive(&recorder, socket.as_ref(), packet(INITIAL, 1, 2, 1200), 1200);
    for _ in 0..10 {
        send(socket.as_ref(), &packet(SHORT, 2, 0, 1200), None).unwrap();
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
    let dialling =
        dial(|| Ok(client.clone()), &identity, identity.node_id(), &addresses, Duration::from_secs(9), cubic);
    let accepting = async {
        let incoming = server.accept().await.unwrap();
        assert!(!proved(), "one packet from a forged address would be no proof");
        incoming.await.unwrap()
    };
    let (dialled, accepted) = tokio::join!(dialling, accepting);
    assert!(proved());
    drop((dialled, accepted));
}
