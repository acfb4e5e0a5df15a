//! The directories of a manifest while something may still come into them.
//!
//! Invariant: the sender walks depth first, so the entries of a directory follow each other: an entry stands in one of the directories
//! that are open (a path from the root), and what is not above it has been left for good. A directory that was left and whose
//! entries all have their outcome is finished, innermost first, and forgotten: in memory is what is under way, never the tree.

use super::{AssembleError, Assembler, MAX_REMEMBERED};
use crate::manifest::{EntryId, TreePath};
use crate::pipeline::entries::Target;
use crate::wire::WireError;

/// A directory that is not finished.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) target: Target,
    /// It is there and things may go into it.
    pub(super) usable: bool,
    /// It was synced because something stood in it already.
    pub(super) settled: bool,
    /// Nothing more will be announced in it.
    left: bool,
    /// Entries in it without an outcome.
    open: u32,
}

impl Assembler {
    /// Comes back to the directory that the next entry stands in, leaving those below it.
    pub(super) fn come_to(&mut self, parent: Option<EntryId>) -> Result<(), AssembleError> {
        let depth = match parent {
            None => 0,
            Some(parent) => 1 + self.stack.iter().position(|id| *id == parent).ok_or(WireError::Range("parent"))?,
        };
        for id in self.stack.split_off(depth).into_iter().rev() {
            if let Some(directory) = self.directories.get_mut(&id) {
                directory.left = true;
            }
            self.finish_if_over(id);
        }
        if let Some(directory) = parent.and_then(|parent| self.directories.get_mut(&parent)) {
            directory.open += 1;
        }
        Ok(())
    }

    /// Opens a directory: the next entries may stand in it.
    pub(super) fn enter(&mut self, target: Target, usable: bool) -> Result<(), AssembleError> {
        self.remember(&target.path)?;
        self.stack.push(target.id);
        self.directories.insert(target.id, Directory { target, usable, settled: false, left: false, open: 0 });
        Ok(())
    }

    /// An entry in the directory `parent` has its outcome.
    pub(super) fn settle(&mut self, parent: Option<EntryId>) {
        if let Some(id) = parent {
            if let Some(directory) = self.directories.get_mut(&id) {
                directory.open -= 1;
            }
            self.finish_if_over(id);
        }
    }

    fn finish_if_over(&mut self, id: EntryId) {
        let over = self.directories.get(&id).is_some_and(|directory| directory.left && directory.open == 0);
        let Some(directory) = over.then(|| self.directories.remove(&id)).flatten() else { return };
        self.forget(&directory.target.path);
        let parent = directory.target.parent;
        if directory.usable {
            self.closing.push(directory.target);
        }
        self.settle(parent);
    }

    /// Leaves all of them unfinished. One that its owner may not write to was made writable for us, and is as it was again.
    pub(super) fn leave_directories(&mut self) {
        self.stack.clear();
        let unfinished = std::mem::take(&mut self.directories).into_values().rev();
        let unfinished = unfinished.filter(|directory| directory.usable).map(|directory| directory.target);
        for target in std::mem::take(&mut self.closing).into_iter().chain(unfinished) {
            if target.meta.mode & 0o700 != 0o700 {
                // It is looked at again by the next connection, or nobody.
                let _ = self.disk.set_meta(&target.path, target.meta);
            }
        }
    }

    /// Counts a path as held in memory.
    pub(super) fn remember(&mut self, path: &TreePath) -> Result<(), AssembleError> {
        self.remembered += cost(path);
        if self.remembered > MAX_REMEMBERED { Err(AssembleError::TooLarge) } else { Ok(()) }
    }

    pub(super) fn forget(&mut self, path: &TreePath) {
        self.remembered = self.remembered.saturating_sub(cost(path));
    }
}

/// What a path takes in memory, about.
fn cost(path: &TreePath) -> usize {
    path.names().iter().map(|name| name.as_bytes().len() + 48).sum()
}
