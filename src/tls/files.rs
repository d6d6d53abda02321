//! From PEM files to what a handshake needs. It must not know what is in use.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::{Options, TlsError};

/// The names of the settings, as errors say them.
const CERT: &str = "server.tls.cert";
const KEY: &str = "server.tls.key";
const CLIENT_CA: &str = "server.tls.client_ca";

/// What the files hold.
pub(super) struct Loaded {
    pub(super) certificate: Arc<CertifiedKey>,
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
    /// Equal for equal files.
    pub(super) fingerprint: u64,
}

impl Loaded {
    pub(super) fn read(options: &Options) -> Result<Self, TlsError> {
        let mut hasher = DefaultHasher::new();
        let cert = bytes(CERT, &options.cert)?;
        let key = bytes(KEY, &options.key)?;
        (&cert, &key).hash(&mut hasher);
        let certificate = certified(options, &cert, &key)?;
        let clients = match &options.client_ca {
            None => None,
            Some(file) => {
                let pem = bytes(CLIENT_CA, file)?;
                pem.hash(&mut hasher);
                Some(verifier(file, &pem)?)
            }
        };
        Ok(Self {
            certificate,
            clients,
            fingerprint: hasher.finish(),
        })
    }
}

fn bytes(setting: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable {
        setting,
        file: file.to_owned(),
        source,
    })
}

fn unusable(setting: &'static str, file: &Path, reason: &impl ToString) -> TlsError {
    TlsError::Unusable {
        setting,
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

fn certificates(
    setting: &'static str,
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(setting, file, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            setting,
            file: file.to_owned(),
            what: "certificate",
        });
    }
    Ok(certificates)
}

fn certified(options: &Options, cert: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(CERT, &options.cert, cert)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        if matches!(error, PemError::NoItemsFound) {
            return TlsError::Empty {
                setting: KEY,
                file: options.key.clone(),
                what: "private key",
            };
        }
        unusable(KEY, &options.key, &error)
    })?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map(Arc::new).map_err(|error| {
        if matches!(
            error,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch)
        ) {
            return TlsError::Mismatch {
                cert: options.cert.clone(),
                key: options.key.clone(),
            };
        }
        // The library says of which of the two it speaks.
        let (setting, file) = if matches!(error, Error::InvalidCertificate(_)) {
            (CERT, &options.cert)
        } else {
            (KEY, &options.key)
        };
        unusable(setting, file, &error)
    })
}

fn verifier(file: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, file, pem)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(CLIENT_CA, file, &error))?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(CLIENT_CA, file, &error))
}
