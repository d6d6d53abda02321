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
        Record::Put {
            keyspace: id,
            parts,
            value,
            ..
        } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                let entry = put(parts, value, revision, &contents.facts);
                change(keyspace, parts.key, Effect::Put(entry));
            }
        }
        Record::Delete { keyspace: id, key } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                change(keyspace, key, Effect::Delete { key, revision });
            }
        }
        Record::Expire { keyspace: id, keys } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                for key in keys {
                    change(keyspace, key, Effect::Remove { key, revision });
                }
            }
        }
        Record::Flush { keyspace: id } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                for shard in 0..keyspace.map.shards() {
                    drop(keyspace.map.write(shard).flush(revision));
                }
            }
        }
        Record::Touch {
            keyspace: id,
            key,
            expires_at_ms,
        } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                touch(keyspace, key, *expires_at_ms, revision, &contents.facts);
            }
        }
        Record::DeletePrefix {
            keyspace: id, keys, ..
        } => {
            if let Some(keyspace) = recent.keyspace(contents, *id)? {
                for key in keys {
                    change(keyspace, key, Effect::Delete { key, revision });
                }
            }
        }
        Record::Batch(parts) => {
            for part in parts {
                apply(contents, recent, revision, part)?;
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

fn put(parts: &Parts<'_>, value: &[u8], revision: u64, facts: &FactsTable) -> Entry {
    let mut entry = Entry::reserve(parts, value.len(), facts);
    entry.fill(|place| place.copy_from_slice(value));
    entry.set_revision(revision);
    entry
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
