//! What a shard has pending for a sink: rows by generation and key, apart from the entries. Where a row is a mark, the entry
//! of its key is held until the row has gone: it leaves neither by time nor for room, because its value is what will be
//! passed on.
//!
//! A generation is closed by moving its rows from `current` to `frozen`, and dropped by taking them out, both in no time.
//! Entries that were held for a dropped generation are released in steps. It knows neither the log nor how many rows there
//! may be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use super::Shard;
use crate::int::wide;
use crate::map::{Entry, cost};
use crate::record::pending::{Pended, Row};

/// Rows by key.
pub(crate) type Rows = BTreeMap<Box<[u8]>, Row>;

/// Which generation is meant: there are never more than two with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Open {
    /// The one that is being passed on.
    Frozen,
    /// The one that changes go to.
    Current,
}

/// What a shard has pending.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    current: Rows,
    frozen: Rows,
    /// Marks of dropped generations whose entries are still held.
    dropped: VecDeque<Rows>,
    /// Slots of entries that are held.
    held: BTreeSet<u32>,
    /// (`expires_at`, slot) of those that expire.
    pub(super) expiry: BTreeSet<(u64, u32)>,
    /// What entries cost that are held and could leave for room otherwise.
    pub(super) backlog: u64,
}

impl Outbox {
    fn of(&self, open: Open) -> &Rows {
        match open {
            Open::Current => &self.current,
            Open::Frozen => &self.frozen,
        }
    }

    fn of_mut(&mut self, open: Open) -> &mut Rows {
        match open {
            Open::Current => &mut self.current,
            Open::Frozen => &mut self.frozen,
        }
    }

    /// Whether the entry of `key` has to be held.
    fn marks(&self, key: &[u8]) -> bool {
        let is_mark = |rows: &Rows| rows.get(key).is_some_and(|row| row.pended == Pended::Mark);
        is_mark(&self.current) || is_mark(&self.frozen)
    }

    pub(super) fn holds(&self, slot: u32) -> bool {
        self.held.contains(&slot)
    }

    /// Forgets which entries are held, because all of them have gone.
    pub(super) fn let_go(&mut self) -> LetGo {
        self.backlog = 0;
        LetGo {
            expiry: std::mem::take(&mut self.expiry),
            _held: std::mem::take(&mut self.held),
            _dropped: std::mem::take(&mut self.dropped),
        }
    }
}

/// What is not held any more, to be freed without the lock.
#[derive(Debug, Default)]
pub(super) struct LetGo {
    /// When those would have left that expire.
    pub(super) expiry: BTreeSet<(u64, u32)>,
    _held: BTreeSet<u32>,
    _dropped: VecDeque<Rows>,
}

/// What was taken out of a shard with a generation, to be freed without the lock.
#[derive(Debug)]
pub(crate) struct Taken {
    /// How many rows there were.
    pub(crate) rows: u64,
    _garbage: Rows,
}

impl Shard {
    fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// The row of `key`.
    pub(crate) fn row(&self, open: Open, key: &[u8]) -> Option<&Row> {
        self.outbox.as_ref()?.of(open).get(key)
    }

    /// The rows of keys that are `from` or behind it, in key order.
    pub(crate) fn rows<'s>(
        &'s self,
        open: Open,
        from: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&'s [u8], &'s Row)> {
        let outbox = self.outbox.iter();
        let rows = outbox
            .flat_map(move |outbox| outbox.of(open).range::<[u8], _>((from, Bound::Unbounded)));
        rows.map(|(key, row)| (&**key, row))
    }

    /// Any row.
    pub(crate) fn any_row(&self) -> Option<Row> {
        let all = [Open::Frozen, Open::Current].into_iter();
        let first = |open| self.rows(open, Bound::Unbounded).next();
        all.filter_map(first).map(|(_, row)| *row).next()
    }

    /// How many rows there are.
    pub(crate) fn row_count(&self, open: Open) -> u64 {
        let outbox = self.outbox.as_ref();
        outbox.map_or(0, |outbox| wide(outbox.of(open).len()))
    }

    /// Whether the latest of a key is to be passed on, now or as part of a generation that is frozen.
    pub(crate) fn is_marked(&self, key: &[u8]) -> bool {
        let outbox = self.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.marks(key))
    }

    /// Makes something pending, unless something newer is. Whether the key had no row before.
    pub(crate) fn pend(&mut self, open: Open, hash: u32, key: &[u8], row: Row) -> bool {
        let rows = self.outbox().of_mut(open);
        let new = match rows.get_mut(key) {
            Some(there) => {
                if there.revision < row.revision {
                    *there = row;
                }
                false
            }
            None => rows.insert(key.into(), row).is_none(),
        };
        if new && row.pended == Pended::Mark && !self.loading {
            self.hold_key(hash, key);
        }
        new
    }

    /// Closes the current generation.
    pub(crate) fn freeze(&mut self) {
        if let Some(outbox) = &mut self.outbox {
            debug_assert!(
                outbox.frozen.is_empty(),
                "a generation is dropped before the next is frozen"
            );
            outbox.frozen = std::mem::take(&mut outbox.current);
        }
    }

    /// Drops the frozen generation. Entries that were held for it are held until [`Shard::release`].
    pub(crate) fn drop_frozen(&mut self) -> Option<Taken> {
        let outbox = self.outbox.as_mut()?;
        let frozen = std::mem::take(&mut outbox.frozen);
        let rows = wide(frozen.len());
        let garbage = if outbox.held.is_empty() {
            frozen
        } else {
            outbox.dropped.push_back(frozen);
            Rows::new()
        };
        Some(Taken {
            rows,
            _garbage: garbage,
        })
    }

    /// Takes the frozen row of `key` out, where it is older than `revision`.
    pub(crate) fn bury(&mut self, hash: u32, key: &[u8], revision: u64) -> Option<Row> {
        let outbox = self.outbox.as_mut()?;
        outbox
            .frozen
            .get(key)
            .filter(|row| row.revision < revision)?;
        let row = outbox.frozen.remove(key);
        self.release_key(hash, key);
        row
    }

    /// Whether entries are held for generations that were dropped.
    pub(crate) fn has_dropped(&self) -> bool {
        let outbox = self.outbox.as_ref();
        outbox.is_some_and(|outbox| !outbox.dropped.is_empty())
    }

    /// Lets go of up to `most` entries that were held for dropped generations, where no other holds them. Returns what is to
    /// be freed without the lock.
    pub(crate) fn release(
        &mut self,
        most: usize,
        hash_of: &dyn Fn(&[u8]) -> u32,
    ) -> Vec<Box<[u8]>> {
        let mut keys = Vec::new();
        while keys.len() < most
            && let Some(outbox) = &mut self.outbox
            && let Some(oldest) = outbox.dropped.front_mut()
        {
            if let Some((key, _)) = oldest.pop_first() {
                self.release_key(hash_of(&key), &key);
                keys.push(key);
            } else {
                outbox.dropped.pop_front();
            }
        }
        keys
    }

    fn hold_key(&mut self, hash: u32, key: &[u8]) {
        if let Some(slot) = self.find(hash, key) {
            self.hold(slot);
        }
    }

    /// Lets go of the entry of `key`, unless it is still marked.
    fn release_key(&mut self, hash: u32, key: &[u8]) {
        let marked = |outbox: &Outbox| outbox.marks(key);
        if self.outbox.as_deref().is_some_and(marked) {
            return;
        }
        if let Some(slot) = self.find(hash, key) {
            self.unhold(slot);
        }
    }

    /// Holds an entry that has just come, where its key is marked.
    pub(super) fn hold_if_marked(&mut self, slot: u32) {
        let Some(outbox) = &self.outbox else { return };
        let marked = |entry: &Entry| outbox.marks(entry.key());
        if !self.loading && self.entry(slot).is_some_and(marked) {
            self.hold(slot);
        }
    }

    fn hold(&mut self, slot: u32) {
        let Some(entry) = self.entry(slot).filter(|entry| !entry.is_tombstone()) else {
            return;
        };
        let (cost, owned) = (cost::cost(entry), entry.is_owned());
        let expires = entry.expires_at_ms();
        let outbox = self.outbox.get_or_insert_default();
        if !outbox.held.insert(slot) {
            return;
        }
        if let Some(at) = expires {
            self.expiry.remove(&(at, slot));
            outbox.expiry.insert((at, slot));
        }
        if !owned {
            outbox.backlog += cost;
            self.pinned += cost;
            if let Some(sieve) = &mut self.sieve {
                sieve.remove(slot);
            }
        }
    }

    /// Lets an entry leave again: it stands at the end of the order then.
    fn unhold(&mut self, slot: u32) {
        let Some(entry) = self.entry(slot) else {
            return;
        };
        let (cost, owned) = (cost::cost(entry), entry.is_owned());
        let expires = entry.expires_at_ms();
        let Some(outbox) = self.outbox.as_mut().filter(|outbox| outbox.holds(slot)) else {
            return;
        };
        outbox.held.remove(&slot);
        if let Some(at) = expires {
            outbox.expiry.remove(&(at, slot));
            self.expiry.insert((at, slot));
        }
        if !owned {
            outbox.backlog -= cost;
            self.pinned -= cost;
            if let Some(sieve) = &mut self.sieve {
                sieve.push(slot);
            }
        }
    }

    /// Forgets that the entry of `slot` was held: it has gone.
    pub(super) fn forget_held(&mut self, slot: u32) {
        if let Some(outbox) = &mut self.outbox {
            outbox.held.remove(&slot);
        }
    }

    pub(super) fn held_more(&mut self, cost: u64) {
        self.outbox().backlog += cost;
    }

    pub(super) fn held_less(&mut self, cost: u64) {
        self.outbox().backlog -= cost;
    }

    /// When entries leave by time that are held, or those that are not.
    pub(super) fn expiry_of(&mut self, held: bool) -> &mut BTreeSet<(u64, u32)> {
        if held {
            &mut self.outbox().expiry
        } else {
            &mut self.expiry
        }
    }

    /// Whether the entry of `slot` is held.
    #[inline]
    pub(in crate::map) fn is_held(&self, slot: u32) -> bool {
        let outbox = self.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.holds(slot))
    }

    /// What entries cost that would leave for room were they not held.
    pub(crate) fn backlog(&self) -> u64 {
        self.outbox.as_ref().map_or(0, |outbox| outbox.backlog)
    }

    /// Whether an entry is held whose time has come at `now_ms`.
    pub(crate) fn holds_expired(&self, now_ms: u64) -> bool {
        let outbox = self.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.due(now_ms).next().is_some())
    }

    /// The keys of everything that is there at `now_ms` and older than `revision`, and has no row: what a flush marks.
    pub(crate) fn unmarked(&self, open: Open, revision: u64, now_ms: u64) -> Vec<Box<[u8]>> {
        let there = self.slots.iter().map(|(_, entry)| entry);
        let live = there.filter(|entry| {
            !entry.is_tombstone() && !entry.expired(now_ms) && entry.revision() < revision
        });
        let unmarked = live.filter(|entry| self.row(open, entry.key()).is_none());
        let mut keys: Vec<Box<[u8]>> = unmarked.map(|entry| entry.key().into()).collect();
        keys.sort_unstable();
        keys
    }

    /// Marks keys that have no row, in key order, for a flush that takes their entries away. Returns how many.
    pub(crate) fn mark_all(&mut self, open: Open, keys: Vec<Box<[u8]>>, revision: u64) -> u64 {
        let row = Row {
            revision,
            pended: Pended::Mark,
        };
        let count = wide(keys.len());
        let mut marks: Rows = keys.into_iter().map(|key| (key, row)).collect();
        self.outbox().of_mut(open).append(&mut marks);
        count
    }

    /// Takes all rows out of a shard that is being loaded.
    pub(crate) fn take_rows(&mut self, open: Open) -> Rows {
        let outbox = self.outbox.as_mut();
        outbox.map_or_else(Rows::new, |outbox| std::mem::take(outbox.of_mut(open)))
    }

    /// Holds the entry of every mark of a shard that was loaded.
    pub(super) fn hold_marked(&mut self, hash_of: &dyn Fn(&[u8]) -> u32) {
        let Some(outbox) = &self.outbox else { return };
        let rows = outbox.current.iter().chain(&outbox.frozen);
        let marks = rows.filter(|(_, row)| row.pended == Pended::Mark);
        let slots = marks.filter_map(|(key, _)| self.find(hash_of(key), key));
        for slot in slots.collect::<Vec<_>>() {
            self.hold(slot);
        }
    }
}

impl Outbox {
    /// Entries that are held and have expired at `now_ms`.
    fn due(&self, now_ms: u64) -> impl Iterator<Item = &(u64, u32)> {
        self.expiry.range(..=(now_ms, u32::MAX))
    }

    /// How many they are.
    pub(super) fn expired(&self, now_ms: u64) -> u64 {
        wide(self.due(now_ms).count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::map::{Allowance, Effect, FactsTable, Need, Victims};
    use crate::record::{Lifetime, Meta, Parts};

    fn hash(key: &[u8]) -> u32 {
        crc32fast::hash(key) & 7
    }

    /// What happens to a shard.
    #[derive(Debug, Clone)]
    enum Step {
        Put {
            key: u8,
            expires: Option<u16>,
            owned: bool,
            marks: bool,
        },
        Delete {
            key: u8,
            marks: bool,
        },
        Expire(u16),
        Evict,
        Flush,
        Freeze,
        Drop,
        Bury(u8),
        Release(u8),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let key = 0..8_u8;
        let expires = proptest::option::of(0..100_u16);
        let (owned, marks) = (prop::bool::weighted(0.1), any::<bool>());
        let put = (key.clone(), expires, owned, marks);
        prop_oneof![
            8 => put.prop_map(|(key, expires, owned, marks)| Step::Put { key, expires, owned, marks }),
            3 => (key.clone(), marks).prop_map(|(key, marks)| Step::Delete { key, marks }),
            1 => (0..100_u16).prop_map(Step::Expire),
            2 => Just(Step::Evict),
            1 => Just(Step::Flush),
            2 => Just(Step::Freeze),
            2 => Just(Step::Drop),
            1 => key.prop_map(Step::Bury),
            2 => (1..4_u8).prop_map(Step::Release),
        ]
    }

    struct Subject {
        shard: Shard,
        facts: FactsTable,
        revision: u64,
    }

    impl Subject {
        fn new() -> Self {
            let mut shard = Shard::default();
            shard.set_bound(Some(u64::MAX / 4), true);
            Self {
                shard,
                facts: FactsTable::new(),
                revision: 0,
            }
        }

        fn mark(&mut self, key: &[u8]) {
            let row = Row {
                revision: self.revision,
                pended: Pended::Mark,
            };
            self.shard.pend(Open::Current, hash(key), key, row);
        }

        fn put(&mut self, key: &[u8], expires: Option<u16>, owned: bool) {
            let meta = Meta {
                owner: owned.then_some("source"),
                ..Meta::of_type(Meta::TEXT)
            };
            let parts = Parts {
                key,
                meta,
                lifetime: Lifetime::until(expires.map(u64::from)),
                created_at_ms: 1,
            };
            let mut entry = Entry::reserve(&parts, 3, &self.facts);
            entry.set_revision(self.revision);
            drop(self.shard.apply(hash(key), Effect::Put(entry), 0));
        }

        /// Lets one entry leave for room, where one may.
        fn evict(&mut self) -> Vec<Entry> {
            let used = self.shard.used;
            self.shard.share = Some(used);
            let need = Need {
                growth: 1,
                kept: 0,
                keep: &|_| false,
            };
            let allowance = Allowance {
                bytes: 1 << 20,
                keys: 1,
                now_ms: None,
            };
            let mut out = Victims::default();
            self.shard.make_room(&need, &allowance, &hash, &mut out);
            self.shard.share = Some(u64::MAX / 4);
            out.evicted
        }

        fn step(&mut self, step: &Step) {
            self.revision += 1;
            let revision = self.revision;
            match step {
                Step::Put {
                    key,
                    expires,
                    owned,
                    marks,
                } => {
                    if *marks {
                        self.mark(&[*key]);
                    }
                    self.put(&[*key], *expires, *owned);
                }
                Step::Delete { key, marks } => {
                    let key = &[*key][..];
                    if *marks {
                        self.mark(key);
                    }
                    let effect = Effect::Delete { key, revision };
                    drop(self.shard.apply(hash(key), effect, revision / 2));
                }
                Step::Expire(now_ms) => {
                    let due = self.shard.due(u64::from(*now_ms));
                    let due: Vec<_> = due.map(|entry| entry.key().to_vec()).collect();
                    for key in due {
                        assert!(!self.shard.is_marked(&key), "it waits to be passed on");
                        let effect = Effect::Remove {
                            key: &key,
                            revision,
                        };
                        drop(self.shard.apply(hash(&key), effect, 0));
                    }
                }
                Step::Evict => {
                    for gone in self.evict() {
                        assert!(!self.shard.is_marked(gone.key()));
                    }
                }
                Step::Flush => drop(self.shard.flush(revision)),
                Step::Freeze => {
                    if self.shard.row_count(Open::Frozen) == 0 {
                        self.shard.freeze();
                    }
                }
                Step::Drop => drop(self.shard.drop_frozen()),
                Step::Bury(key) => {
                    self.shard.bury(hash(&[*key]), &[*key], revision);
                }
                Step::Release(most) => {
                    self.shard.release(usize::from(*most), &hash);
                }
            }
        }

        /// Everything that is counted is what a count of all comes to.
        fn check(&self) {
            let shard = &self.shard;
            let there = shard.slots.iter();
            let (mut pinned, mut backlog, mut free) = (0, 0, 0);
            let (mut expiry, mut held_expiry) = (BTreeSet::new(), BTreeSet::new());
            for (slot, entry) in there.filter(|(_, entry)| !entry.is_tombstone()) {
                let (cost, held) = (cost::cost(entry), shard.is_held(slot));
                assert!(held || !shard.is_marked(entry.key()), "every mark holds");
                match (entry.is_owned(), held) {
                    (true, _) => pinned += cost,
                    (false, true) => {
                        pinned += cost;
                        backlog += cost;
                    }
                    (false, false) => free += 1,
                }
                if let Some(at) = entry.expires_at_ms() {
                    let order = if held { &mut held_expiry } else { &mut expiry };
                    order.insert((at, slot));
                }
            }
            assert_eq!((shard.pinned, shard.backlog()), (pinned, backlog));
            assert_eq!(shard.sieve.as_ref().unwrap().len(), free);
            assert_eq!(shard.expiry, expiry);
            let outbox = shard.outbox.as_ref();
            let held = outbox.map(|outbox| outbox.expiry.clone());
            assert_eq!(held.unwrap_or_default(), held_expiry);
            let marked = |slot: &u32| shard.entry(*slot).is_some_and(|it| !it.is_tombstone());
            assert!(outbox.is_none_or(|outbox| outbox.held.iter().all(marked)));
        }
    }

    proptest! {
        #[test]
        fn what_is_marked_is_held_and_nothing_is_counted_wrong(
            steps in prop::collection::vec(steps(), 1..200)
        ) {
            let mut subject = Subject::new();
            for step in &steps {
                subject.step(step);
                subject.check();
            }
            // Once everything was passed on, nothing is held any more.
            for _ in 0..2 {
                drop(subject.shard.drop_frozen());
                subject.shard.freeze();
            }
            while subject.shard.has_dropped() {
                subject.shard.release(3, &hash);
            }
            subject.check();
            prop_assert_eq!(subject.shard.backlog(), 0);
        }
    }

    #[test]
    fn a_newer_row_stays_and_a_buried_one_is_taken_once() {
        let mut shard = Shard::default();
        let row = |revision, sum| Row {
            revision,
            pended: Pended::Sum(sum),
        };
        assert!(shard.pend(Open::Current, 0, b"a", row(5, 50)));
        assert!(!shard.pend(Open::Current, 0, b"a", row(4, 40)));
        assert_eq!(shard.row(Open::Current, b"a"), Some(&row(5, 50)));
        assert!(!shard.pend(Open::Current, 0, b"a", row(6, 60)));
        shard.freeze();
        assert_eq!(shard.row_count(Open::Current), 0);
        assert_eq!(shard.bury(0, b"a", 6), None, "it is as new");
        assert_eq!(shard.bury(0, b"a", 7), Some(row(6, 60)));
        assert_eq!(shard.bury(0, b"a", 8), None);
    }
}
