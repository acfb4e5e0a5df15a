//! What is known of delay: the bare round trip, the standing queue, the jitter, the spacing of ACK frames.
//!
//! A sample is the way of one packet to the receiver, by the receiver's clock, so that nothing that happens to its answer reads as
//! queue; the shortest way back is added to it. Without a receiver that tells, it is the smallest round trip of an ACK frame: then
//! batching never reads as queue, and the answer right after a hole is not a sample, because the hole is in it. Invariant: both kinds
//! are never mixed. What to do about a queue is left to the window law.

use std::collections::VecDeque;

use super::Seconds;

/// Life of one bucket of the round-trip minimum; the minimum spans the running and the previous one.
const BUCKET: Seconds = 10.0;
/// The same in round trips: longer than a queue may stand before it is drained.
const BUCKET_TRIPS: f64 = 30.0;
/// No path is shorter.
const SHORTEST: Seconds = 20e-6;
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
    way: Seconds,
    packets: f64,
    /// Bytes acknowledged or lost on the connection up to and with this frame.
    resolved: f64,
}

/// The least of the running and the previous bucket of time.
#[derive(Debug, Clone)]
struct Least {
    start: Seconds,
    running: Seconds,
    previous: Seconds,
}

impl Default for Least {
    fn default() -> Self {
        Self::of(0.0, f64::INFINITY)
    }
}

impl Least {
    fn of(start: Seconds, value: Seconds) -> Self {
        Self { start, running: value, previous: f64::INFINITY }
    }

    fn add(&mut self, now: Seconds, value: Seconds, life: Seconds) {
        if now - self.start > life {
            *self = Self { start: now, running: f64::INFINITY, previous: self.running };
        }
        self.running = self.running.min(value);
    }

    fn get(&self) -> Seconds {
        self.running.min(self.previous)
    }
}

/// Delay statistics of one path.
#[derive(Debug, Clone)]
pub(super) struct Delay {
    frames: VecDeque<Frame>,
    there: Least,
    /// The shortest way back, on the difference of both clocks; nothing while samples are round trips.
    back: Option<Least>,
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
            there: Least::default(),
            back: None,
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
        self.as_trip(self.there.get())
    }

    /// The smoothed round trip, 0 while unknown.
    pub(super) fn smoothed(&self) -> Seconds {
        self.smoothed
    }

    /// Mean step between the round trips of neighbouring frames (as the jitter of RFC 3550 section 6.4.1).
    pub(super) fn jitter(&self) -> Seconds {
        self.jitter
    }

    /// Whether it is so large that a queue shows only in many samples.
    pub(super) fn is_jittery(&self) -> bool {
        self.jitter > JITTERY
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

    /// A round trip was seen, with whatever stood on either way.
    pub(super) fn round_trip(&mut self, rtt: Seconds) {
        self.smoothed = if self.smoothed == 0.0 { rtt } else { self.smoothed + (rtt - self.smoothed) / 8.0 };
    }

    /// An answer took `back` to come, by the difference of both clocks. From the first one on, samples are ways to the receiver.
    pub(super) fn returned(&mut self, now: Seconds, back: Seconds) {
        if self.back.is_none() {
            self.frames.clear();
            self.there = Least::default();
        }
        self.back.get_or_insert_default().add(now, back, BUCKET.max(BUCKET_TRIPS * self.smoothed));
    }

    /// Whether samples are ways to the receiver.
    pub(super) fn is_one_way(&self) -> bool {
        self.back.is_some()
    }

    /// A way there and the shortest back. When a packet left is known only as soon as somebody looks, which on the shortest paths may be
    /// after it has come.
    fn as_trip(&self, way: Seconds) -> Seconds {
        (way + self.base()).max(SHORTEST)
    }

    fn base(&self) -> Seconds {
        self.back.as_ref().map_or(0.0, Least::get)
    }

    /// Adds a sample of `now`: of the frame of `now`, which acknowledged `packets` full-sized packets. `may_turn` lets
    /// the minimum forget what is older than the two buckets.
    pub(super) fn sample(&mut self, now: Seconds, way: Seconds, packets: f64, resolved: f64, may_turn: bool) {
        let life = if may_turn { BUCKET.max(BUCKET_TRIPS * self.smoothed) } else { f64::INFINITY };
        // When a packet left is sometimes noted late, which makes a single way too short. In jitter few are short anyway.
        let before = self.frames.back().filter(|_| !self.is_jittery()).map_or(way, |frame| frame.way);
        self.there.add(now, way.max(before), life);
        let mut newest = self.frames.iter().rev();
        if let (Some(b), Some(a)) = (newest.next(), newest.next()) {
            // How far the middle one of three lies off the line: a queue of our own making rises and falls in ramps.
            let step = (a.way - 2.0 * b.way + way).abs() / 2.0;
            self.steps = (self.steps + 1.0).min(20.0);
            self.jitter += (step - self.jitter) / self.steps;
        }
        if self.frames.len() == FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(Frame { at: now, way, packets, resolved });
    }

    /// The newest sample as a round trip without anything standing on the way back; infinite before the first.
    pub(super) fn newest(&self) -> Seconds {
        self.frames.back().map_or(f64::INFINITY, |frame| self.as_trip(frame.way))
    }

    /// Declares `rtt` the round trip without queue: what was measured before belongs to another path.
    pub(super) fn rebase(&mut self, now: Seconds, rtt: Seconds) {
        self.there = Least::of(now, rtt - self.base());
    }

    /// The smallest round trip among the newest frames that carry at least 8 packets (24 where it jumps), if there are that
    /// many: an early look.
    pub(super) fn recent(&self) -> Option<Seconds> {
        let enough = if self.is_jittery() { 24.0 } else { 8.0 };
        let mut smallest = f64::INFINITY;
        let mut packets = 0.0;
        for (n, frame) in self.frames.iter().rev().enumerate() {
            smallest = smallest.min(frame.way);
            packets += frame.packets;
            if n >= 1 && packets >= enough {
                return Some(self.as_trip(smallest));
            }
        }
        None
    }

    /// The standing round trip: the smallest over enough of the newest frames to be neither jitter nor a burst of our own.
    pub(super) fn standing(&self, now: Seconds) -> Seconds {
        let (frames, span) =
            if self.is_jittery() { (12, self.smoothed / 2.0) } else { (3, (self.smoothed / 4.0).max(0.004)) };
        let (mut smallest, mut packets) = (f64::INFINITY, 0.0);
        for (n, frame) in self.frames.iter().rev().enumerate() {
            if n >= frames && packets >= 12.0 && now - frame.at > span {
                break;
            }
            smallest = smallest.min(frame.way);
            packets += frame.packets;
        }
        self.as_trip(smallest)
    }

    /// Bytes per second resolved (acknowledged or lost) over about the last round trip.
    pub(super) fn rate(&self) -> Option<f64> {
        let newest = self.frames.back()?;
        let oldest = self.frames.iter().rev().find(|f| newest.at - f.at >= self.min())?;
        Some((newest.resolved - oldest.resolved) / (newest.at - oldest.at).max(1e-6))
    }
}
