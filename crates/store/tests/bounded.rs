//! Keyspaces with a bound: it holds at all times, what leaves stays gone, and nothing is dropped in silence.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Conditions, Durability, Eviction, Increment, Keyspace, Level, Lifetime, Meta, Operation,
    Options, Policy, Progress, Store, WriteError, Writer, block_on,
};

const KIB: u64 = 1 << 10;

/// Small records, so that a small keyspace has several shards.
fn options() -> Options {
    Options {
        max_record_bytes: 16 << 10,
        compaction_min_bytes: u64::MAX,
        ..Options::default()
    }
}

fn open_with(path: &Path, options: Options) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    Store::open(dir, Arc::new(Clock::system()), options, &Progress::new()).unwrap()
}

fn open(path: &Path) -> Store {
    open_with(path, options())
}

fn bounded(durability: Durability, max_bytes: u64, eviction: Eviction) -> Policy {
    Policy {
        max_bytes: Some(max_bytes),
        eviction,
        ..Policy::of(durability)
    }
}

fn set(store: &Store, policy: &Policy) -> Arc<Keyspace> {
    let set = block_on(store.set_keyspace("cache", policy, 256)).unwrap();
    block_on(store.wait_durable(set.own.unwrap_or(set.seen))).unwrap();
    store.keyspace("cache").unwrap()
}

fn put_until(
    store: &Store,
    keyspace: &Arc<Keyspace>,
    key: &[u8],
    len: usize,
    expires_at_ms: Option<u64>,
) -> Result<u64, WriteError> {
    let meta = Meta::of_type(Meta::TEXT);
    let draft = store.draft(key, len, &meta, Lifetime::until(expires_at_ms))?;
    let put = block_on(store.put(keyspace, draft, &Conditions::default(), Level::Written))?;
    Ok(put.own.unwrap())
}

fn put(store: &Store, keyspace: &Arc<Keyspace>, key: &str, len: usize) -> Result<u64, WriteError> {
    put_until(store, keyspace, key.as_bytes(), len, None)
}

/// Everything that is there, with its revision.
fn contents(store: &Store, keyspace: &Arc<Keyspace>) -> BTreeMap<Vec<u8>, u64> {
    let scan = store.scan(keyspace, b"", None, usize::MAX / 4);
    let entry = |entry: &standpipe_store::Entry| (entry.key().to_vec(), entry.revision());
    scan.entries.iter().map(entry).collect()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::system();
    let deadline = clock.monotonic() + Duration::from_secs(20);
    while !holds() {
        assert!(clock.monotonic() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_left_for_room_stays_gone_after_every_kind_of_end() {
    for durability in [Durability::Written, Durability::Synced] {
        for (close, compact) in [(false, false), (true, false), (true, true), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path());
            let mut cache = set(&store, &bounded(durability, 64 * KIB, Eviction::Sieve));
            for round in 0..3 {
                let mut last = 0;
                for n in 0..400 {
                    last = put(&store, &cache, &format!("{round}/{n}"), n % 300).unwrap();
                    if n == 200 && compact {
                        block_on(store.compact()).unwrap();
                    }
                }
                block_on(store.wait_durable(last)).unwrap();
                let before = contents(&store, &cache);
                let stats = store.keyspace_stats(&cache);
                assert!(
                    stats.bytes <= 64 * KIB && stats.bytes > 48 * KIB,
                    "{stats:?}"
                );
                assert!(store.stats().evicted > 100);
                if close {
                    store.close().unwrap();
                }
                drop(store);
                store = open(dir.path());
                cache = store.keyspace("cache").unwrap();
                assert_eq!(
                    contents(&store, &cache),
                    before,
                    "{durability} {close} {compact}"
                );
                assert_eq!(store.keyspace_stats(&cache), stats);
            }
        }
    }
}

#[test]
fn concurrent_writers_never_exceed_the_bound() {
    const MOST: u64 = 256 * KIB;
    for durability in [Durability::Memory, Durability::Written, Durability::Synced] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let cache = set(&store, &bounded(durability, MOST, Eviction::Sieve));
        let done = AtomicBool::new(false);
        let most = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(store.keyspace_stats(&cache).bytes);
                }
                most
            });
            let writers: Vec<_> = (0..4_u64)
                .map(|seed| {
                    scope.spawn({
                        let (store, cache) = (&store, &cache);
                        move || write_mixed(store, cache, seed)
                    })
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            watcher.join().unwrap()
        });
        assert!(
            most <= MOST && most > MOST / 2,
            "{durability}: {most} of {MOST}"
        );
        assert!(store.stats().evicted > 1_000);
        assert_eq!(
            wide(contents(&store, &cache).len()),
            store.keyspace_stats(&cache).entries
        );
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}

/// Puts, counts, touches and deletes keys of its own and of everybody.
fn write_mixed(store: &Store, cache: &Arc<Keyspace>, seed: u64) {
    let mut state = seed + 1;
    for _ in 0..3_000_u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let key = format!("{}", state % 2_000);
        let whenever = Conditions::default();
        match state >> 60 {
            0..=1 => {
                block_on(store.delete(
                    cache,
                    key.as_bytes(),
                    &whenever,
                    Writer::Client,
                    Level::Written,
                ))
                .unwrap();
            }
            2..=3 => {
                let key = format!("count/{key}");
                let one = Increment::default();
                block_on(store.increment(cache, key.as_bytes(), &one, Level::Written)).unwrap();
            }
            4 => {
                let keys: Vec<_> = (0..6).map(|n| format!("{}", (state + n) % 2_000)).collect();
                block_on(store.batch(cache, mixed(store, &keys), Level::Written)).unwrap();
            }
            5 => {
                let far = Some(u64::MAX >> 24);
                block_on(store.touch(
                    cache,
                    key.as_bytes(),
                    Lifetime::until(far),
                    &whenever,
                    Writer::Client,
                    Level::Written,
                ))
                .unwrap();
            }
            _ => {
                let len = usize::try_from((state >> 20) % 1_500).unwrap();
                put(store, cache, &key, len).unwrap();
            }
        }
    }
}

/// Puts all keys but the last, which is deleted.
fn mixed<'k>(store: &Store, keys: &'k [String]) -> Vec<Operation<'k>> {
    let (last, keys) = keys.split_last().unwrap();
    let mut operations = puts(store, keys, 400);
    operations.push(Operation::Delete {
        key: last.as_bytes(),
        when: Conditions::default(),
    });
    operations
}

fn puts<'k>(store: &Store, keys: &'k [String], len: usize) -> Vec<Operation<'k>> {
    let meta = Meta::of_type(Meta::TEXT);
    let put = |key: &String| Operation::Put {
        draft: store
            .draft(key.as_bytes(), len, &meta, Lifetime::FOREVER)
            .unwrap(),
        when: Conditions::default(),
    };
    keys.iter().map(put).collect()
}

#[test]
fn a_batch_fits_whole_or_is_refused_whole() {
    for eviction in [Eviction::Sieve, Eviction::None] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_record_bytes: 256 << 10,
            ..options()
        };
        let store = open_with(dir.path(), options.clone());
        let cache = set(&store, &bounded(Durability::Written, 64 * KIB, eviction));
        for n in 0..20 {
            put(&store, &cache, &format!("old/{n}"), 1_000).unwrap();
        }
        let keys = |count: u32| -> Vec<_> { (0..count).map(|n| format!("{n}")).collect() };
        let before = contents(&store, &cache);
        let many = keys(80);
        let refused = block_on(store.batch(&cache, puts(&store, &many, 1_000), Level::Written));
        assert!(
            matches!(refused, Err(WriteError::KeyspaceFull { .. })),
            "{refused:?}"
        );
        assert_eq!(contents(&store, &cache), before, "nobody left in vain");
        let large = keys(2);
        let refused = block_on(store.batch(&cache, puts(&store, &large, 70_000), Level::Written));
        assert!(
            matches!(refused, Err(WriteError::EntryTooLarge { .. })),
            "{refused:?}"
        );
        let fitting = keys(40);
        let batch = block_on(store.batch(&cache, puts(&store, &fitting, 300), Level::Written));
        block_on(store.wait_durable(batch.unwrap().own.unwrap())).unwrap();
        let after = contents(&store, &cache);
        assert!(fitting.iter().all(|key| after.contains_key(key.as_bytes())));
        assert!(store.keyspace_stats(&cache).bytes <= 64 * KIB);
        drop(store);
        let store = open_with(dir.path(), options);
        assert_eq!(contents(&store, &store.keyspace("cache").unwrap()), after);
    }
}

#[test]
fn a_full_keyspace_that_evicts_nothing_says_so_and_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let cache = set(
        &store,
        &bounded(Durability::Written, 20 * KIB, Eviction::None),
    );
    let full =
        |result| matches!(result, Err(WriteError::KeyspaceFull { limit }) if limit == 20 * KIB);
    let mut held = 0;
    while put(&store, &cache, &format!("{held}"), 1_000).is_ok() {
        held += 1;
    }
    assert!((10..20).contains(&held), "{held}");
    assert!(full(put(&store, &cache, "one more", 1_000)));
    assert!(full(put(&store, &cache, "0", 3_000)));
    let counted = block_on(store.increment(&cache, b"n", &Increment::default(), Level::Written));
    // A counter is small: whether it still fits is a matter of a few bytes, whether it is told is not.
    assert!(counted.is_ok() || full(counted.map(|_| 0)));
    put(&store, &cache, "0", 500).unwrap();
    let whenever = Conditions::default();
    for gone in [b"1", b"2"] {
        block_on(store.delete(&cache, gone, &whenever, Writer::Client, Level::Written)).unwrap();
    }
    put(&store, &cache, "another", 1_000).unwrap();
    assert_eq!(store.stats().evicted, 0);
    assert!(store.keyspace_stats(&cache).bytes <= 20 * KIB);
}

#[test]
fn an_entry_that_can_never_fit_is_refused_with_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let cache = set(
        &store,
        &bounded(Durability::Written, 4 * KIB, Eviction::Sieve),
    );
    put(&store, &cache, "small", 1_000).unwrap();
    let refused = put(&store, &cache, "large", 8_000);
    let Err(WriteError::EntryTooLarge { limit, actual }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((limit, actual > 8_000), (4 * KIB, true));
    assert!(contents(&store, &cache).contains_key(&b"small"[..]));
    // The largest entry that there is fits into a share, as soon as one fits into the keyspace.
    let cache = set(
        &store,
        &bounded(Durability::Written, 100 * KIB, Eviction::Sieve),
    );
    let refused = put(&store, &cache, "large", 8_000);
    assert!(refused.is_ok(), "one shard has all of it now: {refused:?}");
    drop(cache);
    drop(store);
    let store = open(dir.path());
    let cache = store.keyspace("cache").unwrap();
    for n in 0..100 {
        put(&store, &cache, &format!("{n}"), 15_000).unwrap();
    }
    assert!(store.keyspace_stats(&cache).bytes <= 100 * KIB);
}

#[test]
fn a_large_entry_makes_many_small_ones_leave_in_steps() {
    for durability in [Durability::Memory, Durability::Written] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            compaction_min_bytes: u64::MAX,
            ..Options::default()
        };
        let store = open_with(dir.path(), options.clone());
        let cache = set(&store, &bounded(durability, 1 << 20, Eviction::Sieve));
        for n in 0..4_000 {
            put(&store, &cache, &format!("{n:0>100}"), 0).unwrap();
        }
        let last = put(&store, &cache, "large", 900_000).unwrap();
        let before = contents(&store, &cache);
        assert!(
            before.contains_key(&b"large"[..]) && before.len() < 800,
            "{}",
            before.len()
        );
        assert!(store.keyspace_stats(&cache).bytes <= 1 << 20);
        block_on(store.wait_durable(last)).unwrap();
        drop(store);
        let store = open_with(dir.path(), options);
        let cache = store.keyspace("cache").unwrap();
        if durability != Durability::Memory {
            assert_eq!(contents(&store, &cache), before);
        }
    }
}

#[test]
fn a_lower_bound_is_reached_by_the_sweep_and_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let cache = set(
        &store,
        &bounded(Durability::Written, u64::MAX, Eviction::None),
    );
    for n in 0..2_000 {
        put(&store, &cache, &format!("{n}"), 100).unwrap();
    }
    assert!(store.keyspace_stats(&cache).bytes > 400_000);
    let cache = set(
        &store,
        &bounded(Durability::Written, 200 * KIB, Eviction::Sieve),
    );
    let fits = |store: &Store, cache: &Arc<Keyspace>, most| {
        wait_for("it never fitted", || {
            store.keyspace_stats(cache).bytes <= most
        });
    };
    fits(&store, &cache, 200 * KIB);
    // The shares of the many shards that it had before are small: with a start it gets fewer.
    let kept = contents(&store, &cache);
    assert!(kept.len() > 300, "{}", kept.len());
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    let cache = store.keyspace("cache").unwrap();
    assert_eq!(contents(&store, &cache), kept);
    set(
        &store,
        &bounded(Durability::Written, 100 * KIB, Eviction::Sieve),
    );
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    let cache = store.keyspace("cache").unwrap();
    fits(&store, &cache, 100 * KIB);
    let kept = contents(&store, &cache);
    assert!(kept.len() > 300, "{}", kept.len());
    put(&store, &cache, "large", 15_000).unwrap();
    assert!(store.keyspace_stats(&cache).bytes <= 100 * KIB);
}

#[test]
fn keys_as_long_as_they_may_be_leave_from_the_smallest_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 256 << 10,
        max_record_bytes: 80 << 10,
        ..options()
    };
    let store = open_with(dir.path(), options.clone());
    let cache = set(
        &store,
        &bounded(Durability::Written, 600 * KIB, Eviction::Sieve),
    );
    let key = |n: u8| vec![b'a' + n; 65_000];
    for n in 0..20 {
        let soon = (n % 3 == 0).then_some(1);
        put_until(&store, &cache, &key(n), 10, soon).unwrap();
        assert!(store.keyspace_stats(&cache).bytes <= 600 * KIB);
    }
    let wanted = set(
        &store,
        &bounded(Durability::Written, 200 * KIB, Eviction::Sieve),
    );
    wait_for("it never fitted", || {
        store.keyspace_stats(&wanted).bytes <= 200 * KIB
    });
    let kept = contents(&store, &cache);
    store.close().unwrap();
    drop(store);
    let store = open_with(dir.path(), options);
    assert_eq!(contents(&store, &store.keyspace("cache").unwrap()), kept);
}

#[test]
fn what_was_read_outlives_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let cache = set(
        &store,
        &bounded(Durability::Memory, 20 * KIB, Eviction::Sieve),
    );
    for n in 0..10 {
        put(&store, &cache, &format!("{n}"), 1_000).unwrap();
    }
    for n in 0..500 {
        for kept in 0..3 {
            let key = format!("{kept}");
            assert!(
                store.get(&cache, key.as_bytes()).entry.is_some(),
                "{key} after {n}"
            );
        }
        put(&store, &cache, &format!("other/{n}"), 1_000).unwrap();
    }
}
