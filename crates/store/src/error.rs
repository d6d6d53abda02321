//! What can go wrong, split by audience: the caller's fault, the disk's, the operator's.
//!
//! Every message names the thing and the next step. It knows nothing of HTTP status codes or of how a process ends.

use std::fmt;
use std::io;

use crate::options::Durability;

/// Why a directory could not be opened as a store. Nothing on disk has changed unless the message says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the directory.
    #[error("{path} is in use by another process: stop it, or choose another storage.path")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// Bytes on disk are not what was written.
    #[error("{0}")]
    Corrupt(Damage),
    /// The directory was written by a version of the format that this program does not know.
    #[error(
        "{file}: format version {found} is not known to this program (it knows {known}): use a newer standpipe"
    )]
    UnknownFormat {
        /// The file.
        file: String,
        /// The version it names.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The directory exists but is not a store.
    #[error("{path}: {why}")]
    NotAStore {
        /// The directory or file.
        path: String,
        /// What is wrong with it, and the next step.
        why: String,
    },
    /// A sync failed, so nobody knows what is on the disk.
    #[error("{what}: the disk could not be synced: {source}; check the disk before starting again")]
    SyncFailed {
        /// The file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("{what}: {source}")]
    Io {
        /// The file or directory, and what was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// How a process that met an [`OpenError`] should class it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The directory is in use.
    InUse,
    /// The data is refused.
    Data,
    /// The disk failed.
    Io,
}

impl OpenError {
    /// The class of this error, from which a program picks its exit code.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Locked { .. } => ErrorClass::InUse,
            Self::Corrupt(_) | Self::UnknownFormat { .. } | Self::NotAStore { .. } => {
                ErrorClass::Data
            }
            Self::SyncFailed { .. } | Self::Io { .. } => ErrorClass::Io,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn sync(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::SyncFailed { what, source }
    }
}

/// What recovery decided about an invalid place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Bytes differ from what was written and acknowledged.
    Corrupt,
    /// It cannot be told whether this is a torn tail or damage.
    Ambiguous,
}

/// A place on disk that recovery refuses: file, offset, what was expected there, and the way on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, as a person would name it.
    pub file: String,
    /// The first invalid byte, counted from the start of the file.
    pub offset: u64,
    /// The revision that was expected there; 0 where that does not apply.
    pub expected: u64,
    /// The newest revision that is known to have been durable.
    pub watermark: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// What is wrong, in words.
    pub detail: String,
    /// The exact command that goes on from here, accepting the loss.
    pub command: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Corrupt => "corrupt",
            Verdict::Ambiguous => "ambiguous",
        };
        write!(
            f,
            "{}: {verdict} at offset {}: {} (expected revision {}, durable up to {}); nothing was changed; restore a backup, or accept the loss with: {}",
            self.file, self.offset, self.detail, self.expected, self.watermark, self.command
        )
    }
}

/// Why a change was not made (or, for [`WriteError::Lost`], why nobody knows).
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// No room on the disk; reads go on, and writes resume by themselves when space returns.
    #[error("the disk is full")]
    DiskFull,
    /// The log had no room for this change within `room_wait`.
    #[error("the log had no room within {waited_ms} ms")]
    Overloaded {
        /// How long it was waited, in milliseconds.
        waited_ms: u64,
    },
    /// A sync failed: writes are refused for good in this process.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The record of this change is larger than a record may be.
    #[error("the change needs a record of {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// The largest record, in bytes.
        limit: u64,
        /// What this one needs.
        actual: u64,
    },
    /// The keyspace was dropped in the meantime.
    #[error("the keyspace was dropped")]
    Dropped,
    /// The keyspace's `max_bytes` are used up and nothing in it may leave.
    #[error("the keyspace is full: it may take {limit} bytes")]
    KeyspaceFull {
        /// The most bytes that it may take.
        limit: u64,
    },
    /// The entry is larger than its part of the keyspace's `max_bytes`.
    #[error("the entry takes {actual} bytes, its part of the keyspace holds {limit}")]
    EntryTooLarge {
        /// The most bytes that an entry may take there.
        limit: u64,
        /// What this one takes.
        actual: u64,
    },
    /// So much is pending for a sink that no more may be, or that nothing else is left that could leave.
    #[error("too much is waiting to be passed on: at most {limit} {of}")]
    SinkBacklog {
        /// The most that there may be.
        limit: u64,
        /// Of what.
        of: Backlog,
    },
    /// The store is being closed.
    #[error("the store is closing")]
    Closing,
}

/// What there is too much of while it is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// Keys that are pending.
    Keys,
    /// Bytes of a bounded keyspace, which are taken by what is pending.
    Bytes,
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys may be pending",
            Self::Bytes => "bytes of max_bytes may be taken",
        })
    }
}

/// Why a keyspace was not created, changed or dropped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyspaceError {
    /// The change could not be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// To or from `memory` only while the keyspace is empty.
    #[error(
        "the durability cannot change from {stored} to {asked} while the keyspace holds entries"
    )]
    DurabilityFixed {
        /// What it is.
        stored: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// There are as many keyspaces as there may be.
    #[error("there are {limit} keyspaces, which is the limit")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// What is pending for a sink, or could not be passed on, would get lost.
    #[error("{pending} keys wait to be passed on, {dead} could not be")]
    SinkPending {
        /// Keys that are pending, once for each generation.
        pending: u64,
        /// Keys that could not be passed on.
        dead: u64,
    },
    /// A keyspace that is never logged keeps nothing for a sink.
    #[error("a keyspace in memory keeps nothing for a sink")]
    NotLogged,
}

/// Why something was not done for a sink.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PendingError {
    /// The change could not be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nothing of this generation is being passed on: it was dropped, or never frozen.
    #[error("generation {generation} is not being passed on")]
    NotFrozen {
        /// The generation.
        generation: u64,
    },
    /// There would be too many keys that could not be passed on.
    #[error("{actual} keys could not be passed on, the limit is {limit}")]
    DeadFull {
        /// How many there may be.
        limit: u64,
        /// How many there would be.
        actual: u64,
    },
}

/// A sync or a write of the log failed: what was not durable before may be lost, and nothing more is written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("durability is lost: {reason}")]
pub struct Lost {
    /// What failed and what the system said.
    pub reason: std::sync::Arc<str>,
}

/// Why a snapshot was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CompactError {
    /// Not enough free space for a snapshot.
    #[error("a snapshot needs {needed} bytes, {free} are free")]
    NoSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The snapshot could not be written; it was discarded and nothing else changed.
    #[error("the snapshot was discarded: {0}")]
    Discarded(String),
    /// Durability is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store is being closed.
    #[error("the store is closing")]
    Closing,
}
