//! That one run has a place to itself.
//!
//! Invariant: a claim is a lock (`flock`) on a file, which ends with the process however that ends; the file itself stays, for taking it away is
//! a race. What a place is, is the caller's to say.

use super::{Store, StoreError};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

/// A place that no other run has meanwhile.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Store {
    /// Claims `place`; `None` if another run has it. Where there are no locks, nobody else has one.
    pub fn claim(&self, place: &[u8]) -> Result<Option<Claim>, StoreError> {
        let name = format!("{}.lock", &blake3::hash(place).to_hex()[..16]);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let file = options.open(self.folder.join(name))?;
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => {
                Ok(Some(Claim { _lock: file }))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(StoreError::Io(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Opened;

    #[test]
    fn a_place_is_had_once() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { store, .. } = Store::open(folder.path()).unwrap();
        let Opened { store: other, .. } = Store::open(folder.path()).unwrap();
        let claim = store.claim(b"a").unwrap();
        assert!(claim.is_some() && other.claim(b"a").unwrap().is_none() && other.claim(b"b").unwrap().is_some());
        drop(claim);
        assert!(other.claim(b"a").unwrap().is_some());
    }
}
