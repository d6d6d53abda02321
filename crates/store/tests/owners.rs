//! Whose an entry is: what a source wrote is changed by that source alone, is found without a look at anything else, and
//! stays what it is over a crash. And until when a value is fresh.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Batched, Change, Clock, Conditions, Counted, Deleted, Draft, Durability, Entry, Failed, Filter,
    Holder, Increment, Keyspace, Level, Lifetime, Meta, Operation, Options, Policy, Progress,
    Putted, Seen, Store, Touched, Versions, Watcher, Writer, block_on,
};

const NONE: Conditions<'static> = Conditions {
    if_match: None,
    if_none_match: None,
};
/// What never holds where something is there.
const ABSENT: Conditions<'static> = Conditions {
    if_match: None,
    if_none_match: Some(Versions::Any),
};
const ONE: Writer<'static> = Writer::Source("one");

fn open(path: &Path) -> Store {
    open_at(path, Arc::new(Clock::system()))
}

fn open_at(path: &Path, clock: Arc<Clock>) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    Store::open(dir, clock, Options::default(), &Progress::new()).unwrap()
}

/// A keyspace of that durability.
fn keyspace(store: &Store, durability: Durability) -> Arc<Keyspace> {
    let name = durability.to_string();
    let set = block_on(store.set_keyspace(&name, &Policy::of(durability), 9)).unwrap();
    block_on(store.wait_durable(set.seen)).unwrap();
    store.keyspace(&name).unwrap()
}

fn draft(store: &Store, key: &str, value: &str, by: Writer<'_>, lifetime: Lifetime) -> Draft {
    let owner = match by {
        Writer::Source(name) => Some(name),
        Writer::Client | Writer::Fetch | Writer::Restore => None,
    };
    let meta = Meta {
        owner,
        ..Meta::of_type(Meta::TEXT)
    };
    let (key, len) = (key.as_bytes(), value.len());
    let draft = match by {
        Writer::Fetch => store.fetched_draft(key, len, &meta, lifetime),
        Writer::Client | Writer::Source(_) | Writer::Restore => {
            store.draft(key, len, &meta, lifetime)
        }
    };
    let mut draft = draft.unwrap();
    draft.fill(|place| place.copy_from_slice(value.as_bytes()));
    draft
}

fn put_if(store: &Store, keyspace: &Arc<Keyspace>, draft: Draft, when: &Conditions<'_>) -> Putted {
    let put = block_on(store.put(keyspace, draft, when, Level::Durable)).unwrap();
    let waits_for = put.seen.max(put.own.unwrap_or(0));
    block_on(store.wait_durable(waits_for)).unwrap();
    put.outcome
}

fn put(store: &Store, keyspace: &Arc<Keyspace>, key: &str, by: Writer<'_>) -> Putted {
    let draft = draft(store, key, "1", by, Lifetime::FOREVER);
    put_if(store, keyspace, draft, &NONE)
}

fn is_stored(outcome: &Putted) -> bool {
    matches!(outcome, Putted::Stored { .. })
}

fn owned(store: &Store, keyspace: &Keyspace) -> BTreeMap<String, String> {
    let one = |entry: &Entry| {
        let key = String::from_utf8(entry.key().to_vec()).unwrap();
        let owner = store.facts(entry).owner.clone().unwrap();
        (key, owner.as_ref().to_owned())
    };
    store.owned(keyspace).entries.iter().map(one).collect()
}

fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, owner)| ((*key).to_owned(), (*owner).to_owned()))
        .collect()
}

#[test]
fn a_client_changes_nothing_that_a_source_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for durability in [Durability::Synced, Durability::Memory] {
        let keyspace = keyspace(&store, durability);
        assert!(is_stored(&put(&store, &keyspace, "n", ONE)));
        let last = store.last_revision();
        let held = Holder::Source("one".into());
        let version = store.version(&store.get(&keyspace, b"n").entry.unwrap());
        // Whatever the conditions say: they are not looked at.
        let current = [version];
        let holds = Conditions {
            if_match: Some(Versions::OneOf(&current)),
            if_none_match: None,
        };
        for when in [&NONE, &ABSENT, &holds] {
            let draft = draft(&store, "n", "2", Writer::Client, Lifetime::FOREVER);
            let refused = put_if(&store, &keyspace, draft, when);
            assert_eq!(refused, Putted::Foreign(held.clone()));
            let delete = store.delete(&keyspace, b"n", when, Writer::Client, Level::Durable);
            let delete = block_on(delete).unwrap();
            assert_eq!(delete.outcome, Deleted::Foreign(held.clone()));
            assert!(delete.own.is_none() && delete.seen >= version.revision);
            let (soon, level) = (Lifetime::until(Some(u64::MAX)), Level::Durable);
            let touch = store.touch(&keyspace, b"n", soon, when, Writer::Client, level);
            let Touched::Foreign(holder) = block_on(touch).unwrap().outcome else {
                panic!("it was touched")
            };
            assert_eq!(holder, held);
        }
        let increment = Increment::default();
        let counted = store.increment(&keyspace, b"n", &increment, Level::Durable);
        assert_eq!(
            block_on(counted).unwrap().outcome,
            Counted::Foreign(held.clone())
        );
        for operation in [
            Operation::Put {
                draft: draft(&store, "n", "2", Writer::Client, Lifetime::FOREVER),
                when: NONE,
            },
            Operation::Delete {
                key: b"n",
                when: NONE,
            },
            Operation::Increment {
                key: b"n",
                increment,
            },
        ] {
            let other = Operation::Put {
                draft: draft(&store, "other", "2", Writer::Client, Lifetime::FOREVER),
                when: NONE,
            };
            let batch = store.batch(&keyspace, vec![other, operation], Level::Durable);
            let Batched::Failed { index, why } = block_on(batch).unwrap().outcome else {
                panic!("it was done")
            };
            assert_eq!((index, why), (1, Failed::Foreign(held.clone())));
        }
        assert_eq!(store.last_revision(), last);
        assert!(store.get(&keyspace, b"other").entry.is_none());
        assert_eq!(store.get(&keyspace, b"n").entry.unwrap().value(), b"1");
    }
}

#[test]
fn a_source_writes_absent_keys_and_its_own_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Clock::manual(1_800_000_000_000));
    let store = open_at(dir.path(), Arc::clone(&clock));
    let keyspace = keyspace(&store, Durability::Synced);
    let two = Writer::Source("two");
    let soon = Lifetime::until(Some(clock.now_ms() + 1_000));
    assert!(is_stored(&put(&store, &keyspace, "client", Writer::Client)));
    let fleeting = draft(&store, "fleeting", "1", Writer::Client, soon);
    assert!(is_stored(&put_if(&store, &keyspace, fleeting, &NONE)));
    assert_eq!(
        put(&store, &keyspace, "client", ONE),
        Putted::Foreign(Holder::Client)
    );
    assert_eq!(
        put(&store, &keyspace, "fleeting", ONE),
        Putted::Foreign(Holder::Client)
    );
    clock.advance(1_000);
    for _ in 0..2 {
        assert!(is_stored(&put(&store, &keyspace, "fleeting", ONE)));
    }
    let other = Holder::Source("one".into());
    assert_eq!(
        put(&store, &keyspace, "fleeting", two),
        Putted::Foreign(other.clone())
    );
    let delete = |key: &[u8], by| {
        let delete = store.delete(&keyspace, key, &NONE, by, Level::Durable);
        block_on(delete).unwrap().outcome
    };
    // What is fetched changes what a client may.
    let fetch = |key| put(&store, &keyspace, key, Writer::Fetch);
    assert_eq!(fetch("fleeting"), Putted::Foreign(other.clone()));
    assert!(is_stored(&fetch("client")));
    assert_eq!(
        delete(b"fleeting", Writer::Fetch),
        Deleted::Foreign(other.clone())
    );
    assert_eq!(delete(b"client", ONE), Deleted::Foreign(Holder::Client));
    assert_eq!(delete(b"fleeting", two), Deleted::Foreign(other));
    assert_eq!(delete(b"fleeting", ONE), Deleted::Removed);
    assert_eq!(delete(b"fleeting", ONE), Deleted::Absent);
    // A deleted key is anybody's.
    assert!(is_stored(&put(&store, &keyspace, "fleeting", two)));
    let expired = draft(&store, "expired", "1", ONE, Lifetime::until(Some(1)));
    assert!(is_stored(&put_if(&store, &keyspace, expired, &NONE)));
    assert!(is_stored(&put(
        &store,
        &keyspace,
        "expired",
        Writer::Client
    )));
    assert_eq!(owned(&store, &keyspace), names(&[("fleeting", "two")]));
}

#[test]
fn who_restores_a_backup_writes_over_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keyspace = keyspace(&store, Durability::Synced);
    for by in [ONE, Writer::Client, Writer::Source("two")] {
        let owner = match by {
            Writer::Source(name) => Some(name),
            Writer::Client | Writer::Fetch | Writer::Restore => None,
        };
        let meta = Meta {
            owner,
            ..Meta::of_type(Meta::TEXT)
        };
        let draft = store.restored_draft(b"key", 0, &meta, Lifetime::FOREVER, Some(7));
        assert!(is_stored(&put_if(&store, &keyspace, draft.unwrap(), &NONE)));
        let entry = store.get(&keyspace, b"key").entry.unwrap();
        assert_eq!(store.facts(&entry).as_meta(), meta);
        assert_eq!(entry.created_at_ms(), 7);
    }
}

#[test]
fn what_sources_wrote_is_found_whoever_else_wrote_and_also_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Clock::manual(1_800_000_000_000));
    let soon = Lifetime::until(Some(clock.now_ms() + 1_000));
    let wanted = names(&[("a", "one"), ("b", "one"), ("c", "two")]);
    {
        let store = open_at(dir.path(), Arc::clone(&clock));
        let keyspace = keyspace(&store, Durability::Synced);
        for n in 0..2_000 {
            put(&store, &keyspace, &format!("{n}"), Writer::Client);
        }
        for key in ["a", "b", "gone"] {
            put(&store, &keyspace, key, ONE);
        }
        put(&store, &keyspace, "c", Writer::Source("two"));
        let fleeting = draft(&store, "fleeting", "1", ONE, soon);
        put_if(&store, &keyspace, fleeting, &NONE);
        let delete = store.delete(&keyspace, b"gone", &NONE, ONE, Level::Durable);
        let own = block_on(delete).unwrap().own.unwrap();
        assert_eq!(owned(&store, &keyspace).len(), 4);
        // Whoever is told that it is gone waits until that is on disk.
        assert!(store.owned(&keyspace).seen >= own);
        clock.advance(1_000);
        assert_eq!(owned(&store, &keyspace), wanted);
    }
    let store = open_at(dir.path(), Arc::clone(&clock));
    let synced = store.keyspace("synced").unwrap();
    assert_eq!(owned(&store, &synced), wanted, "out of the log");
    block_on(store.compact()).unwrap();
    drop(store);
    let store = open_at(dir.path(), Arc::clone(&clock));
    let synced = store.keyspace("synced").unwrap();
    assert_eq!(owned(&store, &synced), wanted, "out of a snapshot");
    block_on(store.flush(&synced, Level::Durable)).unwrap();
    assert!(owned(&store, &synced).is_empty(), "a flush takes all");
}

#[test]
fn until_when_a_value_is_fresh_survives_and_goes_with_a_new_ttl() {
    let dir = tempfile::tempdir().unwrap();
    let later = Clock::system().now_ms() + 3_600_000;
    let lifetime = Lifetime {
        expires_at_ms: Some(later),
        stale_at_ms: Some(later - 1),
    };
    let entry = |store: &Store, key: &[u8]| {
        let keyspace = store.keyspace("synced").unwrap();
        store.get(&keyspace, key).entry.unwrap()
    };
    let own = {
        let store = open(dir.path());
        let keyspace = keyspace(&store, Durability::Synced);
        for key in ["a", "touched", "n"] {
            let draft = draft(&store, key, "1", Writer::Client, lifetime);
            assert!(is_stored(&put_if(&store, &keyspace, draft, &NONE)));
        }
        assert_eq!(entry(&store, b"a").lifetime(), lifetime);
        let (until, level) = (Lifetime::until(Some(later)), Level::Durable);
        let touch = store.touch(&keyspace, b"touched", until, &NONE, Writer::Client, level);
        let touch = block_on(touch).unwrap();
        let increment = Increment::default();
        block_on(store.increment(&keyspace, b"n", &increment, level)).unwrap();
        block_on(store.wait_durable(store.last_revision())).unwrap();
        touch.own.unwrap()
    };
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(entry(&store, b"a").lifetime(), lifetime);
        let touched = entry(&store, b"touched");
        assert_eq!(touched.lifetime(), Lifetime::until(Some(later)));
        assert_eq!(touched.revision(), own);
        // What was counted is another value.
        assert_eq!(entry(&store, b"n").lifetime(), Lifetime::until(Some(later)));
        block_on(store.compact()).unwrap();
    }
}

fn next(watcher: &mut Watcher) -> (Option<u64>, Vec<u8>) {
    let seen = block_on(poll_fn(|context| watcher.poll_seen(context, 1)));
    let Seen::Events(events) = seen else {
        panic!("{seen:?}")
    };
    let event = events.first().unwrap();
    let value = match event.change() {
        Change::Put(entry) => entry.value().to_vec(),
        Change::Delete(_) => b"gone".to_vec(),
        other @ (Change::Expire(_) | Change::Evict(_) | Change::Flush(_) | Change::Dropped) => {
            panic!("{other:?}")
        }
    };
    (event.position().map(|position| position.revision), value)
}

#[test]
fn what_is_only_announced_comes_in_order_to_those_who_watch_and_to_nobody_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for durability in [Durability::Synced, Durability::Written, Durability::Memory] {
        let keyspace = keyspace(&store, durability);
        let everything = || Filter::Prefix([].into());
        let begin = |behind| store.watch(&keyspace, everything(), behind).unwrap();
        let mut watcher = begin(None);
        let before = store.place(watcher.position());
        let announce = |value: &str| {
            let draft = draft(&store, "key", value, Writer::Client, Lifetime::FOREVER);
            let entry = store.unstored(draft);
            store.announce(&keyspace, entry.clone());
            entry
        };
        let stored = |value: &str| {
            let draft = draft(&store, "key", value, Writer::Client, Lifetime::FOREVER);
            let put = block_on(store.put(&keyspace, draft, &NONE, Level::Durable)).unwrap();
            put.own.unwrap()
        };
        let first = stored("1");
        let entries = [announce("2"), announce("3")];
        let second = stored("4");
        store.announce_removed(&keyspace, b"key");
        for wanted in [
            (Some(first), &b"1"[..]),
            (None, b"2"),
            (None, b"3"),
            (Some(second), b"4"),
            (None, b"gone"),
        ] {
            assert_eq!(next(&mut watcher), (wanted.0, wanted.1.to_vec()));
        }
        // It is not stored, and has a version of its own.
        assert_eq!(store.get(&keyspace, b"key").entry.unwrap().value(), b"4");
        let announced = entries.map(|entry| store.version(&entry).revision);
        let drawn = store.unstored_version().revision;
        let all = BTreeSet::from([announced[0], announced[1], drawn, first, second]);
        assert_eq!(all.len(), 5);
        // Who comes back, or comes later, is told of changes alone.
        let mut back = begin(Some(before));
        assert_eq!(next(&mut back), (Some(first), b"1".to_vec()));
        assert_eq!(next(&mut back), (Some(second), b"4".to_vec()));
        let mut late = begin(None);
        let third = stored("5");
        for watcher in [&mut back, &mut late, &mut watcher] {
            assert_eq!(next(watcher), (Some(third), b"5".to_vec()));
        }
    }
}
