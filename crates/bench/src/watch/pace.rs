//! A writer at a fixed pace: it knows when each change was sent, and how long each answer took.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::load::histogram::Histogram;
use crate::number::{nanos, narrow};
use crate::{Failure, Outcome};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paced {
    pub(super) address: SocketAddr,
    /// What the names of groups begin with.
    pub(super) prefix: &'static str,
    pub(super) groups: u64,
    pub(super) changes: u64,
    pub(super) value_bytes: usize,
    pub(super) duration: Duration,
}

/// A writer on a thread of its own.
#[derive(Debug)]
pub(super) struct Pacing {
    thread: JoinHandle<Outcome<Histogram>>,
    pub(super) sent: Arc<Sent>,
}

/// When each change was sent, in nanoseconds since the first look at the clock; 0 where it was not yet.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) began: Instant,
    pub(super) at: Box<[AtomicU64]>,
    ended: OnceLock<u64>,
}

impl Sent {
    /// How many changes there were, once that is known.
    pub(super) fn all(&self) -> Option<u64> {
        self.ended.get().copied()
    }
}

impl Paced {
    fn count(&self) -> u64 {
        self.changes * self.duration.as_secs()
            + self.changes * u64::from(self.duration.subsec_millis()) / 1_000
    }

    /// The key of a change: its group, and its number among the changes of the group.
    fn key(&self, n: u64) -> String {
        format!(
            "{}{:05}/{:08}",
            self.prefix,
            n % self.groups,
            n / self.groups
        )
    }

    /// Writes to the end, on this thread.
    pub(super) fn run(self) -> Outcome<Histogram> {
        self.spawn().join()
    }

    /// Begins to write.
    pub(super) fn spawn(self) -> Pacing {
        let sent = Arc::new(Sent {
            began: Instant::now(),
            at: (0..self.count()).map(|_| AtomicU64::new(0)).collect(),
            ended: OnceLock::new(),
        });
        let for_thread = Arc::clone(&sent);
        let thread = thread::spawn(move || {
            let written = self.write(&for_thread);
            let count = if written.is_ok() { self.count() } else { 0 };
            for_thread.ended.get_or_init(|| count);
            written
        });
        Pacing { thread, sent }
    }

    fn write(&self, sent: &Sent) -> Outcome<Histogram> {
        let failed = || "the writer".to_owned();
        let mut stream = TcpStream::connect(self.address).map_err(Failure::at(failed()))?;
        stream.set_nodelay(true).map_err(Failure::at(failed()))?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(Failure::at(failed()))?;
        let (_never, pause) = channel::<()>();
        let mut latency = Histogram::new();
        let value = vec![b'v'; self.value_bytes];
        let between = Duration::from_secs(1) / u32::try_from(self.changes.max(1)).unwrap_or(1);
        let began = Instant::now();
        for n in 0..self.count() {
            let due = began + between * u32::try_from(n).unwrap_or(u32::MAX);
            // Nobody sends: it is the pace.
            if pause
                .recv_timeout(due.saturating_duration_since(Instant::now()))
                .is_ok()
            {
                return Err(Failure::of("a channel that nobody sends on"));
            }
            let mut request = format!(
                "PUT /v1/{} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                self.key(n),
                value.len()
            )
            .into_bytes();
            request.extend_from_slice(&value);
            let now = Instant::now();
            if let Some(at) = sent.at.get(narrow(n)) {
                at.store(nanos(now - sent.began).max(1), Ordering::SeqCst);
            }
            stream.write_all(&request).map_err(Failure::at(failed()))?;
            let mut answer = [0; 4096];
            let mut filled = 0;
            while !answer
                .get(..filled)
                .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
            {
                let place = answer.get_mut(filled..).unwrap_or_default();
                match stream.read(place).map_err(Failure::at(failed()))? {
                    0 => return Err(Failure::of("the server closed the writer's connection")),
                    n => filled += n,
                }
            }
            latency.add(nanos(now.elapsed()));
            if !answer.starts_with(b"HTTP/1.1 20") {
                let said = String::from_utf8_lossy(answer.get(..filled).unwrap_or_default());
                return Err(Failure::of(format!("a change was refused: {said}")));
            }
        }
        Ok(latency)
    }
}

impl Pacing {
    /// Waits for its end.
    pub(super) fn join(self) -> Outcome<Histogram> {
        let ended = self.thread.join();
        ended.map_err(|_panic| Failure::of("the writer panicked"))?
    }
}
