//! Watches over the store: begun, resumed, ended, and what the log tells the hub. What a watcher does with the events is
//! not its business.

use std::sync::Arc;

use super::{Draft, Store, Version};
use crate::log::{Level, Observer};
use crate::map::{Entry, Keyspace};
use crate::options::{Durability, Options};
use crate::watch::{
    Bounds, Change, Event, Filter, From, Hub, MEMORY_REVISIONS, NotKept, Position, Watcher,
};

/// A place to go on from, with the mark of the start that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The random mark of the start that the revision belongs to.
    pub mark: u64,
    /// The place.
    pub position: Position,
}

/// Lets the hub know what the log has done.
#[derive(Debug)]
pub(super) struct Reveal(pub(super) Arc<Hub>);

impl Observer for Reveal {
    fn reached(&self, level: Level, revision: u64) {
        match level {
            Level::Written => self.0.written(revision),
            Level::Durable => self.0.durable(revision),
        }
    }

    fn told(&self) {
        self.0.reveal();
    }
}

/// How much is kept for watchers that come back.
pub(super) fn bounds(options: &Options) -> Bounds {
    Bounds {
        events: options.history_events,
        bytes: options.history_bytes,
    }
}

impl Store {
    /// Follows the changes of `keyspace` that `filter` lets through, from the next one on, or behind a place that an earlier
    /// watch told. Nothing is told before it is as durable as the keyspace promises.
    ///
    /// # Errors
    /// [`NotKept`] where events behind that place have left, or nobody knows what came behind it.
    pub fn watch(
        &self,
        keyspace: &Arc<Keyspace>,
        filter: Filter,
        behind: Option<Place>,
    ) -> Result<Watcher, NotKept> {
        let from = match behind {
            None => From::Now,
            Some(place) if self.knows(place) => From::Behind(place.position),
            Some(_) => return Err(NotKept),
        };
        self.core.hub.watch(keyspace, filter, from)
    }

    /// Whether this store made that place, and has not lost it to a crash.
    fn knows(&self, place: Place) -> bool {
        let revision = place.position.revision;
        let newest = if revision < MEMORY_REVISIONS {
            self.core.log.last_revision()
        } else {
            self.core.hub.newest_in_memory()
        };
        revision <= newest && self.core.version_of(revision).mark == place.mark
    }

    /// The place of `position`, to go on from some other time.
    pub fn place(&self, position: Position) -> Place {
        Place {
            mark: self.core.version_of(position.revision).mark,
            position,
        }
    }

    /// What a watcher of one key that fell behind is told at `position`, where it goes on: the newest value, or that the key
    /// is gone. `None` where that is told by an event that is still to come.
    pub fn newest(&self, keyspace: &Keyspace, key: &[u8], position: Position) -> Option<Event> {
        let read = self.get(keyspace, key);
        if read.seen > position.revision {
            return None;
        }
        let change = read.entry.map_or_else(|| Change::delete(key), Change::Put);
        Some(Event::alone(position, change))
    }

    /// A version that was never given to anything and never will be.
    pub fn unstored_version(&self) -> Version {
        self.core.version_of(self.core.hub.take_unlogged())
    }

    /// The entry that `draft` would make, for a value that is answered but not stored: its version was never given to
    /// anything.
    pub fn unstored(&self, draft: Draft) -> Entry {
        let mut entry = draft.into_entry();
        entry.set_revision(self.core.hub.take_unlogged());
        entry
    }

    /// Tells those who watch `keyspace` now that it stands as if `entry` had been put there, behind everything that was told
    /// before. It is no change: it is not logged, it has no place to go on from, and who comes back is not told of it.
    pub fn announce(&self, keyspace: &Keyspace, entry: Entry) {
        self.announce_change(keyspace, Change::Put(entry));
    }

    /// The same of a key that stands as if it had been removed.
    pub fn announce_removed(&self, keyspace: &Keyspace, key: &[u8]) {
        self.announce_change(keyspace, Change::delete(key));
    }

    fn announce_change(&self, keyspace: &Keyspace, change: Change) {
        let core = &self.core;
        if core.hub.watchers() == 0 {
            return;
        }
        match keyspace.durability() {
            Durability::Memory => core.hub.announce_in_memory(keyspace.id(), change),
            Durability::Synced | Durability::Written => {
                let queue = core.log.queue();
                let newest = queue.last_revision();
                core.hub.announce_logged(keyspace.id(), newest, change);
                drop(queue);
            }
        }
        core.hub.reveal();
    }

    /// Ends all watches; those that are begun later end at once.
    pub fn end_watches(&self) {
        self.core.hub.end_watches();
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.core.hub.watchers()
    }

    /// Changes how many events, and how many bytes of them, are kept for watchers that come back.
    pub fn set_history(&self, events: usize, bytes: u64) {
        self.core.hub.set_bounds(Bounds { events, bytes });
    }
}
