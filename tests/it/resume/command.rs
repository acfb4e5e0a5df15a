//! `resilient resume`, what `send` remembers for it, and runs that come upon one another.

use super::{SIZE, begin, partial, sessions};
use crate::process::{Live, Place, Receiver, dead_ticket, noise};
use resilient::session::{Role, State};
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;

/// A sender that was interrupted in the middle, its receiver, and the name of the session there.
fn interrupted(place: &Place) -> (Receiver, String) {
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let (sender, _) = begin(place, &receiver.ticket);
    sender.signal(Signal::INT);
    let ended = sender.ended();
    assert_eq!(ended.status.signal(), Some(Signal::INT.as_raw()));
    let name = ended.err.trim().strip_prefix("resilient: send: interrupted; resume with: resilient resume ");
    let name = name.unwrap_or_else(|| panic!("{ended:?}")).to_owned();
    let end: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!((end["event"].as_str(), end["resume"].as_str()), (Some("end"), Some(&*name)));
    (receiver, name)
}

fn list(place: &Place, host: &str) -> Vec<Value> {
    let listed = place.run_on(host, "resume --list --json");
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn arrived(place: &Place) -> bool {
    std::fs::read(place.path("inbox/source")).unwrap() == noise(7, SIZE as usize)
}

#[test]
fn who_was_interrupted_is_told_how_to_go_on() {
    let place = Place::new();
    let (receiver, name) = interrupted(&place);
    let [session] = &list(&place, "sender")[..] else { panic!("not one session") };
    assert_eq!((session["state"].as_str(), session["failures"].as_u64()), (Some("paused"), Some(0)));
    assert_eq!((session["role"].as_str(), session["running"].as_bool()), (Some("send"), Some(false)));
    assert_eq!(session["name"], Value::String(name.clone()));
    assert!(session["bytes_done"].as_u64().unwrap() > 0 && session["bytes"].as_u64() == Some(SIZE));
    // From another folder, where there is no such file, and to a receiver of the same home as its own session.
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let mut command = place.on("sender", &format!("resume --json --bwlimit 0 {name}"));
    let resumed = Live::stdout({
        command.current_dir(place.path("elsewhere"));
        command
    })
    .ended();
    assert_eq!((resumed.code(), receiver.ended().code()), (Some(0), Some(0)), "{resumed:?}");
    let end: Value = serde_json::from_str(resumed.out.lines().last().unwrap()).unwrap();
    assert!(end["bytes_sent"].as_u64().unwrap() < SIZE, "what was there is not sent again: {end}");
    assert!(arrived(&place) && list(&place, "sender").is_empty());
    assert_eq!(place.run_on("sender", &format!("resume {name}")).code(), Some(0), "it is complete");
}

#[test]
fn a_receiver_is_gone_on_with_as_well_and_its_ticket_is_good() {
    let place = Place::new();
    let (receiver, _) = interrupted(&place);
    let ticket = receiver.ticket.clone();
    receiver.kill();
    let [session] = &list(&place, "home")[..] else { panic!("not one session") };
    assert_eq!((session["role"].as_str(), session["state"].as_str()), (Some("receive"), Some("active")));
    let text = place.run_on("home", "resume --list").out;
    assert!(text.contains("broken off") && text.contains("recv --listen 127.0.0.1:0 inbox"), "{text}");
    let mut again = Live::stdout(place.on("home", "resume"));
    let shown = again.line();
    assert!(shown.starts_with("resilient://"), "{shown}");
    assert_eq!(place.run_on("sender", "resume").code(), Some(0), "{ticket}");
    assert_eq!(again.ended().code(), Some(0));
    assert!(arrived(&place));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::new();
    let run = |words: &str| place.run_on("sender", words);
    for words in [
        "resume --all a",
        "resume --list a",
        "resume --all --list",
        "resume --forget",
        "resume --forget --older-than 1d a",
        "resume --older-than 1d",
        "resume --all --older-than soon",
    ] {
        assert_eq!(run(words).code(), Some(1), "{words}");
    }
    assert_eq!(
        (run("resume").code(), run("resume --all").code(), run("resume 12").code()),
        (Some(3), Some(0), Some(43))
    );
    let listed = run("resume --list");
    assert!(listed.code() == Some(0) && listed.out.is_empty());
}

#[test]
fn several_are_listed_and_all_are_gone_on_with() {
    let place = Place::new();
    let receiver = place.receiver("--count 2 --ticket-file ticket inbox");
    for name in ["one", "two"] {
        place.write(name, name.repeat(2_000_000));
        let failed = place.run_on("sender", &format!("send --retry-for 0 --contimeout 1 {name} {}", dead_ticket()));
        assert_eq!(failed.code(), Some(35), "{failed:?}");
    }
    let several = place.run_on("sender", "resume");
    assert_eq!(several.code(), Some(3));
    assert!(several.out.contains("send --retry-for 0 --contimeout 1 one TICKET"), "{several:?}");
    assert!(several.out.contains("last failure (35)") && !several.out.contains("resilient://"), "{several:?}");
    // Both fail again, and the second is tried although the first has failed.
    let all = place.run_on("sender", "resume --all");
    assert_eq!(all.code(), Some(35), "{all:?}");
    assert!(all.err.contains("2 of 2 sessions failed") && all.err.lines().count() >= 3, "{all:?}");
    assert!(list(&place, "sender").iter().all(|session| session["failures"].as_u64() == Some(2)));
    let forgotten = place.run_on("sender", "resume --forget --older-than 0");
    assert!(forgotten.code() == Some(0) && list(&place, "sender").is_empty(), "{forgotten:?}");
    receiver.kill();
}

#[test]
fn a_ticket_from_elsewhere_is_kept_with_the_session() {
    let place = Place::new();
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let mut command = place.on("sender", "send --json --bwlimit 2m source");
    command.env("RESILIENT_TICKET", &receiver.ticket);
    let mut sender = Live::stdout(command);
    while sender.event("progress")["bytes_done"].as_u64() == Some(0) {}
    sender.signal(Signal::TERM);
    assert_eq!(sender.ended().status.signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(place.run_on("sender", "resume").code(), Some(0));
    assert_eq!(receiver.ended().code(), Some(0));
    assert!(arrived(&place));
}

#[test]
fn two_runs_do_not_send_the_same_at_once() {
    let place = Place::new();
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let (sender, _) = begin(&place, &receiver.ticket);
    let again = |words: &str| place.run_on("sender", &format!("send {words} source {}", receiver.ticket));
    let locked = again("");
    assert_eq!(locked.code(), Some(42), "{locked:?}");
    assert!(locked.err.contains("another run is at this") && locked.err.contains("--lock-wait"), "{locked:?}");
    assert_eq!(again("--skip-if-locked").code(), Some(0));
    let listed = list(&place, "sender");
    assert_eq!((listed[0]["running"].as_bool(), listed[0]["state"].as_str()), (Some(true), Some("active")));
    let name = listed[0]["name"].as_str().unwrap();
    assert_eq!(place.run_on("sender", &format!("resume --forget {name}")).code(), Some(42));
    assert_eq!(place.run_on("sender", "resume --all").code(), Some(0), "it is being done");
    // One that waits goes on where the first has ended.
    let waiting = place.on("sender", &format!("send --lock-wait 1m source {}", receiver.ticket)).spawn().unwrap();
    sender.signal(Signal::INT);
    assert_eq!(sender.ended().status.signal(), Some(Signal::INT.as_raw()));
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(receiver.ended().code(), Some(0));
    assert!(arrived(&place));
}

#[test]
fn a_destination_is_had_alone_where_that_is_asked_for() {
    let place = Place::new();
    let first = place.receiver("inbox");
    let run = |words: &str| place.run(&format!("recv --listen 127.0.0.1:0 {words} inbox"));
    let skipped = run("--skip-if-locked");
    assert!(skipped.code() == Some(0) && skipped.out.is_empty(), "{skipped:?}");
    let locked = run("--lock-wait 0");
    assert_eq!(locked.code(), Some(42), "{locked:?}");
    let beside = place.receiver("inbox");
    beside.kill();
    first.kill();
}

#[test]
fn what_is_given_up_leaves_nothing_unfinished_behind() {
    let place = Place::new();
    let (receiver, _) = interrupted(&place);
    receiver.kill();
    assert!(partial(&place).exists());
    let [session] = &sessions(&place)[..] else { panic!("not one session") };
    assert_eq!((session.key.role, session.state), (Role::Receive, State::Active));
    let forgotten = place.run_on("home", &format!("resume --forget {}", &session.id()[..6]));
    assert_eq!(forgotten.code(), Some(0), "{forgotten:?}");
    assert!(sessions(&place).is_empty() && !place.path("inbox/.resilient-partial").exists());
}

#[test]
fn without_a_session_nothing_is_remembered_of_a_sender() {
    let place = Place::new();
    place.write("source", "content");
    let failed =
        place.run_on("sender", &format!("send --no-session --retry-for 0 --contimeout 1 source {}", dead_ticket()));
    assert_eq!(failed.code(), Some(35));
    assert!(list(&place, "sender").is_empty());
    let receiver = place.receiver("inbox");
    let sent = place
        .run_on("sender", &format!("send --state-dir {} source {}", place.path("state").display(), receiver.ticket));
    assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
    assert!(place.path("state/sessions.db").exists());
}

/// As when its host starts anew: nobody there is asked to do anything.
#[test]
fn a_receiver_that_stays_is_waited_for_when_it_is_told_to_end() {
    let place = Place::new();
    place.write("source", noise(7, SIZE as usize));
    // It prints a ticket whenever one is used, so that somebody has to listen.
    let start = || Live::stdout(place.command("recv --listen 127.0.0.1:0 --keep --ticket inbox"));
    let mut receiver = start();
    let (sender, _) = begin(&place, &receiver.line());
    receiver.signal(Signal::TERM);
    assert_eq!(receiver.ended().status.signal(), Some(Signal::TERM.as_raw()));
    let _receiver = start();
    let sent = sender.ended();
    assert_eq!(sent.code(), Some(0), "{sent:?}");
    assert!(sent.err.contains("the receiver was interrupted; waiting for it to be started again, for 10m"), "{sent:?}");
    assert!(arrived(&place));
}
