//! A lossy link in user space, without root: a UDP proxy that loses, delays and queues what passes through it.
//!
//! ```text
//! lossy_link --listen 127.0.0.1:7000 --to 127.0.0.1:4433 --loss 0.25 --delay-ms 20 --rate-mbit 20
//! ```
//!
//! Each direction is one link with the model, the words and the counters of the simulated network of the tests. The seed fixes
//! what is drawn for the first packet, the second and so on; when packets come is up to the machine, so runs resemble each other
//! and are not equal. Every client address gets an upstream socket of its own. Plain sockets carry no ECN.
//!
//! Prints one line when it is ready and one for each direction at the end (SIGTERM, SIGINT, or end of stdin if so asked).

#[path = "../tests/it/sim/link.rs"]
mod link;
#[path = "../tests/it/sim/profile.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod profile;
#[path = "../tests/it/sim/rng.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rng;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use link::{Fate, Link};
use profile::Profile;
use rng::Rng;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Clients at a time; one more takes the place of the one silent for longest.
const CLIENTS: usize = 64;
/// How soon the thread of a client that lost its place notices.
const NOTICE: Duration = Duration::from_secs(1);
/// Bytes of IPv4 and UDP headers, which the link carries too.
const HEADERS: usize = 28;

/// A UDP proxy that is a bad link.
#[derive(Parser)]
#[command(name = "lossy_link")]
struct Options {
    /// Where clients send to; port 0 takes any, which the ready line tells
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
    /// Start from a named path (lan, wifi, lte-edge, satellite, disaster-fast, extreme, burst, disaster) instead of
    /// 25 % loss, 20 ms and 20 Mbit/s; the options below change single properties of it
    #[arg(long, value_name = "WORD")]
    profile: Option<String>,
    /// Share of the packets lost, 0 to 1
    #[arg(long, value_name = "SHARE")]
    loss: Option<f64>,
    /// Mean length of the holes that the losses come in; 0: each packet for itself
    #[arg(long, value_name = "MS")]
    burst_ms: Option<u64>,
    /// Delay, one way
    #[arg(long, value_name = "MS")]
    delay_ms: Option<u64>,
    /// Random delay on top, up to this; reorders
    #[arg(long, value_name = "MS")]
    jitter_ms: Option<u64>,
    /// Rate of the link
    #[arg(long, value_name = "MBIT/S")]
    rate_mbit: Option<f64>,
    /// Length of the queue before the link
    #[arg(long, value_name = "MS")]
    queue_ms: Option<u64>,
    /// Share of the packets that arrive twice, 0 to 1
    #[arg(long, value_name = "SHARE")]
    dup: Option<f64>,
    /// Share of the packets that arrive with one bit flipped, 0 to 1
    #[arg(long, value_name = "SHARE")]
    corrupt: Option<f64>,
    /// Let nothing through for LENGTH seconds from START seconds after the start on; may be repeated
    #[arg(long, value_name = "START,LENGTH", value_parser = outage)]
    outage: Vec<(Duration, Duration)>,
    /// What is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End when stdin ends, as well as by a signal
    #[arg(long)]
    until_stdin_closes: bool,
}

/// `2,10.5`: from second 2 on for 10.5 seconds.
fn outage(words: &str) -> Result<(Duration, Duration), String> {
    let (start, length) = words.split_once(',').ok_or("needs START,LENGTH")?;
    let seconds = |word: &str| {
        let n: f64 = word.trim().parse().map_err(|_| format!("{word:?} is no number of seconds"))?;
        Duration::try_from_secs_f64(n).map_err(|error| error.to_string())
    };
    Ok((seconds(start)?, seconds(length)?))
}

impl Options {
    fn path(&self) -> anyhow::Result<Profile> {
        let mut path = match &self.profile {
            None => Profile::plain(20.0, 20, 0.25),
            Some(word) => Profile::named(word).with_context(|| format!("no profile is called {word:?}"))?,
        };
        for (name, share, wanted) in [
            ("loss", &mut path.loss, self.loss),
            ("dup", &mut path.dup, self.dup),
            ("corrupt", &mut path.corrupt, self.corrupt),
        ] {
            let wanted = wanted.unwrap_or(*share);
            anyhow::ensure!((0.0..=1.0).contains(&wanted), "--{name} is a share from 0 to 1, not {wanted}");
            *share = wanted;
        }
        for (time, wanted) in [
            (&mut path.burst, self.burst_ms),
            (&mut path.delay, self.delay_ms),
            (&mut path.jitter, self.jitter_ms),
            (&mut path.queue, self.queue_ms),
        ] {
            *time = wanted.map_or(*time, Duration::from_millis);
        }
        if let Some(mbit) = self.rate_mbit {
            anyhow::ensure!((1e-3..=1e6).contains(&mbit), "--rate-mbit is from 0.001 to 1000000, not {mbit}");
            path.rate = (mbit * 1e6) as u64;
        }
        path.outages.clone_from(&self.outage);
        // The loopback's packets may be larger than any link's.
        path.mtu = usize::MAX;
        Ok(path)
    }
}

/// Somebody who sends to the proxy.
struct Client {
    address: SocketAddr,
    /// Bound to a port of its own, connected to the server.
    upstream: UdpSocket,
    /// The number of the packet last heard from it.
    heard: AtomicU64,
    gone: AtomicBool,
}

/// A packet under way.
struct Packet {
    client: Arc<Client>,
    payload: Vec<u8>,
}

/// What one direction holds.
struct State {
    link: Link,
    /// By arrival and order of sending.
    packets: BTreeMap<(Duration, u64), Packet>,
    /// How many packets were ever put there.
    count: u64,
}

impl State {
    fn put(&mut self, at: Duration, packet: Packet) {
        self.count += 1;
        self.packets.insert((at, self.count), packet);
    }
}

/// One direction: the link, and what is on it.
struct Direction {
    start: Instant,
    state: Mutex<State>,
    sooner: Condvar,
}

impl Direction {
    fn new(start: Instant, path: Profile, rng: Rng) -> Direction {
        let state = State { link: Link::new(path, rng), packets: BTreeMap::new(), count: 0 };
        Direction { start, state: Mutex::new(state), sooner: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a packet on the link.
    fn take(&self, client: &Arc<Client>, payload: &[u8]) {
        let mut state = self.lock();
        let size = payload.len() + HEADERS;
        let Fate::Delivered(delivery) = state.link.carry(self.start.elapsed(), size, false) else {
            return;
        };
        let mut payload = payload.to_vec();
        delivery.damage(&mut payload);
        let earliest = state.packets.first_key_value().map(|((at, _), _)| *at);
        if let Some(at) = delivery.copy_at {
            state.put(at, Packet { client: client.clone(), payload: payload.clone() });
        }
        state.put(delivery.at, Packet { client: client.clone(), payload });
        if earliest.is_none_or(|at| delivery.at < at) {
            self.sooner.notify_one();
        }
    }

    /// Hands over packets when they are due, for ever.
    fn deliver(&self, send: impl Fn(&Packet)) {
        let mut state = self.lock();
        loop {
            let Some(first) = state.packets.first_entry() else {
                state = self.sooner.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let wait = first.key().0.saturating_sub(self.start.elapsed());
            if wait.is_zero() {
                let packet = first.remove();
                drop(state);
                send(&packet);
                state = self.lock();
            } else {
                state = self.sooner.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

/// The proxy: both directions, and who sends through it.
struct Proxy {
    listen: UdpSocket,
    to: SocketAddr,
    up: Direction,
    down: Direction,
}

impl Proxy {
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

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let path = options
        .path()
        .unwrap_or_else(|error| Options::command().error(clap::error::ErrorKind::ValueValidation, error).exit());
    let listen = UdpSocket::bind(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listen.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "a real link goes by real time")]
    let start = Instant::now();
    let proxy = Arc::new(Proxy {
        listen,
        to: options.to,
        up: Direction::new(start, path.clone(), Rng::of([options.seed, 0])),
        down: Direction::new(start, path.clone(), Rng::of([options.seed, 1])),
    });

    let (end, ended) = mpsc::channel();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    let by_signal = end.clone();
    thread::spawn(move || {
        signals.forever().next();
        by_signal.send(())
    });
    if options.until_stdin_closes {
        thread::spawn(move || {
            let mut buf = [0; 512];
            while io::stdin().read(&mut buf).is_ok_and(|n| n > 0) {}
            end.send(())
        });
    }
    // A packet that cannot be sent (no server there yet, a full buffer) is lost, as on any link.
    let going_up = proxy.clone();
    thread::spawn(move || {
        going_up.up.deliver(|packet| {
            let _ = packet.client.upstream.send(&packet.payload);
        });
    });
    let going_down = proxy.clone();
    thread::spawn(move || {
        going_down.down.deliver(|packet| {
            let to = packet.client.address;
            let _ = going_down.listen.send_to(&packet.payload, to);
        });
    });
    let receiving = proxy.clone();
    thread::spawn(move || receiving.receive());

    let mut out = io::stdout();
    writeln!(
        out,
        "ready listen={address} to={} loss={} burst-ms={} delay-ms={} jitter-ms={} rate-mbit={} queue-ms={} seed={}",
        options.to,
        path.loss,
        path.burst.as_millis(),
        path.delay.as_millis(),
        path.jitter.as_millis(),
        path.rate as f64 / 1e6,
        path.queue.as_millis(),
        options.seed,
    )?;
    out.flush()?;
    // Only the end of both senders would be an error, and the one for signals never ends without a word.
    let _ = ended.recv();
    for (name, direction) in [("up", &proxy.up), ("down", &proxy.down)] {
        writeln!(out, "{name} {}", direction.lock().link.stats)?;
    }
    out.flush()?;
    Ok(())
}
