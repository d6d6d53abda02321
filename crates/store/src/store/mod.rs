//! The store: opens a directory, answers reads, orders changes, and closes.
//!
//! Lock order: the shards of one keyspace ascending, then its dead letters, then the log's queue, innermost. No lock is held
//! across an `.await`, a file operation or the drop of a value.

mod batch;
mod bound;
mod change;
mod condition;
mod counter;
mod keyspaces;
mod merge;
mod pending;
mod prefix;
mod queue;
mod scan;
mod sweep;
mod touch;
mod upkeep;
mod watching;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub use batch::{Batch, Batched, Done, Failed, Operation};
pub use change::{Delete, Deleted, Draft, Flush, Put, Putted};
pub use condition::{Conditions, Version, Versions};
pub use counter::{Counted, Increment, Incremented};
pub use keyspaces::SetKeyspace;
pub use pending::{
    Bury, Counts, Dead, DeadPage, Dropped, Freeze, Frozen, FrozenPage, FrozenRow, Passed,
    PendingPage, PendingRow, Redrive, Total,
};
pub use scan::Scan;
pub use touch::{Touch, Touched};
use upkeep::Upkeep;
pub use watching::Place;
use watching::{Reveal, bounds};
pub use writer::{Holder, Writer};

use crate::clock::Clock;
use crate::compaction::{self, Compacted};
use crate::error::{CompactError, Lost, OpenError};
use crate::fs::Dir;
use crate::int::wide;
use crate::log::{Level, Log, LogOptions};
use crate::manifest::{self, Incarnation, ManifestFile};
use crate::map::{Contents, Drained, Entry, FactsOf, Keyspace, Lookup, Taken};
use crate::options::Options;
use crate::progress::{Phase, Progress};
use crate::recovery::{Access, Begun, Found, Loaded, Locked, Replayed};
use crate::stats::{Health, KeyspaceStats, Stats};
use crate::watch::{Hub, MEMORY_REVISIONS};

/// A clock that is further from the log than this is not believed at once.
const CLOCK_JUMP_MS: u64 = 24 * 60 * 60 * 1000;
/// How long the clock has to be steady after a jump before expired entries are removed, in milliseconds.
const CLOCK_STEADY_MS: u64 = 60 * 60 * 1000;
/// On a file system smaller than this, segments are a fixed part of it.
const SMALL_DISK: u64 = 2 << 30;
const SMALLEST_SEGMENT: u64 = 4 << 20;

/// A durable map in a directory. Cloning is cheap; the directory is held until the last clone is gone or
/// [`Store::close`] was called.
#[derive(Debug, Clone)]
pub struct Store {
    core: Arc<Core>,
    upkeep: Arc<Upkeep>,
}

/// What the callers and the store's threads share.
#[derive(Debug)]
struct Core {
    log: Log,
    contents: Contents,
    manifest: Arc<ManifestFile>,
    dir: Arc<dyn Dir>,
    clock: Arc<Clock>,
    options: Options,
    /// The starts of this store, oldest first; the last one is this process.
    incarnations: Vec<Incarnation>,
    hub: Arc<Hub>,
    /// Old tables that wait to be freed by a thread that nobody waits for.
    garbage: Mutex<Vec<Garbage>>,
    expired: AtomicU64,
    evicted: AtomicU64,
    compactions: AtomicU64,
    failed_compactions: AtomicU64,
    /// Log bytes written by earlier processes since the last snapshot, less what this process has folded.
    replayed_bytes: u64,
    folded_bytes: AtomicU64,
    passed_over: Option<String>,
    /// Expired entries are not removed before this time, in milliseconds since boot.
    removal_from_ms: u64,
    closed: AtomicBool,
    /// Keyspaces are created, changed and dropped one at a time.
    administration: tokio::sync::Mutex<()>,
    /// Dropped last, so that no other process gets the directory before everything else has ended.
    _locked: Locked,
}

/// What is freed by a thread that nobody waits for.
#[derive(Debug)]
enum Garbage {
    /// What a flush or a drop took away.
    Drained { _tables: Drained },
    /// What was pending and has been passed on.
    Passed { _rows: Taken },
}

impl Garbage {
    fn drained(tables: Drained) -> Self {
        Self::Drained { _tables: tables }
    }

    fn passed(rows: Taken) -> Self {
        Self::Passed { _rows: rows }
    }
}

/// What a read met.
#[derive(Debug)]
pub struct Read {
    /// The entry, unless the key is absent or expired.
    pub entry: Option<Entry>,
    /// The newest change that the answer rests on: it may be told once that is durable.
    pub seen: u64,
}

impl Store {
    /// Opens the store in `storage`, making it at first start. Blocks; `progress` may be watched from other threads.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing on disk has changed where data is refused.
    pub fn open(
        storage: Arc<dyn Dir>,
        clock: Arc<Clock>,
        options: Options,
        progress: &Progress,
    ) -> Result<Self, OpenError> {
        progress.enter(Phase::Opening);
        let locked = Locked::open(storage, Access::Own)?;
        let found = Found::read(locked)?;
        progress.set_total(found.bytes());
        let loaded = Loaded::load(found, &options, Access::Own, progress)?;
        let replayed = Replayed::replay(loaded, options.tail, bounds(&options), progress)?;
        let log_options = log_options(
            &*replayed.found.locked.dir,
            &options,
            replayed.found.manifest.store_id,
        )?;
        let begun = Begun::begin(replayed, &options, log_options.segment_bytes, &clock)?;
        let core = Arc::new(Core::start(begun, clock, options, log_options));
        let upkeep = Arc::new(Upkeep::spawn(&core));
        let store = Self { core, upkeep };
        store.core.ensure_default()?;
        progress.enter(Phase::Ready);
        Ok(store)
    }

    /// The keyspace of that name; `default` is always there.
    pub fn keyspace(&self, name: &str) -> Option<Arc<Keyspace>> {
        self.core.contents.keyspaces.by_name(name)
    }

    /// All keyspaces, in the order of their names.
    pub fn keyspaces(&self) -> Vec<Arc<Keyspace>> {
        self.core.contents.keyspaces.by_names()
    }

    /// The newest change of the log: an answer that waits for it tells of nothing that a crash could take back.
    pub fn last_revision(&self) -> u64 {
        self.core.log.last_revision()
    }

    /// Numbers about a keyspace. Looks at every shard of it: not for every request.
    pub fn keyspace_stats(&self, keyspace: &Keyspace) -> KeyspaceStats {
        let stats = keyspace.map.stats(self.core.clock.now_ms());
        KeyspaceStats {
            entries: stats.live,
            bytes: stats.bytes,
        }
    }

    /// What is known about `key`. Wait for `seen` before telling anybody.
    #[inline]
    pub fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Read {
        let place = keyspace.map.place(key);
        let shard = keyspace.map.read(place.shard);
        match shard.look_up(place.hash, key, || self.core.clock.now_ms()) {
            Lookup::Live(entry) => Read {
                seen: entry.revision(),
                entry: Some(entry.clone()),
            },
            Lookup::Expired(entry) => Read {
                seen: entry.revision(),
                entry: None,
            },
            Lookup::Absent { seen } => Read { seen, entry: None },
        }
    }

    /// The version of an entry: its revision and the incarnation that wrote it.
    #[inline]
    pub fn version(&self, entry: &Entry) -> Version {
        self.core.version_of(entry.revision())
    }

    /// The media type and the other facts about an entry's value.
    pub fn facts(&self, entry: &Entry) -> FactsOf<'_> {
        entry.facts(&self.core.contents.facts)
    }

    /// Resolves when everything up to `revision` was handed to the operating system.
    pub async fn wait_written(&self, revision: u64) -> Result<(), Lost> {
        self.core.wait(Level::Written, revision).await
    }

    /// Resolves when everything up to `revision` is on disk. Revisions of keyspaces that are never logged are at once.
    pub async fn wait_durable(&self, revision: u64) -> Result<(), Lost> {
        self.core.wait(Level::Durable, revision).await
    }

    /// Whether everything up to `revision` has reached `level`: one atomic load.
    #[inline]
    pub fn has_reached(&self, level: Level, revision: u64) -> bool {
        revision >= MEMORY_REVISIONS || self.core.log.has_reached(level, revision)
    }

    /// Resolves when durability is lost, with the reason.
    pub async fn until_lost(&self) -> Lost {
        self.core.log.until_lost().await
    }

    /// Makes a snapshot now, and waits for it.
    pub async fn compact(&self) -> Result<Compacted, CompactError> {
        self.upkeep.compact().await
    }

    /// The clock that the store goes by.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.core.clock
    }

    /// Numbers. Looks at every shard: not for every request.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// What an operator should know.
    pub fn health(&self) -> Health {
        self.core.health()
    }

    /// Writes, syncs and seals the log and ends the store's threads. Changes that come later are refused.
    pub fn close(&self) -> Result<(), Lost> {
        self.core.closed.store(true, Ordering::Release);
        self.upkeep.stop();
        self.core.hub.stop();
        self.core.log.close()
    }
}

impl Core {
    fn start(begun: Begun, clock: Arc<Clock>, options: Options, log_options: LogOptions) -> Self {
        let now_ms = clock.now_ms();
        let newest = begun.newest_time_ms;
        let jumped = newest > 0 && !begun.clock_reset && now_ms.abs_diff(newest) > CLOCK_JUMP_MS;
        let steady_ms = if jumped { CLOCK_STEADY_MS } else { 0 };
        if jumped {
            tracing::warn!(
                now_ms,
                log_ms = newest,
                "the clock is more than a day away from the newest record: expired entries stay on disk for an hour, or until `standpipe repair --reset-clock`"
            );
        }
        if !begun.clock_reset {
            clock.raise(newest);
        }
        let since_boot = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let Begun {
            locked,
            contents,
            manifest,
            start,
            passed_over,
            log_bytes,
            refill,
            ..
        } = begun;
        let dir = Arc::clone(&locked.dir);
        let (reclaim_dir, reclaim_manifest) = (Arc::clone(&dir), Arc::clone(&manifest));
        let reclaim =
            Box::new(move || compaction::give_up_previous(&*reclaim_dir, &reclaim_manifest));
        let hub = Hub::spawn(bounds(&options), refill, start.last_revision);
        let log = Log::start(
            Arc::clone(&dir),
            Arc::clone(&manifest),
            Arc::clone(&clock),
            log_options,
            start,
            (reclaim, Box::new(Reveal(Arc::clone(&hub)))),
        );
        Self {
            log,
            incarnations: manifest.with(|manifest| manifest.incarnations.clone()),
            contents,
            manifest,
            dir,
            clock,
            options,
            hub,
            garbage: Mutex::default(),
            expired: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            compactions: AtomicU64::new(0),
            failed_compactions: AtomicU64::new(0),
            replayed_bytes: log_bytes,
            folded_bytes: AtomicU64::new(0),
            passed_over,
            removal_from_ms: since_boot + steady_ms,
            closed: AtomicBool::new(false),
            administration: tokio::sync::Mutex::default(),
            _locked: locked,
        }
    }

    fn version_of(&self, revision: u64) -> Version {
        let mark = manifest::mark_of(&self.incarnations, revision);
        Version { mark, revision }
    }

    async fn wait(&self, level: Level, revision: u64) -> Result<(), Lost> {
        if revision >= MEMORY_REVISIONS {
            return Ok(());
        }
        self.log.reached(level, revision).await
    }

    fn removal_paused(&self) -> bool {
        let since_boot = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        since_boot < self.removal_from_ms
    }

    /// Bytes of the log that the newest snapshot does not cover.
    fn log_bytes_since_snapshot(&self, written: u64) -> u64 {
        (self.replayed_bytes + written).saturating_sub(self.folded_bytes.load(Ordering::Relaxed))
    }

    fn stats(&self) -> Stats {
        let now_ms = self.clock.now_ms();
        let log = self.log.stats();
        let mut stats = Stats {
            expired: self.expired.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            compactions: self.compactions.load(Ordering::Relaxed),
            failed_compactions: self.failed_compactions.load(Ordering::Relaxed),
            log_bytes_since_snapshot: self.log_bytes_since_snapshot(log.bytes),
            log,
            ..Stats::default()
        };
        for keyspace in self.contents.keyspaces.all() {
            let one = keyspace.map.stats(now_ms);
            stats.entries += one.live;
            stats.entry_bytes += one.entry_bytes;
            stats.counted_bytes += one.bytes;
            stats.overhead_bytes += one.overhead_bytes;
            stats.expiring += one.expiring;
            stats.pending += keyspace.ledger().rows();
            stats.dead += keyspace.ledger().dead().len();
        }
        self.manifest.with(|manifest| {
            stats.segments = wide(manifest.segments.len());
            stats.snapshots = wide(manifest.snapshots.len());
            if let Some(newest) = manifest.snapshots.last() {
                stats.snapshot_bytes = newest.len;
                stats.snapshot_revision = newest.s;
            }
        });
        stats
    }

    fn health(&self) -> Health {
        Health {
            lost: self.log.lost().map(|lost| lost.reason.as_ref().to_owned()),
            disk_full: self.log.room().is_full(),
            quarantined: self.manifest.with(|manifest| manifest.quarantined),
            snapshot_passed_over: self.passed_over.clone(),
            removal_paused: self.removal_paused(),
        }
    }
}

/// What the log needs to know, fitted to the size of the disk.
fn log_options(
    dir: &dyn Dir,
    options: &Options,
    store_id: [u8; 16],
) -> Result<LogOptions, OpenError> {
    let space = dir.space().map_err(OpenError::io(dir.display("")))?;
    let mut segment_bytes = options.segment_bytes;
    if space.total < SMALL_DISK {
        segment_bytes = segment_bytes.min((space.total / 32).max(SMALLEST_SEGMENT));
    }
    let automatic = (segment_bytes + (1 << 20)).min(space.total / 16);
    Ok(LogOptions {
        store_id,
        segment_bytes,
        batch_bytes: options.batch_bytes,
        pending_bytes: options.pending_bytes,
        sync_interval: options.sync_interval,
        max_record_bytes: options.max_record_bytes,
        reserve_bytes: options.reserve_bytes.unwrap_or(automatic),
        room_wait: options.room_wait,
    })
}
