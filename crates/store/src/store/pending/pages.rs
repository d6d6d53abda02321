//! What is pending, in key order: of the frozen generation as it is to be passed on, and of all generations together.

use std::ops::Bound;

use super::super::Store;
use super::super::merge::{Keyed, merge};
use crate::error::PendingError;
use crate::map::{Entry, Keyspace, Lookup, Open, Shard};
use crate::options::{Deletes, Pending};
use crate::record::pending::{Pended, Row};

/// What is to be passed on of a key.
#[derive(Debug)]
pub enum Passed {
    /// The sum of its increments.
    Sum(i64),
    /// Its value as it is now. It may have expired: it was kept for this.
    Value(Entry),
    /// It is not there any more, and that is to be passed on.
    Gone,
    /// It is not there any more, and nothing is to be passed on.
    Nothing,
}

/// A key that is pending in the frozen generation.
#[derive(Debug)]
pub struct FrozenRow {
    /// The key.
    pub key: Box<[u8]>,
    /// What is to be passed on.
    pub passed: Passed,
}

/// A part of the frozen generation in key order.
#[derive(Debug)]
pub struct FrozenPage {
    /// What is pending.
    pub rows: Vec<FrozenRow>,
    /// The newest change that it tells of: nothing may be passed on before that is on disk, whatever the keyspace promises.
    pub seen: u64,
    /// Whether nothing is behind the last row.
    pub end: bool,
}

/// All that is pending of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// The sum of its increments.
    Sum(i128),
    /// It was changed.
    Mark,
}

impl From<Pended<i128>> for Total {
    fn from(pended: Pended<i128>) -> Self {
        match pended {
            Pended::Mark => Self::Mark,
            Pended::Sum(sum) => Self::Sum(sum),
        }
    }
}

/// A key that is pending in any generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The key.
    pub key: Box<[u8]>,
    /// All that is pending of it.
    pub total: Total,
}

/// A part of what is pending in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPage {
    /// What is pending.
    pub rows: Vec<PendingRow>,
    /// The newest change that the answer rests on.
    pub seen: u64,
    /// Whether nothing is behind the last row.
    pub end: bool,
}

/// How much is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// The generation that changes go to.
    pub generation: u64,
    /// Keys that are pending; one that is in two generations counts twice.
    pub keys: u64,
    /// Keys that are pending in the frozen generation.
    pub frozen: u64,
    /// Since when the oldest has been pending, in Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Keys that could not be passed on.
    pub dead: u64,
}

impl Keyed for FrozenRow {
    fn its_key(&self) -> &[u8] {
        &self.key
    }
}

impl Keyed for PendingRow {
    fn its_key(&self) -> &[u8] {
        &self.key
    }
}

impl Store {
    /// Up to `limit` keys of `generation`, which is frozen, behind `after` where that is given. A sum is the same however
    /// often it is read; a value is the newest.
    ///
    /// # Errors
    /// [`PendingError::NotFrozen`] where another generation is frozen, or none.
    #[expect(
        clippy::unused_self,
        reason = "who asks has to hold the store that the keyspace is of"
    )]
    pub fn frozen_page(
        &self,
        keyspace: &Keyspace,
        generation: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<FrozenPage, PendingError> {
        let ledger = keyspace.ledger();
        let mut seen = ledger.newest();
        let mut dropped = false;
        let next = |number, after: Option<&[u8]>, most| {
            let shard = keyspace.map.read(number);
            dropped |= ledger.open(generation) != Some(Open::Frozen);
            let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
            let rows = shard.rows(
                Open::Frozen,
                after.map_or(Bound::Unbounded, Bound::Excluded),
            );
            let rows = rows.take(most).map(|(key, row)| {
                let (passed, met) = passed(&shard, ledger.pending(), (hash_of(key), key), row);
                seen = met.max(seen);
                let key = key.into();
                FrozenRow { key, passed }
            });
            rows.collect()
        };
        let (rows, end) = merge(keyspace.map.shards(), after, limit, next, |_| true);
        if dropped {
            return Err(PendingError::NotFrozen { generation });
        }
        Ok(FrozenPage { rows, seen, end })
    }

    /// Up to `limit` keys that begin with `prefix` and are pending in any generation, behind `after` where that is given.
    #[expect(
        clippy::unused_self,
        reason = "who asks has to hold the store that the keyspace is of"
    )]
    pub fn pending_page(
        &self,
        keyspace: &Keyspace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> PendingPage {
        let mut seen = keyspace.ledger().newest();
        let next = |number, after: Option<&[u8]>, most| {
            let shard = keyspace.map.read(number);
            totals(&shard, (prefix, after), most, &mut seen)
        };
        let (rows, end) = merge(keyspace.map.shards(), after, limit, next, |_| true);
        PendingPage { rows, seen, end }
    }

    /// How much is pending. Looks at every shard: not for every request.
    #[expect(
        clippy::unused_self,
        reason = "who asks has to hold the store that the keyspace is of"
    )]
    pub fn pending_counts(&self, keyspace: &Keyspace) -> Counts {
        let ledger = keyspace.ledger();
        let shards = 0..keyspace.map.shards();
        let frozen = shards.map(|shard| keyspace.map.read(shard).row_count(Open::Frozen));
        let frozen = frozen.sum();
        let generations = ledger.generations();
        let since = generations.frozen.map(|frozen| frozen.since_ms);
        let current = (generations.since_ms > 0).then_some(generations.since_ms);
        Counts {
            generation: generations.current,
            keys: ledger.rows(),
            frozen,
            since_ms: since.filter(|_| frozen > 0).or(current),
            dead: ledger.dead().len(),
        }
    }
}

/// What is to be passed on of a key now, and the newest change that this rests on.
fn passed(shard: &Shard, pending: Pending, (hash, key): (u32, &[u8]), row: &Row) -> (Passed, u64) {
    if let Pended::Sum(sum) = row.pended {
        return (Passed::Sum(sum), row.revision);
    }
    match shard.peek(hash, key) {
        Lookup::Live(entry) | Lookup::Expired(entry) => {
            (Passed::Value(entry.clone()), entry.revision())
        }
        Lookup::Absent { seen } => {
            let passed = match pending {
                Pending::Latest {
                    deletes: Deletes::Propagate,
                    ..
                } => Passed::Gone,
                Pending::Latest { .. } | Pending::Sums { .. } | Pending::None => Passed::Nothing,
            };
            (passed, seen.max(row.revision))
        }
    }
}

/// What is pending in both generations of a shard, key by key.
fn totals(
    shard: &Shard,
    (prefix, after): (&[u8], Option<&[u8]>),
    most: usize,
    seen: &mut u64,
) -> Vec<PendingRow> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        Some(_) | None => Bound::Included(prefix),
    };
    let begins = |(key, _): &(&[u8], &Row)| key.starts_with(prefix);
    let mut frozen = shard.rows(Open::Frozen, from).take_while(begins).peekable();
    let mut current = shard
        .rows(Open::Current, from)
        .take_while(begins)
        .peekable();
    let mut found: Vec<PendingRow> = Vec::new();
    while found.len() < most {
        let first = match (frozen.peek(), current.peek()) {
            (Some((one, _)), Some((other, _))) => one.min(other),
            (Some((key, _)), None) | (None, Some((key, _))) => key,
            (None, None) => break,
        };
        let first: Box<[u8]> = (*first).into();
        let is_it = |(key, _): &(&[u8], &Row)| **key == *first;
        let rows = [frozen.next_if(is_it), current.next_if(is_it)];
        let mut total = Total::Mark;
        for (_, row) in rows.into_iter().flatten() {
            *seen = row.revision.max(*seen);
            if let Pended::Sum(sum) = row.pended {
                let before = match total {
                    Total::Sum(before) => before,
                    Total::Mark => 0,
                };
                total = Total::Sum(before + i128::from(sum));
            }
        }
        found.push(PendingRow { key: first, total });
    }
    found
}
