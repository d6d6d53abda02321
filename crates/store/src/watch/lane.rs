//! One order of changes on its way to the watchers: those of the log, or those that are never logged.
//!
//! Whoever makes a change leaves its event in `pending`, under the lock under which the change got its revision; that is
//! all that a writer ever does for watchers. The hub's thread, or a watcher that arrives, carries the events to the ring,
//! which watchers read. So a writer never waits for a reader.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use super::event::{Change, Position};
use super::ring::{Bounds, Ring, Slot};

/// Events that wait before they are carried to the ring although nobody watches.
const MANY: usize = 1_024;
/// Bytes of such events.
const MUCH: u64 = 1 << 20;

/// Events that wait to be carried to the ring.
#[derive(Debug)]
pub(super) struct Pending {
    slots: VecDeque<Slot>,
    bytes: u64,
    most: Bounds,
    /// The newest event that had to give way because nobody carried them away in time.
    lost: Option<Position>,
    /// The newest revision that was given out here; only of changes that are never logged.
    revision: u64,
}

impl Pending {
    /// Adds an event. `true` where so much waits that it should be carried away, whoever watches or not.
    pub(super) fn push(&mut self, keyspace: u32, position: Position, change: Change) -> bool {
        while (self.slots.len() >= self.most.events || self.bytes > self.most.bytes)
            && let Some(oldest) = self.slots.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.lost = Some(oldest.position());
        }
        let slot = Slot::new(keyspace, position, change);
        self.bytes += slot.bytes();
        self.slots.push_back(slot);
        self.slots.len() >= MANY || self.bytes >= MUCH
    }

    /// The newest revision that was given out here.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes the next revision of a change that is never logged.
    pub(super) fn take_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

/// How much may wait for a ring of these bounds.
fn waiting(bounds: Bounds) -> Bounds {
    Bounds {
        events: bounds.events.max(4 * MANY),
        bytes: bounds.bytes.max(4 * MUCH),
    }
}

/// An order of changes.
#[derive(Debug)]
pub(super) struct Lane {
    /// Innermost: taken under the lock that gives out revisions.
    pending: Mutex<Pending>,
    ring: RwLock<Ring>,
    /// Locked first of all. Room that is used again: what grew anew each time would be freed by another thread than asked for it.
    hands: Mutex<Hands>,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Hands {
    /// From those that were pending to the ring.
    carried: VecDeque<Slot>,
    /// Out of the ring.
    out: Vec<Slot>,
}

impl Hands {
    /// Frees what has left, and the room that it took where that was much.
    fn empty(&mut self) {
        self.out.clear();
        self.out.shrink_to(2 * MANY);
        self.carried.shrink_to(2 * MANY);
    }
}

impl Lane {
    /// A lane whose events begin behind `floor`. `revision` is the newest that was given out.
    pub(super) fn new(ring: Ring, bounds: Bounds, revision: u64) -> Self {
        Self {
            pending: Mutex::new(Pending {
                slots: VecDeque::new(),
                bytes: 0,
                most: waiting(bounds),
                lost: None,
                revision,
            }),
            ring: RwLock::new(ring),
            hands: Mutex::default(),
        }
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }

    pub(super) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read()
    }

    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.ring.write().set_bounds(bounds);
        self.pending.lock().most = waiting(bounds);
    }

    /// Carries what is pending to the ring. Returns the newest revision of those that are never logged.
    pub(super) fn settle(&self) -> u64 {
        // Who settles at the same time waits, so that no later event overtakes an earlier one.
        let mut hands = self.hands.lock();
        let Hands { carried, out } = &mut *hands;
        let mut ring = self.ring.write();
        let mut pending = self.pending.lock();
        std::mem::swap(&mut pending.slots, carried);
        pending.bytes = 0;
        let lost = pending.lost.take();
        let revision = pending.revision;
        drop(pending);
        if let Some(lost) = lost {
            ring.forget(lost, out);
        }
        for slot in carried.drain(..) {
            ring.push(slot.slim(), out);
        }
        drop(ring);
        hands.empty();
        revision
    }
}
