//! What `recv` makes of its words.

use super::super::args::{Cli, Command};
use super::*;
use crate::pipeline::{Family, RetryFor};
use crate::ticket::Ticket;
use clap::Parser as _;

fn resolve(words: &str) -> Result<Order, Failure> {
    resolve_with(words, None)
}

fn resolve_with(words: &str, environment: Option<&str>) -> Result<Order, Failure> {
    let words = format!("resilient recv --identity k {words}");
    let cli = Cli::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
    let Command::Recv(words) = cli.command else { panic!("not recv") };
    words.resolve_with(environment.map(OsString::from), &cli.global, &[], 0o027)
}

fn waits(words: &str) -> RecvOptions {
    match resolve(words).unwrap().way {
        Way::Wait(wait) => wait.0,
        Way::Pull(..) => panic!("{words}: dials"),
    }
}

#[test]
fn the_defaults_are_the_contract() {
    let options = waits("");
    assert_eq!((options.dir.to_str(), options.ticket_life.as_secs()), (Some("."), 3600));
    assert_eq!(options.listen, Listen { address: None, port: 27183, or_any: true });
    assert_eq!((options.retry_for, options.family), (RetryFor::Span(Duration::from_secs(600)), Family::Any));
    assert_eq!((options.stay, options.wait_for, options.contimeout.as_secs()), (Stay::Once, None, 30));
    assert_eq!(waits("--contimeout 5").contimeout.as_secs(), 5);
    assert_eq!(options.policy.umask, 0o027);
}

#[test]
fn a_port_may_have_an_address() {
    assert_eq!(listen("9000"), Ok(Listen { address: None, port: 9000, or_any: false }));
    assert_eq!(listen("[::1]:0").unwrap().address, Some("::1".parse().unwrap()));
    for text in ["", "x", "host:9", "::1:9", "70000", "10.0.0.1", "-1"] {
        assert!(listen(text).is_err(), "{text}");
    }
    assert!(resolve("-4 --listen 127.0.0.1:1").is_ok());
    assert_eq!(resolve("-6 --listen 127.0.0.1:1").unwrap_err().class.code(), 1);
}

#[test]
fn how_long_to_stay() {
    for (words, stay) in [
        ("--once", Stay::Once),
        ("--count 3", Stay::Count(3)),
        ("--keep", Stay::Keep { tickets: false }),
        ("--keep --ticket", Stay::Keep { tickets: true }),
        ("--keep --once", Stay::Once),
        ("--once --count 3 --count 4", Stay::Count(4)),
        ("--count 3 --keep", Stay::Keep { tickets: false }),
    ] {
        let options = waits(words);
        assert_eq!(options.stay, stay, "{words}");
        // Nobody would learn of another port where there is no ticket.
        assert_eq!(options.listen.or_any, stay != Stay::Keep { tickets: false }, "{words}");
    }
    assert_eq!(waits("--wait-for 5m").wait_for, Some(Duration::from_secs(300)));
    let show = resolve("--qr --ticket-file t").unwrap().show;
    assert_eq!((show.qr, show.file), (true, Some("t".into())));
    for words in ["--ticket", "--once --ticket", "--keep --qr", "--keep --ticket-file t"] {
        assert_eq!(resolve(words).unwrap_err().class.code(), 1, "{words}");
    }
}

#[test]
fn a_ticket_makes_it_dial() {
    let key = crate::network::identity::Identity::generate().unwrap().node_id();
    let ticket = Ticket::new(key, ["10.0.0.1:1".parse().unwrap()], None);
    let Way::Pull(pull) = resolve(&format!("{ticket} d --contimeout 7")).unwrap().way else { panic!("waits") };
    let (contact, options) = *pull;
    assert!(matches!(contact.target, Target::Ticket(typed) if typed == ticket));
    assert_eq!(options.dir.to_str(), Some("d"));
    assert_eq!(options.contimeout.as_secs(), 7);
    for words in ["--keep", "--count 2", "--qr", "--listen 1", "--wait-for 1", "--ticket-life 2h", "--ticket-file t"] {
        assert_eq!(resolve(&format!("{words} {ticket}")).unwrap_err().class.code(), 1, "{words}");
    }
    assert_eq!(resolve(&format!("d {ticket}")).unwrap_err().class.code(), 1);
}

#[test]
fn a_ticket_in_the_environment_is_taken_where_nothing_typed_says_otherwise() {
    let ticket = |port: u16| {
        let key = crate::network::identity::Identity::generate().unwrap().node_id();
        Ticket::new(key, [([10, 0, 0, 1], port).into()], None).to_string()
    };
    let (set, typed) = (ticket(1), ticket(2));
    let port = |words: &str| match resolve_with(words, Some(&set)).unwrap().way {
        Way::Pull(pull) => match &pull.0.target {
            Target::Ticket(ticket) => Some(ticket.addresses[0].port()),
            _ => None,
        },
        Way::Wait(_) => Some(0),
    };
    for words in ["", "dir", "--once dir", "-o -", "--contimeout 3"] {
        assert_eq!(port(words), Some(1), "{words}");
    }
    assert_eq!(port(&format!("{typed} dir")), Some(2));
    assert_eq!(port("host:9 dir"), None);
    for words in [
        "--keep",
        "--keep --ticket",
        "--count 1",
        "--listen 1",
        "--ticket-file t",
        "--qr",
        "--wait-for 1",
        "--ticket-life 1h",
    ] {
        assert_eq!(port(words), Some(0), "{words}");
    }
    let failure = resolve_with("dir", Some("secret words")).unwrap_err();
    assert_eq!(failure.message, "RESILIENT_TICKET: not a ticket");
}

#[test]
fn what_cannot_be_received_from_is_refused() {
    let ticket = "resilient://damaged";
    for (words, status) in [
        (ticket, 1),
        ("host:dir", 4),
        ("d -", 1),
        ("- a b", 1),
        ("--keep -", 1),
        ("- -", 1),
        ("a b", 1),
        ("h::m", 1),
        ("--accept-new d", 1),
        ("-o f d", 1),
    ] {
        assert_eq!(resolve(words).unwrap_err().class.code(), status, "{words}");
    }
}
