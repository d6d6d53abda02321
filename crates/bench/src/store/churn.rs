//! An hour's worth of coming and going in a bounded keyspace, as fast as it goes: what it counts, what memory the process
//! really takes, and how long a put takes. Some entries leave by time. Where sizes drift, the room of what left seldom fits
//! what comes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use standpipe_store::{
    Conditions, Durability, Keyspace, Level, Lifetime, Meta, Policy, Store, block_on,
};

use super::open;
use crate::load;
use crate::load::histogram::Histogram;
use crate::number::{float, nanos, narrow};
use crate::process::resident;
use crate::{Failure, Outcome};

/// What the program, its threads and what the allocator has not given back yet may take (docs/eviction.md), in bytes.
const PROGRAM: u64 = 32 << 20;
/// How often memory is looked at.
const LOOKS: u64 = 256;

/// How long values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sizes {
    /// 500 bytes each
    Fixed,
    /// Up to 1,000 bytes
    Varied,
    /// After Zipf's law: one in a thousand has 64,000 bytes, half have less than 128
    Zipf,
    /// In the quarters of the run up to 400, 2,000, 150 and 1,000 bytes
    Drift,
    /// In the sixths of the run up to 64, 128, 256, 512, 1,024 and 2,048 bytes
    Grow,
}

impl Sizes {
    /// Bytes of a value after so many of `all` changes.
    fn draw(self, state: &mut u64, done: u64, all: u64) -> u64 {
        let at = |sizes: &[u64]| {
            let parts = u64::try_from(sizes.len()).unwrap_or(1);
            let part = sizes.get(narrow(done * parts / all.max(1)));
            part.or(sizes.last()).copied().unwrap_or_default()
        };
        let most = match self {
            Self::Fixed => return 500,
            Self::Varied => 1_000,
            Self::Zipf => return 64_000 / (1 + load::random_below(state, 1_000)),
            Self::Drift => at(&[400, 2_000, 150, 1_000]),
            Self::Grow => at(&[64, 128, 256, 512, 1_024, 2_048]),
        };
        load::random_below(state, most + 1)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) durability: Durability,
    pub(crate) max_bytes: u64,
    /// Puts; fewer where the time is up.
    pub(crate) changes: u64,
    pub(crate) duration: Duration,
    pub(crate) sizes: Sizes,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Churned {
    plan: Plan,
    changes: u64,
    evicted: u64,
    expired: u64,
    entries: u64,
    /// The most that was counted.
    counted: u64,
    /// Memory of the process beyond that of the empty store, at the end and at most.
    at_end: u64,
    at_most: u64,
    puts: Histogram,
}

impl Churned {
    /// Whether entries had to leave, and the process took no more than what is allowed and a twentieth, beside what is stated
    /// for the program.
    pub(crate) fn is_as_stated(&self) -> bool {
        let most = self.plan.max_bytes;
        self.evicted > 0 && self.at_most <= most + most / 20 + PROGRAM
    }

    /// Whether more was ever counted than is allowed.
    pub(crate) fn exceeded(&self) -> bool {
        self.counted > self.plan.max_bytes
    }

    fn look(&mut self, before: u64, counted: u64) -> Outcome<()> {
        self.at_end = resident(std::process::id())?.saturating_sub(before);
        self.at_most = self.at_most.max(self.at_end);
        self.counted = self.counted.max(counted);
        Ok(())
    }
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = float(self.plan.max_bytes);
        let percent = |bytes| float(bytes) / most * 100.0;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| self.puts.quantile(share));
        write!(
            f,
            "{:?}: {} puts, {} evicted, {} expired, {} entries; of max_bytes counted {:.1} %, resident {:.1} % at the end, \
             {:.1} % at most; put p50 {p50:.1?} p99 {p99:.1?} p99.9 {p999:.1?} most {:.1?}",
            self.plan.sizes,
            self.changes,
            self.evicted,
            self.expired,
            self.entries,
            percent(self.counted),
            percent(self.at_end),
            percent(self.at_most),
            self.puts.most(),
        )
    }
}

impl Plan {
    /// Runs the plan on a new store in `dir`, in this process.
    pub(crate) fn run(&self, dir: &Path) -> Outcome<Churned> {
        let opened = open(dir, Some(Durability::Written))?;
        // What is kept for watchers has a bound of its own.
        opened.store.set_history(1_000, 1 << 20);
        let policy = Policy {
            max_bytes: Some(self.max_bytes),
            ..Policy::of(self.durability)
        };
        let set = opened.store.set_keyspace("churn", &policy, 2);
        block_on(set).map_err(Failure::at("making the keyspace"))?;
        let churn = opened.store.keyspace("churn");
        let churn = churn.ok_or_else(|| Failure::of("the keyspace is gone"))?;
        let mut churned = Churned {
            plan: *self,
            changes: 0,
            evicted: 0,
            expired: 0,
            entries: 0,
            counted: 0,
            at_end: 0,
            at_most: 0,
            puts: Histogram::new(),
        };
        let before = resident(std::process::id())?;
        let ends_at = Instant::now() + self.duration;
        let mut state = 7;
        let step = (self.changes / LOOKS).max(1);
        while churned.changes < self.changes && Instant::now() < ends_at {
            let took = self.turn(&opened.store, &churn, &mut state, churned.changes)?;
            churned.puts.add(nanos(took));
            churned.changes += 1;
            if churned.changes.is_multiple_of(step) {
                churned.look(before, opened.store.keyspace_stats(&churn).bytes)?;
            }
        }
        let stats = opened.store.keyspace_stats(&churn);
        churned.look(before, stats.bytes)?;
        churned.entries = stats.entries;
        let stats = opened.store.stats();
        (churned.evicted, churned.expired) = (stats.evicted, stats.expired);
        opened.close()?;
        Ok(churned)
    }

    /// Asks for one entry and puts another. Returns the time that the put took.
    fn turn(
        &self,
        store: &Store,
        keyspace: &Arc<Keyspace>,
        state: &mut u64,
        done: u64,
    ) -> Outcome<Duration> {
        // More than fit, so that most puts make others leave.
        let keys = (self.max_bytes / 300).max(1_000);
        let n = load::random_below(state, keys);
        let asked = load::random_below(state, n + 1);
        drop(store.get(keyspace, &load::key(asked)));
        let len = self.sizes.draw(state, done, self.changes);
        let leaves = load::random_below(state, 10) == 0;
        let soon = store.clock().now_ms() + 500 + load::random_below(state, 5_000);
        let (key, meta) = (load::key(n), Meta::of_type(Meta::BINARY));
        let began = Instant::now();
        let draft = store
            .draft(
                &key,
                narrow(len),
                &meta,
                Lifetime::until(leaves.then_some(soon)),
            )
            .map_err(Failure::at("put"))?;
        let when = Conditions::default();
        let put = store.put(keyspace, draft, &when, Level::Written);
        block_on(put).map_err(Failure::at("put"))?;
        Ok(began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_keyspace_is_churned_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan {
            durability: Durability::Memory,
            max_bytes: 40 << 20,
            changes: 150_000,
            // However slow the machine is, all of them are made.
            duration: Duration::from_mins(10),
            sizes: Sizes::Drift,
        };
        let churned = plan.run(dir.path()).unwrap();
        assert!(!churned.exceeded(), "{churned}");
        assert!(churned.evicted > 1_000, "{churned}");
    }

    #[test]
    fn sizes_change_in_equal_parts_of_the_run() {
        let mut state = 1;
        let mut most = |sizes: Sizes, done| {
            let drawn = (0..10_000).map(|_| sizes.draw(&mut state, done, 400));
            drawn.max().unwrap()
        };
        assert_eq!(most(Sizes::Fixed, 399), 500);
        let near = |drawn: u64, most: u64| drawn <= most && drawn + most / 50 + 1 >= most;
        assert!(near(most(Sizes::Varied, 0), 1_000));
        for (done, bytes) in [
            (0, 400),
            (99, 400),
            (100, 2_000),
            (200, 150),
            (399, 1_000),
            (400, 1_000),
        ] {
            assert!(near(most(Sizes::Drift, done), bytes), "{done}");
        }
        assert_eq!(most(Sizes::Zipf, 0), 64_000);
        assert!(near(most(Sizes::Grow, 0), 64));
        assert!(near(most(Sizes::Grow, 399), 2_048));
    }
}
