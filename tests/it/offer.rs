//! `send --offer` and the pull that answers it, as typed: one receiver, its own files or its stdout, and an end when nobody comes.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Live, Place, noise};
use resilient::ticket::Ticket;
use std::io::Write as _;
use std::process::Stdio;

/// Starts `send --offer WORDS` on a free port; its ticket is the first line of stdout.
fn offer(place: &Place, words: &str) -> (Live, String) {
    let mut command = place.command(&format!("send --offer --listen 127.0.0.1:0 {words}"));
    command.stdin(Stdio::piped());
    let mut live = Live::stdout(command);
    let ticket = live.line();
    assert!(ticket.starts_with("resilient://"), "{ticket}");
    (live, ticket)
}

#[test]
fn what_is_offered_can_be_pulled_once() {
    let place = Place::new();
    place.write("source/big", noise(1, 1_000_000));
    place.write("source/in/small", "content");
    let (offered, ticket) = offer(&place, "source");
    let pulled = place.run_on("there", &format!("recv {ticket} inbox"));
    assert_eq!((pulled.code(), pulled.out.as_str(), pulled.err.as_str()), (Some(0), "", ""));
    let offered = offered.ended();
    assert_eq!((offered.code(), offered.out.as_str(), offered.err.as_str()), (Some(0), "", ""));
    assert_eq!(place.read("inbox/source/in/small"), "content");
    assert!(std::fs::read(place.path("inbox/source/big")).unwrap() == noise(1, 1_000_000));
    let again = place.run_on("there", &format!("recv --contimeout 1 {ticket} inbox"));
    assert_eq!(again.code(), Some(35), "{again:?}");
}

#[test]
fn a_second_receiver_is_refused_while_the_first_is_served() {
    let place = Place::new();
    let (mut offered, ticket) = offer(&place, "- --name x");
    let mut first = Live::stdout(place.on("there", &format!("recv --json {ticket} inbox")));
    first.event("connected");
    let second = place.run_on("elsewhere", &format!("recv {ticket} other"));
    assert_eq!(second.code(), Some(41), "{second:?}");
    let said = "resilient: recv: sender: the ticket has been used by another node";
    let advice = "hint: a ticket serves one node, for a limited time: ask for a new one";
    assert_eq!(second.err, format!("{said}\n{advice}\n"));
    assert!(!place.path("other/x").exists());
    // Without a ticket there is nothing that could be advised: an offer lets nobody in by key.
    let at = ticket.parse::<Ticket>().unwrap().addresses[0];
    let third = place.run_on("elsewhere", &format!("recv --accept-new {at} other"));
    let said = "resilient: recv: sender: asks for the ticket that was printed there\n";
    assert_eq!((third.code(), third.err.as_str()), (Some(41), said));
    offered.child.stdin.take().unwrap().write_all(b"typed").unwrap();
    assert_eq!((first.ended().code(), offered.ended().code()), (Some(0), Some(0)));
    assert_eq!(place.read("inbox/x"), "typed");
}

#[test]
fn an_offer_goes_to_stdout_or_under_another_name() {
    let place = Place::new();
    place.write("source", "content");
    let (offered, ticket) = offer(&place, "source");
    let pulled = place.run_on("there", &format!("recv {ticket} -o -"));
    assert_eq!((pulled.code(), pulled.out.as_str(), pulled.err.as_str()), (Some(0), "content", ""));
    assert_eq!(offered.ended().code(), Some(0));
    let (offered, ticket) = offer(&place, "source");
    assert_eq!(place.run_on("there", &format!("recv {ticket} -o name")).code(), Some(0));
    assert_eq!((offered.ended().code(), place.read("name").as_str()), (Some(0), "content"));
}

#[test]
fn the_ticket_of_an_offer_need_not_be_typed() {
    let place = Place::new();
    place.write("source", "content");
    for (words, stdin) in [("recv - piped", true), ("recv set", false), ("recv - -o out", true)] {
        let (offered, ticket) = offer(&place, "source");
        let mut command = place.on("there", words);
        if !stdin {
            command.env("RESILIENT_TICKET", &ticket);
        }
        let mut pulled = Live::stdout({
            command.stdin(Stdio::piped());
            command
        });
        if stdin {
            pulled.child.stdin.take().unwrap().write_all(format!("{ticket}\n").as_bytes()).unwrap();
        }
        let pulled = pulled.ended();
        assert_eq!((pulled.code(), pulled.out.as_str(), pulled.err.as_str()), (Some(0), "", ""), "{words}");
        assert_eq!(offered.ended().code(), Some(0), "{words}");
    }
    for name in ["piped/source", "set/source", "out"] {
        assert_eq!(place.read(name), "content", "{name}");
    }
    let nothing = place.run("recv - inbox");
    assert_eq!((nothing.code(), nothing.err.as_str()), (Some(1), "resilient: recv: stdin: empty\n"));
}

#[test]
fn what_is_gone_since_it_was_counted_is_said_on_both_sides() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        place.write(&format!("source/{name}"), name);
    }
    let (offered, ticket) = offer(&place, "source");
    std::fs::remove_file(place.path("source/b")).unwrap();
    let pulled = place.run_on("there", &format!("recv {ticket} inbox"));
    assert_eq!(pulled.code(), Some(23), "{pulled:?}");
    assert!(pulled.err.contains("the sender could not read 1 file\n"), "{pulled:?}");
    assert_eq!((place.read("inbox/source/a"), place.read("inbox/source/c")), ("a".into(), "c".into()));
    let offered = offered.ended();
    let said = "resilient: send: 1 of the files that were counted is gone\n\
        resilient: send: 1 file vanished or changed while being read; the others are complete\n";
    assert_eq!((offered.code(), offered.err.as_str()), (Some(24), said));
}

#[test]
fn an_offer_that_nobody_takes_is_35() {
    let place = Place::new();
    place.write("source", "content");
    let ended = place.run("send --offer --listen 127.0.0.1:0 --wait-for 1 source");
    assert_eq!(ended.code(), Some(35));
    assert_eq!(ended.err, "resilient: send: nobody came within 1.0s\n");
    let ended = place.run("recv --listen 127.0.0.1:0 --wait-for 1 inbox");
    assert_eq!((ended.code(), ended.err.as_str()), (Some(35), "resilient: recv: nobody came within 1.0s\n"));
}

#[test]
fn two_that_wait_or_two_that_dial_do_not_meet() {
    let place = Place::new();
    place.write("source", "content");
    let (offered, ticket) = offer(&place, "source");
    let told = |wrong: &Ended, command: &str, ticket: &str, does: &str, advice: &str| {
        let at = ticket.parse::<Ticket>().unwrap().addresses[0];
        let said = format!("resilient: {command}: {at}: is there to {does}\nhint: {advice}\n");
        assert_eq!((wrong.code(), wrong.err.as_str(), wrong.out.as_str()), (Some(1), said.as_str(), ""), "{wrong:?}");
    };
    // For as long as it may take: the answer is what ends it.
    let wrong = place.run_on("there", &format!("send --contimeout 0 --retry-for forever source {ticket}"));
    let advice = "`resilient recv` with the same ticket receives what it offers";
    told(&wrong, "send", &ticket, "send, not to receive", advice);
    assert_eq!(place.run_on("there", &format!("recv {ticket} inbox")).code(), Some(0));
    assert_eq!(offered.ended().code(), Some(0));
    let receiver = place.receiver("inbox");
    let wrong = place.run_on("there", &format!("recv --contimeout 0 --retry-for forever {} pulled", receiver.ticket));
    let advice = "`resilient send PATH...` with the same ticket or address sends to it";
    told(&wrong, "recv", &receiver.ticket, "receive, not to send", advice);
    assert_eq!(place.run(&format!("send source {}", receiver.ticket)).code(), Some(0));
    assert_eq!(receiver.ended().code(), Some(0));
}
