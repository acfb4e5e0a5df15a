//! A receiver of several transfers, and a sender that waits to be dialled, in virtual time: real senders and receivers, and peers by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod crowd;
mod pipe;
mod silence;

use crate::hostile::peer::*;
use crate::memdisk::MemDisk;
use crate::sim::{Net, Profile, run};
use resilient::class::Class;
use resilient::event::Event;
use resilient::network::identity::Identity;
use resilient::pipeline::{
    Cancel, Env, Error, Family, Listen, Offering, Pipe, Policy, Ports, PullOptions, RecvOptions, RetryFor, SendOptions,
    Stay, Stop, Summary, offer, pull, recv,
};
use resilient::ticket::Ticket;
use resilient::trust::authorized::Grant;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A receiver that runs, whoever may come.
struct Receiver {
    seen: Arc<Seen>,
    task: JoinHandle<Result<Summary, Error>>,
    cancel: watch::Sender<bool>,
    /// Whom a sender with an authorised key dials.
    address: Ticket,
}

/// Receives into `disk`; `authorized` may come without a ticket. Every ticket has another secret.
fn receiver(net: &Net, disk: &MemDisk, options: RecvOptions, authorized: Vec<(Arc<Identity>, Grant)>) -> Receiver {
    let next = AtomicU8::new(1);
    let env = Env {
        random: Arc::new(move |bytes| bytes.fill(next.fetch_add(1, Ordering::Relaxed))),
        authorized: Arc::new(move |node| {
            let known = authorized.iter().find(|(identity, _)| identity.node_id() == node);
            Ok(known.map(|(_, grant)| grant.clone()))
        }),
        ..env(net, RECEIVER, Arc::new(disk.clone()))
    };
    let options = RecvOptions { listen: Listen { address: Some(RECEIVER), ..Listen::default() }, ..options };
    let address = Ticket::new(env.identity.node_id(), [(RECEIVER, 27183).into()], None);
    let (cancel, cancelled) = Cancel::channel();
    let seen = Seen::new();
    let observer = seen.clone();
    let task = tokio::spawn(async move { recv(&env, options, observer, cancelled).await });
    Receiver { seen, task, cancel, address }
}

fn tickets(seen: &Seen) -> Vec<Ticket> {
    let ticket = |event: &Event| match event {
        Event::Ticket { uri } => Some(uri.parse().unwrap()),
        _ => None,
    };
    seen.events().iter().filter_map(ticket).collect()
}

fn grant() -> Grant {
    Grant { name: None, dir: None, quota: None }
}

fn host(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, n))
}

fn sender(net: &Net, n: u8) -> Env {
    env(net, host(n), Arc::new(MemDisk::new()))
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn keep(tickets: bool) -> RecvOptions {
    RecvOptions { stay: Stay::Keep { tickets }, ..RecvOptions::into_dir(".") }
}

fn class(result: &Result<Summary, Error>) -> Class {
    result.as_ref().map_or_else(Error::class, |summary| summary.class)
}

#[test]
fn eight_senders_at_once_each_get_a_session_of_their_own() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let senders: Vec<Env> = (1..=8).map(|n| sender(&net, n)).collect();
        let known = senders.iter().map(|env| (env.identity.clone(), grant())).collect();
        for n in 1..=8 {
            net.path(host(n), RECEIVER, Profile::plain(10.0, 40, 0.2));
        }
        let receiver = receiver(&net, &disk, keep(false), known);
        let mut sending = Vec::new();
        for (n, env) in senders.into_iter().enumerate() {
            let (source, _) = folder(&[(["a", "b", "c", "d", "e", "f", "g", "h"][n], noise(n as u64, 300_000))]);
            let address = receiver.address.clone();
            sending.push(tokio::spawn(async move { honest(&env, source.path(), &address, &Seen::new()).await }));
        }
        for sent in sending {
            assert_eq!(class(&sent.await.unwrap()), Class::Done);
        }
        let there = files(&disk);
        assert_eq!(there.len(), 8);
        assert!(there.iter().all(|(name, bytes)| *bytes == noise(u64::from(name.as_bytes()[0] - b'a'), 300_000)));
        pass(second(30)).await;
        assert!(tickets(&receiver.seen).is_empty());
        let ends = receiver.seen.events();
        assert_eq!(ends.iter().filter(|event| matches!(event, Event::SessionEnd { exit: 0, .. })).count(), 8);
        assert!(!receiver.task.is_finished());
        receiver.cancel.send_replace(true);
        assert!(matches!(receiver.task.await.unwrap(), Err(Error::Interrupted)));
        assert_eq!(disk.partials(), None);
    });
}

#[test]
fn a_stranger_writes_nothing_and_both_are_told_why() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let receiver = receiver(&net, &disk, keep(false), Vec::new());
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = sender(&net, 1);
        let refused = honest(&env, source.path(), &receiver.address, &Seen::new()).await.unwrap_err();
        assert_eq!(refused.class(), Class::Authentication);
        assert_eq!(refused.to_string(), "receiver: asks for an authorised key; this sender's is not");
        let advice = format!("to let it in always: resilient key allow {}", env.identity.node_id());
        let warned = |event: &Event| matches!(event, Event::Warning { message } if message.ends_with(&advice));
        assert!(receiver.seen.events().iter().any(warned), "{:?}", receiver.seen.events());
        assert!(files(&disk).is_empty());
        assert_eq!(disk.partials(), None);
    });
}

#[test]
fn more_than_a_quota_is_refused_before_anything_is_written() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let env = sender(&net, 1);
        let known = vec![(env.identity.clone(), Grant { quota: Some(999), ..grant() })];
        let receiver = receiver(&net, &disk, keep(false), known);
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let refused = honest(&env, source.path(), &receiver.address, &Seen::new()).await;
        assert_eq!(class(&refused), Class::Refused);
        assert!(files(&disk).is_empty());
    });
}

#[test]
fn each_of_several_tickets_admits_one_sender() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let options = RecvOptions { stay: Stay::Count(2), ..RecvOptions::into_dir(".") };
        let receiver = receiver(&net, &disk, options, Vec::new());
        pass(second(1)).await;
        let first = tickets(&receiver.seen);
        assert_eq!(first.len(), 1);
        let (source, _) = folder(&[("a", noise(1, 200_000))]);
        assert_eq!(class(&honest(&sender(&net, 1), source.path(), &first[0], &Seen::new()).await), Class::Done);
        let both = tickets(&receiver.seen);
        assert_eq!(both.len(), 2);
        // Another key with the ticket that is spent.
        let (other, _) = folder(&[("b", noise(2, 200_000))]);
        let refused = honest(&sender(&net, 2), other.path(), &both[0], &Seen::new()).await;
        assert_eq!(class(&refused), Class::Authentication);
        assert_eq!(class(&honest(&sender(&net, 2), other.path(), &both[1], &Seen::new()).await), Class::Done);
        let summary = receiver.task.await.unwrap().unwrap();
        assert_eq!((summary.class, summary.files, summary.bytes_literal), (Class::Done, 2, 400_000));
        assert_eq!(tickets(&receiver.seen).len(), 2);
        assert_eq!(files(&disk).len(), 2);
    });
}

#[test]
fn a_session_that_fails_ends_alone_and_decides_the_status() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let (bad, good) = (Arc::new(Identity::generate().unwrap()), sender(&net, 1));
        let known = vec![(bad.clone(), grant()), (good.identity.clone(), grant())];
        net.path(host(1), RECEIVER, Profile::plain(10.0, 20, 0.0));
        let options = RecvOptions { stay: Stay::Count(2), ..RecvOptions::into_dir(".") };
        let receiver = receiver(&net, &disk, options, known);
        let (source, _) = folder(&[("a", noise(1, 4_000_000))]);
        let address = receiver.address.clone();
        let sending = tokio::spawn(async move { honest(&good, source.path(), &address, &Seen::new()).await });
        pass(second(1)).await;
        let mut peer = Peer::connect(&net, STRANGER, &bad, &receiver.address).await;
        peer.hello(1, None).await;
        peer.control(&[finish(7)]).await;
        assert_eq!(class(&sending.await.unwrap()), Class::Done);
        let ended = receiver.task.await.unwrap();
        assert!(
            matches!(ended, Err(Error::Transfers { failed: 1, transfers: 2, class: Class::Malformed })),
            "{ended:?}"
        );
        assert_eq!(files(&disk)["a"], noise(1, 4_000_000));
    });
}

#[test]
fn a_flood_of_wrong_hellos_does_not_keep_a_sender_out() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let good = sender(&net, 1);
        let receiver = receiver(&net, &disk, keep(true), vec![(good.identity.clone(), grant())]);
        let (identity, address) = (Identity::generate().unwrap(), receiver.address.clone());
        let (flooded, source) = (net.clone(), folder(&[("a", noise(1, 100_000))]).0);
        let flood = tokio::spawn(async move {
            let (mut heard, mut peers) = (0, Vec::new());
            for n in 0..300_u32 {
                pass(Duration::from_millis(20)).await;
                if let Ok(mut peer) = Peer::connect_with(&flooded, STRANGER, &identity, &address, 1).await {
                    peer.hello(1, Some([n as u8; 16])).await;
                    heard += 1;
                    peers.push(peer);
                }
            }
            heard
        });
        pass(second(2)).await;
        let sent = honest(&good, source.path(), &receiver.address, &Seen::new()).await;
        assert_eq!(class(&sent), Class::Done);
        let heard = flood.await.unwrap();
        assert!(heard < 100, "{heard} of 300 attempts were looked at");
        let warnings = receiver.seen.events().iter().filter(|event| matches!(event, Event::Warning { .. })).count();
        assert!((1..=15).contains(&warnings), "{warnings}");
    });
}

/// Whoever connects to an offer and says nothing does not keep the right one waiting.
#[test]
fn silent_strangers_do_not_keep_a_receiver_from_an_offer() {
    run(1, DAY, async |net| {
        let (source, expected) = folder(&[("a", noise(1, 1000))]);
        let offer = offered(&net, source.path(), Offering::default()).await;
        let (identity, mut silent) = (Identity::generate().unwrap(), Vec::new());
        for _ in 0..64 {
            silent.extend(Peer::connect_with(&net, STRANGER, &identity, &offer.ticket, 1).await.ok());
        }
        assert!(silent.len() >= 8);
        let disk = MemDisk::new();
        let before = net.elapsed();
        assert_eq!(class(&pulled(&net, RECEIVER, &disk, &offer.ticket).await), Class::Done);
        assert!(net.elapsed().checked_sub(before).unwrap() < second(10));
        assert_eq!(class(&offer.task.await.unwrap()), Class::Done);
        assert_eq!(files(&disk), expected);
    });
}

#[test]
fn nobody_comes_in_time() {
    run(1, DAY, async |net| {
        for stay in [Stay::Once, Stay::Count(3), Stay::Keep { tickets: false }] {
            let options = RecvOptions { stay, wait_for: Some(second(90)), ..RecvOptions::into_dir(".") };
            let receiver = receiver(&net, &MemDisk::new(), options, Vec::new());
            let before = net.elapsed();
            assert_eq!(class(&receiver.task.await.unwrap()), Class::NoContact);
            assert_eq!(net.elapsed().checked_sub(before).unwrap().as_secs(), 90, "{stay:?}");
        }
    });
}

#[test]
fn a_receiver_that_is_stopped_before_it_has_answered_ends_the_sender_at_once() {
    run(1, DAY, async |net| {
        let lair = lair(&net);
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let (ticket, seen) = (lair.ticket.clone(), Seen::new());
        let stop = async {
            let liar = lair.accept().await;
            liar.heard().await;
            liar.connection.close(4u32.into(), b"");
            pass(second(1)).await;
        };
        let (sent, ()) = tokio::join!(honest(&env, source.path(), &ticket, &seen), stop);
        assert!(matches!(sent, Err(Error::Gone)), "{sent:?}");
        assert!(net.elapsed() < second(5), "{:?}", net.elapsed());
    });
}

#[test]
fn a_ticket_without_an_address_is_not_made() {
    run(1, DAY, async |net| {
        let (source, _) = folder(&[("a", noise(1, 1000))]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let listen = Listen { address: Some(SENDER), ..Listen::default() };
        let options = RecvOptions { listen, family: Family::V6, ..RecvOptions::into_dir(".") };
        let (_keep, cancel) = Cancel::channel();
        let seen = Seen::new();
        let waited = recv(&env, options, seen.clone(), cancel.clone()).await;
        assert!(matches!(waited, Err(Error::Address(_))), "{waited:?}");
        let nobody = Ticket::new(env.identity.node_id(), [], None);
        let options = SendOptions { family: Family::V6, ..send_options(source.path(), &nobody) };
        let offered = offer(&env, options, Offering { listen, ..Offering::default() }, seen.clone(), cancel).await;
        assert!(matches!(offered, Err(Error::Address(_))), "{offered:?}");
        assert!(tickets(&seen).is_empty());
    });
}

// ---- Offers -----------------------------------------------------------------------------------------------------------------

/// A sender that waits.
struct Offer {
    seen: Arc<Seen>,
    task: JoinHandle<Result<Summary, Error>>,
    cancel: watch::Sender<bool>,
    ticket: Ticket,
}

async fn offered(net: &Net, source: &Path, offering: Offering) -> Offer {
    offered_of(net, source, None, offering).await
}

async fn offered_of(net: &Net, source: &Path, pipe: Option<Pipe>, offering: Offering) -> Offer {
    let env = env(net, SENDER, Arc::new(MemDisk::new()));
    let offering = Offering { listen: Listen { address: Some(SENDER), ..Listen::default() }, ..offering };
    let mut options = send_options(source, &Ticket::new(env.identity.node_id(), [], None));
    options.pipe = pipe;
    let (cancel, cancelled) = Cancel::channel();
    let seen = Seen::new();
    let observer = seen.clone();
    let task = tokio::spawn(async move { offer(&env, options, offering, observer, cancelled).await });
    pass(second(1)).await;
    let ticket = tickets(&seen).remove(0);
    Offer { seen, task, cancel, ticket }
}

fn pull_options(ticket: &Ticket) -> PullOptions {
    PullOptions {
        dir: ".".into(),
        peer: ticket.clone().into(),
        ports: Ports::default(),
        policy: Policy::default(),
        lock: None,
        timeout: second(60),
        stop: Stop::default(),
        family: Family::Any,
        contimeout: second(60),
        retry_for: RetryFor::Span(HOUR),
        allowed: None,
    }
}

async fn pulled(net: &Net, host: IpAddr, disk: &MemDisk, ticket: &Ticket) -> Result<Summary, Error> {
    let options = pull_options(ticket);
    let (_keep, cancel) = Cancel::channel();
    pull(&env(net, host, Arc::new(disk.clone())), options, Seen::new(), cancel).await
}

#[test]
fn a_pull_arrives_through_loss_and_an_outage() {
    for seed in 1..=10 {
        run(seed, DAY, async |net| {
            let disk = MemDisk::new();
            let outages = vec![(second(4), second(20))];
            net.path(SENDER, RECEIVER, Profile { outages, ..Profile::plain(4.0, 60, 0.25) });
            let (source, expected) = folder(&[("a", noise(1, 3_000_000)), ("b", noise(2, 500)), ("c", noise(3, 0))]);
            let offer = offered(&net, source.path(), Offering::default()).await;
            let received = pulled(&net, RECEIVER, &disk, &offer.ticket).await.unwrap();
            assert_eq!((received.class, received.bytes_literal), (Class::Done, 3_000_500), "seed {seed}");
            assert_eq!(class(&offer.task.await.unwrap()), Class::Done, "seed {seed}");
            assert_eq!(files(&disk), expected, "seed {seed}");
            assert_eq!(disk.partials(), None);
        });
    }
}

#[test]
fn a_receiver_that_dials_again_goes_on_where_it_was() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        net.path(SENDER, RECEIVER, Profile::plain(4.0, 30, 0.0));
        let (source, expected) = folder(&[("a", noise(1, 4_000_000))]);
        let offer = offered(&net, source.path(), Offering::default()).await;
        let env = env(&net, RECEIVER, Arc::new(disk.clone()));
        let options = pull_options(&offer.ticket);
        // The first one is interrupted by its user; the same command is typed again.
        let (cancel, cancelled) = Cancel::channel();
        let first = pull(&env, options.clone(), Seen::new(), cancelled);
        let stop = async {
            pass(second(4)).await;
            cancel.send_replace(true);
        };
        let (first, ()) = tokio::join!(first, stop);
        assert!(matches!(first, Err(Error::Interrupted)), "{first:?}");
        assert!(!offer.task.is_finished());
        let (_keep, cancelled) = Cancel::channel();
        let again = pull(&env, options, Seen::new(), cancelled).await;
        assert_eq!(class(&again), Class::Done, "{again:?}");
        assert_eq!(class(&offer.task.await.unwrap()), Class::Done);
        assert_eq!(files(&disk), expected);
    });
}

#[test]
fn an_offer_serves_only_the_first_key_that_shows_its_ticket() {
    run(1, DAY, async |net| {
        let (source, expected) = folder(&[("a", noise(1, 1_000_000))]);
        net.path(SENDER, RECEIVER, Profile::plain(1.0, 30, 0.0));
        let offer = offered(&net, source.path(), Offering::default()).await;
        let none = Ticket { secret: None, ..offer.ticket.clone() };
        let disk = MemDisk::new();
        let refused = pulled(&net, STRANGER, &disk, &none).await;
        assert!(matches!(&refused, Err(Error::Refused { class: Class::Authentication, .. })), "{refused:?}");
        let (first, second_one) = (MemDisk::new(), async {
            pass(second(3)).await;
            pulled(&net, STRANGER, &disk, &offer.ticket).await
        });
        let (received, late) = tokio::join!(pulled(&net, RECEIVER, &first, &offer.ticket), second_one);
        assert_eq!((class(&received), class(&late)), (Class::Done, Class::Authentication), "{late:?}");
        assert_eq!(class(&offer.task.await.unwrap()), Class::Done);
        assert_eq!(files(&first), expected);
        assert!(files(&disk).is_empty());
    });
}

#[test]
fn an_offer_that_nobody_takes_ends() {
    run(1, DAY, async |net| {
        let (source, _) = folder(&[("a", noise(1, 10))]);
        let waits = Offering { wait_for: Some(second(30)), ..Offering::default() };
        let offer = offered(&net, source.path(), waits).await;
        assert_eq!(class(&offer.task.await.unwrap()), Class::NoContact);
        assert_eq!(net.elapsed().as_secs(), 30);
        let lives = Offering { ticket_life: second(50), ..Offering::default() };
        let offer = offered(&net, source.path(), lives).await;
        assert!(matches!(offer.task.await.unwrap(), Err(Error::NobodyCame)));
        let offer = offered(&net, source.path(), Offering::default()).await;
        offer.cancel.send_replace(true);
        assert!(matches!(offer.task.await.unwrap(), Err(Error::Interrupted)));
        assert_eq!(offer.seen.failed(), []);
    });
}
