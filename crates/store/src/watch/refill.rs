//! The events that recovery meets on its way through the log, for watchers that come back. It must not know records.

use std::collections::HashMap;

use super::event::{Change, Position};
use super::ring::{Bounds, Ring, Slot};

/// The events that recovery met: the start of the ring.
#[derive(Debug)]
pub(crate) struct Refill {
    pub(super) ring: Ring,
    pub(super) births: HashMap<u32, Position>,
    floor: u64,
    /// The newest change and how many events of it there were.
    newest: Position,
    /// What has left, kept to be freed in one go.
    out: Vec<Slot>,
}

impl Refill {
    /// Takes events behind the change `floor`.
    pub(crate) fn new(bounds: Bounds, floor: u64) -> Self {
        Self {
            ring: Ring::new(bounds, Position::whole(floor)),
            births: HashMap::new(),
            floor,
            newest: Position {
                revision: floor,
                index: 0,
            },
            out: Vec::new(),
        }
    }

    /// Whether events of `revision` are taken: what is not behind the floor is not.
    pub(crate) fn takes(&self, revision: u64) -> bool {
        revision > self.floor
    }

    /// Adds the next event, in the order in which it was told when it happened.
    pub(crate) fn tell(&mut self, keyspace: u32, revision: u64, change: Change) {
        if revision != self.newest.revision {
            self.newest = Position { revision, index: 0 };
        }
        let slot = Slot::new(keyspace, self.newest, change).slim();
        self.newest.index += 1;
        self.ring.push(slot, &mut self.out);
        // Nobody waits at a start: what leaves is freed here.
        self.out.clear();
    }

    /// A keyspace came into being.
    pub(crate) fn born(&mut self, keyspace: u32, revision: u64) {
        self.births
            .entry(keyspace)
            .or_insert(Position::whole(revision));
    }
}
