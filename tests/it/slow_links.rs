//! Radio and satellite telephones in virtual time, both ends told of the link: how long 10 kB take, and that nothing is sent in vain.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::hostile::peer::{HOUR, RECEIVER, SENDER, Seen, env, send_options};
use crate::memdisk::MemDisk;
use crate::sim::{Net, Profile, Rng, run, seeds};
use resilient::class::Class;
use resilient::event::{Event, Observer};
use resilient::link::Link;
use resilient::pipeline::{Cancel, Env, Listen, RecvOptions, RetryFor, SendOptions, recv, send};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const BYTES: usize = 10_000;

/// A link with its queue in bytes.
fn slow(bits: u64, delay: u64, loss: f64, queue: u64) -> Profile {
    let queue = Duration::from_millis(queue * 8000 / bits);
    Profile { queue, ..Profile::plain(bits as f64 / 1e6, delay, loss) }
}

fn hf(loss: f64) -> Profile {
    slow(9600, 900, loss, 6000)
}

fn iridium(loss: f64) -> Profile {
    slow(2400, 700, loss, 4000)
}

/// Hands the ticket on and notes when the file had its name.
struct Watch {
    net: Net,
    ticket: watch::Sender<Option<String>>,
    named: Mutex<Option<Duration>>,
    warned: Mutex<Vec<String>>,
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        match event {
            Event::Ticket { uri } => drop(self.ticket.send_replace(Some(uri.clone()))),
            Event::Warning { message } => self.warned.lock().unwrap().push(message.clone()),
            Event::File { .. } => *self.named.lock().unwrap() = Some(self.net.elapsed()),
            _ => {}
        }
    }
}

struct Done {
    named: Duration,
    ended: Duration,
    packets: u64,
    sent: u64,
    /// What the receiver was warned of.
    warned: Vec<String>,
}

/// Which ends are given `--link`.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Both,
    Sender,
    Receiver,
    Neither,
}

fn transfer(profile: &Profile, seed: u64, told: Told) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::of([1]);
    let content: Vec<u8> = (0..BYTES / 8).flat_map(|_| rng.bits().to_le_bytes()).collect();
    std::fs::write(folder.path().join("file"), content).unwrap();
    run(seed, HOUR, async |net: Net| {
        net.everywhere(profile.clone());
        let disk = MemDisk::new();
        let world = |host| {
            let end = if host == SENDER { Told::Sender } else { Told::Receiver };
            let link = (told == Told::Both || told == end).then(|| Link::new(profile.rate / 8).unwrap());
            Env { link, seed: Some(seed), ..env(&net, host, Arc::new(disk.clone())) }
        };
        let watch = Arc::new(Watch {
            net: net.clone(),
            ticket: watch::Sender::new(None),
            named: Mutex::default(),
            warned: Mutex::default(),
        });
        let (_keep, cancel) = Cancel::channel();
        let receiver = tokio::spawn({
            let (world, watch, cancel) = (world(RECEIVER), watch.clone(), cancel.clone());
            let options = RecvOptions {
                listen: Listen { address: Some(RECEIVER), ..Listen::default() },
                ticket_life: HOUR,
                retry_for: RetryFor::Span(HOUR),
                contimeout: Duration::from_secs(300),
                ..RecvOptions::into_dir(".")
            };
            async move { recv(&world, options, watch, cancel).await }
        });
        let mut ticket = watch.ticket.subscribe();
        let ticket = ticket.wait_for(Option::is_some).await.unwrap().clone().unwrap().parse().unwrap();
        let options = SendOptions { contimeout: Duration::from_secs(300), ..send_options(folder.path(), &ticket) };
        let summary = send(&world(SENDER), options, Seen::new(), cancel).await.unwrap();
        assert_eq!(summary.class, Class::Done);
        let ended = net.elapsed();
        let stats = net.stats_of(SENDER, RECEIVER);
        receiver.await.unwrap().unwrap();
        let named = watch.named.lock().unwrap().unwrap();
        let warned = watch.warned.lock().unwrap().clone();
        Done { named, ended, packets: stats.packets, sent: stats.bytes, warned }
    })
}

/// The time over S·8/(R·(1−p)) + 1.5 RTT + 60 ms, median of 41 patterns.
fn multiple(profile: &Profile, told: Told) -> f64 {
    let bound = BYTES as f64 * 8.0 / (profile.rate as f64 * (1.0 - profile.loss)) + 3.0 * profile.delay.as_secs_f64();
    let mut took = seeds(0..41, |seed| transfer(profile, seed, told).named.as_secs_f64());
    took.sort_by(f64::total_cmp);
    took[took.len() / 2] / (bound + 0.06)
}

#[test]
fn ten_kilobytes_over_a_short_wave_radio() {
    let told = multiple(&hf(0.1), Told::Both);
    assert!(told < 1.28, "x{told:.3}");
    let found_out = multiple(&hf(0.1), Told::Neither);
    assert!(found_out > 1.2 * told, "x{told:.3} told, x{found_out:.3} otherwise: the option is for nothing");
}

#[test]
fn ten_kilobytes_over_a_satellite_telephone() {
    let told = multiple(&iridium(0.05), Told::Both);
    assert!(told < 1.36, "x{told:.3}");
}

#[test]
fn nothing_is_repeated_where_nothing_is_lost() {
    for (profile, seconds) in [(hf(0.0), 14.2), (iridium(0.0), 48.2)] {
        let done = transfer(&profile, 1, Told::Both);
        let named = done.named.as_secs_f64();
        assert!(named < seconds, "{named:.2} s");
        // The handshake, its copy and the file are thirteen packets; the tail and small answers come on top.
        assert!(done.packets <= 26 && done.sent < 21_000, "{} packets, {} bytes", done.packets, done.sent);
        // The last word needs the way back, and its own time on it behind at most one other.
        let last_word = profile.delay + Duration::from_secs(320 * 8) / profile.rate as u32;
        assert!(done.ended <= done.named + last_word, "{:?} after {:?}", done.ended, done.named);
    }
}

#[test]
fn who_was_not_told_of_the_link_hears_of_it() {
    for (told, who) in [(Told::Sender, "this side was not"), (Told::Receiver, "the sender was not")] {
        let warned = transfer(&hf(0.0), 1, told).warned;
        assert!(warned.len() == 1 && warned[0].contains(who), "{warned:?}");
    }
    assert!(transfer(&hf(0.0), 1, Told::Both).warned.is_empty());
    let alone = multiple(&hf(0.1), Told::Sender);
    assert!(alone < 1.4, "x{alone:.3}: the receiver has not gone by what the sender was told");
}
