//! Peers that lie, hosts that vanish and disks that fail, against whole `send`s and `recv`s in the simulated network.
//!
//! What once did not hold is in `once_open`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

pub(crate) mod disk;
pub(crate) mod liar;
pub(crate) mod peer;
pub(crate) mod restarts;

use crate::memdisk::{MemDisk, Node};
use crate::sim::{Profile, run, seeds};
use bytes::Bytes;
use disk::{Orders, Watched};
use peer::*;
use resilient::class::Class;
use resilient::event::Event;
use resilient::integrity::{ChunkValue, chunk_value, digest};
use resilient::manifest::{EntryId, Kind};
use resilient::network::identity::Identity;
use resilient::pipeline::{Cancel, Error, send};
use resilient::wire::chunk::{encode_control, encode_data};
use resilient::wire::control::{Control, Refusal};
use resilient::wire::datagram::{Feedback, NOTHING, encode_ping, encode_shard};
use resilient::wire::reply::{Outcome, Reply, Status};
use std::sync::Arc;
use std::time::Duration;

const CHUNK: usize = 128 * 1024;

#[test]
fn killed_and_stopped_senders_go_on_where_they_were() {
    let bad: Vec<_> = seeds(0..40, |seed| restarts::restarts(seed, false)).into_iter().flatten().collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// What a stranger shows and the code it is refused with; nothing of it is written and the right sender is still served.
#[test]
fn strangers_are_refused_and_write_nothing() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        for secret in [None, Some([8; 16])] {
            let mut peer = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), &recv.ticket).await;
            // Everything at once, as a sender does that believes it will be let in.
            peer.hello(1, secret).await;
            peer.control(&[entries(0, vec![file("evil", 3)]), finish(1)]).await;
            peer.data(0, b"abc", 0, 3).await;
            let refused = peer.reply().await;
            assert!(matches!(refused, Some(Reply::Refused(Refusal { code: 41, .. }))), "{refused:?}");
        }
        assert!(disk.tree().is_empty() && disk.partials().is_none());
        let (source, expected) = folder(&[("good", noise(1, 300_000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        recv.ends(HOUR).await.unwrap().unwrap();
        assert_eq!(files(&disk), expected);
    });
}

#[test]
fn a_ticket_serves_one_key_and_one_transfer_at_a_time() {
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let first = Identity::generate().unwrap();
        let mut peer = Peer::connect(&net, SENDER, &first, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        assert_eq!(peer.reply().await, Some(Reply::Accepted));
        for (identity, code) in [(&Identity::generate().unwrap(), 41), (&first, 42)] {
            let mut other = Peer::connect(&net, STRANGER, identity, &recv.ticket).await;
            other.hello(2, Some(SECRET)).await;
            let refused = other.reply().await;
            assert!(
                matches!(refused, Some(Reply::Refused(Refusal { code: c, .. })) if c == code),
                "{code}: {refused:?}"
            );
        }
        // The first one is not disturbed.
        peer.control(&[entries(0, vec![file("a", 3)]), finish(1)]).await;
        peer.data(0, b"abc", 0, 3).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
    });
}

#[test]
fn a_ticket_that_expires_during_a_transfer_still_serves_it() {
    run(1, DAY, async |net| {
        let recv = waiting_for(&net, Arc::new(MemDisk::new()), Duration::from_secs(60), HOUR).await;
        let sender = Identity::generate().unwrap();
        for _ in 0..2 {
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            assert_eq!(peer.reply().await, Some(Reply::Accepted));
            pass(Duration::from_secs(120)).await;
        }
        let mut late = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), &recv.ticket).await;
        late.hello(1, Some(SECRET)).await;
        assert!(matches!(late.reply().await, Some(Reply::Refused(Refusal { code: 41, .. }))));
    });
}

/// What a stranger may say instead of a hello.
#[test]
fn garbage_before_the_hello_ends_that_connection_alone() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let feedback = Feedback { missing: vec![NOTHING; 800], ..Feedback::default() };
        let overlap =
            [encode_shard(0, 0, 0, 1, false, 1, 2, &[9; 20]), encode_shard(1, 1, 0, 1, false, 0, 2, &[9; 20])];
        let garbage: Vec<Vec<Bytes>> = vec![
            vec![Bytes::new()],
            vec![Bytes::from_static(&[0x7f; 1000])],
            vec![feedback.encode()],
            vec![encode_shard(0, 0, 0, 1, false, 0, 1, &[0, 0, 0, 0])],
            vec![encode_shard(0, 0, 0, 1, false, 0, 1, &[255; 40])],
            vec![encode_shard(0, 0, 0, 2, false, 0, 1, b"ab"), encode_shard(1, 0, 1, 2, false, 0, 1, b"abc")],
            overlap.to_vec(),
            vec![encode_shard(0, 0, 0, 1, false, 0, 1, &encode_control(0, &[0xff; 100]))],
            vec![encode_shard(0, 0xff_ffff, 254, 50, false, 15, 16, &[1; 1152])],
            vec![resilient::wire::datagram::encode_bye()],
        ];
        for datagrams in garbage {
            let stranger = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), &recv.ticket).await;
            for datagram in datagrams {
                stranger.datagram(datagram).await;
            }
            pass(Duration::from_secs(1)).await;
        }
        let (source, expected) = folder(&[("good", noise(1, 300_000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        recv.ends(HOUR).await.unwrap().unwrap();
        assert_eq!(files(&disk), expected);
    });
}

/// Silent strangers are given up, and the right sender comes in behind them.
#[test]
fn silent_strangers_keep_nobody_out_for_long() {
    let (source, _) = folder(&[("a", b"a".to_vec())]);
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let identity = Identity::generate().unwrap();
        let mut strangers = Vec::new();
        for _ in 0..64 {
            let connecting = Peer::connect_with(&net, STRANGER, &identity, &recv.ticket, 1);
            let Ok(stranger) = tokio::time::timeout(Duration::from_secs(5), connecting).await else { break };
            strangers.push(stranger.unwrap());
        }
        assert!(strangers.len() > 32);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
    });
}

/// A data chunk that an authorised sender may not send, with the code with which `recv` ends.
#[test]
fn malformed_chunks_of_an_admitted_sender_end_the_transfer_and_leave_nothing() {
    let bytes = noise(1, 2 * CHUNK);
    let right = chunk_value(0, bytes.len() as u64, &bytes[..CHUNK]);
    let zero = ChunkValue::from_bytes([0; 32]);
    let one = |offset: u64, length: usize, value: ChunkValue| {
        encode_data(0, &[extent(0, offset, length, value)], &bytes[..length])
    };
    let cases: Vec<(Bytes, Class)> = vec![
        (one(0, CHUNK, zero), Class::Integrity),
        (one(CHUNK as u64, CHUNK, right), Class::Integrity),
        (one(1, 1024, zero), Class::Malformed),
        (one(0, 1024, zero), Class::Malformed),
        (one(u64::MAX - 4096, 1024, zero), Class::Malformed),
        (one((i64::MAX as u64 + 1) & !(CHUNK as u64 - 1), 1024, zero), Class::Malformed),
        (encode_data(9, &[extent(0, 0, 8, zero)], b"12345678"), Class::Malformed),
        (encode_data(1, &[extent(0, 0, CHUNK, zero)], &[0x1f; 600]), Class::Malformed),
        (encode_control(0, &[]), Class::Malformed),
        (encode_control(2, &[0xff; 9]), Class::Malformed),
    ];
    for (chunk, class) in cases {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let mut recv = waiting(&net, &disk).await;
            let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[entries(0, vec![file("a", bytes.len())])]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
            peer.data(0, &bytes, CHUNK, CHUNK).await;
            peer.chunk(&chunk).await;
            let ended = recv.ends(Duration::from_secs(60)).await.unwrap().map(|summary| summary.class);
            assert_eq!(ended.map_err(|error| error.class()), Err(class), "{} bytes", chunk.len());
            assert_eq!((disk.tree().len(), disk.partials()), (0, None));
        });
    }
}

/// Manifests that an authorised sender may not send.
#[test]
fn manifests_that_lead_out_or_do_not_fit_write_nothing_outside() {
    let link = |target: &str| entry(None, "link", Kind::Symlink { target: target.as_bytes().to_vec() });
    let through = entry(Some(0), "x", Kind::File { size: 1 });
    let cases: Vec<(Vec<Control>, bool)> = vec![
        // Parents that are no directory, not yet there, or later than their child.
        (vec![entries(0, vec![file("a", 1), through.clone()])], false),
        (vec![entries(0, vec![link("."), through])], false),
        (vec![entries(0, vec![entry(Some(1), "x", Kind::Directory), entry(None, "y", Kind::Directory)])], false),
        (vec![entries(0, vec![entry(Some(u32::MAX), "x", Kind::Directory)])], false),
        (vec![entries(5, vec![file("a", 1)])], false),
        (vec![entries(u32::MAX, vec![file("a", 1)])], false),
        (vec![finish(7)], false),
        (vec![finish(0), entries(0, vec![file("a", 1)])], false),
        // Links that lead out and the folder of partial files are failures of these entries.
        (vec![entries(0, vec![link("/etc/passwd"), link("../x"), link("a/../../x"), link("")]), finish(4)], true),
        (vec![entries(0, vec![file(".resilient-partial", 1), file(".RESILIENT-Partial", 0)]), finish(2)], true),
    ];
    for (number, (messages, completes)) in cases.into_iter().enumerate() {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let mut recv = waiting(&net, &disk).await;
            let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&messages).await;
            if completes {
                let complete = |reply: &Reply| matches!(reply, Reply::Complete(_));
                let replies = peer.replies_until(complete).await;
                assert!(replies.iter().any(|reply| matches!(reply, Reply::Failed { .. })), "{number}: {replies:?}");
                assert!(!replies.iter().any(|reply| matches!(reply, Reply::Done { .. })), "{number}: {replies:?}");
                peer.connection.close(0u32.into(), b"");
                assert_ne!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Done, "{number}");
            } else {
                let ended =
                    recv.ends(Duration::from_secs(60)).await.unwrap_or_else(|| panic!("{number}: recv goes on"));
                assert_eq!(ended.unwrap_err().class(), Class::Malformed, "{number}");
            }
            assert!(
                disk.tree().values().all(|node| matches!(node, Node::Directory { .. })),
                "{number}: {:?}",
                disk.tree()
            );
            assert_eq!(disk.partials(), None, "{number}");
        });
    }
}

#[test]
fn two_entries_of_one_name_do_not_replace_each_other() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("a", 3), file("a", 3)]), finish(2)]).await;
        peer.data(0, b"one", 0, 3).await;
        peer.data(1, b"two", 0, 3).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        let failed = replies.iter().filter(|reply| matches!(reply, Reply::Failed { code: 3, .. })).count();
        assert_eq!(failed, 1, "{replies:?}");
        peer.connection.close(0u32.into(), b"");
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Partial);
        assert_eq!((files(&disk)["a"].as_slice(), disk.partials()), (&b"one"[..], None));
    });
}

#[test]
fn a_file_whose_digest_is_wrong_gets_no_name() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let recv = waiting(&net, &disk).await;
        let bytes = noise(1, CHUNK + 5);
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        peer.data(0, &bytes, 0, CHUNK).await;
        peer.data(0, &bytes, CHUNK, 5).await;
        peer.control(&[Control::Sealed { entry: EntryId(0), size: bytes.len() as u64, digest: digest(b"another") }])
            .await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        assert!(replies.iter().any(|reply| matches!(reply, Reply::Failed { code: 40, .. })), "{replies:?}");
        assert_eq!((disk.tree().len(), disk.partials()), (0, None));
        drop(recv);
    });
}

/// Data is durable before it has a name, the name before it is said to be done; and where that fails, nothing is said to be done.
#[test]
fn done_is_said_after_data_and_name_are_durable() {
    for (orders, done) in [
        (Orders::default(), true),
        (Orders { sync_fails: true, ..Orders::default() }, false),
        (Orders { sync_dir_fails: true, ..Orders::default() }, false),
    ] {
        let sync_fails = orders.sync_fails;
        run(1, DAY, async |net| {
            let disk = Watched::new(orders);
            let mut recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
            let (source, _) = folder(&[("a", noise(1, 200_000))]);
            let env = env(&net, SENDER, Arc::new(MemDisk::new()));
            let seen = Seen::new();
            let sent = honest(&env, source.path(), &recv.ticket, &seen).await.unwrap();
            let received = recv.ends(HOUR).await.unwrap().unwrap();
            assert_eq!((sent.class == Class::Done, received.class == Class::Done), (done, done));
            assert_eq!(
                (sent.files, seen.failed().len(), recv.seen.failed().len()),
                (u64::from(done), usize::from(!done), usize::from(!done))
            );
            let log = disk.log();
            let steps: Vec<_> = log.iter().filter_map(|step| step.split(' ').next()).collect();
            if sync_fails {
                assert!(!steps.contains(&"publish") && files(&disk.disk).is_empty(), "{log:?}");
            } else {
                assert_eq!(&steps[..4], ["begin_sync", "sync", "publish", "sync_dir"]);
            }
            assert_eq!(disk.disk.partials(), None);
        });
    }
}

/// Stopped at every moment of a transfer: no partial file stays, what has its name is whole, and the sender ends.
#[test]
fn a_receiver_stopped_at_any_moment_leaves_nothing_unfinished() {
    let (source, expected) = folder(&[("a", noise(1, 900)), ("b", noise(2, 700_000)), ("c", noise(3, 50_000))]);
    seeds(0..60, |seed| {
        run(seed, DAY, async |net| {
            net.path(SENDER, RECEIVER, Profile::plain(10.0, 20, 0.1));
            let disk = MemDisk::new();
            let mut recv = waiting(&net, &disk).await;
            let env = env(&net, SENDER, Arc::new(MemDisk::new()));
            let stop = async {
                pass(Duration::from_millis(20 * seed)).await;
                recv.cancel.send_replace(true);
            };
            let seen = Seen::new();
            let mut options = send_options(source.path(), &recv.ticket);
            options.retry_for = resilient::pipeline::RetryFor::Span(Duration::from_secs(60));
            let (_keep, cancel) = Cancel::channel();
            let (sent, ()) = tokio::join!(send(&env, options, seen.clone(), cancel), stop);
            let received = recv.ends(HOUR).await.unwrap();
            assert_eq!(disk.partials(), None, "seed {seed}");
            assert!(files(&disk).iter().all(|(name, bytes)| expected[name] == *bytes), "seed {seed}");
            match received {
                Ok(_) => assert_eq!(files(&disk), expected),
                Err(error) => assert!(matches!(error, Error::Interrupted), "{error}"),
            }
            if sent.is_ok() {
                assert_eq!(files(&disk), expected, "seed {seed}");
            }
        });
    });
}

/// Replies that make no sense: the sender ends or goes on, and does not claim what was not said.
#[test]
fn a_receiver_that_talks_nonsense_does_not_confuse_the_sender() {
    let nonsense = vec![
        Reply::Status { first: EntryId(0), count: 1, status: Status::Have(vec![(5, 1), (0, u64::MAX)]) },
        Reply::Status { first: EntryId(0), count: 1, status: Status::Have(vec![(0, u64::MAX)]) },
        Reply::Status { first: EntryId(0), count: u32::MAX, status: Status::Want },
        Reply::Status { first: EntryId(0), count: 1, status: Status::Held },
        Reply::Status { first: EntryId(4_000_000), count: 9, status: Status::Want },
        Reply::Done { first: EntryId(77), count: 1_000_000, outcome: Outcome::Identical },
        Reply::Failed { entry: EntryId(99), code: 11, message: "x".repeat(400) },
        Reply::Accepted,
    ];
    for reply in nonsense {
        run(1, DAY, async |net| {
            let lair = lair(&net);
            let (source, _) = folder(&[("a", noise(1, 400_000))]);
            let env = env(&net, SENDER, Arc::new(MemDisk::new()));
            let ticket = lair.ticket.clone();
            let seen = Seen::new();
            let lie = async {
                let mut liar = lair.accept().await;
                liar.heard().await;
                liar.say(&Reply::Accepted).await;
                liar.say(&reply).await;
                liar.feedback(&Feedback {
                    accepted: true,
                    credit: u32::MAX,
                    base: 7,
                    missing: vec![0; 800],
                    ..Feedback::default()
                });
                liar.feedback(&Feedback { high: u32::MAX, received: 1, resolved: u32::MAX, ..Feedback::default() });
                liar.feedback(&Feedback {
                    offset: u32::MAX,
                    replies: Bytes::from_static(&[0; 300]),
                    ..Feedback::default()
                });
                pass(Duration::from_secs(20)).await;
                liar.connection.close(9u32.into(), b"enough");
            };
            let (sent, ()) = tokio::join!(honest(&env, source.path(), &ticket, &seen), lie);
            assert!(sent.is_err(), "{reply:?}: {sent:?}");
            let told = seen.events().iter().filter(|event| matches!(event, Event::File { .. })).count();
            assert_eq!(told, 0, "{reply:?}");
        });
    }
}

#[test]
fn a_ping_is_answered_and_costs_no_memory() {
    run(1, DAY, async |net| {
        let recv = waiting(&net, &MemDisk::new()).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.replies_until(|reply| *reply == Reply::Accepted).await;
        pass(Duration::from_secs(60)).await;
        peer.feedback.mark_unchanged();
        peer.datagram(encode_ping()).await;
        let answered = tokio::time::timeout(Duration::from_millis(100), peer.feedback.changed()).await;
        assert!(matches!(answered, Ok(Ok(()))));
    });
}
