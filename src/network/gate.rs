//! The gate of a listener: which handshakes are begun, and for how long they may take.
//!
//! Invariant: never more than [`MAX_HALF_OPEN`] peers that nobody has accepted yet, and of those whose address is unproved never
//! more than [`MAX_UNPROVED`]: above that an address is first asked to answer a Retry (RFC 9000, 8.1.2), which costs us no memory,
//! so forged addresses never keep out a real one. A limit on waiting attempts alone does not help once they are accepted. What a
//! peer may do after its handshake, and whether its key or ticket is good, is the protocol's to say.

use crate::network::attempts::Attempts;
use crate::network::endpoint::{Congestion, Listener, transport_config};
use crate::network::pin;
use crate::network::seam::now;
use crate::node_id::NodeId;
use quinn::{Connection, Incoming};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Most peers that are not accepted yet.
pub const MAX_HALF_OPEN: usize = 64;
/// Most of them that may come from addresses that have not answered a Retry.
pub const MAX_UNPROVED: usize = 16;
/// How long a handshake may take.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// The same in answers that take their time, over a slow link.
const SLOW_ANSWERS: u32 = 6;

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Retry,
    /// No answer: a good client sends again soon, and a refusal would end its attempt.
    Ignore,
}

fn judge(half_open: usize, address_proved: bool) -> Verdict {
    match (half_open, address_proved) {
        (MAX_HALF_OPEN.., _) => Verdict::Ignore,
        (MAX_UNPROVED.., false) => Verdict::Retry,
        _ => Verdict::Accept,
    }
}

/// A place among the half-open peers, free again when this is dropped.
pub struct Pass(Arc<AtomicUsize>);

impl Pass {
    fn take(count: &Arc<AtomicUsize>) -> Pass {
        count.fetch_add(1, Ordering::Relaxed);
        Pass(Arc::clone(count))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass")
    }
}

/// A peer whose handshake is complete.
#[derive(Debug)]
pub struct Arrival<C> {
    /// The connection.
    pub connection: Connection,
    /// The key that the peer has proved to hold.
    pub peer: NodeId,
    /// What came with the connection's congestion controller.
    pub control: C,
    /// Counts the peer as half-open: keep it until the protocol has accepted the peer.
    pub pass: Pass,
}

/// Lets peers in. Must be polled ([`Gate::accept`]) all the time: attempts wait only while it is.
pub struct Gate<C> {
    listener: Listener,
    congestion: Box<dyn FnMut() -> (Congestion, C) + Send>,
    half_open: Arc<AtomicUsize>,
    attempts: Mutex<Attempts>,
    handshakes: JoinSet<Option<Arrival<C>>>,
}

impl<C: Send + 'static> Gate<C> {
    /// The gate of `listener`; `congestion` makes the controller of each connection, and whatever controls it.
    pub fn new(listener: Listener, congestion: impl FnMut() -> (Congestion, C) + Send + 'static) -> Gate<C> {
        Gate {
            listener,
            congestion: Box::new(congestion),
            half_open: Arc::default(),
            attempts: Mutex::default(),
            handshakes: JoinSet::new(),
        }
    }

    /// The next peer; `None` once the endpoint is closed. Nothing is lost if the future is dropped.
    pub async fn accept(&mut self) -> Option<Arrival<C>> {
        loop {
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Some(arrival)) => return Some(arrival),
                    Ok(None) => {}
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                incoming = self.listener.endpoint.quic.accept() => self.meet(incoming?),
            }
        }
    }

    /// Peers that are in a handshake or hold a [`Pass`].
    pub fn half_open(&self) -> usize {
        self.half_open.load(Ordering::Relaxed)
    }

    /// A peer at `address` was not let in by the protocol. Too many of those, and no handshake is begun with it for a while.
    pub fn failed(&self, address: IpAddr) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).failed(now(), address);
    }

    fn meet(&mut self, incoming: Incoming) {
        let attempts = self.attempts.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !attempts.allows(now(), incoming.remote_address().ip()) {
            // One packet, and nothing kept: an honest client comes again after a pause.
            return incoming.refuse();
        }
        match judge(self.half_open(), incoming.remote_address_validated()) {
            Verdict::Accept => self.begin(incoming),
            Verdict::Retry => {
                // Only an attempt that already answered a Retry cannot be sent another, and such are not judged so.
                let _ = incoming.retry();
            }
            Verdict::Ignore => incoming.ignore(),
        }
    }

    fn begin(&mut self, incoming: Incoming) {
        let (congestion, control) = (self.congestion)();
        let mut config = self.listener.config.clone();
        let mtu = self.listener.endpoint.local.mtu(incoming.remote_address().ip());
        config.transport_config(Arc::new(transport_config(congestion, self.listener.endpoint.link, mtu)));
        let pass = Pass::take(&self.half_open);
        // An attempt that fails at once has been answered by quinn.
        let Ok(connecting) = incoming.accept_with(Arc::new(config)) else {
            return;
        };
        let link = self.listener.endpoint.link;
        let deadline = link.map_or(HANDSHAKE_DEADLINE, |link| HANDSHAKE_DEADLINE.max(SLOW_ANSWERS * link.answer()));
        self.handshakes.spawn(async move {
            let connection = tokio::time::timeout(deadline, connecting).await.ok()?.ok()?;
            let peer = pin::peer_id(&connection)?;
            Some(Arrival { connection, peer, control, pass })
        });
    }
}

impl<C> fmt::Debug for Gate<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("half_open", &self.half_open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let table = [
            (0, false, Verdict::Accept),
            (MAX_UNPROVED - 1, false, Verdict::Accept),
            (MAX_UNPROVED, false, Verdict::Retry),
            (MAX_UNPROVED, true, Verdict::Accept),
            (MAX_HALF_OPEN - 1, false, Verdict::Retry),
            (MAX_HALF_OPEN - 1, true, Verdict::Accept),
            (MAX_HALF_OPEN, true, Verdict::Ignore),
            (MAX_HALF_OPEN, false, Verdict::Ignore),
            (usize::MAX, true, Verdict::Ignore),
        ];
        for (half_open, proved, verdict) in table {
            assert_eq!(judge(half_open, proved), verdict, "{half_open} {proved}");
        }
    }

    #[test]
    fn a_pass_counts_until_it_is_dropped() {
        let count = Arc::default();
        let passes = [Pass::take(&count), Pass::take(&count)];
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(passes);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
