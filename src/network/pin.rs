//! Peers are who their key says: rustls verifiers that look at the public key of a certificate and at nothing else.
//!
//! Invariant: a client goes on only with the key it was told to expect; a server learns a key whose possession was proved. TLS 1.3
//! alone (RFC 8446), one ALPN, no resumption and no early data, so that every connection proves both keys anew. Dates, names and
//! issuers in certificates mean nothing; whom a server lets in is decided above, after the handshake.

use crate::network::identity::Identity;
use crate::node_id::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol that both sides must speak; its number is the major version of the wire format.
pub const ALPN: &[u8] = b"resilient/1";

/// The name a client asks for. It is never sent (no SNI) and never resolves (RFC 2606).
pub const SERVER_NAME: &str = "resilient.invalid";

/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The Ed25519 key in a certificate; `None` if it is malformed or has a key of another kind.
pub fn certified_key(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&ED25519_SPKI)?;
    Some(NodeId::from_bytes(key.try_into().ok()?))
}

/// The key that the peer of an established connection has proved to hold.
pub fn peer_id(connection: &quinn::Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certified_key(chain.first()?)
}

/// The client's verifier: the server must hold the expected key.
#[derive(Debug)]
pub struct PinnedServer {
    expected: NodeId,
    seen: Mutex<Option<NodeId>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedServer {
    /// A verifier for one connection to the holder of `expected`.
    pub fn new(expected: NodeId) -> Arc<PinnedServer> {
        Arc::new(PinnedServer {
            expected,
            seen: Mutex::new(None),
            algorithms: provider().signature_verification_algorithms,
        })
    }

    /// The key that the server showed, once it has; if it is not the expected one, its possession was not proved.
    pub fn seen(&self) -> Option<NodeId> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = certified_key(end_entity).ok_or(CertificateError::BadEncoding)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        if key == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

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
        vec![SignatureScheme::ED25519]
    }
}

/// The server's verifier: any Ed25519 key that the client proves to hold.
#[derive(Debug)]
pub struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match certified_key(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

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
        vec![SignatureScheme::ED25519]
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// TLS for a client that proves `identity` and accepts the server that `server` accepts.
pub fn client_config(identity: &Identity, server: Arc<PinnedServer>) -> Result<rustls::ClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(server)
        .with_client_auth_cert(vec![identity.certificate().clone()], identity.private_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// TLS for a server that proves `identity` and asks every client for its key.
pub fn server_config(identity: &Identity) -> Result<rustls::ServerConfig, Error> {
    let algorithms = provider().signature_verification_algorithms;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyClient { algorithms }))
        .with_single_cert(vec![identity.certificate().clone()], identity.private_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

    fn verdict(pin: &PinnedServer, certificate: &CertificateDer<'_>) -> Result<ServerCertVerified, Error> {
        let name = ServerName::try_from("some.other.name").unwrap();
        // Long after any notAfter below: dates mean nothing.
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(4_000_000_000));
        pin.verify_server_cert(certificate, &[], &name, &[], now)
    }

    #[test]
    fn only_the_pinned_key_passes_and_the_other_is_remembered() {
        let [right, wrong] = [(); 2].map(|()| Identity::generate().unwrap());
        let pin = PinnedServer::new(right.node_id());
        assert_eq!(pin.seen(), None);
        assert!(verdict(&pin, wrong.certificate()).is_err());
        assert_eq!(pin.seen(), Some(wrong.node_id()));
        assert!(verdict(&pin, right.certificate()).is_ok());
        assert_eq!(pin.seen(), Some(right.node_id()));
    }

    #[test]
    fn dates_and_names_mean_nothing() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1975, 1, 1);
        params.not_after = rcgen::date_time_ymd(1976, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let id = certified_key(certificate.der()).unwrap();
        assert!(verdict(&PinnedServer::new(id), certificate.der()).is_ok());
    }

    #[test]
    fn other_kinds_of_keys_and_garbage_are_no_identity() {
        let key = KeyPair::generate().unwrap();
        let p256 = CertificateParams::default().self_signed(&key).unwrap().der().clone();
        let good = Identity::generate().unwrap().certificate().clone();
        let cut = CertificateDer::from(&good.as_ref()[..good.len() - 1]);
        let any = AnyClient { algorithms: provider().signature_verification_algorithms };
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        for bad in [p256, cut, CertificateDer::from(vec![]), CertificateDer::from(vec![0x30; 300])] {
            assert_eq!(certified_key(&bad), None);
            assert!(any.verify_client_cert(&bad, &[], now).is_err());
        }
        assert!(any.verify_client_cert(&good, &[], now).is_ok());
    }

    #[test]
    fn nothing_is_resumed_or_sent_early() {
        let identity = Identity::generate().unwrap();
        let server = server_config(&identity).unwrap();
        assert_eq!((server.send_tls13_tickets, server.max_tls13_tickets, server.max_early_data_size), (0, 0, 0));
        let client = client_config(&identity, PinnedServer::new(identity.node_id())).unwrap();
        assert!(!client.enable_sni && !client.enable_early_data);
    }
}
