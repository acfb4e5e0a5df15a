//! The program as it is typed: usage, refusals, help, streams and exit status of everything that is decided before a byte is sent.
//!
//! Runs the binary in an empty environment, as cron would, with a folder of its own. Transfers are in other files.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use assert_cmd::Command;
use predicates::prelude::*;
use resilient::network::identity::Identity;
use resilient::ticket::{Secret, Ticket};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

/// A ticket that nobody answers to.
fn ticket() -> String {
    let key = Identity::generate().unwrap().node_id();
    let secret = Secret::from_bytes([7; 16]);
    Ticket::new(key, ["127.0.0.1:9".parse().unwrap()], Some(secret)).to_string()
}

fn resilient(words: &str) -> (Command, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("resilient").unwrap();
    command.env_clear().env("RESILIENT_HOME", home.path()).current_dir(home.path());
    command.args(words.split_whitespace().map(|word| word.replace("TICKET", &ticket())));
    (command, home)
}

/// Runs `words`: exit `status`, nothing on stdout, and one line `resilient: …` with `said` in it, perhaps with one hint after it.
fn refused(words: &str, status: i32, said: &str) {
    let (mut command, home) = resilient(words);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{words}: {error}");
    assert!(output.stdout.is_empty(), "{words}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].starts_with("resilient: ") && lines[0].contains(said), "{words}: {error}");
    assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")), "{words}: {error}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "{words} touched something");
}

#[test]
fn usage_is_1_and_says_what_is_wrong() {
    refused("send", 1, "resilient: send: no path");
    refused("send file", 1, "resilient: send: no destination");
    refused("send - TICKET", 1, "no name");
    refused("send - file --name x TICKET", 1, "alone");
    refused("send file --name x TICKET", 1, "--name");
    refused("send TICKET", 1, "no path");
    refused("send one two", 1, "no destination");
    refused("send --nope file TICKET", 1, "--nope");
    refused("send --contimeout soon file TICKET", 1, "--contimeout");
    refused("send file --ticket-file missing", 1, "resilient: send: missing: no such file or directory");
    refused("send file --ticket-file missing TICKET", 1, "both");
    refused("recv one two", 1, "resilient: recv: more than one");
    refused("recv --listen nowhere", 1, "--listen");
    refused("recv --retry-for 5y", 1, "--retry-for");
    refused("recv --ticket-life 0", 1, "--ticket-life");
    refused("recv --progress=often", 1, "--progress");
    refused("recv --no-such", 1, "--no-such");
    refused("key showw", 1, "resilient: key: showw: no such verb");
    refused("snd file TICKET", 1, "resilient: snd: no such command");
    refused("--nope", 1, "resilient: unexpected argument '--nope'");
}

#[test]
fn what_a_later_version_has_is_4() {
    for command in ["sync -avz --delete a b", "relay --spool d"] {
        refused(command, 4, command.split(' ').next().unwrap());
    }
    refused("send file user@host:dir", 4, "user@host:dir");
    refused("recv host:dir", 4, "host:dir");
}

#[test]
fn other_programs_spellings_are_told_ours() {
    for (words, spelling) in [
        ("send file host::module", "host:/PATH"),
        ("send file rsync://host/module/x", "host:/module/x"),
        ("send file scp://user@host:22/x", "user@host:/x"),
    ] {
        let (mut command, _home) = resilient(words);
        let hint = predicate::str::contains("\nhint: ").and(predicate::str::contains(spelling));
        command.assert().code(1).stdout("").stderr(hint);
    }
}

#[test]
fn a_damaged_ticket_is_a_usage_error_that_does_not_repeat_it() {
    let damaged = ticket().replace("?t=", "?t=a");
    for words in [format!("send file {damaged}"), "send file".to_owned()] {
        let (mut command, _home) = resilient(&words);
        let quiet = predicate::str::contains("rz1").not().and(predicate::str::contains("secret"));
        command.env("RESILIENT_TICKET", &damaged).assert().code(1).stdout("").stderr(quiet);
    }
}

#[test]
fn who_the_other_side_is_must_be_said_without_contradiction() {
    let key = Identity::generate().unwrap().node_id();
    refused("send file @base", 1, "@base: no known node");
    refused(&format!("send file {key}"), 1, "no address");
    refused(&format!("send file {key}@[::1]:9 --insecure"), 1, "--insecure is refused");
    refused("send file TICKET --insecure", 1, "--insecure is refused");
    refused("send file TICKET --ca system", 1, "--ca");
    refused(&format!("send file TICKET --peer-key {key}"), 41, "the ticket has the key");
    refused("send file host:9 --insecure --accept-new", 1, "--insecure");
    refused("send file host:9 --cert c.pem", 1, "--cert-key");
    refused("send file host:9 --ca missing", 1, "missing: no such file");
    refused("send file host:9 --port 9-8", 1, "--port");
    refused("send file host:9 --peer-key rz1x", 1, "--peer-key rz1x");
}

#[test]
fn keys_are_named_as_they_should_be() {
    let key = Identity::generate().unwrap().node_id();
    refused("key trust rz1x name", 1, "rz1x");
    refused(&format!("key trust {key} a/b"), 1, "a/b");
    refused(&format!("key trust {key}@host"), 1, "HOST:PORT");
    refused("key trust base", 1, "rz1");
    refused("key trust", 1, "NODE");
    refused("key allow base", 1, "base: no known node");
    refused(&format!("key allow {key} --perm root"), 1, "root");
    refused(&format!("key allow {key} --quota much"), 1, "--quota");
    refused(&format!("key allow {key} --expire soon"), 1, "--expire");
    refused("key forget rz1x", 1, "rz1x");
}

#[test]
fn help_and_version_are_results() {
    for words in ["--help", "-h", "send --help", "send -h", "recv -h", "key -h", "key show --help"] {
        let (mut command, _home) = resilient(words);
        command.assert().code(0).stderr("").stdout(predicate::str::contains("Usage: resilient"));
    }
    let (mut command, _home) = resilient("recv --help");
    command.assert().stdout(predicate::str::contains("Without --ticket it waits on port 27183"));
    for words in ["-V", "--version"] {
        let (mut command, _home) = resilient(words);
        command.assert().code(0).stderr("").stdout(concat!("resilient ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    for words in ["", "key"] {
        let (mut command, _home) = resilient(words);
        command.assert().code(1).stdout("").stderr(predicate::str::contains("Usage: resilient"));
    }
}

#[test]
fn a_short_help_fits_a_screen() {
    for words in ["-h", "send -h", "recv -h", "key -h"] {
        let (mut command, _home) = resilient(words);
        let output = command.output().unwrap().stdout;
        assert!(output.split(|byte| *byte == b'\n').count() <= 41, "{words}");
    }
}

#[test]
fn an_error_after_parsing_ends_the_json_too() {
    for (words, exit) in [("send --json file", 1), ("--json send file @base", 1), ("recv --json host:dir", 4)] {
        let (mut command, _home) = resilient(words);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(exit));
        let lines: Vec<serde_json::Value> =
            String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["start", "end"], "{words}");
        assert_eq!(lines[1]["exit"], exit);
        assert!(lines.iter().all(|line| line["v"] == 1 && line["t"].as_str().unwrap().ends_with('Z')));
    }
}

#[test]
fn json_may_go_to_a_file_but_not_anywhere() {
    let (mut command, home) = resilient("send --json=events file");
    command.assert().code(1).stdout("");
    let events = std::fs::read_to_string(home.path().join("events")).unwrap();
    assert!(events.lines().last().unwrap().contains(r#""event":"end""#), "{events}");
    refused("send --json=no/such/folder file TICKET", 1, "no/such/folder: no such file or directory");
}

#[test]
fn no_escape_sequence_gets_through() {
    let (mut command, _home) = resilient("send");
    command.arg("a\x1b[2J:\u{202e}b").assert().code(1).stderr(predicate::str::contains("\x1b").not());
    let (mut command, _home) = resilient("send");
    command.arg("--\x1b[2J").assert().code(1).stderr(predicate::str::contains("\x1b").not());
}

#[test]
fn colour_is_only_where_it_is_asked_for() {
    let (mut command, _home) = resilient("send --color=always");
    command.assert().code(1).stderr(predicate::str::starts_with("\x1b[1;31mresilient: send:\x1b[0m"));
    let (mut command, _home) = resilient("send --color=always --color=never");
    command.assert().code(1).stderr(predicate::str::contains("\x1b").not());
}

#[test]
fn a_bad_environment_is_a_usage_error() {
    let (mut command, _home) = resilient("send file TICKET");
    command
        .env("RESILIENT_PROGRESS_INTERVAL", "often")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("RESILIENT_PROGRESS_INTERVAL"));
    let (mut command, _home) = resilient("send file");
    command
        .env("RESILIENT_TICKET", "no ticket")
        .assert()
        .code(1)
        .stderr("resilient: send: RESILIENT_TICKET: not a ticket\n");
}

#[test]
fn a_node_keeps_its_identity() {
    let (mut command, home) = resilient("key show");
    let first = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let lines: Vec<&str> = first.lines().collect();
    let file = home.path().join("identity.key");
    assert!(lines[0].starts_with("rz1") && lines[2] == file.to_str().unwrap(), "{first}");
    assert_eq!(lines[1].split_whitespace().count(), 6, "{first}");
    let again = command.output().unwrap();
    assert_eq!((again.status.code(), String::from_utf8(again.stdout).unwrap()), (Some(0), first.clone()));

    let line = command.arg("--json").output().unwrap().stdout;
    let shown: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((shown["v"].as_u64(), shown["event"].as_str()), (Some(1), Some("key")));
    assert_eq!((shown["node_id"].as_str(), shown["spoken"].as_str()), (Some(lines[0]), Some(lines[1])));
    assert_eq!(shown["file"]["text"].as_str(), Some(lines[2]));

    let (mut command, other) = resilient("key show --identity sub/other.key");
    let made = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(made.starts_with("rz1") && made.lines().next() != Some(lines[0]), "{made}");
    assert!(other.path().join("sub/other.key").exists() && !other.path().join("identity.key").exists());
}

#[test]
fn a_signal_ends_a_waiting_recv_by_that_signal() {
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("resilient"))
            .args(["recv", "--json", "--listen", "127.0.0.1:0", "inbox"])
            .env_clear()
            .env("RESILIENT_HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.by_ref().any(|line| line.contains(r#""event":"ticket""#)), "no ticket");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let last: serde_json::Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(signal.as_raw()));
        assert_eq!((last["event"].as_str(), last["exit"].as_i64()), (Some("end"), Some(exit)));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "resilient: recv: interrupted\n");
    }
}
