//! Assembly on a task of its own: takes chunks as they come and decides when finished files are made durable.
//!
//! Invariant: the assembler is locked only for one batch at a time, on a blocking thread; what it has to say goes out in order; when no more
//! chunks come, what is finished is still committed before the task ends, and the reading of what stands at the destination,
//! which may take minutes, is broken off.

use super::assemble::{AssembleError, Assembled, Assembler, Tally};
use crate::network::seam::{Blocking, now};
use crate::transfer::Delivered;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Time that finished files wait for others to be made durable with.
const GATHER: Duration = Duration::from_millis(200);
/// Time between two records of what is here of large files, and of those the one that is made durable: the end of the process costs as much
/// as the first, a crash of the system as the second.
const RECORD: Duration = Duration::from_millis(100);
const DURABLE: u32 = 10;
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
    let (mut committed, mut recorded, mut records) = (now(), now(), 0_u32);
    let stop = lock(&assembler).stop();
    // What came while the last batch was worked on. The credit bounds it as it does the channel.
    let mut waiting = VecDeque::new();
    let mut over = false;
    loop {
        let (has_ready, is_recording) = {
            let assembler = lock(&assembler);
            (assembler.has_ready(), assembler.is_recording())
        };
        let mut batch = Vec::new();
        if waiting.is_empty() && !over {
            let due = [has_ready.then(|| committed + GATHER), is_recording.then(|| recorded + RECORD)];
            let next = match due.into_iter().flatten().min() {
                Some(due) => tokio::time::timeout_at(due.into(), chunks.recv()).await,
                None => Ok(chunks.recv().await),
            };
            match next {
                Ok(Some(delivered)) => batch.push(delivered),
                Ok(None) => over = true,
                Err(_) => {}
            }
        }
        while batch.len() < BATCH {
            match waiting.pop_front().or_else(|| chunks.try_recv().ok()) {
                Some(delivered) => batch.push(delivered),
                None => break,
            }
        }
        if over && batch.is_empty() && !has_ready {
            return;
        }
        let last = over && waiting.is_empty();
        let (elapsed, drained) = (now() >= committed + GATHER, waiting.is_empty() && chunks.is_empty());
        let record = is_recording && now() >= recorded + RECORD;
        let durably = (records + 1).is_multiple_of(DURABLE);
        let shared = assembler.clone();
        let work = blocking.run(move || {
            let mut assembler = lock(&shared);
            for delivered in batch {
                if let Err(error) = assembler.take(delivered) {
                    return (Err(error), false);
                }
            }
            let commit = assembler.has_ready() && (last || elapsed || (drained && !assembler.is_landing()));
            if commit {
                assembler.commit();
            }
            if record {
                assembler.record(durably);
            }
            (Ok((assembler.take_output(), assembler.tally(), assembler.is_complete())), commit)
        });
        tokio::pin!(work);
        let (output, has_committed) = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                more = chunks.recv(), if !over => {
                    over = more.is_none();
                    stop.fetch_or(over, Ordering::Relaxed);
                    waiting.extend(more);
                }
            }
        };
        if has_committed {
            committed = now();
        }
        if record {
            recorded = now();
            records = records.wrapping_add(1);
        }
        let ends = last || !matches!(output, Ok((_, _, false)));
        if outputs.send(output).is_err() || ends {
            return;
        }
    }
}

pub(super) fn lock(assembler: &Mutex<Assembler>) -> MutexGuard<'_, Assembler> {
    // After a panic in assembly the process is on its way out; taking the partial files away is still right.
    assembler.lock().unwrap_or_else(PoisonError::into_inner)
}
