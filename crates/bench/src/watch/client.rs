//! The watchers: thousands of connections on one thread, each with a few bytes of its own. They see whether the events of
//! their group come one by one, without a gap.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::Plan;
use super::pace::{Pacing, Sent};
use crate::load::histogram::Histogram;
use crate::number::{nanos, narrow, wide};
use crate::{Failure, Outcome};

/// How long all of them may take to begin, and the last events to come.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes that are read at a time.
const READ: usize = 64 << 10;
/// Most bytes of an event that are kept until the rest of it comes.
const KEPT: usize = 4 << 10;
/// What the kernel holds for one that never reads.
const STALLED_BUFFER: usize = 4 << 10;

/// One that reads.
#[derive(Debug)]
struct Watcher {
    stream: TcpStream,
    group: u64,
    /// The number of the next event of its group.
    next: u64,
    begun: bool,
    /// The start of an event whose end has not come yet.
    kept: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Watchers {
    poll: Poll,
    reading: Vec<Watcher>,
    groups: u64,
}

/// Connections that are never read. Dropping them ends them.
#[derive(Debug)]
pub(super) struct Stalled {
    _held: Vec<std::net::TcpStream>,
}

/// What they saw.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) delivery: Histogram,
    pub(super) deliveries: u64,
    pub(super) expected: u64,
    pub(super) lost: u64,
}

impl Followed {
    /// Reads an event of a watcher: its name is of no matter, its key is the next of the group, or something was lost.
    fn event(&mut self, watcher: &mut Watcher, text: &[u8], (sent, groups): (&Sent, u64)) {
        if find(text, b"event: reset").is_some() {
            self.lost += 1;
        }
        let Some(number) = number_of(text) else {
            return;
        };
        if number != watcher.next {
            self.lost += 1;
        }
        watcher.next = number + 1;
        self.deliveries += 1;
        let at = sent.at.get(narrow(number * groups + watcher.group));
        if let Some(at) = at.map(|at| at.load(Ordering::SeqCst)).filter(|at| *at > 0) {
            self.delivery
                .add(nanos(sent.began.elapsed()).saturating_sub(at));
        }
    }
}

/// The number behind the slash of the key of an event.
fn number_of(text: &[u8]) -> Option<u64> {
    let from = find(text, b"\"key\":\"g")? + 8;
    let key = text.get(from..)?;
    let digits = key.get(find(key, b"/")? + 1..)?.get(..8)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    loop {
        let place = bytes.get(from..)?.iter().position(|byte| byte == first)? + from;
        if bytes.get(place..)?.starts_with(wanted) {
            return Some(place);
        }
        from = place + 1;
    }
}

fn connect(address: SocketAddr, query: &str) -> Outcome<std::net::TcpStream> {
    let failed = || "a watcher".to_owned();
    let mut stream = std::net::TcpStream::connect(address).map_err(Failure::at(failed()))?;
    let request =
        format!("GET /keyspaces/default/watch?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(Failure::at(failed()))?;
    Ok(stream)
}

impl Watchers {
    /// Connects all of them and waits until those that read are being served.
    pub(super) fn begin(address: SocketAddr, plan: &Plan) -> Outcome<(Self, Stalled)> {
        let poll = Poll::new().map_err(Failure::at("epoll"))?;
        let mut watchers = Self {
            poll,
            reading: Vec::new(),
            groups: plan.groups,
        };
        let mut stalled = Vec::new();
        for _ in 0..plan.stalled() {
            let stream = connect(address, "values=true")?;
            set_socket_recv_buffer_size(&stream, STALLED_BUFFER)
                .map_err(Failure::at("a small buffer"))?;
            stalled.push(stream);
        }
        for n in plan.stalled()..plan.watchers {
            let group = wide(n) % plan.groups;
            let stream = connect(address, &format!("prefix=g{group:05}/"))?;
            stream
                .set_nonblocking(true)
                .map_err(Failure::at("a watcher"))?;
            let mut stream = TcpStream::from_std(stream);
            let token = Token(watchers.reading.len());
            watchers
                .poll
                .registry()
                .register(&mut stream, token, Interest::READABLE)
                .map_err(Failure::at("epoll"))?;
            watchers.reading.push(Watcher {
                stream,
                group,
                next: 0,
                begun: false,
                kept: Vec::new(),
            });
        }
        let deadline = Instant::now() + PATIENCE;
        let mut begun = 0;
        while begun < watchers.reading.len() {
            if Instant::now() > deadline {
                return Err(Failure::of(format!("only {begun} watches began in time")));
            }
            watchers.turn(|watcher, text| {
                if !watcher.begun && find(text, b"retry: ").is_some() {
                    watcher.begun = true;
                    begun += 1;
                }
            })?;
        }
        Ok((watchers, Stalled { _held: stalled }))
    }

    /// Follows until everything that the writer wrote has come.
    pub(super) fn follow(&mut self, paced: &Pacing) -> Outcome<Followed> {
        let (sent, groups) = (&*paced.sent, self.groups);
        let mut followed = Followed {
            delivery: Histogram::new(),
            deliveries: 0,
            expected: u64::MAX,
            lost: 0,
        };
        let mut deadline = None;
        loop {
            self.turn(|watcher, text| followed.event(watcher, text, (sent, groups)))?;
            if let Some(all) = sent.all() {
                let each = |watcher: &Watcher| (all + groups - 1 - watcher.group) / groups;
                followed.expected = self.reading.iter().map(each).sum();
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                if followed.deliveries >= followed.expected || Instant::now() > deadline {
                    return Ok(followed);
                }
            }
        }
    }

    /// Waits a moment and reads what has come, event by event.
    fn turn(&mut self, mut event: impl FnMut(&mut Watcher, &[u8])) -> Outcome<()> {
        let mut events = Events::with_capacity(1_024);
        self.poll
            .poll(&mut events, Some(Duration::from_millis(20)))
            .map_err(Failure::at("epoll"))?;
        let mut buffer = vec![0; READ];
        for ready in &events {
            let Some(watcher) = self.reading.get_mut(ready.token().0) else {
                continue;
            };
            read(watcher, &mut buffer, &mut event)?;
        }
        Ok(())
    }
}

fn read(
    watcher: &mut Watcher,
    buffer: &mut [u8],
    event: &mut impl FnMut(&mut Watcher, &[u8]),
) -> Outcome<()> {
    loop {
        let filled = match watcher.stream.read(buffer) {
            Ok(0) => return Err(Failure::of("the server closed a watcher's connection")),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::at("a watcher")(error)),
        };
        let new = buffer.get(..filled).unwrap_or_default();
        let mut text = std::mem::take(&mut watcher.kept);
        text.extend_from_slice(new);
        let mut rest = text.as_slice();
        while let Some(end) = find(rest, b"\n\n") {
            let (one, behind) = rest.split_at(end + 2);
            event(watcher, one);
            rest = behind;
        }
        if rest.len() > KEPT {
            return Err(Failure::of("an event without an end"));
        }
        watcher.kept = rest.to_vec();
    }
}
