//! A file of one entry a line, and how it is changed.
//!
//! Invariant: a file that has a line which is not understood, or that is not this user's or root's alone to write, is refused whole; an edit happens under a lock,
//! keeps comments and every line it did not mean byte for byte, and is seen by others complete or not at all (a new file of mode 0600
//! is synced, then renamed). A file that is not there has no entries.

use super::TrustError;
use crate::fs::obeyed::{self, Unfit};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Some ten thousand lines.
const MAX_FILE: u64 = 4 << 20;
/// The file in the same folder whose lock whoever changes a list holds. It stays: removing a lock file is a race.
const LOCK: &str = ".trust.lock";

/// What stands on a line that is neither blank nor a comment.
pub(super) trait Entry: Sized + PartialEq {
    /// Reads a line; the error says what is wrong with it.
    fn read(line: &str) -> Result<Self, String>;
    /// Writes a line that reads as the same.
    fn write(&self) -> String;
    /// Whether both cannot stand in one file, and why.
    fn clash(&self, other: &Self) -> Option<String>;
}

/// A line as it stands in the file, and the entry on it.
#[derive(Clone, Debug)]
struct Line<T> {
    text: String,
    entry: Option<T>,
}

/// The lines of a file.
#[derive(Clone, Debug)]
pub(super) struct Lines<T> {
    lines: Vec<Line<T>>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { lines: Vec::new() }
    }
}

impl<T: Entry> Lines<T> {
    /// The lines of the file at `path`.
    pub(super) fn load(path: &Path) -> Result<Self, TrustError> {
        match text(path)? {
            Some(text) => Self::parse(path, &text),
            None => Ok(Self::default()),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, TrustError> {
        let mut lines: Vec<Line<T>> = Vec::new();
        for (at, text) in text.lines().enumerate() {
            let wrong = |cause| TrustError::Line { path: path.to_owned(), line: at + 1, cause };
            let trimmed = text.trim();
            let entry = match trimmed {
                "" => None,
                _ if trimmed.starts_with('#') => None,
                _ => Some(T::read(trimmed).map_err(wrong)?),
            };
            if let Some(entry) = &entry {
                let mut before = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.entry.as_ref()?)));
                let clash = before.find_map(|(at, other)| Some((at, entry.clash(other)?)));
                if let Some((other, cause)) = clash {
                    return Err(wrong(format!("{cause} (line {})", other + 1)));
                }
            }
            lines.push(Line { text: text.to_owned(), entry });
        }
        Ok(Self { lines })
    }

    /// The entries in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = &T> {
        self.lines.iter().filter_map(|line| line.entry.as_ref())
    }

    /// Puts `entry` in the place of the one that `is` it, else at the end.
    pub(super) fn put(&mut self, entry: T, is: impl Fn(&T) -> bool) {
        let old = self.lines.iter_mut().find(|line| line.entry.as_ref().is_some_and(&is));
        match old {
            Some(old) if old.entry.as_ref() == Some(&entry) => {}
            Some(old) => *old = Line { text: entry.write(), entry: Some(entry) },
            None => self.lines.push(Line { text: entry.write(), entry: Some(entry) }),
        }
    }

    /// Takes the entries away for which `is` holds, and gives them.
    pub(super) fn take(&mut self, is: impl Fn(&T) -> bool) -> Vec<T> {
        let hit = |line: &mut Line<T>| line.entry.as_ref().is_some_and(&is);
        self.lines.extract_if(.., hit).filter_map(|line| line.entry).collect()
    }

    fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }

    /// Changes the file at `path` by `change`, alone; writes nothing if nothing changed or `change` fails.
    pub(super) fn edit<R>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<R, TrustError>,
    ) -> Result<R, TrustError> {
        // A list that is kept elsewhere behind a link is changed there.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = folder(&path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let lock = folder.join(LOCK);
        let held = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let held = held.map_err(at(&lock))?;
        while let Err(error) = flock(&held, FlockOperation::LockExclusive) {
            if error != rustix::io::Errno::INTR {
                return Err(at(&lock)(error.into()));
            }
        }
        let mut lines = Self::load(&path)?;
        let before = lines.text();
        let result = change(&mut lines)?;
        let after = lines.text();
        if after != before {
            Self::parse(&path, &after)?;
            replace(&path, folder, after.as_bytes()).map_err(at(&path))?;
        }
        Ok(result)
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> TrustError {
    move |source| TrustError::Io { path: path.to_owned(), source }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// The content of the file at `path`, if there is one.
fn text(path: &Path) -> Result<Option<String>, TrustError> {
    // Without O_NONBLOCK a FIFO put there would hold the program for ever.
    let nonblock = OFlags::NONBLOCK.bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(at(path))?,
    };
    let text = obeyed::text(file, MAX_FILE).map_err(|unfit| match unfit {
        Unfit::Io(error) => at(path)(error),
        Unfit::Exposed(mode) => TrustError::Exposed { path: path.to_owned(), mode },
        Unfit::Foreign(owner) => TrustError::Foreign { path: path.to_owned(), owner },
        Unfit::Special | Unfit::Long(_) | Unfit::Binary => TrustError::NotAList(path.to_owned()),
    });
    text.map(Some)
}

fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(|error| io::Error::other(error.to_string()))?;
    let draft: PathBuf = folder.join(format!(".trust.{}", data_encoding::HEXLOWER.encode(&tag)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        // The draft is ours alone and is not used.
        let _ = std::fs::remove_file(&draft);
    }
    written?;
    File::open(folder)?.sync_all()
}
