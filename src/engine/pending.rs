//! What a keyspace keeps for a sink, and what a sink does with it: it freezes a generation, reads it page by page, passes it on
//! and drops it; what cannot be passed on is buried, and may be tried again. The words say what every engine promises.
//!
//! What a sink is told is on disk, whatever the keyspace promises otherwise: so is what [`Entries::freeze`](super::Entries)
//! returns, what a page shows, and that a generation was dropped or keys were buried.

use std::fmt;

use bytes::Bytes;

use super::{Entry, Failure};

/// What a keyspace keeps for a sink. Only the configuration file says so, and it needs a keyspace that is logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pending {
    /// Nothing new. What was pending before stays.
    #[default]
    None,
    /// Of each key the sum of its increments since the last time; nothing else that happens to the key changes it.
    Sums {
        /// Most keys that may be pending; one that is in two generations counts twice.
        most: u64,
    },
    /// That the key was changed: what is passed on is its value as it is then. An entry that is pending neither expires from
    /// memory nor makes room.
    Latest {
        /// What becomes of deletions.
        deletes: Deletes,
        /// Most keys that may be pending; one that is in two generations counts twice.
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

/// What there is too much of while it is not passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
            Self::Bytes => "bytes of max_bytes are taken by what is pending",
        })
    }
}

/// A generation that is to be passed on. There is one at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frozen {
    /// Its number, which counts up and never comes again in its keyspace.
    pub generation: u64,
    /// The mark of the start that froze it: the same number under another mark is another generation, out of a restored backup.
    pub mark: u64,
    /// How many keys are pending in it.
    pub keys: u64,
    /// Since when the oldest has been, in Unix milliseconds.
    pub since_ms: u64,
}

/// A part of the frozen generation, in the byte order of its keys.
#[derive(Clone, Debug)]
pub struct FrozenPage {
    /// What is pending.
    pub rows: Vec<FrozenRow>,
    /// Whether nothing is behind the last row.
    pub end: bool,
}

/// A key that is pending in the frozen generation.
#[derive(Clone, Debug)]
pub struct FrozenRow {
    /// The key.
    pub key: Bytes,
    /// What is to be passed on.
    pub passed: Passed,
}

/// What is to be passed on of a key.
#[derive(Clone, Debug)]
pub enum Passed {
    /// The sum of its increments: the same however often it is read.
    Sum(i64),
    /// Its value as it is now. It may have expired: it was kept for this.
    Value(Entry),
    /// It is not there any more, and that is to be passed on.
    Gone,
    /// It is not there any more, and nothing is to be passed on.
    Nothing,
}

/// All that is pending of a key, or could not be passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Total {
    /// The sum of its increments.
    Sum(i128),
    /// It was changed.
    Mark,
}

/// A part of what is pending in all generations, in the byte order of its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingPage {
    /// What is pending.
    pub rows: Vec<PendingRow>,
    /// Whether nothing is behind the last row.
    pub end: bool,
}

/// A key that is pending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingRow {
    /// The key.
    pub key: Bytes,
    /// All that is pending of it.
    pub total: Total,
}

/// How much is pending.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PendingCounts {
    /// The generation that changes go to: every one that was ever frozen is below it.
    pub generation: u64,
    /// Keys that are pending; one that is in two generations counts twice.
    pub keys: u64,
    /// Keys that are pending in the frozen generation.
    pub frozen: u64,
    /// Since when the oldest has been pending, in Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Keys that could not be passed on.
    pub dead: u64,
}

/// A part of what could not be passed on, in the byte order of its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeadPage {
    /// What could not be passed on.
    pub letters: Vec<Dead>,
    /// Whether nothing is behind the last one.
    pub end: bool,
}

/// A key that could not be passed on. It has one letter: what is buried of it later is added. Of a value that is passed on the
/// letter keeps none: what is passed on when it is tried again is what is there then, and the entry may leave meanwhile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dead {
    /// The key.
    pub key: Bytes,
    /// All that could not be passed on of it.
    pub total: Total,
    /// Why, the last time: at most 200 bytes.
    pub reason: Box<str>,
    /// When, the last time, in Unix milliseconds.
    pub at_ms: u64,
}

/// What became of dead letters that were to be tried again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Redriven {
    /// How many keys are pending again, in the current generation.
    pub keys: u64,
    /// Keys that stay dead, because what is pending of them would not fit into 64 bits.
    pub kept: Vec<Bytes>,
}

/// What names a keyspace for ever: by it a sink finds its own mark in a database.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// The random number that the store was given when it was made.
    pub store: [u8; 16],
    /// The keyspace's number, which is never given to another one.
    pub keyspace: u32,
}

/// Why something was not done for a sink.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PendingFailure {
    /// This generation is not frozen: it was dropped, or has not been frozen yet.
    #[error("generation {generation} is not frozen")]
    NotFrozen {
        /// The generation.
        generation: u64,
    },
    /// There would be too many keys that could not be passed on; nothing was changed.
    #[error("{actual} keys could not be passed on, the limit is {limit}")]
    DeadFull {
        /// How many there may be.
        limit: u64,
        /// How many there would be.
        actual: u64,
    },
    /// The change could not be made, or it was not on disk in time: then it may still take effect.
    #[error(transparent)]
    Failed(#[from] Failure),
}
