//! What the torture tests share: polling without a runtime, a store on a simulated machine, and the model it is held to.

use std::env;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use standpipe_store::fs::fault::SimDir;
use standpipe_store::{
    Clock, Draft, Entry, Keyspace, Lifetime, Meta, OpenError, Options, Progress, Store, Version,
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
    lifetime: impl Into<Option<u64>>,
) -> Draft {
    let lifetime = Lifetime::until(lifetime.into());
    draft_of(store, key, value, &Meta::of_type(content_type), lifetime)
}

/// The same with everything that can be said of a value.
pub(crate) fn draft_of(
    store: &Store,
    key: &[u8],
    value: &[u8],
    meta: &Meta<'_>,
    lifetime: Lifetime,
) -> Draft {
    let mut draft = store.draft(key, value.len(), meta, lifetime).unwrap();
    draft.fill(|place| place.copy_from_slice(value));
    draft
}

/// An entry as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) value: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) created_at_ms: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) owner: Option<String>,
    pub(crate) version: (u64, u64),
}

pub(crate) fn seen(store: &Store, entry: &Entry) -> Seen {
    Seen {
        value: entry.value().to_vec(),
        content_type: store.facts(entry).content_type.to_string(),
        created_at_ms: entry.created_at_ms(),
        lifetime: entry.lifetime(),
        owner: store.facts(entry).owner.as_deref().map(str::to_owned),
        version: version(store.version(entry)),
    }
}

pub(crate) fn version(version: Version) -> (u64, u64) {
    (version.mark, version.revision)
}
