//! Whole runs as they are shown: the bytes on both streams, without a process.

use super::*;
use crate::cli::args::Cli;
use crate::event::{Action, EventPath, Progress};
use clap::Parser as _;
use std::sync::Arc;

/// Streams that keep what was written.
#[derive(Clone, Default)]
pub(super) struct Kept {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

struct Stream(Arc<Mutex<Vec<u8>>>);

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(super) fn output(&self, command: &'static str, options: &str, tty: bool) -> Output {
        let words = ["resilient"].into_iter().chain(options.split_whitespace()).chain(["recv"]);
        let global = Cli::try_parse_from(words).unwrap().global;
        let terminal = Terminal::of(Box::new(Stream(self.out.clone())), Box::new(Stream(self.err.clone())));
        let start = crate::network::seam::now();
        let clock = Clock(Box::new(move || (start, "2026-11-22T10:00:00.25Z".parse().unwrap())));
        let style = Style { command, color: false, receives: command == "recv" };
        let mode = mode(&global, false, Duration::ZERO);
        Output::new(style, &global, tty, mode, terminal, clock, Cancel::new()).unwrap()
    }

    fn out(&self) -> String {
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.err.lock().unwrap().clone()).unwrap()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it stands beside failures in the cases")]
fn outcome(class: Class) -> Result<Summary, Failure> {
    Ok(Summary {
        class,
        session: "7f".into(),
        bytes_sent: 9,
        bytes_literal: 7,
        bytes_matched: 0,
        files: 1,
        stats: vec![("repairs", 17)],
    })
}

fn story(output: &Output) {
    output.start();
    output.event(&Event::Ticket { uri: "rsl1abc".into() });
    output.event(&Event::Plan { files: 1, bytes: 7 });
    output.event(&Event::Detail { message: "a decision".into() });
    output.event(&Event::Progress(Progress { bytes_done: 7, bytes_total: 7, ..Progress::default() }));
    output.event(&Event::File { path: EventPath(b"a".to_vec()), action: Action::Transferred, bytes: 7 });
}

fn told(options: &str, tty: bool, result: &Result<Summary, Failure>, signal: Option<i32>) -> (String, String) {
    let kept = Kept::default();
    let output = kept.output("recv", options, tty);
    story(&output);
    output.end(result, signal);
    (kept.out(), kept.err())
}

#[test]
fn a_success_is_silent_but_for_the_ticket() {
    assert_eq!(told("", false, &outcome(Class::Done), None), ("rsl1abc\n".into(), String::new()));
    assert_eq!(told("-q", true, &outcome(Class::Done), None), ("rsl1abc\n".into(), String::new()));
}

#[test]
fn a_terminal_gets_one_line() {
    let (out, err) = told("", true, &outcome(Class::Done), None);
    assert_eq!((out.as_str(), err.as_str()), ("rsl1abc\n", "received 1 file, 7 B in 0.0s\n"));
}

#[test]
fn verbose_adds_files_and_decisions() {
    let (_, err) = told("-v", false, &outcome(Class::Done), None);
    assert_eq!(err, "1 file, 7 B\na\nreceived 1 file, 7 B in 0.0s\n");
    assert!(told("-vv", false, &outcome(Class::Done), None).1.contains("a decision\n"));
}

#[test]
fn an_error_is_two_lines_at_most_and_a_signal_one() {
    let failed = Err(Failure::new(Class::NoContact, "nobody came").hint("again"));
    assert_eq!(told("-q", false, &failed, None).1, "resilient: recv: nobody came\nhint: again\n");
    assert_eq!(told("-q", false, &failed, Some(2)).1, "resilient: recv: interrupted\n");
}

#[test]
fn plain_progress_is_shown_where_it_was_asked_for() {
    let (_, err) = told("--progress=always", false, &outcome(Class::Done), None);
    assert!(err.starts_with("100% of 7 B") && err.lines().count() == 1, "{err}");
}

#[test]
fn the_table_is_on_stderr() {
    let (out, err) = told("--stats -q", false, &outcome(Class::Done), None);
    assert!(err == "session  7f\nelapsed  0.0s\nrepairs  17\n", "{err}");
    assert_eq!(out, "rsl1abc\n");
}

#[test]
fn json_takes_stdout_and_ends_with_the_end() {
    for (result, signal, exit, class) in [
        (outcome(Class::Done), None, 0, "done"),
        (outcome(Class::Partial), None, 23, "partial"),
        (Err(Failure::usage("words")), None, 1, "usage"),
        (Err(Failure::usage("words")), Some(15), 143, "interrupted"),
    ] {
        let (out, _) = told("--json", true, &result, signal);
        let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["v"] == 1 && line["t"] == "2026-11-22T10:00:00.250Z"), "{out}");
        let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["start", "ticket", "plan", "progress", "file", "end"]);
        let end = &lines[5];
        assert_eq!((end["exit"].as_u64(), end["class"].as_str()), (Some(exit), Some(class)));
    }
}

#[test]
fn files_that_failed_are_counted() {
    let kept = Kept::default();
    let output = kept.output("send", "", false);
    for name in ["a", "b"] {
        output.event(&Event::FileFailed { path: EventPath(name.into()), code: 11, message: "read error".into() });
    }
    output.end(&outcome(Class::Partial), None);
    let expected = "resilient: send: a: read error\nresilient: send: b: read error\n\
                    resilient: send: 2 files failed; the others are complete\n";
    assert_eq!(kept.err(), expected);
}

#[test]
fn there_are_no_others_where_nothing_is_complete() {
    for (class, session, expected) in [
        (Class::Select, "7f", "resilient: send: some files failed\n"),
        (Class::Vanished, "7f", "resilient: send: some files vanished or changed while being read\n"),
        (Class::Partial, "", "resilient: send: some files cannot be sent\n"),
    ] {
        let kept = Kept::default();
        let nothing = Summary { files: 0, session: session.into(), ..outcome(class).unwrap() };
        kept.output("send", "", false).end(&Ok(nothing), None);
        assert_eq!(kept.err(), expected);
    }
}

#[test]
fn a_ticket_that_nobody_can_read_ends_the_run() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for options in ["", "--json"] {
        let mut output = Kept::default().output("recv", options, false);
        output.terminal = Terminal::of(Box::new(Closed), Box::new(io::sink()));
        story(&output);
        let broken = output.broken().map(|failure| (failure.class, failure.message));
        assert_eq!(broken, Some((Class::FileIo, "stdout: broken pipe".into())), "{options}");
    }
}
