//! Holds `README.md` to what the program is: exit status, options, the toolchain it asks for, and the files it points to.
//!
//! What it says in sentences is left to the reader.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use assert_cmd::Command;
use resilient::class::Class;
use std::collections::BTreeSet;
use std::path::Path;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_exit_table_is_the_one_of_the_program() {
    let readme = file("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Exit status\n")).unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let code: u8 = cells.next()?.split(' ').next()?.parse().ok()?;
        let again = cells.next()?.to_owned();
        Some((code, again, !cells.next()?.is_empty()))
    });
    let known = Class::ALL.iter().map(|class| {
        let again = if class.is_transient() { "yes" } else { "" };
        (class.code(), again.to_owned(), true)
    });
    assert_eq!(rows.collect::<Vec<_>>(), known.collect::<Vec<_>>());
}

#[test]
fn its_options_exist() {
    let readme = file("README.md");
    let spans = readme.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> =
        spans.filter(|span| span.starts_with("--")).map(|span| span.split(['=', ' ']).next().unwrap()).collect();
    let help: String = ["send", "recv", "resume", "sig", "delta", "patch", "key"]
        .map(|command| Command::cargo_bin("resilient").unwrap().args([command, "--help"]).output().unwrap().stdout)
        .map(|text| String::from_utf8(text).unwrap())
        .concat();
    let known: BTreeSet<&str> = help.split(|letter: char| !letter.is_alphanumeric() && letter != '-').collect();
    assert!(!named.is_empty());
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), [&""; 0], "README names options that there are not");
}

#[test]
fn the_toolchain_is_the_one_of_the_package() {
    let manifest = file("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(file("README.md").contains(&format!("Rust {version} or newer")), "{version}");
}

#[test]
fn the_files_it_points_to_exist() {
    let readme = file("README.md");
    let targets = readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let local: Vec<&str> = targets.filter(|target| !target.contains("://")).collect();
    assert!(local.contains(&"LICENSE-MIT"));
    for target in local {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{target}");
    }
}
