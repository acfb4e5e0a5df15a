//! Options as typed, each where ignoring it would show: families of addresses, QR codes, tickets in files, syncs, progress, limits of a
//! receiver. Those that have a subject of their own (filters, trust, rates, what is overwritten) are tested with it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Live, Place, Receiver, noise};
use qrcode::{Color, EcLevel, QrCode};
use resilient::network::seam::{Sockets as _, UdpSockets};
use resilient::ticket::Ticket;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;

/// Sends `source` to a receiver with these options, both to their end; how the receiver ended.
fn received(place: &Place, words: &str) -> Ended {
    let receiver = place.receiver(words);
    assert_eq!(place.run(&format!("send source {}", receiver.ticket)).code(), Some(0));
    receiver.ended()
}

/// The number in the row of `--stats` or of a file of metrics that begins with `name`.
fn number(text: &str, name: &str) -> u64 {
    let row = text.lines().find_map(|line| line.strip_prefix(name));
    row.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

#[test]
fn what_was_received_is_synced_unless_that_was_left_to_the_system() {
    let place = Place::new();
    place.write("source/a", "content");
    place.write("source/b", noise(1, 300_000));
    place.write("off.toml", "fsync = false");
    place.write("on.toml", "fsync = true");
    let cases = [
        ("", true),
        ("--no-fsync", false),
        ("--no-fsync --fsync", true),
        ("--fsync --no-fsync", false),
        ("--config off.toml", false),
        ("--config off.toml --fsync", true),
        ("--config on.toml --no-fsync", false),
    ];
    for (number_of_case, (words, synced)) in cases.into_iter().enumerate() {
        let words = format!("{words} --stats --metrics-file metrics in{number_of_case}");
        let ended = received(&place, &words);
        let told = number(&ended.err, "files and directories synced");
        // Both files, their directory and the one above it, at the least.
        assert!(if synced { told >= 4 } else { told == 0 }, "{words}: {told}");
        assert_eq!(number(&place.read("metrics"), "resilient_syncs_total{command=\"recv\"}"), told, "{words}");
        let shown = place.run(&format!("recv {words} --show-config")).out;
        let row: Vec<&str> = shown.lines().find(|row| row.starts_with("fsync ")).unwrap().split_whitespace().collect();
        assert_eq!(row[1], synced.to_string(), "{words}: {row:?}");
    }
    let mut off = place.command("recv --show-config");
    let shown = Ended::of(off.env("RESILIENT_FSYNC", "off").output().unwrap()).out;
    assert!(shown.lines().any(|row| row.split_whitespace().eq(["fsync", "false", "RESILIENT_FSYNC"])), "{shown}");
}

#[test]
fn tickets_name_addresses_of_the_family_alone() {
    let place = Place::new();
    place.write("source", "content");
    let here = UdpSockets.addresses().unwrap();
    for (option, suits) in
        [("-4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("-6 -4", IpAddr::is_ipv4), ("-6", IpAddr::is_ipv6)]
    {
        for words in ["recv", "send --offer source"] {
            let words = format!("{words} --listen 0 {option}");
            if !here.iter().any(suits) {
                let ended = place.run(&words);
                assert!(ended.code() == Some(10) && ended.out.is_empty(), "{words}: {ended:?}");
                continue;
            }
            let ticket: Ticket = Live::stdout(place.command(&words)).line().parse().unwrap();
            let expected: Vec<IpAddr> = here.iter().copied().filter(suits).take(ticket.addresses.len()).collect();
            let named: Vec<IpAddr> = ticket.addresses.iter().map(SocketAddr::ip).collect();
            assert!(!named.is_empty() && named == expected, "{words}: {named:?}");
        }
    }
    for words in
        ["recv -6 --listen 127.0.0.1:0", "recv -4 --listen [::1]:0", "send --offer -6 --listen 127.0.0.1:0 source"]
    {
        let ended = place.run(words);
        assert!(ended.code() == Some(1) && ended.err.contains("-4 or -6"), "{words}: {ended:?}");
    }
}

#[test]
fn only_addresses_of_the_family_are_dialled() {
    let place = Place::new();
    place.write("source", "content");
    let dead = |address: &str| {
        let ticket: Ticket = crate::process::dead_ticket().parse().unwrap();
        Ticket::new(ticket.key, [address.parse().unwrap()], ticket.secret)
    };
    for (option, address) in [("-6", "127.0.0.1:9"), ("-4", "[::1]:9"), ("-4 -6", "127.0.0.1:9")] {
        for words in [format!("send {option} source"), format!("recv {option}")] {
            let ended = place.run(&format!("{words} {}", dead(address)));
            assert_eq!(ended.code(), Some(1), "{words}: {ended:?}");
            assert!(ended.err.contains("there is no address to connect to"), "{words}: {ended:?}");
        }
    }
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    // Of two addresses at which somebody answers, it is not the first one that is taken.
    for (option, first, second) in [("-4", "[::1]", "127.0.0.1"), ("-6", "127.0.0.1", "[::1]")] {
        let mut receiver = Live::stdout(place.command("recv --listen [::]:0 inbox"));
        let ticket: Ticket = receiver.line().parse().unwrap();
        let at = |host: &str| format!("{host}:{}", ticket.addresses[0].port()).parse().unwrap();
        let both = Ticket::new(ticket.key, [at(first), at(second)], ticket.secret.clone());
        let mut sender = Live::stdout(place.command(&format!("send {option} --json source {both}")));
        let peer = sender.event("connected")["peer"].as_str().unwrap().parse::<SocketAddr>().unwrap();
        assert_eq!(SocketAddr::new(peer.ip().to_canonical(), peer.port()), at(second), "{option}");
        assert_eq!((sender.ended().code(), receiver.ended().code()), (Some(0), Some(0)));
    }
}

/// Dark modules of what is printed light on dark in half blocks, without the quiet zone around it.
fn modules(shown: &str) -> Vec<Vec<bool>> {
    let rows = shown.lines().flat_map(|line| {
        let light: Vec<[bool; 2]> = line
            .chars()
            .map(|block| match block {
                '\u{2588}' => [true, true],
                '\u{2580}' => [true, false],
                '\u{2584}' => [false, true],
                ' ' => [false, false],
                other => panic!("{other:?} is no block"),
            })
            .collect();
        [0, 1].map(|half| light.iter().map(|block| !block[half]).collect::<Vec<bool>>())
    });
    let rows: Vec<Vec<bool>> = rows.collect();
    let width = rows[0].len();
    let quiet = |row: &[bool]| row.iter().all(|dark| !dark);
    assert!(rows[..4].iter().chain(&rows[width - 4..width]).all(|row| quiet(row)), "{shown}");
    let inner =
        rows[4..width - 4].iter().inspect(|row| assert!(quiet(&row[..4]) && quiet(&row[width - 4..]), "{shown}"));
    inner.map(|row| row[4..width - 4].to_vec()).collect()
}

#[test]
fn a_ticket_is_shown_as_a_code_where_that_was_asked_for() {
    let place = Place::new();
    place.write("source", "content");
    for (words, there) in [("recv inbox", "send source"), ("send --offer source", "recv")] {
        for qr in ["", "--qr"] {
            let mut waiting = Live::stdout(place.command(&format!("{words} --listen 127.0.0.1:0 {qr}")));
            let ticket = waiting.line();
            let dir = if there == "recv" { format!("pulled{qr}") } else { String::new() };
            assert_eq!(place.run(&format!("{there} {ticket} {dir}")).code(), Some(0));
            let ended = waiting.ended();
            assert_eq!((ended.code(), ended.err.is_empty()), (Some(0), qr.is_empty()), "{words}");
            if !qr.is_empty() {
                let code = QrCode::with_error_correction_level(&ticket, EcLevel::L).unwrap();
                let dark: Vec<bool> = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
                assert_eq!(modules(&ended.err).concat(), dark, "{words}: {}", ended.err);
            }
        }
    }
}

#[test]
fn a_ticket_may_come_by_a_file_or_the_environment() {
    let place = Place::new();
    place.write("source", "content");
    let receiver = place.receiver("--ticket-file ticket one");
    assert_eq!(place.read("ticket"), format!("{}\n", receiver.ticket));
    let mode = std::fs::metadata(place.path("ticket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(place.run("send source --ticket-file ticket").code(), Some(0));
    assert_eq!((receiver.ended().code(), place.read("one/source").as_str()), (Some(0), "content"));
    let receiver = place.receiver("two");
    let sent = Ended::of(place.command("send source").env("RESILIENT_TICKET", &receiver.ticket).output().unwrap());
    assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
}

#[test]
fn progress_is_shown_off_a_terminal_where_it_was_asked_for() {
    let place = Place::new();
    place.write("source", noise(1, 1_000_000));
    for (words, shown) in [("", false), ("-P", true), ("--progress", true), ("-P --progress=never", false)] {
        let receiver: Receiver = place.receiver("--force inbox");
        place.write("source", noise(words.len() as u64, 1_000_000));
        let mut command = place.command(&format!("send --bwlimit 400k,1k {words} source {}", receiver.ticket));
        let sent = Ended::of(command.env("RESILIENT_PROGRESS_INTERVAL", "0").output().unwrap());
        assert_eq!((sent.code(), sent.err.contains("% of 977 KiB")), (Some(0), shown), "{words}: {sent:?}");
        receiver.ended();
    }
}

#[test]
fn a_receiver_may_set_its_own_limits() {
    let place = Place::new();
    place.write("source", noise(1, 1_000_000));
    let ended = place.run("recv --listen 127.0.0.1:0 --stop-after 10ms inbox");
    assert_eq!(ended.code(), Some(20), "{ended:?}");
    let receiver = place.receiver("--max-transfer 100000 inbox");
    // Slowly: what has come at once is complete before anything can be stopped.
    let sent = place.run(&format!("send --bwlimit 500k,1k --no-compress --retry-for 1 source {}", receiver.ticket));
    assert_eq!((receiver.ended().code(), sent.code()), (Some(20), Some(10)), "{sent:?}");

    let offer = || {
        let mut offered =
            Live::stdout(place.command("send --offer --bwlimit 500k,1k --retry-for 0 --listen 127.0.0.1:0 source"));
        let ticket = offered.line();
        (offered, ticket)
    };
    let (offered, ticket) = offer();
    let pulled = place.run(&format!("recv --max-transfer 100000 {ticket} inbox"));
    assert_eq!((pulled.code(), offered.ended().code()), (Some(20), Some(10)), "{pulled:?}");
    // It dials from the port that it was told to.
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let taken = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let (offered, ticket) = offer();
    let failed = place.run(&format!("recv --port {port} {ticket} inbox"));
    assert!(failed.code() != Some(0) && failed.err.contains(&format!(":{port}")), "{failed:?}");
    drop(taken);
    assert_eq!(place.run(&format!("recv --port {port} {ticket} inbox")).code(), Some(0));
    assert_eq!(
        (offered.ended().code(), std::fs::read(place.path("inbox/source")).unwrap().len()),
        (Some(0), 1_000_000)
    );
}
