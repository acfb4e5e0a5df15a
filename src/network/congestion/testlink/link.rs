//! The bottleneck and the path behind it: rate, delay, jitter, queue, losses, policer, outage.
//!
//! Invariant: runs of losses are drawn in time, not per packet, so that rare probes meet them as often as floods do. What is
//! queued and when it arrives is the simulation's business.

use super::ns;

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in 0..1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A bottleneck and the path behind it.
#[derive(Clone)]
pub(in super::super) struct Link {
    /// (from second, bits per second)
    pub(in super::super) rates: Vec<(f64, f64)>,
    /// One way, seconds.
    pub(in super::super) delay: f64,
    /// Added delay is uniform in 0..jitter, seconds; it reorders.
    pub(in super::super) jitter: f64,
    /// Tail-drop queue, bytes.
    pub(in super::super) queue: f64,
    /// Share lost behind the bottleneck, both ways.
    pub(in super::super) loss: f64,
    /// Mean length of a run of losses, seconds; 0 is independent.
    pub(in super::super) burst: f64,
    /// (bits per second, bucket bytes) of a token bucket before the bottleneck.
    pub(in super::super) policer: Option<(f64, f64)>,
    /// (from, to) in seconds: nothing passes either way.
    pub(in super::super) outage: Option<(f64, f64)>,
    /// From this second on the one-way delay is this much longer.
    pub(in super::super) detour: Option<(f64, f64)>,
}

impl Link {
    /// `mbit`, round trip in ms, queue in ms of the rate, loss 0..1.
    pub(in super::super) fn new(mbit: f64, rtt_ms: f64, queue_ms: f64, loss: f64) -> Self {
        Self {
            rates: vec![(0.0, mbit * 1e6)],
            delay: rtt_ms / 2000.0,
            jitter: 0.0,
            queue: mbit * 1e6 / 8.0 * queue_ms / 1000.0,
            loss,
            burst: 0.0,
            policer: None,
            outage: None,
            detour: None,
        }
    }

    /// Bytes per second at second `at`.
    pub(super) fn rate(&self, at: f64) -> f64 {
        let past = self.rates.iter().rev().find(|r| r.0 <= at);
        past.map_or(self.rates[0].1, |r| r.1) / 8.0
    }
}

/// One direction's state of a link with runs of losses.
pub(super) struct Lossy {
    bad: bool,
    until: u64,
}

impl Lossy {
    pub(super) fn new() -> Self {
        Self { bad: true, until: 0 }
    }

    /// Whether a packet is lost now. Draws the same number of random values whatever comes of it.
    pub(super) fn loses(&mut self, link: &Link, now: u64, random: &mut Random) -> bool {
        let (draw, dwell) = (random.next(), random.next());
        if link.outage.is_some_and(|(from, to)| now >= ns(from) && now < ns(to)) {
            return true;
        }
        if link.burst == 0.0 || link.loss == 0.0 {
            return draw < link.loss;
        }
        while self.until <= now {
            self.bad = !self.bad;
            let mean = if self.bad { link.burst } else { link.burst * (1.0 - link.loss) / link.loss };
            self.until += ns(-mean * (1.0 - dwell).ln()).max(1);
        }
        self.bad
    }
}
