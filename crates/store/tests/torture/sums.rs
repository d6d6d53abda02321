//! Counters and atomic transfers between them by several clients at once, over crashes: in the order of revisions each
//! number follows from the one before it, and no transfer is ever seen by half.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use standpipe_store::fs::fault::{Seeded, SimDir};
use standpipe_store::{
    Batched, Conditions, Counted, Done, Increment, Level, Lifetime, Meta, Operation, Store, Version,
};

use crate::harness::{self, NOW_MS, Seen, block_on, default_keyspace, open, rounds};
use crate::lives;
use crate::promises::{Change, Model, of_default};

const CLIENTS: u64 = 4;
const KEYS: usize = 4;

/// One change of some counters, as the client was told: key, number before, number after.
#[derive(Debug, Clone)]
struct Sum {
    began: u64,
    /// `None` where no answer came: the machine went off.
    ended: Option<u64>,
    version: Version,
    numbers: Vec<(String, i64, i64)>,
    seen: u64,
}

struct Client {
    dice: Seeded,
    store: Store,
    ticks: Arc<AtomicU64>,
    sums: Vec<Sum>,
}

fn name(key: usize) -> String {
    format!("sum-{key}")
}

impl Client {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Adds to one counter, or moves an amount from one to another; false where the store answers no more.
    fn ask(&mut self) -> bool {
        let began = self.tick();
        let changed = if self.dice.below(2) == 0 {
            self.add()
        } else {
            self.transfer()
        };
        let Some((numbers, version, seen)) = changed else {
            return false;
        };
        let answered = block_on(self.store.wait_durable(seen)).is_ok();
        let ended = answered.then(|| self.tick());
        if let Some(version) = version {
            self.sums.push(Sum {
                began,
                ended,
                version,
                numbers,
                seen,
            });
        }
        answered
    }

    fn add(&mut self) -> Option<Changed> {
        let (key, by) = (name(self.dice.below(KEYS)), self.amount());
        let increment = Increment {
            by,
            ..Increment::default()
        };
        let keyspace = default_keyspace(&self.store);
        let done = self
            .store
            .increment(&keyspace, key.as_bytes(), &increment, Level::Durable);
        let done = block_on(done).ok()?;
        let Counted::Added {
            value,
            previous,
            version,
            ..
        } = done.outcome
        else {
            panic!("nothing bounds it: {done:?}")
        };
        assert_eq!(done.own, Some(version.revision));
        let seen = done.seen.max(version.revision);
        Some((vec![(key, previous, value)], Some(version), seen))
    }

    fn amount(&mut self) -> i64 {
        i64::try_from(self.dice.below(20)).unwrap() + 1
    }

    /// Refused where there is too little to move.
    fn transfer(&mut self) -> Option<Changed> {
        let from = self.dice.below(KEYS);
        let to = (from + 1 + self.dice.below(KEYS - 1)) % KEYS;
        let (from, to, amount) = (name(from), name(to), self.amount());
        let take = Increment {
            by: -amount,
            min: Some(0),
            ..Increment::default()
        };
        let give = Increment {
            by: amount,
            ..Increment::default()
        };
        let operations = vec![
            Operation::Increment {
                key: from.as_bytes(),
                increment: take,
            },
            Operation::Increment {
                key: to.as_bytes(),
                increment: give,
            },
        ];
        let keyspace = default_keyspace(&self.store);
        let batch = block_on(self.store.batch(&keyspace, operations, Level::Durable)).ok()?;
        let seen = batch.seen.max(batch.own.unwrap_or(0));
        let done = match batch.outcome {
            Batched::Done(done) => done,
            Batched::Failed { index, .. } => {
                assert_eq!((index, batch.own), (0, None));
                return Some((Vec::new(), None, seen));
            }
        };
        let numbers = done.iter().zip([from, to]).map(|(done, key)| match done {
            Done::Incremented {
                value, previous, ..
            } => (key, *previous, *value),
            Done::Put { .. } | Done::Got(_) | Done::Deleted { .. } => panic!("{done:?}"),
        });
        let numbers = numbers.collect();
        let revision = batch.own.unwrap();
        let version = done.iter().find_map(|done| match done {
            Done::Incremented { version, .. } => Some(*version),
            Done::Put { .. } | Done::Got(_) | Done::Deleted { .. } => None,
        });
        assert_eq!(version.map(|version| version.revision), Some(revision));
        Some((numbers, version, seen))
    }
}

/// The numbers of a change, its version where it made one, and what its answer waits for.
type Changed = (Vec<(String, i64, i64)>, Option<Version>, u64);

/// In the order of revisions each number follows from the one before it, and that order does not contradict time.
fn follow(sums: &mut [Sum], start: &BTreeMap<String, i64>) {
    sums.sort_unstable_by_key(|sum| sum.version.revision);
    let mut now = start.clone();
    for sum in &*sums {
        for (key, previous, value) in &sum.numbers {
            let before = now.insert(key.clone(), *value).unwrap_or(0);
            assert_eq!(*previous, before, "{key} at {:?}", sum.version);
        }
    }
    let mut earliest_end = u64::MAX;
    for sum in sums.iter().rev() {
        assert!(
            sum.began < earliest_end,
            "{sum:?} began after a later one ended"
        );
        earliest_end = earliest_end.min(sum.ended.unwrap_or(u64::MAX));
    }
}

/// Puts a history into the model, in the order of revisions.
fn remember(model: &mut Model, sums: &[Sum]) {
    for sum in sums {
        let put = |(key, _, value): &(String, i64, i64)| {
            let seen = Seen {
                value: value.to_string().into_bytes(),
                content_type: Meta::TEXT.to_owned(),
                created_at_ms: NOW_MS,
                lifetime: Lifetime::FOREVER,
                owner: None,
                version: harness::version(sum.version),
            };
            Change::Put(of_default(key), seen)
        };
        let puts = sum.numbers.iter().map(put).collect();
        model.took(sum.version.revision, Change::Batch(puts));
        if sum.ended.is_some() {
            model.promise(sum.seen);
        }
    }
}

fn life(store: &Store, dice: &mut Seeded) -> Vec<Sum> {
    lives::live(dice, CLIENTS, |dice, ticks| {
        let mut client = Client {
            dice,
            store: store.clone(),
            ticks,
            sums: Vec::new(),
        };
        move || {
            lives::ask_on(|| client.ask());
            client.sums
        }
    })
}

fn numbers(store: &Store) -> BTreeMap<String, i64> {
    let keyspace = default_keyspace(store);
    let number = |key: usize| {
        let entry = store.get(&keyspace, name(key).as_bytes()).entry?;
        Some((name(key), store.number(&entry).unwrap()))
    };
    (0..KEYS).filter_map(number).collect()
}

#[test]
fn counters_and_transfers_add_up_over_crashes() {
    for seed in 1..=rounds("STANDPIPE_HISTORIES", 20) {
        lives::over_crashes(seed, |(store, sim), dice, model| {
            let start = numbers(store);
            lives::maybe_stop(sim, dice);
            let mut sums = life(store, dice);
            follow(&mut sums, &start);
            remember(model, &sums);
        });
    }
}

/// A reader of a batch of reads sees every transfer whole: the sum never changes.
#[test]
fn a_batch_of_reads_never_sees_half_a_transfer() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    for key in 0..KEYS {
        let draft = harness::draft(&store, name(key).as_bytes(), b"100", Meta::TEXT, None);
        let when = Conditions::default();
        block_on(store.put(&keyspace, draft, &when, Level::Written)).unwrap();
    }
    let mut client = Client {
        dice: Seeded::new(1),
        store: store.clone(),
        ticks: Arc::new(AtomicU64::new(1)),
        sums: Vec::new(),
    };
    let writer = thread::spawn(move || {
        for _ in 0..2_000 {
            client.transfer().unwrap();
        }
    });
    let mut looks = 0;
    while !writer.is_finished() || looks == 0 {
        let keys: Vec<String> = (0..KEYS).map(name).collect();
        let reads = keys.iter().map(|key| Operation::Get {
            key: key.as_bytes(),
        });
        let batch = block_on(store.batch(&keyspace, reads.collect(), Level::Written)).unwrap();
        let Batched::Done(done) = batch.outcome else {
            panic!("a read cannot fail")
        };
        let number = |done: &Done| match done {
            Done::Got(Some(entry)) => store.number(entry).unwrap(),
            Done::Got(None)
            | Done::Put { .. }
            | Done::Deleted { .. }
            | Done::Incremented { .. } => {
                panic!("{done:?}")
            }
        };
        assert_eq!(done.iter().map(number).sum::<i64>(), 400);
        looks += 1;
    }
    writer.join().unwrap();
}
