//! The list of `--files-from`: which paths below the source are sent, and nothing else.
//!
//! Invariant: paths are relative, without `.` and `..`, sorted component by component, each once; so what stands below a directory
//! stands together, behind the directory itself. A path that leads out of the source is an error of the whole list, which names
//! the line and does not repeat it.
//!
//! Whether the paths exist is found out by the walk.

use crate::manifest::MAX_PATH;
use std::io::{self, BufRead};
use std::ops::Range;

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A `..` that goes above the source.
    #[error("line {0}: a name that leads out of the source")]
    Outside(usize),
    /// A name that no path can have.
    #[error("line {0}: a name of more than {MAX_PATH} bytes, or with a NUL in it")]
    Name(usize),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// The paths, in memory as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Box<[u8]>>);

/// The paths of a list that begin with the same component.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// That component.
    pub(super) name: &'a [u8],
    /// Where they stand in the list.
    pub(super) range: Range<usize>,
    /// The first of them ends there: everything below is meant.
    pub(super) whole: bool,
}

impl List {
    /// Reads a list: one path a line, without empty lines and those that begin with `#` or `;`; or, if `nul` is true, paths that end
    /// with NUL, whatever they begin with.
    pub fn read(mut from: impl BufRead, nul: bool) -> Result<List, ListError> {
        let end = if nul { 0 } else { b'\n' };
        let (mut paths, mut line, mut number) = (Vec::new(), Vec::new(), 0);
        // One byte for the end, one for a carriage return.
        let limit = MAX_PATH as u64 + 2;
        loop {
            line.clear();
            if io::Read::take(&mut from, limit).read_until(end, &mut line)? == 0 {
                break;
            }
            number += 1;
            let ended = line.pop_if(|byte| *byte == end).is_some();
            if !ended && line.len() as u64 == limit {
                return Err(ListError::Name(number));
            }
            if !nul {
                line.pop_if(|byte| *byte == b'\r');
            }
            if line.is_empty() || (!nul && matches!(line[0], b'#' | b';')) {
                continue;
            }
            if line.contains(&0) {
                return Err(ListError::Name(number));
            }
            paths.push(normal(&line).ok_or(ListError::Outside(number))?);
        }
        paths.sort_unstable_by(|a, b| components(a).cmp(components(b)));
        paths.dedup();
        Ok(List(paths))
    }

    /// All of it.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// The path with this number.
    pub(super) fn path(&self, at: usize) -> &[u8] {
        &self.0[at]
    }

    /// Whether the source itself is in the list: then everything is meant.
    pub(super) fn is_everything(&self) -> bool {
        self.0.first().is_some_and(|path| path.is_empty())
    }

    /// The first group of `range`, whose paths are alike in their first `common` bytes, a directory with its `/`.
    pub(super) fn group(&self, range: Range<usize>, common: usize) -> Option<Group<'_>> {
        let paths = &self.0[range.clone()];
        let first = paths.first()?.get(common..)?;
        let name = components(first).next()?;
        let length = paths.partition_point(|path| components(&path[common..]).next() == Some(name));
        Some(Group { name, range: range.start..range.start + length, whole: name.len() == first.len() })
    }

    /// The paths as bytes, for telling one list from another.
    pub(super) fn fingerprint(&self, mut add: impl FnMut(&[u8])) {
        for path in &self.0 {
            add(&(path.len() as u32).to_be_bytes());
            add(path);
        }
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

/// Without `.`, `..`, a slash before or behind or twice; `None` if it leads out.
fn normal(path: &[u8]) -> Option<Box<[u8]>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in components(path) {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join(&b'/').into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], nul: bool) -> Result<Vec<String>, ListError> {
        let list = List::read(text, nul)?;
        Ok(list.0.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    #[test]
    fn lines_are_rsyncs() {
        let text = b"# no\n;no\n\nb\r\n/a//x/\n./a.b\na/./../b\na/x\n #c\nlast";
        assert_eq!(read(text, false).unwrap(), [" #c", "a/x", "a.b", "b", "last"]);
        assert_eq!(read(b"#yes\0two\nlines\0\0b\r\0", true).unwrap(), ["#yes", "b\r", "two\nlines"]);
        assert_eq!(read(b"/\na\n", false).unwrap(), ["", "a"]);
        assert!(read(b"", false).unwrap().is_empty());
    }

    #[test]
    fn what_leads_out_or_is_too_long_is_refused_with_its_line() {
        for text in [&b"a\n../secret"[..], b"a\n/..", b"a\na/../../secret"] {
            let error = read(text, false).unwrap_err();
            assert!(matches!(error, ListError::Outside(2)) && !error.to_string().contains("secret"), "{error}");
        }
        let long = vec![b'x'; MAX_PATH];
        assert_eq!(read(&long, false).unwrap().len(), 1);
        assert!(matches!(read(&[long, vec![b'x'; 3]].concat(), false), Err(ListError::Name(1))));
        assert!(matches!(read(b"a\nb\0c\n", false), Err(ListError::Name(2))));
    }

    #[test]
    fn groups_are_what_a_directory_holds() {
        let list = List::read(&b"a/x\na/y/z\na.b\nc\nc/d\n"[..], false).unwrap();
        let group = list.group(list.all(), 0).unwrap();
        assert_eq!((group.name, group.range, group.whole), (&b"a"[..], 0..2, false));
        let group = list.group(1..2, 2).unwrap();
        assert_eq!((group.name, group.range, group.whole), (&b"y"[..], 1..2, false));
        let group = list.group(3..5, 0).unwrap();
        assert_eq!((group.name, group.range, group.whole), (&b"c"[..], 3..5, true));
        assert!(list.group(5..5, 0).is_none());
    }
}
