//! A keyspace: a named set of keys with a policy, and the set of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::{FactsTable, Map, Shard};
use crate::options::Durability;
use crate::record::KeyspaceRecord;

/// A named set of keys.
#[derive(Debug)]
pub struct Keyspace {
    id: u32,
    name: Arc<str>,
    durability: AtomicU8,
    pub(crate) map: Map,
}

impl Keyspace {
    pub(crate) fn new(record: &KeyspaceRecord, map: Map) -> Self {
        let keyspace = Self {
            id: record.id,
            name: record.name.as_str().into(),
            durability: AtomicU8::new(0),
            map,
        };
        keyspace.set_durability(record.durability);
        keyspace
    }

    /// The id, which is never used again for another keyspace.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a successful answer means here.
    #[inline]
    pub fn durability(&self) -> Durability {
        match self.durability.load(Ordering::Relaxed) {
            0 => Durability::Synced,
            1 => Durability::Written,
            _ => Durability::Memory,
        }
    }

    pub(crate) fn set_durability(&self, durability: Durability) {
        let code = match durability {
            Durability::Synced => 0,
            Durability::Written => 1,
            Durability::Memory => 2,
        };
        self.durability.store(code, Ordering::Relaxed);
    }

    pub(crate) fn record(&self) -> KeyspaceRecord {
        KeyspaceRecord {
            id: self.id,
            name: self.name.as_ref().to_owned(),
            durability: self.durability(),
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<u32, Arc<Keyspace>>,
    /// Ids that were dropped: a record of one of them is skipped, one of any other unknown id is damage.
    dropped: BTreeSet<u32>,
}

/// All keyspaces.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    table: RwLock<Table>,
    shards: usize,
    seed: u64,
}

/// What an id stands for.
#[derive(Debug)]
pub(crate) enum ById {
    Known(Arc<Keyspace>),
    Dropped,
    Unknown,
}

impl Keyspaces {
    pub(crate) fn new(shards: usize, seed: u64) -> Self {
        Self {
            table: RwLock::default(),
            shards,
            seed,
        }
    }

    /// Creates the keyspace of `record`, or gives it the policy in it.
    pub(crate) fn set(&self, record: &KeyspaceRecord, make: impl Fn() -> Shard) -> Arc<Keyspace> {
        let mut table = self.table.write();
        let keyspace = table.by_id.entry(record.id).or_insert_with(|| {
            Arc::new(Keyspace::new(
                record,
                Map::new(self.shards, self.seed, make),
            ))
        });
        keyspace.set_durability(record.durability);
        Arc::clone(keyspace)
    }

    pub(crate) fn drop_id(&self, id: u32) {
        let mut table = self.table.write();
        table.dropped.insert(id);
        let dropped = table.by_id.remove(&id);
        drop(table);
        drop(dropped);
    }

    /// How many parts each keyspace has.
    pub(crate) fn shards(&self) -> usize {
        self.shards.clamp(1, 1 << 16).next_power_of_two()
    }

    pub(crate) fn by_id(&self, id: u32) -> ById {
        let table = self.table.read();
        match table.by_id.get(&id) {
            Some(keyspace) => ById::Known(Arc::clone(keyspace)),
            None if table.dropped.contains(&id) => ById::Dropped,
            None => ById::Unknown,
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Keyspace>> {
        self.table
            .read()
            .by_id
            .values()
            .find(|keyspace| keyspace.name() == name)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Keyspace>> {
        self.table.read().by_id.values().cloned().collect()
    }

    pub(crate) fn dropped(&self) -> Vec<u32> {
        self.table.read().dropped.iter().copied().collect()
    }

    /// An id that was never used.
    pub(crate) fn next_id(&self) -> u32 {
        let table = self.table.read();
        let known = table.by_id.keys().chain(&table.dropped).max();
        known.map_or(1, |id| id + 1)
    }
}

/// Everything that a store holds: the keyspaces, and the facts that their entries share.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) keyspaces: Keyspaces,
    pub(crate) facts: FactsTable,
}

impl Contents {
    pub(crate) fn new(shards: usize, seed: u64) -> Self {
        Self {
            keyspaces: Keyspaces::new(shards, seed),
            facts: FactsTable::new(),
        }
    }

    /// Sorts the keys of every shard, in parallel.
    pub(crate) fn finish_loading(&self) {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let next = AtomicUsize::new(0);
        for keyspace in self.keyspaces.all() {
            next.store(0, Ordering::Relaxed);
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        loop {
                            let shard = next.fetch_add(1, Ordering::Relaxed);
                            if shard >= keyspace.map.shards() {
                                break;
                            }
                            keyspace.map.write(shard).finish_loading();
                        }
                    });
                }
            });
        }
    }
}
