//! The load generator: keep-alive connections on one thread, each with one request in flight, bounded in time and count.
//!
//! It measures the latency of every request and the processor time that the server took from first to last; it knows
//! nothing of who the server is.

mod connection;
pub(crate) mod histogram;
pub(crate) mod protocol;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::number::{float, nanos};
use crate::process::cpu_time;
use crate::{Failure, Outcome};
use connection::{Connection, Progress};
use histogram::Histogram;
use protocol::{Operation, Protocol, Template};

/// How long the last responses may take once the run has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which operations, in what order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// GET of a random key.
    Get,
    /// PUT of a random key.
    Put,
    /// Each operation half of the time, of a random key.
    Mixed,
    /// PUT of every key once, in order; the request count is the number of keys.
    Fill,
    /// Adding 1 to a counter, always the same.
    HotCounter,
}

/// What is asked of a server.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) mix: Mix,
    pub(crate) connections: usize,
    pub(crate) keys: u64,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
    /// The run ends after this time or after `requests`, whichever comes first.
    pub(crate) duration: Duration,
    pub(crate) requests: u64,
    /// The server, whose processor time is taken.
    pub(crate) pid: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    /// Responses that were not a success.
    pub(crate) refused: u64,
    pub(crate) elapsed: Duration,
    /// The server's processor time, user and system.
    pub(crate) cpu: Option<Duration>,
    pub(crate) latency: Histogram,
}

impl Report {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.requests) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The server's processor time per request, in microseconds.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        let cpu = self.cpu?.as_secs_f64();
        Some(cpu * 1e6 / float(self.requests.max(1)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |share| self.latency.quantile(share).as_secs_f64() * 1e6;
        write!(
            f,
            "{} requests in {:.2} s, {:.0}/s, {} refused; p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, most {:.0} us",
            self.requests,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.refused,
            us(0.5),
            us(0.99),
            us(0.999),
            self.latency.most().as_secs_f64() * 1e6,
        )?;
        match self.cpu_us() {
            Some(cpu) => write!(f, "; server CPU {cpu:.2} us per request"),
            None => Ok(()),
        }
    }
}

/// A small generator of random numbers (xorshift64*, Vigna 2016): which key is next is all that it decides.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound.max(1)
    }
}

/// Everything that the connections share.
struct Run {
    mix: Mix,
    keys: u64,
    get: Template,
    put: Template,
    count: Template,
    random: Random,
    /// Requests that were sent, and how many may be.
    sent: u64,
    limit: u64,
    ends_at: Instant,
    /// A GET has to bring a value of this length.
    value_bytes: usize,
    report: Report,
}

impl Run {
    /// The next request, appended to `out`; `None` when the run has ended.
    fn next(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Operation> {
        if self.sent >= self.limit || now >= self.ends_at {
            return None;
        }
        let key = match self.mix {
            Mix::Fill => self.sent,
            Mix::Get | Mix::Put | Mix::Mixed => self.random.below(self.keys),
            Mix::HotCounter => 0,
        };
        let operation = match self.mix {
            Mix::Get => Operation::Get,
            Mix::Mixed if self.sent.is_multiple_of(2) => Operation::Get,
            Mix::Put | Mix::Fill | Mix::Mixed => Operation::Put,
            Mix::HotCounter => Operation::Count,
        };
        self.sent += 1;
        let template = match operation {
            Operation::Get => &mut self.get,
            Operation::Put => &mut self.put,
            Operation::Count => &mut self.count,
        };
        out.extend_from_slice(template.for_key(key));
        Some(operation)
    }

    /// Notes a response.
    fn answered(&mut self, operation: Operation, body: usize, good: bool, took: Duration) {
        let right = good && (operation != Operation::Get || body == self.value_bytes);
        self.report.requests += 1;
        self.report.refused += u64::from(!right);
        self.report.latency.add(nanos(took));
    }
}

impl Load {
    /// Runs the load to its end.
    pub(crate) fn run(&self) -> Outcome<Report> {
        let template = |operation| {
            let (key, value) = (self.key_bytes, self.value_bytes);
            Template::new(self.protocol, operation, self.address, key, value)
        };
        let mut poll = Poll::new().map_err(Failure::at("epoll"))?;
        let mut connections = (0..self.connections)
            .map(|n| Connection::open(self.address, self.protocol, poll.registry(), Token(n)))
            .collect::<Outcome<Vec<_>>>()?;
        let limit = match self.mix {
            Mix::Fill => self.keys.min(self.requests),
            Mix::Get | Mix::Put | Mix::Mixed | Mix::HotCounter => self.requests,
        };
        let cpu_before = self.pid.map(cpu_time).transpose()?;
        let started = Instant::now();
        let mut run = Run {
            mix: self.mix,
            keys: self.keys,
            get: template(Operation::Get),
            put: template(Operation::Put),
            count: template(Operation::Count),
            random: Random(0x9E37_79B9_7F4A_7C15),
            sent: 0,
            limit,
            ends_at: started + self.duration,
            value_bytes: self.value_bytes,
            report: Report {
                requests: 0,
                refused: 0,
                elapsed: Duration::ZERO,
                cpu: None,
                latency: Histogram::new(),
            },
        };
        drive(&mut poll, &mut connections, &mut run)?;
        run.report.elapsed = started.elapsed();
        let cpu_after = self.pid.map(cpu_time).transpose()?;
        run.report.cpu = cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after.saturating_sub(before));
        Ok(run.report)
    }

    /// The same, where everything has to succeed.
    pub(crate) fn run_well(&self) -> Outcome<Report> {
        let report = self.run()?;
        if report.refused > 0 || report.requests == 0 {
            return Err(Failure::of(format!("not a clean run: {report}")));
        }
        Ok(report)
    }
}

fn drive(poll: &mut Poll, connections: &mut [Connection], run: &mut Run) -> Outcome<()> {
    let mut busy = 0;
    for connection in connections.iter_mut() {
        if connection.start(run)? == Progress::Waiting {
            busy += 1;
        }
    }
    let mut events = Events::with_capacity(connections.len().max(16));
    while busy > 0 {
        if Instant::now() > run.ends_at + PATIENCE {
            return Err(Failure::of(format!(
                "{busy} requests were not answered within {PATIENCE:?}"
            )));
        }
        match poll.poll(&mut events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled.map_err(Failure::at("epoll"))?,
        }
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else {
                continue;
            };
            if connection.advance(run)? == Progress::Ended {
                busy -= 1;
            }
        }
    }
    Ok(())
}

/// The usual workload: 100-byte values, 16-byte keys, 100,000 keys, 64 connections.
pub(crate) fn usual(address: SocketAddr, mix: Mix, duration: Duration) -> Load {
    Load {
        address,
        protocol: Protocol::Http,
        mix,
        connections: 64,
        keys: 100_000,
        key_bytes: 16,
        value_bytes: 100,
        duration,
        requests: u64::MAX,
        pid: None,
    }
}

/// Key number `n` as the load generator writes it.
pub(crate) fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    protocol::digits(&mut key, n);
    key
}

/// A random key number below `keys`, for who measures without connections; `state` is any number but 0.
pub(crate) fn random_below(state: &mut u64, keys: u64) -> u64 {
    let mut random = Random(*state);
    let below = random.below(keys);
    *state = random.0;
    below
}

/// A count as people write it: `64`, `100k`, `5M`.
pub(crate) fn count_of(text: &str) -> Result<u64, String> {
    let unit = |last| match last {
        'k' => Some(1_000_u64),
        'M' => Some(1_000_000),
        _ => None,
    };
    let factor = text.chars().last().and_then(unit);
    let digits = text.trim_end_matches(['k', 'M']);
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor.unwrap_or(1)))
        .ok_or_else(|| format!("{text} is not a count, such as 64, 100k or 5M"))
}
