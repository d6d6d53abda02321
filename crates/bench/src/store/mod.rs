//! Benchmarks of the store alone, without HTTP: filling, opening, changes and reads from several threads, snapshots.

pub(crate) mod churn;
pub(crate) mod expiry;
pub(crate) mod lists;
pub(crate) mod operations;

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Conditions, Durability, Keyspace, Level, Lifetime, Meta, Options, Policy, Progress,
    Store, block_on,
};

use crate::number::float;
use crate::process::resident;
use crate::{Failure, Outcome, load};

/// Bytes of a value, as everywhere unless said otherwise.
pub(crate) const VALUE: usize = 100;
/// Bytes of key and value together.
pub(crate) const PAYLOAD: u64 = 116;
/// An odd prime: keys are put in an order that is not theirs, each once.
const STRIDE: u64 = 2_654_435_761;

/// An open store with its one keyspace.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) keyspace: Arc<Keyspace>,
}

/// Opens the store in `dir`, making it where it is absent. No snapshot is made by itself.
pub(crate) fn open(dir: &Path, durability: Option<Durability>) -> Outcome<Opened> {
    std::fs::create_dir_all(dir).map_err(Failure::at(dir.display()))?;
    let real = RealDir::open(dir).map_err(Failure::at(dir.display()))?;
    let options = Options {
        compaction_min_bytes: u64::MAX,
        ..Options::default()
    };
    let clock = Arc::new(Clock::system());
    let store = Store::open(Arc::new(real), clock, options, &Progress::new())
        .map_err(Failure::at("opening the store"))?;
    if let Some(durability) = durability {
        let policy = Policy::of(durability);
        let set = store.set_keyspace("default", &policy, usize::MAX);
        block_on(set).map_err(Failure::at("setting the durability"))?;
    }
    let keyspace = store.keyspace("default");
    let keyspace = keyspace.ok_or_else(|| Failure::of("a store without its default keyspace"))?;
    Ok(Opened { store, keyspace })
}

impl Opened {
    /// Puts the usual value under `key` and waits until it is applied, not longer. Returns its revision.
    pub(crate) async fn put(&self, key: &[u8], level: Level) -> Outcome<u64> {
        let failed = |error| Failure::at("put")(error);
        let meta = Meta::of_type(Meta::TEXT);
        let mut draft = self
            .store
            .draft(key, VALUE, &meta, Lifetime::FOREVER)
            .map_err(failed)?;
        draft.fill(|value| {
            value.fill(b'v');
            for (place, byte) in value.iter_mut().zip(key) {
                *place = *byte;
            }
        });
        let put = self
            .store
            .put(&self.keyspace, draft, &Conditions::default(), level)
            .await
            .map_err(failed)?;
        put.own
            .ok_or_else(|| Failure::of("a put without a revision"))
    }

    fn close(self) -> Outcome<()> {
        self.store.close().map_err(Failure::at("closing the store"))
    }
}

/// Makes a store of `entries` entries in `dir`; `snapshot` folds its log. Returns the time that the puts took.
pub(crate) fn fill(dir: &Path, entries: u64, snapshot: bool) -> Outcome<Duration> {
    let opened = open(dir, Some(Durability::Written))?;
    let started = Instant::now();
    for n in 0..entries {
        let key = load::key(n.wrapping_mul(STRIDE) % entries);
        block_on(opened.put(&key, Level::Written))?;
    }
    let took = started.elapsed();
    if snapshot {
        block_on(opened.store.compact()).map_err(Failure::at("making a snapshot"))?;
    }
    opened.close()?;
    Ok(took)
}

/// What opening a store came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) took: Duration,
    /// Memory in RAM afterwards, in bytes.
    pub(crate) resident: u64,
    pub(crate) entries: u64,
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            took,
            resident,
            entries,
        } = self;
        write!(
            f,
            "opened {} us, {resident} bytes, {entries} entries",
            took.as_micros()
        )
    }
}

/// Opens the store in `dir` in this process.
pub(crate) fn opening(dir: &Path) -> Outcome<Opening> {
    let started = Instant::now();
    let opened = open(dir, None)?;
    let took = started.elapsed();
    let resident = resident(std::process::id())?;
    let entries = opened.store.stats().entries;
    opened.close()?;
    Ok(Opening {
        took,
        resident,
        entries,
    })
}

/// Runs one of this program's store commands as a process of its own, whose memory is nobody else's, and returns the
/// numbers that it prints.
fn in_a_process(command: &str, dir: &Path) -> Outcome<Vec<u64>> {
    let this = std::env::current_exe().map_err(Failure::at("this program"))?;
    let output = Command::new(this)
        .args(["store", command, "--dir"])
        .arg(dir)
        .output()
        .map_err(Failure::at("starting this program again"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::of(format!("store {command}: {why}")));
    }
    Ok(said
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect())
}

/// Opens the store in `dir` in a process of its own.
pub(crate) fn opening_elsewhere(dir: &Path) -> Outcome<Opening> {
    match in_a_process("open", dir)?.as_slice() {
        [us, resident, entries] => Ok(Opening {
            took: Duration::from_micros(*us),
            resident: *resident,
            entries: *entries,
        }),
        other => Err(Failure::of(format!("store open said {other:?}"))),
    }
}

/// Makes a snapshot of the store in `dir`, reading it back included. Returns the time, bytes and entries.
pub(crate) fn snapshot(dir: &Path) -> Outcome<(Duration, u64, u64)> {
    let opened = open(dir, None)?;
    // Without a change since the last one there would be nothing to do.
    let own = block_on(opened.put(&load::key(0), Level::Durable))?;
    block_on(opened.store.wait_durable(own)).map_err(Failure::at("put"))?;
    let started = Instant::now();
    let made = block_on(opened.store.compact()).map_err(Failure::at("making a snapshot"))?;
    let took = started.elapsed();
    opened.close()?;
    Ok((took, made.bytes, made.entries))
}

/// The same in a process of its own: the time.
pub(crate) fn snapshot_elsewhere(dir: &Path) -> Outcome<Duration> {
    match in_a_process("snapshot", dir)?.as_slice() {
        [us, _, _] => Ok(Duration::from_micros(*us)),
        other => Err(Failure::of(format!("store snapshot said {other:?}"))),
    }
}

/// Bytes of memory for each entry beyond key and value.
pub(crate) fn overhead(with: u64, without: u64, entries: u64) -> f64 {
    float(with.saturating_sub(without)) / float(entries.max(1)) - float(PAYLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::wide;

    #[test]
    fn a_filled_store_opens_from_its_log_and_from_a_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        for snapshot in [false, true] {
            let data = dir.path().join(snapshot.to_string());
            fill(&data, 3_000, snapshot).unwrap();
            assert_eq!(opening(&data).unwrap().entries, 3_000);
            let (_, bytes, entries) = super::snapshot(&data).unwrap();
            assert_eq!(entries, 3_000);
            assert!(bytes > 3_000 * PAYLOAD);
        }
        assert_eq!(wide(load::key(7).len()) + wide(VALUE), PAYLOAD);
    }
}
