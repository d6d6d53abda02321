//! Does to the map what the records of the log say, one after the other. It knows neither files nor segments.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::map::{ById, Contents, Effect, Entry, FactsTable, Keyspace, Lookup, Shard};
use crate::record::{Parts, Record};

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
    receive: &Receiver<Vec<Change<'_>>>,
) -> Result<(), (u64, &'static str)> {
    let mut recent = Recent::default();
    for batch in receive {
        for (revision, record) in batch {
            apply(contents, &mut recent, revision, &record).map_err(|why| (revision, why))?;
        }
    }
    Ok(())
}

/// Does to the map what a record says.
fn apply(
    contents: &Contents,
    recent: &mut Recent,
    revision: u64,
    record: &Record<'_>,
) -> Result<(), &'static str> {
    match record {
        Record::Put { keyspace: id, .. }
        | Record::Delete { keyspace: id, .. }
        | Record::Expire { keyspace: id, .. }
        | Record::Flush { keyspace: id }
        | Record::Touch { keyspace: id, .. }
        | Record::DeletePrefix { keyspace: id, .. } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                apply_in(keyspace, revision, record, &contents.facts);
            }
        }
        Record::Batch(parts) => {
            let half = cfg!(feature = "bug-half-batch");
            let count = if half { 1 } else { parts.len() };
            for part in parts.iter().take(count) {
                apply(contents, recent, revision, part)?;
            }
        }
        Record::Evict(evict, then) => {
            if let Some(keyspace) = recent.keyspace(contents, evict.keyspace)? {
                remove(keyspace, &evict.expired, revision);
                remove(keyspace, &evict.evicted, revision);
            }
            if let Some(then) = then {
                apply(contents, recent, revision, then)?;
            }
        }
        Record::Keyspace(record) => {
            recent.0 = None;
            contents
                .keyspaces
                .set(record, revision, || Shard::loading(0));
        }
        Record::Drop { keyspace: id } => {
            if recent.keyspace(contents, *id)?.is_some() {
                recent.0 = None;
                contents.keyspaces.drop_id(*id, revision);
            }
        }
        Record::Seal | Record::Mark => {}
    }
    Ok(())
}

/// Does to a keyspace what a record says that names one.
fn apply_in(keyspace: &Keyspace, revision: u64, record: &Record<'_>, facts: &FactsTable) {
    match record {
        Record::Put { parts, value, .. } => {
            let entry = put(parts, value, revision, facts);
            change(keyspace, parts.key, Effect::Put(entry));
        }
        Record::Delete { key, .. } => {
            change(keyspace, key, Effect::Delete { key, revision });
        }
        Record::Expire { keys, .. } => remove(keyspace, keys, revision),
        Record::Flush { .. } => {
            for shard in 0..keyspace.map.shards() {
                drop(keyspace.map.write(shard).flush(revision));
            }
        }
        Record::Touch {
            key, expires_at_ms, ..
        } => touch(keyspace, key, *expires_at_ms, revision, facts),
        Record::DeletePrefix { keys, .. } => {
            for key in keys {
                change(keyspace, key, Effect::Delete { key, revision });
            }
        }
        Record::Batch(_)
        | Record::Evict(..)
        | Record::Keyspace(_)
        | Record::Drop { .. }
        | Record::Seal
        | Record::Mark => {}
    }
}

fn put(parts: &Parts<'_>, value: &[u8], revision: u64, facts: &FactsTable) -> Entry {
    let mut entry = Entry::reserve(parts, value.len(), facts);
    entry.fill(|place| place.copy_from_slice(value));
    entry.set_revision(revision);
    entry
}

/// Removes keys that left by themselves.
fn remove(keyspace: &Keyspace, keys: &[&[u8]], revision: u64) {
    for key in keys {
        change(keyspace, key, Effect::Remove { key, revision });
    }
}

/// Changes an expiry, unless the key is absent or something newer is there already.
fn touch(
    keyspace: &Keyspace,
    key: &[u8],
    expires_at_ms: Option<u64>,
    revision: u64,
    facts: &FactsTable,
) {
    let place = keyspace.map.place(key);
    let found = match keyspace
        .map
        .read(place.shard)
        .look_up(place.hash, key, || 0)
    {
        Lookup::Live(entry) | Lookup::Expired(entry) => Some(entry.clone()),
        Lookup::Absent { .. } => None,
    };
    if let Some(entry) = found {
        let mut touched = entry.with_expiry(expires_at_ms, facts);
        touched.set_revision(revision);
        change(keyspace, key, Effect::Put(touched));
    }
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
