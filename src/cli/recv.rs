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
use super::run;
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
    /// Remember nothing of the transfer: what breaks off for good begins anew
    #[arg(long, help_heading = "Connect", hide_short_help = true)]
    no_session: bool,
    /// Remember transfers and tickets there [default: ~/.local/state/resilient]
    #[arg(long, value_name = "DIR", help_heading = "Connect", hide_short_help = true)]
    state_dir: Option<PathBuf>,
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
    pub(super) state: Option<PathBuf>,
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

    /// The command as meant, run with this `umask`.
    pub(super) fn resolve(self, global: &Global, umask: u32) -> Result<Order, Failure> {
        self.resolve_with(ticket::variable(), global, umask)
    }

    fn resolve_with(self, environment: Option<OsString>, global: &Global, umask: u32) -> Result<Order, Failure> {
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
        let state = home::state(self.state_dir.clone()).filter(|_| !self.no_session);
        let rules = self.peer.rules()?;
        if self.dials(environment.is_some()) {
            let options = self.pull(directory, policy)?;
            let target = match (target, environment) {
                (Some(target), _) => target,
                (None, Some(text)) if !stdin => Target::Ticket(ticket::in_variable(&text)?),
                // Last of all: whoever is to type it should not do so in vain.
                (None, _) => Target::Ticket(ticket::in_file("-".as_ref())?),
            };
            let way = Way::Pull(Box::new((Contact::new(target, rules), options)));
            return Ok(Order { way, show, partial_dir, credentials, link, state });
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
        };
        Ok(Order { way: Way::Wait(Box::new((options, rules.authority))), show, partial_dir, credentials, link, state })
    }

    /// What has a use only for one who dials contradicts waiting.
    fn only_for_dialling(&self, rules: &Rules) -> Result<(), Failure> {
        peer::only_for_dialling(rules, self.outlet.port).map_err(|option| {
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
            allowed: self.limits.resolve()?.allowed(),
            policy,
            stop: self.stop.stop(),
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
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use crate::pipeline::{Family, RetryFor};
    use crate::ticket::Ticket;
    use clap::Parser as _;

    fn resolve(words: &str) -> Result<Order, Failure> {
        resolve_with(words, None)
    }

    fn resolve_with(words: &str, environment: Option<&str>) -> Result<Order, Failure> {
        let words = format!("resilient recv --identity k {words}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Recv(words) = cli.command else { panic!("not recv") };
        words.resolve_with(environment.map(OsString::from), &cli.global, 0o027)
    }

    fn waits(words: &str) -> RecvOptions {
        match resolve(words).unwrap().way {
            Way::Wait(wait) => wait.0,
            Way::Pull(..) => panic!("{words}: dials"),
        }
    }

    #[test]
    fn the_defaults_are_the_contract() {
        let options = waits("");
        assert_eq!((options.dir.to_str(), options.ticket_life.as_secs()), (Some("."), 3600));
        assert_eq!(options.listen, Listen { address: None, port: 27183, or_any: true });
        assert_eq!((options.retry_for, options.family), (RetryFor::Span(Duration::from_secs(600)), Family::Any));
        assert_eq!((options.stay, options.wait_for, options.contimeout.as_secs()), (Stay::Once, None, 30));
        assert_eq!(waits("--contimeout 5").contimeout.as_secs(), 5);
        assert_eq!(options.policy.umask, 0o027);
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
    fn how_long_to_stay() {
        for (words, stay) in [
            ("--once", Stay::Once),
            ("--count 3", Stay::Count(3)),
            ("--keep", Stay::Keep { tickets: false }),
            ("--keep --ticket", Stay::Keep { tickets: true }),
            ("--keep --once", Stay::Once),
            ("--once --count 3 --count 4", Stay::Count(4)),
            ("--count 3 --keep", Stay::Keep { tickets: false }),
        ] {
            let options = waits(words);
            assert_eq!(options.stay, stay, "{words}");
            // Nobody would learn of another port where there is no ticket.
            assert_eq!(options.listen.or_any, stay != Stay::Keep { tickets: false }, "{words}");
        }
        assert_eq!(waits("--wait-for 5m").wait_for, Some(Duration::from_secs(300)));
        let show = resolve("--qr --ticket-file t").unwrap().show;
        assert_eq!((show.qr, show.file), (true, Some("t".into())));
        for words in ["--ticket", "--once --ticket", "--keep --qr", "--keep --ticket-file t"] {
            assert_eq!(resolve(words).unwrap_err().class.code(), 1, "{words}");
        }
    }

    #[test]
    fn a_ticket_makes_it_dial() {
        let key = crate::network::identity::Identity::generate().unwrap().node_id();
        let ticket = Ticket::new(key, ["10.0.0.1:1".parse().unwrap()], None);
        let Way::Pull(pull) = resolve(&format!("{ticket} d --contimeout 7")).unwrap().way else { panic!("waits") };
        let (contact, options) = *pull;
        assert!(matches!(contact.target, Target::Ticket(typed) if typed == ticket));
        assert_eq!(options.dir.to_str(), Some("d"));
        assert_eq!(options.contimeout.as_secs(), 7);
        for words in
            ["--keep", "--count 2", "--qr", "--listen 1", "--wait-for 1", "--ticket-life 2h", "--ticket-file t"]
        {
            assert_eq!(resolve(&format!("{words} {ticket}")).unwrap_err().class.code(), 1, "{words}");
        }
        assert_eq!(resolve(&format!("d {ticket}")).unwrap_err().class.code(), 1);
    }

    #[test]
    fn a_ticket_in_the_environment_is_taken_where_nothing_typed_says_otherwise() {
        let ticket = |port: u16| {
            let key = crate::network::identity::Identity::generate().unwrap().node_id();
            Ticket::new(key, [([10, 0, 0, 1], port).into()], None).to_string()
        };
        let (set, typed) = (ticket(1), ticket(2));
        let port = |words: &str| match resolve_with(words, Some(&set)).unwrap().way {
            Way::Pull(pull) => match &pull.0.target {
                Target::Ticket(ticket) => Some(ticket.addresses[0].port()),
                _ => None,
            },
            Way::Wait(_) => Some(0),
        };
        for words in ["", "dir", "--once dir", "-o -", "--contimeout 3"] {
            assert_eq!(port(words), Some(1), "{words}");
        }
        assert_eq!(port(&format!("{typed} dir")), Some(2));
        assert_eq!(port("host:9 dir"), None);
        for words in [
            "--keep",
            "--keep --ticket",
            "--count 1",
            "--listen 1",
            "--ticket-file t",
            "--qr",
            "--wait-for 1",
            "--ticket-life 1h",
        ] {
            assert_eq!(port(words), Some(0), "{words}");
        }
        let failure = resolve_with("dir", Some("secret words")).unwrap_err();
        assert_eq!(failure.message, "RESILIENT_TICKET: not a ticket");
    }

    #[test]
    fn what_cannot_be_received_from_is_refused() {
        let ticket = "resilient://damaged";
        for (words, status) in [
            (ticket, 1),
            ("host:dir", 4),
            ("d -", 1),
            ("- a b", 1),
            ("--keep -", 1),
            ("- -", 1),
            ("a b", 1),
            ("h::m", 1),
            ("--accept-new d", 1),
            ("-o f d", 1),
        ] {
            assert_eq!(resolve(words).unwrap_err().class.code(), status, "{words}");
        }
    }
}
