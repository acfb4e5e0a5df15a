//! The command line: words in, lines and an exit status out.
//!
//! `main` → `args` (what was typed) → `send`/`recv`/`key` (what is meant) → `drive` (runtime, signals, panics) → `run` (the
//! one place that calls the rest of the library) → `output` (what is shown) → `exit` (the status). Invariant: only this
//! module prints, reads the environment or knows a clap type; the library below has options, events and typed errors. A usage
//! error is found before anything is touched.

mod args;
mod cancel;
mod connect;
mod drive;
mod exit;
mod home;
mod key;
mod output;
mod place;
mod policy;
mod recv;
mod run;
mod send;
mod signal;
mod span;
mod stdin;
mod stop;
mod usage;

use args::{Cli, Command, Global};
use cancel::Cancel;
use clap::Parser as _;
use exit::Failure;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the program with these arguments (the first is its name) and gives its exit status. Ends by a signal, and does not
/// return, if one asked it to stop: the shell then sees 128 + its number and stops its loop.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    drive::report_panics_in_one_line();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error, &arguments),
    };
    let Cli { global, command } = cli;
    match command {
        Command::Send(words) => transfer("send", &global, false, words.resolve(&global).map(send::Order::job)),
        Command::Recv(words) => {
            let is_data = words.takes_stdout();
            transfer("recv", &global, is_data, words.resolve(&global).map(recv::Order::job))
        }
        Command::Key(words) => key::main(&words, &global),
        Command::Other(words) => exit::refuse("", &usage::unknown_command(&words), global.color),
    }
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
