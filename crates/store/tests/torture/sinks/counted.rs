//! Increments are in the database exactly once: what a counter says is at every moment what the database has of it, and what is
//! pending, and what is dead. So it is of every crash too.

use std::sync::Arc;

use parking_lot::Mutex;
use standpipe_store::fs::fault::{Seeded, SimDir};
use standpipe_store::{
    Batched, Counted, Done, Increment, Level, Meta, Operation, Passed, Pending, Store, Total,
    Version,
};

use super::{Actor, Database, KEYS, Off, Sink, keep, life, name, put_now, remember};
use crate::harness::{self, block_on, default_keyspace, open, rounds};
use crate::lives;
use crate::owed;
use crate::promises::{Change, of_default};

impl Actor {
    /// Counts one key, or two at once.
    fn count(&mut self) -> Result<(), Off> {
        let by = i64::try_from(self.dice.below(9)).unwrap() - 3;
        let key = self.dice.below(KEYS);
        let mut keys = vec![name(key)];
        if self.dice.below(3) == 0 {
            let other = (key + 1 + self.dice.below(KEYS - 1)) % KEYS;
            keys.push(name(other));
        }
        let counted = self.increments(&keys, by)?;
        let changes = keys.iter().zip(&counted).map(|(key, (value, version))| {
            let seen = put_now(value.to_string().as_bytes(), Meta::TEXT, *version);
            Change::Count(of_default(key), seen, by)
        });
        let change = Change::Batch(changes.collect());
        self.took(counted[0].1.revision, change)
    }

    /// Counts all of them in one step.
    fn increments(&mut self, keys: &[String], by: i64) -> Result<Vec<(i64, Version)>, Off> {
        let (store, keyspace) = (self.store.clone(), self.keyspace());
        let level = [Level::Written, Level::Durable][self.dice.below(2)];
        let increment = Increment {
            by,
            ..Increment::default()
        };
        if let [key] = keys {
            let one = store.increment(&keyspace, key.as_bytes(), &increment, level);
            let Counted::Added { value, version, .. } = block_on(one)?.outcome else {
                panic!("nothing bounds it")
            };
            return Ok(vec![(value, version)]);
        }
        let operations = keys.iter().map(|key| Operation::Increment {
            key: key.as_bytes(),
            increment,
        });
        let batch = store.batch(&keyspace, operations.collect(), level);
        let Batched::Done(done) = block_on(batch)?.outcome else {
            panic!("nothing bounds it")
        };
        let added = |done: Done| {
            let Done::Incremented { value, version, .. } = done else {
                panic!("it was an increment: {done:?}")
            };
            (value, version)
        };
        Ok(done.into_iter().map(added).collect())
    }
}

fn sum(passed: &Passed) -> i128 {
    let Passed::Sum(sum) = passed else {
        panic!("only sums: {passed:?}")
    };
    i128::from(*sum)
}

impl Sink<i128> {
    /// Passes on what is pending, once: frozen, applied, dropped.
    fn pass_on(&mut self) -> Result<(), Off> {
        if self.actor.dice.below(4) == 0 {
            self.redrive()?;
        }
        let Some(frozen) = self.freeze()? else {
            return Ok(());
        };
        let applied = self.database.lock().has(&frozen);
        if !applied {
            if self.actor.dice.below(3) == 0 {
                self.bury(&frozen)?;
            }
            let passed = self.rows(&frozen)?;
            self.database.lock().apply(&frozen, |rows| {
                for (key, passed) in &passed {
                    *rows.entry(key.clone()).or_default() += sum(passed);
                }
            });
        }
        self.drop_generation(&frozen)
    }

    /// Looks at what a crash in this moment would leave, while nothing is applied.
    fn look(&self, sim: &SimDir) {
        if sim.is_off() {
            return;
        }
        let database = self.database.lock();
        let image = sim.crash_image(&mut Seeded::new(self.actor.store.last_revision()));
        let store = open(&image, &harness::small(), &harness::clock()).unwrap();
        add_up(&store, &database);
    }
}

/// What each counter says is in the database, pending or dead.
fn add_up(store: &Store, database: &Database<i128>) {
    let keyspace = default_keyspace(store);
    let applied = database.applied.map_or(0, |(_, generation)| generation);
    assert!(applied < store.pending_counts(&keyspace).generation);
    let mut sums = database.rows.clone();
    let mut add = |key: &[u8], sum: i128| *sums.entry(key.to_vec()).or_default() += sum;
    let of = |total| match total {
        Total::Sum(sum) => sum,
        Total::Mark => panic!("only sums"),
    };
    for row in store.pending_page(&keyspace, b"", None, 100).rows {
        add(&row.key, of(row.total));
    }
    for dead in store.dead(&keyspace, None, 100).letters {
        add(&dead.key, of(dead.total));
    }
    // What was applied but not dropped yet is in both.
    let frozen = store.frozen(&keyspace).frozen;
    if let Some(frozen) = frozen.filter(|frozen| database.has(frozen)) {
        for (key, passed) in owed::passed(store, &keyspace, frozen.generation) {
            add(&key, -sum(&passed));
        }
    }
    for key in (0..KEYS).map(name) {
        let entry = store.get(&keyspace, key.as_bytes()).entry;
        let counter = entry.map_or(0, |entry| store.number(&entry).unwrap());
        let sum = sums.remove(key.as_bytes()).unwrap_or(0);
        assert_eq!(sum, i128::from(counter), "{key} of {database:?}");
    }
    assert!(sums.is_empty(), "{sums:?}");
}

#[test]
fn what_was_counted_is_in_the_database_once_or_pending_or_dead() {
    let mut passed = 0;
    for seed in 1..=rounds("STANDPIPE_HISTORIES", 20) {
        let database = Arc::new(Mutex::new(Database::default()));
        lives::over_crashes(seed, |(store, sim), dice, model| {
            add_up(store, &database.lock());
            keep(store, model, Pending::Sums { most: 1_000 });
            lives::maybe_stop(sim, dice);
            let sink = |actor| {
                let database = Arc::clone(&database);
                let mut sink = Sink { actor, database };
                for _ in 0..40 {
                    if sink.pass_on().is_err() {
                        break;
                    }
                    if sink.actor.dice.below(4) == 0 {
                        sink.look(sim);
                    }
                }
                sink.actor
            };
            remember(model, life(store, dice, sink, Actor::count));
            passed += database.lock().applied.map_or(0, |(_, number)| number);
        });
    }
    assert!(passed > 20, "hardly anything was passed on: {passed}");
}
