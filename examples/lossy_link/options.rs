//! What `lossy_link` is told: a named profile and what is different from it, and between whom the link is.

use crate::profile::Profile;
use anyhow::Context;
use clap::Parser;
use std::net::SocketAddr;
use std::time::Duration;

/// A bad link, of which both directions are alike.
#[derive(Parser)]
#[command(name = "lossy_link")]
pub(crate) struct Options {
    /// Where clients send to; port 0 takes any, which the ready line tells
    #[arg(long, value_name = "ADDRESS", requires = "to", required_unless_present_any = ["tun", "describe"])]
    pub listen: Option<SocketAddr>,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", requires = "listen", conflicts_with = "tun")]
    pub to: Option<SocketAddr>,
    /// Join two TUN devices of these names, made in this network namespace, instead of being a proxy: all of IP crosses, packets of
    /// up to 1500 bytes. Needs the capability NET_ADMIN; addresses, routes and other namespaces are left to `ip`
    #[arg(long, value_name = "NAME,NAME", value_parser = pair)]
    pub tun: Option<(String, String)>,
    /// Print the link's properties and end
    #[arg(long)]
    pub describe: bool,
    /// Start from a named path (lan, wifi, lte-edge, satellite, disaster-fast, extreme, burst, disaster) instead of
    /// 25 % loss, 20 ms and 20 Mbit/s; the options below change single properties of it
    #[arg(long, value_name = "WORD")]
    profile: Option<String>,
    /// Share of the packets lost, 0 to 1
    #[arg(long, value_name = "SHARE")]
    loss: Option<f64>,
    /// Mean length of the holes that the losses come in; 0: each packet for itself
    #[arg(long, value_name = "MS")]
    burst_ms: Option<u64>,
    /// Delay, one way
    #[arg(long, value_name = "MS")]
    delay_ms: Option<u64>,
    /// Random delay on top, up to this; reorders
    #[arg(long, value_name = "MS")]
    jitter_ms: Option<u64>,
    /// Rate of the link
    #[arg(long, value_name = "MBIT/S")]
    rate_mbit: Option<f64>,
    /// Length of the queue before the link
    #[arg(long, value_name = "MS")]
    queue_ms: Option<u64>,
    /// Share of the packets that arrive twice, 0 to 1
    #[arg(long, value_name = "SHARE")]
    dup: Option<f64>,
    /// Share of the packets that arrive with one bit flipped, 0 to 1
    #[arg(long, value_name = "SHARE")]
    corrupt: Option<f64>,
    /// Let nothing through for LENGTH seconds from START seconds after the start on; may be repeated
    #[arg(long, value_name = "START,LENGTH", value_parser = outage)]
    outage: Vec<(Duration, Duration)>,
    /// What is drawn
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// End when stdin ends, as well as by a signal
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// `a,b`: two names.
fn pair(words: &str) -> Result<(String, String), &'static str> {
    match words.split_once(',') {
        Some((first, second)) if !first.is_empty() && !second.is_empty() => Ok((first.to_owned(), second.to_owned())),
        _ => Err("needs NAME,NAME"),
    }
}

/// `2,10.5`: from second 2 on for 10.5 seconds.
fn outage(words: &str) -> Result<(Duration, Duration), String> {
    let (start, length) = words.split_once(',').ok_or("needs START,LENGTH")?;
    let seconds = |word: &str| {
        let n: f64 = word.trim().parse().map_err(|_| format!("{word:?} is no number of seconds"))?;
        Duration::try_from_secs_f64(n).map_err(|error| error.to_string())
    };
    Ok((seconds(start)?, seconds(length)?))
}

impl Options {
    /// The link that was asked for.
    pub(crate) fn path(&self) -> anyhow::Result<Profile> {
        let mut path = match &self.profile {
            None => Profile::plain(20.0, 20, 0.25),
            Some(word) => Profile::named(word).with_context(|| format!("no profile is called {word:?}"))?,
        };
        for (name, share, wanted) in [
            ("loss", &mut path.loss, self.loss),
            ("dup", &mut path.dup, self.dup),
            ("corrupt", &mut path.corrupt, self.corrupt),
        ] {
            let wanted = wanted.unwrap_or(*share);
            anyhow::ensure!((0.0..=1.0).contains(&wanted), "--{name} is a share from 0 to 1, not {wanted}");
            *share = wanted;
        }
        for (time, wanted) in [
            (&mut path.burst, self.burst_ms),
            (&mut path.delay, self.delay_ms),
            (&mut path.jitter, self.jitter_ms),
            (&mut path.queue, self.queue_ms),
        ] {
            *time = wanted.map_or(*time, Duration::from_millis);
        }
        if let Some(mbit) = self.rate_mbit {
            anyhow::ensure!((1e-3..=1e6).contains(&mbit), "--rate-mbit is from 0.001 to 1000000, not {mbit}");
            path.rate = (mbit * 1e6) as u64;
        }
        path.outages.clone_from(&self.outage);
        if self.listen.is_some() {
            // The loopback's packets may be larger than any link's.
            path.mtu = usize::MAX;
        }
        Ok(path)
    }
}

/// `loss=0.25 burst-ms=0 …`: the properties that make a link what it is.
pub(crate) fn words(path: &Profile) -> String {
    format!(
        "loss={} burst-ms={} delay-ms={} jitter-ms={} rate-mbit={} queue-ms={}",
        path.loss,
        path.burst.as_millis(),
        path.delay.as_millis(),
        path.jitter.as_millis(),
        path.rate as f64 / 1e6,
        path.queue.as_millis(),
    )
}
