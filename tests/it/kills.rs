//! What the end of a process costs in bytes on the link, in virtual time: the same is run again and again.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::hostile::peer::{HOUR, RECEIVER, SENDER, Seen, env, send_options};
use crate::memdisk::{MemDisk, Node};
use crate::sim::{Net, Profile, Rng, run, seeds};
use jiff::Timestamp;
use resilient::event::{Event, Observer};
use resilient::network::identity::Identity;
use resilient::pipeline::{Cancel, Env, Error, Listen, RecvOptions, RetryFor, Sessions, Summary, recv, send};
use resilient::session::Store;
use resilient::ticket::Ticket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const BYTES: usize = 6_000_000;

/// Hands the ticket on.
struct Told(watch::Sender<Option<Ticket>>);

impl Observer for Told {
    fn event(&self, event: &Event) {
        if let Event::Ticket { uri } = event {
            self.0.send_replace(Some(uri.parse().unwrap()));
        }
    }
}

/// The two hosts: what lasts of them from one process to the next.
struct Hosts<'a> {
    net: &'a Net,
    identities: [Arc<Identity>; 2],
    disk: MemDisk,
    state: &'a Path,
    source: &'a Path,
}

impl Hosts<'_> {
    fn env(&self, host: std::net::IpAddr, seed: u64) -> Env {
        let identity = self.identities[usize::from(host == SENDER)].clone();
        Env { identity, seed: Some(seed), ..env(self.net, host, Arc::new(self.disk.clone())) }
    }

    /// A receiver that remembers.
    fn recv(&self, seed: u64) -> Running {
        let store = Store::open(self.state).unwrap().store;
        let wall = Arc::new(|| Timestamp::from_second(1_800_000_000).unwrap());
        let env = Env { sessions: Some(Sessions::new(store, wall).unwrap()), ..self.env(RECEIVER, seed) };
        let (tell, told) = watch::channel(None);
        let (cancel, cancelled) = Cancel::channel();
        let task = tokio::spawn(async move {
            let options = RecvOptions {
                listen: Listen { address: Some(RECEIVER), ..Listen::default() },
                ticket_life: HOUR,
                retry_for: RetryFor::Span(HOUR),
                ..RecvOptions::into_dir(".")
            };
            recv(&env, options, Arc::new(Told(tell)), cancelled).await
        });
        Running { task, _cancel: cancel, told }
    }

    fn send(&self, ticket: &Ticket, seed: u64) -> JoinHandle<Result<Summary, Error>> {
        let (env, options) = (self.env(SENDER, seed), send_options(self.source, ticket));
        tokio::spawn(async move {
            let (_keep, cancel) = Cancel::channel();
            send(&env, options, Seen::new(), cancel).await
        })
    }
}

/// A receiver that runs.
struct Running {
    task: JoinHandle<Result<Summary, Error>>,
    _cancel: watch::Sender<bool>,
    told: watch::Receiver<Option<Ticket>>,
}

/// Bytes on the link there of a transfer in which the sender ended where it stood after each of `kills`.
fn bytes(kills: &[Duration], seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::of([1]);
    let content: Vec<u8> = (0..BYTES / 8).flat_map(|_| rng.bits().to_le_bytes()).collect();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), &content).unwrap();
    run(seed, HOUR, async |net: Net| {
        net.everywhere(Profile::named("disaster-fast").unwrap());
        let hosts = Hosts {
            net: &net,
            identities: [(); 2].map(|()| Arc::new(Identity::generate().unwrap())),
            disk: MemDisk::new(),
            state: &folder.path().join("state"),
            source: &source,
        };
        // Two endpoints of one seed choose the same connection IDs.
        let mut fresh = 1000 * seed..;
        let mut next = || fresh.next().unwrap();
        let mut receiver = hosts.recv(next());
        let ticket = receiver.told.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let mut sender = hosts.send(&ticket, next());
        for after in kills {
            tokio::time::sleep(*after).await;
            assert!(!sender.is_finished());
            sender.abort();
            assert!(sender.await.unwrap_err().is_cancelled());
            // A process takes a moment to be there.
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender = hosts.send(&ticket, next());
        }
        sender.await.unwrap().unwrap();
        receiver.task.await.unwrap().unwrap();
        let arrived = hosts.disk.tree();
        assert!(matches!(&arrived[&b"file"[..]], Node::File { bytes, .. } if *bytes == content));
        net.stats_of(SENDER, RECEIVER).bytes
    })
}

/// What a kill costs on average over some seeds, three kills a transfer.
fn cost() -> u64 {
    let kills = [2100, 1700, 1300].map(Duration::from_millis);
    let costs = seeds(0..5, |seed| bytes(&kills, seed) - bytes(&[], seed));
    costs.iter().sum::<u64>() / (costs.len() * kills.len()) as u64
}

/// 1.25 MB are a second of this link.
#[test]
fn the_end_of_a_sender_costs_less_than_what_was_not_whole() {
    let cost = cost();
    assert!(cost < 500_000, "{cost} bytes each");
}
