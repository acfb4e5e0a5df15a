//! The two streams, and the bar that must not get into their way.
//!
//! Invariant: a line is written whole, and with the bar taken off the screen meanwhile. A write that fails never panics: stdout says
//! so to its caller, stderr has nobody left to tell.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, Write};
use std::sync::Mutex;

/// Redraws a second, at most.
const HZ: u8 = 10;

type Sink = Box<dyn Write + Send>;

/// Where lines and the bar go.
pub(super) struct Terminal {
    out: Mutex<Sink>,
    err: Mutex<Sink>,
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    /// The streams of this process.
    pub(super) fn standard() -> Terminal {
        Terminal::of(Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Any two streams.
    pub(super) fn of(out: Sink, err: Sink) -> Terminal {
        Terminal { out: Mutex::new(out), err: Mutex::new(err), bar: Mutex::new(None) }
    }

    /// Writes a line of the result.
    pub(super) fn out(&self, line: &str) -> io::Result<()> {
        self.beside_bar(|| write_line(&self.out, line))
    }

    /// Writes any other line.
    pub(super) fn err(&self, line: &str) {
        let _ = self.beside_bar(|| write_line(&self.err, line));
    }

    /// Draws this line in place of the one before it.
    pub(super) fn draw(&self, line: String) {
        let mut bar = lock(&self.bar);
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{wide_msg}").expect("the template is a constant");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(HZ)).with_style(style)
        });
        // One call, one redraw: the bar itself is part of the line.
        bar.set_message(line);
    }

    /// Takes the bar away for good.
    pub(super) fn clear(&self) {
        if let Some(bar) = lock(&self.bar).take() {
            bar.finish_and_clear();
        }
    }

    fn beside_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*lock(&self.bar) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn write_line(sink: &Mutex<Sink>, line: &str) -> io::Result<()> {
    let mut sink = lock(sink);
    sink.write_all(format!("{line}\n").as_bytes())?;
    sink.flush()
}

/// A panic elsewhere must not keep the last words from being said.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
