//! One watcher: a place in the ring, and a seat at the hub's desk. It must not know what is done with the events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::Hub;
use super::desk::{Found, SeatId, pass_of};
use super::event::{Event, Filter, Position};
use crate::map::Keyspace;
use crate::options::Durability;

/// Events of the ring that are looked at with it locked.
const LOOK: u64 = 1_024;

/// What a watcher is told.
#[derive(Debug)]
pub enum Seen {
    /// What happened, in order; at least one event, and no more than were asked for.
    Events(Vec<Arc<Event>>),
    /// Events that it should have been told have left. It goes on with what comes after [`Watcher::position`].
    FellBehind,
    /// Nobody is told anything any more: the store is closing.
    Ended,
}

/// Follows the changes of a keyspace that its filter lets through. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    keyspace: Arc<Keyspace>,
    filter: Filter,
    seat: SeatId,
    /// The sequence number of the next event to be looked at.
    next: u64,
    /// The place behind which that is.
    last: Position,
    /// What was only announced before this sequence number is not for it: it was not there then.
    since: u64,
}

/// Where a watcher begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The sequence number of the first event to be looked at.
    pub(super) next: u64,
    /// The place behind which that is.
    pub(super) last: Position,
    /// The sequence number of the next event that happens.
    pub(super) since: u64,
}

impl Watcher {
    pub(super) fn new(
        hub: Arc<Hub>,
        keyspace: Arc<Keyspace>,
        filter: Filter,
        (seat, start): (SeatId, Start),
    ) -> Self {
        Self {
            hub,
            keyspace,
            filter,
            seat,
            next: start.next,
            last: start.last,
            since: start.since,
        }
    }

    /// What it hears of.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether nobody is told anything any more.
    pub fn has_ended(&self) -> bool {
        self.hub.ended.load(Ordering::Relaxed)
    }

    /// Everything up to here has been told; a watch may go on from it.
    pub fn position(&self) -> Position {
        let pass = pass_of(self.keyspace.durability());
        let seen = self.hub.desk.lock().seen(self.seat, pass);
        seen.map_or(self.last, |revision| {
            self.last.max(Position::whole(revision))
        })
    }

    /// The next events, at most `most` of them.
    pub fn poll_seen(&mut self, context: &Context<'_>, most: usize) -> Poll<Seen> {
        let waker = context.waker();
        let pass = pass_of(self.keyspace.durability());
        let (found, all) = self.hub.desk.lock().arrive(self.seat, pass, waker);
        self.hub.answered(all);
        match found {
            Found::Look => {}
            Found::LookFrom(seq) => self.next = seq,
            Found::Nothing => return Poll::Pending,
            Found::Ended => return Poll::Ready(Seen::Ended),
        }
        loop {
            let durability = self.keyspace.durability();
            match self.look(durability, most) {
                Looked::Events(events) => return Poll::Ready(Seen::Events(events)),
                Looked::FellBehind => return Poll::Ready(Seen::FellBehind),
                Looked::More => {}
                Looked::All => {
                    let pass = pass_of(durability);
                    if self.hub.desk.lock().wait(self.seat, self.next, pass, waker) {
                        return Poll::Pending;
                    }
                    if self.hub.desk.lock().ended {
                        return Poll::Ready(Seen::Ended);
                    }
                }
            }
        }
    }

    /// Looks at a part of the ring.
    fn look(&mut self, durability: Durability, most: usize) -> Looked {
        let told = self.hub.told(durability);
        let lane = self.hub.lane(durability);
        let ring = lane.ring();
        if self.next < ring.base() {
            drop(ring);
            self.skip(durability);
            return Looked::FellBehind;
        }
        let end = ring.up_to(told);
        let to = end.min(self.next.saturating_add(LOOK));
        let mut events = Vec::new();
        for (seq, slot) in ring.range(self.next, to) {
            self.next = seq + 1;
            self.last = slot.position();
            let mine =
                slot.keyspace == self.keyspace.id() && (slot.is_placed() || seq >= self.since);
            if mine && self.filter.lets_through(&slot.change) {
                events.push(ring.shared(slot));
                if events.len() >= most {
                    break;
                }
            }
        }
        drop(ring);
        if !events.is_empty() {
            Looked::Events(events)
        } else if to < end {
            Looked::More
        } else {
            Looked::All
        }
    }

    /// Goes to the end of what may be told.
    fn skip(&mut self, durability: Durability) {
        if let Ok(start) = self.hub.begin(durability, super::From::Now) {
            self.next = start.next;
            self.last = start.last;
        }
    }
}

/// What a look at the ring came to.
enum Looked {
    Events(Vec<Arc<Event>>),
    FellBehind,
    /// Nothing so far; there is more to look at.
    More,
    /// Nothing, and that was everything that may be told.
    All,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hub.rise(self.seat);
    }
}
