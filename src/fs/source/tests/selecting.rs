//! What rules and lists leave, large directories, and how much a walk holds.

use super::*;
use crate::filter::{Builder, Form};

fn none(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn ruled(rules: &[&str]) -> Selection {
    let mut builder = Builder::new(false, &none);
    for rule in rules {
        builder.add(Form::Filter, rule.as_bytes()).unwrap();
    }
    Selection { rules: Arc::new(builder.build()), list: None }
}

fn listed(list: &str, rules: &[&str]) -> Selection {
    let list = List::read(list.as_bytes(), false).unwrap();
    Selection { list: Some(Arc::new(list)), ..ruled(rules) }
}

fn selected(paths: &[PathBuf], selection: Selection) -> (Vec<String>, Vec<(PathBuf, SourceError)>) {
    walked(&Sources::new(paths, selection).unwrap())
}

#[test]
fn an_excluded_directory_is_not_entered() {
    let top = tree(&["d/", "d/a.o", "d/k/", "d/k/x", "d/k/keep", "e/", "e/k/", "e/k/y", "a.o", "f", "bad\n"]);
    let paths = [contents(top.path())];
    let rules = ruled(&["+ keep", "- *.o", "- /d/k/", "- bad*"]);
    let (sent, skipped) = selected(&paths, rules.clone());
    assert_eq!(sent, ["d", "e", "e/k", "e/k/y", "f"]);
    assert!(skipped.is_empty(), "what is excluded need not be sendable: {skipped:?}");
    let sources = Sources::new(&paths, rules).unwrap();
    let told: Vec<_> = sources
        .walk()
        .filter_map(|item| match item {
            WalkItem::Excluded { path } => Some(String::from_utf8(path).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["a.o", "bad\n", "d/a.o", "d/k"]);
    assert_eq!(sources.totals(), Totals { files: 2, bytes: 5 + 1, entries: 5, skipped: 0 });
    // The root of the transfer is one higher when the directory goes by its name, which may be that of a link.
    symlink("d", top.path().join("l")).unwrap();
    for (typed, rule, expected) in [
        ("d", "- /d/k", &["d", "d/a.o"][..]),
        ("d", "- /k", &["d", "d/a.o", "d/k", "d/k/keep", "d/k/x"]),
        ("d", "- d/", &[]),
        ("l", "- /l/k", &["l", "l/a.o"]),
        ("l/", "- /k", &["a.o"]),
        ("f", "- f", &[]),
    ] {
        assert_eq!(selected(&[top.path().join(typed)], ruled(&[rule])).0, expected, "{typed} {rule}");
    }
}

#[test]
fn what_is_excluded_has_no_name_that_could_clash() {
    let top = tree(&["a/", "a/.git/", "a/x", "b/", "b/.git/", "b/y", "a/.resilient-partial/", "b/.resilient-partial/"]);
    let paths = [top.path().join("a/"), top.path().join("b/")];
    let error = Sources::new(&paths, Selection::default()).unwrap_err();
    assert_eq!(error.path, top.path().join("b/.git"));
    assert_eq!(selected(&paths, ruled(&["- .git/"])).0, ["x", "y"]);
    assert!(Sources::new(&paths, ruled(&["- .git", "+ x"])).is_ok());
}

#[test]
fn a_list_is_all_that_is_sent() {
    let top = tree(&["d/", "d/x", "d/e/", "d/e/y", "d/e/z", "d.b", "f", "g/", "g/h/", "g/h/i", "g/o", "l -> g"]);
    for source in [contents(top.path()), top.path().to_owned()] {
        let select = |list: &str, rules: &[&str]| selected(std::slice::from_ref(&source), listed(list, rules));
        let (sent, skipped) = select("g/h\n/f\nd/e/z\n./d//x\nd.b\nf\nl\n", &[]);
        assert_eq!(sent, ["d", "d/e", "d/e/z", "d/x", "d.b", "f", "g", "g/h", "g/h/i", "l"]);
        assert!(skipped.is_empty());
        let (all, _) = select(".\n", &[]);
        assert_eq!(all, walked(&sources(&[&contents(top.path())]).unwrap()).0);
        assert_eq!(select("", &[]).0, [""; 0]);
        // Rules are asked for what is listed and below it, not for the directories above: as in rsync.
        assert_eq!(select("d/e\nd/x\ng/h\n", &["- /d", "- y", "- /g/h"]).0, ["d", "d/e", "d/e/z", "d/x", "g"]);
        assert_eq!(select("g\ng/h/i\n", &["- h"]).0, ["g", "g/o"]);
    }
}

#[test]
fn what_is_listed_and_not_there_is_said_name_by_name() {
    let top = tree(&["d/", "d/x", "f", "l -> d", "bad\u{1}/", "bad\u{1}/x"]);
    let list = "no/1\nno/2\nd/none\nd/x\nf/under\nl/x\n.resilient-partial/x\nbad\u{1}/x\nd/x/deep\n";
    let (sent, skipped) = selected(&[top.path().to_owned()], listed(list, &[]));
    assert_eq!(sent, ["d", "d/x"]);
    let mut told: Vec<_> = skipped
        .iter()
        .map(|(path, error)| (path.strip_prefix(top.path()).unwrap().to_str().unwrap(), error.to_string()))
        .collect();
    told.sort();
    let missing = "no such file or directory".to_owned();
    assert_eq!(
        told,
        [
            (".resilient-partial/x", missing.clone()),
            ("bad\u{1}", "name has a control character in it".into()),
            ("d/none", missing.clone()),
            ("d/x/deep", missing.clone()),
            ("f/under", missing.clone()),
            ("l/x", "a directory on the way is a symbolic link".into()),
            ("no/1", missing.clone()),
            ("no/2", missing),
        ]
    );
}

#[test]
fn a_list_stands_below_one_directory() {
    let top = tree(&["f"]);
    let error = Sources::new(&[top.path().join("f")], listed("x", &[])).unwrap_err();
    assert_eq!(
        (error.class(), error.to_string()),
        (Class::Select, format!("{}: not a directory", top.path().join("f").display()))
    );
}

#[test]
fn a_directory_too_large_to_sort_is_listed_whole() {
    let top = tree(&["d/", "e/", "e/x"]);
    let names: std::collections::BTreeSet<String> = (0..SORTED + 100).map(|n| format!("d/{n}")).collect();
    for name in &names {
        File::create(top.path().join(name)).unwrap();
    }
    fs::create_dir(top.path().join("d/sub")).unwrap();
    fs::write(top.path().join("d/sub/y"), "").unwrap();
    let (sent, skipped) = walked(&sources(&[&contents(top.path())]).unwrap());
    assert!(skipped.is_empty());
    assert_eq!((&sent[0][..], &sent[sent.len() - 2..]), ("d", &["e".to_owned(), "e/x".to_owned()][..]));
    let at = sent.iter().position(|name| name == "d/sub").unwrap();
    assert_eq!(sent[at + 1], "d/sub/y");
    let found: std::collections::BTreeSet<String> = sent.into_iter().filter(|name| names.contains(name)).collect();
    assert_eq!(found, names);
}

#[test]
fn a_directory_that_is_swapped_for_a_link_is_not_entered() {
    let top = tree(&["d/", "d/x", "f"]);
    let outside = tree(&["secret"]);
    let mut walk = sources(&[&contents(top.path())]).unwrap().walk();
    assert!(matches!(walk.next(), Some(WalkItem::Entry { entry, .. }) if entry.kind == Kind::Directory));
    fs::rename(top.path().join("d"), outside.path().join("d")).unwrap();
    symlink(outside.path(), top.path().join("d")).unwrap();
    let rest: Vec<_> = walk.collect();
    assert!(
        matches!(&rest[0], WalkItem::Skipped { path, error } if path.ends_with("d") && error.class() == Class::Vanished)
    );
    assert!(matches!(&rest[1..], [WalkItem::Entry { entry, .. }] if entry.name.as_bytes() == b"f"));
}

#[test]
fn selections_tell_themselves_apart() {
    let print = |selection: Selection| {
        let mut bytes: Vec<u8> = Vec::new();
        selection.fingerprint(|more| bytes.extend(more));
        bytes
    };
    let prints = [
        print(Selection::default()),
        print(ruled(&["- a"])),
        print(ruled(&["+ a"])),
        print(ruled(&["-! a"])),
        print(ruled(&["H a"])),
        print(ruled(&["- a", "- b"])),
        print(ruled(&["- b", "- a"])),
        print(listed("a\nb", &[])),
        print(listed("ab", &[])),
    ];
    for (at, one) in prints.iter().enumerate() {
        assert!(prints[..at].iter().all(|other| other != one), "{at}");
    }
}
