//! `resilient resume --list`: what broke off, so that somebody who did not begin it understands it and can finish it.
//!
//! Invariant: the secret of a ticket is never shown; lines of JSON have everything that the table has.

use super::{Failure, Memories};
use crate::cli::args::Global;
use crate::cli::contact::Target;
use crate::cli::output::{self, escape};
use crate::cli::place;
use crate::event::EventPath;
use crate::session::{Failure as Failed, Record, State};
use crate::unit::{Size, Span};
use jiff::Timestamp;
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

/// Shows everything unfinished, and with `-v` everything; as lines of JSON if they are asked for.
pub(super) fn show(memories: &Memories, older_than: Option<Duration>, global: &Global) -> Result<(), Failure> {
    let mut text = String::new();
    for record in memories.list(older_than)? {
        if !record.state.is_resumable() && global.verbose == 0 {
            continue;
        }
        let row = Row {
            name: memories.short(&record)?,
            running: record.state == State::Active && memories.is_running(&record)?,
            record,
        };
        match &global.json {
            Some(_) => row.json(&mut text),
            None => row.text(memories.now, &mut text),
        }
    }
    output::result(global.json.as_deref().filter(|file| file.as_os_str() != "-"), &text)
}

/// A session as it is shown.
struct Row {
    name: String,
    running: bool,
    record: Record,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    t: String,
    event: &'static str,
    name: &'a str,
    session: String,
    role: &'static str,
    state: &'static str,
    running: bool,
    command: Option<Vec<EventPath>>,
    folder: Option<EventPath>,
    peer: &'a str,
    location: &'a str,
    began: String,
    changed: String,
    files: u64,
    bytes: u64,
    bytes_done: u64,
    runs: u32,
    failures: u32,
    last_failure: Option<Last<'a>>,
}

#[derive(Serialize)]
struct Last<'a> {
    at: String,
    exit: u8,
    class: &'static str,
    message: &'a str,
}

impl Row {
    /// What it is doing, in a word. One that is active and not running has crashed.
    fn state(&self) -> &'static str {
        match (self.record.state, self.running) {
            (State::Active, true) => "running",
            (State::Active, false) => "broken off",
            (state, _) => state.word(),
        }
    }

    fn text(&self, now: Timestamp, out: &mut String) {
        let Record { command, key, location, began, changed, bytes, bytes_done, runs, last_failure, .. } = &self.record;
        let ago = |at: &Timestamp| {
            let span = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
            format!("{} ago", Span(Duration::from_secs(span.as_secs())))
        };
        let what = match command {
            Some(command) => command.words.iter().map(|word| shown(word)).collect::<Vec<_>>().join(" "),
            None => format!("{} (by a receiver of several transfers)", key.role.word()),
        };
        let percent = (u128::from(*bytes_done) * 100).checked_div(u128::from(*bytes)).unwrap_or(0).min(100);
        let _ =
            writeln!(out, "{}  {}  {percent}% of {}, {}  {what}", self.name, self.state(), Size(*bytes), ago(changed));
        let mut more = Vec::new();
        if let Some(command) = command {
            more.push(format!("in {}", escape::word(command.folder.as_os_str())));
        }
        if !location.is_empty() {
            let way = if key.role == crate::session::Role::Send { "to" } else { "into" };
            more.push(format!("{way} {}", escape::name(location.as_bytes())));
        }
        let times = if *runs == 1 { String::new() } else { format!(", run {runs} times") };
        more.push(format!("begun {}{times}", ago(began)));
        if let Some(Failed { class, message, .. }) = last_failure {
            more.push(format!("last failure ({}): {}", class.code(), escape::text(message)));
        }
        let _ = writeln!(out, "      {}", more.join("; "));
    }

    fn json(&self, out: &mut String) {
        let record = &self.record;
        let stamp = |at: &Timestamp| format!("{at:.3}");
        let path = |bytes: Vec<u8>| EventPath(bytes);
        let words = |words: &[OsString]| words.iter().map(|word| path(hidden(word).into_vec())).collect();
        let line = Line {
            v: 1,
            t: output::Clock::system().stamp(),
            event: "session",
            name: &self.name,
            session: data_encoding::HEXLOWER.encode(&record.key.session),
            role: record.key.role.word(),
            state: record.state.word(),
            running: self.running,
            command: record.command.as_ref().map(|command| words(&command.words)),
            folder: record.command.as_ref().map(|command| path(command.folder.as_os_str().as_bytes().to_vec())),
            peer: &record.peer,
            location: &record.location,
            began: stamp(&record.began),
            changed: stamp(&record.changed),
            files: record.files,
            bytes: record.bytes,
            bytes_done: record.bytes_done,
            runs: record.runs,
            failures: record.failures,
            last_failure: record.last_failure.as_ref().map(|failed| Last {
                at: stamp(&failed.at),
                exit: failed.class.code(),
                class: failed.class.word(),
                message: &failed.message,
            }),
        };
        out.push_str(&serde_json::to_string(&line).expect("strings and numbers always make JSON"));
        out.push('\n');
    }
}

/// A word of a command, for people.
fn shown(word: &OsStr) -> String {
    if is_ticket(word) { "TICKET".into() } else { escape::word(word) }
}

/// A word of a command, for programs.
fn hidden(word: &OsStr) -> OsString {
    if is_ticket(word) { "TICKET".into() } else { word.to_owned() }
}

fn is_ticket(word: &OsStr) -> bool {
    matches!(place::target(word), Some(Ok(Target::Ticket(_))))
}
