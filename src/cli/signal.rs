//! Signals: the first asks for a clean end, the second ends at once.
//!
//! Invariant: a run that a signal ended, ends by that signal (default action restored, raised again), so that `for f in *; do …`
//! stops on Ctrl-C. A signal that was ignored when the program started (`nohup`, `&` in a script) stays ignored. SIGPIPE is ignored,
//! as Rust leaves it: a closed pipe is an error of a write.

use super::cancel::Cancel;
use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// What their thread needs, which writes a line at most.
const STACK: usize = 256 * 1024;

const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Remembers which signal asked for the end.
pub(super) struct Interrupt {
    received: Arc<AtomicI32>,
    cancel: Cancel,
}

impl Interrupt {
    pub(super) fn new(cancel: Cancel) -> Interrupt {
        Interrupt { received: Arc::default(), cancel }
    }

    /// Starts to listen. `status` is called for SIGUSR1.
    pub(super) fn watch(&self, status: impl Fn() + Send + 'static) -> anyhow::Result<()> {
        let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |text| ignored(&text));
        let wanted = ENDING.iter().chain([&SIGUSR1]).filter(|number| ignored & (1 << (**number - 1)) == 0);
        let mut signals = Signals::new(wanted).context("signals")?;
        let (received, cancel) = (Arc::clone(&self.received), self.cancel.clone());
        let thread = std::thread::Builder::new().name("signals".into()).stack_size(STACK).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    status();
                } else if received.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    cancel.cancel();
                } else {
                    end_by(signal);
                }
            }
        });
        thread.context("signals")?;
        Ok(())
    }

    /// The signal that asked for the end.
    pub(super) fn received(&self) -> Option<i32> {
        match self.received.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }
}

/// Ends the process as `signal` ends one that does not know it.
pub(super) fn end_by(signal: i32) -> ! {
    let _ = emulate_default_handler(signal);
    // Only a signal whose default is not to end gets here, and none of those is listened for.
    std::process::exit(128 + signal)
}

/// The mask of ignored signals in the text of `/proc/self/status`; 0 where there is none (other systems).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let mask = ignored("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n");
        assert_ne!(mask & (1 << (SIGHUP - 1)), 0);
        assert_eq!(mask & (1 << (SIGINT - 1)), 0);
        assert_eq!(ignored("nothing of the kind"), 0);
    }
}
