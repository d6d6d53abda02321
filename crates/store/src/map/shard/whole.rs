//! A shard as a whole: loaded, flushed, moved, counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashTable;

use super::pending::LetGo;
use super::{Bucket, Index, Shard};
use crate::int::wide;
use crate::map::Entry;
use crate::map::index::keys_of;
use crate::map::pages::Pages;
use crate::map::slots::Slots;

/// What a flush takes out, to be freed without any lock.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    _slots: Slots,
    expiry: BTreeSet<(u64, u32)>,
    let_go: LetGo,
    /// Entries that were live, the expired ones included.
    live: u64,
    _index: Index,
    _table: HashTable<Bucket>,
}

impl Drained {
    /// How many entries were there at `now_ms`, expired ones not counted.
    pub(crate) fn live_at(&self, now_ms: u64) -> u64 {
        self.live - due(&self.expiry, now_ms) - due(&self.let_go.expiry, now_ms)
    }
}

/// How many entries have expired at `now_ms`.
pub(super) fn due(expiry: &BTreeSet<(u64, u32)>, now_ms: u64) -> u64 {
    wide(expiry.range(..=(now_ms, u32::MAX)).count())
}

impl Shard {
    /// A shard that is being filled by recovery, with room for about `entries`: tables that grow leave their former selves
    /// behind in the allocator.
    pub(crate) fn loading(entries: usize) -> Self {
        Self {
            loading: true,
            table: HashTable::with_capacity(entries),
            slots: Slots::with_capacity(entries),
            ..Self::default()
        }
    }

    /// The same, with its entries counted in `pages`; only while none is there.
    pub(in crate::map) fn counted_in(mut self, pages: &Arc<Pages>) -> Self {
        self.slots.count_in(pages);
        self
    }

    /// Empties the shard of everything older than `revision`; what is pending stays. Swaps the tables out, so that it takes
    /// no time while the
    /// lock is held; only replay can meet entries that are newer, and then moves them.
    pub(crate) fn flush(&mut self, revision: u64) -> Drained {
        let newest = self.newest;
        let loading = self.loading;
        let mut old = std::mem::take(self);
        self.share = old.share;
        self.slots = old.slots.another();
        self.sieve = old.sieve.take().map(|_| Box::default());
        self.outbox = old.outbox.take();
        let let_go = self.outbox.as_mut().map(|outbox| outbox.let_go());
        self.loading = loading;
        self.mark = revision;
        self.newest = newest.max(revision);
        if newest > revision {
            for bucket in &old.table {
                let newer = |entry: &Entry| entry.revision() > revision;
                let kept = old.slots.get(bucket.slot).is_some_and(newer);
                if kept && let Some(entry) = old.slots.take(bucket.slot) {
                    old.live -= u64::from(!entry.is_tombstone());
                    if let Some(at) = entry.expires_at_ms() {
                        old.expiry.remove(&(at, bucket.slot));
                    }
                    self.insert(bucket.hash, entry);
                }
            }
        }
        Drained {
            _slots: old.slots,
            expiry: old.expiry,
            let_go: let_go.unwrap_or_default(),
            live: old.live,
            _index: old.index,
            _table: old.table,
        }
    }

    /// Whether every entry here has expired or none is there, at `now_ms`.
    pub(crate) fn is_empty_at(&self, now_ms: u64) -> bool {
        self.live_at(now_ms) == 0
    }

    /// Notes that the keyspace was created or changed by `revision`.
    pub(crate) fn set_mark(&mut self, revision: u64) {
        self.mark = self.mark.max(revision);
        self.newest = self.newest.max(revision);
    }

    /// The newest flush, creation or change of the keyspace.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// The newest change that was made here.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Empties the shard, all but its rows: its entries, and the newest flush, creation or change.
    pub(crate) fn take_all(&mut self) -> (impl Iterator<Item = Entry> + use<>, u64) {
        self.purge(u64::MAX);
        let outbox = self.outbox.take();
        let old = std::mem::take(self);
        self.outbox = outbox;
        (old.slots.into_entries(), old.mark)
    }

    /// Sorts the keys of a loaded shard, holds what is pending, and ends the loading.
    pub(crate) fn finish_loading(&mut self, hash_of: &dyn Fn(&[u8]) -> u32) {
        self.purge(u64::MAX);
        let slots: Vec<u32> = self.slots.iter().map(|(slot, _)| slot).collect();
        self.index = Index::build(&slots, keys_of(&self.slots));
        self.loading = false;
        self.hold_marked(hash_of);
    }

    /// How many entries anybody can read at `now_ms`.
    pub(crate) fn live_at(&self, now_ms: u64) -> u64 {
        let held = self.outbox.as_ref();
        let held = held.map_or(0, |outbox| outbox.expired(now_ms));
        self.live - due(&self.expiry, now_ms) - held
    }

    /// Numbers about this shard at `now_ms`.
    pub(crate) fn stats(&self, now_ms: u64) -> ShardStats {
        let table = self.table.capacity() * (size_of::<Bucket>() + 1) + self.slots.footprint();
        let order = self.sieve.as_ref().map_or(0, |sieve| sieve.footprint());
        let held = self.outbox.as_ref().map_or(0, |outbox| outbox.expiry.len());
        ShardStats {
            live: self.live_at(now_ms),
            entry_bytes: self.entry_bytes,
            bytes: self.used - self.mark_bytes,
            overhead_bytes: wide(
                table + order + self.index.footprint() + self.free.capacity() * size_of::<u32>(),
            ),
            expiring: wide(self.expiry.len() + held),
            marks: wide(self.tombstones.len()),
        }
    }
}

/// Numbers about a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardStats {
    /// Entries that anybody can read.
    pub(crate) live: u64,
    /// Bytes of the entries' allocations.
    pub(crate) entry_bytes: u64,
    /// What the entries cost, by the formula of [`cost`](super::cost).
    pub(crate) bytes: u64,
    /// Bytes of the tables around them.
    pub(crate) overhead_bytes: u64,
    /// Entries that expire some time.
    pub(crate) expiring: u64,
    /// Marks of deletions.
    pub(crate) marks: u64,
}
