//! Files that are not, or do not stay, what was listed.

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn a_fifo_never_holds_anybody_up() {
    let top = tree(&["f"]);
    let fifo = fs::canonicalize(top.path()).unwrap().join("p");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(top.path().join("s")).unwrap();
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert_eq!(sent, ["f"]);
    assert_eq!(skipped.len(), 2);
    assert!(skipped.iter().all(|(_, error)| matches!(error, SourceError::Special)));
    assert!(matches!(sources(&[&fifo]).unwrap_err().cause, SourceError::Special));
    assert!(matches!(sources(&[Path::new("/dev/null")]).unwrap_err().cause, SourceError::Special));
    // It has come after the listing.
    for special in ["p", "s"] {
        let path = fifo.with_file_name(special);
        assert!(matches!(SourceFile::open(&path, 0, FileTime::default()), Err(SourceError::Special)));
    }
}

/// It would arrive empty, and nobody would know.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_only_says_it_is_empty_is_not_sent_as_empty() {
    let top = tree(&["f"]);
    File::create(top.path().join("empty")).unwrap();
    let (sent, skipped) = walked(&sources(&[Path::new("/proc/version"), &contents(top.path())]).unwrap());
    assert_eq!(sent, ["empty", "f"]);
    assert!(matches!(&skipped[..], [(path, SourceError::Unsized)] if path == Path::new("/proc/version")));
    assert_eq!(skipped[0].1.class(), Class::Partial);
}

#[test]
fn a_file_is_read_as_it_was_announced() {
    let top = tree(&["file", "empty"]);
    fs::write(top.path().join("empty"), "").unwrap();
    let (file, _) = opened(&top, "file");
    let file = file.unwrap();
    assert_eq!(file.size(), 4);
    let mut buffer = [0; 2];
    file.read_exact_at(2, &mut buffer).unwrap();
    assert_eq!(&buffer, b"le");
    file.read_exact_at(4, &mut []).unwrap();
    assert!(file.unchanged());
    let (empty, _) = opened(&top, "empty");
    assert!(matches!(empty.unwrap().read_exact_at(0, &mut [0]), Err(SourceError::Changed)));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_has_changed() {
    let top = tree(&["file"]);
    let (file, path) = opened(&top, "file");
    let file = file.unwrap();
    File::options().write(true).open(path).unwrap().set_len(3).unwrap();
    let error = file.read_exact_at(0, &mut [0; 4]).unwrap_err();
    assert!(matches!(error, SourceError::Changed));
    assert_eq!(error.class(), Class::Vanished);
    assert!(!file.unchanged());
}

#[test]
fn a_file_that_was_written_again_with_its_old_time_has_changed() {
    let top = tree(&["file"]);
    let (file, path) = opened(&top, "file");
    let file = file.unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    let changed = |writer: &File| {
        let metadata = writer.metadata().unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let (time, first) = (writer.metadata().unwrap().modified().unwrap(), changed(&writer));
    // Until the clock of the file system has gone on, which is what the promise depends on.
    while changed(&writer) == first {
        fs::write(&path, "FILE").unwrap();
        writer.set_modified(time).unwrap();
    }
    assert_eq!(writer.metadata().unwrap().modified().unwrap(), time);
    assert!(!file.unchanged());
}

#[test]
fn a_file_that_is_not_the_announced_one_is_not_read() {
    let top = tree(&["file", "d/", "d/x"]);
    let found = entries(&sources(&[&contents(top.path())]).unwrap());
    let (entry, path) = &found[&b"file"[..]];
    let FileTime { seconds, nanoseconds } = entry.meta.mtime;
    let other = FileTime { seconds: seconds + 1, nanoseconds };
    assert!(matches!(SourceFile::open(path, 5, entry.meta.mtime), Err(SourceError::Changed)));
    assert!(matches!(SourceFile::open(path, 4, other), Err(SourceError::Changed)));
    assert!(matches!(SourceFile::open(path.parent().unwrap(), 4, other), Err(SourceError::Special)));
    fs::remove_file(path).unwrap();
    assert!(matches!(SourceFile::open(path, 4, entry.meta.mtime), Err(SourceError::Vanished)));
}

#[test]
fn a_link_that_takes_the_place_of_a_file_or_a_directory_is_not_followed() {
    let top = tree(&["file", "d/", "d/x"]);
    // The same size and time as the one that was listed: only the way to it differs.
    let outside = tempfile::tempdir().unwrap();
    let found = entries(&sources(&[&contents(top.path())]).unwrap());
    for name in ["file", "d/x"] {
        let (entry, path) = &found[name.as_bytes()];
        SourceFile::open(path, entry.size(), entry.meta.mtime).unwrap();
        let moved = outside.path().join(path.file_name().unwrap());
        fs::rename(path, &moved).unwrap();
        if name == "file" {
            symlink(&moved, path).unwrap();
        } else {
            fs::remove_dir(path.parent().unwrap()).unwrap();
            symlink(outside.path(), path.parent().unwrap()).unwrap();
        }
        assert_eq!(fs::read(path).unwrap(), name.as_bytes());
        let result = SourceFile::open(path, entry.size(), entry.meta.mtime);
        assert!(matches!(result, Err(SourceError::Changed)), "{name}");
    }
}
