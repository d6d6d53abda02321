//! A part of the map with a lock of its own: a hash table of slots, the slots' entries, the key index, what expires.
//!
//! A slot keeps its key for as long as the key is here, so replacing a value touches one pointer. Live writes and replay
//! change a shard through one function, [`Shard::apply`]. [`whole`] is about all of it at once. It knows neither the log nor
//! clocks.

mod pending;
mod whole;

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashTable;

use super::cost::cost;
use super::effect::{Effect, Lookup};
use super::entry::Entry;
use super::eviction::Sieve;
use super::index::{Index, keys_of};
use super::pages::Sparse;
use super::slots::Slots;
use super::tidy::Tidying;
use pending::Outbox;
pub(crate) use pending::{Open, Taken};
pub(crate) use whole::{Drained, ShardStats};

/// A bucket: half of the key's hash, so that growing the table never looks at an entry, and its slot.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    hash: u32,
    slot: u32,
}

impl Bucket {
    /// Spreads 32 good bits over the 64 that the table takes its two parts from.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Where the mark of a deletion stands.
#[derive(Debug, Clone, Copy)]
struct Mark {
    revision: u64,
    slot: u32,
    hash: u32,
}

/// One shard.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    table: HashTable<Bucket>,
    slots: Slots,
    free: Vec<u32>,
    index: Index,
    /// While loading, keys are not put into the index one by one; [`Shard::finish_loading`] sorts them.
    loading: bool,
    /// (`expires_at`, slot) of every live entry that leaves by time; those that are held are with what is pending.
    expiry: BTreeSet<(u64, u32)>,
    /// Slots of what sources wrote.
    owned: BTreeSet<u32>,
    /// The marks of deletions, oldest first.
    tombstones: VecDeque<Mark>,
    /// The newest flush, creation or change of the keyspace: what an absent key owes its absence to.
    mark: u64,
    /// The newest revision that was applied here.
    newest: u64,
    live: u64,
    /// Bytes of the live entries' allocations.
    entry_bytes: u64,
    /// What everything here costs, marks of deletions included.
    pub(super) used: u64,
    /// What of it the marks of deletions cost.
    mark_bytes: u64,
    /// What of it entries cost that must not leave for room.
    pub(super) pinned: u64,
    /// The most that it may cost.
    pub(super) share: Option<u64>,
    /// How far [`Shard::tidy`] is.
    pub(super) tidying: Tidying,
    /// Who leaves when room is needed; only where somebody may.
    pub(super) sieve: Option<Box<Sieve>>,
    /// What is pending for a sink; only where something ever was.
    outbox: Option<Box<Outbox>>,
}

impl Shard {
    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let bucket = self.table.find(Bucket::spread(hash), |bucket| {
            bucket.hash == hash
                && self
                    .entry(bucket.slot)
                    .is_some_and(|entry| entry.key() == key)
        });
        bucket.map(|bucket| bucket.slot)
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot)
    }

    /// Whether the entry of a slot may leave for room. A mark of a deletion stands for a promise; what a source wrote is not
    /// ours; what is pending has to be passed on first.
    fn may_leave(&self, slot: u32, entry: &Entry) -> bool {
        !entry.is_tombstone() && !entry.is_owned() && !self.is_held(slot)
    }

    /// What is known about `key`, which counts as asking for it. The time is asked for only where the entry expires.
    pub(crate) fn look_up(
        &self,
        hash: u32,
        key: &[u8],
        now_ms: impl FnOnce() -> u64,
    ) -> Lookup<'_> {
        let found = self.find(hash, key);
        let Some((slot, entry)) = found.and_then(|slot| self.entry(slot).map(|it| (slot, it)))
        else {
            return Lookup::Absent { seen: self.mark };
        };
        if entry.is_tombstone() {
            Lookup::Absent {
                seen: entry.revision().max(self.mark),
            }
        } else if entry.expires_at_ms().is_some_and(|at| at <= now_ms()) {
            Lookup::Expired(entry)
        } else {
            if let Some(sieve) = &self.sieve {
                sieve.visit(slot);
            }
            Lookup::Live(entry)
        }
    }

    /// The same without asking for it, and whatever the time is: what has expired and is still kept counts as there.
    pub(crate) fn peek(&self, hash: u32, key: &[u8]) -> Lookup<'_> {
        let found = self.find(hash, key).and_then(|slot| self.entry(slot));
        match found {
            None => Lookup::Absent { seen: self.mark },
            Some(entry) if entry.is_tombstone() => Lookup::Absent {
                seen: entry.revision().max(self.mark),
            },
            Some(entry) => Lookup::Live(entry),
        }
    }

    /// Makes one change, unless something newer is there already. The one place where a key changes.
    ///
    /// `durable` is the newest revision that no crash can take back: marks of deletions up to it are dropped.
    /// Returns the entry that was replaced or removed, to be freed without the lock.
    pub(crate) fn apply(&mut self, hash: u32, effect: Effect<'_>, durable: u64) -> Option<Entry> {
        self.purge(durable);
        let (key, revision) = match &effect {
            Effect::Put(entry) => (entry.key(), entry.revision()),
            Effect::Delete { key, revision } | Effect::Remove { key, revision } => {
                (*key, *revision)
            }
        };
        let found = self.find(hash, key);
        let newer = found
            .and_then(|slot| self.entry(slot))
            .is_some_and(|entry| entry.revision() >= revision);
        self.newest = self.newest.max(revision);
        if newer {
            return None;
        }
        match (effect, found) {
            (Effect::Put(entry), Some(slot)) => {
                let old = self.replace(slot, entry);
                self.hold_if_marked(slot);
                old
            }
            (Effect::Put(entry), None) => {
                let slot = self.insert(hash, entry);
                self.hold_if_marked(slot);
                None
            }
            (Effect::Delete { key, .. }, Some(slot)) => {
                let old = self.replace(slot, Entry::tombstone(key, revision));
                self.tombstones.push_back(Mark {
                    revision,
                    slot,
                    hash,
                });
                old
            }
            (Effect::Remove { .. }, Some(slot)) => self.remove(slot, hash),
            (Effect::Delete { .. } | Effect::Remove { .. }, None) => None,
        }
    }

    fn insert(&mut self, hash: u32, entry: Entry) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.slots.grow());
        self.count_in(slot, &entry);
        let leaves = self.may_leave(slot, &entry);
        if let Some(sieve) = self.sieve.as_mut().filter(|_| leaves) {
            sieve.push(slot);
        }
        if !self.loading {
            self.index.insert(slot, entry.key(), keys_of(&self.slots));
        }
        drop(self.slots.put(slot, entry));
        self.table
            .insert_unique(Bucket::spread(hash), Bucket { hash, slot }, |bucket| {
                Bucket::spread(bucket.hash)
            });
        slot
    }

    fn replace(&mut self, slot: u32, entry: Entry) -> Option<Entry> {
        let old = self.slots.take(slot);
        // Out before in: both may expire at the same moment, in the same slot.
        let left = old.as_ref().is_some_and(|old| self.may_leave(slot, old));
        if let Some(old) = &old {
            self.count_out(slot, old);
        }
        if entry.is_tombstone() {
            self.forget_held(slot);
        }
        self.count_in(slot, &entry);
        let leaves = self.may_leave(slot, &entry);
        if let Some(sieve) = &mut self.sieve {
            match (left, leaves) {
                // A key that is written again keeps its place, and was asked for.
                (true, true) => sieve.visit(slot),
                (false, true) => sieve.push(slot),
                (true, false) => sieve.remove(slot),
                (false, false) => {}
            }
        }
        drop(self.slots.put(slot, entry));
        old
    }

    /// How many slots there are, the empty ones included.
    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Which pages of memory should be left, where so many are so empty that it matters.
    pub(super) fn sparse(&self) -> Option<Sparse> {
        self.slots.sparse()
    }

    /// Copies an entry to another place in memory, where it lies in a page that should be left. Returns what was there.
    pub(super) fn renew(&mut self, slot: u32, most: Sparse) -> Option<Entry> {
        self.slots.renew(slot, most)
    }

    pub(super) fn remove(&mut self, slot: u32, hash: u32) -> Option<Entry> {
        if let Some(sieve) = &mut self.sieve {
            sieve.remove(slot);
        }
        if let Some(key) = self.slots.get(slot).map(Entry::key)
            && !self.loading
        {
            self.index.remove(key, keys_of(&self.slots));
        }
        let found = self
            .table
            .find_entry(Bucket::spread(hash), |bucket| bucket.slot == slot);
        if let Ok(bucket) = found {
            bucket.remove();
        }
        let old = self.slots.take(slot);
        if let Some(old) = &old {
            self.count_out(slot, old);
        }
        self.forget_held(slot);
        self.free.push(slot);
        old
    }

    fn count_in(&mut self, slot: u32, entry: &Entry) {
        let cost = cost(entry);
        self.used += cost;
        self.tidying.earn(cost, self.share);
        if entry.is_tombstone() {
            self.mark_bytes += cost;
        } else {
            let held = self.is_held(slot);
            if entry.is_owned() {
                self.pinned += cost;
                self.owned.insert(slot);
            } else if held {
                self.pinned += cost;
                self.held_more(cost);
            }
            self.live += 1;
            self.entry_bytes += entry.footprint();
            if let Some(at) = entry.expires_at_ms() {
                self.expiry_of(held).insert((at, slot));
            }
        }
    }

    fn count_out(&mut self, slot: u32, entry: &Entry) {
        let cost = cost(entry);
        self.used -= cost;
        self.tidying.earn(cost, self.share);
        if entry.is_tombstone() {
            self.mark_bytes -= cost;
        } else {
            let held = self.is_held(slot);
            if entry.is_owned() {
                self.pinned -= cost;
                self.owned.remove(&slot);
            } else if held {
                self.pinned -= cost;
                self.held_less(cost);
            }
            self.live -= 1;
            self.entry_bytes -= entry.footprint();
            if let Some(at) = entry.expires_at_ms() {
                self.expiry_of(held).remove(&(at, slot));
            }
        }
    }

    /// Drops the marks of deletions that are durable, where they are still the newest word about their key.
    pub(crate) fn purge(&mut self, durable: u64) {
        while let Some(mark) = self.tombstones.front().copied()
            && mark.revision <= durable
        {
            self.tombstones.pop_front();
            if self.is_last_word(mark) {
                drop(self.remove(mark.slot, mark.hash));
            }
        }
    }

    fn is_last_word(&self, mark: Mark) -> bool {
        self.entry(mark.slot)
            .is_some_and(|entry| entry.is_tombstone() && entry.revision() == mark.revision)
    }

    /// Drops the oldest mark of a deletion although a crash could still take the deletion back, unless `keep` says so of its
    /// key: from then on every absent key here owes its absence to that deletion too. Whether there was one.
    pub(super) fn drop_oldest_mark(&mut self, keep: impl Fn(&Entry) -> bool) -> bool {
        let Some(mark) = self.tombstones.front().copied() else {
            return false;
        };
        if self.is_last_word(mark) {
            if self.entry(mark.slot).is_some_and(keep) {
                return false;
            }
            drop(self.remove(mark.slot, mark.hash));
            self.mark = self.mark.max(mark.revision);
        }
        self.tombstones.pop_front();
        true
    }

    /// Whether marks of deletions are waiting to be dropped.
    pub(crate) fn has_marks(&self) -> bool {
        !self.tombstones.is_empty()
    }

    /// The entries in key order from the first key that is `from` or behind it, marks of deletions and expired ones
    /// included: the caller tells what each means for its answer.
    pub(crate) fn range(&self, from: &[u8]) -> impl Iterator<Item = &Entry> {
        self.index
            .from(from, keys_of(&self.slots))
            .filter_map(|slot| self.entry(slot))
    }

    /// Entries whose time has come at `now_ms`, earliest first.
    pub(crate) fn due(&self, now_ms: u64) -> impl Iterator<Item = &Entry> {
        self.due_slots(now_ms).filter_map(|slot| self.entry(slot))
    }

    /// Up to `limit` entries that sources wrote, in no order, from slot `from` on, expired ones included, and the slot to go on
    /// from; `None` at the end.
    pub(crate) fn owned(&self, from: u32, limit: usize) -> (Vec<Entry>, Option<u32>) {
        let mut slots = self.owned.range(from..);
        let entries = slots.by_ref().take(limit);
        let entries = entries.filter_map(|slot| self.entry(*slot)).cloned();
        (entries.collect(), slots.next().copied())
    }

    /// Slots whose time has come at `now_ms`, earliest first.
    pub(super) fn due_slots(&self, now_ms: u64) -> impl Iterator<Item = u32> {
        let due = self.expiry.range(..=(now_ms, u32::MAX));
        due.map(|(_, slot)| *slot)
    }

    /// Revision and slot of what may leave for room, what was written first in front.
    pub(super) fn evictable_by_age(&self) -> Vec<(u64, u32)> {
        let mut found: Vec<_> = self
            .slots
            .iter()
            .filter(|(slot, entry)| self.may_leave(*slot, entry))
            .map(|(slot, entry)| (entry.revision(), slot))
            .collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::FactsTable;
    use crate::record::{Lifetime, Meta, Parts};

    fn entry(key: &str, revision: u64, expires_at_ms: Option<u64>) -> Entry {
        let table = FactsTable::new();
        let meta = Meta::of_type(Meta::TEXT);
        let parts = Parts {
            key: key.as_bytes(),
            meta,
            lifetime: Lifetime::until(expires_at_ms),
            created_at_ms: 1,
        };
        let mut entry = Entry::reserve(&parts, 0, &table);
        entry.set_revision(revision);
        entry
    }

    fn hash(key: &str) -> u32 {
        // Half of the keys collide on purpose.
        crc32fast::hash(key.as_bytes()) & 3
    }

    fn put(shard: &mut Shard, key: &str, revision: u64) {
        drop(shard.apply(hash(key), Effect::Put(entry(key, revision, None)), 0));
    }

    fn keys(shard: &Shard) -> Vec<(String, u64)> {
        let live = shard.range(b"").filter(|entry| !entry.is_tombstone());
        live.map(|entry| {
            (
                String::from_utf8_lossy(entry.key()).into_owned(),
                entry.revision(),
            )
        })
        .collect()
    }

    #[test]
    fn an_older_change_never_replaces_a_newer_one() {
        let mut shard = Shard::default();
        put(&mut shard, "a", 5);
        put(&mut shard, "a", 4);
        assert_eq!(keys(&shard), [("a".to_owned(), 5)]);
        drop(shard.apply(
            hash("a"),
            Effect::Delete {
                key: b"a",
                revision: 3,
            },
            0,
        ));
        drop(shard.apply(
            hash("a"),
            Effect::Remove {
                key: b"a",
                revision: 5,
            },
            0,
        ));
        assert_eq!(keys(&shard), [("a".to_owned(), 5)]);
    }

    #[test]
    fn a_deletion_is_remembered_until_it_is_durable() {
        let mut shard = Shard::default();
        put(&mut shard, "a", 1);
        drop(shard.apply(
            hash("a"),
            Effect::Delete {
                key: b"a",
                revision: 2,
            },
            1,
        ));
        assert!(matches!(
            shard.look_up(hash("a"), b"a", || 0),
            Lookup::Absent { seen: 2 }
        ));
        shard.purge(1);
        assert!(shard.has_marks());
        shard.purge(2);
        assert!(matches!(
            shard.look_up(hash("a"), b"a", || 0),
            Lookup::Absent { seen: 0 }
        ));
        assert_eq!(shard.stats(0).live, 0);
        assert_eq!(shard.slots.iter().count(), 0);
    }

    #[test]
    fn a_mark_that_was_written_over_does_not_remove_the_new_entry() {
        let mut shard = Shard::default();
        put(&mut shard, "a", 1);
        drop(shard.apply(
            hash("a"),
            Effect::Delete {
                key: b"a",
                revision: 2,
            },
            0,
        ));
        put(&mut shard, "a", 3);
        shard.purge(10);
        assert_eq!(keys(&shard), [("a".to_owned(), 3)]);
    }

    #[test]
    fn a_flush_keeps_what_is_newer_than_itself() {
        let mut shard = Shard::loading(0);
        for (key, revision) in [("a", 1), ("b", 7), ("c", 3)] {
            put(&mut shard, key, revision);
        }
        assert_eq!(shard.flush(5).live_at(0), 2);
        shard.finish_loading(&|_| 0);
        assert_eq!(keys(&shard), [("b".to_owned(), 7)]);
        assert_eq!(shard.flush(8).live_at(0), 1);
        assert!(keys(&shard).is_empty());
        assert!(matches!(
            shard.look_up(hash("b"), b"b", || 0),
            Lookup::Absent { seen: 8 }
        ));
    }

    #[test]
    fn what_has_expired_is_neither_found_nor_counted() {
        let mut shard = Shard::default();
        drop(shard.apply(hash("a"), Effect::Put(entry("a", 1, Some(100))), 0));
        put(&mut shard, "b", 2);
        assert!(matches!(
            shard.look_up(hash("a"), b"a", || 99),
            Lookup::Live(_)
        ));
        assert!(matches!(
            shard.look_up(hash("a"), b"a", || 100),
            Lookup::Expired(_)
        ));
        assert_eq!((shard.stats(99).live, shard.stats(100).live), (2, 1));
        assert_eq!(shard.due(100).count(), 1);
        put(&mut shard, "a", 3);
        assert_eq!(shard.due(100).count(), 0);
    }

    #[test]
    fn an_entry_that_keeps_its_expiry_still_leaves_by_time() {
        let mut shard = Shard::default();
        for revision in 1..4 {
            drop(shard.apply(hash("a"), Effect::Put(entry("a", revision, Some(100))), 0));
        }
        assert_eq!(shard.due(100).count(), 1);
        assert_eq!(shard.stats(100).live, 0);
    }
}
