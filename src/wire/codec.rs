//! The codec of control messages and replies: bincode 2 with serde, and the only module that names it.
//!
//! Invariant: decoding never allocates more than [`LIMIT`] bytes, whatever a peer says about lengths. Integers are variable-length,
//! little endian. Layouts written by hand (datagrams, chunks) do not come here.

use super::WireError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes that one message may take, encoded or decoded.
pub const LIMIT: usize = 256 * 1024;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Appends `message` to `out`.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(message, out, config())
        .expect("writing to memory cannot fail, our messages are plain data");
}

/// Takes one message off the front of `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &mut &[u8], what: &'static str) -> Result<T, WireError> {
    let (message, used) = bincode::serde::decode_from_slice(bytes, config()).map_err(|error| match error {
        bincode::error::DecodeError::UnexpectedEnd { .. } => WireError::Short(what),
        _ => WireError::Range(what),
    })?;
    *bytes = &bytes[used..];
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_is_not_believed() {
        // A vector that says it holds 2^40 bytes.
        let mut bytes = &[253u8, 0, 0, 0, 0, 0, 1, 0, 0][..];
        assert!(decode::<Vec<u8>>(&mut bytes, "vector").is_err());
    }

    #[test]
    fn messages_follow_one_another() {
        let mut out = Vec::new();
        encode(&(1u32, "a".to_string()), &mut out);
        encode(&(2u32, "b".to_string()), &mut out);
        let mut bytes = out.as_slice();
        assert_eq!(decode::<(u32, String)>(&mut bytes, "pair").unwrap(), (1, "a".to_string()));
        assert_eq!(decode::<(u32, String)>(&mut bytes, "pair").unwrap(), (2, "b".to_string()));
        assert_eq!(decode::<(u32, String)>(&mut bytes, "pair"), Err(WireError::Short("pair")));
    }
}
