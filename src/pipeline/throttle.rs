//! The limits that a sender holds to: its own, and what the receiver allows.
//!
//! Invariant: the smaller of both rates is in force. Shards wait for it; what keeps the path alive, probes and goodbyes, is counted and
//! never waits, so that a limit cannot make two sides wait for each other.

use crate::network::limit::{Bandwidth, Limiter};
use crate::network::seam::now;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Instant;

/// Bytes counted for a datagram besides its own: about half of what QUIC, UDP and IP put around it. A limit is then met within 4 % whether
/// one reads it from the files, of which a datagram carries a little less than it is long, or from the link.
const AROUND: u64 = 22;

#[derive(Debug)]
pub(super) struct Throttle {
    own: Option<Bandwidth>,
    allowed: u32,
    bytes: Option<Limiter>,
    chunks: Option<Limiter>,
    /// When shards may go on.
    held: Option<Instant>,
}

impl Throttle {
    pub(super) fn new(own: Option<Bandwidth>, chunks: Option<NonZeroU32>) -> Self {
        let (bytes, chunks) = (own.map(Limiter::new), chunks.map(Limiter::items));
        Self { own, allowed: 0, bytes, chunks, held: None }
    }

    /// The receiver allows that many bytes a second; 0 is any number.
    pub(super) fn allow(&mut self, allowed: u32) {
        if allowed == self.allowed {
            return;
        }
        self.allowed = allowed;
        self.bytes = self.in_force().map(|bandwidth| Limiter::new(bandwidth).without_burst());
    }

    /// The limit in force.
    pub(super) fn in_force(&self) -> Option<Bandwidth> {
        let allowed = NonZeroU64::new(self.allowed.into()).map(|rate| Bandwidth { rate, burst: None });
        match (self.own, allowed) {
            (Some(own), Some(allowed)) if allowed.rate >= own.rate => Some(own),
            (own, allowed) => allowed.or(own),
        }
    }

    /// Whether a shard may go now; if not, [`Self::next_timeout`] says when.
    pub(super) fn lets_shard_go(&mut self) -> bool {
        self.held = self.bytes.as_mut().and_then(|limiter| limiter.ready().err());
        self.held.is_none()
    }

    /// Counts a datagram that goes.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(limiter) = &mut self.bytes {
            limiter.charge(bytes as u64 + AROUND);
        }
    }

    /// When the next chunk may be taken, if not now.
    pub(super) fn next_chunk(&mut self) -> Option<Instant> {
        self.chunks.as_mut()?.ready().err()
    }

    /// Counts a chunk of file data.
    pub(super) fn took_chunk(&mut self) {
        if let Some(limiter) = &mut self.chunks {
            limiter.charge(1);
        }
    }

    /// When a shard that was held may go. Once that has come, whatever else holds it says when to ask again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.held.filter(|at| *at > now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_smaller_limit_is_in_force() {
        let own = Bandwidth { rate: NonZeroU64::new(1000).unwrap(), burst: NonZeroU64::new(1) };
        let mut throttle = Throttle::new(Some(own), None);
        for (allowed, rate) in [(0, 1000), (500, 500), (2000, 1000), (1000, 1000), (0, 1000)] {
            throttle.allow(allowed);
            assert_eq!(throttle.in_force().map(|limit| limit.rate.get()), Some(rate), "{allowed}");
        }
        let mut throttle = Throttle::new(None, None);
        throttle.sent(1 << 30);
        assert!(throttle.lets_shard_go() && throttle.in_force().is_none());
        throttle.allow(1000);
        throttle.sent(962);
        assert!(!throttle.lets_shard_go());
        let held = throttle.next_timeout().unwrap();
        tokio::time::sleep_until(held.into()).await;
        assert_eq!(throttle.next_timeout(), None, "who waits for something else would be woken for ever");
        throttle.allow(0);
        assert!(throttle.lets_shard_go() && throttle.next_timeout().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_are_limited_apart() {
        let mut throttle = Throttle::new(None, NonZeroU32::new(1));
        assert_eq!(throttle.next_chunk(), None);
        throttle.took_chunk();
        throttle.took_chunk();
        assert!(throttle.next_chunk().is_some() && throttle.lets_shard_go());
    }
}
