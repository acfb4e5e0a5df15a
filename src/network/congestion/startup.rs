//! Start-up: from the initial window to the path's rate in as few round trips as the evidence allows.
//!
//! Invariant: growth stops at the first sign of a queue, or when sending much more delivers hardly more; loss at a steady share
//! never stops it. The window law applies what is decided here.

use super::Seconds;
use super::policer::Ceiling;
use super::rounds::Round;

/// Initial window, packets.
pub(super) const INITIAL_PACKETS: f64 = 40.0;
/// Highest receiver estimate that is believed, bytes per second (50 Mbit/s): a policer or a coalescing receiver passes the
/// first burst at any rate.
pub(super) const HINT_CAP: f64 = 6_250_000.0;
/// Share of the estimated bandwidth-delay product that is opened at once.
const HINT_SHARE: f64 = 0.8;
/// Growth per acknowledged byte once the window stands on an estimate.
const HINTED_GROWTH: f64 = 0.3;
/// Initial windows the estimate may open at once.
const HINT_WINDOWS: f64 = 105.0;
/// Window over the estimated bandwidth-delay product from which, without a queue, the estimate was too low.
const HINT_DISPROVED: f64 = 1.5;

/// Packets of a round from which its loss is judged.
const JUDGED: f64 = 120.0;
/// Loss from which on a round is not taken for usual: what is sent grows all the time.
const BELIEVED: f64 = 0.5;
/// Share of the window that an estimate has to fall short of for start-up to be over at once.
const FULL: f64 = 0.75;

/// The state of start-up.
#[derive(Debug, Clone, Default)]
pub(super) struct StartUp {
    /// Bytes per second by the receiver's estimate, and whether it was cut to the cap.
    hint: Option<(f64, bool)>,
    opened: bool,
    /// Rate sent and rate acknowledged in the round before.
    before: Option<(f64, f64)>,
    losses: f64,
    rounds: f64,
}

impl StartUp {
    /// A start-up that was broken off for a ceiling that is none; `loss` is usual here.
    pub(super) fn again(loss: f64) -> Self {
        Self { losses: loss, rounds: 1.0, opened: true, ..Self::default() }
    }

    /// Takes the receiver's estimate of the path's rate, in bytes per second.
    pub(super) fn hint(&mut self, rate: f64) {
        self.hint = Some((rate.min(HINT_CAP), rate > HINT_CAP));
    }

    /// The estimate as bytes per second, if it is fresh and either a window of `window` bytes is far above it even with `rtt` seconds
    /// of round trip and queue, because the first burst alone has filled the path; or a pace can be kept and it was not cut.
    pub(super) fn known(&self, window: f64, rtt: Seconds, paced: bool) -> Option<f64> {
        let (rate, capped) = self.hint.filter(|_| !self.opened)?;
        (rate * rtt < FULL * window || (paced && !capped)).then_some(rate)
    }

    /// The window after `acked` and `lost` bytes; `rtt` is the smallest round trip, `flight` the most bytes lately in flight.
    pub(super) fn grow(&mut self, window: f64, acked: f64, lost: f64, rtt: Seconds, flight: f64, mtu: f64) -> f64 {
        let mut window = window;
        let mut growth = 1.0;
        if let Some((rate, capped)) = self.hint {
            if !self.opened {
                self.opened = true;
                window = window.max((HINT_SHARE * rate * rtt).min(HINT_WINDOWS * INITIAL_PACKETS * mtu));
            }
            if !capped && window < HINT_DISPROVED * rate * rtt {
                growth = HINTED_GROWTH;
            }
        }
        // A window the application does not use proves nothing.
        if window > 2.0 * flight {
            return window;
        }
        window + growth * (acked + lost.min(0.4 * acked + 10_000.0))
    }

    /// Looks at a finished round; a ceiling if much more was sent and hardly more arrived.
    pub(super) fn round(&mut self, round: &Round, lasted: Seconds, mtu: f64, dispersion: f64) -> Option<Ceiling> {
        let resolved = round.resolved();
        let (sent, acked) = (resolved / lasted, round.acked / lasted);
        let packets = resolved / mtu;
        let loss = round.loss();
        let usual = if self.rounds > 0.0 { self.losses / self.rounds } else { 0.0 };
        let noise = (dispersion * (usual * (1.0 - usual)).max(0.01) / packets.max(1.0)).sqrt();
        let in_vain = self.before.is_some_and(|(sent_before, acked_before)| {
            packets >= JUDGED
                && sent > 1.3 * sent_before
                && acked < 1.2 * acked_before
                && loss > usual + 0.2 + 3.0 * noise
        });
        let flood = packets >= JUDGED && loss > 0.65 && usual + 3.0 * noise < 0.55;
        if in_vain || flood {
            return Some(Ceiling { rate: acked / (1.0 - usual), loss: usual, above: loss });
        }
        self.before = Some((sent, acked));
        if packets >= 8.0 && loss < BELIEVED {
            self.losses += loss;
            self.rounds += 1.0;
        }
        None
    }
}
