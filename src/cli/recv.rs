//! `resilient recv`: what is typed, and the order it makes.
//!
//! Without a ticket it prints one alone on the first line of stdout and waits for a send; with one, typed, on stdin (`-`) or in
//! `RESILIENT_TICKET`, it dials whoever has printed that and pulls. What was typed goes before what is in the environment, also where it
//! only says that we wait. A port that was typed is that port or an error; the default port gives way to any free one.

use super::args::Global;
use super::connect;
use super::contact::{Contact, Target};
use super::drive::Job;
use super::exit::Failure;
use super::home;
use super::invite;
use super::peer::{self, Credentials, Rules};
use super::place;
use super::policy;
use super::rates;
use super::resume::Instead;
use super::run;
use super::sessions::{self, Memory};
use super::span;
use super::stop;
use super::ticket;
use crate::fs::real::PartialDir;
use crate::link::Link;
use crate::location::Location;
use crate::network::authority::Authority;
use crate::pipeline::policy::{Place, Policy};
use crate::pipeline::{Listen, Peer, PullOptions, RecvOptions, Stay};
use clap::Args;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` says first.
pub(super) const LONG: &str = "Print a ticket and wait for one send; or, with a ticket, pull from a `send --offer`.\n\n\
        The ticket stands alone on the first line of stdout; on the other host `resilient send PATH... TICKET` uses it, once. A file \
        that exists already and differs is never overwritten; an identical one is a success. Nothing gets its final name \
        before its digest was verified.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient recv [OPTIONS] [DIR]\n       resilient recv [OPTIONS] TICKET|- [DIR]")]
pub(super) struct Words {
    /// The ticket of a `send --offer`, if there is one, `-` for stdin [or RESILIENT_TICKET]; where to put what arrives [default: .]
    #[arg(value_name = "DIR")]
    typed: Vec<OsString>,
    #[command(flatten)]
    policy: policy::Flags,
    #[command(flatten)]
    stop: stop::Flags,
    #[command(flatten)]
    limits: rates::Limits,
    #[command(flatten)]
    stay: StayFlags,
    #[command(flatten)]
    invite: invite::Flags,
    /// Write the ticket to FILE, too, readable by this user only
    #[arg(long, value_name = "FILE", help_heading = "Connect")]
    ticket_file: Option<PathBuf>,
    /// How long a usable connection to a `send --offer` may take or, waiting, the first word of a peer that has connected; 0 for no limit
    #[arg(long, value_name = "SECS", default_value = "30", default_value_if("link", clap::builder::ArgPredicate::IsPresent, "300"), value_parser = span::time_out, help_heading = "Connect", hide_short_help = true)]
    contimeout: Duration,
    /// Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = listen, help_heading = "Connect")]
    listen: Option<Listen>,
    #[command(flatten)]
    peer: peer::Flags,
    #[command(flatten)]
    outlet: connect::Outlet,
    #[command(flatten)]
    connect: connect::Flags,
    #[command(flatten)]
    sessions: sessions::Flags,
}

/// For how many transfers to stay; the last one typed counts.
#[derive(Args, Debug)]
#[group(skip)]
struct StayFlags {
    /// Receive one transfer (the default)
    #[arg(long, overrides_with_all = ["count", "keep"], help_heading = "Connect", hide_short_help = true)]
    once: bool,
    /// Receive N transfers, several at a time, each with a ticket of its own
    #[arg(long, value_name = "N", overrides_with_all = ["once", "keep"], value_parser = clap::value_parser!(u64).range(1..), help_heading = "Connect", hide_short_help = true)]
    count: Option<u64>,
    /// Stay; only authorised keys are let in (`resilient key allow`)
    ///
    /// Without --ticket it waits on port 27183, or on that of --listen, and on no other one: nobody would learn of it.
    #[arg(long, overrides_with_all = ["once", "count"], help_heading = "Connect")]
    keep: bool,
    /// With --keep: print tickets as well, a new one whenever one is used
    #[arg(long, help_heading = "Connect", hide_short_help = true)]
    ticket: bool,
}

impl StayFlags {
    fn stay(&self) -> Stay {
        match (self.keep, self.count) {
            (true, _) => Stay::Keep { tickets: self.ticket },
            (false, Some(count)) => Stay::Count(count),
            (false, None) => Stay::Once,
        }
    }
}

/// Who dials.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// The sender does; these vouch for it, if they are asked to.
    Wait(Box<(RecvOptions, Option<Authority>)>),
    /// We do; the peer is nobody until it was found out who that is.
    Pull(Box<(Contact, PullOptions)>),
}

/// The command as meant.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) way: Way,
    pub(super) show: invite::Show,
    /// Where unfinished files are kept.
    pub(super) partial_dir: PartialDir,
    /// Who we are.
    pub(super) credentials: Credentials,
    /// What is said of the link.
    pub(super) link: Option<Link>,
    /// Where the transfer is remembered.
    pub(super) memory: Option<Memory>,
    /// Whether another run that is at it is as good.
    pub(super) skips: bool,
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

    /// What is meant by these words, typed as `typed` with all that stood before and behind them, and run with this `umask`.
    pub(super) fn resolve(self, global: &Global, typed: &[OsString], umask: u32) -> Result<Order, Failure> {
        self.resolve_with(ticket::variable(), global, typed, umask)
    }

    /// The same of words that were typed in an earlier run, with the ticket that it had from elsewhere.
    pub(super) fn again(
        mut self,
        ticket: Option<String>,
        global: &Global,
        typed: &[OsString],
        umask: u32,
    ) -> Result<Order, Failure> {
        if ticket.is_some() {
            self.typed.retain(|word| word != "-");
        }
        self.resolve_with(ticket.map(OsString::from), global, typed, umask)
    }

    /// The same with what `instead` says of rates and times; `has_ticket` if there is one from elsewhere.
    pub(super) fn with(mut self, instead: &Instead, has_ticket: bool) -> Words {
        self.limits = instead.limits.or(&self.limits);
        self.stop = instead.stop.or(&self.stop);
        self.sessions.lock = instead.lock.or(self.sessions.lock);
        self.contimeout = instead.contimeout.unwrap_or(self.contimeout);
        self.connect.retry_for = instead.retry_for.unwrap_or(self.connect.retry_for);
        if self.dials(has_ticket) {
            self.outlet = self.outlet.with_timeout(instead.timeout);
        }
        self
    }

    fn resolve_with(
        self,
        environment: Option<OsString>,
        global: &Global,
        typed_words: &[OsString],
        umask: u32,
    ) -> Result<Order, Failure> {
        let mut words = self.typed.iter().peekable();
        let stdin = words.next_if(|word| *word == "-").is_some();
        let target = match words.peek().and_then(|word| place::target(word)) {
            Some(target) if !stdin => {
                words.next();
                Some(target?)
            }
            _ => None,
        };
        let words: Vec<&OsString> = words.collect();
        for word in &words {
            if let Some(failure) = place::refusal(word, &Location::parse(word)) {
                return Err(failure);
            }
        }
        if words.len() > 1 {
            return Err(Failure::usage("more than one directory was given"));
        }
        let policy::Meant { policy, partial_dir, directory } = self.policy.resolve(umask)?;
        if self.policy.takes_stdout() {
            global.stdout_is_free_for("what arrives")?;
        }
        if self.policy.has_output() && !words.is_empty() {
            return Err(Failure::usage("--output says where the file goes, and a directory was given, too"));
        }
        let typed = words.first().map(|word| PathBuf::from(*word));
        let directory = directory.or(typed).unwrap_or_else(|| ".".into());
        let show = self.invite.show(self.ticket_file.clone());
        let credentials = self.peer.credentials(home::identity(global))?;
        let link = self.limits.link();
        let memory = self.sessions.memory(global);
        let (lock, skips) = (self.sessions.lock, self.sessions.lock.skips());
        let lock = lock.is_typed().then(|| lock.wait());
        let rules = self.peer.rules()?;
        if self.dials(environment.is_some()) {
            let options = PullOptions { lock, ..self.pull(directory, policy)? };
            // A ticket from elsewhere may not be there again.
            let mut elsewhere = None;
            let target = match (target, environment) {
                (Some(target), _) => target,
                (None, Some(text)) if !stdin => Target::Ticket(elsewhere.insert(ticket::in_variable(&text)?).clone()),
                // Last of all: whoever is to type it should not do so in vain.
                (None, _) => Target::Ticket(elsewhere.insert(ticket::in_file("-".as_ref())?).clone()),
            };
            let command = sessions::typed(typed_words, elsewhere.map(|ticket| ticket.to_string()));
            let memory = memory.map(|memory| memory.of(command, target.to_string()));
            let way = Way::Pull(Box::new((Contact::new(target, rules), options)));
            return Ok(Order { way, show, partial_dir, credentials, link, memory, skips });
        }
        self.only_for_dialling(&rules)?;
        let (stay, stop) = (self.stay.stay(), self.stop.stop());
        if stay != Stay::Once && stop.bytes.is_some() {
            return Err(Failure::usage("--max-transfer is for one transfer, --count and --keep receive more"));
        }
        if stay != Stay::Once && !matches!(policy.place, Place::Tree) {
            return Err(Failure::usage("--output takes one transfer, --count and --keep receive more"));
        }
        if self.stay.ticket && !self.stay.keep {
            return Err(Failure::usage("--ticket goes with --keep: otherwise there is always a ticket"));
        }
        if stay == (Stay::Keep { tickets: false }) && (show.file.is_some() || show.qr) {
            return Err(Failure::usage("--keep makes no ticket that --ticket-file or --qr could show")
                .hint("with --ticket it does"));
        }
        // Where no ticket tells the port, it is the one that everybody knows, or none.
        let or_any = stay != (Stay::Keep { tickets: false });
        let listen = self.listen.unwrap_or(Listen { or_any, ..Listen::default() });
        let family = self.connect.family();
        if listen.address.is_some_and(|address| !family.allows(address)) {
            return Err(Failure::usage("--listen names an address of the family that -4 or -6 excludes"));
        }
        let options = RecvOptions {
            dir: directory,
            listen,
            family,
            stay,
            ticket_life: self.invite.ticket_life(),
            wait_for: self.invite.wait_for,
            contimeout: self.contimeout,
            retry_for: self.connect.retry_for,
            allowed: self.limits.resolve()?.allowed(),
            policy,
            stop,
            lock,
        };
        // One that takes more than one transfer is not about one of them.
        let command = sessions::typed(typed_words, None).filter(|_| stay == Stay::Once);
        let memory = memory.map(|memory| memory.of(command, String::new()));
        let way = Way::Wait(Box::new((options, rules.authority)));
        Ok(Order { way, show, partial_dir, credentials, link, memory, skips })
    }

    /// What has a use only for one who dials contradicts waiting.
    fn only_for_dialling(&self, rules: &Rules) -> Result<(), Failure> {
        peer::only_for_dialling(rules, &self.outlet).map_err(|option| {
            Failure::usage(format!("{option} is for dialling, and without a ticket or address `recv` waits"))
                .hint("who may come is said by the ticket, and by `resilient key allow`")
        })
    }

    /// Whether it is we who dial: somebody was typed, or there is a ticket in the environment and nothing typed says that we wait.
    pub(super) fn dials(&self, has_ticket: bool) -> bool {
        let typed = self.typed.first().is_some_and(|word| word == "-" || place::target(word).is_some());
        typed || (has_ticket && self.waits().is_none())
    }

    /// The typed option that has a use only for one who waits.
    fn waits(&self) -> Option<&'static str> {
        let StayFlags { count, keep, ticket: tickets, .. } = self.stay;
        let waits = [
            ("--listen", self.listen.is_some()),
            ("--count", count.is_some()),
            ("--keep", keep),
            ("--ticket", tickets),
            ("--ticket-file", self.ticket_file.is_some()),
        ];
        waits.into_iter().chain(self.invite.typed()).find(|(_, typed)| *typed).map(|(option, _)| option)
    }

    /// What has a use only for one who waits contradicts a ticket.
    fn pull(&self, dir: PathBuf, policy: Policy) -> Result<PullOptions, Failure> {
        if let Some(option) = self.waits() {
            return Err(Failure::usage(format!("{option} is for waiting, and with a ticket or address `recv` dials")));
        }
        Ok(PullOptions {
            dir,
            peer: Peer::default(),
            family: self.connect.family(),
            ports: self.outlet.port,
            contimeout: self.contimeout,
            retry_for: self.connect.retry_for,
            timeout: self.outlet.timeout(),
            allowed: self.limits.resolve()?.allowed(),
            policy,
            stop: self.stop.stop(),
            lock: None,
        })
    }
}

/// Reads `[ADDR:]PORT`; an IPv6 address stands in brackets.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.parse() {
        return Ok(Listen { address: None, port, or_any: false });
    }
    let address: SocketAddr =
        text.parse().map_err(|_| "not [ADDR:]PORT (9000, 10.0.0.5:9000, [fd00::5]:9000)".to_owned())?;
    Ok(Listen { address: Some(address.ip()), port: address.port(), or_any: false })
}

#[cfg(test)]
#[path = "recv_tests.rs"]
mod tests;
