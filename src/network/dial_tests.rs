//! Dialling over a slow link, over a network in memory and in virtual time.

use super::*;
use crate::link::Link;
use crate::network::endpoint::{dial_endpoint, listen_endpoint};
use crate::network::gate::{Arrival, Gate};
use crate::network::hub::Hub;
use crate::network::identity::Identity;
use std::sync::Mutex;
use tokio::sync::mpsc;

const SERVER: [u8; 4] = [10, 0, 0, 1];
const CLIENT: [u8; 4] = [10, 0, 0, 2];
const MINUTE: Duration = Duration::from_secs(60);

fn slow() -> Option<Link> {
    Link::new(1228)
}

fn congestion() -> (Congestion, ()) {
    (Arc::new(quinn::congestion::CubicConfig::default()), ())
}

/// Listens at port 1; what arrives comes out of the channel.
fn open(hub: &Arc<Hub>, identity: &Identity) -> mpsc::UnboundedReceiver<Arrival<()>> {
    let address = SocketAddr::from((SERVER, 1));
    let listener = listen_endpoint(&hub.host(SERVER), address, Some(1), slow(), identity, None).unwrap();
    let (tell, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut gate = Gate::new(listener, congestion);
        while let Some(arrival) = gate.accept().await {
            let _ = tell.send(arrival);
        }
    });
    arrivals
}

/// Dials from `port`, with a seed for each endpoint, and says something long after attempts that failed have ended.
async fn meet(hub: &Arc<Hub>, port: u16) -> (Dialled<()>, Arrival<()>) {
    let (server, client) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut arrivals = open(hub, &server);
    let mut seed = 2;
    let outlet = || {
        seed += 1;
        dial_endpoint(&hub.host(CLIENT), SocketAddr::from(([0; 4], port)), Some(seed), slow())
    };
    let addresses = [SocketAddr::from((SERVER, 1))];
    let dialled = dial(outlet, &client, server.node_id(), &addresses, MINUTE, congestion).await.unwrap();
    let arrival = arrivals.recv().await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    arrival.connection.send_datagram(b"pong".to_vec().into()).unwrap();
    assert_eq!(dialled.connection.read_datagram().await.unwrap(), "pong".as_bytes());
    (dialled, arrival)
}

/// Its connections have no IDs of their own: two to one address from one port would be one, and end together.
#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_port_of_its_own() {
    let first = Mutex::new(None);
    let hub = Hub::new(move |sent| {
        let port = *first.lock().unwrap().get_or_insert(sent.from.port());
        sent.from.port() != port
    });
    let (dialled, arrival) = meet(&hub, 0).await;
    assert_eq!(dialled.endpoint.quic.local_addr().unwrap().port(), arrival.connection.remote_address().port());
    let ports: std::collections::BTreeSet<u16> =
        hub.sent().iter().map(|sent| sent.from.port()).filter(|port| *port != 1).collect();
    assert_eq!(ports.len(), 2);
}

/// Where the port is given there is no other one: connections have IDs, and all attempts are made from there.
#[tokio::test(start_paused = true)]
async fn a_given_port_is_kept() {
    let hub = Hub::new(|sent| sent.at > Duration::from_secs(20));
    let (_dialled, arrival) = meet(&hub, 4000).await;
    assert_eq!(arrival.connection.remote_address().port(), 4000);
}

#[tokio::test(start_paused = true)]
async fn one_address_in_two_forms_is_dialled_once() {
    let hub = Hub::new(|_| false);
    let identity = Identity::generate().unwrap();
    let outlet = || dial_endpoint(&hub.host(CLIENT), SocketAddr::from(([0; 4], 0)), Some(2), slow());
    let addresses = ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"].map(|address| address.parse().unwrap());
    let answer = dial(outlet, &identity, identity.node_id(), &addresses, MINUTE, congestion).await;
    assert!(matches!(answer, Err(ConnectError::NoContact { .. })));
    // One Initial and its copy before quinn's first timer.
    let soon = hub.sent().iter().filter(|sent| sent.at < Duration::from_secs(5)).count();
    assert_eq!(soon, 2);
}
