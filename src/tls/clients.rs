//! Which clients are let in by their certificates: whoever the authorities of the moment vouch for; everybody where there
//! are none.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

type Verifier = Arc<dyn ClientCertVerifier>;

/// A verifier that can be replaced under a running listener.
pub(super) struct Clients(ArcSwapOption<Verifier>);

impl Clients {
    pub(super) fn new(verifier: Option<Verifier>) -> Self {
        Self(ArcSwapOption::from(verifier.map(Arc::new)))
    }

    pub(super) fn replace(&self, verifier: Option<Verifier>) {
        self.0.store(verifier.map(Arc::new));
    }

    /// The verifier of the moment. None is an error here: a handshake that began with one must not end without.
    fn verifier(&self) -> Result<Verifier, Error> {
        let current = self.0.load();
        let verifier = current.as_deref().map(Arc::clone);
        verifier.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.0.load().is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.offer_client_auth()
    }

    /// No hints: they could not be replaced, and a client with one certificate needs none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier()?
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?
            .verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?
            .verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
