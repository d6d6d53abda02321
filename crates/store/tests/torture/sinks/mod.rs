//! A sink with a database, beside clients that write, over crashes: every generation is applied once, whatever dies when.
//!
//! The database keeps what it was given, and beside it the pair of mark and number of the generation that it applied last, in
//! one transaction. Before a sink applies a generation it looks: this pair says that it was applied, another number is an
//! earlier one.

mod counted;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use standpipe_store::fs::fault::Seeded;
use standpipe_store::{
    Frozen, Keyspace, Lifetime, Lost, Passed, Pending, PendingError, Policy, Store, Version,
    WriteError,
};

use crate::harness::{self, NOW_MS, Seen, block_on, default_keyspace};
use crate::lives;
use crate::promises::{Change, Model};

const CLIENTS: u64 = 3;
const KEYS: usize = 6;

fn name(key: usize) -> String {
    format!("key-{key}")
}

/// What a sink passes things on to: rows, and what was applied last.
#[derive(Debug)]
struct Database<V> {
    rows: BTreeMap<Vec<u8>, V>,
    /// Mark and number of the generation that was applied last.
    applied: Option<(u64, u64)>,
}

impl<V> Default for Database<V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            applied: None,
        }
    }
}

impl<V> Database<V> {
    /// Whether `frozen` was applied already. No database is ahead of a store that keeps its word.
    fn has(&self, frozen: &Frozen) -> bool {
        let Some((mark, generation)) = self.applied else {
            return false;
        };
        assert!(generation <= frozen.generation, "it is ahead: {frozen:?}");
        let applied = generation == frozen.generation;
        assert!(!applied || mark == frozen.mark, "it has another one");
        applied
    }

    /// Notes that `frozen` was applied, in the same transaction as its rows.
    fn apply(&mut self, frozen: &Frozen, apply: impl FnOnce(&mut BTreeMap<Vec<u8>, V>)) {
        apply(&mut self.rows);
        self.applied = Some((frozen.mark, frozen.generation));
    }
}

/// A change with its revision, as the model is told it; and what an answer about it waited for, where one came.
type Told = (u64, Change, Option<u64>);

/// The store answers no more: its machine is off. No call fails for another reason.
#[derive(Debug)]
struct Off;

impl From<Lost> for Off {
    fn from(_: Lost) -> Self {
        Self
    }
}

impl From<WriteError> for Off {
    fn from(error: WriteError) -> Self {
        let WriteError::Lost(lost) = error else {
            panic!("the machine is on: {error}")
        };
        lost.into()
    }
}

impl From<PendingError> for Off {
    fn from(error: PendingError) -> Self {
        let PendingError::Write(error) = error else {
            panic!("this generation is frozen, and there is room: {error}")
        };
        error.into()
    }
}

/// One that does something again and again.
struct Actor {
    dice: Seeded,
    store: Store,
    told: Vec<Told>,
}

impl Actor {
    fn new(store: &Store, seed: u64) -> Self {
        Self {
            dice: Seeded::new(seed),
            store: store.clone(),
            told: Vec::new(),
        }
    }

    fn keyspace(&self) -> Arc<Keyspace> {
        default_keyspace(&self.store)
    }

    fn durable(&self, revision: u64) -> Result<(), Off> {
        Ok(block_on(self.store.wait_durable(revision))?)
    }

    /// Notes a change, and waits for it now and then.
    fn took(&mut self, revision: u64, change: Change) -> Result<(), Off> {
        let waits = self.dice.below(3) == 0;
        let waited = if waits {
            self.durable(revision)
        } else {
            Ok(())
        };
        let promised = (waits && waited.is_ok()).then_some(revision);
        self.told.push((revision, change, promised));
        waited
    }
}

/// An entry that was put now, and stays.
fn put_now(value: &[u8], content_type: &str, version: Version) -> Seen {
    Seen {
        value: value.to_vec(),
        content_type: content_type.to_owned(),
        created_at_ms: NOW_MS,
        lifetime: Lifetime::FOREVER,
        owner: None,
        version: harness::version(version),
    }
}

/// Tells the model what everybody did, in the order of revisions.
fn remember(model: &mut Model, mut told: Vec<Told>) {
    told.sort_unstable_by_key(|(revision, ..)| *revision);
    for (revision, change, promised) in told {
        model.took(revision, change);
        model.promise(promised.unwrap_or(0));
    }
}

/// A sink, which looks at the database before it passes something on.
struct Sink<V> {
    actor: Actor,
    database: Arc<Mutex<Database<V>>>,
}

impl<V> Sink<V> {
    /// The generation that is to be passed on, once that is durable.
    fn freeze(&mut self) -> Result<Option<Frozen>, Off> {
        let keyspace = self.actor.keyspace();
        let freeze = block_on(self.actor.store.freeze(&keyspace))?;
        if let (Some(own), Some(frozen)) = (freeze.own, freeze.frozen) {
            let change = Change::Freeze("default".to_owned(), frozen.mark);
            self.actor.told.push((own, change, None));
        }
        self.actor.durable(freeze.seen)?;
        Ok(freeze.frozen)
    }

    fn drop_generation(&mut self, frozen: &Frozen) -> Result<(), Off> {
        let keyspace = self.actor.keyspace();
        let store = self.actor.store.clone();
        let dropped = store.drop_generation(&keyspace, frozen.generation);
        let dropped = block_on(dropped)?;
        let Some(own) = dropped.own else {
            return Ok(());
        };
        // It may be that nobody ever hears that this was done.
        let change = Change::DropGeneration("default".to_owned());
        self.actor.took(own, change)
    }

    /// Takes a key out that the database does not like, before anything is applied without it.
    fn bury(&mut self, frozen: &Frozen) -> Result<(), Off> {
        let keyspace = self.actor.keyspace();
        let store = self.actor.store.clone();
        let key = name(self.actor.dice.below(KEYS));
        let keys = [(key.as_bytes(), "no such row")];
        let bury = store.bury(&keyspace, frozen.generation, &keys, 1_000);
        let bury = block_on(bury)?;
        let Some(own) = bury.own else {
            return Ok(());
        };
        let change = Change::Bury("default".to_owned(), vec![key.into_bytes()]);
        self.actor.told.push((own, change, None));
        self.actor.durable(own)
    }

    /// Has all that is dead tried again. Nobody else buries anything meanwhile.
    fn redrive(&mut self) -> Result<(), Off> {
        let keyspace = self.actor.keyspace();
        let store = self.actor.store.clone();
        let dead = store.dead(&keyspace, None, 100).letters.into_iter();
        let keys = dead.map(|dead| dead.key.into_vec()).collect();
        let redrive = block_on(store.redrive(&keyspace, None))?;
        let Some(own) = redrive.own else {
            return Ok(());
        };
        let change = Change::Redrive("default".to_owned(), keys);
        self.actor.took(own, change)
    }

    /// What the frozen generation holds, once all of it is durable.
    fn rows(&self, frozen: &Frozen) -> Result<Vec<(Vec<u8>, Passed)>, Off> {
        let (store, keyspace) = (&self.actor.store, self.actor.keyspace());
        let mut all = Vec::new();
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = store.frozen_page(&keyspace, frozen.generation, after.as_deref(), 2);
            let page = page.expect("nobody else drops it");
            self.actor.durable(page.seen)?;
            after = page.rows.last().map(|row| row.key.clone());
            let rows = page.rows.into_iter();
            all.extend(rows.map(|row| (row.key.into_vec(), row.passed)));
            if page.end {
                return Ok(all);
            }
        }
    }
}

/// Everybody at once until the sink is done, or the machine goes off; with snapshots all the time.
fn life(
    store: &Store,
    dice: &mut Seeded,
    sink: impl FnOnce(Actor) -> Actor,
    ask: fn(&mut Actor) -> Result<(), Off>,
) -> Vec<Told> {
    let done = Arc::new(AtomicBool::new(false));
    let folding = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        thread::spawn(
            move || while !done.load(Ordering::SeqCst) && block_on(store.compact()).is_ok() {},
        )
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut actor = Actor::new(store, dice.bits());
            thread::spawn(move || {
                lives::ask_on(|| ask(&mut actor).is_ok());
                actor.told
            })
        })
        .collect();
    let mut told = sink(Actor::new(store, dice.bits())).told;
    let clients = clients.into_iter();
    told.extend(clients.flat_map(|client| client.join().unwrap()));
    done.store(true, Ordering::SeqCst);
    folding.join().unwrap();
    told
}

/// What `default` keeps for a sink from now on, as the model is told it.
fn keep(store: &Store, model: &mut Model, pending: Pending) {
    let policy = Policy {
        pending,
        ..Policy::default()
    };
    let set = block_on(store.set_keyspace("default", &policy, 9)).unwrap();
    if let Some(own) = set.own {
        model.took(own, Change::Policy("default".to_owned(), policy));
    }
    block_on(store.wait_durable(set.seen)).unwrap();
    model.promise(set.seen);
}
