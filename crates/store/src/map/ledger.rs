//! What a keyspace keeps for a sink beside the rows of its shards: which generation changes go to, which one is being passed
//! on, how many rows there are, and what could not be passed on. It knows neither the log nor entries.
//!
//! The generations change under the locks of all shards, so that whoever holds one may rely on them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::shard::Open;
use crate::int::wide;
use crate::options::{Deletes, Pending};
use crate::record::pending::{FIRST, Frozen, Generations, Letter};

/// What could not be passed on, by key.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    letters: BTreeMap<Box<[u8]>, Letter>,
}

impl DeadLetters {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Letter> {
        self.letters.get(key)
    }

    pub(crate) fn len(&self) -> u64 {
        wide(self.letters.len())
    }

    /// Those behind `after`, in key order.
    pub(crate) fn behind(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &Letter)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let letters = self.letters.range::<[u8], _>((from, Bound::Unbounded));
        letters.map(|(key, letter)| (&**key, letter))
    }

    /// Puts a letter, unless a newer one is there.
    pub(crate) fn put(&mut self, key: &[u8], letter: Letter) {
        match self.letters.get_mut(key) {
            Some(there) if there.revision >= letter.revision => {}
            Some(there) => *there = letter,
            None => drop(self.letters.insert(key.into(), letter)),
        }
    }

    /// Takes a letter out for the change `revision`, unless it is newer.
    pub(crate) fn take(&mut self, key: &[u8], revision: u64) {
        let older = |letter: &Letter| letter.revision < revision;
        if self.letters.get(key).is_some_and(older) {
            self.letters.remove(key);
        }
    }
}

/// What a keyspace keeps for a sink.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// A copy of what the policy says: what is kept, and how many rows at most.
    kind: AtomicU8,
    most: AtomicU64,
    /// Changed under the locks of all shards.
    current: AtomicU64,
    /// Rows in all generations.
    rows: AtomicU64,
    /// Since when the oldest row of the current generation has been pending; 0 where none is.
    since_ms: AtomicU64,
    /// The newest change that a sink made.
    newest: AtomicU64,
    /// Changed under the locks of all shards. Innermost.
    frozen: Mutex<Option<Frozen>>,
    /// Locked behind shards, before the log's queue.
    dead: Mutex<DeadLetters>,
}

const NONE: u8 = 0;
const SUMS: u8 = 1;
const LATEST: u8 = 2;
const LATEST_AND_DELETES: u8 = 3;

impl Ledger {
    pub(super) fn new(pending: Pending) -> Self {
        let ledger = Self {
            kind: AtomicU8::new(NONE),
            most: AtomicU64::new(0),
            current: AtomicU64::new(FIRST),
            rows: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            frozen: Mutex::default(),
            dead: Mutex::default(),
        };
        ledger.set(pending);
        ledger
    }

    pub(super) fn set(&self, pending: Pending) {
        let (kind, most) = match pending {
            Pending::None => (NONE, 0),
            Pending::Sums { most } => (SUMS, most),
            Pending::Latest {
                deletes: Deletes::Ignore,
                most,
            } => (LATEST, most),
            Pending::Latest {
                deletes: Deletes::Propagate,
                most,
            } => (LATEST_AND_DELETES, most),
        };
        self.most.store(most, Ordering::Relaxed);
        self.kind.store(kind, Ordering::Relaxed);
    }

    /// What changes make pending. It holds for as long as the caller has a shard locked.
    #[inline]
    pub(crate) fn pending(&self) -> Pending {
        let latest = |deletes| Pending::Latest {
            deletes,
            most: self.most(),
        };
        match self.kind.load(Ordering::Relaxed) {
            NONE => Pending::None,
            SUMS => Pending::Sums { most: self.most() },
            LATEST => latest(Deletes::Ignore),
            _ => latest(Deletes::Propagate),
        }
    }

    fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// The generation that changes go to. It holds for as long as the caller has a shard locked.
    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn frozen(&self) -> Option<Frozen> {
        *self.frozen.lock()
    }

    /// Which rows those of `generation` are; `None` where it was dropped.
    pub(crate) fn open(&self, generation: u64) -> Option<Open> {
        let is_it = |frozen: Frozen| frozen.generation == generation;
        if generation == self.current() {
            Some(Open::Current)
        } else {
            self.frozen().is_some_and(is_it).then_some(Open::Frozen)
        }
    }

    /// The number of the generation whose rows are these, where there is one.
    pub(crate) fn generation(&self, open: Open) -> Option<u64> {
        match open {
            Open::Current => Some(self.current()),
            Open::Frozen => self.frozen().map(|frozen| frozen.generation),
        }
    }

    /// The newest change that a sink made: what is not pending any more owes that to it.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Notes a change that a sink made.
    pub(crate) fn changed(&self, revision: u64) {
        self.newest.fetch_max(revision, Ordering::Relaxed);
    }

    /// Closes the current generation, under the locks of all shards.
    pub(crate) fn freeze(&self, mark: u64, revision: u64) -> Frozen {
        // A page of the generation waits for it too.
        #[cfg(not(feature = "bug-freeze-before-durable"))]
        self.changed(revision);
        let frozen = Frozen {
            generation: self.current(),
            mark,
            revision,
            since_ms: self.since_ms.swap(0, Ordering::Relaxed),
        };
        self.current.fetch_add(1, Ordering::Relaxed);
        *self.frozen.lock() = Some(frozen);
        frozen
    }

    /// Forgets the frozen generation, under the locks of all shards.
    pub(crate) fn thaw(&self, revision: u64) {
        self.changed(revision);
        *self.frozen.lock() = None;
    }

    /// The generations as they are now.
    pub(crate) fn generations(&self) -> Generations {
        let frozen = self.frozen.lock();
        Generations {
            current: self.current(),
            since_ms: self.since_ms.load(Ordering::Relaxed),
            frozen: *frozen,
        }
    }

    /// Takes the generations over from a snapshot.
    pub(crate) fn set_generations(&self, generations: &Generations) {
        self.current.store(generations.current, Ordering::Relaxed);
        self.since_ms.store(generations.since_ms, Ordering::Relaxed);
        *self.frozen.lock() = generations.frozen;
    }

    /// Rows in all generations.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Places for `count` more rows; `None` where there may not be so many.
    pub(crate) fn seats(&self, count: u64) -> Option<Seats<'_>> {
        let most = self.most();
        let fits = |rows: u64| rows.checked_add(count).filter(|rows| *rows <= most);
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        if count > 0 {
            self.rows.try_update(order, failed, fits).ok()?;
        }
        Some(Seats {
            ledger: self,
            count,
        })
    }

    /// Notes that rows came into the current generation at `now_ms`.
    pub(crate) fn note(&self, now_ms: u64) {
        if self.since_ms.load(Ordering::Relaxed) == 0 {
            // Whoever is a moment later leaves the earlier time.
            let now_ms = now_ms.max(1);
            let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
            let _first = self.since_ms.compare_exchange(0, now_ms, order, failed);
        }
    }

    /// Counts rows that came without a seat: they were there before this start.
    pub(crate) fn count_in(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows that have gone.
    pub(crate) fn count_out(&self, rows: u64) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// What could not be passed on.
    pub(crate) fn dead(&self) -> MutexGuard<'_, DeadLetters> {
        self.dead.lock()
    }
}

/// Places for rows, given back when they are dropped, unless they were taken.
#[derive(Debug)]
#[must_use = "dropping it gives the places back"]
pub(crate) struct Seats<'l> {
    ledger: &'l Ledger,
    count: u64,
}

impl Seats<'_> {
    /// The rows are there.
    pub(crate) fn take(mut self) {
        self.count = 0;
    }
}

impl Drop for Seats<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.ledger.count_out(self.count);
        }
    }
}
