//! What a run shows: the one observer that `cli` gives to the library, and the last words.
//!
//! stdout carries the result (the ticket, or JSON lines), stderr everything else. Invariants: silent on success unless stderr is a
//! terminal or `-v` was said; the JSON `end` is written whatever happened, once, last; `start` and `end` are told here, from
//! what the whole process knows, and not by the library.

pub(super) mod escape;
mod json;
mod log;
mod metrics;
pub(super) mod named;
mod progress;
mod terminal;
mod text;

#[cfg(test)]
mod tests;

use super::Shape;
use super::args::{Global, When};
use super::cancel::Cancel;
use super::exit::{self, Failure};
use crate::class::Class;
use crate::event::{Action, Event, EventPath, Observer, Progress, SessionTag, SoFar};
use crate::pipeline::Summary;
use json::JsonLines;
use log::Log;
use metrics::Metrics;
use progress::{Due, Meter, Mode};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use terminal::{Terminal, lock};
use text::{Level, Style};

/// Between plain lines of progress, unless `RESILIENT_PROGRESS_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time, both kinds.
pub(super) struct Clock(Box<dyn Fn() -> (Instant, jiff::Timestamp) + Send + Sync>);

impl Clock {
    pub(super) fn system() -> Clock {
        Clock(Box::new(|| (crate::network::seam::now(), jiff::Timestamp::now())))
    }

    /// The date and time, RFC 3339, to the millisecond.
    pub(super) fn stamp(&self) -> String {
        format!("{:.3}", (self.0)().1)
    }

    fn now(&self) -> Instant {
        (self.0)().0
    }

    /// Seconds since 1970.
    fn epoch(&self) -> f64 {
        (self.0)().1.as_millisecond() as f64 / 1000.0
    }
}

/// Everything a run shows, by what was asked for.
pub(super) struct Output {
    style: Style,
    level: Level,
    stats: bool,
    terminal: Terminal,
    json: Option<JsonLines>,
    log: Option<Log>,
    metrics: Option<Metrics>,
    so_far: Mutex<SoFar>,
    /// By what name an incomplete transfer can be gone on with, and what else that takes.
    kept: Mutex<Option<String>>,
    state_dir: String,
    meter: Mutex<Meter>,
    failed_files: Mutex<u64>,
    /// The last progress of each of several sessions that run.
    sessions: Mutex<BTreeMap<String, Progress>>,
    clock: Clock,
    began: Instant,
    cancel: Cancel,
    broken: OnceLock<Failure>,
    /// Stdout is for what arrives.
    data_on_stdout: bool,
}

impl Output {
    /// The output of this process. `cancel` is used when the result cannot be shown to anyone.
    pub(super) fn open(command: &'static str, global: &Global, cancel: Cancel) -> Result<Output, Failure> {
        let tty = io::stderr().is_terminal();
        let interval = match std::env::var_os("RESILIENT_PROGRESS_INTERVAL").filter(|text| !text.is_empty()) {
            None => INTERVAL,
            Some(text) => text.to_str().and_then(|text| super::span::span(text).ok()).ok_or_else(|| {
                Failure::usage(format!(
                    "RESILIENT_PROGRESS_INTERVAL: {}: not a number of seconds",
                    text.to_string_lossy()
                ))
            })?,
        };
        let mode = mode(global, tty && !dumb_terminal(), interval);
        let style = Style { command, color: colored(global.color, tty), receives: false };
        Output::new(style, global, tty, mode, Terminal::standard(), Clock::system(), cancel)
    }

    fn new(
        style: Style,
        global: &Global,
        tty: bool,
        mode: Mode,
        terminal: Terminal,
        clock: Clock,
        cancel: Cancel,
    ) -> Result<Output, Failure> {
        let level = Level {
            quiet: global.quiet,
            verbose: global.verbose,
            summary: !global.quiet && (tty || global.verbose > 0),
        };
        // The log first: it is to have whatever goes wrong from here on.
        let log = global.log_file.as_deref().map(|path| Log::open(path, level, style)).transpose()?;
        let json = global.json.as_deref().map(|path| {
            JsonLines::open(path).map_err(|error| {
                Failure::usage(format!("{}: {}", escape::name(path.as_os_str().as_bytes()), escape::cause(&error)))
            })
        });
        let json = json.transpose()?;
        let began = clock.now();
        let metrics =
            global.metrics_file.as_deref().map(|path| Metrics::open(path, style.command, began)).transpose()?;
        Ok(Output {
            style,
            level,
            stats: global.stats,
            terminal,
            json,
            log,
            metrics,
            so_far: Mutex::default(),
            kept: Mutex::default(),
            state_dir: global.state_dir.as_ref().map(|dir| state_dir(dir)).unwrap_or_default(),
            meter: Mutex::new(Meter::new(mode, began)),
            failed_files: Mutex::new(0),
            sessions: Mutex::default(),
            clock,
            began,
            cancel,
            broken: OnceLock::new(),
            data_on_stdout: false,
        })
    }

    /// The same for a run of this shape. Where stdout is for what arrives, the ticket goes to stderr.
    pub(super) fn of_shape(self, shape: Shape) -> Output {
        let style = Style { receives: shape != Shape::Sends, ..self.style };
        Output { style, data_on_stdout: shape == Shape::Data, ..self }
    }

    /// Tells that the run begins.
    pub(super) fn start(&self) {
        let start = Event::Start { session: None, command: self.style.command, version: env!("CARGO_PKG_VERSION") };
        self.to_json(&start, None, None);
        self.to_log(&format!("resilient {} {} begins", env!("CARGO_PKG_VERSION"), self.style.command));
    }

    /// One line on where the transfer is, on request.
    pub(super) fn status(&self) {
        let line = lock(&self.meter).status();
        self.terminal.err(&line);
    }

    /// Why the result could not be shown, if it could not.
    pub(super) fn broken(&self) -> Option<Failure> {
        self.broken.get().cloned()
    }

    /// The last words. `signal` is what asked for the end, if anything did.
    pub(super) fn end(&self, result: &Result<Summary, Failure>, signal: Option<i32>) {
        self.terminal.clear();
        let elapsed_ms = self.clock.now().saturating_duration_since(self.began).as_millis() as u64;
        let resume = lock(&self.kept).clone();
        let how = resume.as_ref().map(|name| format!("resilient resume{} {name}", self.state_dir));
        let advised = result.as_ref().err().map(|failure| exit::advise(failure, how.as_deref()));
        match (result, signal) {
            (_, Some(_)) => {
                let how = how.map(|how| format!("; resume with: {how}")).unwrap_or_default();
                self.tell(|style, _| Some(style.error(&format!("interrupted{how}"))));
            }
            (Err(_), None) => self.tell(|style, _| advised.as_ref().map(|failure| style.failure(failure))),
            (Ok(outcome), None) => {
                if outcome.class != Class::Done {
                    let incomplete = self.incomplete(outcome);
                    self.tell(|style, _| Some(style.error(&incomplete)));
                }
                // A dry run has told its plan, and did nothing that could be summed up.
                let is_dry = outcome.session.is_empty();
                self.tell(|style, level| (level.summary && !is_dry).then(|| style.summary(outcome, elapsed_ms)));
            }
        }
        if let (true, Ok(outcome)) = (self.stats, result) {
            let table = text::table(outcome, elapsed_ms);
            self.tell(|_, _| Some(table.clone()));
        }
        let end = exit::end(result, signal, &lock(&self.so_far), resume, elapsed_ms);
        if let Some(metrics) = &self.metrics
            && let Err(error) = metrics.end(&end, self.clock.epoch(), self.clock.now())
        {
            let warning = format!("the metrics file could not be written: {}", escape::cause(&error));
            self.tell(|style, _| Some(style.warning(&warning)));
        }
        self.to_log(&format!("exit {} {}", end.exit, end.class.word()));
        self.to_json(&Event::End(end), None, advised.as_ref().filter(|_| signal.is_none()));
    }

    /// Progress is of all sessions together that run.
    fn session_progress(&self, session: &str, progress: &Progress) {
        let sum = {
            let mut sessions = lock(&self.sessions);
            sessions.insert(session.to_owned(), progress.clone());
            progress::sum(sessions.values())
        };
        self.draw(&sum);
    }

    fn draw(&self, progress: &Progress) {
        let due = lock(&self.meter).take(progress, self.clock.now());
        match due {
            Due::Nothing => {}
            Due::Draw(line) => self.terminal.draw(line),
            Due::Line(line) => self.terminal.err(&line),
        }
    }

    /// Tells stderr and the log, each at its own level, if they are to hear it.
    fn tell(&self, line: impl Fn(Style, Level) -> Option<String>) {
        if let Some(line) = line(self.style, self.level) {
            self.terminal.err(&line);
        }
        if let Some(line) = self.log.as_ref().and_then(|log| line(log.style, log.level)) {
            self.to_log(&line);
        }
    }

    fn to_log(&self, line: &str) {
        let Some(log) = &self.log else { return };
        if let Err(error) = log.write(&self.clock.stamp(), line) {
            self.terminal.err(&self.style.warning(&format!("the log ends here: {}", escape::cause(&error))));
        }
    }

    fn incomplete(&self, outcome: &Summary) -> String {
        let failed = match *lock(&self.failed_files) {
            0 => "some files".to_owned(),
            files => text::count(files),
        };
        let (happened, others) = match outcome.class {
            Class::Vanished => ("vanished or changed while being read", "are complete"),
            _ if outcome.session.is_empty() => ("cannot be sent", "can"),
            _ => ("failed", "are complete"),
        };
        match outcome.files {
            0 => format!("{failed} {happened}"),
            _ => format!("{failed} {happened}; the others {others}"),
        }
    }

    fn to_json(&self, event: &Event, session: Option<&str>, failure: Option<&Failure>) {
        let Some(json) = &self.json else { return };
        if let Err(error) = json.write(&self.terminal, (self.clock.now(), &self.clock.stamp()), event, session, failure)
        {
            // The transfer is worth more than its description: go on without.
            self.terminal.err(&self.style.warning(&format!("events end here: {}", escape::cause(&error))));
        }
    }

    /// The ticket is why `recv` was started: if nobody can read it, nobody will come.
    fn show_ticket(&self, uri: &str) {
        if self.data_on_stdout {
            return self.terminal.err(uri);
        }
        let shown = match &self.json {
            Some(json) if json.on_stdout() && json.is_closed() => Err(io::ErrorKind::BrokenPipe.into()),
            Some(json) if json.on_stdout() => Ok(()),
            _ => self.terminal.out(uri),
        };
        if let Err(error) = shown {
            let failure = Failure::new(Class::FileIo, format!("stdout: {}", escape::cause(&error)));
            if self.broken.set(failure.hint("the ticket could not be printed")).is_ok() {
                self.cancel.cancel();
            }
        }
    }

    /// One line of a listing. Whoever closed stdout (`send -n … | head`) does not want the rest; any other failure loses the result.
    fn list(&self, path: &EventPath) {
        if self.broken.get().is_some() || self.json.as_ref().is_some_and(JsonLines::on_stdout) {
            return;
        }
        let shown = self.terminal.out(&escape::name(&path.0));
        if let Err(error) = shown.or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        }) {
            let failure = Failure::new(Class::FileIo, format!("stdout: {}", escape::cause(&error)));
            if self.broken.set(failure).is_ok() {
                self.cancel.cancel();
            }
        }
    }

    /// An output that shows nothing, for tests of what runs before it.
    #[cfg(test)]
    pub(super) fn silent() -> Output {
        tests::Kept::default().output("recv", "", false)
    }
}

impl Observer for Output {
    fn event(&self, event: &Event) {
        match event {
            Event::Start { .. } | Event::End(_) => return,
            Event::SoFar(so_far) => {
                lock(&self.so_far).clone_from(so_far);
                return;
            }
            Event::Kept { name } => {
                *lock(&self.kept) = Some(name.clone());
                return;
            }
            Event::Detail { .. } if self.level.verbose < 2 => return,
            _ => self.to_json(event, None, None),
        }
        if let Some(metrics) = &self.metrics {
            metrics.take(event);
        }
        if let Event::Progress(progress) = event {
            return self.draw(progress);
        }
        match event {
            Event::Ticket { uri } => self.show_ticket(uri),
            Event::File { path, action: Action::WouldSend, .. } => self.list(path),
            Event::FileFailed { .. } => *lock(&self.failed_files) += 1,
            Event::Unsent { files } | Event::Gone { files } => *lock(&self.failed_files) += *files,
            _ => {}
        }
        self.tell(|style, level| style.line(event, level));
    }

    fn session_event(&self, session: &SessionTag, event: &Event) {
        match event {
            // Each session's end says it.
            Event::SoFar(_) | Event::Kept { .. } => return,
            Event::Detail { .. } if self.level.verbose < 2 => return,
            _ => self.to_json(event, Some(&session.session), None),
        }
        if let Some(metrics) = &self.metrics {
            metrics.take(event);
        }
        match event {
            Event::Progress(progress) => return self.session_progress(&session.session, progress),
            Event::FileFailed { .. } => *lock(&self.failed_files) += 1,
            Event::Unsent { files } | Event::Gone { files } => *lock(&self.failed_files) += *files,
            Event::SessionEnd { .. } => drop(lock(&self.sessions).remove(&session.session)),
            _ => {}
        }
        self.tell(|style, level| style.session_line(&session.peer, event, level));
    }
}

/// The words that say where sessions are remembered.
fn state_dir(dir: &Path) -> String {
    format!(" --state-dir {}", escape::word(dir.as_os_str()))
}

fn mode(global: &Global, drawable: bool, interval: Duration) -> Mode {
    match if global.progress_always { When::Always } else { global.progress } {
        When::Never => Mode::Off,
        When::Always if !drawable => Mode::Lines(interval),
        When::Auto if !drawable || global.quiet => Mode::Off,
        When::Always | When::Auto => Mode::Bar,
    }
}

/// Whether to colour a stream: where it is a terminal that can and nobody objects (`NO_COLOR`), or where it was asked for.
pub(super) fn colored(color: When, tty: bool) -> bool {
    match color {
        When::Always => true,
        When::Never => false,
        When::Auto => tty && !dumb_terminal() && std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty()),
    }
}

fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Writes an error to stderr, before or without an [`Output`].
pub(super) fn complain(command: &str, failure: &Failure, color: When) {
    let command = super::usage::COMMANDS.into_iter().find(|name| *name == command).unwrap_or("");
    let style = Style { command, color: colored(color, io::stderr().is_terminal()), receives: false };
    let _ = io::stderr().lock().write_all(format!("{}\n", style.failure(failure)).as_bytes());
}

/// Writes a warning to stderr, without an [`Output`].
pub(super) fn warn(command: &'static str, message: &str, global: &Global) {
    if !global.quiet {
        let style = Style { command, color: colored(global.color, io::stderr().is_terminal()), receives: false };
        let _ = io::stderr().lock().write_all(format!("{}\n", style.warning(message)).as_bytes());
    }
}

/// Writes a whole result to `file`, or to stdout. Whoever closed stdout has read enough.
pub(super) fn result(file: Option<&Path>, text: &str) -> Result<(), Failure> {
    let (object, written) = match file {
        Some(file) => (escape::name(file.as_os_str().as_bytes()), std::fs::write(file, text)),
        None => ("stdout".to_owned(), to_stdout(text)),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Class::FileIo, format!("{object}: {}", escape::cause(&error))))
        }
        _ => Ok(()),
    }
}

/// Writes something for people to stderr, whatever the level.
pub(super) fn to_stderr(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Writes a whole result to stdout.
pub(super) fn to_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
