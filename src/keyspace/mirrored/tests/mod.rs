//! A mirrored keyspace over a disk that fills up, fails or stalls: updates go on, nothing is told in the wrong order, and what
//! can be stored is.

mod disk;
mod taking;
mod watching;

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
        // The smallest entry that there is: where it has no room, no other one has.
        while put(others, "x", b"").await.is_ok() {}
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

/// With facts that take no room, as those of [`puts`] do, so that where this does not fit that does not either.
async fn put(values: &Values, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let value = Value {
        key: key.as_bytes(),
        media_type: "text/plain; charset=utf-8",
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
                other @ (What::Expire(_) | What::Evict(_) | What::Flush { .. }) => {
                    format!("{sign}{other:?}")
                }
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
