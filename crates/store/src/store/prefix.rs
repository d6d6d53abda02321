//! Deletes by prefix, in steps: each is one record that names its keys, and between them everybody else goes on. Not atomic.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::change::Flush;
use super::pending::{Marks, front_len};
use super::{Core, Store};
use crate::error::WriteError;
use crate::int::{narrow, wide};
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Effect, Keyspace, Lookup};
use crate::record::{self, kind};
use crate::watch::Change;

/// Most keys of one step: the locks are held for a bounded time.
const STEP_KEYS: usize = 1_000;
/// Most bytes of keys of one step, the last key aside.
const STEP_BYTES: usize = 64 << 10;

impl Store {
    /// Deletes every entry whose key begins with `prefix`, those that a source wrote aside; `flushed` is how many.
    ///
    /// # Errors
    /// As for any change; what was deleted before stays deleted.
    pub async fn delete_prefix(
        &self,
        keyspace: &Arc<Keyspace>,
        prefix: &[u8],
        level: Level,
    ) -> Result<Flush, WriteError> {
        let mut sum = Flush {
            flushed: 0,
            seen: 0,
            own: None,
        };
        let mut steps = Steps::default();
        while let Some(step) = steps.next(self, keyspace, prefix).await {
            sum.seen = sum.seen.max(step.seen);
            if !step.keys.is_empty() {
                let bytes = step.keys.iter().map(Vec::len).sum();
                let len = record::delete_prefix_len(prefix, step.keys.len(), bytes) + front_len(0);
                let grant = self.core.grant(keyspace, len, Purpose::Shrink).await?;
                let deleted = self
                    .core
                    .delete_step(keyspace, prefix, &step.keys, level, grant);
                let deleted = deleted?;
                sum.flushed += deleted.flushed;
                sum.seen = sum.seen.max(deleted.seen);
                sum.own = deleted.own.or(sum.own);
            }
        }
        Ok(sum)
    }

    /// How many entries a delete by prefix would delete now.
    pub async fn count_prefix(&self, keyspace: &Arc<Keyspace>, prefix: &[u8]) -> Flush {
        let mut sum = Flush {
            flushed: 0,
            seen: 0,
            own: None,
        };
        let mut steps = Steps::default();
        while let Some(step) = steps.next(self, keyspace, prefix).await {
            sum.seen = sum.seen.max(step.seen);
            sum.flushed += wide(step.keys.len());
        }
        sum
    }

    fn step(&self, keyspace: &Keyspace, prefix: &[u8], after: Option<&[u8]>) -> Step {
        let scan = self.scan(keyspace, prefix, after, STEP_KEYS);
        let mut bytes = 0;
        let mut taken = 0;
        let within = scan.entries.iter().take_while(|entry| {
            let more = bytes < STEP_BYTES;
            bytes += entry.key().len();
            taken += usize::from(more);
            more
        });
        let mine = within.filter(|entry| !entry.is_owned());
        let keys = mine.map(|entry| entry.key().to_vec()).collect();
        let end = scan.end && taken == scan.entries.len();
        let last = scan.entries.get(taken.saturating_sub(1));
        Step {
            keys,
            last: last.filter(|_| !end).map(|entry| entry.key().to_vec()),
            seen: scan.seen,
        }
    }
}

/// A walk over the keys under a prefix, step by step, in which others have their turn between two steps.
#[derive(Default)]
enum Steps {
    #[default]
    Begin,
    /// Behind this key.
    Behind(Vec<u8>),
    End,
}

impl Steps {
    async fn next(&mut self, store: &Store, keyspace: &Keyspace, prefix: &[u8]) -> Option<Step> {
        let mut step = match self {
            Self::Begin => store.step(keyspace, prefix, None),
            Self::Behind(after) => {
                yield_now().await;
                store.step(keyspace, prefix, Some(after))
            }
            Self::End => return None,
        };
        *self = step.last.take().map_or(Self::End, Self::Behind);
        Some(step)
    }
}

/// Some of the keys under a prefix.
struct Step {
    keys: Vec<Vec<u8>>,
    /// Where the next step goes on; `None` at the end.
    last: Option<Vec<u8>>,
    seen: u64,
}

impl Core {
    /// Deletes those of `keys` that are there, as one record.
    fn delete_step(
        &self,
        keyspace: &Keyspace,
        prefix: &[u8],
        keys: &[Vec<u8>],
        level: Level,
        grant: Option<Grant>,
    ) -> Result<Flush, WriteError> {
        let mut by_shard: BTreeMap<usize, Vec<(u32, &[u8])>> = BTreeMap::new();
        for key in keys {
            let place = keyspace.map.place(key);
            by_shard
                .entry(place.shard)
                .or_default()
                .push((place.hash, key));
        }
        let now_ms = self.clock.now_ms();
        let mut seen = 0;
        let mut locked: Vec<_> = by_shard
            .into_iter()
            .map(|(shard, keys)| (keyspace.map.write(shard), keys))
            .collect();
        if keyspace.is_dropped() {
            return Err(WriteError::Dropped);
        }
        for (shard, keys) in &mut locked {
            keys.retain(|(hash, key)| {
                let found = shard.look_up(*hash, key, || now_ms);
                seen = self.current(&found).1.max(seen);
                matches!(found, Lookup::Live(entry) if !entry.is_owned())
            });
        }
        let named: Vec<&[u8]> = locked
            .iter()
            .flat_map(|(_, keys)| keys.iter().map(|(_, key)| *key))
            .collect();
        if named.is_empty() {
            return Ok(Flush {
                flushed: 0,
                seen,
                own: None,
            });
        }
        let marks = Marks::of_keys(keyspace, &locked)?;
        let payload = record::delete_prefix(keyspace.id(), prefix, &named);
        let (code, payload) = Marks::in_front_of(marks.as_ref(), kind::DELETE_PREFIX, payload);
        let fields = (code, now_ms, level);
        let (count, told) = (
            wide(named.len()),
            Change::delete_prefix(prefix, wide(named.len())),
        );
        let queued = self.queue_with(keyspace, grant.as_ref(), fields, |teller| {
            teller.tell(told);
            Payload::whole(&payload)
        });
        let revision = queued.revision;
        let settled = self.settled(grant.as_ref());
        if let Some(marks) = marks {
            let shards = locked.iter_mut().map(|(shard, _)| &mut **shard);
            marks.done(shards, (revision, now_ms));
        }
        let mut gone = Vec::with_capacity(narrow(count));
        for (shard, keys) in &mut locked {
            for (hash, key) in keys {
                gone.extend(shard.apply(*hash, Effect::Delete { key, revision }, settled));
            }
        }
        drop(locked);
        drop(gone);
        queued.settle(grant);
        Ok(Flush {
            flushed: count,
            seen,
            own: Some(revision),
        })
    }
}

/// Lets others have a turn, in any runtime.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
