//! Keyspaces with a bound, over crashes: what a crash leaves is what was there after some change, with everything that had
//! left for room by then gone, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use standpipe_store::fs::fault::{Seeded, SimDir};
use standpipe_store::{
    Clock, Conditions, Durability, Eviction, Increment, Keyspace, Level, Lifetime, Meta, Operation,
    Options, Policy, Store, WriteError, Writer,
};

use crate::harness::{self, block_on, draft, open, rounds};

/// Key, revision, and when it leaves.
type State = BTreeMap<Vec<u8>, (u64, Option<u64>)>;

/// A machine with one bounded keyspace, and what was there after each change.
struct Cache {
    seed: u64,
    dice: Seeded,
    sim: SimDir,
    clock: Arc<Clock>,
    options: Options,
    max_bytes: u64,
    store: Store,
    /// Newest revision with what was there then, oldest first.
    history: Vec<(u64, State)>,
    /// No crash takes back what came up to here.
    promised: u64,
    evicted: u64,
}

impl Cache {
    fn new(seed: u64) -> Self {
        let mut dice = Seeded::new(seed);
        let (sim, clock) = (SimDir::new(), harness::clock());
        let mut options = harness::small();
        options.max_record_bytes = 4 << 10;
        let store = open(&sim, &options, &clock).unwrap();
        let max_bytes = (4 << 10) + dice.bits() % (20 << 10);
        let policy = Policy {
            max_bytes: Some(max_bytes),
            eviction: [Eviction::Sieve, Eviction::Sieve, Eviction::None][dice.below(3)],
            ..Policy::of([Durability::Written, Durability::Synced][dice.below(2)])
        };
        let set = block_on(store.set_keyspace("cache", &policy, 9)).unwrap();
        let promised = set.own.unwrap();
        block_on(store.wait_durable(promised)).unwrap();
        Self {
            seed,
            dice,
            sim,
            clock,
            options,
            max_bytes,
            store,
            history: vec![(promised, State::new())],
            promised,
            evicted: 0,
        }
    }

    fn keyspace(&self) -> Arc<Keyspace> {
        self.store.keyspace("cache").unwrap()
    }

    fn state(&self) -> State {
        let scan = self.store.scan(&self.keyspace(), b"", None, 10_000);
        let of = |entry: &standpipe_store::Entry| {
            let facts = (entry.revision(), entry.expires_at_ms());
            (entry.key().to_vec(), facts)
        };
        scan.entries.iter().map(of).collect()
    }

    fn key(&mut self) -> Vec<u8> {
        // Some are so long that few of them fill what may leave with one change.
        let len = if self.dice.below(8) == 0 { 900 } else { 4 };
        format!("{:0>len$}", self.dice.below(40)).into_bytes()
    }

    /// Makes a change; its revision, where it was made.
    fn change(&mut self) -> Result<Option<u64>, WriteError> {
        let (cache, key) = (self.keyspace(), self.key());
        let most = [60, 600, 3_000][self.dice.below(3)];
        let len = self.dice.below(most);
        let soon = self.clock.now_ms() + self.dice.bits() % 4_000 + 1;
        let expires = (self.dice.below(4) == 0).then_some(soon);
        let (always, level) = (Conditions::default(), Level::Written);
        let value = vec![7; len];
        match self.dice.below(12) {
            0 => block_on(
                self.store
                    .delete(&cache, &key, &always, Writer::Client, level),
            )
            .map(|done| done.own),
            1 => {
                let one = Increment::default();
                let key = [b"n", &*key].concat();
                block_on(self.store.increment(&cache, &key, &one, level)).map(|done| done.own)
            }
            2 => {
                let touch = self.store.touch(
                    &cache,
                    &key,
                    Lifetime::until(expires),
                    &always,
                    Writer::Client,
                    level,
                );
                block_on(touch).map(|done| done.own)
            }
            3 => {
                let other = self.key();
                let put = |key: &[u8]| Operation::Put {
                    draft: draft(&self.store, key, &value[..len / 4], Meta::TEXT, expires),
                    when: always,
                };
                let deleted = [b"n", &*key].concat();
                let delete = Operation::Delete {
                    key: &deleted,
                    when: always,
                };
                let batch = vec![put(&key), put(&other), delete];
                block_on(self.store.batch(&cache, batch, level)).map(|done| done.own)
            }
            4 => {
                let seen = self.store.get(&cache, &key).seen;
                self.wait(seen);
                Ok(None)
            }
            _ => {
                let draft = draft(&self.store, &key, &value, Meta::TEXT, expires);
                block_on(self.store.put(&cache, draft, &always, level)).map(|done| done.own)
            }
        }
    }

    fn act(&mut self) {
        match self.dice.below(20) {
            0 => drop(block_on(self.store.compact())),
            1 => self.clock.advance(self.dice.bits() % 2_000),
            2 => self.wait(self.history.last().unwrap().0),
            _ => {}
        }
        match self.change() {
            Ok(own) => {
                let bytes = self.store.keyspace_stats(&self.keyspace()).bytes;
                assert!(bytes <= self.max_bytes, "{bytes} of {}", self.max_bytes);
                if let Some(own) = own {
                    self.history.push((own, self.state()));
                }
            }
            // What left in vain by time is nobody's any more.
            Err(WriteError::KeyspaceFull { .. } | WriteError::EntryTooLarge { .. }) => {}
            Err(_) if self.sim.is_off() => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn wait(&mut self, revision: u64) {
        if block_on(self.store.wait_durable(revision)).is_ok() {
            self.promised = self.promised.max(revision);
        }
    }

    /// Ends the machine in any state that it may be in, and holds what it shows to the history.
    fn crash(&mut self) {
        self.evicted += self.store.stats().evicted;
        let seed = self.dice.bits();
        self.sim = match self.dice.below(3) {
            0 => self.sim.kill(),
            _ => self.sim.crash(&mut Seeded::new(seed)),
        };
        self.store = open(&self.sim, &self.options, &self.clock).unwrap();
        let now_ms = self.clock.now_ms();
        let live = |state: &State| -> State {
            let stays = |expires: Option<u64>| expires.is_none_or(|at| at > now_ms);
            let all = state.clone().into_iter();
            all.filter(|(_, (_, expires))| stays(*expires)).collect()
        };
        let found = self.state();
        let next = |at: usize| self.history.get(at + 1).map(|(_, state)| live(state));
        let kept = (0..self.history.len()).rev().find(|at| {
            let here = live(&self.history[*at].1);
            // Between two changes some may have left already for the second.
            let leaving = || {
                next(*at).is_some_and(|next| {
                    let both = here.iter().filter(|(key, _)| next.contains_key(*key));
                    found
                        .iter()
                        .all(|(key, facts)| here.get(key) == Some(facts))
                        && both.clone().all(|(key, _)| found.contains_key(key))
                })
            };
            here == found || leaving()
        });
        let revisions: Vec<u64> = found.values().map(|(revision, _)| *revision).collect();
        let kept = kept
            .unwrap_or_else(|| panic!("seed {}: this was never there: {revisions:?}", self.seed));
        // A state that is reached again later counts as the later one: what is promised is at most that.
        let (revision, _) = self.history[kept];
        let owed = self.history.iter().filter(|(of, _)| *of <= self.promised);
        assert!(
            revision >= owed.map(|(of, _)| *of).max().unwrap_or(0),
            "{revision} was kept, {} promised",
            self.promised
        );
        self.history.truncate(kept + 1);
        self.history
            .push((self.store.stats().log.last_revision, found));
        self.promised = self.history.last().unwrap().0;
        let bytes = self.store.keyspace_stats(&self.keyspace()).bytes;
        assert!(bytes <= self.max_bytes, "{bytes} of {}", self.max_bytes);
    }
}

#[test]
fn what_left_for_room_is_an_exact_prefix_after_every_crash() {
    let mut evicted = 0;
    for seed in 0..rounds("STANDPIPE_BOUNDED_RUNS", 40) {
        let mut cache = Cache::new(seed);
        for _ in 0..4 {
            for _ in 0..cache.dice.below(60) {
                cache.act();
            }
            cache.crash();
        }
        evicted += cache.evicted;
    }
    assert!(evicted > 100, "{evicted}");
}
