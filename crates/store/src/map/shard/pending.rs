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
use crate::record::pending::Pended;

/// What is pending of a key in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The change that made it so.
    pub(crate) revision: u64,
    pub(crate) pended: Pended<i64>,
}

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
    pub(crate) _garbage: Rows,
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
        if outbox.held.is_empty() {
            let _garbage = frozen;
            return Some(Taken { rows, _garbage });
        }
        outbox.dropped.push_back(frozen);
        let _garbage = Rows::new();
        Some(Taken { rows, _garbage })
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
        outbox.is_some_and(|outbox| outbox.expired(now_ms) > 0)
    }

    /// The keys of everything that is there at `now_ms` and older than `revision`, and has no row: what a flush marks.
    pub(crate) fn unmarked(&self, open: Open, revision: u64, now_ms: u64) -> Vec<Box<[u8]>> {
        let there = self.slots.iter().flatten();
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
    /// How many entries that are held have expired at `now_ms`.
    pub(super) fn expired(&self, now_ms: u64) -> u64 {
        wide(self.expiry.range(..=(now_ms, u32::MAX)).count())
    }
}
