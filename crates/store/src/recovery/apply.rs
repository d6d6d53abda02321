//! Does to the map what the records of the log say, one after the other. It knows neither files nor segments.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::pending::{self, Front};
use crate::int::wide;
use crate::map::{ById, Contents, Effect, Entry, FactsTable, Keyspace, Lookup, Shard};
use crate::record::{Lifetime, Parts, Record};
use crate::watch::{Change as Told, Refill};

/// A decoded record with its revision.
pub(super) type Change<'b> = (u64, Record<'b>);
/// Records that are handed over at once.
pub(super) const BATCH: usize = 1_024;
/// Batches that may wait.
pub(super) const BATCHES: usize = 8;

/// The keyspace of the last record: nearly always that of the next.
#[derive(Debug, Default)]
struct Recent(Option<Arc<Keyspace>>);

impl Recent {
    /// The keyspace of a record; `None` where it was dropped since.
    fn keyspace(
        &mut self,
        contents: &Contents,
        id: u32,
    ) -> Result<Option<&Keyspace>, &'static str> {
        if self.0.as_ref().is_none_or(|keyspace| keyspace.id() != id) {
            self.0 = match contents.keyspaces.by_id(id) {
                ById::Known(keyspace) => Some(keyspace),
                ById::Dropped => None,
                ById::Unknown => return Err("a record of a keyspace that nobody knows"),
            };
        }
        Ok(self.0.as_deref())
    }
}

/// Applies batches in order. The first refused record, by its revision, ends it.
pub(super) fn apply_all(
    contents: &Contents,
    refill: &mut Refill,
    receive: &Receiver<Vec<Change<'_>>>,
) -> Result<(), (u64, &'static str)> {
    let mut recent = Recent::default();
    for batch in receive {
        for (revision, record) in batch {
            apply(contents, refill, &mut recent, revision, &record)
                .map_err(|why| (revision, why))?;
        }
    }
    Ok(())
}

/// Does to the map what a record says, and tells it to whoever will watch.
fn apply(
    contents: &Contents,
    refill: &mut Refill,
    recent: &mut Recent,
    revision: u64,
    record: &Record<'_>,
) -> Result<(), &'static str> {
    let id = match record {
        Record::Put { keyspace, .. }
        | Record::Delete { keyspace, .. }
        | Record::Expire { keyspace, .. }
        | Record::Flush { keyspace, .. }
        | Record::Touch { keyspace, .. }
        | Record::DeletePrefix { keyspace, .. }
        | Record::Freeze { keyspace, .. }
        | Record::DropGeneration { keyspace, .. }
        | Record::Bury { keyspace, .. }
        | Record::Redrive { keyspace, .. } => *keyspace,
        Record::Batch(parts) => {
            let half = cfg!(feature = "bug-half-batch");
            let count = if half { 1 } else { parts.len() };
            for part in parts.iter().take(count) {
                apply(contents, refill, recent, revision, part)?;
            }
            return Ok(());
        }
        Record::Pending {
            generation,
            pends,
            time_ms,
            change,
        } => {
            let front = Front {
                generation: *generation,
                pends,
                revision,
                time_ms: *time_ms,
            };
            let id = change.keyspace().ok_or("a change of no keyspace")?;
            if let Some(keyspace) = recent.keyspace(contents, id)? {
                pending::pend(keyspace, front, change)?;
            }
            return apply(contents, refill, recent, revision, change);
        }
        Record::Evict(evict, then) => {
            let id = evict.keyspace;
            apply_in(contents, refill, recent, (id, revision, record))?;
            return match then {
                Some(then) => apply(contents, refill, recent, revision, then),
                None => Ok(()),
            };
        }
        Record::Keyspace(record) => {
            recent.0 = None;
            if let ById::Unknown = contents.keyspaces.by_id(record.id) {
                refill.born(record.id, revision);
            }
            contents
                .keyspaces
                .set(record, revision, || Shard::loading(0));
            return Ok(());
        }
        Record::Drop { keyspace: id } => {
            if recent.keyspace(contents, *id)?.is_some() {
                recent.0 = None;
                contents.keyspaces.drop_id(*id, revision);
            }
            return Ok(());
        }
        Record::Seal | Record::Mark => return Ok(()),
    };
    apply_in(contents, refill, recent, (id, revision, record))
}

/// Does to a keyspace what a record says that names it.
fn apply_in(
    contents: &Contents,
    refill: &mut Refill,
    recent: &mut Recent,
    (id, revision, record): (u32, u64, &Record<'_>),
) -> Result<(), &'static str> {
    if let Some(keyspace) = recent.keyspace(contents, id)? {
        let refill = refill.takes(revision).then_some(refill);
        let mut applying = Applying {
            keyspace,
            facts: &contents.facts,
            revision,
            refill,
        };
        applying.apply(record);
    }
    Ok(())
}

/// One record on its way into a keyspace.
struct Applying<'a> {
    keyspace: &'a Keyspace,
    facts: &'a FactsTable,
    revision: u64,
    /// Who is told of it, where it is new enough to be watched.
    refill: Option<&'a mut Refill>,
}

impl Applying<'_> {
    /// Makes the changes of the record, and tells them in the order in which they were told when they were made.
    fn apply(&mut self, record: &Record<'_>) {
        let revision = self.revision;
        match record {
            Record::Put { parts, value, .. } => {
                let entry = put(parts, value, revision, self.facts);
                self.tell(|| Told::Put(entry.clone()));
                change(self.keyspace, parts.key, Effect::Put(entry));
            }
            Record::Delete { key, .. } => {
                self.tell(|| Told::delete(key));
                change(self.keyspace, key, Effect::Delete { key, revision });
            }
            Record::Expire { keys, .. } => self.remove(keys, Told::expire),
            Record::Evict(evict, _) => {
                self.remove(&evict.expired, Told::expire);
                self.remove(&evict.evicted, Told::evict);
            }
            Record::Flush { time_ms, .. } => {
                let map = &self.keyspace.map;
                let drained = (0..map.shards()).map(|shard| map.write(shard).flush(revision));
                let flushed = drained.map(|shard| shard.live_at(*time_ms)).sum();
                self.tell(|| Told::flush(flushed));
            }
            Record::Touch { key, lifetime, .. } => {
                if let Some(touched) = self.touched(key, *lifetime) {
                    self.tell(|| Told::Put(touched.clone()));
                    change(self.keyspace, key, Effect::Put(touched));
                }
            }
            Record::DeletePrefix { prefix, keys, .. } => {
                self.tell(|| Told::delete_prefix(prefix, wide(keys.len())));
                for key in keys {
                    change(self.keyspace, key, Effect::Delete { key, revision });
                }
            }
            Record::Freeze {
                generation, mark, ..
            } => pending::freeze(self.keyspace, *generation, *mark, revision),
            Record::DropGeneration { generation, .. } => {
                pending::drop_generation(self.keyspace, *generation, revision);
            }
            Record::Bury {
                generation,
                time_ms,
                letters,
                ..
            } => pending::bury(self.keyspace, *generation, letters, (revision, *time_ms)),
            Record::Redrive {
                generation,
                time_ms,
                keys,
                ..
            } => pending::redrive(self.keyspace, *generation, keys, (revision, *time_ms)),
            Record::Batch(_)
            | Record::Pending { .. }
            | Record::Keyspace(_)
            | Record::Drop { .. }
            | Record::Seal
            | Record::Mark => {}
        }
    }

    /// Removes keys that left by themselves.
    fn remove(&mut self, keys: &[&[u8]], told: fn(&[u8]) -> Told) {
        let revision = self.revision;
        for key in keys {
            self.tell(|| told(key));
            change(self.keyspace, key, Effect::Remove { key, revision });
        }
    }

    fn tell(&mut self, told: impl FnOnce() -> Told) {
        if let Some(refill) = &mut self.refill {
            refill.tell(self.keyspace.id(), self.revision, told());
        }
    }

    /// The entry with another lifetime; `None` where the key is absent.
    fn touched(&self, key: &[u8], lifetime: Lifetime) -> Option<Entry> {
        let map = &self.keyspace.map;
        let place = map.place(key);
        let shard = map.read(place.shard);
        let mut touched = match shard.look_up(place.hash, key, || 0) {
            Lookup::Live(entry) | Lookup::Expired(entry) => {
                entry.with_lifetime(lifetime, self.facts)
            }
            Lookup::Absent { .. } => return None,
        };
        touched.set_revision(self.revision);
        Some(touched)
    }
}

fn put(parts: &Parts<'_>, value: &[u8], revision: u64, facts: &FactsTable) -> Entry {
    let mut entry = Entry::reserve(parts, value.len(), facts);
    entry.fill(|place| place.copy_from_slice(value));
    entry.set_revision(revision);
    entry
}

fn change(keyspace: &Keyspace, key: &[u8], effect: Effect<'_>) {
    let place = keyspace.map.place(key);
    // Everything that is replayed is durable: no mark of a deletion has to stay.
    drop(
        keyspace
            .map
            .write(place.shard)
            .apply(place.hash, effect, u64::MAX),
    );
}
