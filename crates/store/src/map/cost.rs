//! What an entry costs in memory: the one formula behind `max_bytes`, the bytes of a keyspace and the metrics.
//!
//! ```text
//! cost = class(32 + facts + key + value) + 48 + 40 where it expires + 16 where a source wrote it
//! ```
//!
//! `class` is the size that an allocator hands out for it: multiples of 16 up to 128 bytes, four sizes for each doubling up
//! to 128 KiB, whole pages above (mimalloc and jemalloc agree on these). 48 is the most that the tables around an entry can
//! take: a bucket of 9 bytes in a table that is at least 7/16 full (20.6), a slot of 8 that grow by an eighth (9), a place
//! in an index whose chunks are at least half full (8.1), links and bit of the eviction order (9.2). An expiry is 16 bytes
//! in a tree whose nodes may be little more than half full (40 with the nodes above); the list of what sources wrote has 4 in
//! such a tree (at most 16). It knows nothing but sizes.

use super::entry::{Entry, HEADER};
use crate::int::wide;

/// Most bytes that the tables around an entry take for it.
const TABLES: u64 = 48;
/// Most bytes that the order of expiry takes for an entry that expires.
const EXPIRY: u64 = 40;
/// Most bytes that the list of what sources wrote takes for such an entry.
const OWNED: u64 = 16;
/// Above this the allocator hands out whole pages.
const LARGE: u64 = 128 << 10;
const PAGE: u64 = 4 << 10;

/// What `entry` costs while it is in a shard, in bytes.
pub(crate) fn cost(entry: &Entry) -> u64 {
    let expiry = entry.expires_at_ms().map_or(0, |_| EXPIRY);
    let owned = if entry.is_owned() { OWNED } else { 0 };
    size_class(entry.footprint()) + TABLES + expiry + owned
}

/// What the mark of a deletion of `key` costs.
pub(crate) fn of_mark(key: &[u8]) -> u64 {
    size_class(HEADER + wide(key.len())) + TABLES
}

/// The most that an entry can cost whose key, value and facts have `bytes` together.
pub(crate) fn most(bytes: u64) -> u64 {
    size_class(bytes.saturating_add(64)) + TABLES + EXPIRY + OWNED
}

/// What an allocator hands out for `bytes`.
pub(super) const fn size_class(bytes: u64) -> u64 {
    let step = if bytes <= 128 {
        16
    } else if bytes <= LARGE {
        // Four sizes for each doubling: a quarter of the power of two below.
        1 << ((bytes - 1).ilog2() - 2)
    } else {
        PAGE
    };
    bytes.saturating_add(step - 1) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::FactsTable;
    use crate::record::{Lifetime, Meta, Parts};

    #[test]
    fn sizes_are_those_of_the_allocators() {
        let sizes = [
            (1, 16),
            (32, 32),
            (33, 48),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (257, 320),
            (1_000, 1_024),
            (1_025, 1_280),
            (LARGE, LARGE),
            (LARGE + 1, LARGE + PAGE),
        ];
        for (bytes, class) in sizes {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }

    #[test]
    fn an_expiry_and_an_owner_cost_their_bytes_and_their_place_in_the_lists() {
        let table = FactsTable::new();
        let cost_of = |expires_at_ms, owner| {
            let meta = Meta {
                owner,
                ..Meta::of_type(Meta::TEXT)
            };
            let parts = Parts {
                key: b"a-key-of-sixteen",
                meta,
                lifetime: Lifetime::until(expires_at_ms),
                created_at_ms: 1,
            };
            cost(&Entry::reserve(&parts, 100, &table))
        };
        // 32 + 16 + 100 = 148 of 160; with eight bytes more still 160, and with twelve.
        assert_eq!(cost_of(None, None), 160 + 48);
        assert_eq!(cost_of(Some(9), None), 160 + 48 + 40);
        assert_eq!(cost_of(Some(9), Some("source")), 160 + 48 + 40 + 16);
        assert!(most(116) >= cost_of(Some(9), Some("source")));
    }
}
