//! What a receiver was told to take, whole transfers in the simulated network: each setting changes what comes about.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod meanwhile;
mod streams;

use crate::hostile::peer::*;
use crate::memdisk::{MemDisk, Node};
use crate::sim::{Net, run};
use resilient::class::Class;
use resilient::event::{Action, Event};
use resilient::integrity::digest;
use resilient::manifest::{EntryId, Kind, Meta};
use resilient::network::identity::Identity;
use resilient::pipeline::Policy;
use resilient::pipeline::policy::{Accept, ENTRY_COST, Existing};
use resilient::wire::control::Control;
use resilient::wire::reply::{Outcome, Reply};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn plant(disk: &MemDisk, name: &str, bytes: &[u8]) {
    disk.plant(&path(&[name]), Node::File { bytes: bytes.to_vec(), meta: Meta { mode: 0o600, ..meta() } });
}

async fn under(net: &Net, disk: &MemDisk, policy: Policy) -> Waiting {
    waiting_under(net, Arc::new(disk.clone()), HOUR, HOUR, policy).await
}

/// What one whole transfer came to: classes at both ends, bytes that crossed, and what was done with each file.
async fn transfer(
    net: &Net,
    source: &Path,
    disk: &MemDisk,
    policy: Policy,
) -> (Class, Class, u64, BTreeMap<String, Action>) {
    let mut recv = under(net, disk, policy).await;
    let env = env(net, SENDER, Arc::new(MemDisk::new()));
    let sent = honest(&env, source, &recv.ticket, &Seen::new()).await.unwrap();
    let received = recv.ends(HOUR).await.unwrap().unwrap();
    let action = |event: &Event| match event {
        Event::File { path, action, .. } => Some((String::from_utf8_lossy(&path.0).into_owned(), *action)),
        _ => None,
    };
    (sent.class, received.class, received.bytes_literal, recv.seen.events().iter().filter_map(action).collect())
}

/// A large and two small files, of which others stand there: of the same size, of another, and the same.
fn standing() -> (tempfile::TempDir, MemDisk, Vec<u8>) {
    let large = noise(1, 300_000);
    let files =
        [("large", large.clone()), ("other", b"12345".to_vec()), ("same", b"same".to_vec()), ("tiny", b"new".to_vec())];
    let (source, _) = folder(&files);
    let disk = MemDisk::new();
    plant(&disk, "large", &noise(2, 300_000));
    plant(&disk, "other", b"123");
    plant(&disk, "same", b"same");
    plant(&disk, "tiny", b"old");
    (source, disk, large)
}

#[test]
fn what_exists_is_replaced_where_that_was_said() {
    let (source, disk, large) = standing();
    run(1, DAY, async |net| {
        let policy = Policy { existing: Existing::Replace, ..Policy::default() };
        let (sent, received, bytes, actions) = transfer(&net, source.path(), &disk, policy.clone()).await;
        assert_eq!((sent, received, bytes), (Class::Done, Class::Done, 300_008));
        assert_eq!((actions["same"], actions["tiny"]), (Action::Identical, Action::Transferred));
        assert_eq!((files(&disk)["large"] == large, &files(&disk)["tiny"][..]), (true, &b"new"[..]));
        assert_eq!(disk.partials(), None);
        // What is there now is not sent again.
        let (_, _, bytes, actions) = transfer(&net, source.path(), &disk, policy).await;
        assert_eq!((bytes, actions["large"]), (0, Action::Identical));
    });
}

#[test]
fn what_exists_is_left_alone_where_that_was_said() {
    let (source, disk, _) = standing();
    let before = files(&disk);
    std::fs::write(source.path().join("z"), b"z").unwrap();
    run(1, DAY, async |net| {
        let policy = Policy { existing: Existing::Skip, ..Policy::default() };
        let (sent, received, bytes, actions) = transfer(&net, source.path(), &disk, policy).await;
        assert_eq!((sent, received, bytes), (Class::Done, Class::Done, 1));
        assert_eq!(
            (actions["large"], actions["same"], actions["z"]),
            (Action::Skipped, Action::Skipped, Action::Transferred)
        );
        assert!(before.iter().all(|(name, bytes)| files(&disk)[name] == *bytes));
    });
}

#[test]
fn what_comes_gets_another_name_where_that_was_said() {
    let (source, disk, large) = standing();
    run(1, DAY, async |net| {
        let policy = Policy { existing: Existing::Rename, ..Policy::default() };
        for round in 0..2 {
            let (sent, received, bytes, actions) = transfer(&net, source.path(), &disk, policy.clone()).await;
            let (expected, action) = if round == 0 { (300_008, Action::Transferred) } else { (0, Action::Identical) };
            assert_eq!((sent, received, bytes), (Class::Done, Class::Done, expected));
            assert_eq!(
                (actions["large (1)"], actions["other (1)"], actions["same"]),
                (action, action, Action::Identical)
            );
            assert_eq!(
                (files(&disk).len(), &files(&disk)["tiny"][..], &files(&disk)["tiny (1)"][..]),
                (7, &b"old"[..], &b"new"[..])
            );
            assert!(files(&disk)["large (1)"] == large);
        }
    });
}

#[test]
fn links_follow_the_same_policies() {
    let link = |target: &str| entry(None, "l", Kind::Symlink { target: target.as_bytes().to_vec() });
    let there = |target: &[u8]| Node::Symlink { target: target.to_vec(), mtime: meta().mtime };
    for (existing, outcome, at, other) in [
        (Existing::Replace, Some(Outcome::Transferred), "new", None),
        (Existing::Skip, Some(Outcome::Skipped), "old", None),
        (Existing::Rename, Some(Outcome::Transferred), "old", Some("new")),
        (Existing::Refuse, None, "old", None),
    ] {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            disk.plant(&path(&["l"]), there(b"old"));
            let recv = under(&net, &disk, Policy { existing, ..Policy::default() }).await;
            let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[entries(0, vec![link("new")]), finish(1)]).await;
            let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            let done = replies.iter().find_map(|reply| match reply {
                Reply::Done { outcome, .. } => Some(*outcome),
                _ => None,
            });
            assert_eq!(done, outcome);
            let target = |name: &str| match disk.tree().get(name.as_bytes()) {
                Some(Node::Symlink { target, .. }) => Some(String::from_utf8(target.clone()).unwrap()),
                _ => None,
            };
            assert_eq!((target("l").as_deref(), target("l (1)").as_deref()), (Some(at), other), "{existing:?}");
        });
    }
}

/// Totals in the hello are refused before anything is written; a sender that lies about them is stopped at the limit.
#[test]
fn limits_hold_for_what_is_said_and_for_what_is_done() {
    for (policy, said) in [
        (Policy { max_files: Some(2), ..Policy::default() }, (3, 1)),
        (Policy { max_size: Some(7), ..Policy::default() }, (1, 8)),
    ] {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let mut recv = under(&net, &disk, policy).await;
            let sender = Identity::generate().unwrap();
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            let (files, bytes) = said;
            peer.control(&[Control::Hello(resilient::wire::control::Hello { files, bytes, ..hello(1, Some(SECRET)) })])
                .await;
            assert!(matches!(peer.reply().await, Some(Reply::Refused(refusal)) if refusal.code == 45));
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            peer.hello(2, Some(SECRET)).await;
            peer.control(&[entries(0, vec![file("a", 3), file("b", 3), file("c", 3)]), finish(3)]).await;
            peer.data(0, b"one", 0, 3).await;
            peer.data(1, b"two", 0, 3).await;
            peer.data(2, b"six", 0, 3).await;
            let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            assert!(
                replies.iter().any(|reply| matches!(reply, Reply::Failed { entry: EntryId(2), code: 45, .. })),
                "{replies:?}"
            );
            peer.connection.close(0u32.into(), b"");
            assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Partial);
            assert_eq!(crate::hostile::peer::files(&disk).len(), 2);
        });
    }
}

/// Directories are made up to a bound that follows from the limit, and not anew by who comes back with others. Those that stand there
/// cost nothing.
#[test]
fn directories_are_limited_with_files() {
    let quota = 3 * ENTRY_COST + 3;
    for (policy, most) in [
        (Policy { max_files: Some(2), ..Policy::default() }, 2 + 64),
        (Policy { quota: Some(quota), ..Policy::default() }, 2),
    ] {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            disk.plant(&path(&["there"]), Node::Directory { meta: meta() });
            let mut recv = under(&net, &disk, policy).await;
            let sender = Identity::generate().unwrap();
            for round in 0..2 {
                let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
                peer.hello(1, Some(SECRET)).await;
                let mut manifest = vec![file("file", 3), entry(None, "there", Kind::Directory)];
                manifest.extend((0..100).map(|n| entry(None, &format!("{round}-{n}"), Kind::Directory)));
                manifest.push(entry(Some(101), "inside", Kind::Directory));
                peer.control(&[entries(0, manifest), finish(103)]).await;
                let replies = if round == 0 {
                    peer.replies_until(|reply| matches!(reply, Reply::Failed { entry: EntryId(102), .. })).await
                } else {
                    peer.control(&[Control::Digest { entry: EntryId(0), digest: digest(b"abc") }]).await;
                    peer.data(0, b"abc", 0, 3).await;
                    peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await
                };
                let refused = |reply: &&Reply| matches!(reply, Reply::Failed { code: 45, .. });
                let made = if round == 0 { most } else { 0 };
                assert_eq!(replies.iter().filter(refused).count(), 100 - made, "{replies:?}");
                peer.connection.close(0u32.into(), b"");
                pass(std::time::Duration::from_secs(1)).await;
            }
            assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Partial);
            assert_eq!(disk.tree().len(), 1 + most + 1);
        });
    }
}

/// Who comes back with other files gets no room for them beside those that it has brought.
#[test]
fn a_limit_holds_for_all_connections_of_a_session() {
    for policy in [
        Policy { max_files: Some(2), ..Policy::default() },
        Policy { max_size: Some(6), ..Policy::default() },
        Policy { quota: Some(2 * (ENTRY_COST + 3)), ..Policy::default() },
    ] {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let recv = under(&net, &disk, policy).await;
            let sender = Identity::generate().unwrap();
            for round in 0..3 {
                let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
                peer.hello(1, Some(SECRET)).await;
                // There is more to come, so the session goes on.
                peer.control(&[entries(0, vec![file(&format!("file {round}"), 3)])]).await;
                if round < 2 {
                    peer.control(&[Control::Digest { entry: EntryId(0), digest: digest(b"abc") }]).await;
                    peer.data(0, b"abc", 0, 3).await;
                    peer.replies_until(|reply| matches!(reply, Reply::Done { .. })).await;
                } else {
                    peer.replies_until(|reply| matches!(reply, Reply::Failed { code: 45, .. })).await;
                }
                peer.connection.close(0u32.into(), b"");
                pass(std::time::Duration::from_secs(1)).await;
            }
            assert_eq!(files(&disk).into_keys().collect::<Vec<_>>(), ["file 0", "file 1"]);
        });
    }
}

#[test]
fn what_does_not_match_is_refused_alone() {
    let (source, _) = folder(&[("a.jpg", b"a".to_vec()), ("d/b.jpg", b"b".to_vec()), ("d/c.exe", b"c".to_vec())]);
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let accept = Accept::new(|path| path.ends_with(b".jpg"));
        let (sent, received, ..) = transfer(&net, source.path(), &disk, Policy { accept, ..Policy::default() }).await;
        assert_eq!((sent, received), (Class::Partial, Class::Partial));
        assert_eq!(files(&disk).into_keys().collect::<Vec<_>>(), ["a.jpg", "d/b.jpg"]);
    });
}

#[test]
fn everything_goes_below_the_base_and_nothing_beside_it() {
    let (source, _) = folder(&[("a", b"a".to_vec())]);
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let policy = Policy { base: path(&["for", "bob"]), ..Policy::default() };
        assert_eq!(transfer(&net, source.path(), &disk, policy.clone()).await.1, Class::Done);
        assert_eq!(files(&disk).into_keys().collect::<Vec<_>>(), ["for/bob/a"]);
        // A link may not lead above it, though it would stay below the destination.
        let mut recv = under(&net, &disk, policy).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        peer.control(&[entries(0, vec![entry(None, "l", Kind::Symlink { target: b"../eve".to_vec() })]), finish(1)])
            .await;
        peer.replies_until(|reply| matches!(reply, Reply::Failed { .. })).await;
        peer.connection.close(0u32.into(), b"");
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Partial);
    });
}

/// Files that do not fit are refused before their first byte; the others complete.
#[test]
fn a_disk_that_is_too_full_fails_what_does_not_fit() {
    let (source, _) = folder(&[("a", noise(1, 1000)), ("big", noise(2, 400_000)), ("c", noise(3, 1000))]);
    run(1, DAY, async |net| {
        let disk = MemDisk::with_capacity(300_000);
        let mut recv = under(&net, &disk, Policy::default()).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let sent = honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        assert_eq!((sent.class, recv.ends(HOUR).await.unwrap().unwrap().class), (Class::FileIo, Class::FileIo));
        assert_eq!(files(&disk).into_keys().collect::<Vec<_>>(), ["a", "c"]);
        let failed = recv.seen.failed();
        assert_eq!((failed.len(), failed[0].2.as_str()), (1, "no space left on device"), "{failed:?}");
    });
}

/// Nothing is synced where that was said.
#[test]
fn durability_can_be_left_to_the_system() {
    let (source, _) = folder(&[("a", b"a".to_vec()), ("d/b", b"b".to_vec())]);
    run(1, DAY, async |net| {
        for fsync in [false, true] {
            let disk = MemDisk::new();
            transfer(&net, source.path(), &disk, Policy { fsync, ..Policy::default() }).await;
            assert_eq!((disk.syncs().files > 0, disk.syncs().directories > 0), (fsync, fsync));
        }
    });
}

// ---- Manifests ----------------------------------------------------------------------------------------------------------------

/// A directory that its owner may not write to is as it was when the sender is lost, has come back, and is done.
#[test]
fn a_directory_that_was_read_only_stays_so() {
    let mode = |disk: &MemDisk| match &disk.tree()[&b"d"[..]] {
        Node::Directory { meta } => meta.mode,
        other => panic!("{other:?}"),
    };
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        disk.plant(&path(&["d"]), Node::Directory { meta: Meta { mode: 0o555, ..meta() } });
        let mut recv = under(&net, &disk, Policy::default()).await;
        let sender = Identity::generate().unwrap();
        let inside =
            || entries(0, vec![entry(None, "d", Kind::Directory), entry(Some(0), "x", Kind::File { size: 3 })]);
        for round in 0..2 {
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[inside(), finish(2)]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
            assert_eq!(mode(&disk), 0o755);
            if round == 1 {
                peer.data(1, b"abc", 0, 3).await;
                peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            }
            peer.connection.close(0u32.into(), b"");
        }
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Done);
        assert_eq!(mode(&disk), 0o555);
    });
}

/// A directory is done as soon as it was left, and forgotten: nothing can come into it any more.
#[test]
fn a_directory_that_was_left_is_done_and_closed() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = under(&net, &disk, Policy::default()).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let (inner, x) = (entry(Some(0), "inner", Kind::Directory), entry(Some(1), "x", Kind::File { size: 3 }));
        peer.control(&[entries(0, vec![entry(None, "d", Kind::Directory), inner, x, file("after", 1)])]).await;
        peer.data(2, b"abc", 0, 3).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Done { first: EntryId(0), .. })).await;
        assert!(replies.iter().any(|reply| matches!(reply, Reply::Done { first: EntryId(1), .. })), "{replies:?}");
        for directory in ["d", "d/inner"] {
            assert!(matches!(&disk.tree()[directory.as_bytes()], Node::Directory { meta: set } if *set == meta()));
        }
        peer.control(&[entries(4, vec![entry(Some(0), "late", Kind::File { size: 1 })])]).await;
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap_err().class(), Class::Malformed);
    });
}

#[test]
fn a_manifest_replaces_nothing_of_its_own() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        plant(&disk, "a", b"old");
        let recv = under(&net, &disk, Policy { existing: Existing::Replace, ..Policy::default() }).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let same = entry(None, "a", Kind::Directory);
        peer.control(&[entries(0, vec![file("a", 3), file("a", 3), same]), finish(3)]).await;
        peer.data(0, b"one", 0, 3).await;
        peer.data(1, b"two", 0, 3).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        let failed =
            |id| replies.iter().any(|reply| matches!(reply, Reply::Failed { entry, code: 3, .. } if entry.0 == id));
        assert!(!failed(0) && failed(1) && failed(2), "{replies:?}");
        assert_eq!(files(&disk)["a"], b"one");
    });
}

#[test]
fn times_that_no_clock_has_are_malformed() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = under(&net, &disk, Policy::default()).await;
        let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
        peer.hello(1, Some(SECRET)).await;
        let mut wrong = file("a", 1);
        wrong.meta.mtime.nanoseconds = 1_000_000_000;
        peer.control(&[entries(0, vec![wrong])]).await;
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap_err().class(), Class::Malformed);
        assert!(disk.tree().is_empty());
    });
}

/// Counters are right after a connection was lost, though nothing is kept of what is done but eight bytes.
#[test]
fn directories_made_by_the_session_keep_the_mode_that_was_sent_over_a_reconnection() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        disk.plant(&path(&["old"]), Node::Directory { meta: Meta { mode: 0o700, ..meta() } });
        let mut recv = under(&net, &disk, Policy::default()).await;
        let sender = Identity::generate().unwrap();
        let manifest = || vec![entry(None, "new", Kind::Directory), entry(None, "old", Kind::Directory), file("z", 3)];
        for round in 0..2 {
            let mut peer = Peer::connect(&net, SENDER, &sender, &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[entries(0, manifest()), finish(3)]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
            if round == 0 {
                peer.connection.close(1u32.into(), b"killed");
                pass(std::time::Duration::from_secs(1)).await;
            } else {
                peer.control(&[Control::Digest { entry: EntryId(2), digest: digest(b"abc") }]).await;
                peer.data(2, b"abc", 0, 3).await;
                peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
                peer.connection.close(0u32.into(), b"");
            }
        }
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Done);
        let mode = |name: &str| match disk.tree()[name.as_bytes()] {
            Node::Directory { meta } => meta.mode,
            _ => 0,
        };
        assert_eq!((mode("new"), mode("old")), (0o644, 0o700));
    });
}
