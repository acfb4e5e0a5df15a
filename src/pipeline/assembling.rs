//! Assembly on a task of its own: takes chunks as they come and decides when finished files are made durable.
//!
//! Invariant: the assembler is locked only for one batch at a time, on a blocking thread; what it has to say goes out in order; when no more
//! chunks come, what is finished is still committed before the task ends.

use super::assemble::{AssembleError, Assembled, Assembler, Tally};
use crate::network::seam::{Blocking, now};
use crate::transfer::Delivered;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Time that finished files wait for others to be made durable with.
const GATHER: Duration = Duration::from_millis(200);
/// Chunks that assembly takes at once.
const BATCH: usize = 16;
/// What assembly has done with some chunks.
pub(super) type Output = Result<(Assembled, Tally, bool), AssembleError>;

/// Runs until `chunks` is closed, everything is complete or the sender broke the protocol.
pub(super) async fn assembling(
    blocking: Blocking,
    assembler: Arc<Mutex<Assembler>>,
    mut chunks: mpsc::UnboundedReceiver<Delivered>,
    outputs: mpsc::UnboundedSender<Output>,
) {
    let mut committed = now();
    loop {
        let has_ready = lock(&assembler).has_ready();
        let mut batch = Vec::new();
        let mut over = false;
        if has_ready {
            match tokio::time::timeout_at((committed + GATHER).into(), chunks.recv()).await {
                Ok(Some(delivered)) => batch.push(delivered),
                Ok(None) => over = true,
                Err(_) => {}
            }
        } else {
            match chunks.recv().await {
                Some(delivered) => batch.push(delivered),
                None => return,
            }
        }
        while batch.len() < BATCH
            && let Ok(delivered) = chunks.try_recv()
        {
            batch.push(delivered);
        }
        let (elapsed, drained) = (now() >= committed + GATHER, chunks.is_empty());
        let shared = assembler.clone();
        let (output, has_committed) = blocking
            .run(move || {
                let mut assembler = lock(&shared);
                for delivered in batch {
                    if let Err(error) = assembler.take(delivered) {
                        return (Err(error), false);
                    }
                }
                let commit = assembler.has_ready() && (over || elapsed || (drained && !assembler.is_landing()));
                if commit {
                    assembler.commit();
                }
                (Ok((assembler.take_output(), assembler.tally(), assembler.is_complete())), commit)
            })
            .await;
        if has_committed {
            committed = now();
        }
        let ends = over || !matches!(output, Ok((_, _, false)));
        if outputs.send(output).is_err() || ends {
            return;
        }
    }
}

pub(super) fn lock(assembler: &Mutex<Assembler>) -> MutexGuard<'_, Assembler> {
    // After a panic in assembly the process is on its way out; taking the partial files away is still right.
    assembler.lock().unwrap_or_else(PoisonError::into_inner)
}
