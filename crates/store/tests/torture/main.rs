//! The torture tests of the store: damage, crashes and failures, held against a model of what was promised.
//!
//! They use the public API and the simulated machine alone. Longer runs by environment variables:
//! `STANDPIPE_CRASH_STATES=10000`, `STANDPIPE_HISTORIES=1000`, `STANDPIPE_FOLDS=100`,
//! `STANDPIPE_FAULTS=every`, `STANDPIPE_DAMAGE=every-bit`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod answers;
mod bounded;
mod concurrent;
mod crash;
mod faults;
mod folding;
mod harness;
mod lives;
mod model;
mod operations;
mod owed;
mod promises;
mod recovery;
mod sinking;
mod sinks;
mod sums;
mod watching;
mod workload;
