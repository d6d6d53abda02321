//! Changes and reads on an open store from several threads, each with many in flight as a worker of the service has.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use standpipe_store::{Durability, Level, LogStats, block_on};
use tokio::runtime;
use tokio::task::LocalSet;

use super::{Opened, open};
use crate::number::float;
use crate::process::cpu_time;
use crate::{Failure, Outcome, load};

/// What every thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Operation {
    /// Reads; the answer is released by one atomic load.
    Get,
    /// Puts that nobody waits for: what applying one costs.
    Apply,
    /// Puts that wait until they are handed to the operating system.
    Written,
    /// Puts that wait for the disk.
    Synced,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    pub(crate) threads: u64,
    /// Operations in flight on each thread.
    pub(crate) tasks: u64,
    pub(crate) keys: u64,
    pub(crate) duration: Duration,
    /// Most operations of each task.
    pub(crate) count: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    operations: u64,
    elapsed: Duration,
    cpu: Duration,
    before: LogStats,
    after: LogStats,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        float(self.operations) / self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = float(self.operations.max(1));
        let per = |time: Duration, count: f64| time.as_secs_f64() * 1e6 / count.max(1.0);
        write!(
            f,
            "{} operations, {:.0}/s, CPU {:.3} us each (this thread's part included)",
            self.operations,
            self.rate(),
            per(self.cpu, operations),
        )?;
        let batches = self.after.batches - self.before.batches;
        let syncs = self.after.syncs - self.before.syncs;
        if batches > 0 {
            let records = float(self.after.records - self.before.records);
            let sync_time = Duration::from_nanos(self.after.sync_nanos - self.before.sync_nanos);
            write!(
                f,
                "; {batches} writes of {:.1} records, {syncs} syncs of {:.0} us",
                records / float(batches),
                per(sync_time, float(syncs)),
            )?;
        }
        Ok(())
    }
}

impl Plan {
    /// Runs the plan on a store in `dir`, which is filled with its keys first.
    pub(crate) fn run(&self, dir: &Path) -> Outcome<Measured> {
        let durability = match self.operation {
            Operation::Synced => Durability::Synced,
            Operation::Get | Operation::Apply | Operation::Written => Durability::Written,
        };
        let opened = open(dir, Some(durability))?;
        for n in 0..self.keys {
            block_on(opened.put(&load::key(n), Level::Written))?;
        }
        let last = opened.store.stats().log.last_revision;
        block_on(opened.store.wait_durable(last)).map_err(Failure::at("filling"))?;
        let pid = std::process::id();
        let (before, cpu) = (opened.store.stats().log, cpu_time(pid)?);
        let started = Instant::now();
        let ends_at = started + self.duration;
        let operations = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|n| {
                    let opened = opened.clone();
                    scope.spawn(move || self.thread(opened, n, ends_at))
                })
                .collect();
            let done = threads.into_iter().map(|thread| {
                let done = thread.join();
                done.unwrap_or_else(|_| Err(Failure::of("a thread panicked")))
            });
            done.sum::<Outcome<u64>>()
        })?;
        let measured = Measured {
            operations,
            elapsed: started.elapsed(),
            cpu: cpu_time(pid)?.saturating_sub(cpu),
            before,
            after: opened.store.stats().log,
        };
        opened.close()?;
        Ok(measured)
    }

    fn thread(&self, opened: Opened, n: u64, ends_at: Instant) -> Outcome<u64> {
        let runtime = runtime::Builder::new_current_thread()
            .build()
            .map_err(Failure::at("starting a runtime"))?;
        LocalSet::new().block_on(&runtime, async move {
            let plan = *self;
            let tasks: Vec<_> = (0..self.tasks)
                .map(|task| {
                    let seed = 1 + n * self.tasks + task;
                    tokio::task::spawn_local(plan.task(opened.clone(), seed, ends_at))
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.map_err(Failure::at("a task"))??;
            }
            Ok(sum)
        })
    }

    async fn task(self, opened: Opened, seed: u64, ends_at: Instant) -> Outcome<u64> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut done = 0;
        while done < self.count && Instant::now() < ends_at {
            let key = load::key(load::random_below(&mut state, self.keys));
            self.operation.on(&opened, &key).await?;
            done += 1;
        }
        Ok(done)
    }
}

impl Operation {
    async fn on(self, opened: &Opened, key: &[u8]) -> Outcome<()> {
        let store = &opened.store;
        match self {
            Self::Get => {
                let read = store.get(&opened.keyspace, key);
                let there = read.entry.is_some() && store.has_reached(Level::Written, read.seen);
                there
                    .then_some(())
                    .ok_or_else(|| Failure::of("a key is not there"))
            }
            Self::Apply => opened.put(key, Level::Written).await.map(drop),
            Self::Written => {
                let own = opened.put(key, Level::Written).await?;
                store.wait_written(own).await.map_err(Failure::at("put"))
            }
            Self::Synced => {
                let own = opened.put(key, Level::Durable).await?;
                store.wait_durable(own).await.map_err(Failure::at("put"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        for operation in [
            Operation::Get,
            Operation::Apply,
            Operation::Written,
            Operation::Synced,
        ] {
            let plan = Plan {
                operation,
                threads: 2,
                tasks: 4,
                keys: 100,
                duration: Duration::from_mins(1),
                count: 50,
            };
            let data = dir.path().join(format!("{operation:?}"));
            let measured = plan.run(&data).unwrap();
            assert_eq!(measured.operations, 2 * 4 * 50);
            let synced = measured.after.syncs > measured.before.syncs;
            assert!(synced || operation != Operation::Synced);
        }
    }
}
