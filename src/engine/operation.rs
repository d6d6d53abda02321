//! What can be asked of entries beside reading, setting and removing one: counting, a new expiry, many at once. The words say what every
//! engine promises.

use super::{Conditions, Delete, Draft, Entry, Holder, Put, Version, Writer};

/// What is to be added to a counter, an entry whose value is an `i64` in decimal text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Increment {
    /// What is added.
    pub by: i64,
    /// What a counter starts from that is not there.
    pub initial: i64,
    /// The least that may come out.
    pub min: Option<i64>,
    /// The most that may come out.
    pub max: Option<i64>,
    /// When a counter leaves that this makes, in Unix milliseconds; one that is there keeps what it has.
    pub expires_at_ms: Option<u64>,
}

/// How an increment ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incremented {
    /// The counter has another number now.
    Counted {
        /// The number now.
        value: i64,
        /// The number before; where there was none, what it started from.
        previous: i64,
        /// The new version.
        version: Version,
    },
    /// The sum does not fit into 64 bits or lies outside the bounds; nothing was changed.
    OutOfRange {
        /// The number that is there, or that it would have started from.
        current: i64,
    },
    /// The value is no number in decimal, or no plain text; nothing was changed.
    NotACounter,
    /// A source wrote it, and only clients count; nothing was changed.
    Foreign(Holder),
    /// The sum of the increments that wait to be passed on by a sink does not fit into 64 bits; nothing was changed.
    PendingOutOfRange {
        /// The sum that waits.
        pending: i64,
    },
}

/// How a change of a lifetime ended.
#[derive(Clone, Debug)]
pub enum Touched {
    /// The entry as it is now: with a new version, unless it had that lifetime anyway.
    Set(Entry),
    /// The key is not there.
    Absent,
    /// A condition did not hold; nothing was changed. With the version that is there instead.
    Refused(Option<Version>),
    /// The key is somebody else's, whatever the conditions; nothing was changed.
    Foreign(Holder),
}

/// One operation of a batch. It is a client who counts and removes; who puts is said by the draft.
#[derive(Debug)]
pub enum Operation<'a> {
    /// Sets the key of the draft.
    Put {
        /// The value.
        draft: Draft,
        /// What must hold.
        when: &'a Conditions,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: &'a [u8],
        /// What must hold.
        when: &'a Conditions,
        /// Who removes it, where operations are done one after the other; all together they are a client's.
        by: Writer<'a>,
    },
    /// Adds to a counter.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What is added.
        increment: Increment,
    },
}

/// What became of one operation of a batch.
#[derive(Debug)]
pub enum Done {
    /// Of a put.
    Put(Put),
    /// Of a read: what was there, if anything.
    Got(Option<Entry>),
    /// Of a removal.
    Deleted(Delete),
    /// Of an increment.
    Incremented(Incremented),
}

/// What became of a batch that is done as a whole or not at all.
#[derive(Debug)]
pub enum Batch {
    /// Everything was done; one item for each operation, in their order.
    Done(Vec<Done>),
    /// Nothing was.
    Failed {
        /// The first operation that could not be done, counted from 0.
        index: usize,
        /// Why.
        why: Unmade,
    },
}

/// Why an operation, and so its whole batch, was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unmade {
    /// A condition did not hold. With the version that is there instead.
    Refused(Option<Version>),
    /// A sum does not fit or lies outside its bounds.
    OutOfRange {
        /// The number that is there, or that it would have started from.
        current: i64,
    },
    /// A value is no counter.
    NotACounter,
    /// An earlier operation names the key too.
    Repeated,
    /// The key is somebody else's, whatever the conditions.
    Foreign(Holder),
    /// The sum of the increments that wait to be passed on by a sink does not fit.
    PendingOutOfRange {
        /// The sum that waits.
        pending: i64,
    },
}
