//! Runs one job to its end: the runtime, the grace after a signal, and panics.
//!
//! Invariant: this returns whatever happens in the job, so that the last line of the output can always be written; a panic is told there,
//! once, and not where it happens. After the end was asked for, the job has [`GRACE`] to stop by itself; then it is dropped where it
//! stands, which files survive by design.

use super::cancel::Cancel;
use super::exit::Failure;
use super::output::Output;
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::pipeline::{self, Summary};
use anyhow::Context as _;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a cancelled job may take to commit what it has.
const GRACE: Duration = Duration::from_secs(2);

/// What is run: a command with everything but its observer and the wish to stop.
pub(super) type Job =
    Box<dyn FnOnce(Arc<dyn Observer>, pipeline::Cancel) -> Pin<Box<dyn Future<Output = Result<Summary, Failure>>>>>;

/// Runs `job` until it ends, or until `cancel` and the grace are over.
pub(super) fn run(job: Job, output: Arc<Output>, cancel: &Cancel) -> Result<Summary, Failure> {
    // A machine that has no thread left is a panic there.
    let runtime = caught(|| {
        // One thread for the network and all that speaks with it: between two, every batch of packets costs wake-ups and a lock
        // that both want. Hashing, compression, coding of chunks and files have a pool of their own.
        Ok(tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?)
    })?;
    let observer = output.clone();
    let result = caught(|| runtime.block_on(until_cancelled(job(output, cancel.told()), cancel)));
    // A read or write that hangs in the kernel must not hold the end of the program.
    runtime.shutdown_background();
    if let Some(cause) = untold() {
        // It was on a task that nobody waits for, and the job came to its end without it.
        observer.event(&Event::Warning { message: format!("internal error: {cause}") });
    }
    result
}

/// Does `work`; a panic in it is a failure.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "internal error, please report it";
        let message = untold().map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"));
        Err(Failure::new(Class::Internal, message))
    })
}

async fn until_cancelled(
    mut job: Pin<Box<dyn Future<Output = Result<Summary, Failure>>>>,
    cancel: &Cancel,
) -> Result<Summary, Failure> {
    let told = cancel.told();
    tokio::select! {
        biased;
        result = &mut job => result,
        () = told.cancelled() => match tokio::time::timeout(GRACE, job).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Class::Interrupted, "interrupted")),
        },
    }
}

/// What the first panic said, until it is told.
static UNTOLD: Mutex<Option<String>> = Mutex::new(None);

fn untold() -> Option<String> {
    UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A panic is told in the last line of the run, without a backtrace unless one is asked for.
pub(super) fn keep_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|wish| wish != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let cause = told(panic.payload());
        let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(format!("{cause}{place}"));
    }));
}

fn told(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Result<Summary, Failure> {
        Err(Failure::usage("stopped by itself"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_job_may_stop_by_itself() {
        let cancel = Cancel::new();
        let asked = cancel.told();
        cancel.cancel();
        let job = async move {
            asked.cancelled().await;
            tokio::time::sleep(GRACE / 2).await;
            failure()
        };
        assert_eq!(until_cancelled(Box::pin(job), &cancel).await.unwrap_err().message, "stopped by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deaf_job_is_dropped_after_the_grace() {
        let cancel = Cancel::new();
        cancel.cancel();
        let before = tokio::time::Instant::now();
        let result = until_cancelled(Box::pin(std::future::pending()), &cancel).await;
        assert_eq!(result.unwrap_err().class, Class::Interrupted);
        assert_eq!(before.elapsed().as_secs(), GRACE.as_secs());
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        let cancel = Cancel::new();
        let output = Arc::new(Output::silent());
        let job: Job = Box::new(|_, _| Box::pin(async { panic!("on purpose") }));
        assert_eq!(run(job, output, &cancel).unwrap_err().class, Class::Internal);
    }
}
