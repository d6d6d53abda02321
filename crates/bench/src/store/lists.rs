//! Pages of a list at random places of a large store: at rest, and while one thread puts as fast as it can.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use standpipe_store::{Durability, Level, block_on};

use super::{STRIDE, open};
use crate::load::histogram::Histogram;
use crate::number::{nanos, wide};
use crate::{Failure, Outcome, load};

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    entries: u64,
    /// Keys of a page.
    limit: usize,
    duration: Duration,
}

/// How long pages took.
#[derive(Debug)]
pub(crate) struct Measured {
    /// While nothing else was done.
    pub(crate) at_rest: Pages,
    /// Beside a writer, which together with the log's threads wants all of two processors.
    pub(crate) beside_a_writer: Pages,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at rest: {}", self.at_rest)?;
        write!(f, "beside a writer: {}", self.beside_a_writer)
    }
}

/// Times of some pages.
#[derive(Debug)]
pub(crate) struct Pages {
    pages: u64,
    times: Histogram,
}

impl Pages {
    /// The time that 99 of 100 pages did not exceed.
    pub(crate) fn p99(&self) -> Duration {
        self.times.quantile(0.99)
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |share| self.times.quantile(share).as_micros();
        write!(
            f,
            "{} pages: p50 {} us, p99 {} us, p99.9 {} us, most {} us",
            self.pages,
            us(0.5),
            us(0.99),
            us(0.999),
            self.times.most().as_micros()
        )
    }
}

impl Plan {
    pub(crate) fn new(entries: u64, limit: usize, duration: Duration) -> Self {
        Self {
            entries,
            limit,
            duration,
        }
    }

    /// Fills a store in `dir` and asks for pages.
    pub(crate) fn run(self, dir: &Path) -> Outcome<Measured> {
        let opened = open(dir, Some(Durability::Written))?;
        for n in 0..self.entries {
            let key = load::key(n.wrapping_mul(STRIDE) % self.entries);
            block_on(opened.put(&key, Level::Written))?;
        }
        let at_rest = self.pages(&opened)?;
        let done = AtomicBool::new(false);
        let beside_a_writer = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut state = 7;
                while !done.load(Ordering::Relaxed) {
                    let key = load::key(load::random_below(&mut state, self.entries));
                    block_on(opened.put(&key, Level::Written))?;
                }
                Ok(())
            });
            let measured = self.pages(&opened);
            done.store(true, Ordering::Relaxed);
            let written = writer.join();
            written.map_err(|_panic| Failure::of("the writer panicked"))??;
            measured
        });
        opened.close()?;
        Ok(Measured {
            at_rest,
            beside_a_writer: beside_a_writer?,
        })
    }

    fn pages(self, opened: &super::Opened) -> Outcome<Pages> {
        let (mut state, mut measured) = (
            11,
            Pages {
                pages: 0,
                times: Histogram::new(),
            },
        );
        let began = Instant::now();
        while began.elapsed() < self.duration {
            let after = load::key(load::random_below(&mut state, self.entries));
            let started = Instant::now();
            let scan = opened
                .store
                .scan(&opened.keyspace, b"", Some(&after), self.limit);
            measured.times.add(nanos(started.elapsed()));
            measured.pages += 1;
            if !scan.end && wide(scan.entries.len()) != wide(self.limit) {
                return Err(Failure::of("a page in the middle is not full"));
            }
        }
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_measured() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(3_000, 100, Duration::from_millis(50));
        let measured = plan.run(dir.path()).unwrap();
        for pages in [measured.at_rest, measured.beside_a_writer] {
            assert!(pages.pages > 0 && pages.p99() > Duration::ZERO);
        }
    }
}
