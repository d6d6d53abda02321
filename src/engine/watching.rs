//! Following changes: what a watch of a keyspace is told, wherever the data lives. It must not know how it is sent.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Entry, Keyed, embedded};

/// A place in the order of changes, to go on from another time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The incarnation of the store that the change belongs to.
    pub mark: u64,
    /// The change.
    pub revision: u64,
    /// Which of the change's events it is behind; `None` = behind all of them.
    pub index: Option<u32>,
}

/// What a watch hears of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    /// This key.
    Key(Box<[u8]>),
    /// Every key that begins so.
    Prefix(Box<[u8]>),
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// With the next change, or with what is there where that is asked for.
    Now,
    /// Behind this place, or not at all.
    Behind(Place),
    /// Behind this place, or with the word that this is not possible.
    BehindOrReset(Place),
}

/// What is to be watched.
#[derive(Clone, Debug)]
pub struct Watching {
    /// What is heard of.
    pub filter: Filter,
    /// Where it begins.
    pub begin: Begin,
    /// Whether what is there is told first, and again after a reset.
    pub initial: bool,
}

/// The events behind a place are not kept any more, or it was never one of this store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotKept;

/// What a watch is told next.
#[derive(Debug)]
pub enum Told {
    /// What is there, before anything else.
    Entry(Keyed),
    /// That was everything up to this place; what follows is behind it.
    Synced(Place),
    /// A change.
    Event(Event),
    /// Changes of the one key that is watched were missed: this is how it stands now. It is no change of its own.
    Newest(Event),
    /// The key is not there, whatever was told before; that is no change either.
    Gone(Bytes),
    /// Changes were missed. It goes on behind this place.
    Reset(Place),
    /// Nothing more.
    Ended(End),
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The keyspace was dropped.
    Dropped,
    /// The server is stopping.
    Stopping,
    /// The disk failed: nothing becomes durable any more.
    Lost,
}

/// A change that watches share.
#[derive(Clone, Debug)]
pub enum Event {
    /// Of the durable map in this process.
    Embedded(embedded::Event),
}

/// What happened.
#[derive(Debug)]
pub enum What<'a> {
    /// The entry is there from now on.
    Put(&'a [u8], Entry),
    /// A client removed the key.
    Delete(&'a [u8]),
    /// The key's time was over.
    Expire(&'a [u8]),
    /// The key had to make room.
    Evict(&'a [u8]),
    /// All keys that begin so were removed.
    Flush {
        /// What they begin with.
        prefix: &'a [u8],
        /// How many there were.
        deleted: u64,
    },
}

/// Which of the texts of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextKind {
    /// Without the value.
    Plain,
    /// With the value.
    WithValue,
}

impl Event {
    /// Its place in the order of changes; `None` for what was only announced: nobody can go on from there.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Embedded(event) => event.place(),
        }
    }

    /// What happened.
    pub fn what(&self) -> What<'_> {
        match self {
            Self::Embedded(event) => event.what(),
        }
    }

    /// The event as it is sent. `make` is called once, whatever the number of watches that ask.
    pub fn text(&self, kind: TextKind, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        match self {
            Self::Embedded(event) => event.text(kind, || make(self)),
        }
    }
}

/// A watch. Dropping it ends it.
#[derive(Debug)]
pub enum Watch {
    /// Of the durable map in this process.
    Embedded(embedded::Watch),
}

impl Watch {
    /// What comes next. It takes nothing from the watch that is not returned.
    pub fn poll_told(&mut self, context: &Context<'_>) -> Poll<Told> {
        match self {
            Self::Embedded(watch) => watch.poll_told(context),
        }
    }

    /// Whether the first thing that it tells will be that changes were missed.
    pub fn begins_with_reset(&self) -> bool {
        match self {
            Self::Embedded(watch) => watch.begins_with_reset(),
        }
    }

    /// Behind which place it is; `None` while what is there is being told.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Embedded(watch) => watch.place(),
        }
    }
}
