//! Settings from the environment and from configuration files, put before the words that were typed.
//!
//! command line ▷ `RESILIENT_*` ▷ `--config FILE`, `RESILIENT_CONFIG` or this user's `config.toml` ▷ `/etc/resilient/config.toml` ▷
//! built-in. Generic over the definition of the options: a setting becomes the words `--name=value`, which clap then reads like any
//! others, so an option needs no code here, only its name in [`keys::HOW`]. Invariants: a file says how, never what; nothing typed is
//! ever overridden; a setting that is wrong ends the run (exit 1) with its file and line before anything is touched.

mod file;
mod keys;
mod peer;
mod role;
mod show;
#[cfg(test)]
mod tests;
mod value;
mod world;

pub(super) use keys::{HOW, variable};
pub(super) use world::World;

use super::exit::Failure;
use super::output::escape;
use super::ticket;
use super::usage;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use value::Value;

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    CommandLine,
    /// The name of the variable.
    Environment(String),
    File {
        path: PathBuf,
        line: usize,
    },
    BuiltIn,
}

/// A value for an option, from outside of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// Long name of the option.
    name: String,
    value: Value,
    source: Source,
}

impl Setting {
    /// `message`, with the place to mend before it.
    fn wrong(&self, message: &str) -> Failure {
        match &self.source {
            Source::File { path, line } => {
                Failure::usage(format!("{}:{line}: {message}", escape::name(path.as_os_str().as_bytes())))
            }
            Source::Environment(name) => Failure::usage(format!("{name}: {message}")),
            Source::CommandLine | Source::BuiltIn => Failure::usage(message),
        }
    }
}

/// The words of a run with the settings among them.
pub(super) struct Configured {
    /// What is to be parsed instead of what was typed.
    pub(super) words: Vec<OsString>,
    /// The settings that were put in, by the name of the option.
    settings: BTreeMap<String, Setting>,
}

/// Reads the settings for `typed`, which clap has taken as `matches` of `definition`.
pub(super) fn apply(
    definition: &Command,
    matches: &ArgMatches,
    typed: &[OsString],
    world: &World<'_>,
) -> Result<Configured, Failure> {
    let chain = chain(matches);
    let command = chain.get(1).and_then(|(name, _)| definition.find_subcommand(name));
    let destination = command.map_or_else(Vec::new, |command| peer::named(command, chain[1].1));
    let layers = layers(definition, &chain, world, &destination)?;
    let has_ticket = world.set(ticket::VARIABLE).is_some();

    let mut settings = BTreeMap::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for option in options(definition, command) {
        let name = option.get_long().unwrap_or_default();
        let Some(setting) = layers.iter().find(|setting| setting.name == name) else { continue };
        let suits = chain.get(1).is_none_or(|(command, matches)| role::suits(command, matches, name, has_ticket));
        let negation = negation(definition, command, option);
        let is_typed = is_typed(&chain, option) || negation.is_some_and(|negation| is_typed(&chain, negation));
        if !suits || is_typed || gives_way(definition, command, &chain, option) {
            continue;
        }
        if is_global(definition, option) {
            before.extend(setting.value.words(name));
        } else if command.is_some() {
            // `fsync = false` is not the absence of a word.
            let off = negation.filter(|_| setting.value == Value::Flag(false)).and_then(Arg::get_long);
            after.extend(off.map_or_else(|| setting.value.words(name), |off| Value::Flag(true).words(off)));
        }
        settings.insert(name.to_owned(), setting.clone());
    }
    let at = usage::command_at(definition, typed).map_or(typed.len(), |at| at + 1);
    let mut words: Vec<OsString> = typed.iter().take(1).cloned().chain(before).collect();
    words.extend_from_slice(&typed[1.min(typed.len())..at]);
    words.extend(after);
    words.extend_from_slice(&typed[at..]);
    Ok(Configured { words, settings })
}

impl Configured {
    /// The table of `--show-config`: `matches` is what clap made of [`Configured::words`].
    pub(super) fn show(&self, definition: &Command, matches: &ArgMatches, json: Option<&str>) -> String {
        let chain = chain(matches);
        let command = chain.get(1).and_then(|(name, _)| definition.find_subcommand(name));
        let rows = options(definition, command)
            .into_iter()
            .map(|option| self.row(option, negation(definition, command, option), &chain));
        show::text(&rows.collect::<Vec<_>>(), json)
    }

    fn row(&self, option: &Arg, negation: Option<&Arg>, chain: &[(&str, &ArgMatches)]) -> show::Row {
        let name = option.get_long().unwrap_or_default().to_owned();
        let setting = self.settings.get(&name);
        let taken = chain.iter().rev().map(|(_, matches)| *matches).find(|matches| has(matches, option));
        let negated = negation
            .filter(|negation| taken.is_some_and(|matches| flag(matches, negation.get_id().as_str())))
            .unwrap_or(option);
        let from = taken.and_then(|matches| matches.value_source(negated.get_id().as_str()));
        let source = match (from, setting) {
            (Some(ValueSource::CommandLine), Some(setting)) => setting.source.clone(),
            (Some(ValueSource::CommandLine), None) => Source::CommandLine,
            // `quiet = false` leaves no word behind; and without a command its options are not parsed.
            (_, Some(setting)) if taken.is_none() || setting.value.words(&name).is_empty() => setting.source.clone(),
            _ => Source::BuiltIn,
        };
        let value = match setting {
            Some(setting) if taken.is_none() => Some(setting.value.shown()),
            _ if negation.is_some() => Some((negated.get_id() == option.get_id()).to_string().into()),
            _ => value::shown(option, taken),
        };
        show::Row { name, value, source }
    }
}

/// Every setting that counts for this run, the one that goes before others first.
fn layers(
    definition: &Command,
    chain: &[(&str, &ArgMatches)],
    world: &World<'_>,
    destination: &[OsString],
) -> Result<Vec<Setting>, Failure> {
    let mut layers = environment(definition, world)?;
    let global = chain.last().map(|(_, matches)| *matches);
    if global.is_some_and(|matches| flag(matches, "no_config")) {
        return Ok(layers);
    }
    let typed = global.and_then(|matches| matches.try_get_one::<PathBuf>("config").ok().flatten());
    for file in world.files(typed) {
        let Some(sections) = file::read(definition, &file)? else { continue };
        let ours = sections.into_iter().filter(|section| section.is_for(destination));
        layers.extend(ours.flat_map(|section| section.settings));
    }
    Ok(layers)
}

/// `RESILIENT_<LONG_NAME>` for every option that a file could set.
fn environment(definition: &Command, world: &World<'_>) -> Result<Vec<Setting>, Failure> {
    let mut settings = Vec::new();
    for name in HOW {
        let Some((_, option)) = owner(definition, name) else { continue };
        let Some((variable, text)) = world.variable(name) else { continue };
        let source = Source::Environment(variable);
        let mut setting = Setting { name: (*name).to_owned(), value: Value::Flag(false), source };
        setting.value = Value::from_text(option, text).map_err(|wanted| setting.wrong(&wanted))?;
        check(definition, &setting)?;
        settings.push(setting);
    }
    Ok(settings)
}

/// Lets clap judge one setting alone, so that its error can tell where it stands.
fn check(definition: &Command, setting: &Setting) -> Result<(), Failure> {
    let Some((command, _)) = owner(definition, &setting.name) else { return Ok(()) };
    let words = [OsString::from(definition.get_name()), command.into()].into_iter();
    let judged = definition.clone().try_get_matches_from(words.chain(setting.value.words(&setting.name)));
    match judged {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidValue
                    | ErrorKind::ValueValidation
                    | ErrorKind::NoEquals
                    | ErrorKind::InvalidUtf8
                    | ErrorKind::TooManyValues
                    | ErrorKind::TooFewValues
                    | ErrorKind::WrongNumberOfValues
            ) =>
        {
            Err(setting.wrong(&usage::sentence(&error.render().to_string())))
        }
        _ => Ok(()),
    }
}

/// The option of that long name, and a command that has it.
fn owner<'a>(definition: &'a Command, name: &str) -> Option<(&'a str, &'a Arg)> {
    let find = |command: &'a Command| command.get_arguments().find(|option| option.get_long() == Some(name));
    let commands = || definition.get_subcommands().filter(|command| command.get_subcommands().next().is_none());
    if let Some(option) = find(definition) {
        return commands().next().map(|command| (command.get_name(), option));
    }
    commands().find_map(|command| find(command).map(|option| (command.get_name(), option)))
}

/// The options of a command that may be set, or those of all commands.
fn options<'a>(definition: &'a Command, command: Option<&'a Command>) -> Vec<&'a Arg> {
    let commands: Vec<&Command> =
        command.map_or_else(|| definition.get_subcommands().collect(), |command| vec![command]);
    let all = commands.into_iter().chain([definition]).flat_map(Command::get_arguments);
    let mut options: Vec<&Arg> = Vec::new();
    for option in all.filter(|option| option.get_long().is_some_and(|name| HOW.contains(&name))) {
        if !options.iter().any(|known| known.get_long() == option.get_long()) {
            options.push(option);
        }
    }
    options
}

/// The option that takes back a flag which holds unless it is said, as `--no-fsync` does `--fsync`.
fn negation<'a>(definition: &'a Command, command: Option<&'a Command>, option: &Arg) -> Option<&'a Arg> {
    let name = format!("no-{}", option.get_long().filter(|_| !option.get_action().takes_values())?);
    let suits = |other: &&Command| command.is_none_or(|command| command.get_name() == other.get_name());
    let mut commands = definition.get_subcommands().filter(suits);
    commands.find_map(|command| command.get_arguments().find(|other| other.get_long() == Some(&name)))
}

fn is_global(definition: &Command, option: &Arg) -> bool {
    definition.get_arguments().any(|global| global.get_id() == option.get_id())
}

/// The matches of the program, the command and its verb.
fn chain(matches: &ArgMatches) -> Vec<(&str, &ArgMatches)> {
    let mut chain = vec![("", matches)];
    while let Some((name, below)) = chain[chain.len() - 1].1.subcommand() {
        chain.push((name, below));
    }
    chain
}

fn has(matches: &ArgMatches, option: &Arg) -> bool {
    matches.try_contains_id(option.get_id().as_str()).is_ok_and(|there| there)
}

fn flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
}

fn is_typed(chain: &[(&str, &ArgMatches)], option: &Arg) -> bool {
    chain.iter().any(|(_, matches)| {
        has(matches, option) && matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
    })
}

/// Whether something typed excludes this option: then what was typed counts. `--insecure` makes nothing give way, for a pinned key in a
/// file is to be an obstacle to it.
fn gives_way(definition: &Command, command: Option<&Command>, chain: &[(&str, &ArgMatches)], option: &Arg) -> bool {
    let command = command.unwrap_or(definition);
    let excludes =
        |one: &Arg, other: &Arg| command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id());
    let mut typed =
        command.get_arguments().filter(|other| other.get_long() != Some("insecure") && is_typed(chain, other));
    typed.any(|other| excludes(option, other) || excludes(other, option))
}

/// A word made of a long name and a value of any bytes.
fn word(name: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    word
}
