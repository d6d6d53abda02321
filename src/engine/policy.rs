//! What a keyspace promises and how much it keeps. It must not know who set it: a file, a request, or nobody.

use std::time::Duration;

use super::Durability;

/// The policy of a keyspace, always as a whole. [`Policy::default`] is what a keyspace has of which nothing was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// What a 2xx means.
    pub durability: Durability,
    /// How long a value is kept that was put without a ttl; `None` is for ever.
    pub ttl: Option<Duration>,
    /// The most bytes of memory that its entries may take; `None` is as many as there are.
    pub max_bytes: Option<u64>,
    /// What happens when `max_bytes` is reached.
    pub eviction: Eviction,
    /// How long a client may keep a value without asking again; `None` is not at all.
    pub client_max_age: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            ttl: None,
            max_bytes: None,
            eviction: Eviction::Sieve,
            client_max_age: None,
        }
    }
}

/// How a full keyspace makes room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Eviction {
    /// Entries leave that nobody has read for long (SIEVE: Zhang et al., NSDI 2024).
    Sieve,
    /// None leaves: the write is refused.
    None,
}
