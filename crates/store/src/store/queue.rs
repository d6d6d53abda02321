//! The one way into the log: room for a record, then, under the shard's lock, its revision, its place in the open batch, and
//! its events in the watchers' hub, all under one lock. It must not know what a change does.

use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::Core;
use super::bound::Left;
use super::pending::Pend;
use crate::error::WriteError;
use crate::log::frame::frame_len;
use crate::log::{Grant, Level, Payload, Purpose, Wake};
use crate::map::{Effect, Entry, Keyspace, Shard};
use crate::options::Durability;
use crate::watch::{Change, Teller};

/// What a change was told by the log: its revision, and what is left to do once nothing is locked.
pub(super) struct Queued<'l> {
    pub(super) revision: u64,
    pub(super) used: u64,
    pub(super) wake: Option<Wake<'l>>,
}

impl Queued<'_> {
    /// Ends the change, once nothing is locked any more.
    pub(super) fn settle(self, grant: Option<Grant>) -> u64 {
        drop(self.wake);
        if let Some(grant) = grant {
            grant.used(self.used);
        }
        self.revision
    }
}

/// An entry on its way into the map: nothing can refuse it any more.
pub(super) struct Going<'k, 'l> {
    pub(super) entry: Entry,
    /// The type of its record, and the payload but for key and value, which follow.
    pub(super) record: (u8, Vec<u8>),
    pub(super) time_ms: u64,
    pub(super) level: Level,
    /// What leaves for it.
    pub(super) left: Left<'l>,
    /// What it makes pending.
    pub(super) pend: Option<Pend<'k>>,
}

impl Core {
    /// Queues the record of an entry and puts it, in one step. Returns its revision.
    pub(super) fn go<'l>(
        &'l self,
        keyspace: &Keyspace,
        mut shard: RwLockWriteGuard<'_, Shard>,
        hash: u32,
        going: Going<'_, 'l>,
        grant: Option<Grant>,
    ) -> u64 {
        let Going {
            mut entry,
            record: (code, prefix),
            time_ms,
            level,
            left,
            pend,
        } = going;
        let (code, prefix) = Pend::in_front_of(pend.as_ref(), code, prefix);
        let (code, prefix) = left.in_front_of(code, prefix);
        let (fields, front) = ((code, time_ms, level), (&left, &*prefix));
        let queued = self.queue(keyspace, grant.as_ref(), fields, front, &mut entry);
        let revision = queued.revision;
        if let Some(pend) = pend {
            pend.done(&mut shard, hash, entry.key(), (revision, time_ms));
        }
        let settled = self.settled(grant.as_ref());
        let old = shard.apply(hash, Effect::Put(entry), settled);
        drop(shard);
        drop(old);
        left.settle(self, Some(queued), grant);
        revision
    }

    /// Room for a record with a payload of `len` bytes; none is needed where nothing is logged.
    pub(super) async fn grant(
        &self,
        keyspace: &Keyspace,
        len: u64,
        purpose: Purpose,
    ) -> Result<Option<Grant>, WriteError> {
        self.grant_more(keyspace, len, purpose, 0).await
    }

    /// The same with `more` bytes for another record.
    pub(super) async fn grant_more(
        &self,
        keyspace: &Keyspace,
        len: u64,
        purpose: Purpose,
        more: u64,
    ) -> Result<Option<Grant>, WriteError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(WriteError::Closing);
        }
        if keyspace.durability() == Durability::Memory {
            return Ok(None);
        }
        // The room is closed as well, a moment after the first have been told.
        if let Some(lost) = self.log.lost() {
            return Err(lost.clone().into());
        }
        let limit = self.log.max_record_bytes();
        if len > limit {
            return Err(WriteError::TooLarge { limit, actual: len });
        }
        self.log
            .room()
            .claim(frame_len(len) + more, purpose)
            .await
            .map(Some)
    }

    /// Takes the next revision, queues the record, an entry's key and value behind `prefix`, and tells of what has `left`
    /// for it and of the entry. The shard's lock is held by the caller.
    fn queue<'l>(
        &'l self,
        keyspace: &Keyspace,
        grant: Option<&Grant>,
        fields: (u8, u64, Level),
        (left, prefix): (&Left<'_>, &[u8]),
        entry: &mut Entry,
    ) -> Queued<'l> {
        let mut hold = None;
        self.queue_with(keyspace, grant, fields, |teller| {
            left.tell(teller);
            entry.set_revision(teller.revision());
            let entry = &*entry;
            teller.tell(Change::Put(entry.clone()));
            let hold = hold.insert(move || entry.clone().into_key_and_value());
            Payload {
                prefix,
                body: entry.key_and_value(),
                hold: Some(hold),
            }
        })
    }

    /// Takes the next revision and queues the record that `payload` gives for it. `payload` also tells the watchers' hub what
    /// the revision does, in the order in which the record names it: replay tells the same once more.
    pub(super) fn queue_with<'l, 'p>(
        &'l self,
        keyspace: &Keyspace,
        grant: Option<&Grant>,
        (code, time_ms, level): (u8, u64, Level),
        payload: impl FnOnce(&mut Teller<'_>) -> Payload<'p>,
    ) -> Queued<'l> {
        if grant.is_none() {
            let mut teller = self.hub.tell_memory(keyspace.id());
            payload(&mut teller);
            return Queued {
                revision: teller.revision(),
                used: 0,
                wake: None,
            };
        }
        #[cfg(feature = "bug-revision-outside-lock")]
        let revision = self.log.queue().next_revision();
        #[cfg(feature = "bug-revision-outside-lock")]
        std::thread::yield_now();
        let mut queue = self.log.queue();
        #[cfg(not(feature = "bug-revision-outside-lock"))]
        let revision = queue.next_revision();
        let mut teller = self.hub.tell_logged(keyspace.id(), revision);
        let payload = payload(&mut teller);
        drop(teller);
        let used = queue.push(code, time_ms, level, payload);
        Queued {
            revision,
            used,
            wake: Some(self.log.release(queue)),
        }
    }

    /// The newest revision that no crash can take back; everything, where nothing is logged.
    pub(super) fn settled(&self, grant: Option<&Grant>) -> u64 {
        grant.map_or(u64::MAX, |_| self.log.durable())
    }
}
