//! An atomic batch on its way into the map, operation by operation, with all of its shards locked.

use super::{Decided, Done, Operation};
use crate::map::{Effect, Entry, Open, Place};
use crate::record::pending::{Pended, Row};
use crate::store::Version;
use crate::store::bound::Locked;

/// A batch that is being done.
pub(super) struct Applying<'l, 'k> {
    pub(super) locked: &'l mut Locked<'k>,
    pub(super) revision: u64,
    pub(super) version: Version,
    pub(super) settled: u64,
    /// What was replaced, to be freed without any lock.
    pub(super) gone: Vec<Entry>,
}

impl Applying<'_, '_> {
    pub(super) fn one(&mut self, operation: Operation<'_>, place: Place, decided: Decided) -> Done {
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

    /// Before the entry is put: so it is held.
    pub(super) fn pend(&mut self, place: Place, key: &[u8], pended: Option<Pended<i64>>) {
        if let (Some(pended), Some(shard)) = (pended, self.locked.get_mut(&place.shard)) {
            let revision = self.revision;
            let row = Row { revision, pended };
            shard.pend(Open::Current, place.hash, key, row);
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
