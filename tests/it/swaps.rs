//! Somebody who may write where files arrive, or where they are sent from, swaps a directory for a link while a transfer runs, as fast
//! as can be: nothing outside is written to, and nothing outside is sent.
//!
//! The transfer itself may fail in any way that the manual knows.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::Place;
use resilient::class::Class;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

/// Directories that are swapped. Each time that one is come to it may be the link, and then nothing is to be seen of it in that round.
const DIRECTORIES: usize = 6;
/// Directories in each of them: as many paths that lead through it.
const INSIDE: usize = 15;
const ROUNDS: usize = 4;
/// As long as what is public, so that a file is not told from the other by its size.
const SECRET: &str = "secret";

/// Directories below `name` with directories, in each of them a few files that say `content`, and a link.
fn grow(place: &Place, name: &str, content: &str) {
    for directory in 0..DIRECTORIES * INSIDE {
        let directory = format!("{name}/{}/{}", directory / INSIDE, directory % INSIDE);
        for file in 0..3 {
            let path = format!("{directory}/{file}");
            place.write(&path, format!("{content} {file}"));
            // Nor by its age.
            File::options().append(true).open(place.path(&path)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        symlink("0", place.path(&format!("{directory}/link"))).unwrap();
    }
}

/// The directories of `name`, and those of `to` that links lead to in their place.
fn directories(name: &str, to: &str) -> Vec<[String; 2]> {
    (0..DIRECTORIES).map(|directory| [name, to].map(|name| format!("{name}/{directory}"))).collect()
}

/// Everything about what lies at and below `path`: what any change to it, and any that was undone, would alter.
fn everything(path: &Path) -> BTreeMap<Vec<u8>, (u32, i64, i64, Vec<u8>)> {
    let of = |entry: walkdir::DirEntry| {
        let (meta, path) = (entry.metadata().unwrap(), entry.path());
        let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let changed = (meta.mode(), meta.ctime(), meta.ctime_nsec(), content);
        (path.as_os_str().as_encoded_bytes().to_vec(), changed)
    };
    walkdir::WalkDir::new(path).into_iter().map(|entry| of(entry.unwrap())).collect()
}

/// Puts the one in the place of the other; where one is missing, the other takes its place.
fn swap(one: &Path, other: &Path) {
    if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_err() {
        let aside = one.with_extension("aside");
        let _ = fs::rename(one, &aside);
        let _ = fs::rename(other, one);
        let _ = fs::rename(&aside, other);
    }
}

/// Sends `source` into `inbox` while the first of each pair and a link to the second change places.
fn transfer(place: &Place, words: &str, swapped: &[[String; 2]]) {
    let _ = fs::remove_dir_all(place.path("aside"));
    fs::create_dir(place.path("aside")).unwrap();
    let pair = |(number, [one, to]): (usize, &[String; 2])| {
        let aside = place.path(&format!("aside/{number}"));
        symlink(place.path(to), &aside).unwrap();
        (place.path(one), aside)
    };
    let pairs: Vec<_> = swapped.iter().enumerate().map(pair).collect();
    let (over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for (one, aside) in &pairs {
                    swap(one, aside);
                }
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        while swaps.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let codes = run(place, words);
        over.store(true, Ordering::Relaxed);
        for code in codes {
            let class = code.and_then(|code| Class::from_code(u8::try_from(code).unwrap()));
            assert!(class.is_some_and(|class| class != Class::Internal), "{code:?}: {}", place.read("recv.err"));
        }
    });
    // The directories are where they were, for the next round.
    for (one, aside) in pairs.iter().filter(|(one, _)| one.is_symlink()) {
        swap(one, aside);
    }
}

/// One transfer; how both ends ended.
fn run(place: &Place, words: &str) -> Vec<Option<i32>> {
    let mut receiver =
        place.command(&format!("recv --listen 127.0.0.1:0 --retry-for 5 --ticket-life 60 {words} inbox"));
    // Nobody reads along, and there may be much to tell.
    let mut receiver = receiver.stderr(File::create(place.path("recv.err")).unwrap()).spawn().unwrap();
    let mut ticket = String::new();
    BufReader::new(receiver.stdout.take().unwrap()).read_line(&mut ticket).unwrap();
    let mut codes = Vec::new();
    if !ticket.is_empty() {
        codes.push(place.run(&format!("send --retry-for 5 source/ {ticket}")).code());
    }
    codes.push(receiver.wait().unwrap().code());
    codes
}

#[test]
fn what_is_swapped_in_the_destination_leads_nothing_out_of_it() {
    let place = Place::new();
    grow(&place, "source", "new");
    grow(&place, "outside", "old");
    grow(&place, "inbox", "old");
    let before = everything(&place.path("outside"));
    for round in 0..ROUNDS {
        let words = ["--force --no-fsync", "--rename", "--skip-existing", ""][round % 4];
        transfer(&place, words, &directories("inbox", "outside"));
        assert!(everything(&place.path("outside")) == before, "round {round}, {words}");
    }
}

#[test]
fn what_is_swapped_for_the_unfinished_files_leads_them_nowhere() {
    let place = Place::new();
    grow(&place, "source", "new");
    grow(&place, "outside", "old");
    let before = everything(&place.path("outside"));
    for round in 0..ROUNDS {
        let words = ["--no-fsync", "--force"][round % 2];
        transfer(&place, words, &[["inbox/.resilient-partial".into(), "outside".into()]]);
        assert!(everything(&place.path("outside")) == before, "round {round}, {words}");
        fs::remove_dir_all(place.path("inbox")).unwrap();
    }
}

#[test]
fn what_is_swapped_in_the_source_sends_nothing_from_elsewhere() {
    let place = Place::new();
    grow(&place, "source", "public");
    grow(&place, "secrets", SECRET);
    for directory in 0..DIRECTORIES {
        fs::create_dir(place.path(&format!("secrets/{directory}/only here"))).unwrap();
    }
    // A walk is over soon.
    for round in 0..4 * ROUNDS {
        transfer(&place, "--no-fsync", &directories("source", "secrets"));
        for (path, (.., content)) in everything(&place.path("inbox")) {
            let is_secret = content.starts_with(SECRET.as_bytes()) || path.ends_with(b"only here");
            assert!(!is_secret, "round {round}: {}", String::from_utf8_lossy(&path));
        }
        fs::remove_dir_all(place.path("inbox")).unwrap();
    }
}
