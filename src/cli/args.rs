//! What can be typed: the global options and the commands.
//!
//! Invariant: a repeated option is no error, the last one wins; global options stand before or after the command; an option that
//! this version does not have is refused. Each command's own options are in its own file, in the order of the headings: Select,
//! Preserve, Delete, Transfer, Connect, Output. `-h` shows what most people need, `--help` and the manual page everything.

use super::exit::Failure;
use super::{delta, key, patch, recv, resume, send, sig};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Both ends need `resilient`. The receiver prints a ticket, good for one sender.

Examples:
  resilient recv inbox                         prints a ticket and waits
  resilient send photos/ a.pdf 'resilient://…' sends to whoever printed that
  resilient resume --list                      what broke off, and how far it was
  ssh a resilient sig /db | resilient delta - db | ssh a resilient patch /db - /db2

Of every command, too: --identity FILE, -P, --color WHEN, --log-file FILE,
--metrics-file FILE, --state-dir DIR, --config FILE, --no-config, --show-config.

Exit status: 0 done, 1 usage, 23 some files failed, 128+N ended by signal N;
the others, and which of them may pass: man resilient, EXIT STATUS.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "resilient",
    version,
    about = "Gets files across networks that other tools give up on",
    after_help = EXAMPLES,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The overview of `resilient --help`: one screen, however it is asked for, because `COMMAND --help` has everything.
pub(super) fn overview(mut definition: clap::Command) -> clap::Command {
    let text = definition.render_help().ansi().to_string().replace(" (see more with '--help')", "");
    definition.override_help(text)
}

/// The commands of this version.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send files and directories to a waiting `recv`
    #[command(long_about = send::LONG)]
    Send(send::Words),
    /// Print a ticket and wait for one send
    #[command(long_about = recv::LONG)]
    Recv(recv::Words),
    /// Go on with what broke off, or list what did
    #[command(long_about = resume::LONG)]
    Resume(resume::Words),
    /// Sign a file: sums of its blocks, for `delta`
    #[command(long_about = sig::LONG)]
    Sig(sig::Words),
    /// Say what makes a file of one that was signed
    #[command(long_about = delta::LONG)]
    Delta(delta::Words),
    /// Make a file of an old one and a delta
    #[command(long_about = patch::LONG)]
    Patch(patch::Words),
    /// Identities: this node's, whom it dials, who may come in
    Key(key::Words),
    /// Any other word: a command of a later version, or a mistake.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct Global {
    /// This node's key [default: identity.key in the configuration folder, made on first use]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connect", hide_short_help = true)]
    pub(super) identity: Option<PathBuf>,
    /// Show files, summary and rates; -vv: decisions, too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Show errors only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Events as lines of JSON, on stdout or to FILE
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,
    /// Show progress: a line that is redrawn, or plain lines where stderr is no terminal
    #[arg(
        long, global = true, overrides_with = "progress_always", value_name = "WHEN", value_enum, hide_possible_values = true,
        num_args = 0..=1, require_equals = true, default_value = "auto", default_missing_value = "always",
        help = "Show progress: auto, always or never [default: auto, on a terminal]", hide_default_value = true
    )]
    pub(super) progress: When,
    /// The same as --progress; unfinished files are kept in any case
    #[arg(short = 'P', global = true, overrides_with = "progress", hide_short_help = true)]
    pub(super) progress_always: bool,
    /// Print a table of counters at the end
    #[arg(long, global = true)]
    pub(super) stats: bool,
    /// Colours: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        hide_possible_values = true,
        default_value = "auto",
        hide_short_help = true
    )]
    pub(super) color: When,
    /// Append every message to FILE, one line each with its time
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) log_file: Option<PathBuf>,
    /// Keep counters in FILE in the form of node_exporter's textfile collector
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) metrics_file: Option<PathBuf>,
    /// Read FILE instead of this user's config.toml
    #[arg(long, global = true, value_name = "FILE", overrides_with = "no_config", hide_short_help = true)]
    pub(super) config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long, global = true, overrides_with = "config", hide_short_help = true)]
    pub(super) no_config: bool,
    /// Remember transfers and tickets there [default: ~/.local/state/resilient]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Connect", hide_short_help = true)]
    pub(super) state_dir: Option<PathBuf>,
    /// Print each setting, its value and where it comes from, and do nothing else
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) show_config: bool,
}

impl Global {
    /// Refuses JSON lines on stdout where `data` goes there.
    pub(super) fn stdout_is_free_for(&self, data: &str) -> Result<(), Failure> {
        match &self.json {
            Some(file) if file.as_os_str() == "-" => Err(Failure::usage(format!("--json: stdout carries {data}"))
                .hint("write the events to a file: --json=FILE")),
            _ => Ok(()),
        }
    }
}

/// Whether to do something that a terminal may or may not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// Where it fits.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::usage;
    use crate::pipeline::{Family, RetryFor};
    use clap::CommandFactory;

    fn parse(words: &str) -> Cli {
        Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_on_both_sides() {
        for words in ["resilient -vv --stats recv", "resilient recv -vv --stats"] {
            let cli = parse(words);
            assert_eq!((cli.global.verbose, cli.global.stats), (2, true), "{words}");
        }
        for words in
            ["resilient -q --json=x key show", "resilient key -q show --json=x", "resilient key show --json=x -q"]
        {
            let cli = parse(words);
            assert!(cli.global.quiet);
            assert_eq!(cli.global.json, Some(PathBuf::from("x")), "{words}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_option_wins() {
        let cli = parse("resilient --color=never recv --color=always --retry-for=5m --retry-for 2h -4 -6 -q -q d");
        assert_eq!(cli.global.color, When::Always);
        let Command::Recv(words) = cli.command else { panic!("not recv") };
        let order = words.resolve(&Global { identity: Some("k".into()), ..cli.global }, &[], 0).unwrap();
        let recv::Way::Wait(wait) = order.way else { panic!("dials") };
        assert_eq!(wait.0.retry_for, RetryFor::Span(std::time::Duration::from_secs(7200)));
        assert_eq!(wait.0.family, Family::V6);
    }

    #[test]
    fn optional_values_do_not_swallow_the_next_word() {
        let cli = parse("resilient recv --json --progress inbox");
        assert_eq!((cli.global.json, cli.global.progress), (Some(PathBuf::from("-")), When::Always));
        assert!(Cli::try_parse_from(["resilient", "recv", "--progress=often"]).is_err());
    }

    #[test]
    fn the_words_of_another_command_are_kept_whole() {
        let Command::Other(words) = parse("resilient -v sync -avz --delete a b").command else { panic!("taken") };
        assert_eq!(words, ["sync", "-avz", "--delete", "a", "b"]);
    }

    #[test]
    fn data_and_events_do_not_share_stdout() {
        let global = |words: &str| parse(words).global;
        assert_eq!(global("resilient recv --json").stdout_is_free_for("the file").unwrap_err().class.code(), 1);
        assert!(global("resilient recv --json=x").stdout_is_free_for("the file").is_ok());
        assert!(global("resilient recv").stdout_is_free_for("the file").is_ok());
    }

    #[test]
    fn short_help_fits_a_screen() {
        let mut command = Cli::command().term_width(80);
        command.build();
        for name in usage::COMMANDS {
            let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
            assert!(help.lines().count() <= 40, "{name}: {} lines\n{help}", help.lines().count());
        }
        let overview = overview(Cli::command().term_width(80)).render_long_help().to_string();
        assert!(overview.lines().count() <= 40);
        for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
            let name = option.get_long().filter(|name| *name != "progress-always");
            let name = name.map_or_else(|| format!("-{}", option.get_short().unwrap()), |name| format!("--{name}"));
            assert!(overview.contains(&name), "{name}\n{overview}");
        }
    }

    #[test]
    fn long_help_has_every_option_below_headings_in_their_order() {
        const ORDER: [&str; 6] = ["Select", "Preserve", "Delete", "Transfer", "Connect", "Output"];
        let mut command = Cli::command();
        command.build();
        for name in usage::COMMANDS {
            let command = command.find_subcommand_mut(name).unwrap();
            let help = command.render_long_help().to_string();
            let mut ranks: Vec<usize> = help
                .lines()
                .filter_map(|line| ORDER.iter().position(|one| line.strip_suffix(':') == Some(one)))
                .collect();
            assert!(!ranks.is_empty());
            let shown = ranks.clone();
            ranks.sort_unstable();
            assert_eq!(shown, ranks, "{name}: declare the options in the order of the headings");
            for option in command.get_arguments().filter(|option| !option.is_positional() && !option.is_hide_set()) {
                let name = option
                    .get_long()
                    .map_or_else(|| format!("-{}", option.get_short().unwrap()), |long| format!("--{long}"));
                let heading = option.get_help_heading();
                assert!(help.contains(&name), "{name}");
                assert!(heading.is_none_or(|heading| ORDER.contains(&heading)), "{name}: {heading:?}");
                assert!(heading.is_some() || name == "--help" || name == "--version", "{name} has no heading");
            }
        }
    }
}
