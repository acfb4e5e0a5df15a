//! A socket under quinn for servers on slow links: data that comes ahead of the end of the handshake waits for it.
//!
//! Nothing can be read of a connection before the client's last packet of the handshake is here, and quinn drops what it cannot read
//! (RFC 9001, 5.7 allows both). Where a packet takes a second, data of seconds stands behind one that was lost until it comes again.
//! Any Handshake packet ends the wait: if it was another one than the last, all is as it would be without this.
//!
//! Invariant: only what bears an ID that we have given to a client, of which no Handshake packet has come, is held; never more than
//! [`MOST_HANDSHAKES`] times [`MOST_HELD`] datagrams.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::packet::{Kind, first_packet, is_long};

/// Handshakes under way that are known; the oldest is forgotten for a newer one.
const MOST_HANDSHAKES: usize = 16;
/// Datagrams held for each; what comes after them is dropped, as quinn would: the first has the hello.
const MOST_HELD: usize = 16;

/// The socket. See the module.
pub(super) struct Early {
    inner: Arc<dyn AsyncUdpSocket>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handshakes: VecDeque<Handshake>,
    /// What can be read now.
    due: VecDeque<Held>,
}

/// A handshake of which the client's end has not come.
struct Handshake {
    /// The ID that we have given to the client.
    id: Vec<u8>,
    held: Vec<Held>,
}

struct Held {
    meta: RecvMeta,
    contents: Vec<u8>,
}

impl State {
    /// A flight of ours begins a handshake.
    fn began(&mut self, id: &[u8]) {
        if id.is_empty() || self.handshakes.iter().any(|known| known.id == id) {
            return;
        }
        if self.handshakes.len() == MOST_HANDSHAKES {
            self.handshakes.pop_front();
        }
        self.handshakes.push_back(Handshake { id: id.to_vec(), held: Vec::new() });
    }

    /// Looks at what has come; whether it is to wait.
    fn holds(&mut self, meta: &RecvMeta, contents: &[u8]) -> bool {
        if is_long(contents) {
            self.end(contents);
            return false;
        }
        let Some(to) = contents.get(1..) else { return false };
        let Some(handshake) = self.handshakes.iter_mut().find(|handshake| to.starts_with(&handshake.id)) else {
            return false;
        };
        if handshake.held.len() < MOST_HELD {
            handshake.held.push(Held { meta: *meta, contents: contents.to_vec() });
        }
        true
    }

    /// What waited for a Handshake packet in this datagram is due.
    fn end(&mut self, mut datagram: &[u8]) {
        while let Some(packet) = first_packet(datagram) {
            let place = self.handshakes.iter().position(|handshake| handshake.id == packet.destination);
            if packet.kind == Kind::Handshake
                && let Some(handshake) = place.and_then(|place| self.handshakes.remove(place))
            {
                self.due.extend(handshake.held);
            }
            datagram = &datagram[packet.end..];
        }
    }
}

impl Early {
    /// Over this socket.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Early> {
        Arc::new(Early { inner, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for Early {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if let Some(packet) = first_packet(transmit.contents).filter(|packet| packet.kind == Kind::Initial) {
            self.state().began(packet.source);
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(held) = self.state().due.pop_front() {
                bufs[0][..held.contents.len()].copy_from_slice(&held.contents);
                meta[0] = held.meta;
                return Poll::Ready(Ok(1));
            }
            let received = std::task::ready!(self.inner.poll_recv(cx, bufs, meta))?;
            let mut state = self.state();
            let mut kept = 0;
            for at in 0..received {
                let length = meta[at].len;
                if state.holds(&meta[at], &bufs[at][..length]) {
                    continue;
                }
                if kept < at {
                    let (before, from) = bufs.split_at_mut(at);
                    before[kept][..length].copy_from_slice(&from[0][..length]);
                    meta[kept] = meta[at];
                }
                kept += 1;
            }
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
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

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Early").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::recorder::{HANDSHAKE, INITIAL, Recorder, SHORT, packet, receive, received, send};

    /// A whole long-header packet to one ID from another.
    fn whole(first: u8, destination: u8, source: u8) -> Vec<u8> {
        let mut packet = packet(first, destination, source, 23);
        // No token, and twenty bytes.
        packet.extend((first == INITIAL).then_some(0));
        packet.push(20);
        packet.extend([0; 20]);
        packet
    }

    fn data(destination: u8, bytes: usize) -> Vec<u8> {
        packet(SHORT, destination, 0, bytes)
    }

    fn takes(recorder: &Arc<Recorder>, socket: &Early, contents: &[u8]) -> bool {
        recorder.arrives(contents.to_vec(), contents.len());
        received(socket).inspect(|read| assert_eq!(read, contents)).is_some()
    }

    #[test]
    fn data_ahead_of_the_end_of_the_handshake_comes_after_it() {
        let recorder = Recorder::new();
        let socket = Early::new(recorder.clone());
        assert!(takes(&recorder, &socket, &data(7, 30)), "nobody has this ID");
        send(&*socket, &[whole(INITIAL, 1, 7), whole(HANDSHAKE, 1, 7)].concat(), None).unwrap();
        for bytes in [40, 50] {
            assert!(!takes(&recorder, &socket, &data(7, bytes)));
        }
        assert!(takes(&recorder, &socket, &data(8, 30)), "of another connection");
        assert!(takes(&recorder, &socket, &whole(INITIAL, 7, 1)), "the server's flight is asked for again");
        let end = [whole(INITIAL, 7, 1), whole(HANDSHAKE, 7, 1), data(7, 60)].concat();
        assert_eq!(receive(&recorder, &*socket, end.clone(), end.len()), end);
        assert_eq!(received(&*socket), Some(data(7, 40)));
        assert_eq!(received(&*socket), Some(data(7, 50)));
        assert_eq!(received(&*socket), None);
        assert!(takes(&recorder, &socket, &data(7, 70)), "nothing is held any more");
    }

    #[test]
    fn what_others_send_fills_no_memory() {
        let recorder = Recorder::new();
        let socket = Early::new(recorder.clone());
        for id in 0..=MOST_HANDSHAKES as u8 {
            send(&*socket, &whole(INITIAL, 1, id), None).unwrap();
        }
        assert!(takes(&recorder, &socket, &data(0, 30)), "the oldest is forgotten");
        for _ in 0..2 * MOST_HELD {
            assert!(!takes(&recorder, &socket, &data(1, 30)));
        }
        let end = whole(HANDSHAKE, 1, 1);
        assert!(takes(&recorder, &socket, &end));
        assert_eq!(std::iter::from_fn(|| received(&*socket)).count(), MOST_HELD);
    }

    #[test]
    fn what_comes_together_with_it_is_read() {
        let recorder = Recorder::new();
        let socket = Early::new(recorder.clone());
        send(&*socket, &whole(INITIAL, 1, 7), None).unwrap();
        let all = [data(7, 30), data(8, 40), vec![], data(7, 50), vec![SHORT], data(9, 60)];
        for contents in &all {
            recorder.arrives(contents.clone(), contents.len());
        }
        let mut buffers = [[0; 100]; 8];
        let mut bufs = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let mut meta = [RecvMeta::default(); 8];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(read) = socket.poll_recv(&mut cx, &mut bufs, &mut meta) else { panic!("something has come") };
        let read: Vec<_> = (0..read.unwrap()).map(|at| bufs[at][..meta[at].len].to_vec()).collect();
        assert_eq!(read, [&all[1], &all[2], &all[4], &all[5]].map(Clone::clone));
    }
}
