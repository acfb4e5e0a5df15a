//! What of the sources is sent: rules, the list of `--files-from`, and `--dry-run`.
//!
//! Invariant: rules keep the order in which they were typed, across all options that give rules, for the first that matches decides;
//! so these options accumulate where others are overridden. Files are read here, by the side that typed them, and stdin once.

use super::exit::Failure;
use super::output::escape;
use crate::filter::{BuildError, Builder, Effect, Form};
use crate::fs::source::{List, ListError, Selection};
use crate::fs::typed;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint, value_parser};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than any file of rules has.
const RULES_FILE_LIMIT: u64 = 64 << 20;

/// The options.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Flags {
    #[command(flatten)]
    rules: Rules,
    /// Send only the paths in FILE, `-` for stdin
    ///
    /// One path a line, relative to PATH, which is one directory. Directories are sent whole, those above a path come with it.
    /// Empty lines and those that begin with `#` or `;` count for nothing, unless --from0 is given.
    #[arg(long, value_name = "FILE", help_heading = "Select", hide_short_help = true)]
    files_from: Option<PathBuf>,
    /// Entries of all these files end with NUL
    #[arg(short = '0', long, help_heading = "Select", hide_short_help = true)]
    from0: bool,
    /// List what would be sent, and send nothing
    #[arg(short = 'n', long, help_heading = "Select")]
    pub(super) dry_run: bool,
}

/// An option that gives rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giver {
    Exclude,
    Include,
    Filter,
    ExcludeFrom,
    IncludeFrom,
}

impl Giver {
    const ALL: [Giver; 5] = [Giver::Exclude, Giver::Include, Giver::Filter, Giver::ExcludeFrom, Giver::IncludeFrom];

    fn name(self) -> &'static str {
        match self {
            Giver::Exclude => "exclude",
            Giver::Include => "include",
            Giver::Filter => "filter",
            Giver::ExcludeFrom => "exclude-from",
            Giver::IncludeFrom => "include-from",
        }
    }

    fn is_file(self) -> bool {
        matches!(self, Giver::ExcludeFrom | Giver::IncludeFrom)
    }

    fn form(self) -> Form {
        match self {
            Giver::Exclude | Giver::ExcludeFrom => Form::Pattern(Effect::Exclude),
            Giver::Include | Giver::IncludeFrom => Form::Pattern(Effect::Include),
            Giver::Filter => Form::Filter,
        }
    }

    fn arg(self) -> Arg {
        let arg = Arg::new(self.name()).long(self.name()).action(ArgAction::Append);
        let arg = arg.value_parser(value_parser!(OsString)).allow_hyphen_values(true).help_heading("Select");
        match self {
            Giver::Exclude => arg.value_name("PATTERN").help("Leave out what matches; the first match decides"),
            Giver::Include => arg.value_name("PATTERN").help("Send what matches").hide_short_help(true),
            Giver::Filter => arg.short('f').value_name("RULE").help("A filter rule of rsync: '- *.o', 'merge FILE'"),
            Giver::ExcludeFrom => {
                arg.value_name("FILE").help("Leave out what patterns in FILE match").hide_short_help(true)
            }
            Giver::IncludeFrom => arg.value_name("FILE").help("Send what patterns in FILE match").hide_short_help(true),
        }
        .value_hint(if self.is_file() { ValueHint::FilePath } else { ValueHint::Other })
    }
}

/// Rules in the order in which they were typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules(Vec<(Giver, OsString)>);

impl Args for Rules {
    fn augment_args(command: Command) -> Command {
        command.args(Giver::ALL.map(Giver::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    /// clap keeps the order among the values of one option, and beside it the place of each on the command line.
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut placed = Vec::new();
        for giver in Giver::ALL {
            let places = matches.indices_of(giver.name()).into_iter().flatten();
            let values = matches.get_many::<OsString>(giver.name()).into_iter().flatten();
            placed.extend(places.zip(values).map(|(place, value)| (place, (giver, value.clone()))));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Rules(placed.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

impl Flags {
    /// Reads what is to be read. `sources` is the number of paths that were typed; `stdin` says that stdin is taken, from here or from before.
    pub(super) fn resolve(&self, sources: usize, stdin: &Cell<bool>) -> Result<Selection, Failure> {
        if self.files_from.is_some() && sources != 1 {
            return Err(Failure::usage("--files-from needs exactly one PATH, the directory that its names are below"));
        }
        let list = self.files_from.as_deref().map(|file| self.list(file, stdin)).transpose()?;
        Ok(Selection { rules: Arc::new(self.rules(stdin)?), list: list.map(Arc::new) })
    }

    fn rules(&self, stdin: &Cell<bool>) -> Result<crate::filter::Rules, Failure> {
        let read = |file: &Path| {
            let mut text = Vec::new();
            open(file, stdin)?.take(RULES_FILE_LIMIT + 1).read_to_end(&mut text)?;
            if text.len() as u64 > RULES_FILE_LIMIT {
                return Err(io::Error::other("too large for a file of rules"));
            }
            Ok(text)
        };
        let mut builder = Builder::new(self.from0, &read);
        for (giver, value) in &self.rules.0 {
            let added = if giver.is_file() {
                builder.add_file(giver.form(), Path::new(value))
            } else {
                builder.add(giver.form(), value.as_bytes())
            };
            added.map_err(|error| refusal(*giver, value, &error))?;
        }
        let rules = builder.build();
        if rules.has_receiver_rules() {
            return Err(Failure::usage("a protect or risk rule is about deletions, and send deletes nothing"));
        }
        Ok(rules)
    }

    fn list(&self, file: &Path, stdin: &Cell<bool>) -> Result<List, Failure> {
        let read = open(file, stdin).map_err(ListError::from);
        let list = read.and_then(|file| List::read(BufReader::new(file), self.from0));
        list.map_err(|error| {
            let message = format!("{}: {error}", shown(file.as_os_str()));
            Failure::usage(escape::without_number(&message))
        })
    }
}

/// What was typed is repeated in the error; what stands in a file is not.
fn refusal(giver: Giver, value: &OsStr, error: &BuildError) -> Failure {
    let object = match error.at {
        None => format!("--{} '{}': ", giver.name(), shown(value)),
        Some(_) => String::new(),
    };
    Failure::new(error.class(), escape::without_number(&format!("{object}{error}")))
}

fn shown(file: &OsStr) -> String {
    if file == "-" { "stdin".to_owned() } else { escape::name(file.as_bytes()) }
}

/// Opens a file that was typed, or stdin for `-`, which can be read to its end only once.
fn open(file: &Path, stdin: &Cell<bool>) -> io::Result<Box<dyn io::Read>> {
    if file.as_os_str() != "-" {
        return Ok(Box::new(typed::open(file)?));
    }
    if stdin.replace(true) {
        return Err(io::Error::other("stdin is read for something else already"));
    }
    Ok(Box::new(io::stdin().lock()))
}

#[cfg(test)]
mod tests;
