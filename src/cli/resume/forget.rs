//! `resilient resume --forget`: gives up what was begun.
//!
//! Invariant: what another run is at is not touched. Unfinished files that cannot be taken away now are taken away by a later run, when they
//! are too old: that is no failure.

use super::{Failure, Memories, policy, read_again};
use crate::class::Class;
use crate::cli::args::Command;
use crate::fs::disk::Disk as _;
use crate::fs::real::{PartialDir, RealDisk};
use crate::session::Record;
use std::ffi::OsString;
use std::time::Duration;

/// Forgets those that were named, or all that were not touched for so long.
pub(super) fn forget(memories: &Memories, typed: &[String], older_than: Option<Duration>) -> Result<(), Failure> {
    let records: Vec<Record> = match older_than {
        Some(_) => memories.list(older_than)?,
        None => typed.iter().map(|typed| memories.find(typed)).collect::<Result<_, _>>()?,
    };
    let mut running = Vec::new();
    for record in records {
        let Some(_claim) = memories.claim(&record)? else {
            running.push(memories.short(&record)?);
            continue;
        };
        take_away(memories, &record);
        memories.store.forget(record.number).map_err(|error| memories.failed(&error))?;
    }
    // What runs is not old, whatever its record says.
    if running.is_empty() || older_than.is_some() {
        return Ok(());
    }
    Err(Failure::new(Class::Busy, format!("{}: another run is at it", running.join(", "))).hint("end that first"))
}

/// Takes the unfinished files of a session away, as far as it is known where they are.
fn take_away(memories: &Memories, record: &Record) {
    let Ok(landings) = memories.store.landings(record.number) else { return };
    let Some(dir) = crate::pipeline::destination(&record.key).filter(|_| !landings.is_empty()) else { return };
    let dir = if dir.is_dir() { Some(&*dir) } else { dir.parent() };
    let Some(disk) = dir.and_then(|dir| RealDisk::open_with(dir, partial_dir(record)).ok()) else { return };
    for landing in landings {
        // It is too old some day.
        let _ = disk.remove_partial(&landing.partial);
    }
    let _ = disk.remove_partial_dir();
}

/// Where the command of a session keeps unfinished files.
fn partial_dir(record: &Record) -> PartialDir {
    let Some(command) = record.command.as_ref() else { return PartialDir::default() };
    let words: Vec<OsString> = std::iter::once("resilient".into()).chain(command.words.iter().cloned()).collect();
    match read_again(&words).map(|cli| (cli.command, cli.global)) {
        Ok((Command::Recv(typed), global)) => typed
            .again(command.ticket.clone(), &global, &words, policy::umask())
            .map_or_else(|_| PartialDir::default(), |order| order.partial_dir),
        _ => PartialDir::default(),
    }
}
