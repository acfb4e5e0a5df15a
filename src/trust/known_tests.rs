//! Tests of `known`: the grammar, the lookups, and that nothing known is replaced or lost.

use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

fn key(n: u8) -> NodeId {
    NodeId::from_bytes([n; 32])
}

fn day() -> Date {
    "2026-11-22".parse().unwrap()
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn a_node_is_found_by_name_address_and_key() {
    let text = format!(
        "# mine\nbase {} Base.Example:9000,[FD00::5]:1 how=tofu last=2026-01-02\n- {} 10.0.0.5:27183\nfar {}\n",
        key(1),
        key(2),
        key(3)
    );
    let (_folder, path) = file(&text);
    let nodes = KnownNodes::load(&path).unwrap();
    assert_eq!(nodes.by_name("base").unwrap().key, key(1));
    assert!(nodes.by_name("Base").is_none() && nodes.by_name("-").is_none());
    for (address, node) in
        [("base.example:9000", 1), ("BASE.example:9000", 1), ("[fd00:0::5]:1", 1), ("10.0.0.5:27183", 2)]
    {
        assert_eq!(nodes.by_address(&at(address)).unwrap().key, key(node), "{address}");
    }
    assert!(nodes.by_address(&at("base.example:9001")).is_none());
    let far = nodes.by_key(key(3)).unwrap();
    assert_eq!((far.how, far.first, far.last, far.addresses.len()), (How::Manual, None, None, 0));
    assert!(nodes.by_key(key(4)).is_none());
}

#[test]
fn a_mistake_is_named_and_nothing_is_written_over_it() {
    let (a, b) = (key(1), key(2));
    let table = [
        (format!("- {a} h:1\nhello\n"), 2, "node id"),
        (format!("{a} h:1\n"), 1, "name"),
        (format!("- {}x h:1\n", &a.to_string()[..57]), 1, "node id"),
        (format!("- {a} h\n"), 1, "HOST:PORT"),
        (format!("- {a} h:0\n"), 1, "HOST:PORT"),
        (format!("- {a} ::1:5\n"), 1, "HOST:PORT"),
        (format!("- {a} h:1,\n"), 1, "HOST:PORT"),
        (format!("- {a} h:1 how=magic\n"), 1, "how"),
        (format!("- {a} h:1 last=now\n"), 1, "date"),
        (format!("- {a} h:1 colour=red\n"), 1, "colour"),
        (format!("- {a} h:1 how=ssh how=ssh\n"), 1, "twice"),
        (format!("- {a} h:1 link=9600bit\n"), 1, "30 to 8192 bytes"),
        (format!("- {a} h:1 link=10000\n"), 1, "30 to 8192 bytes"),
        (format!("x {a}\nx {b}\n"), 2, "(line 1)"),
        (format!("- {a} h:1\n# -\n- {b} g:1,H:1\n"), 3, "(line 1)"),
        (format!("- {a}\n- {a}\n"), 2, "(line 1)"),
    ];
    for (text, line, said) in table {
        let (_folder, path) = file(&text);
        let error = KnownNodes::load(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:{line}: ", path.display())) && error.contains(said), "{text}: {error}");
        assert!(KnownNodes::trust(&path, key(9), None, None, How::Manual, day()).is_err());
        let meeting = Meeting { key: a, address: None, link: None, today: day() };
        assert!(KnownNodes::met(&path, meeting).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn trusting_adds_to_what_is_known_and_takes_nothing_from_others() {
    let (_folder, path) = file("# mine\n");
    let trust = |n, name, address: &str, how| KnownNodes::trust(&path, key(n), name, address.parse().ok(), how, day());
    trust(1, None, "h:1", How::Tofu).unwrap();
    trust(1, None, "h:1", How::Tofu).unwrap();
    let line = format!("# mine\n- {} h:1 how=tofu first=2026-11-22\n", key(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    trust(1, Some("base"), "", How::Manual).unwrap();
    trust(1, None, "g:2", How::Tofu).unwrap();
    let line = format!("# mine\nbase {} g:2,h:1 how=manual first=2026-11-22\n", key(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    for (name, address) in [(Some("base"), ""), (None, "H:1")] {
        let error = trust(2, name, address, How::Manual).unwrap_err();
        assert!(matches!(error, TrustError::Conflict(_)), "{error}");
    }
    // That somebody else is forgotten would not help.
    assert!(matches!(trust(2, Some("a:b"), "", How::Manual), Err(TrustError::Name(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    let forgotten = KnownNodes::forget(&path, |node| node.key == key(1)).unwrap();
    assert_eq!((forgotten.len(), forgotten[0].label()), (1, "base".into()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\n");
}

#[test]
fn a_meeting_is_noted_of_those_who_are_known() {
    let text = format!("base {} h:1\nother {} g:1\n", key(1), key(2));
    let (_folder, path) = file(&text);
    let met = |node, address, link| {
        KnownNodes::met(&path, Meeting { key: key(node), address, link, today: day() }).unwrap();
    };
    met(3, Some(at("x:1")), None);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    met(1, Some(at("g:1")), None);
    let line =
        |addresses: &str| format!("base {} {addresses} how=manual last=2026-11-22\nother {} g:1\n", key(1), key(2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("h:1"), "the address of another node stays its own");
    met(1, Some(at("x:1")), None);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("x:1,h:1"));
    for port in 1..=20 {
        met(1, Address::new("y", port), Link::new(1200).map(Way::Slow));
    }
    let nodes = KnownNodes::load(&path).unwrap();
    let kept = &nodes.by_key(key(1)).unwrap().addresses;
    assert_eq!((kept.len(), kept[0].to_string()), (MAX_ADDRESSES, "y:20".into()));
    assert_eq!(nodes.by_key(key(1)).unwrap().link, Link::new(1200));
    for (learnt, link) in [(None, Link::new(1200)), (Some(Way::Fast), None)] {
        met(1, None, learnt);
        assert_eq!(KnownNodes::load(&path).unwrap().by_key(key(1)).unwrap().link, link, "{learnt:?}");
    }
}

proptest! {
    #[test]
    fn written_and_read_again(
        id: [u8; 32],
        name in proptest::option::of("[a-z]{1,9}"),
        hosts in proptest::collection::btree_set("[a-z.]{1,9}|fd00::[1-9]|10\\.0\\.0\\.[1-9]", 0..MAX_ADDRESSES),
        how in 0_usize..4,
        dated: bool,
        link in proptest::option::of(30_u64..8193),
    ) {
        let addresses = hosts.iter().map(|host| Address::new(host, 7).unwrap()).collect();
        let date = dated.then(day);
        let key = NodeId::from_bytes(id);
        let node = KnownNode { name, key, addresses, how: How::ALL[how], first: date, last: date, link: link.and_then(Link::new) };
        prop_assert_eq!(KnownNode::read(&node.write()), Ok(node));
    }

    #[test]
    fn no_line_panics(line in "\\PC{0,80}") {
        let _ = KnownNode::read(&line);
        let _ = KnownNode::read(&format!("- {} {line}", key(1)));
        let _ = line.parse::<Address>();
    }
}
