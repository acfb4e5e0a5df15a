//! Our filter rules against rsync's: the same rules on the same tree must leave the same files.
//!
//! Needs `rsync` in the path, and says so where there is none.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use resilient::filter::{Builder, Effect, Form};
use resilient::fs::source::{List, Selection, Sources, WalkItem};
use resilient::manifest::Kind;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const DIRECTORIES: [&str; 8] = ["a", "a/b", "a/ab", "a/b/a", "b", "b/a", "ab", "ab/*"];
const FILES: [&str; 12] =
    ["c", "ba", "a/c", "a/b/c", "a/b/ba", "a/ab/b", "a/b/a/c", "b/a/b", "b/c", "ab/a", "ab/*/c", "ab/\\a"];

/// An option and its value, as rsync and we take it.
#[derive(Clone, Debug)]
struct Typed(&'static str, String);

impl Typed {
    fn form(&self) -> Form {
        match self.0 {
            "--exclude" => Form::Pattern(Effect::Exclude),
            "--include" => Form::Pattern(Effect::Include),
            _ => Form::Filter,
        }
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "b",
        "c",
        "ab",
        "/",
        "/",
        "*",
        "*",
        "**",
        "***",
        "?",
        "[a-b]",
        "[!a]",
        "[[:alpha:]]",
        "\\*",
        "\\a",
        "/***",
    ];
    prop::collection::vec(prop::sample::select(pieces), 1..6).prop_map(|pieces| pieces.concat())
}

fn typed() -> impl Strategy<Value = Typed> {
    let rule = prop::sample::select(vec!["- ", "+ ", "-! ", "+! ", "H ", "S ", "exclude ", "show,_", "-s_", "P "]);
    prop_oneof![
        4 => pattern().prop_map(|pattern| Typed("--exclude", pattern)),
        3 => pattern().prop_map(|pattern| Typed("--include", pattern)),
        3 => (rule, pattern()).prop_map(|(rule, pattern)| Typed("--filter", format!("{rule}{pattern}"))),
        1 => pattern().prop_map(|pattern| Typed("--exclude", format!("+ {pattern}"))),
        1 => prop::sample::select(vec!["--exclude", "--filter"]).prop_map(|option| Typed(option, "!".to_owned())),
    ]
}

fn has_rsync() -> bool {
    Command::new("rsync").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn tree() -> tempfile::TempDir {
    let top = tempfile::tempdir().expect("a folder");
    for name in DIRECTORIES {
        std::fs::create_dir(top.path().join(name)).expect("a directory");
    }
    for name in FILES {
        std::fs::write(top.path().join(name), "").expect("a file");
    }
    top
}

/// Names that rsync would send, directories with a `/` behind them.
fn theirs(source: &Path, rules: &[Typed], list: Option<&Path>) -> BTreeSet<String> {
    let mut command = Command::new("rsync");
    command.args(["-n", "-r", "--out-format=%n"]);
    command.args(rules.iter().map(|Typed(option, value)| format!("{option}={value}")));
    command.args(list.map(|list| format!("--files-from={}", list.display())));
    let output = command.arg(source.join("")).arg(source.join("no-such-destination/")).output().expect("rsync runs");
    let text = String::from_utf8(output.stdout).expect("names are ASCII");
    // rsync writes a backslash before three digits only, and there are none.
    text.lines().filter(|line| *line != "./").map(str::to_owned).collect()
}

fn ours(source: &Path, rules: &[Typed], list: Option<List>) -> BTreeSet<String> {
    let none = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let mut builder = Builder::new(false, &none);
    for rule in rules {
        builder.add(rule.form(), rule.1.as_bytes()).expect("every pattern is sound");
    }
    let selection = Selection { rules: Arc::new(builder.build()), list: list.map(Arc::new) };
    let sources = Sources::new(&[source.join("")], selection).expect("the tree is there");
    let names = sources.walk().filter_map(|item| match item {
        WalkItem::Entry { entry, tree, .. } => {
            let slash = if entry.kind == Kind::Directory { "/" } else { "" };
            Some(format!("{}{slash}", String::from_utf8_lossy(&tree.to_bytes())))
        }
        _ => None,
    });
    names.collect()
}

#[test]
fn the_same_rules_leave_the_same_files() {
    if !has_rsync() {
        eprintln!("skipped: no rsync in the path to compare with");
        return;
    }
    let top = tree();
    let mut runner = TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() });
    let several = prop::collection::vec(typed(), 1..6);
    let compared = runner.run(&several, |rules| {
        prop_assert_eq!(ours(top.path(), &rules, None), theirs(top.path(), &rules, None));
        Ok(())
    });
    compared.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_same_list_gives_the_same_files() {
    if !has_rsync() {
        eprintln!("skipped: no rsync in the path to compare with");
        return;
    }
    let (top, folder) = (tree(), tempfile::tempdir().unwrap());
    let file = folder.path().join("list");
    let mut runner = TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() });
    let names: Vec<&str> = DIRECTORIES.into_iter().chain(FILES).chain(["none", "# a", ";b", "", "."]).collect();
    let line = (prop::sample::select(vec!["", "", "/", "./", "b/../", "//"]), prop::sample::select(names));
    let both = (prop::collection::vec(line, 1..5), prop::collection::vec(typed(), 0..3));
    let compared = runner.run(&both, |(lines, rules)| {
        // What is below something listed is a part of that here; rsync asks for it once more, for itself.
        let everything = |name: &str| name.is_empty() || name == ".";
        let below = |one: &str, other: &str| one != other && (everything(one) || other.starts_with(&format!("{one}/")));
        prop_assume!(lines.iter().all(|(_, one)| lines.iter().all(|(_, other)| !below(one, other))));
        let lines: Vec<String> = lines.iter().map(|(before, name)| format!("{before}{name}\n")).collect();
        let text = lines.concat();
        std::fs::write(&file, &text).expect("the list is written");
        let list = List::read(text.as_bytes(), false).expect("no name leads out");
        let (mut ours, theirs) = (ours(top.path(), &rules, Some(list)), theirs(top.path(), &rules, Some(&file)));
        // rsync leaves a directory out if what is listed in it is missing or excluded; we have sent it by then.
        let above = |name: &str| name.ends_with('/') && lines.iter().any(|line| line.contains(name));
        ours.retain(|name| theirs.contains(name) || !above(name));
        prop_assert_eq!(ours, theirs);
        Ok(())
    });
    compared.unwrap_or_else(|error| panic!("{error}"));
}
