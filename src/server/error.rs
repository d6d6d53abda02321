//! Why a server did not start or did not stop well, and the exit code that says so. It must not print: the command
//! line does.

use std::io;

use crate::engine::OpenError;
use crate::keyspace::NotDefined;
use crate::outbound::OutboundError;
use crate::tls::TlsError;

/// Why the server stopped other than by being asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The endpoint is not `host:port`.
    #[error("{setting} {endpoint:?} is not host:port: {reason}")]
    Endpoint {
        /// The setting that names it.
        setting: &'static str,
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {endpoint}: {source}; stop what uses it or choose another {setting}")]
    Bind {
        /// The setting that names it.
        setting: &'static str,
        /// As it was given.
        endpoint: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The rules for what is called cannot be kept.
    #[error("outbound: {0}")]
    Outbound(#[from] OutboundError),
    /// The store was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keyspaces cannot be what the configuration says.
    #[error(transparent)]
    Keyspaces(#[from] NotDefined),
    /// The disk failed to sync while the server was running.
    #[error(
        "the disk failed: {reason}; check it, then start again: recovery decides what is there"
    )]
    Lost {
        /// What failed.
        reason: String,
    },
    /// The last changes could not be made durable.
    #[error("the store was not closed: {reason}; check the disk, then start again")]
    Close {
        /// What failed.
        reason: String,
    },
    /// A thread, a runtime or a signal handler could not be had.
    #[error("cannot {what}: {source}")]
    System {
        /// What was being tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ServerError {
    /// The process exit code, as in `sysexits.h`: 65 data refused, 69 address or directory in use, 70 internal, 74 I/O,
    /// 78 configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } => 69,
            Self::Open(error) => error.exit_code(),
            Self::Lost { .. } | Self::Close { .. } | Self::Keyspaces(NotDefined::Failed { .. }) => {
                74
            }
            Self::Endpoint { .. } | Self::Tls(_) | Self::Outbound(_) | Self::Keyspaces(_) => 78,
            Self::System { .. } => 70,
        }
    }
}
