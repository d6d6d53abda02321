//! Passing changes on to a database or an HTTP server, late and, for a database, exactly once: writebehind's work. It must not
//! know how what is pending is kept.

mod options;

pub use options::{Deletes, HttpTarget, Mode, Options, SqlTarget, Target};
