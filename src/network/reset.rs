//! Stateless resets (RFC 9000 section 10.3) that survive a restart: a listener that was started again tells its old peers at once that it
//! does not know their connections any more, instead of letting them probe for minutes.
//!
//! Invariant: tokens and connection IDs follow from the node's private key and the port alone. Another port of the same node has others, so
//! nobody can have a listener say the token of another one's connection (section 21.11).

use super::identity::Identity;
use quinn_proto::crypto::{CryptoError, HmacKey};
use quinn_proto::{ConnectionIdGenerator, HashedConnectionIdGenerator};
use std::sync::Arc;

/// Bytes of what [`ResetKey`] signs with; more than a token takes.
const SIGNATURE: usize = 32;

/// Signs connection IDs with a keyed hash.
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    /// That of `identity` at this port.
    pub(super) fn new(identity: &Identity, port: u16) -> ResetKey {
        let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 stateless reset");
        hasher.update(identity.private_key().secret_der()).update(&port.to_be_bytes());
        ResetKey(*hasher.finalize().as_bytes())
    }

    /// Makes connection IDs that a listener with the same key knows for such.
    pub(super) fn connection_ids(&self) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + 'static {
        let key = blake3::keyed_hash(&self.0, b"connection ids");
        let key = u64::from_le_bytes(*key.as_bytes().first_chunk().expect("a digest has 32 bytes"));
        move || Box::new(HashedConnectionIdGenerator::from_key(key))
    }

    pub(super) fn shared(self) -> Arc<dyn HmacKey> {
        Arc::new(self)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(&blake3::keyed_hash(&self.0, data).as_bytes()[..signature.len()]);
    }

    fn signature_len(&self) -> usize {
        SIGNATURE
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let right: [u8; SIGNATURE] = signature.try_into().map_err(|_| CryptoError)?;
        // Comparing digests takes the same time whatever differs.
        if blake3::keyed_hash(&self.0, data) == right { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_key_and_port() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let token = |identity, port| {
            let mut token = [0; 16];
            ResetKey::new(identity, port).sign(b"id", &mut token);
            token
        };
        assert_eq!(token(&one, 1), token(&one, 1));
        assert_ne!(token(&one, 1), token(&one, 2));
        assert_ne!(token(&one, 1), token(&other, 1));
        let key = ResetKey::new(&one, 1);
        let mut signature = [0; SIGNATURE];
        key.sign(b"data", &mut signature);
        assert!(key.verify(b"data", &signature).is_ok() && key.verify(b"date", &signature).is_err());
        assert!(key.verify(b"data", &signature[1..]).is_err());
    }

    #[test]
    fn ids_are_known_again_after_a_restart_and_nowhere_else() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let id = ResetKey::new(&one, 1).connection_ids()().generate_cid();
        assert!(ResetKey::new(&one, 1).connection_ids()().validate(&id).is_ok());
        assert!(ResetKey::new(&other, 1).connection_ids()().validate(&id).is_err());
    }
}
