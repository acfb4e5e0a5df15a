//! The end of files, links and directories: durable, named, and said to be done, in that order.
//!
//! Invariant: data is synced before a file is named, the name before "done" is said; a directory gets its mode and time when nothing
//! more goes into it; what is given up leaves nothing behind. The system is let write all files of a group before the first is
//! waited for, so the group costs about one flush of the disk's journal, not one for each file.

use super::{Assembler, Ready, disk_class};
use crate::event::Event;
use crate::fs::disk::{Disk, DiskError, Found};
use crate::manifest::TreePath;
use crate::pipeline::entries::{Pending, Target};
use crate::pipeline::landing::Landing;
use crate::pipeline::policy::{Existing, numbered};
use crate::wire::reply::Outcome;

/// Other names that are tried.
const OTHER_NAMES: u32 = 9999;

impl Assembler {
    /// Makes finished entries durable and gives them their names: data first, then names, then the directories, then the word.
    pub(in crate::pipeline) fn commit(&mut self) {
        let (mut files, mut named) = (Vec::new(), Vec::new());
        for ready in std::mem::take(&mut self.ready) {
            match ready {
                Ready::File(mut landing) => match landing.finish(&*self.disk, self.policy.fsync) {
                    Ok(()) => files.push(*landing),
                    Err(error) => self.fail_landing(*landing, &error),
                },
                Ready::Link(mut target, to) => {
                    let replace = self.policy.existing == Existing::Replace;
                    let made = self.name(&mut target, |disk, path| disk.make_symlink(path, &to, replace));
                    match made.and_then(|()| self.disk.set_meta(&target.path, target.meta)) {
                        Ok(()) => named.push(target),
                        Err(error) => self.fail_naming(&target, &error),
                    }
                }
            }
        }
        let mut synced = Vec::new();
        for mut landing in files {
            match if self.policy.fsync { landing.sync() } else { Ok(()) } {
                Ok(()) => synced.push(landing),
                Err(error) => self.fail_landing(landing, &error),
            }
        }
        for mut landing in synced {
            let (mut target, replace) = (landing.target.clone(), self.policy.existing == Existing::Replace);
            let partial = &landing.partial_name;
            match self.name(&mut target, |disk, path| disk.publish(partial, path, replace)) {
                Ok(()) => named.push(target),
                Err(DiskError::Exists) if self.came_meanwhile(&landing) => {
                    let target = landing.discard(&*self.disk);
                    self.identical(target);
                }
                Err(error) => {
                    landing.target = target;
                    self.fail_landing(landing, &error);
                }
            }
        }
        for target in &named {
            self.settle(target.parent);
        }
        self.say_when_durable(&named);
        self.conclude();
    }

    /// Does `put` to the path of an entry or, where something stands there and that is the policy, to the first other name that is free.
    fn name(
        &mut self,
        target: &mut Target,
        put: impl Fn(&dyn Disk, &TreePath) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        match put(&*self.disk, &target.path) {
            Err(DiskError::Exists) if self.policy.existing == Existing::Rename => {}
            other => return other,
        }
        for other in (1..=OTHER_NAMES).map_while(|number| numbered(&target.path, number)) {
            match put(&*self.disk, &other) {
                Err(DiskError::Exists) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let was = String::from_utf8_lossy(&target.path.to_bytes()).into_owned();
                    let is = String::from_utf8_lossy(&other.to_bytes()).into_owned();
                    self.out.events.push(Event::Detail { message: format!("{was}: exists; received as {is}") });
                    target.path = other;
                    return Ok(());
                }
            }
        }
        Err(DiskError::Exists)
    }

    /// Finishes the directories that nothing more goes into, and says what is done once all of it is durable.
    fn say_when_durable(&mut self, named: &[Target]) {
        let mut closed = Vec::new();
        for target in std::mem::take(&mut self.closing) {
            match self.disk.set_meta(&target.path, target.meta) {
                Ok(()) => closed.push(target),
                Err(error) => self.say_failed(&target, disk_class(&error), &error.to_string()),
            }
        }
        if named.is_empty() && closed.is_empty() {
            return;
        }
        let above = |target: &Target| target.path.split_last().map(|(parent, _)| parent);
        let mut directories: Vec<_> = named.iter().chain(&closed).filter_map(above).collect();
        directories.extend(closed.iter().map(|target| target.path.clone()));
        directories.extend(std::mem::take(&mut self.new_names));
        directories.sort();
        directories.dedup();
        let synced = if self.policy.fsync {
            directories.iter().try_for_each(|directory| self.disk.sync_dir(directory))
        } else {
            Ok(())
        };
        if let Err(error) = &synced {
            for target in named.iter().chain(&closed) {
                self.say_failed(target, disk_class(error), &error.to_string());
            }
            return;
        }
        for target in named {
            self.named.add(target.size);
            self.say_done(target, Outcome::Transferred);
        }
        for target in closed {
            self.reply_done(target.id, Outcome::Transferred);
        }
    }

    /// Whether what has come to stand at the name of a finished file since it was announced is the same file: from another sender, or
    /// another receiver in the same folder.
    fn came_meanwhile(&self, landing: &Landing) -> bool {
        let target = &landing.target;
        let Ok(Some(Found::File { size, .. })) = self.disk.look(&target.path) else { return false };
        let digest = landing.parts.digest().filter(|_| size == target.size);
        digest.is_some_and(|digest| self.digest_standing(&target.path).is_ok_and(|standing| standing == digest))
    }

    fn fail_landing(&mut self, landing: Landing, error: &DiskError) {
        let target = landing.discard(&*self.disk);
        self.fail_naming(&target, error);
    }

    fn fail_naming(&mut self, target: &Target, error: &DiskError) {
        match error {
            DiskError::Exists if self.policy.existing == Existing::Skip => self.done(target, Outcome::Skipped),
            DiskError::Exists => self.refuse_overwrite(target),
            error => self.fail_disk(target, error),
        }
    }

    /// When every entry has its outcome: "complete".
    pub(super) fn conclude(&mut self) {
        let done = self.finish.is_some()
            && self.pending.is_empty()
            && self.early_data.is_empty()
            && self.directories.is_empty()
            && !self.has_ready();
        if done && !self.complete {
            self.discard_kept();
            self.complete = true;
        }
    }

    /// Takes away everything unfinished that no other run can go on with.
    pub(in crate::pipeline) fn abandon(&mut self) {
        self.record(true);
        let mut unfinished = Vec::new();
        for (_, pending) in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Landing(landing) => unfinished.push(landing),
                other => drop(other.into_target(&*self.disk)),
            }
        }
        for ready in std::mem::take(&mut self.ready) {
            if let Ready::File(landing) = ready {
                unfinished.push(*landing);
            }
        }
        unfinished.extend(std::mem::take(&mut self.kept).into_values());
        for landing in unfinished {
            if !self.lasts(&landing) {
                landing.discard(&*self.disk);
            }
        }
        self.discard_kept();
        self.leave_directories();
    }

    fn discard_kept(&mut self) {
        for (_, landing) in std::mem::take(&mut self.kept) {
            landing.discard(&*self.disk);
        }
        // It stays if another session keeps something there.
        let _ = self.disk.remove_partial_dir();
    }
}
