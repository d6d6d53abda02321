//! What readers and writers notice of a million entries whose time comes in one second: the latencies of one thread that
//! reads and puts other keys all the while, before that second and until the last of them is gone.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use standpipe_store::{Conditions, Durability, Level, Lifetime, Meta, block_on};

use super::{Opened, VALUE, open};
use crate::load::histogram::Histogram;
use crate::number::nanos;
use crate::process::wait_for;
use crate::{Failure, Outcome, load};

/// Keys that stay, for the foreground.
const STAYING: u64 = 100_000;
/// Time from the end of the filling until the second in which all fall due.
const BEFORE: Duration = Duration::from_secs(2);

/// Latencies of one kind of operation, before and while entries leave.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    before: Histogram,
    during: Histogram,
}

impl Kind {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            before: Histogram::new(),
            during: Histogram::new(),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Swept {
    entries: u64,
    took: Duration,
    kinds: [Kind; 2],
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries gone in {:.1?}", self.entries, self.took)?;
        for kind in &self.kinds {
            write!(f, "; {}:", kind.name)?;
            for (when, histogram) in [("before", &kind.before), ("meanwhile", &kind.during)] {
                let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| histogram.quantile(share));
                let most = histogram.most();
                write!(
                    f,
                    " {when} p50 {p50:.1?} p99 {p99:.1?} p99.9 {p999:.1?} most {most:.1?}"
                )?;
            }
        }
        Ok(())
    }
}

/// Puts `entries` that all leave within one second, and watches.
pub(crate) fn run(dir: &Path, entries: u64, durability: Durability) -> Outcome<Swept> {
    let opened = open(dir, Some(durability))?;
    for n in 0..STAYING {
        block_on(opened.put(&load::key(n), Level::Written))?;
    }
    // Far enough away for the filling; touched to the real moment by nobody: it is guessed from a first part.
    let started = Instant::now();
    let far = opened.store.clock().now_ms() + 1_000_000_000;
    let sample = entries.min(20_000);
    for n in 0..sample {
        put_until(&opened, STAYING + n, far)?;
    }
    let filling =
        started.elapsed().mul_f64(1.5) * u32::try_from(entries / sample.max(1)).unwrap_or(u32::MAX);
    let due_at = Instant::now() + filling + BEFORE;
    let due_ms = opened.store.clock().now_ms() + millis(filling + BEFORE);
    for n in 0..entries {
        put_until(&opened, STAYING + n, due_ms + n * 1_000 / entries)?;
    }
    let swept = watch(&opened, entries, due_at)?;
    opened.close()?;
    Ok(swept)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn put_until(opened: &Opened, n: u64, expires_at_ms: u64) -> Outcome<()> {
    let meta = Meta::of_type(Meta::TEXT);
    let draft = opened.store.draft(
        &load::key(n),
        VALUE,
        &meta,
        Lifetime::until(Some(expires_at_ms)),
    );
    let draft = draft.map_err(Failure::at("put"))?;
    let when = Conditions::default();
    let put = opened
        .store
        .put(&opened.keyspace, draft, &when, Level::Written);
    block_on(put).map_err(Failure::at("put")).map(drop)
}

/// Reads and puts until all that expires is gone.
fn watch(opened: &Opened, entries: u64, due_at: Instant) -> Outcome<Swept> {
    let mut kinds = [Kind::new("get"), Kind::new("put")];
    let gone = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let (told, store) = (&gone, &opened.store);
        let looker = scope.spawn(move || {
            let all = || (store.stats().expired >= entries).then(Instant::now);
            let limit = Duration::from_mins(5);
            let ended = wait_for("the last entry to leave", limit, all);
            told.store(true, Ordering::Relaxed);
            ended
        });
        let mut state = 1;
        while !gone.load(Ordering::Relaxed) {
            for kind in &mut kinds {
                let key = load::key(load::random_below(&mut state, STAYING));
                let began = Instant::now();
                if kind.name == "get" {
                    drop(opened.store.get(&opened.keyspace, &key));
                } else {
                    block_on(opened.put(&key, Level::Written))?;
                }
                let took = nanos(began.elapsed());
                if began < due_at {
                    kind.before.add(took);
                } else {
                    kind.during.add(took);
                }
            }
        }
        let ended = looker.join();
        ended.unwrap_or_else(|_| Err(Failure::of("a thread panicked")))
    })?;
    Ok(Swept {
        entries,
        took: ended.saturating_duration_since(due_at),
        kinds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_falls_due_is_swept_while_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let swept = run(dir.path(), 3_000, Durability::Written).unwrap();
        assert!(swept.took > Duration::ZERO);
        let text = swept.to_string();
        assert!(text.starts_with("3000 entries gone"), "{text}");
    }
}
