//! What can be watched: a change as it is told, its place in the order of changes, and what a watcher wants to hear of.
//! It must not know who watches, nor when a change may be told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::int::wide;
use crate::map::Entry;

/// A place in the order of changes: behind the event that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The change.
    pub revision: u64,
    /// Which of the change's events, counted from 0; [`Position::WHOLE`] = behind the last of them.
    pub index: u32,
}

impl Position {
    /// In place of an index: behind the whole change.
    pub const WHOLE: u32 = u32::MAX;

    /// Behind everything that `revision` did.
    pub const fn whole(revision: u64) -> Self {
        Self {
            revision,
            index: Self::WHOLE,
        }
    }
}

/// What happened to a keyspace, or to one of its keys. Of the entries of all but [`Change::Put`] only the key counts.
#[derive(Debug)]
pub enum Change {
    /// The entry is there from now on: put, counted, or its expiry changed.
    Put(Entry),
    /// A client removed the key.
    Delete(Entry),
    /// The key's time was over.
    Expire(Entry),
    /// The key had to make room.
    Evict(Entry),
    /// Every key that begins so was removed, by a flush or a deletion by prefix.
    Flush(Box<Flushed>),
    /// The keyspace was dropped; nothing follows.
    Dropped,
}

/// What a flush or a deletion by prefix took away.
#[derive(Debug, PartialEq, Eq)]
pub struct Flushed {
    /// What the keys began with; empty for all of them.
    pub prefix: Box<[u8]>,
    /// How many there were.
    pub deleted: u64,
}

/// Whom a change may concern.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach<'a> {
    /// Who hears of this key.
    Key(&'a [u8]),
    /// Who hears of any key that begins so.
    Prefix(&'a [u8]),
    /// Everybody.
    All,
}

impl Change {
    /// A deletion of `key`.
    pub(crate) fn delete(key: &[u8]) -> Self {
        Self::Delete(Entry::tombstone(key, 0))
    }

    /// The time of `key` is over.
    pub(crate) fn expire(key: &[u8]) -> Self {
        Self::Expire(Entry::tombstone(key, 0))
    }

    /// `key` had to make room.
    pub(crate) fn evict(key: &[u8]) -> Self {
        Self::Evict(Entry::tombstone(key, 0))
    }

    /// A flush of everything.
    pub(crate) fn flush(deleted: u64) -> Self {
        Self::delete_prefix(&[], deleted)
    }

    /// A deletion of `deleted` keys that began with `prefix`.
    pub(crate) fn delete_prefix(prefix: &[u8], deleted: u64) -> Self {
        Self::Flush(Box::new(Flushed {
            prefix: prefix.into(),
            deleted,
        }))
    }

    /// The key that it is about; `None` where it is about many.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Put(entry) | Self::Delete(entry) | Self::Expire(entry) | Self::Evict(entry) => {
                Some(entry.key())
            }
            Self::Flush(_) | Self::Dropped => None,
        }
    }

    pub(super) fn reach(&self) -> Reach<'_> {
        match self {
            Self::Put(entry) | Self::Delete(entry) | Self::Expire(entry) | Self::Evict(entry) => {
                Reach::Key(entry.key())
            }
            Self::Flush(flushed) => Reach::Prefix(&flushed.prefix),
            Self::Dropped => Reach::All,
        }
    }

    /// Lets go of a value that nobody will be told of.
    pub(super) fn slim(self) -> Self {
        let key_alone = |entry: Entry| {
            if entry.value().is_empty() {
                entry
            } else {
                Entry::tombstone(entry.key(), 0)
            }
        };
        match self {
            Self::Delete(entry) => Self::Delete(key_alone(entry)),
            Self::Expire(entry) => Self::Expire(key_alone(entry)),
            Self::Evict(entry) => Self::Evict(key_alone(entry)),
            other @ (Self::Put(_) | Self::Flush(_) | Self::Dropped) => other,
        }
    }

    /// Bytes of memory that are held by it.
    pub(super) fn footprint(&self) -> u64 {
        match self {
            Self::Put(entry) | Self::Delete(entry) | Self::Expire(entry) | Self::Evict(entry) => {
                entry.footprint()
            }
            Self::Flush(flushed) => 24 + wide(flushed.prefix.len()),
            Self::Dropped => 0,
        }
    }

    /// The same once more; entries are shared.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Put(entry) => Self::Put(entry.clone()),
            Self::Delete(entry) => Self::Delete(entry.clone()),
            Self::Expire(entry) => Self::Expire(entry.clone()),
            Self::Evict(entry) => Self::Evict(entry.clone()),
            Self::Flush(flushed) => Self::delete_prefix(&flushed.prefix, flushed.deleted),
            Self::Dropped => Self::Dropped,
        }
    }
}

/// What a watcher wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// This key.
    Key(Box<[u8]>),
    /// Every key that begins so.
    Prefix(Box<[u8]>),
}

impl Filter {
    pub(super) fn lets_through(&self, change: &Change) -> bool {
        match (self, change.reach()) {
            (_, Reach::All) => true,
            (Self::Key(wanted), Reach::Key(key)) => **wanted == *key,
            (Self::Prefix(wanted), Reach::Key(key)) => key.starts_with(wanted),
            (Self::Key(wanted), Reach::Prefix(gone)) => wanted.starts_with(gone),
            (Self::Prefix(wanted), Reach::Prefix(gone)) => {
                wanted.starts_with(gone) || gone.starts_with(wanted)
            }
        }
    }
}

/// How many texts of an event are kept: without and with the value.
const TEXTS: usize = 2;

/// An event that watchers share, with the texts that they are sent: made once, whatever the number of watchers.
#[derive(Debug)]
pub struct Event {
    position: Option<Position>,
    change: Change,
    texts: [OnceLock<Bytes>; TEXTS],
    /// Bytes of the texts that the ring has been charged with.
    charged: AtomicU64,
    left: AtomicBool,
    /// Bytes of all texts of the ring.
    ledger: Arc<AtomicU64>,
}

impl Event {
    pub(super) fn new(position: Option<Position>, change: Change, ledger: &Arc<AtomicU64>) -> Self {
        Self {
            position,
            change,
            texts: [const { OnceLock::new() }; TEXTS],
            charged: AtomicU64::new(0),
            left: AtomicBool::new(false),
            ledger: Arc::clone(ledger),
        }
    }

    /// An event of no ring: what a reader that fell behind is told of its one key.
    pub(crate) fn alone(position: Position, change: Change) -> Self {
        Self::new(Some(position), change, &Arc::default())
    }

    /// Its place in the order of changes; `None` for what was only announced: nobody can go on from there.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// What happened.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// One of the two texts that the event is sent as: `which` is 0 or 1. `make` is called by the first who asks.
    pub fn text(&self, which: usize, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let Some(place) = self.texts.get(which) else {
            return make(self);
        };
        let mut made = 0;
        let text = place.get_or_init(|| {
            let text = make(self);
            made = wide(text.len());
            text
        });
        if made > 0 {
            // In this order, so that what has left the ring is never charged for good, and nothing is given back twice.
            self.ledger.fetch_add(made, Ordering::SeqCst);
            self.charged.fetch_add(made, Ordering::SeqCst);
            if self.left.load(Ordering::SeqCst) {
                self.give_back();
            }
        }
        text.clone()
    }

    /// The ring holds it no longer.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        self.give_back();
    }

    fn give_back(&self) {
        let charged = self.charged.swap(0, Ordering::SeqCst);
        self.ledger.fetch_sub(charged, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_hears_of_its_keys_and_of_every_removal_that_overlaps() {
        let key = |key: &[u8]| Filter::Key(key.into());
        let prefix = |prefix: &[u8]| Filter::Prefix(prefix.into());
        let one = Change::delete(b"ab");
        assert!(key(b"ab").lets_through(&one));
        assert!(!key(b"a").lets_through(&one));
        assert!(!key(b"abc").lets_through(&one));
        assert!(prefix(b"").lets_through(&one));
        assert!(prefix(b"ab").lets_through(&one));
        assert!(!prefix(b"abc").lets_through(&one));
        let many = Change::delete_prefix(b"ab", 3);
        for (filter, told) in [
            (key(b"ab"), true),
            (key(b"abc"), true),
            (key(b"a"), false),
            (prefix(b"a"), true),
            (prefix(b"abc"), true),
            (prefix(b"b"), false),
        ] {
            assert_eq!(filter.lets_through(&many), told, "{filter:?}");
            assert!(filter.lets_through(&Change::flush(1)));
            assert!(filter.lets_through(&Change::Dropped));
        }
    }

    #[test]
    fn positions_are_ordered_by_change_then_by_event() {
        let at = |revision, index| Position { revision, index };
        assert!(at(4, 9) < at(5, 0));
        assert!(at(5, 0) < at(5, 1));
        assert!(at(5, 1) < Position::whole(5));
        assert!(Position::whole(5) < at(6, 0));
    }

    #[test]
    fn a_text_is_made_once_and_charged_while_the_ring_holds_its_event() {
        let ledger = Arc::new(AtomicU64::new(0));
        let event = Event::new(None, Change::delete(b"k"), &ledger);
        let mut made = 0;
        for _ in 0..3 {
            let text = event.text(1, |_| {
                made += 1;
                Bytes::from_static(b"text")
            });
            assert_eq!(text, "text");
        }
        assert_eq!((made, ledger.load(Ordering::SeqCst)), (1, 4));
        event.leave();
        assert_eq!(ledger.load(Ordering::SeqCst), 0);
        event.text(0, |_| Bytes::from_static(b"late"));
        assert_eq!(ledger.load(Ordering::SeqCst), 0);
    }
}
