//! What is pending, while a snapshot is written: between any two writes of it something happens to it, and a start that begins with
//! that snapshot shows all the same what was there in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use standpipe_store::fs::fault::{AllLost, Call, Seeded, SimDir};
use standpipe_store::{
    Clock, Conditions, Deletes, Increment, Keyspace, Level, Operation, Options, Pending, Policy,
    Store, Writer,
};

use crate::harness::{self, block_on, default_keyspace, open, rounds, until};
use crate::promises::contents;

/// So many rows, of keys so long, that one shard's do not fit into one hold of its lock, nor into one block.
const KEYS: usize = 1_600;
const SHARDS: usize = 2;

fn key(number: usize) -> Vec<u8> {
    format!("{}/{number:04}/{}", number % 10, "x".repeat(250)).into_bytes()
}

/// A store of which everything is pending, and what happens to it.
struct Folded {
    sim: SimDir,
    clock: Arc<Clock>,
    options: Options,
    store: Store,
    keyspace: Arc<Keyspace>,
    pending: Pending,
    dice: Seeded,
}

impl Folded {
    fn new(pending: Pending, seed: u64) -> Self {
        let (sim, clock) = (SimDir::new(), harness::clock());
        let options = Options {
            segment_bytes: 1 << 20,
            max_record_bytes: 512 << 10,
            shards: SHARDS,
            compaction_min_bytes: 1 << 30,
            ..harness::small()
        };
        let store = open(&sim, &options, &clock).unwrap();
        let policy = Policy {
            pending,
            ..Policy::default()
        };
        block_on(store.set_keyspace("default", &policy, 9)).unwrap();
        let keyspace = default_keyspace(&store);
        let mut folded = Self {
            sim,
            clock,
            options,
            store,
            keyspace,
            pending,
            dice: Seeded::new(seed),
        };
        folded.write_all();
        folded
    }

    fn write_all(&mut self) {
        for number in 0..KEYS {
            self.write(&key(number));
        }
    }

    fn number(&mut self) -> Vec<u8> {
        key(self.dice.below(KEYS))
    }

    /// Makes a key pending: it is counted, or it is put.
    fn write(&mut self, key: &[u8]) {
        let level = Level::Written;
        if let Pending::Sums { .. } = self.pending {
            let increment = Increment {
                by: i64::try_from(self.dice.below(9)).unwrap() - 4,
                ..Increment::default()
            };
            let counted = self.store.increment(&self.keyspace, key, &increment, level);
            block_on(counted).unwrap();
        } else {
            let lives_ms = [None, Some(self.dice.bits() % 1_000)][self.dice.below(2)];
            let until_ms = lives_ms.map(|ms| self.clock.now_ms() + 1 + ms);
            let draft = harness::draft(&self.store, key, b"value", "a/b", until_ms);
            let when = Conditions::default();
            let put = self.store.put(&self.keyspace, draft, &when, level);
            block_on(put).unwrap();
        }
    }

    fn batch(&mut self) {
        let keys = [self.number(), self.number(), self.number()];
        let increment = Increment {
            by: 1,
            ..Increment::default()
        };
        let when = Conditions::default();
        let mut operations = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].contains(key) {
                continue;
            }
            operations.push(match self.pending {
                Pending::Sums { .. } => Operation::Increment { key, increment },
                Pending::None | Pending::Latest { .. } => Operation::Delete { key, when },
            });
        }
        let batch = self.store.batch(&self.keyspace, operations, Level::Written);
        block_on(batch).unwrap();
    }

    fn freeze(&self) {
        block_on(self.store.freeze(&self.keyspace)).unwrap();
    }

    fn bury(&mut self) {
        let Some(frozen) = self.store.frozen(&self.keyspace).frozen else {
            return;
        };
        let keys: Vec<_> = (0..20).map(|_| self.number()).collect();
        let named: Vec<_> = keys.iter().map(|key| (&**key, "no such row")).collect();
        let bury = self
            .store
            .bury(&self.keyspace, frozen.generation, &named, 10_000);
        block_on(bury).unwrap();
    }

    fn drop_generation(&self) {
        if let Some(frozen) = self.store.frozen(&self.keyspace).frozen {
            let dropped = self
                .store
                .drop_generation(&self.keyspace, frozen.generation);
            block_on(dropped).unwrap();
        }
    }

    /// Something happens.
    fn act(&mut self) {
        let (store, keyspace) = (self.store.clone(), Arc::clone(&self.keyspace));
        let (level, when) = (Level::Written, Conditions::default());
        let key = self.number();
        match self.dice.below(20) {
            0 => drop(block_on(store.flush(&keyspace, level)).unwrap()),
            1 | 2 => {
                let prefix = [key[0], b'/'];
                block_on(store.delete_prefix(&keyspace, &prefix, level)).unwrap();
            }
            3 | 4 => {
                let by = Writer::Client;
                block_on(store.delete(&keyspace, &key, &when, by, level)).unwrap();
            }
            5 => self.batch(),
            6 | 7 => self.freeze(),
            8 => self.drop_generation(),
            9 | 10 => self.bury(),
            11 => drop(block_on(store.redrive(&keyspace, None)).unwrap()),
            12 => self.clock.advance(self.dice.bits() % 300),
            _ => self.write(&key),
        }
    }

    /// Writes a snapshot, with `between` before each of its writes; then the machine goes off, and begins with that snapshot.
    /// Returns how many writes there were.
    fn fold(mut self, mut between: impl FnMut(&mut Self, usize)) -> usize {
        self.sim.hold(Call::Write, "snapshot-");
        let done = Arc::new(AtomicBool::new(false));
        let folding = {
            let (store, done) = (self.store.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let compacted = block_on(store.compact());
                done.store(true, Ordering::SeqCst);
                compacted
            })
        };
        let mut writes = 0;
        loop {
            until(|| self.sim.held() > 0 || done.load(Ordering::SeqCst));
            if self.sim.held() == 0 {
                break;
            }
            between(&mut self, writes);
            writes += 1;
            self.sim.let_one();
        }
        folding.join().unwrap().unwrap();
        block_on(self.store.wait_durable(self.store.last_revision())).unwrap();
        let before = contents(&self.store);
        let image = self.sim.crash(&mut AllLost);
        let after = open(&image, &self.options, &self.clock).unwrap();
        let counts = |store: &Store| store.pending_counts(&default_keyspace(store));
        let (was, is) = (counts(&self.store), counts(&after));
        assert!(contents(&after) == before, "it was {was:?}, it is {is:?}");
        writes
    }
}

/// Everything that a keyspace may keep for a sink.
fn kept() -> [Pending; 3] {
    let most = 10_000;
    let latest = |deletes| Pending::Latest { deletes, most };
    [
        Pending::Sums { most },
        latest(Deletes::Propagate),
        latest(Deletes::Ignore),
    ]
}

#[test]
fn what_is_pending_is_whole_whatever_happens_while_a_snapshot_is_written() {
    for seed in 1..=rounds("STANDPIPE_FOLDS", 3) {
        for pending in kept() {
            Folded::new(pending, seed).fold(|folded, _| {
                for _ in 0..folded.dice.below(3) {
                    folded.act();
                }
            });
        }
    }
}

/// A flush names no keys: what it marks has to be found again, whenever it comes.
#[test]
fn a_flush_while_a_snapshot_is_written_is_passed_on_whole() {
    let [_, propagate, _] = kept();
    let mut most = 0;
    for at in 0..20 {
        let folded = Folded::new(propagate, 1);
        // Nothing is marked but by the flush.
        folded.freeze();
        folded.drop_generation();
        let writes = folded.fold(|folded, writes| {
            if writes == at {
                block_on(folded.store.flush(&folded.keyspace, Level::Written)).unwrap();
            }
        });
        most = most.max(writes);
    }
    assert!((10..20).contains(&most), "{most} writes of a snapshot");
}

/// Replay drops a generation again that is gone already: it must not take the next one for it.
#[test]
fn a_generation_frozen_while_a_snapshot_is_written_survives_the_drop_of_the_one_before() {
    for pending in kept() {
        let mut folded = Folded::new(pending, 1);
        folded.freeze();
        folded.write_all();
        folded.fold(|folded, writes| {
            if writes == 0 {
                folded.drop_generation();
                folded.freeze();
            }
        });
    }
}
