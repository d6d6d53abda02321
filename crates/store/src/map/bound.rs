//! What a shard of a bounded keyspace may hold, and how room is made in it, under the lock of the one who needs it.
//!
//! Expired entries go first, then marks of deletions that are not durable yet, then what the order of eviction says. What
//! leaves is removed at once and handed to the caller, who has to log it before the lock is released. It knows no clock and
//! no log: the time and how much may leave at once are told to it.

use super::Entry;
use super::cost::cost;
use super::eviction::Sieve;
use super::shard::Shard;

/// Most keys of dropped generations that are looked at in one step, and most steps for one change.
const RELEASE_KEYS: usize = 256;
const RELEASE_STEPS: usize = 4;

/// Room that a change needs in one shard.
pub(crate) struct Need<'a> {
    /// How much more the shard costs once the change is made.
    pub(crate) growth: u64,
    /// What of it now belongs to the change's own keys and could leave otherwise.
    pub(crate) kept: u64,
    /// Whether an entry belongs to a key of the change.
    pub(crate) keep: &'a dyn Fn(&Entry) -> bool,
}

/// What may leave at once, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Most bytes of keys, each with two for its length.
    pub(crate) bytes: usize,
    /// Most keys: the lock is held for a bounded time.
    pub(crate) keys: usize,
    /// The time; `None` where the clock is not believed and nothing leaves by time.
    pub(crate) now_ms: Option<u64>,
}

/// Tells the half of a key's hash that tables keep.
pub(crate) type HashOf<'a> = &'a dyn Fn(&[u8]) -> u32;

/// What has left, to be logged and then freed without the lock.
#[derive(Debug, Default)]
pub(crate) struct Victims {
    /// By time.
    pub(crate) expired: Vec<Entry>,
    /// For room.
    pub(crate) evicted: Vec<Entry>,
    /// What has only moved to another place.
    pub(super) moved: Vec<Entry>,
    /// Keys for which nothing is held any more.
    released: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Victims {
    /// Whether nothing has left.
    pub(crate) fn is_empty(&self) -> bool {
        self.expired.is_empty() && self.evicted.is_empty()
    }

    fn has_room_for(&self, entry: &Entry, allowance: &Allowance) -> bool {
        let keys = self.expired.len() + self.evicted.len();
        keys < allowance.keys && self.bytes + 2 + entry.key().len() <= allowance.bytes
    }
}

/// What became of a wish for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is there.
    Made,
    /// Not yet: more would have to leave than may at once. The next has a key of `key_bytes`.
    Partly {
        /// Bytes of the next key, with two for its length.
        key_bytes: usize,
    },
    /// Whatever left, it would not be enough.
    Full,
    /// The same, but for what is held because it has to be passed on first.
    Backlog,
}

impl Shard {
    /// The most that this shard may cost; `None` where it is not bounded.
    pub(crate) fn share(&self) -> Option<u64> {
        self.share
    }

    /// Whether it would cost more than it may, were it to grow by `growth`.
    pub(crate) fn lacks(&self, growth: u64) -> bool {
        growth > 0 && self.share.is_some_and(|share| self.used + growth > share)
    }

    /// Whether it costs more than it may.
    pub(crate) fn is_over(&self) -> bool {
        self.share.is_some_and(|share| self.used > share)
    }

    /// Sets what the shard may cost, and whether entries may leave for room: then in the order in which they were written,
    /// as far as that is still known.
    pub(crate) fn set_bound(&mut self, share: Option<u64>, evicts: bool) {
        self.share = share;
        if share.is_none() || !evicts {
            self.sieve = None;
        } else if self.sieve.is_none() {
            let slots = self.evictable_by_age();
            let mut sieve = Sieve::with_capacity(slots.len() + slots.len() / 8);
            for (_, slot) in slots {
                sieve.push(slot);
            }
            self.sieve = Some(Box::new(sieve));
        }
    }

    /// What the key of `hash` costs now, and what of that could leave for room.
    pub(crate) fn standing(&self, hash: u32, key: &[u8]) -> (u64, u64) {
        let found = self.find(hash, key);
        let found = found.and_then(|slot| self.entry(slot).map(|entry| (slot, entry)));
        found.map_or((0, 0), |(slot, entry)| {
            let cost = cost(entry);
            let stays = entry.is_owned() || self.is_held(slot);
            (cost, if stays { 0 } else { cost })
        })
    }

    /// Whether a change would find room once everything has left that may for room. Where nothing may, only trying tells.
    pub(crate) fn could_hold(&self, need: &Need<'_>) -> bool {
        let least = self.pinned + need.kept + need.growth;
        need.growth == 0 || self.sieve.is_none() || self.share.is_none_or(|share| least <= share)
    }

    /// Makes room for a change. `out` is what has left, whatever the outcome, and has to be logged.
    pub(crate) fn make_room(
        &mut self,
        need: &Need<'_>,
        allowance: &Allowance,
        hash_of: HashOf<'_>,
        out: &mut Victims,
    ) -> Room {
        let mut steps = RELEASE_STEPS;
        loop {
            let room = self.try_room(need, (allowance, hash_of), out);
            let refused = matches!(room, Room::Full | Room::Backlog);
            if !refused || steps == 0 || !self.has_dropped() {
                return room;
            }
            steps -= 1;
            out.released.extend(self.release(RELEASE_KEYS, hash_of));
        }
    }

    /// Lets go of some of what is held for dropped generations, where a change needs the room.
    pub(crate) fn relieve(&mut self, need: &Need<'_>, hash_of: HashOf<'_>, out: &mut Victims) {
        let mut steps = RELEASE_STEPS;
        while steps > 0 && self.has_dropped() && !self.could_hold(need) {
            steps -= 1;
            out.released.extend(self.release(RELEASE_KEYS, hash_of));
        }
    }

    fn try_room(
        &mut self,
        need: &Need<'_>,
        (allowance, hash_of): (&Allowance, HashOf<'_>),
        out: &mut Victims,
    ) -> Room {
        let Some(share) = self.share.filter(|_| self.lacks(need.growth)) else {
            return Room::Made;
        };
        if !self.could_hold(need) {
            // Nobody leaves in vain.
            return self.refusal(need, allowance.now_ms);
        }
        let most = share.saturating_sub(need.growth);
        match self.shrink(most, need.keep, (allowance, hash_of), out) {
            Room::Full => self.refusal(need, allowance.now_ms),
            room @ (Room::Made | Room::Partly { .. } | Room::Backlog) => room,
        }
    }

    /// Why a change finds no room here, whatever leaves.
    pub(crate) fn refusal(&self, need: &Need<'_>, now_ms: Option<u64>) -> Room {
        let backlog = match &self.sieve {
            // What is held would have left in the order of eviction.
            Some(_) => {
                let least = self.pinned - self.backlog() + need.kept + need.growth;
                self.backlog() > 0 && self.share.is_none_or(|share| least <= share)
            }
            // Or by time alone.
            None => now_ms.is_some_and(|now_ms| self.holds_expired(now_ms)),
        };
        if backlog { Room::Backlog } else { Room::Full }
    }

    /// Makes the shard cost no more than it may, where that was changed.
    pub(crate) fn fit(
        &mut self,
        allowance: &Allowance,
        hash_of: HashOf<'_>,
        out: &mut Victims,
    ) -> Room {
        let Some(share) = self.share.filter(|_| self.sieve.is_some()) else {
            return Room::Made;
        };
        let most = share.max(self.pinned);
        self.shrink(most, &|_| false, (allowance, hash_of), out)
    }

    /// Lets entries leave until the shard costs at most `most`.
    fn shrink(
        &mut self,
        most: u64,
        keep: &dyn Fn(&Entry) -> bool,
        (allowance, hash_of): (&Allowance, HashOf<'_>),
        out: &mut Victims,
    ) -> Room {
        while self.used > most {
            let (slot, by_time) = match self.next_due(allowance.now_ms, keep) {
                Some(slot) => (slot, true),
                None if self.drop_oldest_mark(keep) => continue,
                None => match self.next_in_order(keep) {
                    Some(slot) => (slot, false),
                    None => return Room::Full,
                },
            };
            let Some(entry) = self.entry(slot) else {
                return Room::Full;
            };
            if !out.has_room_for(entry, allowance) {
                return Room::Partly {
                    key_bytes: 2 + entry.key().len(),
                };
            }
            let hash = hash_of(entry.key());
            if let Some(entry) = self.remove(slot, hash) {
                out.bytes += 2 + entry.key().len();
                let list = if by_time {
                    &mut out.expired
                } else {
                    &mut out.evicted
                };
                list.push(entry);
            }
        }
        Room::Made
    }

    fn next_due(&self, now_ms: Option<u64>, keep: &dyn Fn(&Entry) -> bool) -> Option<u32> {
        let due = self.due_slots(now_ms?);
        due.into_iter()
            .find(|slot| self.entry(*slot).is_some_and(|entry| !keep(entry)))
    }

    fn next_in_order(&mut self, keep: &dyn Fn(&Entry) -> bool) -> Option<u32> {
        // Taken out for the moment: the order asks about entries, which it does not hold.
        let mut sieve = self.sieve.take()?;
        let slot = sieve.victim(|slot| self.entry(slot).is_none_or(keep));
        self.sieve = Some(sieve);
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::map::{Effect, FactsTable, Lookup};
    use crate::record::{Lifetime, Meta, Parts};

    /// A bounded shard that is written to as the store does it.
    struct Bounded {
        shard: Shard,
        facts: FactsTable,
        revision: u64,
    }

    fn hash(key: &[u8]) -> u32 {
        crc32fast::hash(key) & 7
    }

    const PLENTY: Allowance = Allowance {
        bytes: 1 << 20,
        keys: 1 << 20,
        now_ms: None,
    };

    impl Bounded {
        fn new(share: u64, evicts: bool) -> Self {
            let mut shard = Shard::default();
            shard.set_bound(Some(share), evicts);
            Self {
                shard,
                facts: FactsTable::new(),
                revision: 0,
            }
        }

        fn entry(&self, key: &str, len: usize, expires: Option<u64>, owner: Option<&str>) -> Entry {
            let meta = Meta {
                owner,
                ..Meta::of_type(Meta::TEXT)
            };
            let parts = Parts {
                key: key.as_bytes(),
                meta,
                lifetime: Lifetime::until(expires),
                created_at_ms: 1,
            };
            Entry::reserve(&parts, len, &self.facts)
        }

        fn put_entry(&mut self, mut entry: Entry, allowance: &Allowance) -> (Room, Victims) {
            let key = entry.key().to_vec();
            let (now, kept) = self.shard.standing(hash(&key), &key);
            let need = Need {
                growth: cost(&entry).saturating_sub(now),
                kept,
                keep: &|other| other.key() == key,
            };
            let mut out = Victims::default();
            let room = self.shard.make_room(&need, allowance, &hash, &mut out);
            if room == Room::Made {
                self.revision += 1;
                entry.set_revision(self.revision);
                drop(self.shard.apply(hash(&key), Effect::Put(entry), 0));
            }
            (room, out)
        }

        fn put(&mut self, key: &str, len: usize) -> (Room, Vec<String>) {
            let entry = self.entry(key, len, None, None);
            let (room, out) = self.put_entry(entry, &PLENTY);
            (room, names(&out.evicted))
        }

        fn delete(&mut self, key: &str) {
            self.revision += 1;
            let effect = Effect::Delete {
                key: key.as_bytes(),
                revision: self.revision,
            };
            drop(self.shard.apply(hash(key.as_bytes()), effect, 0));
        }

        fn has(&self, key: &str) -> bool {
            let found = self
                .shard
                .look_up(hash(key.as_bytes()), key.as_bytes(), || 0);
            matches!(found, Lookup::Live(_))
        }
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        let name = |entry: &Entry| String::from_utf8_lossy(entry.key()).into_owned();
        entries.iter().map(name).collect()
    }

    /// The cost of an entry with a key of one byte and a value of `len`.
    fn one(len: usize) -> u64 {
        cost(&Bounded::new(0, true).entry("a", len, None, None))
    }

    #[test]
    fn what_nobody_asked_for_leaves_first_and_the_new_entry_stays() {
        let mut map = Bounded::new(3 * one(50), true);
        for key in ["a", "b", "c"] {
            assert_eq!(map.put(key, 50), (Room::Made, vec![]));
        }
        assert!(map.has("a"));
        assert_eq!(map.put("d", 50), (Room::Made, vec!["b".to_owned()]));
        // A replaced key keeps its place, counts as asked for, and never makes room for itself.
        assert_eq!(map.put("c", 50), (Room::Made, vec![]));
        assert_eq!(map.put("e", 50), (Room::Made, vec!["d".to_owned()]));
        assert!(map.has("a") && map.has("c") && map.has("e"));
        let stats = map.shard.stats(0);
        assert_eq!((stats.live, stats.bytes), (3, 3 * one(50)));
    }

    #[test]
    fn without_eviction_a_full_shard_refuses_growth_and_nothing_else() {
        let mut map = Bounded::new(2 * one(50), false);
        map.put("a", 50);
        map.put("b", 50);
        assert_eq!(map.put("c", 0), (Room::Full, vec![]));
        assert_eq!(map.put("a", 150), (Room::Full, vec![]));
        assert_eq!(map.put("a", 10), (Room::Made, vec![]));
        map.delete("b");
        assert_eq!(map.put("c", 50), (Room::Made, vec![]));
        assert!(map.has("a") && map.has("c"));
    }

    #[test]
    fn what_has_expired_leaves_before_anybody_else() {
        for evicts in [true, false] {
            let mut map = Bounded::new(2 * one(50) + 48, evicts);
            let soon = map.entry("b", 50, Some(100), None);
            map.put("a", 50);
            map.put_entry(soon, &PLENTY);
            let at = |now_ms| Allowance {
                now_ms: Some(now_ms),
                ..PLENTY
            };
            let (room, out) = map.put_entry(map.entry("c", 50, None, None), &at(100));
            assert_eq!(
                (room, names(&out.expired)),
                (Room::Made, vec!["b".to_owned()])
            );
            assert!(out.evicted.is_empty() && map.has("a") && map.has("c"));
        }
    }

    #[test]
    fn a_key_that_is_written_over_after_its_time_is_not_its_own_victim() {
        let mut map = Bounded::new(one(50) + 48, true);
        map.put_entry(map.entry("a", 50, Some(100), None), &PLENTY);
        let now = Allowance {
            now_ms: Some(200),
            ..PLENTY
        };
        let (room, out) = map.put_entry(map.entry("a", 66, None, None), &now);
        assert_eq!((room, out.is_empty()), (Room::Made, true));
        assert_eq!(map.shard.stats(0).live, 1);
    }

    #[test]
    fn what_a_source_owns_never_leaves_and_nobody_leaves_in_vain() {
        // The list of what sources wrote counts too.
        let mut map = Bounded::new(3 * one(50) + 2 * 16, true);
        for key in ["a", "b"] {
            let owned = map.entry(key, 46, None, Some("pump"));
            map.put_entry(owned, &PLENTY);
        }
        map.put("c", 50);
        assert_eq!(map.put("d", 50), (Room::Made, vec!["c".to_owned()]));
        assert_eq!(map.put("e", 200), (Room::Full, vec![]));
        assert!(map.has("a") && map.has("b") && map.has("d"));
        // Written by a client it may leave again.
        map.put("a", 50);
        map.put("b", 50);
        assert_eq!(map.put("f", 50).0, Room::Made);
        assert_eq!(map.shard.stats(0).live, 3);
    }

    #[test]
    fn more_than_may_leave_at_once_leaves_in_steps() {
        let mut map = Bounded::new(10 * one(50), true);
        for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            map.put(key, 50);
        }
        let few = Allowance { keys: 3, ..PLENTY };
        let narrow = Allowance { bytes: 9, ..PLENTY };
        let big = || Bounded::new(0, true).entry("k", 900, None, None);
        let (room, out) = map.put_entry(big(), &few);
        assert_eq!(
            (room, out.evicted.len()),
            (Room::Partly { key_bytes: 3 }, 3)
        );
        let (room, out) = map.put_entry(big(), &narrow);
        assert_eq!(
            (room, out.evicted.len(), out.bytes),
            (Room::Partly { key_bytes: 3 }, 3, 9)
        );
        assert_eq!(map.put_entry(big(), &few).0, Room::Made);
        assert!(map.has("k") && !map.shard.is_over());
    }

    #[test]
    fn marks_of_deletions_make_way_and_leave_their_word_behind() {
        let mut map = Bounded::new(2 * one(0), true);
        map.put("a", 0);
        map.put("b", 0);
        map.delete("b");
        assert_eq!(map.put("c", 0), (Room::Made, vec![]));
        let found = map.shard.look_up(hash(b"b"), b"b", || 0);
        assert!(matches!(found, Lookup::Absent { seen: 3 }), "{found:?}");
        assert!(map.has("a") && map.has("c"));
    }

    #[test]
    fn a_lower_bound_is_reached_in_steps_and_a_bound_may_come_late() {
        let mut map = Bounded::new(u64::MAX, false);
        for key in ["c", "a", "b", "d"] {
            map.put(key, 50);
        }
        map.shard.set_bound(Some(2 * one(50)), true);
        assert!(map.shard.is_over());
        let mut out = Victims::default();
        let single = Allowance { keys: 1, ..PLENTY };
        assert_eq!(
            map.shard.fit(&single, &hash, &mut out),
            Room::Partly { key_bytes: 3 }
        );
        assert_eq!(map.shard.fit(&PLENTY, &hash, &mut out), Room::Made);
        // In the order of their writing.
        assert_eq!(names(&out.evicted), ["c", "a"]);
        assert!(!map.shard.is_over());
        map.shard.set_bound(None, true);
        assert_eq!(map.put("e", 5_000), (Room::Made, vec![]));
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_what_is_counted_is_there(
            steps in prop::collection::vec((0_u8..5, 0_u32..30, 0_usize..400, 0_u64..50), 1..600),
            evicts in any::<bool>(),
        ) {
            let share = 12 * one(100);
            let mut map = Bounded::new(share, evicts);
            let mut there = BTreeMap::new();
            for (what, key, len, time) in steps {
                let key = key.to_string();
                match what {
                    0 => {
                        map.delete(&key);
                        there.remove(&key);
                    }
                    1 => map.shard.purge(map.revision / 2),
                    2 => { map.has(&key); }
                    _ => {
                        let expires = (what == 3).then_some(time + 10);
                        let entry = map.entry(&key, len, expires, None);
                        let cost = cost(&entry);
                        let allowance = Allowance { now_ms: Some(time), keys: 4, ..PLENTY };
                        let (room, out) = map.put_entry(entry, &allowance);
                        for gone in names(&out.expired).into_iter().chain(names(&out.evicted)) {
                            prop_assert!(there.remove(&gone).is_some(), "{gone} left twice");
                        }
                        if room == Room::Made {
                            there.insert(key, cost);
                        }
                        prop_assert!(evicts || out.evicted.is_empty());
                    }
                }
                prop_assert!(!map.shard.is_over());
                let stats = map.shard.stats(0);
                prop_assert_eq!(stats.bytes, there.values().sum::<u64>());
                prop_assert_eq!(stats.live, crate::int::wide(there.len()));
                prop_assert!(map.shard.range(b"").filter(|entry| !entry.is_tombstone()).count() == there.len());
            }
        }
    }
}
