//! A client for one server: that which shows exactly the certificate of a configuration. It trusts no authority and looks
//! at no name, because it knows the certificate itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme, StreamOwned,
};

use super::files::Loaded;
use super::{Options, TlsError};

/// What can be read from and written to.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// TLS over `socket`, to the server that has these certificates; the handshake comes with the first byte.
pub fn connect(options: &Options, socket: TcpStream) -> Result<Box<dyn Stream>, TlsError> {
    let loaded = Loaded::read(options)?;
    let provider = Arc::new(ring::default_provider());
    let only = Only {
        certificate: loaded.certificate.cert.first().cloned(),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers what both versions of the protocol need")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(only))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("that is the name of a host");
    let connection =
        ClientConnection::new(Arc::new(config), name).expect("what was just built fits together");
    Ok(Box::new(StreamOwned::new(connection, socket)))
}

/// Lets one certificate pass, by its bytes.
#[derive(Debug)]
struct Only {
    certificate: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificate.as_ref() == Some(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
