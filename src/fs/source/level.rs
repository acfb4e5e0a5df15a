//! One directory of a walk: held open, with the names in it that are still to come.
//!
//! Invariant: everything below is reached from the descriptor, through no link, and at most [`SORTED`] names are in memory.
//!
//! What becomes of what is found is the business of [`super::walk`].

use super::list::List;
use super::walk::SORTED;
use crate::fs::confine::{PASSAGE, open_below};
use crate::manifest::{EntryId, TreePath};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{CString, OsStr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a directory is opened to be listed.
const LISTING: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a file is opened to look into it: never waiting for anybody.
const LOOK: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: CString,
    /// As the directory says it, which some file systems do not.
    pub(super) kind: FileType,
    /// The paths of the list that begin with it, and whether the first of them ends with it.
    pub(super) listed: Option<(Range<usize>, bool)>,
}

/// A directory above the present entry.
#[derive(Debug)]
pub(super) struct Level {
    directory: Held,
    names: Names,
    /// Its number, if it is an entry.
    pub(super) id: Option<EntryId>,
    /// Its path below the root of the transfer.
    pub(super) tree: TreePath,
    /// The same as bytes, with a `/` behind it if it is not the root.
    pub(super) prefix: Vec<u8>,
    /// Its absolute path.
    pub(super) path: PathBuf,
}

#[derive(Debug)]
pub(super) enum Held {
    /// To pass through.
    Passage(OwnedFd),
    /// To list, too.
    Listing(Dir),
}

/// Names that are still to come.
#[derive(Debug)]
pub(super) enum Names {
    /// The source itself, in the directory above it.
    Source(Option<CString>),
    /// These, and then, if there were too many to sort, those that the directory still gives.
    Directory { known: std::vec::IntoIter<Found>, more: bool },
    /// Those that begin these paths of a list, behind so many bytes.
    Listed { list: Arc<List>, range: Range<usize>, common: usize },
}

impl Names {
    pub(super) fn listed(list: &Arc<List>, range: Range<usize>, common: usize) -> Self {
        Names::Listed { list: Arc::clone(list), range, common }
    }
}

impl Level {
    pub(super) fn new(directory: Held, names: Names, id: Option<EntryId>, tree: TreePath, path: PathBuf) -> Self {
        let mut prefix = tree.to_bytes();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Self { directory, names, id, tree, prefix, path }
    }

    /// The contents of the source `path`, which is absolute and without links.
    pub(super) fn contents(path: &Path) -> rustix::io::Result<Self> {
        let (directory, names) = list(from_root(path, LISTING)?)?;
        Ok(Self::new(directory, names, None, TreePath::ROOT, path.to_owned()))
    }

    /// The source `path` as what some list says of it.
    pub(super) fn listed(path: &Path, names: Names) -> rustix::io::Result<Self> {
        let directory = Held::Passage(from_root(path, PASSAGE)?);
        Ok(Self::new(directory, names, None, TreePath::ROOT, path.to_owned()))
    }

    /// The directory above the source `path`, with nothing but the source in it.
    pub(super) fn above(path: &Path) -> rustix::io::Result<Self> {
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
        let directory = Held::Passage(from_root(parent, PASSAGE)?);
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
        Ok(Self::new(directory, Names::Source(Some(name)), None, TreePath::ROOT, parent.to_owned()))
    }

    /// Whether it holds the source, which goes by the name that was typed.
    pub(super) fn is_above_source(&self) -> bool {
        matches!(self.names, Names::Source(_))
    }

    /// The next name.
    pub(super) fn next(&mut self) -> Option<rustix::io::Result<Found>> {
        let found = |name| Found { name, kind: FileType::Unknown, listed: None };
        match &mut self.names {
            Names::Source(name) => name.take().map(found).map(Ok),
            Names::Directory { known, more } => match (known.next(), &mut self.directory) {
                (Some(found), _) => Some(Ok(found)),
                (None, Held::Listing(directory)) if *more => read(directory),
                _ => None,
            },
            Names::Listed { list, range, common } => {
                let group = list.group(range.clone(), *common)?;
                range.start = group.range.end;
                let name = CString::new(group.name).map_err(|_| Errno::INVAL);
                Some(name.map(|name| Found { listed: Some((group.range, group.whole)), ..found(name) }))
            }
        }
    }

    pub(super) fn path_of(&self, found: &Found) -> PathBuf {
        self.path.join(OsStr::from_bytes(found.name.as_bytes()))
    }

    pub(super) fn stat(&self, name: &CString) -> rustix::io::Result<Stat> {
        let directory = self.directory.as_fd()?;
        retry_on_intr(|| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Where a link leads.
    pub(super) fn target(&self, name: &CString) -> rustix::io::Result<Vec<u8>> {
        readlinkat(self.directory.as_fd()?, name, Vec::new()).map(CString::into_bytes)
    }

    /// Opens a directory in it, and lists it.
    pub(super) fn enter(&self, found: &Found) -> rustix::io::Result<(Held, Names)> {
        list(self.open(found, LISTING)?)
    }

    /// Opens a directory in it, to pass through.
    pub(super) fn enter_listed(&self, found: &Found) -> rustix::io::Result<Held> {
        self.open(found, PASSAGE).map(Held::Passage)
    }

    /// Whether a file of size 0 has nothing in it: those of `/proc` say so of themselves whatever they hold.
    pub(super) fn is_empty_file(&self, found: &Found) -> rustix::io::Result<bool> {
        let file = self.open(found, LOOK)?;
        match retry_on_intr(|| rustix::io::read(&file, &mut [0; 1])) {
            // What has to be waited for is content.
            Err(Errno::AGAIN) => Ok(false),
            read => read.map(|length| length == 0),
        }
    }

    fn open(&self, found: &Found, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let directory = self.directory.as_fd()?;
        retry_on_intr(|| openat(directory, &found.name, flags, Mode::empty()))
    }
}

impl Held {
    fn as_fd(&self) -> rustix::io::Result<BorrowedFd<'_>> {
        match self {
            Held::Passage(directory) => Ok(directory.as_fd()),
            Held::Listing(directory) => directory.fd(),
        }
    }
}

/// Opens a directory by its absolute path, through no link.
fn from_root(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let root = |flags| retry_on_intr(|| openat(CWD, "/", flags, Mode::empty()));
    match path.as_os_str().as_bytes().strip_prefix(b"/").ok_or(Errno::INVAL)? {
        b"" => root(flags),
        below => open_below(root(PASSAGE)?.as_fd(), below, flags),
    }
}

/// Names of a directory that is open: sorted, if there are not too many.
fn list(directory: OwnedFd) -> rustix::io::Result<(Held, Names)> {
    let mut directory = Dir::new(directory)?;
    let mut known: Vec<Found> = Vec::new();
    while known.len() < SORTED {
        let Some(found) = read(&mut directory) else {
            known.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            known.shrink_to_fit();
            return Ok((Held::Listing(directory), Names::Directory { known: known.into_iter(), more: false }));
        };
        known.push(found?);
    }
    Ok((Held::Listing(directory), Names::Directory { known: known.into_iter(), more: true }))
}

/// The next name that a directory gives, but for itself and its parent.
fn read(directory: &mut Dir) -> Option<rustix::io::Result<Found>> {
    loop {
        match directory.read()? {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Ok(entry) => {
                let (name, kind) = (entry.file_name().to_owned(), entry.file_type());
                return Some(Ok(Found { name, kind, listed: None }));
            }
            Err(errno) => return Some(Err(errno)),
        }
    }
}
