//! What the durable map keeps for a sink, in the engine's words. Everything that a sink is told waits for the disk, whatever
//! the keyspace promises: a database would keep what a crash takes back. It must not know what is done with it.

use bytes::Bytes;
use standpipe_store::{PendingError, Store};

use super::entries::{Entries, durability_of};
use super::words::shown;
use crate::engine::{
    Backlog, Dead, DeadPage, Deletes, Durability, Failure, Frozen, FrozenPage, FrozenRow, Identity,
    Passed, Pending, PendingCounts, PendingFailure, PendingPage, PendingRow, Redriven, Total,
};

impl Entries {
    pub(crate) fn pending(&self) -> Pending {
        ours(self.keyspace().policy().pending)
    }

    pub(crate) async fn freeze(&self) -> Result<Option<Frozen>, Failure> {
        let freeze = self.store.freeze(self.keyspace()).await?;
        self.reached(Durability::Synced, freeze.seen).await?;
        Ok(freeze.frozen.map(frozen))
    }

    pub(crate) async fn frozen(&self) -> Result<Option<Frozen>, Failure> {
        let freeze = self.store.frozen(self.keyspace());
        self.reached(Durability::Synced, freeze.seen).await?;
        Ok(freeze.frozen.map(frozen))
    }

    pub(crate) async fn frozen_page(
        &self,
        generation: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<FrozenPage, PendingFailure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let page = store.frozen_page(keyspace, generation, after, limit)?;
        self.reached(Durability::Synced, page.seen).await?;
        let row = |row: standpipe_store::FrozenRow| FrozenRow {
            key: row.key.into(),
            passed: passed(store, row.passed),
        };
        Ok(FrozenPage {
            rows: page.rows.into_iter().map(row).collect(),
            end: page.end,
        })
    }

    pub(crate) async fn drop_generation(&self, generation: u64) -> Result<bool, PendingFailure> {
        let dropped = self
            .store
            .drop_generation(self.keyspace(), generation)
            .await?;
        self.reached(Durability::Synced, dropped.seen).await?;
        Ok(dropped.own.is_some())
    }

    pub(crate) async fn bury(
        &self,
        generation: u64,
        keys: &[(&[u8], &str)],
        most: u64,
    ) -> Result<u64, PendingFailure> {
        let bury = self
            .store
            .bury(self.keyspace(), generation, keys, most)
            .await?;
        let waits_for = bury.own.unwrap_or(bury.seen);
        self.reached(Durability::Synced, waits_for).await?;
        Ok(bury.buried)
    }

    pub(crate) async fn dead(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<DeadPage, Failure> {
        let page = self.store.dead(self.keyspace(), after, limit);
        self.reached(Durability::Synced, page.seen).await?;
        let letter = |dead: standpipe_store::Dead| Dead {
            key: dead.key.into(),
            total: total(dead.total),
            reason: dead.reason,
            at_ms: dead.at_ms,
        };
        Ok(DeadPage {
            letters: page.letters.into_iter().map(letter).collect(),
            end: page.end,
        })
    }

    pub(crate) async fn redrive(&self, keys: Option<&[&[u8]]>) -> Result<Redriven, Failure> {
        let redrive = self.store.redrive(self.keyspace(), keys).await?;
        let waits_for = redrive.own.unwrap_or(redrive.seen);
        self.reached(Durability::Synced, waits_for).await?;
        Ok(Redriven {
            keys: redrive.redriven,
            kept: redrive.kept.into_iter().map(Bytes::from).collect(),
        })
    }

    pub(crate) async fn pending_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<PendingPage, Failure> {
        let keyspace = self.keyspace();
        let page = self.store.pending_page(keyspace, prefix, after, limit);
        self.reached(durability_of(keyspace), page.seen).await?;
        let row = |row: standpipe_store::PendingRow| PendingRow {
            key: row.key.into(),
            total: total(row.total),
        };
        Ok(PendingPage {
            rows: page.rows.into_iter().map(row).collect(),
            end: page.end,
        })
    }

    pub(crate) fn pending_counts(&self) -> PendingCounts {
        let counts = self.store.pending_counts(self.keyspace());
        PendingCounts {
            generation: counts.generation,
            keys: counts.keys,
            frozen: counts.frozen,
            since_ms: counts.since_ms,
            dead: counts.dead,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            store: self.store.id(),
            keyspace: self.keyspace().id(),
        }
    }

    pub(crate) fn knows_mark(&self, mark: u64) -> bool {
        self.store.knows_mark(mark)
    }
}

fn frozen(frozen: standpipe_store::Frozen) -> Frozen {
    Frozen {
        generation: frozen.generation,
        mark: frozen.mark,
        keys: frozen.keys,
        since_ms: frozen.since_ms,
    }
}

fn passed(store: &Store, passed: standpipe_store::Passed) -> Passed {
    match passed {
        standpipe_store::Passed::Sum(sum) => Passed::Sum(sum),
        standpipe_store::Passed::Value(entry) => Passed::Value(shown(store, entry)),
        standpipe_store::Passed::Gone => Passed::Gone,
        standpipe_store::Passed::Nothing => Passed::Nothing,
    }
}

fn total(total: standpipe_store::Total) -> Total {
    match total {
        standpipe_store::Total::Sum(sum) => Total::Sum(sum),
        standpipe_store::Total::Mark => Total::Mark,
    }
}

/// What a policy of the store says of what is pending.
pub(super) fn ours(pending: standpipe_store::Pending) -> Pending {
    match pending {
        standpipe_store::Pending::None => Pending::None,
        standpipe_store::Pending::Sums { most } => Pending::Sums { most },
        standpipe_store::Pending::Latest { deletes, most } => Pending::Latest {
            deletes: match deletes {
                standpipe_store::Deletes::Ignore => Deletes::Ignore,
                standpipe_store::Deletes::Propagate => Deletes::Propagate,
            },
            most,
        },
    }
}

/// The same in the store's words.
pub(super) fn theirs(pending: Pending) -> standpipe_store::Pending {
    match pending {
        Pending::None => standpipe_store::Pending::None,
        Pending::Sums { most } => standpipe_store::Pending::Sums { most },
        Pending::Latest { deletes, most } => standpipe_store::Pending::Latest {
            deletes: match deletes {
                Deletes::Ignore => standpipe_store::Deletes::Ignore,
                Deletes::Propagate => standpipe_store::Deletes::Propagate,
            },
            most,
        },
    }
}

/// What there is too much of, as the engine tells it.
pub(super) fn backlog(of: standpipe_store::Backlog) -> Backlog {
    match of {
        standpipe_store::Backlog::Keys => Backlog::Keys,
        standpipe_store::Backlog::Bytes => Backlog::Bytes,
    }
}

impl From<PendingError> for PendingFailure {
    fn from(error: PendingError) -> Self {
        match error {
            PendingError::Write(error) => Self::Failed(error.into()),
            PendingError::NotFrozen { generation } => Self::NotFrozen { generation },
            PendingError::DeadFull { limit, actual } => Self::DeadFull { limit, actual },
        }
    }
}
