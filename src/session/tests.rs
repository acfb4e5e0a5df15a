//! Sessions that begin, advance, end, age and are found again.

use super::*;
use jiff::Timestamp;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// A time, `seconds` after an arbitrary one.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A session that receives, with an id of such bytes.
pub(super) fn begun(id: u8) -> Begin {
    Begin {
        key: Key { role: Role::Receive, session: [id; 16], place: b"/srv/\xff".to_vec() },
        command: Some(Command {
            words: vec!["recv".into(), OsString::new(), OsString::from_vec(b"\xfe\n".to_vec())],
            folder: "/home/a".into(),
            ticket: Some("rsl1x".into()),
        }),
        peer: "rz1peer".into(),
        location: "host:1".into(),
        files: 3,
        bytes: 1000,
    }
}

fn numbers(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.number).collect()
}

#[test]
fn a_session_is_begun_advanced_and_taken_up() {
    let store = Store::in_memory();
    let record = store.begin(&begun(1), at(0)).unwrap();
    let expected = Record {
        key: begun(1).key,
        number: record.number,
        command: begun(1).command,
        peer: "rz1peer".into(),
        location: "host:1".into(),
        state: State::Active,
        began: at(0),
        changed: at(0),
        files: 3,
        bytes: 1000,
        bytes_done: 0,
        runs: 1,
        failures: 0,
        last_failure: None,
    };
    assert_eq!(record, expected);
    store.advance(record.number, 400, at(1)).unwrap();
    store.end(record.number, State::Failed, Some((Class::Network, "broke")), 500, at(2)).unwrap();
    let again =
        Begin { command: None, peer: "other".into(), location: "ticket".into(), files: 4, bytes: 2000, ..begun(1) };
    let failure = Failure { at: at(2), class: Class::Network, message: "broke".into() };
    let expected = Record {
        command: None,
        peer: "other".into(),
        location: "ticket".into(),
        changed: at(3),
        files: 4,
        bytes: 2000,
        bytes_done: 500,
        runs: 2,
        failures: 1,
        last_failure: Some(failure),
        ..expected
    };
    assert_eq!(store.begin(&again, at(3)).unwrap(), expected);
    // A run that crashed leaves it active.
    assert_eq!(store.begin(&again, at(4)).unwrap().runs, 3);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn what_makes_a_session_is_all_of_its_key() {
    let store = Store::in_memory();
    let first = store.begin(&begun(1), at(0)).unwrap();
    let place = Begin { key: Key { place: b"/other".to_vec(), ..begun(1).key }, ..begun(1) };
    let role = Begin { key: Key { role: Role::Send, ..begun(1).key }, ..begun(1) };
    let records = [&begun(2), &place, &role].map(|begun| store.begin(begun, at(1)).unwrap());
    assert!(records.iter().all(|record| record.number != first.number && record.runs == 1));
    assert_eq!(records[2].key.role, Role::Send);
}

#[test]
fn what_is_over_starts_anew() {
    let store = Store::in_memory();
    for over in [State::Completed, State::Expired] {
        let old = store.begin(&begun(1), at(0)).unwrap();
        store.end(old.number, State::Failed, Some((Class::Network, "broke")), 500, at(1)).unwrap();
        store.begin(&begun(1), at(2)).unwrap();
        if over == State::Completed {
            store.end(old.number, over, None, 1000, at(3)).unwrap();
        } else {
            assert_eq!(store.expire(at(9), at(9)).unwrap().len(), 1);
        }
        let new = store.begin(&begun(1), at(10)).unwrap();
        assert_eq!((new.runs, new.failures, new.bytes_done, new.last_failure), (1, 0, 0, None));
        assert_eq!((new.began, new.state), (at(10), State::Active));
        assert!(new.number > old.number, "a number is not given twice");
        assert!(matches!(store.advance(old.number, 1, at(11)), Err(StoreError::Gone)));
        store.forget(new.number).unwrap();
    }
}

#[test]
fn a_transition_that_the_table_forbids_is_refused_and_changes_nothing() {
    let store = Store::in_memory();
    let number = store.begin(&begun(1), at(0)).unwrap().number;
    store.end(number, State::Paused, None, 10, at(1)).unwrap();
    let before = store.list().unwrap();
    let refused = store.end(number, State::Completed, Some((Class::Network, "x")), 1000, at(2)).unwrap_err();
    assert!(matches!(refused, StoreError::Transition { from: State::Paused, to: State::Completed }));
    assert_eq!(refused.to_string(), "a session that is paused cannot become completed");
    assert!(matches!(store.advance(number, 11, at(2)), Err(StoreError::Gone)), "it is not running");
    assert_eq!(store.list().unwrap(), before);
    assert!(matches!(store.end(number + 1, State::Failed, None, 0, at(2)), Err(StoreError::Gone)));
}

#[test]
fn sessions_are_listed_by_change_and_found_by_prefix() {
    let store = Store::in_memory();
    let send = |id| Begin { key: Key { role: Role::Send, session: [id; 16], place: Vec::new() }, ..begun(id) };
    let [a, b, c] = [0xa1, 0xa2, 0xb1].map(|id| store.begin(&send(id), at(id.into())).unwrap());
    store.advance(a.number, 1, at(1000)).unwrap();
    assert_eq!(numbers(&store.list().unwrap()), [a.number, c.number, b.number]);
    assert_eq!(store.find("b").unwrap(), Found::One(Box::new(c.clone())));
    assert_eq!(store.find("B1b").unwrap(), Found::One(Box::new(c.clone())));
    assert_eq!(store.find(&"b1".repeat(16)).unwrap(), Found::One(Box::new(c.clone())));
    assert!(matches!(store.find("a").unwrap(), Found::Several(found) if numbers(&found) == [a.number, b.number]));
    for none in ["", "c", "%", "_", "b1b1b2", &"b1".repeat(17)] {
        assert_eq!(store.find(none).unwrap(), Found::None, "{none}");
    }
    assert_eq!([&a, &b, &c].map(|record| store.short(record).unwrap()), ["a1a1", "a2a2", "b1b1"]);
}

#[test]
fn what_one_sender_sends_to_two_places_has_two_names() {
    let store = Store::in_memory();
    let at_place = |place: &[u8]| Begin { key: Key { place: place.to_vec(), ..begun(1).key }, ..begun(1) };
    let [one, other] = [b"/a", b"/b"].map(|place| store.begin(&at_place(place), at(0)).unwrap());
    assert!(matches!(store.find("0101").unwrap(), Found::Several(_)), "both are of that session");
    for record in [&one, &other] {
        let short = store.short(record).unwrap();
        assert_eq!(store.find(&short).unwrap(), Found::One(Box::new(record.clone())));
    }
}

#[test]
fn what_was_left_alone_expires_and_is_pruned() {
    let store = Store::in_memory();
    let [crashed, failed, done, fresh] = [1, 2, 3, 4].map(|id| store.begin(&begun(id), at(0)).unwrap().number);
    store.end(failed, State::Failed, None, 0, at(1)).unwrap();
    store.end(done, State::Completed, None, 0, at(1)).unwrap();
    store.advance(fresh, 1, at(5)).unwrap();
    let expired: Vec<Record> = store.expire(at(5), at(20)).unwrap().into_iter().map(|(record, _)| record).collect();
    assert_eq!(numbers(&expired), [crashed, failed]);
    assert!(expired.iter().all(|record| record.state == State::Expired && record.changed == at(20)));
    assert_eq!(store.expire(at(5), at(21)).unwrap(), []);
    assert_eq!(store.prune(at(20)).unwrap(), 1, "the completed one");
    assert_eq!(store.prune(at(21)).unwrap(), 2);
    assert_eq!(numbers(&store.list().unwrap()), [fresh]);
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let store = Store::in_memory();
    let nul =
        Begin { command: Some(Command { words: vec!["a\0b".into()], folder: "/".into(), ticket: None }), ..begun(1) };
    let long = Begin { location: "x".repeat(1 << 17), ..begun(1) };
    let big = Begin { bytes: 1 << 63, ..begun(1) };
    for begun in [nul, long, big] {
        assert!(matches!(store.begin(&begun, at(0)), Err(StoreError::Unfit(_))));
    }
    let number = store.begin(&begun(1), at(0)).unwrap().number;
    store.end(number, State::Failed, Some((Class::FileIo, &"é".repeat(4000))), 0, at(1)).unwrap();
    assert_eq!(store.list().unwrap()[0].last_failure.as_ref().unwrap().message, "é".repeat(2048));
    let bare = Begin { command: Some(Command { words: Vec::new(), folder: "/".into(), ticket: None }), ..begun(1) };
    assert_eq!(store.begin(&bare, at(2)).unwrap().command, bare.command);
}

#[test]
fn a_row_that_does_not_hold_is_an_error() {
    for change in [
        "state = 'asleep'",
        "role = ''",
        "session = x'01'",
        "bytes = -1",
        "runs = -1",
        "runs = 4294967296",
        "folder = NULL",
        "command = x'61'",
        "failed_at = 1",
        "failed_at = 1, failed_class = 255, failed_message = ''",
        "began = 9223372036854775807",
        "peer = CAST(x'ff' AS TEXT)",
    ] {
        let store = Store::in_memory();
        store.begin(&begun(1), at(0)).unwrap();
        store.connection().execute(&format!("UPDATE sessions SET {change}"), []).unwrap();
        assert!(matches!(store.list(), Err(StoreError::Corrupt(_))), "{change}: {:?}", store.list());
    }
}

#[test]
fn classes_of_errors_say_whether_to_try_again() {
    let moved = StoreError::Transition { from: State::Expired, to: State::Failed };
    assert!(moved.class().is_transient() && StoreError::Gone.class().is_transient());
    assert_eq!(StoreError::Corrupt("x").class(), Class::FileIo);
    assert_eq!(StoreError::Special.class(), Class::Usage);
}
