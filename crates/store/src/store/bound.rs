//! Room in a bounded keyspace. A change claims more of the log, for the keys that leave for it; under its shard's lock it
//! lets them leave and names them in front of its own record. Where more has to leave than may at once, they leave by
//! records of their own, and the change tries again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::Core;
use super::queue::Queued;
use crate::error::{Backlog, WriteError};
use crate::int::{narrow, wide};
use crate::log::frame::frame_len;
use crate::log::{Grant, Level, Payload, Purpose, Wake};
use crate::map::{Allowance, Entry, Keyspace, Need, Place, Room, Shard, Victims, cost};
use crate::record::{self, EVICT_BYTES, kind};
use crate::watch::{Change, Teller};

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

impl From<WriteError> for NotMade {
    fn from(error: WriteError) -> Self {
        Self::Refused(error)
    }
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

/// What an operation of a batch brings to its key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Brought<'a> {
    /// An entry.
    Entry(&'a Entry),
    /// The mark that this key was deleted.
    Mark(&'a [u8]),
}

impl Brought<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Self::Entry(entry) => entry.key(),
            Self::Mark(key) => key,
        }
    }

    fn cost(&self) -> u64 {
        match self {
            Self::Entry(entry) => cost::cost(entry),
            Self::Mark(key) => cost::of_mark(key),
        }
    }
}

/// The shards of a batch, locked in ascending order.
pub(super) type Locked<'k> = BTreeMap<usize, RwLockWriteGuard<'k, Shard>>;

/// What a batch changes in one shard.
#[derive(Debug, Default)]
struct Sums {
    /// What its keys cost now.
    now: u64,
    /// What of it could leave.
    kept: u64,
    /// What they will cost.
    then: u64,
}

impl Sums {
    fn growth(&self) -> u64 {
        self.then.saturating_sub(self.now)
    }
}

/// What has left for a change, still under the lock.
#[derive(Debug)]
pub(super) struct Left<'l> {
    victims: Victims,
    /// The front of the change's record.
    front: Vec<u8>,
    /// Whether what has left has a record of its own.
    alone: bool,
    /// What that took of the grant.
    used: u64,
    wake: Option<Wake<'l>>,
}

impl Left<'_> {
    pub(super) fn nothing() -> Self {
        Self {
            victims: Victims::default(),
            front: Vec::new(),
            alone: false,
            used: 0,
            wake: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.victims.is_empty()
    }

    /// Tells what has left for a change, unless that is told already.
    pub(super) fn tell(&self, teller: &mut Teller<'_>) {
        if !self.alone {
            tell_left(&self.victims, teller);
        }
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
        let mut left = Left::nothing();
        if shard.share().is_none() {
            return (left, Ok(()));
        }
        shard.tidy(&mut left.victims);
        let cost = match fitting(shard, Brought::Entry(entry)) {
            Ok(cost) => cost,
            Err(why) => return (left, Err(why)),
        };
        let (now, kept) = shard.standing(hash, entry.key());
        let need = Need {
            growth: cost.saturating_sub(now),
            kept,
            keep: &|other| other.key() == entry.key(),
        };
        let room = self.make_room(keyspace, shard, &need, spare, &mut left);
        let made = self.tell(keyspace, spare, room, &mut left);
        (left, made)
    }

    /// Makes room in every shard of a batch for what it brings there, less what that replaces.
    pub(super) fn room_for_all(
        &self,
        keyspace: &Keyspace,
        locked: &mut Locked<'_>,
        brought: &[(Place, Brought<'_>)],
        spare: &Spare,
    ) -> (Left<'_>, Result<(), NotMade>) {
        let mut left = Left::nothing();
        if !keyspace.is_bounded() {
            return (left, Ok(()));
        }
        let keys: HashSet<&[u8]> = brought.iter().map(|(_, brings)| brings.key()).collect();
        let keep = |entry: &Entry| keys.contains(entry.key());
        let sums = match sums_of(locked, brought) {
            Ok(sums) => sums,
            Err(why) => return (left, Err(why)),
        };
        let needs = sums.iter().map(|(number, sums)| {
            let need = Need {
                growth: sums.growth(),
                kept: sums.kept,
                keep: &keep,
            };
            (number, need)
        });
        let needs: Vec<_> = needs.collect();
        let mut room = Room::Made;
        // Nobody leaves one shard in vain, because another has no room.
        let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
        for (number, need) in &needs {
            if let Some(shard) = locked.get_mut(*number) {
                shard.relieve(need, &hash_of, &mut left.victims);
            }
        }
        let now_ms = self.allowance(spare, EVICTED_KEYS).now_ms;
        let hopeless = |(number, need): &(&usize, Need<'_>)| {
            let shard = locked.get(*number).filter(|shard| !shard.could_hold(need));
            shard.map(|shard| shard.refusal(need, now_ms))
        };
        if let Some(refusal) = needs.iter().find_map(hopeless) {
            room = refusal;
        }
        for number in sums.keys() {
            if let Some(shard) = locked.get_mut(number) {
                shard.tidy(&mut left.victims);
            }
        }
        for (number, need) in needs {
            if let (Room::Made, Some(shard)) = (room, locked.get_mut(number)) {
                room = self.make_room(keyspace, shard, &need, spare, &mut left);
            }
        }
        let made = self.tell(keyspace, spare, room, &mut left);
        (left, made)
    }

    /// Makes room in a shard. What leaves has to be told of.
    fn make_room(
        &self,
        keyspace: &Keyspace,
        shard: &mut Shard,
        need: &Need<'_>,
        spare: &Spare,
        left: &mut Left<'_>,
    ) -> Room {
        if !shard.lacks(need.growth) {
            return Room::Made;
        }
        let allowance = self.allowance(spare, EVICTED_KEYS);
        let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
        shard.make_room(need, &allowance, &hash_of, &mut left.victims)
    }

    /// Sees to it that what has left is logged: in front of the change's record, or where there is no change yet or no place,
    /// by a record of its own.
    fn tell<'l>(
        &'l self,
        keyspace: &Keyspace,
        spare: &Spare,
        room: Room,
        left: &mut Left<'l>,
    ) -> Result<(), NotMade> {
        if !left.victims.is_empty() {
            let logged = spare.grant.is_some();
            let front = named(keyspace, &left.victims);
            let whole = wide(front.len()) + 1 + spare.len;
            let fits = !logged || whole <= self.log.max_record_bytes();
            if room != Room::Made || !fits {
                self.queue_evict(keyspace, spare, &front, left);
            } else if logged {
                left.front = front;
            }
        }
        match room {
            Room::Made => Ok(()),
            Room::Partly { key_bytes } => Err(NotMade::More { key_bytes }),
            Room::Full => {
                let limit = keyspace.policy().max_bytes.unwrap_or(0);
                Err(NotMade::Refused(WriteError::KeyspaceFull { limit }))
            }
            Room::Backlog => {
                let limit = keyspace.policy().max_bytes.unwrap_or(0);
                let of = Backlog::Bytes;
                Err(NotMade::Refused(WriteError::SinkBacklog { limit, of }))
            }
        }
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
        if !left.victims.is_empty() {
            let payload = named(keyspace, &left.victims);
            self.queue_evict(keyspace, spare, &payload, &mut left);
        }
        match room {
            Room::Partly { key_bytes } => (Some(key_bytes), left),
            Room::Made | Room::Full | Room::Backlog => (None, left),
        }
    }

    fn allowance(&self, spare: &Spare, keys: usize) -> Allowance {
        Allowance {
            bytes: spare.keys,
            keys,
            now_ms: (!self.removal_paused()).then(|| self.clock.now_ms()),
        }
    }

    /// Lets what has left have a record of its own.
    fn queue_evict<'l>(
        &'l self,
        keyspace: &Keyspace,
        spare: &Spare,
        payload: &[u8],
        left: &mut Left<'l>,
    ) {
        let fields = (kind::EVICT, self.clock.now_ms(), Level::Written);
        let queued = self.queue_with(keyspace, spare.grant.as_ref(), fields, |teller| {
            tell_left(&left.victims, teller);
            Payload::whole(payload)
        });
        left.alone = true;
        left.used = queued.used;
        left.wake = queued.wake;
    }
}

/// What `brings` costs, where its shard can ever hold it.
fn fitting(shard: &Shard, brings: Brought<'_>) -> Result<u64, NotMade> {
    let actual = brings.cost();
    match shard.share() {
        Some(limit) if actual > limit && matches!(brings, Brought::Entry(_)) => {
            let why = WriteError::EntryTooLarge { limit, actual };
            Err(NotMade::Refused(why))
        }
        Some(_) | None => Ok(actual),
    }
}

/// What a batch changes in each of its shards.
fn sums_of(
    locked: &Locked<'_>,
    brought: &[(Place, Brought<'_>)],
) -> Result<BTreeMap<usize, Sums>, NotMade> {
    let mut all: BTreeMap<usize, Sums> = BTreeMap::new();
    for (place, brings) in brought {
        let Some(shard) = locked.get(&place.shard) else {
            continue;
        };
        let (now, kept) = shard.standing(place.hash, brings.key());
        let sums = all.entry(place.shard).or_default();
        sums.now += now;
        sums.kept += kept;
        sums.then += fitting(shard, *brings)?;
    }
    Ok(all)
}

/// Tells what has left, in the order in which the record names it.
fn tell_left(victims: &Victims, teller: &mut Teller<'_>) {
    for entry in &victims.expired {
        teller.tell(Change::Expire(entry.clone()));
    }
    for entry in &victims.evicted {
        teller.tell(Change::Evict(entry.clone()));
    }
}

/// The payload that names what has left.
fn named(keyspace: &Keyspace, victims: &Victims) -> Vec<u8> {
    let expired = victims.expired.iter().map(Entry::key);
    let evicted = victims.evicted.iter().map(Entry::key);
    record::evict(keyspace.id(), expired, evicted)
}
