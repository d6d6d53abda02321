//! Who watches what, and who has to be woken: watchers by keyspace, and there by exact key and by prefix, so that an event
//! costs a few look-ups and not a pass over all watchers. It must not know rings or threads.
//!
//! A watcher *looks* at the ring by itself until it has seen everything; then it *waits*. A waiting watcher stands wherever
//! the hub has come, so that a thousand events that do not concern it cost it nothing. The first event that does is kept
//! with its seat, and from there it goes on looking; until then later events leave it alone.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::task::Waker;

use super::event::{Filter, Reach};
use crate::map::Keyspace;
use crate::options::Durability;

/// The three passes of the hub: which changes may be told is another question for each promise.
pub(super) const PASSES: usize = 3;

/// The pass that serves a keyspace of this promise.
pub(super) const fn pass_of(durability: Durability) -> usize {
    match durability {
        Durability::Synced => 0,
        Durability::Written => 1,
        Durability::Memory => 2,
    }
}

/// Names a seat; the number is taken again when its watcher has gone.
pub(super) type SeatId = u32;

/// What a watcher is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It reads the ring by itself.
    Looking,
    /// It has seen everything before `from`.
    Waiting {
        /// A sequence number.
        from: u64,
        /// The pass that it has seen everything of.
        pass: usize,
    },
    /// Something for it came: the first is `first`.
    Called {
        /// As it was while it waited.
        from: u64,
        /// As it was while it waited.
        pass: usize,
        /// A sequence number.
        first: u64,
    },
}

#[derive(Debug)]
struct Seat {
    keyspace: u32,
    filter: Filter,
    state: State,
    waker: Option<Waker>,
    /// The slice of wakes that it was woken in, until it looks.
    slice: u64,
}

/// The watchers of one keyspace, by what they wait for. Who does not wait is not in the tables.
#[derive(Debug)]
struct Topic {
    keyspace: Arc<Keyspace>,
    /// How many there are, whatever they do.
    seats: usize,
    keys: BTreeMap<Box<[u8]>, Vec<SeatId>>,
    prefixes: BTreeMap<Box<[u8]>, Vec<SeatId>>,
    /// How many prefixes of each length are in the table.
    lengths: BTreeMap<usize, usize>,
}

impl Topic {
    fn new(keyspace: Arc<Keyspace>) -> Self {
        Self {
            keyspace,
            seats: 0,
            keys: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            lengths: BTreeMap::new(),
        }
    }

    fn add(&mut self, filter: &Filter, seat: SeatId) {
        match filter {
            Filter::Key(key) => self.keys.entry(key.clone()).or_default().push(seat),
            Filter::Prefix(prefix) => {
                let seats = self.prefixes.entry(prefix.clone()).or_default();
                if seats.is_empty() {
                    *self.lengths.entry(prefix.len()).or_default() += 1;
                }
                seats.push(seat);
            }
        }
    }

    fn remove(&mut self, filter: &Filter, seat: SeatId) {
        let (table, name) = match filter {
            Filter::Key(key) => (&mut self.keys, key),
            Filter::Prefix(prefix) => (&mut self.prefixes, prefix),
        };
        let Some(seats) = table.get_mut(name) else {
            return;
        };
        if let Some(place) = seats.iter().position(|found| *found == seat) {
            seats.swap_remove(place);
        }
        if seats.is_empty() {
            match filter {
                Filter::Key(key) => drop(self.keys.remove(key)),
                Filter::Prefix(prefix) => drop(self.take_prefix(prefix)),
            }
        }
    }

    fn take_prefix(&mut self, prefix: &[u8]) -> Vec<SeatId> {
        let Some(seats) = self.prefixes.remove(prefix) else {
            return Vec::new();
        };
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        seats
    }

    /// Takes out everybody whom a change with this reach concerns.
    fn take(&mut self, reach: Reach<'_>, seats: &mut Vec<SeatId>) {
        match reach {
            Reach::Key(key) => {
                seats.extend(self.keys.remove(key).unwrap_or_default());
                self.take_shorter(key, key.len(), seats);
            }
            Reach::Prefix(gone) => {
                for key in inside(&self.keys, gone) {
                    seats.extend(self.keys.remove(&key).unwrap_or_default());
                }
                for prefix in inside(&self.prefixes, gone) {
                    seats.extend(self.take_prefix(&prefix));
                }
                if let Some(shorter) = gone.len().checked_sub(1) {
                    self.take_shorter(gone, shorter, seats);
                }
            }
            Reach::All => {
                self.lengths.clear();
                let keys = std::mem::take(&mut self.keys).into_values();
                let prefixes = std::mem::take(&mut self.prefixes).into_values();
                seats.extend(keys.chain(prefixes).flatten());
            }
        }
    }

    /// Takes out the watchers of every prefix of `name` that has at most `len` bytes.
    fn take_shorter(&mut self, name: &[u8], len: usize, seats: &mut Vec<SeatId>) {
        let mut next = self.lengths.range(..=len).next().map(|(len, _)| *len);
        while let Some(this) = next {
            if let Some(prefix) = name.get(..this) {
                seats.extend(self.take_prefix(prefix));
            }
            next = self
                .lengths
                .range(this + 1..=len.max(this + 1))
                .next()
                .map(|(len, _)| *len);
            next = next.filter(|next| *next <= len);
        }
    }
}

/// The names of a table that begin with `gone`.
fn inside(table: &BTreeMap<Box<[u8]>, Vec<SeatId>>, gone: &[u8]) -> Vec<Box<[u8]>> {
    let from = (Bound::Included(gone), Bound::Unbounded);
    table
        .range::<[u8], _>(from)
        .map(|(name, _)| name)
        .take_while(|name| name.starts_with(gone))
        .cloned()
        .collect()
}

/// How far a pass has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    /// The sequence number of the next event to be looked at.
    pub(super) seq: u64,
    /// Everything up to this revision has been looked at.
    pub(super) revision: u64,
}

/// The seats.
#[derive(Debug, Default)]
pub(super) struct Desk {
    seats: Vec<Option<Seat>>,
    free: Vec<SeatId>,
    topics: HashMap<u32, Topic>,
    pub(super) cursors: [Cursor; PASSES],
    /// Nobody is served any more.
    pub(super) ended: bool,
    /// The slice of wakes that is under way, and how many of it have not looked yet.
    slice: u64,
    unanswered: usize,
}

/// What a watcher finds at its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Go on looking from where it was.
    Look,
    /// Go on looking here.
    LookFrom(u64),
    /// Nothing yet; its waker is kept.
    Nothing,
    /// Nobody is served any more.
    Ended,
}

impl Desk {
    pub(super) fn sit(&mut self, keyspace: &Arc<Keyspace>, filter: &Filter) -> SeatId {
        let seat = Seat {
            keyspace: keyspace.id(),
            filter: filter.clone(),
            state: State::Looking,
            waker: None,
            slice: 0,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            crate::int::slot32(self.seats.len() - 1)
        });
        if let Some(place) = self.seats.get_mut(crate::int::index(id)) {
            *place = Some(seat);
        }
        self.topics
            .entry(keyspace.id())
            .or_insert_with(|| Topic::new(Arc::clone(keyspace)))
            .seats += 1;
        id
    }

    /// Gives a seat back. `true` where the hub waits for no more answers of its slice.
    pub(super) fn rise(&mut self, id: SeatId) -> bool {
        let place = self.seats.get_mut(crate::int::index(id));
        let Some(seat) = place.and_then(Option::take) else {
            return false;
        };
        self.free.push(id);
        if let Some(topic) = self.topics.get_mut(&seat.keyspace) {
            if matches!(seat.state, State::Waiting { .. }) {
                topic.remove(&seat.filter, id);
            }
            topic.seats -= 1;
            if topic.seats == 0 {
                self.topics.remove(&seat.keyspace);
            }
        }
        self.answered(seat.slice)
    }

    fn seat(&mut self, id: SeatId) -> Option<&mut Seat> {
        self.seats.get_mut(crate::int::index(id))?.as_mut()
    }

    fn answered(&mut self, slice: u64) -> bool {
        if slice == 0 || slice != self.slice || self.unanswered == 0 {
            return false;
        }
        self.unanswered -= 1;
        self.unanswered == 0
    }

    /// A watcher comes to look. Also tells whether the hub waits for no more answers of its slice.
    pub(super) fn arrive(&mut self, id: SeatId, pass: usize, waker: &Waker) -> (Found, bool) {
        let ended = self.ended;
        let Some(seat) = self.seat(id) else {
            return (Found::Ended, false);
        };
        let slice = std::mem::take(&mut seat.slice);
        let found = match seat.state {
            _ if ended => Found::Ended,
            State::Looking => Found::Look,
            State::Waiting { .. } => {
                keep(&mut seat.waker, waker);
                Found::Nothing
            }
            State::Called {
                from,
                pass: was,
                first,
            } => {
                seat.state = State::Looking;
                // Where the promise has changed since, the passes that called may have come in another order.
                Found::LookFrom(if was == pass { from.max(first) } else { from })
            }
        };
        let all = self.answered(slice);
        (found, all)
    }

    /// A watcher that has seen everything before `from` waits, unless the hub has come further meanwhile.
    pub(super) fn wait(&mut self, id: SeatId, from: u64, pass: usize, waker: &Waker) -> bool {
        if self.ended
            || self
                .cursors
                .get(pass)
                .is_none_or(|cursor| cursor.seq > from)
        {
            return false;
        }
        let place = self.seats.get_mut(crate::int::index(id));
        if let Some(seat) = place.and_then(Option::as_mut) {
            seat.state = State::Waiting { from, pass };
            keep(&mut seat.waker, waker);
            if let Some(topic) = self.topics.get_mut(&seat.keyspace) {
                topic.add(&seat.filter, id);
            }
        }
        true
    }

    /// The revision up to which a watcher that waits in `pass` has seen everything; `None` for one that is behind the hub.
    pub(super) fn seen(&mut self, id: SeatId, pass: usize) -> Option<u64> {
        match self.seat(id)?.state {
            State::Waiting { pass: its, .. } if its == pass => {
                self.cursors.get(pass).map(|cursor| cursor.revision)
            }
            State::Waiting { .. } | State::Looking | State::Called { .. } => None,
        }
    }

    /// Calls whoever waits for the event `seq` of a keyspace in `pass`, and appends those to be woken.
    pub(super) fn call(
        &mut self,
        pass: usize,
        keyspace: u32,
        seq: u64,
        reach: Reach<'_>,
        called: &mut Vec<SeatId>,
    ) {
        let Some(topic) = self.topics.get_mut(&keyspace) else {
            return;
        };
        // The pass for what is durable serves all that is logged: an event is never passed over when a promise changes.
        let served = pass_of(topic.keyspace.durability());
        if served != pass && pass != pass_of(Durability::Synced) {
            return;
        }
        let first_new = called.len();
        topic.take(reach, called);
        let mut kept = first_new;
        for n in first_new..called.len() {
            let Some(id) = called.get(n).copied() else {
                break;
            };
            let place = self.seats.get_mut(crate::int::index(id));
            let Some(seat) = place.and_then(Option::as_mut) else {
                continue;
            };
            if seat.call(seq) {
                called.swap(kept, n);
                kept += 1;
            } else {
                // It has looked further than the hub has come.
                topic.add(&seat.filter, id);
            }
        }
        called.truncate(kept);
    }

    /// Calls everybody who waits in `pass` and has not seen everything before `base`: the hub itself has missed the events
    /// from `seq` on.
    pub(super) fn call_all(&mut self, pass: usize, seq: u64, base: u64, called: &mut Vec<SeatId>) {
        for (id, seat) in (0..).zip(&mut self.seats) {
            let Some(seat) = seat else { continue };
            let State::Waiting { from, pass: its } = seat.state else {
                continue;
            };
            if its == pass && from < base && seat.call(seq.max(from)) {
                called.push(id);
                if let Some(topic) = self.topics.get_mut(&seat.keyspace) {
                    topic.remove(&seat.filter, id);
                }
            }
        }
    }

    /// Begins a slice of wakes: takes the wakers of those who are called.
    pub(super) fn begin_slice(&mut self, called: &[SeatId]) -> Vec<Waker> {
        self.slice += 1;
        let slice = self.slice;
        let mut wakers = Vec::with_capacity(called.len());
        for id in called {
            if let Some(seat) = self.seat(*id)
                && let Some(waker) = seat.waker.take()
            {
                seat.slice = slice;
                wakers.push(waker);
            }
        }
        self.unanswered = wakers.len();
        wakers
    }

    /// Whether everybody of the slice has looked.
    pub(super) fn all_answered(&self) -> bool {
        self.unanswered == 0
    }

    /// Ends the service of everybody, and returns who is to be woken.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        self.seats
            .iter_mut()
            .flatten()
            .filter_map(|seat| seat.waker.take())
            .collect()
    }
}

impl Seat {
    /// Notes that event `seq` concerns it, unless it has seen that already.
    fn call(&mut self, seq: u64) -> bool {
        match self.state {
            State::Waiting { from, pass } if seq >= from => {
                self.state = State::Called {
                    from,
                    pass,
                    first: seq,
                };
                true
            }
            State::Waiting { .. } | State::Called { .. } | State::Looking => false,
        }
    }
}

fn keep(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(kept) => kept.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}
