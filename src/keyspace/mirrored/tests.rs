//! A mirrored keyspace over a disk that fills up, fails or stalls: updates go on, nothing is told in the wrong order, and what
//! can be stored is.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::engine::{
    Begin, Conditions, Durability, Engine, Entry, Facts, Filter, Lifetime, Place, Policy, Put,
    Simulated, Told, Watching, What, Writer,
};
use crate::keyspace::{
    Action, Atomic, Change, Done, Keyspaces, Listing, Operation, Options, Refusal, Role, Ttl,
    Value, Values,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for anything that does not wait for the disk.
const MOMENT: Duration = Duration::from_millis(100);
const ROOM: usize = 1 << 20;
/// Versions from here on are of what is not stored.
const UNSTORED: u64 = 1 << 63;

/// A machine, its keyspaces, and the feed of the one called `copy`.
struct Trial {
    machine: Simulated,
    keyspaces: Keyspaces,
    feed: Feed,
}

impl Trial {
    async fn new(durability: Durability) -> Self {
        Self::over(Simulated::new(), durability, PATIENCE).await
    }

    async fn over(machine: Simulated, durability: Durability, read_wait: Duration) -> Self {
        let keyspaces = keyspaces(machine.open(read_wait));
        let policy = Policy {
            durability,
            ..Policy::default()
        };
        keyspaces.set("copy", &policy).await.unwrap();
        keyspaces.set_roles(mirrored()).await;
        let feed = keyspaces.feed("copy", ROOM).await.unwrap();
        Self {
            machine,
            keyspaces,
            feed,
        }
    }

    fn copy(&self) -> Values {
        self.keyspaces.values("copy").unwrap()
    }

    async fn find(&self, key: &str) -> Option<Entry> {
        self.copy().find(key.as_bytes()).await.unwrap()
    }

    async fn value(&self, key: &str) -> Option<String> {
        let entry = self.find(key).await?;
        Some(String::from_utf8_lossy(&entry.value).into_owned())
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Vec<String> {
        let (values, mut keys, mut from) = (self.copy(), Vec::new(), None);
        loop {
            let listing = Listing {
                prefix,
                delimiter: None,
                from: from.as_deref(),
                limit,
            };
            let page = values.list(&listing).await.unwrap();
            assert!(page.entries.len() <= limit);
            let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
            keys.extend(page.entries.iter().map(|keyed| text(&keyed.key)));
            let Some(next) = page.next else { return keys };
            from = Some(next);
        }
    }

    async fn take(&self, changes: &[Received]) {
        self.feed.take(changes).await.unwrap();
    }

    /// Fills the disk until not even a single byte can be put.
    async fn fill(&self) {
        self.machine.fill();
        let others = self.keyspaces.default_values();
        for len in [64 << 10, 4 << 10, 256, 16, 1] {
            for n in 0.. {
                assert!(n < 10_000, "the disk never became full");
                let key = format!("{len}/{n}");
                if put(others, &key, &vec![b'x'; len]).await.is_err() {
                    break;
                }
            }
        }
    }

    fn watch(&self, begin: Begin, initial: bool) -> Watch {
        self.watch_of(Filter::Prefix([].into()), begin, initial)
    }

    fn watch_of(&self, filter: Filter, begin: Begin, initial: bool) -> Watch {
        let watching = Watching {
            filter,
            begin,
            initial,
        };
        self.copy().watch(watching).unwrap()
    }

    async fn stored(&self) {
        let storing = self.feed.clone();
        let storing = tokio::spawn(async move { storing.keep_storing().await });
        let deadline = Instant::now() + PATIENCE;
        while self.feed.fares(0).unstored > 0 {
            assert!(Instant::now() < deadline, "it was never stored");
            sleep(Duration::from_millis(5)).await;
        }
        storing.abort();
    }
}

fn mirrored() -> BTreeMap<String, Role> {
    let role = Role::Mirrored(Arc::new(Mirrored::default()));
    BTreeMap::from([("copy".to_owned(), role)])
}

fn keyspaces(engine: Engine) -> Keyspaces {
    let options = Options {
        key_bytes: 1024,
        value_bytes: 1 << 20,
        keyspaces: 10,
    };
    Keyspaces::new(engine, options)
}

async fn put(values: &Values, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let value = Value {
        key: key.as_bytes(),
        media_type: "text/plain",
        content_encoding: None,
        ttl: Ttl::Forever,
    };
    let mut draft = values.draft(&value, bytes.len())?;
    draft.write(0, bytes);
    values
        .put(draft, &Change::default())
        .await
        .map(|_stored| ())
}

fn puts(key: &str, value: &str) -> Received {
    Received::Put {
        key: key.to_owned(),
        content: Content {
            value: Bytes::copy_from_slice(value.as_bytes()),
            media_type: None,
            content_encoding: None,
        },
    }
}

fn gone(key: &str) -> Received {
    let key = key.to_owned();
    Received::Gone { key }
}

/// What is told, in short: `+a=1` where it has a place or is of the beginning, `~a=2` where it was only announced.
async fn next(watch: &mut Watch) -> (String, Option<Place>) {
    let told = poll_fn(|context| watch.poll_told(context));
    let told = timeout(PATIENCE, told).await.expect("something is told");
    let put = |sign: &str, key: &[u8], entry: &Entry| {
        let (key, value) = (
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(&entry.value),
        );
        format!("{sign}{key}={value}")
    };
    match told {
        Told::Entry(keyed) => (put("=", &keyed.key, &keyed.entry), None),
        Told::Synced(place) => ("synced".to_owned(), Some(place)),
        Told::Gone(key) => (format!("~-{}", String::from_utf8_lossy(&key)), None),
        Told::Event(event) | Told::Newest(event) => {
            let sign = if event.place().is_some() { "+" } else { "~" };
            let text = match event.what() {
                What::Put(key, entry) => put(sign, key, &entry),
                What::Delete(key) => format!("{sign}-{}", String::from_utf8_lossy(key)),
                other => format!("{sign}{other:?}"),
            };
            (text, event.place())
        }
        other @ (Told::Reset(_) | Told::Ended(_)) => (format!("{other:?}"), None),
    }
}

async fn told(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(next(watch).await.0);
    }
    told
}

async fn nothing_is_told(watch: &mut Watch) {
    let told = poll_fn(|context| watch.poll_told(context));
    let told = timeout(MOMENT, told).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_updates_are_served_from_memory_and_stored_when_there_is_space() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), puts("d", "1")])
        .await;
    trial.fill().await;
    trial
        .take(&[puts("a", "22"), puts("c", "1"), puts("a", "333")])
        .await;
    assert_eq!(trial.value("a").await.as_deref(), Some("333"));
    assert_eq!(trial.value("c").await.as_deref(), Some("1"));
    assert_eq!(trial.value("b").await.as_deref(), Some("1"));
    assert!(trial.find("a").await.unwrap().version.revision >= UNSTORED);
    assert_eq!(trial.keys("", 2).await, ["a", "b", "c", "d"]);
    let fares = trial.feed.fares(10);
    assert_eq!((fares.unstored, fares.remarkable_in_all), (2, 2));
    assert!(fares.remarkable.iter().all(|key| key.unstored && !key.kept));
    // Deletions need no space, and what goes and comes is in order.
    trial.take(&[gone("b"), gone("c")]).await;
    assert_eq!(trial.keys("", 10).await, ["a", "d"]);
    let version = trial.find("a").await.unwrap().version;
    trial.take(&[puts("a", "333")]).await;
    assert_eq!(
        trial.find("a").await.unwrap().version,
        version,
        "it is the same"
    );

    trial.machine.free();
    trial.stored().await;
    let entry = trial.find("a").await.unwrap();
    assert!(entry.version.revision < UNSTORED);
    assert_eq!(&*entry.value, b"333");
    let Trial {
        machine, keyspaces, ..
    } = trial;
    let killed = machine.kill();
    drop(keyspaces);
    let trial = Trial::over(killed, Durability::Synced, PATIENCE).await;
    assert_eq!(trial.keys("", 10).await, ["a", "d"]);
    assert_eq!(trial.find("a").await.unwrap().version, entry.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_what_is_not_stored_whenever_it_begins() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), puts("c", "1")])
        .await;
    let mut early = trial.watch(Begin::Now, false);
    trial.take(&[puts("b", "2")]).await;
    let (first, place) = next(&mut early).await;
    assert_eq!(first, "+b=2");
    trial.fill().await;
    trial
        .take(&[puts("a", "22"), puts("n", "1"), puts("a", "333")])
        .await;
    assert_eq!(told(&mut early, 3).await, ["~a=22", "~n=1", "~a=333"]);

    let mut late = trial.watch(Begin::Now, true);
    let there = told(&mut late, 5).await;
    assert_eq!(there, ["=b=2", "=c=1", "=a=333", "=n=1", "synced"]);
    nothing_is_told(&mut late).await;
    // Who comes back may have been told already, or not: nobody knows.
    let mut back = trial.watch(Begin::Behind(place.unwrap()), false);
    assert_eq!(told(&mut back, 2).await, ["=a=333", "=n=1"]);
    nothing_is_told(&mut back).await;
    let key = Filter::Key(b"n".as_slice().into());
    let mut one = trial.watch_of(key, Begin::Behind(place.unwrap()), true);
    assert_eq!(told(&mut one, 1).await, ["=n=1"]);
    let mut now = trial.watch(Begin::Now, false);
    nothing_is_told(&mut now).await;

    trial.take(&[gone("n")]).await;
    trial.machine.free();
    trial.stored().await;
    for watch in [&mut early, &mut late, &mut back, &mut now] {
        assert_eq!(told(watch, 2).await, ["~-n", "+a=333"]);
    }
    assert_eq!(told(&mut one, 1).await, ["~-n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_too_slowly_is_told_the_newest_wherever_it_lies() {
    let trial = Trial::new(Durability::Synced).await;
    trial.keyspaces.set_history(4, 1 << 20);
    trial.take(&[puts("a", "first"), puts("b", "1")]).await;
    let of_a = || Filter::Key(b"a".as_slice().into());
    let mut key = trial.watch_of(of_a(), Begin::Now, false);
    let mut all = trial.watch(Begin::Now, true);
    assert_eq!(told(&mut all, 3).await, ["=a=first", "=b=1", "synced"]);
    trial.fill().await;
    for n in 0..20 {
        trial.take(&[puts("a", &n.to_string())]).await;
    }
    assert_eq!(told(&mut key, 1).await, ["=a=19"]);
    nothing_is_told(&mut key).await;
    let (reset, _) = next(&mut all).await;
    assert!(reset.starts_with("Reset"), "{reset}");
    assert_eq!(told(&mut all, 3).await, ["=b=1", "=a=19", "synced"]);
    nothing_is_told(&mut all).await;
    trial.machine.free();
    trial.stored().await;
    assert_eq!(told(&mut key, 1).await, ["+a=19"]);
    // And where nothing lies over it.
    for n in 0..20 {
        trial.take(&[puts("a", &n.to_string())]).await;
    }
    assert_eq!(told(&mut key, 1).await, ["+a=19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_over_the_store_is_seen_by_everything_that_reads() {
    let trial = Trial::new(Durability::Written).await;
    trial.take(&[puts("n", "1"), puts("gone", "1")]).await;
    trial.fill().await;
    trial
        .take(&[puts("n", "7"), puts("text", "x"), gone("gone")])
        .await;
    let copy = trial.copy();
    let counter = copy.counter(b"n").await.unwrap().unwrap();
    assert_eq!(counter.value, 7);
    assert!(matches!(
        copy.counter(b"text").await,
        Err(Refusal::NotACounter)
    ));
    assert!(copy.counter(b"gone").await.unwrap().is_none());
    let get = |key: &'static str| Operation {
        key: key.into(),
        action: Action::Get,
    };
    let operations = [get("n"), get("text"), get("gone"), get("absent")];
    let values = |done: &Done| match done {
        Done::Got(entry) => entry.as_ref().map(|entry| entry.value.clone()),
        other => panic!("{other:?}"),
    };
    let expected = [Some("7".into()), Some("x".into()), None, None];
    let each = copy.each(&operations, None).await.unwrap();
    let each: Vec<Option<Bytes>> = each
        .iter()
        .map(|one| values(one.as_ref().unwrap()))
        .collect();
    assert_eq!(each, expected);
    let Atomic::Done(all) = copy.atomically(&operations, None).await.unwrap() else {
        panic!("it only reads")
    };
    assert_eq!(all.iter().map(values).collect::<Vec<_>>(), expected);
    let entry = trial.find("n").await.unwrap();
    assert_eq!(copy.ttl_left_ms(&entry), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_meets_each_key_once_whatever_lies_over_the_store() {
    let trial = Trial::new(Durability::Written).await;
    let stored: Vec<_> = (0..40).map(|n| puts(&format!("k{n:02}"), "1")).collect();
    trial.take(&stored).await;
    trial.fill().await;
    // Every other is new, every fourth is gone, and a whole page in the middle.
    let laid: Vec<_> = (0..40).map(|n| puts(&format!("k{n:02}x"), "1")).collect();
    trial.take(&laid).await;
    trial.machine.fail();
    let gone: Vec<_> = (0..40)
        .filter(|n| n % 4 == 0 || (10..20).contains(n))
        .map(|n| gone(&format!("k{n:02}")))
        .collect();
    trial.take(&gone).await;
    let mut expected: Vec<String> = (0..40)
        .flat_map(|n| {
            let kept = n % 4 != 0 && !(10..20).contains(&n);
            let stored = kept.then(|| format!("k{n:02}"));
            stored.into_iter().chain([format!("k{n:02}x")])
        })
        .collect();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(trial.keys("", limit).await, expected, "{limit} a page");
    }
    expected.retain(|key| key.starts_with("k1"));
    assert_eq!(trial.keys("k1", 3).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_failed_stops_no_update() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[
            puts("a", "1"),
            puts("p/1", "1"),
            puts("p/2", "1"),
            puts("z", "1"),
        ])
        .await;
    trial.machine.fail();
    trial.take(&[puts("a", "2"), gone("z")]).await;
    trial.take(&[gone("p/1"), puts("n", "1")]).await;
    for (key, value) in [
        ("a", Some("2")),
        ("n", Some("1")),
        ("z", None),
        ("p/1", None),
        ("p/2", Some("1")),
    ] {
        assert_eq!(trial.value(key).await.as_deref(), value, "{key}");
    }
    assert_eq!(trial.feed.store_the_rest().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_updates_go_on_whatever_the_disk_does() {
    let trial = Trial::new(Durability::Memory).await;
    trial.fill().await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), gone("a")])
        .await;
    trial.machine.fail();
    trial.take(&[puts("a", "2")]).await;
    assert_eq!(trial.keys("", 10).await, ["a", "b"]);
    assert_eq!(trial.feed.fares(10), Fares::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_takes_as_much_memory_as_it_may_and_no_more() {
    let trial = Trial::new(Durability::Written).await;
    trial.fill().await;
    let feed = trial.keyspaces.feed("copy", 2_000).await.unwrap();
    let many: Vec<_> = (0..10)
        .map(|n| puts(&n.to_string(), &"x".repeat(200)))
        .collect();
    let untaken = feed.take(&many).await.unwrap_err();
    assert!(
        matches!(untaken.why, Why::Unstored { limit: 2_000 }),
        "{untaken:?}"
    );
    assert_eq!(untaken.taken, 4);
    let fares = feed.fares(0);
    assert_eq!(fares.unstored, 4);
    assert!(fares.unstored_bytes <= 2_000);
    assert_eq!(trial.keys("", 10).await, ["0", "1", "2", "3"]);
    // A key that is there already may change, and one that goes makes room.
    feed.take(&[puts("0", &"y".repeat(200))]).await.unwrap();
    feed.take(&[gone("1")]).await.unwrap();
    feed.take(&many[4..5]).await.unwrap();
    assert_eq!(trial.keys("", 10).await, ["0", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_durable_in_time_is_served_and_not_made_twice() {
    let wait = Duration::from_millis(50);
    let trial = Trial::over(Simulated::new(), Durability::Synced, wait).await;
    trial.take(&[puts("a", "1")]).await;
    let before = trial.find("a").await.unwrap().version;
    trial.machine.stall();
    trial.take(&[puts("a", "2")]).await;
    assert_eq!(trial.value("a").await.as_deref(), Some("2"));
    trial.machine.release();
    trial.stored().await;
    let after = trial.find("a").await.unwrap();
    assert_eq!(&*after.value, b"2");
    assert_eq!(after.version.revision, before.revision + 1);
}

#[tokio::test]
async fn a_feed_that_was_replaced_overwrites_nothing() {
    let trial = Trial::new(Durability::Written).await;
    trial.take(&[puts("a", "old")]).await;
    let newer = trial.keyspaces.feed("copy", ROOM).await.unwrap();
    newer.take(&[puts("a", "new")]).await.unwrap();
    for late in [
        puts("a", "old"),
        gone("a"),
        Received::Flushed {
            prefix: String::new(),
        },
    ] {
        let untaken = trial.feed.take(&[late]).await.unwrap_err();
        assert!(matches!(untaken.why, Why::Superseded), "{untaken:?}");
    }
    assert_eq!(trial.value("a").await.as_deref(), Some("new"));
    // Nor does the last one, once the keyspace follows nobody any more.
    let values = trial.copy();
    assert!(matches!(
        put(&values, "a", b"mine").await,
        Err(Refusal::ReadOnly { .. })
    ));
    trial.keyspaces.set_roles(BTreeMap::new()).await;
    put(&values, "a", b"mine").await.unwrap();
    let untaken = newer.take(&[puts("a", "late")]).await.unwrap_err();
    assert!(matches!(untaken.why, Why::Superseded), "{untaken:?}");
    assert_eq!(trial.value("a").await.as_deref(), Some("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyspace_follows_only_when_the_changes_are_made_that_clients_had_begun() {
    let machine = Simulated::new();
    let keyspaces = keyspaces(machine.open(PATIENCE));
    keyspaces.set("copy", &Policy::default()).await.unwrap();
    machine.stall();
    let values = keyspaces.values("copy").unwrap();
    let begun = tokio::spawn(async move { put(&values, "a", b"client").await });
    machine.wait_until_stalled();
    let set = keyspaces.set_roles(mirrored());
    tokio::pin!(set);
    let early = timeout(MOMENT, &mut set).await;
    assert!(early.is_err(), "a client's change is still being made");
    // Who comes later is refused already.
    let values = keyspaces.values("copy").unwrap();
    let refused = put(&values, "b", b"client").await;
    assert!(matches!(refused, Err(Refusal::ReadOnly { .. })));
    machine.release();
    timeout(PATIENCE, set).await.unwrap();
    begun.await.unwrap().unwrap();
}

#[tokio::test]
async fn equal_values_are_neither_written_nor_announced_again() {
    let trial = Trial::new(Durability::Written).await;
    let mut watch = trial.watch(Begin::Now, false);
    trial
        .take(&[puts("a", "1"), puts("a", "1"), gone("b"), puts("a", "2")])
        .await;
    assert_eq!(told(&mut watch, 2).await, ["+a=1", "+a=2"]);
    let version = trial.find("a").await.unwrap().version;
    trial.take(&[puts("a", "2")]).await;
    nothing_is_told(&mut watch).await;
    assert_eq!(trial.find("a").await.unwrap().version, version);
    // Another type is another value.
    let other = Received::Put {
        key: "a".to_owned(),
        content: Content {
            value: "2".into(),
            media_type: Some("text/css".to_owned()),
            content_encoding: Some("br".to_owned()),
        },
    };
    trial.take(&[other]).await;
    assert_eq!(told(&mut watch, 1).await, ["+a=2"]);
}

#[tokio::test]
async fn what_a_client_or_a_source_wrote_before_is_overwritten() {
    let machine = Simulated::new();
    let keyspaces = keyspaces(machine.open(PATIENCE));
    keyspaces.set("copy", &Policy::default()).await.unwrap();
    let values = keyspaces.values("copy").unwrap();
    put(&values, "client", b"1").await.unwrap();
    for key in ["source", "other"] {
        let facts = Facts {
            media_type: "text/plain",
            content_encoding: None,
            lifetime: Lifetime::default(),
            writer: Writer::Source("hourly"),
        };
        let mut draft = values.entries.draft(key.as_bytes(), 1, &facts).unwrap();
        draft.write(0, b"1");
        let when = Conditions::default();
        let put = values.entries.put(draft, &when, Durability::Synced).await;
        assert!(matches!(put, Ok(Put::Created(_))));
    }
    keyspaces.set_roles(mirrored()).await;
    let feed = keyspaces.feed("copy", ROOM).await.unwrap();
    let changes = [puts("client", "2"), puts("source", "2"), gone("other")];
    feed.take(&changes).await.unwrap();
    for key in ["client", "source"] {
        let entry = values.find(key.as_bytes()).await.unwrap().unwrap();
        assert_eq!((&*entry.value, entry.owner), (b"2".as_slice(), None));
    }
    assert!(values.find(b"other").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_refused_for_itself_is_marked_and_the_others_are_taken() {
    let trial = Trial::new(Durability::Written).await;
    let long = "k".repeat(1025);
    let large = "x".repeat((1 << 20) + 1);
    trial
        .take(&[
            puts("a", "1"),
            puts(&long, "1"),
            puts("large", &large),
            puts("z", "1"),
        ])
        .await;
    assert_eq!(trial.keys("", 10).await, ["a", "z"]);
    let fares = trial.feed.fares(10);
    assert_eq!(fares.remarkable.len(), 2);
    assert!(fares.remarkable.iter().all(|key| key.refused.is_some()));
    trial.take(&[puts("large", "1")]).await;
    assert_eq!(trial.feed.fares(10).remarkable_in_all, 1);
}
