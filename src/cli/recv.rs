//! `resilient recv`: what is typed, and the order it makes.
//!
//! It prints its ticket alone on the first line of stdout and waits for one send. A port that was typed is that port or an error;
//! the default port gives way to any free one.

use super::args::Global;
use super::connect;
use super::drive::Job;
use super::exit::Failure;
use super::home;
use super::place;
use super::policy;
use super::rates;
use super::run;
use super::span;
use crate::class::Class;
use crate::fs::real::PartialDir;
use crate::location::Location;
use crate::pipeline::{Listen, RecvOptions};
use clap::Args;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `--help` says first.
pub(super) const LONG: &str = "Print a ticket and wait for one send.\n\n\
        The ticket stands alone on the first line of stdout; on the other host `resilient send PATH... TICKET` uses it, once. A file \
        that exists already and differs is never overwritten; an identical one is a success. Nothing gets its final name \
        before its digest was verified.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient recv [OPTIONS] [DIR]")]
pub(super) struct Words {
    /// Where to put what arrives [default: .]
    #[arg(value_name = "DIR")]
    directory: Option<OsString>,
    /// Words that no `recv` of this version has a use for: refused by what they are.
    #[arg(hide = true)]
    more: Vec<OsString>,
    /// Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = listen, help_heading = "Connect")]
    listen: Option<Listen>,
    /// How long the ticket can be used
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span::some_time, help_heading = "Connect")]
    ticket_life: Duration,
    #[command(flatten)]
    policy: policy::Flags,
    #[command(flatten)]
    connect: connect::Flags,
    #[command(flatten)]
    limits: rates::Limits,
}

/// The command as meant.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) options: RecvOptions,
    /// Where unfinished files are kept.
    pub(super) partial_dir: PartialDir,
    /// File with this node's key.
    pub(super) identity: PathBuf,
}

impl Order {
    /// The command as something to run.
    pub(super) fn job(self) -> Job {
        Box::new(move |observer, cancel| Box::pin(run::recv(self, observer, cancel)))
    }
}

impl Words {
    /// Whether stdout is for what arrives.
    pub(super) fn takes_stdout(&self) -> bool {
        self.policy.takes_stdout()
    }

    pub(super) fn resolve(self, global: &Global) -> Result<Order, Failure> {
        for word in self.directory.iter().chain(&self.more) {
            let location = Location::parse(word);
            let pull = matches!(location, Location::Ticket(_) | Location::Direct { .. } | Location::Known(_));
            if pull {
                return Err(Failure::new(
                    Class::Unsupported,
                    "receiving from a ticket or an address is not in this version",
                )
                .hint("run `resilient recv` here and use its ticket on the other host"));
            }
            if let Some(failure) = place::refusal(word, &location) {
                return Err(failure);
            }
        }
        if !self.more.is_empty() {
            return Err(Failure::usage("more than one directory was given"));
        }
        let policy::Meant { policy, partial_dir, directory } = self.policy.resolve()?;
        if self.policy.takes_stdout() && global.json.as_deref() == Some(Path::new("-")) {
            return Err(Failure::usage("--json and --output - both want stdout").hint("give --json=FILE a file"));
        }
        let directory = directory.or_else(|| self.directory.map(PathBuf::from)).unwrap_or_else(|| ".".into());
        let listen = self.listen.unwrap_or_default();
        let family = self.connect.family();
        if listen.address.is_some_and(|address| !family.allows(address)) {
            return Err(Failure::usage("--listen names an address of the family that -4 or -6 excludes"));
        }
        let options = RecvOptions {
            dir: directory,
            listen,
            family,
            ticket_life: self.ticket_life,
            retry_for: self.connect.retry_for,
            allowed: self.limits.resolve()?.allowed(),
            policy,
        };
        Ok(Order { options, partial_dir, identity: home::identity(global)? })
    }
}

/// Reads `[ADDR:]PORT`; an IPv6 address stands in brackets.
fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.parse() {
        return Ok(Listen { address: None, port, or_any: false });
    }
    let address: SocketAddr =
        text.parse().map_err(|_| "not [ADDR:]PORT (9000, 10.0.0.5:9000, [fd00::5]:9000)".to_owned())?;
    Ok(Listen { address: Some(address.ip()), port: address.port(), or_any: false })
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use crate::pipeline::{Family, RetryFor};
    use clap::Parser as _;

    fn resolve(words: &str) -> Result<Order, Failure> {
        let words = format!("resilient recv --identity k {words}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Recv(words) = cli.command else { panic!("not recv") };
        words.resolve(&cli.global)
    }

    #[test]
    fn the_defaults_are_the_contract() {
        let order = resolve("").unwrap();
        assert_eq!((order.options.dir.to_str(), order.options.ticket_life.as_secs()), (Some("."), 3600));
        assert_eq!(order.options.listen, Listen { address: None, port: 27183, or_any: true });
        let connect = (order.options.retry_for, order.options.family);
        assert_eq!(connect, (RetryFor::Span(Duration::from_secs(600)), Family::Any));
    }

    #[test]
    fn a_port_may_have_an_address() {
        assert_eq!(listen("9000"), Ok(Listen { address: None, port: 9000, or_any: false }));
        assert_eq!(listen("[::1]:0").unwrap().address, Some("::1".parse().unwrap()));
        for text in ["", "x", "host:9", "::1:9", "70000", "10.0.0.1", "-1"] {
            assert!(listen(text).is_err(), "{text}");
        }
        assert!(resolve("-4 --listen 127.0.0.1:1").is_ok());
        assert_eq!(resolve("-6 --listen 127.0.0.1:1").unwrap_err().class.code(), 1);
    }

    #[test]
    fn pulling_is_refused_by_name() {
        let ticket = "resilient://damaged";
        for (words, status) in
            [(ticket, 1), ("host:9000", 4), ("host:dir", 4), ("@n d", 4), ("-", 4), ("a b", 1), ("h::m", 1)]
        {
            assert_eq!(resolve(words).unwrap_err().class.code(), status, "{words}");
        }
    }
}
