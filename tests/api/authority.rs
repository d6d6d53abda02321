//! Certificates for the tests of TLS, made when they are needed: an authority, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Someone who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Certificate {
    pub(crate) cert: CertificateDer<'static>,
    cert_pem: String,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate for this name.
    pub(crate) fn sign(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Certificate {
            cert: cert.der().clone(),
            cert_pem: cert.pem(),
            key,
        }
    }

    pub(crate) fn cert(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, self.0.pem()).unwrap();
    }
}

impl Certificate {
    pub(crate) fn write_cert(&self, file: &Path) {
        fs::write(file, &self.cert_pem).unwrap();
    }

    pub(crate) fn write_key(&self, file: &Path) {
        fs::write(file, self.key.serialize_pem()).unwrap();
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// The files of one server.
pub(crate) struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a certificate and its key where the server reads them.
    pub(crate) fn install(&self, certificate: &Certificate) {
        certificate.write_cert(&self.path("cert.pem"));
        certificate.write_key(&self.path("key.pem"));
    }
}
