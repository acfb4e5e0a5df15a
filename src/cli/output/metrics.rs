//! Counters of a run in a file (`--metrics-file`), in the text form that node_exporter's textfile collector reads.
//!
//! Written at the start, every [`EVERY`] and at the end, into a file beside it that is then renamed: a reader sees a whole file, always.
//! Invariant: labels are command, class and outcome, never a path or an id. The time of the last success is carried over from the file
//! of the run before, so that an alert on its age outlives failures.

use super::escape;
use super::terminal::lock;
use crate::cli::exit::Failure;
use crate::event::{End, Event};
use crate::fs::real::syncs;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two writes while the run goes on.
const EVERY: Duration = Duration::from_secs(10);

/// More than a file of ours ever is.
const LIMIT: u64 = 64 * 1024;

const SUCCESS: &str = "resilient_last_success_timestamp_seconds";

/// What is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    command: &'static str,
    total: u64,
    literal: u64,
    matched: u64,
    done: u64,
    sent: u64,
    files: u64,
    failed: u64,
    syncs: u64,
    seconds: f64,
    end: Option<(u8, &'static str)>,
    success: Option<f64>,
}

impl Counts {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Plan { bytes, .. } => self.total = *bytes,
            Event::Progress(progress) => {
                self.done = progress.bytes_done;
                self.files = self.files.max(progress.files_done);
            }
            Event::File { .. } => self.files += 1,
            Event::FileFailed { .. } => self.failed += 1,
            _ => {}
        }
    }

    fn end(&mut self, end: &End, now: f64) {
        (self.sent, self.literal, self.matched) = (end.bytes_sent, end.bytes_literal, end.bytes_matched);
        self.done = self.done.max(end.bytes_literal + end.bytes_matched);
        self.end = Some((end.exit, end.class.word()));
        if end.exit == 0 {
            self.success = Some(now);
        }
    }

    /// The text of the file.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, kind: &str, help: &str, labels: &str, value: &dyn std::fmt::Display| {
            let labels = format!("command=\"{}\"{labels}", self.command);
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}");
        };
        let counter = "counter";
        row("resilient_done_bytes_total", counter, "File bytes that the destination has.", "", &self.done);
        row("resilient_sent_bytes_total", counter, "UDP payload bytes sent, known at the end.", "", &self.sent);
        row(
            "resilient_literal_bytes_total",
            counter,
            "File bytes that crossed the network, known at the end.",
            "",
            &self.literal,
        );
        row(
            "resilient_matched_bytes_total",
            counter,
            "File bytes that were there already, known at the end.",
            "",
            &self.matched,
        );
        row("resilient_files_total", counter, "Entries that are complete.", "", &self.files);
        row("resilient_failed_files_total", counter, "Entries that failed.", "", &self.failed);
        row("resilient_syncs_total", counter, "Files and directories received that were synced.", "", &self.syncs);
        row("resilient_planned_bytes", "gauge", "File bytes to transfer, 0 before that is known.", "", &self.total);
        row(
            "resilient_duration_seconds",
            "gauge",
            "How long the run has taken so far, or took.",
            "",
            &format!("{:.3}", self.seconds),
        );
        row("resilient_running", "gauge", "1 while the run goes on.", "", &u8::from(self.end.is_none()));
        if let Some((exit, class)) = self.end {
            let outcome = if exit == 0 { "success" } else { "failure" };
            let labels = format!(",class=\"{class}\",outcome=\"{outcome}\"");
            row("resilient_exit_code", "gauge", "Exit status of the last run.", &labels, &exit);
        }
        if let Some(at) = self.success {
            row(SUCCESS, "gauge", "When a run last ended with exit status 0.", "", &format!("{at:.3}"));
        }
        text
    }
}

/// The file of one run.
pub(super) struct Metrics {
    path: PathBuf,
    counts: Arc<Mutex<Counts>>,
    began: Instant,
    /// Dropped to end the thread that writes now and then.
    ticker: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Metrics {
    /// Writes the file for the first time, and from then on now and then.
    pub(super) fn open(path: &Path, command: &'static str, began: Instant) -> Result<Metrics, Failure> {
        let success = before(path, command);
        let counts = Arc::new(Mutex::new(Counts { command, success, ..Counts::default() }));
        replace(path, &lock(&counts).text()).map_err(|error| {
            Failure::usage(format!("{}: {}", escape::name(path.as_os_str().as_bytes()), escape::cause(&error)))
        })?;
        let (stop, stopped) = channel();
        let (file, shared) = (path.to_owned(), Arc::clone(&counts));
        let write = move || {
            let text = {
                let mut counts = lock(&shared);
                counts.syncs = syncs();
                counts.seconds = crate::network::seam::now().saturating_duration_since(began).as_secs_f64();
                counts.text()
            };
            // A full disk may have room again at the next time; the last one is told.
            let _ = replace(&file, &text);
        };
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(move || every(EVERY, &stopped, write));
        let thread = thread.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
        Ok(Metrics { path: path.to_owned(), counts, began, ticker: Mutex::new(Some((stop, thread))) })
    }

    /// Counts an event.
    pub(super) fn take(&self, event: &Event) {
        lock(&self.counts).take(event);
    }

    /// Writes the file for the last time; `now` is the time of day in seconds since 1970, `instant` the other.
    pub(super) fn end(&self, end: &End, now: f64, instant: Instant) -> io::Result<()> {
        if let Some((stop, thread)) = lock(&self.ticker).take() {
            drop(stop);
            // It ends by itself at once; a panic in it costs no more than the file.
            let _ = thread.join();
        }
        let mut counts = lock(&self.counts);
        counts.syncs = syncs();
        counts.seconds = instant.saturating_duration_since(self.began).as_secs_f64();
        counts.end(end, now);
        replace(&self.path, &counts.text())
    }
}

/// Calls `write` every `span` until the other end of `stopped` is gone.
fn every(span: Duration, stopped: &Receiver<()>, mut write: impl FnMut()) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(span) {
        write();
    }
}

/// Replaces the file by rename. Others may read it: the collector runs as another user.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = (|| {
        // A file of that name is the rest of a run that was killed and had the same number.
        let _ = std::fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
        file.write_all(text.as_bytes())?;
        drop(file);
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The time of the last success of this command, from the file of a run before.
fn before(path: &Path, command: &str) -> Option<f64> {
    let mut text = String::new();
    File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    let row = format!("{SUCCESS}{{command=\"{command}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&row))?;
    value.parse().ok().filter(|time: &f64| time.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    fn end(class: Class) -> End {
        End {
            exit: class.code(),
            class,
            resumable: false,
            session: Some("7f3a".into()),
            resume: None,
            bytes_sent: 9,
            bytes_literal: 7,
            bytes_matched: 1,
            elapsed_ms: 5,
        }
    }

    #[test]
    fn the_last_success_outlives_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("send.prom");
        let run = |class, at| {
            let now = crate::network::seam::now();
            let metrics = Metrics::open(&path, "send", now).unwrap();
            assert!(std::fs::read_to_string(&path).unwrap().contains("resilient_running{command=\"send\"} 1\n"));
            metrics.end(&end(class), at, now).unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        let text = run(Class::Done, 1000.5);
        assert!(
            text.contains("resilient_exit_code{command=\"send\",class=\"done\",outcome=\"success\"} 0\n"),
            "{text}"
        );
        let text = run(Class::Partial, 2000.5);
        assert!(text.contains("class=\"partial\",outcome=\"failure\"} 23\n"), "{text}");
        assert!(text.contains("resilient_last_success_timestamp_seconds{command=\"send\"} 1000.500\n"), "{text}");
        assert!(text.contains("resilient_literal_bytes_total{command=\"send\"} 7\n"), "{text}");
        assert!(text.contains("resilient_running{command=\"send\"} 0\n") && !text.contains("7f3a"), "{text}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["send.prom"]);
    }

    #[test]
    fn every_metric_is_declared_once() {
        let mut counts = Counts { command: "recv", success: Some(1.0), ..Counts::default() };
        counts.end(&end(Class::Done), 2.0);
        let text = counts.text();
        let mut declared = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                declared = rest.split(' ').next();
            } else if !line.starts_with('#') {
                assert_eq!(line.split('{').next(), declared, "{text}");
            }
        }
    }

    #[test]
    fn it_is_written_again_and_again_until_it_is_stopped() {
        let (stop, stopped) = channel();
        let (told, heard) = channel();
        let thread = std::thread::spawn(move || every(Duration::from_millis(1), &stopped, || told.send(()).unwrap()));
        assert_eq!(heard.iter().take(3).count(), 3);
        drop(stop);
        thread.join().unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_usage_error() {
        let error = Metrics::open(Path::new("/nonexistent/x.prom"), "send", crate::network::seam::now()).err().unwrap();
        assert_eq!(error.class, Class::Usage);
    }
}
