//! A loss-driven window after RFC 9438 (CUBIC): the shadow that `dbw` obeys while it shares a queue with loss-driven flows.
//!
//! Invariant: the window never falls below two packets and shrinks at most once while a queue that was too long leaves. It knows neither pacing nor
//! queueing delay; whether to obey it is decided by its owner.

use super::Seconds;

/// Multiplicative decrease (RFC 9438 section 4.6).
const BETA: f64 = 0.7;
/// Round trips after a cut in which what was sent still meets the full queue: the flows beside us hear of it later and let their windows shrink
/// over a round trip. A flow that keeps sending evenly then would be cut twice where they are cut once.
const SETTLES: f64 = 1.5;
/// Aggressiveness, packets per cubic second (RFC 9438 section 5.1).
const SCALE: f64 = 0.4;

/// One CUBIC window, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    peak: f64,
    epoch: Option<Seconds>,
    /// Seconds from the epoch until the cubic is back at `peak`.
    k: f64,
    /// What an additive-increase flow would have by now (RFC 9438 section 4.3).
    friendly: f64,
    cut_at: Option<Seconds>,
    mtu: f64,
}

impl Cubic {
    /// A window of `window` bytes that doubles per round trip until `threshold` bytes.
    pub(super) fn new(window: f64, threshold: f64, mtu: f64) -> Self {
        Self { window, threshold, peak: window, epoch: None, k: 0.0, friendly: window, cut_at: None, mtu }
    }

    /// The window, in bytes.
    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// Whether a loss has been seen yet.
    pub(super) fn has_been_cut(&self) -> bool {
        self.cut_at.is_some()
    }

    /// Lifts the window to at least `window` bytes.
    pub(super) fn raise_to(&mut self, window: f64) {
        if window > self.window {
            self.window = window;
            self.peak = self.peak.max(window);
            self.epoch = None;
        }
    }

    /// `bytes` that left at `sent` arrived; `rtt` is the smoothed round trip.
    pub(super) fn on_ack(&mut self, now: Seconds, sent: Seconds, bytes: f64, rtt: Seconds) {
        if self.cut_at.is_some_and(|cut| sent <= cut) {
            return;
        }
        if self.window < self.threshold {
            self.window += bytes;
            return;
        }
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.k = ((self.peak - self.window).max(0.0) / self.mtu / SCALE).cbrt();
            self.friendly = self.window;
            now
        });
        let ahead = now - epoch + rtt - self.k;
        let cubic = (SCALE * ahead.powi(3) * self.mtu + self.peak).clamp(self.window, 1.5 * self.window);
        self.friendly += 3.0 * (1.0 - BETA) / (1.0 + BETA) * self.mtu * bytes / self.window;
        self.window += (cubic - self.window) * bytes / self.window;
        self.window = self.window.max(self.friendly);
    }

    /// Something that left at `sent` was lost, on a round trip of `rtt`.
    pub(super) fn on_lost(&mut self, now: Seconds, sent: Seconds, rtt: Seconds) {
        if self.cut_at.is_some_and(|cut| sent <= cut + SETTLES * rtt) {
            return;
        }
        self.cut_at = Some(now);
        // Fast convergence (RFC 9438 section 4.7): a flow that did not get back to its peak makes room for a newcomer.
        self.peak = if self.window < self.peak { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0 * self.mtu);
        self.threshold = self.window;
        self.epoch = None;
    }
}
