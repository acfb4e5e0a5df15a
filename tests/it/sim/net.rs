//! Hosts and the links between them.
//!
//! There is no network task: a sender decides the fate of its packets here and puts the survivors into the receiver's inbox
//! (`socket`). The network knows sockets only weakly; dropping one frees its address. The network's lock is released before an
//! inbox is touched.

use super::link::{Fate, Link, Stats};
use super::profile::Profile;
use super::rng::{Rng, absorb};
use super::socket::{Host, Packet, Socket};
use quinn::udp::{EcnCodepoint, Transmit};
use resilient::network::seam::Sockets;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of IP and UDP headers before the payload.
fn headers(destination: IpAddr) -> usize {
    if destination.is_ipv4() { 28 } else { 48 }
}

/// The first of the ports that are given out when none is asked for (RFC 6335).
const FIRST_EPHEMERAL: u16 = 49_152;

/// A network. Clones are the same network.
#[derive(Clone)]
pub(crate) struct Net {
    start: Instant,
    state: Arc<Mutex<State>>,
    /// The time of the latest packet in ns: tells a watchdog on another thread whether virtual time still moves.
    pulse: Arc<AtomicU64>,
}

struct State {
    seed: u64,
    everywhere: Profile,
    links: Vec<Link>,
    /// Source and destination → index into `links`.
    pairs: BTreeMap<(IpAddr, IpAddr), usize>,
    sockets: BTreeMap<SocketAddr, Weak<Socket>>,
    next_port: BTreeMap<IpAddr, u16>,
    hash: u64,
    trace: Option<Vec<Record>>,
}

/// One packet as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// When, since the network's start.
    pub time: Duration,
    /// Bytes, headers included.
    pub size: usize,
    /// Sender.
    pub from: SocketAddr,
    /// Where it was meant to go.
    pub to: SocketAddr,
    /// What became of it.
    pub fate: Fate,
}

impl Net {
    /// A network on which every path is `profile` until [`link`](Net::link) says otherwise. Call it inside the runtime.
    pub(crate) fn new(seed: u64, profile: Profile) -> Net {
        Net {
            start: Instant::now(),
            state: Arc::new(Mutex::new(State {
                seed,
                everywhere: profile,
                links: Vec::new(),
                pairs: BTreeMap::new(),
                sockets: BTreeMap::new(),
                next_port: BTreeMap::new(),
                hash: absorb(0, seed),
                trace: None,
            })),
            pulse: Arc::default(),
        }
    }

    /// Makes the path from host `from` to host `to` (that direction only) this bad from now on.
    pub(crate) fn link(&self, from: IpAddr, to: IpAddr, profile: Profile) {
        let mut state = self.lock();
        let index = state.link(from, to);
        state.links[index].profile = profile;
    }

    /// [`link`](Net::link) in both directions; each draws for itself.
    pub(crate) fn path(&self, a: IpAddr, b: IpAddr, profile: Profile) {
        self.link(a, b, profile.clone());
        self.link(b, a, profile);
    }

    /// Sends all these ordered pairs through one transmitter and one queue. Call it before they have sent anything.
    pub(crate) fn bottleneck(&self, pairs: &[(IpAddr, IpAddr)], profile: Profile) {
        let mut state = self.lock();
        if let Some(&(from, to)) = pairs.first() {
            let index = state.link(from, to);
            state.links[index].profile = profile;
            state.pairs.extend(pairs.iter().map(|&pair| (pair, index)));
        }
    }

    /// Makes every path this bad from now on, whatever [`link`](Net::link) said before.
    pub(crate) fn everywhere(&self, profile: Profile) {
        let mut state = self.lock();
        for link in &mut state.links {
            link.profile = profile.clone();
        }
        state.everywhere = profile;
    }

    /// The sockets of the host with this address.
    pub(crate) fn host(&self, ip: IpAddr) -> Arc<dyn Sockets> {
        Arc::new(Host::new(self.clone(), ip))
    }

    /// The counters of all links together.
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for link in &self.lock().links {
            sum += link.stats;
        }
        sum
    }

    /// The counters of the link from `from` to `to`.
    pub(crate) fn stats_of(&self, from: IpAddr, to: IpAddr) -> Stats {
        let mut state = self.lock();
        let index = state.link(from, to);
        state.links[index].stats
    }

    /// A running hash over time, size, addresses and fate of every packet sent so far. Equal runs have equal hashes; it may
    /// change with a version of quinn, so compare within one build and never store it.
    pub(crate) fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// Keeps a record of every packet from now on.
    pub(crate) fn start_trace(&self) {
        self.lock().trace.get_or_insert_default();
    }

    /// The records since [`start_trace`](Net::start_trace).
    pub(crate) fn trace(&self) -> Vec<Record> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// Virtual time since the network's start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Changes whenever virtual time has moved on between two packets.
    pub(super) fn pulse(&self) -> Arc<AtomicU64> {
        self.pulse.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bind(&self, ip: IpAddr, mut wanted: SocketAddr) -> io::Result<Arc<Socket>> {
        if !wanted.ip().is_unspecified() && wanted.ip().to_canonical() != ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.lock();
        if wanted.port() == 0 {
            wanted.set_port(state.free_port(ip)?);
        }
        let address = SocketAddr::new(ip, wanted.port());
        if state.is_bound(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = Arc::new(Socket::new(self.clone(), address, wanted));
        state.sockets.insert(address, Arc::downgrade(&socket));
        Ok(socket)
    }

    /// Frees the address of a socket that is gone.
    pub(super) fn free(&self, address: SocketAddr) {
        let mut state = self.lock();
        if !state.is_bound(address) {
            state.sockets.remove(&address);
        }
    }

    pub(super) fn send(&self, from: SocketAddr, transmit: &Transmit<'_>) {
        let to = SocketAddr::new(transmit.destination.ip().to_canonical(), transmit.destination.port());
        let now = self.elapsed();
        self.pulse.store(now.as_nanos() as u64, Ordering::Relaxed);
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for payload in transmit.contents.chunks(segment) {
            let (fate, receiver) = self.lock().carry(now, from, to, payload.len(), transmit.ecn.is_some());
            let (Fate::Delivered(delivery), Some(receiver)) = (fate, receiver) else {
                continue;
            };
            let mut payload: Arc<[u8]> = payload.into();
            if let Some(bytes) = Arc::get_mut(&mut payload) {
                delivery.damage(bytes);
            }
            let ecn = if delivery.ecn_marked { Some(EcnCodepoint::Ce) } else { transmit.ecn };
            for at in [Some(delivery.at), delivery.copy_at].into_iter().flatten() {
                let payload = payload.clone();
                receiver.deliver(self.start + at, Packet { from, ecn, payload });
            }
        }
    }
}

impl State {
    /// The index of the link for this pair, made if there is none yet.
    fn link(&mut self, from: IpAddr, to: IpAddr) -> usize {
        let next = self.links.len();
        let index = *self.pairs.entry((from, to)).or_insert(next);
        if index == next {
            let rng = Rng::of([self.seed].into_iter().chain(words(from)).chain(words(to)));
            self.links.push(Link::new(self.everywhere.clone(), rng));
        }
        index
    }

    fn carry(
        &mut self,
        now: Duration,
        from: SocketAddr,
        to: SocketAddr,
        len: usize,
        ect: bool,
    ) -> (Fate, Option<Arc<Socket>>) {
        let size = len + headers(to.ip());
        let index = self.link(from.ip(), to.ip());
        let fate = self.links[index].carry(now, size, ect);
        let receiver = self.sockets.get(&to).and_then(Weak::upgrade);
        if matches!(fate, Fate::Delivered(_)) && receiver.is_none() {
            self.links[index].stats.unreachable += 1;
        }
        let addresses =
            words(from.ip()).into_iter().chain(words(to.ip())).chain([u64::from(from.port()), u64::from(to.port())]);
        self.hash = [now.as_nanos() as u64, size as u64]
            .into_iter()
            .chain(addresses)
            .chain(outcome(&fate))
            .fold(self.hash, absorb);
        if let Some(trace) = &mut self.trace {
            trace.push(Record { time: now, size, from, to, fate });
        }
        (fate, receiver)
    }

    fn is_bound(&self, address: SocketAddr) -> bool {
        self.sockets.get(&address).is_some_and(|socket| socket.strong_count() > 0)
    }

    /// Ports go up and come round again, so that a new socket is not taken for one just closed.
    fn free_port(&mut self, ip: IpAddr) -> io::Result<u16> {
        let start = *self.next_port.get(&ip).unwrap_or(&FIRST_EPHEMERAL);
        let port = (start..=u16::MAX)
            .chain(FIRST_EPHEMERAL..start)
            .find(|&port| !self.is_bound(SocketAddr::new(ip, port)))
            .ok_or(io::ErrorKind::AddrInUse)?;
        self.next_port.insert(ip, port.checked_add(1).unwrap_or(FIRST_EPHEMERAL));
        Ok(port)
    }
}

/// An address as numbers, for seeds and hashes.
fn words(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

/// A fate as numbers, for hashes.
fn outcome(fate: &Fate) -> [u64; 4] {
    match fate {
        Fate::OverMtu => [1, 0, 0, 0],
        Fate::TailDropped => [2, 0, 0, 0],
        Fate::OutageDropped => [3, 0, 0, 0],
        Fate::Lost => [4, 0, 0, 0],
        Fate::BurstLost => [5, 0, 0, 0],
        Fate::Delivered(delivery) => [
            if delivery.ecn_marked { 7 } else { 6 },
            delivery.at.as_nanos() as u64,
            delivery.copy_at.map_or(0, |at| at.as_nanos() as u64),
            delivery.flip.unwrap_or(0),
        ],
    }
}
