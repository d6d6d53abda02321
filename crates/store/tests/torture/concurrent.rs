//! Several clients at once: what they saw must fit one order, the order of the revisions, and survive crashes as such.
//!
//! The revisions are the witness, so that checking a history is linear: no search for an order is needed.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use standpipe_store::fs::fault::Seeded;
use standpipe_store::{
    Conditions, Deleted, Level, Lifetime, Putted, Store, Version, Versions, Writer,
};

use crate::harness::{self, NOW_MS, Seen, block_on, default_keyspace, rounds};
use crate::lives;
use crate::promises::{Change, Key, Model};

const CLIENTS: u64 = 4;

/// The condition of a put.
#[derive(Debug, Clone, Copy)]
enum Demanded {
    Nothing,
    /// That the key has this version, or is absent.
    Version(Option<Version>),
}

/// What a client asked for and was told.
#[derive(Debug, Clone)]
enum Did {
    /// Wrote, having demanded something of what was there before.
    Put {
        key: u8,
        value: Vec<u8>,
        version: Version,
        demanded: Demanded,
    },
    Delete {
        key: u8,
        revision: u64,
    },
    Flush {
        revision: u64,
    },
    /// Saw this version, or nothing, as the answer to a read or a refusal.
    Saw {
        key: u8,
        version: Option<Version>,
    },
}

/// One call, between two ticks of a counter that all clients share.
#[derive(Debug, Clone)]
struct Call {
    began: u64,
    /// `None` where no answer came: the machine went off.
    ended: Option<u64>,
    /// The newest revision that the answer had to wait for.
    seen: u64,
    did: Did,
}

struct Client {
    dice: Seeded,
    store: Store,
    ticks: Arc<AtomicU64>,
    calls: Vec<Call>,
}

fn name(key: u8) -> Vec<u8> {
    format!("key-{key}").into_bytes()
}

fn in_default(key: u8) -> Key {
    ("default".to_owned(), name(key))
}

impl Client {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Asks for something; false where the store answers no more.
    fn ask(&mut self) -> bool {
        let began = self.tick();
        let asked = match self.dice.below(20) {
            0..7 => self.put(None),
            7..11 => self.put_if_unchanged(),
            11..14 => self.delete(),
            14 if self.dice.below(4) == 0 => self.flush(),
            _ => Some(self.read()),
        };
        let Some((did, seen)) = asked else {
            return false;
        };
        let answered = block_on(self.store.wait_durable(seen)).is_ok();
        let ended = answered.then(|| self.tick());
        self.calls.push(Call {
            began,
            ended,
            seen,
            did,
        });
        answered
    }

    fn key(&mut self) -> u8 {
        self.dice.below(3).try_into().unwrap()
    }

    fn read(&mut self) -> (Did, u64) {
        let key = self.key();
        let read = self.store.get(&default_keyspace(&self.store), &name(key));
        let version = read.entry.map(|entry| self.store.version(&entry));
        (Did::Saw { key, version }, read.seen)
    }

    fn put_if_unchanged(&mut self) -> Option<(Did, u64)> {
        let key = self.key();
        let read = self.store.get(&default_keyspace(&self.store), &name(key));
        let version = read.entry.map(|entry| self.store.version(&entry));
        self.put(Some((key, version)))
    }

    fn put(&mut self, demanded: Option<(u8, Option<Version>)>) -> Option<(Did, u64)> {
        let key = demanded.map_or_else(|| self.key(), |(key, _)| key);
        let demanded =
            demanded.map_or(Demanded::Nothing, |(_, version)| Demanded::Version(version));
        let when = match demanded {
            Demanded::Nothing => Conditions::default(),
            Demanded::Version(None) => Conditions {
                if_none_match: Some(Versions::Any),
                ..Conditions::default()
            },
            Demanded::Version(Some(ref version)) => Conditions {
                if_match: Some(Versions::OneOf(slice::from_ref(version))),
                ..Conditions::default()
            },
        };
        let value = self.dice.bits().to_le_bytes().repeat(self.dice.below(80));
        let draft = harness::draft(&self.store, &name(key), &value, "a/b", None);
        let keyspace = default_keyspace(&self.store);
        let put = block_on(self.store.put(&keyspace, draft, &when, Level::Durable)).ok()?;
        let did = match put.outcome {
            Putted::Stored { version, .. } => Did::Put {
                key,
                value,
                version,
                demanded,
            },
            Putted::Refused { current } => Did::Saw {
                key,
                version: current,
            },
            Putted::Foreign(holder) => panic!("no source is here: {holder:?}"),
        };
        Some((did, put.seen.max(put.own.unwrap_or(0))))
    }

    fn delete(&mut self) -> Option<(Did, u64)> {
        let key = self.key();
        let keyspace = default_keyspace(&self.store);
        let (key_name, when) = (name(key), Conditions::default());
        let delete = self
            .store
            .delete(&keyspace, &key_name, &when, Writer::Client, Level::Durable);
        let delete = block_on(delete).ok()?;
        let seen = delete.seen.max(delete.own.unwrap_or(0));
        let did = match (delete.outcome, delete.own) {
            (Deleted::Removed, Some(revision)) => Did::Delete { key, revision },
            (Deleted::Absent, None) => Did::Saw { key, version: None },
            (outcome, own) => panic!("{outcome:?} with {own:?}"),
        };
        Some((did, seen))
    }

    fn flush(&self) -> Option<(Did, u64)> {
        let keyspace = default_keyspace(&self.store);
        let flush = block_on(self.store.flush(&keyspace, Level::Durable)).ok()?;
        Some((
            Did::Flush {
                revision: flush.own?,
            },
            flush.own?,
        ))
    }
}

/// What one change made of one key, and when.
#[derive(Debug, Clone, Copy)]
struct State {
    version: Option<Version>,
    began: u64,
    ended: u64,
    demanded: Demanded,
}

fn revision(did: &Did) -> Option<u64> {
    match did {
        Did::Put { version, .. } => Some(version.revision),
        Did::Delete { revision, .. } | Did::Flush { revision } => Some(*revision),
        Did::Saw { .. } => None,
    }
}

/// Nobody who began after another had ended comes before it in the order of revisions.
fn revisions_follow_time(calls: &[Call]) {
    let mut changes: Vec<(u64, &Call)> = calls
        .iter()
        .filter_map(|call| Some((revision(&call.did)?, call)))
        .collect();
    changes.sort_unstable_by_key(|(revision, _)| *revision);
    let mut earliest_end = u64::MAX;
    for (revision, call) in changes.iter().rev() {
        assert!(
            call.began < earliest_end,
            "{revision} began after a later revision had ended"
        );
        earliest_end = earliest_end.min(call.ended.unwrap_or(u64::MAX));
    }
}

/// The states of one key in the order of revisions, from what was there at the start.
fn states(calls: &[Call], key: u8, first: Option<Version>) -> Vec<State> {
    let mut states = BTreeMap::new();
    states.insert(
        0,
        State {
            version: first,
            began: 0,
            ended: 0,
            demanded: Demanded::Nothing,
        },
    );
    for call in calls {
        let (version, demanded) = match &call.did {
            Did::Put {
                key: of,
                version,
                demanded,
                ..
            } if *of == key => (Some(*version), *demanded),
            Did::Delete { key: of, .. } if *of == key => (None, Demanded::Nothing),
            Did::Flush { .. } => (None, Demanded::Nothing),
            Did::Put { .. } | Did::Delete { .. } | Did::Saw { .. } => continue,
        };
        let ended = call.ended.unwrap_or(u64::MAX);
        states.insert(
            revision(&call.did).unwrap(),
            State {
                version,
                began: call.began,
                ended,
                demanded,
            },
        );
    }
    states.into_values().collect()
}

/// Every read fits a state that was the newest at some moment of the read, and no read goes back behind an earlier one.
fn reads_fit(calls: &[Call], key: u8, states: &[State]) {
    for pair in states.windows(2) {
        if let Demanded::Version(demanded) = pair[1].demanded {
            assert_eq!(
                demanded, pair[0].version,
                "a condition held that did not hold"
            );
        }
    }
    let mut reads: Vec<(&Call, Option<Version>)> = Vec::new();
    for call in calls {
        if let Did::Saw { key: of, version } = call.did
            && of == key
            && call.ended.is_some()
        {
            reads.push((call, version));
        }
    }
    reads.sort_unstable_by_key(|(call, _)| call.began);
    // (when a read ended, the earliest state that it may have seen)
    let mut floors: Vec<(u64, usize)> = Vec::new();
    for (call, version) in reads {
        let ended = call.ended.unwrap();
        let floor = floors
            .iter()
            .filter(|(end, _)| *end < call.began)
            .map(|(_, at)| *at)
            .max();
        let fits = |at: &usize| {
            let replaced = states.get(at + 1).map_or(u64::MAX, |next| next.ended);
            states[*at].version == version && states[*at].began < ended && replaced > call.began
        };
        let fitting = (floor.unwrap_or(0)..states.len()).find(fits);
        let at =
            fitting.unwrap_or_else(|| panic!("key {key}: {call:?} fits no moment of {states:?}"));
        floors.push((ended, at));
    }
}

/// Puts a history into the model, in the order of revisions.
fn remember(model: &mut Model, calls: &[Call]) {
    for call in calls {
        match &call.did {
            Did::Put {
                key,
                value,
                version,
                ..
            } => {
                let seen = Seen {
                    value: value.clone(),
                    content_type: "a/b".to_owned(),
                    created_at_ms: NOW_MS,
                    lifetime: Lifetime::FOREVER,
                    owner: None,
                    version: harness::version(*version),
                };
                model.took(version.revision, Change::Put(in_default(*key), seen));
            }
            Did::Delete { key, revision } => {
                model.took(*revision, Change::Delete(in_default(*key)));
            }
            Did::Flush { revision } => {
                model.took(*revision, Change::Flush("default".to_owned(), NOW_MS));
            }
            Did::Saw { .. } => {}
        }
        if call.ended.is_some() {
            model.promise(call.seen);
        }
    }
}

/// One life of the store: clients until they are done or the machine goes off.
fn life(store: &Store, dice: &mut Seeded) -> Vec<Call> {
    // Snapshots are made while everybody writes, as many as there is time for.
    let done = Arc::new(AtomicBool::new(false));
    let folding = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        thread::spawn(
            move || while !done.load(Ordering::SeqCst) && block_on(store.compact()).is_ok() {},
        )
    };
    let calls = lives::live(dice, CLIENTS, |dice, ticks| {
        let mut client = Client {
            dice,
            store: store.clone(),
            ticks,
            calls: Vec::new(),
        };
        move || {
            lives::ask_on(|| client.ask());
            client.calls
        }
    });
    done.store(true, Ordering::SeqCst);
    folding.join().unwrap();
    calls
}

fn history(seed: u64) {
    lives::over_crashes(seed, |(store, sim), dice, model| {
        lives::maybe_stop(sim, dice);
        let keyspace = default_keyspace(store);
        let first = |key: u8| {
            store
                .get(&keyspace, &name(key))
                .entry
                .map(|entry| store.version(&entry))
        };
        let firsts: Vec<Option<Version>> = (0..3).map(first).collect();
        let calls = life(store, dice);
        revisions_follow_time(&calls);
        for (key, first) in (0..).zip(firsts) {
            reads_fit(&calls, key, &states(&calls, key, first));
        }
        remember(model, &calls);
    });
}

#[test]
fn concurrent_histories_are_linearizable_and_survive_crashes() {
    for seed in 1..=rounds("STANDPIPE_HISTORIES", 20) {
        history(seed);
    }
}
