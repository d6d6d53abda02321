//! What an atomic batch makes pending: decided under the locks of all of its shards, on the state before it.

use super::{Decided, Operation};
use crate::error::WriteError;
use crate::int::wide;
use crate::map::{Keyspace, Open, Place};
use crate::record::pending::Pended;
use crate::store::bound::Locked;
use crate::store::pending::{Happens, PendAll, pended};

/// What becomes pending of the key of each operation.
pub(super) type Pendings = Vec<Option<Pended<i64>>>;

/// What becomes pending of the keys that are changed.
pub(super) fn pendings(
    keyspace: &Keyspace,
    locked: &Locked<'_>,
    operations: &[Operation<'_>],
    places: &[Place],
    decided: &[Decided],
) -> Pendings {
    let of_key = |operation: &Operation<'_>, place: &Place, happens| {
        let shard = locked.get(&place.shard)?;
        // Only what is counted overflows.
        pended(keyspace.ledger(), shard, operation.key(), happens).ok()?
    };
    let steps = operations.iter().zip(places).zip(decided);
    let pended = steps.map(|((operation, place), decided)| match decided {
        Decided::Increment(planned) => planned.pended,
        Decided::Get(_) | Decided::Delete { existed: false } => None,
        Decided::Put { .. } => of_key(operation, place, Happens::Put),
        Decided::Delete { existed: true } => of_key(operation, place, Happens::Deleted),
    });
    pended.collect()
}

/// The places for what becomes pending.
pub(super) fn pend_all<'k>(
    keyspace: &'k Keyspace,
    locked: &Locked<'_>,
    operations: &[Operation<'_>],
    places: &[Place],
    pendings: &Pendings,
) -> Result<Option<PendAll<'k>>, WriteError> {
    let steps = operations.iter().zip(places).zip(pendings);
    let is_new = |((operation, place), pended): &((&Operation<'_>, &Place), &Option<_>)| {
        let shard = locked.get(&place.shard);
        let row = shard.and_then(|shard| shard.row(Open::Current, operation.key()));
        pended.is_some() && row.is_none()
    };
    let new = wide(steps.filter(is_new).count());
    PendAll::new(keyspace, pendings.iter().flatten().copied(), new)
}
