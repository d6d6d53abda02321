//! The interface from outside, in process: a real server on a free port over a fresh directory, spoken to byte by byte.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod access;
mod addresses;
mod atomic;
mod authority;
mod batch;
mod batch_rights;
mod batch_shapes;
mod codes;
mod conditions;
mod connections;
mod cors;
mod counted_policies;
mod counters;
mod durability;
mod entries;
mod errors;
mod follower;
mod generated;
mod guards;
mod harness;
mod http2;
mod json;
mod keys;
mod keyspaces;
mod limits;
mod limits_table;
mod listing;
mod managed;
mod media;
mod mirrors;
mod mirrors_read_only;
mod mirrors_upstreams;
mod operations;
mod ops;
mod origin;
mod pages;
mod policies;
mod prefixes;
mod publications;
mod pump;
mod races;
mod ranges;
mod request_ids;
mod sink_stage;
mod sinks;
mod sinks_ahead;
mod sinks_behind;
mod sinks_http;
mod smartcore;
mod sources;
mod stopping;
mod through;
mod tls;
mod ttl;
mod values;
mod watch;
mod watch_ends;
mod watch_resume;
