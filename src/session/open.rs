//! What a receiver has of chunks that are not whole, in a file for each session.
//!
//! Invariant: it is rewritten in place many times a second and never waited for, so that it costs no disk; after a crash of the system it may
//! hold anything. What it holds, and that nothing of it is believed, is the caller's to see to. It ends with its session.

use super::{Store, StoreError};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// Most bytes that are read back.
const MAX_OPEN: u64 = 2 << 20;
const NAME: &str = "open-";

impl Store {
    fn open_file(&self, number: i64) -> PathBuf {
        self.folder.join(format!("{NAME}{number}"))
    }

    /// Keeps these bytes in the place of those before.
    pub fn keep_open(&self, number: i64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let file = options.open(self.open_file(number))?;
        file.write_all_at(bytes, 0)?;
        Ok(file.set_len(bytes.len() as u64)?)
    }

    /// The bytes that were kept last; none if there are none.
    pub fn kept_open(&self, number: i64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        match File::open(self.open_file(number)) {
            Ok(file) => file.take(MAX_OPEN).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(bytes)
    }

    /// Takes away what belongs to no session that can be taken up.
    pub fn sweep_open(&self) -> Result<(), StoreError> {
        let kept: BTreeSet<i64> =
            self.list()?.iter().filter(|record| record.state.is_resumable()).map(|record| record.number).collect();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.parse().ok());
            if let Some(number) = number.filter(|number| !kept.contains(number)) {
                self.drop_open(number)?;
            }
        }
        Ok(())
    }

    /// They are not needed any more.
    pub fn drop_open(&self, number: i64) -> Result<(), StoreError> {
        match fs::remove_file(self.open_file(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Begin, Key, Opened, Role, State};
    use jiff::Timestamp;

    #[test]
    fn what_is_kept_takes_the_place_of_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { store, .. } = Store::open(folder.path()).unwrap();
        assert_eq!(store.kept_open(7).unwrap(), b"");
        store.keep_open(7, b"longer").unwrap();
        store.keep_open(7, b"other").unwrap();
        assert_eq!((store.kept_open(7).unwrap(), store.kept_open(8).unwrap()), (b"other".to_vec(), Vec::new()));
        store.drop_open(7).unwrap();
        store.drop_open(7).unwrap();
        assert_eq!(store.kept_open(7).unwrap(), b"");
    }

    #[test]
    fn what_belongs_to_no_session_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { store, .. } = Store::open(folder.path()).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let begun = |session| Begin {
            key: Key { role: Role::Receive, session: [session; 16], place: b"/here".to_vec() },
            command: None,
            peer: String::new(),
            location: String::new(),
            files: 1,
            bytes: 1,
        };
        let numbers = [1, 2, 3].map(|session| store.begin(&begun(session), now).unwrap().number);
        store.end(numbers[0], State::Completed, None, 1, now).unwrap();
        store.forget(numbers[1]).unwrap();
        for number in numbers {
            store.keep_open(number, b"kept").unwrap();
        }
        store.sweep_open().unwrap();
        assert_eq!(numbers.map(|number| store.kept_open(number).unwrap().len()), [0, 0, 4]);
    }
}
