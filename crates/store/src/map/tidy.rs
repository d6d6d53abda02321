//! Moving who stays in a page of memory that most have left, so that the allocator gives the page back: otherwise a bounded
//! keyspace whose sizes drift would take far more than it counts.
//!
//! Each change moves a few entries, the sweep a few more; no more is spent on it than twice what has come and gone. An entry
//! that has moved is the same one in another place: nothing of it is logged or told. It knows slots and what [`Pages`] say,
//! but no keys.
//!
//! [`Pages`]: super::pages::Pages

use super::bound::Victims;
use super::shard::Shard;
use crate::int::index;

/// What is spent on moving with one change, in bytes that are copied: the lock is held for a bounded time.
const TIDY: u64 = 16 << 10;
/// What a look at a slot costs beside that, ...
const LOOK: u64 = 4;
/// ... and what a copy of an entry costs beside its bytes.
const COPY: u64 = 256;
/// So much may be spent for each byte that comes or goes.
const CREDIT: u64 = 2;

/// How far a shard is with moving who stays.
#[derive(Debug, Default)]
pub(super) struct Tidying {
    /// What may be spent, in bytes.
    credit: u64,
    /// The next slot to be looked at.
    next: u32,
    /// Slots in a row of which none had to move.
    in_vain: usize,
}

impl Tidying {
    /// Notes what has come or gone, in a shard that may cost `share`. One that has no bound moves nobody.
    pub(super) fn earn(&mut self, cost: u64, share: Option<u64>) {
        self.credit = self.credit.saturating_add(CREDIT * cost);
        self.credit = self.credit.min(share.unwrap_or(0));
    }
}

impl Shard {
    /// Whether entries should be moved, and enough has come and gone that they may be.
    pub(crate) fn is_untidy(&self) -> bool {
        self.tidying.credit >= TIDY && self.sparse().is_some()
    }

    /// Moves a few entries out of pages of memory that most have left, where there are so many such pages that it matters.
    /// What the entries were is put into `out`.
    pub(crate) fn tidy(&mut self, out: &mut Victims) {
        let budget = self.tidying.credit.min(TIDY);
        let Some(sparse) = self.sparse().filter(|_| budget > 0) else {
            return;
        };
        let slots = self.slot_count();
        let mut spent = 0;
        // Nobody is looked at twice.
        for _ in 0..slots {
            if spent >= budget {
                break;
            }
            let slot = Some(self.tidying.next).filter(|slot| index(*slot) < slots);
            let slot = slot.unwrap_or(0);
            let moved = self.renew(slot, sparse);
            spent += LOOK + moved.as_ref().map_or(0, |entry| COPY + entry.footprint());
            self.tidying.next = slot + 1;
            self.tidying.in_vain = moved.as_ref().map_or(self.tidying.in_vain + 1, |_| 0);
            out.moved.extend(moved);
        }
        self.tidying.credit = self.tidying.credit.saturating_sub(spent);
        if self.tidying.in_vain >= slots {
            // The pages that should be left are those of others: looking on would change nothing.
            self.tidying = Tidying::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::map::pages::Pages;
    use crate::map::{Effect, Entry, FactsTable, Lookup};
    use crate::record::{Lifetime, Meta, Parts};

    /// More than ever is there.
    const SHARE: u64 = 64 << 20;

    struct Subject {
        shard: Shard,
        revision: u64,
    }

    fn hash(key: &[u8]) -> u32 {
        crc32fast::hash(key)
    }

    fn entry(key: u32, len: usize) -> Entry {
        let key = key.to_string();
        let parts = Parts {
            key: key.as_bytes(),
            meta: Meta::of_type(Meta::TEXT),
            lifetime: Lifetime::until(None),
            created_at_ms: 1,
        };
        Entry::reserve(&parts, len, &FactsTable::new())
    }

    impl Subject {
        fn new() -> Self {
            let mut shard = Shard::default();
            shard.set_bound(Some(SHARE), true);
            Self { shard, revision: 0 }
        }

        fn put(&mut self, key: u32, len: usize) {
            self.revision += 1;
            let mut entry = entry(key, len);
            entry.set_revision(self.revision);
            let hash = hash(entry.key());
            drop(self.shard.apply(hash, Effect::Put(entry), 0));
        }

        fn delete(&mut self, key: u32) {
            self.revision += 1;
            let key = key.to_string();
            let effect = Effect::Delete {
                key: key.as_bytes(),
                revision: self.revision,
            };
            drop(self.shard.apply(hash(key.as_bytes()), effect, 0));
        }
    }

    /// A shard whose sizes have changed: one in six of the first keys has stayed.
    fn left_by_most() -> Subject {
        let mut map = Subject::new();
        for n in 0..12_000 {
            map.put(n, 900);
        }
        for n in (0..12_000).filter(|n| n % 6 != 0) {
            map.delete(n);
        }
        map.shard.purge(map.revision);
        map
    }

    #[test]
    fn who_stays_moves_out_of_empty_pages_and_is_the_same_afterwards() {
        let mut map = left_by_most();
        let entries = |map: &Subject| map.shard.range(b"").cloned().collect::<Vec<_>>();
        // Who holds the old ones keeps them where they were, so that nobody gets their places.
        let before = entries(&map);
        assert!(map.shard.is_untidy());
        let mut out = Victims::default();
        let credit = map.shard.tidying.credit;
        let mut turns = 0;
        while map.shard.is_untidy() {
            let moved = out.moved.len();
            map.shard.tidy(&mut out);
            assert!(out.moved.len() - moved < 16, "too much at once");
            turns += 1;
            assert!(turns < 10_000, "it never ends");
        }
        let spent = out.moved.iter().map(|entry| COPY + entry.footprint());
        assert!(out.moved.len() > 1_000 && spent.sum::<u64>() <= credit);
        assert!(out.is_empty(), "nobody has left");
        let after = entries(&map);
        assert_eq!(after.len(), 2_000);
        let moved = |(old, new): &(&Entry, &Entry)| old.address() != new.address();
        assert!(before.iter().zip(&after).filter(moved).count() > 1_000);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((old.key(), old.value()), (new.key(), new.value()));
            assert_eq!(old.revision(), new.revision());
        }
        let found = map.shard.look_up(hash(b"6"), b"6", || 0);
        assert!(matches!(found, Lookup::Live(_)));
    }

    #[test]
    fn no_more_is_spent_on_moving_than_has_gone_for_it() {
        let mut map = left_by_most();
        map.shard.tidying.credit = TIDY;
        let mut out = Victims::default();
        map.shard.tidy(&mut out);
        assert!(!out.moved.is_empty());
        let moved = out.moved.len();
        map.shard.tidy(&mut out);
        assert_eq!((out.moved.len(), map.shard.is_untidy()), (moved, false));
        map.delete(6);
        map.shard.tidy(&mut out);
        assert!(out.moved.len() - moved <= 2);
    }

    #[test]
    fn who_has_nobody_in_such_pages_stops_looking() {
        let mut map = left_by_most();
        let pages = Arc::new(Pages::default());
        // What another keyspace has left behind.
        let theirs: Vec<_> = (0..4_000).map(|n| entry(n, 900)).collect();
        for entry in &theirs {
            pages.enter(entry);
        }
        let gone = theirs.iter().enumerate().filter(|(n, _)| n % 8 != 0);
        for (_, entry) in gone {
            pages.leave(entry);
        }
        map.shard = Shard::default().counted_in(&pages);
        map.shard.set_bound(Some(SHARE), true);
        // So large that it has pages of its own.
        map.put(1, 1 << 20);
        assert!(map.shard.is_untidy());
        let mut out = Victims::default();
        map.shard.tidy(&mut out);
        assert!(out.moved.is_empty() && !map.shard.is_untidy());
        assert!(pages.sparse().is_some(), "they are as they were");
        map.put(2, 1 << 20);
        assert!(map.shard.is_untidy(), "it looks again");
    }
}
