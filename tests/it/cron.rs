//! Runs as cron starts them: no terminal, no HOME, an empty environment, stdin a pipe that is never written nor closed.
//!
//! A success says nothing; a failure says one line (and perhaps a hint) and has its status; stdin is read only where `-` is typed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Place, dead_ticket};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// The program as cron starts it. The identity is named, so that no test writes into the home of whoever runs it.
fn cron(place: &Place, words: &str) -> Command {
    let mut command = place.command(&format!("--identity id.key --no-config {words}"));
    command.env_remove("RESILIENT_HOME").stdin(Stdio::piped());
    command
}

/// Waits with stdin held open.
fn wait(mut child: Child) -> Ended {
    let idle = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(idle);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn success_is_silent() {
    let place = Place::new();
    place.write("source/a", "content");
    let mut receiver = cron(&place, "recv --listen 127.0.0.1:0 inbox").spawn().unwrap();
    let mut ticket = String::new();
    let mut stdout = BufReader::new(receiver.stdout.take().unwrap());
    stdout.read_line(&mut ticket).unwrap();
    let sent = wait(cron(&place, &format!("send source {ticket}")).spawn().unwrap());
    let received = wait(receiver);
    assert_eq!((sent.code(), sent.out.as_str(), sent.err.as_str()), (Some(0), "", ""));
    assert_eq!((received.code(), received.err.as_str()), (Some(0), ""));
    assert_eq!(std::io::read_to_string(stdout).unwrap(), "", "more than the ticket");
    assert_eq!(place.read("inbox/source/a"), "content");
}

#[test]
fn a_failure_is_a_line_and_a_status() {
    let place = Place::new();
    place.write("source", "content");
    place.write("file", "no folder");
    let dead = dead_ticket();
    for (words, status) in [
        (format!("send --nope source {dead}"), 1),
        ("send source".to_owned(), 1),
        (format!("send missing {dead}"), 3),
        ("recv file".to_owned(), 3),
        (format!("send --transport=stdio source {dead}"), 4),
        (format!("send --contimeout 1 source {dead}"), 35),
        (format!("send --identity file/id.key source {dead}"), 11),
    ] {
        let ended = wait(cron(&place, &words).spawn().unwrap());
        assert_eq!((ended.code(), ended.out.as_str()), (Some(status), ""), "{words}: {}", ended.err);
        let lines: Vec<&str> = ended.err.lines().collect();
        assert!(lines[0].starts_with("resilient: "), "{words}: {}", ended.err);
        assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")), "{words}: {}", ended.err);
    }
}

#[test]
fn stdin_is_read_where_it_is_named_and_nowhere_else() {
    let place = Place::new();
    place.write("source", "content");
    let ended = {
        let mut child = cron(&place, "send source --ticket-file - --contimeout 1").spawn().unwrap();
        child.stdin.take().unwrap().write_all(dead_ticket().as_bytes()).unwrap();
        wait(child)
    };
    assert_eq!(ended.code(), Some(35), "{}", ended.err);
    // Nobody has read what stands in the pipe.
    let mut child = cron(&place, &format!("send source --contimeout 1 {}", dead_ticket()));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let kept = reader.try_clone().unwrap();
    writer.write_all(b"still there\n").unwrap();
    let ended = child.stdin(reader).output().unwrap();
    assert_eq!(ended.status.code(), Some(35));
    let mut line = String::new();
    BufReader::new(kept).read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n");
}
