//! Keyspaces of a store: created, changed, dropped, and what is left of them after every kind of end.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Conditions, Durability, Eviction, Keyspace, KeyspaceError, Level, Lifetime, Meta,
    Options, Pending, Policy, Progress, SetKeyspace, Store, WriteError, block_on,
};

const NONE: Conditions<'static> = Conditions {
    if_match: None,
    if_none_match: None,
};

fn open(path: &Path) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    let clock = Arc::new(Clock::system());
    Store::open(dir, clock, Options::default(), &Progress::new()).unwrap()
}

fn set(store: &Store, name: &str, policy: &Policy) -> SetKeyspace {
    let set = block_on(store.set_keyspace(name, policy, 256)).unwrap();
    block_on(store.wait_durable(set.own.unwrap_or(set.seen))).unwrap();
    set
}

fn try_put(store: &Store, keyspace: &Arc<Keyspace>, key: &str) -> Result<u64, WriteError> {
    let meta = Meta::of_type(Meta::TEXT);
    let draft = store
        .draft(key.as_bytes(), 0, &meta, Lifetime::FOREVER)
        .unwrap();
    let put = block_on(store.put(keyspace, draft, &NONE, Level::Durable))?;
    let own = put.own.unwrap();
    block_on(store.wait_durable(own)).unwrap();
    Ok(own)
}

fn put(store: &Store, name: &str, key: &str) -> u64 {
    try_put(store, &store.keyspace(name).unwrap(), key).unwrap()
}

fn has(store: &Store, name: &str, key: &str) -> bool {
    let keyspace = store.keyspace(name).unwrap();
    store.get(&keyspace, key.as_bytes()).entry.is_some()
}

fn remove(store: &Store, name: &str) {
    let keyspace = store.keyspace(name).unwrap();
    let dropped = block_on(store.drop_keyspace(&keyspace, Level::Durable)).unwrap();
    block_on(store.wait_durable(dropped.unwrap())).unwrap();
}

/// Ends the store well or as a crash does, and opens it again.
fn again(store: Store, path: &Path, close: bool) -> Store {
    if close {
        store.close().unwrap();
    }
    drop(store);
    open(path)
}

fn policy() -> Policy {
    Policy {
        durability: Durability::Written,
        ttl_ms: Some(90_000),
        max_bytes: Some(64 << 20),
        eviction: Eviction::None,
        client_max_age_ms: Some(5_000),
        pending: Pending::Sums { most: 7 },
    }
}

#[test]
fn a_keyspace_and_its_policy_survive_with_their_entries() {
    for (close, compact) in [(false, false), (true, false), (true, true), (false, true)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert!(set(&store, "users", &policy()).created);
        let same = set(&store, "users", &policy());
        assert!(!same.created && same.own.is_none());
        put(&store, "users", "a");
        put(&store, "default", "b");
        if compact {
            block_on(store.compact()).unwrap();
            put(&store, "users", "c");
        }
        let store = again(store, dir.path(), close);
        let users = store.keyspace("users").unwrap();
        assert_eq!(users.policy(), policy());
        assert!(has(&store, "users", "a") && !has(&store, "users", "b"));
        assert_eq!(has(&store, "users", "c"), compact);
        assert!(has(&store, "default", "b") && !has(&store, "default", "a"));
        let names: Vec<_> = store
            .keyspaces()
            .iter()
            .map(|one| one.name().to_owned())
            .collect();
        assert_eq!(names, ["default", "users"]);
        assert_eq!(store.keyspace_stats(&users).entries, 1 + u64::from(compact));
    }
}

#[test]
fn a_changed_policy_keeps_the_entries() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    set(&store, "users", &policy());
    put(&store, "users", "a");
    let before = store.keyspace("users").unwrap().id();
    let changed = set(&store, "users", &Policy::default());
    assert!(!changed.created && changed.own.is_some());
    let store = again(store, dir.path(), false);
    let users = store.keyspace("users").unwrap();
    assert_eq!((users.id(), users.policy()), (before, Policy::default()));
    assert!(has(&store, "users", "a"));
}

#[test]
fn a_dropped_keyspace_is_gone_and_its_name_may_be_used_again() {
    for compact in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set(&store, "users", &Policy::default());
        put(&store, "users", "a");
        let held = store.keyspace("users").unwrap();
        remove(&store, "users");
        assert!(store.keyspace("users").is_none() && held.is_dropped());
        assert!(matches!(
            try_put(&store, &held, "x"),
            Err(WriteError::Dropped)
        ));
        assert!(store.get(&held, b"a").entry.is_none());
        assert_eq!(
            block_on(store.drop_keyspace(&held, Level::Durable)).unwrap(),
            None
        );
        if compact {
            block_on(store.compact()).unwrap();
        }
        let store = again(store, dir.path(), false);
        assert!(store.keyspace("users").is_none());
        assert!(set(&store, "users", &Policy::default()).created);
        assert_ne!(store.keyspace("users").unwrap().id(), held.id());
        assert!(!has(&store, "users", "a"));
        put(&store, "users", "b");
        let store = again(store, dir.path(), true);
        assert!(has(&store, "users", "b") && !has(&store, "users", "a"));
    }
}

#[test]
fn no_id_is_used_twice_however_many_were_dropped_and_folded_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut last = store.keyspace("default").unwrap().id();
    for round in 0..6 {
        set(&store, "users", &Policy::default());
        put(&store, "users", "a");
        let id = store.keyspace("users").unwrap().id();
        assert!(id > last, "{id} after {last}");
        last = id;
        remove(&store, "users");
        if round % 2 == 0 {
            block_on(store.compact()).unwrap();
        }
        store = again(store, dir.path(), round % 3 == 0);
    }
}

#[test]
fn what_was_never_logged_is_empty_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let memory = Policy::of(Durability::Memory);
    set(&store, "cache", &memory);
    let own = put(&store, "cache", "a");
    assert!(own >= 1 << 63, "revisions of their own: {own}");
    assert!(has(&store, "cache", "a"));
    block_on(store.compact()).unwrap();
    let store = again(store, dir.path(), true);
    assert_eq!(store.keyspace("cache").unwrap().policy(), memory);
    assert!(!has(&store, "cache", "a"));
    remove(&store, "cache");
    assert!(store.keyspace("cache").is_none());
}

#[test]
fn to_and_from_memory_only_while_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let memory = Policy::of(Durability::Memory);
    set(&store, "users", &Policy::default());
    put(&store, "users", "a");
    let refused = block_on(store.set_keyspace("users", &memory, 256)).unwrap_err();
    assert!(matches!(
        refused,
        KeyspaceError::DurabilityFixed {
            stored: Durability::Synced,
            asked: Durability::Memory
        }
    ));
    let held = store.keyspace("users").unwrap();
    block_on(store.flush(&held, Level::Durable)).unwrap();
    assert!(!set(&store, "users", &memory).created);
    // Who still holds the former one writes into the one that took its place.
    assert!(try_put(&store, &held, "b").unwrap() >= 1 << 63);
    assert!(has(&store, "users", "b"));
    block_on(store.set_keyspace("users", &policy(), 256)).unwrap_err();
    let store = again(store, dir.path(), false);
    assert!(!has(&store, "users", "b"));
    set(&store, "users", &policy());
    put(&store, "users", "c");
    let store = again(store, dir.path(), false);
    assert!(has(&store, "users", "c"));
    assert_eq!(store.keyspace("users").unwrap().policy(), policy());
}

#[test]
fn one_keyspace_more_than_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let make = |name: &str| block_on(store.set_keyspace(name, &Policy::default(), 3));
    make("a").unwrap();
    make("b").unwrap();
    assert!(matches!(
        make("c"),
        Err(KeyspaceError::TooMany { limit: 3 })
    ));
    make("b").unwrap();
    remove(&store, "a");
    make("c").unwrap();
}
