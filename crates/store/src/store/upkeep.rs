//! The threads that nobody waits for: one removes what has expired, drops marks of deletions and frees old tables; one
//! makes snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Core;
use crate::compaction::{Compacted, Compaction};
use crate::error::CompactError;
use crate::int::wide;
use crate::log::frame::frame_len;
use crate::log::{Level, Payload, Purpose};
use crate::map::{Effect, Entry, Keyspace};
use crate::options::Durability;
use crate::record::{self, kind};

/// How often the sweep looks around.
const TICK: Duration = Duration::from_millis(100);
/// Most bytes of keys that one expiry record names; larger than any key.
const EXPIRY_BYTES: usize = 80 << 10;
/// Most keys that one expiry record names: the lock is held for a bounded time.
const EXPIRY_KEYS: usize = 512;
/// How long after a failed snapshot the next is tried by itself.
const RETRY: Duration = Duration::from_mins(1);

type Reply = oneshot::Sender<Result<Compacted, CompactError>>;

/// What the threads are told.
#[derive(Debug, Default)]
struct Orders {
    stop: bool,
    /// Who waits for a snapshot.
    requests: Vec<Reply>,
    /// The log has grown enough.
    due: bool,
}

#[derive(Debug, Default)]
struct Desk {
    orders: Mutex<Orders>,
    changed: Condvar,
}

/// The threads of a store.
#[derive(Debug)]
pub(super) struct Upkeep {
    desk: Arc<Desk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Upkeep {
    pub(super) fn spawn(core: &Arc<Core>) -> Self {
        let desk = Arc::new(Desk::default());
        let start = |name: &str, run: fn(&Core, &Desk)| {
            let (core, desk) = (Arc::clone(core), Arc::clone(&desk));
            let thread = thread::Builder::new().name(name.to_owned());
            thread
                .spawn(move || run(&core, &desk))
                .expect("the system lets a service start its threads")
        };
        let threads = vec![
            start("store-sweep", sweep),
            start("store-snapshot", snapshots),
        ];
        Self {
            desk,
            threads: Mutex::new(threads),
        }
    }

    /// Asks for a snapshot and waits for it.
    pub(super) async fn compact(&self) -> Result<Compacted, CompactError> {
        let (reply, done) = oneshot::channel();
        self.request(reply)?;
        done.await.unwrap_or(Err(CompactError::Closing))
    }

    fn request(&self, reply: Reply) -> Result<(), CompactError> {
        let mut orders = self.desk.orders.lock();
        if orders.stop {
            return Err(CompactError::Closing);
        }
        orders.requests.push(reply);
        drop(orders);
        self.desk.changed.notify_all();
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.desk.orders.lock().stop = true;
        self.desk.changed.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop();
    }
}

fn sweep(core: &Core, desk: &Desk) {
    let mut retry_at = Duration::ZERO;
    let mut failed = 0;
    loop {
        let mut orders = desk.orders.lock();
        if !orders.stop {
            desk.changed.wait_for(&mut orders, TICK);
        }
        if orders.stop {
            return;
        }
        drop(orders);
        let garbage = std::mem::take(&mut *core.garbage.lock());
        drop(garbage);
        for keyspace in core.contents.keyspaces.all() {
            core.sweep_keyspace(&keyspace);
        }
        let failures = core.failed_compactions.load(Ordering::Relaxed);
        if failures != failed {
            failed = failures;
            retry_at = core.clock.monotonic() + RETRY;
        }
        if core.clock.monotonic() >= retry_at && core.compaction_is_due() {
            desk.orders.lock().due = true;
            desk.changed.notify_all();
        }
    }
}

fn snapshots(core: &Core, desk: &Desk) {
    loop {
        let mut orders = desk.orders.lock();
        while !orders.stop && orders.requests.is_empty() && !orders.due {
            desk.changed.wait(&mut orders);
        }
        if orders.stop {
            // Who waits is told by the drop of the sender.
            orders.requests.clear();
            return;
        }
        orders.due = false;
        let requests = std::mem::take(&mut orders.requests);
        drop(orders);
        let outcome = core.compact(desk);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "no snapshot was made");
        }
        for request in requests {
            // Who asked may have stopped waiting.
            drop(request.send(outcome.clone()));
        }
    }
}

impl Core {
    fn compaction_is_due(&self) -> bool {
        let written = self.log.bytes_written();
        let grown = self.log_bytes_since_snapshot(written);
        if grown <= self.options.compaction_min_bytes || self.log.room().is_full() {
            return false;
        }
        let now_ms = self.clock.now_ms();
        let live: u64 = self
            .contents
            .keyspaces
            .all()
            .iter()
            .map(|one| one.map.stats(now_ms).entry_bytes)
            .sum();
        grown > live
    }

    fn compact(&self, desk: &Desk) -> Result<Compacted, CompactError> {
        let compaction = Compaction {
            dir: &self.dir,
            manifest: &self.manifest,
            contents: &self.contents,
            log: &self.log,
            clock: &self.clock,
            bytes_per_second: self.options.snapshot_bytes_per_second,
        };
        let before = self.replayed_bytes + self.log.bytes_written();
        let outcome = compaction.run(|wait| {
            let mut orders = desk.orders.lock();
            if !orders.stop && !wait.is_zero() {
                desk.changed.wait_for(&mut orders, wait);
            }
            !orders.stop
        });
        match &outcome {
            Ok(compacted) => {
                self.folded_bytes.store(before, Ordering::Relaxed);
                self.compactions.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    revision = compacted.revision,
                    bytes = compacted.bytes,
                    entries = compacted.entries,
                    "a snapshot was made"
                );
            }
            Err(_) => {
                self.failed_compactions.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    /// Removes what has expired and drops marks of deletions that are durable, shard by shard.
    fn sweep_keyspace(&self, keyspace: &Keyspace) {
        let memory = keyspace.durability() == Durability::Memory;
        let paused = self.removal_paused() || self.log.room().is_full();
        for shard in 0..keyspace.map.shards() {
            let now_ms = self.clock.now_ms();
            let held = keyspace.map.read(shard);
            let (marks, due) = (held.has_marks(), held.due(now_ms).next().is_some());
            drop(held);
            if marks {
                // Nothing takes back what was never logged.
                let settled = if memory { u64::MAX } else { self.log.durable() };
                keyspace.map.write(shard).purge(settled);
            }
            if due && !paused {
                while self.expire_some(keyspace, shard, now_ms) {}
            }
        }
    }

    /// Removes some expired entries of a shard as one change. `true` where there may be more.
    fn expire_some(&self, keyspace: &Keyspace, shard: usize, now_ms: u64) -> bool {
        let memory = keyspace.durability() == Durability::Memory;
        let grant = self
            .log
            .room()
            .try_claim(frame_len(wide(EXPIRY_BYTES)), Purpose::Shrink);
        if grant.is_none() && !memory {
            return false;
        }
        let grant = grant.filter(|_| !memory);
        let mut held = keyspace.map.write(shard);
        let mut bytes = 8;
        let due = held.due(now_ms).take(EXPIRY_KEYS).take_while(|entry| {
            bytes += 2 + entry.key().len();
            bytes <= EXPIRY_BYTES
        });
        let due: Vec<_> = due.cloned().collect();
        if due.is_empty() {
            return false;
        }
        let (revision, used, wake) = if grant.is_some() {
            let keys: Vec<&[u8]> = due.iter().map(Entry::key).collect();
            let payload = record::expire(keyspace.id(), &keys);
            let mut queue = self.log.queue();
            let revision = queue.next_revision();
            let used = queue.push(
                kind::EXPIRE,
                now_ms,
                Level::Written,
                Payload::whole(&payload),
            );
            (revision, used, Some(self.log.release(queue)))
        } else {
            (
                self.memory_revision.fetch_add(1, Ordering::Relaxed),
                0,
                None,
            )
        };
        let durable = self.log.durable();
        let removed: Vec<_> = due
            .iter()
            .filter_map(|entry| {
                let place = keyspace.map.place(entry.key());
                held.apply(
                    place.hash,
                    Effect::Remove {
                        key: entry.key(),
                        revision,
                    },
                    durable,
                )
            })
            .collect();
        drop(held);
        drop(wake);
        self.expired
            .fetch_add(wide(removed.len()), Ordering::Relaxed);
        if let Some(grant) = grant {
            grant.used(used);
        }
        removed.len() == EXPIRY_KEYS
    }
}
