//! Runs one job to its end: the runtime, the grace after a signal, and panics.
//!
//! Invariant: this returns whatever happens in the job, so that the last line of the output can always be written. After the end
//! was asked for, the job has [`GRACE`] to stop by itself; then it is dropped where it stands, which files survive by design.

use super::cancel::Cancel;
use super::exit::Failure;
use super::output::{Output, escape};
use crate::class::Class;
use crate::event::Observer;
use crate::pipeline::{self, Summary};
use anyhow::Context as _;
use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a cancelled job may take to commit what it has.
const GRACE: Duration = Duration::from_secs(2);

/// Threads of the runtime: one for the network, one for the rest; hashing and files have a pool of their own.
const WORKERS: usize = 2;

/// What is run: a command with everything but its observer and the wish to stop.
pub(super) type Job =
    Box<dyn FnOnce(Arc<dyn Observer>, pipeline::Cancel) -> Pin<Box<dyn Future<Output = Result<Summary, Failure>>>>>;

/// Runs `job` until it ends, or until `cancel` and the grace are over.
pub(super) fn run(job: Job, output: Arc<Output>, cancel: &Cancel) -> Result<Summary, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().context("runtime")?;
    let result =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(until_cancelled(job(output, cancel.told()), cancel))));
    // A read or write that hangs in the kernel must not hold the end of the program.
    runtime.shutdown_background();
    result.unwrap_or_else(|_| Err(Failure::new(Class::Internal, "internal error, please report it")))
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

/// A panic is a bug and says so in one line, without a backtrace unless one is asked for.
pub(super) fn report_panics_in_one_line() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|wish| wish != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let cause = told(panic.payload());
        let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let _ = writeln!(std::io::stderr().lock(), "resilient: internal error: {}{place}", escape::text(cause));
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
