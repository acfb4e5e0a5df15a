//! The press: compresses chunks as [`Chooser`] says, and tells it what came of it.
//!
//! Shared by preparation, which packs and hands over, and by the network side, which hears first how fast the path is. Times are the
//! seam's: in a simulation packing takes none, so that a run depends on its seed alone.

use crate::chunk::compression::chooser::Chooser;
use crate::chunk::compression::{Choice, Compressed, compress};
use crate::network::seam::now;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Press {
    chooser: Mutex<Chooser>,
}

impl Press {
    pub(super) fn new(choice: Choice) -> Self {
        Self { chooser: Mutex::new(Chooser::new(choice)) }
    }

    fn chooser(&self) -> MutexGuard<'_, Chooser> {
        self.chooser.lock().expect("nothing panics while it holds this lock")
    }

    /// Compresses a chunk. Runs on a blocking thread.
    pub(super) fn pack(&self, chunk: &Bytes) -> Compressed {
        let method = self.chooser().method(chunk);
        let began = now();
        let packed = compress(method, chunk);
        self.chooser().packed(method, chunk.len(), packed.bytes.len(), now() - began);
        packed
    }

    /// A chunk was handed over: it was ready at `ready`, the one before was taken at `before`.
    pub(super) fn handed_over(&self, raw: u64, encoded: usize, before: Instant, ready: Instant) {
        let taken = now();
        self.chooser().handed_over(raw, encoded as u64, taken - before, taken - ready);
    }

    /// There was nothing to prepare.
    pub(super) fn paused(&self) {
        self.chooser().paused();
    }

    /// What the path is thought to carry, bytes per second.
    pub(super) fn hint(&self, rate: u64) {
        self.chooser().hint(rate);
    }
}
