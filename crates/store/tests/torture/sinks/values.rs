//! What is passed on is what is there: once all of it was, a database that is told of deletions has what the store has.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use standpipe_store::{
    Batched, Conditions, Deletes, Done, Draft, Level, Operation, Passed, Pending, Putted, Store,
    Writer,
};

use super::{Actor, Database, KEYS, Off, Sink, keep, life, name, put_now, remember};
use crate::harness::{self, NOW_MS, block_on, default_keyspace, rounds};
use crate::lives;
use crate::promises::{Change, Model, of_default};

impl Actor {
    /// Puts, deletes, flushes, in all the ways that there are.
    fn write(&mut self) -> Result<(), Off> {
        let key = name(self.dice.below(KEYS));
        let other = name(self.dice.below(KEYS));
        let level = [Level::Written, Level::Durable][self.dice.below(2)];
        match self.dice.below(12) {
            0 | 1 => self.delete(&key, level),
            2 => self.flush(level),
            3 if key != other => self.put_and_delete((&key, &other), level),
            _ => self.put(&key, level),
        }
    }

    fn draft(&mut self, key: &str) -> (Draft, String) {
        let value = self.dice.bits().to_string();
        let draft = harness::draft(&self.store, key.as_bytes(), value.as_bytes(), "a/b", None);
        (draft, value)
    }

    fn put(&mut self, key: &str, level: Level) -> Result<(), Off> {
        let (draft, value) = self.draft(key);
        let (store, keyspace) = (self.store.clone(), self.keyspace());
        let when = Conditions::default();
        let put = store.put(&keyspace, draft, &when, level);
        let Putted::Stored { version, .. } = block_on(put)?.outcome else {
            panic!("nothing was asked for")
        };
        let seen = put_now(value.as_bytes(), "a/b", version);
        self.took(version.revision, Change::Put(of_default(key), seen))
    }

    fn delete(&mut self, key: &str, level: Level) -> Result<(), Off> {
        let (store, keyspace) = (self.store.clone(), self.keyspace());
        let when = Conditions::default();
        let delete = store.delete(&keyspace, key.as_bytes(), &when, Writer::Client, level);
        let delete = block_on(delete)?;
        let Some(own) = delete.own else {
            return Ok(());
        };
        self.took(own, Change::Delete(of_default(key)))
    }

    fn flush(&mut self, level: Level) -> Result<(), Off> {
        let (store, keyspace) = (self.store.clone(), self.keyspace());
        let flush = block_on(store.flush(&keyspace, level))?;
        let change = Change::Flush("default".to_owned(), NOW_MS);
        self.took(flush.own.unwrap(), change)
    }

    /// Both in one step.
    fn put_and_delete(&mut self, keys: (&str, &str), level: Level) -> Result<(), Off> {
        let (draft, value) = self.draft(keys.0);
        let (store, keyspace) = (self.store.clone(), self.keyspace());
        let when = Conditions::default();
        let put = Operation::Put { draft, when };
        let key = keys.1.as_bytes();
        let delete = Operation::Delete { key, when };
        let batch = store.batch(&keyspace, vec![put, delete], level);
        let batch = block_on(batch)?;
        let Batched::Done(done) = &batch.outcome else {
            panic!("nothing was asked for")
        };
        let change = |done: &Done| match done {
            Done::Put { version, .. } => {
                let seen = put_now(value.as_bytes(), "a/b", *version);
                Some(Change::Put(of_default(keys.0), seen))
            }
            Done::Deleted { existed } => existed.then(|| Change::Delete(of_default(keys.1))),
            Done::Incremented { .. } | Done::Got(_) => panic!("nobody asked for {done:?}"),
        };
        let changes = done.iter().filter_map(change).collect();
        self.took(batch.own.unwrap(), Change::Batch(changes))
    }
}

impl Sink<Vec<u8>> {
    /// Passes on what is pending, once; `false` where nothing is.
    fn pass_on(&mut self) -> Result<bool, Off> {
        let Some(frozen) = self.freeze()? else {
            return Ok(false);
        };
        let applied = self.database.lock().has(&frozen);
        if !applied {
            let passed = self.rows(&frozen)?;
            self.database.lock().apply(&frozen, |rows| {
                for (key, passed) in passed {
                    match passed {
                        Passed::Value(entry) => drop(rows.insert(key, entry.value().to_vec())),
                        Passed::Gone => drop(rows.remove(&key)),
                        Passed::Sum(_) | Passed::Nothing => panic!("{passed:?}"),
                    }
                }
            });
        }
        self.drop_generation(&frozen)?;
        Ok(true)
    }
}

/// Passes on all that there is: then the database has what the store has, nothing more and nothing less.
fn settle(store: &Store, database: &Arc<Mutex<Database<Vec<u8>>>>, model: &mut Model) {
    let mut sink = Sink {
        actor: Actor::new(store, store.last_revision()),
        database: Arc::clone(database),
    };
    while sink.pass_on().unwrap() {}
    remember(model, sink.actor.told);
    let entries = store.scan(&default_keyspace(store), b"", None, 100).entries;
    let entries = entries.iter();
    let there = entries.map(|entry| (entry.key().to_vec(), entry.value().to_vec()));
    let there: BTreeMap<_, _> = there.collect();
    assert_eq!(database.lock().rows, there);
    block_on(store.wait_durable(store.last_revision())).unwrap();
    model.promise(model.newest());
}

#[test]
fn a_database_of_values_becomes_what_the_store_is_over_crashes() {
    let mut passed = 0;
    for seed in 1..=rounds("STANDPIPE_HISTORIES", 20) {
        let database = Arc::new(Mutex::new(Database::default()));
        lives::over_crashes(seed, |(store, sim), dice, model| {
            let latest = Pending::Latest {
                deletes: Deletes::Propagate,
                most: 1_000,
            };
            keep(store, model, latest);
            settle(store, &database, model);
            lives::maybe_stop(sim, dice);
            let sink = |actor| {
                let database = Arc::clone(&database);
                let mut sink = Sink { actor, database };
                for _ in 0..40 {
                    if sink.pass_on().is_err() {
                        break;
                    }
                }
                sink.actor
            };
            remember(model, life(store, dice, sink, Actor::write));
            passed += database.lock().applied.map_or(0, |(_, number)| number);
        });
    }
    assert!(passed > 20, "hardly anything was passed on: {passed}");
}
