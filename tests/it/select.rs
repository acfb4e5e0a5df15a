//! What is sent, through the program: filters, `--files-from` and `--dry-run`, which lists it.

use crate::hostile::peer::*;
use crate::memdisk::MemDisk;
use crate::sim::run;
use assert_cmd::Command;
use resilient::class::Class;
use resilient::event::Event;
use resilient::filter::{Builder, Form};
use resilient::fs::source::{List, Selection};
use resilient::network::identity::Identity;
use resilient::pipeline::{Cancel, send};
use resilient::ticket::{Secret, Ticket};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// A ticket that nobody answers to.
fn ticket() -> String {
    let key = Identity::generate().unwrap().node_id();
    Ticket::new(key, ["127.0.0.1:9".parse().unwrap()], Some(Secret::from_bytes([7; 16]))).to_string()
}

fn tree() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    let make = |name: &str| std::fs::write(top.path().join(name), name).unwrap();
    for name in ["src/a/sub", "src/tmp", "home"] {
        std::fs::create_dir_all(top.path().join(name)).unwrap();
    }
    for name in ["src/1.c", "src/2.h", "src/a/3.c", "src/a/sub/4.o", "src/tmp/5.c", "src/-foo"] {
        make(name);
    }
    top
}

/// `resilient send -n WORDS… TICKET` in `top`, nothing in the environment.
fn dry(top: &Path, words: &[&str]) -> Command {
    let mut command = Command::cargo_bin("resilient").unwrap();
    command.env_clear().env("RESILIENT_HOME", top.join("home")).current_dir(top);
    command.args(["send", "-n"]).args(words).arg(ticket());
    command
}

/// What it lists, if it succeeds and says nothing else.
fn lists(top: &Path, words: &[&str], expected: &[&str]) {
    let output = dry(top, words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{words:?}");
    let listed: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(listed, expected, "{words:?}");
    assert_eq!(std::fs::read_dir(top.join("home")).unwrap().count(), 0, "{words:?} made an identity");
}

#[test]
fn a_dry_run_lists_and_does_nothing() {
    let top = tree();
    let all = ["-foo", "1.c", "2.h", "a/", "a/3.c", "a/sub/", "a/sub/4.o", "tmp/", "tmp/5.c"];
    lists(top.path(), &["src/"], &all);
    let named: Vec<String> =
        std::iter::once(String::new()).chain(all.map(str::to_owned)).map(|name| format!("src/{name}")).collect();
    lists(top.path(), &["src"], &named.iter().map(String::as_str).collect::<Vec<_>>());
    let long = dry(top.path(), &["src/", "--dry-run"]).output().unwrap();
    assert_eq!(long.status.code(), Some(0));
    // The destination is parsed all the same.
    let mut command = dry(top.path(), &["src/"]);
    command.arg("host::module").assert().code(1);
}

#[test]
fn the_first_rule_that_matches_decides_in_the_order_of_the_line() {
    let top = tree();
    let sources = ["1.c", "a/", "a/3.c", "a/sub/", "tmp/", "tmp/5.c"];
    lists(top.path(), &["--include=*/", "--include=*.c", "--exclude=*", "src/"], &sources);
    lists(top.path(), &["--exclude=*", "--include=*/", "--include=*.c", "src/"], &[]);
    lists(top.path(), &["src/", "-f+ */", "--exclude", "tmp", "-f", "+ *.c", "--filter=- *"], &sources);
    lists(top.path(), &["src/", "--exclude", "tmp", "-f+ */", "-f", "+ *.c", "--filter=- *"], &sources[..4]);
    // An excluded directory is not entered, whatever is included in it.
    lists(
        top.path(),
        &["--exclude=/a", "--include=3.c", "--exclude=*.h", "--exclude", "-foo", "src/"],
        &["1.c", "tmp/", "tmp/5.c"],
    );
    // They accumulate where other options are overridden.
    lists(top.path(), &["--exclude=a", "--exclude=tmp", "--exclude=-foo", "src/"], &["1.c", "2.h"]);
    lists(top.path(), &["--exclude=*", "-f!", "-f- a", "--exclude=tmp", "src/"], &["-foo", "1.c", "2.h"]);
}

#[test]
fn rules_come_from_files_too() {
    let top = tree();
    let write = |name: &str, text: &str| std::fs::write(top.path().join(name), text).unwrap();
    write("out", "# not this\n\n*.c\n+ *.h\n");
    write("in", "1.c\n- *.o\n");
    write("merged", "- -foo\nmerge,- out\n");
    lists(top.path(), &["--exclude=-foo", "--exclude-from=out", "src/"], &["2.h", "a/", "a/sub/", "a/sub/4.o", "tmp/"]);
    lists(
        top.path(),
        &["--exclude=-foo", "--include-from=in", "--exclude-from", "out", "src/"],
        &["1.c", "2.h", "a/", "a/sub/", "tmp/"],
    );
    lists(top.path(), &["--filter=merge merged", "--exclude=a", "src/"], &["2.h", "tmp/"]);
    lists(top.path(), &["-f. merged", "--exclude=a", "src/"], &["2.h", "tmp/"]);
    write("nul", "*.c\0a\0- *.h\0-foo\0");
    lists(top.path(), &["-0", "--exclude-from=nul", "src/"], &["tmp/"]);
    let mut command = dry(top.path(), &["--exclude-from=-", "src/"]);
    command.write_stdin("a\ntmp\n").assert().code(0).stdout("-foo\n1.c\n2.h\n");
    write("bad", "- x\nsecret words\n");
    let output = dry(top.path(), &["-fmerge bad", "src/"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("resilient: send: bad:2: ") && !said.contains("secret"), "{said}");
    for (words, code) in [
        (&["-f: .rules", "src/"][..], 4),
        (&["-fP x", "src/"], 1),
        (&["-fnonsense", "src/"], 1),
        (&["--exclude-from=none", "src/"], 1),
        (&["--exclude=[", "src/"], 1),
        (&["--exclude-from=-", "--files-from=-", "src/"], 1),
    ] {
        let output = dry(top.path(), words).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{words:?}");
    }
}

#[test]
fn a_list_says_what_is_sent() {
    let top = tree();
    std::fs::write(top.path().join("list"), "# these\n/a/sub\n;\n\n1.c\r\n./tmp/../2.h\n").unwrap();
    let expected = ["1.c", "2.h", "a/", "a/sub/", "a/sub/4.o"];
    lists(top.path(), &["--files-from=list", "src"], &expected);
    lists(top.path(), &["--files-from=list", "src/", "--exclude=*.o"], &expected[..4]);
    let mut command = dry(top.path(), &["--files-from", "-", "src"]);
    command.write_stdin("a/3.c\n-foo\n").assert().code(0).stdout("-foo\na/\na/3.c\n");
    for from0 in ["-0", "--from0"] {
        let mut command = dry(top.path(), &["--files-from=-", from0, "src"]);
        command.write_stdin("a/3.c\0-foo\0").assert().code(0).stdout("-foo\na/\na/3.c\n");
    }
    let output = dry(top.path(), &["--files-from=-", "src"]).write_stdin("1.c\nnone\n").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(23), &b"1.c\n"[..]));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "resilient: send: src/none: no such file or directory\nresilient: send: 1 file cannot be sent; the others can\n"
    );
    for (words, list, code, said) in [
        (&["--files-from=-", "src", "src/a"][..], "x", 1, "exactly one PATH"),
        (&["--files-from=-", "src"], "a\n../home\n", 1, "stdin: line 2: "),
        (&["--files-from=-", "src/1.c"], "a\n", 3, "src/1.c: not a directory"),
        (&["--files-from=no-list", "src"], "", 1, "no-list: no such file"),
    ] {
        let output = dry(top.path(), words).write_stdin(list).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        assert!(error.contains(said) && output.stdout.is_empty(), "{words:?}: {error}");
    }
}

#[test]
fn a_dry_run_has_the_status_of_its_sources() {
    let top = tree();
    let output = dry(top.path(), &["none"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    let output = dry(top.path(), &["none", "src/1.c"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(23), &b"1.c\n"[..]));
    let output = dry(top.path(), &["src/a", "src/a"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_dry_run_tells_events_and_decisions() {
    let top = tree();
    std::fs::write(top.path().join("src/a").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let output = dry(top.path(), &["--json", "-vv", "src/a", "--exclude=sub"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "plan", "file", "file", "detail", "file", "end"], "{text}");
    assert_eq!((&events[1]["files"], &events[1]["bytes"]), (&2.into(), &9.into()));
    assert_eq!((events[3]["path"]["text"].as_str(), events[3]["bytes"].as_u64()), (Some("a/3.c"), Some(9)));
    assert!(events.iter().filter(|event| event["event"] == "file").all(|event| event["action"] == "would_send"));
    assert_eq!(events[4]["message"], "a/sub: excluded");
    assert_eq!(events[5]["path"]["bytes"], "YS//");
    assert_eq!(
        (&events[6]["exit"], &events[6]["session"], &events[6]["bytes_literal"]),
        (&0.into(), &serde_json::Value::Null, &0.into())
    );
    // In text a name is one printable line.
    let output = dry(top.path(), &["-v", "src/a", "--exclude=sub"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a/\na/3.c\na/\\#377\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "2 files, 9 B\n");
}

#[test]
fn whoever_has_read_enough_of_a_listing_is_not_an_error() {
    let top = tree();
    for number in 0..5000 {
        std::fs::write(top.path().join("src/tmp").join(format!("{number:0200}")), "").unwrap();
    }
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("resilient"))
        .args(["send", "-n", "src/", &ticket()])
        .env_clear()
        .env("RESILIENT_HOME", top.path().join("home"))
        .current_dir(top.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_is_not_selected_is_not_transferred() {
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let names = ["a.c", "a.o", "b.c", "c.c"];
        let (source, _) = folder(&names.map(|name| (name, noise(1, 1000))));
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let mut rules = Builder::new(false, &none);
        rules.add(Form::Filter, b"- *.o").unwrap();
        rules.add(Form::Filter, b"- /c*").unwrap();
        let list = List::read(&b"a.c\na.o\nc.c\n"[..], false).unwrap();
        let mut options = send_options(source.path(), &recv.ticket);
        options.selection = Selection { rules: Arc::new(rules.build()), list: Some(Arc::new(list)) };
        let (_alive, cancel) = Cancel::channel();
        let seen = Seen::new();
        let summary = send(&env, options, seen.clone(), cancel).await.unwrap();
        let received = recv.ends(HOUR).await.unwrap().unwrap();
        assert_eq!((summary.class, received.class), (Class::Done, Class::Done));
        assert_eq!(files(&disk).keys().collect::<Vec<_>>(), ["a.c"]);
        let events = seen.events();
        assert!(events.contains(&Event::Plan { files: 1, bytes: 1000 }));
        let told = |name: &str| Event::Detail { message: format!("{name}: excluded") };
        assert!(events.contains(&told("a.o")) && events.contains(&told("c.c")));
    });
}
