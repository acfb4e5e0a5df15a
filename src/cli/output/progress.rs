//! Progress for people: what one line says, and when a plain line is due.
//!
//! Holds the last snapshot and decides; drawing is the terminal's.

use crate::event::Progress;
use crate::unit::{Rate, Size, Span};
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not at all.
    Off,
    /// As a line that is redrawn.
    Bar,
    /// As a plain line now and then.
    Lines(Duration),
}

/// What is to be done with a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Redraw the bar with this text.
    Draw(String),
    /// Write this line.
    Line(String),
}

/// The state of a transfer as it was last told.
pub(super) struct Meter {
    mode: Mode,
    last: Option<Progress>,
    told: Instant,
}

impl Meter {
    pub(super) fn new(mode: Mode, now: Instant) -> Meter {
        Meter { mode, last: None, told: now }
    }

    /// Takes a new snapshot.
    pub(super) fn take(&mut self, progress: &Progress, now: Instant) -> Due {
        self.last = Some(progress.clone());
        match self.mode {
            Mode::Bar => Due::Draw(format!("{} {}", bar(progress), describe(progress))),
            Mode::Lines(interval) if now.saturating_duration_since(self.told) >= interval => {
                self.told = now;
                Due::Line(describe(progress))
            }
            Mode::Off | Mode::Lines(_) => Due::Nothing,
        }
    }

    /// One line on where the transfer is.
    pub(super) fn status(&self) -> String {
        self.last.as_ref().map_or_else(|| "nothing transferred yet".to_owned(), describe)
    }
}

/// All of several transfers together; loss and parity are those of the fastest.
pub(super) fn sum<'a>(sessions: impl Iterator<Item = &'a Progress>) -> Progress {
    let mut sum = Progress::default();
    let mut fastest = 0;
    for session in sessions {
        sum.bytes_done += session.bytes_done;
        sum.bytes_total += session.bytes_total;
        sum.files_done += session.files_done;
        sum.rate += session.rate;
        if session.rate >= fastest {
            fastest = session.rate;
            (sum.loss, sum.parity) = (session.loss, session.parity);
        }
    }
    let left = sum.bytes_total.saturating_sub(sum.bytes_done);
    sum.eta_ms = (sum.rate > 0).then(|| left.saturating_mul(1000) / sum.rate);
    sum
}

/// Width of the drawn bar; with the line after it this fits a terminal of 80 columns.
const BAR: usize = 14;

/// `[=====>        ]`.
fn bar(progress: &Progress) -> String {
    let full = (share(progress) * BAR as f64) as usize;
    let head = if full < BAR { ">" } else { "" };
    format!("[{:BAR$}]", format!("{}{head}", "=".repeat(full)))
}

/// The most important first: a narrow terminal cuts the end off.
fn describe(progress: &Progress) -> String {
    let eta = progress.eta_ms.map(|eta| Span(Duration::from_millis(eta)).to_string());
    format!(
        "{:>4} of {}  {}  loss {}  parity {}  ETA {}",
        percent(share(progress)),
        Size(progress.bytes_total),
        Rate(progress.rate),
        percent(progress.loss),
        percent(progress.parity),
        eta.as_deref().unwrap_or("-"),
    )
}

/// A share of one, in percent; never 100 before it is all.
fn percent(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("{}%", (share * 100.0).floor())
}

fn share(progress: &Progress) -> f64 {
    match progress.bytes_total {
        0 => 1.0,
        total => (progress.bytes_done as f64 / total as f64).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(bytes_done: u64) -> Progress {
        Progress {
            bytes_done,
            bytes_total: 4_000_000,
            files_done: 1,
            rate: 1_250_000,
            loss: 0.21,
            parity: 0.085,
            eta_ms: Some(44_100),
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_bad() {
        let line = describe(&snapshot(1_000_000));
        assert_eq!(line, " 25% of 3.81 MiB  1.19 MiB/s  loss 21%  parity 8%  ETA 44s");
        assert_eq!((percent(0.999_9), percent(f64::NAN), percent(7.0)), ("99%".into(), "0%".into(), "100%".into()));
        assert!(describe(&Progress::default()).starts_with("100% of 0 B"));
    }

    #[test]
    fn the_bar_is_full_at_the_end_only() {
        assert_eq!(bar(&snapshot(0)), "[>             ]");
        assert_eq!(bar(&snapshot(3_999_999)), "[=============>]");
        assert_eq!(bar(&snapshot(4_000_000)), "[==============]");
    }

    #[test]
    fn plain_lines_keep_their_distance() {
        let start = crate::network::seam::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(Mode::Lines(Duration::from_secs(10)), start);
        let due: Vec<u64> =
            (0..35).filter(|second| meter.take(&snapshot(*second), at(*second)) != Due::Nothing).collect();
        assert_eq!(due, [10, 20, 30]);
    }

    #[test]
    fn the_bar_takes_everything_and_off_takes_nothing() {
        let now = crate::network::seam::now();
        let mut bar = Meter::new(Mode::Bar, now);
        assert_eq!(bar.status(), "nothing transferred yet");
        assert!(matches!(bar.take(&snapshot(1), now), Due::Draw(_)));
        let mut off = Meter::new(Mode::Off, now);
        assert_eq!(off.take(&snapshot(4_000_000), now), Due::Nothing);
        assert!(off.status().starts_with("100%"));
    }
}
