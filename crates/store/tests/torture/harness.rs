//! What the torture tests share: polling without a runtime, a store on a simulated machine, and the model it is held to.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use standpipe_store::fs::fault::SimDir;
use standpipe_store::{
    Clock, Draft, Entry, Keyspace, Meta, OpenError, Options, Progress, Store, Version,
};

/// The time at which every test begins, in Unix milliseconds.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// Longest that a future of the store may take before a test calls it stuck.
const STUCK: Duration = Duration::from_mins(1);

/// The number of rounds a test makes: what the environment variable says, or the short default.
pub(crate) fn rounds(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Polls to the end on this thread: the store's futures need no runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let clock = Clock::system();
    let began = clock.monotonic();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let left = STUCK.checked_sub(clock.monotonic().saturating_sub(began));
        thread::park_timeout(left.expect("a future of the store is stuck"));
    }
}

/// Waits until `done`, as long as a full disk may take to be believed free.
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let clock = Clock::system();
    let began = clock.monotonic();
    while !done() {
        let waited = clock.monotonic().saturating_sub(began);
        assert!(waited < Duration::from_secs(30), "it never came");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Small files, so that rotation and compaction come often.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes: 32 << 10,
        batch_bytes: 4 << 10,
        pending_bytes: 64 << 10,
        sync_interval: Duration::from_millis(1),
        max_record_bytes: 24 << 10,
        reserve_bytes: Some(40 << 10),
        shards: 4,
        compaction_min_bytes: 64 << 10,
        room_wait: Duration::from_secs(20),
        ..Options::default()
    }
}

/// Opens the store of a machine.
pub(crate) fn open(
    sim: &SimDir,
    options: &Options,
    clock: &Arc<Clock>,
) -> Result<Store, OpenError> {
    let dir = Arc::new(sim.clone());
    Store::open(dir, Arc::clone(clock), options.clone(), &Progress::new())
}

/// A clock that stands at the beginning of every test.
pub(crate) fn clock() -> Arc<Clock> {
    Arc::new(Clock::manual(NOW_MS))
}

pub(crate) fn default_keyspace(store: &Store) -> Arc<Keyspace> {
    store.keyspace("default").unwrap()
}

/// An entry on its way into the store, with its value in place.
pub(crate) fn draft(
    store: &Store,
    key: &[u8],
    value: &[u8],
    content_type: &str,
    expires_at_ms: Option<u64>,
) -> Draft {
    let meta = Meta::of_type(content_type);
    let mut draft = store.draft(key, value.len(), &meta, expires_at_ms).unwrap();
    draft.fill(|place| place.copy_from_slice(value));
    draft
}

/// An entry as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) value: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) created_at_ms: u64,
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) version: (u64, u64),
}

/// A change that the store has taken, in the words of the model.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put(Vec<u8>, Seen),
    Delete(Vec<u8>),
    Flush,
}

pub(crate) type Contents = BTreeMap<Vec<u8>, Seen>;

/// All changes in revision order, and what was promised about them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    changes: BTreeMap<u64, Change>,
    /// Everything up to here was acknowledged as durable, or shown by an answer.
    pub(crate) promised: u64,
    /// Which change each version was given to: a lost change's version must not come back for another.
    versions: HashMap<(u64, u64), String>,
}

impl Model {
    /// Notes a change that the store has taken.
    pub(crate) fn took(&mut self, revision: u64, change: Change) {
        if let Change::Put(_, seen) = &change {
            let name = format!("{change:?}");
            let before = self.versions.insert(seen.version, name.clone());
            assert!(
                before.is_none(),
                "version {:?} was given to {before:?} and then to {name}",
                seen.version
            );
        }
        let before = self.changes.insert(revision, change);
        assert!(
            before.is_none(),
            "revision {revision} was taken twice: {before:?}"
        );
    }

    /// Notes that everything up to `revision` is promised to survive.
    pub(crate) fn promise(&mut self, revision: u64) {
        self.promised = self.promised.max(revision);
    }

    /// The newest change.
    pub(crate) fn newest(&self) -> u64 {
        self.changes.keys().next_back().copied().unwrap_or(0)
    }

    /// The newest change of a key: what an answer about it rests on.
    pub(crate) fn newest_of(&self, key: &[u8]) -> u64 {
        let mut changes = self.changes.iter().rev();
        let newest = changes.find(|(_, change)| match change {
            Change::Put(of, _) | Change::Delete(of) => of == key,
            Change::Flush => true,
        });
        newest.map_or(0, |(revision, _)| *revision)
    }

    /// What is visible at `now_ms` after all changes up to `revision`.
    pub(crate) fn contents(&self, revision: u64, now_ms: u64) -> Contents {
        let mut contents = Contents::new();
        for change in self.changes.range(..=revision).map(|(_, change)| change) {
            match change {
                Change::Put(key, seen) => {
                    contents.insert(key.clone(), seen.clone());
                }
                Change::Delete(key) => {
                    contents.remove(key);
                }
                Change::Flush => contents.clear(),
            }
        }
        contents.retain(|_, seen| seen.expires_at_ms.is_none_or(|at| at > now_ms));
        contents
    }

    /// Holds what a recovered store shows to the promises: it is the state after some prefix of the changes that holds
    /// all that was promised. Forgets the changes that were lost, and returns the last that was kept.
    pub(crate) fn check(&mut self, store: &Store, now_ms: u64) -> u64 {
        let shown = contents(store);
        // Changes that the model knows nothing of, such as expiry, have revisions too: what was promised need not be one of
        // its own. Of several prefixes that look the same the shortest is taken, so that no revision is taken twice.
        let later = self
            .changes
            .range(self.promised..)
            .map(|(revision, _)| *revision);
        let mut candidates = [self.promised].into_iter().chain(later);
        let kept = candidates.find(|r| self.contents(*r, now_ms) == shown);
        let Some(kept) = kept else {
            self.explain(&shown, now_ms);
        };
        self.changes.retain(|revision, _| *revision <= kept);
        kept
    }

    fn explain(&self, shown: &Contents, now_ms: u64) -> ! {
        let any = self
            .changes
            .keys()
            .rev()
            .find(|r| self.contents(**r, now_ms) == *shown);
        let newest = self.contents(self.newest(), now_ms);
        let brief = |contents: &Contents| -> Vec<String> {
            let line = |(key, seen): (&Vec<u8>, &Seen)| {
                let key = String::from_utf8_lossy(key);
                format!("{key} {:?} {} bytes", seen.version, seen.value.len())
            };
            contents.iter().map(line).collect()
        };
        panic!(
            "promised up to {}, but the store shows the state at {any:?}\nshown: {:#?}\nnewest: {:#?}",
            self.promised,
            brief(shown),
            brief(&newest)
        )
    }
}

/// Everything that the store shows, by listing and by single reads, which must agree.
pub(crate) fn contents(store: &Store) -> Contents {
    let keyspace = default_keyspace(store);
    let mut contents = Contents::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(&keyspace, b"", after.as_deref(), 7);
        let Some(last) = page.entries.last() else {
            return contents;
        };
        let last = last.key().to_vec();
        for entry in &page.entries {
            let read = store.get(&keyspace, entry.key()).entry.unwrap();
            assert_eq!(seen(store, &read), seen(store, entry));
            contents.insert(entry.key().to_vec(), seen(store, entry));
        }
        assert!(
            after.is_none_or(|after| after < last),
            "listing goes forward"
        );
        after = Some(last);
    }
}

pub(crate) fn seen(store: &Store, entry: &Entry) -> Seen {
    Seen {
        value: entry.value().to_vec(),
        content_type: store.facts(entry).content_type.to_string(),
        created_at_ms: entry.created_at_ms(),
        expires_at_ms: entry.expires_at_ms(),
        version: version(store.version(entry)),
    }
}

pub(crate) fn version(version: Version) -> (u64, u64) {
    (version.mark, version.revision)
}
