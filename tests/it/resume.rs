//! Transfers that break off and go on when the same commands are run again: nothing verified is sent twice, nothing damaged is believed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod command;
mod silence;

use crate::process::{Ended, Live, Place, noise};
use resilient::session::{Record, State, Store};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

const SIZE: u64 = 12_000_000;
/// What is remembered of four chunks that are there is one value.
const GROUP: u64 = 4 * 128 * 1024;

fn sessions(place: &Place) -> Vec<Record> {
    Store::open(&place.path("home")).unwrap().store.list().unwrap()
}

/// Starts to send slowly, and waits until some of it is remembered over there. How much that is.
fn begin(place: &Place, ticket: &str) -> (Live, u64) {
    begin_at("2m", 2 * GROUP, place, ticket)
}

/// The same at this rate, until more than that many bytes are.
fn begin_at(rate: &str, enough: u64, place: &Place, ticket: &str) -> (Live, u64) {
    let mut sender = Live::stdout(place.on("sender", &format!("send --json --bwlimit {rate} source {ticket}")));
    loop {
        sender.event("progress");
        match &sessions(place)[..] {
            [session] if session.bytes_done > enough => {
                assert_eq!(session.state, State::Active);
                return (sender, session.bytes_done);
            }
            _ => {}
        }
    }
}

/// A transfer of which some was remembered before both ends were killed: the ticket, and how much.
fn broken(place: &Place) -> (String, u64) {
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let (sender, done) = begin(place, &receiver.ticket);
    let ticket = receiver.ticket.clone();
    receiver.kill();
    drop(sender);
    assert!(!place.path("inbox/source").exists());
    (ticket, done)
}

/// Both again. How many bytes were written that time.
fn again(place: &Place, ticket: &str) -> u64 {
    let receiver = place.receiver("inbox");
    let sent = place.run_on("sender", &format!("send --stats source {ticket}"));
    assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == noise(7, SIZE as usize));
    assert!(!place.path("inbox/.resilient-partial").exists());
    written(&sent)
}

fn written(sent: &Ended) -> u64 {
    let line = sent.err.lines().find(|line| line.contains("file bytes written")).unwrap();
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn partial(place: &Place) -> PathBuf {
    let mut partials = std::fs::read_dir(place.path("inbox/.resilient-partial")).unwrap();
    partials.next().unwrap().unwrap().path()
}

#[test]
fn what_was_killed_goes_on_with_the_ticket_of_before() {
    let place = Place::new();
    let (ticket, done) = broken(&place);
    let written = again(&place, &ticket);
    assert!(written <= SIZE - done, "{written} of {SIZE} were written, and {done} were there");
    let [session] = &sessions(&place)[..] else { panic!("not one session") };
    assert_eq!((session.state, session.bytes_done, session.runs), (State::Completed, SIZE, 2));
}

#[test]
fn what_was_damaged_is_sent_again_and_no_more() {
    let place = Place::new();
    let (ticket, done) = broken(&place);
    let file = OpenOptions::new().write(true).open(partial(&place)).unwrap();
    // The first bytes came first.
    file.write_all_at(b"something else", 1000).unwrap();
    drop(file);
    let written = again(&place, &ticket);
    assert!(written <= SIZE - done + GROUP, "{written} of {SIZE} were written, and {done} were there");
}

#[test]
fn without_what_was_remembered_everything_begins_anew() {
    for lose in ["store", "partial"] {
        let place = Place::new();
        let (ticket, _) = broken(&place);
        if lose == "store" {
            for file in ["sessions.db", "sessions.db-wal", "sessions.db-shm"] {
                let _ = std::fs::remove_file(place.path("home").join(file));
            }
            let receiver = place.receiver("inbox");
            let sent = place.run_on("sender", &format!("send --stats source {}", receiver.ticket));
            assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
            assert_eq!(written(&sent), SIZE);
        } else {
            std::fs::remove_file(partial(&place)).unwrap();
            assert_eq!(again(&place, &ticket), SIZE);
        }
        assert!(std::fs::read(place.path("inbox/source")).unwrap() == noise(7, SIZE as usize));
    }
}

/// A partial file that is lost begins anew under the same name, and nothing that was remembered of the old one is believed of it.
#[test]
fn what_was_remembered_of_a_lost_file_is_not_believed_of_its_successor() {
    let place = Place::new();
    let content = noise(9, 96 << 20);
    place.write("source", &content);
    let receiver = place.receiver("inbox");
    let (sender, done) = begin_at("12m", 34 << 20, &place, &receiver.ticket);
    assert!(done < 90 << 20, "nothing is left to be sent");
    let ticket = receiver.ticket.clone();
    receiver.kill();
    drop(sender);
    std::fs::remove_file(partial(&place)).unwrap();
    // Less than before, and an orderly end, after which nothing is read again.
    let receiver = place.receiver("inbox");
    let (sender, _) = begin_at("6m", 2 * GROUP, &place, &ticket);
    kill_process(Pid::from_child(&receiver.child), Signal::TERM).unwrap();
    assert_eq!(receiver.ended().status.signal(), Some(Signal::TERM.as_raw()));
    drop(sender);
    let receiver = place.receiver("inbox");
    let sent = place.run_on("sender", &format!("send source {ticket}"));
    assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == content);
}

#[test]
fn a_file_that_has_changed_is_told_and_begun_anew_the_next_time() {
    let place = Place::new();
    let (ticket, _) = broken(&place);
    place.write("source", noise(8, SIZE as usize));
    let receiver = place.receiver("inbox");
    let sent = place.run_on("sender", &format!("send source {ticket}"));
    let received = receiver.ended();
    assert_eq!((sent.code(), received.code()), (Some(43), Some(43)), "{sent:?} {received:?}");
    assert!(sent.err.starts_with("resilient: send: source: receiver: has changed since"), "{sent:?}");
    assert!(!place.path("inbox/source").exists() && !place.path("inbox/.resilient-partial").exists());
    let receiver = place.receiver("inbox");
    let sent = place.run_on("sender", &format!("send --stats source {ticket}"));
    assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == noise(8, SIZE as usize));
    assert_eq!(written(&sent), SIZE);
}

#[test]
fn a_sender_finds_the_receiver_that_was_started_again() {
    let place = Place::new();
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let (sender, _) = begin(&place, &receiver.ticket);
    receiver.kill();
    let receiver = place.receiver("inbox");
    assert_eq!((sender.ended().code(), receiver.ended().code()), (Some(0), Some(0)));
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == noise(7, SIZE as usize));
}

#[test]
fn a_ticket_that_nobody_has_used_is_shown_again_to_one_receiver() {
    let place = Place::new();
    let first = place.receiver("inbox");
    let (ticket, beside) = (first.ticket.clone(), place.receiver("inbox"));
    assert_ne!(beside.ticket, ticket, "two receivers have a ticket each");
    first.kill();
    beside.kill();
    let again = place.receiver("inbox");
    assert_eq!(again.ticket, ticket);
    again.kill();
    for other in ["--no-session inbox", "--state-dir elsewhere inbox", "another"] {
        let receiver = place.receiver(other);
        assert_ne!(receiver.ticket, ticket, "{other}");
        receiver.kill();
    }
    let used = place.receiver("inbox");
    place.write("source", "content");
    assert_eq!(place.run_on("sender", &format!("send source {}", used.ticket)).code(), Some(0));
    assert_eq!(used.ended().code(), Some(0));
    let next = place.receiver("inbox");
    assert_ne!(next.ticket, ticket);
    let late = place.run_on("sender", &format!("send source {ticket}"));
    assert_eq!(late.code(), Some(41), "its transfer is done: {late:?}");
    next.kill();
}

#[test]
fn a_store_that_cannot_be_read_is_put_aside_and_one_that_cannot_be_made_is_done_without() {
    let place = Place::new();
    place.write("source", "content");
    place.write("home/sessions.db", "this is no database, but it is long enough to be looked at as one".repeat(20));
    let unreadable = place.receiver("inbox");
    assert_eq!(place.run_on("sender", &format!("send source {}", unreadable.ticket)).code(), Some(0));
    let ended = unreadable.ended();
    assert_eq!(ended.code(), Some(0));
    assert!(ended.err.contains("put aside as") && ended.err.contains("sessions.db.unreadable-1"), "{ended:?}");
    place.write("file", "no folder");
    let none = place.receiver("--state-dir file/below inbox2");
    assert_eq!(place.run_on("sender", &format!("send source {}", none.ticket)).code(), Some(0));
    let ended = none.ended();
    assert!(ended.code() == Some(0) && ended.err.contains("file/below: "), "{ended:?}");
}

/// Each time after a different amount has come, and each of the three ways in turn. For hours of it: `KILLS=5000 cargo test --test it however_often`.
#[test]
fn whoever_is_killed_however_often_it_arrives_in_the_end() {
    let place = Place::new();
    let kills = std::env::var("KILLS").map_or(9, |kills| kills.parse().expect("KILLS=n"));
    let content = noise(10, (kills << 20).max(24 << 20));
    place.write("source", &content);
    let mut receiver = place.receiver("inbox");
    let ticket = receiver.ticket.clone();
    let send = || {
        let mut command = place.on("sender", &format!("send --bwlimit 4m source {ticket}"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let kill = |mut sender: Child| {
        sender.kill().unwrap();
        sender.wait().unwrap();
    };
    let done = || sessions(&place).first().map_or(0, |session| session.bytes_done);
    let mut sender = send();
    for (round, more) in noise(11, kills).into_iter().enumerate() {
        let enough = done() + (u64::from(more) << 12);
        while done() < enough {
            assert!(sender.try_wait().unwrap().is_none(), "it ended before it was killed");
        }
        assert!(!place.path("inbox/source").exists());
        if round % 3 != 0 {
            receiver.kill();
            receiver = place.receiver("inbox");
        }
        if round % 3 != 1 {
            kill(sender);
            sender = send();
        }
    }
    assert!(sender.wait().unwrap().success() && receiver.ended().status.success());
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == content);
    assert!(!place.path("inbox/.resilient-partial").exists());
    assert_eq!(done(), content.len() as u64);
}
