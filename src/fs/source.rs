//! Sources: what the user named, found and read, while it may change underneath.
//!
//! Invariant: every path that leaves here is absolute and free of links (the ones that were typed are resolved once, at the
//! start), so a link on it later is a trap and the file is not read ([`SourceFile`]). What cannot be sent is said, one by one
//! ([`WalkItem::Skipped`]), and never silently left out.
//!
//! `walk` lists what rules and list leave ([`Selection`]), `read` reads; what a failure means for the run is left to the caller.

mod level;
mod list;
mod read;
#[cfg(test)]
mod tests;
mod top;
mod walk;

pub use list::{List, ListError};
pub use read::SourceFile;
pub use walk::{SORTED, Walk, WalkItem};

use crate::class::Class;
use crate::filter::Rules;
use crate::manifest::{Kind, NameError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use top::Top;

/// Why something cannot be sent. `Display` gives the cause alone: whoever reports it names the object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// What was typed is not there.
    #[error("no such file or directory")]
    Missing,
    /// Two of the typed paths give the same name at the top of the transfer.
    #[error("has the same name as {}", .0.display())]
    SameName(PathBuf),
    /// It may not be read, or the reading failed.
    #[error(transparent)]
    Unreadable(io::Error),
    /// It was there when the directory was read and is no more.
    #[error("vanished before it could be read")]
    Vanished,
    /// It is not the file that was announced, or not as long.
    #[error("changed while it was being sent")]
    Changed,
    /// It has content, and says that its size is 0: a file of `/proc`.
    #[error("its size is not known beforehand; send it through a pipe")]
    Unsized,
    /// A device, socket or FIFO.
    #[error("not a regular file, directory or symbolic link")]
    Special,
    /// Its name or path cannot travel.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A symbolic link that is absolute or leads out of the transfer.
    #[error("symbolic link leads out of what is sent")]
    LinkOutside,
    /// A path of the list leads through a link, which is not followed.
    #[error("a directory on the way is a symbolic link")]
    ThroughLink,
    /// It has the name that the receiver keeps for unfinished files.
    #[error("the name is kept for unfinished files")]
    Reserved,
    /// More entries than can be numbered.
    #[error("too many files")]
    TooMany,
}

impl SourceError {
    /// The class of a run in which this alone failed.
    pub fn class(&self) -> Class {
        match self {
            SourceError::Missing | SourceError::SameName(_) => Class::Select,
            SourceError::Vanished | SourceError::Changed => Class::Vanished,
            SourceError::Unreadable(_)
            | SourceError::Unsized
            | SourceError::Special
            | SourceError::Name(_)
            | SourceError::LinkOutside
            | SourceError::ThroughLink
            | SourceError::Reserved
            | SourceError::TooMany => Class::Partial,
        }
    }
}

/// What the system says about something that was listed a moment ago.
fn seen_error(error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::Vanished,
        _ => SourceError::Unreadable(error),
    }
}

/// A typed path that cannot be sent at all: the run ends before it begins, whatever the cause ([`Class::Select`]).
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct SelectError {
    /// The path as typed.
    pub path: PathBuf,
    /// Why not.
    pub cause: SourceError,
}

impl SelectError {
    /// The class of the run.
    pub fn class(&self) -> Class {
        Class::Select
    }
}

/// What of the sources is sent: everything, unless this says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Rules that leave things out.
    pub rules: Arc<Rules>,
    /// The only paths that are sent, with what is below them. The directories above them come with them, whatever rules say of
    /// these, and also if the paths turn out to be missing or excluded.
    pub list: Option<Arc<List>>,
}

impl Selection {
    /// Whether it is everything.
    pub fn is_everything(&self) -> bool {
        self.rules.is_empty() && self.list.is_none()
    }

    /// Gives `add` bytes that tell this selection from any other.
    pub fn fingerprint(&self, mut add: impl FnMut(&[u8])) {
        let rules = self.rules.fingerprint();
        add(&(rules.len() as u64).to_be_bytes());
        add(&rules);
        if let Some(list) = &self.list {
            list.fingerprint(add);
        }
    }
}

/// What is sent: the typed paths, looked at once.
#[derive(Clone, Debug)]
pub struct Sources {
    selection: Selection,
    tops: Vec<Top>,
    /// Typed paths of which nothing can be sent, beside others that can.
    unusable: Vec<(PathBuf, Unusable)>,
}

/// Why a typed path is left out, in a form that can be told by every walk.
#[derive(Clone, Copy, Debug)]
enum Unusable {
    Missing,
    Special,
    ThroughLink,
    Unreadable(io::ErrorKind),
}

impl From<Unusable> for SourceError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Missing => SourceError::Missing,
            Unusable::Special => SourceError::Special,
            Unusable::ThroughLink => SourceError::ThroughLink,
            Unusable::Unreadable(kind) => SourceError::Unreadable(kind.into()),
        }
    }
}

/// How much there is to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files and links: what a receiver counts as files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
    /// What cannot be sent. A directory counts once, with all that is in it.
    pub skipped: u64,
}

impl Totals {
    /// How many things are gone since they were counted, as far as a walk that has come to so many entries and has skipped so many
    /// can tell: what is new makes up for what is gone.
    pub fn gone(&self, entries: u64, skipped: u64) -> u64 {
        (self.entries + self.skipped).saturating_sub(entries + skipped)
    }
}

impl Sources {
    /// Looks at what was typed. `dir` is sent with its name, `dir/` as its contents (scp, rsync); so are `.`, `..` and `/`. A file
    /// is sent with its name. A typed link stands for what it leads to, under its own name (scp); links further down are sent
    /// as links. A path that cannot be sent is an error if no other can, else the walk skips it. With a list, `paths` is one
    /// directory, and what is listed stands below it, whether it was typed with a slash or without.
    pub fn new(paths: &[PathBuf], selection: Selection) -> Result<Self, SelectError> {
        let refuse = |path: &Path, cause| SelectError { path: path.to_owned(), cause };
        let (mut tops, mut unusable) = (Vec::new(), Vec::new());
        for path in paths {
            let why = match Top::new(path) {
                Ok(top) => {
                    tops.push(top);
                    continue;
                }
                Err(cause) if paths.len() == 1 => return Err(refuse(path, cause)),
                Err(SourceError::Missing) => Unusable::Missing,
                Err(SourceError::Special) => Unusable::Special,
                Err(SourceError::Unreadable(error)) => Unusable::Unreadable(error.kind()),
                Err(cause) => return Err(refuse(path, cause)),
            };
            unusable.push((path.clone(), why));
        }
        if tops.is_empty()
            && let Some((path, why)) = unusable.first()
        {
            return Err(refuse(path, (*why).into()));
        }
        if selection.list.is_some() {
            for top in &mut tops {
                top.be_contents().map_err(|cause| refuse(&top.typed, cause))?;
            }
        }
        top::refuse_same_names(&tops, &selection.rules)?;
        Ok(Self { selection, tops, unusable })
    }

    /// Lists everything, directories before what is in them, each directory sorted by the bytes of the names unless it is very
    /// large ([`SORTED`]).
    pub fn walk(&self) -> Walk {
        let unusable = self.unusable.iter().map(|(path, why)| (path.clone(), (*why).into()));
        Walk::new(self.tops.clone(), unusable.collect(), self.selection.clone())
    }

    /// Counts what there is by one walk. What only says that it is empty counts as an empty file.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for item in self.walk().without_looking() {
            match item {
                WalkItem::Entry { entry, .. } => {
                    totals.entries += 1;
                    totals.files += u64::from(entry.kind != Kind::Directory);
                    totals.bytes = totals.bytes.saturating_add(entry.size());
                }
                WalkItem::Skipped { .. } => totals.skipped += 1,
                WalkItem::Excluded { .. } => {}
            }
        }
        totals
    }
}
