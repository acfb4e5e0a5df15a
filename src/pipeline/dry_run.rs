//! `resilient send --dry-run`: what would be sent, told and not sent.
//!
//! Invariant: no socket is opened, no identity is needed and nothing is written. What is told, left out and failed is what a `send`
//! of the same sources at the same moment would announce, leave out and fail before it reads the files.

use super::{Cancel, Error, Summary};
use crate::class::Class;
use crate::event::{Action, Event, EventPath, Observer};
use crate::fs::source::{Selection, Sources, Walk, WalkItem};
use crate::manifest::Kind;
use crate::network::seam::Blocking;
use std::path::PathBuf;
use std::sync::Arc;

/// Steps of the walk between two looks at whether to stop.
const STRIDE: usize = 1024;

/// Tells what would be sent of `sources`; see the module.
pub async fn dry_run(
    blocking: Blocking,
    sources: Vec<PathBuf>,
    selection: Selection,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
    let looked = blocking.run(move || {
        let sources = Sources::new(&sources, selection)?;
        let totals = sources.totals();
        Ok::<_, Error>((sources, totals))
    });
    let (sources, totals) = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Interrupted),
        looked = looked => looked?,
    };
    observer.event(&Event::Plan { files: totals.files, bytes: totals.bytes });
    let mut telling = Telling { walk: sources.walk(), observer, worst: Class::Done, entries: 0 };
    loop {
        let (back, more) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Interrupted),
            told = blocking.run(move || { let more = telling.stride(); (telling, more) }) => told,
        };
        telling = back;
        if !more {
            break;
        }
    }
    Ok(Summary {
        class: telling.worst,
        session: String::new(),
        files: totals.files,
        bytes_sent: 0,
        bytes_literal: 0,
        bytes_matched: 0,
        stats: vec![
            ("entries to send", telling.entries),
            ("files to send", totals.files),
            ("bytes to send", totals.bytes),
        ],
    })
}

/// A walk that is being told.
struct Telling {
    walk: Walk,
    observer: Arc<dyn Observer>,
    worst: Class,
    entries: u64,
}

impl Telling {
    /// Tells the next steps; whether there may be more.
    fn stride(&mut self) -> bool {
        for _ in 0..STRIDE {
            let Some(item) = self.walk.next() else { return false };
            self.tell(item);
        }
        true
    }

    fn tell(&mut self, item: WalkItem) {
        let event = match item {
            WalkItem::Entry { entry, tree, .. } => {
                self.entries += 1;
                let mut path = tree.to_bytes();
                if entry.kind == Kind::Directory {
                    path.push(b'/');
                }
                Event::File { path: EventPath(path), action: Action::WouldSend, bytes: entry.size() }
            }
            WalkItem::Skipped { path, error } => {
                // One of several that is missing leaves the others complete.
                let class = if error.class() == Class::Select { Class::Partial } else { error.class() };
                self.worst = self.worst.worse(class);
                let path = EventPath(path.into_os_string().into_encoded_bytes());
                Event::FileFailed { path, code: class.code(), message: error.to_string() }
            }
            WalkItem::Excluded { path } => excluded(&path),
        };
        self.observer.event(&event);
    }
}

/// What is said of a path that a rule leaves out.
pub(super) fn excluded(path: &[u8]) -> Event {
    Event::Detail { message: format!("{}: excluded", String::from_utf8_lossy(path)) }
}
