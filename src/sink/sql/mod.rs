//! Tables of databases as targets: every change of a generation, and the note that it was applied, in one transaction. It
//! must not know when that happens.

mod apply;
mod column;
mod fault;
mod mysql;
mod name;
mod notes;
mod postgres;
mod session;
mod sqlite;
#[cfg(test)]
mod tests;

pub(super) use apply::apply;
pub(super) use session::Session;

/// The table of notes, beside the table that is written to.
const NOTES: &str = "standpipe_sink";
