//! Receivers of more than one transfer, as typed: whom `--keep` lets in and what it lets them do, `--count`, and who finds it busy.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Live, Place, noise};
use resilient::ticket::Ticket;
use std::process::Stdio;

/// A `recv --keep` of the host `there`, and the address that it tells in its log.
fn keeper(place: &Place, words: &str) -> (Live, String) {
    let mut command = place.on("there", &format!("recv -vv --keep --listen 127.0.0.1:0 {words} inbox"));
    command.stdout(Stdio::null());
    let mut live = Live::stderr(command);
    loop {
        if let Some((_, address)) = live.line().split_once("waiting at ") {
            return (live, address.trim().to_owned());
        }
    }
}

/// What lies there, without the folder of unfinished files.
fn arrived(place: &Place, folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place.path(folder)) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_grant_is_what_it_says_from_the_next_connection_on() {
    let place = Place::new();
    for name in ["a", "b", "c", "d"] {
        place.write(name, "four");
    }
    for name in ["empty/1", "empty/2"] {
        std::fs::create_dir_all(place.path(name)).unwrap();
    }
    let (me, it) = (place.id("here"), place.id("there"));
    let (receiver, address) = keeper(&place, "");
    assert_eq!(place.run_on("here", &format!("key trust {it}@{address} base")).code(), Some(0));
    let steps = [
        ("", "a", 41, "key allow"),
        ("allow --quota 4099", "a", 45, "are 4100, more than the quota of 4099"),
        ("allow --quota 4100", "a", 0, ""),
        ("allow --quota 8199", "b c", 45, "are 8200, more than the quota of 8199"),
        ("allow --quota 8192", "empty", 45, "empty/2: receiver: 0 bytes and 4096 for each entry are 12288"),
        ("allow --perm relay,admin", "b", 41, "key allow"),
        ("allow --expire 2020-02-02", "b", 41, "key allow"),
        ("allow --expire 9999-12-31 --dir other", "b", 0, ""),
        ("allow", "c", 0, ""),
        ("forget", "d", 41, "key allow"),
    ];
    for (verb, sources, code, said) in steps {
        let (verb, options) = verb.split_once(' ').unwrap_or((verb, ""));
        if !verb.is_empty() {
            let ended = place.run_on("there", &format!("key {verb} {me} {options}"));
            assert_eq!(ended.code(), Some(0), "{ended:?}");
        }
        let sent = place.run_on("here", &format!("send {sources} @base"));
        assert_eq!(sent.code(), Some(code), "{verb} {options}: {sent:?}");
        assert!(sent.err.contains(said) && (code != 0 || sent.err.is_empty()), "{verb} {options}: {sent:?}");
    }
    assert_eq!(arrived(&place, "inbox"), ["a", "c", "empty"]);
    assert_eq!(arrived(&place, "inbox/empty"), ["1"]);
    assert_eq!(arrived(&place, "other"), ["b"]);
    receiver.signal(rustix::process::Signal::TERM);
    let ended = receiver.ended();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(15), "{ended:?}");
}

#[test]
fn a_stranger_writes_nothing_and_the_command_it_is_told_lets_it_in() {
    let place = Place::new();
    place.write("source", "content");
    let (receiver, address) = keeper(&place, "");
    let words = format!("send --accept-new source {address}");
    let refused = place.run_on("here", &words);
    assert_eq!(refused.code(), Some(41), "{refused:?}");
    assert_eq!(arrived(&place, "inbox").len(), 0);
    let id = place.id("here");
    let said = "resilient: send: receiver: asks for an authorised key; this sender's is not";
    assert_eq!(refused.err, format!("{said}\nhint: on that host run: resilient key allow {id}\n"));
    let next = refused.err.lines().last().unwrap().rsplit_once("resilient ").unwrap().1;
    assert_eq!(place.run_on("there", next).code(), Some(0), "{next}");
    assert_eq!(place.run_on("here", &words).code(), Some(0));
    assert_eq!(arrived(&place, "inbox"), ["source"]);
    drop(receiver);
}

#[test]
fn each_ticket_of_a_keeper_is_used_once() {
    let place = Place::new();
    place.write("a", "a");
    place.write("b", "b");
    let words = "recv --keep --ticket --listen 127.0.0.1:0 inbox";
    let mut receiver = Live::stdout(place.on("there", words));
    let first = receiver.line();
    assert_eq!(place.run_on("here", &format!("send a {first}")).code(), Some(0));
    let second = receiver.line();
    let spent = place.run_on("elsewhere", &format!("send b {first}"));
    assert!(spent.code() == Some(41) && first != second, "{spent:?}");
    assert_eq!(place.run_on("elsewhere", &format!("send b {second}")).code(), Some(0));
    assert_eq!(arrived(&place, "inbox"), ["a", "b"]);
    assert!(receiver.child.try_wait().unwrap().is_none());
}

#[test]
fn what_goes_with_what() {
    let place = Place::new();
    for words in [
        "--ticket",
        "--count 0",
        "--keep -o x",
        "--count 2 -o -",
        "--keep --ticket-file f",
        "--keep --qr",
        "--count 2 --keep --qr",
        "--keep --listen 127.0.0.1:0 TICKET",
    ] {
        let words = words.replace("TICKET", &crate::process::dead_ticket());
        let ended = place.run(&format!("recv {words}"));
        assert_eq!((ended.code(), ended.out.as_str()), (Some(1), ""), "{words}: {ended:?}");
    }
    // Of --once, --count and --keep the last one typed counts.
    let mut receiver = Live::stdout(place.on("there", "recv --keep --count 2 --once --listen 127.0.0.1:0 inbox"));
    place.write("a", "a");
    assert_eq!(place.run(&format!("send a {}", receiver.line())).code(), Some(0));
    let ended = receiver.ended();
    assert_eq!((ended.code(), ended.out.as_str()), (Some(0), ""));
}

#[test]
fn twenty_senders_into_one_receiver() {
    let place = Place::new();
    let mut receiver = Live::stdout(place.on("there", "recv --count 20 --listen 127.0.0.1:0 inbox"));
    let senders: Vec<_> = (0..20)
        .map(|number| {
            place.write(&format!("f{number}"), noise(number, 200_000 + number as usize));
            let words = format!("send f{number} {}", receiver.line());
            place.on(&format!("host{number}"), &words).spawn().unwrap()
        })
        .collect();
    for sender in senders {
        let output = sender.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let ended = receiver.ended();
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(0), "", ""));
    assert_eq!(arrived(&place, "inbox").len(), 20);
    for number in 0..20 {
        let came = std::fs::read(place.path(&format!("inbox/f{number}"))).unwrap();
        assert!(came == noise(number, 200_000 + number as usize), "f{number}");
    }
}

/// Whose ticket it is comes first, that there is no room comes after.
#[test]
fn a_receiver_of_one_is_busy_for_those_it_would_let_in() {
    let place = Place::new();
    place.write("a", "a");
    let mut receiver = Live::stdout(place.on("there", "recv --listen 127.0.0.1:0 inbox"));
    let line = receiver.line();
    let ticket: Ticket = line.parse().unwrap();
    let mut command = place.on("here", &format!("send --json - --name x {line}"));
    let mut first = Live::stdout({
        command.stdin(Stdio::piped());
        command
    });
    first.event("connected");
    let same = place.run_on("here", &format!("send a {line}"));
    assert_eq!(same.code(), Some(42), "{same:?}");
    let thief = place.run_on("elsewhere", &format!("send a {line}"));
    assert_eq!(thief.code(), Some(41), "{thief:?}");
    place.run_on("there", &format!("key allow {}", place.id("elsewhere")));
    let allowed = place.run_on("elsewhere", &format!("send a {}@{}", ticket.key, ticket.addresses[0]));
    assert!(allowed.code() == Some(42) && allowed.err.contains("busy"), "{allowed:?}");
    assert_eq!((first.ended().code(), receiver.ended().code()), (Some(0), Some(0)));
    assert_eq!(arrived(&place, "inbox"), ["x"]);
}

/// The one that comes later ends earlier. Without classes both have half of the rate, and the later one ends later.
#[test]
fn a_critical_transfer_overtakes_a_normal_one_at_the_receiver() {
    let place = Place::new();
    let (ann, bob) = (place.id("ann"), place.id("bob"));
    for id in [&ann, &bob] {
        place.run_on("there", &format!("key allow {id}"));
    }
    for name in ["normal", "critical"] {
        place.write(name, noise(9, 3_000_000));
    }
    let (_receiver, address) = keeper(&place, "--bwlimit 1000");
    let key = place.id("there");
    let start = |host: &str, name: &str, words: &str| {
        let mut live =
            Live::stdout(place.on(host, &format!("send --json --priority normal {words} {name} {key}@{address}")));
        live.event("connected");
        live
    };
    let normal = start("ann", "normal", "");
    let critical = start("bob", "critical", "--priority=critical");
    let critical = critical.ended();
    assert_eq!(critical.code(), Some(0), "{critical:?}");
    assert!(!place.path("inbox/normal").exists(), "the normal one is there already");
    let normal = normal.ended();
    assert_eq!(normal.code(), Some(0), "{normal:?}");
}
