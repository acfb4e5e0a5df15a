//! What a receiver takes, and what it does with what stands there already.
//!
//! Invariant: a policy only ever narrows. A transfer whose totals it does not allow is refused before anything is written; an entry that
//! it does not allow is refused alone and the others go on; what is announced is held against the same limits again, for totals
//! are only what the sender says of itself.
//!
//! Typing is `cli`'s, doing is assembly's.

use super::{Env, Error};
use crate::class::Class;
use crate::fs::disk::{Disk, DiskError};
use crate::fs::nowhere::Nowhere;
use crate::manifest::{MAX_DEPTH, Meta, Name, TreePath};
use crate::unit::Size;
use crate::wire::control::Hello;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Tells the partial files apart that prove that a destination can be written to.
static PROOFS: AtomicU32 = AtomicU32::new(0);

/// What a file, a link or a new directory counts against a quota besides its bytes: about what an empty one takes on the disk.
pub const ENTRY_COST: u64 = 4096;

/// What to do where something stands already that is not identical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse that entry.
    #[default]
    Refuse,
    /// Put the new one in its place, if it is a regular file or a link.
    Replace,
    /// Leave it, whatever it is; the entry counts as done.
    Skip,
    /// Give the new one another name: `photo (1).jpg`.
    Rename,
}

/// Where what arrives goes.
#[derive(Clone, Debug, Default)]
pub enum Place {
    /// Under the names that the sender gives, below the destination.
    #[default]
    Tree,
    /// One file, under this name.
    File(Name),
    /// The bytes of one file, in order.
    Stream(Stream),
}

impl Place {
    /// What makes two destinations below or in `dir` the same one; none is the same as a stream.
    pub(super) fn identity(&self, dir: &Path) -> Option<Vec<u8>> {
        let name = match self {
            Place::Tree => None,
            Place::File(name) => Some(name.as_bytes()),
            Place::Stream(_) => return None,
        };
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let mut identity = dir.into_os_string().into_encoded_bytes();
        identity.extend(name.into_iter().flat_map(|name| [b"/", name].concat()));
        Some(identity)
    }
}

/// A writer that is used once: what was written cannot be taken back, so nothing is ever begun anew.
#[derive(Clone)]
pub struct Stream {
    name: &'static str,
    writer: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
}

impl Stream {
    /// A stream into `writer`, which is called `name` where it fails. Writing may block: that slows the sender down.
    pub fn new(name: &'static str, writer: impl Write + Send + 'static) -> Self {
        Self { name, writer: Arc::new(Mutex::new(Some(Box::new(writer)))) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The writer, the first time.
    pub(super) fn take(&self) -> Option<Box<dyn Write + Send>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether something may have been written already.
    pub(super) fn is_used(&self) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Which files are taken: given a path below the root of the transfer, components separated by `/`.
#[derive(Clone)]
pub struct Accept(Arc<Judge>);

/// Says yes or no to a path.
type Judge = dyn Fn(&[u8]) -> bool + Send + Sync;

impl Accept {
    /// Takes what `accepts` says yes to.
    pub fn new(accepts: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(accepts))
    }
}

impl Default for Accept {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept")
    }
}

/// What a receiver takes and how.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What to do where something stands already.
    pub existing: Existing,
    /// Where it goes.
    pub place: Place,
    /// Directory below the destination that everything goes into; made if it is missing, reached through no link.
    pub base: TreePath,
    /// Most file bytes of one transfer.
    pub max_size: Option<u64>,
    /// Most files and links of one transfer. Of directories it makes as many, and those above the deepest file.
    pub max_files: Option<u64>,
    /// The same as `max_size` with [`ENTRY_COST`] for each entry.
    pub quota: Option<u64>,
    /// Which files and links are taken. Directories are always made: they may hold some.
    pub accept: Accept,
    /// Whether data and names are on the disk before "done" is said.
    pub fsync: bool,
    /// Permission bits that nothing gets, whatever its sender says.
    pub umask: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            existing: Existing::default(),
            place: Place::default(),
            base: TreePath::ROOT,
            max_size: None,
            max_files: None,
            quota: None,
            accept: Accept::default(),
            fsync: true,
            umask: 0,
        }
    }
}

impl Policy {
    /// Whether a transfer may begin, by what its sender says of it.
    pub(super) fn admits(&self, hello: &Hello) -> Result<(), (Class, String)> {
        if !matches!(self.place, Place::Tree) && hello.files > 1 {
            return Err((Class::Select, "the sender has more than one file; this receiver takes one".to_owned()));
        }
        if let Some(most) = self.max_files.filter(|most| hello.files > *most) {
            return Err((
                Class::Refused,
                format!("{} files are more than the {most} that are taken here", hello.files),
            ));
        }
        self.excess(hello.files, hello.bytes).map_or(Ok(()), |cause| Err((Class::Refused, cause)))
    }

    /// Why so many entries of so many bytes together are too much, if they are.
    pub(super) fn excess(&self, entries: u64, bytes: u64) -> Option<String> {
        if let Some(most) = self.max_size.filter(|most| bytes > *most) {
            return Some(format!("{} are more than the {} that are taken here", Size(bytes), Size(most)));
        }
        let cost = bytes.saturating_add(entries.saturating_mul(ENTRY_COST));
        let quota = self.quota.filter(|quota| cost > *quota)?;
        Some(format!("{bytes} bytes and {ENTRY_COST} for each entry are {cost}, more than the quota of {quota}"))
    }

    /// Most directories that are made.
    pub(super) fn max_directories(&self) -> Option<u64> {
        self.max_files.map(|files| files.saturating_add(MAX_DEPTH as u64))
    }

    /// The same within this quota, too.
    pub(super) fn within(&self, quota: Option<u64>) -> Policy {
        let quota = [self.quota, quota].into_iter().flatten().min();
        Policy { quota, ..self.clone() }
    }

    /// Opens the destination and makes sure that it can be written to, before a ticket is given out that would lead to nothing.
    pub(super) fn destination(&self, env: &Env, dir: &Path) -> Result<Arc<dyn Disk>, Error> {
        if let Place::Stream(_) = self.place {
            return Ok(Arc::new(Nowhere));
        }
        let usable = |disk: Arc<dyn Disk>| {
            self.prove_writable(&*disk)?;
            Ok(disk)
        };
        (env.open_disk)(dir).and_then(usable).map_err(|error| Error::Destination { path: dir.to_owned(), error })
    }

    fn prove_writable(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let mut base = TreePath::ROOT;
        for name in self.base.names() {
            let above = base.clone();
            base = base.join(name.clone()).expect("a part of a path is no longer than it");
            if disk.look(&base)?.is_none() {
                disk.make_dir(&base, 0o700)?;
            }
            // Its name is durable before anything in it is said to be, whichever run has made it.
            if self.fsync {
                disk.sync_dir(&above)?;
            }
        }
        // Two receivers may begin at once. The name is one of those that are swept should it be left.
        let number = PROOFS.fetch_add(1, Ordering::Relaxed);
        let proof = format!("{:032x}-{:016x}-{number:x}", 0, std::process::id());
        drop(disk.create_partial(&proof, 0)?);
        disk.remove_partial(&proof)?;
        disk.remove_partial_dir()
    }

    /// Mode and time that an entry gets of those that its sender says.
    pub(super) fn masked(&self, meta: Meta) -> Meta {
        Meta { mode: meta.mode & 0o777 & !self.umask, ..meta }
    }

    /// Whether a file or link is taken, by its path below the root of the transfer, components separated by `/`.
    pub fn takes(&self, path: &[u8]) -> bool {
        (self.accept.0)(path)
    }

    /// The same by its path below the destination.
    pub(super) fn accepts(&self, path: &TreePath) -> bool {
        let below = path.names().get(self.base.names().len()..).unwrap_or_default();
        self.takes(&below.iter().map(Name::as_bytes).collect::<Vec<_>>().join(&b'/'))
    }
}

/// The path with `number` put into its last name, before the ending: `photo (1).jpg`, `a (1).tar.gz`, `.profile (1)`. `None` if there
/// is no such name.
pub(super) fn numbered(path: &TreePath, number: u32) -> Option<TreePath> {
    let (parent, last) = path.split_last()?;
    let bytes = last.as_bytes();
    let dot = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
    let mut cut = dot(bytes).unwrap_or(bytes.len());
    if let Some(inner) = dot(&bytes[..cut]).filter(|inner| bytes[*inner..cut].eq_ignore_ascii_case(b".tar")) {
        cut = inner;
    }
    let (stem, ending) = bytes.split_at(cut);
    let middle = format!(" ({number})");
    let room = crate::manifest::MAX_NAME.checked_sub(middle.len() + ending.len())?;
    let mut keep = stem.len().min(room);
    // Not in the middle of a letter.
    while keep < stem.len() && keep > 0 && stem[keep] & 0xc0 == 0x80 {
        keep -= 1;
    }
    parent.join(Name::new([&stem[..keep], middle.as_bytes(), ending].concat()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priority::Priority;
    use crate::wire::control::SessionId;

    fn hello(files: u64, bytes: u64) -> Hello {
        let session = SessionId([0; 16]);
        Hello {
            version: 1,
            session,
            secret: None,
            chunk_bytes: 1024,
            files,
            bytes,
            priority: Priority::Normal,
            link: None,
        }
    }

    #[test]
    fn totals_are_held_against_the_limits() {
        let policy = Policy { max_size: Some(100), max_files: Some(2), ..Policy::default() };
        let code = |hello| policy.admits(&hello).map_err(|(class, _)| class.code());
        assert_eq!(code(hello(2, 100)), Ok(()));
        assert_eq!(code(hello(3, 1)), Err(45));
        assert_eq!(code(hello(1, 101)), Err(45));
        assert_eq!(Policy::default().admits(&hello(u64::MAX, u64::MAX)), Ok(()));
        let policy = Policy::default().within(Some(2 * ENTRY_COST + 5));
        for ((files, bytes), fits) in
            [((2, 5), true), ((2, 6), false), ((3, 0), false), ((0, 8197), true), ((u64::MAX, 1), false)]
        {
            assert_eq!(policy.admits(&hello(files, bytes)).is_ok(), fits, "{files} files, {bytes} bytes");
        }
        let one = Policy { place: Place::File(Name::new("x").unwrap()), ..Policy::default() };
        assert_eq!(one.admits(&hello(2, 1)).unwrap_err().0, Class::Select);
        assert_eq!(one.admits(&hello(1, 1)), Ok(()));
    }

    #[test]
    fn the_umask_takes_bits_away_and_gives_none() {
        let policy = Policy { umask: 0o027, ..Policy::default() };
        for (said, gets) in [(0o666, 0o640), (0o777, 0o750), (0o400, 0o400), (0o007, 0), (0o6755, 0o750)] {
            assert_eq!(policy.masked(Meta { mode: said, ..Meta::default() }).mode, gets, "{said:o}");
        }
        assert_eq!(Policy::default().masked(Meta { mode: 0o777, ..Meta::default() }).mode, 0o777);
    }

    #[test]
    fn numbers_stand_before_the_ending() {
        let long = format!("{}.jpg", "ä".repeat(125));
        let table = [
            ("photo.jpg", "photo (7).jpg"),
            ("a.tar.gz", "a (7).tar.gz"),
            ("x.y.z", "x.y (7).z"),
            (".profile", ".profile (7)"),
            (".tar.gz", ".tar (7).gz"),
            ("plain", "plain (7)"),
            ("dot.", "dot (7)."),
            (&long, &format!("{} (7).jpg", "ä".repeat(123))),
        ];
        for (name, expected) in table {
            let path = TreePath::ROOT.join(Name::new("d").unwrap()).unwrap().join(Name::new(name).unwrap()).unwrap();
            let numbered = String::from_utf8(numbered(&path, 7).unwrap().to_bytes()).unwrap();
            assert_eq!(numbered, format!("d/{expected}"));
        }
        assert_eq!(numbered(&TreePath::ROOT, 1), None);
    }
}
