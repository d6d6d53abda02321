//! Looks at a directory without serving it, and repairs one on a person's word.

use std::fmt;
use std::sync::Arc;

use crate::error::OpenError;
use crate::fs::{self, Dir};
use crate::int::wide;
use crate::log::segment;
use crate::manifest::{self, Sealed};
use crate::options::{Options, TailPolicy};
use crate::progress::Progress;
use crate::recovery::{
    Access, Found, Loaded, Locked, Replayed, contents_of, cut_segment, read_snapshot,
};
use crate::watch::Bounds;

/// What is in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries, the expired ones included.
    pub entries: u64,
    /// The last change.
    pub revision: u64,
    /// Log segments.
    pub segments: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What a start would do with the end of the log.
    pub tail: String,
    /// What a start would pass over, or what waits for a person's word.
    pub warnings: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} entries up to revision {}, {} segments, {} snapshots, {} bytes read",
            self.entries, self.revision, self.segments, self.snapshots, self.bytes
        )?;
        write!(f, "end of the log: {}", self.tail)?;
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

/// Reads everything that a start would read, and every other live file too. Changes nothing.
///
/// # Errors
/// What a start would say.
pub fn check(storage: Arc<dyn Dir>, progress: &Progress) -> Result<Report, OpenError> {
    let locked = Locked::open(storage, Access::Look)?;
    let dir = Arc::clone(&locked.dir);
    let found = Found::read(locked)?;
    progress.set_total(found.bytes());
    let manifest = found.manifest.clone();
    let options = Options::default();
    let mut warnings = Vec::new();
    for snapshot in &manifest.snapshots {
        let contents = contents_of(&options, &manifest);
        let name = crate::snapshot::name(snapshot.s);
        let file = dir
            .open_read(&name)
            .map_err(OpenError::io(dir.display(&name)))?;
        if let Err(why) = read_snapshot(&*file, &manifest, snapshot, &contents, &Progress::new()) {
            warnings.push(format!("{}: {why}", dir.display(&name)));
        }
    }
    if manifest.quarantined {
        warnings.push(
            "something is in quarantine: look at it, then `standpipe repair --acknowledge`"
                .to_owned(),
        );
    }
    let loaded = Loaded::load(found, &options, Access::Look, progress)?;
    let replayed = Replayed::replay(loaded, TailPolicy::Refuse, Bounds::NONE, progress)?;
    let keyspaces = replayed.contents.keyspaces.all();
    Ok(Report {
        entries: keyspaces
            .iter()
            .map(|keyspace| keyspace.map.stats(0).live)
            .sum(),
        revision: replayed.last_revision,
        segments: wide(manifest.segments.len()),
        snapshots: wide(manifest.snapshots.len()),
        bytes: progress.bytes_done(),
        tail: replayed.tail.to_string(),
        warnings,
    })
}

/// What a person orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// What is in quarantine has been looked at.
    pub acknowledge: bool,
    /// The clock is right, whatever the log says.
    pub reset_clock: bool,
    /// Give up everything in this segment file from this offset on, and every later segment.
    pub cut: Option<(String, u64)>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// One line for each thing that was done.
    pub done: Vec<String>,
}

/// Does what `repair` says. Whatever is cut is copied to `quarantine/` first.
///
/// # Errors
/// A directory in use, an unreadable manifest, a segment that is not there, or a failing disk.
pub fn repair(storage: Arc<dyn Dir>, repair: &Repair) -> Result<Repaired, OpenError> {
    let locked = Locked::open(storage, Access::Own)?;
    let dir = Arc::clone(&locked.dir);
    let found = Found::read(locked)?;
    let mut manifest = found.manifest;
    let mut done = Vec::new();
    if repair.acknowledge {
        manifest.quarantined = false;
        done.push("what is in quarantine is acknowledged".to_owned());
    }
    if repair.reset_clock {
        manifest.clock_reset = true;
        done.push("the next start believes the clock".to_owned());
    }
    if let Some((name, offset)) = &repair.cut {
        let position = segment::number(name).and_then(|number| {
            manifest
                .segments
                .iter()
                .position(|segment| segment.number == number)
        });
        let Some(position) = position else {
            let why = "the manifest names no segment of this name: run `standpipe check` for the right one".to_owned();
            return Err(OpenError::NotAStore {
                path: dir.display(name),
                why,
            });
        };
        let cut = cut_log(&*dir, &mut manifest, position, *offset)?;
        done.extend(cut);
    }
    let replaced = fs::replace(&*dir, manifest::FILE, &manifest.encode());
    replaced.map_err(|error| OpenError::SyncFailed {
        what: dir.display(manifest::FILE),
        source: error.source,
    })?;
    Ok(Repaired { done })
}

fn cut_log(
    dir: &dyn Dir,
    manifest: &mut manifest::Manifest,
    position: usize,
    offset: u64,
) -> Result<Vec<String>, OpenError> {
    let mut done = Vec::new();
    let later = manifest.segments.split_off(position + 1);
    let Some(segment) = manifest.segments.last_mut() else {
        return Ok(done);
    };
    let offset = offset.max(segment::SEGMENT_HEADER);
    let mut cuts = vec![(segment.number, offset)];
    cuts.extend(
        later
            .iter()
            .map(|segment| (segment.number, segment::SEGMENT_HEADER)),
    );
    for (number, offset) in cuts {
        let name = segment::name(number);
        cut_segment(dir, number, offset).map_err(OpenError::io(dir.display(&name)))?;
        done.push(format!(
            "{} is cut at {offset}; a copy of the rest is in quarantine",
            dir.display(&name)
        ));
    }
    // The end of the log is found anew by the next start, which must not ask for what has been given up.
    segment.sealed = None::<Sealed>;
    manifest.durable = 0;
    manifest.cut = true;
    Ok(done)
}
