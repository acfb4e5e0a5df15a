//! Listing what is sent, one entry at a time.
//!
//! Invariant: entries are numbered from 0 without gaps, a directory comes before what is in it, all that is below it follows
//! before anything else, and nothing below a directory that was skipped or excluded is listed. Links are listed, not followed, and
//! only if they stay below the root of the transfer. After a source is opened, everything is reached from directories held open,
//! one for each level (at most [`crate::manifest::MAX_DEPTH`] and one), and never by a path: what is swapped meanwhile leads nowhere.
//!
//! In memory are these directories and, of each, at most [`SORTED`] names: never the tree. A directory of up to so many entries is
//! listed in the order of their bytes, the same each time; a larger one in the order of the file system. How a directory is held and
//! listed is in [`super::level`]; reading the files is left to `read`, but for a look at those that say they are empty.

use super::level::{Found, Level, Names};
use super::{Selection, SourceError, Top, Unusable, seen_error};
use crate::fs::disk::PARTIAL_DIR;
use crate::manifest::{Entry, EntryId, FileTime, Kind, Meta, Name, NameError, TreePath, link_stays_below};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Names of one directory that are sorted, and held, at most.
pub const SORTED: usize = 4096;

/// One step of a walk.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalkItem {
    /// Something that can be sent.
    Entry {
        /// Its number.
        id: EntryId,
        /// What is announced of it.
        entry: Entry,
        /// Its path below the root of the transfer.
        tree: TreePath,
        /// Where to read it: absolute, no component of it was a link.
        path: PathBuf,
    },
    /// Something that cannot be sent. If it is a directory, nothing that is in it follows.
    Skipped {
        /// Its path in the words of the user.
        path: PathBuf,
        /// Why not.
        error: SourceError,
    },
    /// Something that a rule leaves out, with all that is in it. It counts nowhere.
    Excluded {
        /// Its path below the root of the transfer.
        path: Vec<u8>,
    },
}

/// A walk through all sources, in the order in which they were typed.
#[derive(Debug)]
pub struct Walk {
    unusable: std::vec::IntoIter<(PathBuf, SourceError)>,
    tops: std::vec::IntoIter<Top>,
    selection: Selection,
    top: Option<Top>,
    /// The directories above the present entry, outermost first.
    levels: Vec<Level>,
    /// The directory that was given last and is to be opened now.
    entered: Option<Entered>,
    /// Paths of the list of which there is nothing.
    lost: Option<(Range<usize>, Unusable)>,
    next: Option<u32>,
    /// Whether to look into files that say they are empty.
    looks: bool,
}

/// A directory to open, below the last of the levels.
#[derive(Debug)]
struct Entered {
    found: Found,
    id: EntryId,
    tree: TreePath,
}

impl Walk {
    /// The walk over `tops`; `unusable` are told first.
    pub(super) fn new(tops: Vec<Top>, unusable: Vec<(PathBuf, SourceError)>, selection: Selection) -> Self {
        Self {
            unusable: unusable.into_iter(),
            tops: tops.into_iter(),
            selection,
            top: None,
            levels: Vec::new(),
            entered: None,
            lost: None,
            next: Some(0),
            looks: true,
        }
    }

    /// The same for counting alone: no file is opened.
    pub(super) fn without_looking(self) -> Self {
        Self { looks: false, ..self }
    }

    /// What becomes of one thing that was found in the last of the levels; nothing at once for listed paths that are lost.
    fn judge(&mut self, mut found: Found) -> Option<WalkItem> {
        let level = self.levels.last()?;
        let listed = found.listed.clone();
        // Only what the list names is asked for itself: the directories above it come with it, as in rsync.
        let has_rules = !self.selection.rules.is_empty() && listed.as_ref().is_none_or(|(_, whole)| *whole);
        let mut stat = None;
        if found.kind == FileType::Unknown {
            match level.stat(&found.name) {
                Ok(seen) => {
                    found.kind = FileType::from_raw_mode(seen.st_mode);
                    stat = Some(seen);
                }
                Err(errno) => match listed {
                    Some((range, _)) => {
                        self.lost = Some((range, why_lost(errno)));
                        return None;
                    }
                    None => return Some(self.skipped(&found, name_or_seen(errno))),
                },
            }
        }
        let is_directory = found.kind == FileType::Directory;
        let shown = match &self.top {
            Some(Top { name: Some(name), .. }) if level.is_above_source() => name.as_bytes(),
            _ => found.name.as_bytes(),
        };
        if has_rules {
            let path = [level.prefix.as_slice(), shown].concat();
            if !self.selection.rules.sends(&path, is_directory) {
                return Some(WalkItem::Excluded { path });
            }
        }
        if let (Some((mut range, whole)), false) = (listed, is_directory) {
            let why = if found.kind == FileType::Symlink { Unusable::ThroughLink } else { Unusable::Missing };
            if whole {
                // The first of the paths is this one.
                range.start += 1;
            }
            self.lost = Some((range, why));
            if !whole {
                return None;
            }
        }
        let entry = Name::new(shown).map_err(SourceError::from).and_then(|name| self.entry(level, &found, name, stat));
        let (entry, tree) = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(self.skipped(&found, error)),
        };
        let path = level.path_of(&found);
        let Some(number) = self.next else { return Some(self.skipped(&found, SourceError::TooMany)) };
        self.next = number.checked_add(1);
        let id = EntryId(number);
        if is_directory {
            self.entered = Some(Entered { found, id, tree: tree.clone() });
        }
        Some(WalkItem::Entry { id, entry, tree, path })
    }

    /// What is announced of something, if it can be sent.
    fn entry(
        &self,
        level: &Level,
        found: &Found,
        name: Name,
        stat: Option<Stat>,
    ) -> Result<(Entry, TreePath), SourceError> {
        if level.id.is_none() && name.as_bytes().eq_ignore_ascii_case(PARTIAL_DIR.as_bytes()) {
            return Err(SourceError::Reserved);
        }
        let tree = level.tree.join(name.clone())?;
        let stat = match stat {
            Some(stat) => stat,
            None => level.stat(&found.name).map_err(name_or_seen)?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if (kind == FileType::Directory) != (found.kind == FileType::Directory) {
            // Something else a moment ago: what the rules said of it would not fit.
            return Err(SourceError::Changed);
        }
        let kind = match kind {
            FileType::RegularFile => {
                if self.looks && stat.st_size == 0 && !level.is_empty_file(found).map_err(open_error)? {
                    let has_grown = level.stat(&found.name).is_ok_and(|now| now.st_size > 0);
                    return Err(if has_grown { SourceError::Changed } else { SourceError::Unsized });
                }
                Kind::File { size: stat.st_size as u64 }
            }
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = level.target(&found.name).map_err(|errno| seen_error(errno.into()))?;
                if !link_stays_below(&level.tree, &target) {
                    return Err(SourceError::LinkOutside);
                }
                Kind::Symlink { target }
            }
            _ => return Err(SourceError::Special),
        };
        Ok((Entry { parent: level.id, name, kind, meta: meta(&stat) }, tree))
    }

    /// Opens the directory that was given last.
    fn enter(&mut self, Entered { found, id, tree }: Entered) -> Option<WalkItem> {
        let level = self.levels.last()?;
        let opened = match (&self.selection.list, &found.listed) {
            (Some(list), Some((range, false))) => {
                let prefix = tree.to_bytes().len() + 1;
                level.enter_listed(&found).map(|directory| (directory, Names::listed(list, range.clone(), prefix)))
            }
            _ => level.enter(&found),
        };
        match opened {
            Ok((directory, names)) => {
                let path = level.path_of(&found);
                self.levels.push(Level::new(directory, names, Some(id), tree, path));
                None
            }
            Err(errno) => Some(self.skipped(&found, open_error(errno))),
        }
    }

    /// Begins with the next source.
    fn begin(&mut self, top: Top) -> Option<WalkItem> {
        let level = match (&top.name, &self.selection.list) {
            (_, Some(list)) if !list.is_everything() => Level::listed(&top.path, Names::listed(list, list.all(), 0)),
            (None, _) | (_, Some(_)) => Level::contents(&top.path),
            (Some(_), None) => Level::above(&top.path),
        };
        match level {
            Ok(level) => {
                self.levels.push(level);
                self.top = Some(top);
                None
            }
            Err(errno) => Some(WalkItem::Skipped { path: top.typed, error: open_error(errno) }),
        }
    }

    /// The next path of the list of which there is nothing.
    fn lose(&mut self) -> Option<WalkItem> {
        let (range, why) = self.lost.as_mut()?;
        let Some(at) = range.next() else {
            self.lost = None;
            return None;
        };
        let (list, top) = (self.selection.list.as_ref()?, self.top.as_ref()?);
        let path = top.typed.join(OsStr::from_bytes(list.path(at)));
        Some(WalkItem::Skipped { path, error: (*why).into() })
    }

    fn skipped(&self, found: &Found, error: SourceError) -> WalkItem {
        let path = self.levels.last().map(|level| level.path_of(found)).unwrap_or_default();
        WalkItem::Skipped { path: self.as_typed(path), error }
    }

    fn as_typed(&self, path: PathBuf) -> PathBuf {
        self.top.as_ref().map_or_else(|| path.clone(), |top| top.as_typed(&path))
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        if let Some((path, error)) = self.unusable.next() {
            return Some(WalkItem::Skipped { path, error });
        }
        loop {
            let item = if self.lost.is_some() {
                self.lose()
            } else if let Some(entered) = self.entered.take() {
                self.enter(entered)
            } else if let Some(level) = self.levels.last_mut() {
                match level.next() {
                    Some(Ok(found)) => self.judge(found),
                    Some(Err(errno)) => {
                        let path = level.path.clone();
                        Some(WalkItem::Skipped { path: self.as_typed(path), error: seen_error(errno.into()) })
                    }
                    None => {
                        self.levels.pop();
                        None
                    }
                }
            } else {
                let top = self.tops.next()?;
                self.begin(top)
            };
            if item.is_some() {
                return item;
            }
        }
    }
}

/// Mode and time as they travel.
fn meta(stat: &Stat) -> Meta {
    let mtime = FileTime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
    Meta { mode: stat.st_mode & 0o777, mtime }
}

/// Why nothing can be sent for a path of the list.
fn why_lost(errno: Errno) -> Unusable {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Unusable::Missing,
        other => Unusable::Unreadable(std::io::Error::from(other).kind()),
    }
}

/// What the system says of a name that was listed a moment ago.
fn name_or_seen(errno: Errno) -> SourceError {
    match errno {
        Errno::NAMETOOLONG => SourceError::Name(NameError::TooLong),
        other => seen_error(other.into()),
    }
}

/// What the system says of something that was listed a moment ago and cannot be opened.
fn open_error(errno: Errno) -> SourceError {
    match errno {
        Errno::LOOP => SourceError::Changed,
        other => name_or_seen(other),
    }
}
