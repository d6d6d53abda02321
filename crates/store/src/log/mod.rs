//! The write-ahead log: records in revision order, in checksummed frames, in zero-filled segments.
//!
//! A change takes room ([`Room`]), then, under its shard lock and this log's queue lock, the next revision, and lies in the
//! open batch. One writer thread ([`writer`]) takes the batch, writes it with one call, syncs it with one call, and tells
//! who waits. A preparer thread ([`preparer`]) keeps a zero-filled segment ready and looks after sealed ones.
//! The log knows no map: what a record does to entries is the store's business.

mod ack;
pub(crate) mod frame;
mod preparer;
pub(crate) mod reader;
mod room;
pub(crate) mod segment;
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

pub(crate) use ack::Acks;
pub use ack::Level;
pub(crate) use frame::Payload;
pub(crate) use preparer::{RESERVE, is_full};
pub(crate) use room::{Grant, Purpose, Room};
pub(crate) use segment::Prepared;

use crate::clock::Clock;
use crate::error::{CompactError, Lost};
use crate::fs::Dir;
use crate::manifest::ManifestFile;
use crate::stats::LogStats;
use frame::Batch;
use writer::Writer;

/// What the log needs to know, in bytes and times.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    pub(crate) store_id: [u8; 16],
    pub(crate) segment_bytes: u64,
    pub(crate) batch_bytes: usize,
    pub(crate) pending_bytes: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) max_record_bytes: u32,
    pub(crate) reserve_bytes: u64,
    pub(crate) room_wait: Duration,
}

/// Where a log goes on.
#[derive(Debug)]
pub(crate) struct Start {
    /// The last revision that is there.
    pub(crate) last_revision: u64,
    /// The segment to write into; `None` where the disk had no room for one.
    pub(crate) active: Option<Prepared>,
    /// The number of the next segment to prepare.
    pub(crate) next_segment: u64,
}

/// Frees space on a full disk by giving up what is not needed; `true` where something was freed.
pub(crate) type Reclaim = Box<dyn Fn() -> bool + Send + Sync>;

/// Who is told how far the log has come, by the thread that writes it: it must be quick.
pub(crate) trait Observer: Send + Sync {
    /// Everything up to `revision` has reached `level`; those who wait for that are told next.
    fn reached(&self, level: Level, revision: u64);
    /// They have been told.
    fn told(&self);
}

/// What the threads and the callers of a log share.
pub(crate) struct Shared {
    dir: Arc<dyn Dir>,
    manifest: Arc<ManifestFile>,
    clock: Arc<Clock>,
    options: LogOptions,
    /// The innermost lock of the store: taken under shard locks, and nothing is locked under it.
    queue: Mutex<Queue>,
    writer_wake: Condvar,
    acks: Arc<Acks>,
    room: Arc<Room>,
    prepared: Mutex<VecDeque<Prepared>>,
    prepared_added: Condvar,
    chores: Mutex<Chores>,
    chores_wake: Condvar,
    lost_notify: Notify,
    reclaim: Reclaim,
    observer: Box<dyn Observer>,
    counters: Counters,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What waits for the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    last_revision: u64,
    batch: Batch,
    /// Everything up to this revision is to be synced without delay.
    sync_up_to: u64,
    /// Who wants the log to go on in a new segment.
    rotate: Option<SyncSender<u64>>,
    closing: bool,
    writer_idle: bool,
}

impl Queue {
    /// The newest revision that was handed out.
    pub(crate) fn last_revision(&self) -> u64 {
        self.last_revision
    }

    /// The revision that the next record takes; taken by [`Queue::push`] under the same lock.
    pub(crate) fn next_revision(&self) -> u64 {
        self.last_revision + 1
    }

    /// Queues the record of the next revision. `level` is how far it has to come before anybody is answered.
    ///
    /// Returns the bytes that its frame takes, which the caller tells its grant once nothing is locked.
    pub(crate) fn push(
        &mut self,
        kind: u8,
        time_ms: u64,
        level: Level,
        payload: Payload<'_>,
    ) -> u64 {
        let revision = self.next_revision();
        let used = self.batch.push(kind, revision, time_ms, payload);
        self.last_revision = revision;
        if level == Level::Durable {
            self.sync_up_to = revision;
        }
        used
    }
}

/// Wakes the writer when it is dropped, where it sleeps.
#[derive(Debug)]
#[must_use = "dropping it wakes the writer: do so once no lock is held"]
pub(crate) struct Wake<'l>(Option<&'l Condvar>);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.0 {
            writer.notify_one();
        }
    }
}

/// What waits for the preparer.
#[derive(Debug, Default)]
struct Chores {
    seals: Vec<preparer::SealJob>,
    stop: bool,
}

/// Numbers that only grow.
#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    rotations: AtomicU64,
}

/// A running log.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Log {
    /// Starts the threads of a log that goes on at `start`.
    pub(crate) fn start(
        dir: Arc<dyn Dir>,
        manifest: Arc<ManifestFile>,
        clock: Arc<Clock>,
        options: LogOptions,
        start: Start,
        (reclaim, observer): (Reclaim, Box<dyn Observer>),
    ) -> Self {
        let segment_room = segment::room(options.segment_bytes);
        let room = Room::new(
            Arc::clone(&clock),
            segment_room,
            options.pending_bytes,
            options.room_wait,
        );
        room.start(start.active.as_ref().map_or(0, Prepared::room));
        let queue = Queue {
            last_revision: start.last_revision,
            batch: Batch::default(),
            sync_up_to: 0,
            rotate: None,
            closing: false,
            writer_idle: false,
        };
        let shared = Arc::new(Shared {
            dir,
            manifest,
            clock,
            options,
            queue: Mutex::new(queue),
            writer_wake: Condvar::new(),
            acks: Arc::new(Acks::starting_at(start.last_revision)),
            room: Arc::new(room),
            prepared: Mutex::default(),
            prepared_added: Condvar::new(),
            chores: Mutex::default(),
            chores_wake: Condvar::new(),
            lost_notify: Notify::new(),
            reclaim,
            observer,
            counters: Counters::default(),
        });
        let writer = Writer::new(Arc::clone(&shared), start.active, start.last_revision);
        let preparer = preparer::Preparer::new(Arc::clone(&shared), start.next_segment);
        let threads = vec![
            spawn("log-writer", || writer.run()),
            spawn("log-preparer", || preparer.run()),
        ];
        Self {
            shared,
            threads: Mutex::new(threads),
        }
    }

    /// Locks the queue: the innermost lock. Give it back with [`Log::release`].
    #[inline]
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock()
    }

    /// Unlocks the queue. The writer, where it sleeps, is woken when the returned value is dropped: outside of any lock.
    #[inline]
    pub(crate) fn release(&self, mut queue: MutexGuard<'_, Queue>) -> Wake<'_> {
        let idle = std::mem::take(&mut queue.writer_idle);
        drop(queue);
        Wake(idle.then_some(&self.shared.writer_wake))
    }

    /// Whether everything up to `revision` has reached `level`: one atomic load.
    #[inline]
    pub(crate) fn has_reached(&self, level: Level, revision: u64) -> bool {
        self.shared.acks.reached(level) >= revision
    }

    /// Bytes that this process has written to the log.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.shared.counters.bytes.load(Ordering::Relaxed)
    }

    /// The room of this log.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.shared.room
    }

    /// The largest record that this log takes, in bytes of payload.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        u64::from(self.shared.options.max_record_bytes)
    }

    /// Waits until `revision` has reached `level`; asks for a sync where one is needed.
    pub(crate) async fn reached(&self, level: Level, revision: u64) -> Result<(), Lost> {
        if self.shared.acks.reached(level) >= revision {
            return Ok(());
        }
        if level == Level::Durable {
            let mut queue = self.queue();
            if queue.sync_up_to < revision {
                queue.sync_up_to = revision;
                drop(self.release(queue));
            }
        }
        self.shared.acks.wait(level, revision).await
    }

    /// The newest revision that no crash can take back.
    #[inline]
    pub(crate) fn durable(&self) -> u64 {
        self.shared.acks.reached(Level::Durable)
    }

    /// Why nothing more becomes durable, where that is so.
    pub(crate) fn lost(&self) -> Option<&Lost> {
        self.shared.acks.lost()
    }

    /// Resolves when durability is lost.
    pub(crate) async fn until_lost(&self) -> Lost {
        loop {
            let notified = self.shared.lost_notify.notified();
            if let Some(lost) = self.lost() {
                return lost.clone();
            }
            notified.await;
        }
    }

    /// Stops all writing for good.
    pub(crate) fn poison(&self, reason: String) {
        self.shared.poison(reason);
    }

    /// The last revision that was handed out.
    pub(crate) fn last_revision(&self) -> u64 {
        self.queue().last_revision
    }

    /// Closes the active segment and goes on in the next. Returns the last revision before the rotation, which is durable
    /// then. Not possible while there is no segment to go on in: then it is given up after the time that a change would
    /// wait for room.
    pub(crate) fn rotate(&self) -> Result<u64, CompactError> {
        let (reply, done) = sync_channel(1);
        let mut queue = self.queue();
        queue.rotate = Some(reply);
        drop(self.release(queue));
        match done.recv_timeout(self.shared.options.room_wait) {
            Ok(revision) => Ok(revision),
            Err(gave_up) => {
                self.queue().rotate = None;
                let lost = self.lost().cloned().map(CompactError::Lost);
                Err(lost.unwrap_or_else(|| {
                    CompactError::Discarded(format!("the log did not rotate: {gave_up}"))
                }))
            }
        }
    }

    /// Numbers about this log.
    pub(crate) fn stats(&self) -> LogStats {
        let counters = &self.shared.counters;
        let last_revision = self.queue().last_revision;
        LogStats {
            last_revision,
            written_revision: self.shared.acks.reached(Level::Written),
            durable_revision: self.durable(),
            records: counters.records.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            sync_nanos: counters.sync_nanos.load(Ordering::Relaxed),
            rotations: counters.rotations.load(Ordering::Relaxed),
            room: self.shared.room.free(),
            disk_full: self.shared.room.is_full(),
        }
    }

    /// Writes, syncs and seals what is queued, and ends the threads. Nothing may be queued afterwards.
    pub(crate) fn close(&self) -> Result<(), Lost> {
        self.shared.room.close_closing();
        let mut queue = self.queue();
        queue.closing = true;
        queue.rotate = None;
        drop(self.release(queue));
        let threads = std::mem::take(&mut *self.threads.lock());
        for (n, thread) in threads.into_iter().enumerate() {
            if n == 1 {
                // The writer has ended: the preparer has its last job.
                self.shared.chores.lock().stop = true;
                self.shared.chores_wake.notify_one();
            }
            if thread.join().is_err() {
                self.poison("a thread of the log panicked".to_owned());
            }
        }
        let outcome = self.lost().cloned().map_or(Ok(()), Err);
        // A change that came in between must not wait for ever.
        self.shared.acks.fail(Lost {
            reason: "the store is closed".into(),
        });
        outcome
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A log that was not closed ends as a crash would leave it, but its threads do not outlive it.
        drop(self.close());
    }
}

impl Shared {
    /// A write or sync failed, so nobody knows what is on the disk: no more is written, no wait succeeds by luck.
    fn poison(&self, reason: String) {
        tracing::error!(%reason, "durability is lost: writes are refused until a restart");
        let lost = Lost {
            reason: reason.into(),
        };
        self.acks.fail(lost);
        if let Some(lost) = self.acks.lost() {
            self.room.close_lost(lost);
        }
        let mut queue = self.queue.lock();
        queue.writer_idle = false;
        queue.rotate = None;
        drop(queue);
        self.writer_wake.notify_all();
        self.prepared_added.notify_all();
        self.chores_wake.notify_all();
        self.lost_notify.notify_waiters();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(run)
        .expect("the system lets a service start its three threads")
}
