//! A path as the user typed it: what it stands for and what it is called in the transfer.
//!
//! Invariant: no two sources give the same name at the top of the transfer. That is found out before anything is
//! sent, whatever rules leave out not counted.

use super::{SelectError, SourceError};
use crate::filter::Rules;
use crate::fs::disk::PARTIAL_DIR;
use crate::manifest::Name;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One typed path.
#[derive(Clone, Debug)]
pub(super) struct Top {
    /// As typed, for messages.
    pub(super) typed: PathBuf,
    /// Absolute and without links.
    pub(super) path: PathBuf,
    /// Its name at the top of the transfer; `None` if only its contents are sent.
    pub(super) name: Option<Name>,
    is_directory: bool,
}

impl Top {
    pub(super) fn new(typed: &Path) -> Result<Self, SourceError> {
        let bytes = typed.as_os_str().as_bytes();
        // Looked at, not opened: a FIFO would hold us up. A trailing slash makes the system insist on a directory.
        let kind = fs::metadata(typed).map_err(typed_error)?.file_type();
        if !kind.is_dir() && !kind.is_file() {
            return Err(SourceError::Special);
        }
        let last = bytes.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let name = match last {
            b"" | b"." | b".." => None,
            last => Some(Name::new(last)?),
        };
        let path = fs::canonicalize(typed).map_err(typed_error)?;
        Ok(Self { typed: typed.to_owned(), path, name, is_directory: kind.is_dir() })
    }

    /// Only its contents are sent, whatever was typed.
    pub(super) fn be_contents(&mut self) -> Result<(), SourceError> {
        if !self.is_directory {
            return Err(SourceError::Unreadable(io::ErrorKind::NotADirectory.into()));
        }
        self.name = None;
        Ok(())
    }

    /// The path of `below`, which stands below [`Top::path`], in the words of the user.
    pub(super) fn as_typed(&self, below: &Path) -> PathBuf {
        match below.strip_prefix(&self.path) {
            Ok(rest) if rest.as_os_str() != OsStr::new("") => self.typed.join(rest),
            _ => self.typed.clone(),
        }
    }

    /// The names that it gives at the top of the transfer. A directory that cannot be read gives none, which the walk will say.
    fn names(&self, rules: &Rules, mut give: impl FnMut(&[u8]) -> Option<SelectError>) -> Option<SelectError> {
        if let Some(name) = &self.name {
            let sent = rules.sends(name.as_bytes(), self.is_directory);
            return sent.then(|| give(name.as_bytes())).flatten();
        }
        fs::read_dir(&self.path).into_iter().flatten().flatten().find_map(|entry| {
            let name = entry.file_name();
            let name = name.as_bytes();
            let sent = || rules.is_empty() || rules.sends(name, entry.file_type().is_ok_and(|kind| kind.is_dir()));
            if name.eq_ignore_ascii_case(PARTIAL_DIR.as_bytes()) || !sent() {
                return None;
            }
            give(name)
        })
    }

    /// Whether it gives this name, and how the user would call it.
    fn path_of(&self, name: &[u8]) -> Option<PathBuf> {
        if let Some(own) = &self.name {
            return (own.as_bytes() == name).then(|| self.typed.clone());
        }
        let below = OsStr::from_bytes(name);
        fs::symlink_metadata(self.path.join(below)).is_ok().then(|| self.typed.join(below))
    }
}

/// Refuses sources of which two give the same name. Of each name there is a hash in memory, and of the contents of the last
/// directory not even that: one directory costs nothing, whatever its size.
pub(super) fn refuse_same_names(tops: &[Top], rules: &Rules) -> Result<(), SelectError> {
    if tops.len() < 2 {
        return Ok(());
    }
    let hashes = RandomState::new();
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let mut order: Vec<usize> = (0..tops.len()).collect();
    order.sort_by_key(|at| tops[*at].name.is_none());
    for (turn, at) in order.iter().enumerate() {
        let last = turn + 1 == order.len();
        let refused = tops[*at].names(rules, |name| {
            let hash = hashes.hash_one(name);
            let Some(other) = seen.get(&hash) else {
                if !last {
                    seen.insert(hash, *at);
                }
                return None;
            };
            let (first, second) = (&tops[*at.min(other)], &tops[*at.max(other)]);
            // Two names may have one hash.
            let (path, other) = second.path_of(name).zip(first.path_of(name))?;
            Some(SelectError { path, cause: SourceError::SameName(other) })
        });
        if let Some(refused) = refused {
            return Err(refused);
        }
    }
    Ok(())
}

/// What the system says about a typed path.
fn typed_error(error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing,
        _ => SourceError::Unreadable(error),
    }
}
