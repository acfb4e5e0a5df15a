//! Digests, tree hashing and [`Verified`].
//!
//! One function, BLAKE3, in two forms: the [`Digest`] of a whole entry, and the [`ChunkValue`] of one chunk of it, which is the
//! node of the same tree at that place. So chunks are checked alone, in any order, and their values give the digest of the
//! whole without hashing a byte twice ([`TreeHasher`]), and are what can be remembered of a file that is there in part ([`Marks`]).
//!
//! Invariant: bytes are compared with a value that says where they stand; a [`Verified`] cannot be made otherwise. Where the
//! expected values come from, and whether to believe them, is for the layers above.

mod marks;
mod tree;
mod verified;

pub use marks::{Marks, MarksError, Node};
pub use tree::{ChunkValue, Incomplete, OPEN_ENDED, TreeError, TreeHasher, chunk_value, is_subtree};
pub use verified::{Mismatch, Verified};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// BLAKE3 of a whole entry: the default hash mode, 32 bytes.
///
/// Text is 64 hexadecimal digits, as `b3sum` prints them; binary formats hold the 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The digest of `bytes`.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// The digest of everything that `read` delivers: it fills the buffer from the front and says with how many bytes, 0 at the end.
/// Its errors end the hashing.
pub fn digest_of<E>(mut read: impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<Digest, E> {
    // Long enough for the widest SIMD form of BLAKE3 (16 × 1 KiB) several times over.
    let mut buffer = vec![0; 64 * 1024];
    let mut hasher = blake3::Hasher::new();
    loop {
        match read(&mut buffer)? {
            0 => return Ok(Digest(*hasher.finalize().as_bytes())),
            length => hasher.update(&buffer[..length]),
        };
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Digest {
    /// The first 16 digits: enough to tell two apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", HEXLOWER.encode_display(&self.0[..8]))
    }
}

/// A text is not a digest: it is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;
    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(ParseDigestError);
        }
        HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| ParseDigestError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BLAKE3 of the empty input and of `abc`, from its published test vectors.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    #[test]
    fn text_is_what_b3sum_prints() {
        assert_eq!(digest(b"").to_string(), EMPTY);
        assert_eq!(digest(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(digest(b"abc")));
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest(b"abc")));
        assert_eq!(format!("{:?}", digest(b"abc")), "6437b3ac38465133…");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "6437", &ABC[1..], &format!("{ABC}0"), &ABC.replace('3', "g"), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(ParseDigestError), "{text}");
        }
    }

    #[test]
    fn it_travels_as_text_in_json_and_as_bytes_in_binary() {
        let value = digest(b"abc");
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), value);
        assert!(serde_json::from_str::<Digest>("\"6437\"").is_err());
        let config = bincode::config::standard();
        let binary = bincode::serde::encode_to_vec(value, config).unwrap();
        assert_eq!(binary, value.as_bytes());
        let (back, _) = bincode::serde::decode_from_slice::<Digest, _>(&binary, config).unwrap();
        assert_eq!(back, value);
        assert!(bincode::serde::decode_from_slice::<Digest, _>(&binary[1..], config).is_err());
    }

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i * 7 / 3) as u8).collect();
        for most in [1, 1000, 70_000] {
            let mut rest = &bytes[..];
            let streamed = digest_of::<()>(|buffer| {
                let (now, later) = rest.split_at(rest.len().min(most).min(buffer.len()));
                buffer[..now.len()].copy_from_slice(now);
                rest = later;
                Ok(now.len())
            });
            assert_eq!(streamed, Ok(digest(&bytes)));
        }
        assert_eq!(digest_of(|_| Err("read")), Err("read"));
        assert_eq!(digest_of::<()>(|_| Ok(0)), Ok(digest(b"")));
    }
}
