//! What becomes of entries: said to the sender in replies, to the user in events, and counted.
//!
//! Invariant: an entry has one outcome in a connection, and over all connections of a session it is counted and told as done once.

use super::{Assembler, disk_class};
use crate::class::Class;
use crate::event::{Action, Event, EventPath};
use crate::fs::disk::DiskError;
use crate::manifest::{EntryId, TreePath};
use crate::pipeline::entries::Target;
use crate::wire::control::bounded_text;
use crate::wire::reply::{Outcome, Reply, Status};
use std::collections::BTreeSet;

impl Assembler {
    /// What stands at `target.path` is what was to go there, or goes there under another name.
    pub(super) fn identical(&mut self, target: Target) {
        if let Err(error) = self.settle_names(&target).and_then(|()| self.disk.set_meta(&target.path, target.meta)) {
            return self.fail_disk(&target, &error);
        }
        if !self.memory.was_told(target.id) {
            self.tally.bytes_matched += target.size;
        }
        self.done(&target, Outcome::Identical);
    }

    /// An earlier run may have ended between giving a name and making the name durable, or one of those above it.
    fn settle_names(&mut self, target: &Target) -> Result<(), DiskError> {
        let directory = target.parent.and_then(|parent| self.directories.get_mut(&parent));
        let settled = directory.map_or(&mut self.root_settled, |directory| &mut directory.settled);
        if std::mem::replace(settled, true) || !self.policy.fsync {
            return Ok(());
        }
        let above = target.path.split_last().map(|(parent, _)| parent);
        let unsettled: BTreeSet<TreePath> = std::mem::take(&mut self.new_names).into_iter().chain(above).collect();
        unsettled.iter().try_for_each(|directory| self.disk.sync_dir(directory))
    }

    pub(super) fn done(&mut self, target: &Target, outcome: Outcome) {
        self.settle(target.parent);
        self.say_done(target, outcome);
    }

    /// The same for an entry that its directory does not wait for any more.
    pub(super) fn say_done(&mut self, target: &Target, outcome: Outcome) {
        let action = match outcome {
            Outcome::Transferred => Action::Transferred,
            Outcome::Identical => Action::Identical,
            Outcome::Skipped => Action::Skipped,
        };
        if !self.memory.tell(target.id) {
            self.tally.files_done += 1;
            let path = EventPath(target.path.to_bytes());
            self.out.events.push(Event::File { path, action, bytes: target.size });
        }
        self.reply_done(target.id, outcome);
    }

    pub(super) fn reply_done(&mut self, id: EntryId, outcome: Outcome) {
        match self.out.replies.last_mut() {
            Some(Reply::Done { first, count, outcome: last }) if *last == outcome && first.0 + *count == id.0 => {
                *count += 1;
            }
            _ => self.out.replies.push(Reply::Done { first: id, count: 1, outcome }),
        }
    }

    pub(super) fn status(&mut self, id: EntryId, status: Status) {
        match self.out.replies.last_mut() {
            Some(Reply::Status { first, count, status: Status::Want })
                if status == Status::Want && first.0 + *count == id.0 =>
            {
                *count += 1;
            }
            _ => self.out.replies.push(Reply::Status { first: id, count: 1, status }),
        }
    }

    pub(super) fn refuse_overwrite(&mut self, target: &Target) {
        self.fail(target, Class::Select, "exists already and is different; not overwritten");
    }

    pub(super) fn fail_disk(&mut self, target: &Target, error: &DiskError) {
        self.fail(target, disk_class(error), &error.to_string());
    }

    pub(super) fn fail(&mut self, target: &Target, class: Class, cause: &str) {
        self.settle(target.parent);
        self.say_failed(target, class, cause);
    }

    /// The same for an entry that its directory does not wait for any more, and for directories, which still wait for their own.
    pub(super) fn say_failed(&mut self, target: &Target, class: Class, cause: &str) {
        self.reply_failed(target.id, class, cause);
        self.event_failed(target.path.to_bytes(), class, cause.to_owned());
    }

    pub(super) fn reply_failed(&mut self, id: EntryId, class: Class, cause: &str) {
        self.out.replies.push(Reply::Failed { entry: id, code: class.code(), message: bounded_text(cause) });
    }

    pub(super) fn event_failed(&mut self, path: Vec<u8>, class: Class, message: String) {
        self.tally.failed(class);
        self.out.events.push(Event::FileFailed { path: EventPath(path), code: class.code(), message });
    }
}
