//! The command line: words in, lines and an exit status out.
//!
//! `main` → `args` (what was typed) → `config` (what was set elsewhere) → `send`/`recv`/`key` (what is meant) → `drive` (runtime,
//! signals, panics) → `run` (the one place that calls the rest of the library) → `output` (what is shown) → `exit` (the status).
//! Invariant: only this module prints, reads the environment or knows a clap type; the library below has options, events and typed
//! errors. A usage error is found before anything is touched. `generate` makes manual pages and completions of the definition.

mod args;
mod cancel;
mod config;
mod connect;
mod contact;
mod drive;
mod exit;
mod generate;
mod home;
mod invite;
mod key;
mod output;
mod peer;
mod place;
mod policy;
mod prompt;
mod rates;
mod recv;
mod run;
mod select;
mod send;
mod signal;
mod span;
mod stdin;
mod stop;
mod ticket;
mod usage;

use args::{Cli, Command, Global};
use cancel::Cancel;
use clap::{CommandFactory as _, FromArgMatches as _};
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
    let Cli { global, command } = cli;
    match command {
        Command::Send(words) => transfer("send", &global, false, words.resolve(&global).map(send::Order::job)),
        Command::Recv(words) => {
            let is_data = words.takes_stdout();
            let order = words.resolve(&global, policy::umask());
            transfer("recv", &global, is_data, order.map(recv::Order::job))
        }
        Command::Key(words) => key::main(&words, &global),
        Command::Other(words) => exit::refuse("", &usage::unknown_command(&words), global.color),
    }
}

/// What is meant by `arguments` and the settings, or the status with which that ends here.
fn configure(definition: &clap::Command, arguments: &[OsString]) -> Result<Cli, ExitCode> {
    let parse = |words: &[OsString]| {
        definition.clone().try_get_matches_from(words).map_err(|error| usage::answer(&error, arguments))
    };
    let typed = parse(arguments)?;
    let command = typed.subcommand_name().unwrap_or_default();
    let refuse = |failure: Failure| exit::refuse(command, &failure, usage::typed_color(arguments));
    let configured = config::apply(definition, &typed, arguments, &World::of_process()).map_err(refuse)?;
    let matches = parse(&configured.words)?;
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

/// One run of `send` or `recv` with its output. What was wrong with the words comes in as the error of `job`, so that it is told like
/// any other, with an `end` event after it. With `is_data` stdout is for what arrives, and nothing else is written there.
fn transfer(command: &'static str, global: &Global, is_data: bool, job: Result<drive::Job, Failure>) -> ExitCode {
    let cancel = Cancel::new();
    let output = match Output::open(command, global, cancel.clone()) {
        Ok(output) => Arc::new(output.with_data_on_stdout(is_data)),
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
