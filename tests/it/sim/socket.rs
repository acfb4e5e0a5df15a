//! The sockets of the simulated network, as quinn sees them.
//!
//! A receiver sleeps until the earliest packet in its inbox is due; a sender wakes it only for one that is earlier still. Packets
//! come out by time of arrival, and at the same time in the order of sending. Nobody is woken under a lock. What happens to a
//! packet on the way is decided in `net`.

use super::net::Net;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use resilient::network::seam::Sockets;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::time::{Instant, Sleep, sleep_until};

/// One host: where its endpoints get their sockets.
pub(super) struct Host {
    net: Net,
    ip: IpAddr,
}

impl Host {
    /// The host with this address.
    pub(super) fn new(net: Net, ip: IpAddr) -> Host {
        Host { net, ip }
    }
}

impl Sockets for Host {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(self.net.bind(self.ip, address)?)
    }

    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.ip])
    }
}

/// A packet under way.
pub(super) struct Packet {
    /// Sender.
    pub(super) from: SocketAddr,
    /// The bits for congestion, as they arrive.
    pub(super) ecn: Option<EcnCodepoint>,
    /// What the packet carries.
    pub(super) payload: Arc<[u8]>,
}

/// One bound socket.
pub(super) struct Socket {
    net: Net,
    address: SocketAddr,
    bound: SocketAddr,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    /// By arrival and order of sending.
    packets: BTreeMap<(Instant, u64), Packet>,
    /// How many packets ever came.
    count: u64,
    /// Until when the receiver sleeps, if it waits for a packet.
    armed: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Takes the earliest packet if it is due.
    fn due(&mut self, now: Instant) -> Option<Packet> {
        let first = self.packets.first_entry()?;
        if first.key().0 > now { None } else { Some(first.remove()) }
    }

    /// Sleeps until the earliest packet. Ready: look again.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker = Some(cx.waker().clone());
        self.armed = self.packets.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = self.armed else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

impl Socket {
    /// A socket of the host and port `address`. `bound` is what was asked for: it may be unspecified, and IPv6 on a host of IPv4.
    pub(super) fn new(net: Net, address: SocketAddr, bound: SocketAddr) -> Socket {
        Socket { net, address, bound, inbox: Mutex::default() }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a packet into the inbox that arrives at `at`.
    pub(super) fn deliver(&self, at: Instant, packet: Packet) {
        let mut inbox = self.inbox();
        inbox.count += 1;
        let nth = inbox.count;
        inbox.packets.insert((at, nth), packet);
        let sooner = inbox.armed.is_none_or(|armed| at < armed);
        let waker = if sooner { inbox.waker.take() } else { None };
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// An address as this socket's family shows it.
    fn seen(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) if self.bound.is_ipv6() => IpAddr::V6(ip.to_ipv6_mapped()),
            _ => ip,
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.net.send(self.address, transmit);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox();
        loop {
            let now = Instant::now();
            let mut filled = 0;
            while filled < bufs.len().min(meta.len()) {
                let Some(packet) = inbox.due(now) else { break };
                let len = packet.payload.len();
                // What does not fit is gone, as a kernel's truncated datagram would be to quinn.
                let Some(buf) = bufs[filled].get_mut(..len) else {
                    continue;
                };
                buf.copy_from_slice(&packet.payload);
                meta[filled] = RecvMeta {
                    addr: SocketAddr::new(self.seen(packet.from.ip()), packet.from.port()),
                    len,
                    stride: len,
                    ecn: packet.ecn,
                    dst_ip: Some(self.seen(self.address.ip())),
                };
                filled += 1;
            }
            if filled > 0 {
                inbox.armed = None;
                return Poll::Ready(Ok(filled));
            }
            if inbox.wait(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.bound)
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }

    fn max_receive_segments(&self) -> usize {
        1
    }

    /// False, or quinn would not look for a larger MTU.
    fn may_fragment(&self) -> bool {
        false
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.free(self.address);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A simulated socket never fills up: the queue is the link's.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
