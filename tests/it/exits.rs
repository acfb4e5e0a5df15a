//! Exit statuses, each by a real run of the program but 30, which nothing in this version ends with; the table of the manual is held to
//! `src/class.rs` beside the code that makes the page.
//!
//! Those that need a peer that lies (2, 12, 40) are in `lies`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod lies;

use crate::process::{Ended, Live, Place, Receiver, dead_ticket};
use resilient::class::Class;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A run must have ended with `class`, and the end event must say so.
fn ended_with(place: &Place, class: Class, words: &str) -> Ended {
    let ended = place.run(words);
    assert_eq!(ended.code(), Some(class.code().into()), "{words}: {ended:?}");
    assert!(class == Class::Done || ended.err.starts_with("resilient: "), "{words}: {ended:?}");
    ended
}

/// A transfer that stands in its middle: its sender waits for data on stdin. Gives the sender once it was let in.
fn halfway(place: &Place, receiver: &Receiver, options: &str) -> Child {
    let words = format!("send --json=halfway.json {options} - --name never {}", receiver.ticket);
    let mut sender = place.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    while !std::fs::read_to_string(place.path("halfway.json"))
        .is_ok_and(|text| text.contains("\"event\":\"connected\""))
    {
        assert!(sender.try_wait().unwrap().is_none(), "the sender has ended");
        std::thread::yield_now();
    }
    sender
}

/// Waits for a sender whose stdin stays open.
fn wait(mut sender: Child) -> Option<i32> {
    let idle = sender.stdin.take();
    let status = sender.wait().unwrap();
    drop(idle);
    status.code()
}

#[test]
fn what_is_found_out_alone() {
    let place = Place::new();
    place.write("source", "content");
    let dead = dead_ticket();
    ended_with(&place, Class::Done, "key show");
    ended_with(&place, Class::Usage, "send source");
    ended_with(&place, Class::Select, &format!("send missing {dead}"));
    ended_with(&place, Class::Unsupported, &format!("send --transport=stdio source {dead}"));
    ended_with(&place, Class::FileIo, &format!("send --identity source/id.key source {dead}"));
    ended_with(&place, Class::NoContact, &format!("send --contimeout 1 source {dead}"));
    ended_with(&place, Class::NoContact, "recv --listen 127.0.0.1:0 --ticket-life 1 --retry-for 0");
}

/// A bug is had without a hook in the program: where no thread can be made, the first work for one panics.
#[test]
fn a_panic_is_70_and_said_in_one_line() {
    let place = Place::new();
    place.write("source", "content");
    let without_threads = |words: &str| {
        let mut command = place.command(words);
        command.env("RUST_MIN_STACK", (1u64 << 62).to_string());
        Live::stdout(command)
    };
    let mut receiver = without_threads("recv --listen 127.0.0.1:0 --json=recv.json inbox");
    let ticket = receiver.line();
    place.run_on("other", &format!("send --retry-for 0 source {ticket}"));
    let sender = without_threads(&format!("send --json=send.json source {}", dead_ticket()));
    for (name, ended) in [("recv", receiver.ended()), ("send", sender.ended())] {
        assert_eq!((ended.code(), ended.out.as_str()), (Some(Class::Internal.code().into()), ""), "{ended:?}");
        let said = format!("resilient: {name}: internal error, please report it: ");
        assert!(ended.err.starts_with(&said) && ended.err.lines().count() == 1, "{ended:?}");
        let events = place.read(&format!("{name}.json"));
        let end: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!((&end["event"], &end["exit"]), (&"end".into(), &70.into()), "{end}");
    }
    assert!(!place.path("inbox/source").exists());
}

#[test]
fn what_a_transfer_comes_to() {
    let place = Place::new();
    place.write("source/a", "content");
    let receiver = place.receiver("inbox");
    let ticket: resilient::ticket::Ticket = receiver.ticket.parse().unwrap();
    ended_with(&place, Class::Authentication, &format!("send source {}", ticket.addresses[0]));
    ended_with(&place, Class::Done, &format!("send source {}", receiver.ticket));
    assert_eq!(receiver.ended().code(), Some(0));

    let receiver = place.receiver("--max-size 3 inbox");
    ended_with(&place, Class::Refused, &format!("send source {}", receiver.ticket));
    receiver.kill();

    let receiver = place.receiver("inbox");
    ended_with(&place, Class::Partial, &format!("send source missing {}", receiver.ticket));
    assert_eq!(receiver.ended().code(), Some(23));

    // Refused: one of one, one of two, and one beside a source that is missing. What is there already is complete.
    place.write("kept/a", "other");
    place.write("source/b", "b");
    for (code, sources) in
        [(3, "source/a"), (23, "source/"), (23, "source/a missing"), (23, "source/"), (3, "source/a")]
    {
        let receiver = place.receiver("--json=recv.json kept");
        let sent = place.run(&format!("send --json {sources} {}", receiver.ticket));
        assert_eq!((sent.code(), receiver.ended().code()), (Some(code), Some(code)), "{sources}: {sent:?}");
        for end in [sent.out, place.read("recv.json")].map(|lines| lines.lines().last().unwrap().to_owned()) {
            assert!(end.contains(&format!("\"exit\":{code},")), "{sources}: {end}");
        }
    }
    assert_eq!((place.read("kept/a").as_str(), place.read("kept/b").as_str()), ("other", "b"));

    // A file that grows for as long as it is read.
    place.write("growing", vec![1; 8_000_000]);
    let receiver = place.receiver("inbox");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new().append(true).open(place.path("growing")).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all(b"1").unwrap();
            }
        });
        let ended = place.run(&format!("send growing {}", receiver.ticket));
        done.store(true, Ordering::Relaxed);
        assert_eq!(ended.code(), Some(24), "{ended:?}");
    });
    assert_eq!(receiver.ended().code(), Some(24));
}

#[test]
fn a_ticket_serves_one_sender() {
    let place = Place::new();
    place.write("source/a", "content");
    let receiver = place.receiver("inbox");
    let sender = halfway(&place, &receiver, "");
    let other = format!("send --identity other.key source {}", receiver.ticket);
    let refused = place.run(&other);
    assert!([Some(41), Some(42)].contains(&refused.code()), "{refused:?}");
    kill_process(Pid::from_child(&sender), Signal::TERM).unwrap();
    wait(sender);
    receiver.kill();
}

#[test]
fn a_receiver_that_is_gone_is_a_network_that_failed() {
    let place = Place::new();
    let receiver = place.receiver("inbox");
    let sender = halfway(&place, &receiver, "--retry-for 1");
    receiver.kill();
    assert_eq!(wait(sender), Some(Class::Network.code().into()));
}

#[test]
fn a_stop_that_was_asked_for_is_20() {
    let place = Place::new();
    let receiver = place.receiver("inbox");
    let sender = halfway(&place, &receiver, "--stop-after 1s");
    assert_eq!(wait(sender), Some(Class::Stopped.code().into()));
    receiver.kill();
}

#[test]
fn a_signal_ends_a_transfer_by_that_signal() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::new();
        let receiver = place.receiver("inbox");
        let mut sender = halfway(&place, &receiver, "");
        kill_process(Pid::from_child(&sender), signal).unwrap();
        assert_eq!(sender.wait().unwrap().signal(), Some(signal.as_raw()));
        let end = place.read("halfway.json").lines().last().unwrap().to_owned();
        assert!(end.contains(&format!("\"exit\":{}", 128 + signal.as_raw())), "{end}");
        receiver.kill();
    }
}
