//! Dead letters: what could not be passed on, taken out of the generation that it was pending in, until somebody has it tried
//! again. A key has one letter; what is buried of it later is added to that. Of a mark the letter keeps no value: what is
//! passed on then is what is there then, and the entry is not held meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::keyspaces::Guard;
use super::super::{Core, Store};
use super::pages::Total;
use super::too_many;
use crate::error::{PendingError, WriteError};
use crate::int::wide;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Keyspace, Open, Place};
use crate::record::kind;
use crate::record::pending::{self as words, Buried, Letter, Pended, REASON_BYTES, Redriven, Row};

/// Most keys of one step of a redrive: the locks are held for a bounded time.
const STEP_KEYS: usize = 1_000;
/// Most bytes of keys of one step, the last key aside.
const STEP_BYTES: usize = 64 << 10;

/// A burial, made but perhaps not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bury {
    /// How many keys were taken out of the generation.
    pub buried: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
    /// The newest change that the answer rests on.
    pub seen: u64,
}

/// A key that could not be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The key.
    pub key: Box<[u8]>,
    /// All that could not be passed on of it.
    pub total: Total,
    /// Why, the last time: at most 200 bytes.
    pub reason: Box<str>,
    /// When, the last time, in Unix milliseconds.
    pub at_ms: u64,
}

/// A part of what could not be passed on, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadPage {
    /// What could not be passed on.
    pub letters: Vec<Dead>,
    /// The newest change that the answer rests on.
    pub seen: u64,
    /// Whether nothing is behind the last one.
    pub end: bool,
}

/// Dead letters that are pending again, perhaps not durably.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redrive {
    /// How many keys are pending again.
    pub redriven: u64,
    /// Keys that stay what they are, because what is pending of them would not fit into 64 bits.
    pub kept: Vec<Box<[u8]>>,
    /// Its last revision, where it made a change.
    pub own: Option<u64>,
    /// The newest change that the answer rests on.
    pub seen: u64,
}

impl Store {
    /// Takes keys out of `generation`, which is frozen, because they cannot be passed on, each for a reason of which the first
    /// 200 bytes are kept. One change. Keys that are not pending there are passed over. There may be `most` such keys in all.
    ///
    /// # Errors
    /// [`PendingError::NotFrozen`], [`PendingError::DeadFull`]: then nothing has changed; otherwise as for any change.
    pub async fn bury(
        &self,
        keyspace: &Arc<Keyspace>,
        generation: u64,
        keys: &[(&[u8], &str)],
        most: u64,
    ) -> Result<Bury, PendingError> {
        let lens = keys.iter().map(|(key, reason)| (key.len(), reason.len()));
        let len = words::bury_len(lens);
        let grant = self.core.pending_room(len, Purpose::Shrink).await?;
        self.core.bury(keyspace, (generation, keys, most), grant)
    }

    /// Up to `limit` keys that could not be passed on, behind `after` where that is given.
    #[expect(
        clippy::unused_self,
        reason = "who asks has to hold the store that the keyspace is of"
    )]
    pub fn dead(&self, keyspace: &Keyspace, after: Option<&[u8]>, limit: usize) -> DeadPage {
        let dead = keyspace.ledger().dead();
        let mut behind = dead.behind(after);
        let letters = behind.by_ref().take(limit).map(|(key, letter)| Dead {
            key: key.into(),
            total: letter.pended.into(),
            reason: letter.reason.clone(),
            at_ms: letter.at_ms,
        });
        DeadPage {
            letters: letters.collect(),
            seen: keyspace.ledger().newest(),
            end: behind.next().is_none(),
        }
    }

    /// Makes dead letters pending again, in the current generation: those of `keys`, or all of them. In steps, each one change.
    /// A sum that would not fit into 64 bits with what is pending already stays dead.
    ///
    /// # Errors
    /// As for any change; what was made pending before stays so.
    pub async fn redrive(
        &self,
        keyspace: &Arc<Keyspace>,
        keys: Option<&[&[u8]]>,
    ) -> Result<Redrive, WriteError> {
        let mut sum = Redrive::default();
        let mut steps = Steps::new(keys);
        while let Some(step) = steps.next(keyspace) {
            let bytes = step.iter().map(|key| key.len()).sum();
            let len = words::redrive_len(step.len(), bytes);
            let grant = self.core.pending_room(len, Purpose::Shrink).await?;
            let done = self.core.redrive(keyspace, &step, grant)?;
            sum.redriven += done.redriven;
            sum.kept.extend(done.kept);
            sum.own = done.own.or(sum.own);
            sum.seen = sum.seen.max(done.seen);
        }
        Ok(sum)
    }
}

/// The keys that are to be redriven, step by step.
enum Steps {
    /// These, in their order.
    These(std::vec::IntoIter<Box<[u8]>>),
    /// All behind this one.
    All(Option<Box<[u8]>>),
}

impl Steps {
    fn new(keys: Option<&[&[u8]]>) -> Self {
        match keys {
            None => Self::All(None),
            Some(keys) => {
                let keys: BTreeSet<&[u8]> = keys.iter().copied().collect();
                let keys: Vec<Box<[u8]>> = keys.into_iter().map(Into::into).collect();
                Self::These(keys.into_iter())
            }
        }
    }

    fn next(&mut self, keyspace: &Keyspace) -> Option<Vec<Box<[u8]>>> {
        let mut bytes = 0;
        let mut fits = |key: &[u8]| {
            let more = bytes < STEP_BYTES;
            bytes += key.len();
            more
        };
        let step: Vec<Box<[u8]>> = match self {
            Self::These(keys) => {
                let mut step = Vec::new();
                while step.len() < STEP_KEYS && keys.as_slice().first().is_some_and(|key| fits(key))
                {
                    step.extend(keys.next());
                }
                step
            }
            Self::All(after) => {
                let dead = keyspace.ledger().dead();
                let behind = dead.behind(after.as_deref());
                let keys = behind.map(|(key, _)| key).take(STEP_KEYS);
                let step: Vec<_> = keys.take_while(|key| fits(key)).map(Into::into).collect();
                drop(dead);
                after.clone_from(&step.last().cloned().or_else(|| after.clone()));
                step
            }
        };
        (!step.is_empty()).then_some(step)
    }
}

/// The first 200 bytes of a reason, up to the end of a letter.
fn cut(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason.split_at(end).0
}

/// The shards of some keys, locked in ascending order.
type Locked<'k> = BTreeMap<usize, Guard<'k>>;

fn lock(keyspace: &Keyspace, places: impl Iterator<Item = Place>) -> Locked<'_> {
    let shards: BTreeSet<usize> = places.map(|place| place.shard).collect();
    let locked = shards.into_iter();
    locked
        .map(|shard| (shard, keyspace.map.write(shard)))
        .collect()
}

impl Core {
    fn bury(
        &self,
        keyspace: &Keyspace,
        (generation, keys, most): (u64, &[(&[u8], &str)], u64),
        grant: Grant,
    ) -> Result<Bury, PendingError> {
        let ledger = keyspace.ledger();
        let keys: BTreeMap<&[u8], &str> = keys.iter().copied().collect();
        let places = keys.keys().map(|key| keyspace.map.place(key));
        let mut locked = lock(keyspace, places);
        if keyspace.is_dropped() {
            return Err(WriteError::Dropped.into());
        }
        if ledger.open(generation) != Some(Open::Frozen) {
            return Err(PendingError::NotFrozen { generation });
        }
        let mut dead = ledger.dead();
        let mut letters = Vec::with_capacity(keys.len());
        let mut new = 0;
        for (key, reason) in &keys {
            let shard = locked.get(&keyspace.map.place(key).shard);
            let Some(row) = shard.and_then(|shard| shard.row(Open::Frozen, key)) else {
                continue;
            };
            let before = dead.get(key);
            new += u64::from(before.is_none());
            letters.push(Buried {
                key,
                pended: added(before.map(|letter| letter.pended), row.pended),
                reason: cut(reason),
            });
        }
        let actual = dead.len() + new;
        if actual > most {
            let limit = most;
            return Err(PendingError::DeadFull { limit, actual });
        }
        let (buried, seen) = (wide(letters.len()), ledger.newest());
        if letters.is_empty() {
            let own = None;
            return Ok(Bury { buried, own, seen });
        }
        let now_ms = self.clock.now_ms();
        let payload = words::bury(keyspace.id(), generation, &letters);
        let fields = (kind::BURY, now_ms, Level::Durable);
        let queued = self.queue_with(keyspace, Some(&grant), fields, |_| Payload::whole(&payload));
        let revision = queued.revision;
        for letter in &letters {
            let place = keyspace.map.place(letter.key);
            if let Some(shard) = locked.get_mut(&place.shard) {
                shard.bury(place.hash, letter.key, revision);
            }
            dead.put(letter.key, Letter::of(letter, revision, now_ms));
        }
        ledger.count_out(buried);
        ledger.changed(revision);
        drop(dead);
        drop(locked);
        queued.settle(Some(grant));
        Ok(Bury {
            buried,
            own: Some(revision),
            seen,
        })
    }

    fn redrive(
        &self,
        keyspace: &Keyspace,
        keys: &[Box<[u8]>],
        grant: Grant,
    ) -> Result<Redrive, WriteError> {
        let ledger = keyspace.ledger();
        let places: Vec<Place> = keys.iter().map(|key| keyspace.map.place(key)).collect();
        let mut locked = lock(keyspace, places.iter().copied());
        if keyspace.is_dropped() {
            return Err(WriteError::Dropped);
        }
        let mut dead = ledger.dead();
        let mut redrive = Redrive {
            seen: ledger.newest(),
            ..Redrive::default()
        };
        let mut going = Vec::with_capacity(keys.len());
        let mut new = 0;
        for (key, place) in keys.iter().zip(&places) {
            let Some(letter) = dead.get(key) else {
                continue;
            };
            let row = locked
                .get(&place.shard)
                .and_then(|shard| shard.row(Open::Current, key));
            let Some(pended) = pending_again(row.map(|row| row.pended), letter.pended) else {
                redrive.kept.push(key.clone());
                continue;
            };
            new += u64::from(row.is_none());
            going.push((Redriven { key, pended }, *place));
        }
        if going.is_empty() {
            return Ok(redrive);
        }
        let Some(seats) = ledger.seats(new) else {
            return Err(too_many(keyspace));
        };
        let now_ms = self.clock.now_ms();
        let told: Vec<Redriven<'_>> = going.iter().map(|(one, _)| one.clone()).collect();
        let payload = words::redrive(keyspace.id(), ledger.current(), &told);
        let fields = (kind::REDRIVE, now_ms, Level::Durable);
        let queued = self.queue_with(keyspace, Some(&grant), fields, |_| Payload::whole(&payload));
        let revision = queued.revision;
        for (Redriven { key, pended }, place) in going {
            if let Some(shard) = locked.get_mut(&place.shard) {
                let row = Row { revision, pended };
                shard.pend(Open::Current, place.hash, key, row);
            }
            dead.take(key, revision);
        }
        seats.take();
        ledger.note(now_ms);
        ledger.changed(revision);
        drop(dead);
        drop(locked);
        queued.settle(Some(grant));
        redrive.redriven = wide(told.len());
        redrive.own = Some(revision);
        Ok(redrive)
    }
}

/// What is buried of a key with what was before.
fn added(before: Option<Pended<i128>>, row: Pended<i64>) -> Pended<i128> {
    match (before, row) {
        (_, Pended::Mark) => Pended::Mark,
        // So many burials there are not.
        (Some(Pended::Sum(before)), Pended::Sum(sum)) => {
            Pended::Sum(before.saturating_add(i128::from(sum)))
        }
        (Some(Pended::Mark) | None, Pended::Sum(sum)) => Pended::Sum(i128::from(sum)),
    }
}

/// What is pending of a key with its letter; `None` where that does not fit.
fn pending_again(row: Option<Pended<i64>>, letter: Pended<i128>) -> Option<Pended<i64>> {
    let Pended::Sum(dead) = letter else {
        return Some(Pended::Mark);
    };
    let pending = match row {
        Some(Pended::Sum(sum)) => i128::from(sum),
        Some(Pended::Mark) | None => 0,
    };
    let sum = dead.checked_add(pending)?;
    i64::try_from(sum).ok().map(Pended::Sum)
}
