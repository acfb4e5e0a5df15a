//! How much, how fast, in which order and what of it, as typed: limits that stop, options that refuse, options that choose.
//!
//! Where a rate is held only the least time is looked at: a slow machine makes nothing fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Ended, Live, Place, Receiver, noise};
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

fn send(place: &Place, words: &str, receiver: &Receiver) -> Ended {
    place.run(&format!("send {words} {}", receiver.ticket))
}

/// Sends and receives with these words; both must end with `code`.
fn both(place: &Place, recv: &str, words: &str, code: i32) -> Ended {
    let receiver = place.receiver(recv);
    let sent = send(place, words, &receiver);
    let received = receiver.ended();
    assert_eq!((sent.code(), received.code()), (Some(code), Some(code)), "{recv}, {words}: {sent:?} {received:?}");
    sent
}

fn events(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stat(ended: &Ended, name: &str) -> u64 {
    let row = ended.err.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{ended:?}"));
    row.trim().parse().unwrap()
}

#[test]
fn the_same_command_goes_on_after_a_stop() {
    let place = Place::new();
    for number in 0..5 {
        place.write(&format!("source/{number}"), noise(number, 300_000));
    }
    let receiver = place.receiver("inbox");
    let stopped = send(&place, "--json --max-transfer 700000 source", &receiver);
    assert_eq!(stopped.code(), Some(20), "{stopped:?}");
    let end = events(&stopped).pop().unwrap();
    assert_eq!((&end["class"], &end["resumable"]), (&"stopped".into(), &true.into()), "{end}");
    let literal = end["bytes_literal"].as_u64().unwrap();
    assert!(literal > 0 && literal <= 700_000, "{end}");
    // Without a byte: nothing more is sent.
    assert_eq!(send(&place, "--max-transfer 1 source", &receiver).code(), Some(20));
    let again = send(&place, "--stats source", &receiver);
    assert_eq!((again.code(), receiver.ended().code()), (Some(0), Some(0)), "{again:?}");
    assert!(stat(&again, "file bytes after compression") < 1_500_000 - literal / 2, "{again:?}");
    for number in 0..5 {
        assert!(std::fs::read(place.path(&format!("inbox/source/{number}"))).unwrap() == noise(number, 300_000));
    }
    // A bare number would be minutes to users of rsync.
    let bare = place.run("send --stop-after 90 source host:9");
    assert!(bare.code() == Some(1) && bare.err.contains("90m"), "{bare:?}");
    both(&place, "second", "--max-transfer 1 --max-transfer 2g --stop-after 1ms --stop-after 2h source", 0);
}

#[test]
fn a_receiver_refuses_what_is_too_much() {
    let place = Place::new();
    for name in ["a.c", "b.h", "c.o"] {
        place.write(&format!("source/{name}"), name);
    }
    for (option, said) in
        [("--max-size 8", "9 B are more than the 8 B"), ("--max-files 2", "3 files are more than the 2")]
    {
        let receiver = place.receiver(&format!("{option} inbox"));
        let refused = send(&place, "source", &receiver);
        assert!(refused.code() == Some(45) && refused.err.contains(said), "{refused:?}");
        assert!(!place.path("inbox/source").exists());
        // It waits for one that fits.
        assert_eq!(send(&place, "source/a.c", &receiver).code(), Some(0));
        assert_eq!(receiver.ended().code(), Some(0));
    }
    both(&place, "--max-size 1 --max-size 9 --max-files 1 --max-files 3 fits", "source", 0);
    // Links count, before anything is written as after.
    std::os::unix::fs::symlink("a.c", place.path("source/link")).unwrap();
    let receiver = place.receiver("--max-files 3 linked");
    let refused = send(&place, "source", &receiver);
    assert!(refused.code() == Some(45) && refused.err.contains("4 files are more than the 3"), "{refused:?}");
    assert!(!place.path("linked/source").exists());
    receiver.kill();
    std::fs::remove_file(place.path("source/link")).unwrap();
    let refused = both(&place, "--accept *.c --accept *.h some", "source", 23);
    assert!(refused.err.contains("source/c.o: receiver: not among the names"), "{refused:?}");
    assert!(place.path("some/source/b.h").exists() && !place.path("some/source/c.o").exists());
    // What comes from a pipe has no size before.
    let mut receiver = place.receiver("--max-size 100k piped");
    let mut sender =
        place.command(&format!("send - --name x {}", receiver.ticket)).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    let upstream = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &noise(1, 1_000_000)).is_ok());
    assert_eq!((sender.wait().unwrap().code(), receiver.child.wait().unwrap().code()), (Some(45), Some(45)));
    upstream.join().unwrap();
    assert!(!place.path("piped/x").exists());
}

#[test]
fn what_stands_there_is_refused_left_renamed_or_replaced() {
    let place = Place::new();
    place.write("source/a", "new");
    place.write("source/b", "b");
    place.write("inbox/source/a", "old");
    both(&place, "inbox", "source", 23);
    assert_eq!((place.read("inbox/source/a").as_str(), place.read("inbox/source/b").as_str()), ("old", "b"));
    both(&place, "--skip-existing inbox", "source", 0);
    assert_eq!(place.read("inbox/source/a"), "old");
    both(&place, "--skip-existing --rename inbox", "source", 0);
    assert_eq!((place.read("inbox/source/a").as_str(), place.read("inbox/source/a (1)").as_str()), ("old", "new"));
    assert!(!place.path("inbox/source/b (1)").exists(), "an identical file is no conflict");
    both(&place, "--rename -f inbox", "source", 0);
    assert_eq!((place.read("inbox/source/a").as_str(), place.path("inbox/source/a (2)").exists()), ("new", false));
}

#[test]
fn a_place_for_unfinished_files_that_cannot_be_used_is_named() {
    let place = Place::new();
    place.write("stands", "");
    for (folder, cause) in [("nope/x", "no such file or directory"), ("stands", "not a directory")] {
        let folder = place.path(folder);
        let ended = place.run(&format!("recv --listen 127.0.0.1:0 --partial-dir {} inbox", folder.display()));
        assert_eq!(ended.code(), Some(3), "{ended:?}");
        assert_eq!(
            ended.err.lines().next(),
            Some(&*format!("resilient: recv: inbox: unfinished files: {}: {cause}", folder.display()))
        );
    }
}

#[test]
fn unfinished_files_lie_where_they_were_told_for_their_owner_alone() {
    let place = Place::new();
    for words in ["--partial-dir unfinished", "--no-fsync --fsync --partial-dir .other"] {
        let receiver = place.receiver(&format!("{words} inbox"));
        let folder = place.path("inbox").join(words.rsplit(' ').next().unwrap());
        let mut sender =
            place.command(&format!("send - --name x {}", receiver.ticket)).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = sender.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &noise(1, 300_000)).unwrap();
        let partial = loop {
            let entries = walkdir::WalkDir::new(&folder).into_iter().filter_map(Result::ok);
            if let Some(partial) = entries.filter_map(|entry| entry.metadata().ok()).find(std::fs::Metadata::is_file) {
                break partial;
            }
            assert!(!place.path("inbox/.resilient-partial").exists() && sender.try_wait().unwrap().is_none());
            std::thread::yield_now();
        };
        assert_eq!(partial.mode() & 0o777, 0o600);
        assert!(!place.path("inbox/x").exists());
        drop(stdin);
        assert!(sender.wait().unwrap().success() && receiver.ended().status.success());
        assert!(!folder.exists() && place.path("inbox/x").exists());
        std::fs::remove_file(place.path("inbox/x")).unwrap();
    }
}

#[test]
fn compression_is_what_was_typed_last() {
    let place = Place::new();
    let text: String =
        (0..60_000).fold(String::new(), |text, n: u64| text + &format!("station {n} reports {}\n", n * n % 977));
    place.write("source", &text);
    let after = |words: &str| {
        if place.path("inbox").exists() {
            std::fs::remove_dir_all(place.path("inbox")).unwrap();
        }
        let share = stat(&both(&place, "inbox", &format!("--stats {words} source"), 0), "file bytes after compression");
        share as f64 / text.len() as f64
    };
    let [none, lz4, zstd, best] = ["none", "lz4", "zstd", "zstd:19"].map(|how| after(&format!("--compress={how}")));
    assert!(none > 1.0 && lz4 < 0.5 && zstd < 0.6 * lz4 && best < 0.9 * zstd, "{none} {lz4} {zstd} {best}");
    assert!(after("-z --compress=zstd --no-compress") > 1.0);
    assert!(after("-z --no-compress --compress=zstd") < lz4);
}

#[test]
fn hot_files_have_their_share_before_cold_ones() {
    let place = Place::new();
    for number in 0..8 {
        place.write(&format!("source/{number}.cold"), noise(number, 200_000));
        place.write(&format!("source/{number}.hot"), noise(100 + number, 200_000));
    }
    // Of seven chunks five are hot while there are both. The first pattern that fits counts.
    let options = "--priority-for *.hot=critical --priority-for 7.hot=normal --bwlimit 4000";
    let sent = both(&place, "inbox", &format!("--json {options} source/"), 0);
    let files: Vec<Value> = events(&sent).into_iter().filter(|event| event["event"] == "file").collect();
    let hot: Vec<bool> = files.iter().map(|event| event["path"]["text"].as_str().unwrap().contains(".hot")).collect();
    let last_hot = hot.iter().rposition(|hot| *hot).unwrap();
    let cold_before = hot[..last_hot].iter().filter(|hot| !**hot).count();
    assert!(
        hot.len() == 16 && (1..=4).contains(&cold_before),
        "{cold_before} of 8 cold files came before the last hot"
    );
    let wrong = place.run("send --priority-for *.hot=urgent source host:9");
    assert_eq!(wrong.code(), Some(1), "{wrong:?}");
}

#[test]
fn a_rate_is_told_and_held() {
    let place = Place::new();
    place.write("source", noise(1, 1_000_000));
    for (recv, words, rate, by) in [
        ("one", "--bwlimit 9 --bwlimit 800KB,1KB", 800_000, "option"),
        ("two", "--bwlimit 800KB:1", 800_000, "option"),
        ("--bwlimit 1:800KB three", "--no-compress", 800_000, "receiver"),
    ] {
        let sent = both(&place, recv, &format!("--json {words} source"), 0);
        let told = events(&sent);
        let limit = told.iter().find(|event| event["event"] == "limit").unwrap();
        assert_eq!((limit["rate"].as_u64(), limit["by"].as_str()), (Some(rate), Some(by)), "{words}");
        let took = told.last().unwrap()["elapsed_ms"].as_u64().unwrap();
        assert!(took > 1000, "{words}: {took} ms for 1.25 s");
    }
    let sent = both(&place, "four", "--json --max-chunk-rate 1 --max-chunk-rate 6 source", 0);
    let took = events(&sent).last().unwrap()["elapsed_ms"].as_u64().unwrap();
    assert!(took > 900, "{took} ms for eight chunks at six a second");
}

/// Seconds before its turn comes at this rate.
#[test]
fn a_file_that_vanishes_is_24_and_the_others_are_complete() {
    let place = Place::new();
    place.write("source/a", noise(1, 3_000_000));
    place.write("source/z", noise(2, 400_000));
    let receiver = place.receiver("inbox");
    let mut sender = Live::stdout(place.command(&format!("send --json --bwlimit 600KB source {}", receiver.ticket)));
    sender.event("progress");
    std::fs::remove_file(place.path("source/z")).unwrap();
    let (sent, received) = (sender.ended(), receiver.ended());
    assert_eq!((sent.code(), received.code()), (Some(24), Some(24)), "{sent:?} {received:?}");
    assert!(sent.err.starts_with("resilient: send: source/z: vanished"), "{sent:?}");
    assert!(received.err.starts_with("resilient: recv: source/z: sender: vanished"), "{received:?}");
    assert!(std::fs::read(place.path("inbox/source/a")).unwrap() == noise(1, 3_000_000));
    assert!(!place.path("inbox/source/z").exists());
}

#[test]
fn what_this_version_does_not_have_is_4_and_touches_nothing() {
    let place = Place::new();
    place.write("source", "content");
    let shared = ["-e ssh", "--rsh=ssh", "--remote-bin x", "--rsync-path x", "--transport quic"];
    let of_send = ["--spool-stdin", "--to x", "--via y", "--expire 1h", "--wait custody", "--max-hops 3", "--need 2"];
    let of_recv = [
        "--api 127.0.0.1:1",
        "--from x",
        "--max-chunk-rate 4",
        "--parity 5",
        "--priority high",
        "--priority-for *=high",
        "-z",
        "--compress=lz4",
        "--no-compress",
    ];
    let send = shared.iter().chain(&of_send).map(|words| format!("send {words} source host:9"));
    let recv = shared.iter().chain(&of_recv).map(|words| format!("recv {words} inbox"));
    for words in send.chain(recv) {
        let ended = place.run(&words);
        assert_eq!((ended.code(), ended.out.as_str()), (Some(4), ""), "{words}: {ended:?}");
    }
    assert!(!place.path("home").exists() && !place.path("inbox").exists());
}
