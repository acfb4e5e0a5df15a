//! `resilient resume`: goes on with what broke off, by running its command again where it was typed.
//!
//! What was typed counts, with the settings of now; `resume` itself says how much is shown, and may say other rates and times. Invariant: a
//! session is named by the first digits of its name, and only if they stand for one alone; one that another run is at is left to that.
//! [`list`] shows what there is, [`forget`] takes it away.

mod forget;
mod list;

use super::args::{Command, Global};
use super::drive::Job;
use super::exit::{self, Failure};
use super::rates;
use super::sessions::{self, Lock};
use super::span;
use super::stop;
use super::{Shape, home, policy, read_again, recv, transfer};
use crate::class::Class;
use crate::event::{Event, Observer, SessionTag, Tagged};
use crate::pipeline::{self, RetryFor, Summary};
use crate::session::{Claim, Found, Record, Role, State, Store, StoreError};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use std::ffi::OsString;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What `--help` says first.
pub(super) const LONG: &str = "Go on with what broke off, or list what did.\n\n\
        Repeating the command itself does the same: scripts need nothing else. Without a SESSION it goes on with the only one there is. \
        Of what was typed then, only what is typed now is different.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(
    override_usage = "resilient resume [OPTIONS] [SESSION...]\n       resilient resume [OPTIONS] --all\n       resilient resume [OPTIONS] --list\n       resilient resume [OPTIONS] --forget [SESSION...]"
)]
pub(super) struct Words {
    /// What to go on with: the first digits of the names that `--list` shows
    #[arg(value_name = "SESSION")]
    typed: Vec<String>,
    /// Go on with everything that does not wait for somebody to come
    #[arg(long, conflicts_with_all = ["list", "forget"], help_heading = "Select")]
    all: bool,
    /// Show what broke off; with -v also what is complete
    #[arg(long, conflicts_with = "forget", help_heading = "Select")]
    list: bool,
    /// Give up what was begun, and take away its unfinished files
    #[arg(long, help_heading = "Select")]
    forget: bool,
    /// Only what was not touched for this long (with --all, --list, --forget)
    #[arg(long, value_name = "SPAN", value_parser = span::span, help_heading = "Select")]
    older_than: Option<Duration>,
    #[command(flatten)]
    instead: Instead,
}

/// What may be said anew of a transfer.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Instead {
    #[command(flatten)]
    pub(super) stop: stop::Flags,
    #[command(flatten)]
    pub(super) limits: rates::Limits,
    /// How long a usable connection may take, 0 for no limit [default: as typed then]
    #[arg(long, value_name = "SECS", value_parser = span::time_out, help_heading = "Connect", hide_short_help = true)]
    pub(super) contimeout: Option<Duration>,
    /// After so long without a word try another connection as well, 0 for never [default: as typed then]
    #[arg(long, value_name = "SECS", value_parser = span::time_out, help_heading = "Connect", hide_short_help = true)]
    pub(super) timeout: Option<Duration>,
    /// Keep trying for this long to go on after the other side fell silent or broke off [default: as typed then]
    #[arg(long, value_name = "SPAN", value_parser = span::patience, help_heading = "Connect")]
    pub(super) retry_for: Option<RetryFor>,
    #[command(flatten)]
    pub(super) lock: Lock,
}

/// Runs the command and gives its exit status.
pub(super) fn main(words: Words, global: &Global) -> ExitCode {
    let is_transfer = !(words.list || words.forget);
    let chosen = Memories::open(global).and_then(|memories| {
        if let Some(problem) = words.contradiction() {
            return Err(problem);
        }
        if words.list {
            return list::show(&memories, words.older_than, global).map(|()| None);
        }
        if words.forget {
            return forget::forget(&memories, &words.typed, words.older_than).map(|()| None);
        }
        memories.choose(&words, global).map(|records| Some((memories, records)))
    });
    match chosen {
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) if !is_transfer => exit::refuse("resume", &failure, global.color),
        Err(failure) => transfer("resume", global, Shape::Sends, Err(failure)),
        Ok(Some((memories, records))) => {
            let folder = memories.folder;
            match <[Record; 1]>::try_from(records) {
                Ok([record]) if !words.all => {
                    let receives = if record.key.role == Role::Receive { Shape::Receives } else { Shape::Sends };
                    let task = Task::of(record, &folder, &words.instead);
                    transfer("resume", global, receives, task.map(|task| task.job))
                }
                Ok([record]) => transfer("resume", global, Shape::Sends, Ok(all(vec![record], folder, words))),
                Err(records) => transfer("resume", global, Shape::Sends, Ok(all(records, folder, words))),
            }
        }
    }
}

impl Words {
    /// Words that do not go together, as far as the definition does not say so.
    fn contradiction(&self) -> Option<Failure> {
        let one_way = self.all || self.list;
        if one_way && !self.typed.is_empty() {
            let option = if self.all { "--all" } else { "--list" };
            return Some(Failure::usage(format!("{option} is about every session, and one was named")));
        }
        if self.older_than.is_some() && !(one_way || self.forget) {
            return Some(Failure::usage("--older-than goes with --all, --list or --forget"));
        }
        if self.older_than.is_some() && !self.typed.is_empty() {
            return Some(Failure::usage("--older-than chooses sessions, and one was named"));
        }
        if self.forget && self.typed.is_empty() && self.older_than.is_none() {
            return Some(
                Failure::usage("--forget what?").hint("resilient resume --forget SESSION, or --older-than SPAN"),
            );
        }
        None
    }
}

/// What is remembered, and where.
struct Memories {
    store: Store,
    /// An absolute path: runs go to other folders.
    folder: PathBuf,
    now: Timestamp,
}

impl Memories {
    fn open(global: &Global) -> Result<Memories, Failure> {
        let nowhere = || Failure::usage("this user has no home folder").hint("set RESILIENT_HOME to a folder");
        let folder = home::state(global.state_dir.clone()).ok_or_else(nowhere)?;
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let warn = |message: String| super::output::warn("resume", &message, global);
        let store = sessions::open(&folder, &warn);
        let store = store.map_err(|error| Failure::new(error.class(), sessions::cause(&folder, &error)))?;
        Ok(Memories { store, folder, now: Timestamp::now() })
    }

    fn failed(&self, error: &StoreError) -> Failure {
        Failure::new(error.class(), sessions::cause(&self.folder, error))
    }

    /// Everything that was not changed for this long, that which was changed last first.
    fn list(&self, older_than: Option<Duration>) -> Result<Vec<Record>, Failure> {
        let mut records = self.store.list().map_err(|error| self.failed(&error))?;
        if let Some(span) = older_than {
            let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
            records.retain(|record| self.now.duration_since(record.changed) >= span);
        }
        Ok(records)
    }

    /// That one session.
    fn find(&self, typed: &str) -> Result<Record, Failure> {
        let shown = super::output::escape::name(typed.as_bytes());
        match self.store.find(typed).map_err(|error| self.failed(&error))? {
            Found::One(record) => Ok(*record),
            Found::None => Err(Failure::new(Class::Session, format!("{shown}: no such session"))
                .hint("`resilient resume --list` shows what there is")),
            Found::Several(records) => {
                Err(Failure::new(Class::Select, format!("{shown}: {} sessions begin like that", records.len()))
                    .hint("`resilient resume --list` shows more of their digits"))
            }
        }
    }

    /// The shortest name of a session.
    fn short(&self, record: &Record) -> Result<String, Failure> {
        self.store.short(record).map_err(|error| self.failed(&error))
    }

    /// Takes the session for as long as what is given lives; `None` while another run has it.
    fn claim(&self, record: &Record) -> Result<Option<Claim>, Failure> {
        self.store.claim(&pipeline::claimed(&record.key)).map_err(|error| self.failed(&error))
    }

    fn is_running(&self, record: &Record) -> Result<bool, Failure> {
        self.claim(record).map(|claim| claim.is_none())
    }

    /// What is to be gone on with.
    fn choose(&self, words: &Words, global: &Global) -> Result<Vec<Record>, Failure> {
        if !words.typed.is_empty() {
            return words.typed.iter().map(|typed| self.find(typed)).collect();
        }
        let mut open = Vec::new();
        for record in self.list(words.older_than)? {
            if record.state.is_resumable() && record.command.is_some() && !self.is_running(&record)? {
                open.push(record);
            }
        }
        if words.all {
            // The first that broke off is the first to go on.
            open.sort_by_key(|record| record.began);
            return Ok(open);
        }
        match &open[..] {
            [_] => Ok(open),
            [] => Err(Failure::new(Class::Select, "there is nothing to go on with")
                .hint("`resilient resume --list -v` shows what there was")),
            several => {
                let message = format!("{} sessions can be gone on with", several.len());
                list::show(self, None, global)?;
                Err(Failure::new(Class::Select, message).hint("resilient resume SESSION, or --all"))
            }
        }
    }
}

/// A session that is gone on with.
struct Task {
    job: Job,
    /// Whether it waits for somebody to come.
    waits: bool,
}

impl Task {
    /// The command of `record`, read again in the folder where it was typed, which is the current one from here on.
    fn of(record: Record, state_dir: &Path, instead: &Instead) -> Result<Task, Failure> {
        let unfit = |message: &str| Failure::new(Class::Session, format!("{}: {message}", &record.id()[..8]));
        if record.state == State::Completed {
            return Ok(Task { job: Box::new(|observer, _| Box::pin(ready(Ok(done(&*observer))))), waits: false });
        }
        if !record.state.is_resumable() {
            return Err(unfit("was given up for its age").hint("the command itself begins anew"));
        }
        let command = record.command.clone().ok_or_else(|| {
            unfit("its command is not enough to run it again: it receives several transfers, or has read a list from stdin")
                .hint("it goes on when its sender comes again, or when its command is typed again")
        })?;
        // Everything relative in the words was typed there. No other thread looks at the current folder.
        std::env::set_current_dir(&command.folder).map_err(|error| {
            let folder = super::output::escape::word(command.folder.as_os_str());
            Failure::new(Class::Select, format!("{folder}: {}", super::output::escape::cause(&error)))
        })?;
        let words: Vec<OsString> = std::iter::once("resilient".into()).chain(command.words).collect();
        let cli = read_again(&words)?;
        let global = Global { state_dir: Some(state_dir.to_owned()), ..cli.global };
        match cli.command {
            Command::Send(typed) => {
                let order = typed.with(instead).again(command.ticket, &global, &words)?;
                Ok(Task { job: order.job(), waits: false })
            }
            Command::Recv(typed) => {
                let typed = typed.with(instead, command.ticket.is_some());
                let order = typed.again(command.ticket, &global, &words, policy::umask())?;
                let waits = matches!(order.way, recv::Way::Wait(_));
                Ok(Task { job: order.job(), waits })
            }
            _ => Err(unfit("is no transfer")),
        }
    }
}

/// There is nothing left to do.
fn done(observer: &dyn Observer) -> Summary {
    observer.event(&Event::Note { message: "it is complete".into() });
    Summary::NOTHING
}

/// Goes on with one after the other; those that fail do not end the others.
fn all(records: Vec<Record>, folder: PathBuf, words: Words) -> Job {
    Box::new(move |observer, cancel| Box::pin(each(records, folder, words, observer, cancel)))
}

async fn each(
    records: Vec<Record>,
    folder: PathBuf,
    mut words: Words,
    observer: Arc<dyn Observer>,
    cancel: pipeline::Cancel,
) -> Result<Summary, Failure> {
    if words.all {
        // What another run is at is being done.
        words.instead.lock = words.instead.lock.skipping();
    }
    let (mut failed, mut class, sessions) = (0, Class::Done, records.len());
    for record in records {
        let tag = SessionTag { session: record.id(), peer: record.id()[..8].to_owned() };
        let observer: Arc<dyn Observer> = Arc::new(Tagged { tag, observer: observer.clone() });
        let result = match Task::of(record, &folder, &words.instead) {
            Ok(task) if task.waits && words.all => {
                let message = "waits for its sender, and is gone on with only by name".to_owned();
                observer.event(&Event::Note { message });
                continue;
            }
            Ok(task) => (task.job)(observer.clone(), cancel.clone()).await,
            Err(failure) => Err(failure),
        };
        let this = exit::class(&result);
        let (summary, message) = match result {
            Ok(summary) => (summary, None),
            Err(failure) => (Summary::NOTHING, Some(failure.message)),
        };
        let Summary { files, bytes_literal, bytes_matched, .. } = summary;
        let exit = this.code();
        observer.event(&Event::SessionEnd { exit, class: this, files, bytes_literal, bytes_matched, message });
        if this != Class::Done {
            failed += 1;
            class = class.worse(this);
        }
        if tokio::time::timeout(Duration::ZERO, cancel.cancelled()).await.is_ok() {
            break;
        }
    }
    match failed {
        0 => Ok(Summary::NOTHING),
        failed => Err(Failure::new(class, format!("{failed} of {sessions} sessions failed"))),
    }
}
