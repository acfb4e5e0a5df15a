//! What is verified of unfinished files is kept, replaced, and goes with its session.

use super::super::tests::{at, begun};
use super::super::{Class, FILE, State};
use super::*;

fn landing(partial: &str, segments: &[(u64, &[u8])]) -> Landing {
    let name = |bytes: &[u8]| Name::new(bytes).unwrap();
    Landing {
        partial: partial.into(),
        path: TreePath::ROOT.join(name(b"d\xff")).unwrap().join(name(b"f")).unwrap(),
        meta: Meta { mode: 0o640, mtime: FileTime { seconds: -5, nanoseconds: 999_999_999 } },
        size: MAX_FILE,
        chunk_bytes: u32::MAX,
        written: Some(FileTime { seconds: 1 << 40, nanoseconds: 7 }),
        segments: segments.iter().map(|(number, bytes)| (*number, bytes.to_vec())).collect(),
    }
}

fn running() -> (Store, i64) {
    let store = Store::in_memory();
    let number = store.begin(&begun(1), at(0)).unwrap().number;
    (store, number)
}

fn rows(store: &Store, table: &str) -> i64 {
    store.connection().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn landings_come_back_and_segments_are_replaced() {
    let (store, number) = running();
    assert_eq!(store.landings(number).unwrap(), []);
    let first = landing("b.part", &[(0, b"zero"), (1, b"one"), (i64::MAX as u64, b"last")]);
    let other = landing("a.part", &[]);
    store.record(number, &[first.clone(), other.clone()], &[], 10, at(1)).unwrap();
    assert_eq!(store.landings(number).unwrap(), [other, first.clone()], "by the names of the partial files");

    let later = Landing { size: 5, ..landing("b.part", &[(1, b""), (2, b"two"), (0, b"ZERO"), (9, b"")]) };
    store.record(number, std::slice::from_ref(&later), &["a.part".into(), "none".into()], 20, at(2)).unwrap();
    let mut expected = later;
    expected.segments.retain(|_, bytes| !bytes.is_empty());
    expected.segments.insert(i64::MAX as u64, b"last".to_vec());
    assert_eq!(store.landings(number).unwrap(), [expected]);
    let record = store.list().unwrap().remove(0);
    assert_eq!((record.bytes_done, record.changed), (20, at(2)));

    let replaced = landing("b.part", &[(3, b"three")]);
    store.record(number, std::slice::from_ref(&replaced), &["b.part".into()], 20, at(3)).unwrap();
    assert_eq!(store.landings(number).unwrap(), [replaced], "what is gone and there again has nothing of before");
}

#[test]
fn landings_go_with_their_session() {
    let (store, number) = running();
    let one = [landing("a.part", &[(0, b"zero")])];
    store.record(number, &one, &[], 1, at(1)).unwrap();
    store.end(number, State::Failed, Some((Class::Network, "broke")), 1, at(2)).unwrap();
    assert_eq!(store.landings(number).unwrap(), one, "a failure keeps them");
    assert!(matches!(store.record(number, &one, &[], 1, at(2)), Err(StoreError::Gone)), "it is not running");

    let number = store.begin(&begun(1), at(3)).unwrap().number;
    store.end(number, State::Completed, None, 1, at(4)).unwrap();
    assert_eq!((rows(&store, "landings"), rows(&store, "segments")), (0, 0));

    let number = store.begin(&begun(1), at(5)).unwrap().number;
    store.record(number, &one, &[], 1, at(6)).unwrap();
    let expired = store.expire(at(7), at(8)).unwrap();
    assert_eq!(expired.into_iter().map(|(_, landings)| landings).collect::<Vec<_>>(), [one.to_vec()]);
    assert_eq!((rows(&store, "landings"), rows(&store, "segments")), (0, 0));

    let number = store.begin(&begun(1), at(9)).unwrap().number;
    store.record(number, &one, &[], 1, at(10)).unwrap();
    store.forget(number).unwrap();
    store.forget(number).unwrap();
    assert_eq!((rows(&store, "sessions"), rows(&store, "landings"), rows(&store, "segments")), (0, 0, 0));
}

#[test]
fn what_cannot_be_read_back_is_refused_and_nothing_of_it_is_kept() {
    let (store, number) = running();
    let good = landing("a.part", &[]);
    for bad in [
        landing("../a", &[]),
        landing("", &[]),
        landing("b", &[(u64::MAX, b"x")]),
        landing("b", &[(0, &vec![0; MAX_SEGMENT + 1])]),
        Landing { size: MAX_FILE + 1, ..landing("b", &[]) },
        Landing { chunk_bytes: 0, ..landing("b", &[]) },
        Landing { written: Some(FileTime { seconds: 0, nanoseconds: 1_000_000_000 }), ..landing("b", &[]) },
        Landing { meta: Meta { mode: 0o4755, mtime: FileTime::default() }, ..landing("b", &[]) },
    ] {
        let refused = store.record(number, &[good.clone(), bad.clone()], &[], 1, at(1));
        assert!(matches!(refused, Err(StoreError::Unfit(_))), "{bad:?}");
    }
    assert_eq!(store.landings(number).unwrap(), []);
    assert_eq!(store.list().unwrap()[0].bytes_done, 0);
}

#[test]
fn a_row_that_does_not_hold_is_an_error() {
    for change in [
        "landings SET partial = '../../etc/passwd'",
        "landings SET path = CAST('a/../b' AS BLOB)",
        "landings SET path = CAST('/a' AS BLOB)",
        "landings SET path = zeroblob(5000)",
        "landings SET size = -1",
        "landings SET chunk_bytes = 0",
        "landings SET chunk_bytes = -1",
        "landings SET mode = 2048",
        "landings SET written_nanoseconds = 1000000000",
        "segments SET number = -1",
        "segments SET bytes = zeroblob(65537)",
    ] {
        let (store, number) = running();
        store.record(number, &[landing("a.part", &[(0, b"zero")])], &[], 1, at(1)).unwrap();
        store.connection().execute(&format!("UPDATE {change}"), []).unwrap();
        assert!(matches!(store.landings(number), Err(StoreError::Corrupt(_))), "{change}");
    }
}

/// 4 GiB in chunks of 256 KiB, say, whose hashes are kept in segments of 2 KiB.
#[test]
fn the_files_stay_small_however_often_segments_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap().store;
    // What is measured does not depend on it, and the test need not wait for the disk.
    store.connection().execute_batch("PRAGMA synchronous = OFF").unwrap();
    let number = store.begin(&begun(1), at(0)).unwrap().number;
    let length = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let mut largest = 0;
    for round in 0..100_u8 {
        for segment in 0..128 {
            store.record(number, &[landing("a.part", &[(segment, &[round; 2048])])], &[], 0, at(1)).unwrap();
            largest = largest.max(length(FILE) + length(&format!("{FILE}-wal")));
        }
    }
    assert!(largest <= 1 << 20, "{largest} bytes");
    store.end(number, State::Completed, None, 0, at(2)).unwrap();
    drop(store);
    assert!(length(FILE) <= 64 << 10, "{} bytes are left", length(FILE));
}
