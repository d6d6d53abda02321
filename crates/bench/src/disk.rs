//! The disk that a benchmark runs on: how long it takes to sync 4 KiB of zeros, and that it is a disk at all.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::number::median;
use crate::{Failure, Outcome};

/// `f_type` of a file system that lives in memory (`statfs(2)`).
const TMPFS: u64 = 0x0102_1994;
const BLOCK: usize = 4096;
/// Blocks that are written and synced.
const ROUNDS: u64 = 400;

/// The median time to write 4 KiB over zeros that are there already and to sync them: what a batch costs at least.
pub(crate) fn sync_latency(dir: &Path) -> Outcome<Duration> {
    let path = dir.join("sync-latency.bin");
    let failed = |error| Failure::at(path.display())(error);
    let file = File::create(&path).map_err(failed)?;
    let zeros = vec![0; BLOCK * 64];
    for offset in (0..ROUNDS * 4096).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let block = [b'x'; BLOCK];
    let mut times = Vec::new();
    for n in 0..ROUNDS {
        let started = Instant::now();
        file.write_all_at(&block, n * 4096).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        times.push(started.elapsed().as_secs_f64());
    }
    drop(file);
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(Duration::from_secs_f64(median(times)))
}

/// Refuses a directory in memory: syncs there cost nothing, so nothing measured there means anything.
pub(crate) fn on_a_disk(dir: &Path) -> Outcome<()> {
    let kind = rustix::fs::statfs(dir)
        .map_err(Failure::at(dir.display()))?
        .f_type;
    if u64::try_from(kind) == Ok(TMPFS) {
        return Err(Failure::of(format!(
            "{} is in memory (tmpfs): name a directory on a disk with --dir",
            dir.display()
        )));
    }
    Ok(())
}
