//! What a keyspace promises and how much it keeps. It must not know who set it: a file, a request, or nobody.

use std::time::Duration;

use super::{Durability, Failure, Pending};

/// The policy of a keyspace, always as a whole. [`Policy::default`] is what a keyspace has of which nothing was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// What a 2xx means.
    pub durability: Durability,
    /// How long a value is kept that was put without a ttl; `None` is for ever.
    pub ttl: Option<Duration>,
    /// The most bytes of memory that its entries may take; `None` is as many as there are.
    pub max_bytes: Option<u64>,
    /// What happens when `max_bytes` is reached.
    pub eviction: Eviction,
    /// How long a client may keep a value without asking again; `None` is not at all.
    pub client_max_age: Option<Duration>,
    /// What is kept for a sink.
    pub pending: Pending,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            ttl: None,
            max_bytes: None,
            eviction: Eviction::Sieve,
            client_max_age: None,
            pending: Pending::None,
        }
    }
}

/// How a full keyspace makes room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Eviction {
    /// Entries leave that nobody has read for long (SIEVE: Zhang et al., NSDI 2024).
    Sieve,
    /// None leaves: the write is refused.
    None,
}

/// A keyspace as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyspaceFacts {
    /// Its name.
    pub name: String,
    /// What it was told.
    pub policy: Policy,
    /// Keys that are there and have not expired.
    pub keys: u64,
    /// Bytes of memory that they take.
    pub bytes: u64,
}

/// What became of a keyspace that was set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyspaceSet {
    /// There was none of that name before.
    Created,
    /// It has the policy now, or had it already.
    Changed,
}

/// Why a keyspace was not created, changed or dropped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyspaceFailure {
    /// To or from memory only while it is empty.
    #[error("{name:?} is {stored} and holds values: to or from memory only while it is empty")]
    DurabilityFixed {
        /// The keyspace.
        name: String,
        /// What it is.
        stored: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// There are as many keyspaces as there may be.
    #[error("there are {limit} keyspaces already")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// What is pending for a sink, or could not be passed on, would get lost.
    #[error("{name:?}: {pending} keys wait to be passed on by a sink, {dead} could not be")]
    SinkPending {
        /// The keyspace.
        name: String,
        /// Keys that are pending; one that is in two generations counts twice.
        pending: u64,
        /// Keys that could not be passed on.
        dead: u64,
    },
    /// A keyspace in memory keeps nothing for a sink.
    #[error("{name:?} is in memory, so it keeps nothing for a sink")]
    NotLogged {
        /// The keyspace.
        name: String,
    },
    /// The change could not be made.
    #[error(transparent)]
    Failed(#[from] Failure),
}
