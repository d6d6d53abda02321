//! Passing changes on to a database or an HTTP server, late and, for a database, exactly once: writebehind's work. It must not
//! know how what is pending is kept.

mod ahead;
mod backlog;
#[cfg(test)]
mod book;
mod kept;
mod ledger;
mod options;
mod outlet;
mod parts;
mod row;
mod shared;
mod sinks;
mod sql;
mod status;
mod web;
mod worker;

pub use backlog::Counts;
pub use ledger::Choice;
pub use options::{Deletes, HttpTarget, Mode, Options, SqlTarget, Target};
pub use sinks::{SinkError, Sinks};
pub use status::{Done, Passed, Place, State, Status, Trouble};
