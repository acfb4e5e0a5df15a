//! What must not be reached is not reached, by either way of resolving.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

fn path(text: &str) -> TreePath {
    text.split('/').fold(TreePath::ROOT, |path, name| path.join(Name::new(name).unwrap()).unwrap())
}

#[test]
fn both_ways_of_resolving_agree() {
    let outer = tempfile::tempdir().unwrap();
    let top = outer.path().join("top");
    std::fs::create_dir_all(top.join("a/b")).unwrap();
    std::fs::write(top.join("a/b/file"), "x").unwrap();
    std::fs::write(outer.path().join("secret"), "x").unwrap();
    symlink("b", top.join("a/inside")).unwrap();
    symlink("..", top.join("up")).unwrap();
    symlink("/", top.join("absolute")).unwrap();
    symlink("b/file", top.join("a/last")).unwrap();
    let root = Root::open(&top).unwrap();
    for (path, expected) in [
        ("a", Ok(())),
        ("a/b/file", Ok(())),
        ("a//b/file", Ok(())),
        ("a/none", Err(Errno::NOENT)),
        ("a/b/file/x", Err(Errno::NOTDIR)),
        ("a/inside/file", Err(Errno::LOOP)),
        ("up/secret", Err(Errno::LOOP)),
        ("absolute/etc", Err(Errno::LOOP)),
        ("a/last", Err(Errno::LOOP)),
        ("../secret", Err(Errno::LOOP)),
    ] {
        for way in [open_below, walk_below] {
            let result = way(root.as_fd(), path.as_bytes(), OFlags::RDONLY).map(drop);
            // A link in the middle is "no directory" to one and "a link" to the other; both are refusals of the same kind.
            let result =
                result.map_err(|e| if expected == Err(Errno::LOOP) && e == Errno::NOTDIR { Errno::LOOP } else { e });
            assert_eq!(result, expected, "{path}");
        }
    }
}

#[test]
fn paths_too_long_for_one_call_are_walked() {
    let top = tempfile::tempdir().unwrap();
    let root = Root::open(top.path()).unwrap();
    let name = Name::new([b'x'; 250]).unwrap();
    let mut deep = TreePath::ROOT;
    for _ in 0..16 {
        deep = deep.join(name.clone()).unwrap();
        root.at(&deep, |directory, name| mkdirat(directory, name, Mode::RWXU)).unwrap();
    }
    let deep = deep.join(Name::new([b'y'; 80]).unwrap()).unwrap();
    root.at(&deep, |directory, name| mkdirat(directory, name, Mode::RWXU)).unwrap();
    assert!(deep.to_bytes().len() > 4090);
    let long = [deep.to_bytes(), b"/././././.".to_vec()].concat();
    assert_eq!(open_below(root.as_fd(), &long, PASSAGE).map(drop), Err(Errno::LOOP));
    assert!(open_below(root.as_fd(), &[&b"//////////"[..], &deep.to_bytes()].concat()[1..], PASSAGE).is_ok());
    assert!(root.directory(deep.names()).is_ok());
}

#[test]
fn a_bounded_number_of_directories_is_held() {
    let top = tempfile::tempdir().unwrap();
    let root = Root::open(top.path()).unwrap();
    for i in 0..HELD_DIRECTORIES + 10 {
        std::fs::create_dir(top.path().join(i.to_string())).unwrap();
        root.at(&path(&format!("{i}/x")), |directory, name| mkdirat(directory, name, Mode::RWXU)).unwrap();
        // Used all the time, so never the one to go.
        root.directory(path("0").names()).unwrap();
    }
    assert_eq!(root.held(), HELD_DIRECTORIES);
    assert!(root.held.lock().unwrap().directories.contains_key(path("0").names()));
    assert!(top.path().join(format!("{}/x", HELD_DIRECTORIES + 9)).is_dir());
}

#[test]
fn a_directory_that_was_deleted_and_made_again_is_found() {
    let top = tempfile::tempdir().unwrap();
    let root = Root::open(top.path()).unwrap();
    std::fs::create_dir(top.path().join("d")).unwrap();
    root.directory(path("d").names()).unwrap();
    std::fs::remove_dir(top.path().join("d")).unwrap();
    let make = || root.at(&path("d/x"), |directory, name| mkdirat(directory, name, Mode::RWXU));
    assert!(matches!(make(), Err(DiskError::Io(e)) if e.kind() == io::ErrorKind::NotFound));
    std::fs::create_dir(top.path().join("d")).unwrap();
    make().unwrap();
    assert!(top.path().join("d/x").is_dir());
}

#[test]
fn a_held_directory_that_is_swapped_for_a_link_is_not_left() {
    let top = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let root = Root::open(top.path()).unwrap();
    std::fs::create_dir(top.path().join("d")).unwrap();
    root.directory(path("d").names()).unwrap();
    std::fs::rename(top.path().join("d"), top.path().join("moved")).unwrap();
    symlink(outside.path(), top.path().join("d")).unwrap();
    root.at(&path("d/x"), |directory, name| mkdirat(directory, name, Mode::RWXU)).unwrap();
    assert!(top.path().join("moved/x").is_dir());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn permissions_of_a_link_are_not_those_of_its_target() {
    let top = tempfile::tempdir().unwrap();
    let root = Root::open(top.path()).unwrap();
    std::fs::write(top.path().join("file"), "").unwrap();
    std::fs::set_permissions(top.path().join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("file", top.path().join("link")).unwrap();
    let chmod = |name: &[u8], mode| chmod_no_follow(root.as_fd(), name, Mode::from_raw_mode(mode));
    let mode = || std::fs::metadata(top.path().join("file")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(chmod(b"link", 0o777), Err(Errno::LOOP));
    assert_eq!(mode(), 0o640);
    // Without permission to read it first, then again.
    chmod(b"file", 0).unwrap();
    assert_eq!(mode(), 0);
    chmod(b"file", 0o604).unwrap();
    assert_eq!(mode(), 0o604);
}

#[test]
fn errors_of_the_system_become_words_of_the_seam() {
    assert!(matches!(disk_error(Errno::NOSPC), DiskError::NoSpace));
    assert!(matches!(disk_error(Errno::DQUOT), DiskError::NoSpace));
    assert!(matches!(disk_io_error(io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error())), DiskError::NoSpace));
    assert!(matches!(disk_error(Errno::EXIST), DiskError::Exists));
    assert!(matches!(disk_error(Errno::LOOP), DiskError::NotDirectory));
    assert!(matches!(disk_io_error(io::ErrorKind::UnexpectedEof.into()), DiskError::Io(_)));
}
