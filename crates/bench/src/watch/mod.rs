//! Many watchers on one thread, a writer on another: is anything lost, how late is it, and what does the writer feel of it?
//!
//! The watchers are in groups, and each change is for one group, in turn: with one group everybody sees everything, with a
//! hundred each change is seen by one watcher of a hundred. Some watch everything, with values, and never read. The changes
//! come at a fixed pace, whatever became of those before.

mod client;
mod pace;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::load::histogram::Histogram;
use crate::number::float;
use crate::process::{cpu_time, resident};
use crate::server::{Server, Standpipe};
use crate::{Failure, Outcome};
use client::Watchers;
use pace::Paced;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) watchers: usize,
    /// Groups that the changes go round.
    pub(crate) groups: u64,
    /// Watchers of a hundred that never read.
    pub(crate) stalled_percent: usize,
    /// Changes in a second.
    pub(crate) changes: u64,
    pub(crate) value_bytes: usize,
    pub(crate) duration: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    /// Requests of the writer, alone and beside the watchers.
    pub(crate) alone: Histogram,
    pub(crate) beside: Histogram,
    /// From when a change was sent to when a watcher had it.
    pub(crate) delivery: Histogram,
    deliveries: u64,
    expected: u64,
    /// Events that a watcher missed, or a reset that it was told.
    lost: u64,
    /// Bytes of the server's memory for each watcher, and of the kernel's for both ends.
    memory: f64,
    kernel: f64,
    cpu: Duration,
}

impl Report {
    /// Fails where the healthy lost anything, or a watcher takes more than it may.
    pub(crate) fn judged(self) -> Outcome<Self> {
        if self.lost > 0 || self.deliveries != self.expected {
            return Err(Failure::of(format!("events were lost: {self}")));
        }
        if self.memory > 65_536.0 {
            return Err(Failure::of(format!("a watcher takes too much: {self}")));
        }
        Ok(self)
    }

    /// How many times longer the writer's slowest hundredth takes beside the watchers.
    pub(crate) fn slower(&self) -> f64 {
        let p99 = |latency: &Histogram| latency.quantile(0.99).as_secs_f64();
        p99(&self.beside) / p99(&self.alone).max(1e-9)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            watchers,
            groups,
            changes,
            stalled_percent,
            ..
        } = self.plan;
        let ms = |latency: &Histogram, share| latency.quantile(share).as_secs_f64() * 1e3;
        write!(
            f,
            "{watchers} watchers, {stalled_percent} % stalled, {changes} changes/s, each seen by 1 of {groups}: \
             {} of {} deliveries, {} lost; delivery p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms; \
             writer p99 {:.2} ms beside {:.2} ms alone ({:.2} x); \
             {:.1} KiB of the server and {:.1} KiB of the kernel's sockets for each watcher; server CPU {:.0} %",
            self.deliveries,
            self.expected,
            self.lost,
            ms(&self.delivery, 0.5),
            ms(&self.delivery, 0.99),
            self.delivery.most().as_secs_f64() * 1e3,
            ms(&self.beside, 0.99),
            ms(&self.alone, 0.99),
            self.slower(),
            self.memory / 1024.0,
            self.kernel / 1024.0,
            self.cpu.as_secs_f64() / self.plan.duration.as_secs_f64() * 100.0,
        )
    }
}

impl Plan {
    /// Runs against a new server over `data`.
    pub(crate) fn run(&self, program: &Path, data: &Path, workers: usize) -> Outcome<Report> {
        let server = Standpipe {
            program,
            data: data.join("watch"),
            durability: "synced",
            workers,
            log_only: true,
        }
        .start()?;
        let report = self.against(&server)?;
        server.stop()?;
        Ok(report)
    }

    /// Runs against a server that is there: first the writer alone, then beside the watchers.
    pub(crate) fn against(&self, server: &Server) -> Outcome<Report> {
        let alone = self.paced(server.address, "alone").run()?;
        let (memory, kernel) = (resident(server.pid())?, socket_memory()?);
        let (mut watchers, stalled) = Watchers::begin(server.address, self)?;
        let cpu = cpu_time(server.pid())?;
        let paced = self.paced(server.address, "g").spawn();
        let followed = watchers.follow(&paced)?;
        let cpu = cpu_time(server.pid())?.saturating_sub(cpu);
        let grown = |before: u64, after: u64| {
            float(after.saturating_sub(before)) / float(crate::number::wide(self.watchers.max(1)))
        };
        let memory = grown(memory, resident(server.pid())?);
        let kernel = grown(kernel, socket_memory()?);
        let beside = paced.join()?;
        drop((watchers, stalled));
        Ok(Report {
            plan: *self,
            alone,
            beside,
            delivery: followed.delivery,
            deliveries: followed.deliveries,
            expected: followed.expected,
            lost: followed.lost,
            memory,
            kernel,
            cpu,
        })
    }

    fn paced(&self, address: SocketAddr, prefix: &'static str) -> Paced {
        Paced {
            address,
            prefix,
            groups: self.groups,
            changes: self.changes,
            value_bytes: self.value_bytes,
            duration: self.duration,
        }
    }

    /// The watchers that never read.
    fn stalled(&self) -> usize {
        self.watchers * self.stalled_percent / 100
    }
}

/// Bytes that the kernel holds for all TCP connections of this machine.
fn socket_memory() -> Outcome<u64> {
    let path = "/proc/net/sockstat";
    let text = std::fs::read_to_string(path).map_err(Failure::at(path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: "));
    let pages = line.and_then(|line| line.split(" mem ").nth(1)?.trim().parse::<u64>().ok());
    pages
        .map(|pages| pages * 4096)
        .ok_or_else(|| Failure::of(format!("{path} does not read as expected")))
}
