//! What a store can be told, with units in the names. It knows nothing of configuration files.

use std::fmt;
use std::time::Duration;

/// What a successful answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// On disk before the answer.
    Synced,
    /// Handed to the operating system; on disk within `sync_interval` and one sync.
    Written,
    /// Never logged; empty after a restart.
    Memory,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Written => "written",
            Self::Memory => "memory",
        })
    }
}

/// What leaves a keyspace whose `max_bytes` are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Eviction {
    /// The entry that SIEVE picks (NSDI'24).
    #[default]
    Sieve,
    /// Nothing: changes that need room are refused.
    None,
}

/// What a keyspace keeps for a sink, which passes it on to somebody outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pending {
    /// Nothing new. What was pending before stays.
    #[default]
    None,
    /// Of each key the sum of its increments since the last time; nothing else that happens to the key changes it.
    Sums {
        /// Most sums that may be pending; a key that is pending in two generations has two.
        most: u64,
    },
    /// That the key was changed: what is passed on is its value as it is then.
    Latest {
        /// What becomes of deletions.
        deletes: Deletes,
        /// Most marks that may be pending; a key that is pending in two generations has two.
        most: u64,
    },
}

/// What becomes of the deletions of a keyspace whose values are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletes {
    /// They are not passed on.
    Ignore,
    /// They are, those of a flush and of a deletion by prefix too.
    Propagate,
}

/// What a keyspace is told. The store keeps all of it and goes by what concerns it; the rest is for those above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What a successful answer means.
    pub durability: Durability,
    /// How long an entry stays that says nothing about it, in milliseconds; `None` = for ever.
    pub ttl_ms: Option<u64>,
    /// Most bytes of memory that its entries may take; `None` = as many as there are.
    pub max_bytes: Option<u64>,
    /// What leaves when they are used up.
    pub eviction: Eviction,
    /// How long a client may keep an answer without asking again, in milliseconds; `None` = not at all.
    pub client_max_age_ms: Option<u64>,
    /// What is kept for a sink.
    pub pending: Pending,
}

impl Policy {
    /// Everything as by default, but that durability.
    pub const fn of(durability: Durability) -> Self {
        Self {
            durability,
            ttl_ms: None,
            max_bytes: None,
            eviction: Eviction::Sieve,
            client_max_age_ms: None,
            pending: Pending::None,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(Durability::Synced)
    }
}

/// What recovery does with a tail that may be torn or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailPolicy {
    /// Refuse to start.
    Refuse,
    /// Put it into quarantine and go on, visibly.
    Tolerate,
}

/// The settings of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of a log segment, in bytes.
    pub segment_bytes: u64,
    /// Most bytes of one write to the log.
    pub batch_bytes: usize,
    /// Most bytes of changes that wait to be written.
    pub pending_bytes: u64,
    /// Longest time that a written change waits for its sync.
    pub sync_interval: Duration,
    /// Largest payload of a record, in bytes; written into each segment's header.
    pub max_record_bytes: u32,
    /// Bytes set aside so that deletes work on a full disk; `None` = one segment + 1 MiB, at most 1/16 of the disk.
    pub reserve_bytes: Option<u64>,
    /// What to do with a tail that may be torn or damaged.
    pub tail: TailPolicy,
    /// Parts of the map with a lock of their own; a power of two.
    pub shards: usize,
    /// Fastest that a snapshot is written; `None` = no limit.
    pub snapshot_bytes_per_second: Option<u64>,
    /// No compaction before the log has this many bytes.
    pub compaction_min_bytes: u64,
    /// Longest time that a change waits for room in the log.
    pub room_wait: Duration,
    /// Most events that are kept for watchers that come back.
    pub history_events: usize,
    /// Most bytes of such events.
    pub history_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            batch_bytes: 1 << 20,
            pending_bytes: 64 << 20,
            sync_interval: Duration::from_secs(1),
            max_record_bytes: (32 << 20) + (128 << 10),
            reserve_bytes: None,
            tail: TailPolicy::Refuse,
            shards: 256,
            snapshot_bytes_per_second: None,
            compaction_min_bytes: 64 << 20,
            room_wait: Duration::from_secs(5),
            history_events: 100_000,
            history_bytes: 64 << 20,
        }
    }
}
