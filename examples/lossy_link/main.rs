//! A lossy link in user space: it loses, delays and queues what passes through it.
//!
//! ```text
//! lossy_link --listen 127.0.0.1:7000 --to 127.0.0.1:4433 --loss 0.25 --delay-ms 20 --rate-mbit 20
//! lossy_link --tun near,far --profile disaster-fast
//! ```
//!
//! The first is a UDP proxy and needs no root (`scripts/demo`); the second joins two network devices, of which each can be given to a
//! network namespace, so that any program crosses the link (`scripts/compare`). Each direction is one link with the model, the words
//! and the counters of the simulated network of the tests. The seed fixes what is drawn for the first packet, the second and so on;
//! when packets come is up to the machine, so runs resemble each other and are not equal.
//!
//! Prints one line when it is ready and one for each direction at the end (SIGTERM, SIGINT, or end of stdin if so asked).

mod direction;
#[path = "../../tests/it/sim/link.rs"]
mod link;
mod options;
#[path = "../../tests/it/sim/profile.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod profile;
mod proxy;
#[path = "../../tests/it/sim/rng.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rng;
#[cfg(target_os = "linux")]
mod tun;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use direction::Direction;
use link::Stats;
use options::{Options, words};
use profile::Profile;
use proxy::Proxy;
use rng::Rng;
use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// A link that passes packets on: where it is, and how to read its counters.
struct Running {
    place: String,
    stats: Box<dyn Fn() -> [Stats; 2]>,
}

fn start(options: &Options, path: &Profile) -> anyhow::Result<Running> {
    #[expect(clippy::disallowed_methods, reason = "a real link goes by real time")]
    let start = Instant::now();
    let rng = |n| Rng::of([options.seed, n]);
    if let Some((near, far)) = &options.tun {
        let pair = pair([near, far], &|n| Direction::new(start, path.clone(), rng(n), 0))?;
        return Ok(Running { place: format!("tun={near},{far}"), stats: pair });
    }
    let (listen, to) = options.listen.zip(options.to).context("--listen and --to, or --tun, say where the link is")?;
    let proxy = Proxy::new(listen, to, &|n, headers| Direction::new(start, path.clone(), rng(n), headers))?;
    proxy.run();
    let place = format!("listen={} to={to}", proxy.address()?);
    Ok(Running { place, stats: Box::new(move || proxy.stats()) })
}

#[cfg(target_os = "linux")]
fn pair(names: [&str; 2], direction: &dyn Fn(u64) -> Direction<()>) -> anyhow::Result<Box<dyn Fn() -> [Stats; 2]>> {
    let pair = tun::Pair::new(names, direction)?;
    pair.run();
    Ok(Box::new(move || pair.stats()))
}

#[cfg(not(target_os = "linux"))]
fn pair(_: [&str; 2], _: &dyn Fn(u64) -> Direction<()>) -> anyhow::Result<Box<dyn Fn() -> [Stats; 2]>> {
    anyhow::bail!("--tun needs Linux")
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let path = options
        .path()
        .unwrap_or_else(|error| Options::command().error(clap::error::ErrorKind::ValueValidation, error).exit());
    let mut out = io::stdout();
    if options.describe {
        writeln!(out, "{}", words(&path))?;
        return Ok(());
    }

    let (end, ended) = mpsc::channel();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    let by_signal = end.clone();
    thread::spawn(move || {
        signals.forever().next();
        by_signal.send(())
    });
    if options.until_stdin_closes {
        thread::spawn(move || {
            let mut buf = [0; 512];
            while io::stdin().read(&mut buf).is_ok_and(|n| n > 0) {}
            end.send(())
        });
    }
    let running = start(&options, &path)?;
    writeln!(out, "ready {} {} seed={}", running.place, words(&path), options.seed)?;
    out.flush()?;
    // Only the end of both senders would be an error, and the one for signals never ends without a word.
    let _ = ended.recv();
    for (name, stats) in ["up", "down"].into_iter().zip((running.stats)()) {
        writeln!(out, "{name} {stats}")?;
    }
    out.flush()?;
    Ok(())
}
