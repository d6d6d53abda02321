//! Generations: closed so that they can be passed on, and dropped when they have been.

use std::sync::Arc;

use super::super::keyspaces::Guard;
use super::super::{Core, Garbage, Store};
use super::own_mark;
use crate::error::{PendingError, WriteError};
use crate::log::{Grant, Level, Purpose};
use crate::map::{Keyspace, Open};
use crate::record::kind;
use crate::record::pending as words;

/// A generation that is to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// Its number, which counts up and never comes again in its keyspace.
    pub generation: u64,
    /// The mark of the start that froze it: the same number under another mark is another generation, out of a restored backup.
    pub mark: u64,
    /// How many keys are pending in it.
    pub keys: u64,
    /// Since when the oldest has been, in Unix milliseconds.
    pub since_ms: u64,
}

/// A freeze, made but perhaps not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// The generation that is frozen now; `None` where nothing is pending.
    pub frozen: Option<Frozen>,
    /// Its own revision; `None` where nothing was frozen by this.
    pub own: Option<u64>,
    /// The change that the answer rests on, or that froze it: nothing may be passed on before that is durable.
    pub seen: u64,
}

/// A drop of a generation, made but perhaps not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Its own revision; `None` where the generation had been dropped before.
    pub own: Option<u64>,
    /// The newest change that the answer rests on.
    pub seen: u64,
}

impl Store {
    /// Closes the current generation, so that what is pending in it can be passed on; changes go to the next one from then
    /// on. There is one closed generation at most: as long as one is not dropped, that one is returned.
    ///
    /// # Errors
    /// As for any change.
    pub async fn freeze(&self, keyspace: &Arc<Keyspace>) -> Result<Freeze, WriteError> {
        let freeze = self.frozen(keyspace);
        if freeze.frozen.is_some() || keyspace.ledger().rows() == 0 {
            return Ok(freeze);
        }
        let len = words::freeze(0, 0, 0).len();
        let grant = self.core.pending_room(len, Purpose::Shrink).await?;
        self.core.freeze(keyspace, grant).ok_or(WriteError::Dropped)
    }

    /// The generation that is frozen.
    #[expect(
        clippy::unused_self,
        reason = "who asks has to hold the store that the keyspace is of"
    )]
    pub fn frozen(&self, keyspace: &Keyspace) -> Freeze {
        let ledger = keyspace.ledger();
        // Read first: what is met is at least as new.
        let seen = ledger.newest();
        let Some(frozen) = ledger.frozen() else {
            return Freeze {
                frozen: None,
                own: None,
                seen,
            };
        };
        let shards = 0..keyspace.map.shards();
        let rows = shards.map(|shard| keyspace.map.read(shard).row_count(Open::Frozen));
        Freeze {
            frozen: Some(shown(&frozen, rows.sum())),
            own: None,
            seen: frozen.revision,
        }
    }

    /// Forgets what was pending in `generation`: it has been passed on.
    ///
    /// # Errors
    /// [`PendingError::NotFrozen`] where that generation has not been frozen yet; otherwise as for any change.
    pub async fn drop_generation(
        &self,
        keyspace: &Arc<Keyspace>,
        generation: u64,
    ) -> Result<Dropped, PendingError> {
        let payload = words::of_generation(keyspace.id(), generation);
        let grant = self
            .core
            .pending_room(payload.len(), Purpose::Shrink)
            .await?;
        self.core
            .drop_generation(keyspace, generation, &payload, grant)
    }
}

impl Core {
    /// `None` where the keyspace was dropped.
    fn freeze(&self, keyspace: &Keyspace, grant: Grant) -> Option<Freeze> {
        let ledger = keyspace.ledger();
        let shards = keyspace.map.write_all();
        if keyspace.is_dropped() {
            return None;
        }
        let count = |open| shards.iter().map(|shard| shard.row_count(open)).sum();
        if let Some(frozen) = ledger.frozen() {
            // Somebody else was faster.
            return Some(Freeze {
                frozen: Some(shown(&frozen, count(Open::Frozen))),
                own: None,
                seen: frozen.revision,
            });
        }
        let keys = count(Open::Current);
        if keys == 0 {
            return Some(Freeze {
                frozen: None,
                own: None,
                seen: ledger.newest(),
            });
        }
        let (generation, mark) = (ledger.current(), own_mark(self));
        let payload = words::freeze(keyspace.id(), generation, mark);
        let what = (kind::FREEZE, &*payload, Level::Durable);
        let mut frozen = None;
        let apply = |shards: &mut Vec<Guard<'_>>, revision| {
            for shard in shards {
                shard.freeze();
            }
            frozen = Some(ledger.freeze(mark, revision));
        };
        let own = self.record(what, grant, shards, (|_| {}, apply));
        Some(Freeze {
            frozen: frozen.map(|frozen| shown(&frozen, keys)),
            own: Some(own),
            #[cfg(not(feature = "bug-freeze-before-durable"))]
            seen: own,
            #[cfg(feature = "bug-freeze-before-durable")]
            seen: 0,
        })
    }

    fn drop_generation(
        &self,
        keyspace: &Keyspace,
        generation: u64,
        payload: &[u8],
        grant: Grant,
    ) -> Result<Dropped, PendingError> {
        let ledger = keyspace.ledger();
        let shards = keyspace.map.write_all();
        if keyspace.is_dropped() {
            return Err(WriteError::Dropped.into());
        }
        if ledger.open(generation) != Some(Open::Frozen) {
            if generation >= ledger.current() {
                return Err(PendingError::NotFrozen { generation });
            }
            let (own, seen) = (None, ledger.newest());
            return Ok(Dropped { own, seen });
        }
        let what = (kind::DROP_GENERATION, payload, Level::Durable);
        let mut taken = Vec::new();
        let apply = |shards: &mut Vec<Guard<'_>>, revision| {
            taken.extend(shards.iter_mut().filter_map(|shard| shard.drop_frozen()));
            ledger.thaw(revision);
        };
        let own = self.record(what, grant, shards, (|_| {}, apply));
        ledger.count_out(taken.iter().map(|taken| taken.rows).sum());
        let garbage = taken.into_iter().map(Garbage::passed);
        self.garbage.lock().extend(garbage);
        Ok(Dropped {
            own: Some(own),
            seen: own,
        })
    }
}

fn shown(frozen: &words::Frozen, keys: u64) -> Frozen {
    Frozen {
        generation: frozen.generation,
        mark: frozen.mark,
        keys,
        since_ms: frozen.since_ms,
    }
}
