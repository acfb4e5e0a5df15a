//! Files that this program does as they say: its configuration, the lists of nodes.
//!
//! Invariant: what is read is a regular file that root or the user who runs the program owns and that nobody else may write to, so
//! that no other user decides what the program does. Whoever opens it must not wait (`O_NONBLOCK`): a FIFO in its place would hold the
//! program for ever.
//!
//! Which links on the way are followed is left to whoever opens it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

/// Why a file is not obeyed. `Display` gives the cause alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Neither the user's nor root's.
    #[error("belongs to another user (uid {0})")]
    Foreign(u32),
    /// Group or others may write to it.
    #[error("other users may write to this file (mode {0:04o})")]
    Exposed(u32),
    /// A directory, FIFO, socket or device.
    #[error("not a regular file")]
    Special,
    /// Longer than any file of its kind.
    #[error("more than {0} bytes")]
    Long(u64),
    /// Not UTF-8.
    #[error("not a text in UTF-8")]
    Binary,
    /// The reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The text of a file of at most `limit` bytes.
pub fn text(file: File, limit: u64) -> Result<String, Unfit> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unfit::Special);
    }
    judge(metadata.uid(), metadata.mode() & 0o7777, rustix::process::geteuid().as_raw())?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Unfit::Long(limit));
    }
    String::from_utf8(bytes).map_err(|_| Unfit::Binary)
}

/// Whether a file of this owner and mode is one for `user` to obey.
fn judge(owner: u32, mode: u32, user: u32) -> Result<(), Unfit> {
    match () {
        () if owner != 0 && owner != user => Err(Unfit::Foreign(owner)),
        () if mode & 0o022 != 0 => Err(Unfit::Exposed(mode)),
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, mkfifoat, openat};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn read(path: &Path) -> Result<String, Unfit> {
        text(File::from(openat(CWD, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap()), 8)
    }

    #[test]
    fn only_the_users_own_and_roots_are_obeyed() {
        assert!(judge(7, 0o600, 7).is_ok() && judge(0, 0o644, 7).is_ok() && judge(0, 0o600, 0).is_ok());
        assert!(matches!(judge(8, 0o600, 7), Err(Unfit::Foreign(8))));
        assert!(matches!(judge(7, 0o600, 0), Err(Unfit::Foreign(7))));
        for mode in [0o620, 0o602, 0o666, 0o4620] {
            assert!(matches!(judge(7, mode, 7), Err(Unfit::Exposed(same)) if same == mode), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_plain_text_of_that_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let write = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        };
        write(b"12345678");
        assert_eq!(read(&path).unwrap(), "12345678");
        write(b"123456789");
        assert!(matches!(read(&path), Err(Unfit::Long(8))));
        write(b"\xff");
        assert!(matches!(read(&path), Err(Unfit::Binary)));
        fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        assert!(matches!(read(&path), Err(Unfit::Exposed(0o660))));
        let fifo = folder.path().join("p");
        mkfifoat(CWD, &fifo, Mode::RWXU).unwrap();
        for special in [&fifo, folder.path(), Path::new("/dev/zero")] {
            assert!(matches!(read(special), Err(Unfit::Special)), "{}", special.display());
        }
    }
}
