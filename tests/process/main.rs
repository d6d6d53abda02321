//! The built binary, seen from outside: what it prints, what it ends with, and what is left after it was killed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod access_log;
mod arguments;
mod counting;
mod crashes;
mod directories;
mod harness;
mod mirrors;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../api/pump/origin.rs"]
mod origin;
mod read_through;
mod reload;
mod reload_keyspaces;
mod serving;
mod sources;
mod tls;
mod transfer;
