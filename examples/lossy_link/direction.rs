//! One direction of the link in real time: packets wait here from being taken until they are due.
//!
//! What becomes of a packet is decided when it is taken, by the simulator's link; the clock only says when.

use crate::link::{Fate, Link, Stats};
use crate::profile::Profile;
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A packet under way.
pub(crate) struct Packet<T> {
    /// Whoever it comes from or goes to, where the direction alone does not say it.
    pub whose: T,
    pub payload: Vec<u8>,
}

/// What one direction holds.
struct State<T> {
    link: Link,
    /// By arrival and order of sending.
    packets: BTreeMap<(Duration, u64), Packet<T>>,
    /// How many packets were ever put there.
    count: u64,
}

impl<T> State<T> {
    fn put(&mut self, at: Duration, packet: Packet<T>) {
        self.count += 1;
        self.packets.insert((at, self.count), packet);
    }
}

/// One direction: the link, and what is on it.
pub(crate) struct Direction<T> {
    /// Bytes of headers that the link carries and the payload does not have.
    headers: usize,
    start: Instant,
    state: Mutex<State<T>>,
    sooner: Condvar,
}

impl<T: Clone> Direction<T> {
    pub(crate) fn new(start: Instant, path: Profile, rng: Rng, headers: usize) -> Direction<T> {
        let state = State { link: Link::new(path, rng), packets: BTreeMap::new(), count: 0 };
        Direction { headers, start, state: Mutex::new(state), sooner: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has passed so far.
    pub(crate) fn stats(&self) -> Stats {
        self.lock().link.stats
    }

    /// Puts a packet on the link.
    pub(crate) fn take(&self, whose: &T, payload: &[u8]) {
        let mut state = self.lock();
        let size = payload.len() + self.headers;
        let Fate::Delivered(delivery) = state.link.carry(self.start.elapsed(), size, false) else {
            return;
        };
        let mut payload = payload.to_vec();
        delivery.damage(&mut payload);
        let earliest = state.packets.first_key_value().map(|((at, _), _)| *at);
        if let Some(at) = delivery.copy_at {
            state.put(at, Packet { whose: whose.clone(), payload: payload.clone() });
        }
        state.put(delivery.at, Packet { whose: whose.clone(), payload });
        if earliest.is_none_or(|at| delivery.at < at) {
            self.sooner.notify_one();
        }
    }

    /// Hands over packets when they are due, for ever.
    pub(crate) fn deliver(&self, send: impl Fn(&Packet<T>)) {
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
