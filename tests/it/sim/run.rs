//! Runs a test in virtual time, and many of them over the cores.
//!
//! Every run ends: a deadlock runs into its virtual limit (in no time at all, since the limit is then the only timer left), and
//! what keeps the clock from moving is ended by a watchdog in wall time. Each way of failing names the seed.

use super::net::Net;
use super::profile::Profile;
use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How long, in wall time, virtual time may stand still before a run is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` on a fresh network (every path a [`Profile::lan`] to begin with) in a runtime of its own whose clock is virtual.
///
/// Panics, naming the seed, when `test` panics or has not ended after `virtual_limit`; aborts the process, naming the seed, when
/// the clock is stuck.
pub(crate) fn run<T>(seed: u64, virtual_limit: Duration, test: impl AsyncFnOnce(Net) -> T) -> T {
    run_watched(seed, virtual_limit, PATIENCE, test)
}

pub(super) fn run_watched<T>(
    seed: u64,
    virtual_limit: Duration,
    patience: Duration,
    test: impl AsyncFnOnce(Net) -> T,
) -> T {
    // No IO driver: a step of the clock is several times cheaper without.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO needs nothing from the system");
    let _name = NameOnPanic(seed);
    runtime.block_on(async {
        let net = Net::new(seed, Profile::lan());
        let _watchdog = Watchdog::start(seed, patience, net.pulse());
        match tokio::time::timeout(virtual_limit, test(net)).await {
            Ok(value) => value,
            Err(tokio::time::error::Elapsed { .. }) => {
                panic!("seed {seed}: not done after {virtual_limit:?} of virtual time")
            }
        }
    })
}

/// Runs `one` for every seed of the range, spread over the cores, and gives the results in the order of the seeds.
///
/// A seed that panics does not keep the others from running; at the end the failed ones are named together.
pub(crate) fn seeds<T: Send>(range: Range<u64>, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(range.start);
    let results = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !range.contains(&seed) {
                        break;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| one(seed))).ok();
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(seed, _)| *seed);
    let failed: Vec<u64> = results.iter().filter(|(_, result)| result.is_none()).map(|(seed, _)| *seed).collect();
    assert!(failed.is_empty(), "failed with seeds {failed:?} of {range:?}");
    results.into_iter().filter_map(|(_, result)| result).collect()
}

/// Names the seed when the test it stands in panics.
struct NameOnPanic(u64);

impl Drop for NameOnPanic {
    #[expect(clippy::print_stderr, reason = "the test harness shows what is printed only for a test that fails")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("simulation: failed with seed {}", self.0);
        }
    }
}

/// Aborts the process when `pulse` has not changed for some time. Ends when dropped.
struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    fn start(seed: u64, patience: Duration, pulse: Arc<AtomicU64>) -> Watchdog {
        let (alive, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            let mut last = pulse.load(Ordering::Relaxed);
            while ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = pulse.load(Ordering::Relaxed);
                if now == last {
                    // Not through the harness: it would keep the words, and the abort would take them away.
                    let words = format!(
                        "simulation: the clock is stuck with seed {seed} (no packet in {patience:?} of wall time)\n"
                    );
                    let _ = std::io::stderr().write_all(words.as_bytes());
                    std::process::abort();
                }
                last = now;
            }
        });
        Watchdog { _alive: alive }
    }
}
