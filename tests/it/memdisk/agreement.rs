//! The disk in memory answers as the disk of a machine: the same operations on both, the same answers and the same trees.

use super::*;
use proptest::prelude::*;
use resilient::fs::real::RealDisk;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn path(text: &str) -> TreePath {
    let names = text.split('/').filter(|name| !name.is_empty());
    names.fold(TreePath::ROOT, |path, name| path.join(Name::new(name).unwrap()).unwrap())
}

/// One call of the seam.
#[derive(Clone, Debug)]
enum Call {
    Look(&'static str),
    ReadLink(&'static str),
    Open(&'static str),
    MakeDir(&'static str),
    MakeSymlink(&'static str, &'static str, bool),
    /// Builds a partial file that size, of that byte, and lets go of it.
    Create(&'static str, u8, u8),
    /// Takes it up for that size and writes its last byte.
    Again(&'static str, u8),
    SyncPartials,
    Publish(&'static str, &'static str, bool),
    Remove(&'static str),
    RemoveDir,
    SetMeta(&'static str, u32, u32),
    SyncDir(&'static str),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let place = || {
        prop::sample::select(vec![
            "",
            "a",
            "b",
            "a/a",
            "a/b",
            "b/a",
            "a/a/a",
            "a/b/a",
            ".resilient-partial",
            ".resilient-partial/p",
        ])
    };
    let partial = || prop::sample::select(vec!["p", "q", "..", ""]);
    let target = prop::sample::select(vec!["a", "../b", "nowhere", "/", "", "\0"]);
    let nanoseconds = prop::sample::select(vec![0, 999_999_999, 1_000_000_000, u32::MAX]);
    let call = prop_oneof![
        1 => place().prop_map(Call::Look),
        1 => place().prop_map(Call::ReadLink),
        1 => place().prop_map(Call::Open),
        3 => place().prop_map(Call::MakeDir),
        1 => (place(), target, any::<bool>()).prop_map(|(at, target, replace)| Call::MakeSymlink(at, target, replace)),
        4 => (partial(), 0..20_u8, any::<u8>()).prop_map(|(name, size, fill)| Call::Create(name, size, fill)),
        2 => (partial(), 0..20_u8).prop_map(|(name, size)| Call::Again(name, size)),
        1 => Just(Call::SyncPartials),
        4 => (partial(), place(), any::<bool>()).prop_map(|(name, to, replace)| Call::Publish(name, to, replace)),
        1 => partial().prop_map(Call::Remove),
        1 => Just(Call::RemoveDir),
        1 => (place(), any::<u32>(), nanoseconds).prop_map(|(at, mode, time)| Call::SetMeta(at, mode | 0o700, time)),
        1 => place().prop_map(Call::SyncDir),
    ];
    prop::collection::vec(call, 0..60)
}

/// Does it again while a lock is held. A process that another test starts has the files of this one open for a moment.
fn free<T>(open: impl Fn() -> Result<T, DiskError>) -> Result<T, DiskError> {
    let is_locked = |result: &Result<T, DiskError>| {
        result.as_ref().is_err_and(|error| error.to_string().contains("another run receives this file"))
    };
    let tries = std::iter::repeat_with(|| {
        std::thread::yield_now();
        open()
    });
    tries.take(100_000).find(|result| !is_locked(result)).unwrap_or_else(open)
}

/// Makes the call and puts the answer in words; times are left out where the system's clock sets them.
fn answer(disk: &dyn Disk, call: &Call) -> String {
    let result = match call {
        Call::Look(at) => disk.look(&path(at)).map(|found| match found {
            Some(Found::File { size, meta }) => format!("file {size} {:o}", meta.mode),
            Some(Found::Directory { .. }) => "directory".to_string(),
            other => format!("{other:?}"),
        }),
        Call::ReadLink(at) => disk.read_link(&path(at)).map(|target| format!("{target:?}")),
        Call::Open(at) => disk.open(&path(at)).and_then(|mut file| {
            let mut buffer = [0; 8];
            let first = file.read_at(0, &mut buffer)?;
            let rest = file.read_at(8, &mut [0; 32])?;
            let none = file.read_at(u64::from(u32::MAX), &mut [0])?;
            Ok(format!("{buffer:?} {first} {rest} {none}"))
        }),
        Call::MakeDir(at) => disk.make_dir(&path(at), 0).map(|()| String::new()),
        Call::MakeSymlink(at, target, replace) => {
            disk.make_symlink(&path(at), target.as_bytes(), *replace).map(|()| String::new())
        }
        Call::Create(name, size, fill) => {
            free(|| disk.create_partial(name, u64::from(*size))).and_then(|mut partial| {
                let size = usize::from(*size);
                let mut back = vec![9; size];
                partial.read_exact_at(0, &mut back)?;
                partial.write_at(size as u64 / 2, &vec![*fill; size - size / 2])?;
                partial.set_meta(Meta { mode: 0o7000 | u32::from(*fill), mtime: FileTime::default() })?;
                partial.sync()?;
                let outside =
                    partial.write_at(size as u64, b"x").is_err() && partial.read_exact_at(1, &mut back).is_err();
                partial.extend(size as u64 / 3)?;
                partial.extend(size as u64 + 2)?;
                partial.write_at(size as u64, b"xy")?;
                partial.begin_sync();
                Ok(format!("{back:?} {outside}"))
            })
        }
        Call::Again(name, size) => free(|| disk.open_partial(name, u64::from(*size))).and_then(|mut partial| {
            let mut back = vec![9; usize::from(*size)];
            partial.read_exact_at(0, &mut back)?;
            let outside = partial.write_at(u64::from(*size), b"x").is_err();
            let before = partial.written_at()?;
            let untouched = before == partial.written_at()?;
            if *size > 0 {
                partial.write_at(u64::from(*size) - 1, b"z")?;
            }
            partial.sync()?;
            Ok(format!("{back:?} {outside} {untouched}"))
        }),
        Call::SyncPartials => disk.sync_partials().map(|()| String::new()),
        Call::Publish(name, to, replace) => disk.publish(name, &path(to), *replace).map(|()| String::new()),
        Call::Remove(name) => disk.remove_partial(name).map(|()| String::new()),
        Call::RemoveDir => disk.remove_partial_dir().map(|()| String::new()),
        Call::SetMeta(at, mode, nanoseconds) => {
            let mtime = FileTime { seconds: -7, nanoseconds: *nanoseconds };
            disk.set_meta(&path(at), Meta { mode: *mode, mtime }).map(|()| String::new())
        }
        Call::SyncDir(at) => disk.sync_dir(&path(at)).map(|()| String::new()),
    };
    match result {
        Ok(words) => format!("done {words}"),
        // Of what the system says only that it does.
        Err(DiskError::Io(_)) => "system".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// What a real directory holds, times left out.
fn real_tree(top: &Path, below: &Path, tree: &mut BTreeMap<Vec<u8>, Node>) {
    for entry in std::fs::read_dir(top.join(below)).unwrap() {
        let name = below.join(entry.unwrap().file_name());
        if name == Path::new(PARTIAL_DIR) {
            continue;
        }
        let metadata = std::fs::symlink_metadata(top.join(&name)).unwrap();
        let meta = Meta { mode: metadata.mode() & 0o7777, mtime: FileTime::default() };
        let node = if metadata.is_dir() {
            real_tree(top, &name, tree);
            Node::Directory { meta }
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(top.join(&name)).unwrap();
            Node::Symlink { target: target.as_os_str().as_bytes().to_vec(), mtime: meta.mtime }
        } else {
            // What its owner may not read is read all the same.
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(top.join(&name), readable).unwrap();
            Node::File { bytes: std::fs::read(top.join(&name)).unwrap(), meta }
        };
        tree.insert(name.as_os_str().as_bytes().to_vec(), node);
    }
}

fn without_times(mut tree: BTreeMap<Vec<u8>, Node>) -> BTreeMap<Vec<u8>, Node> {
    for node in tree.values_mut() {
        match node {
            Node::File { meta, .. } | Node::Directory { meta } => meta.mtime = FileTime::default(),
            Node::Symlink { mtime, .. } => *mtime = FileTime::default(),
        }
    }
    tree
}

proptest! {
    #[test]
    fn both_disks_answer_alike(calls in calls()) {
        let top = tempfile::tempdir().unwrap();
        let real = RealDisk::open(top.path()).unwrap();
        let memory = MemDisk::new();
        for call in &calls {
            // What the owner may not read cannot be opened, except by root and in memory.
            if let Call::Open(at) = call
                && matches!(real.look(&path(at)), Ok(Some(Found::File { meta, .. })) if meta.mode & 0o400 == 0)
            {
                continue;
            }
            let none = matches!(call, Call::Publish(name, ..)
                if !memory.partials().unwrap_or_default().iter().any(|partial| partial == name));
            let (mut first, second) = (answer(&real, call), answer(&memory, call));
            // Another test of this process that starts a program holds our locks for as long as it takes to start.
            for _ in 0..1_000_000 {
                if !matches!(call, Call::Create(..)) || first != "system" || second == first {
                    break;
                }
                std::thread::yield_now();
                first = answer(&real, call);
            }
            if none {
                // Which of two reasons is told is up to the system.
                prop_assert!(!first.starts_with("done") && !second.starts_with("done"), "{:?}", call);
            } else {
                prop_assert_eq!(first, second, "{:?}", call);
            }
        }
        let mut found = BTreeMap::new();
        real_tree(top.path(), Path::new(""), &mut found);
        prop_assert_eq!(found, without_times(memory.tree()));
        let partials = std::fs::read_dir(top.path().join(PARTIAL_DIR)).ok().map(|names| {
            let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        });
        prop_assert_eq!(partials, memory.partials());
    }
}

#[test]
fn meta_and_syncs_are_kept_and_counted() {
    let disk = MemDisk::new();
    let meta = Meta { mode: 0o640, mtime: FileTime { seconds: -1, nanoseconds: 999_999_999 } };
    let twice = Meta { mode: 0o6640, ..meta };
    let mut partial = disk.create_partial("p", 2).unwrap();
    partial.write_at(0, b"ok").unwrap();
    partial.sync().unwrap();
    partial.set_meta(twice).unwrap();
    partial.sync().unwrap();
    disk.publish("p", &path("f"), false).unwrap();
    // Still the same file, as on a real disk.
    partial.write_at(1, b"n").unwrap();
    disk.make_symlink(&path("l"), b"f", false).unwrap();
    for at in ["l", ""] {
        disk.set_meta(&path(at), twice).unwrap();
    }
    disk.sync_dir(&TreePath::ROOT).unwrap();
    let written = Meta { mtime: FileTime { seconds: 0, ..meta.mtime }, ..meta };
    let expected = [
        (b"f".to_vec(), Node::File { bytes: b"on".to_vec(), meta: written }),
        (b"l".to_vec(), Node::Symlink { target: b"f".to_vec(), mtime: meta.mtime }),
    ];
    assert_eq!(disk.tree(), BTreeMap::from(expected));
    assert_eq!(disk.root(), meta);
    assert_eq!(disk.syncs(), Syncs { files: 2, directories: 1 });
}

#[test]
fn a_full_disk_says_so_and_has_room_again() {
    let disk = MemDisk::with_capacity(10);
    disk.plant(&path("d"), Node::Directory { meta: Meta::default() });
    disk.plant(&path("d/old"), Node::File { bytes: vec![0; 4], meta: Meta::default() });
    disk.plant(&path("l"), Node::Symlink { target: b"d".to_vec(), mtime: FileTime::default() });
    assert!(matches!(disk.create_partial("p", 7).map(drop), Err(DiskError::NoSpace)));
    assert!(matches!(disk.create_partial("p", u64::MAX).map(drop), Err(DiskError::NoSpace)));
    drop(disk.create_partial("p", 6).unwrap());
    assert!(matches!(disk.create_partial("q", 1).map(drop), Err(DiskError::NoSpace)));
    // Another of the same name takes the place of the first.
    drop(disk.create_partial("p", 5).unwrap());
    drop(disk.create_partial("q", 1).unwrap());
    disk.remove_partial("q").unwrap();
    disk.publish("p", &path("d/old"), true).unwrap();
    drop(disk.create_partial("q", 5).unwrap());
    assert!(matches!(disk.look(&path("l/old")), Err(DiskError::NotDirectory)));
    assert_eq!(disk.clone().partials(), Some(vec!["q".to_owned()]));
}
