//! Who a peer is: rustls verifiers that look at the public key of a certificate, and at its chain only where an authority was named.
//!
//! Invariant: a client goes on only with the key it was told to expect, if it was told one; either side learns a key whose possession
//! was proved. TLS 1.3 alone (RFC 8446), one ALPN, no resumption and no early data, so that every connection proves both keys anew.
//! Dates, names and issuers in certificates mean nothing unless there is an [`Authority`] to vouch for them; whom a server lets in is
//! decided above, after the handshake.

use crate::network::authority::Authority;
use crate::network::identity::Identity;
use crate::node_id::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol that both sides must speak; its number is the major version of the wire format.
pub const ALPN: &[u8] = b"resilient/1";

/// The name a client asks for. It is never sent (no SNI) and never resolves (RFC 2606).
pub const SERVER_NAME: &str = "resilient.invalid";

/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Sets the ids of other kinds of keys apart from everything else that is hashed.
const OTHER_KEY_CONTEXT: &str = "resilient 2026-11 node id of a certificate's key";

/// The id of the key in a certificate; `None` if that is malformed.
///
/// An Ed25519 key is its own id. For a key of another kind, which an authority's certificate may have, the id is BLAKE3 (derive_key
/// mode) of its SubjectPublicKeyInfo in DER: 32 bytes for which nobody has an Ed25519 key, and that no second key has.
pub fn certified_key(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    Some(NodeId::from_bytes(match spki.as_ref().strip_prefix(&ED25519_SPKI) {
        Some(key) => key.try_into().ok()?,
        None => blake3::derive_key(OTHER_KEY_CONTEXT, spki.as_ref()),
    }))
}

/// The key that the peer of an established connection has proved to hold.
pub fn peer_id(connection: &quinn::Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certified_key(chain.first()?)
}

/// What a client asks of a server's certificate; with neither, any key will do.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// It must be of this key.
    pub key: Option<NodeId>,
    /// This authority must vouch for it and for this name.
    pub vouched: Option<(Authority, ServerName<'static>)>,
}

impl From<NodeId> for Expected {
    fn from(key: NodeId) -> Expected {
        Expected { key: Some(key), vouched: None }
    }
}

/// The client's verifier.
#[derive(Debug)]
pub struct CheckedServer {
    key: Option<NodeId>,
    vouched: Option<(Arc<WebPkiServerVerifier>, ServerName<'static>)>,
    seen: Mutex<Option<NodeId>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CheckedServer {
    /// A verifier for one connection to whom `expected` allows.
    pub fn new(expected: impl Into<Expected>) -> Result<Arc<CheckedServer>, Error> {
        let Expected { key, vouched } = expected.into();
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let provider = Arc::new(provider);
        let verifier = |authority: Authority| {
            let builder = WebPkiServerVerifier::builder_with_provider(authority.roots(), provider);
            builder.build().map_err(|error| Error::General(error.to_string()))
        };
        let vouched =
            vouched.map(|(authority, name)| verifier(authority).map(|verifier| (verifier, name))).transpose()?;
        Ok(Arc::new(CheckedServer { key, vouched, seen: Mutex::new(None), algorithms }))
    }

    /// The key that the server showed, once it has; if it was not accepted, its possession was not proved.
    pub fn seen(&self) -> Option<NodeId> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What both verifiers have in common: the peer proves in TLS 1.3, and no other way, that it holds the key of its certificate.
macro_rules! possession_is_proved {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls13RequiredForQuic.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for CheckedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = certified_key(end_entity).ok_or(CertificateError::BadEncoding)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        if self.key.is_some_and(|expected| expected != key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.vouched {
            Some((verifier, name)) => verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    possession_is_proved!();
}

/// The server's verifier: any key that the client proves to hold, vouched for where there is an authority.
#[derive(Debug)]
pub struct CheckedClient {
    vouched: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CheckedClient {
    fn new(authority: Option<&Authority>) -> Result<CheckedClient, Error> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let provider = Arc::new(provider);
        let verifier = |authority: &Authority| {
            let builder = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider);
            builder.build().map_err(|error| Error::General(error.to_string()))
        };
        Ok(CheckedClient { vouched: authority.map(verifier).transpose()?, algorithms })
    }
}

impl ClientCertVerifier for CheckedClient {
    /// None: the names of a whole system's authorities would not fit into what an unproved address may be sent.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        certified_key(end_entity).ok_or(CertificateError::BadEncoding)?;
        match &self.vouched {
            Some(verifier) => verifier.verify_client_cert(end_entity, intermediates, now),
            None => Ok(ClientCertVerified::assertion()),
        }
    }

    possession_is_proved!();
}

pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// TLS for a client that proves `identity` and accepts the server that `server` accepts.
pub fn client_config(identity: &Identity, server: Arc<CheckedServer>) -> Result<rustls::ClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(server)
        .with_client_auth_cert(identity.chain().to_vec(), identity.private_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// TLS for a server that proves `identity` and asks every client for its key, and for a chain to `authority` if there is one.
pub fn server_config(identity: &Identity, authority: Option<&Authority>) -> Result<rustls::ServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(CheckedClient::new(authority)?))
        .with_single_cert(identity.chain().to_vec(), identity.private_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
#[path = "pin_tests.rs"]
mod tests;
