//! The engine in this process: the only folder that touches `standpipe-store`. It must not know limits, defaults or HTTP.

mod batch;
mod entries;
mod keyspaces;
mod operations;
mod pending;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
mod watching;
mod words;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use standpipe_store::fs::Dir;
use standpipe_store::fs::real::RealDir;
use standpipe_store::{Clock, ErrorClass, Keyspace, Phase, Store};

use super::{CloseError, Compacted, Engine, Failure, Health, Progress};
use crate::metrics::StoreMetrics;

pub use entries::Draft;
pub(super) use entries::Entries;
#[cfg(test)]
pub(crate) use simulated::Simulated;
pub use standpipe_store::Options as StoreOptions;
pub(super) use watching::{Event, Watch};

/// The keyspace that always exists.
const DEFAULT: &str = "default";

/// Where the data is and how it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds `store/` and the lock. Made where it is absent.
    pub path: PathBuf,
    /// The longest that an answer waits until what it tells of is as durable as promised.
    pub read_wait: Duration,
    /// The durable map's own.
    pub store: StoreOptions,
}

/// Why the data was not opened.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    message: String,
    exit_code: u8,
}

impl OpenError {
    /// As in `sysexits.h`: 65 data refused, 69 directory in use, 74 I/O.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl From<standpipe_store::OpenError> for OpenError {
    fn from(error: standpipe_store::OpenError) -> Self {
        let exit_code = match error.class() {
            ErrorClass::InUse => 69,
            ErrorClass::Data => 65,
            ErrorClass::Io => 74,
        };
        Self {
            message: error.to_string(),
            exit_code,
        }
    }
}

/// An engine that is being opened, for whoever wants to know how far it is.
#[derive(Clone, Debug, Default)]
pub struct Opening(Arc<standpipe_store::Progress>);

impl Opening {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let step = match self.0.phase() {
            Phase::Opening => "opening the directory",
            Phase::Snapshot => "loading the snapshot",
            Phase::Log => "replaying the log",
            Phase::Index => "sorting the keys",
            Phase::Ready => "done",
        };
        Progress {
            step,
            bytes_done: self.0.bytes_done(),
            bytes_total: self.0.bytes_total(),
        }
    }
}

/// Opens the data. Blocks until everything is loaded; `opening` shows how far it is.
pub fn open(options: Options, opening: &Opening) -> Result<Engine, OpenError> {
    let directory = directory(&options.path).map_err(|error| OpenError {
        message: format!("storage.path {}: {error}", options.path.display()),
        exit_code: 74,
    })?;
    Ok(Engine::Embedded(Embedded::open(
        Arc::new(directory),
        options,
        opening,
    )?))
}

/// Opens the directory, and makes it where it is absent, for good: a power cut must not take it from under the data.
pub fn directory(path: &Path) -> io::Result<RealDir> {
    let absent: Vec<_> = path
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    fs::create_dir_all(path)?;
    for made in absent {
        let parent = made
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    RealDir::open(path)
}

/// The durable map in this process.
#[derive(Clone, Debug)]
pub struct Embedded {
    store: Store,
    default: Arc<Keyspace>,
    read_wait: Duration,
}

impl Embedded {
    fn open(
        directory: Arc<dyn Dir>,
        options: Options,
        opening: &Opening,
    ) -> Result<Self, OpenError> {
        let store = Store::open(
            directory,
            Arc::new(Clock::system()),
            options.store,
            &opening.0,
        )?;
        let default = store
            .keyspace(DEFAULT)
            .expect("the store makes the default keyspace when it is opened");
        Ok(Self {
            store,
            default,
            read_wait: options.read_wait,
        })
    }

    pub(super) fn default_entries(&self) -> Entries {
        self.entries_of(Arc::clone(&self.default))
    }

    pub(super) fn keyspace(&self, name: &str) -> Option<Entries> {
        self.store
            .keyspace(name)
            .map(|keyspace| self.entries_of(keyspace))
    }

    fn entries_of(&self, keyspace: Arc<Keyspace>) -> Entries {
        Entries::new(self.store.clone(), keyspace, self.read_wait)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.store.clock().now_ms()
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.store.clock().wall_ms()
    }

    pub(super) fn health(&self) -> Health {
        let health = self.store.health();
        Health {
            failed: health.lost,
            disk_full: health.disk_full,
            quarantined: health.quarantined,
            snapshot_passed_over: health.snapshot_passed_over,
            removal_paused: health.removal_paused,
        }
    }

    pub(super) async fn lost(&self) -> String {
        self.store.until_lost().await.reason.to_string()
    }

    pub(super) async fn compact(&self) -> Result<Compacted, Failure> {
        let compacted = self.store.compact().await?;
        Ok(Compacted {
            entries: compacted.entries,
            bytes: compacted.bytes,
        })
    }

    pub(super) fn set_history(&self, events: usize, bytes: u64) {
        self.store.set_history(events, bytes);
    }

    pub(super) fn observe(&self, metrics: &StoreMetrics) {
        let (stats, health) = (self.store.stats(), self.store.health());
        metrics.entries.set(stats.entries);
        metrics.entry_bytes.set(stats.entry_bytes);
        metrics.overhead_bytes.set(stats.overhead_bytes);
        metrics.counted_bytes.set(stats.counted_bytes);
        metrics.expiring_entries.set(stats.expiring);
        metrics.pending_keys.set(stats.pending);
        metrics.dead_keys.set(stats.dead);
        metrics.expired_entries.set(stats.expired);
        metrics.evicted_entries.set(stats.evicted);
        metrics.revision.set(stats.log.last_revision);
        metrics.written_revision.set(stats.log.written_revision);
        metrics.durable_revision.set(stats.log.durable_revision);
        metrics.log_records.set(stats.log.records);
        metrics.log_batches.set(stats.log.batches);
        metrics.log_written_bytes.set(stats.log.bytes);
        metrics.log_syncs.set(stats.log.syncs);
        metrics
            .log_sync
            .set(Duration::from_nanos(stats.log.sync_nanos));
        metrics.log_segments.set(stats.segments);
        metrics.log_replay_bytes.set(stats.log_bytes_since_snapshot);
        metrics.log_room_bytes.set(stats.log.room);
        metrics.snapshots.set(stats.compactions);
        metrics.failed_snapshots.set(stats.failed_compactions);
        metrics.snapshot_bytes.set(stats.snapshot_bytes);
        metrics.failed.set(u64::from(health.lost.is_some()));
        metrics.disk_full.set(u64::from(health.disk_full));
        metrics.quarantined.set(u64::from(health.quarantined));
    }

    pub(super) fn end_watches(&self) {
        self.store.end_watches();
    }

    pub(super) fn close(&self) -> Result<(), CloseError> {
        self.store.close().map_err(|lost| CloseError {
            reason: lost.reason.to_string(),
        })
    }
}
