//! Atomic batches: several operations on one keyspace as one record, all of them or none, across shards.
//!
//! 1. What a put brings to the record is encoded before any lock: it may be megabytes.
//! 2. The shards of all keys are locked, ascending. Every condition and every sum is decided on the state before the batch.
//! 3. One revision, one record: its parts in the order puts, increments, deletes. Everything is applied; unlock.

mod applying;
mod parts;
mod pending;
mod words;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::bound::{Brought, Left, Locked, NotMade, Spare};
use super::condition::Conditions;
use super::counter::Planned;
use super::pending::{PendAll, front_len};
use super::queue::Queued;
use super::{Core, Holder, Store, Writer};
use crate::error::WriteError;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Entry, Keyspace, Lookup, Place, Shard};
use crate::record::{self, kind};
use crate::watch::Teller;
use applying::Applying;
use parts::{Parts, add_small, tell_all};
use pending::{Pendings, pend_all, pendings};
pub use words::{Batch, Batched, Done, Failed, Operation};

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
        let sums = operations.len();
        let len = operations.iter().map(Operation::payload_len).sum::<u64>();
        let len = 4 + front_len(sums) + len;
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

/// A batch on its way into the map: nothing can refuse it any more.
struct Going<'a, 'k, 'l> {
    operations: Vec<Operation<'a>>,
    places: Vec<Place>,
    decided: Vec<Decided>,
    pendings: Pendings,
    pend: Option<PendAll<'k>>,
    parts: Parts,
    /// What leaves for it.
    left: Left<'l>,
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
        operations: Vec<Operation<'a>>,
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
        let decided = match decided {
            Ok(decided) => decided,
            Err((index, why)) => {
                return Ok(Batch {
                    outcome: Batched::Failed { index, why },
                    seen,
                    own: None,
                });
            }
        };
        let pendings = pendings(keyspace, &locked, &operations, &places, &decided);
        let pend = match pend_all(keyspace, &locked, &operations, &places, &pendings) {
            Ok(pend) => pend,
            Err(why) => {
                drop(locked);
                return Err((operations, why.into()));
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
        let going = Going {
            operations,
            places,
            decided,
            pendings,
            pend,
            parts,
            left,
        };
        let (done, own) = self.go_all(keyspace, locked, going, (now_ms, level), spare.grant);
        Ok(Batch {
            outcome: Batched::Done(done),
            seen,
            own,
        })
    }

    /// Queues the record of a batch and does everything, in one step.
    fn go_all<'l>(
        &'l self,
        keyspace: &Keyspace,
        mut locked: Locked<'_>,
        going: Going<'_, '_, 'l>,
        (now_ms, level): (u64, Level),
        grant: Option<Grant>,
    ) -> (Vec<Done>, Option<u64>) {
        let Going {
            mut operations,
            places,
            mut decided,
            pendings,
            pend,
            parts,
            left,
        } = going;
        let tell = |teller: &mut Teller<'_>| {
            left.tell(teller);
            tell_all(teller, &mut operations, &mut decided);
        };
        let (code, front) = PendAll::in_front_of(pend.as_ref(), kind::BATCH);
        let fields = (left.in_front_of(code, front), now_ms, level);
        let queued = self.queue_parts(keyspace, grant.as_ref(), parts, fields, tell);
        let own = queued.as_ref().map(|queued| queued.revision);
        let mut applying = Applying {
            locked: &mut locked,
            revision: own.unwrap_or(0),
            version: self.version_of(own.unwrap_or(0)),
            settled: self.settled(grant.as_ref()),
            gone: Vec::new(),
        };
        let steps = operations.into_iter().zip(places);
        let steps = steps.zip(decided.into_iter().zip(pendings));
        let done = steps.map(|((operation, place), (decided, pended))| {
            applying.pend(place, operation.key(), pended);
            applying.one(operation, place, decided)
        });
        let done = done.collect();
        if let Some(pend) = pend {
            pend.done(now_ms);
        }
        let gone = applying.gone;
        drop(locked);
        drop(gone);
        left.settle(self, queued, grant);
        (done, own)
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
