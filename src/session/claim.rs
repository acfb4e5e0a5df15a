//! That one run has a place to itself.
//!
//! Invariant: a claim is a lock (`flock`) on a file, which ends with the process however that ends. The file stays until it is old: it is taken away only by one who
//! has the lock, and whoever locks one that is gone by then makes it anew. What a place is, is the caller's to say.

use super::{Store, StoreError};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

/// How the names of the files end, after 16 hexadecimal digits.
const ENDING: &str = ".lock";

/// A place that no other run has meanwhile.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Store {
    /// Claims `place`; `None` if another run has it. Where there are no locks, nobody else has one.
    pub fn claim(&self, place: &[u8]) -> Result<Option<Claim>, StoreError> {
        let path = self.folder.join(format!("{}{ENDING}", &blake3::hash(place).to_hex()[..16]));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        loop {
            let file = options.open(&path)?;
            match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Claim { _lock: file })),
                // It was swept away meanwhile.
                Ok(()) => {}
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => {
                    return Ok(Some(Claim { _lock: file }));
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(StoreError::Io(errno.into())),
            }
        }
    }

    /// Takes away the files of claims that were made before `before` and that nobody has.
    pub fn sweep_claims(&self, before: SystemTime) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_suffix(ENDING));
            let is_old = || fs::symlink_metadata(&path).and_then(|meta| meta.modified()).is_ok_and(|at| at < before);
            if name.is_none_or(|name| name.len() != 16 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()))
                || !is_old()
            {
                continue;
            }
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&file, &path) {
                // Whoever has opened it before this sees that it is gone.
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// Whether the file is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
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

    #[test]
    fn what_nobody_has_does_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { store, .. } = Store::open(folder.path()).unwrap();
        let kept = store.claim(b"a").unwrap();
        drop(store.claim(b"b").unwrap());
        let count = || {
            fs::read_dir(folder.path())
                .unwrap()
                .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().len() == 16 + ENDING.len())
                .count()
        };
        store.sweep_claims(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(count(), 2, "neither is old");
        let later = fs::metadata(folder.path()).unwrap().modified().unwrap() + std::time::Duration::from_secs(9);
        store.sweep_claims(later).unwrap();
        assert_eq!(count(), 1, "one is had");
        drop(kept);
        assert!(store.claim(b"b").unwrap().is_some() && store.claim(b"a").unwrap().is_some());
    }
}
