//! Keyspaces that follow what somebody else publishes, and stay readable while that one is away: pubcache's work. It must not
//! know how values are kept.

mod options;

pub use options::{OnDelete, Options, Service, SmartCore, Standpipe, Upstream};
