//! For unit tests of sockets under quinn: a socket that writes down what is sent and when, and receives what it is told to.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The socket.
#[derive(Debug)]
pub(super) struct Recorder {
    start: Instant,
    sent: Mutex<Vec<(u64, SocketAddr, Vec<u8>)>>,
    inbox: Mutex<VecDeque<(SocketAddr, Vec<u8>, usize)>>,
    blocked: Mutex<bool>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Recorder> {
        Arc::new(Recorder {
            start: Instant::now(),
            sent: Mutex::default(),
            inbox: Mutex::default(),
            blocked: Mutex::new(false),
        })
    }

    /// Whether it is full.
    pub(super) fn block(&self, blocked: bool) {
        *self.blocked.lock().unwrap() = blocked;
    }

    /// What was sent so far.
    pub(super) fn sent(&self) -> MutexGuard<'_, Vec<(u64, SocketAddr, Vec<u8>)>> {
        self.sent.lock().unwrap()
    }

    /// This has come from `peer(2)`.
    pub(super) fn arrives(&self, contents: Vec<u8>, stride: usize) {
        self.inbox.lock().unwrap().push_back((peer(2), contents, stride));
    }

    /// (milliseconds, first byte, length) of everything sent so far.
    pub(super) fn log(&self) -> Vec<(u64, u8, usize)> {
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
        let mut inbox = self.inbox.lock().unwrap();
        let received = inbox.len().min(bufs.len());
        for ((addr, contents, stride), (buf, meta)) in inbox.drain(..received).zip(bufs.iter_mut().zip(meta)) {
            buf[..contents.len()].copy_from_slice(&contents);
            *meta = RecvMeta { addr, len: contents.len(), stride, ecn: None, dst_ip: None };
        }
        if received > 0 { Poll::Ready(Ok(received)) } else { Poll::Pending }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(peer(1))
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }
}

pub(super) fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// A packet of version 1 with this first byte, connection IDs of eight bytes and this length.
pub(super) fn packet(first: u8, destination: u8, source: u8, len: usize) -> Vec<u8> {
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

pub(super) const INITIAL: u8 = 0xC0;
pub(super) const HANDSHAKE: u8 = 0xE0;
pub(super) const RETRY: u8 = 0xF0;
pub(super) const SHORT: u8 = 0x40;

/// Sends this to `peer(2)`.
pub(super) fn send(socket: &dyn AsyncUdpSocket, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
    socket.try_send(&Transmit { destination: peer(2), ecn: None, contents, segment_size, src_ip: None })
}

/// Lets the socket receive this from `peer(2)`, and gives what comes out of it.
pub(super) fn receive(recorder: &Recorder, socket: &dyn AsyncUdpSocket, contents: Vec<u8>, stride: usize) -> Vec<u8> {
    recorder.arrives(contents, stride);
    received(socket).expect("there is a datagram")
}

/// What there is to receive.
pub(super) fn received(socket: &dyn AsyncUdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    let mut bufs = [IoSliceMut::new(&mut buffer)];
    let mut meta = [RecvMeta::default()];
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match socket.poll_recv(&mut cx, &mut bufs, &mut meta) {
        Poll::Ready(read) => {
            assert_eq!(read.unwrap(), 1);
            Some(bufs[0][..meta[0].len].to_vec())
        }
        Poll::Pending => None,
    }
}

pub(super) async fn pass(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Goes through a second of virtual time, every timer on its own millisecond.
pub(super) async fn second() {
    for _ in 0..1000 {
        pass(1).await;
    }
}
