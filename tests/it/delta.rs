//! `sig`, `delta` and `patch` as processes: what is made, what is refused and with which status, and that nothing is left of what failed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Place, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Write as _};
use std::process::{Output, Stdio};

/// An old file, and a new one with an insertion, a change and more at its end.
pub(crate) fn pair() -> (Vec<u8>, Vec<u8>) {
    let old = noise(1, 300_001);
    let mut new = old.clone();
    new[200_000..200_100].fill(b'x');
    new.splice(50_000..50_000, b"inserted".iter().copied());
    new.extend(noise(2, 3_000));
    (old, new)
}

fn place() -> (Place, Vec<u8>, Vec<u8>) {
    let (place, (old, new)) = (Place::new(), pair());
    place.write("old", &old);
    place.write("new", &new);
    (place, old, new)
}

/// Runs `words` with `input` on stdin.
fn piped(place: &Place, words: &str, input: &[u8]) -> Output {
    let mut child = place.command(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // Whoever refuses does not read to the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

/// Runs `words`, which must go well, and says nothing.
fn silent(place: &Place, words: &str) {
    let ended = place.run(words);
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(0), "", ""), "{words}");
}

#[track_caller]
fn refused(place: &Place, words: &str, code: i32, said: &str) {
    let ended = place.run(words);
    assert_eq!(ended.code(), Some(code), "{words}: {}", ended.err);
    assert!(ended.err.starts_with("resilient: ") && ended.err.contains(said), "{words}: {}", ended.err);
    assert_eq!(ended.out, "", "{words}");
}

/// The names in the folder, but for the home.
fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "home");
    names.sort();
    names
}

#[test]
fn three_files_make_the_new_one() {
    let (place, _, new) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    silent(&place, "patch old delta made");
    assert_eq!(std::fs::read(place.path("made")).unwrap(), new);
    assert_eq!(names(&place), ["delta", "made", "new", "old", "sig"]);
    let size = |name: &str| std::fs::metadata(place.path(name)).unwrap().len();
    assert!(size("delta") < 10_000 && size("sig") < 300_000 / 100, "{} {}", size("sig"), size("delta"));
    // The same again is the same, and nothing is overwritten without being asked.
    refused(&place, "sig old sig", 3, "sig: exists");
    refused(&place, "delta sig new delta", 3, "delta: exists");
    silent(&place, "sig old again");
    assert_eq!(std::fs::read(place.path("again")).unwrap(), std::fs::read(place.path("sig")).unwrap());
    silent(&place, "delta -f sig new again");
    assert_eq!(std::fs::read(place.path("again")).unwrap(), std::fs::read(place.path("delta")).unwrap());
    // What is there already is what would come; what is not is left alone.
    silent(&place, "patch old delta made");
    refused(&place, "patch old delta sig", 3, "sig: exists, and is not what would come out");
    silent(&place, "patch --force old delta sig");
    assert_eq!(std::fs::read(place.path("sig")).unwrap(), new);
}

#[test]
fn three_pipes_make_the_new_one() {
    let (place, old, new) = place();
    for format in ["", "--format rdiff"] {
        for (basis, sig) in [("old", None), ("-", Some(&old))] {
            let sig = piped(&place, &format!("sig {format} {basis}"), sig.map_or(&[], Vec::as_slice)).stdout;
            let delta = piped(&place, "delta - new", &sig).stdout;
            let made = piped(&place, "patch old -", &delta);
            assert_eq!((made.status.code(), made.stdout == new), (Some(0), true), "{format} {basis}");
            assert!(delta.len() < 20_000, "{}", delta.len());
            place.write("sig", &sig);
            assert_eq!(piped(&place, "delta sig", &new).stdout, delta, "a pipe has the same delta as a file");
            assert_eq!(piped(&place, "patch --stream old", &delta).stdout, new);
        }
    }
    // A file that is stdin is as long as it is.
    let mut command = place.command("sig");
    let stdin = std::fs::File::open(place.path("old")).unwrap();
    assert_eq!(command.stdin(stdin).output().unwrap().stdout, place.command("sig old").output().unwrap().stdout);
}

#[test]
fn however_it_comes_the_same_target_has_the_same_delta() {
    let place = Place::new();
    let runs = |byte: u8| std::iter::repeat_n(byte, 5_000);
    place.write("old", noise(1, 100_000));
    let new: Vec<u8> = (0..12).flat_map(|at| noise(at, 150_000).into_iter().chain(runs(at as u8))).collect();
    place.write("new", &new);
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    let delta = std::fs::read(place.path("delta")).unwrap();
    for piece in [777, 65_536] {
        let mut child = place.command("delta sig -").stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, new) = (child.stdin.take().unwrap(), new.clone());
        let feeder = std::thread::spawn(move || new.chunks(piece).try_for_each(|piece| stdin.write_all(piece)));
        assert!(child.wait_with_output().unwrap().stdout == delta, "{piece}");
        feeder.join().unwrap().unwrap();
    }
    // Runs are runs, and count as what they are.
    assert!(delta.len() < new.len() - 12 * 4_900);
    let stats = |words: &str| {
        place.run(words).err.lines().find_map(|line| Some(line.strip_prefix("bytes copied")?.trim().to_owned()))
    };
    assert_eq!(stats("patch -s old delta made"), stats("delta -s sig new delta2"));
}

#[test]
fn what_is_no_file_gets_nothing_unverified_either() {
    let (place, mut wrong, new) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    wrong[299_999] ^= 1;
    place.write("wrong", &wrong);
    let output = place.command("patch wrong delta /dev/stdout").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(40), 0));
    assert!(place.command("patch old delta /dev/stdout").output().unwrap().stdout == new);
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    refused(&place, "patch pipe delta made", 1, "pipe: the basis has to be a file");
}

#[test]
fn streams_that_are_closed_are_no_success() {
    let (place, _, _) = place();
    let binary = assert_cmd::cargo::cargo_bin("resilient");
    for (words, said) in [("sig old >&-", "stdout: is closed"), ("sig <&-", "stdin: is closed")] {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("{} {words}", binary.display())).current_dir(place.path(""));
        let output = shell.stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(11) && error.contains(said), "{words}: {error}");
    }
    // The null device is as good as any other.
    let output = place.command("sig -").stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn links_stay_links_and_long_names_are_names() {
    let (place, _, _) = place();
    place.write("there/sig", "");
    for (target, link) in [("there/sig", "link"), ("nothing", "dangling")] {
        std::os::unix::fs::symlink(target, place.path(link)).unwrap();
    }
    silent(&place, "sig -f old link");
    assert!(
        std::fs::read_link(place.path("link")).is_ok()
            && std::fs::metadata(place.path("there/sig")).unwrap().len() > 1000
    );
    refused(&place, "sig -f old dangling", 3, "dangling: is a link to nothing");
    let long = "n".repeat(250);
    silent(&place, &format!("sig old {long}"));
    silent(&place, &format!("sig -f old {long}"));
}

#[test]
fn another_basis_is_40_and_makes_nothing() {
    let (place, old, _) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    let before = names(&place);
    place.write("wrong", noise(7, old.len()));
    refused(&place, "patch wrong delta made", 40, "wrong: the delta is for another basis");
    let mut close = old.clone();
    close[299_999] ^= 1;
    place.write("wrong", &close);
    refused(&place, "patch wrong delta made", 40, "wrong: the delta is for another basis");
    refused(&place, "patch wrong delta", 40, "wrong: the delta is for another basis");
    refused(&place, "patch new delta made", 40, "of 300001 bytes and not 303009");
    std::fs::remove_file(place.path("wrong")).unwrap();
    assert_eq!(names(&place), before);
}

#[test]
fn what_is_damaged_is_12_and_makes_nothing() {
    let (place, _, new) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    let (sig, delta) = (std::fs::read(place.path("sig")).unwrap(), std::fs::read(place.path("delta")).unwrap());
    place.write("empty", "");
    let before = names(&place);
    for (words, said) in [
        ("delta new old made", "new: this is not a signature"),
        ("delta empty old made", "empty: this is not a signature"),
        ("delta delta new made", "delta: this is not a signature: it is a delta"),
        ("patch old sig made", "sig: this is not a delta: it is a signature"),
        ("patch old new made", "new: this is not a delta"),
        ("patch old empty", "empty: this is not a delta"),
        ("patch --format rdiff old delta", "delta: this is not a delta of librsync: it is a delta of resilient"),
    ] {
        refused(&place, words, 12, said);
    }
    for cut in [5, 40, delta.len() / 2, delta.len() - 1] {
        place.write("broken", &delta[..cut]);
        refused(&place, "patch old broken made", 12, "broken: it is cut off");
        place.write("broken", &sig[..cut.min(sig.len() - 1)]);
        refused(&place, "delta broken new made", 12, "broken: it is cut off");
    }
    for place_of in [20, 75, delta.len() / 2, delta.len() - 3] {
        let mut broken = delta.clone();
        broken[place_of] ^= 0x10;
        place.write("broken", &broken);
        let ended = place.run("patch old broken made");
        // A changed length of the basis is one of another basis.
        assert!(matches!(ended.code(), Some(12 | 40)), "{place_of}: {}", ended.err);
        let mut broken = sig.clone();
        broken[place_of.min(sig.len() - 3)] ^= 0x10;
        place.write("broken", &broken);
        refused(&place, "delta broken new made", 12, "broken: it is damaged");
    }
    place.write("broken", [delta.as_slice(), b"x"].concat());
    refused(&place, "patch old broken made", 12, "something follows its end");
    let mut later = delta.clone();
    later[4] = 9;
    place.write("broken", &later);
    refused(&place, "patch old broken made", 4, "a delta of version 9");
    std::fs::remove_file(place.path("broken")).unwrap();
    assert_eq!(names(&place), before);
    // Uncompressed literals are damaged where only the digest sees them.
    silent(&place, "delta --no-compress sig new delta.raw");
    let mut raw = std::fs::read(place.path("delta.raw")).unwrap();
    let literal = raw.windows(8).position(|window| window == b"inserted").unwrap();
    raw[literal] ^= 1;
    place.write("broken", &raw);
    refused(&place, "patch old broken made", 12, "broken: it is damaged");
    refused(&place, "patch old broken made", 12, "if it arrived whole, sign the basis anew with --salt random");
    // A signature of librsync's can have longer blocks than ours.
    place.write("broken", [0x7273_0147_u32, 8 << 20, 32].map(u32::to_be_bytes).concat());
    refused(&place, "delta broken new made", 4, "broken: a signature of blocks of 8388608 bytes");
    assert!(raw.len() > 3_000 && new.len() > 3_000);
}

#[test]
fn words_that_cannot_be_followed_are_refused_before_anything_is_read() {
    let (place, _, _) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    silent(&place, "sig --format rdiff old theirs");
    let before = names(&place);
    for (words, code, said) in [
        ("patch - delta made", 1, "stdin: the basis has to be a file"),
        ("patch /dev/stdin delta made", 1, "/dev/stdin: the basis has to be a file"),
        ("delta - -", 1, "stdin cannot be the signature and the new file"),
        ("delta", 1, "required"),
        ("sig old old -f", 1, "old: is read and would be written over"),
        ("patch old delta old --force", 1, "old: is read and would be written over"),
        ("sig host:old", 1, "host:old: not a file of this host"),
        ("sig none", 3, "none: no such file or directory"),
        ("delta sig none", 3, "none: no such file or directory"),
        ("sig .", 3, ".: is a directory"),
        ("sig old none/sig", 3, "none/sig: no such file or directory"),
        ("sig -b 8 old", 1, "a block has from 16 bytes to 4M"),
        ("sig -S 40 old", 1, "1 to 32"),
        ("sig -S 2 old", 1, "from 4 to 32 bytes"),
        ("sig -b 128K -S 7 old", 1, "from 8 to 32 bytes"),
        ("sig --salt red old", 1, "32 hexadecimal digits"),
        ("sig -R rollsum old", 1, "--rollsum goes with --format rdiff"),
        ("sig --format rdiff --salt random old", 1, "signatures of rdiff have none"),
        ("delta -z=lz4 sig new", 1, "auto, none, zstd"),
        ("delta -z theirs new", 1, "deltas of librsync are not compressed"),
        ("delta -z=zstd:40 sig new", 1, "from 1 to 19"),
        ("patch --stream old delta made", 1, "--stream is for stdout"),
        ("sig old --json", 1, "stdout carries the signature"),
        ("patch --max-output 1000 old delta made", 45, "longer than 1000 bytes"),
    ] {
        let mut command = place.command(words);
        let output = command.stdin(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {error}");
        assert!(error.contains(said), "{words}: {error}");
        assert!(output.stdout.is_empty() || words.ends_with("--json"), "{words}");
    }
    assert_eq!(names(&place), before);
    let empty = place.command("sig").arg("").output().unwrap();
    assert_eq!(empty.status.code(), Some(1));
    assert!(String::from_utf8(empty.stderr).unwrap().contains("an empty name"));
}

#[test]
fn what_is_streamed_is_found_wrong_at_the_end() {
    let (place, old, _) = place();
    silent(&place, "sig old sig");
    silent(&place, "delta sig new delta");
    let mut wrong = old;
    wrong[299_999] ^= 1;
    place.write("wrong", &wrong);
    let ended = place.command("patch --stream wrong delta -").output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(40), 303_009));
    assert!(place.command("patch wrong delta -").output().unwrap().stdout.is_empty());
}

#[test]
fn salts_and_lengths_are_as_they_are_asked_for() {
    let (place, _, new) = place();
    let sig = |words: &str| place.command(&format!("sig {words} old")).output().unwrap().stdout;
    assert_ne!(sig("--salt random"), sig("--salt random"));
    let salt = "000102030405060708090a0b0c0d0e0f";
    assert_eq!(sig(&format!("--salt {salt}"))[10..26], (0..16).collect::<Vec<u8>>());
    for words in [&format!("--salt {salt}"), "-b 1000", "-b 16", "-b 4M", "-S 4 -b 64", "-S 32", "--salt random"] {
        place.write("sig", sig(words));
        let delta = place.command("delta sig new").output().unwrap().stdout;
        assert_eq!(piped(&place, "patch old", &delta).stdout, new, "{words}");
    }
}

#[test]
fn numbers_and_events_tell_what_was_done() {
    let (place, old, new) = place();
    let ended = place.run("sig -s old sig");
    assert!(ended.err.contains("bytes read    300001") && ended.err.contains("blocks        293"), "{}", ended.err);
    let ended = place.run("delta --json sig new delta");
    let lines: Vec<serde_json::Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.last().unwrap();
    assert_eq!((end["event"].as_str(), end["exit"].as_u64()), (Some("end"), Some(0)));
    let (literal, matched) = (end["bytes_literal"].as_u64().unwrap(), end["bytes_matched"].as_u64().unwrap());
    assert_eq!(literal + matched, new.len() as u64);
    assert!(literal < 8_000, "{literal}");
    let ended = place.run("patch --stats --json=events old delta made");
    assert!(ended.err.contains(&format!("bytes copied   {matched}")), "{}", ended.err);
    assert!(place.read("events").lines().last().unwrap().contains("\"end\""));
    place.write("wrong", &old[1..]);
    let ended = place.run("patch --json wrong delta other");
    let end: serde_json::Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!((end["exit"].as_u64(), end["class"].as_str()), (Some(40), Some("integrity")));
    // Nobody is told anything on a success unless asked: -v is asking.
    assert!(place.run("sig -v old sig2").err.contains("293 blocks of 1.00 KiB"));
}

#[test]
fn empty_files_are_files() {
    let (place, old, _) = place();
    place.write("empty", "");
    for (from, to) in [("empty", "old"), ("old", "empty"), ("empty", "empty")] {
        for format in ["", "--format rdiff"] {
            let ended = place.run(&format!("sig -f {format} {from} sig"));
            assert_eq!(ended.code(), Some(0), "{}", ended.err);
            let delta = place.command(&format!("delta sig {to}")).output().unwrap();
            assert_eq!(delta.status.code(), Some(0));
            let made = piped(&place, &format!("patch {from}"), &delta.stdout);
            assert_eq!(made.status.code(), Some(0));
            assert_eq!(made.stdout, if to == "old" { old.clone() } else { Vec::new() }, "{format} {from} {to}");
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told_of() {
    let place = Place::new();
    place.write("old", noise(1, 8 << 20));
    place.write("new", noise(2, 8 << 20));
    silent(&place, "sig old sig");
    // More than a pipe holds is written before all is read, so that the program waits in between.
    for (words, file) in [("sig -b 1K --sum-size 32 old", "old"), ("delta sig new", "new")] {
        let mut child = place.command(words).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 4]).unwrap();
        std::fs::OpenOptions::new().append(true).open(place.path(file)).unwrap().write_all(b"more").unwrap();
        let (made, said) = (std::io::copy(&mut out, &mut std::io::sink()), child.wait_with_output().unwrap());
        let said = (said.status.code(), String::from_utf8(said.stderr).unwrap());
        assert!(made.unwrap() > 100_000, "{words}");
        assert_eq!(said.0, Some(24), "{words}: {}", said.1);
        assert!(said.1.contains(&format!("{file}: changed while it was read")), "{}", said.1);
    }
}

/// Starts `words` and gives it `input`; when more than a pipe holds of that was taken, `file` is written to, with the same length.
fn changed_meanwhile(place: &Place, words: &str, input: &[u8], file: &str) -> (Option<i32>, String) {
    let mut file = std::fs::OpenOptions::new().write(true).open(place.path(file)).unwrap();
    // However coarse the clock of the file system is.
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_hours(1)).unwrap();
    let mut child = place.command(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (first, rest) = input.split_at(200_000);
    stdin.write_all(first).unwrap();
    file.write_all(b"!").unwrap();
    drop(file);
    stdin.write_all(rest).unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn nothing_gets_a_name_that_was_made_of_a_file_that_changed() {
    let place = Place::new();
    place.write("old", noise(1, 8 << 20));
    place.write("new", noise(2, 8 << 20));
    silent(&place, "sig -b 1K --sum-size 32 old sig");
    place.write("made", "good");
    let signature = std::fs::read(place.path("sig")).unwrap();
    let before = names(&place);
    let (code, said) = changed_meanwhile(&place, "delta -f - new made", &signature, "new");
    assert!(code == Some(24) && said.contains("new: changed while it was read"), "{code:?} {said}");
    // A delta of librsync: nothing in it would tell.
    let literal = [&[0x72, 0x73, 0x02, 0x36, 0x43, 0, 0x10, 0, 0], noise(3, 1 << 20).as_slice(), &[0][..]].concat();
    for words in ["patch -f old - made", "patch old -"] {
        let (code, said) = changed_meanwhile(&place, words, &literal, "old");
        assert!(code == Some(24) && said.contains("old: changed while it was read"), "{words}: {code:?} {said}");
    }
    assert_eq!(std::fs::read(place.path("made")).unwrap(), b"good");
    assert_eq!(names(&place), before);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let (place, _, _) = place();
    silent(&place, "sig old sig");
    let mut child = place.command("delta sig - delta").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&noise(3, 100_000)).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    assert_eq!(names(&place), ["new", "old", "sig"]);
}
