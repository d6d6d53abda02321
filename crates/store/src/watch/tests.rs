//! The hub by itself: order, promises, falling behind, coming back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::*;
use crate::map::{Contents, Keyspace, Shard};
use crate::options::Policy;
use crate::record::KeyspaceRecord;
use crate::wait::block_on;

fn keyspace(id: u32, durability: Durability) -> Arc<Keyspace> {
    let record = KeyspaceRecord {
        id,
        name: format!("k{id}"),
        policy: Policy {
            durability,
            ..Policy::default()
        },
        replaces: None,
    };
    Contents::new(1, 0, 1 << 20)
        .keyspaces
        .make(&record, Shard::default)
}

fn hub(events: usize) -> Arc<Hub> {
    let bounds = Bounds {
        events,
        bytes: 64 << 20,
    };
    Hub::spawn(bounds, Refill::new(bounds, 0), 0)
}

/// One logged change of `keys`, which are put nowhere: deletions stand for all.
fn change(hub: &Hub, keyspace: &Keyspace, revision: u64, keys: &[&str]) {
    let mut teller = hub.tell_logged(keyspace.id(), revision);
    for key in keys {
        teller.tell(Change::delete(key.as_bytes()));
    }
}

fn durable(hub: &Hub, revision: u64) {
    hub.written(revision);
    hub.durable(revision);
    hub.reveal();
}

fn prefix(prefix: &str) -> Filter {
    Filter::Prefix(prefix.as_bytes().into())
}

fn key(key: &str) -> Filter {
    Filter::Key(key.as_bytes().into())
}

/// Waits for what comes next.
fn next(watcher: &mut Watcher, most: usize) -> Seen {
    block_on(std::future::poll_fn(|context| {
        watcher.poll_seen(context, most)
    }))
}

fn keys_of(seen: Seen) -> Vec<(u64, u32, String)> {
    let Seen::Events(events) = seen else {
        panic!("no events but {seen:?}")
    };
    let one = |event: &Arc<Event>| {
        let Position { revision, index } = event.position().unwrap();
        let key = event.change().key().unwrap_or_default();
        (revision, index, String::from_utf8_lossy(key).into_owned())
    };
    events.iter().map(one).collect()
}

/// Everything up to the event of `last`.
fn until(watcher: &mut Watcher, last: u64) -> Vec<(u64, u32, String)> {
    let mut all: Vec<(u64, u32, String)> = Vec::new();
    while all.last().is_none_or(|(revision, ..)| *revision < last) {
        all.extend(keys_of(next(watcher, 3)));
    }
    all
}

fn at(revision: u64, index: u32, key: &str) -> (u64, u32, String) {
    (revision, index, key.to_owned())
}

fn is_pending(watcher: &mut Watcher) -> bool {
    let context = Context::from_waker(Waker::noop());
    watcher.poll_seen(&context, 1).is_pending()
}

#[test]
fn nothing_is_told_before_the_promise_of_its_keyspace_holds() {
    let hub = hub(100);
    let synced = keyspace(1, Durability::Synced);
    let written = keyspace(2, Durability::Written);
    let mut first = hub.watch(&synced, prefix(""), From::Now).unwrap();
    let mut second = hub.watch(&written, prefix(""), From::Now).unwrap();
    change(&hub, &synced, 1, &["a"]);
    change(&hub, &written, 2, &["b"]);
    assert!(is_pending(&mut first));
    assert!(is_pending(&mut second));
    hub.written(2);
    hub.reveal();
    assert_eq!(keys_of(next(&mut second, 9)), [at(2, 0, "b")]);
    assert!(is_pending(&mut first));
    durable(&hub, 2);
    assert_eq!(keys_of(next(&mut first, 9)), [at(1, 0, "a")]);
    assert!(is_pending(&mut second), "nobody is told twice");
}

#[test]
fn what_is_never_logged_is_told_at_once_in_an_order_of_its_own() {
    let hub = hub(100);
    let memory = keyspace(1, Durability::Memory);
    let mut watcher = hub.watch(&memory, prefix(""), From::Now).unwrap();
    for key in ["a", "b"] {
        let mut teller = hub.tell_memory(1);
        teller.tell(Change::delete(key.as_bytes()));
    }
    let told = until(&mut watcher, MEMORY_REVISIONS + 1);
    let expected = [
        at(MEMORY_REVISIONS, 0, "a"),
        at(MEMORY_REVISIONS + 1, 0, "b"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_watcher_hears_of_its_keys_in_order_and_of_nothing_else() {
    let hub = hub(1_000);
    let (one, other) = (
        keyspace(1, Durability::Synced),
        keyspace(2, Durability::Synced),
    );
    let filters = [prefix("a/"), prefix("a"), key("a/1"), prefix("")];
    let mut watchers = filters.map(|filter| hub.watch(&one, filter, From::Now).unwrap());
    for (revision, key) in (1..).zip(["a/1", "ab", "b", "a/2", "a/1"]) {
        change(&hub, &one, revision * 2, &[key]);
        change(&hub, &other, revision * 2 + 1, &[key]);
        durable(&hub, revision * 2 + 1);
    }
    let told = watchers.each_mut().map(|watcher| until(watcher, 10));
    let names = told.map(|told| told.into_iter().map(|(_, _, key)| key).collect::<Vec<_>>());
    assert_eq!(names[0], ["a/1", "a/2", "a/1"]);
    assert_eq!(names[1], ["a/1", "ab", "a/2", "a/1"]);
    assert_eq!(names[2], ["a/1", "a/1"]);
    assert_eq!(names[3], ["a/1", "ab", "b", "a/2", "a/1"]);
}

#[test]
fn a_watch_goes_on_inside_a_change_of_many_events() {
    let hub = hub(100);
    let one = keyspace(1, Durability::Synced);
    change(&hub, &one, 1, &["a", "b", "c", "d"]);
    durable(&hub, 1);
    let behind = |index| From::Behind(Position { revision: 1, index });
    let mut watcher = hub.watch(&one, prefix(""), behind(1)).unwrap();
    assert_eq!(
        keys_of(next(&mut watcher, 9)),
        [at(1, 2, "c"), at(1, 3, "d")]
    );
    let mut watcher = hub.watch(&one, prefix(""), behind(3)).unwrap();
    assert!(is_pending(&mut watcher));
}

#[test]
fn who_falls_behind_is_told_so_and_goes_on() {
    let hub = hub(10);
    let one = keyspace(1, Durability::Synced);
    let mut watcher = hub.watch(&one, prefix(""), From::Now).unwrap();
    for revision in 1..=30 {
        change(&hub, &one, revision, &["a"]);
    }
    durable(&hub, 30);
    assert!(matches!(next(&mut watcher, 9), Seen::FellBehind));
    assert_eq!(watcher.position(), Position::whole(30));
    change(&hub, &one, 31, &["b"]);
    durable(&hub, 31);
    assert_eq!(keys_of(next(&mut watcher, 9)), [at(31, 0, "b")]);
    let gone = hub.watch(&one, prefix(""), From::Behind(Position::whole(5)));
    assert_eq!(gone.err(), Some(NotKept));
    let kept = hub.watch(&one, prefix(""), From::Behind(Position::whole(25)));
    assert_eq!(until(&mut kept.unwrap(), 31).len(), 6);
}

#[test]
fn a_quiet_watcher_stays_at_the_front_however_much_others_change() {
    let hub = hub(10);
    let one = keyspace(1, Durability::Synced);
    let mut watcher = hub.watch(&one, key("mine"), From::Now).unwrap();
    assert!(is_pending(&mut watcher));
    for revision in 1..=1_000 {
        change(&hub, &one, revision, &["other"]);
        durable(&hub, revision);
        // The hub is let keep up: the ring is far smaller than what passes through it.
        while watcher.position().revision < revision {
            thread::yield_now();
        }
    }
    change(&hub, &one, 1_001, &["mine"]);
    durable(&hub, 1_001);
    assert_eq!(keys_of(next(&mut watcher, 9)), [at(1_001, 0, "mine")]);
}

#[test]
fn a_keyspace_that_was_made_later_is_not_what_was_watched() {
    let hub = hub(10);
    let one = keyspace(7, Durability::Synced);
    change(&hub, &keyspace(1, Durability::Synced), 1, &["a"]);
    hub.born(&one, 5);
    durable(&hub, 5);
    let before = hub.watch(&one, prefix(""), From::Behind(Position::whole(4)));
    assert_eq!(before.err(), Some(NotKept));
    let after = hub.watch(&one, prefix(""), From::Behind(Position::whole(5)));
    assert!(is_pending(&mut after.unwrap()));
}

#[test]
fn a_dropped_keyspace_is_told_to_everybody_who_watches_it() {
    let hub = hub(10);
    let one = keyspace(1, Durability::Synced);
    let mut watchers =
        [key("x"), prefix("y")].map(|filter| hub.watch(&one, filter, From::Now).unwrap());
    hub.died(&one, 1);
    assert!(is_pending(&mut watchers[0]));
    durable(&hub, 1);
    for watcher in &mut watchers {
        let Seen::Events(events) = next(watcher, 9) else {
            panic!("no events")
        };
        assert!(matches!(events[0].change(), Change::Dropped));
    }
}

#[test]
fn the_end_of_all_watches_reaches_everybody() {
    let hub = hub(10);
    let one = keyspace(1, Durability::Synced);
    let mut waiting = hub.watch(&one, prefix(""), From::Now).unwrap();
    let ended = thread::scope(|scope| {
        let ended = scope.spawn(|| next(&mut waiting, 1));
        hub.end_watches();
        ended.join().unwrap()
    });
    assert!(matches!(ended, Seen::Ended));
    let mut late = hub.watch(&one, prefix(""), From::Now).unwrap();
    assert!(matches!(next(&mut late, 1), Seen::Ended));
    drop((waiting, late));
    assert_eq!(hub.watchers(), 0);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_watcher_is_woken_once_until_it_has_looked() {
    let hub = hub(1_000);
    let one = keyspace(1, Durability::Synced);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut watcher = hub.watch(&one, prefix(""), From::Now).unwrap();
    let polled = watcher.poll_seen(&Context::from_waker(&waker), 9);
    assert!(polled.is_pending());
    let mut other = hub.watch(&one, prefix(""), From::Now).unwrap();
    for revision in 1..=100 {
        change(&hub, &one, revision, &["a"]);
        durable(&hub, revision);
        // Once this one has heard of it, the hub has been at it.
        until(&mut other, revision);
    }
    while count.0.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    let told = keys_of(next(&mut watcher, 1_000));
    assert_eq!(told.len(), 100, "and hears of everything at once");
}

#[test]
fn nobody_misses_anything_while_many_come_and_go() {
    const CHANGES: u64 = 5_000;
    let hub = hub(100_000);
    let one = keyspace(1, Durability::Synced);
    let written = keyspace(2, Durability::Written);
    thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=CHANGES {
                let keyspace = if revision % 3 == 0 { &written } else { &one };
                let key = format!("{}", revision % 7);
                change(&hub, keyspace, revision, &[&key, &key]);
                hub.written(revision);
                if revision % 5 == 0 || revision == CHANGES {
                    hub.durable(revision);
                }
                hub.reveal();
                if revision % 64 == 0 {
                    thread::yield_now();
                }
            }
        });
        for n in 0..8_u64 {
            let (hub, keyspace) = (&hub, if n % 2 == 0 { &one } else { &written });
            scope.spawn(move || {
                let digit = n % 7;
                let wanted = |revision: &u64| {
                    let here = revision.is_multiple_of(3) == (n % 2 == 1);
                    here && revision % 7 == digit
                };
                let filter = if n % 3 == 0 {
                    key(&digit.to_string())
                } else {
                    prefix(&digit.to_string())
                };
                let last = (1..=CHANGES).rev().find(wanted).unwrap();
                let mut place = From::Behind(Position::whole(0));
                let mut told = Vec::new();
                // It leaves and comes back every now and then, also in the middle of a change.
                while told.last().is_none_or(|seen| *seen < (last, 1)) {
                    let mut watcher = hub.watch(keyspace, filter.clone(), place).unwrap();
                    for _ in 0..=n {
                        let before = told.len();
                        for (revision, index, _) in keys_of(next(&mut watcher, 1)) {
                            told.push((revision, index));
                        }
                        assert!(told.len() > before);
                        if told.last() == Some(&(last, 1)) {
                            break;
                        }
                    }
                    let (revision, index) = told.last().copied().unwrap();
                    place = From::Behind(Position { revision, index });
                }
                let expected: Vec<_> = (1..=CHANGES)
                    .filter(wanted)
                    .flat_map(|revision| [(revision, 0), (revision, 1)])
                    .collect();
                assert_eq!(told, expected, "watcher {n}");
            });
        }
    });
}

#[test]
fn many_watchers_of_which_some_never_look_are_all_served() {
    let hub = hub(1_000);
    let one = keyspace(1, Durability::Synced);
    let mut sleeping: Vec<_> = (0..100)
        .map(|_| hub.watch(&one, prefix(""), From::Now).unwrap())
        .collect();
    assert!(sleeping.iter_mut().all(is_pending));
    let mut awake: Vec<_> = (0..300)
        .map(|_| hub.watch(&one, prefix(""), From::Now).unwrap())
        .collect();
    assert!(awake.iter_mut().all(is_pending));
    for revision in 1..=20 {
        change(&hub, &one, revision, &["a"]);
        durable(&hub, revision);
        for watcher in &mut awake {
            assert_eq!(until(watcher, revision).len(), 1);
        }
    }
}

#[test]
fn the_thread_ends_with_its_hub() {
    let hub = hub(10);
    let thread = hub.thread.lock().take().unwrap();
    let mut watcher = hub
        .watch(&keyspace(1, Durability::Synced), prefix(""), From::Now)
        .unwrap();
    drop(hub);
    assert!(is_pending(&mut watcher));
    drop(watcher);
    let mut ended = pin!(async { thread.join().is_ok() });
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(ended.as_mut().poll(&mut context), Poll::Ready(true));
}

#[test]
fn events_that_nobody_carries_away_are_a_gap_that_is_told() {
    let bounds = Bounds {
        events: 4,
        bytes: 1 << 20,
    };
    // Without its thread: nothing is carried away.
    let hub = Arc::new(Hub::new(bounds, Refill::new(bounds, 0), 0));
    let one = keyspace(1, Durability::Synced);
    let mut watcher = hub.watch(&one, prefix(""), From::Now).unwrap();
    for revision in 1..=5_000 {
        change(&hub, &one, revision, &["a"]);
    }
    durable(&hub, 5_000);
    hub.round();
    let polled = watcher.poll_seen(&Context::from_waker(Waker::noop()), 9);
    assert!(matches!(polled, Poll::Ready(Seen::FellBehind)));
    let gone = hub.watch(&one, prefix(""), From::Behind(Position::whole(4_995)));
    assert_eq!(gone.err(), Some(NotKept));
    let kept = hub.watch(&one, prefix(""), From::Behind(Position::whole(4_996)));
    let mut kept = kept.unwrap();
    let polled = kept.poll_seen(&Context::from_waker(Waker::noop()), 9);
    assert!(matches!(polled, Poll::Ready(Seen::Events(events)) if events.len() == 4));
}
