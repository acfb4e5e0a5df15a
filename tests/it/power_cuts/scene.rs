//! One transfer that is run again and again, after each cut by the same two commands: what is sent, what stands there before, and what
//! must stand there in the end.

use super::disk::Watched;
use super::journal::{Event, Journal, Tree};
use super::store::{self, Sessions};
use crate::hostile::peer::{DAY, HOUR, RECEIVER, SENDER, Seen, env, noise, path, send_options};
use crate::memdisk::Node;
use crate::sim::{Profile, Rng, run};
use crate::transfers;
use jiff::Timestamp;
use resilient::class::Class;
use resilient::event::{self, Action, Observer};
use resilient::manifest::{FileTime, Meta};
use resilient::network::identity::Identity;
use resilient::pipeline::policy::Existing;
use resilient::pipeline::{self, Cancel, Env, Listen, Policy, RecvOptions, RetryFor, recv, send};
use resilient::session::Store;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A transfer and its ends.
pub(super) struct Scene {
    seed: u64,
    source: transfers::Tree,
    policy: Policy,
    /// What stands there before and, at the paths of `changed`, something else afterwards.
    pub(super) before: Tree,
    pub(super) after: Tree,
    /// Paths that the transfer may change.
    pub(super) changed: BTreeSet<Vec<u8>>,
    identities: [Arc<Identity>; 2],
    store: Arc<Store>,
    _home: tempfile::TempDir,
}

/// One run of both commands.
pub(super) struct Ran {
    /// What happened at the receiver.
    pub(super) journal: Journal,
    /// File bytes that crossed the network.
    pub(super) bytes: u64,
}

/// Tells the watched disk what the sender is told.
struct Told(Watched, Arc<Seen>);

impl Observer for Told {
    fn event(&self, event: &event::Event) {
        if let event::Event::File { path, action: Action::Transferred | Action::Identical, .. } = event {
            self.0.note(Event::Told(path.0.clone()));
        }
        self.1.event(event);
    }
}

/// The clock on the wall, which stands still.
fn wall() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn old(bytes: Vec<u8>) -> Node {
    Node::File { bytes, meta: Meta { mode: 0o600, mtime: FileTime { seconds: 1, nanoseconds: 2 } } }
}

/// Where nothing stands, over what stands there, beside it, in a new folder: what is done with a seed.
const MANNERS: u64 = 4;

impl Scene {
    pub(super) fn new(seed: u64) -> Scene {
        let mut rng = Rng::of([seed, 0x706f_7765]);
        let mut source = transfers::Tree::empty();
        let large = 560_000 + rng.bits() as usize % 300_000;
        for (number, (name, size)) in [
            ("large", large),
            ("d/medium", large / 4),
            ("d/e/one", 700),
            ("d/two", 3000),
            ("d/none", 0),
            ("same", 1500),
            ("few", 20),
        ]
        .into_iter()
        .enumerate()
        {
            source.add(name, &noise(seed * 100 + number as u64, size));
        }
        std::fs::create_dir(source.dir.path().join("d/nothing")).unwrap();
        std::os::unix::fs::symlink("two", source.dir.path().join("d/link")).unwrap();
        source.date(&mut rng);
        let sent = source.expected();
        let (mut before, mut policy) = (Tree::new(), Policy::default());
        before.insert(b"other".to_vec(), old(b"somebody else's".to_vec()));
        let mut after: Tree = sent.clone();
        match seed % MANNERS {
            0 => {}
            manner @ (1 | 2) => {
                before.extend([
                    (b"d".to_vec(), sent[&b"d"[..]].clone()),
                    (b"d/two".to_vec(), old(b"old".to_vec())),
                    (b"large".to_vec(), old(noise(seed, large))),
                    (b"same".to_vec(), sent[&b"same"[..]].clone()),
                ]);
                if manner == 1 {
                    policy.existing = Existing::Replace;
                    let target = b"nowhere".to_vec();
                    before.insert(b"d/link".to_vec(), Node::Symlink { target, mtime: FileTime::default() });
                } else {
                    policy.existing = Existing::Rename;
                    for name in ["large", "d/two"] {
                        let new = after.insert(name.into(), before[name.as_bytes()].clone()).unwrap();
                        after.insert(format!("{name} (1)").into(), new);
                    }
                }
            }
            _ => {
                policy.base = path(&["in", "box"]);
                after = sent.into_iter().map(|(path, node)| ([b"in/box/", &path[..]].concat(), node)).collect();
                for path in ["in", "in/box"] {
                    let meta = Meta { mode: 0o700, mtime: FileTime::default() };
                    after.insert(path.into(), Node::Directory { meta });
                }
            }
        }
        let changed = after.keys().filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
        after.insert(b"other".to_vec(), before[&b"other"[..]].clone());
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(home.path()).unwrap().store);
        let identities = [0, 1].map(|_| Arc::new(Identity::generate().unwrap()));
        Scene { seed, source, policy, before, after, changed, identities, store, _home: home }
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.source.bytes
    }

    /// Runs both commands on what is left of the disk and of the store, to their good end.
    pub(super) fn run(&self, disk: Journal, sessions: &Sessions) -> Ran {
        store::write(&self.store, sessions, wall());
        let disk = Watched::after(disk, self.store.clone());
        let bytes = run(self.seed, DAY, async |net| {
            net.path(SENDER, RECEIVER, Profile::plain(2.0, 20, 0.05));
            let (seen, (_keep, cancel)) = (Seen::new(), Cancel::channel());
            let [sender, receiver] = [(SENDER, 0), (RECEIVER, 1)].map(|(host, number)| Env {
                identity: self.identities[number].clone(),
                seed: Some(2 * self.seed + number as u64),
                ..env(&net, host, Arc::new(disk.clone()))
            });
            let looks = disk.clone();
            let now = move || {
                looks.look_at_store(false);
                wall()
            };
            let sessions = pipeline::Sessions {
                store: self.store.clone(),
                wall: Arc::new(now),
                command: None,
                location: String::new(),
            };
            let receiver = Env { sessions: Some(sessions), ..receiver };
            let options = RecvOptions {
                listen: Listen { address: Some(RECEIVER), ..Listen::default() },
                retry_for: RetryFor::Span(HOUR),
                policy: self.policy.clone(),
                ..RecvOptions::into_dir("inbox")
            };
            let observer = Arc::new(Told(disk.clone(), seen.clone()));
            let receiving = tokio::spawn({
                let cancel = cancel.clone();
                async move { recv(&receiver, options, observer, cancel).await }
            });
            let options = send_options(self.source.dir.path(), &seen.ticket().await);
            let sent = send(&sender, options, Seen::new(), cancel).await.unwrap();
            disk.note(Event::Complete);
            let received = receiving.await.unwrap().unwrap();
            assert_eq!((sent.class, received.class), (Class::Done, Class::Done), "{:?}", seen.failed());
            received.bytes_literal
        });
        let (stands, partials) = disk.stands();
        assert!(stands == self.after, "something else has arrived: {:?}", self.differences(&stands));
        // What proves that a destination can be written to is swept by its age.
        let left: Vec<_> = partials.iter().flatten().filter(|name| !name.starts_with(&"0".repeat(32))).collect();
        assert!(left.is_empty(), "unfinished files are left: {left:?}");
        Ran { journal: disk.journal(), bytes }
    }

    /// Paths at which something else stands than is to.
    fn differences(&self, stands: &Tree) -> Vec<String> {
        let paths: BTreeSet<_> = stands.keys().chain(self.after.keys()).collect();
        let different = paths.into_iter().filter(|path| stands.get(*path) != self.after.get(*path));
        different.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }
}
