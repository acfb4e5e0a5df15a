//! The queue that is aimed at.
//!
//! Invariant: of two flows that see the same path the smaller has the longer target, unless jitter hides both; so flows that share a queue
//! come to equal shares. How the target is reached is left to the pace and the window.

use super::super::Seconds;
use super::Law;

/// The queue that a flow of 10 Mbit/s aims at: seconds, at least this share of the round trip. And the most that any does for its rate.
const TARGET: Seconds = 0.012;
const TARGET_RATE: f64 = 1_250_000.0;
const TRIP_SHARE: f64 = 0.07;
const LONGEST: Seconds = 0.060;
/// Shares of jitter and spacing of ACK frames below which a queue could not be told from none.
const JITTER_SHARE: f64 = 1.5;
const GAP_SHARE: f64 = 0.7;

impl Law {
    /// The queue that a flow of `rate` bytes per second aims at. Longer for a smaller flow: that alone makes equal flows equal.
    pub(super) fn target(&self, rate: f64) -> Seconds {
        let rate = rate.max(1.0);
        let path = TARGET.max(TRIP_SHARE * self.delay.min().min(2.0));
        let scaled = (path * (TARGET_RATE / rate).sqrt()).clamp(0.004, LONGEST);
        let gap = (GAP_SHARE * self.delay.gap())
            .min(0.040)
            .max((4.0 * self.mtu / rate).min(0.100))
            .max(1.5 * self.mtu / rate);
        let jitter = (JITTER_SHARE * self.delay.jitter()).min(LONGEST);
        scaled.hypot(gap).min(LONGEST.max(gap)).max(jitter)
    }
}
