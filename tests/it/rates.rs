//! Rates and classes between a whole `send` and a whole `recv`, in virtual time: a limit that is not held, or not believed, shows here.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::hostile::peer::{HOUR, RECEIVER, SENDER, Seen, env, send_options};
use crate::memdisk::MemDisk;
use crate::sim::{Net, Profile, Rng, run};
use resilient::chunk::adaptive::ParityTable;
use resilient::chunk::compression::{Choice, Method};
use resilient::class::Class;
use resilient::event::{Event, LimitedBy};
use resilient::network::limit::Bandwidth;
use resilient::pipeline::{Cancel, Listen, RecvOptions, RetryFor, SendOptions, Summary, recv, send};
use resilient::transfer::Parity;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

const CHUNK: usize = 128 * 1024;

/// How a transfer went: its summary, its time, and what the sender's user was told.
struct Done {
    summary: Summary,
    took: Duration,
    seen: Arc<Seen>,
    /// Bytes that crossed the link from the sender, and packets.
    sent: u64,
}

/// Sends `content` as one file over `profile`, with these changes to the options, to a receiver that allows `allowed`.
fn transfer(content: &[u8], profile: Profile, allowed: u32, change: impl FnOnce(&mut SendOptions)) -> Done {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), content).unwrap();
    run(1, HOUR, async |net: Net| {
        net.everywhere(profile);
        let disk = MemDisk::new();
        let told = Seen::new();
        let options = RecvOptions {
            listen: Listen { address: Some(RECEIVER), ..Listen::default() },
            ticket_life: HOUR,
            retry_for: RetryFor::Span(HOUR),
            allowed: NonZeroU32::new(allowed),
            ..RecvOptions::into_dir(".")
        };
        let (_stop, cancel) = Cancel::channel();
        let (there, observer) = (env(&net, RECEIVER, Arc::new(disk.clone())), told.clone());
        let receiver = tokio::spawn(async move { recv(&there, options, observer, cancel).await });
        let ticket = loop {
            let uri = told.events().iter().find_map(|event| match event {
                Event::Ticket { uri } => Some(uri.clone()),
                _ => None,
            });
            match uri {
                Some(uri) => break uri.parse().unwrap(),
                None => tokio::task::yield_now().await,
            }
        };
        let mut options = send_options(folder.path(), &ticket);
        change(&mut options);
        let seen = Seen::new();
        let (_stop, cancel) = Cancel::channel();
        let began = net.elapsed();
        let here = env(&net, SENDER, Arc::new(MemDisk::new()));
        let summary = send(&here, options, seen.clone(), cancel).await.unwrap();
        let took = net.elapsed().saturating_sub(began);
        let sent = summary.bytes_sent;
        assert_eq!((summary.class, summary.files), (Class::Done, 1));
        receiver.await.unwrap().unwrap();
        Done { summary, took, seen, sent }
    })
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(3);
    (0..bytes.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).take(bytes).collect()
}

fn limits(seen: &Seen) -> Vec<(u64, LimitedBy)> {
    let limit = |event: &Event| match event {
        Event::Limit { rate, by } => Some((*rate, *by)),
        _ => None,
    };
    seen.events().iter().filter_map(limit).collect()
}

fn bandwidth(rate: u64) -> Bandwidth {
    Bandwidth { rate: NonZeroU64::new(rate).unwrap(), burst: None }
}

#[test]
fn parity_behind_each_stripe_costs_its_bytes_and_no_more() {
    let content = noise(2_000_000);
    let sent =
        |parity| transfer(&content, Profile::plain(10.0, 50, 0.0), 0, |options| options.parity = parity).sent as f64;
    let none = sent(Parity::Exactly(0));
    let ratio = sent(Parity::Exactly(25)) / none;
    assert!((1.45..1.55).contains(&ratio), "{ratio}");
    let ratio = sent(Parity::Table(ParityTable::default())) / none;
    assert!((1.08..1.15).contains(&ratio), "{ratio}");
    let ratio = sent(Parity::Auto) / none;
    assert!((1.0..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn a_change_of_parity_is_told() {
    let table = |options: &mut SendOptions| options.parity = Parity::Table(ParityTable::default());
    for (loss, told) in
        [(0.0, "parity: 5 on 50 data shards, at 0.0 % loss"), (0.3, "parity: 25 on 50 data shards, at ")]
    {
        let done = transfer(&noise(2_000_000), Profile::plain(10.0, 50, loss), 0, table);
        let events = done.seen.events();
        let details = events.iter().filter_map(|event| match event {
            Event::Detail { message } if message.starts_with("parity: ") => Some(message.as_str()),
            _ => None,
        });
        let details: Vec<&str> = details.collect();
        assert!(details.iter().any(|detail| detail.starts_with(told)), "{loss}: {details:?}");
        assert!(details.len() <= 2 + done.took.as_secs() as usize, "{details:?}");
        assert!(details.windows(2).all(|pair| pair[0] != pair[1]), "{details:?}");
    }
}

#[test]
fn a_limit_is_held_within_five_percent() {
    let rate = 512_000;
    let content = noise(10 * rate as usize);
    for (own, allowed, by) in [
        (Some(bandwidth(rate)), 0, LimitedBy::Option),
        (None, rate as u32, LimitedBy::Receiver),
        (Some(bandwidth(rate)), 1 << 30, LimitedBy::Option),
    ] {
        let done = transfer(&content, Profile::plain(50.0, 20, 0.0), allowed, |options| options.limit = own);
        let seconds = done.took.as_secs_f64();
        for (what, bytes) in [("file", content.len() as u64), ("UDP payload", done.sent)] {
            let measured = bytes as f64 / seconds / rate as f64;
            assert!((0.95..=1.05).contains(&measured), "{what}: {measured} by {by:?}");
        }
        assert_eq!(limits(&done.seen), [(rate, by)]);
    }
}

#[test]
fn the_smaller_of_both_limits_counts() {
    let content = noise(1_000_000);
    let done =
        transfer(&content, Profile::plain(50.0, 20, 0.0), 200_000, |options| options.limit = Some(bandwidth(400_000)));
    assert!((4.5..5.5).contains(&done.took.as_secs_f64()), "{:?}", done.took);
    assert_eq!(limits(&done.seen), [(400_000, LimitedBy::Option), (200_000, LimitedBy::Receiver)]);
}

#[test]
fn a_limit_and_loss_together_do_not_lock_up() {
    // Repairs wait for the limit like everything else, probes do not; a burst smaller than a packet is no way round it.
    let content = noise(300_000);
    let limit = Bandwidth { rate: NonZeroU64::new(50_000).unwrap(), burst: NonZeroU64::new(1) };
    let done = transfer(&content, Profile::plain(10.0, 100, 0.3), 0, |options| options.limit = Some(limit));
    let least = done.sent as f64 / 50_000.0;
    assert!(
        done.took.as_secs_f64() >= 0.9 * least && done.took.as_secs_f64() < 1.2 * least + 2.0,
        "{:?} {least}",
        done.took
    );
}

#[test]
fn chunks_a_second() {
    let content = noise(40 * CHUNK);
    let done = transfer(&content, Profile::plain(100.0, 5, 0.0), 0, |options| options.chunk_rate = NonZeroU32::new(4));
    assert!((9.5..11.0).contains(&done.took.as_secs_f64()), "{:?}", done.took);
    let free = transfer(&content, Profile::plain(100.0, 5, 0.0), 0, |_| {});
    assert!(free.took < Duration::from_secs(3), "{:?}", free.took);
}

#[test]
fn compression_does_what_was_asked_for() {
    let text: Vec<u8> =
        (0..100_000u64).flat_map(|n| format!("station {n} reports {}\n", n * n % 977).into_bytes()).collect();
    let encoded = |compress| {
        let done = transfer(&text, Profile::plain(10.0, 20, 0.0), 0, |options| options.compress = compress);
        let stat = done.summary.stats.iter().find(|(name, _)| *name == "file bytes after compression").unwrap().1;
        stat as f64 / text.len() as f64
    };
    let [none, lz4, fast, best] =
        [Method::None, Method::Lz4, Method::Zstd(1), Method::Zstd(19)].map(|method| encoded(Choice::Always(method)));
    assert!(none > 1.0 && lz4 < 0.7 * none && fast < 0.8 * lz4 && best < 0.9 * fast, "{none} {lz4} {fast} {best}");
    let auto = encoded(Choice::Auto);
    assert!(auto < lz4, "{auto} {lz4}");
}
