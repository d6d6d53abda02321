//! An hour's worth of coming and going in a bounded keyspace, as fast as it goes: what it counts, and what memory the process
//! really takes. Some entries leave by time. Where sizes drift, the room of what left seldom fits what comes.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use standpipe_store::{Conditions, Durability, Level, Lifetime, Meta, Policy, block_on};

use super::open;
use crate::load;
use crate::number::{float, narrow};
use crate::process::resident;
use crate::{Failure, Outcome};

/// Most bytes of a value, where that stays as it is.
const SIZE: u64 = 1_000;
/// Most bytes of a value in each of the parts of the run, where it drifts.
const SIZES: [u64; 4] = [400, 2_000, 150, 1_000];
/// What the program, its threads and what the allocator has not given back yet may take (docs/eviction.md), in bytes.
const PROGRAM: u64 = 32 << 20;
/// How often memory is looked at.
const LOOKS: u64 = 64;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) durability: Durability,
    pub(crate) max_bytes: u64,
    /// Puts; fewer where the time is up.
    pub(crate) changes: u64,
    pub(crate) duration: Duration,
    /// Whether the sizes of values change on the way.
    pub(crate) drift: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
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
}

impl Churned {
    /// Memory at most, of what is allowed.
    fn part(&self) -> f64 {
        float(self.at_most) / float(self.plan.max_bytes)
    }

    /// Whether entries had to leave, and the process took no more than what is allowed and a twentieth, beside what is stated for the program.
    pub(crate) fn is_as_stated(&self) -> bool {
        let most = self.plan.max_bytes;
        self.evicted > 0 && self.at_most <= most + most / 20 + PROGRAM
    }

    /// Whether more was ever counted than is allowed.
    pub(crate) fn exceeded(&self) -> bool {
        self.counted > self.plan.max_bytes
    }
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = float(self.plan.max_bytes);
        write!(
            f,
            "{} puts, {} evicted, {} expired, {} entries; of max_bytes counted {:.1} %, resident {:.1} % at the end, {:.1} % at most",
            self.changes,
            self.evicted,
            self.expired,
            self.entries,
            float(self.counted) / most * 100.0,
            float(self.at_end) / most * 100.0,
            self.part() * 100.0,
        )
    }
}

impl Plan {
    /// Most bytes of a value after so many changes.
    fn most_at(&self, changes: u64) -> u64 {
        let part = changes * 4 / self.changes.max(1);
        let drifting = SIZES.get(narrow(part)).filter(|_| self.drift);
        drifting.copied().unwrap_or(SIZE)
    }

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
        let before = resident(std::process::id())?;
        let ends_at = Instant::now() + self.duration;
        // More than fit, so that most puts make others leave.
        let keys = (self.max_bytes / 300).max(1_000);
        let mut churned = Churned {
            plan: *self,
            changes: 0,
            evicted: 0,
            expired: 0,
            entries: 0,
            counted: 0,
            at_end: 0,
            at_most: 0,
        };
        let mut state = 7;
        let step = (self.changes / LOOKS).max(1);
        while churned.changes < self.changes && Instant::now() < ends_at {
            let n = load::random_below(&mut state, keys);
            let key = load::key(n);
            drop(
                opened
                    .store
                    .get(&churn, &load::key(load::random_below(&mut state, n + 1))),
            );
            let len = load::random_below(&mut state, self.most_at(churned.changes));
            let leaves = load::random_below(&mut state, 10) == 0;
            let soon = opened.store.clock().now_ms() + 500 + load::random_below(&mut state, 5_000);
            let meta = Meta::of_type(Meta::BINARY);
            let draft = opened
                .store
                .draft(
                    &key,
                    narrow(len),
                    &meta,
                    Lifetime::until(leaves.then_some(soon)),
                )
                .map_err(Failure::at("put"))?;
            let when = Conditions::default();
            let put = opened.store.put(&churn, draft, &when, Level::Written);
            block_on(put).map_err(Failure::at("put"))?;
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
}

impl Churned {
    fn look(&mut self, before: u64, counted: u64) -> Outcome<()> {
        self.at_end = resident(std::process::id())?.saturating_sub(before);
        self.at_most = self.at_most.max(self.at_end);
        self.counted = self.counted.max(counted);
        Ok(())
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
            duration: Duration::from_mins(1),
            drift: true,
        };
        let churned = plan.run(dir.path()).unwrap();
        assert!(!churned.exceeded(), "{churned}");
        assert!(churned.evicted > 1_000, "{churned}");
    }
}
