//! What is opened, what is refused, and what is moved aside.

use super::super::tests::{at, begun};
use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// A folder with a store of one session in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let opened = Store::open(folder.path()).unwrap();
    assert_eq!(opened.set_aside, None);
    opened.store.begin(&begun(1), at(0)).unwrap();
    folder
}

#[test]
fn folder_and_files_are_the_users_alone() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("state/resilient");
    let store = Store::open(&folder).unwrap().store;
    store.begin(&begun(1), at(0)).unwrap();
    assert_eq!((mode(&top.path().join("state")), mode(&folder)), (0o700, 0o700));
    for name in [FILE, "sessions.db-wal", "sessions.db-shm", LOCK] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    drop(store);
    assert!(!folder.join("sessions.db-wal").exists(), "the log is written back by who leaves last");
}

#[test]
fn what_others_may_write_to_is_refused() {
    let folder = folder();
    for mode in [0o720, 0o702, 0o1777] {
        set_mode(folder.path(), mode);
        let refused = Store::open(folder.path()).unwrap_err();
        assert_eq!(refused.to_string(), format!("other users may write to this folder (mode {mode:04o})"));
    }
    set_mode(folder.path(), 0o755);
    set_mode(&folder.path().join(FILE), 0o660);
    let refused = Store::open(folder.path()).unwrap_err();
    assert_eq!(refused.to_string(), "other users may write to sessions.db (mode 0660)");
    set_mode(&folder.path().join(FILE), 0o600);
    assert_eq!(Store::open(folder.path()).unwrap().store.list().unwrap().len(), 1);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    fs::create_dir(&file).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Special)));
    fs::remove_dir(&file).unwrap();
    symlink("/nonexistent/file", &file).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Io(_))));
    fs::remove_file(&file).unwrap();
    fs::write(folder.path().join("plain"), "").unwrap();
    assert!(matches!(Store::open(&folder.path().join("plain")), Err(StoreError::Io(_))));
}

#[test]
fn an_empty_file_gets_the_tables_and_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "").unwrap();
    set_mode(&folder.path().join(FILE), 0o600);
    let opened = Store::open(folder.path()).unwrap();
    assert_eq!(opened.set_aside, None);
    let connection = opened.store.connection();
    let setting = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(setting("user_version"), MIGRATIONS.len() as i64);
    let others = ["auto_vacuum", "synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout"].map(setting);
    assert_eq!(others, [1, 2, 1, 64, 10_000]);
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

#[test]
fn it_is_there_when_opened_again_and_seen_by_another() {
    let folder = folder();
    let [one, two] = [(); 2].map(|()| Store::open(folder.path()).unwrap().store);
    assert_eq!(one.list().unwrap().len(), 1);
    two.begin(&begun(2), at(1)).unwrap();
    assert_eq!(one.list().unwrap(), two.list().unwrap());
    assert_eq!(one.list().unwrap().len(), 2);
}

#[test]
fn many_may_open_and_write_at_once() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("new");
    std::thread::scope(|scope| {
        for id in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                let opened = Store::open(folder).unwrap();
                assert_eq!(opened.set_aside, None);
                let number = opened.store.begin(&begun(id), at(0)).unwrap().number;
                (0..10).for_each(|step| opened.store.advance(number, step, at(1)).unwrap());
            });
        }
    });
    assert_eq!(Store::open(&folder).unwrap().store.list().unwrap().len(), 8);
}

#[test]
fn what_is_no_store_is_moved_aside_with_its_log() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for (number, content) in [(1, &b"not a database, but long enough to be taken for one"[..]), (2, &[7; 9000])] {
        fs::write(path(FILE), content).unwrap();
        fs::write(path("sessions.db-wal"), "the log").unwrap();
        let opened = Store::open(folder.path()).unwrap();
        let aside = opened.set_aside.unwrap();
        assert_eq!(aside.path, path(&format!("sessions.db.unreadable-{number}")));
        assert_eq!(aside.cause, "file is not a database");
        assert_eq!(fs::read(&aside.path).unwrap(), content);
        assert_eq!(fs::read(beside(&aside.path, "-wal")).unwrap(), b"the log");
        opened.store.begin(&begun(2), at(0)).unwrap();
        assert_eq!(opened.store.list().unwrap().len(), 1, "it begins empty, and works");
    }
}

#[test]
fn damage_inside_is_found() {
    let folder = folder();
    let file = folder.path().join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle.max(8192)].fill(0xa5);
    fs::write(&file, &bytes).unwrap();
    let opened = Store::open(folder.path()).unwrap();
    assert_eq!(fs::read(opened.set_aside.unwrap().path).unwrap(), bytes);
    assert_eq!(opened.store.list().unwrap(), []);
}

#[test]
fn a_newer_one_and_one_of_another_program_are_moved_aside_whole() {
    for change in ["PRAGMA user_version = 99", "PRAGMA user_version = -1", "PRAGMA user_version = 0"] {
        let folder = folder();
        let store = Store::open(folder.path()).unwrap().store;
        store.begin(&begun(2), at(1)).unwrap();
        store.connection().execute_batch(change).unwrap();
        // As after a crash: what was written last stands in the log only.
        store.connection().set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        drop(store);
        let aside = Store::open(folder.path()).unwrap().set_aside.unwrap();
        assert!(beside(&aside.path, "-wal").exists());
        let old = Connection::open(&aside.path).unwrap();
        let sessions: i64 = old.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
        assert_eq!(sessions, 2, "{change}: {}", aside.cause);
        assert_eq!(Store::open(folder.path()).unwrap().set_aside, None);
    }
}
