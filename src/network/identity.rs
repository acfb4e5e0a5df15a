//! The identity of this node: one Ed25519 key in a file, and the self-signed certificate that carries it.
//!
//! Invariant: the key file is readable by its owner alone, from the first moment it exists under its name, and two first runs at
//! once end with the same key. The certificate is made anew from the key (Ed25519 is deterministic, so it is always the same
//! bytes); nothing in it but the key means anything. Where an authority vouches for a host, what it has issued may stand in its place.
//! Where the files lie is the command line's to say.

use crate::class::Class;
use crate::network::pin;
use crate::node_id::NodeId;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A PEM file of an Ed25519 key has about 240 bytes; comments may stand around it.
const MAX_FILE: u64 = 64 * 1024;

/// A node's private key and what certifies it.
pub struct Identity {
    key: PrivateKeyDer<'static>,
    /// Not empty; the first is the node's own.
    chain: Vec<CertificateDer<'static>>,
    node_id: NodeId,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Group or others may do something with the file.
    #[error("{path}: other users can get at this private key (mode {mode:04o}); run: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not an Ed25519 key in PKCS#8 PEM.
    #[error("{}: not an Ed25519 private key (PKCS#8, PEM)", .0.display())]
    NotAKey(PathBuf),
    /// The file is not a chain of certificates in PEM.
    #[error("{}: not a certificate (PEM)", .0.display())]
    NotACertificate(PathBuf),
    /// The file is not a private key that TLS can use.
    #[error("{}: not a private key (PEM)", .0.display())]
    NotACertificateKey(PathBuf),
    /// The key is not the certificate's.
    #[error("{}: this key is not the one of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The system gives no randomness, or the key cannot sign.
    #[error("cannot make a key: {0}")]
    Generate(#[from] rcgen::Error),
}

impl IdentityError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            IdentityError::Exposed { .. }
            | IdentityError::NotAKey(_)
            | IdentityError::NotACertificate(_)
            | IdentityError::NotACertificateKey(_)
            | IdentityError::Mismatch { .. } => Class::Usage,
            IdentityError::Io { .. } => Class::FileIo,
            IdentityError::Generate(_) => Class::Internal,
        }
    }
}

impl Identity {
    /// Reads the key at `path`; makes it there, and its directory with mode 0700, if there is none.
    pub fn load_or_create(path: &Path) -> Result<Identity, IdentityError> {
        match load(path) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                // Whoever was first, the file that stands there now is the identity.
                load(path)
            }
            found => found,
        }
    }

    /// A new identity that is in no file.
    pub fn generate() -> Result<Identity, IdentityError> {
        Identity::of(KeyPair::generate_for(&PKCS_ED25519)?)
    }

    fn of(key: KeyPair) -> Result<Identity, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Nobody looks at it; made from the key, as it would be, its length varies, and with it that of a handshake.
        params.serial_number = Some(SerialNumber::from(1));
        let certificate = params.self_signed(&key)?.der().clone();
        let node_id = pin::certified_key(&certificate).ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Identity { key, chain: vec![certificate], node_id })
    }

    /// The identity that an authority has certified: a chain, the node's own certificate first, and its key, both in PEM. The node id
    /// is that of the certificate ([`pin::certified_key`]).
    pub fn from_certificate(certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
        let pem = read(certificate, 0)?.ok_or_else(|| IdentityError::NotACertificate(certificate.to_owned()))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| IdentityError::NotACertificate(certificate.to_owned()))?;
        let node_id = pin::certified_key(&chain[0]);
        let node_id = node_id.ok_or_else(|| IdentityError::NotACertificate(certificate.to_owned()))?;
        let no_key = || IdentityError::NotACertificateKey(key.to_owned());
        // Unlike our own key, that of a host's certificate may be shared with a group of services.
        let pem = read(key, 0o007)?.ok_or_else(no_key)?;
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
        match CertifiedKey::from_der(chain.clone(), private.clone_key(), &pin::provider()) {
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(IdentityError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })
            }
            Err(_) => Err(no_key()),
            Ok(_) => Ok(Identity { key: private, chain, node_id }),
        }
    }

    /// The public key, or what stands for it.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The certificate of the key, in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The certificate, self-signed or with those that vouch for it after it.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key as rustls takes it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    move |source| IdentityError::Io { path: path.to_owned(), source }
}

fn load(path: &Path) -> Result<Identity, IdentityError> {
    let no_key = || IdentityError::NotAKey(path.to_owned());
    let pem = read(path, 0o077)?.and_then(|pem| String::from_utf8(pem).ok()).ok_or_else(no_key)?;
    Identity::of(KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_ED25519).map_err(|_| no_key())?)
}

/// The first [`MAX_FILE`] bytes of a regular file on which none of the `forbidden` permissions is set; `None` if it is no such file.
fn read(path: &Path, forbidden: u32) -> Result<Option<Vec<u8>>, IdentityError> {
    // Without O_NONBLOCK a FIFO put there would hold the program for ever.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(at(path))?;
    let metadata = file.metadata().map_err(at(path))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mode = metadata.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(at(path))?;
    Ok(Some(bytes))
}

/// Puts a new key at `path` unless another run has put one there meanwhile.
fn create(path: &Path) -> Result<(), IdentityError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(|error| at(path)(io::Error::other(error.to_string())))?;
    let draft = directory.join(format!(".identity.{}", data_encoding::HEXLOWER.encode(&tag)));
    let written = write_new(&draft, key.serialize_pem().as_bytes());
    // A link, unlike a rename, never replaces a key that another first run has just begun to use.
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    // The draft is ours alone and holds nothing that is used; failing to remove it harms nobody.
    let _ = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(()) => File::open(directory).and_then(|d| d.sync_all()).map_err(at(directory)),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn made_once_and_found_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config/resilient/identity.key");
        let made = Identity::load_or_create(&path).unwrap();
        let found = Identity::load_or_create(&path).unwrap();
        assert_eq!(made.node_id(), found.node_id());
        assert_eq!(made.certificate(), found.certificate());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn first_runs_at_once_agree() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/identity.key");
        let barrier = std::sync::Barrier::new(8);
        let ids: Vec<NodeId> = std::thread::scope(|scope| {
            let run = || {
                barrier.wait();
                Identity::load_or_create(&path).unwrap().node_id()
            };
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("identity.key");
        Identity::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            chmod(&path, mode);
            let error = Identity::load_or_create(&path).unwrap_err();
            assert_eq!(error.class(), Class::Usage);
            let text = error.to_string();
            assert!(
                text.contains(&format!("chmod 600 {}", path.display())) && text.contains(&format!("{mode:04o}")),
                "{text}"
            );
        }
        chmod(&path, 0o400);
        Identity::load_or_create(&path).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("identity.key");
        let p256 = KeyPair::generate().unwrap().serialize_pem();
        for content in [b"".as_slice(), b"\xff\xfe", b"hello", p256.as_bytes()] {
            write_new(&path, content).unwrap();
            assert!(matches!(Identity::load_or_create(&path), Err(IdentityError::NotAKey(_))));
            assert_eq!(std::fs::read(&path).unwrap(), content);
            std::fs::remove_file(&path).unwrap();
        }
        assert!(matches!(Identity::load_or_create(home.path()), Err(IdentityError::NotAKey(_))));
        let fifo = home.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(matches!(Identity::load_or_create(&fifo), Err(IdentityError::NotAKey(_))));
    }

    #[test]
    fn what_an_authority_has_issued_may_stand_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let keys = [(); 2].map(|()| KeyPair::generate().unwrap());
        let pem = CertificateParams::default().self_signed(&keys[0]).unwrap().pem();
        std::fs::write(at("cert"), format!("{pem}{pem}")).unwrap();
        write_new(&at("key"), keys[0].serialize_pem().as_bytes()).unwrap();
        write_new(&at("other"), keys[1].serialize_pem().as_bytes()).unwrap();
        let identity = Identity::from_certificate(&at("cert"), &at("key")).unwrap();
        assert_eq!(identity.chain().len(), 2);
        assert_eq!(pin::certified_key(identity.certificate()), Some(identity.node_id()));
        let fails = |cert: &str, key: &str| Identity::from_certificate(&at(cert), &at(key)).unwrap_err();
        assert!(matches!(fails("cert", "other"), IdentityError::Mismatch { .. }));
        assert!(matches!(fails("key", "key"), IdentityError::NotACertificate(_)));
        assert!(matches!(fails("cert", "cert"), IdentityError::NotACertificateKey(_) | IdentityError::Exposed { .. }));
        assert!(matches!(fails("none", "key"), IdentityError::Io { .. }));
        chmod(&at("key"), 0o604);
        assert!(matches!(fails("cert", "key"), IdentityError::Exposed { .. }));
        chmod(&at("key"), 0o640);
        Identity::from_certificate(&at("cert"), &at("key")).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("file"), "").unwrap();
        let error = Identity::load_or_create(&home.path().join("file/identity.key")).unwrap_err();
        assert_eq!(error.class(), Class::FileIo);
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn the_private_key_stays_out_of_debug_output() {
        let identity = Identity::generate().unwrap();
        assert_eq!(format!("{identity:?}"), format!("Identity {{ node_id: {}, .. }}", identity.node_id()));
        assert_ne!(identity.node_id(), Identity::generate().unwrap().node_id());
    }
}
