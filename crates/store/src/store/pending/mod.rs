//! What changes make pending for a sink, and what a sink does with it: it freezes a generation, passes on what is pending in
//! it, and drops it; what could not be passed on is buried, and may be tried again.
//!
//! A change takes the generation, and for a sum what is pending already, under its shard's lock, and tells both in its own
//! record; so they come and go together. A freeze takes the locks of all shards, so that each change lies on one side of it.

mod dead;
mod generations;
mod pages;

pub use dead::{Bury, Dead, DeadPage, Redrive};
pub use generations::{Dropped, Freeze, Frozen};
pub use pages::{Counts, FrozenPage, FrozenRow, Passed, PendingPage, PendingRow, Total};

use std::ops::DerefMut;
use std::sync::atomic::Ordering;

use super::keyspaces::Guard;
use super::{Core, Store, Writer};
use crate::error::{Backlog, WriteError};
use crate::int::wide;
use crate::log::frame::frame_len;
use crate::log::{Grant, Purpose};
use crate::manifest;
use crate::map::{Keyspace, Ledger, Open, Seats, Shard};
use crate::options::{Deletes, Pending};
use crate::record::kind;
use crate::record::pending::{self as words, Pended, Pends, Row};

/// The most that a change's record needs in front for what it makes pending, `sums` sums among it.
pub(super) fn front_len(sums: usize) -> u64 {
    wide(words::MARKS_BYTES.max(words::SUMS_BYTES + sums * words::SUM_BYTES))
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happens {
    /// It gets a value.
    Put,
    /// It is counted by so much, and gets a value.
    Counted(i64),
    /// A client, or a source, removes it.
    Deleted,
    /// It is put or removed because others said so: there is nothing to pass on.
    Fetched,
}

impl Happens {
    /// The same where it is `by` who does it.
    pub(super) fn by(self, by: Writer<'_>) -> Self {
        if by == Writer::Fetch {
            Self::Fetched
        } else {
            self
        }
    }
}

/// Why nothing may become pending of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SumOverflows {
    /// What is pending already.
    pub(super) pending: i64,
}

/// What becomes pending of `key` in the current generation; `None` where that changes nothing. The shard's lock is held by
/// the caller.
pub(super) fn pended(
    ledger: &Ledger,
    shard: &Shard,
    key: &[u8],
    happens: Happens,
) -> Result<Option<Pended<i64>>, SumOverflows> {
    let marks = match (ledger.pending(), happens) {
        (Pending::None, _)
        | (_, Happens::Fetched)
        | (Pending::Sums { .. }, Happens::Put | Happens::Deleted | Happens::Counted(0)) => false,
        (Pending::Sums { .. }, Happens::Counted(by)) => {
            let sum = match shard.row(Open::Current, key).map(|row| row.pended) {
                Some(Pended::Sum(sum)) => sum,
                Some(Pended::Mark) | None => 0,
            };
            let after = sum.checked_add(by).ok_or(SumOverflows { pending: sum })?;
            return Ok(Some(Pended::Sum(after)));
        }
        (Pending::Latest { .. }, Happens::Put | Happens::Counted(_)) => true,
        (Pending::Latest { deletes, .. }, Happens::Deleted) => deletes == Deletes::Propagate,
    };
    // A key that is marked already is no more than that.
    let new = marks && shard.row(Open::Current, key).is_none();
    Ok(new.then_some(Pended::Mark))
}

/// There may not be so many rows.
fn too_many(keyspace: &Keyspace) -> WriteError {
    let limit = match keyspace.ledger().pending() {
        Pending::None => 0,
        Pending::Sums { most } | Pending::Latest { most, .. } => most,
    };
    let of = Backlog::Keys;
    WriteError::SinkBacklog { limit, of }
}

/// What a change of one key makes pending: nothing can refuse it any more.
#[derive(Debug)]
pub(super) struct Pend<'k> {
    ledger: &'k Ledger,
    generation: u64,
    pended: Pended<i64>,
    seats: Seats<'k>,
}

impl<'k> Pend<'k> {
    /// What becomes pending where nothing can overflow.
    pub(super) fn mark(
        keyspace: &'k Keyspace,
        shard: &Shard,
        key: &[u8],
        happens: Happens,
    ) -> Result<Option<Self>, WriteError> {
        let pended = pended(keyspace.ledger(), shard, key, happens).unwrap_or_default();
        Self::new(keyspace, shard, key, pended)
    }

    /// Takes a place for it, where it needs one.
    pub(super) fn new(
        keyspace: &'k Keyspace,
        shard: &Shard,
        key: &[u8],
        pended: Option<Pended<i64>>,
    ) -> Result<Option<Self>, WriteError> {
        let Some(pended) = pended else {
            return Ok(None);
        };
        let ledger = keyspace.ledger();
        let new = shard.row(Open::Current, key).is_none();
        let seats = ledger.seats(u64::from(new));
        Ok(Some(Self {
            ledger,
            generation: ledger.current(),
            pended,
            seats: seats.ok_or_else(|| too_many(keyspace))?,
        }))
    }

    /// As a record tells it that was begun before the shard was locked.
    #[cfg(feature = "bug-generation-outside-lock")]
    pub(super) fn in_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    fn pends(&self) -> Pends {
        match self.pended {
            // Where it is a deletion, that marks.
            Pended::Mark => Pends::Marks { deletes: true },
            Pended::Sum(sum) => Pends::Sums(vec![sum]),
        }
    }

    /// Tells it in front of a change of type `code` whose payload begins with `prefix`.
    pub(super) fn in_front_of(this: Option<&Self>, code: u8, prefix: Vec<u8>) -> (u8, Vec<u8>) {
        let Some(pend) = this else {
            return (code, prefix);
        };
        let front = words::front(pend.generation, &pend.pends(), code);
        (kind::PENDING, [front, prefix].concat())
    }

    /// Makes it so, by the change `revision` at `now_ms`, before the entry is put: so it is held.
    pub(super) fn done(
        self,
        shard: &mut Shard,
        hash: u32,
        key: &[u8],
        (revision, now_ms): (u64, u64),
    ) {
        let row = Row {
            revision,
            pended: self.pended,
        };
        shard.pend(Open::Current, hash, key, row);
        self.ledger.note(now_ms);
        self.seats.take();
    }
}

/// A shard that is locked, and some of its keys with their hashes.
pub(super) type KeysOf<'k, 'a> = (Guard<'k>, Vec<(u32, &'a [u8])>);

/// What a change of many keys marks, shard by shard: nothing can refuse it any more.
#[derive(Debug)]
pub(super) struct Marks<'k> {
    ledger: &'k Ledger,
    generation: u64,
    /// For each shard of the change the keys that are not marked yet, in key order.
    keys: Vec<Vec<Box<[u8]>>>,
    seats: Seats<'k>,
}

impl<'k> Marks<'k> {
    /// What a flush of everything marks; `None` where its deletions are not passed on. The caller has locked all shards.
    pub(super) fn of_flush(
        keyspace: &'k Keyspace,
        shards: &[Guard<'_>],
        now_ms: u64,
    ) -> Result<Option<Self>, WriteError> {
        Self::new(keyspace, || {
            let unmarked = |shard: &Guard<'_>| shard.unmarked(Open::Current, u64::MAX, now_ms);
            shards.iter().map(unmarked).collect()
        })
    }

    /// What a deletion of some keys marks, those of each shard together; `None` where deletions are not passed on.
    pub(super) fn of_keys(
        keyspace: &'k Keyspace,
        locked: &[KeysOf<'_, '_>],
    ) -> Result<Option<Self>, WriteError> {
        let of_shard = |(shard, keys): &KeysOf<'_, '_>| {
            let keys = keys.iter().map(|(_, key)| *key);
            let unmarked = keys.filter(|key| shard.row(Open::Current, key).is_none());
            unmarked.map(Into::into).collect()
        };
        Self::new(keyspace, || locked.iter().map(of_shard).collect())
    }

    fn new(
        keyspace: &'k Keyspace,
        keys: impl FnOnce() -> Vec<Vec<Box<[u8]>>>,
    ) -> Result<Option<Self>, WriteError> {
        let ledger = keyspace.ledger();
        let Pending::Latest {
            deletes: Deletes::Propagate,
            ..
        } = ledger.pending()
        else {
            return Ok(None);
        };
        let keys = keys();
        if keys.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let seats = ledger.seats(keys.iter().map(|keys| wide(keys.len())).sum());
        Ok(Some(Self {
            ledger,
            generation: ledger.current(),
            keys,
            seats: seats.ok_or_else(|| too_many(keyspace))?,
        }))
    }

    /// Tells it in front of a change of type `code`.
    pub(super) fn in_front_of(this: Option<&Self>, code: u8, payload: Vec<u8>) -> (u8, Vec<u8>) {
        let Some(marks) = this else {
            return (code, payload);
        };
        let pends = Pends::Marks { deletes: true };
        let front = words::front(marks.generation, &pends, code);
        (kind::PENDING, [front, payload].concat())
    }

    /// Makes it so, by the change `revision` at `now_ms`; the shards are those that it was made of, in the same order.
    pub(super) fn done<S: DerefMut<Target = Shard>>(
        self,
        shards: impl Iterator<Item = S>,
        (revision, now_ms): (u64, u64),
    ) {
        for (mut shard, keys) in shards.zip(self.keys) {
            shard.mark_all(Open::Current, keys, revision);
        }
        self.ledger.note(now_ms);
        self.seats.take();
    }
}

/// What an atomic batch makes pending: nothing can refuse it any more.
#[derive(Debug)]
pub(super) struct PendAll<'k> {
    ledger: &'k Ledger,
    generation: u64,
    pends: Pends,
    seats: Seats<'k>,
}

impl<'k> PendAll<'k> {
    /// Takes the places for what becomes pending of the batch's keys, `new` of which have no row yet; `None` where that is
    /// nothing. The caller has locked the shards of all keys.
    pub(super) fn new(
        keyspace: &'k Keyspace,
        all: impl Iterator<Item = Pended<i64>> + Clone,
        new: u64,
    ) -> Result<Option<Self>, WriteError> {
        let ledger = keyspace.ledger();
        let sum = |pended| match pended {
            Pended::Sum(sum) => Some(sum),
            Pended::Mark => None,
        };
        let pends = match ledger.pending() {
            Pending::None => return Ok(None),
            Pending::Sums { .. } => Pends::Sums(all.clone().filter_map(sum).collect()),
            Pending::Latest { deletes, .. } => Pends::Marks {
                deletes: deletes == Deletes::Propagate,
            },
        };
        if all.count() == 0 {
            return Ok(None);
        }
        let seats = ledger.seats(new);
        Ok(Some(Self {
            ledger,
            generation: ledger.current(),
            pends,
            seats: seats.ok_or_else(|| too_many(keyspace))?,
        }))
    }

    /// Tells it in front of a change of type `code`.
    pub(super) fn in_front_of(this: Option<&Self>, code: u8) -> (u8, Vec<u8>) {
        match this {
            None => (code, Vec::new()),
            Some(all) => {
                let front = words::front(all.generation, &all.pends, code);
                (kind::PENDING, front)
            }
        }
    }

    /// The rows are there.
    pub(super) fn done(self, now_ms: u64) {
        self.ledger.note(now_ms);
        self.seats.take();
    }
}

impl Core {
    /// Room for a record about what is pending.
    async fn pending_room(&self, len: usize, purpose: Purpose) -> Result<Grant, WriteError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(WriteError::Closing);
        }
        if let Some(lost) = self.log.lost() {
            return Err(lost.clone().into());
        }
        let (limit, actual) = (self.log.max_record_bytes(), wide(len));
        if actual > limit {
            return Err(WriteError::TooLarge { limit, actual });
        }
        self.log.room().claim(frame_len(actual), purpose).await
    }
}

impl Store {
    /// The random number that this store was given when it was made.
    pub fn id(&self) -> [u8; 16] {
        self.core.manifest.with(|manifest| manifest.store_id)
    }

    /// Whether `mark` is that of a start of this store which made changes, or of this process.
    pub fn knows_mark(&self, mark: u64) -> bool {
        self.core
            .incarnations
            .iter()
            .any(|incarnation| incarnation.mark == mark)
    }
}

/// The mark of this process.
fn own_mark(core: &Core) -> u64 {
    manifest::mark_of(&core.incarnations, u64::MAX)
}
