//! The data of one keyspace: what can be asked of it, wherever it lives. It must not know limits or defaults.

use std::time::Duration;

use super::{
    Batch, Conditions, Delete, Done, Draft, Durability, Entry, Facts, Failure, Increment,
    Incremented, NotKept, Operation, Page, Put, Touched, Version, Watch, Watching, embedded,
};

/// The data of one keyspace. Every answer is released when what it tells of is as durable as the keyspace promises.
#[derive(Clone, Debug)]
pub enum Entries {
    /// In the durable map of this process.
    Embedded(embedded::Entries),
}

impl Entries {
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

    /// Removes `key` where the conditions hold.
    pub async fn delete(
        &self,
        key: &[u8],
        when: &Conditions,
        until: Durability,
    ) -> Result<Delete, Failure> {
        match self {
            Self::Embedded(entries) => entries.delete(key, when, until).await,
        }
    }

    /// The number that `key` counts, with its version; without a number where it is no counter.
    pub async fn counter(&self, key: &[u8]) -> Result<Option<(Version, Option<i64>)>, Failure> {
        match self {
            Self::Embedded(entries) => entries.counter(key).await,
        }
    }

    /// Adds to the counter `key` in one step, making it where it is absent.
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

    /// Lets `key` leave at another time, `None` is never, where the conditions hold. The value stays what it is.
    pub async fn touch(
        &self,
        key: &[u8],
        expires_at_ms: Option<u64>,
        when: &Conditions,
        until: Durability,
    ) -> Result<Touched, Failure> {
        match self {
            Self::Embedded(entries) => entries.touch(key, expires_at_ms, when, until).await,
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
}
