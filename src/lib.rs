//! The service around the durable map: HTTP in front, `standpipe-store` behind.
//!
//! `server` is the composition root and the way in; `http` alone knows actix and the interface's document; `keyspace` says what a
//! keyspace does in its own words; `engine` knows where the data lives. The table of who may import whom is in
//! `ARCHITECTURE.md` and kept by `tests/layering.rs`.

#[cfg(all(feature = "seeded-bug", not(debug_assertions)))]
compile_error!(
    "the bug-* features are for the tests of the tests: never build a release with them"
);

pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod keyspace;
pub mod logging;
pub mod metrics;
pub mod mirror;
pub mod outbound;
pub mod pump;
pub mod server;
pub mod sink;
pub mod source;
pub mod tls;
