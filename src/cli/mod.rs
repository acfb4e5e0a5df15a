//! The command line: words in, lines and an exit status out.
//!
//! `main` → `args` (what was typed) → `config` (what was set elsewhere) → `send`/`recv`/…/`key`, one file a command (what is meant) → `drive` (runtime,
//! signals, panics) → `run` (the one place that calls the rest of the library) → `output` (what is shown) → `exit` (the status).
//! Invariant: only this module prints, reads the environment or knows a clap type; the library below has options, events and typed
//! errors. A usage error is found before anything is touched. `generate` makes manual pages and completions of the definition.

mod args;
mod cancel;
mod config;
mod connect;
mod contact;
mod delta;
mod drive;
mod exit;
mod generate;
mod home;
mod invite;
mod key;
mod output;
mod patch;
mod peer;
mod place;
mod policy;
mod prompt;
mod rates;
mod recv;
mod resume;
mod run;
mod select;
mod send;
mod sessions;
mod sig;
mod signal;
mod span;
mod stdin;
mod stop;
mod streams;
mod ticket;
mod usage;

use args::{Cli, Command, Global};
use cancel::Cancel;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use config::World;
use exit::Failure;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the program with these arguments (the first is its name) and gives its exit status. Ends by a signal, and does not
/// return, if one asked it to stop: the shell then sees 128 + its number and stops its loop.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    drive::keep_panics();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    drive::caught(|| Ok(run(&arguments))).unwrap_or_else(|failure| {
        exit::refuse(usage::typed_command(&arguments), &failure, usage::typed_color(&arguments))
    })
}

fn run(arguments: &[OsString]) -> ExitCode {
    if arguments.get(1).is_some_and(|word| word == generate::WORD) {
        return generate::main(&arguments[2..]);
    }
    let mut definition = Cli::command();
    if usage::command_at(&definition, arguments).is_none() {
        definition = args::overview(definition);
        if arguments.iter().any(|word| word == "--show-config") {
            // Without a command the settings of all of them are shown.
            definition = definition.subcommand_required(false).arg_required_else_help(false);
        }
    }
    let parsed = configure(&definition, arguments);
    let cli = match parsed {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let Cli { mut global, command } = cli;
    match command {
        Command::Send(words) => {
            transfer("send", &global, Shape::Sends, words.resolve(&global, arguments).map(send::Order::job))
        }
        Command::Recv(words) => {
            let shape = if words.takes_stdout() { Shape::Data } else { Shape::Receives };
            let order = words.resolve(&global, arguments, policy::umask());
            transfer("recv", &global, shape, order.map(recv::Order::job))
        }
        Command::Sig(words) => {
            global.stats |= words.statistics;
            transfer("sig", &global, Shape::of(words.takes_stdout()), words.resolve(&global))
        }
        Command::Delta(words) => {
            global.stats |= words.statistics;
            transfer("delta", &global, Shape::of(words.takes_stdout()), words.resolve(&global))
        }
        Command::Patch(words) => {
            global.stats |= words.statistics;
            transfer("patch", &global, Shape::of(words.takes_stdout()), words.resolve(&global))
        }
        Command::Resume(words) => resume::main(words, &global),
        Command::Key(words) => key::main(&words, &global),
        Command::Other(words) => exit::refuse("", &usage::unknown_command(&words), global.color),
    }
}

/// Why words cannot be read.
enum Misread {
    /// What clap says of them.
    Words(Box<clap::Error>),
    /// A setting that goes with them is wrong.
    Setting(Failure),
}

/// What `arguments` and the settings come to.
fn read(definition: &clap::Command, arguments: &[OsString]) -> Result<(config::Configured, ArgMatches), Misread> {
    let parse = |words: &[OsString]| {
        definition.clone().try_get_matches_from(words).map_err(|error| Misread::Words(Box::new(error)))
    };
    let typed = parse(arguments)?;
    let configured = config::apply(definition, &typed, arguments, &World::of_process()).map_err(Misread::Setting)?;
    let matches = parse(&configured.words)?;
    Ok((configured, matches))
}

/// What is meant by words that were typed in an earlier run, with the settings of now.
fn read_again(arguments: &[OsString]) -> Result<Cli, Failure> {
    let wrong = |error: &clap::Error| Failure::usage(usage::sentence(&error.render().to_string()));
    let (_, matches) = read(&Cli::command(), arguments).map_err(|misread| match misread {
        Misread::Words(error) => wrong(&error),
        Misread::Setting(failure) => failure,
    })?;
    Cli::from_arg_matches(&matches).map_err(|error| wrong(&error))
}

/// What is meant by `arguments` and the settings, or the status with which that ends here.
fn configure(definition: &clap::Command, arguments: &[OsString]) -> Result<Cli, ExitCode> {
    let refuse =
        |failure: Failure| exit::refuse(usage::typed_command(arguments), &failure, usage::typed_color(arguments));
    let (configured, matches) = read(definition, arguments).map_err(|misread| match misread {
        Misread::Words(error) => usage::answer(&error, arguments),
        Misread::Setting(failure) => refuse(failure),
    })?;
    if matches.get_flag("show_config") {
        let json = matches.contains_id("json").then(|| output::Clock::system().stamp());
        let text = configured.show(definition, &matches, json.as_deref());
        let to = matches.get_one::<std::path::PathBuf>("json").filter(|file| file.as_os_str() != "-");
        return Err(
            output::result(to.map(std::path::PathBuf::as_path), &text).map_or_else(refuse, |()| ExitCode::SUCCESS)
        );
    }
    Cli::from_arg_matches(&matches).map_err(|error| usage::answer(&error.format(&mut definition.clone()), arguments))
}

/// What the output of a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// It sends.
    Sends,
    /// It receives.
    Receives,
    /// It receives, and stdout is for what arrives: nothing else is written there.
    Data,
}

impl Shape {
    /// Of a command whose result goes to stdout, or to a file.
    fn of(takes_stdout: bool) -> Shape {
        if takes_stdout { Shape::Data } else { Shape::Receives }
    }
}

/// One run of a transfer with its output. What was wrong with the words comes in as the error of `job`, so that it is told like
/// any other, with an `end` event after it.
fn transfer(command: &'static str, global: &Global, shape: Shape, job: Result<drive::Job, Failure>) -> ExitCode {
    let cancel = Cancel::new();
    let output = match Output::open(command, global, cancel.clone()) {
        Ok(output) => Arc::new(output.of_shape(shape)),
        Err(failure) => return exit::refuse(command, &failure, global.color),
    };
    output.start();
    let interrupt = signal::Interrupt::new(cancel.clone());
    let result = job.and_then(|job| {
        let status = Arc::clone(&output);
        interrupt.watch(move || status.status())?;
        drive::run(job, Arc::clone(&output), &cancel)
    });
    let result = output.broken().map_or(result, Err);
    let signal = interrupt.received();
    output.end(&result, signal);
    if let Some(signal) = signal {
        signal::end_by(signal);
    }
    exit::status(&result)
}
