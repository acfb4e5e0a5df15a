//! The end of files: durable, named, and said to be done, in that order.
//!
//! Invariant: data is synced before a file is named, the name before "done" is said; what is given up leaves nothing behind.

use super::{Assembler, disk_class};
use crate::fs::disk::DiskError;
use crate::manifest::EntryId;
use crate::pipeline::entries::{Landing, Pending, Target};
use crate::wire::reply::{Outcome, Reply};

impl Assembler {
    /// Makes finished files durable and gives them their names: data first, then names, then the directories, then the word.
    pub(in crate::pipeline) fn commit(&mut self) {
        let mut synced = Vec::new();
        for (id, mut landing) in std::mem::take(&mut self.ready) {
            match landing.finish(&*self.disk) {
                Ok(()) => synced.push((id, landing)),
                Err(error) => self.fail_landing(id, landing, &error),
            }
        }
        let mut named = Vec::new();
        for (id, landing) in synced {
            match self.disk.publish(&landing.partial_name, &landing.target.path, false) {
                Ok(()) => named.push((id, landing.target)),
                Err(error) => self.fail_landing(id, landing, &error),
            }
        }
        let mut parents: Vec<_> =
            named.iter().filter_map(|(_, target)| target.path.split_last().map(|(parent, _)| parent)).collect();
        parents.sort();
        parents.dedup();
        let synced = parents.iter().try_for_each(|parent| self.disk.sync_dir(parent));
        for (id, target) in named {
            match &synced {
                Ok(()) => self.done(id, &target, Outcome::Transferred),
                Err(error) => {
                    let (class, cause) = (disk_class(error), error.to_string());
                    self.fail(id, &target.path, class, &cause);
                }
            }
        }
        self.conclude();
    }

    fn fail_landing(&mut self, id: EntryId, landing: Landing, error: &DiskError) {
        let path = landing.target.path.clone();
        Pending::Landing(landing).into_target(&*self.disk);
        match error {
            DiskError::Exists => self.refuse_overwrite(id, &Target { path, ..Target::default() }),
            error => self.fail_disk(id, &path, error),
        }
    }

    /// When every entry has its outcome: links, then the directories' own metadata, innermost first, then "complete".
    pub(super) fn conclude(&mut self) {
        let done =
            self.finish.is_some() && self.pending.is_empty() && self.ready.is_empty() && self.early_data.is_empty();
        if !done || self.complete {
            return;
        }
        let mut parents = Vec::new();
        for (id, target, to) in std::mem::take(&mut self.links) {
            let made =
                self.disk.make_symlink(&target.path, &to).and_then(|()| self.disk.set_meta(&target.path, target.meta));
            match made {
                Ok(()) => {
                    parents.extend(target.path.split_last().map(|(parent, _)| parent));
                    self.done(id, &target, Outcome::Transferred);
                }
                Err(DiskError::Exists) => self.refuse_overwrite(id, &target),
                Err(error) => self.fail_disk(id, &target.path, &error),
            }
        }
        for (id, directory) in
            std::mem::take(&mut self.directories).into_iter().rev().filter(|(_, directory)| directory.usable)
        {
            match self.disk.set_meta(&directory.target.path, directory.target.meta) {
                Ok(()) => {
                    parents.extend(directory.target.path.split_last().map(|(parent, _)| parent));
                    self.out.replies.push(Reply::Done { first: id, count: 1, outcome: Outcome::Transferred });
                }
                Err(error) => self.fail_disk(id, &directory.target.path, &error),
            }
        }
        parents.sort();
        parents.dedup();
        for parent in parents {
            if let Err(error) = self.disk.sync_dir(&parent) {
                self.tally.failed(disk_class(&error));
                self.event_failed(&parent, disk_class(&error), error.to_string());
            }
        }
        self.discard_kept();
        self.complete = true;
    }

    /// Takes away everything unfinished: the session will not be continued.
    pub(in crate::pipeline) fn abandon(&mut self) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            pending.into_target(&*self.disk);
        }
        for (_, landing) in std::mem::take(&mut self.ready) {
            Pending::Landing(landing).into_target(&*self.disk);
        }
        self.discard_kept();
    }

    pub(super) fn discard_kept(&mut self) {
        for (_, landing) in std::mem::take(&mut self.kept) {
            Pending::Landing(landing).into_target(&*self.disk);
        }
        // It stays if another session keeps something there.
        let _ = self.disk.remove_partial_dir();
    }
}
