//! Opening the file: its folder, its permissions, its tables.
//!
//! Invariant: what is opened is the user's own (folder 0700 and file 0600 where they are made here; neither is used if others may write
//! to it), passed SQLite's check, and has the tables of this version. What does not is moved aside as it is, with what belongs to it,
//! and never deleted. Whoever opens holds a lock meanwhile, so that no file is moved away under another one who is making it.
//!
//! What stands in the tables is left to the other modules.

use super::{Store, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Name of the file in the state folder.
pub const FILE: &str = "sessions.db";
/// The file beside it whose lock whoever opens holds. It stays: removing a lock file is a race.
const LOCK: &str = "sessions.lock";
/// How long one waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// What SQLite keeps beside the file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// For each connection. The log is written back after 64 pages, so that it stays small.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 64;
    PRAGMA journal_size_limit = 262144;
";

/// What makes a file of version n one of version n + 1, from an empty one on.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        role TEXT NOT NULL,
        session BLOB NOT NULL,
        place BLOB NOT NULL,
        command BLOB,
        folder BLOB,
        peer TEXT NOT NULL,
        location TEXT NOT NULL,
        state TEXT NOT NULL,
        began INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        bytes_done INTEGER NOT NULL DEFAULT 0,
        runs INTEGER NOT NULL DEFAULT 1,
        failures INTEGER NOT NULL DEFAULT 0,
        failed_at INTEGER,
        failed_class INTEGER,
        failed_message TEXT,
        UNIQUE (role, session, place)
    ) STRICT;
    CREATE TABLE landings (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
        partial TEXT NOT NULL,
        path BLOB NOT NULL,
        mode INTEGER NOT NULL,
        mtime INTEGER NOT NULL,
        mtime_nanoseconds INTEGER NOT NULL,
        size INTEGER NOT NULL,
        chunk_bytes INTEGER NOT NULL,
        written INTEGER,
        written_nanoseconds INTEGER,
        UNIQUE (session, partial)
    ) STRICT;
    CREATE TABLE segments (
        landing INTEGER NOT NULL REFERENCES landings ON DELETE CASCADE,
        number INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (landing, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE invitations (
        place BLOB PRIMARY KEY NOT NULL,
        bytes BLOB NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;
",
    "ALTER TABLE sessions ADD COLUMN ticket TEXT;",
];

/// A store, and what had to be moved out of its way.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The file that could not be used, if there was one; the store is empty then.
    pub set_aside: Option<SetAside>,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub cause: String,
}

impl Store {
    /// Opens the store in `folder`; makes both if they are not there.
    pub fn open(folder: &Path) -> Result<Opened, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        judge(&fs::metadata(folder)?, "this folder")?;
        let _held = lock(&folder.join(LOCK))?;
        let file = folder.join(FILE);
        create(&file)?;
        let (connection, set_aside) = match connect(&file) {
            Err(StoreError::Unreadable(cause)) => {
                let path = move_aside(folder)?;
                create(&file)?;
                (connect(&file)?, Some(SetAside { path, cause }))
            }
            connection => (connection?, None),
        };
        Ok(Opened { store: Store { connection: Mutex::new(connection), folder: folder.to_owned() }, set_aside })
    }

    /// An empty store that ends with the process.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Store {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection).unwrap();
        Store { connection: Mutex::new(connection), folder: PathBuf::new() }
    }
}

/// Whether a folder or file is one to trust: nobody but the user and root can have put anything there.
fn judge(metadata: &Metadata, what: &'static str) -> Result<(), StoreError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    match () {
        () if owner != 0 && owner != rustix::process::geteuid().as_raw() => Err(StoreError::Foreign { what, owner }),
        () if mode & 0o022 != 0 => Err(StoreError::Exposed { what, mode }),
        () => Ok(()),
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    while let Err(error) = flock(&file, FlockOperation::LockExclusive) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(file)
}

/// Makes the file if it is not there. One that is there must not be opened here: closing it would end the locks that other
/// connections of this process have on it.
fn create(file: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => drop(made?),
    }
    let metadata = fs::metadata(file)?;
    if metadata.is_file() { judge(&metadata, FILE) } else { Err(StoreError::Special) }
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    // What is moved aside stays as it was found, its log included.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    prepare(&mut connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// Checks what is there and brings it to this version.
fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.busy_timeout(PATIENCE)?;
    let found = version(connection)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == 0 && tables > 0 {
        return Err(StoreError::Unreadable("tables of another program".into()));
    }
    let checked: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if checked != "ok" {
        return Err(StoreError::Unreadable(checked));
    }
    if found == 0 {
        // Only an empty file takes it, and only before the first page is written.
        connection.execute_batch("PRAGMA auto_vacuum = FULL;")?;
    }
    connection.execute_batch(SETTINGS)?;
    for (before, batch) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(batch)?;
        transaction.pragma_update(None, "user_version", before as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The version of the tables, at most that of this program.
fn version(connection: &Connection) -> Result<usize, StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(StoreError::Unreadable(format!(
            "version {version} of a store, this program knows {}",
            MIGRATIONS.len()
        ))),
    }
}

/// Moves the file and what belongs to it to the first free name, and gives that.
fn move_aside(folder: &Path) -> io::Result<PathBuf> {
    let file = folder.join(FILE);
    let mut number = 1;
    let target = loop {
        let target = folder.join(format!("{FILE}.unreadable-{number}"));
        let names = COMPANIONS.map(|ending| beside(&target, ending));
        if names.iter().chain([&target]).all(|name| fs::symlink_metadata(name).is_err()) {
            break target;
        }
        number += 1;
    };
    // The file last: if this is cut short, it is found again, and a log without its file would be deleted.
    for ending in COMPANIONS {
        match fs::rename(beside(&file, ending), beside(&target, ending)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
    }
    fs::rename(&file, &target)?;
    File::open(folder)?.sync_all()?;
    Ok(target)
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
