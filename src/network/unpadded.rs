//! A socket under quinn for clients: the end of the handshake without padding, and over a slow link the two copies that are worth it.
//!
//! * Padding. A client pads every datagram with an Initial packet to 1200 bytes (RFC 9000, 14.1), and its last of the handshake has one
//!   only for an acknowledgement that nobody needs: the server drops its Initial keys with the first Handshake packet (RFC 9001, 4.9.1).
//!   So the Handshake packets behind the server's Initial are held until quinn has made that acknowledgement, which is not sent, and its
//!   answer to the rest is a datagram of some 450 bytes, in front of all data and copied seven times ([`super::copies`]).
//! * Copies, where 1200 bytes take seconds. While the answer to an Initial is under way the link is idle: one costs nothing. That last
//!   datagram is sent again where nothing is heard as long as an answer takes: without it the server can read nothing, and quinn's timer is
//!   three answers long.
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

/// How long the rest of a datagram is held at most: quinn acknowledges what came before it at once, or not at all.
const HOLD: Duration = Duration::from_millis(20);
/// Rests held at most; a server's flight has one.
const MOST_HELD: usize = 16;
/// When an Initial is repeated.
const COPY: Duration = Duration::from_millis(100);
/// Answers after which an Initial is another attempt's: quinn's timer comes after one, and dialling again takes four.
const AGAIN: u32 = 3;

/// The socket. See the module.
#[derive(Debug)]
pub(super) struct Unpadded {
    inner: Arc<dyn AsyncUdpSocket>,
    link: Option<Link>,
    state: Mutex<State>,
    this: Weak<Unpadded>,
}

#[derive(Debug, Default)]
struct State {
    held: VecDeque<Rest>,
    /// Rests held so far.
    count: u64,
    /// Whoever waits to receive.
    waker: Option<Waker>,
    /// When an Initial went last to each address that was dialled.
    asked: HashMap<SocketAddr, Instant>,
    /// Who spoke last in packets of the time after the handshake, and when.
    heard: Option<(SocketAddr, Instant)>,
}

/// The rest of a datagram behind its Initial packet.
#[derive(Debug)]
struct Rest {
    number: u64,
    meta: RecvMeta,
    contents: Vec<u8>,
    /// The connection IDs of the Initial packet: ours and the server's.
    ours: Vec<u8>,
    theirs: Vec<u8>,
    due: bool,
}

impl Unpadded {
    /// Over this socket and this link.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, link: Option<Link>) -> Arc<Unpadded> {
        Arc::new_cyclic(|this| Unpadded { inner, link, state: Mutex::default(), this: this.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something a while later, if the socket is still there.
    fn later(&self, delay: Duration, what: impl FnOnce(&Unpadded) + Send + 'static) {
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
        let first = first_packet(datagram).filter(|packet| packet.kind == Kind::Initial)?;
        let rest = &datagram[first.end..];
        first_packet(rest).filter(|packet| packet.kind == Kind::Handshake)?;
        let mut state = self.state();
        // Without the server's it could not be told whose answer ends the wait. We may have none ourselves.
        if state.held.len() == MOST_HELD || first.source.is_empty() {
            return None;
        }
        state.count += 1;
        let number = state.count;
        state.held.push_back(Rest {
            number,
            meta: RecvMeta { len: rest.len(), stride: rest.len(), ..*meta },
            contents: rest.to_vec(),
            ours: first.destination.to_vec(),
            theirs: first.source.to_vec(),
            due: false,
        });
        drop(state);
        self.later(HOLD, move |socket| {
            socket.release(|rest| rest.number == number);
        });
        Some(first.end)
    }

    /// Hands the rests over for which `is` holds; whether there are any that were held.
    fn release(&self, is: impl Fn(&Rest) -> bool) -> bool {
        let mut state = self.state();
        let mut any = false;
        for rest in state.held.iter_mut().filter(|rest| !rest.due && is(rest)) {
            (rest.due, any) = (true, true);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        any
    }

    /// Whether no Initial went there for a while: quinn repeats one in pairs, which need no copies.
    fn is_first(&self, destination: SocketAddr, link: Link) -> bool {
        let now = Instant::now();
        let last = self.state().asked.insert(destination, now);
        last.is_none_or(|last| now - last > AGAIN * link.answer())
    }

    /// Whether a packet of the time after the handshake has come from there since then.
    fn has_heard(&self, from: SocketAddr, then: Instant) -> bool {
        self.state().heard.is_some_and(|(who, heard)| who == from && heard >= then)
    }

    /// Over a slow link: copies the datagram when that is worth it.
    fn copy_later(&self, kind: Kind, datagram: Datagram, destination: SocketAddr, link: Link) {
        match kind {
            Kind::Initial if self.is_first(destination, link) => {
                self.later(COPY, move |socket| socket.repeat(&datagram));
            }
            Kind::Initial => {}
            Kind::Handshake => {
                // The server may have spoken before it had this; what comes so late is an answer to it.
                let patience = link.reply();
                let answered = Instant::now() + patience / 2;
                self.later(patience, move |socket| {
                    if !socket.has_heard(destination, answered) {
                        socket.repeat(&datagram);
                    }
                });
            }
        }
    }

    fn repeat(&self, datagram: &Datagram) {
        // Whatever the socket says of a copy does not matter.
        let _ = self.inner.try_send(&datagram.transmit());
    }
}

impl AsyncUdpSocket for Unpadded {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Transmit { destination, contents, segment_size, .. } = *transmit;
        let packet = first_packet(contents).filter(|_| segment_size.is_none_or(|size| size >= contents.len()));
        let Some(packet) = packet else {
            return self.inner.try_send(transmit);
        };
        // quinn sends to the ID of a server whose Initial it has authenticated.
        let answered = self.release(|rest| (packet.source, packet.destination) == (&rest.ours[..], &rest.theirs[..]));
        if answered && packet.kind == Kind::Initial && packet.end == contents.len() {
            return Ok(());
        }
        self.inner.try_send(transmit)?;
        if let Some(link) = self.link {
            // Of what is in a Handshake datagram, only that packet is needed to read the others.
            self.copy_later(packet.kind, Datagram::like(transmit, &contents[..packet.end]), destination, link);
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
        if let Some(rest) = state.held.iter().position(|rest| rest.due).and_then(|place| state.held.remove(place)) {
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
                if self.link.is_some() {
                    self.state().heard = Some((meta.addr, Instant::now()));
                }
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
#[path = "unpadded_tests.rs"]
mod tests;
