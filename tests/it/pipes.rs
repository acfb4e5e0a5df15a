//! Pipes into `send` and out of `recv`: order and content are kept, and a pipe that is cut is a failure on both sides, never a success.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Live, Place, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// Several chunks of 128 KiB.
const CHUNK: usize = 128 * 1024;

/// Starts `recv WORDS`, which has its ticket on stderr if stdout is for what arrives.
fn receiver(place: &Place, words: &str) -> (Live, String) {
    let command = place.on("there", &format!("recv --listen 127.0.0.1:0 {words}"));
    let mut live = if words.ends_with("-o -") { Live::stderr(command) } else { Live::stdout(command) };
    let ticket = live.line();
    assert!(ticket.starts_with("resilient://"), "{ticket}");
    (live, ticket)
}

/// Starts `send WORDS - --name x TICKET` with stdin for whoever writes to it.
fn sender(place: &Place, words: &str, ticket: &str) -> Child {
    let mut command = place.command(&format!("send {words} - --name x {ticket}"));
    command.stdin(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn an_archive_goes_from_pipe_to_pipe() {
    let place = Place::new();
    place.write("tree/big", noise(1, 10_000_001));
    place.write("tree/deep/er/empty", "");
    for number in 0..50 {
        place.write(&format!("tree/small/{number}"), number.to_string());
    }
    let (mut receiver, ticket) = receiver(&place, "-o -");
    std::fs::create_dir(place.path("unpacked")).unwrap();
    let unpacked = Command::new("tar")
        .args(["x", "-C"])
        .arg(place.path("unpacked"))
        .stdin(receiver.child.stdout.take().unwrap())
        .spawn()
        .unwrap();
    let mut packed =
        Command::new("tar").arg("c").arg("-C").arg(place.path("")).arg("tree").stdout(Stdio::piped()).spawn().unwrap();
    let mut command = place.command(&format!("send - --name d.tar {ticket}"));
    let sent = ended(command.stdin(packed.stdout.take().unwrap()).spawn().unwrap());
    assert_eq!((sent.code(), sent.out.as_str(), sent.err.as_str()), (Some(0), "", ""));
    let received = receiver.ended();
    assert_eq!((received.code(), received.err.as_str()), (Some(0), ""));
    assert!(packed.wait().unwrap().success() && unpacked.wait_with_output().unwrap().status.success());
    for name in ["big", "deep/er/empty", "small/0", "small/49"] {
        let at = |root: &str| std::fs::read(place.path(&format!("{root}/{name}"))).unwrap();
        assert!(at("tree") == at("unpacked/tree"), "{name}");
    }
    assert_eq!(std::fs::read_dir(place.path("unpacked/tree/small")).unwrap().count(), 50);
}

#[cfg(target_os = "linux")]
#[test]
fn what_has_no_size_beforehand_goes_through_a_pipe() {
    let place = Place::new();
    let receiver = place.receiver("inbox");
    let sent = place.run(&format!("send /proc/version {}", receiver.ticket));
    let said = "resilient: send: /proc/version: its size is not known beforehand; send it through a pipe\n";
    assert!(sent.code() == Some(23) && sent.err.starts_with(said), "{sent:?}");
    assert_eq!(receiver.ended().code(), Some(23));
    assert!(!place.path("inbox/version").exists());
    let receiver = place.receiver("inbox");
    let mut command = place.command(&format!("send - --name version {}", receiver.ticket));
    let output = command.stdin(std::fs::File::open("/proc/version").unwrap()).output().unwrap();
    assert_eq!((output.status.code(), receiver.ended().code()), (Some(0), Some(0)));
    assert_eq!(place.read("inbox/version"), std::fs::read_to_string("/proc/version").unwrap());
}

#[test]
fn a_sender_that_is_killed_ends_the_stream_as_a_failure() {
    let place = Place::new();
    let content = noise(2, 8 * CHUNK);
    let (mut receiver, ticket) = receiver(&place, "--retry-for 1 -o -");
    let mut sender = sender(&place, "", &ticket);
    sender.stdin.as_ref().unwrap().write_all(&content).unwrap();
    let mut out = vec![0; CHUNK];
    let mut stdout = receiver.child.stdout.take().unwrap();
    stdout.read_exact(&mut out).unwrap();
    sender.kill().unwrap();
    sender.wait().unwrap();
    stdout.read_to_end(&mut out).unwrap();
    assert!(content.starts_with(&out), "not the beginning of what was sent");
    let received = receiver.ended();
    assert_eq!(received.code(), Some(10), "{received:?}");
    assert!(received.err.contains("resilient: recv: "), "{received:?}");
}

#[test]
fn a_file_that_was_cut_gets_no_name() {
    let place = Place::new();
    // An end of the sender that it can tell: interrupted, with all that it has read on its way.
    for (signal, events) in [(Signal::KILL, "first"), (Signal::INT, "second")] {
        let (receiver, ticket) = receiver(&place, &format!("--json={events} --retry-for 1 -o arrived"));
        let mut sender = sender(&place, "", &ticket);
        sender.stdin.as_ref().unwrap().write_all(&noise(2, 8 * CHUNK)).unwrap();
        while !std::fs::read_to_string(place.path(events)).unwrap().contains("connected") {
            assert!(sender.try_wait().unwrap().is_none(), "the sender has ended");
            std::thread::yield_now();
        }
        // Its stdin stays open: closed, it would be the end of the data.
        let stdin = sender.stdin.take();
        kill_process(Pid::from_child(&sender), signal).unwrap();
        sender.wait().unwrap();
        drop(stdin);
        let received = receiver.ended();
        assert_eq!(received.code(), Some(10), "{signal:?}: {received:?}");
        assert!(!place.path("arrived").exists(), "{signal:?}");
    }
}

#[test]
fn a_reader_that_is_gone_fails_both_sides() {
    let place = Place::new();
    let content = noise(3, 64 * CHUNK);
    let (mut receiver, ticket) = receiver(&place, "-o -");
    let mut sender = sender(&place, "", &ticket);
    let mut stdin = sender.stdin.take().unwrap();
    // What is written when the sender has ended is lost, as from any program in a pipe.
    let upstream = std::thread::spawn(move || stdin.write_all(&content).is_ok());
    let mut stdout = receiver.child.stdout.take().unwrap();
    stdout.read_exact(&mut vec![0; CHUNK]).unwrap();
    drop(stdout);
    let (sent, received) = (ended(sender), receiver.ended());
    upstream.join().unwrap();
    assert_eq!((sent.code(), received.code()), (Some(11), Some(11)), "{sent:?} {received:?}");
    assert!(sent.err.starts_with("resilient: send: x: receiver: stdout: broken pipe\n"), "{sent:?}");
    assert!(received.err.starts_with("resilient: recv: stdout: broken pipe\n"), "{received:?}");
}

#[test]
fn the_one_file_goes_where_it_was_told() {
    let place = Place::new();
    place.write("source/a", noise(4, 300_000));
    place.write("source/b", "b");
    let arrives = |words: &str, sent: &str, code: i32| {
        let receiver = place.receiver(words);
        let ended = place.run(&format!("send {sent} {}", receiver.ticket));
        assert_eq!((ended.code(), receiver.ended().code()), (Some(code), Some(code)), "{words} {sent}: {ended:?}");
    };
    arrives("-o new", "source/a", 0);
    assert!(std::fs::read(place.path("new")).unwrap() == noise(4, 300_000));
    arrives("--output new", "source/a", 0);
    arrives("-o new", "source/b", 3);
    assert!(std::fs::read(place.path("new")).unwrap() == noise(4, 300_000));
    arrives("-f -o new", "source/b", 0);
    assert_eq!(place.read("new"), "b");
    arrives("-o - -o again", "source/b", 0);
    assert_eq!(place.read("again"), "b");
}

#[test]
fn more_than_one_file_is_refused_and_the_ticket_still_serves() {
    let place = Place::new();
    place.write("source/a", "a");
    place.write("source/b", "b");
    for output in ["-", "one"] {
        let (receiver, ticket) = receiver(&place, &format!("-o {output}"));
        for words in ["source/a source/b", "source"] {
            let refused = place.run(&format!("send {words} {ticket}"));
            assert_eq!(refused.code(), Some(3), "{refused:?}");
            assert!(refused.err.contains("more than one file") && !place.path("one").exists(), "{refused:?}");
        }
        assert_eq!(place.run(&format!("send source/b {ticket}")).code(), Some(0));
        let received = receiver.ended();
        assert_eq!(received.code(), Some(0));
        let came = if output == "-" { received.out } else { place.read("one") };
        assert_eq!(came, "b");
    }
}

#[test]
fn stdout_is_for_one_thing() {
    let place = Place::new();
    place.write("source", "content");
    for words in ["recv -o - --json", "recv --json -o -"] {
        let ended = place.run(words);
        assert_eq!(ended.code(), Some(1), "{words}: {ended:?}");
        assert!(ended.err.contains("--json") && ended.err.contains("\nhint: "), "{words}: {ended:?}");
    }
    let (receiver, ticket) = receiver(&place, "--json=events -o -");
    assert_eq!(place.run(&format!("send source {ticket}")).code(), Some(0));
    assert_eq!(receiver.ended().out, "content");
    assert!(place.read("events").lines().last().unwrap().contains("\"exit\":0"));
}

#[test]
fn what_comes_in_on_stdin_has_one_plain_name() {
    let place = Place::new();
    place.write("source", "content");
    let receiver = place.receiver("inbox");
    for words in ["-", "- --name a/b", "- --name ..", "- source --name x", "- - --name x", "source --name x"] {
        let ended = place.run(&format!("send {words} {}", receiver.ticket));
        assert_eq!(ended.code(), Some(1), "{words}: {ended:?}");
    }
    let mut sender = place.command(&format!("send - --name first --name last {}", receiver.ticket));
    let mut sender = sender.stdin(Stdio::piped()).spawn().unwrap();
    sender.stdin.take().unwrap().write_all(b"typed").unwrap();
    assert_eq!((ended(sender).code(), receiver.ended().code()), (Some(0), Some(0)));
    assert_eq!((place.read("inbox/last"), place.path("inbox/first").exists()), ("typed".to_owned(), false));
}
