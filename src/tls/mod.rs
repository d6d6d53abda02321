//! TLS of the listener: a certificate, its key and, where clients have to show one too, the authorities that sign theirs;
//! all replaced without a restart. It must not know HTTP, nor when somebody thinks that files have changed.

mod clients;
mod error;
mod files;
mod own;
mod sessions;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use clients::Clients;
pub use error::TlsError;
use files::Loaded;
pub use own::{Stream, connect};
use sessions::Sessions;

/// Where certificates lie, as PEM files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `server.tls.cert`: the certificate, then those that lead to its root.
    pub cert: PathBuf,
    /// `server.tls.key`: its private key.
    pub key: PathBuf,
    /// `server.tls.client_ca`: the authorities of clients' certificates; with them nobody else is let in.
    pub client_ca: Option<PathBuf>,
}

/// What [`Tls::reload`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloaded {
    /// The files hold what they held.
    Unchanged,
    /// New handshakes meet the new files; connections that stand go on.
    Replaced,
}

/// The certificates in use.
#[derive(Debug)]
pub struct Tls {
    certificate: Arc<Certificate>,
    clients: Arc<Clients>,
    sessions: Arc<Sessions>,
    /// Of the files that are in use; held while they are replaced, so that two reloads cannot mix.
    fingerprint: Mutex<u64>,
}

impl Tls {
    /// Reads the files. An error names the setting and the file.
    pub fn load(options: &Options) -> Result<Self, TlsError> {
        let loaded = Loaded::read(options)?;
        Ok(Self {
            certificate: Arc::new(Certificate(ArcSwap::from(loaded.certificate))),
            sessions: Arc::new(Sessions::new(loaded.clients.is_none())),
            clients: Arc::new(Clients::new(loaded.clients)),
            fingerprint: Mutex::new(loaded.fingerprint),
        })
    }

    /// Reads the files again. With an error everything stays as it was.
    pub fn reload(&self, options: &Options) -> Result<Reloaded, TlsError> {
        let loaded = Loaded::read(options)?;
        // A panic elsewhere leaves a number: at worst the same files are taken once more.
        let mut fingerprint = self
            .fingerprint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *fingerprint == loaded.fingerprint {
            return Ok(Reloaded::Unchanged);
        }
        self.sessions.replace(loaded.clients.is_none());
        self.clients.replace(loaded.clients);
        self.certificate.0.store(loaded.certificate);
        *fingerprint = loaded.fingerprint;
        Ok(Reloaded::Replaced)
    }

    /// What a listener needs. It sees every later [`Tls::reload`].
    pub fn server_config(&self) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring offers what both versions of the protocol need");
        let clients = Arc::clone(&self.clients);
        let certificate = Arc::clone(&self.certificate);
        let mut config = builder
            .with_client_cert_verifier(clients)
            .with_cert_resolver(certificate);
        config.session_storage = Arc::<Sessions>::clone(&self.sessions);
        config
    }
}

/// The certificate that is shown, whatever name a client asks for.
struct Certificate(ArcSwap<CertifiedKey>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
