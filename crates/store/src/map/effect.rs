//! What a change does to a shard, and what is known about a key. It knows entries alone.

use super::Entry;

/// What a change does to one shard.
#[derive(Debug)]
pub(crate) enum Effect<'a> {
    /// The entry is there from its revision on.
    Put(Entry),
    /// The key was deleted by `revision`; a mark stays until that is durable.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The change that deleted it.
        revision: u64,
    },
    /// The key left by time or for room: no mark, because nobody is promised anything about it.
    Remove {
        /// The key.
        key: &'a [u8],
        /// The change that removed it.
        revision: u64,
    },
}

/// What is known about a key.
#[derive(Debug)]
pub(crate) enum Lookup<'s> {
    /// There, and not expired.
    Live(&'s Entry),
    /// There in memory, but its time has come: absent to everybody.
    Expired(&'s Entry),
    /// Absent. `seen` is the deletion or flush that made it so, as far as it is still remembered.
    Absent {
        /// A revision, 0 where nothing is remembered.
        seen: u64,
    },
}
