//! The store against a plain map: any sequence of operations, with restarts and kills between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use standpipe_store::fs::fault::SimDir;
use standpipe_store::{Clock, Conditions, Deleted, Level, Putted, Store, Versions, Writer};

use crate::harness::{block_on, clock, default_keyspace, draft, open, small};

/// What a client asks for. Keys are numbered.
#[derive(Debug, Clone)]
enum Ask {
    Put {
        key: u8,
        len: u16,
        lifetime_ms: Option<u16>,
        when: When,
    },
    Delete {
        key: u8,
        when: When,
    },
    Get {
        key: u8,
    },
    List {
        after: Option<u8>,
        limit: u8,
    },
    Flush,
    Compact,
    Pass {
        ms: u16,
    },
    Restart,
    Kill,
}

/// The condition of a change.
#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    Absent,
    Present,
    Current,
    /// The version that the key had before its last change.
    Outdated,
}

fn asks() -> impl Strategy<Value = Ask> {
    let key = 0..6_u8;
    let when = prop_oneof![
        6 => Just(When::Always),
        1 => Just(When::Absent),
        1 => Just(When::Present),
        1 => Just(When::Current),
        1 => Just(When::Outdated),
    ];
    let len = prop_oneof![4 => 0..50_u16, 1 => 0..9_000_u16];
    let lifetime = prop_oneof![3 => Just(None), 1 => (1..2_000_u16).prop_map(Some)];
    prop_oneof![
        12 => (key.clone(), len, lifetime, when.clone())
            .prop_map(|(key, len, lifetime_ms, when)| Ask::Put { key, len, lifetime_ms, when }),
        4 => (key.clone(), when).prop_map(|(key, when)| Ask::Delete { key, when }),
        4 => key.clone().prop_map(|key| Ask::Get { key }),
        2 => (proptest::option::of(key), 1..5_u8).prop_map(|(after, limit)| Ask::List { after, limit }),
        1 => Just(Ask::Flush),
        1 => Just(Ask::Compact),
        2 => any::<u16>().prop_map(|ms| Ask::Pass { ms: ms % 3_000 }),
        1 => Just(Ask::Restart),
        1 => Just(Ask::Kill),
    ]
}

/// An entry of the plain map.
#[derive(Debug, Clone)]
struct Plain {
    value: Vec<u8>,
    expires_at_ms: Option<u64>,
    version: standpipe_store::Version,
}

struct Pair {
    sim: SimDir,
    clock: Arc<Clock>,
    store: Store,
    plain: BTreeMap<Vec<u8>, Plain>,
    /// The version before the last, of each key.
    outdated: BTreeMap<Vec<u8>, standpipe_store::Version>,
}

fn name(key: u8) -> Vec<u8> {
    format!("key-{key}").into_bytes()
}

impl Pair {
    fn new() -> Self {
        let (sim, clock) = (SimDir::new(), clock());
        let store = open(&sim, &small(), &clock).unwrap();
        let (plain, outdated) = (BTreeMap::new(), BTreeMap::new());
        Self {
            sim,
            clock,
            store,
            plain,
            outdated,
        }
    }

    /// Forgets what has expired: nobody may see it any more.
    fn expire(&mut self) {
        let now_ms = self.clock.now_ms();
        self.plain
            .retain(|_, plain| plain.expires_at_ms.is_none_or(|at| at > now_ms));
    }

    /// Calls `change` with the conditions, and says whether they hold in the plain map.
    fn on<T>(
        &self,
        key: &[u8],
        when: When,
        change: impl FnOnce(&Conditions<'_>) -> T,
    ) -> (T, bool) {
        let current = self.plain.get(key).map(|plain| plain.version);
        let wanted = match when {
            When::Current => current,
            When::Outdated => self.outdated.get(key).copied(),
            When::Always | When::Absent | When::Present => None,
        };
        let list: Vec<_> = wanted.into_iter().collect();
        let (if_match, if_none_match, holds) = match when {
            When::Always => (None, None, true),
            When::Absent => (None, Some(Versions::Any), current.is_none()),
            When::Present => (Some(Versions::Any), None, current.is_some()),
            When::Current | When::Outdated => (
                Some(Versions::OneOf(&list)),
                None,
                current.is_some() && wanted == current,
            ),
        };
        (
            change(&Conditions {
                if_match,
                if_none_match,
            }),
            holds,
        )
    }

    fn put(&mut self, key: u8, len: u16, lifetime_ms: Option<u16>, when: When) {
        let key = name(key);
        let value: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0] ^ key[4]).collect();
        let expires_at_ms = lifetime_ms.map(|ms| self.clock.now_ms() + u64::from(ms));
        let draft = draft(&self.store, &key, &value, "a/b", expires_at_ms);
        let keyspace = default_keyspace(&self.store);
        let change = |when: &Conditions<'_>| {
            block_on(self.store.put(&keyspace, draft, when, Level::Durable)).unwrap()
        };
        let (put, holds) = self.on(&key, when, change);
        let before = self.plain.get(&key).map(|plain| plain.version);
        match put.outcome {
            Putted::Stored { version, created } => {
                assert!(holds);
                assert_eq!(created, before.is_none());
                if let Some(before) = before {
                    self.outdated.insert(key.clone(), before);
                }
                self.plain.insert(
                    key,
                    Plain {
                        value,
                        expires_at_ms,
                        version,
                    },
                );
            }
            Putted::Refused { current } => {
                assert!(!holds);
                assert_eq!(current, before);
            }
            Putted::Foreign(holder) => panic!("no source is here: {holder:?}"),
        }
        block_on(self.store.wait_durable(put.seen.max(put.own.unwrap_or(0)))).unwrap();
    }

    fn delete(&mut self, key: u8, when: When) {
        let key = name(key);
        let keyspace = default_keyspace(&self.store);
        let change = |when: &Conditions<'_>| {
            block_on(
                self.store
                    .delete(&keyspace, &key, when, Writer::Client, Level::Durable),
            )
            .unwrap()
        };
        let (delete, holds) = self.on(&key, when, change);
        let before = self.plain.get(&key).map(|plain| plain.version);
        match delete.outcome {
            Deleted::Removed => {
                assert!(holds);
                let before = self
                    .plain
                    .remove(&key)
                    .expect("only what is there can be removed");
                self.outdated.insert(key, before.version);
            }
            Deleted::Absent => assert!(holds && before.is_none()),
            Deleted::Refused { current } => {
                assert!(!holds);
                assert_eq!(current, before);
            }
            Deleted::Foreign(holder) => panic!("no source is here: {holder:?}"),
        }
        block_on(
            self.store
                .wait_durable(delete.seen.max(delete.own.unwrap_or(0))),
        )
        .unwrap();
    }

    fn get(&self, key: u8) {
        let key = name(key);
        let read = self.store.get(&default_keyspace(&self.store), &key);
        let plain = self.plain.get(&key);
        assert_eq!(read.entry.is_some(), plain.is_some());
        if let (Some(entry), Some(plain)) = (read.entry, plain) {
            assert_eq!(entry.value(), plain.value);
            assert_eq!(entry.expires_at_ms(), plain.expires_at_ms);
            assert_eq!(self.store.version(&entry), plain.version);
        }
    }

    fn list(&self, after: Option<u8>, limit: u8) {
        let (after, limit) = (after.map(name), usize::from(limit));
        let scan = self.store.scan(
            &default_keyspace(&self.store),
            b"key",
            after.as_deref(),
            limit,
        );
        let listed: Vec<&[u8]> = scan
            .entries
            .iter()
            .map(standpipe_store::Entry::key)
            .collect();
        let expected = self
            .plain
            .keys()
            .filter(|key| after.as_ref().is_none_or(|after| *key > after));
        let expected: Vec<&[u8]> = expected.map(Vec::as_slice).take(limit).collect();
        assert_eq!(listed, expected);
    }

    fn restart(&mut self) {
        self.store.close().unwrap();
        self.kill();
    }

    fn kill(&mut self) {
        self.sim = self.sim.kill();
        self.store = open(&self.sim, &small(), &self.clock).unwrap();
    }

    fn ask(&mut self, ask: &Ask) {
        self.expire();
        match *ask {
            Ask::Put {
                key,
                len,
                lifetime_ms,
                when,
            } => self.put(key, len, lifetime_ms, when),
            Ask::Delete { key, when } => self.delete(key, when),
            Ask::Get { key } => self.get(key),
            Ask::List { after, limit } => self.list(after, limit),
            Ask::Flush => {
                let flush = block_on(
                    self.store
                        .flush(&default_keyspace(&self.store), Level::Durable),
                )
                .unwrap();
                self.plain.clear();
                block_on(self.store.wait_durable(flush.own.unwrap())).unwrap();
            }
            Ask::Compact => drop(block_on(self.store.compact()).unwrap()),
            Ask::Pass { ms } => self.clock.advance(u64::from(ms)),
            Ask::Restart => self.restart(),
            Ask::Kill => self.kill(),
        }
    }

    fn everything_agrees(&mut self) {
        self.expire();
        self.list(None, 100);
        (0..6).for_each(|key| self.get(key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(asks in vec(asks(), 1..60)) {
        let mut pair = Pair::new();
        for ask in &asks {
            pair.ask(ask);
        }
        pair.everything_agrees();
        pair.kill();
        pair.everything_agrees();
    }
}
