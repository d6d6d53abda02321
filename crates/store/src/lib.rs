//! A durable map: sharded memory, a write-ahead log, snapshots, recovery.
//!
//! [`Store::open`] locks a directory, loads its newest snapshot, replays its log and goes on in a new segment. Every change
//! takes room in the log, then, under its shard's lock, the next revision; it is applied at once and becomes durable with
//! the batch that it lies in. An answer about anything is released by [`Store::wait_durable`] once everything that it met
//! is on disk: *apply first, acknowledge and reveal after*.
//!
//! What is promised, and what a start does with what it finds, is told in `docs/durability.md` and `docs/format.md`.
//!
//! The crate knows no HTTP, no JSON and no async runtime; its futures may be polled by any.

#[cfg(all(feature = "seeded-bug", not(debug_assertions)))]
compile_error!(
    "the bug-* features are for the tests of the tests: never build a release with them"
);

mod clock;
mod compaction;
mod error;
pub mod fs;
mod int;
mod log;
mod manifest;
mod map;
mod offline;
mod options;
mod progress;
mod record;
mod recovery;
mod snapshot;
mod stats;
mod store;
mod wait;
mod watch;

pub use clock::Clock;
pub use compaction::Compacted;
pub use error::{
    Backlog, CompactError, Damage, ErrorClass, KeyspaceError, Lost, OpenError, PendingError,
    Verdict, WriteError,
};
pub use log::Level;
pub use map::{Entry, Facts, FactsOf, Keyspace, MAX_KEY_BYTES};
pub use offline::{Repair, Repaired, Report, check, repair};
pub use options::{Deletes, Durability, Eviction, Options, Pending, Policy, TailPolicy};
pub use progress::{Phase, Progress};
pub use record::{Lifetime, Meta};
pub use stats::{Health, KeyspaceStats, LogStats, Stats};
pub use store::{
    Batch, Batched, Bury, Conditions, Counted, Counts, Dead, DeadPage, Delete, Deleted, Done,
    Draft, Dropped, Failed, Flush, Freeze, Frozen, FrozenPage, FrozenRow, Holder, Increment,
    Incremented, Operation, Passed, PendingPage, PendingRow, Place, Put, Putted, Read, Redrive,
    Scan, SetKeyspace, Store, Total, Touch, Touched, Version, Versions, Writer,
};
pub use wait::block_on;
pub use watch::{Change, Event, Filter, Flushed, NotKept, Position, Seen, Watcher};

/// Random bytes from the system.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness once it has started a service");
    bytes
}
