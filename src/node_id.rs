//! The id of a node: its Ed25519 public key, and the forms in which people meet it.
//!
//! Written form: `rz1` + base32 (RFC 4648 alphabet, lower case, no padding) of the 32 bytes of the key and a two-byte checksum, 58
//! characters in all. The checksum is the first two bytes of BLAKE3 (derive_key mode) of the key: it catches slips, it is no
//! protection. What a key may do is decided elsewhere.

use data_encoding::{Encoding, Specification};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

const PREFIX: &str = "rz1";
/// 34 bytes in base32.
const BODY_LEN: usize = 55;
const CHECKSUM_CONTEXT: &str = "resilient 2026-11 node id checksum";
const SPOKEN_CONTEXT: &str = "resilient 2026-11 node id spoken form";

/// Lower-case base32 that also reads upper case (QR codes, telex habits), without padding.
pub(crate) static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    spec.encoding().expect("the alphabet is 32 distinct symbols")
});

/// A node's Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

/// Why a text is not a node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeIdError {
    /// It does not begin with `rz1`.
    #[error("a node id begins with rz1")]
    Prefix,
    /// It has not 58 characters.
    #[error("a node id has 58 characters")]
    Length,
    /// A character that base32 does not have.
    #[error("a node id has only the letters a to z and the digits 2 to 7")]
    Character,
    /// The checksum does not fit the key.
    #[error("the node id is mistyped: its checksum does not fit")]
    Checksum,
}

impl NodeId {
    /// The node with this public key.
    pub const fn from_bytes(key: [u8; 32]) -> NodeId {
        NodeId(key)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The form to read aloud: the first 16 bytes of BLAKE3 (derive_key mode, a context of its own) of the key as a big-endian
    /// number, modulo 10^30, as six groups of five digits: 99.7 bits. A one-way form, for comparing only.
    pub fn spoken(&self) -> String {
        let digest = blake3::derive_key(SPOKEN_CONTEXT, &self.0);
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        let digits = format!("{:030}", u128::from_be_bytes(first) % 10_u128.pow(30));
        let mut spoken = String::with_capacity(35);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at % 5 == 0 {
                spoken.push(' ');
            }
            spoken.push(digit);
        }
        spoken
    }

    /// The first characters of the written form (`rz1` and eight more): for logs only, 40 bits name nobody safely.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(PREFIX.len() + 8);
        text
    }

    fn checksum(&self) -> [u8; 2] {
        let digest = blake3::derive_key(CHECKSUM_CONTEXT, &self.0);
        [digest[0], digest[1]]
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = [0; 34];
        body[..32].copy_from_slice(&self.0);
        body[32..].copy_from_slice(&self.checksum());
        write!(f, "{PREFIX}{}", BASE32.encode(&body))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<NodeId, NodeIdError> {
        let prefix = text.get(..PREFIX.len()).ok_or(NodeIdError::Prefix)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(NodeIdError::Prefix);
        }
        let body = &text[PREFIX.len()..];
        if body.len() != BODY_LEN {
            return Err(NodeIdError::Length);
        }
        let bytes = BASE32.decode(body.as_bytes()).map_err(|_| NodeIdError::Character)?;
        let (key, checksum) = bytes.split_first_chunk::<32>().ok_or(NodeIdError::Length)?;
        let id = NodeId(*key);
        if id.checksum() != checksum {
            return Err(NodeIdError::Checksum);
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_written_form_is_fixed() {
        // A change here is a change of every ticket and every configuration in the field.
        let id = NodeId::from_bytes([7; 32]);
        assert_eq!(id.to_string(), "rz1a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dwkma");
        assert_eq!(id.spoken(), "11620 41382 21216 90791 02616 06748");
        assert_eq!(id.short(), "rz1a4dqobyh");
    }

    #[test]
    fn wrong_texts_are_refused() {
        let good = NodeId::from_bytes([7; 32]).to_string();
        let table = [
            (String::new(), NodeIdError::Prefix),
            ("rz".into(), NodeIdError::Prefix),
            ("é".into(), NodeIdError::Prefix),
            (format!("x{}", &good[1..]), NodeIdError::Prefix),
            (good[..57].into(), NodeIdError::Length),
            (format!("{good}a"), NodeIdError::Length),
            (format!("{}1", &good[..57]), NodeIdError::Character),
            (good.replacen("a4", "4a", 1), NodeIdError::Checksum),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<NodeId>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_again(key: [u8; 32]) {
            let id = NodeId::from_bytes(key);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 58);
            prop_assert_eq!(text.parse::<NodeId>(), Ok(id));
            prop_assert_eq!(text.to_ascii_uppercase().parse::<NodeId>(), Ok(id));
        }

        #[test]
        fn no_text_panics(text in "(rz1)?\\PC{0,60}") {
            let _ = text.parse::<NodeId>();
        }
    }
}
