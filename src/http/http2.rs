//! What HTTP/2 lets a client hold open beside its connection: requests, and answers that it does not read. Its own flow
//! control hides a stopped reader from the kernel, so a connection on which an answer does not move is ended here. It must
//! not know what is asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::Version;
use actix_web::rt;
use bytes::Bytes;
use socket2::{SockRef, Socket};
use tokio::time::sleep;

use super::call::Call;
use super::code::Code;
use super::problem::{Exceeded, Problem};

/// What of an answer is handed out at a time: a reader has to take so much within the deadline, however slow it is.
const PIECE: usize = 16 << 10;

/// A connection that speaks HTTP/2. It lives with the connection: whoever keeps it keeps the socket open.
pub(super) struct Http2 {
    /// The connection's own, once more: what serves it has the other.
    socket: Socket,
    streams: Rc<Streams>,
}

/// The requests that are being answered on one connection, and since when each waits for its reader.
#[derive(Default)]
struct Streams {
    open: RefCell<BTreeMap<u64, Option<Instant>>>,
    opened: Cell<u64>,
}

impl Http2 {
    /// Watches over a connection whose readers may take nothing for `stall`.
    pub(super) fn watch(socket: &SockRef<'_>, stall: Duration) -> io::Result<Rc<Self>> {
        let connection = Rc::new(Self {
            socket: socket.try_clone()?,
            streams: Rc::default(),
        });
        drop(rt::spawn(end_where_stalled(
            Rc::downgrade(&connection),
            stall,
        )));
        Ok(connection)
    }

    fn end(&self, why: &'static str) {
        tracing::debug!(why, "an HTTP/2 connection was ended");
        if let Err(error) = self.socket.shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// Ends the connection when one of its answers has not moved for `stall`; looks for as long as the connection stands.
async fn end_where_stalled(connection: Weak<Http2>, stall: Duration) {
    loop {
        sleep(stall / 2).await;
        let Some(connection) = connection.upgrade() else {
            return;
        };
        let stalled = |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() > stall);
        if connection.streams.open.borrow().values().any(stalled) {
            connection.end("an answer was not read for limits.read_stall");
            return;
        }
    }
}

impl Streams {
    fn open(self: &Rc<Self>) -> Open {
        let number = self.opened.get();
        self.opened.set(number + 1);
        self.open.borrow_mut().insert(number, None);
        Open {
            streams: Rc::clone(self),
            number,
        }
    }
}

/// A request that is counted until its answer has left.
pub(super) struct Open {
    streams: Rc<Streams>,
    number: u64,
}

impl Open {
    /// Says since when the answer waits for its reader, if it does.
    fn waits_since(&self, since: Option<Instant>) {
        if let Some(waits) = self.streams.open.borrow_mut().get_mut(&self.number) {
            *waits = since;
        }
    }

    /// Counts the request until its answer has left, and notices where that stops moving.
    pub(super) fn follow(self, response: HttpResponse) -> HttpResponse {
        if matches!(response.body().size(), BodySize::None | BodySize::Sized(0)) {
            return response;
        }
        response.map_body(|_, body| {
            BoxBody::new(Followed {
                body,
                rest: Bytes::new(),
                open: self,
            })
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.open.borrow_mut().remove(&self.number);
    }
}

/// Counts a request on its connection, where that speaks HTTP/2.
#[inline]
pub(super) fn open(call: &Call) -> Option<Open> {
    if call.head().version != Version::HTTP_2 {
        return None;
    }
    let connection = call.request.conn_data::<Rc<Http2>>()?;
    Some(connection.streams.open())
}

/// Refuses a request where its connection has too many already. A client that asks on all the same, and does not read the
/// refusals, loses the connection.
pub(super) fn admit(open: Option<&Open>, call: &Call) -> Result<(), Problem> {
    let Some(open) = open else {
        return Ok(());
    };
    let limit = call.service().limits().streams_per_connection;
    let actual = open.streams.open.borrow().len();
    if actual <= limit {
        return Ok(());
    }
    if actual > limit.saturating_mul(2)
        && let Some(connection) = call.request.conn_data::<Rc<Http2>>()
    {
        connection.end("it had more than twice limits.streams_per_connection requests");
    }
    let problem = Problem::new(
        Code::Overloaded,
        "too many requests are being answered on this connection",
    );
    Err(problem.exceeding(Exceeded {
        limit: limit.try_into().unwrap_or(u64::MAX),
        actual: actual.try_into().unwrap_or(u64::MAX),
        setting: "limits.streams_per_connection",
    }))
}

/// A body that tells when it waits for its reader: from when a piece was handed out until the next is asked for.
struct Followed {
    body: BoxBody,
    /// What was got from the body and not handed out yet.
    rest: Bytes,
    open: Open,
}

impl MessageBody for Followed {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.open.waits_since(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(piece)) => self.rest = piece,
                end => return Poll::Ready(end),
            }
        }
        self.open.waits_since(Some(Instant::now()));
        let len = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(len))))
    }
}
