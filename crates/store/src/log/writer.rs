//! The one thread that writes the log: takes the open batch, one write, one sync, tells who waits.
//!
//! 1. Take everything that is queued.
//! 2. Write it in runs: a run ends at `batch_bytes`, or at the end of the segment. Publish what was written.
//! 3. Where somebody waits for the disk, sync once. Publish what is durable.
//! 4. A change that nobody waits for is synced after `sync_interval`.
//! 5. After 100 ms of idleness a mark tells the log itself how far it is durable, so that damage to the last batch before
//!    the idleness is told from a torn tail.
//!
//! A write goes to a known offset, so that one that failed for want of space is repeated in its place. Any other failed
//! write, and every failed sync, ends writing for good ("Can Applications Recover from fsync Failures?", ATC'20).

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::frame::{self, Batch, HEADER, Seeds};
use super::preparer::{SealJob, is_full};
use super::room::Purpose;
use super::segment::{Prepared, SEGMENT_HEADER};
use super::{Level, Shared};
use crate::fs::File;
use crate::int::wide;
use crate::manifest::Sealed;
use crate::record::kind;

/// Idleness after which a mark is written.
const IDLE: Duration = Duration::from_millis(100);
/// How long a write is repeated on a full disk before durability is given up.
const FULL_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries of a write on a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// Most records with a piece of their own in one write; the system takes 1,024 pieces.
const MOST_RECORDS: usize = 500;

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    number: u64,
    file: Arc<dyn File>,
    seeds: Seeds,
    offset: u64,
    capacity: u64,
    crc: crc32fast::Hasher,
}

impl Active {
    fn of(prepared: Prepared) -> Self {
        Self {
            number: prepared.number,
            seeds: prepared.seeds(),
            file: prepared.file,
            offset: SEGMENT_HEADER,
            capacity: prepared.capacity,
            crc: prepared.crc,
        }
    }

    /// Bytes that records can still take; the seal is kept aside.
    fn left(&self) -> u64 {
        self.capacity.saturating_sub(self.offset + wide(HEADER))
    }
}

/// Writing is over for good; the reason has been told to everybody.
#[derive(Debug)]
struct Ended;

/// What the writer does next.
enum Step {
    Write,
    Sync,
    Mark,
    Rotate(SyncSender<u64>),
    Close,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    /// The batch that is being written; swapped with the open one.
    batch: Batch,
    /// The last change in the log.
    last_revision: u64,
    /// When the oldest change that is not synced was written.
    unsynced_since: Option<Duration>,
    last_activity: Duration,
    /// The newest durable revision that the log itself tells of.
    told_durable: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, active: Option<Prepared>, last_revision: u64) -> Self {
        let last_activity = shared.clock.monotonic();
        Self {
            shared,
            active: active.map(Active::of),
            batch: Batch::default(),
            last_revision,
            unsynced_since: None,
            last_activity,
            told_durable: last_revision,
        }
    }

    /// Runs until the log is closed or lost.
    pub(super) fn run(mut self) {
        while let Some(step) = self.next_step() {
            let done = match step {
                Step::Write => self.write_batch(),
                Step::Sync => self.sync(),
                Step::Mark => self.mark(),
                Step::Rotate(reply) => self.rotate_for(&reply),
                Step::Close => {
                    // Lost durability has been told by whoever met it.
                    drop(self.close());
                    return;
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Waits for something to do. `None` when durability is lost.
    fn next_step(&mut self) -> Option<Step> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue.lock();
        loop {
            if shared.acks.lost().is_some() {
                return None;
            }
            if !queue.batch.is_empty() {
                std::mem::swap(&mut queue.batch, &mut self.batch);
                return Some(Step::Write);
            }
            if self.unsynced_since.is_some()
                && queue.sync_up_to > shared.acks.reached(Level::Durable)
            {
                return Some(Step::Sync);
            }
            if queue.closing {
                return Some(Step::Close);
            }
            let rotate = queue.rotate.take();
            if let Some(reply) = rotate {
                if self.shared.room.burn_active() {
                    return Some(Step::Rotate(reply));
                }
                // Not possible yet: there is no segment to go on in. The preparer wakes us when there is.
                queue.rotate = Some(reply);
            }
            queue.writer_idle = true;
            match self.idle_step() {
                None => self.shared.writer_wake.wait(&mut queue),
                Some((step, wait)) if wait.is_zero() => {
                    queue.writer_idle = false;
                    return Some(step);
                }
                Some((_, wait)) => {
                    self.shared.writer_wake.wait_for(&mut queue, wait);
                }
            }
            queue.writer_idle = false;
            // Whoever woke this thread is in the middle of more: where the processors are busy it goes on first, and what
            // it adds shares the write, the sync and the wakes. Where one is free this returns at once.
            MutexGuard::unlocked(&mut queue, thread::yield_now);
        }
    }

    /// What is due when nothing else happens, and in how long.
    fn idle_step(&self) -> Option<(Step, Duration)> {
        let now = self.shared.clock.monotonic();
        if let Some(since) = self.unsynced_since {
            return Some((
                Step::Sync,
                (since + self.shared.options.sync_interval).saturating_sub(now),
            ));
        }
        let told = self.told_durable >= self.shared.acks.reached(Level::Durable);
        (!told).then(|| (Step::Mark, (self.last_activity + IDLE).saturating_sub(now)))
    }

    fn write_batch(&mut self) -> Result<(), Ended> {
        let mut batch = std::mem::take(&mut self.batch);
        let mut next = 0;
        while next < batch.count() {
            let run = self.next_run(&mut batch, next)?;
            next = run.end;
            self.write_run(&batch, run)?;
        }
        batch.clear();
        self.batch = batch;
        self.last_activity = self.shared.clock.monotonic();
        let wanted = self.shared.queue.lock().sync_up_to;
        if wanted > self.shared.acks.reached(Level::Durable) {
            return self.sync();
        }
        Ok(())
    }

    /// The records from `from` on that go into one write, finished for their places. Goes on to the next segment where
    /// not even the first fits.
    fn next_run(&mut self, batch: &mut Batch, from: usize) -> Result<Range<usize>, Ended> {
        let durable = self.shared.acks.reached(Level::Durable);
        loop {
            if let Some(active) = &self.active {
                let limit = wide(self.shared.options.batch_bytes);
                let mut bytes = 0;
                let mut end = from;
                while let Some(len) = batch.frame_len(end) {
                    let full = bytes > 0 && bytes + len > limit;
                    if full || bytes + len > active.left() || end - from >= MOST_RECORDS {
                        break;
                    }
                    batch.finish(end, &active.seeds, active.offset + bytes, durable);
                    bytes += len;
                    end += 1;
                }
                if end > from {
                    self.told_durable = durable;
                    return Ok(from..end);
                }
            }
            self.rotate()?;
        }
    }

    fn write_run(&mut self, batch: &Batch, run: Range<usize>) -> Result<(), Ended> {
        let last = run
            .end
            .checked_sub(1)
            .and_then(|last| batch.revision(last))
            .unwrap_or(self.last_revision);
        let count = wide(run.len());
        let pieces = batch.pieces(run);
        let bytes = self.write(&pieces)?;
        self.last_revision = last;
        self.unsynced_since
            .get_or_insert_with(|| self.shared.clock.monotonic());
        self.shared.room.written(bytes);
        let counters = &self.shared.counters;
        counters.records.fetch_add(count, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.publish(Level::Written, last);
        #[cfg(feature = "bug-ack-before-sync")]
        self.publish(Level::Durable, last);
        Ok(())
    }

    /// Tells everybody that everything up to `revision` has reached `level`.
    fn publish(&self, level: Level, revision: u64) {
        self.shared.observer.reached(level, revision);
        self.shared.acks.publish(level, revision);
        self.shared.observer.told();
    }

    /// Writes the pieces at the end of the active segment and moves it on. Returns their length.
    fn write(&mut self, pieces: &[&[u8]]) -> Result<u64, Ended> {
        let shared = Arc::clone(&self.shared);
        let Some(active) = &mut self.active else {
            return Err(Ended);
        };
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        let start = active.offset;
        let mut full_since = None;
        while !rest.is_empty() {
            match active.file.write_at(rest, active.offset) {
                Ok(0) => {
                    return Err(ended(
                        &shared,
                        active.number,
                        "write",
                        &io::ErrorKind::WriteZero.into(),
                    ));
                }
                Ok(n) => {
                    active.offset += wide(n);
                    IoSlice::advance_slices(&mut rest, n);
                    full_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => {
                    let now = shared.clock.monotonic();
                    if now > *full_since.get_or_insert(now) + FULL_PATIENCE {
                        return Err(ended(&shared, active.number, "write", &error));
                    }
                    pause(FULL_PAUSE);
                }
                Err(error) => return Err(ended(&shared, active.number, "write", &error)),
            }
        }
        for piece in pieces {
            active.crc.update(piece);
        }
        Ok(active.offset - start)
    }

    /// Makes everything that was written durable.
    fn sync(&mut self) -> Result<(), Ended> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        let clock = &self.shared.clock;
        let started = clock.monotonic();
        let synced = active.file.sync_data();
        #[cfg(feature = "bug-retry-failed-sync")]
        let synced = synced.or_else(|_| active.file.sync_data());
        if let Err(error) = synced {
            return Err(ended(&self.shared, active.number, "sync", &error));
        }
        self.last_activity = clock.monotonic();
        self.unsynced_since = None;
        let took = self.last_activity.saturating_sub(started);
        let counters = &self.shared.counters;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.sync_nanos.fetch_add(
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        self.publish(Level::Durable, self.last_revision);
        Ok(())
    }

    /// Writes and syncs a record that only tells how far the log is durable.
    fn mark(&mut self) -> Result<(), Ended> {
        let durable = self.shared.acks.reached(Level::Durable);
        self.told_durable = durable;
        // Without room there is none: a mark never competes with a change.
        let Some(grant) = self.shared.room.try_claim(wide(HEADER), Purpose::Shrink) else {
            return Ok(());
        };
        if self
            .active
            .as_ref()
            .is_none_or(|active| active.left() < wide(HEADER))
        {
            return Ok(());
        }
        let bytes = self.write_bare(kind::MARK, durable)?;
        grant.used(bytes);
        self.shared.room.written(bytes);
        self.sync()
    }

    fn write_bare(&mut self, code: u8, durable: u64) -> Result<u64, Ended> {
        let time_ms = self.shared.clock.now_ms();
        let Some(active) = &self.active else {
            return Err(Ended);
        };
        let bytes = frame::bare(
            code,
            self.last_revision,
            durable,
            time_ms,
            &active.seeds,
            active.offset,
        );
        self.write(&[&bytes])
    }

    /// Closes the active segment and goes on in the next one.
    ///
    /// 1. Write the seal.
    /// 2. Sync: only then may anything go to the next segment.
    /// 3. Take the prepared segment, which room accounting has made sure of.
    /// 4. Leave the truncation and the manifest to the preparer.
    fn rotate(&mut self) -> Result<(), Ended> {
        self.seal()?;
        let next = self.next_prepared()?;
        self.shared.room.rotated();
        self.active = Some(Active::of(next));
        self.shared
            .counters
            .rotations
            .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Ended> {
        if self.active.is_none() {
            return Ok(());
        }
        let durable = self.shared.acks.reached(Level::Durable);
        self.write_bare(kind::SEAL, durable)?;
        #[cfg(not(feature = "bug-seal-unsynced"))]
        self.sync()?;
        if let Some(active) = self.active.take() {
            let sealed = Sealed {
                len: active.offset,
                last_revision: self.last_revision,
                crc: active.crc.finalize(),
            };
            self.shared.chores.lock().seals.push(SealJob {
                number: active.number,
                file: active.file,
                sealed,
            });
            self.shared.chores_wake.notify_one();
        }
        Ok(())
    }

    fn next_prepared(&self) -> Result<Prepared, Ended> {
        let mut prepared = self.shared.prepared.lock();
        loop {
            if let Some(next) = prepared.pop_front() {
                return Ok(next);
            }
            if self.shared.acks.lost().is_some() {
                return Err(Ended);
            }
            self.shared.prepared_added.wait_for(&mut prepared, IDLE);
        }
    }

    fn rotate_for(&mut self, reply: &SyncSender<u64>) -> Result<(), Ended> {
        self.rotate()?;
        if reply.send(self.last_revision).is_err() {
            tracing::debug!("who asked for a rotation has stopped waiting");
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Ended> {
        self.seal()
    }
}

fn ended(shared: &Shared, number: u64, what: &str, error: &io::Error) -> Ended {
    let file = shared.dir.display(&super::segment::name(number));
    shared.poison(format!("{what} of {file} failed: {error}"));
    Ended
}

/// Waits for `time` without holding anything: on a condition that nobody signals, because nobody knows when a disk has
/// space again.
fn pause(time: Duration) {
    let never = Mutex::new(());
    Condvar::new().wait_for(&mut never.lock(), time);
}
