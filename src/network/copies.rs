//! Copies of handshake datagrams: a socket under quinn that sends each long-header datagram several times.
//!
//! At 20-33 % loss a handshake waits for quinn's timers, and the client's last packet takes the whole first flight of data with it
//! when it is lost (the server cannot decrypt what follows). QUIC drops what arrives twice, so copies are safe. A client repeats up
//! to 300 ms, the first copies before anything else is sent; a server repeats four times, and all it sends in long headers to an address,
//! copies included, stays within three times what came from there until the address has proved that it receives (RFC 9000, 8.1:
//! a packet with a connection ID that we chose). Also counts UDP payload. Timers are tokio's; nothing here is random.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::credit::Credit;
use super::datagram::Datagram;
use super::packet::is_long;

/// When a client repeats: at once, so that one copy is ahead of the first data, then ever more widely to outlast a burst.
pub const CLIENT_COPIES: &[Duration] = &[
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_millis(6),
    Duration::from_millis(26),
    Duration::from_millis(70),
    Duration::from_millis(150),
    Duration::from_millis(300),
];

/// Copies from this delay on are late: a server makes them only until the client has answered.
const LATE: Duration = Duration::from_millis(50);

/// When a server repeats: once soon, then so rarely that a way back a hundredth as fast as the way there has few of them to carry before
/// it can be known to be that slow.
pub const SERVER_COPIES: &[Duration] =
    &[Duration::from_millis(9), Duration::from_millis(70), Duration::from_millis(170), Duration::from_millis(300)];

/// The same where a packet takes seconds: behind what is said together with the first, in the time in which the link waits for the client.
const SLOW_SERVER_COPIES: &[Duration] = &[Duration::from_millis(100)];

/// UDP payload that crossed a socket.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Bytes sent, copies included, headers of UDP and IP not.
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes received.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// A UDP socket that repeats long-header datagrams.
pub struct Copies {
    inner: Arc<dyn AsyncUdpSocket>,
    schedule: &'static [Duration],
    /// Only a server is bounded: a client sends to addresses that its user named.
    credit: Option<Mutex<Credit>>,
    traffic: Arc<Traffic>,
    this: Weak<Copies>,
}

/// What a datagram is to the one that sends it.
#[derive(Clone, Copy, Debug)]
enum Sending {
    Original,
    Copy,
    LateCopy,
}

impl Copies {
    /// A socket for an endpoint that only dials.
    pub fn client(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Copies> {
        Copies::new(inner, CLIENT_COPIES, None)
    }

    /// A socket for an endpoint that listens.
    pub fn server(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Copies> {
        Copies::new(inner, SERVER_COPIES, Some(Mutex::default()))
    }

    /// A socket that only counts, for an endpoint that dials over a slow link (`network::unpadded`).
    pub fn counter(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Copies> {
        Copies::new(inner, &[], None)
    }

    /// A socket for an endpoint that listens on a slow link.
    pub fn slow_server(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Copies> {
        Copies::new(inner, SLOW_SERVER_COPIES, Some(Mutex::default()))
    }

    fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        schedule: &'static [Duration],
        credit: Option<Mutex<Credit>>,
    ) -> Arc<Copies> {
        Arc::new_cyclic(|this| Copies { inner, schedule, credit, traffic: Arc::default(), this: this.clone() })
    }

    /// UDP payload sent so far, copies included.
    pub fn sent_bytes(&self) -> u64 {
        self.traffic.sent_bytes()
    }

    /// UDP payload received so far.
    pub fn received_bytes(&self) -> u64 {
        self.traffic.received_bytes()
    }

    /// The counters, which outlive the socket.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn send_counted(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        self.traffic.sent.fetch_add(transmit.contents.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Sends one datagram, or drops it as a network would where the address has no credit left for it.
    fn send_one(&self, transmit: &Transmit<'_>, kind: Sending) -> io::Result<()> {
        let Some(credit) = &self.credit else {
            return self.send_counted(transmit);
        };
        // Held while sending: two senders must not both spend the last credit.
        let mut credit = credit.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, contents) = (transmit.destination, transmit.contents);
        let allowed = match kind {
            Sending::Original => !is_long(contents) || credit.allows(to, contents),
            Sending::Copy => credit.allows_copy(to, contents, false),
            Sending::LateCopy => credit.allows_copy(to, contents, true),
        };
        if allowed {
            self.send_counted(transmit)?;
            credit.spend(to, contents);
        }
        Ok(())
    }

    /// A copy: whatever the socket says of it does not matter.
    fn send_copy(&self, datagram: &Datagram, delay: Duration) {
        let kind = if delay < LATE { Sending::Copy } else { Sending::LateCopy };
        let _ = self.send_one(&datagram.transmit(), kind);
    }

    /// Sends the copies of these datagrams that are due later.
    fn repeat_later(&self, datagrams: Vec<Datagram>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (socket, start) = (self.this.clone(), tokio::time::Instant::now());
        let schedule = self.schedule;
        runtime.spawn(async move {
            for delay in schedule.iter().filter(|delay| !delay.is_zero()) {
                tokio::time::sleep_until(start + *delay).await;
                let Some(socket) = socket.upgrade() else {
                    return;
                };
                for datagram in &datagrams {
                    socket.send_copy(datagram, *delay);
                }
            }
        });
    }
}

/// Whether copies of a long-header datagram help: not those of Retry, of which each of the client's copies causes one anyway, nor
/// of version negotiation (version 0).
fn is_worth_copies(datagram: &[u8]) -> bool {
    let retry = datagram[0] & 0x30 == 0x30;
    is_long(datagram) && !retry && datagram.get(1..5).is_some_and(|version| version != [0; 4])
}

impl AsyncUdpSocket for Copies {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        if !transmit.contents.chunks(segment).any(is_long) {
            return self.send_one(transmit, Sending::Original);
        }
        let mut kept = Vec::new();
        for contents in transmit.contents.chunks(segment) {
            let single = Transmit { contents, segment_size: None, ..transmit.clone() };
            // An error here makes quinn send the whole batch again: what has gone already arrives twice, and is dropped.
            self.send_one(&single, Sending::Original)?;
            if !self.schedule.is_empty() && is_worth_copies(contents) {
                let datagram = Datagram::like(transmit, contents);
                for at_once in self.schedule.iter().filter(|delay| delay.is_zero()) {
                    self.send_copy(&datagram, *at_once);
                }
                kept.push(datagram);
            }
        }
        if !kept.is_empty() {
            self.repeat_later(kept);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = std::task::ready!(self.inner.poll_recv(cx, bufs, meta))?;
        let bytes: usize = meta[..received].iter().map(|meta| meta.len).sum();
        self.traffic.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(credit) = &self.credit {
            let mut credit = credit.lock().unwrap_or_else(PoisonError::into_inner);
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(received) {
                for datagram in buf[..meta.len].chunks(meta.stride.max(1)) {
                    credit.earn(meta.addr, datagram);
                }
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
