//! How far a transfer is: counters shared by the stages of one run, and the snapshots made of them once a second.

use crate::class::Class;
use crate::event::Progress;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time between two progress events.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What a run has come to so far, as its sender counts it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    files_done: AtomicU64,
    bytes_matched: AtomicU64,
    bytes_encoded: AtomicU64,
    worst: Mutex<Option<Class>>,
}

impl Tally {
    pub(super) fn file_done(&self) {
        self.files_done.fetch_add(1, Relaxed);
    }

    pub(super) fn add_matched(&self, bytes: u64) {
        self.bytes_matched.fetch_add(bytes, Relaxed);
    }

    pub(super) fn add_encoded(&self, bytes: u64) {
        self.bytes_encoded.fetch_add(bytes, Relaxed);
    }

    pub(super) fn failed(&self, class: Class) {
        let mut worst = self.worst.lock().expect("nothing panics while it holds this lock");
        *worst = Some(worst.map_or(class, |worst| worst.worse(class)));
    }

    pub(super) fn files_done(&self) -> u64 {
        self.files_done.load(Relaxed)
    }

    pub(super) fn bytes_matched(&self) -> u64 {
        self.bytes_matched.load(Relaxed)
    }

    /// File data after compression, with the headers of its chunks, before parity.
    pub(super) fn bytes_encoded(&self) -> u64 {
        self.bytes_encoded.load(Relaxed)
    }

    pub(super) fn worst(&self) -> Option<Class> {
        *self.worst.lock().expect("nothing panics while it holds this lock")
    }
}

/// Turns counters into snapshots.
#[derive(Debug)]
pub(super) struct Meter {
    next: Instant,
    last: Option<(Instant, u64)>,
    rate: f64,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now + TICK, last: Some((now, 0)), rate: 0.0 }
    }

    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Completes `progress` with rate and time to go, at most once per [`TICK`].
    pub(super) fn tick(&mut self, now: Instant, mut progress: Progress) -> Option<Progress> {
        if now < self.next {
            return None;
        }
        self.next = now + TICK;
        if let Some((at, bytes)) = self.last {
            let seconds = now.saturating_duration_since(at).as_secs_f64().max(1e-3);
            let sample = progress.bytes_done.saturating_sub(bytes) as f64 / seconds;
            self.rate = if self.rate == 0.0 { sample } else { 0.7 * self.rate + 0.3 * sample };
        }
        self.last = Some((now, progress.bytes_done));
        progress.rate = self.rate as u64;
        let left = progress.bytes_total.saturating_sub(progress.bytes_done);
        progress.eta_ms = (self.rate >= 1.0).then(|| (left as f64 / self.rate * 1000.0) as u64);
        Some(progress)
    }
}
