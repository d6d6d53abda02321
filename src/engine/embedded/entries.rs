//! The data of one keyspace of the durable map. Every answer waits until what it tells of is as durable as the keyspace
//! promises, and gives up after a time. It must not know limits, defaults or HTTP.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use standpipe_store::{Keyspace, Level, Meta, Read, Store};

use super::keyspaces::durability;
use super::words::{Named, ours, removed, shown, stored, their_lifetime, their_writer};
use crate::engine::{
    Conditions, Delete, Durability, Entry, Facts, Failure, Keyed, Owned, Page, Put, Version, Writer,
};

/// A value on its way into the map: one allocation of its exact size.
#[derive(Debug)]
pub struct Draft(standpipe_store::Draft);

impl Draft {
    pub(super) fn into_inner(self) -> standpipe_store::Draft {
        self.0
    }

    /// The key that the value is for.
    pub fn key(&self) -> &[u8] {
        self.0.key()
    }

    /// Puts `bytes` at `offset` of the value. What would lie behind its end is left out.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.fill(|value| {
            let place = value.get_mut(offset..).unwrap_or_default();
            let len = place.len().min(bytes.len());
            place
                .split_at_mut(len)
                .0
                .copy_from_slice(bytes.split_at(len).0);
        });
    }
}

/// One keyspace of the durable map.
#[derive(Clone, Debug)]
pub struct Entries {
    pub(super) store: Store,
    /// As it was when it was found; [`Entries::keyspace`] is the one to ask.
    found: Arc<Keyspace>,
    read_wait: Duration,
}

impl Entries {
    pub(super) fn new(store: Store, found: Arc<Keyspace>, read_wait: Duration) -> Self {
        Self {
            store,
            found,
            read_wait,
        }
    }

    /// The keyspace itself, or the one that has taken its place.
    #[inline]
    pub(super) fn keyspace(&self) -> &Arc<Keyspace> {
        self.found.current()
    }

    #[inline]
    pub(crate) fn name(&self) -> &str {
        self.found.name()
    }

    #[inline]
    pub(crate) fn default_ttl(&self) -> Option<Duration> {
        self.keyspace().ttl_ms().map(Duration::from_millis)
    }

    #[inline]
    pub(crate) fn client_max_age(&self) -> Option<Duration> {
        let max_age_ms = self.keyspace().client_max_age_ms();
        max_age_ms.map(Duration::from_millis)
    }

    pub(crate) async fn delete_prefix(
        &self,
        prefix: &[u8],
        until: Durability,
    ) -> Result<u64, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let deleted = store.delete_prefix(keyspace, prefix, asked(until)).await?;
        self.acknowledge(until, deleted.seen, deleted.own).await?;
        Ok(deleted.flushed)
    }

    pub(crate) async fn count_prefix(&self, prefix: &[u8]) -> Result<u64, Failure> {
        let keyspace = self.keyspace();
        let counted = self.store.count_prefix(keyspace, prefix).await;
        self.reached(durability_of(keyspace), counted.seen).await?;
        Ok(counted.flushed)
    }

    pub(crate) fn durability(&self) -> Durability {
        durability_of(self.keyspace())
    }

    #[inline]
    pub(crate) async fn find(&self, key: &[u8]) -> Result<Option<Entry>, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let Read { entry, seen } = store.get(keyspace, key);
        self.reached(durability_of(keyspace), seen).await?;
        Ok(entry.map(|entry| shown(store, entry)))
    }

    pub(crate) async fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let scan = store.scan(keyspace, prefix, after, limit);
        self.reached(durability_of(keyspace), scan.seen).await?;
        let keyed = |entry: standpipe_store::Entry| Keyed {
            key: Bytes::copy_from_slice(entry.key()),
            entry: shown(store, entry),
        };
        Ok(Page {
            entries: scan.entries.into_iter().map(keyed).collect(),
            end: scan.end,
        })
    }

    pub(crate) fn draft(
        &self,
        key: &[u8],
        len: usize,
        facts: &Facts<'_>,
    ) -> Result<Draft, Failure> {
        let meta = Meta {
            content_type: facts.media_type,
            content_encoding: facts.content_encoding,
            owner: match facts.writer {
                Writer::Client | Writer::Mirror => None,
                Writer::Source(name) => Some(name),
            },
        };
        let lifetime = their_lifetime(facts.lifetime);
        Ok(Draft(match facts.writer {
            Writer::Client | Writer::Source(_) => self.store.draft(key, len, &meta, lifetime)?,
            Writer::Mirror => {
                let now = None;
                self.store.restored_draft(key, len, &meta, lifetime, now)?
            }
        }))
    }

    pub(crate) async fn owned(&self) -> Result<Vec<Owned>, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let scan = store.owned(keyspace);
        self.reached(durability_of(keyspace), scan.seen).await?;
        let owned = scan.entries.iter().filter_map(|entry| {
            Some(Owned {
                key: Bytes::copy_from_slice(entry.key()),
                owner: Arc::clone(store.facts(entry).owner.as_ref()?),
            })
        });
        Ok(owned.collect())
    }

    pub(crate) fn unstored_version(&self) -> Version {
        ours(self.store.unstored_version())
    }

    pub(crate) fn unstored(&self, draft: Draft) -> Entry {
        shown(&self.store, self.store.unstored(draft.0))
    }

    pub(crate) fn announce(&self, draft: Draft) -> Entry {
        let entry = self.store.unstored(draft.0);
        self.store.announce(self.keyspace(), entry.clone());
        shown(&self.store, entry)
    }

    pub(crate) fn announce_removed(&self, key: &[u8]) {
        self.store.announce_removed(self.keyspace(), key);
    }

    pub(crate) async fn put(
        &self,
        draft: Draft,
        when: &Conditions,
        until: Durability,
    ) -> Result<Put, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let named = Named::by(when);
        let put = store
            .put(keyspace, draft.0, &named.conditions(when), asked(until))
            .await?;
        self.acknowledge(until, put.seen, put.own).await?;
        Ok(stored(put.outcome))
    }

    pub(crate) async fn delete(
        &self,
        key: &[u8],
        when: &Conditions,
        by: Writer<'_>,
        until: Durability,
    ) -> Result<Delete, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let named = Named::by(when);
        let (conditions, by) = (named.conditions(when), their_writer(by));
        let delete = store
            .delete(keyspace, key, &conditions, by, asked(until))
            .await?;
        self.acknowledge(until, delete.seen, delete.own).await?;
        Ok(removed(delete.outcome))
    }

    pub(crate) async fn flush(&self, until: Durability) -> Result<u64, Failure> {
        let (store, keyspace) = (&self.store, self.keyspace());
        let flush = store.flush(keyspace, asked(until)).await?;
        self.acknowledge(until, flush.seen, flush.own).await?;
        Ok(flush.flushed)
    }

    /// Waits until everything up to `seen` has come as far as `until`.
    #[inline]
    pub(super) async fn reached(&self, until: Durability, seen: u64) -> Result<(), Failure> {
        reached(&self.store, self.read_wait, until, seen).await
    }

    /// Waits until a change that met `seen` and was given the revision `own` may be answered.
    pub(super) async fn acknowledge(
        &self,
        until: Durability,
        seen: u64,
        own: Option<u64>,
    ) -> Result<(), Failure> {
        let promised = durability_of(self.keyspace());
        // What others did is told of only as the keyspace promises; a request may relax the wait for its own change alone.
        self.reached(promised.max(until), seen).await?;
        match own {
            None => Ok(()),
            Some(own) => self.reached(until, own).await,
        }
    }
}

/// What the writer is told: whether somebody waits for a sync.
pub(super) fn asked(until: Durability) -> Level {
    level(until).unwrap_or(Level::Written)
}

/// Waits until everything up to `seen` has come as far as `until`, but not longer than `read_wait`.
#[inline]
pub(super) async fn reached(
    store: &Store,
    read_wait: Duration,
    until: Durability,
    seen: u64,
) -> Result<(), Failure> {
    let Some(level) = level(until) else {
        return Ok(());
    };
    if store.has_reached(level, seen) {
        return Ok(());
    }
    wait(store, read_wait, level, seen).await
}

async fn wait(store: &Store, read_wait: Duration, level: Level, seen: u64) -> Result<(), Failure> {
    let reached = async {
        match level {
            Level::Written => store.wait_written(seen).await,
            Level::Durable => store.wait_durable(seen).await,
        }
    };
    within(read_wait, reached)
        .await
        .map_err(|waited| Failure::NotDurableYet { waited })??;
    Ok(())
}

/// `None` where nothing is logged and nothing is waited for.
pub(super) fn level(until: Durability) -> Option<Level> {
    match until {
        Durability::Memory => None,
        Durability::Written => Some(Level::Written),
        Durability::Synced => Some(Level::Durable),
    }
}

pub(super) fn durability_of(keyspace: &Keyspace) -> Durability {
    durability(keyspace.durability())
}

/// Polls once before a timer is made: what is there already needs none.
async fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> Result<T, Duration> {
    let mut future = pin!(future);
    let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(timeout, future)
            .await
            .map_err(|_elapsed| timeout),
    }
}
