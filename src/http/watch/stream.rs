//! The body of a watch: what the watch is told, as text, with signs of life in between, until somebody has had enough.
//!
//! Nothing is gathered here: the next piece is made when the connection has room for it, and no piece is larger than
//! [`PIECE`]. So a reader that has stopped costs what lies in the connection's own buffers and one event, which it shares
//! with all others.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use super::seats::Seat;
use super::text;
use crate::keyspace::{End, TextKind, Told, Watch};

/// Most bytes that are handed to the connection at once.
const PIECE: usize = 8 << 10;

/// When a watch ends by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// After so many events.
    pub(super) limit: Option<u64>,
    /// After this time, for this reason.
    pub(super) time: Option<(Duration, &'static str)>,
}

/// What is told, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) kind: TextKind,
    /// Whether what is there is told after a reset.
    pub(super) initial: bool,
    /// Whether it goes on where an earlier one ended.
    pub(super) resumed: bool,
}

/// The body.
pub(super) struct Events {
    watch: Watch,
    shape: Shape,
    /// Events that are still to be told.
    left: Option<u64>,
    /// What was told and is still to be sent.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    every: Duration,
    heartbeat: Pin<Box<Sleep>>,
    deadline: Option<(Pin<Box<Sleep>>, &'static str)>,
    ended: bool,
    /// Whether there may be something to tell that came before what is told now.
    behind: bool,
    /// Given back when the body is dropped.
    _seat: Seat,
}

impl Events {
    /// `heartbeat` is the time between two signs of life.
    pub(super) fn new(
        watch: Watch,
        shape: Shape,
        until: Until,
        heartbeat: Duration,
        seat: Seat,
    ) -> Self {
        let mut events = Self {
            shape,
            left: until.limit,
            out: VecDeque::new(),
            out_bytes: 0,
            every: heartbeat,
            heartbeat: Box::pin(sleep(heartbeat)),
            deadline: until
                .time
                .map(|(time, reason)| (Box::pin(sleep(time)), reason)),
            ended: false,
            behind: shape.resumed,
            watch,
            _seat: seat,
        };
        events.send(text::greeting(heartbeat));
        let here = text::heartbeat(events.watch.place());
        events.send(here);
        events
    }

    fn send(&mut self, text: Bytes) {
        self.out_bytes += text.len();
        self.out.push_back(text);
    }

    /// Ends with a word of why.
    fn bye(&mut self, reason: &'static str) {
        let text = text::bye(self.watch.place(), reason);
        self.send(text);
        self.ended = true;
    }

    /// Sends an event that counts.
    fn send_counted(&mut self, text: Bytes) {
        self.send(text);
        if let Some(left) = &mut self.left {
            *left -= 1;
            self.ended |= *left == 0;
        }
    }

    fn take(&mut self, told: Told) {
        let kind = self.shape.kind;
        match told {
            Told::Entry(keyed) => {
                self.send_counted(text::put(None, &keyed.key, &keyed.entry, kind));
            }
            Told::Gone(key) => self.send_counted(text::gone(None, "delete", &key)),
            Told::Event(event) | Told::Newest(event) => {
                let text = event.text(kind, |event| text::of_event(event, kind));
                self.send_counted(text);
            }
            Told::Synced(place) => {
                self.send(text::synced(place));
                self.behind = true;
            }
            Told::Reset(place) => {
                self.behind = true;
                let id = (!self.shape.initial).then_some(place);
                self.send_counted(text::reset(id));
            }
            Told::Ended(end) => self.bye(match end {
                End::Dropped => "keyspace_dropped",
                End::Stopping => "draining",
                End::Lost => "durability_lost",
            }),
        }
    }

    /// Gathers what there is, as long as it is little.
    fn gather(&mut self, context: &mut Context<'_>) {
        if let Some((deadline, reason)) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            let reason = *reason;
            self.deadline = None;
            self.bye(reason);
        }
        while !self.ended && self.out_bytes < PIECE {
            match self.watch.poll_told(context) {
                Poll::Ready(told) => self.take(told),
                Poll::Pending => {
                    self.say_that_all_is_told();
                    break;
                }
            }
        }
        while !self.ended && self.heartbeat.as_mut().poll(context).is_ready() {
            let next = Instant::now() + self.every;
            self.heartbeat.as_mut().reset(next);
            let text = text::heartbeat(self.watch.place());
            self.send(text);
        }
    }

    /// Says once that nothing is left to be told of what came before: who keeps a copy waits for that.
    fn say_that_all_is_told(&mut self) {
        if let Some(place) = self.watch.place()
            && std::mem::take(&mut self.behind)
        {
            self.send(text::caught_up(place));
        }
    }

    /// The next piece of what is to be sent.
    fn piece(&mut self) -> Option<Bytes> {
        let mut first = self.out.pop_front()?;
        if first.len() > PIECE {
            let piece = first.split_to(PIECE);
            self.out.push_front(first);
            self.out_bytes -= piece.len();
            return Some(piece);
        }
        let fits = |next: &mut Bytes| first.len() + next.len() <= PIECE;
        if self.out.front_mut().is_none_or(|next| !fits(next)) {
            // Nearly always: one event, sent as it is.
            self.out_bytes -= first.len();
            return Some(first);
        }
        let mut piece = BytesMut::with_capacity(self.out_bytes.min(PIECE));
        piece.extend_from_slice(&first);
        while let Some(next) = self
            .out
            .pop_front_if(|next| piece.len() + next.len() <= PIECE)
        {
            piece.extend_from_slice(&next);
        }
        self.out_bytes -= piece.len();
        Some(piece.freeze())
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let events = self.get_mut();
        if !events.ended {
            events.gather(context);
        }
        match events.piece() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None if events.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
