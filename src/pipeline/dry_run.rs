//! `resilient send --dry-run`: what would be sent, told and not sent.
//!
//! Invariant: no socket is opened, no identity is needed and nothing is written. What is told, left out and failed is what a `send`
//! of the same sources at the same moment would announce, leave out and fail before it reads the files.

use super::{Cancel, Error, Summary};
use crate::class::Class;
use crate::event::{Action, Event, EventPath, Observer};
use crate::fs::source::{Selection, Sources, Totals, Walk, WalkItem};
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
    let mut telling = Telling { walk: sources.walk(), observer, worst: Class::Done, entries: 0, skipped: 0 };
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
    telling.miss(totals);
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
    skipped: u64,
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
                self.skipped += 1;
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

    /// Tells what was counted and did not come up.
    fn miss(&mut self, counted: Totals) {
        let gone = counted.gone(self.entries, self.skipped);
        if gone > 0 {
            self.worst = self.worst.worse(Class::Vanished);
            self.observer.event(&Event::Gone { files: gone });
        }
    }
}

/// What is said of a path that a rule leaves out.
pub(super) fn excluded(path: &[u8]) -> Event {
    Event::Detail { message: format!("{}: excluded", String::from_utf8_lossy(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes files away when they have been counted, and keeps how many are said to be gone.
    #[derive(Default)]
    struct Thief {
        takes: Vec<PathBuf>,
        gone: Mutex<Vec<u64>>,
    }

    impl Observer for Thief {
        fn event(&self, event: &Event) {
            match event {
                Event::Plan { .. } => self.takes.iter().for_each(|path| std::fs::remove_file(path).unwrap()),
                Event::Gone { files } => self.gone.lock().unwrap().push(*files),
                _ => {}
            }
        }
    }

    #[tokio::test]
    async fn what_goes_between_count_and_walk_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            std::fs::write(at(name), name).unwrap();
        }
        for (takes, gone, class) in [
            (vec![], vec![], Class::Done),
            (vec![at("a"), at("c")], vec![2], Class::Vanished),
            (vec![at("b")], vec![1], Class::Vanished),
        ] {
            let thief = Arc::new(Thief { takes, ..Thief::default() });
            let (_keep, cancel) = Cancel::channel();
            let sources = vec![folder.path().join("")];
            let told = dry_run(Blocking::Inline, sources, Selection::default(), thief.clone(), cancel).await.unwrap();
            assert_eq!((told.class, thief.gone.lock().unwrap().as_slice()), (class, gone.as_slice()));
        }
    }
}
