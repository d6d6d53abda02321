//! The newest events in the order of changes, bounded by number and bytes. Each has a sequence number, counted from the
//! first event of the process, so that a reader's place stays valid while old events leave. It must not know watchers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::event::{Change, Event, Position};
use crate::int::{narrow, wide};

/// Bytes of memory of an event beside what its change holds.
const SLOT_BYTES: u64 = wide(size_of::<Slot>());

/// An event in the ring. Its shared form is made when the first watcher takes it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) keyspace: u32,
    index: u32,
    revision: u64,
    pub(super) change: Change,
    shared: OnceLock<Arc<Event>>,
}

impl Slot {
    pub(super) fn new(keyspace: u32, position: Position, change: Change) -> Self {
        Self {
            keyspace,
            index: position.index,
            revision: position.revision,
            change,
            shared: OnceLock::new(),
        }
    }

    /// What was only announced stands behind the whole change before it.
    pub(super) fn position(&self) -> Position {
        Position {
            revision: self.revision,
            index: self.index,
        }
    }

    /// Whether it is a change: then it has a place in their order, which nothing else has.
    pub(super) fn is_placed(&self) -> bool {
        self.index != Position::WHOLE
    }

    pub(super) fn slim(mut self) -> Self {
        self.change = self.change.slim();
        self
    }

    pub(super) fn bytes(&self) -> u64 {
        SLOT_BYTES + self.change.footprint()
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most events.
    pub(crate) events: usize,
    /// Most bytes of what the events hold.
    pub(crate) bytes: u64,
}

impl Bounds {
    /// Nothing that could be done without.
    pub(crate) const NONE: Self = Self {
        events: 0,
        bytes: 0,
    };
}

/// The events.
#[derive(Debug)]
pub(super) struct Ring {
    slots: VecDeque<Slot>,
    /// The sequence number of the oldest event.
    base: u64,
    bytes: u64,
    bounds: Bounds,
    /// Everything behind this place is here.
    floor: Position,
    ledger: Arc<AtomicU64>,
}

impl Ring {
    pub(super) fn new(bounds: Bounds, floor: Position) -> Self {
        Self {
            slots: VecDeque::new(),
            base: 0,
            bytes: 0,
            bounds,
            floor,
            ledger: Arc::default(),
        }
    }

    /// Adds an event behind all others. What has to leave for it goes to `out`, to be freed where nobody waits.
    pub(super) fn push(&mut self, slot: Slot, out: &mut Vec<Slot>) {
        self.bytes += slot.bytes();
        self.slots.push_back(slot);
        self.trim(out);
    }

    fn trim(&mut self, out: &mut Vec<Slot>) {
        // The newest stays even where it is larger than everything may be: it has not been told yet.
        while self.slots.len() > 1
            && (self.slots.len() > self.bounds.events
                || self.bytes + self.ledger.load(Ordering::Relaxed) > self.bounds.bytes)
            && let Some(oldest) = self.slots.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.base += 1;
            self.floor = oldest.position();
            if let Some(event) = oldest.shared.get() {
                event.leave();
            }
            out.push(oldest);
        }
    }

    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Forgets everything: events up to `lost` never came here.
    pub(super) fn forget(&mut self, lost: Position, out: &mut Vec<Slot>) {
        for slot in &self.slots {
            if let Some(event) = slot.shared.get() {
                event.leave();
            }
        }
        // One number is left out, so that who stood here is behind.
        self.base = self.end() + 1;
        self.bytes = 0;
        self.floor = lost;
        out.extend(self.slots.drain(..));
    }

    /// The oldest sequence number that is here, or the next one to come.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The sequence number of the next event to come.
    pub(super) fn end(&self) -> u64 {
        self.base + wide(self.slots.len())
    }

    /// The sequence number of the first event behind `position`; `None` where some of those behind it have left.
    pub(super) fn behind(&self, position: Position) -> Option<u64> {
        #[cfg(feature = "bug-resume-inside-batch")]
        let position = Position::whole(position.revision);
        if position < self.floor {
            return None;
        }
        let n = self
            .slots
            .partition_point(|slot| slot.position() <= position);
        Some(self.base + wide(n))
    }

    /// The sequence number behind the last event up to `revision`.
    pub(super) fn up_to(&self, revision: u64) -> u64 {
        if self
            .slots
            .back()
            .is_none_or(|slot| slot.revision <= revision)
        {
            return self.end();
        }
        self.base + wide(self.slots.partition_point(|slot| slot.revision <= revision))
    }

    /// The events from `from` up to `to`, `from` being here.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Slot)> {
        let start = narrow(from.saturating_sub(self.base)).min(self.slots.len());
        let end = narrow(to.saturating_sub(self.base)).clamp(start, self.slots.len());
        (from..).zip(self.slots.range(start..end))
    }

    /// The shared form of an event.
    pub(super) fn shared(&self, slot: &Slot) -> Arc<Event> {
        let make = || {
            let position = slot.is_placed().then(|| slot.position());
            Arc::new(Event::new(position, slot.change.share(), &self.ledger))
        };
        Arc::clone(slot.shared.get_or_init(make))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn at(revision: u64, index: u32) -> Position {
        Position { revision, index }
    }

    fn ring(events: usize, bytes: u64) -> Ring {
        Ring::new(Bounds { events, bytes }, Position::whole(0))
    }

    fn push(ring: &mut Ring, revision: u64, index: u32) {
        let slot = Slot::new(1, at(revision, index), Change::delete(b"key"));
        ring.push(slot, &mut Vec::new());
    }

    fn places(ring: &Ring, from: u64, to: u64) -> Vec<(u64, Position)> {
        ring.range(from, to)
            .map(|(seq, slot)| (seq, slot.position()))
            .collect()
    }

    #[test]
    fn the_oldest_leave_and_places_stay_valid() {
        let mut ring = ring(3, 1 << 20);
        for revision in 1..=5 {
            push(&mut ring, revision, 0);
        }
        assert_eq!((ring.base(), ring.end()), (2, 5));
        assert_eq!(ring.behind(at(1, 0)), None, "the event behind it has left");
        assert_eq!(
            ring.behind(at(2, 0)),
            Some(2),
            "the one before has, which is fine"
        );
        assert_eq!(ring.behind(Position::whole(4)), Some(4));
        assert_eq!(ring.behind(Position::whole(9)), Some(5));
        assert_eq!(places(&ring, 3, 5), [(3, at(4, 0)), (4, at(5, 0))]);
    }

    #[test]
    fn a_place_inside_a_change_of_many_events_is_exact() {
        let mut ring = ring(10, 1 << 20);
        push(&mut ring, 1, 0);
        for index in 0..4 {
            push(&mut ring, 2, index);
        }
        assert_eq!(ring.behind(at(2, 1)), Some(3));
        assert_eq!(ring.behind(at(2, 3)), Some(5));
        assert_eq!(ring.behind(Position::whole(1)), Some(1));
        assert_eq!(ring.up_to(1), 1);
        assert_eq!(ring.up_to(2), 5);
        assert_eq!(ring.up_to(0), 0);
    }

    #[test]
    fn bytes_are_bounded_with_the_texts_in_them_and_the_newest_stays() {
        let mut ring = ring(100, 300);
        for revision in 1..=10 {
            push(&mut ring, revision, 0);
        }
        let fit = ring.end() - ring.base();
        assert!(
            (2..10).contains(&fit),
            "{fit} events of about 83 bytes in 300"
        );
        let newest = ring.range(9, 10).next().map(|(_, slot)| ring.shared(slot));
        newest.unwrap().text(0, |_| Bytes::from(vec![0; 1_000]));
        push(&mut ring, 11, 0);
        assert_eq!(
            (ring.base(), ring.end()),
            (10, 11),
            "the text took all the room"
        );
        push(&mut ring, 12, 0);
        assert_eq!(ring.base(), 10, "and gave it back when it left");
    }

    #[test]
    fn what_never_came_is_a_gap_and_not_a_silent_skip() {
        let mut ring = ring(10, 1 << 20);
        push(&mut ring, 1, 0);
        ring.forget(at(7, 0), &mut Vec::new());
        push(&mut ring, 8, 0);
        assert_eq!(ring.behind(Position::whole(1)), None);
        assert_eq!(ring.behind(at(7, 0)), Some(2));
        assert_eq!(places(&ring, 2, 3), [(2, at(8, 0))]);
        assert!(ring.base() > 1, "who stood behind the first is behind");
    }

    #[test]
    fn a_slot_is_small() {
        assert_eq!(SLOT_BYTES, 48);
    }
}
