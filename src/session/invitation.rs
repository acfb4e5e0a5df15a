//! The invitations of waiting receivers, so that one that is not used up survives a restart of the same command.
//!
//! Invariant: there is one at most for a place, and none is given after it expired. What its bytes mean is left to the caller.

use super::{Store, StoreError, bounded};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

/// Longest invitation in bytes.
pub const MAX_INVITATION: usize = 64 << 10;
/// Longest place in bytes.
const MAX_PLACE: usize = 64 << 10;

impl Store {
    /// The invitation that is kept for `place` and has not expired by `now`; those that have are deleted.
    pub fn invitation(&self, place: &[u8], now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        self.change(|connection| {
            connection
                .prepare_cached("DELETE FROM invitations WHERE expires <= ?1")?
                .execute([now.as_microsecond()])?;
            let mut kept = connection.prepare_cached("SELECT bytes FROM invitations WHERE place = ?1")?;
            let bytes: Option<Vec<u8>> = kept.query_row([place], |row| row.get(0)).optional()?;
            match bytes {
                Some(bytes) if bytes.len() > MAX_INVITATION => Err(StoreError::Corrupt("length of an invitation")),
                bytes => Ok(bytes),
            }
        })
    }

    /// Keeps `bytes`, at most [`MAX_INVITATION`], as the invitation for `place` instead of the one before.
    pub fn keep_invitation(&self, place: &[u8], bytes: &[u8], expires: Timestamp) -> Result<(), StoreError> {
        bounded(place.len(), MAX_PLACE, "the destination is too long to be kept")?;
        bounded(bytes.len(), MAX_INVITATION, "the invitation is too long to be kept")?;
        self.change(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO invitations (place, bytes, expires) VALUES (?1, ?2, ?3)")?
                .execute(params![place, bytes, expires.as_microsecond()])?;
            Ok(())
        })
    }

    /// Deletes the invitation for `place`; no error if there is none.
    pub fn drop_invitation(&self, place: &[u8]) -> Result<(), StoreError> {
        self.change(|connection| {
            connection.prepare_cached("DELETE FROM invitations WHERE place = ?1")?.execute([place])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    #[test]
    fn an_invitation_is_kept_for_its_place_until_it_expires() {
        let store = Store::in_memory();
        assert_eq!(store.invitation(b"/a", at(0)).unwrap(), None);
        store.keep_invitation(b"/a", b"first", at(100)).unwrap();
        store.keep_invitation(b"/a", b"second", at(10)).unwrap();
        store.keep_invitation(b"/b", b"other", at(20)).unwrap();
        assert_eq!(store.invitation(b"/a", at(9)).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(store.invitation(b"/a", at(10)).unwrap(), None);
        assert_eq!(store.invitation(b"/a", at(9)).unwrap(), None, "it is deleted");
        assert_eq!(store.invitation(b"/b", at(10)).unwrap().as_deref(), Some(&b"other"[..]));
        store.drop_invitation(b"/b").unwrap();
        store.drop_invitation(b"/b").unwrap();
        assert_eq!(store.invitation(b"/b", at(10)).unwrap(), None);
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_read_either() {
        let store = Store::in_memory();
        store.keep_invitation(b"/a", &vec![7; MAX_INVITATION], at(10)).unwrap();
        assert_eq!(store.invitation(b"/a", at(0)).unwrap().unwrap().len(), MAX_INVITATION);
        let long = store.keep_invitation(b"/a", &vec![7; MAX_INVITATION + 1], at(10));
        assert!(matches!(long, Err(StoreError::Unfit(_))));
        store.connection().execute("UPDATE invitations SET bytes = zeroblob(65537)", []).unwrap();
        assert!(matches!(store.invitation(b"/a", at(0)), Err(StoreError::Corrupt(_))));
    }
}
