//! The link as a UDP proxy, without root: clients send to it, and it sends to the server.
//!
//! Every client address gets an upstream socket of its own, so that answers find their way back. Plain sockets carry no ECN.

use crate::direction::Direction;
use crate::link::Stats;
use anyhow::Context;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Clients at a time; one more takes the place of the one silent for longest.
const CLIENTS: usize = 64;
/// How soon the thread of a client that lost its place notices.
const NOTICE: Duration = Duration::from_secs(1);
/// Bytes of IPv4 and UDP headers, which the link carries too.
const HEADERS: usize = 28;

/// Somebody who sends to the proxy.
pub(crate) struct Client {
    address: SocketAddr,
    /// Bound to a port of its own, connected to the server.
    upstream: UdpSocket,
    /// The number of the packet last heard from it.
    heard: AtomicU64,
    gone: AtomicBool,
}

/// The proxy: both directions, and who sends through it.
pub(crate) struct Proxy {
    listen: UdpSocket,
    to: SocketAddr,
    up: Direction<Arc<Client>>,
    down: Direction<Arc<Client>>,
}

impl Proxy {
    /// A proxy that listens; nothing passes before [`Proxy::run`].
    pub(crate) fn new(
        listen: SocketAddr,
        to: SocketAddr,
        direction: &dyn Fn(u64, usize) -> Direction<Arc<Client>>,
    ) -> anyhow::Result<Arc<Proxy>> {
        let listen = UdpSocket::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        Ok(Arc::new(Proxy { listen, to, up: direction(0, HEADERS), down: direction(1, HEADERS) }))
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listen.local_addr()
    }

    /// The counters of both directions.
    pub(crate) fn stats(&self) -> [Stats; 2] {
        [self.up.stats(), self.down.stats()]
    }

    /// Starts the threads that pass packets on.
    ///
    /// A packet that cannot be sent (no server there yet, a full buffer) is lost, as on any link.
    pub(crate) fn run(self: &Arc<Proxy>) {
        let up = self.clone();
        thread::spawn(move || {
            up.up.deliver(|packet| {
                let _ = packet.whose.upstream.send(&packet.payload);
            });
        });
        let down = self.clone();
        thread::spawn(move || {
            down.down.deliver(|packet| {
                let _ = down.listen.send_to(&packet.payload, packet.whose.address);
            });
        });
        let receiving = self.clone();
        thread::spawn(move || receiving.receive());
    }

    /// Takes packets from the clients, for ever.
    fn receive(self: &Arc<Proxy>) {
        let mut clients: BTreeMap<SocketAddr, Arc<Client>> = BTreeMap::new();
        let mut buf = vec![0; 65_536];
        for n in 0.. {
            // Errors are those of packets sent before (a port that has closed): the link knows nothing of them.
            let Ok((len, from)) = self.listen.recv_from(&mut buf) else {
                continue;
            };
            if !clients.contains_key(&from) {
                // Without a socket the packet is lost, as on a host that has run out of them.
                let Ok(client) = self.welcome(from) else {
                    continue;
                };
                if clients.len() >= CLIENTS
                    && let Some(silent) =
                        clients.values().min_by_key(|c| c.heard.load(Ordering::Relaxed)).map(|c| c.address)
                    && let Some(old) = clients.remove(&silent)
                {
                    old.gone.store(true, Ordering::Relaxed);
                }
                clients.insert(from, client);
            }
            let client = &clients[&from];
            client.heard.store(n, Ordering::Relaxed);
            self.up.take(client, &buf[..len]);
        }
    }

    /// Makes an upstream socket for a new client, and the thread that listens on it.
    fn welcome(self: &Arc<Proxy>, address: SocketAddr) -> io::Result<Arc<Client>> {
        let any: SocketAddr =
            if self.to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let upstream = UdpSocket::bind(any)?;
        upstream.connect(self.to)?;
        upstream.set_read_timeout(Some(NOTICE))?;
        let client = Arc::new(Client { address, upstream, heard: AtomicU64::new(0), gone: AtomicBool::new(false) });
        let (proxy, here) = (self.clone(), client.clone());
        thread::Builder::new().spawn(move || {
            let mut buf = vec![0; 65_536];
            while !here.gone.load(Ordering::Relaxed) {
                // No packet within the timeout, or no server yet: both pass.
                if let Ok(len) = here.upstream.recv(&mut buf) {
                    proxy.down.take(&here, &buf[..len]);
                }
            }
        })?;
        Ok(client)
    }
}
