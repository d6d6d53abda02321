//! The service around the durable map: HTTP in front, `standpipe-store` behind.
//!
//! `server` is the composition root and the way in; `http` alone knows actix and OpenAPI; `keyspace` says what a
//! keyspace does in its own words; `engine` knows where the data lives. The table of who may import whom is in
//! `ARCHITECTURE.md` and kept by `tests/layering.rs`.

pub mod cli;
pub mod config;
pub mod logging;
pub mod server;
