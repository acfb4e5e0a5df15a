//! Certificate authorities: who vouches for a peer's certificate where an organisation has them (`--ca`).
//!
//! Invariant: an [`Authority`] has at least one root, so that nobody is refused for want of any. What it says of a certificate (chain,
//! name, dates) is rustls' to check, in [`super::pin`].

use crate::class::Class;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Roots that are believed.
#[derive(Clone, Debug)]
pub struct Authority(Arc<RootCertStore>);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has something else than certificates that can be roots.
    #[error("{}: not certificates of authorities (PEM)", .0.display())]
    NotRoots(PathBuf),
    /// The system names no root.
    #[error("this system has no certificate authorities{}", .0.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    NoneHere(Option<String>),
}

impl AuthorityError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        Class::Usage
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        matches!(self, AuthorityError::NoneHere(_))
            .then(|| "install the system's certificates (often: ca-certificates), or give --ca FILE".into())
    }
}

impl Authority {
    /// The authorities of this system; what of its store cannot be understood is left out.
    pub fn system() -> Result<Authority, AuthorityError> {
        let found = rustls_native_certs::load_native_certs();
        let cause = found.errors.first().map(ToString::to_string);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Authority::some(roots).ok_or(AuthorityError::NoneHere(cause))
    }

    /// The authorities in a PEM file, each of which must be understood.
    pub fn from_file(path: &Path) -> Result<Authority, AuthorityError> {
        let pem = std::fs::read(path).map_err(|source| AuthorityError::Io { path: path.to_owned(), source })?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        certificates.ok().and_then(Authority::of).ok_or_else(|| AuthorityError::NotRoots(path.to_owned()))
    }

    /// Authorities with these certificates; `None` if there is none, or one that cannot be a root.
    pub fn of(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Option<Authority> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).ok()?;
        }
        Authority::some(roots)
    }

    fn some(roots: RootCertStore) -> Option<Authority> {
        (!roots.is_empty()).then(|| Authority(Arc::new(roots)))
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_at_least_one_root_and_nothing_that_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        std::fs::write(&path, format!("# ours\n{pem}{pem}")).unwrap();
        assert_eq!(Authority::from_file(&path).unwrap().roots().len(), 2);
        let broken = pem.replacen("MII", "AII", 1);
        for text in [String::new(), key.serialize_pem(), format!("{pem}{broken}")] {
            std::fs::write(&path, text).unwrap();
            let error = Authority::from_file(&path).unwrap_err();
            assert!(matches!(error, AuthorityError::NotRoots(_)), "{error}");
            assert_eq!(error.class(), Class::Usage);
        }
        let error = Authority::from_file(&folder.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
