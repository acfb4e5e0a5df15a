//! The same against strangers, ticket holders and receivers that lie.
//!
//! Two tests look at the memory of the whole process: they say something only when they run alone
//! (`cargo test --test it memory -- --ignored --test-threads 1`).

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use super::second;
use crate::hostile::peer::*;
use crate::memdisk::{MemDisk, Node};
use crate::sim::run;
use bytes::Bytes;
use resilient::integrity::digest;
use resilient::manifest::{EntryId, FileTime, Kind, Meta};
use resilient::network::identity::Identity;
use resilient::pipeline::{Cancel, send};
use resilient::transfer::Inbound;
use resilient::wire::chunk::encode_control;
use resilient::wire::control::Control;
use resilient::wire::datagram::{Datagram, Feedback, encode_ping, encode_shard};
use resilient::wire::reply::{Reply, Status};
use std::sync::Arc;

// ---- Strangers --------------------------------------------------------------------------------------------------------------

#[test]
fn strangers_that_say_no_hello_do_not_keep_the_sender_out() {
    let (source, _) = folder(&[("a", b"a".to_vec())]);
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let identity = Identity::generate().unwrap();
        let mut strangers = Vec::new();
        for _ in 0..64 {
            let Ok(stranger) = Peer::connect_with(&net, STRANGER, &identity, &recv.ticket, 1).await else { break };
            stranger.datagram(encode_ping()).await;
            strangers.push(stranger);
        }
        let pinging = async {
            loop {
                pass(second(10)).await;
                for stranger in &strangers {
                    stranger.datagram(encode_ping()).await;
                }
            }
        };
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let later = async {
            pass(second(600)).await;
            honest(&env, source.path(), &recv.ticket, &Seen::new()).await
        };
        let sent = tokio::select! {
            biased;
            sent = later => sent,
            () = pinging => unreachable!("it never ends"),
        };
        assert!(sent.is_ok(), "after ten minutes of {} strangers: {sent:?}", strangers.len());
    });
}

#[test]
fn a_stranger_that_was_given_up_is_disconnected() {
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let identity = Identity::generate().unwrap();
        let mut open = Vec::new();
        for streams in [1, 0] {
            let stranger = Peer::connect_with(&net, STRANGER, &identity, &recv.ticket, streams).await.unwrap();
            stranger.datagram(Bytes::from_static(&[0xff; 100])).await;
            pass(second(120)).await;
            open.push((streams, stranger.connection.close_reason().is_none()));
        }
        assert_eq!(open, [(1, false), (0, false)], "(streams allowed, still connected two minutes later)");
    });
}

#[test]
fn a_stranger_makes_us_hold_64_kib() {
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let mut stranger = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), &recv.ticket).await;
        // Control chunks that are not the first one: kept until a hello comes.
        let mut sent = 0;
        for order in 1..=100 {
            let chunk = encode_control(order, &vec![3; 40_000]);
            stranger.chunk(&chunk).await;
            sent += chunk.len();
        }
        pass(second(5)).await;
        let base = stranger.feedback.borrow().base as usize;
        assert!(base * 40_000 <= 64 * 1024, "{} of {sent} bytes are held for a stranger", base * 40_000);
    });
}

#[test]
fn a_strangers_sequence_numbers_do_no_harm() {
    let (source, _) = folder(&[("a", b"a".to_vec())]);
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let stranger = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), &recv.ticket).await;
        let mut seq = 0u32;
        for _ in 0..600 {
            stranger.datagram(encode_shard(seq, 1, 0, 2, false, 0, 1, b"x")).await;
            seq = seq.saturating_add(0x7f_ffff);
        }
        pass(second(5)).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let sent = tokio::time::timeout(HOUR, honest(&env, source.path(), &recv.ticket, &Seen::new())).await;
        assert!(matches!(sent, Ok(Ok(_))), "{sent:?}");
    });
}

// ---- Authorised senders -----------------------------------------------------------------------------------------------------

fn planted(disk: &MemDisk, name: &str, bytes: &[u8]) -> Meta {
    let meta = Meta { mode: 0o600, mtime: FileTime { seconds: 5, nanoseconds: 0 } };
    disk.plant(&path(&[name]), Node::File { bytes: bytes.to_vec(), meta });
    meta
}

#[test]
fn a_file_that_stands_there_is_not_touched_on_the_senders_word() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let meta = planted(&disk, "secret", b"1234");
        let mut recv = waiting(&net, &disk).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("secret", 4)])]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
        peer.control(&[Control::Digest { entry: EntryId(0), digest: digest(b"4321") }, finish(1)]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        peer.connection.close(0u32.into(), b"");
        recv.ends(HOUR).await;
        let Some(Node::File { meta: now, .. }) = disk.tree().remove(&b"secret"[..]) else { panic!("gone") };
        assert_eq!(now, meta);
    });
}

#[test]
fn the_digest_of_what_stands_there_is_not_told() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        planted(&disk, "pin", b"1234");
        let recv = waiting(&net, &disk).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        // Every size may be tried in one manifest: names may be repeated.
        peer.control(&[entries(0, (1..9).map(|size| file("pin", size)).collect())]).await;
        pass(second(1)).await;
        let (mut held, mut answers) = (None, Vec::new());
        while let Some(reply) = peer.reply().await {
            if let Reply::Status { first, status: Status::Held, .. } = &reply {
                held = Some(first.0 + 1);
            }
            answers.push(reply);
        }
        // That something of this size stands there has to be said; nothing that depends on its bytes.
        assert_eq!(held, Some(4));
        let told = format!("{answers:?}");
        assert!(!told.contains(&digest(b"1234").to_string()[..8]), "{told}");
    });
}

#[test]
fn a_directory_that_stood_there_keeps_its_mode() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let meta = Meta { mode: 0o700, mtime: FileTime { seconds: 5, nanoseconds: 0 } };
        disk.plant(&path(&["private"]), Node::Directory { meta });
        let mut recv = waiting(&net, &disk).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let mut open = entry(None, "private", Kind::Directory);
        open.meta.mode = 0o777;
        peer.control(&[entries(0, vec![open]), finish(1)]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        peer.connection.close(0u32.into(), b"");
        recv.ends(HOUR).await;
        let Some(Node::Directory { meta: now }) = disk.tree().remove(&b"private"[..]) else { panic!("gone") };
        assert_eq!(now.mode, 0o700);
    });
}

#[test]
#[ignore = "looks at the memory of the whole process: run it alone"]
fn a_manifest_takes_memory_within_a_bound() {
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let long = "n".repeat(60);
        let deep = (0..63_u32).map(|i| entry(i.checked_sub(1), &long, Kind::Directory)).collect();
        peer.control(&[entries(0, deep)]).await;
        pass(second(1)).await;
        let (before, mut wire, mut first) = (resident(), 0, 63);
        for _ in 0..60 {
            let batch =
                (0..512).map(|i| entry(Some(62), &format!("{:x}", first + i), Kind::File { size: 1 })).collect();
            peer.control(&[entries(first, batch)]).await;
            (wire, first) = (wire + 512 * 16, first + 512);
        }
        pass(second(5)).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 100 << 20, "{} MB for {} kB of manifest, without a bound", grown >> 20, wire >> 10);
    });
}

#[test]
fn the_window_is_bounded_behind_a_hole() {
    let mut inbound = Inbound::new();
    inbound.accept();
    let now = tokio::time::Instant::now().into_std();
    let chunk = encode_control(9, b"x");
    let mut taken = 0;
    // Stripe 0 never comes.
    for stripe in 1..20_000 {
        let Datagram::Shard(shard) =
            Datagram::decode(&encode_shard(stripe, stripe, 0, 1, false, 0, 1, &chunk)).unwrap()
        else {
            unreachable!()
        };
        if let Some(delivered) = inbound.on_shard(now, &shard).unwrap() {
            inbound.consumed(delivered.stripes);
            taken += 1;
        }
    }
    // Feedback can name 800: what lies beyond cannot even be told to the sender.
    assert!(taken <= 800, "{taken} stripes were taken behind a missing one");
}

// ---- Lying receivers --------------------------------------------------------------------------------------------------------

#[test]
fn feedback_out_of_this_world_does_not_panic() {
    run(1, DAY, async |net| {
        let lair = lair(&net);
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let ticket = lair.ticket.clone();
        let lie = async {
            let liar = lair.accept().await;
            liar.heard().await;
            liar.feedback(&Feedback { accepted: true, base: u32::MAX, missing: vec![1; 8], ..Feedback::default() });
            pass(second(2)).await;
            liar.connection.close(9u32.into(), b"enough");
        };
        let sending = tokio::spawn(async move { honest(&env, source.path(), &ticket, &Seen::new()).await });
        lie.await;
        let sent = sending.await;
        assert!(matches!(sent, Ok(Err(_))), "{sent:?}");
    });
}

#[test]
#[ignore = "looks at the memory of the whole process: run it alone"]
fn one_reply_does_not_fill_the_senders_memory() {
    let source = tempfile::tempdir().unwrap();
    for i in 0..600 {
        std::fs::create_dir(source.path().join(format!("d{i}"))).unwrap();
    }
    run(1, DAY, async |net| {
        let lair = lair(&net);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let ticket = lair.ticket.clone();
        let (cancel, cancelled) = Cancel::channel();
        let lie = async {
            let mut liar = lair.accept().await;
            for _ in 0..20 {
                liar.heard().await;
            }
            liar.say(&Reply::Accepted).await;
            pass(second(1)).await;
            let before = resident();
            let status = Status::Have(vec![(0, 1); 15_000]);
            liar.say(&Reply::Status { first: EntryId(0), count: 600, status }).await;
            pass(second(5)).await;
            let grown = resident().saturating_sub(before);
            cancel.send_replace(true);
            grown
        };
        let (_, grown) = tokio::join!(send(&env, send_options(source.path(), &ticket), Seen::new(), cancelled), lie);
        assert!(grown < 30 << 20, "one reply took {} MB", grown >> 20);
    });
}
