//! What the acknowledgements say about delay: the bare round trip, the standing queue, the jitter, the spacing of ACK frames.
//!
//! Invariant: a sample enters once per ACK frame, as the smallest round trip in it, so batching of acknowledgements never reads
//! as queue; the answer right after a hole is not a sample, because the hole is in it. What to do about a queue is left to
//! the window law.

use std::collections::VecDeque;

use super::Seconds;

/// Life of one bucket of the round-trip minimum; the minimum spans the running and the previous one.
const BUCKET: Seconds = 10.0;
/// The same in round trips: longer than a queue may stand before it is drained.
const BUCKET_TRIPS: f64 = 30.0;
/// Jitter from which the standing queue is read from many more frames.
const JITTERY: Seconds = 0.012;
/// How an ACK frame came, seen from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// As usual.
    InStep,
    /// After a hole (a run of lost ACKs): its round trips contain the hole.
    Late,
    /// After a silence so long that the round it falls in tells nothing about rates.
    Silent,
}

/// Frames kept. More than one round trip of them is never needed.
const FRAMES: usize = 2048;

#[derive(Debug, Clone)]
struct Frame {
    at: Seconds,
    rtt: Seconds,
    packets: f64,
    /// Bytes acknowledged or lost on the connection up to and with this frame.
    resolved: f64,
}

/// Delay statistics of one path.
#[derive(Debug, Clone)]
pub(super) struct Delay {
    frames: VecDeque<Frame>,
    bucket_start: Seconds,
    bucket: Seconds,
    previous: Seconds,
    smoothed: Seconds,
    jitter: Seconds,
    /// Steps the jitter is the mean of, up to 20.
    steps: f64,
    gap: Seconds,
    last: Option<Seconds>,
}

impl Delay {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            bucket_start: 0.0,
            bucket: f64::INFINITY,
            previous: f64::INFINITY,
            smoothed: 0.0,
            jitter: 0.0,
            steps: 0.0,
            gap: 0.0,
            last: None,
        }
    }

    /// Whether any round trip has been measured.
    pub(super) fn is_known(&self) -> bool {
        self.min().is_finite()
    }

    /// The round trip without queue; infinite while unknown.
    pub(super) fn min(&self) -> Seconds {
        self.bucket.min(self.previous)
    }

    /// The smoothed round trip, 0 while unknown.
    pub(super) fn smoothed(&self) -> Seconds {
        self.smoothed
    }

    /// Mean step between the round trips of neighbouring frames (as the jitter of RFC 3550 section 6.4.1).
    pub(super) fn jitter(&self) -> Seconds {
        self.jitter
    }

    /// Mean time between ACK frames.
    pub(super) fn gap(&self) -> Seconds {
        self.gap
    }

    /// Notes that an ACK frame came at `now`.
    pub(super) fn on_frame(&mut self, now: Seconds) -> Spacing {
        let Some(last) = self.last.replace(now) else {
            return Spacing::InStep;
        };
        let gap = now - last;
        let late = self.gap > 0.0 && gap > (4.0 * self.gap).max(0.04) && gap > 0.15 * self.smoothed;
        // A hole is no spacing; it still counts a little, so that a real change of spacing is learnt.
        let usual = if late { 4.0 * self.gap.max(0.01) } else { gap };
        self.gap = if self.gap == 0.0 { usual } else { self.gap + (usual - self.gap) / 20.0 };
        match late {
            true if gap > self.smoothed => Spacing::Silent,
            true => Spacing::Late,
            false => Spacing::InStep,
        }
    }

    /// Adds the smallest round trip of the frame of `now`, which acknowledged `packets` full-sized packets. `may_turn` lets
    /// the minimum forget what is older than the two buckets.
    pub(super) fn sample(&mut self, now: Seconds, rtt: Seconds, packets: f64, resolved: f64, may_turn: bool) {
        if may_turn && now - self.bucket_start > BUCKET.max(BUCKET_TRIPS * self.smoothed) {
            self.previous = self.bucket;
            self.bucket = f64::INFINITY;
            self.bucket_start = now;
        }
        self.bucket = self.bucket.min(rtt);
        let mut newest = self.frames.iter().rev();
        if let (Some(b), Some(a)) = (newest.next(), newest.next()) {
            // How far the middle one of three lies off the line: a queue of our own making rises and falls in ramps.
            let step = (a.rtt - 2.0 * b.rtt + rtt).abs() / 2.0;
            self.steps = (self.steps + 1.0).min(20.0);
            self.jitter += (step - self.jitter) / self.steps;
        }
        self.smoothed = if self.smoothed == 0.0 { rtt } else { self.smoothed + (rtt - self.smoothed) / 8.0 };
        if self.frames.len() == FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(Frame { at: now, rtt, packets, resolved });
    }

    /// Declares `rtt` the round trip without queue: what was measured before belongs to another path.
    pub(super) fn rebase(&mut self, now: Seconds, rtt: Seconds) {
        self.bucket = rtt;
        self.previous = f64::INFINITY;
        self.bucket_start = now;
    }

    /// The smallest round trip among the newest frames that carry at least 8 packets (24 where it jumps), if there are that
    /// many: an early look.
    pub(super) fn recent(&self) -> Option<Seconds> {
        let enough = if self.jitter > JITTERY { 24.0 } else { 8.0 };
        let mut smallest = f64::INFINITY;
        let mut packets = 0.0;
        for (n, frame) in self.frames.iter().rev().enumerate() {
            smallest = smallest.min(frame.rtt);
            packets += frame.packets;
            if n >= 1 && packets >= enough {
                return Some(smallest);
            }
        }
        None
    }

    /// The standing round trip: the smallest over enough of the newest frames to be neither jitter nor a burst of our own.
    pub(super) fn standing(&self, now: Seconds) -> Seconds {
        let (frames, span) =
            if self.jitter > JITTERY { (12, self.smoothed / 2.0) } else { (3, (self.smoothed / 4.0).max(0.004)) };
        let (mut smallest, mut packets) = (f64::INFINITY, 0.0);
        for (n, frame) in self.frames.iter().rev().enumerate() {
            if n >= frames && packets >= 12.0 && now - frame.at > span {
                break;
            }
            smallest = smallest.min(frame.rtt);
            packets += frame.packets;
        }
        smallest
    }

    /// Bytes per second resolved (acknowledged or lost) over about the last round trip.
    pub(super) fn rate(&self) -> Option<f64> {
        let newest = self.frames.back()?;
        let oldest = self.frames.iter().rev().find(|f| newest.at - f.at >= self.min())?;
        Some((newest.resolved - oldest.resolved) / (newest.at - oldest.at).max(1e-6))
    }
}
