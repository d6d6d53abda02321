//! Atomic batches: several operations on one keyspace as one record, all of them or none, across shards.
//!
//! 1. What a put brings to the record is encoded before any lock: it may be megabytes.
//! 2. The shards of all keys are locked, ascending. Every condition and every sum is decided on the state before the batch.
//! 3. One revision, one record: its parts in the order puts, increments, deletes. Everything is applied; unlock.

mod parts;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::bound::{Brought, Locked, NotMade, Spare};
use super::change::Draft;
use super::condition::Conditions;
use super::counter::{self, Increment, Planned, Unplanned};
use super::queue::Queued;
use super::{Core, Holder, Store, Version, Writer};
use crate::error::WriteError;
use crate::int::wide;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Effect, Entry, Keyspace, Lookup, Place, Shard};
use crate::record::{self, BATCH_PART, kind};
use crate::watch::Teller;
use parts::{Parts, add_small, tell_all};

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
    fn key(&self) -> &[u8] {
        match self {
            Self::Put { draft, .. } => draft.key(),
            Self::Get { key } | Self::Delete { key, .. } | Self::Increment { key, .. } => key,
        }
    }

    /// The most bytes that the operation brings to the record.
    fn payload_len(&self) -> u64 {
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
}

impl From<Unplanned> for Failed {
    fn from(why: Unplanned) -> Self {
        match why {
            Unplanned::OutOfRange { current } => Self::OutOfRange { current },
            Unplanned::NotACounter => Self::NotACounter,
            Unplanned::Foreign(holder) => Self::Foreign(holder),
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

impl Store {
    /// Does all `operations` in one step, or none of them. No key may be named twice. It is a client who counts and removes;
    /// who puts is said by the drafts.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] where the batch needs a larger record than there may be; otherwise as for any change.
    pub async fn batch(
        &self,
        keyspace: &Arc<Keyspace>,
        operations: Vec<Operation<'_>>,
        level: Level,
    ) -> Result<Batch, WriteError> {
        let (mut keyspace, mut ahead) = (keyspace, 0);
        let mut operations = operations;
        let len = 4 + operations.iter().map(Operation::payload_len).sum::<u64>();
        let grows = |operation: &Operation<'_>| {
            matches!(
                operation,
                Operation::Put { .. } | Operation::Increment { .. }
            )
        };
        let purpose = if operations.iter().any(grows) {
            Purpose::Grow
        } else {
            Purpose::Shrink
        };
        let reads = |operation: &Operation<'_>| matches!(operation, Operation::Get { .. });
        let only_reads = operations.iter().all(reads);
        loop {
            // What changes nothing needs no room: it is answered on a full disk as well.
            let spare = if only_reads {
                Spare::alone(None, 0)
            } else {
                self.core.spare(keyspace, len, purpose, ahead).await?
            };
            match self.core.batch(keyspace, operations, level, spare) {
                Ok(batch) => return Ok(batch),
                Err((returned, why)) => {
                    operations = returned;
                    (keyspace, ahead) = why.next(keyspace)?;
                }
            }
        }
    }
}

/// What will be done: nothing can refuse it any more.
enum Decided {
    Put { created: bool },
    Get(Option<Entry>),
    Delete { existed: bool },
    Increment(Planned),
}

impl<'a> Brought<'a> {
    /// What an operation brings; `None` where it changes nothing.
    fn by(operation: &'a Operation<'_>, decided: &'a Decided) -> Option<Self> {
        match (operation, decided) {
            (Operation::Put { draft, .. }, _) => Some(Self::Entry(draft.entry())),
            (_, Decided::Increment(planned)) => Some(Self::Entry(&planned.entry)),
            (operation, Decided::Delete { existed: true }) => Some(Self::Mark(operation.key())),
            (_, Decided::Delete { existed: false } | Decided::Get(_) | Decided::Put { .. }) => None,
        }
    }
}

impl Core {
    /// Gives the operations back where the keyspace was dropped or holds no room yet.
    fn batch<'a>(
        &self,
        keyspace: &Keyspace,
        mut operations: Vec<Operation<'a>>,
        level: Level,
        spare: Spare,
    ) -> Result<Batch, (Vec<Operation<'a>>, NotMade)> {
        let places: Vec<Place> = operations
            .iter()
            .map(|operation| keyspace.map.place(operation.key()))
            .collect();
        let now_ms = self.clock.now_ms();
        let mut parts = self.encode_puts(keyspace, &operations, now_ms);
        let shards: BTreeSet<usize> = places.iter().map(|place| place.shard).collect();
        let mut locked: Locked<'_> = shards
            .into_iter()
            .map(|shard| (shard, keyspace.map.write(shard)))
            .collect();
        if keyspace.is_dropped() {
            return Err((operations, NotMade::Dropped));
        }
        let mut seen = 0;
        let decided = self.decide_all(keyspace, &locked, &operations, &places, now_ms, &mut seen);
        let mut decided = match decided {
            Ok(decided) => decided,
            Err((index, why)) => {
                return Ok(Batch {
                    outcome: Batched::Failed { index, why },
                    seen,
                    own: None,
                });
            }
        };
        let steps = operations.iter().zip(&places).zip(&decided);
        let brought = steps.filter_map(|((operation, place), decided)| {
            Brought::by(operation, decided).map(|brings| (*place, brings))
        });
        let brought: Vec<_> = brought.collect();
        let (left, made) = self.room_for_all(keyspace, &mut locked, &brought, &spare);
        drop(brought);
        if let Err(why) = made {
            drop(locked);
            left.settle(self, None, spare.grant);
            return Err((operations, why));
        }
        add_small(keyspace, &operations, &decided, &mut parts);
        let grant = spare.grant;
        let tell = |teller: &mut Teller<'_>| {
            left.tell(teller);
            tell_all(teller, &mut operations, &mut decided);
        };
        let front = left.in_front_of(kind::BATCH, Vec::new());
        let fields = (front, now_ms, level);
        let queued = self.queue_parts(keyspace, grant.as_ref(), parts, fields, tell);
        let own = queued.as_ref().map(|queued| queued.revision);
        let mut applying = Applying {
            locked: &mut locked,
            revision: own.unwrap_or(0),
            version: self.version_of(own.unwrap_or(0)),
            settled: self.settled(grant.as_ref()),
            gone: Vec::new(),
        };
        let steps = operations.into_iter().zip(places).zip(decided);
        let done =
            steps.map(|((operation, place), decided)| applying.one(operation, place, decided));
        let done = done.collect();
        let gone = applying.gone;
        drop(locked);
        drop(gone);
        left.settle(self, queued, grant);
        Ok(Batch {
            outcome: Batched::Done(done),
            seen,
            own,
        })
    }

    /// Queues the record of a batch, if it changes anything.
    fn queue_parts<'l>(
        &'l self,
        keyspace: &Keyspace,
        grant: Option<&Grant>,
        parts: Parts,
        ((code, prefix), now_ms, level): ((u8, Vec<u8>), u64, Level),
        tell: impl FnOnce(&mut Teller<'_>),
    ) -> Option<Queued<'l>> {
        if parts.count == 0 {
            return None;
        }
        let payload = parts.finish();
        let hold = || payload.clone();
        let queued = self.queue_with(keyspace, grant, (code, now_ms, level), |teller| {
            tell(teller);
            Payload {
                prefix: &prefix,
                body: &payload,
                hold: Some(&hold),
            }
        });
        Some(queued)
    }

    /// The parts of all puts, for a record of time `time_ms`.
    fn encode_puts(
        &self,
        keyspace: &Keyspace,
        operations: &[Operation<'_>],
        time_ms: u64,
    ) -> Parts {
        let mut parts = Parts {
            count: 0,
            bytes: vec![0; 4],
        };
        for operation in operations {
            if let Operation::Put { draft, .. } = operation {
                let entry = draft.entry();
                let facts = entry.facts(&self.contents.facts);
                let of_entry = record::Parts {
                    key: entry.key(),
                    meta: facts.as_meta(),
                    lifetime: entry.lifetime(),
                    created_at_ms: entry.created_at_ms(),
                };
                let mut prefix = Vec::with_capacity(48);
                record::put_prefix(&mut prefix, keyspace.id(), &of_entry, time_ms);
                parts.add(kind::PUT, [&prefix, entry.key_and_value()]);
            }
        }
        parts
    }

    /// What every operation will do, or the first that cannot be done.
    fn decide_all(
        &self,
        keyspace: &Keyspace,
        locked: &Locked<'_>,
        operations: &[Operation<'_>],
        places: &[Place],
        now_ms: u64,
        seen: &mut u64,
    ) -> Result<Vec<Decided>, (usize, Failed)> {
        let mut keys = HashSet::with_capacity(operations.len());
        let each = operations.iter().zip(places).enumerate();
        each.map(|(index, (operation, place))| {
            if !keys.insert(operation.key()) {
                return Err((index, Failed::Repeated));
            }
            let shard = locked
                .get(&place.shard)
                .expect("the shards of all places are locked");
            let met = (&**shard, place.hash, now_ms);
            self.decide(keyspace, met, operation, seen)
                .map_err(|why| (index, why))
        })
        .collect()
    }

    fn decide(
        &self,
        keyspace: &Keyspace,
        (shard, hash, now_ms): (&Shard, u32, u64),
        operation: &Operation<'_>,
        seen: &mut u64,
    ) -> Result<Decided, Failed> {
        let key = operation.key();
        let found = shard.look_up(hash, key, || now_ms);
        let (current, met) = self.current(&found);
        *seen = met.max(*seen);
        let check = |holder: Option<Holder>, when: &Conditions<'_>| match holder {
            Some(holder) => Err(Failed::Foreign(holder)),
            None if when.hold(current) => Ok(()),
            None => Err(Failed::Refused { current }),
        };
        Ok(match operation {
            Operation::Put { when, draft } => {
                check(self.foreign_to_draft(&found, draft), when)?;
                Decided::Put {
                    created: current.is_none(),
                }
            }
            Operation::Delete { when, .. } => {
                check(self.foreign(&found, Writer::Client), when)?;
                Decided::Delete {
                    existed: current.is_some(),
                }
            }
            Operation::Get { .. } => Decided::Get(match found {
                Lookup::Live(entry) => Some(entry.clone()),
                Lookup::Expired(_) | Lookup::Absent { .. } => None,
            }),
            Operation::Increment { increment, .. } => {
                Decided::Increment(self.plan(keyspace, shard, (hash, key), increment, now_ms)?)
            }
        })
    }
}

/// A batch on its way into the map.
struct Applying<'l, 'k> {
    locked: &'l mut Locked<'k>,
    revision: u64,
    version: Version,
    settled: u64,
    /// What was replaced, to be freed without any lock.
    gone: Vec<Entry>,
}

impl Applying<'_, '_> {
    fn one(&mut self, operation: Operation<'_>, place: Place, decided: Decided) -> Done {
        let version = self.version;
        match (operation, decided) {
            (Operation::Put { draft, .. }, Decided::Put { created }) => {
                self.put(place, draft.into_entry());
                Done::Put { version, created }
            }
            (_, Decided::Increment(planned)) => {
                self.put(place, planned.entry);
                Done::Incremented {
                    value: planned.value,
                    previous: planned.previous,
                    version,
                }
            }
            (operation, Decided::Delete { existed }) => {
                if existed {
                    let revision = self.revision;
                    let key = operation.key();
                    self.apply(place, Effect::Delete { key, revision });
                }
                Done::Deleted { existed }
            }
            (_, Decided::Get(entry)) => Done::Got(entry),
            (_, Decided::Put { .. }) => unreachable!("only a put is decided to be one"),
        }
    }

    fn put(&mut self, place: Place, entry: Entry) {
        self.apply(place, Effect::Put(entry));
    }

    fn apply(&mut self, place: Place, effect: Effect<'_>) {
        let shard = self.locked.get_mut(&place.shard);
        let shard = shard.expect("the shards of all places are locked");
        let old = shard.apply(place.hash, effect, self.settled);
        self.gone.extend(old);
    }
}
