//! What is listed, in which order, what is skipped and said, and what a file that changes does.

mod reading;
mod selecting;

use super::*;
use crate::manifest::{Entry, EntryId, FileTime, TreePath};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

/// A tree: names that end in `/` are directories, `a -> b` are links, all others files with their path in them.
fn tree(names: &[&str]) -> TempDir {
    let top = tempfile::tempdir().unwrap();
    for name in names {
        let path = top.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else if let Some((link, target)) = name.split_once(" -> ") {
            symlink(target, top.path().join(link)).unwrap();
        } else {
            fs::write(path, name).unwrap();
        }
    }
    top
}

fn sources(paths: &[&Path]) -> Result<Sources, SelectError> {
    Sources::new(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>(), Selection::default())
}

/// With a slash behind it.
fn contents(path: &Path) -> PathBuf {
    path.join("")
}

/// Paths of what can be sent and what cannot, in order; checks what must hold of every walk.
fn walked(sources: &Sources) -> (Vec<String>, Vec<(PathBuf, SourceError)>) {
    let mut paths: BTreeMap<EntryId, TreePath> = BTreeMap::new();
    let (mut sent, mut skipped) = (Vec::new(), Vec::new());
    for item in sources.walk() {
        match item {
            WalkItem::Entry { id, entry, tree, path } => {
                assert_eq!(id.0 as usize, paths.len());
                let parent = entry.parent.map_or(TreePath::ROOT, |parent| paths[&parent].clone());
                assert_eq!(tree, parent.join(entry.name.clone()).unwrap());
                assert!(path.is_absolute());
                assert_eq!(fs::canonicalize(path.parent().unwrap()).unwrap(), path.parent().unwrap());
                fs::symlink_metadata(&path).unwrap();
                sent.push(String::from_utf8_lossy(&tree.to_bytes()).into_owned());
                paths.insert(id, tree);
            }
            WalkItem::Skipped { path, error } => skipped.push((path, error)),
            WalkItem::Excluded { .. } => {}
        }
    }
    let totals = sources.totals();
    let unsized_files = skipped.iter().filter(|(_, error)| matches!(error, SourceError::Unsized)).count();
    let counted = (sent.len() + unsized_files, skipped.len() - unsized_files);
    assert_eq!((totals.entries, totals.skipped), (counted.0 as u64, counted.1 as u64));
    (sent, skipped)
}

fn entries(sources: &Sources) -> BTreeMap<Vec<u8>, (Entry, PathBuf)> {
    sources
        .walk()
        .filter_map(|item| match item {
            WalkItem::Entry { entry, tree, path, .. } => Some((tree.to_bytes(), (entry, path))),
            WalkItem::Skipped { .. } | WalkItem::Excluded { .. } => None,
        })
        .collect()
}

/// The file `name` of `top`, open as the walk announced it.
fn opened(top: &TempDir, name: &str) -> (Result<SourceFile, SourceError>, PathBuf) {
    let (entry, path) = entries(&sources(&[&contents(top.path())]).unwrap()).remove(name.as_bytes()).unwrap();
    (SourceFile::open(&path, entry.size(), entry.meta.mtime), path)
}

#[test]
fn a_trailing_slash_sends_the_contents() {
    let top = tree(&["d/", "d/e/", "d/e/x", "d/b", "f"]);
    let with_name = ["d", "d/b", "d/e", "d/e/x"];
    let without = ["b", "e", "e/x"];
    for (typed, expected) in [
        ("d", &with_name[..]),
        ("d/", &without),
        ("d//", &without),
        ("d/.", &without),
        ("d/./", &without),
        ("d/e/..", &without),
        ("d/e/../", &without),
        ("./d", &with_name),
        ("f", &["f"]),
        ("d/e/x", &["x"]),
    ] {
        let (sent, skipped) = walked(&sources(&[&top.path().join(typed)]).unwrap());
        assert_eq!(sent, expected, "{typed}");
        assert!(skipped.is_empty());
    }
}

#[test]
fn dots_and_the_root_are_contents() {
    for typed in [".", "./", "..", "/", "/."] {
        let sources = sources(&[Path::new(typed)]).unwrap();
        assert_eq!(sources.tops[0].name, None, "{typed}");
        assert_eq!(sources.tops[0].path, fs::canonicalize(typed).unwrap());
    }
}

#[test]
fn directories_come_first_and_names_are_sorted_by_bytes() {
    let top = tree(&["b/", "b/z", "b/a", "a", "B", "b.c", "b-c", "empty/", "\u{e9}", "two words"]);
    let (sent, _) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["B", "a", "b", "b/a", "b/z", "b-c", "b.c", "empty", "two words", "\u{e9}"]);
    let totals = sources(&[&contents(top.path())]).unwrap().totals();
    assert_eq!(totals, Totals { files: 8, bytes: 3 + 3 + 1 + 1 + 3 + 3 + 2 + 9, entries: 10, skipped: 0 });
}

#[test]
fn several_sources_follow_one_another_and_are_numbered_through() {
    let top = tree(&["one/", "one/x", "two/", "two/y/", "two/y/z", "f"]);
    let one = top.path().join("one");
    let (sent, _) = walked(&sources(&[&top.path().join("f"), &top.path().join("two/"), &one]).unwrap());
    assert_eq!(sent, ["f", "y", "y/z", "one", "one/x"]);
}

#[test]
fn two_sources_with_one_name_are_refused() {
    let top = tree(&["a/", "a/x", "b/", "b/x", "c/", "c/a/", "x"]);
    let typed = |name: &str| top.path().join(name);
    for (first, second, named, other) in [
        ("x", "a/x", "a/x", "x"),
        ("a/", "b/", "b/x", "a/x"),
        ("a/", "x", "x", "a/x"),
        ("x", "b/", "b/x", "x"),
        ("a", "c/", "c/a", "a"),
        ("a", "a", "a", "a"),
    ] {
        let error = sources(&[&typed(first), &typed(second)]).unwrap_err();
        assert_eq!(error.path, typed(named));
        let same = |path: &PathBuf| *path == typed(other);
        assert!(matches!(&error.cause, SourceError::SameName(path) if same(path)), "{first} {second}: {error}");
        assert_eq!(error.class(), Class::Select);
    }
    assert!(sources(&[&typed("a"), &typed("b"), &typed("x")]).is_ok());
}

#[test]
fn what_is_not_there_is_named() {
    let top = tree(&["f", "dangling -> nowhere"]);
    for name in ["none", "none/", "f2/x", "dangling"] {
        let typed = top.path().join(name);
        let error = sources(&[&typed]).unwrap_err();
        assert!(matches!(error.cause, SourceError::Missing), "{name}");
        assert_eq!(error.cause.class(), Class::Select);
        assert_eq!(error.to_string(), format!("{}: no such file or directory", typed.display()));
    }
    // Beside another that can be sent it is left out and said.
    let two = sources(&[&top.path().join("none"), &top.path().join("f")]).unwrap();
    let items: Vec<_> = two.walk().collect();
    assert!(matches!(&items[0], WalkItem::Skipped { path, error: SourceError::Missing } if path.ends_with("none")));
    assert!(matches!(&items[1], WalkItem::Entry { .. }) && items.len() == 2);
    let error = sources(&[&top.path().join("none"), &top.path().join("no")]).unwrap_err();
    assert!(error.path.ends_with("none"));
    assert!(matches!(sources(&[Path::new("")]).unwrap_err().cause, SourceError::Missing));
    // A slash says directory.
    assert!(matches!(sources(&[&top.path().join("f/")]).unwrap_err().cause, SourceError::Unreadable(_)));
    assert_eq!(sources(&[]).unwrap().totals(), Totals::default());
}

#[test]
fn a_typed_link_stands_for_what_it_leads_to() {
    let top = tree(&["d/", "d/x", "file", "l -> d", "current -> file"]);
    let (sent, skipped) = walked(&sources(&[&top.path().join("l"), &top.path().join("current")]).unwrap());
    assert_eq!(sent, ["l", "l/x", "current"]);
    assert!(skipped.is_empty());
    let found = entries(&sources(&[&top.path().join("current")]).unwrap());
    let (entry, path) = &found[&b"current"[..]];
    assert_eq!(entry.kind, Kind::File { size: 4 });
    let mut buffer = [0; 4];
    SourceFile::open(path, 4, entry.meta.mtime).unwrap().read_exact_at(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"file");
}

#[test]
fn links_are_kept_where_they_stay_below() {
    let top = tree(&[
        "d/",
        "d/e/",
        "a -> d/e",
        "d/e/in -> ../../d/f",
        "d/broken -> nothing",
        "d/e/out -> ../../../x",
        "d/absolute -> /etc/passwd",
        "d/up -> e/../e",
    ]);
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["a", "d", "d/broken", "d/e", "d/e/in"]);
    assert_eq!(skipped.len(), 3);
    for ((path, error), expected) in skipped.iter().zip(["d/absolute", "d/e/out", "d/up"]) {
        assert!(matches!(error, SourceError::LinkOutside));
        assert_eq!(error.class(), Class::Partial);
        assert_eq!(path, &top.path().join(expected));
    }
    let found = entries(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(found[&b"a"[..]].0.kind, Kind::Symlink { target: b"d/e".to_vec() });
    // The root of the transfer is one higher when the directory goes by its name.
    let (sent, _) = walked(&sources(&[&top.path().join("d")]).unwrap());
    assert!(sent.contains(&"d/e/in".to_owned()));
}

#[test]
fn bytes_modes_and_times_are_told_as_they_are() {
    let top = tempfile::tempdir().unwrap();
    let odd = top.path().join(OsStr::from_bytes(b"\xff odd"));
    fs::write(&odd, "12345").unwrap();
    fs::set_permissions(&odd, PermissionsExt::from_mode(0o4751)).unwrap();
    let before = std::time::UNIX_EPOCH - std::time::Duration::new(1, 1);
    File::options().write(true).open(&odd).unwrap().set_modified(before).unwrap();
    let found = entries(&sources(&[&contents(top.path())]).unwrap());
    let (entry, path) = &found[&b"\xff odd"[..]];
    assert_eq!((entry.kind.clone(), entry.meta.mode), (Kind::File { size: 5 }, 0o751));
    assert_eq!(entry.meta.mtime, FileTime { seconds: -2, nanoseconds: 999_999_999 });
    SourceFile::open(path, 5, entry.meta.mtime).unwrap();
}

#[test]
fn what_cannot_be_named_is_skipped_with_all_that_is_in_it() {
    let top = tree(&["bad\n/", "bad\n/x", "bad\n/sub/", "bad\n/sub/y", "d/", "d/\u{1b}[2J", "d/x", "z"]);
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["d", "d/x", "z"]);
    assert_eq!(skipped.len(), 2);
    assert!(skipped.iter().all(|(_, error)| matches!(error, SourceError::Name(NameError::Control))));
    assert_eq!(skipped[0].0, top.path().join("bad\n"));
    let error = sources(&[&top.path().join("bad\n")]).unwrap_err();
    assert!(matches!(error.cause, SourceError::Name(NameError::Control)));
    assert_eq!((error.cause.class(), error.class()), (Class::Partial, Class::Select));
}

#[test]
fn what_is_too_deep_is_skipped() {
    let depth = crate::manifest::MAX_DEPTH;
    let top = tree(&[&"d/".repeat(depth + 3), "z"]);
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent.len(), depth + 1);
    assert_eq!(sent[depth], "z");
    assert!(matches!(skipped[..], [(_, SourceError::Name(NameError::TooLong))]));
    assert_eq!(skipped[0].0, top.path().join("d/".repeat(depth + 1)));
}

#[test]
fn unfinished_files_of_an_earlier_run_are_skipped_at_the_top_only() {
    let top = tree(&[".resilient-partial/", ".resilient-partial/p", "d/", "d/.resilient-partial"]);
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["d", "d/.resilient-partial"]);
    assert!(matches!(skipped[..], [(_, SourceError::Reserved)]));
}

#[test]
fn a_directory_that_may_not_be_read_is_skipped_and_the_others_go_on() {
    if rustix::process::geteuid().is_root() {
        // Nothing is unreadable to root.
        return;
    }
    let top = tree(&["a/", "a/x", "b/", "b/x", "c"]);
    fs::set_permissions(top.path().join("a"), PermissionsExt::from_mode(0o000)).unwrap();
    fs::set_permissions(top.path().join("c"), PermissionsExt::from_mode(0o000)).unwrap();
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["a", "b", "b/x", "c"]);
    assert!(matches!(&skipped[..], [(path, SourceError::Unreadable(_))] if *path == top.path().join("a")));
    assert!(matches!(opened(&top, "c").0, Err(SourceError::Unreadable(_))));
    fs::set_permissions(top.path().join("a"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_that_vanishes_before_it_is_read_is_said_and_the_others_go_on() {
    let top = tree(&["a/", "a/x", "b/", "b/x", "c"]);
    let sources = sources(&[&contents(top.path()), &top.path().join("a/x")]).unwrap();
    let mut walk = sources.walk();
    let first = walk.next().unwrap();
    assert!(matches!(&first, WalkItem::Entry { entry, .. } if entry.name.as_bytes() == b"a"));
    fs::remove_dir_all(top.path().join("b")).unwrap();
    let rest: Vec<String> = walk
        .map(|item| match item {
            WalkItem::Entry { tree, .. } => String::from_utf8(tree.to_bytes()).unwrap(),
            WalkItem::Skipped { path, error } => {
                assert_eq!(path, top.path().join("b"));
                assert_eq!(error.class(), Class::Vanished);
                "-".to_owned()
            }
            WalkItem::Excluded { .. } => panic!("nothing is excluded"),
        })
        .collect();
    assert_eq!(rest, ["a/x", "-", "c", "x"]);

    // A whole source that is gone when its turn comes.
    let gone = self::sources(&[&top.path().join("a"), &top.path().join("c")]).unwrap();
    fs::remove_dir_all(top.path().join("a")).unwrap();
    let (sent, skipped) = walked(&gone);
    assert_eq!(sent, ["c"]);
    assert!(matches!(&skipped[..], [(path, SourceError::Vanished)] if *path == top.path().join("a")));
}
