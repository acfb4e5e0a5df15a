//! Events as lines of JSON (`--json`): `{"v":1,"t":"<RFC 3339>","event":…}`.
//!
//! Fields may be added within version 1, none is removed. Integers are bytes and milliseconds; a path is `{"text":…}` or, where it is
//! not UTF-8, `{"bytes":<base64>}`. Invariant: progress at most once a second, and `end` is the last line.

use super::named;
use super::terminal::{Terminal, lock};
use crate::cli::exit::Failure;
use crate::event::Event;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    t: &'a str,
    #[serde(flatten)]
    event: &'a Event,
    /// Which of several sessions this is about; `start` and `end` have such a field of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Where the lines go, and what has gone there.
pub(super) struct JsonLines {
    /// `None`: stdout.
    file: Option<Mutex<File>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    progress: Option<Instant>,
    /// A line could not be written, or the last one was.
    closed: bool,
}

impl JsonLines {
    /// Lines to `path`, which is emptied; `-` is stdout.
    pub(super) fn open(path: &Path) -> io::Result<JsonLines> {
        let file = if path.as_os_str() == "-" { None } else { Some(Mutex::new(named::truncate(path)?)) };
        Ok(JsonLines { file, state: Mutex::default() })
    }

    /// Whether stdout carries the lines.
    pub(super) fn on_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Whether nothing is written any more.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Writes one line; `failure` says why an `end` is no success. An error is given once; from then on nothing is written.
    pub(super) fn write(
        &self,
        terminal: &Terminal,
        (now, stamp): (Instant, &str),
        event: &Event,
        session: Option<&str>,
        failure: Option<&Failure>,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.closed {
            return Ok(());
        }
        // A session tells its progress once a second by itself.
        if let (Event::Progress(_), None) = (event, session) {
            if state.progress.is_some_and(|last| now.saturating_duration_since(last) < PROGRESS_EVERY) {
                return Ok(());
            }
            state.progress = Some(now);
        }
        let line = Line {
            v: 1,
            t: stamp,
            event,
            session,
            message: failure.map(|failure| failure.message.as_str()),
            hint: failure.and_then(|failure| failure.hint.as_deref()),
        };
        let line = serde_json::to_string(&line)?;
        let written = match &self.file {
            Some(file) => lock(file).write_all(format!("{line}\n").as_bytes()),
            None => terminal.out(&line),
        };
        state.closed = written.is_err() || matches!(event, Event::End(_));
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;
    use crate::event::{Action, End, EventPath, Progress};

    fn lines(write: impl FnOnce(&JsonLines, &Terminal, Instant)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let json = JsonLines::open(&path).unwrap();
        write(&json, &Terminal::of(Box::new(io::sink()), Box::new(io::sink())), crate::network::seam::now());
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    fn end() -> Event {
        Event::End(End {
            exit: 35,
            class: Class::NoContact,
            resumable: true,
            session: None,
            resume: None,
            bytes_sent: 1,
            bytes_literal: 0,
            bytes_matched: 0,
            elapsed_ms: 9,
        })
    }

    #[test]
    fn a_line_opens_with_version_time_and_event() {
        let file = Event::File { path: EventPath(b"a\xff".to_vec()), action: Action::Transferred, bytes: 3 };
        let failure = Failure::new(Class::NoContact, "nobody there").hint("start recv");
        let lines = lines(|json, terminal, now| {
            json.write(terminal, (now, "T"), &file, None, None).unwrap();
            json.write(terminal, (now, "T"), &end(), None, Some(&failure)).unwrap();
        });
        let expected = r#"{"v":1,"t":"T","event":"file","path":{"bytes":"Yf8="},"action":"transferred","bytes":3}"#;
        assert_eq!(lines[0], expected);
        let value: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!((value["event"].as_str(), value["class"].as_str()), (Some("end"), Some("no_contact")));
        assert_eq!((value["message"].as_str(), value["hint"].as_str()), (Some("nobody there"), Some("start recv")));
    }

    #[test]
    fn progress_is_thinned_and_nothing_follows_the_end() {
        let progress = Event::Progress(Progress::default());
        let lines = lines(|json, terminal, now| {
            for tenth in 0..25 {
                json.write(terminal, (now + Duration::from_millis(100) * tenth, "T"), &progress, None, None).unwrap();
            }
            json.write(terminal, (now, "T"), &end(), None, None).unwrap();
            json.write(terminal, (now, "T"), &Event::Warning { message: "late".into() }, None, None).unwrap();
        });
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[3].contains(r#""event":"end""#));
    }

    #[test]
    fn a_lost_reader_is_told_once() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let terminal = Terminal::of(Box::new(Closed), Box::new(io::sink()));
        let json = JsonLines::open(Path::new("-")).unwrap();
        let now = crate::network::seam::now();
        assert!(json.write(&terminal, (now, "T"), &end(), None, None).is_err());
        assert!(json.write(&terminal, (now, "T"), &end(), None, None).is_ok());
    }
}
