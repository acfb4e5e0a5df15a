//! Mistakes that were made once: each of these tests failed against an earlier state of the program.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod trust;

use crate::hostile::disk::{Orders, Watched};
use crate::hostile::peer::*;
use crate::hostile::restarts::restarts;
use crate::memdisk::{MemDisk, Node};
use crate::sim::{Profile, run, seeds};
use resilient::class::Class;
use resilient::event::{Action, Event};
use resilient::integrity::digest;
use resilient::manifest::{EntryId, Kind};
use resilient::network::identity::Identity;
use resilient::pipeline::{Cancel, Error, send};
use resilient::wire::control::{Control, Refusal};
use resilient::wire::reply::{Counters, Reply};
use std::sync::Arc;
use std::time::Duration;

const CHUNK: usize = 128 * 1024;

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

// ---- Wrong bytes, wrong success ---------------------------------------------------------------------------------------------

/// The second connection of a session numbers its entries anew; partial files are named by those numbers.
#[test]
fn a_new_numbering_does_not_mix_files() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let sender = Identity::generate().unwrap();
        let (old, new) = (noise(1, 2 * CHUNK), noise(2, 2 * CHUNK));
        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("old", old.len())])]).await;
        peer.data(0, &old, 0, CHUNK).await;
        pass(second(2)).await;
        peer.connection.close(1u32.into(), b"killed");
        pass(second(2)).await;

        // The user has put a file before the other one and types the same command again.
        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("new", new.len()), file("old", old.len())]), finish(2)]).await;
        peer.data(0, &new, 0, CHUNK).await;
        peer.data(1, &old, CHUNK, CHUNK).await;
        peer.control(&[Control::Sealed { entry: EntryId(1), size: old.len() as u64, digest: digest(&old) }]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Done { first: EntryId(1), .. })).await;
        assert!(files(&disk)["old"] == old, "`old` was said to be done and has other bytes");
        recv.cancel.send_replace(true);
        recv.ends(HOUR).await;
    });
}

/// The same with a real sender: nothing is lost, so no wrong bytes come out, but a file fails for no reason.
#[test]
fn a_file_added_between_two_runs_of_the_same_command() {
    run(1, DAY, async |net| {
        net.path(SENDER, RECEIVER, Profile::plain(10.0, 20, 0.0));
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let (source, _) = folder(&[("m", noise(1, 2_000_000))]);
        let (cancel, cancelled) = Cancel::channel();
        let first = send(&env, send_options(source.path(), &recv.ticket), Seen::new(), cancelled);
        let (_, first) = tokio::join!(
            async {
                pass(Duration::from_millis(900)).await;
                cancel.send_replace(true)
            },
            first
        );
        assert!(matches!(first, Err(Error::Interrupted)), "{first:?}");
        std::fs::write(source.path().join("a"), noise(2, 300_000)).unwrap();
        let summary = honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        let received = recv.ends(HOUR).await.unwrap().unwrap();
        assert_eq!((summary.class, received.class), (Class::Done, Class::Done), "{:?}", recv.seen.failed());
        assert_eq!(files(&disk)["m"], noise(1, 2_000_000));
    });
}

/// The last chunk and the end of the connection arrive together: the receiver is complete, but has not told itself.
#[test]
fn complete_is_said_of_this_manifest_only() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let sender = Identity::generate().unwrap();
        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("a", 3)])]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
        peer.control(&[finish(1)]).await;
        pass(second(1)).await;
        peer.data(0, b"abc", 0, 3).await;
        peer.flush().await;
        peer.connection.close(1u32.into(), b"killed");
        pass(second(5)).await;
        if recv.task.is_finished() {
            // Then it is over, which is right as well.
            return;
        }

        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        pass(second(1)).await;
        peer.control(&[entries(0, vec![file("a", 3), file("b", 3)]), finish(2)]).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_) | Reply::Status { .. })).await;
        assert!(!matches!(replies.last(), Some(Reply::Complete(_))), "complete without `b`: {replies:?}");
        recv.cancel.send_replace(true);
        recv.ends(HOUR).await;
    });
}

/// What is complete and durable when the connection breaks is complete: nobody need come back for it.
#[test]
fn a_transfer_that_is_complete_when_the_sender_dies_is_a_success() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, second(60)).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("a", 3)]), finish(1)]).await;
        pass(second(1)).await;
        peer.data(0, b"abc", 0, 3).await;
        peer.flush().await;
        peer.connection.close(1u32.into(), b"killed");
        let ended = recv.ends(HOUR).await.unwrap();
        assert_eq!(files(&disk).len(), 1, "the file is there");
        assert!(recv.seen.events().iter().any(|event| matches!(event, Event::File { .. })), "and nobody was told");
        assert!(ended.is_ok(), "{ended:?}");
    });
}

#[test]
fn complete_before_anything_is_done_is_no_success() {
    run(1, DAY, async |net| {
        let lair = lair(&net);
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let ticket = lair.ticket.clone();
        let seen = Seen::new();
        let lie = async {
            let mut liar = lair.accept().await;
            liar.heard().await;
            liar.say(&Reply::Accepted).await;
            liar.say(&Reply::Complete(Counters::default())).await;
            liar.connection.closed().await;
        };
        let (sent, ()) = tokio::join!(honest(&env, source.path(), &ticket, &seen), lie);
        let sent = sent.map(|summary| (summary.class, summary.files));
        assert!(!matches!(sent, Ok((Class::Done, _))), "{sent:?}");
    });
}

#[test]
fn a_refusal_with_code_0_is_no_success() {
    run(1, DAY, async |net| {
        let lair = lair(&net);
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let ticket = lair.ticket.clone();
        let lie = async {
            let mut liar = lair.accept().await;
            liar.heard().await;
            liar.say(&Reply::Refused(Refusal { code: 0, message: "no".into(), retry_after: 0 })).await;
            liar.connection.closed().await;
        };
        let seen = Seen::new();
        let (sent, ()) = tokio::join!(honest(&env, source.path(), &ticket, &seen), lie);
        let error = sent.unwrap_err();
        assert_ne!(error.class().code(), 0, "{error}");
    });
}

/// Real senders that are killed and started again on a bad network while the user adds files: whatever bytes a name ever had.
#[test]
fn killed_senders_and_a_user_who_adds_files() {
    let bad: Vec<_> = seeds(0..60, |seed| restarts(seed, true)).into_iter().flatten().collect();
    assert!(bad.is_empty(), "{} of 60: {bad:#?}", bad.len());
}

// ---- Honest peers that cannot finish ----------------------------------------------------------------------------------------

#[test]
fn seventeen_thousand_directories() {
    let source = tempfile::tempdir().unwrap();
    for i in 0..17_000 {
        std::fs::create_dir(source.path().join(format!("d{i}"))).unwrap();
    }
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let recv = waiting(&net, &disk).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let sent = tokio::time::timeout(HOUR, honest(&env, source.path(), &recv.ticket, &Seen::new())).await;
        assert!(sent.is_ok(), "not done after an hour on a LAN; {} of 17000 are there", disk.tree().len());
    });
}

#[test]
fn large_files_do_not_all_stay_open() {
    let files: Vec<_> = (0..200).map(|i| (format!("f{i:04}"), noise(i, CHUNK + 1))).collect();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let (source, _) = folder(&files);
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders::default());
        let recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        assert!(disk.most_open() <= 64, "{} of 200 partial files open at once", disk.most_open());
    });
}

#[test]
fn small_files_do_not_all_stay_open() {
    let names: Vec<_> = (0..3000).map(|i| format!("f{i:04}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_bytes().to_vec())).collect();
    let (source, _) = folder(&files);
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders::default());
        let recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        // GROUP is 256.
        assert!(disk.most_open() <= 300, "{} of 3000 partial files open at once", disk.most_open());
    });
}

#[test]
fn a_closed_directory_costs_only_what_is_in_it() {
    let (source, _) = folder(&[("a", b"a".to_vec()), ("shut/in/x", b"x".to_vec()), ("z", b"z".to_vec())]);
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders { closed: Some(path(&["shut", "in"])), ..Orders::default() });
        let mut recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let sent = honest(&env, source.path(), &recv.ticket, &Seen::new()).await;
        let received = recv.ends(HOUR).await.unwrap();
        let classes = (sent.as_ref().map(|s| s.class), received.as_ref().map(|s| s.class));
        assert!(matches!(classes, (Ok(Class::Partial), Ok(Class::Partial | Class::Select))), "{sent:?}\n{received:?}");
        assert!(files(&disk.disk).contains_key("a") && files(&disk.disk).contains_key("z"));
    });
}

#[test]
fn a_panic_in_assembly_ends_recv() {
    let (source, _) = folder(&[("a", b"a".to_vec())]);
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders { panics: true, ..Orders::default() });
        let recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let ticket = recv.ticket.clone();
        let sending = tokio::spawn(async move { honest(&env, source.path(), &ticket, &Seen::new()).await });
        let ended = tokio::time::timeout(10 * HOUR, recv.task).await;
        sending.abort();
        assert!(ended.is_ok(), "recv still waits after ten hours");
    });
}

#[test]
fn recv_gives_up_after_the_time_it_was_given() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, second(600)).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("a", 3)])]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
        net.everywhere(Profile { loss: 1.0, ..Profile::lan() });
        let before = net.elapsed();
        let ended = recv.ends(10 * HOUR).await.unwrap();
        let waited = net.elapsed().saturating_sub(before).as_secs();
        assert!(ended.is_err() && waited <= 610, "{waited} s: {ended:?}");
    });
}

#[test]
fn recv_ends_when_nobody_can_come_any_more() {
    run(1, DAY, async |net| {
        let mut recv = waiting_for(&net, Arc::new(MemDisk::new()), second(60), second(60)).await;
        let ended = recv.ends(10 * HOUR).await;
        assert!(matches!(&ended, Some(Err(error)) if error.class() == Class::NoContact), "{ended:?}");
    });
}

#[test]
fn a_sender_that_died_before_the_last_word_may_ask_again() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let recv = waiting(&net, &disk).await;
        let sender = Identity::generate().unwrap();
        let mut peers = Vec::new();
        for round in 0..2 {
            let connecting = Peer::connect(&net, SENDER, &sender, &recv.ticket);
            let mut peer = tokio::time::timeout(second(60), connecting).await.expect("nobody opens");
            peer.hello(1, Some(SECRET)).await;
            let answer = peer.reply().await;
            assert_eq!(answer, Some(Reply::Accepted), "connection {round}: no answer within a minute");
            peer.control(&[entries(0, vec![file("a", 3)]), finish(1)]).await;
            peer.data(0, b"abc", 0, 3).await;
            peer.replies_until(|reply| matches!(reply, Reply::Done { .. })).await;
            // Killed: it says nothing more, and what it is told goes nowhere.
            peers.push(peer);
        }
    });
}

// ---- Counts, words, leftovers -----------------------------------------------------------------------------------------------

#[test]
fn a_file_is_counted_once() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let sender = Identity::generate().unwrap();
        for round in 0..2 {
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[entries(0, vec![file("a", 3), file("b", 3)]), finish(2)]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
            if round == 0 {
                peer.data(0, b"abc", 0, 3).await;
                peer.replies_until(|reply| matches!(reply, Reply::Done { .. })).await;
                pass(second(1)).await;
                peer.connection.close(1u32.into(), b"killed");
                pass(second(1)).await;
            } else {
                peer.control(&[Control::Digest { entry: EntryId(0), digest: digest(b"abc") }]).await;
                peer.data(1, b"xyz", 0, 3).await;
                peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
                peer.connection.close(0u32.into(), b"");
            }
        }
        let summary = recv.ends(HOUR).await.unwrap().unwrap();
        let told: Vec<_> = recv.seen.events().into_iter().filter(|event| matches!(event, Event::File { .. })).collect();
        assert_eq!((told.len(), summary.bytes_literal + summary.bytes_matched), (2, 6), "{told:?}");
        assert!(!told.iter().any(|event| matches!(event, Event::File { action: Action::Identical, .. })));
    });
}

#[test]
fn nothing_is_left_of_a_file_that_changed_its_size() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let sender = Identity::generate().unwrap();
        let bytes = noise(1, 2 * CHUNK);
        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("x", 1), file("log", bytes.len())])]).await;
        peer.data(1, &bytes, 0, CHUNK).await;
        pass(second(2)).await;
        peer.connection.close(1u32.into(), b"killed");
        pass(second(2)).await;
        let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![file("log", 3)]), finish(1)]).await;
        peer.data(0, b"new", 0, 3).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        peer.connection.close(0u32.into(), b"");
        recv.ends(HOUR).await.unwrap().unwrap();
        assert_eq!(disk.partials(), None);
    });
}

#[test]
fn a_stopped_receiver_is_told_in_words() {
    let (source, _) = folder(&[("a", noise(1, 3_000_000))]);
    run(1, DAY, async |net| {
        net.path(SENDER, RECEIVER, Profile::plain(10.0, 20, 0.0));
        let recv = waiting(&net, &MemDisk::new()).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let stop = async {
            pass(second(1)).await;
            recv.cancel.send_replace(true);
        };
        let seen = Seen::new();
        let (sent, ()) = tokio::join!(honest(&env, source.path(), &recv.ticket, &seen), stop);
        let said = sent.unwrap_err().to_string();
        assert!(!said.contains("closed by peer"), "{said}");
    });
}

#[test]
fn identical_is_said_of_what_is_durable() {
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders::default());
        // As a run that was killed between giving the name and syncing the directory leaves it.
        disk.disk.plant(&path(&["a"]), Node::File { bytes: b"abc".to_vec(), meta: meta() });
        let recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let (source, _) = folder(&[("a", b"abc".to_vec())]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        assert!(disk.log().iter().any(|done| done.starts_with("sync_dir")), "{:?}", disk.log());
    });
}

#[test]
fn done_is_said_after_every_name_above_is_durable() {
    run(1, DAY, async |net| {
        let disk = Watched::new(Orders::default());
        let recv = waiting_for(&net, Arc::new(disk.clone()), HOUR, HOUR).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let inside = entry(Some(0), "f", Kind::File { size: 3 });
        peer.control(&[entries(0, vec![entry(None, "d", Kind::Directory), inside])]).await;
        peer.data(1, b"abc", 0, 3).await;
        peer.replies_until(|reply| matches!(reply, Reply::Done { .. })).await;
        assert!(disk.log().contains(&"sync_dir ".to_owned()), "the root was not synced: {:?}", disk.log());
    });
}
