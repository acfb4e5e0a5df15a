//! What is being transferred: entries, their names and their metadata.
//!
//! Invariant: a [`Name`] is one path component that is safe to create below a directory (no separator, no `.` or `..`, no NUL, no
//! control character, at most 255 bytes) and a [`TreePath`] is a bounded list of them, so no value of these types can name
//! anything outside the destination. Types that come from the wire are checked as they are decoded. Reading and writing files is
//! left to `fs`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name of one entry in bytes (Linux `NAME_MAX`).
pub const MAX_NAME: usize = 255;
/// Deepest path in components.
pub const MAX_DEPTH: usize = 64;
/// Longest path in bytes, separators included (Linux `PATH_MAX`).
pub const MAX_PATH: usize = 4096;
/// Longest symlink target in bytes.
pub const MAX_TARGET: usize = 4095;
/// Largest file that is accepted, in bytes: what an `off_t` can address.
pub const MAX_FILE: u64 = i64::MAX as u64;

/// Number of an entry in its manifest, counted from 0 in the order in which entries are announced (parents first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub u32);

/// Why bytes cannot be a name or a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    #[error("empty name")]
    Empty,
    /// `.` or `..`.
    #[error("name is {0}")]
    Dots(&'static str),
    /// A separator or NUL inside.
    #[error("name has a separator or NUL in it")]
    Separator,
    /// A control character inside.
    #[error("name has a control character in it")]
    Control,
    /// Over [`MAX_NAME`], [`MAX_PATH`] or [`MAX_DEPTH`].
    #[error("name or path is too long")]
    TooLong,
}

/// One path component, as bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks `bytes` and makes a name of them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        match bytes.as_slice() {
            [] => return Err(NameError::Empty),
            b"." => return Err(NameError::Dots(".")),
            b".." => return Err(NameError::Dots("..")),
            _ => {}
        }
        if bytes.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if bytes.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(NameError::Separator);
        }
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(NameError::Control);
        }
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Name {
    type Error = NameError;
    fn try_from(bytes: Vec<u8>) -> Result<Self, NameError> {
        Self::new(bytes)
    }
}

impl From<Name> for Vec<u8> {
    fn from(name: Name) -> Self {
        name.0.into_vec()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A path below the root of a transfer; empty for the root itself.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<Name>);

impl TreePath {
    /// The root itself.
    pub const ROOT: TreePath = TreePath(Vec::new());

    /// The path of `name` below this one.
    pub fn join(&self, name: Name) -> Result<Self, NameError> {
        let length = self.0.iter().map(|n| n.as_bytes().len() + 1).sum::<usize>() + name.as_bytes().len();
        if self.0.len() >= MAX_DEPTH || length > MAX_PATH {
            return Err(NameError::TooLong);
        }
        let mut names = self.0.clone();
        names.push(name);
        Ok(Self(names))
    }

    /// The directory that holds this path and the last name; `None` for the root.
    pub fn split_last(&self) -> Option<(TreePath, &Name)> {
        let (last, parents) = self.0.split_last()?;
        Some((TreePath(parents.to_vec()), last))
    }

    /// The components, outermost first.
    pub fn names(&self) -> &[Name] {
        &self.0
    }

    /// The components joined by `/`; empty for the root.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(Name::as_bytes).collect::<Vec<_>>().join(&b'/')
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// A point in time as file systems store it: seconds since 1970 and nanoseconds below 10⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileTime {
    /// Whole seconds since 1970-01-01 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds, 0 ..= 999 999 999.
    pub nanoseconds: u32,
}

/// What is kept of an entry beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Permission bits, 0o000 ..= 0o777. Setuid, setgid and sticky never travel.
    pub mode: u32,
    /// Time of last modification.
    pub mtime: FileTime,
}

/// Whether a symbolic link in the directory `parent` with this target stays below the root of the transfer.
///
/// The target must be relative and not longer than [`MAX_TARGET`]; its `..` must all stand at its beginning, and be no more than
/// `parent` is deep. After a name a `..` is refused even where the letters would allow it: the name may be a link itself, and
/// `..` would then climb from where that one leads. So links that pass one by one cannot be put together to a way out either
/// (rsync's `--safe-links` draws the same line).
pub fn link_stays_below(parent: &TreePath, target: &[u8]) -> bool {
    if target.is_empty() || target.len() > MAX_TARGET || target[0] == b'/' || target.contains(&0) {
        return false;
    }
    let mut depth = parent.names().len();
    let mut descending = false;
    for component in target.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." if descending || depth == 0 => return false,
            b".." => depth -= 1,
            _ => descending = true,
        }
    }
    true
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file of that many bytes.
    File {
        /// Size in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link; its target is relative and stays below the root (checked by whoever creates it).
    Symlink {
        /// The target as it stands in the link.
        target: Vec<u8>,
    },
    /// A regular file whose size is known only at its end, because it is read from a pipe. It is longer than one chunk.
    Stream,
}

/// One file, directory or link of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The directory it stands in; `None` for the root of the transfer. Always announced before this entry.
    pub parent: Option<EntryId>,
    /// Its name there.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Mode and time.
    pub meta: Meta,
}

impl Entry {
    /// Size in bytes for a file, 0 for everything else, also where it is not known.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size } => size,
            Kind::Directory | Kind::Symlink { .. } | Kind::Stream => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for (bytes, error) in [
            (&b""[..], NameError::Empty),
            (b".", NameError::Dots(".")),
            (b"..", NameError::Dots("..")),
            (b"a/b", NameError::Separator),
            (b"/", NameError::Separator),
            (b"a\0b", NameError::Separator),
            (b"a\x1b[2J", NameError::Control),
            (&[b'a'; 256], NameError::TooLong),
        ] {
            assert_eq!(Name::new(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn ordinary_and_odd_names_are_kept_as_bytes() {
        for bytes in [&b"a"[..], b"...", b"a b", b"\xff\xfe", "\u{e9}".as_bytes(), &[b'a'; 255]] {
            assert_eq!(Name::new(bytes).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn paths_are_bounded_in_depth_and_length() {
        let mut path = TreePath::ROOT;
        for _ in 0..MAX_DEPTH {
            path = path.join(Name::new(*b"d").unwrap()).unwrap();
        }
        assert_eq!(path.join(Name::new(*b"d").unwrap()), Err(NameError::TooLong));
        let long = Name::new([b'x'; 255]).unwrap();
        let mut path = TreePath::ROOT;
        for _ in 0..16 {
            path = path.join(long.clone()).unwrap();
        }
        assert_eq!(path.join(long), Err(NameError::TooLong));
    }

    fn tree_path(names: &[&str]) -> TreePath {
        names.iter().fold(TreePath::ROOT, |path, name| path.join(Name::new(*name).unwrap()).unwrap())
    }

    #[test]
    fn links_that_stay_below_the_root_are_known() {
        for (parent, target) in [
            (&[][..], "a"),
            (&[], "./a//b/"),
            (&["d"], "../a"),
            (&["d"], ".."),
            (&["d", "e"], "../../a/b"),
            (&["d", "e"], ".././../a"),
            (&[], "..."),
            (&[], "..a"),
            (&[], "a/b/c"),
        ] {
            assert!(link_stays_below(&tree_path(parent), target.as_bytes()), "{parent:?} {target}");
        }
    }

    #[test]
    fn links_that_lead_out_are_refused() {
        let long = "a".repeat(MAX_TARGET + 1);
        for (parent, target) in [
            (&[][..], ""),
            (&[], "/"),
            (&["d"], "/etc/passwd"),
            (&[], ".."),
            (&[], "./../a"),
            (&["d"], "../../a"),
            (&["d", "e"], "../../../d"),
            (&[], "a\0b"),
            // By the letter inside, but `a` may be a link to somewhere shallower.
            (&["d", "e"], "a/.."),
            (&["d", "e"], "../a/./../b"),
            (&[], &long),
        ] {
            assert!(!link_stays_below(&tree_path(parent), target.as_bytes()), "{parent:?} {target}");
        }
    }

    proptest::proptest! {
        /// Whatever passes resolves, component by component, to a place at or below the root.
        #[test]
        fn no_accepted_link_climbs_over_the_root(
            depth in 0_usize..6,
            components in proptest::collection::vec(proptest::sample::select(vec!["", ".", "..", "a", "..."]), 0..10),
        ) {
            let parent = tree_path(&["d"; 6][..depth]);
            let target = components.join("/");
            if link_stays_below(&parent, target.as_bytes()) {
                proptest::prop_assert!(!target.starts_with('/'));
                let mut level = depth as i64;
                for component in components {
                    level += match component {
                        "" | "." => 0,
                        ".." => -1,
                        _ => 1,
                    };
                    proptest::prop_assert!(level >= 0);
                }
            }
        }
    }
}
