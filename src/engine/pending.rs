//! What a keyspace keeps for a sink: generations of changes that are closed, passed on and dropped, and what could not be
//! passed on. It must not know who passes it on, or where to.

use bytes::Bytes;

use super::{Entry, Failure};

/// What is kept for a sink, as a part of a keyspace's policy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pending {
    /// Nothing new. What was pending before stays.
    #[default]
    None,
    /// Of each key the sum of its increments since the last time.
    Sums {
        /// The most that may be pending; a key that is pending in two generations counts twice.
        most: u64,
    },
    /// That the key was changed: what is passed on is its value as it is then.
    Latest {
        /// What becomes of deletions.
        deletes: Deletes,
        /// The most that may be pending; a key that is pending in two generations counts twice.
        most: u64,
    },
}

/// What becomes of the deletions of a keyspace whose values are passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deletes {
    /// They are not passed on.
    Ignore,
    /// They are, those of a flush and of a deletion by prefix too.
    Propagate,
}

/// Names a keyspace of a store for ever: also where another one gets its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The store.
    pub store: [u8; 16],
    /// The keyspace in it.
    pub keyspace: u64,
}

/// A generation that is closed, so that it can be passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frozen {
    /// Its number, which never comes again in its keyspace.
    pub generation: u64,
    /// The incarnation of the store that closed it: the same number under another one is another generation.
    pub mark: u64,
    /// How many keys are pending in it.
    pub keys: u64,
}

/// What is to be passed on of a key.
#[derive(Clone, Debug)]
pub enum Passed {
    /// The sum of its increments.
    Sum(i64),
    /// Its value as it is now.
    Value(Entry),
    /// It is not there any more, and that is to be passed on.
    Gone,
    /// It is not there any more, and nothing is to be passed on.
    Nothing,
}

/// A part of a closed generation in key order.
#[derive(Clone, Debug)]
pub struct FrozenPage {
    /// The keys with what is to be passed on of them.
    pub rows: Vec<(Bytes, Passed)>,
    /// Whether nothing is behind the last one.
    pub end: bool,
}

/// All that is pending of a key, or could not be passed on of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Total {
    /// The sum of its increments.
    Sum(i128),
    /// It was changed.
    Mark,
}

/// A part of what is pending in key order.
#[derive(Clone, Debug)]
pub struct PendingPage {
    /// The keys with all that is pending of them, in whichever generation.
    pub rows: Vec<(Bytes, Total)>,
    /// Whether nothing is behind the last one.
    pub end: bool,
}

/// How much is pending.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PendingCounts {
    /// The generation that changes go to.
    pub generation: u64,
    /// Keys that are pending; one that is pending in two generations counts twice.
    pub keys: u64,
    /// Since when the oldest has been pending, in Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Keys that could not be passed on.
    pub dead: u64,
}

/// A key that could not be passed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dead {
    /// The key.
    pub key: Bytes,
    /// All that could not be passed on of it.
    pub total: Total,
    /// Why, the last time.
    pub reason: Box<str>,
    /// When, the last time, in Unix milliseconds.
    pub at_ms: u64,
}

/// A part of what could not be passed on, in key order.
#[derive(Clone, Debug)]
pub struct DeadPage {
    /// The keys.
    pub letters: Vec<Dead>,
    /// Whether nothing is behind the last one.
    pub end: bool,
}

/// What became of keys that were to be tried again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Redriven {
    /// Keys that are pending again.
    pub redriven: u64,
    /// Keys that stay what they are, because what is pending of them would not fit into 64 bits.
    pub kept: u64,
}

/// Why something was not done for a sink.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PendingFailure {
    /// The change could not be made.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The generation is not being passed on: it was dropped.
    #[error("generation {generation} is not being passed on any more")]
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
