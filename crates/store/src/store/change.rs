//! Changes: put, delete, flush. Each takes room before any lock; under its shard's lock it checks its conditions, takes the
//! next revision, queues its record and applies it; what it replaced is freed outside.

use std::sync::Arc;

use super::bound::{NotMade, Spare};
use super::pending::{Happens, Marks, Pend, front_len};
use super::queue::Going;
use super::{Conditions, Core, Garbage, Holder, Store, Version, Writer};
use crate::error::WriteError;
use crate::int::wide;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Effect, Entry, Keyspace, Lookup, MAX_KEY_BYTES, Shard};
use crate::record::{self, Lifetime, Meta, Parts, kind};
use crate::watch::Change;

/// Stands for the keyspace in a draft's prefix.
const NO_KEYSPACE: u32 = 0;

/// An entry on its way into the store: allocated once, at its exact size, filled by the caller.
#[derive(Debug)]
pub struct Draft {
    entry: Entry,
    /// What the log needs before key and value; the keyspace in front is filled in when it is known.
    prefix: Vec<u8>,
    /// The time of its record.
    time_ms: u64,
    /// Who puts it: [`Writer::Client`] also stands for the source that its entry names.
    by: Writer<'static>,
}

impl Draft {
    /// The value's bytes, to be filled; zeros before.
    pub fn fill<R>(&mut self, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.entry.fill(write)
    }

    /// The length of the value.
    pub fn value_len(&self) -> usize {
        self.entry.value().len()
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.entry.key()
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    pub(super) fn by(&self) -> Writer<'static> {
        self.by
    }

    pub(super) fn entry_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }

    pub(super) fn into_entry(self) -> Entry {
        self.entry
    }

    /// The most that its record takes.
    pub(super) fn payload_len(&self) -> u64 {
        wide(self.prefix.len() + self.entry.key_and_value().len()) + front_len(0)
    }
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Putted {
    /// The entry has this version now.
    Stored {
        /// The new version.
        version: Version,
        /// Whether the key was absent before.
        created: bool,
    },
    /// A condition did not hold; nothing changed.
    Refused {
        /// The current version; `None` where the key is absent.
        current: Option<Version>,
    },
    /// The key is somebody else's, whatever the conditions; nothing changed.
    Foreign(Holder),
}

/// A put, applied but perhaps not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// What became of it.
    pub outcome: Putted,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
}

/// What became of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// The key was there and is gone.
    Removed,
    /// The key was not there.
    Absent,
    /// A condition did not hold; nothing changed.
    Refused {
        /// The current version; `None` where the key is absent.
        current: Option<Version>,
    },
    /// The key is somebody else's, whatever the conditions; nothing changed.
    Foreign(Holder),
}

/// A delete, applied but perhaps not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// What became of it.
    pub outcome: Deleted,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
}

/// A flush, applied but perhaps not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// How many entries were there.
    pub flushed: u64,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision.
    pub own: Option<u64>,
}

impl Store {
    /// An entry of `key` with room for a value of `value_len` bytes, to be filled and put. Where `meta` names an owner, it is
    /// that source that puts it, otherwise a client.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] where the key or the facts are longer than any record may carry.
    pub fn draft(
        &self,
        key: &[u8],
        value_len: usize,
        meta: &Meta<'_>,
        lifetime: Lifetime,
    ) -> Result<Draft, WriteError> {
        self.draft_at(key, value_len, meta, lifetime, self.core.clock.now_ms())
    }

    /// The same out of a backup, for a value that was written at `written_at_ms` (Unix milliseconds, now at the latest; `None`
    /// = now): it is put over whatever is there.
    pub fn restored_draft(
        &self,
        key: &[u8],
        value_len: usize,
        meta: &Meta<'_>,
        lifetime: Lifetime,
        written_at_ms: Option<u64>,
    ) -> Result<Draft, WriteError> {
        let written_at_ms = written_at_ms.unwrap_or(u64::MAX);
        let draft = self.draft_at(key, value_len, meta, lifetime, written_at_ms)?;
        Ok(Draft {
            by: Writer::Restore,
            ..draft
        })
    }

    /// The same for a value that was fetched because somebody asked for it: put by [`Writer::Fetch`].
    ///
    /// # Errors
    /// As [`Store::draft`].
    pub fn fetched_draft(
        &self,
        key: &[u8],
        value_len: usize,
        meta: &Meta<'_>,
        lifetime: Lifetime,
    ) -> Result<Draft, WriteError> {
        let draft = self.draft(key, value_len, meta, lifetime)?;
        Ok(Draft {
            by: Writer::Fetch,
            ..draft
        })
    }

    fn draft_at(
        &self,
        key: &[u8],
        value_len: usize,
        meta: &Meta<'_>,
        lifetime: Lifetime,
        written_at_ms: u64,
    ) -> Result<Draft, WriteError> {
        let time_ms = self.core.clock.now_ms();
        let parts = Parts {
            key,
            meta: *meta,
            lifetime,
            created_at_ms: written_at_ms.min(time_ms),
        };
        let limit = self.core.log.max_record_bytes();
        let actual = record::put_payload_len(&parts, value_len);
        if key.len() > MAX_KEY_BYTES || !meta.fits() || actual > limit {
            return Err(WriteError::TooLarge { limit, actual });
        }
        let entry = Entry::reserve(&parts, value_len, &self.core.contents.facts);
        let mut prefix = Vec::with_capacity(32);
        record::put_prefix(&mut prefix, NO_KEYSPACE, &parts, time_ms);
        Ok(Draft {
            entry,
            prefix,
            time_ms,
            by: Writer::Client,
        })
    }

    /// Puts `draft` where `when` holds. `level` is how far the caller will wait for it: the writer syncs at once for
    /// [`Level::Durable`].
    pub async fn put(
        &self,
        keyspace: &Arc<Keyspace>,
        mut draft: Draft,
        when: &Conditions<'_>,
        level: Level,
    ) -> Result<Put, WriteError> {
        let mut keyspace = keyspace;
        let mut ahead = 0;
        loop {
            let len = draft.payload_len();
            let spare = self.core.spare(keyspace, len, Purpose::Grow, ahead).await?;
            match self.core.put(keyspace, draft, when, level, spare) {
                Ok(put) => return Ok(put),
                Err((returned, why)) => {
                    draft = returned;
                    (keyspace, ahead) = why.next(keyspace)?;
                }
            }
        }
    }

    /// Removes `key` where it is `by`'s to remove and `when` holds. An absent key is no error and makes no change.
    pub async fn delete(
        &self,
        keyspace: &Arc<Keyspace>,
        key: &[u8],
        when: &Conditions<'_>,
        by: Writer<'_>,
        level: Level,
    ) -> Result<Delete, WriteError> {
        let mut keyspace = keyspace;
        loop {
            let len = wide(key.len()) + 4 + front_len(0);
            let grant = self.core.grant(keyspace, len, Purpose::Shrink).await?;
            let what = (key, when, by);
            match self.core.delete(keyspace, what, level, grant) {
                Ok(delete) => return Ok(delete),
                Err(why) => (keyspace, _) = why.next(keyspace)?,
            }
        }
    }

    /// Removes every entry of `keyspace` as one change. Where that is to be passed on, it takes as long as there are entries.
    pub async fn flush(&self, keyspace: &Arc<Keyspace>, level: Level) -> Result<Flush, WriteError> {
        let mut keyspace = keyspace;
        loop {
            let len = 4 + front_len(0);
            let grant = self.core.grant(keyspace, len, Purpose::Empty).await?;
            match self.core.flush(keyspace, level, grant) {
                Ok(flush) => return Ok(flush),
                Err(why) => (keyspace, _) = why.next(keyspace)?,
            }
        }
    }
}

/// Who has `key` where it waits to be passed on and `by` only repeats what others know: what a client put is newer than that.
fn waiting(shard: &Shard, key: &[u8], by: Writer<'_>) -> Option<Holder> {
    (by == Writer::Fetch && shard.is_marked(key)).then_some(Holder::Client)
}

impl Core {
    /// Gives the draft back where the keyspace was dropped or holds no room yet.
    fn put(
        &self,
        keyspace: &Keyspace,
        mut draft: Draft,
        when: &Conditions<'_>,
        level: Level,
        spare: Spare,
    ) -> Result<Put, (Draft, NotMade)> {
        let place = keyspace.map.place(draft.entry.key());
        if let Some(id) = draft.prefix.first_chunk_mut() {
            *id = keyspace.id().to_le_bytes();
        }
        let mut shard = keyspace.map.write(place.shard);
        if keyspace.is_dropped() {
            return Err((draft, NotMade::Dropped));
        }
        let key = draft.entry.key();
        let found = shard.look_up(place.hash, key, || self.clock.now_ms());
        let (current, seen) = self.current(&found);
        let by = draft.by();
        let foreign = || self.foreign_to_draft(&found, &draft);
        let refused = match waiting(&shard, key, by).or_else(foreign) {
            Some(holder) => Some(Putted::Foreign(holder)),
            None => (!when.hold(current)).then_some(Putted::Refused { current }),
        };
        if let Some(outcome) = refused {
            return Ok(Put {
                outcome,
                seen,
                own: None,
            });
        }
        let created = current.is_none();
        let pend = match Pend::mark(keyspace, &shard, key, Happens::Put.by(by)) {
            Ok(pend) => pend,
            Err(why) => return Err((draft, why.into())),
        };
        let (left, made) =
            self.room_for_entry(keyspace, &mut shard, place.hash, &draft.entry, &spare);
        if let Err(why) = made {
            drop(shard);
            left.settle(self, None, spare.grant);
            return Err((draft, why));
        }
        let going = Going {
            entry: draft.entry,
            record: (kind::PUT, draft.prefix),
            time_ms: draft.time_ms,
            level,
            left,
            pend,
        };
        let revision = self.go(keyspace, shard, place.hash, going, spare.grant);
        let version = self.version_of(revision);
        Ok(Put {
            outcome: Putted::Stored { version, created },
            seen,
            own: Some(revision),
        })
    }

    fn delete(
        &self,
        keyspace: &Keyspace,
        (key, when, by): (&[u8], &Conditions<'_>, Writer<'_>),
        level: Level,
        grant: Option<Grant>,
    ) -> Result<Delete, NotMade> {
        let place = keyspace.map.place(key);
        let payload = record::delete(keyspace.id(), key);
        let time_ms = self.clock.now_ms();
        let mut shard = keyspace.map.write(place.shard);
        if keyspace.is_dropped() {
            return Err(NotMade::Dropped);
        }
        let found = shard.look_up(place.hash, key, || time_ms);
        let (current, seen) = self.current(&found);
        let foreign = || self.foreign(&found, by);
        let refused = match waiting(&shard, key, by).or_else(foreign) {
            Some(holder) => Some(Deleted::Foreign(holder)),
            None if !when.hold(current) => Some(Deleted::Refused { current }),
            None => current.is_none().then_some(Deleted::Absent),
        };
        if let Some(outcome) = refused {
            return Ok(Delete {
                outcome,
                seen,
                own: None,
            });
        }
        let pend = Pend::mark(keyspace, &shard, key, Happens::Deleted.by(by))?;
        let (code, payload) = Pend::in_front_of(pend.as_ref(), kind::DELETE, payload);
        let fields = (code, time_ms, level);
        let told = Change::delete(key);
        let queued = self.queue_with(keyspace, grant.as_ref(), fields, |teller| {
            teller.tell(told);
            Payload::whole(&payload)
        });
        let settled = self.settled(grant.as_ref());
        let revision = queued.revision;
        if let Some(pend) = pend {
            pend.done(&mut shard, place.hash, key, (revision, time_ms));
        }
        let old = shard.apply(place.hash, Effect::Delete { key, revision }, settled);
        drop(shard);
        drop(old);
        queued.settle(grant);
        Ok(Delete {
            outcome: Deleted::Removed,
            seen,
            own: Some(revision),
        })
    }

    fn flush(
        &self,
        keyspace: &Keyspace,
        level: Level,
        grant: Option<Grant>,
    ) -> Result<Flush, NotMade> {
        let payload = record::whole_keyspace(keyspace.id());
        let mut shards = keyspace.map.write_all();
        if keyspace.is_dropped() {
            return Err(NotMade::Dropped);
        }
        let now_ms = self.clock.now_ms();
        let seen = shards.iter().map(|shard| shard.mark()).max().unwrap_or(0);
        let code = if cfg!(feature = "bug-flush-not-logged") {
            // A record of a revision that does nothing: the payload reads as the deletion of the empty key.
            kind::DELETE
        } else {
            kind::FLUSH
        };
        let marks = Marks::of_flush(keyspace, &shards, now_ms)?;
        let (code, payload) = Marks::in_front_of(marks.as_ref(), code, payload);
        let fields = (code, now_ms, level);
        let flushed = shards.iter().map(|shard| shard.live_at(now_ms)).sum();
        let queued = self.queue_with(keyspace, grant.as_ref(), fields, |teller| {
            teller.tell(Change::flush(flushed));
            Payload::whole(&payload)
        });
        let revision = queued.revision;
        if let Some(marks) = marks {
            let shards = shards.iter_mut().map(|shard| &mut **shard);
            marks.done(shards, (revision, now_ms));
        }
        let drained: Vec<_> = shards
            .iter_mut()
            .skip(usize::from(cfg!(feature = "bug-flush-misses-a-shard")))
            .map(|shard| shard.flush(revision))
            .collect();
        drop(shards);
        queued.settle(grant);
        // Millions of entries take a while to free: not here, where somebody waits.
        let drained = drained.into_iter().map(Garbage::drained);
        self.garbage.lock().extend(drained);
        Ok(Flush {
            flushed,
            seen,
            own: Some(revision),
        })
    }

    /// The current version, and what an answer about it rests on.
    pub(super) fn current(&self, found: &Lookup<'_>) -> (Option<Version>, u64) {
        match found {
            #[cfg(feature = "bug-refuse-before-durable")]
            Lookup::Live(entry) => (Some(self.version_of(entry.revision())), 0),
            #[cfg(not(feature = "bug-refuse-before-durable"))]
            Lookup::Live(entry) => (Some(self.version_of(entry.revision())), entry.revision()),
            Lookup::Expired(entry) => (None, entry.revision()),
            Lookup::Absent { seen } if cfg!(feature = "bug-absent-before-durable") => (None, 0),
            Lookup::Absent { seen } => (None, *seen),
        }
    }
}
