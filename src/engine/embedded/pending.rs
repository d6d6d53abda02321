//! What the durable map keeps for a sink. What is passed on or told is on disk, whatever the keyspace promises: nobody may take
//! back what somebody outside has been given.

use bytes::Bytes;
use standpipe_store::PendingError;

use super::entries::Entries;
use super::words::shown;
use crate::engine::{
    Dead, DeadPage, Durability, Failure, Frozen, FrozenPage, Identity, Passed, PendingCounts,
    PendingFailure, PendingPage, Redriven, Total,
};

impl Entries {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            store: self.store.id(),
            keyspace: self.keyspace().id().into(),
        }
    }

    pub(crate) fn knows_mark(&self, mark: u64) -> bool {
        self.store.knows_mark(mark)
    }

    pub(crate) async fn frozen(&self) -> Result<Option<Frozen>, Failure> {
        let freeze = self.store.frozen(self.keyspace());
        self.reached(Durability::Synced, freeze.seen).await?;
        Ok(freeze.frozen.map(ours))
    }

    pub(crate) async fn freeze(&self) -> Result<Option<Frozen>, Failure> {
        let freeze = self.store.freeze(self.keyspace()).await?;
        self.reached(Durability::Synced, freeze.seen).await?;
        Ok(freeze.frozen.map(ours))
    }

    pub(crate) async fn frozen_page(
        &self,
        generation: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<FrozenPage, PendingFailure> {
        let page = self
            .store
            .frozen_page(self.keyspace(), generation, after, limit)?;
        self.reached(Durability::Synced, page.seen).await?;
        let rows = page.rows.into_iter().map(|row| {
            let passed = match row.passed {
                standpipe_store::Passed::Sum(sum) => Passed::Sum(sum),
                standpipe_store::Passed::Value(entry) => Passed::Value(shown(&self.store, entry)),
                standpipe_store::Passed::Gone => Passed::Gone,
                standpipe_store::Passed::Nothing => Passed::Nothing,
            };
            (Bytes::from(row.key), passed)
        });
        Ok(FrozenPage {
            rows: rows.collect(),
            end: page.end,
        })
    }

    /// A drop that a crash takes back is made again: the target tells that it has the generation.
    pub(crate) async fn drop_generation(&self, generation: u64) -> Result<(), PendingFailure> {
        let dropped = self.store.drop_generation(self.keyspace(), generation);
        Ok(dropped.await.map(drop)?)
    }

    pub(crate) async fn bury(
        &self,
        generation: u64,
        keys: &[(&[u8], &str)],
        most: u64,
    ) -> Result<u64, PendingFailure> {
        let buried = self
            .store
            .bury(self.keyspace(), generation, keys, most)
            .await?;
        let seen = buried.own.unwrap_or(buried.seen);
        self.reached(Durability::Synced, seen).await?;
        Ok(buried.buried)
    }

    pub(crate) async fn dead(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<DeadPage, Failure> {
        let page = self.store.dead(self.keyspace(), after, limit);
        self.reached(Durability::Synced, page.seen).await?;
        let letters = page.letters.into_iter().map(|letter| Dead {
            key: Bytes::from(letter.key),
            total: total(letter.total),
            reason: letter.reason,
            at_ms: letter.at_ms,
        });
        Ok(DeadPage {
            letters: letters.collect(),
            end: page.end,
        })
    }

    pub(crate) async fn redrive(&self, keys: Option<&[&[u8]]>) -> Result<Redriven, Failure> {
        let redriven = self.store.redrive(self.keyspace(), keys).await?;
        let seen = redriven.own.unwrap_or(redriven.seen);
        self.reached(Durability::Synced, seen).await?;
        Ok(Redriven {
            redriven: redriven.redriven,
            kept: redriven.kept.len().try_into().unwrap_or(u64::MAX),
        })
    }

    pub(crate) fn pending_counts(&self) -> PendingCounts {
        let counts = self.store.pending_counts(self.keyspace());
        PendingCounts {
            generation: counts.generation,
            keys: counts.keys,
            since_ms: counts.since_ms,
            dead: counts.dead,
        }
    }

    pub(crate) async fn pending_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<PendingPage, Failure> {
        let page = self
            .store
            .pending_page(self.keyspace(), prefix, after, limit);
        self.reached(Durability::Synced, page.seen).await?;
        let rows = page.rows.into_iter();
        let rows = rows.map(|row| (Bytes::from(row.key), total(row.total)));
        Ok(PendingPage {
            rows: rows.collect(),
            end: page.end,
        })
    }
}

fn ours(frozen: standpipe_store::Frozen) -> Frozen {
    Frozen {
        generation: frozen.generation,
        mark: frozen.mark,
        keys: frozen.keys,
    }
}

fn total(total: standpipe_store::Total) -> Total {
    match total {
        standpipe_store::Total::Sum(sum) => Total::Sum(sum),
        standpipe_store::Total::Mark => Total::Mark,
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
