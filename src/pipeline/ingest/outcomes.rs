//! What becomes of entries, as the receiver says it, and telling the user.
//!
//! Invariant: an entry that was announced is forgotten once, when it comes to its end.

use super::{Announced, Ingest, WAITING};
use crate::class::Class;
use crate::event::{Action, Event, EventPath};
use crate::manifest::EntryId;
use crate::wire::reply::{Outcome, Reply, Status};

impl Ingest {
    /// An entry has come to its end.
    pub(super) fn forget(&mut self, id: EntryId) -> Option<Announced> {
        self.status.remove(&id);
        self.compared.remove(&id);
        let announced = self.waiting.remove(&id)?;
        self.files_waiting -= usize::from(announced.is_file);
        Some(announced)
    }

    pub(super) fn report_failed(&self, path: Vec<u8>, class: Class, message: String) {
        self.tally.failed(class);
        self.observer.event(&Event::FileFailed { path: EventPath(path), code: class.code(), message });
    }

    /// What was counted and did not come up in the walk was not sent, and is told on both sides.
    pub(super) fn miss(&mut self) {
        let gone = self.counted.gone(self.announced.into(), self.skipped.into());
        if gone > 0 {
            self.tally.failed(Class::Vanished);
            self.observer.event(&Event::Gone { files: gone });
            self.skipped = self.skipped.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Accepted => self.accepted = true,
            _ => self.answered = true,
        }
        match reply {
            Reply::Status { first, count, status } => {
                for id in first.0..first.0 + count.min(WAITING as u32 * 2) {
                    if self.waiting.contains_key(&EntryId(id)) {
                        self.status.insert(EntryId(id), status.clone());
                        // What stands there is another one, and the receiver takes ours in its place or beside it.
                        if status != Status::Held
                            && let Some(file) = self.compared.remove(&EntryId(id))
                        {
                            self.queue.push(file);
                        }
                    }
                }
            }
            Reply::Done { first, count, outcome } => {
                for id in first.0..first.0 + count.min(WAITING as u32 * 2) {
                    self.done(EntryId(id), outcome);
                }
            }
            Reply::Failed { entry, code, message } => {
                if let Some(announced) = self.forget(entry) {
                    let class = Class::from_failure_code(code).unwrap_or(Class::Partial);
                    self.report_failed(announced.path.to_bytes(), class, format!("receiver: {message}"));
                }
            }
            Reply::Accepted | Reply::Refused(_) | Reply::Complete(_) | Reply::Ask { .. } => {}
        }
    }

    fn done(&mut self, id: EntryId, outcome: Outcome) {
        let Some(announced) = self.forget(id) else { return };
        if announced.is_directory {
            return;
        }
        let action = match outcome {
            Outcome::Transferred => Action::Transferred,
            Outcome::Identical => Action::Identical,
            Outcome::Skipped => Action::Skipped,
        };
        if action == Action::Identical {
            self.tally.add_matched(announced.size);
        }
        self.tally.file_done();
        self.observer.event(&Event::File { path: EventPath(announced.path.to_bytes()), action, bytes: announced.size });
    }
}
