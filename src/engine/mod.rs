//! Where a keyspace's data lives. The words here say what every engine promises; `embedded` keeps it over the durable
//! map in this process. Nothing above may depend on the data being local: another engine is one more variant.
//! It must not know HTTP, limits or defaults.

mod embedded;
mod entries;
mod media;
mod operation;
mod pending;
mod policy;
mod watching;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(test)]
pub(crate) use embedded::Simulated;
pub use embedded::{Draft, Embedded, OpenError, Opening, Options, StoreOptions, directory, open};
pub use entries::Entries;
pub use media::MediaType;
pub use operation::{Batch, Done, Increment, Incremented, Operation, Touched, Unmade};
pub use pending::{
    Backlog, Dead, DeadPage, Deletes, Frozen, FrozenPage, FrozenRow, Identity, Passed, Pending,
    PendingCounts, PendingFailure, PendingPage, PendingRow, Redriven, Total,
};
pub use policy::{Eviction, KeyspaceFacts, KeyspaceFailure, KeyspaceSet, Policy};
pub use watching::{
    Begin, End, Event, Filter, NotKept, Place, TextKind, Told, Watch, Watching, What,
};
pub use writer::{Holder, Owned, Writer};

use crate::metrics::StoreMetrics;

/// Names one state of one key for ever: also after delete and re-create, a restart, a restored backup.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Version {
    /// The incarnation of the store that wrote it.
    pub mark: u64,
    /// Its place in the order of changes.
    pub revision: u64,
}

/// What a 2xx means: how far a change has come before its answer is released.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// In memory only; empty after a restart. A property of a keyspace, never of one request.
    Memory,
    /// Handed to the operating system.
    Written,
    /// On disk.
    Synced,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
        })
    }
}

/// A value with its facts, as it was met. Cloning copies no bytes.
#[derive(Clone)]
pub struct Entry {
    /// The bytes, exactly as they were put.
    pub value: Bytes,
    /// The state that this is.
    pub version: Version,
    /// What the bytes are.
    pub media_type: MediaType,
    /// How the bytes are encoded, where their writer said so.
    pub content_encoding: Option<Arc<str>>,
    /// When the value was written, in Unix milliseconds; a changed expiry leaves it.
    pub created_at_ms: u64,
    /// When the entry leaves, in Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// When somebody should look for a newer value, in Unix milliseconds.
    pub stale_at_ms: Option<u64>,
    /// The source that wrote it, where one did.
    pub owner: Option<Arc<str>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are never shown: they may be secrets.
        f.debug_struct("Entry")
            .field("len", &self.value.len())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// An entry with its key.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The key.
    pub key: Bytes,
    /// What it stands for.
    pub entry: Entry,
}

/// A part of a keyspace in the byte order of its keys.
#[derive(Clone, Debug)]
pub struct Page {
    /// What is there.
    pub entries: Vec<Keyed>,
    /// Whether nothing is behind the last entry.
    pub end: bool,
}

/// Until when an entry is there, and until when it is fresh.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lifetime {
    /// When the entry leaves, in Unix milliseconds; `None` is never.
    pub expires_at_ms: Option<u64>,
    /// When somebody should look for a newer value, in Unix milliseconds; `None` is never. The engine only keeps it.
    pub stale_at_ms: Option<u64>,
}

impl Lifetime {
    /// Fresh until it leaves.
    pub const fn until(expires_at_ms: Option<u64>) -> Self {
        Self {
            expires_at_ms,
            stale_at_ms: None,
        }
    }
}

/// What is said of a value that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// As it stands in a `Content-Type` header.
    pub media_type: &'a str,
    /// As it stands in a `Content-Encoding` header.
    pub content_encoding: Option<&'a str>,
    /// Until when it is there and fresh.
    pub lifetime: Lifetime,
    /// Who writes it.
    pub writer: Writer<'a>,
}

/// The versions that a condition names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Versions {
    /// `*`: any version, as long as there is one.
    Any,
    /// One of these; an empty list holds for none.
    OneOf(Vec<Version>),
}

/// What must hold for a change to be made (RFC 9110, sections 13.1.1 and 13.1.2), decided in one step with the change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// The key must be there, in one of these versions.
    pub if_match: Option<Versions>,
    /// The key must not be there in any of these versions.
    pub if_none_match: Option<Versions>,
}

/// How a put ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Put {
    /// There was no value before.
    Created(Version),
    /// There was one.
    Replaced(Version),
    /// A condition did not hold; nothing was changed. With the version that is there instead.
    Refused(Option<Version>),
    /// The key is somebody else's, whatever the conditions; nothing was changed.
    Foreign(Holder),
}

/// How a delete ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Delete {
    /// The key is gone.
    Removed,
    /// It was not there.
    Absent,
    /// A condition did not hold; nothing was changed. With the version that is there instead.
    Refused(Option<Version>),
    /// The key is somebody else's, whatever the conditions; nothing was changed.
    Foreign(Holder),
}

/// A snapshot that was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Compacted {
    /// Entries in the snapshot, over all keyspaces.
    pub entries: u64,
    /// Bytes of the snapshot.
    pub bytes: u64,
}

/// Why an operation did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// No room on the disk; reads and deletes go on.
    #[error("the disk is full")]
    DiskFull,
    /// The change is larger than one change may be, in bytes.
    #[error("the entry needs {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// The most.
        limit: u64,
        /// What this one needs.
        actual: u64,
    },
    /// The entry takes more memory than its part of a bounded keyspace holds, in bytes.
    #[error(
        "the entry takes {actual} bytes of memory, its part of the keyspace's max_bytes holds {limit}"
    )]
    EntryTooLarge {
        /// The most.
        limit: u64,
        /// What this one takes.
        actual: u64,
    },
    /// The memory of a bounded keyspace is used up and nothing in it may leave.
    #[error("the keyspace is full: its max_bytes are {limit}")]
    KeyspaceFull {
        /// The most bytes that it may take.
        limit: u64,
    },
    /// So much is pending for a sink that no more may be, or that nothing else is left that could leave.
    #[error("too much waits to be passed on by the sink: {limit} {of}")]
    SinkBacklog {
        /// The most that there may be.
        limit: u64,
        /// Of what.
        of: Backlog,
    },
    /// The keyspace was dropped in the meantime.
    #[error("the keyspace was dropped")]
    KeyspaceDropped,
    /// No room in the log in time; nothing was changed.
    #[error("the log has had no room for {} ms", waited.as_millis())]
    Overloaded {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The wait for durability took too long. A change may still take effect.
    #[error("what the answer tells of was not durable within {} ms", waited.as_millis())]
    NotDurableYet {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The disk failed to sync: what was not durable before may be lost.
    #[error("the disk failed: {reason}")]
    Lost {
        /// What failed.
        reason: Arc<str>,
    },
    /// The engine is being closed.
    #[error("the store is being closed")]
    Closing,
    /// The snapshot could not be made; nothing else is affected.
    #[error("no snapshot was made: {reason}")]
    NoSnapshot {
        /// What failed.
        reason: String,
    },
}

/// How the engine fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// The disk failed to sync, and why: writes are refused for good in this process.
    pub failed: Option<String>,
    /// There is no room for writes.
    pub disk_full: bool,
    /// Recovery set damaged bytes aside: an operator has to acknowledge it.
    pub quarantined: bool,
    /// What was wrong with a newer snapshot that the start had to pass over.
    pub snapshot_passed_over: Option<String>,
    /// The clock jumped, so expired entries are hidden but not yet removed.
    pub removal_paused: bool,
}

/// How far an opening engine has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What it is doing, in a word or two.
    pub step: &'static str,
    /// Bytes of this step that are done.
    pub bytes_done: u64,
    /// Bytes of this step in all; 0 while that is not known.
    pub bytes_total: u64,
}

/// An open engine.
#[derive(Clone, Debug)]
pub enum Engine {
    /// The durable map in this process.
    Embedded(Embedded),
}

impl Engine {
    /// The data of the keyspace `default`, which always exists.
    pub fn default_entries(&self) -> Entries {
        match self {
            Self::Embedded(embedded) => Entries::Embedded(embedded.default_entries()),
        }
    }

    /// The data of the keyspace called `name`, if there is one. It stays that keyspace's even where the name is dropped and
    /// given to another one meanwhile.
    pub fn keyspace(&self, name: &str) -> Option<Entries> {
        match self {
            Self::Embedded(embedded) => embedded.keyspace(name).map(Entries::Embedded),
        }
    }

    /// Every keyspace, in the order of their names, as durably as it is told.
    pub async fn keyspaces(&self) -> Result<Vec<KeyspaceFacts>, Failure> {
        match self {
            Self::Embedded(embedded) => embedded.keyspaces().await,
        }
    }

    /// The keyspace called `name`, or durably none.
    pub async fn keyspace_facts(&self, name: &str) -> Result<Option<KeyspaceFacts>, Failure> {
        match self {
            Self::Embedded(embedded) => embedded.keyspace_facts(name).await,
        }
    }

    /// Creates the keyspace `name`, of which there may be `limit` in all, or gives it that policy; on disk when it returns.
    pub async fn set_keyspace(
        &self,
        name: &str,
        policy: &Policy,
        limit: usize,
    ) -> Result<KeyspaceSet, KeyspaceFailure> {
        match self {
            Self::Embedded(embedded) => embedded.set_keyspace(name, policy, limit).await,
        }
    }

    /// Drops the keyspace `name` with everything in it and says whether there was one; on disk when it returns.
    pub async fn drop_keyspace(&self, name: &str) -> Result<bool, KeyspaceFailure> {
        match self {
            Self::Embedded(embedded) => embedded.drop_keyspace(name).await,
        }
    }

    /// Waits until everything that has happened is on disk, so that it can be told that something is not there.
    pub async fn settled(&self) -> Result<(), Failure> {
        match self {
            Self::Embedded(embedded) => embedded.settled().await,
        }
    }

    /// Wall time in Unix milliseconds; never goes back within a process.
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::Embedded(embedded) => embedded.now_ms(),
        }
    }

    /// What the machine's clock shows, in Unix milliseconds; it can be set, forward and back.
    pub fn wall_ms(&self) -> u64 {
        match self {
            Self::Embedded(embedded) => embedded.wall_ms(),
        }
    }

    /// How it fares.
    pub fn health(&self) -> Health {
        match self {
            Self::Embedded(embedded) => embedded.health(),
        }
    }

    /// Resolves with the reason when durability is lost; never where it is not.
    pub async fn lost(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.lost().await,
        }
    }

    /// Folds the log into a snapshot and waits for it.
    pub async fn compact(&self) -> Result<Compacted, Failure> {
        match self {
            Self::Embedded(embedded) => embedded.compact().await,
        }
    }

    /// Changes how many events, and how many bytes of them, are kept for watchers that come back.
    pub fn set_history(&self, events: usize, bytes: u64) {
        match self {
            Self::Embedded(embedded) => embedded.set_history(events, bytes),
        }
    }

    /// Writes the current figures into `metrics`.
    pub fn observe(&self, metrics: &StoreMetrics) {
        match self {
            Self::Embedded(embedded) => embedded.observe(metrics),
        }
    }

    /// Ends all watches; those that are begun later end at once.
    pub fn end_watches(&self) {
        match self {
            Self::Embedded(embedded) => embedded.end_watches(),
        }
    }

    /// Makes everything durable and ends. Blocks. Later changes are [`Failure::Closing`].
    pub fn close(&self) -> Result<(), CloseError> {
        match self {
            Self::Embedded(embedded) => embedded.close(),
        }
    }
}

/// Why an engine did not end well.
#[derive(Debug, thiserror::Error)]
#[error("the store could not be closed: {reason}")]
pub struct CloseError {
    /// What failed.
    pub reason: String,
}
