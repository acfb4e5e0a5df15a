//! Bytes that were compared with the value they must have.
//!
//! Invariant: the check is the only constructor of [`Verified`], so a function that takes one cannot be handed anything else: only
//! verified bytes are written. Where the expected value comes from is for the caller.

use super::tree::{ChunkValue, chunk_value, is_subtree};

/// Bytes do not hash to the expected value at that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at {offset} of {total} do not match their hash")]
pub struct Mismatch {
    /// Where they were said to stand. Bytes.
    pub offset: u64,
    /// Size of the entry. Bytes.
    pub total: u64,
    /// How many they are.
    pub length: u64,
}

/// Bytes of an entry, checked against the value of their chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    offset: u64,
    value: ChunkValue,
    bytes: T,
}

impl<T: AsRef<[u8]>> Verified<T> {
    /// Hashes `bytes` as the chunk at `offset` of an entry of `total` bytes and compares.
    ///
    /// Any arguments are safe: an offset or a length that no chunk can have is a mismatch too.
    pub fn check(offset: u64, total: u64, expected: &ChunkValue, bytes: T) -> Result<Self, Mismatch> {
        let length = bytes.as_ref().len() as u64;
        if is_subtree(offset, total, length) && chunk_value(offset, total, bytes.as_ref()) == *expected {
            Ok(Self { offset, value: *expected, bytes })
        } else {
            Err(Mismatch { offset, total, length })
        }
    }

    /// Where in the entry they stand. Bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The value they were checked against, for [`TreeHasher::insert`](super::TreeHasher::insert).
    pub fn value(&self) -> &ChunkValue {
        &self.value
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The bytes, no longer marked as checked.
    pub fn into_inner(self) -> T {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::{TreeHasher, digest};

    #[test]
    fn only_the_right_bytes_at_the_right_place_pass() {
        let entry: Vec<u8> = (0..5000_u32).map(|i| (i / 3) as u8).collect();
        let chunk = &entry[2048..4096];
        let value = chunk_value(2048, 5000, chunk);
        let verified = Verified::check(2048, 5000, &value, chunk.to_vec()).unwrap();
        assert_eq!((verified.offset(), verified.bytes(), *verified.value()), (2048, chunk, value));
        assert_eq!(verified.into_inner(), chunk);

        let mut flipped = chunk.to_vec();
        flipped[1000] ^= 1;
        let places = [
            (2048, 5000, &flipped[..]),
            (0, 5000, chunk),
            (4096, 6144, chunk),
            (0, 2048, chunk),
            (2048, 5000, &chunk[..2047]),
            (2048, 5000, &chunk[..1024]),
            (2048, 5000, &[]),
            (2047, 5000, chunk),
            (1024, 5000, chunk),
            (4096, 5000, chunk),
            (u64::MAX, u64::MAX, chunk),
            (u64::MAX - 1, 1, chunk),
        ];
        for (offset, total, bytes) in places {
            let length = bytes.len() as u64;
            let mismatch = Mismatch { offset, total, length };
            assert_eq!(Verified::check(offset, total, &value, bytes), Err(mismatch));
        }
    }

    #[test]
    fn a_chunk_that_is_the_whole_entry_has_its_digest() {
        for entry in [&b""[..], b"x", &[7; 5000]] {
            let value = ChunkValue::from_bytes(*digest(entry).as_bytes());
            assert!(Verified::check(0, entry.len() as u64, &value, entry).is_ok());
        }
    }

    #[test]
    fn verified_chunks_make_the_digest() {
        let entry = vec![3; 3000];
        let mut tree = TreeHasher::new(1024, 3000).unwrap();
        for offset in [2048_usize, 0, 1024] {
            let bytes = &entry[offset..3000.min(offset + 1024)];
            let value = chunk_value(offset as u64, 3000, bytes);
            let verified = Verified::check(offset as u64, 3000, &value, bytes).unwrap();
            assert_eq!(tree.insert(verified.offset(), verified.value()), Ok(true));
        }
        assert_eq!(tree.finish(), Ok(digest(&entry)));
    }
}
