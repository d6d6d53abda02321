//! What is pending for a sink: what becomes pending by what, how it is passed on, buried and tried again, what it keeps from
//! leaving, and that all of it is the same after a restart, out of the log and out of a snapshot.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod becoming;
mod dead;
mod keyspaces;
mod place;
mod staying;
