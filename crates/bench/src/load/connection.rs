//! One keep-alive connection with one request in flight. It knows where bytes go, not what they mean.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::Run;
use super::protocol::{Operation, Protocol, Response, response};
use crate::{Failure, Outcome};

/// Bytes that are read at a time at least.
const READ: usize = 16 << 10;

/// What a connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the server.
    Waiting,
    /// It has no more requests.
    Ended,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    request: Vec<u8>,
    /// How much of the request the system has taken.
    sent: usize,
    received: Vec<u8>,
    /// How much of the buffer holds bytes of the response.
    filled: usize,
    /// What is in flight, and since when.
    in_flight: Option<(Operation, Instant)>,
}

impl Connection {
    pub(super) fn open(
        address: SocketAddr,
        protocol: Protocol,
        registry: &Registry,
        token: Token,
    ) -> Outcome<Self> {
        let failed = || format!("connecting to {address}");
        let stream = std::net::TcpStream::connect(address).map_err(Failure::at(failed()))?;
        stream.set_nodelay(true).map_err(Failure::at(failed()))?;
        stream
            .set_nonblocking(true)
            .map_err(Failure::at(failed()))?;
        let mut stream = TcpStream::from_std(stream);
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(Failure::at("epoll"))?;
        Ok(Self {
            stream,
            protocol,
            request: Vec::new(),
            sent: 0,
            received: vec![0; READ],
            filled: 0,
            in_flight: None,
        })
    }

    /// Sends the first request.
    pub(super) fn start(&mut self, run: &mut Run) -> Outcome<Progress> {
        if self.begin(run, Instant::now()) == Progress::Ended {
            return Ok(Progress::Ended);
        }
        self.advance(run)
    }

    fn begin(&mut self, run: &mut Run, now: Instant) -> Progress {
        self.request.clear();
        self.sent = 0;
        self.filled = 0;
        self.in_flight = run
            .next(now, &mut self.request)
            .map(|operation| (operation, now));
        if self.in_flight.is_some() {
            Progress::Waiting
        } else {
            Progress::Ended
        }
    }

    /// Sends and receives as far as the system lets it. An ended connection that is told of events stays ended: it says so
    /// only once.
    pub(super) fn advance(&mut self, run: &mut Run) -> Outcome<Progress> {
        while let Some((operation, since)) = self.in_flight {
            if !self.send()? {
                return Ok(Progress::Waiting);
            }
            let Some((body, good)) = self.receive()? else {
                return Ok(Progress::Waiting);
            };
            let now = Instant::now();
            run.answered(operation, body, good, now - since);
            if self.begin(run, now) == Progress::Ended {
                return Ok(Progress::Ended);
            }
        }
        Ok(Progress::Waiting)
    }

    /// `true` when the whole request is with the system.
    fn send(&mut self) -> Outcome<bool> {
        while let Some(rest) = self
            .request
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::at("sending")(error)),
            }
        }
        Ok(true)
    }

    /// The response, where it is whole: the length of its body and whether it is a success.
    fn receive(&mut self) -> Outcome<Option<(usize, bool)>> {
        let mut needed = self.filled + 1;
        loop {
            let room = needed.max(READ);
            if self.received.len() < room {
                self.received.resize(room, 0);
            }
            let place = self.received.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(place) {
                Ok(0) => return Err(Failure::of("the server closed a connection")),
                Ok(n) => self.filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::at("receiving")(error)),
            }
            if self.filled < needed {
                continue;
            }
            let received = self.received.get(..self.filled).unwrap_or_default();
            match response(self.protocol, received)? {
                Response::Partial(more) => needed = more,
                Response::Whole { len, body, good } if len == self.filled => {
                    return Ok(Some((body, good)));
                }
                Response::Whole { .. } => {
                    return Err(Failure::of("more bytes than one response"));
                }
            }
        }
    }
}
