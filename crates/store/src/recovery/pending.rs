//! Does to what is pending what the records of the log say. The state may be newer than the record already, because a snapshot
//! goes on while it is written; so whatever is newer stays, and what belongs to a generation that is dropped later is left
//! out. It knows neither files nor segments.

use crate::map::{Keyspace, Open};
use crate::record::Record;
use crate::record::pending::{Buried, Letter, Pended, Pends, Redriven, Row};
use crate::snapshot::StoredRow;

/// The front of a change: what it makes pending, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front<'a> {
    pub(super) generation: u64,
    pub(super) pends: &'a Pends,
    pub(super) revision: u64,
    pub(super) time_ms: u64,
}

/// Makes pending what a change says, before the change itself is made: a flush marks what it finds.
pub(super) fn pend(
    keyspace: &Keyspace,
    front: Front<'_>,
    change: &Record<'_>,
) -> Result<(), &'static str> {
    let Some(open) = keyspace.ledger().open(front.generation) else {
        return Ok(());
    };
    let mut pending = Pending {
        keyspace,
        open,
        front,
        sums: match front.pends {
            Pends::Sums(sums) => sums,
            Pends::Marks { .. } => &[],
        },
    };
    pending.change(change)?;
    if pending.sums.is_empty() {
        Ok(())
    } else {
        Err("a change tells of sums that it does not make")
    }
}

struct Pending<'a> {
    keyspace: &'a Keyspace,
    open: Open,
    front: Front<'a>,
    /// Those of the increments that are still to come.
    sums: &'a [i64],
}

impl Pending<'_> {
    fn change(&mut self, change: &Record<'_>) -> Result<(), &'static str> {
        let deletes = *self.front.pends == Pends::Marks { deletes: true };
        match change {
            Record::Put { parts, delta, .. } => match self.front.pends {
                Pends::Marks { .. } => self.row(parts.key, Pended::Mark),
                Pends::Sums(_) if delta.is_some_and(|delta| delta != 0) => {
                    let (sum, rest) = self
                        .sums
                        .split_first()
                        .ok_or("a change does not tell of a sum that it makes")?;
                    self.row(parts.key, Pended::Sum(*sum));
                    self.sums = rest;
                }
                Pends::Sums(_) => {}
            },
            Record::Delete { key, .. } if deletes => self.row(key, Pended::Mark),
            Record::DeletePrefix { keys, .. } if deletes => {
                for key in keys {
                    self.row(key, Pended::Mark);
                }
            }
            Record::Flush { .. } if deletes => self.everything(),
            Record::Batch(parts) => {
                for part in parts {
                    self.change(part)?;
                }
            }
            Record::Delete { .. }
            | Record::DeletePrefix { .. }
            | Record::Flush { .. }
            | Record::Expire { .. }
            | Record::Keyspace(_)
            | Record::Drop { .. }
            | Record::Touch { .. }
            | Record::Evict(..)
            | Record::Pending { .. }
            | Record::Freeze { .. }
            | Record::DropGeneration { .. }
            | Record::Bury { .. }
            | Record::Redrive { .. }
            | Record::Seal
            | Record::Mark => {}
        }
        Ok(())
    }

    fn row(&self, key: &[u8], pended: Pended<i64>) {
        let revision = self.front.revision;
        let row = Row { revision, pended };
        add(self.keyspace, self.open, key, row, self.front.time_ms);
    }

    /// Marks everything that a flush takes away.
    fn everything(&self) {
        let (revision, time_ms) = (self.front.revision, self.front.time_ms);
        let map = &self.keyspace.map;
        let mut marked = 0;
        for shard in 0..map.shards() {
            let mut shard = map.write(shard);
            let keys = shard.unmarked(self.open, revision, time_ms);
            marked += shard.mark_all(self.open, keys, revision);
        }
        let ledger = self.keyspace.ledger();
        ledger.count_in(marked);
        if marked > 0 && self.open == Open::Current {
            ledger.note(time_ms);
        }
    }
}

fn add(keyspace: &Keyspace, open: Open, key: &[u8], row: Row, time_ms: u64) {
    let (map, ledger) = (&keyspace.map, keyspace.ledger());
    let place = map.place(key);
    let new = map.write(place.shard).pend(open, place.hash, key, row);
    ledger.count_in(u64::from(new));
    if open == Open::Current {
        ledger.note(time_ms);
    }
}

/// Puts a row of a snapshot into its place.
pub(super) fn load_row(keyspace: &Keyspace, stored: &StoredRow<'_>) {
    let (map, ledger) = (&keyspace.map, keyspace.ledger());
    if let Some(open) = ledger.open(stored.generation) {
        let place = map.place(stored.key);
        let mut shard = map.write(place.shard);
        let new = shard.pend(open, place.hash, stored.key, stored.row);
        drop(shard);
        ledger.count_in(u64::from(new));
    }
}

/// Closes `generation`, unless that has been done.
pub(super) fn freeze(keyspace: &Keyspace, generation: u64, mark: u64, revision: u64) {
    let (map, ledger) = (&keyspace.map, keyspace.ledger());
    if ledger.current() != generation {
        return;
    }
    for shard in 0..map.shards() {
        map.write(shard).freeze();
    }
    ledger.freeze(mark, revision);
}

/// Drops `generation`, where it is there.
pub(super) fn drop_generation(keyspace: &Keyspace, generation: u64, revision: u64) {
    let (map, ledger) = (&keyspace.map, keyspace.ledger());
    if ledger.open(generation) != Some(Open::Frozen) && !cfg!(feature = "bug-drop-any-generation") {
        return;
    }
    for shard in 0..map.shards() {
        let taken = map.write(shard).drop_frozen();
        ledger.count_out(taken.map_or(0, |taken| taken.rows));
    }
    ledger.thaw(revision);
}

/// Takes keys out of `generation`, and keeps them as dead letters.
pub(super) fn bury(
    keyspace: &Keyspace,
    generation: u64,
    letters: &[Buried<'_>],
    (revision, time_ms): (u64, u64),
) {
    let (map, ledger) = (&keyspace.map, keyspace.ledger());
    let frozen = ledger.open(generation) == Some(Open::Frozen);
    for letter in letters {
        let place = map.place(letter.key);
        let row = frozen
            .then(|| {
                map.write(place.shard)
                    .bury(place.hash, letter.key, revision)
            })
            .flatten();
        ledger.count_out(u64::from(row.is_some()));
        let kept = Letter::of(letter, revision, time_ms);
        ledger.dead().put(letter.key, kept);
    }
}

/// Makes dead letters pending again in `generation`.
pub(super) fn redrive(
    keyspace: &Keyspace,
    generation: u64,
    keys: &[Redriven<'_>],
    (revision, time_ms): (u64, u64),
) {
    let ledger = keyspace.ledger();
    for redriven in keys {
        let pended = redriven.pended;
        if let Some(open) = ledger.open(generation) {
            let row = Row { revision, pended };
            add(keyspace, open, redriven.key, row, time_ms);
        }
        ledger.dead().take(redriven.key, revision);
    }
}
