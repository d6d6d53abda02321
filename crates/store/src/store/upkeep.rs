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

/// How often the sweep looks around.
const TICK: Duration = Duration::from_millis(100);
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

impl Desk {
    /// Waits for `pause`. `false` where the store is closing.
    fn pause(&self, pause: Duration) -> bool {
        let mut orders = self.orders.lock();
        if !orders.stop && !pause.is_zero() {
            self.changed.wait_for(&mut orders, pause);
        }
        !orders.stop
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
            core.sweep(&keyspace, |pause| desk.pause(pause));
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
        let outcome = compaction.run(|wait| desk.pause(wait));
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
}
