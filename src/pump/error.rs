//! Why a run failed. What it shows is for the operator: nothing in it may be secret, and of an address there is at most
//! scheme, host and port.

use crate::keyspace::{Failure, Refusal};
use crate::source::FetchError;

/// Why a run failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The source itself.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The source says that there is no value, which is no reason to let go of the last one.
    #[error("there is no value: {0}")]
    Absent(&'static str),
    /// The value cannot be kept.
    #[error(transparent)]
    Kept(#[from] Refusal),
    /// The keyspace is somebody else's.
    #[error("the keyspace {keyspace:?} has a mirror, and nobody but its upstream changes it")]
    Mirrored {
        /// Its name.
        keyspace: String,
    },
    /// A fault of this programme.
    #[error("the run broke down, which is a fault of Standpipe: the log says where")]
    Panicked,
}

impl RunError {
    /// The kind of failure in a word; those of the source itself begin with `source_`.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::Timeout { .. }) => "source_timeout",
            Self::Fetch(_) | Self::Absent(_) => "source_failed",
            Self::Mirrored { .. } => "keyspace_read_only",
            Self::Panicked => "internal",
            Self::Kept(refusal) => code_of(refusal),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else may keep a value from being kept is told by its sentence"
)]
fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::KeyTaken | Refusal::ManagedBySource { .. } => "key_taken",
        Refusal::KeyspaceNotFound { .. } | Refusal::Failed(Failure::KeyspaceDropped) => {
            "keyspace_not_found"
        }
        Refusal::KeyTooLong { .. } => "key_too_long",
        Refusal::ValueTooLarge { .. } => "value_too_large",
        Refusal::Failed(Failure::TooLarge { .. } | Failure::EntryTooLarge { .. }) => {
            "entry_too_large"
        }
        Refusal::Failed(Failure::DiskFull) => "disk_full",
        Refusal::Failed(Failure::KeyspaceFull { .. }) => "keyspace_full",
        _ => "not_kept",
    }
}
