//! Whose certificates are believed: the system's authorities and those of a file. It must not know who is called.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::OutboundError;

/// A configuration that believes the system's authorities and, where there are any, those of the files. `ring` does the
/// arithmetic.
pub(super) fn configuration(files: &[&Path]) -> Result<Arc<ClientConfig>, OutboundError> {
    let mut roots = RootCertStore::empty();
    // A system without authorities is one on which only those of the files are believed.
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "an authority of the system is passed over");
    }
    roots.add_parsable_certificates(found.certs);
    for file in files {
        add(&mut roots, file)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::new("TLS", &error))?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), OutboundError> {
    let failed = |why: &dyn std::fmt::Display| {
        OutboundError::new(format_args!("the authorities of {}", file.display()), why)
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))?;
    let mut none = true;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
        none = false;
    }
    if none {
        return Err(failed(&"there is no certificate in it"));
    }
    Ok(())
}
