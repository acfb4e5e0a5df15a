//! Our librsync formats against the `rdiff` that is installed: each reads what the other has written.
//!
//! Needs `rdiff` in the path, and says so where there is none; the formats have tests of their own without it.

use crate::process::{Place, noise};
use std::process::Command;

fn has_rdiff() -> bool {
    let there = Command::new("rdiff").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("no rdiff here: not compared");
    }
    there
}

/// Old and new files: empty, shorter than a block, whole blocks, a short last one, things moved, put in, taken out and repeated.
fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
    let old = noise(1, 40_000);
    let block = &old[..2048];
    vec![
        (vec![], vec![]),
        (vec![], old.clone()),
        (old.clone(), vec![]),
        (old[..100].to_vec(), old[..100].to_vec()),
        (old[..100].to_vec(), old[..99].to_vec()),
        (old[..4096].to_vec(), old[..4096].to_vec()),
        (old.clone(), old.clone()),
        (old.clone(), [&old[20_000..], b"between", &old[..20_000]].concat()),
        (old.clone(), [b"x", &old[..30_000], &old[30_100..], b"and at the end"].concat()),
        ([block, block, block, &old[9_000..12_000]].concat(), [block, &old[9_000..12_000], block, block].concat()),
        (vec![0; 20_000], vec![0; 30_001]),
        (old[..8192].to_vec(), [&old[..8192], b"and more at the end"].concat()),
        (old, noise(2, 20_000)),
    ]
}

struct Both(Place);

impl Both {
    /// Runs `rdiff` on files here.
    #[track_caller]
    fn rdiff(&self, words: &str) {
        let mut command = Command::new("rdiff");
        let output = command.args(words.split_whitespace()).current_dir(self.0.path("")).output().unwrap();
        assert!(output.status.success(), "rdiff {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[track_caller]
    fn ours(&self, words: &str) {
        let ended = self.0.run(words);
        assert_eq!(ended.code(), Some(0), "{words}: {}", ended.err);
    }

    #[track_caller]
    fn same(&self, one: &str, other: &str, what: &str) {
        let (one, other) = (self.0.path(one), self.0.path(other));
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{what}");
    }
}

#[test]
fn signatures_are_the_same_to_the_byte() {
    if !has_rdiff() {
        return;
    }
    let both = Both(Place::new());
    for (old, _) in pairs() {
        both.0.write("old", &old);
        for (rolling, block, kept) in [("rollsum", 2048, 32), ("rabinkarp", 512, 16), ("rabinkarp", 1000, 8)] {
            both.rdiff(&format!("-f -R {rolling} -b {block} -S {kept} signature old theirs"));
            both.ours(&format!("sig -f --format rdiff -R {rolling} -b {block} -S {kept} old ours"));
            both.same("theirs", "ours", &format!("{} bytes, {rolling}, {block}", old.len()));
        }
    }
}

#[test]
fn each_reads_what_the_other_has_written() {
    if !has_rdiff() {
        return;
    }
    let both = Both(Place::new());
    for (at, (old, new)) in pairs().into_iter().enumerate() {
        both.0.write("old", &old);
        both.0.write("new", &new);
        for options in
            ["-H blake2 -R rollsum", "-H blake2 -R rabinkarp", "-H md4 -R rollsum", "-H md4 -R rabinkarp -S 8"]
        {
            let what = format!("pair {at}, {options}");
            both.rdiff(&format!("-f {options} -b 1024 signature old sig"));
            both.ours("delta -f sig new ours");
            both.rdiff("-f patch old ours made");
            both.same("made", "new", &what);
            both.ours("patch -f old ours made");
            both.same("made", "new", &what);
            both.rdiff("-f delta sig new theirs");
            both.ours("patch -f old theirs made");
            both.same("made", "new", &what);
        }
        both.ours("sig -f --format rdiff -b 1024 old sig");
        both.rdiff("-f delta sig new theirs");
        both.ours("patch -f old theirs made");
        both.same("made", "new", "their delta by our signature");
        both.ours("sig -f old sig");
        both.ours("delta -f --format rdiff sig new ours");
        both.rdiff("-f patch old ours made");
        both.same("made", "new", "a delta of theirs by a signature of our own");
    }
}

#[test]
fn their_smallest_buffers_make_the_same() {
    if !has_rdiff() {
        return;
    }
    let both = Both(Place::new());
    let (old, new) = pairs().remove(8);
    both.0.write("old", &old);
    both.0.write("new", &new);
    for bytes in [1, 2, 3, 7, 15, 100] {
        let buffers = format!("-f -I {bytes} -O {bytes}");
        both.rdiff(&format!("{buffers} -b 1024 signature old sig"));
        both.ours("delta -f sig new ours");
        both.rdiff(&format!("{buffers} patch old ours made"));
        both.same("made", "new", &buffers);
        both.rdiff(&format!("{buffers} delta sig new theirs"));
        both.ours("patch -f old theirs made");
        both.same("made", "new", &buffers);
    }
}

#[test]
fn what_is_damaged_is_refused_as_they_do() {
    let place = Place::new();
    let magic = [0x72, 0x73, 0x02, 0x36];
    place.write("old", noise(1, 1000));
    for (commands, said) in [
        (&[][..], "it is cut off"),
        (&[0x00, 0x00], "something follows its end"),
        (&[0x41, 200, 1, 2, 3], "it is cut off"),
        (&[0x44, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5], "it is cut off"),
        (&[0x46, 0, 0x04, 0x00, 0x00], "copies what the basis does not have"),
        (
            &[0x54, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0],
            "copies what",
        ),
        (
            &[0x54, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0],
            "copies what",
        ),
        (&[0x55, 0], "an unknown command"),
        (&[0xFF], "an unknown command"),
    ] {
        place.write("delta", [&magic, commands].concat());
        let ended = place.run("patch old delta made");
        assert_eq!(ended.code(), Some(12), "{commands:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{commands:?}: {}", ended.err);
        assert!(!place.path("made").exists());
    }
    for (header, said) in [
        (&[0x72, 0x73, 0x01, 0x36][..], "it is cut off"),
        (&[0x72, 0x73, 0x01, 0x37, 0, 0, 0, 0, 0, 0, 0, 8], "lengths that no signature has"),
        (&[0x72, 0x73, 0x01, 0x37, 0, 0, 8, 0, 0, 0, 0, 33], "lengths that no signature has"),
        (&[0x72, 0x73, 0x01, 0x36, 0, 0, 8, 0, 0, 0, 0, 17], "lengths that no signature has"),
        (&[0x72, 0x73, 0x01, 0x47, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 8], "lengths that no signature has"),
        (&[0x72, 0x73, 0x01, 0x47, 0, 0, 8, 0, 0, 0, 0, 8, 1, 2, 3], "it is cut off"),
        (&[0x72, 0x73, 0x02, 0x36, 0, 0, 8, 0, 0, 0, 0, 8], "it is a delta of librsync"),
    ] {
        place.write("sig", header);
        let ended = place.run("delta sig old made");
        assert_eq!(ended.code(), Some(12), "{header:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{header:?}: {}", ended.err);
    }
    // A copy of all of the basis, and a literal.
    place.write("delta", [&magic[..], &[0x46, 0, 0x03, 0xE8, 2, b'o', b'k', 0]].concat());
    let ended = place.run("patch old delta made");
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains("warning: a delta of librsync"), "{}", ended.err);
    assert_eq!(std::fs::read(place.path("made")).unwrap(), [noise(1, 1000), b"ok".to_vec()].concat());
}
