//! Tests of `authorized`: the grammar, who is granted what, and that mistakes let nobody in.

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

fn key(n: u8) -> NodeId {
    NodeId::from_bytes([n; 32])
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// A file with this text.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

#[test]
fn who_is_listed_is_granted_what_stands_there() {
    let text = format!(
        "# friends\n\n{} ann dir=/srv/in%20box quota=2g expire=2027-01-01 perms=admin,recv\n{}\n{} - perms=relay\n",
        key(1),
        key(2),
        key(3)
    );
    let (_folder, path) = file(&text);
    let nodes = AuthorizedNodes::load(&path).unwrap();
    let ann = Grant { name: Some("ann".into()), dir: Some("/srv/in box".into()), quota: Some(2 << 30) };
    assert_eq!(nodes.grant(key(1), day("2027-01-01")), Some(ann));
    assert_eq!(nodes.grant(key(1), day("2027-01-02")), None, "expired");
    assert_eq!(nodes.grant(key(2), day("2100-01-01")), Some(Grant { name: None, dir: None, quota: None }));
    assert_eq!(nodes.grant(key(3), day("2026-01-01")), None, "may use the relay only");
    assert_eq!(nodes.grant(key(4), day("2026-01-01")), None, "not listed");
}

#[test]
fn a_mistake_lets_nobody_in_and_is_named() {
    let (a, b) = (key(1), key(2));
    let table = [
        (format!("{a} ann\nhello\n"), 2, "rz1"),
        (format!("{a} ann\n{a} bob\n"), 2, "already (line 1)"),
        (format!("{a} perms=recv\n"), 1, "name"),
        (format!("{a} ann perms=\n"), 1, "perms"),
        (format!("{a} ann perms=recv,root\n"), 1, "root"),
        (format!("# x\n{a} ann\n\n{b} b colour=red\n"), 4, "colour"),
        (format!("{a} ann quota=2x\n"), 1, "quota"),
        (format!("{a} ann expire=soon\n"), 1, "date"),
        (format!("{a} ann expire=2027-02-30\n"), 1, "date"),
        (format!("{a} ann dir=relative\n"), 1, "absolute"),
        (format!("{a} ann dir=/a%2\n"), 1, "%"),
        (format!("{a} ann dir=/a%00\n"), 1, "NUL"),
        (format!("{a} ann dir=/a dir=/b\n"), 1, "twice"),
        (format!("{a} a:b\n"), 1, "name"),
    ];
    for (text, line, said) in table {
        let (_folder, path) = file(&text);
        let error = AuthorizedNodes::load(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:{line}: ", path.display())) && error.contains(said), "{text}: {error}");
        // Nor is anything written into such a file.
        assert!(AuthorizedNodes::allow(&path, AuthorizedNode::new(key(9))).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_file_that_others_may_write_to_is_refused() {
    let (_folder, path) = file("");
    for (mode, good) in [(0o620, false), (0o602, false), (0o644, true), (0o600, true), (0o400, true)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(AuthorizedNodes::load(&path).is_ok(), good, "{mode:o}");
    }
    // Giving a file away is root's alone.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        let error = AuthorizedNodes::load(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: belongs to another user (uid 12345)", path.display()));
        assert_eq!(error.class().code(), 1);
    }
    assert!(AuthorizedNodes::load(path.parent().unwrap()).is_err());
    assert_eq!(AuthorizedNodes::load(&path.with_file_name("none")).unwrap().nodes().count(), 0);
}

#[test]
fn allowing_and_forgetting_keep_the_other_lines() {
    let (_folder, path) = file(&format!("# mine\n  {}   ann  # no comment here\n", key(1)));
    assert!(AuthorizedNodes::load(&path).is_err(), "a comment has its own line");
    let (_folder, path) = file(&format!("# mine\n  {}   ann\n\n{} bob quota=1K\n", key(1), key(2)));
    let bob = AuthorizedNode { quota: Some(5), name: Some("bob".into()), ..AuthorizedNode::new(key(2)) };
    for _ in 0..2 {
        AuthorizedNodes::allow(&path, bob.clone()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# mine\n  {}   ann\n\n{} bob perms=recv quota=5\n", key(1), key(2)));
    }
    assert_eq!(AuthorizedNodes::forget(&path, |node| node.key == key(1)).unwrap().len(), 1);
    assert_eq!(AuthorizedNodes::forget(&path, |node| node.key == key(1)).unwrap(), []);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("# mine\n\n{} bob perms=recv quota=5\n", key(2)));
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder").join(FILE);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let path = &path;
            scope.spawn(move || AuthorizedNodes::allow(path, AuthorizedNode::new(key(n))).unwrap());
        }
    });
    assert_eq!(AuthorizedNodes::load(&path).unwrap().nodes().count(), 16);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 2, "the list and its lock, no drafts");
}

proptest! {
    #[test]
    fn written_and_read_again(
        id: [u8; 32],
        dir in proptest::option::of(proptest::collection::vec(1_u8.., 0..40)),
        quota: Option<u64>,
        some in 0_usize..7,
        name in proptest::option::of("[a-z]{1,9}"),
    ) {
        let all: Vec<Permission> = Permission::ALL.into_iter().enumerate().filter(|(at, _)| (some + 1) >> at & 1 == 1).map(|(_, p)| p).collect();
        let dir = dir.map(|tail| PathBuf::from(OsString::from_vec([b"/", tail.as_slice()].concat())));
        let node = AuthorizedNode { key: NodeId::from_bytes(id), name, permissions: all, dir, quota, expire: None };
        prop_assert_eq!(AuthorizedNode::read(&node.write()), Ok(node));
    }

    #[test]
    fn no_line_panics(line in "\\PC{0,80}") {
        let _ = AuthorizedNode::read(&line);
        let _ = AuthorizedNode::read(&format!("{} a dir={line}", key(1)));
    }
}
