//! What can be asked of an atomic batch, and what becomes of it.

use crate::int::wide;
use crate::map::Entry;
use crate::record::BATCH_PART;
use crate::store::change::Draft;
use crate::store::condition::Conditions;
use crate::store::counter::{self, Increment, Unplanned};
use crate::store::{Holder, Version};

/// One operation of an atomic batch.
#[derive(Debug)]
pub enum Operation<'a> {
    /// Puts the draft.
    Put {
        /// The entry.
        draft: Draft,
        /// What has to hold.
        when: Conditions<'a>,
    },
    /// Reads the key as it was before the batch.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Removes the key; an absent one is no failure.
    Delete {
        /// The key.
        key: &'a [u8],
        /// What has to hold.
        when: Conditions<'a>,
    },
    /// Adds to a counter.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What is added, within which bounds.
        increment: Increment,
    },
}

impl Operation<'_> {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put { draft, .. } => draft.key(),
            Self::Get { key } | Self::Delete { key, .. } | Self::Increment { key, .. } => key,
        }
    }

    /// The most bytes that the operation brings to the record.
    pub(super) fn payload_len(&self) -> u64 {
        wide(BATCH_PART)
            + match self {
                // Where it was made earlier than the record, that is told too.
                Self::Put { draft, .. } => draft.payload_len() + 8,
                Self::Get { .. } => 0,
                Self::Delete { key, .. } => wide(key.len()) + 4,
                Self::Increment { key, .. } => counter::payload_len(key),
            }
    }
}

/// What an operation of a batch did.
#[derive(Debug)]
pub enum Done {
    /// The entry has this version now.
    Put {
        /// The new version.
        version: Version,
        /// Whether the key was absent before.
        created: bool,
    },
    /// What was there before the batch.
    Got(Option<Entry>),
    /// The key is absent now.
    Deleted {
        /// Whether it was there before.
        existed: bool,
    },
    /// The counter has this value now.
    Incremented {
        /// The number after it.
        value: i64,
        /// The number before it; where there was none, what it started from.
        previous: i64,
        /// The new version.
        version: Version,
    },
}

/// Why no operation of a batch was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// A condition did not hold.
    Refused {
        /// The current version; `None` where the key is absent.
        current: Option<Version>,
    },
    /// A sum does not fit into 64 bits or lies outside its bounds.
    OutOfRange {
        /// The number that is there, or that it would have started from.
        current: i64,
    },
    /// An entry's value is no number.
    NotACounter,
    /// A key is named by an earlier operation too.
    Repeated,
    /// A key is somebody else's, whatever the conditions.
    Foreign(Holder),
    /// The sum of the increments of a key that wait to be passed on does not fit into 64 bits.
    PendingOutOfRange {
        /// The sum that waits.
        pending: i64,
    },
}

impl From<Unplanned> for Failed {
    fn from(why: Unplanned) -> Self {
        match why {
            Unplanned::OutOfRange { current } => Self::OutOfRange { current },
            Unplanned::NotACounter => Self::NotACounter,
            Unplanned::Foreign(holder) => Self::Foreign(holder),
            Unplanned::PendingOutOfRange { pending } => Self::PendingOutOfRange { pending },
        }
    }
}

/// What became of a batch.
#[derive(Debug)]
pub enum Batched {
    /// Everything was done; one item per operation, in their order.
    Done(Vec<Done>),
    /// Nothing was done.
    Failed {
        /// The first operation that could not be done, counted from 0.
        index: usize,
        /// Why.
        why: Failed,
    },
}

/// A batch, applied but perhaps not durable.
#[derive(Debug)]
pub struct Batch {
    /// What became of it.
    pub outcome: Batched,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
}
