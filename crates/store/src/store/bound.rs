//! Room in a bounded keyspace. A change claims more of the log, for the keys that leave for it; under its shard's lock it
//! lets them leave and names them in front of its own record. Where more has to leave than may at once, they leave by
//! records of their own, and the change tries again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Core;
use super::change::Queued;
use crate::error::WriteError;
use crate::int::{narrow, wide};
use crate::log::frame::frame_len;
use crate::log::{Grant, Level, Purpose, Wake};
use crate::map::{Allowance, Entry, Keyspace, Need, Room, Shard, Victims, cost};
use crate::record::{self, EVICT_BYTES, kind};

/// Most bytes of keys that leave with one change, each with two for its length.
const EVICTED_BYTES: u64 = 64 << 10;
/// Most keys that leave under one lock.
const EVICTED_KEYS: usize = 256;

/// What a change was granted before any lock.
#[derive(Debug)]
pub(super) struct Spare {
    /// Room in the log; `None` where nothing is logged.
    pub(super) grant: Option<Grant>,
    /// Bytes of the change's own payload.
    len: u64,
    /// Bytes of keys that may leave with it.
    keys: usize,
}

impl Spare {
    /// For keys that leave without a change that needs it.
    pub(super) fn alone(grant: Option<Grant>, keys: usize) -> Self {
        Self {
            grant,
            len: 0,
            keys,
        }
    }
}

/// Why a change was not made, although nothing failed.
#[derive(Debug)]
pub(super) enum NotMade {
    /// The keyspace was dropped.
    Dropped,
    /// More has to leave, next a key of that many bytes.
    More { key_bytes: usize },
    /// It never will be.
    Refused(WriteError),
}

impl NotMade {
    /// Where to try again, and how many bytes of keys have to be able to leave then.
    pub(super) fn next(
        self,
        keyspace: &Arc<Keyspace>,
    ) -> Result<(&Arc<Keyspace>, usize), WriteError> {
        match self {
            Self::Dropped => {
                let successor = keyspace.successor().ok_or(WriteError::Dropped)?;
                Ok((successor, 0))
            }
            Self::More { key_bytes } => Ok((keyspace, key_bytes)),
            Self::Refused(error) => Err(error),
        }
    }
}

/// What has left for a change, still under the lock.
#[derive(Debug)]
pub(super) struct Left<'l> {
    victims: Victims,
    /// The front of the change's record.
    front: Vec<u8>,
    /// What a record of its own took of the grant.
    used: u64,
    wake: Option<Wake<'l>>,
}

impl Left<'_> {
    fn nothing() -> Self {
        Self {
            victims: Victims::default(),
            front: Vec::new(),
            used: 0,
            wake: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.victims.is_empty()
    }

    /// Names what has left in front of a change of type `code` whose payload begins with `prefix`.
    pub(super) fn in_front_of(&self, code: u8, prefix: Vec<u8>) -> (u8, Vec<u8>) {
        if self.front.is_empty() {
            return (code, prefix);
        }
        (kind::EVICTING, [&self.front, &[code][..], &prefix].concat())
    }

    /// Ends the change, or what was done for one that was not made, once nothing is locked any more: what has left is freed
    /// here.
    pub(super) fn settle(self, core: &Core, queued: Option<Queued<'_>>, grant: Option<Grant>) {
        drop(self.wake);
        let used = queued.map_or(0, |queued| {
            drop(queued.wake);
            queued.used
        });
        if let Some(grant) = grant {
            grant.used(self.used + used);
        }
        if !self.victims.is_empty() {
            let count = |entries: &[Entry]| wide(entries.len());
            core.expired
                .fetch_add(count(&self.victims.expired), Ordering::Relaxed);
            core.evicted
                .fetch_add(count(&self.victims.evicted), Ordering::Relaxed);
        }
    }
}

impl Core {
    /// Room in the log for a change with a payload of `len` bytes, and for the keys that leave for it: at least `ahead` bytes
    /// of them.
    pub(super) async fn spare(
        &self,
        keyspace: &Keyspace,
        len: u64,
        purpose: Purpose,
        ahead: usize,
    ) -> Result<Spare, WriteError> {
        if !keyspace.is_bounded() {
            let grant = self.grant_more(keyspace, len, purpose, 0).await?;
            return Ok(Spare {
                grant,
                len,
                keys: 0,
            });
        }
        let keys = wide(ahead).max(self.evicted_bytes());
        // As if it were a record of its own: it is where the change has no place for it.
        let more = frame_len(wide(EVICT_BYTES) + keys);
        let grant = self.grant_more(keyspace, len, purpose, more).await?;
        Ok(Spare {
            grant,
            len,
            keys: narrow(keys),
        })
    }

    /// How many bytes of keys may leave at once: not so many that a small segment has to be shared out for it.
    fn evicted_bytes(&self) -> u64 {
        EVICTED_BYTES.min(self.log.room().shared_bytes() / 4)
    }

    /// Makes room for `entry` in its shard.
    pub(super) fn room_for_entry(
        &self,
        keyspace: &Keyspace,
        shard: &mut Shard,
        hash: u32,
        entry: &Entry,
        spare: &Spare,
    ) -> (Left<'_>, Result<(), NotMade>) {
        let Some(limit) = shard.share() else {
            return (Left::nothing(), Ok(()));
        };
        let cost = cost::cost(entry);
        if cost > limit {
            let why = WriteError::EntryTooLarge {
                limit,
                actual: cost,
            };
            return (Left::nothing(), Err(NotMade::Refused(why)));
        }
        let (now, kept) = shard.standing(hash, entry.key());
        let need = Need {
            growth: cost.saturating_sub(now),
            kept,
            keep: &|other| other.key() == entry.key(),
        };
        self.make_room(keyspace, shard, &need, spare)
    }

    /// Makes room in a shard, and logs what left where the change will not.
    pub(super) fn make_room(
        &self,
        keyspace: &Keyspace,
        shard: &mut Shard,
        need: &Need<'_>,
        spare: &Spare,
    ) -> (Left<'_>, Result<(), NotMade>) {
        let mut left = Left::nothing();
        if !shard.lacks(need.growth) {
            return (left, Ok(()));
        }
        let allowance = self.allowance(spare, EVICTED_KEYS);
        let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
        let room = shard.make_room(need, &allowance, &hash_of, &mut left.victims);
        if !left.victims.is_empty() && spare.grant.is_some() {
            left.front = told(keyspace, &left.victims);
            let whole = wide(left.front.len()) + 1 + spare.len;
            if room != Room::Made || whole > self.log.max_record_bytes() {
                let alone = self.queue_evict(spare.grant.as_ref(), &left.front);
                left.used = alone.used;
                left.wake = alone.wake;
                left.front = Vec::new();
            }
        }
        let made = match room {
            Room::Made => Ok(()),
            Room::Partly { key_bytes } => Err(NotMade::More { key_bytes }),
            Room::Full => {
                let limit = keyspace.policy().max_bytes.unwrap_or(0);
                Err(NotMade::Refused(WriteError::KeyspaceFull { limit }))
            }
        };
        (left, made)
    }

    /// Lets up to `keys` entries leave a shard that costs more than it may. How many bytes the next key has, where there is
    /// one.
    pub(super) fn fit(
        &self,
        keyspace: &Keyspace,
        shard: &mut Shard,
        spare: &Spare,
        keys: usize,
    ) -> (Option<usize>, Left<'_>) {
        let mut left = Left::nothing();
        let allowance = self.allowance(spare, keys);
        let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
        let room = shard.fit(&allowance, &hash_of, &mut left.victims);
        if !left.victims.is_empty() && spare.grant.is_some() {
            let alone = self.queue_evict(spare.grant.as_ref(), &told(keyspace, &left.victims));
            left.used = alone.used;
            left.wake = alone.wake;
        }
        match room {
            Room::Partly { key_bytes } => (Some(key_bytes), left),
            Room::Made | Room::Full => (None, left),
        }
    }

    fn allowance(&self, spare: &Spare, keys: usize) -> Allowance {
        Allowance {
            bytes: spare.keys,
            keys,
            now_ms: (!self.removal_paused()).then(|| self.clock.now_ms()),
        }
    }

    fn queue_evict(&self, grant: Option<&Grant>, payload: &[u8]) -> Queued<'_> {
        let fields = (kind::EVICT, self.clock.now_ms(), Level::Written);
        self.queue(grant, fields, payload, None)
    }
}

/// The payload that tells what has left.
fn told(keyspace: &Keyspace, victims: &Victims) -> Vec<u8> {
    let expired = victims.expired.iter().map(Entry::key);
    let evicted = victims.evicted.iter().map(Entry::key);
    record::evict(keyspace.id(), expired, evicted)
}
