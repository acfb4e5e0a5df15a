//! Reads the sources and holds what `src/lib.rs` says of them: the layer table, and the shape of files.
//!
//! The table itself is taken from the documentation, so that the two cannot differ. Only code is judged: comments are cut off, and so
//! is everything from a file's `#[cfg(test)] mod tests` on, for tests may use what the code may not.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file of the project.
struct Source {
    /// Path from the root of the package.
    path: String,
    text: String,
}

impl Source {
    /// Module below the crate root that this file belongs to.
    fn module(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap();
        rest.split('/').next().unwrap().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        let stem = Path::new(&self.path).file_stem().unwrap().to_str().unwrap();
        stem == "tests" || stem.ends_with("_tests") || stem.starts_with("tests_") || self.path.contains("/tests/")
    }

    /// The text without comments and without what is compiled for tests only.
    fn code(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let is_test_module = |at: usize| {
            let item = lines[at..].iter().map(|line| line.trim()).find(|line| !line.starts_with("#["));
            lines[at].trim() == "#[cfg(test)]"
                && item.is_some_and(|item| item.starts_with("mod ") && item.ends_with('{'))
        };
        let end = (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len());
        lines[..end].iter().flat_map(|line| [line.split("//").next().unwrap(), "\n"]).collect()
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = walkdir::WalkDir::new(root.join(folder))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path());
    let rust = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path: PathBuf| Source {
        path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    })
    .collect()
}

/// Module → layer, from the table in the documentation of the crate.
fn layers() -> BTreeMap<String, u8> {
    let lib = sources("src").into_iter().find(|source| source.path == "src/lib.rs").unwrap();
    let mut layers = BTreeMap::new();
    for row in lib.text.lines().filter_map(|line| line.strip_prefix("//! | L")) {
        let mut cells = row.split('|').map(str::trim);
        let layer: u8 = cells.next().unwrap().parse().unwrap();
        for name in cells.next().unwrap().split('`').skip(1).step_by(2) {
            assert!(layers.insert(name.to_owned(), layer).is_none(), "{name} stands twice in the table");
        }
    }
    layers
}

/// Every path that starts with `root` in `code`, groups in braces taken apart: `crate::{a::b, c}` gives `a::b` and `c`.
fn paths(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|letter| !is_word(letter) && letter != '$') {
            branches(&code[at + root.len()..], "", &mut found);
        }
    }
    found
}

/// Reads one tree of a `use`, and gives what follows it.
fn branches<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = branches(rest, prefix, found).trim_start();
            match rest.strip_prefix(',') {
                Some(after) if after.trim_start().starts_with('}') => {
                    return &after.trim_start()[1..];
                }
                Some(after) => rest = after,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|letter| !is_word(letter)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.trim_start().starts_with(|letter| is_word(letter) || letter == '{') => {
            branches(rest, &format!("{path}::"), found)
        }
        _ => {
            found.push(path);
            let rest = text[end..].trim_start();
            rest.strip_prefix("as ").map_or(rest, |alias| alias.trim_start().trim_start_matches(is_word))
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether `code` has `name` as a whole identifier.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn trees_of_a_use_are_taken_apart() {
    let code = "use crate::{a::{b, c::D as E}, f,};\nlet x = crate::g::h(); my_crate::z; use std::fs::{self};";
    assert_eq!(paths(code, "crate::"), ["a::b", "a::c::D", "f", "g::h"]);
    assert_eq!(paths("use std::{io, fs::File};", "std::"), ["io", "fs::File"]);
    assert!(names("use tokio::time;", "tokio") && !names("tokio_stream", "tokio"));
}

#[test]
fn every_module_has_a_layer() {
    let layers = layers();
    let modules: BTreeSet<String> = sources("src").iter().map(|source| source.module().to_owned()).collect();
    let known: BTreeSet<String> =
        layers.keys().map(String::clone).chain(["lib".to_owned(), "main".to_owned()]).collect();
    assert_eq!(modules, known, "the modules in src/ and those in the table of src/lib.rs differ");
}

#[test]
fn imports_point_down() {
    let layers = layers();
    let mut beside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let Some(own) = layers.get(source.module()) else {
            continue;
        };
        for path in paths(&source.code(), "crate::") {
            let target = path.split("::").next().unwrap();
            let Some(layer) = layers.get(target) else {
                continue;
            };
            if layer > own {
                wrong.push(format!("{} (L{own}) uses {path} (L{layer})", source.path));
            } else if layer == own && target != source.module() {
                beside.entry(source.module().to_owned()).or_default().insert(target.to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "imports point up:\n{}", wrong.join("\n"));
    for start in beside.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for target in beside.get(module).into_iter().flatten() {
                assert_ne!(
                    target, start,
                    "modules of one layer use each other in a circle: {start} … {module} … {start}"
                );
                if seen.insert(target) {
                    next.push(target);
                }
            }
        }
    }
}

#[test]
fn the_lower_layers_have_no_io_no_clock_and_no_chance() {
    let layers = layers();
    let words = [
        "tokio",
        "quinn",
        "quinn_proto",
        "getrandom",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "SystemTime",
    ];
    let mut wrong = Vec::new();
    for source in sources("src").iter().filter(|source| layers.get(source.module()).is_some_and(|layer| *layer <= 2)) {
        let code = source.code();
        let mut found: Vec<String> = words.iter().filter(|word| names(&code, word)).map(ToString::to_string).collect();
        let std = paths(&code, "std::")
            .into_iter()
            .filter(|path| ["fs", "process", "env", "thread"].contains(&path.split("::").next().unwrap()));
        found.extend(std.map(|path| format!("std::{path}")));
        if code.contains("Instant::now") {
            found.push("Instant::now".into());
        }
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", source.path)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    let files: Vec<Source> = sources("src").into_iter().chain(sources("tests")).collect();
    let headless = files.iter().filter(|source| !source.text.starts_with("//! ")).map(|source| &source.path);
    assert_eq!(headless.collect::<Vec<_>>(), [""; 0], "these do not open with `//!`");
    let long = files.iter().map(|source| (source.text.lines().count(), &source.path)).filter(|(lines, _)| *lines > 450);
    let long: Vec<String> = long.map(|(lines, path)| format!("{path}: {lines}")).collect();
    assert!(long.is_empty(), "more than 450 lines:\n{}", long.join("\n"));
    let mut lines: Vec<usize> = files.iter().map(|source| source.text.lines().count()).collect();
    lines.sort_unstable();
    assert!(lines[lines.len() / 2] <= 200, "the median file has {} lines", lines[lines.len() / 2]);
    let main = files.iter().find(|source| source.path == "src/main.rs").unwrap();
    assert!(main.text.lines().count() <= 20);
}

#[test]
fn a_crate_that_may_be_exchanged_is_behind_one_module() {
    for name in ["reed_solomon_erasure", "bincode", "lz4_flex"] {
        let sources = sources("src");
        let users: Vec<&str> =
            sources.iter().filter(|source| names(&source.code(), name)).map(|source| source.path.as_str()).collect();
        assert_eq!(users.len(), 1, "{name} is named by {users:?}");
    }
}

#[test]
fn only_the_command_line_prints_or_ends_the_process() {
    for source in sources("src").iter().filter(|source| !["cli", "main"].contains(&source.module())) {
        let code = source.code();
        for word in ["stdout", "stderr", "clap", "process::exit"] {
            assert!(!names(&code, word), "{} names {word}", source.path);
        }
    }
}
