//! How near to the bound transfers come, over simulated links in virtual time: hundreds of loss patterns in a minute.
//!
//! ```text
//! cargo run --release --example links                       the table: every named profile, 10 kB, 1 MB and 20 MB
//! cargo run --release --example links -- extreme 1MB 200    one cell with 200 patterns, the worst of them by seed
//! cargo run --release --example links -- mbit=5,delay=40,loss=0.3 20MB 20
//! cargo run --release --example links -- extreme 1MB 50 table      the same with parity behind each stripe: table, or N on 50
//! ```
//!
//! The real endpoints run, `send` to `recv`; the disk is memory and everything that takes time is the network. So figures are equal
//! on every machine and say nothing about speed of code. Multiples are of S·8/(R·(1−p)) + 1.5 RTT.

#[path = "../tests/it/memdisk/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod memdisk;
#[path = "../tests/it/sim/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod sim;

use memdisk::MemDisk;
use resilient::chunk::adaptive::ParityTable;
use resilient::class::Class;
use resilient::event::{Event, Observer};
use resilient::fs::disk::Disk;
use resilient::link::Link;
use resilient::network::identity::Identity;
use resilient::network::seam::Blocking;
use resilient::pipeline::{Cancel, Env, Family, Listen, Ports, RecvOptions, RetryFor, SendOptions, Stop, recv, send};
use resilient::ticket::Ticket;
use resilient::transfer::Parity;
use sim::{Net, Profile, Rng, run, seeds};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// Longer than any transfer here may take.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A link both ways, with its name.
#[derive(Clone)]
struct Case {
    name: String,
    forward: Profile,
    back: Profile,
    parity: Parity,
    /// Whether both ends are told the rates (`--link`).
    told: bool,
}

impl Case {
    /// A named profile, or `key=value,…` over a plain link: mbit, delay, loss, jitter, queue (ms), burst (ms), mtu, back-mbit, back-loss; link=1
    /// tells both ends the rate, as `--link` does.
    fn parse(word: &str) -> Option<Case> {
        let mut case = match word.split_once('=') {
            None => Case::both(word, Profile::named(word)?),
            Some(_) => Case::both(word, Profile::plain(10.0, 50, 0.0)),
        };
        for (key, value) in word.split(',').filter_map(|pair| pair.split_once('=')) {
            let value: f64 = value.parse().ok()?;
            let span = Duration::from_secs_f64(value / 1000.0);
            let mut both = |set: &dyn Fn(&mut Profile)| {
                set(&mut case.forward);
                set(&mut case.back);
            };
            match key {
                "mbit" => both(&|profile| profile.rate = (value * 1e6) as u64),
                "delay" => both(&|profile| profile.delay = span),
                "loss" => both(&|profile| profile.loss = value),
                "jitter" => both(&|profile| profile.jitter = span),
                "queue" => both(&|profile| profile.queue = span),
                "burst" => both(&|profile| profile.burst = span),
                "mtu" => both(&|profile| profile.mtu = value as usize),
                "link" => case.told = value > 0.0,
                "back-mbit" => case.back.rate = (value * 1e6) as u64,
                "back-loss" => case.back.loss = value,
                _ => return None,
            }
        }
        Some(case)
    }

    fn both(name: &str, profile: Profile) -> Case {
        Case { name: name.to_owned(), forward: profile.clone(), back: profile, parity: Parity::Auto, told: false }
    }

    fn bound(&self, bytes: u64) -> f64 {
        let rtt = (self.forward.delay + self.back.delay).as_secs_f64();
        bytes as f64 * 8.0 / (self.forward.rate as f64 * (1.0 - self.forward.loss)) + 1.5 * rtt
    }
}

/// Hands the ticket on and notes when the file had its name.
struct Watch {
    net: Net,
    ticket: watch::Sender<Option<String>>,
    named: Mutex<Option<Duration>>,
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        match event {
            Event::Ticket { uri } => {
                self.ticket.send_replace(Some(uri.clone()));
            }
            Event::File { .. } => {
                *self.named.lock().expect("nothing panics while it is held") = Some(self.net.elapsed());
            }
            _ => {}
        }
    }
}

struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event) {}
}

/// One transfer.
struct Done {
    seed: u64,
    /// Seconds from the start of `send` until the file had its name, and until `send` ended.
    took: f64,
    ended: f64,
    /// Bytes on the forward link and on the one back, headers included; packets dropped by the forward queue, and all of them.
    forward: u64,
    back: u64,
    dropped: u64,
    packets: u64,
}

fn env(net: &Net, host: IpAddr, seed: u64, disk: &MemDisk, link: Option<Link>) -> Env {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Env {
        authority: None,
        identity: Arc::new(Identity::generate().expect("keys can be made")),
        sockets: net.host(host),
        open_disk: Arc::new(move |_| Ok(disk.clone())),
        authorized: Arc::new(|_| Ok(None)),
        sessions: None,
        blocking: Blocking::Inline,
        random: Arc::new(|bytes| bytes.fill(7)),
        link,
        seed: Some(seed),
    }
}

fn transfer(case: &Case, source: &Path, seed: u64) -> Done {
    run(seed, LIMIT, async |net| {
        net.link(SENDER, RECEIVER, case.forward.clone());
        net.link(RECEIVER, SENDER, case.back.clone());
        let disk = MemDisk::new();
        let link = case.told.then(|| Link::new(case.forward.rate / 8).expect("the rate of a slow link is told"));
        let (_keep, cancel) = Cancel::channel();
        let watch = Arc::new(Watch { net: net.clone(), ticket: watch::Sender::new(None), named: Mutex::default() });
        let receiver = tokio::spawn({
            let (env, watch, cancel) = (env(&net, RECEIVER, seed, &disk, link), watch.clone(), cancel.clone());
            let options = RecvOptions {
                listen: Listen { address: Some(RECEIVER), ..Listen::default() },
                ticket_life: LIMIT,
                retry_for: RetryFor::Span(LIMIT),
                ..RecvOptions::into_dir(".")
            };
            async move { recv(&env, options, watch, cancel).await }
        });
        let mut ticket = watch.ticket.subscribe();
        let ticket = ticket.wait_for(Option::is_some).await.expect("its sender is held").clone().expect("waited for");
        let options = SendOptions {
            compress: resilient::chunk::compression::Choice::default(),
            limit: None,
            chunk_rate: None,
            parity: case.parity.clone(),
            classes: resilient::filter::Classes::default(),
            lock_wait: Duration::ZERO,
            timeout: Duration::from_secs(60),
            sources: vec![source.to_owned()],
            pipe: None,
            stop: Stop::default(),
            selection: resilient::fs::source::Selection::default(),
            peer: ticket.parse::<Ticket>().expect("a ticket is what recv prints").into(),
            ports: Ports::default(),
            family: Family::Any,
            contimeout: LIMIT,
            retry_for: RetryFor::Span(LIMIT),
        };
        let summary = send(&env(&net, SENDER, seed, &disk, link), options, Arc::new(Silent), cancel).await;
        assert_eq!(summary.expect("a link that works carries the file").class, Class::Done);
        let ended = net.elapsed().as_secs_f64();
        receiver.await.expect("no panic").expect("the sender was satisfied");
        let named = watch.named.lock().expect("nothing panics while it is held").expect("the file has arrived");
        let (forward, back) = (net.stats_of(SENDER, RECEIVER), net.stats_of(RECEIVER, SENDER));
        Done {
            seed,
            took: named.as_secs_f64(),
            ended,
            forward: forward.bytes,
            back: back.bytes,
            dropped: forward.tail_dropped,
            packets: forward.packets,
        }
    })
}

/// Files of random content, made once.
struct Files(tempfile::TempDir);

impl Files {
    fn of(&self, bytes: u64) -> PathBuf {
        let path = self.0.path().join(bytes.to_string());
        if !path.exists() {
            let mut rng = Rng::of([bytes]);
            let content: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).collect();
            std::fs::write(&path, &content[..bytes as usize]).expect("the temporary folder can be written to");
        }
        path
    }
}

fn cell(case: &Case, files: &Files, bytes: u64, patterns: u64) -> String {
    let source = files.of(bytes);
    let mut done = seeds(0..patterns, |seed| transfer(case, &source, seed));
    done.sort_by(|a, b| a.took.total_cmp(&b.took));
    let bound = case.bound(bytes);
    let (median, worst) = (&done[done.len() / 2], &done[done.len() - 1]);
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>() as f64;
    let at = |share: f64| done[((done.len() as f64 * share) as usize).min(done.len() - 1)].took / bound;
    let lags = done.iter().map(|one| one.ended - one.took).sum::<f64>() / done.len() as f64;
    format!(
        "{:<16} {bytes:>9} B  x{:.3}  p90 {:.3}  worst {:.3} (seed {})  bound {bound:.2} s  lag {lags:.2} s  \
         sent {:.3}/B  back {:.2} %  dropped {:.2} % (worst {:.0} %)",
        case.name,
        median.took / bound,
        at(0.9),
        worst.took / bound,
        worst.seed,
        sum(|one| one.forward) / (bytes as f64 * done.len() as f64) * (1.0 - case.forward.loss),
        100.0 * sum(|one| one.back) / sum(|one| one.forward),
        100.0 * sum(|one| one.dropped) / sum(|one| one.packets),
        done.iter().map(|one| 100.0 * one.dropped as f64 / one.packets as f64).fold(0.0, f64::max),
    )
}

fn size(word: &str) -> Option<u64> {
    let (digits, factor) = match word.strip_suffix("kB") {
        Some(digits) => (digits, 1_000),
        None => (word.strip_suffix("MB")?, 1_000_000),
    };
    digits.parse::<u64>().ok().map(|n| n * factor)
}

fn parity(word: &str) -> Option<Parity> {
    match word {
        "auto" => Some(Parity::Auto),
        "table" => Some(Parity::Table(ParityTable::default())),
        count => count.parse().ok().and_then(Parity::exactly),
    }
}

fn main() {
    let files = Files(tempfile::tempdir().expect("there is a temporary folder"));
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").expect("stdout takes the table");
    if words.is_empty() {
        for (name, profile) in Profile::NAMED.into_iter().skip(1) {
            for (bytes, patterns) in [(10_000, 101), (1_000_000, 51), (20_000_000, 11)] {
                if profile().rate > 1_000_000 || bytes <= 1_000_000 {
                    say(cell(&Case::both(name, profile()), &files, bytes, patterns));
                }
            }
        }
        return;
    }
    let cell = match &words[..] {
        [case, bytes, patterns, parity @ ..] if parity.len() < 2 => Case::parse(case)
            .zip(parity.first().map_or(Some(Parity::Auto), |word| self::parity(word)))
            .map(|(case, parity)| Case { parity, ..case })
            .zip(size(bytes))
            .zip(patterns.parse().ok()),
        _ => None,
    };
    let Some(((case, bytes), patterns)) = cell else {
        say("usage: links [PROFILE|key=value,… SIZE PATTERNS [auto|table|N]]   (SIZE as 10kB, 20MB)".to_owned());
        return;
    };
    say(self::cell(&case, &files, bytes, patterns));
}
