//! What planted links, taken names and absurd sizes cannot make the disk do.

use super::*;
use std::ffi::OsStr;

#[test]
fn no_operation_goes_through_a_link_in_the_path() {
    let (directory, disk) = disk();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "old").unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    let before = fs::metadata(outside.path().join("victim")).unwrap();
    symlink(outside.path(), directory.path().join("link")).unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    symlink("../link", directory.path().join("real/inner")).unwrap();
    for through in ["link/victim", "link/sub/new", "real/inner/victim", "real/inner/new"] {
        let to = path(through);
        let refused = |result: Result<(), DiskError>| {
            assert!(matches!(result, Err(DiskError::NotDirectory)), "{through}");
        };
        refused(disk.look(&to).map(drop));
        refused(disk.read_link(&to).map(drop));
        refused(disk.open(&to).map(drop));
        refused(disk.make_dir(&to, 0o700));
        refused(disk.make_symlink(&to, b"x", false));
        refused(disk.set_meta(&to, meta_of(0o777, 0, 0)));
        refused(deliver(&disk, &to, b"new", false));
        refused(deliver(&disk, &to, b"new", true));
        refused(disk.sync_dir(&to.split_last().unwrap().0));
    }
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"old");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2);
    assert_eq!(fs::read_dir(outside.path().join("sub")).unwrap().count(), 0);
    let after = fs::metadata(outside.path().join("victim")).unwrap();
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
}

#[test]
fn no_operation_follows_a_link_at_the_end() {
    let (directory, disk) = disk();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "old").unwrap();
    fs::set_permissions(&victim, PermissionsExt::from_mode(0o640)).unwrap();
    let before = fs::metadata(&victim).unwrap();
    symlink(&victim, directory.path().join("file")).unwrap();
    symlink(outside.path(), directory.path().join("dir")).unwrap();
    for link in ["file", "dir"] {
        let to = path(link);
        assert_eq!(disk.look(&to).unwrap(), Some(Found::Symlink));
        assert!(matches!(disk.open(&to).map(drop), Err(DiskError::NotDirectory)));
        assert!(matches!(disk.make_dir(&to, 0o700), Err(DiskError::Exists)));
        assert!(matches!(disk.make_symlink(&to, b"x", false), Err(DiskError::Exists)));
        assert!(matches!(deliver(&disk, &to, b"new", false), Err(DiskError::Exists)));
        assert!(matches!(disk.sync_dir(&to), Err(DiskError::NotDirectory)));
        disk.set_meta(&to, meta_of(0o777, -5, 7)).unwrap();
        let own = fs::symlink_metadata(directory.path().join(link)).unwrap();
        assert_eq!((own.mtime(), own.mtime_nsec()), (-5, 7));
    }
    assert_eq!(disk.read_link(&path("file")).unwrap(), victim.as_os_str().as_bytes());
    // What is replaced is the link, not what it leads to.
    deliver(&disk, &path("file"), b"new", true).unwrap();
    disk.make_symlink(&path("dir"), b"file", true).unwrap();
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"new");
    assert_eq!(disk.read_link(&path("dir")).unwrap(), b"file");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(partials(&directory).is_empty());
    assert_eq!(fs::read(&victim).unwrap(), b"old");
    let after = fs::metadata(&victim).unwrap();
    assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()));
}

#[test]
fn a_planted_partial_directory_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let (directory, disk) = disk();
    let planted = directory.path().join(PARTIAL_DIR);
    symlink(outside.path(), &planted).unwrap();
    let refused = |done: Result<(), DiskError>| matches!(done.unwrap_err().root(), DiskError::NotDirectory);
    assert!(refused(disk.create_partial("p", 1).map(drop)));
    assert!(refused(disk.remove_partial("p")));
    assert!(refused(disk.publish("p", &path("f"), false)));
    disk.remove_partial_dir().unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    fs::remove_file(&planted).unwrap();

    fs::write(&planted, "").unwrap();
    assert!(refused(disk.create_partial("p", 1).map(drop)));
    fs::remove_file(&planted).unwrap();

    // Our own from an earlier run, too open: closed before anything is put there.
    fs::create_dir(&planted).unwrap();
    fs::set_permissions(&planted, PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("victim"), "old").unwrap();
    symlink(outside.path().join("victim"), planted.join("p")).unwrap();
    let mut partial = disk.create_partial("p", 3).unwrap();
    partial.write_at(0, b"new").unwrap();
    assert_eq!(fs::metadata(&planted).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"old");
    assert_eq!(fs::read(planted.join("p")).unwrap(), b"new");
}

#[test]
fn the_partial_directory_is_no_part_of_the_tree() {
    let (directory, disk) = disk();
    deliver(&disk, &path("f"), b"x", false).unwrap();
    for reserved in [".resilient-partial", ".Resilient-PARTIAL", ".resilient-partial/p"] {
        let to = path(reserved);
        assert!(disk.look(&to).is_err());
        assert!(disk.make_dir(&to, 0o700).is_err());
        assert!(disk.make_symlink(&to, b"x", false).is_err());
        assert!(disk.set_meta(&to, meta_of(0o777, 0, 0)).is_err());
        assert!(deliver(&disk, &to, b"x", true).is_err());
    }
    // Only at the top is the name taken.
    disk.make_dir(&path("d"), 0o700).unwrap();
    disk.make_dir(&path("d/.resilient-partial"), 0o700).unwrap();
    assert_eq!(fs::metadata(directory.path().join(PARTIAL_DIR)).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn partial_names_are_plain() {
    let (_directory, disk) = disk();
    for bad in ["", ".", "..", "a/b", "../x", "/x", "nul\0"] {
        assert!(disk.create_partial(bad, 1).is_err());
        assert!(disk.remove_partial(bad).is_err());
        assert!(disk.publish(bad, &path("f"), false).is_err());
    }
}

#[test]
fn nothing_is_written_outside_of_the_declared_size() {
    let (directory, disk) = disk();
    let mut partial = disk.create_partial("p", 4).unwrap();
    for (offset, length) in [(0, 5), (4, 1), (3, 2), (u64::MAX, 1), (u64::MAX - 1, 4)] {
        assert!(partial.write_at(offset, &[1; 8][..length]).is_err());
        assert!(partial.read_exact_at(offset, &mut [1; 8][..length]).is_err());
    }
    partial.write_at(4, b"").unwrap();
    assert_eq!(fs::read(directory.path().join(PARTIAL_DIR).join("p")).unwrap(), [0; 4]);
    partial.write_at(0, b"full").unwrap();
    // Another run does not take away what this one still writes, and an old one of that name leaves nothing behind.
    assert!(RealDisk::open(directory.path()).unwrap().create_partial("p", 2).is_err());
    drop(partial);
    drop(disk.create_partial("p", 2).unwrap());
    assert_eq!(fs::read(directory.path().join(PARTIAL_DIR).join("p")).unwrap(), [0; 2]);
}

#[test]
fn a_size_that_no_disk_has_is_refused_and_leaves_nothing() {
    let (directory, disk) = disk();
    for size in [crate::manifest::MAX_FILE, u64::MAX] {
        assert!(disk.create_partial("p", size).is_err());
        assert!(partials(&directory).is_empty());
    }
}

/// A directory is replaced by nothing, whatever was said.
#[test]
fn a_directory_is_never_replaced() {
    let (directory, disk) = disk();
    disk.make_dir(&path("d"), 0o700).unwrap();
    fs::write(directory.path().join("d/kept"), "x").unwrap();
    assert!(matches!(deliver(&disk, &path("d"), b"new", true), Err(DiskError::Exists)));
    assert!(matches!(disk.make_symlink(&path("d"), b"x", true), Err(DiskError::Exists)));
    assert_eq!(fs::read(directory.path().join("d/kept")).unwrap(), b"x");
}

#[test]
fn leftovers_are_taken_away_unless_they_are_young_or_written() {
    let (directory, disk) = disk();
    let name = |number| format!("{}-{:016x}-{number:x}", "0".repeat(32), 7);
    let live = disk.create_partial(&name(1), 1).unwrap();
    drop(disk.create_partial(&name(2), 1).unwrap());
    fs::write(directory.path().join(PARTIAL_DIR).join("mine"), "x").unwrap();
    drop(RealDisk::open(directory.path()).unwrap().create_partial("proof", 0).unwrap());
    assert_eq!(partials(&directory).len(), 4, "young ones stay");
    let dir = File::open(directory.path().join(PARTIAL_DIR)).unwrap();
    partials::sweep(dir.as_fd(), u64::MAX);
    let mut left = partials(&directory);
    left.sort();
    let left: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(left, [&name(1), "mine", "proof"]);
    drop(live);
}

/// A run that is killed between making a link and giving it its name leaves it there.
#[test]
fn links_that_were_left_are_taken_away_like_files() {
    let (directory, disk) = disk();
    let live = disk.create_partial("p", 1).unwrap();
    let left = directory.path().join(PARTIAL_DIR).join(OsStr::from_bytes(&partials::passing_name()));
    symlink("target", &left).unwrap();
    fs::write(directory.path().join("target"), "x").unwrap();
    // A file of such a name is somebody else's.
    fs::write(directory.path().join(PARTIAL_DIR).join("link-1-2"), "x").unwrap();
    let dir = File::open(directory.path().join(PARTIAL_DIR)).unwrap();
    let now = fs::symlink_metadata(&left).unwrap().ctime() as u64;
    let month = 30 * 24 * 3600;
    partials::sweep(dir.as_fd(), now + month);
    assert_eq!(partials(&directory).len(), 3, "it is a month old, and not older");
    partials::sweep(dir.as_fd(), now + month + 60);
    assert!(partials(&directory).iter().any(|path| path.ends_with("link-1-2")));
    assert_eq!(partials(&directory).len(), 2);
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"x");
    drop(live);
}

#[test]
fn unfinished_files_may_be_kept_elsewhere() {
    let outer = tempfile::tempdir().unwrap();
    let (top, elsewhere) = (outer.path().join("top"), outer.path().join("elsewhere"));
    let disk = RealDisk::open_with(&top, PartialDir::At(elsewhere.clone())).unwrap();
    drop(disk.create_partial("p", 1).unwrap());
    assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o7777, 0o700);
    assert!(elsewhere.join("p").exists());
    disk.publish("p", &path("f"), false).unwrap();
    disk.remove_partial_dir().unwrap();
    assert!(top.join("f").exists() && elsewhere.exists());
    // One that others may enter, a link, one inside of the tree.
    fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(RealDisk::open_with(&top, PartialDir::At(elsewhere.clone())).unwrap().create_partial("p", 1).is_err());
    fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o700)).unwrap();
    symlink(&elsewhere, outer.path().join("link")).unwrap();
    let link = PartialDir::At(outer.path().join("link"));
    assert!(RealDisk::open_with(&top, link).unwrap().create_partial("p", 1).is_err());
    assert!(RealDisk::open_with(&top, PartialDir::At(top.join("inside"))).is_err());
}

#[test]
fn the_reserved_name_follows_the_choice() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open_with(directory.path(), PartialDir::Below(name(b".mine"))).unwrap();
    drop(disk.create_partial("p", 1).unwrap());
    assert!(directory.path().join(".mine/p").exists());
    for reserved in [".mine", ".MINE", ".resilient-partial"] {
        assert!(disk.make_dir(&path(reserved), 0o700).is_err());
        assert!(disk.set_meta(&path(&format!("{reserved}/p")), meta_of(0o777, 1, 0)).is_err());
    }
}
