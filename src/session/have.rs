//! What a receiver has verified and made durable of large files that are not finished.
//!
//! Invariant: what is recorded of several files at one time is one transaction; a landing that is read back names a plain file among
//! the partials and a [`TreePath`], and fits in the bounds of a file. The bytes of a segment are opaque. That the data is on disk before
//! it is recorded, and whether the partial file is still what it was, is left to the caller.

use super::record::count;
use super::store::touch;
use super::{Store, StoreError, signed};
use crate::manifest::{FileTime, MAX_FILE, MAX_PATH, Meta, Name, TreePath};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;

/// Longest segment in bytes.
pub const MAX_SEGMENT: usize = 64 << 10;

/// An unfinished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Name of the partial file, among the others of its destination.
    pub partial: String,
    /// The file that it becomes, below the destination.
    pub path: TreePath,
    /// Mode and time that it gets.
    pub meta: Meta,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of a chunk, not 0.
    pub chunk_bytes: u32,
    /// Time of last modification of the partial file when it was made durable with all that is recorded: another one tells that somebody
    /// touched it. Nothing if it was not made durable: only what is read there tells what is there.
    pub written: Option<FileTime>,
    /// What is there of it: number of a segment → what its owner wrote, at most [`MAX_SEGMENT`] bytes.
    pub segments: BTreeMap<u64, Vec<u8>>,
}

impl Store {
    /// The unfinished files of a session, by the names of their partial files.
    pub fn landings(&self, number: i64) -> Result<Vec<Landing>, StoreError> {
        self.look(|connection| read(connection, number))
    }

    /// Forgets all unfinished files of a session: each has come to its end, in whatever way.
    pub fn clear(&self, number: i64) -> Result<(), StoreError> {
        self.change(|connection| delete(connection, number))
    }

    /// Records in one step what became of the unfinished files of a running session, and that `bytes_done` bytes of it are done.
    ///
    /// First the landings of the partial files `gone` are deleted. Then those that `changed` are kept: their segments replace those of
    /// the same numbers, the others stay. A segment without bytes is deleted. A partial file that becomes another file must be in both.
    pub fn record(
        &self,
        number: i64,
        changed: &[Landing],
        gone: &[String],
        bytes_done: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        changed.iter().try_for_each(Landing::check)?;
        let work = |connection: &Connection| {
            touch(connection, number, bytes_done, now)?;
            let mut delete = connection.prepare_cached("DELETE FROM landings WHERE session = ?1 AND partial = ?2")?;
            for partial in gone {
                delete.execute(params![number, partial])?;
            }
            changed.iter().try_for_each(|landing| landing.keep(connection, number))
        };
        // What is not durable itself need not be remembered any better.
        let durable = changed.iter().all(|landing| landing.written.is_some());
        if durable { self.change(work) } else { self.change_soon(work) }
    }
}

impl Landing {
    /// What must hold of what is written and of what is read.
    fn fault(&self) -> Option<&'static str> {
        let time = |time: FileTime| time.nanoseconds < 1_000_000_000;
        match () {
            () if Name::new(self.partial.as_bytes()).is_err() => Some("name of a partial file"),
            () if self.size > MAX_FILE => Some("size of an unfinished file"),
            () if self.chunk_bytes == 0 => Some("size of a chunk"),
            () if self.meta.mode > 0o777 => Some("mode of an unfinished file"),
            () if !time(self.meta.mtime) || !self.written.is_none_or(time) => Some("time of an unfinished file"),
            () if self.segments.values().any(|bytes| bytes.len() > MAX_SEGMENT) => Some("length of a segment"),
            () => None,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.fault().map_or(Ok(()), |fault| Err(StoreError::Unfit(fault)))
    }

    fn keep(&self, connection: &Connection, number: i64) -> Result<(), StoreError> {
        let Landing { partial, path, meta: Meta { mode, mtime }, size, chunk_bytes, written, segments } = self;
        let id: i64 = connection
            .prepare_cached(
                "INSERT INTO landings (session, partial, path, mode, mtime, mtime_nanoseconds, size, chunk_bytes,
                        written, written_nanoseconds)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                ON CONFLICT (session, partial) DO UPDATE SET
                    path = excluded.path, mode = excluded.mode, mtime = excluded.mtime,
                    mtime_nanoseconds = excluded.mtime_nanoseconds, size = excluded.size,
                    chunk_bytes = excluded.chunk_bytes, written = excluded.written,
                    written_nanoseconds = excluded.written_nanoseconds
                RETURNING id",
            )?
            .query_row(
                params![
                    number,
                    partial,
                    path.to_bytes(),
                    mode,
                    mtime.seconds,
                    mtime.nanoseconds,
                    signed(*size)?,
                    chunk_bytes,
                    written.map(|written| written.seconds),
                    written.map(|written| written.nanoseconds)
                ],
                |row| row.get(0),
            )?;
        let mut put = connection
            .prepare_cached("INSERT OR REPLACE INTO segments (landing, number, bytes) VALUES (?1, ?2, ?3)")?;
        let mut delete = connection.prepare_cached("DELETE FROM segments WHERE landing = ?1 AND number = ?2")?;
        for (segment, bytes) in segments {
            let segment = signed(*segment)?;
            match bytes.as_slice() {
                [] => delete.execute(params![id, segment])?,
                bytes => put.execute(params![id, segment, bytes])?,
            };
        }
        Ok(())
    }

    /// The landing of a row of `landings`, and its id.
    fn from_row(row: &Row<'_>) -> Result<(i64, Landing), StoreError> {
        let time = |seconds, nanoseconds| -> Result<FileTime, StoreError> {
            Ok(FileTime { seconds: row.get(seconds)?, nanoseconds: row.get(nanoseconds)? })
        };
        let landing = Landing {
            partial: row.get("partial")?,
            path: tree_path(&row.get::<_, Vec<u8>>("path")?)?,
            meta: Meta { mode: row.get("mode")?, mtime: time("mtime", "mtime_nanoseconds")? },
            size: count(row.get("size")?)?,
            chunk_bytes: row.get("chunk_bytes")?,
            written: match (row.get("written")?, row.get("written_nanoseconds")?) {
                (Some(seconds), Some(nanoseconds)) => Some(FileTime { seconds, nanoseconds }),
                (None, None) => None,
                _ => return Err(StoreError::Corrupt("half a time")),
            },
            segments: BTreeMap::new(),
        };
        Ok((row.get("id")?, landing))
    }
}

/// The landings of a session with all their segments.
pub(super) fn read(connection: &Connection, number: i64) -> Result<Vec<Landing>, StoreError> {
    let mut rows = connection.prepare_cached("SELECT * FROM landings WHERE session = ?1 ORDER BY partial")?;
    let mut segments = connection.prepare_cached("SELECT number, bytes FROM segments WHERE landing = ?1")?;
    let mut landings = Vec::new();
    for landing in rows.query_and_then([number], Landing::from_row)? {
        let (id, mut landing) = landing?;
        let segment = |row: &Row<'_>| -> Result<(u64, Vec<u8>), StoreError> { Ok((count(row.get(0)?)?, row.get(1)?)) };
        landing.segments = segments.query_and_then([id], segment)?.collect::<Result<_, _>>()?;
        if let Some(fault) = landing.fault() {
            return Err(StoreError::Corrupt(fault));
        }
        landings.push(landing);
    }
    Ok(landings)
}

/// Deletes all landings of a session.
pub(super) fn delete(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM landings WHERE session = ?1")?.execute([number])?;
    Ok(())
}

fn tree_path(bytes: &[u8]) -> Result<TreePath, StoreError> {
    let corrupt = |_| StoreError::Corrupt("path of an unfinished file");
    match bytes {
        [] => Ok(TreePath::ROOT),
        _ if bytes.len() > MAX_PATH => Err(StoreError::Corrupt("length of a path")),
        _ => bytes
            .split(|byte| *byte == b'/')
            .try_fold(TreePath::ROOT, |path, name| path.join(Name::new(name).map_err(corrupt)?).map_err(corrupt)),
    }
}

#[cfg(test)]
#[path = "have_tests.rs"]
mod tests;
