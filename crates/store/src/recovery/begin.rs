//! Stage 5: the first writes. The tail is cut where it was torn, a new segment is made, one manifest says so.
//!
//! 1. Copy what is cut into quarantine, sync it, truncate, sync.
//! 2. Make the new segment: never append behind a repaired tail.
//! 3. One manifest names the new segment, seals every older one at its last valid record, drops prepared ones that hold
//!    none, and tells the new incarnation. It comes before the first acknowledgement.
//! 4. Files that the manifest does not name are removed, or put into quarantine where they hold something newer than the
//!    older snapshot.

use std::io;
use std::sync::Arc;

use super::replay::{Ended, Replayed, Tail};
use super::{Locked, QUARANTINE};
use crate::clock::Clock;
use crate::error::OpenError;
use crate::fs::{self, Dir, Replace};
use crate::int::narrow;
use crate::log::reader::behind;
use crate::log::segment::{self, Prepared, SEGMENT_HEADER, SegmentHeader};
use crate::log::{RESERVE, Start, is_full};
use crate::manifest::{self, Incarnation, Manifest, ManifestFile, Segment};
use crate::map::Contents;
use crate::options::Options;
use crate::snapshot;
use crate::watch::Refill;

/// The segment that a start opens: small, so that a start is quick.
const FIRST_SEGMENT: u64 = 1 << 20;

/// Stage 5: ready to run.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) locked: Locked,
    pub(crate) contents: Contents,
    pub(crate) manifest: Arc<ManifestFile>,
    pub(crate) start: Start,
    pub(crate) newest_time_ms: u64,
    pub(crate) passed_over: Option<String>,
    pub(crate) log_bytes: u64,
    pub(crate) refill: Refill,
    /// A person has said that the clock is right, whatever the log says.
    pub(crate) clock_reset: bool,
}

impl Begun {
    /// Cuts, makes the new segment, writes the manifest.
    pub(crate) fn begin(
        replayed: Replayed,
        options: &Options,
        segment_bytes: u64,
        clock: &Clock,
    ) -> Result<Self, OpenError> {
        let Replayed {
            found,
            contents,
            last_revision,
            ended,
            tail,
            newest_time_ms,
            passed_over,
            log_bytes,
            refill,
        } = replayed;
        let dir = Arc::clone(&found.locked.dir);
        let empty = ended
            .iter()
            .filter(|end| !end.holds_records && !tail.cuts(end.number))
            .map(|end| segment::name(end.number))
            .collect();
        let spare = Spare { dir: &*dir, empty };
        let mut manifest = found.manifest;
        let clock_reset = std::mem::take(&mut manifest.clock_reset);
        manifest.quarantined |= cut_tail(&spare, &manifest, tail)?;
        settle_segments(&mut manifest, ended);
        let number = next_number(&*dir, &manifest)?;
        let header = SegmentHeader {
            store_id: manifest.store_id,
            number,
            salt: crate::random(),
            capacity: segment_bytes.min(FIRST_SEGMENT),
            max_record: options.max_record_bytes,
            created_ms: clock.now_ms().max(newest_time_ms),
        };
        let active = match spare.retrying(|| Prepared::create(&*dir, &header, || {}))? {
            Ok(active) => Some(active),
            Err(error) if is_full(&error) => None,
            Err(source) => {
                return Err(OpenError::Io {
                    what: dir.display(&segment::name(number)),
                    source,
                });
            }
        };
        if active.is_some() {
            manifest.segments.push(Segment {
                number,
                salt: header.salt,
                sealed: None,
            });
        }
        tell_start(&mut manifest, last_revision, newest_time_ms);
        write_manifest(&*dir, &manifest, active.is_some())?;
        if active.is_some() {
            clean(&*dir, &manifest)?;
        }
        let manifest = Arc::new(ManifestFile::new(dir, manifest));
        let start = Start {
            last_revision,
            active,
            next_segment: number + 1,
        };
        Ok(Self {
            locked: found.locked,
            contents,
            manifest,
            start,
            newest_time_ms,
            passed_over,
            log_bytes,
            refill,
            clock_reset,
        })
    }
}

/// Cuts what is to be cut. Returns whether it was more than a torn tail.
fn cut_tail(spare: &Spare<'_>, manifest: &Manifest, tail: Tail) -> Result<bool, OpenError> {
    let dir = spare.dir;
    let Tail::Cut {
        number,
        offset,
        doubtful,
    } = tail
    else {
        return Ok(false);
    };
    let file = dir.display(&segment::name(number));
    if doubtful {
        // First of all, so that it is not forgotten where this start dies on the way.
        let noted = Manifest {
            quarantined: true,
            ..manifest.clone()
        };
        let written = spare.retrying(|| {
            fs::replace(dir, manifest::FILE, &noted.encode()).map_err(|error| error.source)
        })?;
        written.map_err(OpenError::io(dir.display(manifest::FILE)))?;
    }
    spare
        .retrying(|| cut(dir, number, offset))?
        .map_err(OpenError::io(file.clone()))?;
    tracing::warn!(%file, offset, doubtful, "the tail was cut; a copy is in quarantine");
    Ok(doubtful)
}

/// The facts of this start: its incarnation, and what is durable because it was read from the disk.
fn tell_start(manifest: &mut Manifest, last_revision: u64, newest_time_ms: u64) {
    manifest.prune_incarnations();
    let mark = if cfg!(feature = "bug-same-mark") {
        1
    } else {
        u64::from_le_bytes(crate::random())
    };
    manifest.incarnations.push(Incarnation {
        first: last_revision + 1,
        mark,
    });
    manifest.durable = manifest.durable.max(last_revision);
    manifest.newest_time_ms = newest_time_ms;
}

/// Seals every segment that holds records where they end, and forgets the others.
fn settle_segments(manifest: &mut Manifest, ended: Vec<Ended>) {
    manifest.cut = false;
    for end in ended {
        if end.holds_records {
            let segment = manifest
                .segments
                .iter_mut()
                .find(|segment| segment.number == end.number);
            if let Some(segment) = segment {
                segment.sealed = Some(end.sealed);
            }
        } else {
            manifest
                .segments
                .retain(|segment| segment.number != end.number);
        }
    }
}

/// Writes the manifest of this start. On a disk too full even for that the store opens for reading; the first segment that
/// can be prepared writes it then.
fn write_manifest(dir: &dyn Dir, manifest: &Manifest, required: bool) -> Result<(), OpenError> {
    let what = || dir.display(manifest::FILE);
    match fs::replace(dir, manifest::FILE, &manifest.encode()) {
        Ok(()) => Ok(()),
        Err(Replace {
            renamed: false,
            source,
        }) if !required && is_full(&source) => Ok(()),
        Err(Replace {
            renamed: false,
            source,
        }) => Err(OpenError::Io {
            what: what(),
            source,
        }),
        Err(Replace {
            renamed: true,
            source,
        }) => Err(OpenError::SyncFailed {
            what: what(),
            source,
        }),
    }
}

/// What a start on a full disk can give up: the reserve first, then the zeros of segments that hold no record. A segment
/// that is cut to its header is as empty as before, so a start that dies on the way has changed nothing.
struct Spare<'a> {
    dir: &'a dyn Dir,
    empty: Vec<String>,
}

impl Spare<'_> {
    /// Does something, and again after each thing that can be given up while the disk is full.
    fn retrying<T>(&self, act: impl Fn() -> io::Result<T>) -> Result<io::Result<T>, OpenError> {
        let mut outcome = act();
        for free in [Self::reserve, Self::zeros] {
            match &outcome {
                Err(error) if is_full(error) => {}
                Ok(_) | Err(_) => break,
            }
            if free(self)? {
                outcome = act();
            }
        }
        Ok(outcome)
    }

    fn reserve(&self) -> Result<bool, OpenError> {
        if self.dir.remove(RESERVE).is_err() {
            return Ok(false);
        }
        self.dir
            .sync()
            .map_err(OpenError::sync(self.dir.display(RESERVE)))?;
        tracing::warn!("the disk is full: the reserve is used to start");
        Ok(true)
    }

    fn zeros(&self) -> Result<bool, OpenError> {
        for name in &self.empty {
            let cut = self.dir.open(name).and_then(|file| {
                file.set_len(SEGMENT_HEADER)?;
                file.sync_all()
            });
            cut.map_err(OpenError::sync(self.dir.display(name)))?;
        }
        Ok(!self.empty.is_empty())
    }
}

/// A number that no file has.
fn next_number(dir: &dyn Dir, manifest: &Manifest) -> Result<u64, OpenError> {
    let names = dir.list().map_err(OpenError::io(dir.display("")))?;
    let on_disk = names.iter().filter_map(|name| segment::number(name));
    let known = manifest.segments.iter().map(|segment| segment.number);
    Ok(on_disk.chain(known).max().unwrap_or(0) + 1)
}

/// Copies what is behind `offset` into quarantine, then truncates.
pub(crate) fn cut(dir: &dyn Dir, number: u64, offset: u64) -> io::Result<()> {
    let name = segment::name(number);
    let file = dir.open(&name)?;
    let bytes = fs::read_all(&*file)?;
    let tail = bytes.get(narrow(offset)..).unwrap_or_default();
    // The zeros at the end tell nothing.
    let len = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let quarantine = quarantine(dir)?;
    let copy = format!(
        "{name}.{offset}.{:08x}",
        u32::from_le_bytes(crate::random())
    );
    let copied = quarantine.create(&copy)?;
    fs::write_all_at(&*copied, tail.get(..len).unwrap_or_default(), 0)?;
    copied.sync_all()?;
    quarantine.sync()?;
    file.set_len(offset)?;
    file.sync_all()
}

fn quarantine(dir: &dyn Dir) -> io::Result<Arc<dyn Dir>> {
    match dir.open_dir(QUARANTINE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = dir.create_dir(QUARANTINE)?;
            dir.sync()?;
            Ok(made)
        }
        other => other,
    }
}

/// Removes files that the manifest does not name. A segment with records that no snapshot covers is kept in quarantine.
fn clean(dir: &dyn Dir, manifest: &Manifest) -> Result<(), OpenError> {
    let covered = manifest.snapshots.first().map_or(0, |snapshot| snapshot.s);
    for name in dir.list().map_err(OpenError::io(dir.display("")))? {
        let what = || dir.display(&name);
        let number = segment::number(&name);
        let segment = number.is_some_and(|number| {
            manifest
                .segments
                .iter()
                .all(|segment| segment.number != number)
        });
        let snapshot = snapshot::is_name(&name)
            && manifest
                .snapshots
                .iter()
                .all(|snapshot| snapshot::name(snapshot.s) != name);
        let temporary = name == "MANIFEST.tmp" || name == "reserve.tmp";
        if segment && holds_news(dir, &name, covered).map_err(OpenError::io(what()))? {
            tracing::warn!(file = %what(), "a segment that the manifest does not name holds records: moved to quarantine");
            keep(dir, &name).map_err(OpenError::io(what()))?;
        } else if segment || snapshot || temporary {
            dir.remove(&name).map_err(OpenError::io(what()))?;
        }
    }
    Ok(())
}

fn holds_news(dir: &dyn Dir, name: &str, covered: u64) -> io::Result<bool> {
    let file = dir.open_read(name)?;
    let bytes = fs::read_all(&*file)?;
    match SegmentHeader::decode(&bytes) {
        Ok(Ok(header)) => Ok(behind(&bytes, &header, SEGMENT_HEADER).newest > covered),
        // A segment of which nothing but zeros, or not even the header, got to the disk is a start that died early.
        Ok(Err(_)) | Err(_) => Ok(bytes
            .get(narrow(SEGMENT_HEADER)..)
            .unwrap_or_default()
            .iter()
            .any(|byte| *byte != 0)),
    }
}

/// Copies a file into quarantine and removes it.
fn keep(dir: &dyn Dir, name: &str) -> io::Result<()> {
    let bytes = fs::read_all(&*dir.open_read(name)?)?;
    let quarantine = quarantine(dir)?;
    let copied = quarantine.create(&format!(
        "{name}.{:08x}",
        u32::from_le_bytes(crate::random())
    ))?;
    fs::write_all_at(&*copied, &bytes, 0)?;
    copied.sync_all()?;
    quarantine.sync()?;
    dir.remove(name)
}
