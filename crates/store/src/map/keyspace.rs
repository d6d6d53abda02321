//! A keyspace: a named set of keys with a policy, and the set of all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::pages::Pages;
use super::{FactsTable, Ledger, Map, Shard, cost};
use crate::int::{narrow, wide};
use crate::options::{Durability, Eviction, Policy};
use crate::record::KeyspaceRecord;

/// A named set of keys.
#[derive(Debug)]
pub struct Keyspace {
    id: u32,
    name: Arc<str>,
    policy: RwLock<Policy>,
    /// Copies of what every request asks for.
    durability: AtomicU8,
    ttl_ms: AtomicU64,
    client_max_age_ms: AtomicU64,
    bounded: AtomicBool,
    /// Set under all shard locks, so that who holds one and sees it unset may go on.
    dropped: AtomicBool,
    /// The keyspace that has taken the place of this one.
    successor: OnceLock<Arc<Self>>,
    pub(crate) map: Map,
    /// What is kept for a sink.
    ledger: Arc<Ledger>,
}

impl Keyspace {
    fn new(record: &KeyspaceRecord, map: Map, ledger: Arc<Ledger>) -> Self {
        let keyspace = Self {
            id: record.id,
            name: record.name.as_str().into(),
            policy: RwLock::new(record.policy),
            durability: AtomicU8::new(0),
            ttl_ms: AtomicU64::new(0),
            client_max_age_ms: AtomicU64::new(0),
            bounded: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            successor: OnceLock::new(),
            map,
            ledger,
        };
        keyspace.set_policy(record.policy);
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

    /// What the keyspace was told.
    pub fn policy(&self) -> Policy {
        *self.policy.read()
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

    /// How long an entry stays that says nothing about it, in milliseconds; `None` = for ever.
    #[inline]
    pub fn ttl_ms(&self) -> Option<u64> {
        match self.ttl_ms.load(Ordering::Relaxed) {
            0 => None,
            ttl_ms => Some(ttl_ms),
        }
    }

    /// How long a client may keep an answer without asking again, in milliseconds; `None` = not at all.
    #[inline]
    pub fn client_max_age_ms(&self) -> Option<u64> {
        match self.client_max_age_ms.load(Ordering::Relaxed) {
            0 => None,
            client_max_age_ms => Some(client_max_age_ms),
        }
    }

    /// The keyspace that this name stands for where an empty one gave way to another; usually this one.
    #[inline]
    pub fn current(self: &Arc<Self>) -> &Arc<Self> {
        let mut current = self;
        while let Some(successor) = current.successor.get() {
            current = successor;
        }
        current
    }

    /// Whether the keyspace was dropped: whatever is asked of it, it is empty for good.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.write() = policy;
        let code = match policy.durability {
            Durability::Synced => 0,
            Durability::Written => 1,
            Durability::Memory => 2,
        };
        self.durability.store(code, Ordering::Relaxed);
        self.ttl_ms
            .store(policy.ttl_ms.unwrap_or(0), Ordering::Relaxed);
        self.client_max_age_ms
            .store(policy.client_max_age_ms.unwrap_or(0), Ordering::Relaxed);
        self.bounded
            .store(policy.max_bytes.is_some(), Ordering::Relaxed);
        self.ledger.set(policy.pending);
    }

    /// What is kept for a sink.
    #[inline]
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether there is a bound to what its entries may take.
    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        self.bounded.load(Ordering::Relaxed)
    }

    /// Gives every shard its share of what the policy allows, one lock at a time.
    pub(crate) fn divide(&self) {
        let policy = self.policy();
        let share = policy.max_bytes.map(|most| most / wide(self.map.shards()));
        for shard in 0..self.map.shards() {
            let evicts = policy.eviction == Eviction::Sieve;
            self.map.write(shard).set_bound(share, evicts);
        }
    }

    /// Marks it as dropped, under all of its shards' locks; `successor` takes its place.
    pub(crate) fn set_dropped(&self, successor: Option<&Arc<Self>>) {
        if let Some(successor) = successor {
            self.successor.get_or_init(|| Arc::clone(successor));
        }
        self.dropped.store(true, Ordering::Relaxed);
    }

    /// The keyspace that has taken the place of this one.
    pub(crate) fn successor(&self) -> Option<&Arc<Self>> {
        self.successor.get()
    }

    pub(crate) fn record(&self) -> KeyspaceRecord {
        KeyspaceRecord {
            id: self.id,
            name: self.name.as_ref().to_owned(),
            policy: self.policy(),
            replaces: None,
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<u32, Arc<Keyspace>>,
    by_name: BTreeMap<Arc<str>, Arc<Keyspace>>,
    /// Ids that were dropped, with the change that did it: a record of one of them is skipped, one of any other unknown id
    /// is damage.
    dropped: BTreeMap<u32, u64>,
    /// No id up to this one is given out any more.
    last_id: u32,
}

/// All keyspaces.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    table: RwLock<Table>,
    /// Most shards of a keyspace.
    shards: usize,
    seed: u64,
    /// What the largest entry costs.
    largest: u64,
    /// The pages of memory of all entries.
    pages: Arc<Pages>,
}

/// What an id stands for.
#[derive(Debug)]
pub(crate) enum ById {
    Known(Arc<Keyspace>),
    Dropped,
    Unknown,
}

impl Keyspaces {
    pub(crate) fn new(shards: usize, seed: u64, largest: u64) -> Self {
        Self {
            table: RwLock::default(),
            shards: shards.clamp(1, 1 << 16).next_power_of_two(),
            seed,
            largest,
            pages: Arc::default(),
        }
    }

    /// A keyspace that nobody knows yet, with the shards that its policy asks for.
    pub(crate) fn make(&self, record: &KeyspaceRecord, make: impl Fn() -> Shard) -> Arc<Keyspace> {
        let ledger = Arc::new(Ledger::new(record.policy.pending));
        self.make_with(record, make, ledger)
    }

    fn make_with(
        &self,
        record: &KeyspaceRecord,
        make: impl Fn() -> Shard,
        ledger: Arc<Ledger>,
    ) -> Arc<Keyspace> {
        let shards = self.shards_of(&record.policy);
        let make = || make().counted_in(&self.pages);
        let map = Map::new(shards, self.seed, make);
        Arc::new(Keyspace::new(record, map, ledger))
    }

    /// Makes keyspaces anew that do not have the shards that their policy asks for: only while nobody else holds them.
    fn fit_shards(&self) {
        for old in self.all() {
            if old.map.shards() != self.shards_of(&old.policy()) {
                let ledger = Arc::clone(&old.ledger);
                let new = self.make_with(&old.record(), || Shard::loading(0), ledger);
                old.map.move_to(&new.map);
                self.add(&new);
            }
        }
    }

    /// Lets everybody find `keyspace`.
    pub(crate) fn add(&self, keyspace: &Arc<Keyspace>) {
        let mut table = self.table.write();
        table.last_id = table.last_id.max(keyspace.id);
        table.by_id.insert(keyspace.id, Arc::clone(keyspace));
        table
            .by_name
            .insert(Arc::clone(&keyspace.name), Arc::clone(keyspace));
    }

    /// Does what a record says that is read back: creates the keyspace, or gives it the policy. `revision` is the record's.
    pub(crate) fn set(&self, record: &KeyspaceRecord, revision: u64, make: impl Fn() -> Shard) {
        if let Some(replaced) = record.replaces {
            self.drop_id(replaced, revision);
        }
        match self.by_id(record.id) {
            ById::Known(keyspace) => keyspace.set_policy(record.policy),
            ById::Dropped => {}
            ById::Unknown => self.add(&self.make(record, make)),
        }
    }

    /// Forgets a keyspace, which `revision` dropped.
    pub(crate) fn drop_id(&self, id: u32, revision: u64) {
        let mut table = self.table.write();
        table.last_id = table.last_id.max(id);
        table.dropped.insert(id, revision);
        let dropped = table.by_id.remove(&id);
        if let Some(keyspace) = &dropped {
            // The name may belong to another one by now.
            let is_it = |found: &Arc<Keyspace>| found.id == id;
            if table.by_name.get(&keyspace.name).is_some_and(is_it) {
                table.by_name.remove(&keyspace.name);
            }
        }
        drop(table);
        drop(dropped);
    }

    /// How many shards a keyspace of that policy has: a bounded one as few as let the largest entry fit into its share.
    pub(crate) fn shards_of(&self, policy: &Policy) -> usize {
        let fitting = policy.max_bytes.map(|most| narrow(most / self.largest));
        match fitting {
            None => self.shards,
            Some(0) => 1,
            Some(fitting) => self.shards.min(1 << fitting.ilog2()),
        }
    }

    pub(crate) fn by_id(&self, id: u32) -> ById {
        let table = self.table.read();
        match table.by_id.get(&id) {
            Some(keyspace) => ById::Known(Arc::clone(keyspace)),
            None if table.dropped.contains_key(&id) => ById::Dropped,
            None => ById::Unknown,
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Keyspace>> {
        self.table.read().by_name.get(name).cloned()
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Keyspace>> {
        self.table.read().by_id.values().cloned().collect()
    }

    /// All of them, in the order of their names.
    pub(crate) fn by_names(&self) -> Vec<Arc<Keyspace>> {
        self.table.read().by_name.values().cloned().collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.read().by_id.len()
    }

    /// The ids that records behind revision `s` may name although they were dropped, and the last id that was dropped at
    /// all, so that no id is given out twice.
    pub(crate) fn dropped_since(&self, s: u64) -> Vec<u32> {
        if cfg!(feature = "bug-drop-forgotten") {
            return Vec::new();
        }
        let table = self.table.read();
        let last = table.dropped.last_key_value().map(|(id, _)| *id);
        let since = |(id, revision): (&u32, &u64)| *revision > s || Some(*id) == last;
        let dropped = table.dropped.iter().filter(|entry| since(*entry));
        dropped.map(|(id, _)| *id).collect()
    }

    /// Forgets the ids that nothing behind revision `s` can name.
    pub(crate) fn forget_dropped(&self, s: u64) {
        let mut table = self.table.write();
        let last = table.dropped.last_key_value().map(|(id, _)| *id);
        table
            .dropped
            .retain(|id, revision| *revision > s || Some(*id) == last);
    }

    /// An id that was never used.
    pub(crate) fn next_id(&self) -> u32 {
        self.table.read().last_id + 1
    }
}

/// Everything that a store holds: the keyspaces, and the facts that their entries share.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) keyspaces: Keyspaces,
    pub(crate) facts: FactsTable,
}

impl Contents {
    /// Nothing yet. A keyspace will have up to `shards` shards; no value is larger than `value_bytes`.
    pub(crate) fn new(shards: usize, seed: u64, value_bytes: u64) -> Self {
        Self {
            keyspaces: Keyspaces::new(shards, seed, cost::most(value_bytes)),
            facts: FactsTable::new(),
        }
    }

    /// Gives every keyspace the shards that its policy asks for, sorts the keys of every shard, in parallel, and tells each
    /// its share.
    pub(crate) fn finish_loading(&self) {
        self.keyspaces.fit_shards();
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
                            let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
                            keyspace.map.write(shard).finish_loading(&hash_of);
                        }
                    });
                }
            });
            keyspace.divide();
        }
    }
}
