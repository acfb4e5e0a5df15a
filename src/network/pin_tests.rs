//! Tests of `pin`: which certificates are taken for whom.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ED25519,
};

/// Any day on which rcgen's default certificates are good.
const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn verdict(pin: &CheckedServer, certificate: &CertificateDer<'_>) -> Result<ServerCertVerified, Error> {
    let name = ServerName::try_from("some.other.name").unwrap();
    // Long after any notAfter below: dates mean nothing.
    pin.verify_server_cert(certificate, &[], &name, &[], at(400_000_000_000))
}

#[test]
fn only_the_pinned_key_passes_and_the_other_is_remembered() {
    let [right, wrong] = [(); 2].map(|()| Identity::generate().unwrap());
    let pin = CheckedServer::new(right.node_id()).unwrap();
    assert_eq!(pin.seen(), None);
    assert!(verdict(&pin, wrong.certificate()).is_err());
    assert_eq!(pin.seen(), Some(wrong.node_id()));
    assert!(verdict(&pin, right.certificate()).is_ok());
    assert_eq!(pin.seen(), Some(right.node_id()));
}

#[test]
fn without_a_pin_any_key_passes_and_is_remembered() {
    let any = CheckedServer::new(Expected::default()).unwrap();
    let identity = Identity::generate().unwrap();
    assert!(verdict(&any, identity.certificate()).is_ok());
    assert_eq!(any.seen(), Some(identity.node_id()));
    assert!(verdict(&any, &CertificateDer::from(vec![0x30; 300])).is_err());
}

#[test]
fn dates_and_names_mean_nothing() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(1976, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let id = certified_key(certificate.der()).unwrap();
    assert!(verdict(&CheckedServer::new(id).unwrap(), certificate.der()).is_ok());
}

#[test]
fn other_kinds_of_keys_have_ids_and_garbage_has_none() {
    let [first, second] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let certificate = |key: &KeyPair| CertificateParams::default().self_signed(key).unwrap().der().clone();
    let (p256, again, other) = (certificate(&first), certificate(&first), certificate(&second));
    assert_eq!(certified_key(&p256), certified_key(&again), "the id is the key's, not the certificate's");
    assert_ne!(certified_key(&p256), certified_key(&other));
    let good = Identity::generate().unwrap().certificate().clone();
    let cut = CertificateDer::from(&good.as_ref()[..good.len() - 1]);
    let any = CheckedClient::new(None).unwrap();
    for bad in [cut, CertificateDer::from(vec![]), CertificateDer::from(vec![0x30; 300])] {
        assert_eq!(certified_key(&bad), None);
        assert!(any.verify_client_cert(&bad, &[], at(0)).is_err());
    }
    assert!(any.verify_client_cert(&good, &[], at(0)).is_ok());
    assert!(any.verify_client_cert(&p256, &[], at(0)).is_ok());
}

/// An authority, and a certificate of it for `names`.
fn issued(names: &[&str], usage: ExtendedKeyUsagePurpose) -> (Authority, CertificateDer<'static>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![usage];
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    (Authority::of([issuer.der().clone()]).unwrap(), leaf.der().clone())
}

#[test]
fn an_authority_vouches_for_chain_name_and_dates() {
    let (authority, leaf) = issued(&["a.example", "10.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);
    let (other, _) = issued(&["a.example"], ExtendedKeyUsagePurpose::ServerAuth);
    let id = certified_key(&leaf).unwrap();
    let judge = |authority: &Authority, name: &'static str, key: Option<NodeId>, now: u64| {
        let vouched = Some((authority.clone(), ServerName::try_from(name).unwrap()));
        let server = CheckedServer::new(Expected { key, vouched }).unwrap();
        let asked = ServerName::try_from("ignored.example").unwrap();
        server.verify_server_cert(&leaf, &[], &asked, &[], at(now)).is_ok()
    };
    assert!(judge(&authority, "a.example", None, NOW));
    assert!(judge(&authority, "10.0.0.1", Some(id), NOW));
    assert!(!judge(&authority, "b.example", None, NOW), "another name");
    assert!(!judge(&other, "a.example", None, NOW), "another authority");
    assert!(!judge(&authority, "a.example", Some(NodeId::from_bytes([1; 32])), NOW), "a pinned key stays pinned");
    assert!(!judge(&authority, "a.example", None, 400_000_000_000), "expired");
}

#[test]
fn an_authority_vouches_for_clients() {
    let (authority, leaf) = issued(&["client"], ExtendedKeyUsagePurpose::ClientAuth);
    let (other, _) = issued(&["client"], ExtendedKeyUsagePurpose::ClientAuth);
    let judge = |authority, certificate: &CertificateDer<'_>| {
        CheckedClient::new(Some(authority)).unwrap().verify_client_cert(certificate, &[], at(NOW)).is_ok()
    };
    assert!(judge(&authority, &leaf));
    assert!(!judge(&other, &leaf));
    assert!(!judge(&authority, Identity::generate().unwrap().certificate()), "self-signed");
}

#[test]
fn nothing_is_resumed_or_sent_early() {
    let identity = Identity::generate().unwrap();
    let server = server_config(&identity, None).unwrap();
    assert_eq!((server.send_tls13_tickets, server.max_tls13_tickets, server.max_early_data_size), (0, 0, 0));
    let client = client_config(&identity, CheckedServer::new(identity.node_id()).unwrap()).unwrap();
    assert!(!client.enable_sni && !client.enable_early_data);
}
