//! Tests of `contact`: what a target means to one who knows these nodes and has said these options.

use super::*;

fn key(n: u8) -> NodeId {
    NodeId::from_bytes([n; 32])
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

/// `base` is node 1 at `base:1`, node 2 is at `two:2`, `lost` is node 3 and nowhere.
fn nodes() -> KnownNodes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(known::FILE);
    let text = format!(
        "base {} base:1,10.0.0.1:1\n- {} two:2\nlost {} -\n- {} seven:7 link=1200\n",
        key(1),
        key(2),
        key(3),
        key(7)
    );
    std::fs::write(&path, text).unwrap();
    KnownNodes::load(&path).unwrap()
}

fn planned(target: Target, rules: Rules) -> Result<Plan, Failure> {
    plan(&target, &rules, &nodes())
}

fn ticket() -> Target {
    Target::Ticket(Ticket::new(key(7), ["10.0.0.1:1".parse().unwrap()], None))
}

#[test]
fn what_is_known_is_pinned() {
    let known = |name: &str| Some(Witness::Known(name.into()));
    let table = [
        (Target::Address(at("new:1")), vec!["new:1"], None, None),
        (Target::Address(at("BASE:1")), vec!["base:1"], Some(1), known("base")),
        (Target::Known("base".into()), vec!["base:1", "10.0.0.1:1"], Some(1), known("base")),
        (Target::Node(key(2), None), vec!["two:2"], Some(2), known(&key(2).to_string())),
        (Target::Node(key(9), Some(at("new:1"))), vec!["new:1"], Some(9), Some(Witness::Typed)),
        (Target::Node(key(1), Some(at("base:1"))), vec!["base:1"], Some(1), known("base")),
        // A ticket is younger than what was known of its address.
        (ticket(), vec![], Some(7), Some(Witness::Typed)),
    ];
    for (target, addresses, pinned, witness) in table {
        let plan = planned(target.clone(), Rules::default()).unwrap();
        assert_eq!(plan.addresses, addresses.into_iter().map(at).collect::<Vec<_>>(), "{target:?}");
        assert_eq!(plan.key, pinned.map(key).zip(witness), "{target:?}");
    }
    for target in [Target::Known("lost".into()), Target::Known("nobody".into()), Target::Node(key(3), None)] {
        let failure = planned(target, Rules::default()).unwrap_err();
        assert_eq!(failure.class, Class::Usage);
        assert!(failure.hint.is_some());
    }
}

#[test]
fn a_slow_link_is_remembered_with_the_node() {
    for (target, rate) in [
        (Target::Address(at("base:1")), None),
        (Target::Address(at("new:1")), None),
        (Target::Address(at("seven:7")), Some(1200)),
        (Target::Node(key(7), Some(at("new:1"))), Some(1200)),
        (ticket(), Some(1200)),
    ] {
        assert_eq!(planned(target, Rules::default()).unwrap().link.map(Link::rate), rate);
    }
}

#[test]
fn a_key_other_than_the_known_one_is_refused_whatever_was_said() {
    let of = |n| Rules { peer_key: Some(key(n)), ..Rules::default() };
    let wrong = [
        (Target::Address(at("base:1")), of(9)),
        (Target::Address(at("base:1")), Rules { accept_new: true, ..of(9) }),
        (Target::Known("base".into()), of(2)),
        (Target::Node(key(9), Some(at("base:1"))), Rules::default()),
        (Target::Node(key(9), Some(at("base:1"))), of(9)),
        (Target::Node(key(9), Some(at("base:1"))), Rules { insecure: true, ..Rules::default() }),
        (Target::Node(key(8), Some(at("new:1"))), of(9)),
        (ticket(), of(9)),
    ];
    for (target, rules) in wrong {
        let failure = planned(target.clone(), rules).unwrap_err();
        assert_eq!(failure.class, Class::Authentication, "{target:?}");
        assert_eq!(failure.message.matches("rz1").count(), 2, "both keys are shown");
        if !matches!(target, Target::Ticket(_) | Target::Node(_, Some(_))) {
            assert!(failure.hint.unwrap().ends_with(&format!("resilient key forget {}", key(1))));
        }
    }
    for target in [Target::Address(at("new:1")), Target::Node(key(9), Some(at("new:1")))] {
        assert_eq!(planned(target, of(9)).unwrap().key, Some((key(9), Witness::Typed)));
    }
}

#[test]
fn insecure_is_refused_where_a_key_is_pinned() {
    let insecure = || Rules { insecure: true, ..Rules::default() };
    for target in [
        ticket(),
        Target::Address(at("base:1")),
        Target::Known("base".into()),
        Target::Node(key(9), Some(at("new:1"))),
        Target::Node(key(2), None),
    ] {
        let failure = planned(target, insecure()).unwrap_err();
        assert!(failure.class == Class::Usage && failure.message.contains("--insecure"), "{failure:?}");
    }
    assert_eq!(planned(Target::Address(at("new:1")), insecure()).unwrap().key, None);
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let introduced = |witness, secret| Introduced {
        peer: Peer { secret, ..Peer::default() },
        contimeout: Duration::ZERO,
        link: None,
        witness,
    };
    let refused = || pipeline::Error::Refused {
        peer: Side::Receiver,
        class: Class::Authentication,
        message: "no".into(),
        retry_after: None,
    };
    let failure = introduced(Some(Witness::Typed), None).explain(refused(), key(5));
    assert_eq!((failure.class, failure.message.as_str()), (Class::Authentication, "receiver: no"));
    assert!(failure.hint.unwrap().ends_with(&format!("resilient key allow {}", key(5))));
    let secret = Some(crate::ticket::Secret::from_bytes([7; 16]));
    let failure = introduced(Some(Witness::Typed), secret).explain(refused(), key(5));
    assert!(failure.hint.unwrap().contains("ticket"));
    let address = "10.0.0.1:1".parse().unwrap();
    let wrong = ConnectError::WrongKey { address, expected: key(1), seen: key(2) };
    let failure = introduced(Some(Witness::Known("base".into())), None).explain(wrong.into(), key(5));
    assert!(failure.message.contains(&key(1).to_string()) && failure.message.contains(&key(2).to_string()));
    assert!(failure.hint.unwrap().ends_with(&format!("resilient key forget {}", key(1))));
}
