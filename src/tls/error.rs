//! Why certificates cannot be used, by setting and file. It must not repeat what a file holds: one of them is secret.

use std::io;
use std::path::PathBuf;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or may not be read.
    #[error("{setting}: {}: cannot be read: {source}", file.display())]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// As it was named.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds no PEM block of the kind that is needed.
    #[error("{setting}: {}: holds no {what} in PEM", file.display())]
    Empty {
        /// Which setting names it.
        setting: &'static str,
        /// As it was named.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A file holds something that cannot be used.
    #[error("{setting}: {}: cannot be used: {reason}", file.display())]
    Unusable {
        /// Which setting names it.
        setting: &'static str,
        /// As it was named.
        file: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "server.tls.key: {}: is not the key of the certificate in {}",
        key.display(),
        cert.display()
    )]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}
