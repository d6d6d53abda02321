//! What a keyspace keeps for a sink, for who passes it on and for who looks at it. It must not know where it goes.

use super::Values;
use crate::engine::{
    DeadPage, Engine, Entries, Failure, Frozen, FrozenPage, Identity, PendingCounts,
    PendingFailure, PendingPage, Redriven,
};

/// What waits in one keyspace to be passed on. What it tells is on disk, counts aside.
#[derive(Clone, Debug)]
pub struct Waiting {
    engine: Engine,
    entries: Entries,
}

impl Values {
    /// What waits to be passed on.
    pub fn waiting(&self) -> Waiting {
        Waiting {
            engine: self.engine.clone(),
            entries: self.entries.clone(),
        }
    }
}

impl Waiting {
    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.entries.identity()
    }

    /// Whether a mark is that of a start of this store.
    pub fn knows_mark(&self, mark: u64) -> bool {
        self.entries.knows_mark(mark)
    }

    /// The generation that is frozen.
    pub async fn frozen(&self) -> Result<Option<Frozen>, Failure> {
        self.entries.frozen().await
    }

    /// Freezes what waits and returns it; where a generation is frozen already, that one.
    pub async fn freeze(&self) -> Result<Option<Frozen>, Failure> {
        self.entries.freeze().await
    }

    /// Up to `limit` keys of a frozen generation in key order, behind `after` where that is given.
    pub async fn frozen_page(
        &self,
        generation: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<FrozenPage, PendingFailure> {
        self.entries.frozen_page(generation, after, limit).await
    }

    /// Forgets a frozen generation: it has been passed on.
    pub async fn drop_generation(&self, generation: u64) -> Result<(), PendingFailure> {
        self.entries.drop_generation(generation).await.map(drop)
    }

    /// Takes keys out of a frozen generation, each for a reason, because they cannot be passed on, and says how many. There may
    /// be `most` such keys in all.
    pub async fn bury(
        &self,
        generation: u64,
        keys: &[(&[u8], &str)],
        most: u64,
    ) -> Result<u64, PendingFailure> {
        self.entries.bury(generation, keys, most).await
    }

    /// Up to `limit` keys that could not be passed on, behind `after` where that is given.
    pub async fn dead(&self, after: Option<&str>, limit: usize) -> Result<DeadPage, Failure> {
        self.entries.dead(after.map(str::as_bytes), limit).await
    }

    /// Makes what could not be passed on pending again: these keys, or all.
    pub async fn redrive(&self, keys: Option<&[&[u8]]>) -> Result<Redriven, Failure> {
        self.entries.redrive(keys).await
    }

    /// How much there is of everything. Not for every request.
    pub fn counts(&self) -> PendingCounts {
        self.entries.pending_counts()
    }

    /// Up to `limit` keys that begin with `prefix` and wait, behind `after` where that is given.
    pub async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<PendingPage, Failure> {
        let after = after.map(str::as_bytes);
        self.entries
            .pending_page(prefix.as_bytes(), after, limit)
            .await
    }

    /// Wall time in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.engine.now_ms()
    }
}
