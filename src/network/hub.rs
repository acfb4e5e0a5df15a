//! For unit tests: hosts that exchange datagrams in memory, in tokio's (paused) time, with a fate for each datagram.

use crate::network::seam::Sockets;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// One way.
pub(super) const DELAY: Duration = Duration::from_millis(100);

/// A datagram that was put on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) contents: Vec<u8>,
}

/// From whom, and what.
type Arrived = (SocketAddr, Vec<u8>);
type Passes = Box<dyn FnMut(&Sent) -> bool + Send>;

pub(super) struct Hub {
    start: Instant,
    sockets: Mutex<BTreeMap<SocketAddr, Weak<HubSocket>>>,
    passes: Mutex<Passes>,
    sent: Mutex<Vec<Sent>>,
}

impl Hub {
    /// A network that delivers the datagrams for which `passes` is true.
    pub(super) fn new(passes: impl FnMut(&Sent) -> bool + Send + 'static) -> Arc<Hub> {
        Arc::new(Hub {
            start: Instant::now(),
            sockets: Mutex::default(),
            passes: Mutex::new(Box::new(passes)),
            sent: Mutex::default(),
        })
    }

    /// The sockets of the host at `ip`.
    pub(super) fn host(self: &Arc<Hub>, ip: [u8; 4]) -> Host {
        Host { hub: Arc::clone(self), ip: ip.into() }
    }

    /// Everything sent so far.
    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Puts a datagram on the network, whoever `from` is.
    pub(super) fn send(self: &Arc<Hub>, from: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let sent = Sent { at: self.start.elapsed(), from, to, contents: contents.to_vec() };
        self.sent.lock().unwrap().push(sent.clone());
        if !(self.passes.lock().unwrap())(&sent) {
            return;
        }
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            let socket = hub.sockets.lock().unwrap().get(&sent.to).and_then(Weak::upgrade);
            if let Some(socket) = socket {
                let mut inbox = socket.inbox.lock().unwrap();
                inbox.0.push_back((sent.from, sent.contents));
                if let Some(waker) = inbox.1.take() {
                    waker.wake();
                }
            }
        });
    }
}

pub(super) struct Host {
    hub: Arc<Hub>,
    ip: IpAddr,
}

impl Sockets for Host {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let mut sockets = self.hub.sockets.lock().unwrap();
        let free = |port: &u16| !sockets.contains_key(&SocketAddr::new(self.ip, *port));
        let port = match address.port() {
            0 => (50_000..=u16::MAX).find(free).unwrap(),
            port if free(&port) => port,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        };
        let address = SocketAddr::new(self.ip, port);
        let socket = Arc::new(HubSocket { hub: Arc::clone(&self.hub), address, inbox: Mutex::default() });
        sockets.insert(address, Arc::downgrade(&socket));
        Ok(socket)
    }

    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.ip])
    }
}

struct HubSocket {
    hub: Arc<Hub>,
    address: SocketAddr,
    inbox: Mutex<(VecDeque<Arrived>, Option<Waker>)>,
}

impl std::fmt::Debug for HubSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HubSocket({})", self.address)
    }
}

#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for HubSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        for contents in transmit.contents.chunks(segment) {
            self.hub.send(self.address, transmit.destination, contents);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock().unwrap();
        let Some((addr, contents)) = inbox.0.pop_front() else {
            inbox.1 = Some(cx.waker().clone());
            return Poll::Pending;
        };
        bufs[0][..contents.len()].copy_from_slice(&contents);
        meta[0] =
            RecvMeta { addr, len: contents.len(), stride: contents.len(), ecn: None, dst_ip: Some(self.address.ip()) };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }

    fn may_fragment(&self) -> bool {
        false
    }
}
