//! Counters, changes of an expiry, deletes by prefix: what each does, and what is left of it after a crash.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::thread;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Batch, Batched, Clock, Conditions, Counted, Done, Durability, Failed, Increment, Keyspace,
    Level, Lifetime, Meta, Operation, Options, Policy, Progress, Store, Touched, Version, Versions,
    Writer, block_on,
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

fn default(store: &Store) -> Arc<Keyspace> {
    store.keyspace("default").unwrap()
}

fn put(store: &Store, key: &str, meta: &Meta<'_>, value: &[u8]) -> Version {
    let mut draft = store
        .draft(key.as_bytes(), value.len(), meta, Lifetime::FOREVER)
        .unwrap();
    draft.fill(|place| place.copy_from_slice(value));
    let put = block_on(store.put(&default(store), draft, &NONE, Level::Durable)).unwrap();
    block_on(store.wait_durable(put.own.unwrap())).unwrap();
    store.version(&store.get(&default(store), key.as_bytes()).entry.unwrap())
}

fn add(store: &Store, key: &str, increment: &Increment) -> Counted {
    let keyspace = default(store);
    let done =
        block_on(store.increment(&keyspace, key.as_bytes(), increment, Level::Durable)).unwrap();
    block_on(store.wait_durable(done.seen.max(done.own.unwrap_or(0)))).unwrap();
    done.outcome
}

fn counted(store: &Store, key: &str, increment: &Increment) -> (i64, i64, bool) {
    match add(store, key, increment) {
        Counted::Added {
            value,
            previous,
            created,
            ..
        } => (value, previous, created),
        refused @ (Counted::OutOfRange { .. }
        | Counted::NotACounter
        | Counted::Foreign(_)
        | Counted::PendingOutOfRange { .. }) => {
            panic!("{refused:?}")
        }
    }
}

fn by(by: i64) -> Increment {
    Increment {
        by,
        ..Increment::default()
    }
}

fn value(store: &Store, key: &str) -> Option<Vec<u8>> {
    let entry = store.get(&default(store), key.as_bytes()).entry?;
    Some(entry.value().to_vec())
}

#[test]
fn a_counter_is_its_number_as_text_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(counted(&store, "n", &by(1)), (1, 0, true));
    assert_eq!(counted(&store, "n", &by(-5)), (-4, 1, false));
    let from = Increment {
        initial: 100,
        ..by(7)
    };
    assert_eq!(counted(&store, "m", &from), (107, 100, true));
    put(&store, "text", &Meta::of_type("text/plain"), b"41");
    assert_eq!(counted(&store, "text", &by(1)), (42, 41, false));
    drop(store);
    let store = open(dir.path());
    assert_eq!(value(&store, "n").unwrap(), b"-4");
    assert_eq!(value(&store, "m").unwrap(), b"107");
    let entry = store.get(&default(&store), b"text").entry.unwrap();
    assert_eq!(entry.value(), b"42");
    assert_eq!(&*store.facts(&entry).content_type, Meta::TEXT);
    assert_eq!(store.number(&entry), Some(42));
}

#[test]
fn what_is_no_counter_or_out_of_range_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let text = Meta::of_type(Meta::TEXT);
    for (n, wrong) in [
        "",
        "x",
        "1.0",
        "007",
        "+7",
        "-0",
        "7 ",
        "7\n",
        "9223372036854775808",
    ]
    .iter()
    .enumerate()
    {
        let key = format!("wrong{n}");
        let before = put(&store, &key, &text, wrong.as_bytes());
        assert_eq!(add(&store, &key, &by(1)), Counted::NotACounter, "{wrong:?}");
        let after = store.get(&default(&store), key.as_bytes()).entry.unwrap();
        assert_eq!(store.version(&after), before);
    }
    put(&store, "json", &Meta::of_type("application/json"), b"7");
    assert_eq!(add(&store, "json", &by(1)), Counted::NotACounter);
    let brotli = Meta {
        content_encoding: Some("br"),
        ..text
    };
    put(&store, "br", &brotli, b"7");
    assert_eq!(add(&store, "br", &by(1)), Counted::NotACounter);
    let most = i64::MAX.to_string();
    put(&store, "most", &text, most.as_bytes());
    assert_eq!(
        add(&store, "most", &by(1)),
        Counted::OutOfRange { current: i64::MAX }
    );
    let bounded = Increment {
        min: Some(0),
        max: Some(10),
        ..by(11)
    };
    assert_eq!(
        add(&store, "new", &bounded),
        Counted::OutOfRange { current: 0 }
    );
    assert_eq!(value(&store, "new"), None);
    assert_eq!(
        counted(&store, "new", &Increment { by: 10, ..bounded }).0,
        10
    );
    assert_eq!(
        add(&store, "new", &Increment { by: -11, ..bounded }),
        Counted::OutOfRange { current: 10 }
    );
}

#[test]
fn many_clients_on_one_counter_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..250 {
                    add(&store, "n", &by(1));
                }
            });
        }
    });
    drop(store);
    assert_eq!(value(&open(dir.path()), "n").unwrap(), b"4000");
}

#[test]
fn a_ttl_of_a_counter_is_for_its_creation() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let later = store.clock().now_ms() + 1_000_000;
    let first = Increment {
        expires_at_ms: Some(later),
        ..by(1)
    };
    counted(&store, "n", &first);
    let second = Increment {
        expires_at_ms: Some(later + 5),
        ..by(1)
    };
    counted(&store, "n", &second);
    drop(store);
    let store = open(dir.path());
    let entry = store.get(&default(&store), b"n").entry.unwrap();
    assert_eq!(
        (entry.value(), entry.expires_at_ms()),
        (&b"2"[..], Some(later))
    );
}

#[test]
fn an_expiry_changes_without_the_value_and_survives() {
    for compact in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keyspace = default(&store);
        let before = put(&store, "a", &Meta::of_type("x/y"), b"value");
        let created = store.get(&keyspace, b"a").entry.unwrap().created_at_ms();
        let later = store.clock().now_ms() + 1_000_000;
        let touch = |at, when: &Conditions<'_>| {
            let touch = block_on(store.touch(
                &keyspace,
                b"a",
                Lifetime::until(at),
                when,
                Writer::Client,
                Level::Durable,
            ))
            .unwrap();
            block_on(store.wait_durable(touch.seen.max(touch.own.unwrap_or(0)))).unwrap();
            (touch.outcome, touch.own)
        };
        let (Touched::Set(entry), Some(_)) = touch(Some(later), &NONE) else {
            panic!("it was there")
        };
        assert_ne!(store.version(&entry), before);
        assert_eq!(entry.created_at_ms(), created);
        let same = touch(Some(later), &NONE);
        assert!(matches!(same, (Touched::Set(_), None)), "nothing to change");
        let stale = [before];
        let when = Conditions {
            if_match: Some(Versions::OneOf(&stale)),
            if_none_match: None,
        };
        assert!(matches!(
            touch(None, &when),
            (Touched::Refused { current: Some(_) }, None)
        ));
        if compact {
            block_on(store.compact()).unwrap();
        }
        drop(store);
        let store = open(dir.path());
        let entry = store.get(&default(&store), b"a").entry.unwrap();
        assert_eq!(entry.value(), b"value");
        assert_eq!(entry.expires_at_ms(), Some(later));
        assert_eq!(entry.created_at_ms(), created);
        assert_eq!(&*store.facts(&entry).content_type, "x/y");
        let gone = block_on(store.touch(
            &default(&store),
            b"b",
            Lifetime::FOREVER,
            &NONE,
            Writer::Client,
            Level::Durable,
        ));
        assert!(matches!(gone.unwrap().outcome, Touched::Absent));
    }
}

#[test]
fn a_delete_by_prefix_takes_all_of_them_and_nobody_else() {
    for durability in [Durability::Synced, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        block_on(store.set_keyspace("k", &Policy::of(durability), 9)).unwrap();
        let keyspace = store.keyspace("k").unwrap();
        let owned = Meta {
            owner: Some("source"),
            ..Meta::of_type(Meta::TEXT)
        };
        let keys = (0..3_500).map(|n| format!("user/{n}"));
        for key in keys.chain([
            "user".to_owned(),
            "userz".to_owned(),
            "user/owned".to_owned(),
        ]) {
            let meta = if key.ends_with("owned") {
                owned
            } else {
                Meta::of_type(Meta::TEXT)
            };
            let draft = store
                .draft(key.as_bytes(), 0, &meta, Lifetime::FOREVER)
                .unwrap();
            block_on(store.put(&keyspace, draft, &NONE, Level::Written)).unwrap();
        }
        assert_eq!(
            block_on(store.count_prefix(&keyspace, b"user/")).flushed,
            3_500
        );
        let deleted = block_on(store.delete_prefix(&keyspace, b"user/", Level::Durable)).unwrap();
        assert_eq!(deleted.flushed, 3_500);
        block_on(store.wait_durable(deleted.own.unwrap())).unwrap();
        let left = |store: &Store| {
            let keyspace = store.keyspace("k").unwrap();
            let scan = store.scan(&keyspace, b"", None, 10);
            let keys = scan
                .entries
                .iter()
                .map(|entry| String::from_utf8_lossy(entry.key()).into_owned());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(left(&store), ["user", "user/owned", "userz"]);
        let again = block_on(store.delete_prefix(&keyspace, b"user/", Level::Durable)).unwrap();
        assert_eq!((again.flushed, again.own), (0, None));
        drop(store);
        if durability == Durability::Synced {
            assert_eq!(left(&open(dir.path())), ["user", "user/owned", "userz"]);
        }
    }
}

fn operation_put<'a>(
    store: &Store,
    key: &str,
    value: &[u8],
    when: Conditions<'a>,
) -> Operation<'a> {
    let meta = Meta::of_type("x/y");
    let mut draft = store
        .draft(key.as_bytes(), value.len(), &meta, Lifetime::FOREVER)
        .unwrap();
    draft.fill(|place| place.copy_from_slice(value));
    Operation::Put { draft, when }
}

fn batch(store: &Store, operations: Vec<Operation<'_>>) -> Batch {
    let batch = block_on(store.batch(&default(store), operations, Level::Durable)).unwrap();
    block_on(store.wait_durable(batch.seen.max(batch.own.unwrap_or(0)))).unwrap();
    batch
}

#[test]
fn a_batch_does_everything_in_one_step_and_survives_as_one() {
    for durability in [Durability::Synced, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        block_on(store.set_keyspace("default", &Policy::of(durability), 9)).unwrap();
        put(&store, "gone", &Meta::of_type(Meta::TEXT), b"x");
        put(&store, "read", &Meta::of_type(Meta::TEXT), b"before");
        let large = vec![7; 300_000];
        let operations = vec![
            operation_put(&store, "a", b"1", NONE),
            Operation::Delete {
                key: b"gone",
                when: NONE,
            },
            Operation::Delete {
                key: b"never",
                when: NONE,
            },
            Operation::Get { key: b"read" },
            Operation::Increment {
                key: b"n",
                increment: by(5),
            },
            operation_put(&store, "large", &large, NONE),
        ];
        let Batch {
            outcome: Batched::Done(done),
            own: Some(own),
            ..
        } = batch(&store, operations)
        else {
            panic!("nothing can refuse it")
        };
        let versions: Vec<_> = done
            .iter()
            .filter_map(|done| match done {
                Done::Put {
                    version,
                    created: true,
                }
                | Done::Incremented {
                    value: 5,
                    previous: 0,
                    version,
                } => Some(version.revision),
                Done::Deleted { existed } => Some(u64::from(*existed)),
                Done::Got(Some(entry)) => Some(u64::try_from(entry.value().len()).unwrap()),
                Done::Put { .. } | Done::Incremented { .. } | Done::Got(None) => None,
            })
            .collect();
        assert_eq!(versions, [own, 1, 0, 6, own, own]);
        let check = |store: &Store| {
            assert_eq!(value(store, "a").unwrap(), b"1");
            assert_eq!(value(store, "n").unwrap(), b"5");
            assert_eq!(value(store, "large").unwrap(), large);
            assert_eq!(value(store, "gone"), None);
            assert_eq!(store.stats().entries, 4);
            let entry = store.get(&default(store), b"a").entry.unwrap();
            assert_eq!(
                (entry.revision(), &*store.facts(&entry).content_type),
                (own, "x/y")
            );
        };
        check(&store);
        drop(store);
        if durability == Durability::Synced {
            check(&open(dir.path()));
        }
    }
}

#[test]
fn a_batch_that_cannot_be_done_whole_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "text", &Meta::of_type(Meta::TEXT), b"x");
    let before = store.stats().log.last_revision;
    let any = Conditions {
        if_match: Some(Versions::Any),
        if_none_match: None,
    };
    let full = Increment {
        max: Some(0),
        ..by(1)
    };
    let refusals = [
        (
            operation_put(&store, "absent", b"2", any),
            Failed::Refused { current: None },
        ),
        (
            Operation::Delete {
                key: b"absent",
                when: any,
            },
            Failed::Refused { current: None },
        ),
        (
            Operation::Increment {
                key: b"text",
                increment: by(1),
            },
            Failed::NotACounter,
        ),
        (
            Operation::Increment {
                key: b"n",
                increment: full,
            },
            Failed::OutOfRange { current: 0 },
        ),
        (Operation::Get { key: b"a" }, Failed::Repeated),
    ];
    for (operation, expected) in refusals {
        let first = operation_put(&store, "a", b"1", NONE);
        let Batched::Failed { index: 1, why } = batch(&store, vec![first, operation]).outcome
        else {
            panic!("{expected:?} was done")
        };
        assert_eq!(why, expected);
        assert_eq!(value(&store, "a"), None);
    }
    assert_eq!(store.stats().log.last_revision, before);
    let read = batch(
        &store,
        vec![
            Operation::Get { key: b"text" },
            Operation::Get { key: b"a" },
        ],
    );
    assert!(read.own.is_none() && read.seen > 0);
    assert!(matches!(batch(&store, Vec::new()).outcome, Batched::Done(done) if done.is_empty()));
}

#[test]
fn transfers_between_counters_keep_the_sum_whatever_order_their_keys_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys: Vec<String> = (0..8).map(|n| format!("account/{n}")).collect();
    for key in &keys {
        add(&store, key, &by(100));
    }
    thread::scope(|scope| {
        for worker in 0..8_usize {
            let (store, keys) = (&store, &keys);
            scope.spawn(move || {
                for n in 0..200_usize {
                    let (from, to) = (&keys[n * n % 8], &keys[(worker * 3 + n * 5 + 1) % 8]);
                    let amount = i64::try_from(worker + n % 5).unwrap();
                    if from != to {
                        let from = Operation::Increment {
                            key: from.as_bytes(),
                            increment: Increment {
                                min: Some(0),
                                ..by(-amount)
                            },
                        };
                        let to = Operation::Increment {
                            key: to.as_bytes(),
                            increment: by(amount),
                        };
                        batch(store, vec![from, to]);
                    }
                }
            });
        }
    });
    drop(store);
    let store = open(dir.path());
    let number = |key: &String| {
        let entry = store.get(&default(&store), key.as_bytes()).entry.unwrap();
        store.number(&entry).unwrap()
    };
    assert_eq!(keys.iter().map(number).sum::<i64>(), 800);
    assert!(keys.iter().map(number).any(|number| number != 100));
}
