//! The store on a real directory: what is put is there after every kind of end.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Conditions, Deleted, Level, Lifetime, Meta, Options, Progress, Putted, Store, Versions,
    Writer, block_on,
};

fn open_with(path: &Path, clock: Clock, options: Options) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    Store::open(dir, Arc::new(clock), options, &Progress::new()).unwrap()
}

fn open(path: &Path) -> Store {
    open_with(path, Clock::system(), Options::default())
}

fn put_if(store: &Store, key: &str, value: &[u8], when: &Conditions<'_>) -> Putted {
    let default = store.keyspace("default").unwrap();
    let mut draft = store
        .draft(
            key.as_bytes(),
            value.len(),
            &Meta::of_type("x/test"),
            Lifetime::FOREVER,
        )
        .unwrap();
    draft.fill(|place| place.copy_from_slice(value));
    let put = block_on(store.put(&default, draft, when, Level::Durable)).unwrap();
    block_on(store.wait_durable(put.seen.max(put.own.unwrap_or(0)))).unwrap();
    put.outcome
}

fn put(store: &Store, key: &str, value: &[u8]) -> Putted {
    put_if(store, key, value, &Conditions::default())
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let default = store.keyspace("default").unwrap();
    let read = store.get(&default, key.as_bytes());
    block_on(store.wait_durable(read.seen)).unwrap();
    read.entry.map(|entry| entry.value().to_vec())
}

#[test]
fn values_survive_a_close_and_an_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..500_u32 {
        put(&store, &format!("key/{n}"), &n.to_le_bytes());
    }
    let large = vec![7; 3_000_000];
    put(&store, "large", &large);
    let default = store.keyspace("default").unwrap();
    let deleted = block_on(store.delete(
        &default,
        b"key/3",
        &Conditions::default(),
        Writer::Client,
        Level::Durable,
    ))
    .unwrap();
    assert_eq!(deleted.outcome, Deleted::Removed);
    assert_eq!(get(&store, "key/3"), None);
    let version = store.version(&store.get(&default, b"large").entry.unwrap());
    store.close().unwrap();
    drop(store);
    for _ in 0..3 {
        let store = open(dir.path());
        let default = store.keyspace("default").unwrap();
        assert_eq!(get(&store, "large").as_deref(), Some(&*large));
        assert_eq!(get(&store, "key/3"), None);
        assert_eq!(
            get(&store, "key/4").as_deref(),
            Some(&4_u32.to_le_bytes()[..])
        );
        assert_eq!(store.stats().entries, 500);
        let entry = store.get(&default, b"large").entry.unwrap();
        assert_eq!(store.version(&entry), version);
        assert_eq!(&*store.facts(&entry).content_type, "x/test");
        assert_eq!(
            store.scan(&default, b"key/", None, 1_000).entries.len(),
            499
        );
    }
}

#[test]
fn a_snapshot_and_the_log_behind_it_make_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..4_u32 {
        for n in 0..300_u32 {
            put(&store, &format!("{n}"), &(n + round).to_le_bytes());
        }
        let compacted = block_on(store.compact()).unwrap();
        assert_eq!(compacted.entries, 300);
        put(&store, "behind", &round.to_le_bytes());
        let default = store.keyspace("default").unwrap();
        block_on(store.delete(
            &default,
            b"behind",
            &Conditions::default(),
            Writer::Client,
            Level::Durable,
        ))
        .unwrap();
    }
    assert_eq!(store.stats().snapshots, 2);
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.stats().entries, 300);
    for n in 0..300_u32 {
        assert_eq!(
            get(&store, &format!("{n}")).as_deref(),
            Some(&(n + 3).to_le_bytes()[..])
        );
    }
    assert_eq!(get(&store, "behind"), None);
}

#[test]
fn a_flush_empties_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..100 {
        put(&store, &n.to_string(), b"x");
    }
    let default = store.keyspace("default").unwrap();
    let flush = block_on(store.flush(&default, Level::Durable)).unwrap();
    assert_eq!(flush.flushed, 100);
    put(&store, "after", b"y");
    assert_eq!(
        block_on(store.flush(&default, Level::Durable))
            .unwrap()
            .flushed,
        1
    );
    put(&store, "last", b"z");
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        (store.stats().entries, get(&store, "last")),
        (1, Some(b"z".to_vec()))
    );
}

#[test]
fn of_many_puts_with_one_version_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let Putted::Stored {
        version,
        created: true,
    } = put(&store, "k", b"0")
    else {
        panic!("a new key is created")
    };
    let expected = [version];
    let won: usize = std::thread::scope(|scope| {
        let puts: Vec<_> = (0..8)
            .map(|n| {
                let (store, expected) = (&store, &expected);
                scope.spawn(move || {
                    let when = Conditions {
                        if_match: Some(Versions::OneOf(expected)),
                        if_none_match: None,
                    };
                    let outcome = put_if(store, "k", &[n], &when);
                    usize::from(matches!(outcome, Putted::Stored { .. }))
                })
            })
            .collect();
        puts.into_iter().map(|put| put.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn what_expires_is_absent_at_once_and_swept_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Clock::system(), Options::default());
    let default = store.keyspace("default").unwrap();
    let at = store.clock().now_ms() + 60_000;
    for n in 0..1_000_u32 {
        let draft = store
            .draft(
                &n.to_le_bytes(),
                0,
                &Meta::of_type(Meta::TEXT),
                Lifetime::until(Some(at)),
            )
            .unwrap();
        block_on(store.put(&default, draft, &Conditions::default(), Level::Written)).unwrap();
    }
    assert_eq!(
        (store.stats().entries, store.stats().expiring),
        (1_000, 1_000)
    );
    store.clock().advance(60_000);
    assert_eq!(store.stats().entries, 0);
    assert!(store.get(&default, &1_u32.to_le_bytes()).entry.is_none());
    let deadline = std::time::Duration::from_secs(20) + store.clock().monotonic();
    while store.stats().expired < 1_000 {
        assert!(store.clock().monotonic() < deadline, "swept within a while");
        std::thread::yield_now();
    }
    assert_eq!(store.stats().expiring, 0);
}

/// A value that tells its key, its round and its length.
fn value_of(key: &str, round: u32, len: usize) -> Vec<u8> {
    format!("{key}:{round}:")
        .bytes()
        .chain(std::iter::repeat_n(b'.', len))
        .collect()
}

#[test]
fn rotations_large_records_and_snapshots_under_many_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 256 << 10,
        batch_bytes: 64 << 10,
        pending_bytes: 1 << 20,
        compaction_min_bytes: 2 << 20,
        shards: 4,
        ..Options::default()
    };
    let store = open_with(dir.path(), Clock::system(), options.clone());
    std::thread::scope(|scope| {
        for writer in 0..6_u32 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..120_u32 {
                    let key = format!("{writer}/{}", round % 10);
                    // Every so often a record larger than half a segment, and some larger than a whole one.
                    let len = match (round + writer) % 40 {
                        7 => 200_000,
                        13 => 700_000,
                        other => usize::try_from(other * 300).unwrap(),
                    };
                    put(store, &key, &value_of(&key, round, len));
                    assert!(
                        get(store, &key)
                            .unwrap()
                            .starts_with(format!("{key}:{round}:").as_bytes())
                    );
                }
            });
        }
        for _ in 0..5 {
            block_on(store.compact()).unwrap();
        }
    });
    assert!(store.stats().log.rotations > 10, "{:?}", store.stats());
    let expected: Vec<_> = keys_and_values(&store);
    assert_eq!(expected.len(), 60);
    store.close().unwrap();
    drop(store);
    let store = open_with(dir.path(), Clock::system(), options);
    assert_eq!(keys_and_values(&store), expected);
    for (key, value) in &expected {
        let last_rounds = format!("{}:11", String::from_utf8_lossy(key));
        assert!(
            value.starts_with(last_rounds.as_bytes()),
            "the last round of {last_rounds}"
        );
    }
}

fn keys_and_values(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let default = store.keyspace("default").unwrap();
    let scan = store.scan(&default, b"", None, usize::MAX >> 8);
    scan.entries
        .iter()
        .map(|entry| (entry.key().to_vec(), entry.value().to_vec()))
        .collect()
}
