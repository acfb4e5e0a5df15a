//! A socket under quinn for clients over slow links: what a handshake costs where 1200 bytes take seconds.
//!
//! * Padding. A client pads every datagram with an Initial packet to 1200 bytes (RFC 9000, 14.1), and its last of the handshake has one
//!   only for an acknowledgement that nobody needs: the server drops its Initial keys with the first Handshake packet (RFC 9001, 4.9.1).
//!   So the Handshake packets behind the server's Initial are held for a moment, the acknowledgement that quinn makes meanwhile is not
//!   sent, and its answer to the rest is a datagram of some 450 bytes.
//! * Losses. While the answer to an Initial is under way the link is idle: one copy costs nothing. That last datagram of the handshake
//!   is sent again where nothing is heard as long as an answer takes: without it the server can read nothing, and quinn's timer is three
//!   answers long.
//!
//! Invariant: what is held is handed over soon, whatever happens; nothing else that quinn sends or receives is touched.

use crate::link::Link;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

use super::datagram::Datagram;
use super::packet::{Kind, first_packet, is_long};

/// How long the rest of a datagram is held: quinn acknowledges what came before it at once.
const HOLD: Duration = Duration::from_millis(20);
/// Rests held at most; a server's flight has one.
const MOST_HELD: usize = 16;
/// When an Initial is repeated.
const COPY: Duration = Duration::from_millis(100);
/// Answers after which an Initial is another attempt's: quinn's timer comes after one, and dialling again takes four.
const AGAIN: u32 = 3;

/// The socket. See the module.
#[derive(Debug)]
pub(super) struct SlowClient {
    inner: Arc<dyn AsyncUdpSocket>,
    link: Link,
    state: Mutex<State>,
    this: Weak<SlowClient>,
}

#[derive(Debug, Default)]
struct State {
    held: VecDeque<Rest>,
    /// Whoever waits to receive.
    waker: Option<Waker>,
    /// When an Initial went last to each address that was dialled.
    asked: HashMap<SocketAddr, Instant>,
    /// When a packet of the time after the handshake came last.
    heard: Option<Instant>,
}

/// The rest of a datagram behind its Initial packet.
#[derive(Debug)]
struct Rest {
    meta: RecvMeta,
    contents: Vec<u8>,
    /// Whether the acknowledgement of the Initial has been kept back.
    answered: bool,
    due: bool,
}

impl SlowClient {
    /// Over this socket and this link.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, link: Link) -> Arc<SlowClient> {
        Arc::new_cyclic(|this| SlowClient { inner, link, state: Mutex::default(), this: this.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something a while later, if the socket is still there.
    fn later(&self, delay: Duration, what: impl FnOnce(&SlowClient) + Send + 'static) {
        let socket = self.this.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(socket) = socket.upgrade() {
                what(&socket);
            }
        });
    }

    /// Holds what follows an Initial packet in this datagram, and gives the bytes that remain.
    fn hold_rest(&self, meta: &RecvMeta, datagram: &[u8]) -> Option<usize> {
        let (Kind::Initial, end) = first_packet(datagram)? else {
            return None;
        };
        let rest = datagram.get(end..).filter(|rest| matches!(first_packet(rest), Some((Kind::Handshake, _))))?;
        let mut state = self.state();
        if state.held.len() == MOST_HELD {
            return None;
        }
        let meta = RecvMeta { len: rest.len(), stride: rest.len(), ..*meta };
        state.held.push_back(Rest { meta, contents: rest.to_vec(), answered: false, due: false });
        drop(state);
        self.later(HOLD, |socket| {
            let mut state = socket.state();
            if let Some(rest) = state.held.iter_mut().find(|rest| !rest.due) {
                rest.due = true;
            }
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        });
        Some(end)
    }

    /// Whether this is the acknowledgement of an Initial that came with the rest that is held.
    fn is_needless(&self, destination: SocketAddr) -> bool {
        let mut state = self.state();
        let rest = state.held.iter_mut().find(|rest| rest.meta.addr == destination && !rest.answered);
        rest.is_some_and(|rest| !std::mem::replace(&mut rest.answered, true))
    }

    /// Whether no Initial went there for a while: quinn repeats one in pairs, which need no copies.
    fn is_first(&self, destination: SocketAddr) -> bool {
        let now = Instant::now();
        let last = self.state().asked.insert(destination, now);
        last.is_none_or(|last| now - last > AGAIN * self.link.answer())
    }

    /// Whether a packet of the time after the handshake has come since then.
    fn has_heard_since(&self, then: Instant) -> bool {
        self.state().heard.is_some_and(|heard| heard >= then)
    }

    fn repeat(&self, datagram: &Datagram) {
        // Whatever the socket says of a copy does not matter.
        let _ = self.inner.try_send(&datagram.transmit());
    }
}

impl AsyncUdpSocket for SlowClient {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Transmit { destination, contents, segment_size, .. } = *transmit;
        let packet = first_packet(contents).filter(|_| segment_size.is_none_or(|size| size >= contents.len()));
        let Some((kind, end)) = packet else {
            return self.inner.try_send(transmit);
        };
        if kind == Kind::Initial && end == contents.len() && self.is_needless(destination) {
            return Ok(());
        }
        self.inner.try_send(transmit)?;
        // Of what is in a Handshake datagram, only that packet is needed to read the others.
        let datagram = Datagram::like(transmit, &contents[..end]);
        match kind {
            Kind::Initial if self.is_first(destination) => self.later(COPY, move |socket| socket.repeat(&datagram)),
            Kind::Initial => {}
            Kind::Handshake => {
                // The server may have spoken before it had this; what comes so late is an answer to it.
                let patience = self.link.reply();
                let answered = Instant::now() + patience / 2;
                self.later(patience, move |socket| {
                    if !socket.has_heard_since(answered) {
                        socket.repeat(&datagram);
                    }
                });
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.held.front().is_some_and(|rest| rest.due)
            && let Some(rest) = state.held.pop_front()
        {
            bufs[0][..rest.contents.len()].copy_from_slice(&rest.contents);
            meta[0] = rest.meta;
            return Poll::Ready(Ok(1));
        }
        state.waker = Some(cx.waker().clone());
        drop(state);
        let received = std::task::ready!(self.inner.poll_recv(cx, bufs, meta))?;
        for (buf, meta) in bufs.iter().zip(meta.iter_mut()).take(received) {
            let contents = &buf[..meta.len];
            if !is_long(contents) {
                self.state().heard = Some(Instant::now());
            } else if meta.stride >= meta.len
                && let Some(first) = self.hold_rest(meta, contents)
            {
                (meta.len, meta.stride) = (first, first);
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

#[cfg(test)]
#[path = "slow_client_tests.rs"]
mod tests;
