//! Counters: an entry whose value is a number in decimal text, added to in one step.

use std::sync::Arc;

use super::bound::{NotMade, Spare};
use super::pending::{Happens, Pend, SumOverflows, front_len, pended};
use super::queue::Going;
use super::{Core, Holder, Store, Version, Writer};
use crate::error::WriteError;
use crate::log::{Level, Purpose};
use crate::map::{Entry, FactsTable, Keyspace, Lookup, Shard};
use crate::record::pending::Pended;
use crate::record::{self, Lifetime, Meta, Parts, kind};

/// The most letters of an `i64` in decimal.
const LONGEST: usize = 20;

/// What is to be added, and within which bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increment {
    /// What is added.
    pub by: i64,
    /// What an absent counter starts from.
    pub initial: i64,
    /// The least that may come out.
    pub min: Option<i64>,
    /// The most that may come out.
    pub max: Option<i64>,
    /// When the counter leaves, in Unix milliseconds, where this makes it; otherwise it keeps what it has.
    pub expires_at_ms: Option<u64>,
}

impl Default for Increment {
    fn default() -> Self {
        Self {
            by: 1,
            initial: 0,
            min: None,
            max: None,
            expires_at_ms: None,
        }
    }
}

/// What became of an increment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// The counter has this value now.
    Added {
        /// The number after it.
        value: i64,
        /// The number before it; where there was none, what it started from.
        previous: i64,
        /// Whether the key was absent before.
        created: bool,
        /// The new version.
        version: Version,
    },
    /// The sum does not fit into 64 bits or lies outside the bounds; nothing changed.
    OutOfRange {
        /// The number that is there, or that it would have started from.
        current: i64,
    },
    /// The entry's value is no number, or no text; nothing changed.
    NotACounter,
    /// A source wrote the entry, and only clients count; nothing changed.
    Foreign(Holder),
    /// The sum of the increments that wait to be passed on does not fit into 64 bits; nothing changed.
    PendingOutOfRange {
        /// The sum that waits.
        pending: i64,
    },
}

/// An increment, applied but perhaps not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incremented {
    /// What became of it.
    pub outcome: Counted,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
}

/// An increment that will be made: nothing can refuse it any more.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) entry: Entry,
    /// What the log needs before key and value.
    pub(super) prefix: Vec<u8>,
    pub(super) value: i64,
    pub(super) previous: i64,
    pub(super) created: bool,
    /// What becomes pending of the key.
    pub(super) pended: Option<Pended<i64>>,
}

/// Why an increment is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unplanned {
    OutOfRange { current: i64 },
    NotACounter,
    Foreign(Holder),
    PendingOutOfRange { pending: i64 },
}

impl From<SumOverflows> for Unplanned {
    fn from(SumOverflows { pending }: SumOverflows) -> Self {
        Self::PendingOutOfRange { pending }
    }
}

impl From<Unplanned> for Counted {
    fn from(why: Unplanned) -> Self {
        match why {
            Unplanned::OutOfRange { current } => Self::OutOfRange { current },
            Unplanned::NotACounter => Self::NotACounter,
            Unplanned::Foreign(holder) => Self::Foreign(holder),
            Unplanned::PendingOutOfRange { pending } => Self::PendingOutOfRange { pending },
        }
    }
}

/// The number that an entry counts, if it is a counter: `i64` in decimal as it is written here, plain text, not encoded.
pub(crate) fn number(entry: &Entry, table: &FactsTable) -> Option<i64> {
    let facts = entry.facts(table);
    let essence = facts.content_type.split(';').next().unwrap_or_default();
    if facts.content_encoding.is_some() || !essence.trim().eq_ignore_ascii_case("text/plain") {
        return None;
    }
    let text = str::from_utf8(entry.value()).ok()?;
    let number: i64 = text.parse().ok()?;
    // Only the one spelling that a counter itself has: `007` and `+7` are texts.
    (number.to_string() == text).then_some(number)
}

/// The most bytes that the record of an increment of `key` takes.
pub(super) fn payload_len(key: &[u8]) -> u64 {
    let parts = Parts {
        key,
        meta: Meta::of_type(Meta::TEXT),
        lifetime: Lifetime::until(Some(0)),
        created_at_ms: 0,
    };
    8 + record::put_payload_len(&parts, LONGEST) + front_len(1)
}

impl Store {
    /// Adds to the counter `key` for a client, making it where it is absent.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] where the key is longer than any record may carry; otherwise as for any change.
    pub async fn increment(
        &self,
        keyspace: &Arc<Keyspace>,
        key: &[u8],
        increment: &Increment,
        level: Level,
    ) -> Result<Incremented, WriteError> {
        let (mut keyspace, mut ahead) = (keyspace, 0);
        loop {
            let len = payload_len(key);
            let spare = self.core.spare(keyspace, len, Purpose::Grow, ahead).await?;
            match self.core.increment(keyspace, key, increment, level, spare) {
                Ok(incremented) => return Ok(incremented),
                Err(why) => (keyspace, ahead) = why.next(keyspace)?,
            }
        }
    }

    /// The number that an entry counts; `None` where it is no counter.
    pub fn number(&self, entry: &Entry) -> Option<i64> {
        number(entry, &self.core.contents.facts)
    }
}

impl Core {
    fn increment(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
        increment: &Increment,
        level: Level,
        spare: Spare,
    ) -> Result<Incremented, NotMade> {
        let place = keyspace.map.place(key);
        let now_ms = self.clock.now_ms();
        #[cfg(feature = "bug-generation-outside-lock")]
        let generation = keyspace.ledger().current();
        #[cfg(feature = "bug-generation-outside-lock")]
        std::thread::yield_now();
        let mut shard = keyspace.map.write(place.shard);
        if keyspace.is_dropped() {
            return Err(NotMade::Dropped);
        }
        let (_, seen) = self.current(&shard.look_up(place.hash, key, || now_ms));
        let planned = self.plan(keyspace, &shard, (place.hash, key), increment, now_ms);
        let planned = match planned {
            Ok(planned) => planned,
            Err(why) => {
                return Ok(Incremented {
                    outcome: why.into(),
                    seen,
                    own: None,
                });
            }
        };
        let pend = Pend::new(keyspace, &shard, key, planned.pended)?;
        #[cfg(feature = "bug-generation-outside-lock")]
        let pend = pend.map(|pend| pend.in_generation(generation));
        let (left, made) =
            self.room_for_entry(keyspace, &mut shard, place.hash, &planned.entry, &spare);
        if let Err(why) = made {
            drop(shard);
            left.settle(self, None, spare.grant);
            return Err(why);
        }
        let going = Going {
            entry: planned.entry,
            record: (kind::INCREMENT, planned.prefix),
            time_ms: now_ms,
            level,
            left,
            pend,
        };
        let revision = self.go(keyspace, shard, place.hash, going, spare.grant);
        Ok(Incremented {
            outcome: Counted::Added {
                value: planned.value,
                previous: planned.previous,
                created: planned.created,
                version: self.version_of(revision),
            },
            seen,
            own: Some(revision),
        })
    }

    /// The counter after `increment`, and its record. The shard's lock is held by the caller.
    pub(super) fn plan(
        &self,
        keyspace: &Keyspace,
        shard: &Shard,
        (hash, key): (u32, &[u8]),
        increment: &Increment,
        now_ms: u64,
    ) -> Result<Planned, Unplanned> {
        let found = shard.look_up(hash, key, || now_ms);
        if let Some(holder) = self.foreign(&found, Writer::Client) {
            return Err(Unplanned::Foreign(holder));
        }
        let (previous, expires_at_ms, created) = match found {
            Lookup::Live(entry) => {
                let number = number(entry, &self.contents.facts).ok_or(Unplanned::NotACounter)?;
                (number, entry.expires_at_ms(), false)
            }
            Lookup::Expired(_) | Lookup::Absent { .. } => {
                (increment.initial, increment.expires_at_ms, true)
            }
        };
        let within = |value: &i64| {
            increment.min.is_none_or(|min| *value >= min)
                && increment.max.is_none_or(|max| *value <= max)
        };
        let value = previous.checked_add(increment.by).filter(within);
        let value = value.ok_or(Unplanned::OutOfRange { current: previous })?;
        let happens = Happens::Counted(increment.by);
        let pended = pended(keyspace.ledger(), shard, key, happens)?;
        let text = value.to_string();
        let parts = Parts {
            key,
            meta: Meta::of_type(Meta::TEXT),
            lifetime: Lifetime::until(expires_at_ms),
            created_at_ms: now_ms,
        };
        let mut entry = Entry::reserve(&parts, text.len(), &self.contents.facts);
        entry.fill(|bytes| bytes.copy_from_slice(text.as_bytes()));
        let mut prefix = increment.by.to_le_bytes().to_vec();
        record::put_prefix(&mut prefix, keyspace.id(), &parts, now_ms);
        Ok(Planned {
            entry,
            prefix,
            value,
            previous,
            created,
            pended,
        })
    }
}
