//! Golden cases of rsync, its matcher written down a second time, and bounds.

use super::*;
use proptest::prelude::*;
use std::io;
use std::path::Path;
use std::time::Duration;

fn none(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn rules(texts: &[&str]) -> Rules {
    let mut builder = Builder::new(false, &none);
    for text in texts {
        builder.add(Form::Filter, text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    builder.build()
}

/// What is left of a tree (directories end in `/`, parents first) when excluded directories are not entered.
fn left<'a>(rules: &Rules, tree: &[&'a str]) -> Vec<&'a str> {
    let mut closed: Vec<&str> = Vec::new();
    let mut left = Vec::new();
    for entry in tree {
        let (path, is_directory) = entry.strip_suffix('/').map_or((*entry, false), |path| (path, true));
        if closed.iter().any(|above| path.starts_with(above)) {
            continue;
        }
        if rules.sends(path.as_bytes(), is_directory) {
            left.push(*entry);
        } else if is_directory {
            closed.push(entry);
        }
    }
    left
}

const TREE: [&str; 9] =
    ["foo/", "foo/bar/", "foo/bar/1", "foo/x", "x/", "x/foo/", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"];

#[test]
fn golden_cases_of_anchors() {
    for (rule, gone) in [
        ("- foo/bar", &["foo/bar/", "foo/bar/1", "x/foo/bar/", "x/foo/bar/2"][..]),
        ("- /foo", &["foo/", "foo/bar/", "foo/bar/1", "foo/x"]),
        ("- foo", &["foo/", "foo/bar/", "foo/bar/1", "foo/x", "x/foo/", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"]),
        ("- /foo/bar", &["foo/bar/", "foo/bar/1"]),
        ("- foo/**", &["foo/bar/", "foo/bar/1", "foo/x", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"]),
        ("- /foo/**", &["foo/bar/", "foo/bar/1", "foo/x"]),
        ("- /foo/***", &["foo/", "foo/bar/", "foo/bar/1", "foo/x"]),
        ("- x/", &["x/", "x/foo/", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"]),
        ("- foo/*/1", &["foo/bar/1"]),
        ("- **/bar", &["foo/bar/", "foo/bar/1", "x/foo/bar/", "x/foo/bar/2"]),
        ("- /**/bar", &["foo/bar/", "foo/bar/1", "x/foo/bar/", "x/foo/bar/2"]),
        ("- /*/bar", &["foo/bar/", "foo/bar/1"]),
        ("- [[:digit:]]", &["foo/bar/1", "x/foo/bar/2"]),
        ("- ?", &["foo/bar/1", "foo/x", "x/", "x/foo/", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"]),
        ("-! */", &["foo/bar/1", "foo/x", "x/foo/bar/2", "x/foo/y"]),
        ("P foo", &[]),
        ("H x", &["foo/x", "x/", "x/foo/", "x/foo/bar/", "x/foo/bar/2", "x/foo/y"]),
    ] {
        let expected: Vec<&str> = TREE.into_iter().filter(|entry| !gone.contains(entry)).collect();
        assert_eq!(left(&rules(&[rule]), &TREE), expected, "{rule}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let tree = ["1.c", "2.h", "a/", "a/3.c", "a/4.h"];
    assert_eq!(left(&rules(&["+ */", "+ *.c", "- *"]), &tree), ["1.c", "a/", "a/3.c"]);
    assert!(left(&rules(&["- *", "+ */", "+ *.c"]), &tree).is_empty());
    assert_eq!(left(&rules(&["+ *.c", "- *"]), &tree), ["1.c"]);
    assert_eq!(left(&rules(&["- *", "!", "- a"]), &tree), ["1.c", "2.h"]);
    assert_eq!(left(&rules(&[]), &tree), tree);
}

#[test]
fn rules_are_written_as_in_rsync() {
    let simple = [rules(&["- a b"]), rules(&["+ a b"]), rules(&["H x"]), rules(&["S x"])];
    for (same, texts) in simple.iter().zip([
        ["exclude a b", "exclude_a b", "-_a b", "-, a b"],
        ["include a b", "include,_a b", "+_a b", "+, a b"],
        ["hide x", "-s x", "-,s x", "hide, x"],
        ["show x", "+s x", "include,s x", "S, x"],
    ]) {
        for text in texts {
            assert_eq!(rules(&[text]), *same, "{text}");
        }
    }
    assert_eq!(rules(&["- a", "clear", "- b", "! ", "- c"]), rules(&["- c"]));
    assert!(rules(&["protect x"]).has_receiver_rules() && rules(&["-r x"]) == rules(&["P x"]));
    assert!(rules(&["risk x"]) == rules(&["+r x"]) && !rules(&["-sr x"]).has_receiver_rules());
    for (text, later) in [
        ("", false),
        ("foo", false),
        ("-foo", false),
        ("- ", false),
        ("-", false),
        ("! x", false),
        ("excluded x", false),
        ("- [a", false),
        ("- [[:nope:]]", false),
        ("- *\\", false),
        ("- a\0", false),
        ("merge", false),
        (": f", true),
        ("dir-merge f", true),
        ("-/ x", true),
        ("-C", true),
        ("-p x", true),
        ("merge,n f", true),
    ] {
        let error = Builder::new(false, &none).add(Form::Filter, text.as_bytes()).unwrap_err();
        assert_eq!(error.class().code(), if later { 4 } else { 1 }, "{text}: {error}");
    }
}

#[test]
fn the_simple_form_knows_prefixes_and_the_bare_one_does_not() {
    let read = |file: &Path| match file.to_str() {
        Some("bare") => Ok(b"gone\n!\n+ x\n- y\n".to_vec()),
        _ => none(file),
    };
    let mut builder = Builder::new(false, &read);
    builder.add(Form::Filter, b"merge,- bare").unwrap();
    let bare = builder.build();
    for (name, sent) in [("- y", false), ("+ x", false), ("x", true), ("y", true), ("gone", true)] {
        assert_eq!(bare.sends(name.as_bytes(), false), sent, "{name}");
    }
    let mut builder = Builder::new(false, &read);
    for text in ["a", "+ b", "- c", "!", "+ d", "*"] {
        builder.add(Form::Pattern(Effect::Exclude), text.as_bytes()).unwrap();
    }
    let rules = builder.build();
    assert!(rules.sends(b"d", false) && !rules.sends(b"b", false));
    // Two spaces: the name of the file begins with one.
    let mut builder = Builder::new(false, &|file: &Path| {
        assert_eq!(file, Path::new(" bare"));
        none(file)
    });
    builder.add(Form::Filter, b".  bare").unwrap_err();
}

#[test]
fn patterns_have_a_bound_and_so_has_the_time_they_take() {
    assert!(Pattern::new(&vec![b'a'; MAX_PATTERN + 1]).is_err());
    // Each of these is hopeless for a matcher that goes back. In steps it is at most 2048 × 4096 here.
    for (pattern, text) in [
        ("*a".repeat(1000) + "b", "a".repeat(4000)),
        ("**a".repeat(1000) + "b", "a".repeat(4000)),
        ("**/*a*".repeat(600) + "b", "a/".repeat(2000)),
        ("?**".repeat(1000) + "b", "a".repeat(4000)),
    ] {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let matched = Pattern::new(pattern.as_bytes()).unwrap().matches(text.as_bytes(), false);
            let _ = sender.send(matched);
        });
        assert_eq!(receiver.recv_timeout(Duration::from_mins(2)), Ok(false));
    }
}

/// rsync's matcher, by recursion: whether `pattern` is all of `text`.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => {
            let rest = &rest[rest.iter().take_while(|byte| **byte == b'*').count()..];
            (0..=text.len()).any(|at| wild(rest, &text[at..]))
        }
        [b'*', rest @ ..] => {
            let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=end).any(|at| wild(rest, &text[at..]))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|byte| *byte != b'/') && wild(rest, &text[1..]),
        [b'\\', one, rest @ ..] | [one, rest @ ..] => text.first() == Some(one) && wild(rest, &text[1..]),
    }
}

/// rsync's rule about where a pattern is compared, by its manual.
fn matches(pattern: &str, path: &str, is_directory: bool) -> bool {
    let (body, directories) = match pattern.strip_suffix('/') {
        Some(body) if !body.is_empty() => (body, true),
        _ => (pattern, false),
    };
    if directories && !is_directory {
        return false;
    }
    let components: Vec<&str> = path.split('/').collect();
    let mut text = path.to_owned();
    if body.ends_with("***") && is_directory {
        text.push('/');
    }
    let whole = |body: &str, text: &str| {
        if body.contains(['*', '?', '[']) { wild(body.as_bytes(), text.as_bytes()) } else { body == text }
    };
    if let Some(body) = body.strip_prefix('/') {
        return whole(body, &text);
    }
    if body.starts_with("**") {
        return whole(body, &format!("/{text}"));
    }
    if body.contains("**") {
        let starts = std::iter::once(0).chain(text.match_indices('/').map(|(at, _)| at + 1));
        return starts.into_iter().any(|at| whole(body, &text[at..]));
    }
    let count = body.matches('/').count() + 1;
    count <= components.len() && whole(body, &components[components.len() - count..].join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "b", "/", "/", "*", "**", "***", "?", "\\*", "\\a", "a/**", "**/"]);
    prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "ab", "aab", "*", "\\a"]);
    prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn it_is_rsyncs_matcher(pattern in pattern(), path in path(), is_directory: bool) {
        let compiled = Pattern::new(pattern.as_bytes()).unwrap();
        prop_assert_eq!(compiled.matches(path.as_bytes(), is_directory), matches(&pattern, &path, is_directory));
    }

    #[test]
    fn no_bytes_panic(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"[]!-:\\*?/+ ".to_vec())], 0..40), path: Vec<u8>) {
        let mut builder = Builder::new(false, &none);
        for form in [Form::Filter, Form::Pattern(Effect::Exclude), Form::Bare(Effect::Include)] {
            let _ = builder.add(form, &text);
        }
        builder.build().sends(&path, true);
    }
}

#[test]
fn sets_are_posix() {
    for (pattern, inside, outside) in [
        ("[a-c]", "abc", "d-"),
        ("[!a-c]", "d]-", "abc"),
        ("[^a]", "b", "a"),
        ("[]a]", "]a", "b"),
        ("[!]a]", "b", "]a"),
        ("[a-]", "a-", "b"),
        ("[\\]x]", "]x", "\\"),
        ("[a\\-c]", "a-c", "b"),
        ("[[:upper:][:digit:]_]", "A7_", "a:["),
        ("[[:]", "[:", "a"),
        ("[[a]", "[a", ":"),
    ] {
        let compiled = Pattern::new(pattern.as_bytes()).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for (text, expected) in [(inside, true), (outside, false)] {
            for letter in text.chars() {
                assert_eq!(compiled.matches(letter.to_string().as_bytes(), false), expected, "{pattern} {letter}");
            }
        }
    }
    assert!(!Pattern::new(b"/a[!b]c").unwrap().matches(b"a/c", false), "no set takes a slash");
    for broken in ["[", "[]", "[!]", "[a", "[a-", "[\\", "[[:alpha:]", "[[:alfa:]]"] {
        assert!(Pattern::new(broken.as_bytes()).is_err(), "{broken}");
    }
}
