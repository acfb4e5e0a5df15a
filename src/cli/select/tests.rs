//! The order of rules as typed, the files they come from, and what is refused.

use super::*;
use clap::Parser;
use std::os::unix::ffi::OsStringExt as _;

#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn flags(words: &[&str]) -> Flags {
    Line::try_parse_from([&["send"], words].concat()).unwrap_or_else(|error| panic!("{words:?}: {error}")).flags
}

fn typed(words: &[&str]) -> Vec<(Giver, String)> {
    flags(words).rules.0.into_iter().map(|(giver, value)| (giver, value.into_string().unwrap())).collect()
}

#[test]
fn rules_keep_their_order_across_options() {
    use Giver::{Exclude, ExcludeFrom, Filter, Include, IncludeFrom};
    let words = ["--include=*/", "--exclude", "a", "-f- x", "--include", "*.c", "--exclude-from=F", "--filter", "+ y"];
    let expected = [
        (Include, "*/"),
        (Exclude, "a"),
        (Filter, "- x"),
        (Include, "*.c"),
        (ExcludeFrom, "F"),
        (Filter, "+ y"),
        (IncludeFrom, "G"),
        (Exclude, "-foo"),
        (Filter, "- z"),
    ];
    let words = [&words[..], &["--include-from", "G", "--exclude", "-foo", "-f", "- z"]].concat();
    assert_eq!(typed(&words), expected.map(|(giver, value)| (giver, value.to_owned())));
}

#[test]
fn patterns_are_bytes() {
    let odd = OsString::from_vec(b"--exclude=\xff*".to_vec());
    let flags = Line::try_parse_from(["send".into(), odd]).unwrap().flags;
    let rules = flags.resolve(1, &Cell::new(false)).unwrap().rules;
    assert!(!rules.sends(b"\xffx", false) && rules.sends(b"x", false));
}

#[test]
fn files_stand_where_they_were_typed_and_merge_others() {
    let top = tempfile::tempdir().unwrap();
    let path = |name: &str| top.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("outer"), format!("# c\n+ keep.o\nmerge {}\n", path("inner"))).unwrap();
    std::fs::write(path("inner"), "- *.o\n\n; c\nexclude_tmp/\n").unwrap();
    std::fs::write(path("plain"), "*.bak\r\n+ b.bak\n").unwrap();
    let rules = |words: &[&str]| flags(words).resolve(1, &Cell::new(false)).unwrap().rules;
    let merged = rules(&["-f", &format!(". {}", path("outer")), "--exclude-from", &path("plain")]);
    for (name, sent) in [("keep.o", true), ("x.o", false), ("a.bak", false), ("b.bak", false), ("c", true)] {
        assert_eq!(merged.sends(name.as_bytes(), false), sent, "{name}");
    }
    assert!(!merged.sends(b"tmp", true) && merged.sends(b"tmp", false));
    let other = rules(&["--include", "a.bak", "--exclude-from", &path("plain")]);
    assert!(other.sends(b"a.bak", false) && !other.sends(b"b.bak", false));

    std::fs::write(path("nul"), "- a\nb\0- c\0").unwrap();
    let rules = rules(&["-0", "--filter", &format!("merge {}", path("nul"))]);
    assert!(!rules.sends(b"a\nb", false) && !rules.sends(b"c", false) && rules.sends(b"b", false));
}

#[test]
fn errors_name_the_place_and_not_what_stands_there() {
    let top = tempfile::tempdir().unwrap();
    let file = top.path().join("rules").to_str().unwrap().to_owned();
    std::fs::write(&file, "- ok\n\nsecret words\n").unwrap();
    let refused = |words: &[&str]| flags(words).resolve(1, &Cell::new(false)).unwrap_err();
    let failure = refused(&["-f", &format!("merge {file}")]);
    assert!(failure.message.starts_with(&format!("{file}:3: ")) && !failure.message.contains("secret"), "{failure:?}");
    assert_eq!(failure.class.code(), 1);
    for (words, status, said) in [
        (&["--exclude", "[x"][..], 1, "--exclude '[x'"),
        (&["--exclude", ""], 1, "without a pattern"),
        (&["--filter", "foo"], 1, "not a filter rule"),
        (&["--filter", ": .rules"], 4, "dir-merge"),
        (&["--filter", "-C"], 4, "modifier"),
        (&["--filter", "P keep"], 1, "send deletes nothing"),
        (&["--filter", "-r keep"], 1, "send deletes nothing"),
        (&["--filter", "merge /nonexistent/rules"], 1, "/nonexistent/rules: no such file"),
        (&["--exclude-from", "/nonexistent/rules"], 1, "/nonexistent/rules: no such file"),
        (&["--files-from", "/nonexistent/list"], 1, "/nonexistent/list: no such file"),
        (&["--files-from", "/"], 1, "/: is a directory"),
    ] {
        let failure = refused(words);
        assert_eq!(failure.class.code(), status, "{words:?}: {failure:?}");
        assert!(failure.message.contains(said), "{words:?}: {failure:?}");
    }
    assert!(flags(&["--files-from", "/dev/null"]).resolve(2, &Cell::new(false)).is_err());
    assert!(flags(&["--files-from", "-"]).resolve(1, &Cell::new(true)).unwrap_err().message.contains("stdin"));
    // A file that merges itself.
    std::fs::write(&file, format!("merge {file}\n")).unwrap();
    assert!(refused(&["-f", &format!("merge {file}")]).message.contains("merge one another"));
}
