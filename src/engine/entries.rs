//! The data of one keyspace: what can be asked of it, wherever it lives. It must not know limits or defaults.

use std::time::Duration;

use super::{
    Batch, Conditions, DeadPage, Delete, Done, Draft, Durability, Entry, Facts, Failure, Frozen,
    FrozenPage, Identity, Increment, Incremented, Lifetime, NotKept, Operation, Owned, Page,
    Pending, PendingCounts, PendingFailure, PendingPage, Put, Redriven, Touched, Version, Watch,
    Watching, Writer, embedded,
};

/// The data of one keyspace. Every answer is released when what it tells of is as durable as the keyspace promises.
#[derive(Clone, Debug)]
pub enum Entries {
    /// In the durable map of this process.
    Embedded(embedded::Entries),
}

impl Entries {
    /// The name of their keyspace.
    #[inline]
    pub fn name(&self) -> &str {
        match self {
            Self::Embedded(entries) => entries.name(),
        }
    }

    /// What a 2xx means here unless a request says otherwise.
    pub fn durability(&self) -> Durability {
        match self {
            Self::Embedded(entries) => entries.durability(),
        }
    }

    /// How long a value is kept that says nothing about it.
    #[inline]
    pub fn default_ttl(&self) -> Option<Duration> {
        match self {
            Self::Embedded(entries) => entries.default_ttl(),
        }
    }

    /// How long a client may keep a value without asking again.
    #[inline]
    pub fn client_max_age(&self) -> Option<Duration> {
        match self {
            Self::Embedded(entries) => entries.client_max_age(),
        }
    }

    /// The entry of `key`, if there is one.
    #[inline]
    pub async fn find(&self, key: &[u8]) -> Result<Option<Entry>, Failure> {
        match self {
            Self::Embedded(entries) => entries.find(key).await,
        }
    }

    /// Up to `limit` entries whose keys begin with `prefix`, in byte order, behind `after` where that is given. Each key
    /// that stays is met exactly once by pages that follow one another.
    pub async fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, Failure> {
        match self {
            Self::Embedded(entries) => entries.page(prefix, after, limit).await,
        }
    }

    /// Room for a value of `len` bytes, to be filled and then given to [`Entries::put`].
    pub fn draft(&self, key: &[u8], len: usize, facts: &Facts<'_>) -> Result<Draft, Failure> {
        match self {
            Self::Embedded(entries) => entries.draft(key, len, facts),
        }
    }

    /// Sets the key of the draft where the conditions hold.
    pub async fn put(
        &self,
        draft: Draft,
        when: &Conditions,
        until: Durability,
    ) -> Result<Put, Failure> {
        match self {
            Self::Embedded(entries) => entries.put(draft, when, until).await,
        }
    }

    /// Removes `key` where it is `by`'s to remove and the conditions hold.
    pub async fn delete(
        &self,
        key: &[u8],
        when: &Conditions,
        by: Writer<'_>,
        until: Durability,
    ) -> Result<Delete, Failure> {
        match self {
            Self::Embedded(entries) => entries.delete(key, when, by, until).await,
        }
    }

    /// Every key that a source wrote and that is there, in no order. It takes as long as there are such keys, however many
    /// others there are.
    pub async fn owned(&self) -> Result<Vec<Owned>, Failure> {
        match self {
            Self::Embedded(entries) => entries.owned().await,
        }
    }

    /// A version that was never given to anything and never will be.
    pub fn unstored_version(&self) -> Version {
        match self {
            Self::Embedded(entries) => entries.unstored_version(),
        }
    }

    /// The entry that `draft` would make, for a value that is answered but not stored: with a version that was never given to
    /// anything.
    pub fn unstored(&self, draft: Draft) -> Entry {
        match self {
            Self::Embedded(entries) => entries.unstored(draft),
        }
    }

    /// The same, and tells those who watch now that the key stands so, behind everything that was told before. Nothing is
    /// stored, the event has no place to go on from, and who comes back is not told of it.
    pub fn announce(&self, draft: Draft) -> Entry {
        match self {
            Self::Embedded(entries) => entries.announce(draft),
        }
    }

    /// Tells those who watch now that `key` stands as if it had been removed, as [`Entries::announce`] tells of a value.
    pub fn announce_removed(&self, key: &[u8]) {
        match self {
            Self::Embedded(entries) => entries.announce_removed(key),
        }
    }

    /// The number that `key` counts, with its version; without a number where it is no counter.
    pub async fn counter(&self, key: &[u8]) -> Result<Option<(Version, Option<i64>)>, Failure> {
        match self {
            Self::Embedded(entries) => entries.counter(key).await,
        }
    }

    /// Adds to the counter `key` in one step, for a client, making it where it is absent.
    pub async fn increment(
        &self,
        key: &[u8],
        increment: &Increment,
        until: Durability,
    ) -> Result<Incremented, Failure> {
        match self {
            Self::Embedded(entries) => entries.increment(key, increment, until).await,
        }
    }

    /// Gives `key` another lifetime, where it is `by`'s to change and the conditions hold. The value stays what it is.
    pub async fn touch(
        &self,
        key: &[u8],
        lifetime: Lifetime,
        when: &Conditions,
        by: Writer<'_>,
        until: Durability,
    ) -> Result<Touched, Failure> {
        match self {
            Self::Embedded(entries) => entries.touch(key, lifetime, when, by, until).await,
        }
    }

    /// Removes every entry whose key begins with `prefix` and says how many there were. In steps: others go on between them.
    pub async fn delete_prefix(&self, prefix: &[u8], until: Durability) -> Result<u64, Failure> {
        match self {
            Self::Embedded(entries) => entries.delete_prefix(prefix, until).await,
        }
    }

    /// How many entries [`Entries::delete_prefix`] would remove now.
    pub async fn count_prefix(&self, prefix: &[u8]) -> Result<u64, Failure> {
        match self {
            Self::Embedded(entries) => entries.count_prefix(prefix).await,
        }
    }

    /// Does one operation after the other, whatever becomes of those before, and waits once for all of them.
    pub async fn each(
        &self,
        operations: Vec<Operation<'_>>,
        until: Durability,
    ) -> Result<Vec<Result<Done, Failure>>, Failure> {
        match self {
            Self::Embedded(entries) => entries.each(operations, until).await,
        }
    }

    /// Does all operations in one step, or none of them. Conditions and reads see what was there before; no key may be
    /// named twice.
    pub async fn batch(
        &self,
        operations: Vec<Operation<'_>>,
        until: Durability,
    ) -> Result<Batch, Failure> {
        match self {
            Self::Embedded(entries) => entries.batch(operations, until).await,
        }
    }

    /// Follows the changes.
    pub fn watch(&self, watching: Watching) -> Result<Watch, NotKept> {
        match self {
            Self::Embedded(entries) => entries.watch(watching).map(Watch::Embedded),
        }
    }

    /// Removes every entry and says how many there were.
    pub async fn flush(&self, until: Durability) -> Result<u64, Failure> {
        match self {
            Self::Embedded(entries) => entries.flush(until).await,
        }
    }

    /// What is kept for a sink here.
    pub fn pending(&self) -> Pending {
        match self {
            Self::Embedded(entries) => entries.pending(),
        }
    }

    /// Closes the current generation, so that what is pending in it can be passed on; changes go to the next one from then
    /// on. As long as one is frozen, that one is returned. `None` where nothing is pending. On disk when it returns.
    pub async fn freeze(&self) -> Result<Option<Frozen>, Failure> {
        match self {
            Self::Embedded(entries) => entries.freeze().await,
        }
    }

    /// The generation that is frozen, on disk.
    pub async fn frozen(&self) -> Result<Option<Frozen>, Failure> {
        match self {
            Self::Embedded(entries) => entries.frozen().await,
        }
    }

    /// Up to `limit` keys of `generation`, which is frozen, behind `after` where that is given. What it shows is on disk,
    /// whatever the keyspace promises.
    pub async fn frozen_page(
        &self,
        generation: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<FrozenPage, PendingFailure> {
        match self {
            Self::Embedded(entries) => entries.frozen_page(generation, after, limit).await,
        }
    }

    /// Forgets what was pending in `generation`, because it was passed on; `false` where that had been done before. On disk
    /// when it returns.
    pub async fn drop_generation(&self, generation: u64) -> Result<bool, PendingFailure> {
        match self {
            Self::Embedded(entries) => entries.drop_generation(generation).await,
        }
    }

    /// Takes keys out of `generation`, which is frozen, because they cannot be passed on, each for a reason of which the first
    /// 200 bytes are kept; keys that are not pending there are passed over. One change, of which the largest record is the
    /// limit: a few thousand keys. There may be `most` dead letters in all. Returns how many were buried; on disk then.
    pub async fn bury(
        &self,
        generation: u64,
        keys: &[(&[u8], &str)],
        most: u64,
    ) -> Result<u64, PendingFailure> {
        match self {
            Self::Embedded(entries) => entries.bury(generation, keys, most).await,
        }
    }

    /// Up to `limit` keys that could not be passed on, behind `after` where that is given.
    pub async fn dead(&self, after: Option<&[u8]>, limit: usize) -> Result<DeadPage, Failure> {
        match self {
            Self::Embedded(entries) => entries.dead(after, limit).await,
        }
    }

    /// Makes dead letters pending again, in the current generation: those of `keys`, or all of them. In steps: where it fails,
    /// what was done before stays done. On disk when it returns.
    pub async fn redrive(&self, keys: Option<&[&[u8]]>) -> Result<Redriven, Failure> {
        match self {
            Self::Embedded(entries) => entries.redrive(keys).await,
        }
    }

    /// Up to `limit` keys that begin with `prefix` and are pending in any generation, behind `after` where that is given.
    pub async fn pending_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<PendingPage, Failure> {
        match self {
            Self::Embedded(entries) => entries.pending_page(prefix, after, limit).await,
        }
    }

    /// How much is pending, at once: what it tells of may not be on disk yet. Not for every request.
    pub fn pending_counts(&self) -> PendingCounts {
        match self {
            Self::Embedded(entries) => entries.pending_counts(),
        }
    }

    /// What names this keyspace for ever.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Embedded(entries) => entries.identity(),
        }
    }

    /// Whether `mark` is that of a start of this store. One that is not is out of a life that a restored backup has not seen.
    pub fn knows_mark(&self, mark: u64) -> bool {
        match self {
            Self::Embedded(entries) => entries.knows_mark(mark),
        }
    }
}
