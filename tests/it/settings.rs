//! Configuration, log and metrics as the program has them: what a file or a variable sets is in force, and is told with its source.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Place, dead_ticket};
use std::os::unix::fs::PermissionsExt as _;

/// The row of a setting in the table of `--show-config`: value and source.
fn row<'a>(shown: &'a Ended, name: &str) -> (&'a str, &'a str) {
    assert_eq!((shown.code(), shown.err.as_str()), (Some(0), ""), "{shown:?}");
    let row = shown.out.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    let (_, rest) = row.split_once(' ').unwrap();
    let (value, source) = rest.trim_start().split_once(' ').unwrap();
    (value, source.trim())
}

#[test]
fn each_setting_is_shown_with_its_source() {
    let place = Place::new();
    place.write("home/config.toml", "stats = true\ncontimeout = 7\n\n[peer.'*.field']\nretry-for = '3h'\n");
    let mut command = place.command("send --show-config --color=never a x.field:9000");
    let output = command.env("RESILIENT_VERBOSE", "2").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = Ended { status: output.status, out: text, err: String::new() };
    let file = place.path("home/config.toml").to_str().unwrap().to_owned();
    assert_eq!(row(&shown, "color"), ("never", "command line"));
    assert_eq!(row(&shown, "verbose"), ("2", "RESILIENT_VERBOSE"));
    assert_eq!(row(&shown, "stats"), ("true", format!("{file}:1").as_str()));
    assert_eq!(row(&shown, "contimeout"), ("7", format!("{file}:2").as_str()));
    assert_eq!(row(&shown, "retry-for"), ("3h", format!("{file}:5").as_str()));
    assert_eq!(row(&shown, "quiet"), ("false", "built-in"));

    let all = place.run("--show-config");
    assert_eq!(row(&all, "contimeout"), ("7", format!("{file}:2").as_str()));
    assert_eq!(row(&all, "retry-for"), ("10m", "built-in"));
    assert_eq!(row(&place.run("--no-config send --show-config"), "contimeout"), ("30", "built-in"));

    let line =
        place.run("recv --show-config --json").out.lines().find(|line| line.contains("\"stats\"")).unwrap().to_owned();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((value["event"].as_str(), value["value"]["text"].as_str()), (Some("config"), Some("true")));
    assert_eq!((value["file"]["text"].as_str(), value["line"].as_u64()), (Some(file.as_str()), Some(1)));
}

#[test]
fn a_link_is_set_like_any_rate_and_gives_more_time() {
    let place = Place::new();
    place.write("home/config.toml", "link = '9.6kbit'\n\n[peer.'@boat']\nlink = '2400bit'\n");
    let file = place.path("home/config.toml").to_str().unwrap().to_owned();
    let shown = place.run("send --show-config a x.field:9000");
    assert_eq!(row(&shown, "link"), ("9.6kbit", format!("{file}:1").as_str()));
    assert_eq!(row(&shown, "contimeout"), ("300", "built-in"));
    assert_eq!(row(&place.run("send --show-config a @boat"), "link").0, "2400bit");
    assert_eq!(row(&place.run("recv --show-config --link 1kb --contimeout 9"), "contimeout").0, "9");
    let output = place.command("recv --show-config").env("RESILIENT_LINK", "10mbit").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("RESILIENT_LINK") && told.contains("no hint"), "{told}");
    for words in ["--link 9600", "--link 9.6k", "--link 100bit", "--link fast"] {
        assert_eq!(place.run(&format!("recv {words}")).code(), Some(1), "{words}");
    }
}

#[test]
fn what_is_set_is_in_force() {
    let place = Place::new();
    place.write("source", "content");
    let send = format!("send source {}", dead_ticket());
    place.write("own.toml", "contimeout = 1\ncolor = 'always'\n");
    let ended = place.run(&format!("--config own.toml {send}"));
    assert_eq!(ended.code(), Some(35));
    assert!(ended.err.starts_with("\x1b[1;31mresilient: send:"), "{ended:?}");
    let mut command = place.command(&send);
    let output = command.env("RESILIENT_CONFIG", "own.toml").env("RESILIENT_COLOR", "never").output().unwrap();
    assert_eq!(output.status.code(), Some(35));
    assert!(output.stderr.starts_with(b"resilient: send:"));
}

#[test]
fn a_wrong_setting_ends_the_run_before_anything_is_touched() {
    let place = Place::new();
    for (text, said) in [
        ("\nforce = true", "own.toml:2: force"),
        ("insecure = true", "own.toml:1: insecure"),
        ("ticket-file = 'x'", "own.toml:1: ticket-file says what to do"),
        ("retry-for = 'soon'", "own.toml:1: invalid value 'soon'"),
        ("[peer", "own.toml:1: "),
    ] {
        place.write("own.toml", text);
        let ended = place.run("--config own.toml recv inbox");
        assert_eq!((ended.code(), ended.out.as_str()), (Some(1), ""), "{text}");
        assert!(ended.err.starts_with(&format!("resilient: recv: {said}")), "{text}: {}", ended.err);
        assert!(!place.path("inbox").exists() && !place.path("home").exists());
    }
}

#[test]
fn the_log_has_every_message_with_its_time() {
    let place = Place::new();
    place.write("source/a", "content");
    place.write("log", "before\n");
    std::fs::set_permissions(place.path("log"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let receiver = place.receiver("--log-file recv.log inbox");
    let sent = place.run(&format!("send -q --log-file log source missing {}", receiver.ticket));
    receiver.ended();
    let log = place.read("log");
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("before"));
    for line in lines {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == 24 && rest.starts_with('['), "{line}");
    }
    for said in
        ["send begins", "connected to ", "source/a", "resilient: send: missing", "sent 1 file", "exit 23 partial"]
    {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(sent.err.lines().all(|line| log.contains(line)), "{sent:?}");
    assert!(!sent.err.contains("connected to"));
    let received = place.read("recv.log");
    assert!(received.contains("waiting at 127.0.0.1:") && !received.contains("resilient://"), "{received}");
    assert_eq!(std::fs::metadata(place.path("recv.log")).unwrap().permissions().mode() & 0o777, 0o600);
    let by_variable = place.command("send x").env("RESILIENT_LOG", "variable.log").output().unwrap();
    assert_eq!(by_variable.status.code(), Some(1));
    assert!(place.read("variable.log").contains("no destination was given"));
}

#[test]
fn a_log_that_cannot_be_opened_is_found_first() {
    let place = Place::new();
    for option in ["--log-file=no/such", "--metrics-file=no/such", "--json=no/such"] {
        let ended = place.run(&format!("recv {option} inbox"));
        assert_eq!(
            (ended.code(), ended.err.as_str()),
            (Some(1), "resilient: recv: no/such: no such file or directory\n")
        );
        assert!(!place.path("inbox").exists(), "{option}");
    }
}

#[test]
fn metrics_tell_how_the_last_run_ended() {
    let place = Place::new();
    place.write("source/a", vec![3; 100_000]);
    let receiver = place.receiver("--metrics-file recv.prom inbox");
    place.run(&format!("send --metrics-file send.prom source {}", receiver.ticket));
    receiver.ended();
    for (name, command) in [("send.prom", "send"), ("recv.prom", "recv")] {
        let text = place.read(name);
        for row in [
            format!("resilient_literal_bytes_total{{command=\"{command}\"}} 100000\n"),
            format!("resilient_exit_code{{command=\"{command}\",class=\"done\",outcome=\"success\"}} 0\n"),
            format!("resilient_running{{command=\"{command}\"}} 0\n"),
        ] {
            assert!(text.contains(&row), "{row}{text}");
        }
        assert!(text.contains("resilient_last_success_timestamp_seconds") && !text.contains("source"), "{text}");
    }
    let failed = place.run(&format!("send --metrics-file send.prom --contimeout 1 source {}", dead_ticket()));
    let text = place.read("send.prom");
    assert_eq!(failed.code(), Some(35));
    assert!(text.contains("class=\"no_contact\",outcome=\"failure\"} 35\n"), "{text}");
    assert!(text.contains("resilient_last_success_timestamp_seconds"), "{text}");
}

#[test]
fn what_a_later_version_has_is_told_from_a_mistake() {
    let place = Place::new();
    for (words, code, said) in [
        ("send --transport=stdio a b", 4, "--transport: this version does not have that option"),
        ("send -e ssh a b", 4, "-e: this version does not have that option"),
        ("recv --from relay", 4, "--from: this version"),
        ("--via=x send a b", 4, "send: --via: this version"),
        ("recv --bw 3", 1, "unexpected argument '--bw'"),
        ("key show --transport", 1, "unexpected argument"),
    ] {
        let ended = place.run(words);
        assert_eq!(ended.code(), Some(code), "{words}: {ended:?}");
        assert!(ended.err.contains(said) && !ended.err.contains("as a value"), "{words}: {ended:?}");
    }
}
