//! The engine in this process: the only file that touches `standpipe-store`. It waits until what an answer tells of is as
//! durable as the keyspace promises, and gives up after a time. It must not know limits, defaults or HTTP.

#[cfg(test)]
mod tests;
mod words;

use std::fs::{self, File};
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use standpipe_store::fs::Dir;
use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Deleted, ErrorClass, Keyspace, Level, Meta, Phase, Putted, Read, Store,
};

use super::{
    CloseError, Compacted, Conditions, Delete, Durability, Engine, Entry, Facts, Failure, Health,
    Progress, Put,
};
use crate::metrics::StoreMetrics;
use words::{Named, ours, shown};

pub use standpipe_store::Options as StoreOptions;

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
    /// As in `sysexits.h`: 65 data refused, 69 directory in use, 74 I/O, 78 configuration.
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
            ErrorClass::Config => 78,
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
    keyspace: Arc<Keyspace>,
    read_wait: Duration,
}

/// A value on its way into the map: one allocation of its exact size.
#[derive(Debug)]
pub struct Draft(standpipe_store::Draft);

impl Draft {
    /// Puts `bytes` at `offset` of the value. What would lie behind its end is left out.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.fill(|value| {
            let place = value.get_mut(offset..).unwrap_or_default();
            let len = place.len().min(bytes.len());
            place
                .split_at_mut(len)
                .0
                .copy_from_slice(bytes.split_at(len).0);
        });
    }
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
        let keyspace = store
            .keyspace(DEFAULT)
            .expect("the store makes the default keyspace when it is opened");
        Ok(Self {
            store,
            keyspace,
            read_wait: options.read_wait,
        })
    }

    pub(super) fn default_entries(&self) -> Entries {
        Entries {
            engine: self.clone(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.store.clock().now_ms()
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

    pub(super) fn observe(&self, metrics: &StoreMetrics) {
        let (stats, health) = (self.store.stats(), self.store.health());
        metrics.entries.set(stats.entries);
        metrics.entry_bytes.set(stats.entry_bytes);
        metrics.overhead_bytes.set(stats.overhead_bytes);
        metrics.expiring_entries.set(stats.expiring);
        metrics.expired_entries.set(stats.expired);
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

    pub(super) fn close(&self) -> Result<(), CloseError> {
        self.store.close().map_err(|lost| CloseError {
            reason: lost.reason.to_string(),
        })
    }

    /// Waits until everything up to `seen` has come as far as `until`.
    #[inline]
    async fn reached(&self, until: Durability, seen: u64) -> Result<(), Failure> {
        let Some(level) = level(until) else {
            return Ok(());
        };
        if self.store.has_reached(level, seen) {
            return Ok(());
        }
        self.wait(level, seen).await
    }

    async fn wait(&self, level: Level, seen: u64) -> Result<(), Failure> {
        let reached = async {
            match level {
                Level::Written => self.store.wait_written(seen).await,
                Level::Durable => self.store.wait_durable(seen).await,
            }
        };
        within(self.read_wait, reached)
            .await
            .map_err(|waited| Failure::NotDurableYet { waited })??;
        Ok(())
    }

    /// Waits until a change that met `seen` and was given the revision `own` may be answered.
    async fn acknowledge(
        &self,
        until: Durability,
        seen: u64,
        own: Option<u64>,
    ) -> Result<(), Failure> {
        let promised = durability_of(&self.keyspace);
        // What others did is told of only as the keyspace promises; a request may relax the wait for its own change alone.
        self.reached(promised.max(until), seen).await?;
        match own {
            None => Ok(()),
            Some(own) => self.reached(until, own).await,
        }
    }
}

/// `None` where nothing is logged and nothing is waited for.
fn level(until: Durability) -> Option<Level> {
    match until {
        Durability::Memory => None,
        Durability::Written => Some(Level::Written),
        Durability::Synced => Some(Level::Durable),
    }
}

fn durability_of(keyspace: &Keyspace) -> Durability {
    match keyspace.durability() {
        standpipe_store::Durability::Synced => Durability::Synced,
        standpipe_store::Durability::Written => Durability::Written,
        standpipe_store::Durability::Memory => Durability::Memory,
    }
}

/// Polls once before a timer is made: what is there already needs none.
async fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> Result<T, Duration> {
    let mut future = pin!(future);
    let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(timeout, future)
            .await
            .map_err(|_elapsed| timeout),
    }
}

/// The default keyspace of the durable map.
#[derive(Clone, Debug)]
pub struct Entries {
    engine: Embedded,
}

impl Entries {
    pub(super) fn durability(&self) -> Durability {
        durability_of(&self.engine.keyspace)
    }

    #[inline]
    pub(super) async fn find(&self, key: &[u8]) -> Result<Option<Entry>, Failure> {
        let Embedded {
            store, keyspace, ..
        } = &self.engine;
        let Read { entry, seen } = store.get(keyspace, key);
        self.engine.reached(durability_of(keyspace), seen).await?;
        Ok(entry.map(|entry| shown(store, entry)))
    }

    pub(super) fn draft(
        &self,
        key: &[u8],
        len: usize,
        facts: &Facts<'_>,
    ) -> Result<Draft, Failure> {
        let meta = Meta {
            content_type: facts.media_type,
            content_encoding: facts.content_encoding,
            owner: None,
        };
        Ok(Draft(self.engine.store.draft(
            key,
            len,
            &meta,
            facts.expires_at_ms,
        )?))
    }

    pub(super) async fn put(
        &self,
        draft: Draft,
        when: &Conditions,
        until: Durability,
    ) -> Result<Put, Failure> {
        let Embedded {
            store, keyspace, ..
        } = &self.engine;
        let named = Named::by(when);
        let put = store
            .put(keyspace, draft.0, &named.conditions(when), asked(until))
            .await?;
        self.engine.acknowledge(until, put.seen, put.own).await?;
        Ok(match put.outcome {
            Putted::Stored {
                version,
                created: true,
            } => Put::Created(ours(version)),
            Putted::Stored {
                version,
                created: false,
            } => Put::Replaced(ours(version)),
            Putted::Refused { current } => Put::Refused(current.map(ours)),
        })
    }

    pub(super) async fn delete(
        &self,
        key: &[u8],
        when: &Conditions,
        until: Durability,
    ) -> Result<Delete, Failure> {
        let Embedded {
            store, keyspace, ..
        } = &self.engine;
        let named = Named::by(when);
        let delete = store
            .delete(keyspace, key, &named.conditions(when), asked(until))
            .await?;
        self.engine
            .acknowledge(until, delete.seen, delete.own)
            .await?;
        Ok(match delete.outcome {
            Deleted::Removed => Delete::Removed,
            Deleted::Absent => Delete::Absent,
            Deleted::Refused { current } => Delete::Refused(current.map(ours)),
        })
    }

    pub(super) async fn flush(&self, until: Durability) -> Result<u64, Failure> {
        let Embedded {
            store, keyspace, ..
        } = &self.engine;
        let flush = store.flush(keyspace, asked(until)).await?;
        self.engine
            .acknowledge(until, flush.seen, flush.own)
            .await?;
        Ok(flush.flushed)
    }
}

/// What the writer is told: whether somebody waits for a sync.
fn asked(until: Durability) -> Level {
    level(until).unwrap_or(Level::Written)
}
