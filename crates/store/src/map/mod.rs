//! The map of one keyspace: which shard a key lives in, and its lock.
//!
//! A key's hash is taken once; its high bits pick the shard, its low half the bucket. Locks are taken once per
//! operation, shards in ascending order where there are several. It knows no log: what is durable is told to it.

mod bound;
pub(crate) mod cost;
mod effect;
mod entry;
mod eviction;
mod facts;
mod index;
mod keyspace;
mod ledger;
mod pages;
mod shard;
mod slots;
mod tidy;

use std::hash::{BuildHasher as _, Hasher as _};

use crossbeam_utils::CachePadded;
use foldhash::quality::FixedState;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use bound::{Allowance, Need, Room, Victims};
pub(crate) use effect::{Effect, Lookup};
pub use entry::{Entry, MAX_KEY_BYTES};
pub(crate) use facts::FactsTable;
pub use facts::{Facts, FactsOf};
pub use keyspace::Keyspace;
pub(crate) use keyspace::{ById, Contents};
pub(crate) use ledger::{Ledger, Seats};
pub(crate) use shard::{Drained, Open, Shard, ShardStats, Taken};

use crate::int::{low32, narrow};

/// The number in the manifest for the hash function used here; another function gets another number.
pub(crate) const HASH_ALGORITHM: u32 = 1;

/// Where a key lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) hash: u32,
}

/// Shards behind their locks. Lock order: shards ascending, then the log's mutex.
#[derive(Debug)]
pub(crate) struct Map {
    shards: Box<[CachePadded<RwLock<Shard>>]>,
    hasher: FixedState,
    /// How far the hash is shifted right to pick a shard; the shards are a power of two.
    shift: u32,
}

impl Map {
    /// A map of `shards` parts (rounded up to a power of two, at most 65,536), hashing with `seed`.
    pub(crate) fn new(shards: usize, seed: u64, make: impl Fn() -> Shard) -> Self {
        let count = shards.clamp(1, 1 << 16).next_power_of_two();
        Self {
            shards: (0..count)
                .map(|_| CachePadded::new(RwLock::new(make())))
                .collect(),
            hasher: FixedState::with_seed(seed),
            shift: 64 - count.trailing_zeros(),
        }
    }

    /// Where `key` lives.
    #[inline]
    pub(crate) fn place(&self, key: &[u8]) -> Place {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        // A shift by 64 would overflow: with one shard everything is in it.
        let shard = hash.checked_shr(self.shift).unwrap_or(0);
        Place {
            shard: narrow(shard),
            hash: low32(hash),
        }
    }

    fn at(&self, shard: usize) -> &RwLock<Shard> {
        self.shards
            .get(shard)
            .expect("a place is within the shards of its own map")
    }

    /// Locks a shard for reading.
    #[inline]
    pub(crate) fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.at(shard).read()
    }

    /// Locks a shard for writing.
    #[inline]
    pub(crate) fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.at(shard).write()
    }

    /// Locks all shards for writing, in ascending order.
    pub(crate) fn write_all(&self) -> Vec<RwLockWriteGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.write()).collect()
    }

    /// Moves everything into `other`, which is being loaded as this one is.
    fn move_to(&self, other: &Self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            for open in [Open::Frozen, Open::Current] {
                for (key, row) in shard.take_rows(open) {
                    let place = other.place(&key);
                    let mut shard = other.write(place.shard);
                    shard.pend(open, place.hash, &key, row);
                }
            }
            let (entries, mark) = shard.take_all();
            drop(shard);
            for entry in entries {
                let place = other.place(entry.key());
                let mut shard = other.write(place.shard);
                drop(shard.apply(place.hash, Effect::Put(entry), u64::MAX));
            }
            for other in &other.shards {
                other.write().set_mark(mark);
            }
        }
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Numbers about all shards at `now_ms`, one lock at a time.
    pub(crate) fn stats(&self, now_ms: u64) -> ShardStats {
        let mut sum = ShardStats::default();
        for shard in 0..self.shards() {
            let one = self.read(shard).stats(now_ms);
            sum.live += one.live;
            sum.entry_bytes += one.entry_bytes;
            sum.bytes += one.bytes;
            sum.overhead_bytes += one.overhead_bytes;
            sum.expiring += one.expiring;
            sum.marks += one.marks;
        }
        sum
    }
}
