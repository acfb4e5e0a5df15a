//! The disk against a real file system: what it does, and what planted links and odd names cannot make it do.

mod hostile;

use super::*;
use crate::fs::disk::PARTIAL_DIR;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

fn path(text: &str) -> TreePath {
    text.split('/').fold(TreePath::ROOT, |path, part| path.join(name(part.as_bytes())).unwrap())
}

fn disk() -> (TempDir, RealDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    (directory, disk)
}

fn meta_of(mode: u32, seconds: i64, nanoseconds: u32) -> Meta {
    Meta { mode, mtime: FileTime { seconds, nanoseconds } }
}

/// Writes a file as a receiver does.
fn deliver(disk: &RealDisk, to: &TreePath, bytes: &[u8], replace: bool) -> Result<(), DiskError> {
    let mut partial = disk.create_partial("p", bytes.len() as u64)?;
    partial.write_at(0, bytes)?;
    partial.set_meta(meta_of(0o644, 1, 0))?;
    partial.sync()?;
    disk.publish("p", to, replace)?;
    disk.sync_dir(&to.split_last().unwrap().0)
}

/// The names in the directory of partial files.
fn partials(directory: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(directory.path().join(PARTIAL_DIR)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_file_is_built_in_any_order_and_published() {
    let (directory, disk) = disk();
    let mut partial = disk.create_partial("1.part", 10).unwrap();
    let made = fs::metadata(directory.path().join(PARTIAL_DIR).join("1.part")).unwrap();
    assert_eq!((made.len(), made.mode() & 0o7777), (10, 0o600));
    let holding = fs::metadata(directory.path().join(PARTIAL_DIR)).unwrap();
    assert_eq!(holding.mode() & 0o7777, 0o700);
    partial.write_at(5, b"world").unwrap();
    partial.write_at(0, b"hello").unwrap();
    let mut back = [0; 4];
    partial.read_exact_at(3, &mut back).unwrap();
    assert_eq!(&back, b"lowo");
    let meta = meta_of(0o6754, 1_234_567, 987_654_321);
    partial.set_meta(meta).unwrap();
    partial.sync().unwrap();
    assert_eq!(disk.look(&path("a b")).unwrap(), None);
    disk.publish("1.part", &path("a b"), false).unwrap();
    disk.sync_dir(&TreePath::ROOT).unwrap();

    assert_eq!(fs::read(directory.path().join("a b")).unwrap(), b"helloworld");
    let made = fs::metadata(directory.path().join("a b")).unwrap();
    // Setuid and setgid were asked for.
    assert_eq!(made.mode() & 0o7777, 0o754);
    let meta = Meta { mode: 0o754, ..meta };
    assert_eq!(disk.look(&path("a b")).unwrap(), Some(Found::File { size: 10, meta }));
    let mut reader = disk.open(&path("a b")).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(reader.read_at(8, &mut buffer).unwrap(), 2);
    assert_eq!(reader.read_at(10, &mut buffer).unwrap(), 0);

    disk.remove_partial_dir().unwrap();
    assert!(!directory.path().join(PARTIAL_DIR).exists());
    disk.remove_partial_dir().unwrap();
    disk.remove_partial("1.part").unwrap();
    // The next one makes the directory anew.
    deliver(&disk, &path("second"), b"", false).unwrap();
    assert_eq!(fs::metadata(directory.path().join("second")).unwrap().len(), 0);
}

#[test]
fn any_bytes_that_are_a_name_are_a_name() {
    let (directory, disk) = disk();
    let long = [b'n'; 255];
    for bytes in [&b"two words"[..], b" ", b"-rf", b"\xff\xfe", "\u{fc}".as_bytes(), b"back\\slash", b"*?[", &long] {
        let to = TreePath::ROOT.join(name(bytes)).unwrap();
        deliver(&disk, &to, bytes, false).unwrap();
        let real = directory.path().join(std::ffi::OsStr::from_bytes(bytes));
        assert_eq!(fs::read(real).unwrap(), bytes);
    }
}

#[test]
fn the_deepest_path_can_be_written() {
    let (directory, disk) = disk();
    let mut deep = TreePath::ROOT;
    for _ in 1..crate::manifest::MAX_DEPTH {
        deep = deep.join(name(b"d")).unwrap();
        disk.make_dir(&deep, 0o700).unwrap();
        disk.make_dir(&deep, 0o700).unwrap();
    }
    let file = deep.join(name(b"f")).unwrap();
    deliver(&disk, &file, b"deep", false).unwrap();
    let real = directory.path().join("d/".repeat(crate::manifest::MAX_DEPTH - 1)).join("f");
    assert_eq!(fs::read(real).unwrap(), b"deep");
}

#[test]
fn a_link_is_made_as_it_was_sent() {
    let (directory, disk) = disk();
    disk.make_symlink(&path("l"), b"not/there \xff", false).unwrap();
    assert_eq!(fs::read_link(directory.path().join("l")).unwrap().as_os_str().as_bytes(), b"not/there \xff");
    assert_eq!(disk.read_link(&path("l")).unwrap(), b"not/there \xff");
    assert!(disk.make_symlink(&path("m"), b"nul\0", false).is_err());
    assert!(disk.make_symlink(&path("m"), b"", false).is_err());
    assert_eq!(disk.look(&path("m")).unwrap(), None);
}

#[test]
fn nothing_is_replaced_unless_that_is_said() {
    let (directory, disk) = disk();
    deliver(&disk, &path("f"), b"one", false).unwrap();
    assert!(matches!(deliver(&disk, &path("f"), b"two", false), Err(DiskError::Exists)));
    assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"one");
    deliver(&disk, &path("f"), b"three", true).unwrap();
    assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"three");
    // Said, but nothing is there; and what is no file is never replaced.
    deliver(&disk, &path("g"), b"", true).unwrap();
    disk.make_dir(&path("d"), 0o700).unwrap();
    assert!(matches!(deliver(&disk, &path("d"), b"x", true), Err(DiskError::Exists)));
    assert!(matches!(disk.publish("p", &TreePath::ROOT, true), Err(DiskError::Exists)));
    assert_eq!(partials(&directory).len(), 1);
    disk.remove_partial_dir().unwrap();
    assert_eq!(partials(&directory).len(), 1);
    disk.remove_partial("p").unwrap();
    disk.remove_partial_dir().unwrap();
    assert!(!directory.path().join(PARTIAL_DIR).exists());
}

#[test]
fn the_hard_link_way_of_publishing_is_as_strict() {
    let (directory, disk) = disk();
    fs::write(directory.path().join("from"), "x").unwrap();
    let root = disk.root.as_fd();
    link_to_free(root, b"from", root, b"to").unwrap();
    assert_eq!(fs::read(directory.path().join("to")).unwrap(), b"x");
    assert!(!directory.path().join("from").exists());
    fs::write(directory.path().join("from"), "y").unwrap();
    assert_eq!(link_to_free(root, b"from", root, b"to"), Err(Errno::EXIST));
    symlink("nowhere", directory.path().join("link")).unwrap();
    assert_eq!(link_to_free(root, b"from", root, b"link"), Err(Errno::EXIST));
    assert_eq!(fs::read(directory.path().join("to")).unwrap(), b"x");
}

#[test]
fn a_directory_gets_its_mode_at_the_end_and_can_be_written_until_then() {
    let (directory, disk) = disk();
    let mode = || fs::metadata(directory.path().join("d")).unwrap().mode() & 0o7777;
    disk.make_dir(&path("d"), 0o700).unwrap();
    assert_eq!(mode(), 0o700);
    deliver(&disk, &path("d/f"), b"x", false).unwrap();
    for last in [0o500, 0o300, 0] {
        disk.set_meta(&path("d"), meta_of(last, 77, 5)).unwrap();
        disk.sync_dir(&path("d")).unwrap();
        let made = fs::metadata(directory.path().join("d")).unwrap();
        assert_eq!((mode(), made.mtime(), made.mtime_nsec()), (last, 77, 5));
        // The same transfer again.
        disk.make_dir(&path("d"), 0o700).unwrap();
        assert_eq!(mode(), 0o700 | last);
        deliver(&disk, &path("d/f"), b"y", true).unwrap();
    }
    // Whatever the sender says, and the next run finds it so if this one is cut off: its owner can write to it, and the umask holds.
    fs::create_dir(directory.path().join("plain")).unwrap();
    let of = |name: &str| fs::metadata(directory.path().join(name)).unwrap().mode() & 0o7777;
    disk.make_dir(&path("e"), 0o6077).unwrap();
    assert_eq!(of("e"), 0o700 | 0o077 & of("plain"));
    disk.set_meta(&TreePath::ROOT, meta_of(0o7711, 5, 0)).unwrap();
    let root = fs::metadata(directory.path()).unwrap();
    assert_eq!((root.mode() & 0o7777, root.mtime()), (0o711, 5));
}

#[test]
fn times_are_kept_to_the_nanosecond_and_from_before_1970() {
    let (directory, disk) = disk();
    for (seconds, nanoseconds) in [(0, 1), (-1, 999_999_999), (-1_000_000_000, 123_456_789), (4_000_000_000, 0)] {
        let meta = meta_of(0o600, seconds, nanoseconds);
        deliver(&disk, &path("f"), b"x", true).unwrap();
        disk.set_meta(&path("f"), meta).unwrap();
        assert_eq!(disk.look(&path("f")).unwrap(), Some(Found::File { size: 1, meta }));
        let mut partial = disk.create_partial("q", 1).unwrap();
        partial.set_meta(meta).unwrap();
        partial.sync().unwrap();
        let made = fs::metadata(directory.path().join(PARTIAL_DIR).join("q")).unwrap();
        assert_eq!((made.mtime(), made.mtime_nsec()), (seconds, nanoseconds.into()));
    }
    // Values that the system takes for "now" and "leave it".
    for nanoseconds in [1_000_000_000, (1 << 30) - 1, (1 << 30) - 2, u32::MAX] {
        assert!(disk.set_meta(&path("f"), meta_of(0o777, 0, nanoseconds)).is_err());
        assert!(disk.create_partial("q", 1).unwrap().set_meta(meta_of(0o777, 0, nanoseconds)).is_err());
    }
    assert_eq!(fs::metadata(directory.path().join("f")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn what_is_missing_or_of_another_kind_is_told() {
    let (directory, disk) = disk();
    deliver(&disk, &path("f"), b"x", false).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(directory.path().join("s")).unwrap();
    assert!(matches!(disk.look(&TreePath::ROOT).unwrap(), Some(Found::Directory { .. })));
    assert_eq!(disk.look(&path("none")).unwrap(), None);
    assert_eq!(disk.look(&path("none/none")).unwrap(), None);
    assert!(matches!(disk.look(&path("f/x")), Err(DiskError::NotDirectory)));
    assert_eq!(disk.look(&path("s")).unwrap(), Some(Found::Special));
    assert!(disk.open(&path("s")).is_err());
    assert!(disk.set_meta(&path("s"), meta_of(0o777, 0, 0)).is_err());
    assert!(disk.set_meta(&path("none"), meta_of(0o777, 0, 0)).is_err());
    assert!(matches!(disk.make_dir(&path("f"), 0o700), Err(DiskError::Exists)));
    assert!(disk.make_dir(&path("none/none"), 0o700).is_err());
    disk.make_dir(&path("d"), 0o700).unwrap();
    assert!(disk.open(&path("d")).is_err());
    assert!(disk.open(&TreePath::ROOT).is_err());
    assert!(disk.publish("none", &path("g"), false).is_err());
    drop(socket);
}

#[test]
fn only_the_last_component_of_the_destination_is_made() {
    let top = tempfile::tempdir().unwrap();
    assert!(RealDisk::open(&top.path().join("a/b")).is_err());
    assert!(!top.path().join("a").exists());
    drop(RealDisk::open(&top.path().join("a/")).unwrap());
    symlink("a", top.path().join("link")).unwrap();
    let disk = RealDisk::open(&top.path().join("link/b")).unwrap();
    deliver(&disk, &path("f"), b"x", false).unwrap();
    assert_eq!(fs::read(top.path().join("a/b/f")).unwrap(), b"x");
    drop(RealDisk::open(&top.path().join("link")).unwrap());
    let error = RealDisk::open(&top.path().join("a/b/f")).map(drop).unwrap_err();
    assert!(matches!(&error, DiskError::Io(error) if error.kind() == io::ErrorKind::NotADirectory), "{error}");
    symlink("nowhere", top.path().join("dangling")).unwrap();
    assert!(RealDisk::open(&top.path().join("dangling")).is_err());
    assert!(RealDisk::open(Path::new("")).is_err());
}
