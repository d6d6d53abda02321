//! The thread beside the writer: prepares zero-filled segments, truncates and records sealed ones, keeps the reserve, and
//! watches a full disk until it has space again.
//!
//! A full disk, in order: 1. give up the previous snapshot generation; 2. turn the reserve into a segment that only
//! deletions may use; 3. once the free space has stayed above the reserve and two segments for five seconds, make the
//! reserve again and let writes resume.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::segment::{self, Prepared, SegmentHeader};
use crate::fs::{File, write_all_at};
use crate::int::{narrow, wide};
use crate::manifest::{Sealed, Segment};

/// How often it looks around when nobody calls.
const TICK: Duration = Duration::from_millis(100);
/// How often a full disk is asked again.
const FULL_TICK: Duration = Duration::from_millis(500);
/// How long there must be space before it is believed.
const STEADY: Duration = Duration::from_secs(5);
/// The file that is given up when the disk is full.
pub(crate) const RESERVE: &str = "reserve.bin";
/// The reserve is a segment and this much, so that what a directory and a manifest need is there too.
const RESERVE_EXTRA: u64 = 1 << 20;
/// Less room than this is not worth a segment.
const LEAST_ASIDE: u64 = 128 << 10;
const ZEROS: usize = 1 << 20;

/// A segment that the writer has sealed and synced.
#[derive(Debug)]
pub(super) struct SealJob {
    pub(super) number: u64,
    pub(super) file: Arc<dyn File>,
    pub(super) sealed: Sealed,
}

/// Whether an error means that there is no space, which passes, and not that the disk fails.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why something could not be prepared.
enum Failed {
    Full,
    Ended,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Preparer {
    shared: Arc<Shared>,
    next_number: u64,
    /// Since when the full disk has had space.
    space_since: Option<Duration>,
    next_look: Duration,
    reserve_checked: bool,
    /// Sealed segments that the manifest could not be told of on a full disk.
    unsealed: Vec<SealJob>,
}

impl Preparer {
    pub(super) fn new(shared: Arc<Shared>, next_number: u64) -> Self {
        let next_look = shared.clock.monotonic();
        Self {
            shared,
            next_number,
            space_since: None,
            next_look,
            reserve_checked: false,
            unsealed: Vec::new(),
        }
    }

    /// Runs until the log is closed or lost.
    pub(super) fn run(mut self) {
        loop {
            let (seals, stop) = self.next_chores();
            let ended = seals
                .into_iter()
                .try_for_each(|job| self.seal(job))
                .is_err();
            if ended || self.shared.acks.lost().is_some() {
                return;
            }
            if stop {
                self.give_back();
                return;
            }
            self.shared.room.tick();
            if self.look_after_segments().is_err() {
                return;
            }
        }
    }

    fn next_chores(&self) -> (Vec<SealJob>, bool) {
        let mut chores = self.shared.chores.lock();
        if chores.seals.is_empty() && !chores.stop && !self.wants_segment_now() {
            self.shared.chores_wake.wait_for(&mut chores, TICK);
        }
        (std::mem::take(&mut chores.seals), chores.stop)
    }

    fn wants_segment_now(&self) -> bool {
        !self.shared.room.is_full() && self.shared.prepared.lock().is_empty()
    }

    /// Truncates a sealed segment and writes its end into the manifest.
    fn seal(&mut self, job: SealJob) -> Result<(), Failed> {
        let name = segment::name(job.number);
        // The zeros behind the seal are only a waste: where they cannot be cut off, the seal still holds.
        if let Err(error) = job
            .file
            .set_len(job.sealed.len)
            .and_then(|()| job.file.sync_all())
        {
            return Err(self.poison("truncation", &name, &error));
        }
        let durable = self.shared.acks.reached(super::Level::Durable);
        let newest_time_ms = self.shared.clock.now_ms();
        let updated = self.shared.manifest.update(|manifest| {
            manifest.durable = manifest.durable.max(durable);
            manifest.newest_time_ms = manifest.newest_time_ms.max(newest_time_ms);
            for segment in &mut manifest.segments {
                if segment.number == job.number {
                    segment.sealed = Some(job.sealed);
                }
            }
        });
        match updated {
            Ok(()) => Ok(()),
            // Recovery can live with a segment that the manifest does not know to be sealed; it is told later.
            Err(error) if !error.renamed && is_full(&error.source) => {
                self.unsealed.push(job);
                Ok(())
            }
            Err(error) => Err(self.poison("replacement", crate::manifest::FILE, &error.source)),
        }
    }

    fn look_after_segments(&mut self) -> Result<(), Failed> {
        let now = self.shared.clock.monotonic();
        if self.shared.room.is_full() {
            if now < self.next_look {
                return Ok(());
            }
            self.next_look = now + FULL_TICK;
            if !self.has_space_again(now) {
                return Ok(());
            }
            match self.make_reserve() {
                Ok(()) => {
                    tracing::info!("the disk has space again: writes resume");
                    self.shared.room.set_full(false);
                    let unsealed = std::mem::take(&mut self.unsealed);
                    unsealed.into_iter().try_for_each(|job| self.seal(job))?;
                }
                Err(Failed::Full) => return Ok(()),
                Err(Failed::Ended) => return Err(Failed::Ended),
            }
        }
        let wanted = self
            .shared
            .room
            .wants_segment()
            .map(|bytes| bytes + self.shared.options.segment_bytes);
        let wanted = wanted.or_else(|| {
            let empty = self.shared.prepared.lock().is_empty();
            empty.then_some(self.shared.options.segment_bytes)
        });
        if let Some(capacity) = wanted {
            match self.prepare(capacity, false) {
                Err(Failed::Full) => return self.disk_is_full(),
                other => return other,
            }
        }
        if !self.reserve_checked {
            self.reserve_checked = true;
            return match self.make_reserve() {
                Err(Failed::Full) => {
                    tracing::warn!(
                        "no space for the reserve: deletes may fail when the disk is full"
                    );
                    Ok(())
                }
                other => other,
            };
        }
        Ok(())
    }

    /// Makes a segment of that capacity and hands it to the writer.
    fn prepare(&mut self, capacity: u64, set_aside: bool) -> Result<(), Failed> {
        let number = self.next_number;
        let name = segment::name(number);
        // Where the space cannot be told, trying tells.
        if self
            .shared
            .dir
            .space()
            .is_ok_and(|space| space.free < capacity)
        {
            return Err(Failed::Full);
        }
        let header = SegmentHeader {
            store_id: self.shared.options.store_id,
            number,
            salt: crate::random(),
            capacity,
            max_record: self.shared.options.max_record_bytes,
            created_ms: self.shared.clock.now_ms(),
        };
        let prepared = Prepared::create(&*self.shared.dir, &header, std::thread::yield_now)
            .map_err(|error| self.failed("preparation", &name, &error))?;
        let updated = self.shared.manifest.update(|manifest| {
            manifest.segments.push(Segment {
                number,
                salt: header.salt,
                sealed: None,
            });
        });
        if let Err(error) = updated {
            if !error.renamed && is_full(&error.source) {
                drop(self.shared.dir.remove(&name));
                return Err(Failed::Full);
            }
            return Err(self.poison("replacement", crate::manifest::FILE, &error.source));
        }
        self.next_number += 1;
        let room = prepared.room();
        self.shared.prepared.lock().push_back(prepared);
        self.shared.room.added(room, set_aside);
        self.shared.prepared_added.notify_all();
        // A rotation that somebody asked for may be possible now.
        let queue = self.shared.queue.lock();
        let asked = queue.rotate.is_some();
        drop(queue);
        if asked {
            self.shared.writer_wake.notify_one();
        }
        Ok(())
    }

    fn failed(&self, what: &str, name: &str, error: &io::Error) -> Failed {
        if is_full(error) {
            Failed::Full
        } else {
            self.poison(what, name, error)
        }
    }

    fn poison(&self, what: &str, name: &str, error: &io::Error) -> Failed {
        self.shared.poison(format!(
            "{what} of {} failed: {error}",
            self.shared.dir.display(name)
        ));
        Failed::Ended
    }

    fn disk_is_full(&mut self) -> Result<(), Failed> {
        if (self.shared.reclaim)() {
            tracing::warn!("the disk is full: the previous snapshot was given up");
            return Ok(());
        }
        tracing::error!(
            "the disk is full: writes are refused, deletes go on while the reserve lasts"
        );
        self.space_since = None;
        if let Err(Failed::Ended) = self.set_aside() {
            return Err(Failed::Ended);
        }
        self.shared.room.set_full(true);
        Ok(())
    }

    /// Makes a segment that only deletions may use: out of the reserve, or where that is gone, out of what is left.
    fn set_aside(&mut self) -> Result<(), Failed> {
        let dir = Arc::clone(&self.shared.dir);
        let reserve = dir
            .open_read(RESERVE)
            .and_then(|file| file.len())
            .unwrap_or(0);
        if reserve > 0 {
            let removed = dir.remove(RESERVE).and_then(|()| dir.sync());
            removed.map_err(|error| self.failed("removal", RESERVE, &error))?;
        }
        let free = dir
            .space()
            .map_or(0, |space| space.free)
            .saturating_sub(RESERVE_EXTRA);
        let capacity = free
            .max(reserve.saturating_sub(RESERVE_EXTRA))
            .min(self.shared.options.segment_bytes);
        if capacity < segment::capacity_for(LEAST_ASIDE) {
            return Err(Failed::Full);
        }
        self.prepare(capacity, true)
    }

    fn has_space_again(&mut self, now: Duration) -> bool {
        let needed = self.shared.options.reserve_bytes + 2 * self.shared.options.segment_bytes;
        let free = self.shared.dir.space().map_or(0, |space| space.free);
        if free < needed {
            self.space_since = None;
            return false;
        }
        now >= *self.space_since.get_or_insert(now) + STEADY
    }

    /// Removes the segments that were prepared and not used, so that the next start does not read their zeros. Nothing is
    /// lost where that fails: the next start finds them empty.
    fn give_back(&self) {
        let unused = std::mem::take(&mut *self.shared.prepared.lock());
        let numbers: Vec<u64> = unused.iter().map(|prepared| prepared.number).collect();
        let forgotten = self.shared.manifest.update(|manifest| {
            manifest
                .segments
                .retain(|segment| !numbers.contains(&segment.number));
        });
        if forgotten.is_ok() {
            for number in numbers {
                drop(self.shared.dir.remove(&segment::name(number)));
            }
        }
    }

    /// Makes the reserve where it is not there.
    fn make_reserve(&self) -> Result<(), Failed> {
        let bytes = self.shared.options.reserve_bytes;
        let dir = &self.shared.dir;
        if bytes == 0 || dir.open_read(RESERVE).is_ok() {
            return Ok(());
        }
        let temporary = "reserve.tmp";
        drop(dir.remove(temporary));
        let made = dir.create(temporary).and_then(|file| {
            let zeros = vec![0; ZEROS];
            let mut offset = 0;
            while offset < bytes {
                let piece = zeros
                    .get(..narrow((bytes - offset).min(wide(ZEROS))))
                    .unwrap_or_default();
                write_all_at(&*file, piece, offset)?;
                offset += wide(piece.len());
                std::thread::yield_now();
            }
            file.sync_all()?;
            dir.rename(temporary, RESERVE)?;
            dir.sync()
        });
        made.map_err(|error| {
            drop(dir.remove(temporary));
            // Nothing is promised about the reserve: a failure to make it loses nobody's data.
            if is_full(&error) {
                return Failed::Full;
            }
            self.poison("preparation", RESERVE, &error)
        })
    }
}
