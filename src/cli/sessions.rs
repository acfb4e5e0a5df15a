//! What `send` and `recv` remember from one run to the next, as it is typed: whether, where, and what to do while another run is at it.

use super::args::Global;
use super::home;
use super::output::escape;
use super::span;
use crate::event::{Event, Observer};
use crate::pipeline::Sessions;
use crate::session::{Command, Opened, SetAside, Store, StoreError};
use clap::Args;
use jiff::Timestamp;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The options as typed.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// Remember nothing of the transfer: what breaks off for good begins anew
    #[arg(long, hide_short_help = true)]
    no_session: bool,
    #[command(flatten)]
    pub(super) lock: Lock,
}

/// What to do while another run is at the same thing.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
#[command(next_help_heading = "Connect")]
pub(super) struct Lock {
    /// Wait for this long while another run is at the same [default: 0]
    #[arg(long, value_name = "SPAN", value_parser = span::span, hide_short_help = true)]
    lock_wait: Option<Duration>,
    /// While another run is at the same, do nothing, and call that a success
    #[arg(long, hide_short_help = true)]
    skip_if_locked: bool,
}

impl Lock {
    /// How long to wait.
    pub(super) fn wait(&self) -> Duration {
        self.lock_wait.unwrap_or_default()
    }

    /// Whether another run is as good as this one.
    pub(super) fn skips(&self) -> bool {
        self.skip_if_locked
    }

    /// Whether anything was said of other runs.
    pub(super) fn is_typed(&self) -> bool {
        self.lock_wait.is_some() || self.skip_if_locked
    }

    /// The same, with another run as good as this one.
    pub(super) fn skipping(self) -> Lock {
        Lock { skip_if_locked: true, ..self }
    }

    /// These words, or those of `other` where none were typed.
    pub(super) fn or(self, other: Lock) -> Lock {
        if self.is_typed() { self } else { other }
    }
}

/// What of a run is remembered, and where.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    /// What was typed, if running it again goes on with the one session that it is about.
    command: Option<Command>,
    /// Whom it is about.
    location: String,
}

impl Flags {
    /// Where it is remembered; nowhere if that was typed, or if there is no place for it.
    pub(super) fn memory(&self, global: &Global) -> Option<Memory> {
        let folder = home::state(global.state_dir.clone()).filter(|_| !self.no_session)?;
        Some(Memory { folder, command: None, location: String::new() })
    }
}

/// The words of this process, to be typed again in the current folder.
pub(super) fn typed(words: &[OsString], ticket: Option<String>) -> Option<Command> {
    let folder = std::env::current_dir().ok()?;
    Some(Command { words: words.get(1..)?.to_vec(), folder, ticket })
}

impl Memory {
    /// The same of a run that `command` begins again, with the other side at `location`.
    pub(super) fn of(self, command: Option<Command>, location: String) -> Memory {
        Memory { command, location, ..self }
    }

    /// What is remembered. Without it a transfer still works.
    pub(super) fn open(self, observer: &dyn Observer) -> Option<Sessions> {
        let Memory { folder, command, location } = self;
        let warn = |message: String| observer.event(&Event::Warning { message });
        let store = open(&folder, &warn).and_then(|store| Sessions::new(store, Arc::new(Timestamp::now)));
        match store {
            Ok(sessions) => Some(Sessions { command, location, ..sessions }),
            Err(error) => {
                warn(format!("{}; a transfer that breaks off for good will begin anew", cause(&folder, &error)));
                None
            }
        }
    }
}

/// Opens the store in `folder`, and warns if what was there had to be put aside.
pub(super) fn open(folder: &Path, warn: &dyn Fn(String)) -> Result<Store, StoreError> {
    let Opened { store, set_aside } = Store::open(folder)?;
    if let Some(SetAside { path, cause }) = set_aside {
        let path = shown(&path);
        warn(format!("what was known of unfinished transfers cannot be read ({cause}) and was put aside as {path}"));
    }
    Ok(store)
}

/// Why there is no store in `folder`.
pub(super) fn cause(folder: &Path, error: &StoreError) -> String {
    format!("{}: {}", shown(folder), escape::without_number(&error.to_string()))
}

fn shown(path: &Path) -> String {
    escape::name(path.as_os_str().as_bytes())
}
