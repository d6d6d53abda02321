//! Sources that are run by the clock, over a store of their own and without HTTP in front: runs, and who owns a key.

pub(crate) mod origin;
mod owners;
mod runs;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use standpipe::engine::{self, Durability, Policy, StoreOptions};
use standpipe::keyspace::{self, Change, Entry, Keyspaces, Ttl, Value};
use standpipe::metrics::AllSources;
use standpipe::outbound::{self, HeaderMap, Method, Outbound};
use standpipe::pump::{Facts, Options, Pump, Scheduled, State, Supply, Task};
use standpipe::source::{FileOptions, HttpOptions, Sources};
use tempfile::TempDir;
use tokio::time::sleep;

/// Nothing takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rule that no test waits for.
pub(crate) const SELDOM: &str = "TZ=UTC 0 0 0 29 2 ?";

/// A store and whoever fetches for it.
struct Stage {
    directory: TempDir,
    keyspaces: Keyspaces,
    outbound: Outbound,
    pump: Pump,
}

impl Stage {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    fn over(directory: TempDir) -> Self {
        let options = engine::Options {
            path: directory.path().join("data"),
            read_wait: PATIENCE,
            store: StoreOptions::default(),
        };
        let engine = engine::open(options, &engine::Opening::default()).unwrap();
        let limits = keyspace::Options {
            key_bytes: 64,
            value_bytes: 4 << 20,
            keyspaces: 8,
        };
        let keyspaces = Keyspaces::new(engine, limits);
        let outbound = Outbound::start(outbound::Options::default()).unwrap();
        let sources = Sources::new(outbound.clone());
        let pump = Pump::new(keyspaces.clone(), sources, AllSources::default());
        Self {
            directory,
            keyspaces,
            outbound,
            pump,
        }
    }

    /// Ends it well and begins again over the same data.
    async fn again(self) -> Self {
        self.pump.stop().await;
        let Self {
            directory,
            keyspaces,
            outbound,
            pump,
        } = self;
        drop(pump);
        keyspaces.close().unwrap();
        drop((keyspaces, outbound));
        Self::over(directory)
    }

    async fn apply(&self, sources: &[(&str, Task)]) {
        self.pump.apply(&options(sources), BTreeSet::new()).await;
    }

    /// How the source `name` is.
    fn facts(&self, name: &str) -> Facts {
        let all = self.pump.list();
        all.into_iter()
            .find(|facts| &*facts.name == name)
            .unwrap_or_else(|| panic!("no source {name}"))
    }

    /// Waits until the source is so.
    #[track_caller]
    fn until(&self, name: &str, state: State) -> impl Future<Output = Facts> {
        self.until_facts(name, move |facts| facts.state == state)
    }

    #[track_caller]
    fn until_facts(
        &self,
        name: &str,
        holds: impl Fn(&Facts) -> bool,
    ) -> impl Future<Output = Facts> {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let facts = self.facts(name);
                if holds(&facts) {
                    return facts;
                }
                assert!(Instant::now() < deadline, "{caller}: {facts:?}");
                sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Has the source run once more and waits for the end of that.
    async fn run(&self, name: &str) -> Facts {
        let before = self.facts(name).runs;
        self.pump.run(name).unwrap();
        self.until_facts(name, |facts| {
            facts.runs > before && facts.state != State::Running
        })
        .await
    }

    async fn entry(&self, keyspace: &str, key: &str) -> Option<Entry> {
        let values = self.keyspaces.values(keyspace).unwrap();
        values.find(key.as_bytes()).await.unwrap()
    }

    /// The text of a key of the default keyspace.
    async fn text(&self, key: &str) -> Option<String> {
        let entry = self.entry("default", key).await;
        entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    }

    /// Writes a key as a client does.
    async fn put(&self, keyspace: &str, key: &str, text: &str) {
        let values = self.keyspaces.values(keyspace).unwrap();
        let value = Value {
            key: key.as_bytes(),
            media_type: "text/plain",
            content_encoding: None,
            ttl: Ttl::Forever,
        };
        let mut draft = values.draft(&value, text.len()).unwrap();
        draft.write(0, text.as_bytes());
        values.put(draft, &Change::default()).await.unwrap();
    }

    async fn make(&self, keyspace: &str, durability: Durability) {
        let policy = Policy {
            durability,
            ..Policy::default()
        };
        self.keyspaces.set(keyspace, &policy).await.unwrap();
    }

    async fn flush(&self, keyspace: &str) -> u64 {
        let values = self.keyspaces.values(keyspace).unwrap();
        values.flush(None).await.unwrap()
    }
}

/// Waits until something holds.
#[track_caller]
fn until(holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{caller}: it never held");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

pub(crate) fn options(sources: &[(&str, Task)]) -> Options {
    let scheduled = sources.iter().map(|(name, task)| Scheduled {
        name: (*name).to_owned(),
        task: Ok(task.clone()),
    });
    Options {
        scheduled: scheduled.collect(),
        unreadable: None,
    }
}

/// A source that does nothing but begin.
pub(crate) fn task(supply: Supply) -> Task {
    Task {
        keyspace: "default".to_owned(),
        rule: SELDOM.to_owned(),
        supply,
        timeout: PATIENCE,
        max_bytes: 10_000,
        jitter: Duration::ZERO,
    }
}

pub(crate) fn fixed(words: &str) -> Task {
    task(Supply::Static(words.to_owned()))
}

pub(crate) fn http(url: &str) -> Task {
    task(Supply::Http(Box::new(HttpOptions {
        endpoint: url.to_owned(),
        method: Method::GET,
        headers: HeaderMap::new(),
        auth: None,
        body: None,
        ca: None,
    })))
}

fn file(path: &std::path::Path) -> Task {
    task(Supply::File(FileOptions {
        path: path.to_owned(),
    }))
}
