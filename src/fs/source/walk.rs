//! Listing what is sent, one entry at a time.
//!
//! Invariant: entries are numbered from 0 without gaps, a directory comes before what is in it, and nothing below a directory
//! that was skipped is listed. In memory are the directories above the present entry and, of each, the names that are still to
//! come: never the tree. Links are listed, not followed, and only if they stay below the root of the transfer.
//!
//! Opening and reading the files is left to `read`.

use super::{SourceError, Top, seen_error};
use crate::fs::disk::PARTIAL_DIR;
use crate::manifest::{Entry, EntryId, FileTime, Kind, Meta, Name, NameError, TreePath, link_stays_below};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

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
}

/// A walk through all sources, in the order in which they were typed.
#[derive(Debug)]
pub struct Walk {
    unusable: std::vec::IntoIter<(PathBuf, SourceError)>,
    tops: std::vec::IntoIter<Top>,
    current: Option<(Top, walkdir::IntoIter)>,
    /// The directories above the present entry, outermost first.
    above: Vec<(EntryId, TreePath)>,
    next: Option<u32>,
}

impl Walk {
    /// The walk over `tops`; `unusable` are told first.
    pub(super) fn new(tops: Vec<Top>, unusable: Vec<(PathBuf, SourceError)>) -> Self {
        Self { unusable: unusable.into_iter(), tops: tops.into_iter(), current: None, above: Vec::new(), next: Some(0) }
    }

    /// What becomes of one thing that was found.
    fn item(&mut self, top: &Top, found: &DirEntry) -> Result<WalkItem, SourceError> {
        let (name, level) = match &top.name {
            Some(name) if found.depth() == 0 => (name.clone(), 0),
            Some(_) => (Name::new(found.file_name().as_bytes())?, found.depth()),
            None => (Name::new(found.file_name().as_bytes())?, found.depth() - 1),
        };
        self.above.truncate(level);
        let (parent, parent_path) = match self.above.last() {
            Some((id, path)) => (Some(*id), path),
            None => (None, &TreePath::ROOT),
        };
        if parent.is_none() && name.as_bytes().eq_ignore_ascii_case(PARTIAL_DIR.as_bytes()) {
            return Err(SourceError::Reserved);
        }
        let tree = parent_path.join(name.clone())?;
        let metadata = found.metadata().map_err(walk_error)?;
        let kind = kind(parent_path, found.path(), &metadata)?;
        if (kind == Kind::Directory) != found.file_type().is_dir() {
            // Something else a moment ago: what the walk does next would not fit what is said here.
            return Err(SourceError::Changed);
        }
        let id = EntryId(self.next.ok_or(SourceError::TooMany)?);
        self.next = id.0.checked_add(1);
        if kind == Kind::Directory {
            self.above.push((id, tree.clone()));
        }
        let entry = Entry { parent, name, kind, meta: meta(&metadata) };
        Ok(WalkItem::Entry { id, entry, tree, path: found.path().to_owned() })
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        if let Some((path, error)) = self.unusable.next() {
            return Some(WalkItem::Skipped { path, error });
        }
        loop {
            let current = self.current.take().or_else(|| {
                let top = self.tops.next()?;
                let listing = list(&top);
                Some((top, listing))
            });
            let (top, mut listing) = current?;
            let Some(found) = listing.next() else {
                continue;
            };
            let item = match found {
                Ok(found) => self.item(&top, &found).unwrap_or_else(|error| {
                    if found.file_type().is_dir() {
                        listing.skip_current_dir();
                    }
                    WalkItem::Skipped { path: top.as_typed(found.path()), error }
                }),
                Err(error) => {
                    let path = top.as_typed(error.path().unwrap_or(&top.path));
                    WalkItem::Skipped { path, error: walk_error(error) }
                }
            };
            self.current = Some((top, listing));
            return Some(item);
        }
    }
}

/// The listing of one source.
fn list(top: &Top) -> walkdir::IntoIter {
    WalkDir::new(&top.path)
        .min_depth(usize::from(top.name.is_none()))
        .follow_links(false)
        .follow_root_links(false)
        .sort_by(|a, b| name_bytes(a).cmp(name_bytes(b)))
        .into_iter()
}

fn name_bytes(found: &DirEntry) -> &[u8] {
    OsStr::as_bytes(found.file_name())
}

/// What an entry is, if it can be sent.
fn kind(parent: &TreePath, path: &Path, metadata: &Metadata) -> Result<Kind, SourceError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(Kind::File { size: metadata.len() });
    }
    if kind.is_dir() {
        return Ok(Kind::Directory);
    }
    if !kind.is_symlink() {
        return Err(SourceError::Special);
    }
    let target = std::fs::read_link(path).map_err(seen_error)?.into_os_string().into_vec();
    if !link_stays_below(parent, &target) {
        return Err(SourceError::LinkOutside);
    }
    Ok(Kind::Symlink { target })
}

/// Mode and time as they travel.
fn meta(metadata: &Metadata) -> Meta {
    let mtime = FileTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 };
    Meta { mode: metadata.mode() & 0o777, mtime }
}

fn walk_error(error: walkdir::Error) -> SourceError {
    match error.into_io_error() {
        // A path that the system finds too long.
        Some(error) if error.kind() == io::ErrorKind::InvalidFilename => SourceError::Name(NameError::TooLong),
        Some(error) => seen_error(error),
        // Only a loop of followed links has no error of the system, and no link is followed.
        None => SourceError::LinkOutside,
    }
}
