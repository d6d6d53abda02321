//! Watches: nothing is told that a crash could take back, and whoever comes back is told the rest, each event once.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use standpipe_store::fs::fault::{AllLost, Call, Seeded, SimDir};
use standpipe_store::{
    Change, Conditions, Durability, Event, Filter, Keyspace, Level, Operation, Options, Place,
    Policy, Position, Seen, Store, Watcher, Writer,
};

use crate::harness::{self, block_on, default_keyspace, draft, open, rounds};

/// An event, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    place: (u64, u64, u32),
    what: String,
}

fn told(store: &Store, event: &Event) -> Told {
    let Place { mark, position } = store.place(event.position().unwrap());
    let what = match event.change() {
        Change::Put(entry) => format!("put {:?} {:?}", entry.key(), entry.value()),
        Change::Delete(entry) => format!("delete {:?}", entry.key()),
        Change::Expire(entry) => format!("expire {:?}", entry.key()),
        Change::Evict(entry) => format!("evict {:?}", entry.key()),
        Change::Flush(flushed) => format!("{flushed:?}"),
        Change::Dropped => "dropped".to_owned(),
    };
    Told {
        place: (mark, position.revision, position.index),
        what,
    }
}

fn everything(store: &Store, keyspace: &Arc<Keyspace>, behind: Option<Place>) -> Watcher {
    let filter = Filter::Prefix([].into());
    store.watch(keyspace, filter, behind).unwrap()
}

/// What can be told at once.
fn at_once(store: &Store, watcher: &mut Watcher) -> Vec<Told> {
    let context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(seen) = watcher.poll_seen(&context, 3) {
        let Seen::Events(events) = seen else {
            panic!("{seen:?}")
        };
        all.extend(events.iter().map(|event| told(store, event)));
    }
    all
}

/// What comes next, at least one event.
fn next(store: &Store, watcher: &mut Watcher) -> Vec<Told> {
    let seen = block_on(poll_fn(|context| watcher.poll_seen(context, 3)));
    let Seen::Events(events) = seen else {
        panic!("{seen:?}")
    };
    events.iter().map(|event| told(store, event)).collect()
}

/// Behind the change that made `default`, the first of every store.
fn beginning(store: &Store) -> Place {
    store.place(Position::whole(1))
}

/// No snapshot comes in between, so that everything is kept from the beginning.
fn options() -> Options {
    Options {
        compaction_min_bytes: 1 << 40,
        ..harness::small()
    }
}

/// One change of the kind that the dice say.
fn change(store: &Store, keyspace: &Arc<Keyspace>, dice: &mut Seeded, n: u64) {
    let key = format!("key {}", dice.below(5));
    let key = key.as_bytes();
    let value = format!("value {n}");
    let level = [Level::Written, Level::Durable][dice.below(2)];
    let when = Conditions::default();
    let put = |key: &[u8]| draft(store, key, value.as_bytes(), "a/b", None);
    match dice.below(8) {
        0 => drop(block_on(store.flush(keyspace, level)).unwrap()),
        1 => drop(block_on(store.delete_prefix(keyspace, b"key", level)).unwrap()),
        2 => drop(block_on(store.delete(keyspace, key, &when, Writer::Client, level)).unwrap()),
        3 | 4 => {
            let operations = vec![
                Operation::Delete { key, when },
                Operation::Put {
                    draft: put(b"one"),
                    when,
                },
                Operation::Put {
                    draft: put(b"two"),
                    when,
                },
            ];
            drop(block_on(store.batch(keyspace, operations, level)).unwrap());
        }
        _ => drop(block_on(store.put(keyspace, put(key), &when, level)).unwrap()),
    }
}

/// Looks at a crash image: what was told is there, in its place, and nothing is told differently from there on.
fn check_image(sim: &SimDir, dice: &mut Seeded, options: &Options, told: &[Told]) {
    let image = sim.crash_image(dice);
    let after = open(&image, options, &harness::clock()).unwrap();
    let keyspace = default_keyspace(&after);
    let behind = Some(beginning(&after));
    let mut watcher = everything(&after, &keyspace, behind);
    let again = at_once(&after, &mut watcher);
    assert!(
        again.starts_with(told),
        "told before the crash: {told:#?}\nknown after it: {again:#?}"
    );
    // Whoever comes back behind the last event that it was told gets exactly the rest.
    if let Some(last) = told.last() {
        let (mark, revision, index) = last.place;
        let position = Position { revision, index };
        let mut watcher = everything(&after, &keyspace, Some(Place { mark, position }));
        let rest = at_once(&after, &mut watcher);
        assert_eq!(rest, again[told.len()..]);
    }
}

#[test]
fn nothing_is_told_that_a_crash_takes_back() {
    for seed in 1..=rounds("STANDPIPE_WATCHES", 40) {
        let mut dice = Seeded::new(seed);
        let (sim, clock, options) = (SimDir::new(), harness::clock(), options());
        let store = open(&sim, &options, &clock).unwrap();
        let keyspace = default_keyspace(&store);
        let mut watcher = everything(&store, &keyspace, None);
        let mut heard = Vec::new();
        for n in 0..60 {
            change(&store, &keyspace, &mut dice, n);
            if dice.below(3) == 0 {
                heard.extend(at_once(&store, &mut watcher));
                check_image(&sim, &mut dice, &options, &heard);
            }
        }
        // In the end everything is told.
        let last = block_on(store.flush(&keyspace, Level::Durable)).unwrap();
        let last = last.own.unwrap();
        while heard.last().is_none_or(|told| told.place.1 < last) {
            heard.extend(next(&store, &mut watcher));
        }
        check_image(&sim, &mut dice, &options, &heard);
        store.close().unwrap();
    }
}

/// Lets held calls go on also where a test fails: the store's threads are joined on the way out.
struct Held<'a>(&'a SimDir);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release(Call::SyncData);
    }
}

#[test]
fn what_is_written_and_not_durable_is_told_only_where_that_was_promised() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), options());
    let store = open(&sim, &options, &clock).unwrap();
    let policy = Policy {
        durability: Durability::Written,
        ..Policy::default()
    };
    let made = block_on(store.set_keyspace("written", &policy, 9)).unwrap();
    block_on(store.wait_durable(made.own.unwrap())).unwrap();
    let written = store.keyspace("written").unwrap();
    let synced = default_keyspace(&store);
    let mut watches = [&synced, &written].map(|keyspace| everything(&store, keyspace, None));
    sim.hold(Call::SyncData, "wal-");
    let held = Held(&sim);
    for keyspace in [&synced, &written] {
        let draft = draft(&store, b"k", b"v", "a/b", None);
        let when = Conditions::default();
        block_on(store.put(keyspace, draft, &when, Level::Written)).unwrap();
    }
    // Whoever is told of the second change was passed by the first.
    assert_eq!(next(&store, &mut watches[1]).len(), 1);
    assert_eq!(at_once(&store, &mut watches[0]), []);
    let image = sim.crash_image(&mut AllLost);
    let after = open(&image, &options, &clock).unwrap();
    assert!(after.get(&default_keyspace(&after), b"k").entry.is_none());
    drop(held);
    assert_eq!(next(&store, &mut watches[0]).len(), 1);
}

#[test]
fn a_watch_goes_on_inside_a_batch_also_after_a_crash() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), options());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    let mut watcher = everything(&store, &keyspace, None);
    let when = Conditions::default();
    let operations: Vec<_> = [&b"a"[..], b"b", b"c", b"d"]
        .map(|key| Operation::Put {
            draft: draft(&store, key, b"v", "a/b", None),
            when,
        })
        .into();
    block_on(store.batch(&keyspace, operations, Level::Durable)).unwrap();
    let mut all = Vec::new();
    while all.len() < 4 {
        all.extend(next(&store, &mut watcher));
    }
    let after = open(&sim.crash_image(&mut AllLost), &options, &clock).unwrap();
    for store in [&store, &after] {
        let keyspace = default_keyspace(store);
        for (n, last) in all.iter().enumerate() {
            let (mark, revision, index) = last.place;
            let position = Position { revision, index };
            let mut watcher = everything(store, &keyspace, Some(Place { mark, position }));
            assert_eq!(at_once(store, &mut watcher), all[n + 1..], "behind {n}");
        }
    }
}

#[test]
fn a_place_that_a_crash_took_back_is_not_known() {
    let (sim, clock, mut options) = (SimDir::new(), harness::clock(), options());
    // Nothing is synced by itself.
    options.sync_interval = std::time::Duration::from_hours(1);
    let store = open(&sim, &options, &clock).unwrap();
    let policy = Policy {
        durability: Durability::Written,
        ..Policy::default()
    };
    let made = block_on(store.set_keyspace("default", &policy, 9)).unwrap();
    block_on(store.wait_durable(made.own.unwrap())).unwrap();
    let keyspace = default_keyspace(&store);
    let mut watcher = everything(&store, &keyspace, None);
    let put = |store: &Store| {
        let draft = draft(store, b"k", b"v", "a/b", None);
        let when = Conditions::default();
        let keyspace = default_keyspace(store);
        block_on(store.put(&keyspace, draft, &when, Level::Written)).unwrap()
    };
    put(&store);
    let heard = next(&store, &mut watcher);
    let after = open(&sim.crash_image(&mut AllLost), &options, &clock).unwrap();
    // The number is given out once more, by another start.
    assert_eq!(put(&after).own, Some(heard[0].place.1));
    let (mark, revision, index) = heard[0].place;
    let place = Place {
        mark,
        position: Position { revision, index },
    };
    let filter = Filter::Prefix([].into());
    let again = after.watch(&default_keyspace(&after), filter, Some(place));
    assert!(
        again.is_err(),
        "what followed there is not what follows here"
    );
}
