//! The sweep: removes what has expired, makes keyspaces fit whose bound was lowered, moves entries together in memory where
//! much has gone, drops marks of deletions that are durable, lets go of what was held until it was passed on. In small steps,
//! each one lock and one record at most, shard after shard, so that whoever comes in between waits for one step at most; and
//! with pauses as long as the steps, so that the rest of the machine is not behind it for seconds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Core;
use super::bound::Spare;
use crate::int::{narrow, wide};
use crate::log::frame::frame_len;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Effect, Entry, Keyspace, Victims};
use crate::options::Durability;
use crate::record::{self, EVICT_BYTES, kind};
use crate::wait::block_on;
use crate::watch::Change;

/// Most keys that leave in one step: the lock is held for about half a millisecond.
const STEP_KEYS: usize = 64;
/// Most steps of one sweep that only move entries: other keyspaces have their turn, however much goes here meanwhile.
const TIDY_STEPS: usize = 1_024;
/// Most keys for which nothing is held any more after one step.
const RELEASE_KEYS: usize = 256;
/// Bytes of an expiry record before its keys.
const EXPIRE_BYTES: usize = 8;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing is left to do in the shard.
    Done,
    /// There may be more.
    More,
    /// Entries were moved, and there may be more to move.
    Tidied,
    /// There is no room in the log: another time.
    Blocked,
}

impl Core {
    /// Looks after every shard of `keyspace`. `pause` waits, and tells whether to go on.
    pub(super) fn sweep(&self, keyspace: &Keyspace, pause: impl Fn(Duration) -> bool) {
        let mut shards: Vec<usize> = (0..keyspace.map.shards()).collect();
        for shard in &shards {
            self.purge(keyspace, *shard);
            if !self.release(keyspace, *shard, &pause) {
                return;
            }
        }
        if self.log.room().is_full() {
            return;
        }
        let mut tidied = 0;
        // Round after round: a shard is not locked again before all others had their step.
        while !shards.is_empty() {
            let mut more = Vec::new();
            for shard in shards {
                let began = self.clock.monotonic();
                match self.sweep_step(keyspace, shard) {
                    Step::Done => continue,
                    Step::More => more.push(shard),
                    Step::Tidied => {
                        tidied += 1;
                        more.extend((tidied < TIDY_STEPS).then_some(shard));
                    }
                    Step::Blocked => return,
                }
                let took = self.clock.monotonic().saturating_sub(began);
                if !pause(took) {
                    return;
                }
            }
            shards = more;
        }
    }

    /// Drops the marks of deletions that are durable.
    fn purge(&self, keyspace: &Keyspace, shard: usize) {
        if keyspace.map.read(shard).has_marks() {
            // Nothing takes back what was never logged.
            let memory = keyspace.durability() == Durability::Memory;
            let settled = if memory { u64::MAX } else { self.log.durable() };
            keyspace.map.write(shard).purge(settled);
        }
    }

    /// Lets go of entries that were held for what has been passed on, step by step. `false` where the store is closing.
    fn release(
        &self,
        keyspace: &Keyspace,
        shard: usize,
        pause: &impl Fn(Duration) -> bool,
    ) -> bool {
        let hash_of = |key: &[u8]| keyspace.map.place(key).hash;
        while keyspace.map.read(shard).has_dropped() {
            let began = self.clock.monotonic();
            let released = keyspace.map.write(shard).release(RELEASE_KEYS, &hash_of);
            drop(released);
            if !pause(self.clock.monotonic().saturating_sub(began)) {
                return false;
            }
        }
        true
    }

    fn sweep_step(&self, keyspace: &Keyspace, shard: usize) -> Step {
        let held = keyspace.map.read(shard);
        let (over, untidy) = (held.is_over(), held.is_untidy());
        let now_ms = self.clock.now_ms();
        let mut bytes = 0;
        let most = self.expiry_bytes();
        let due = held.due(now_ms).take(STEP_KEYS).take_while(|entry| {
            // One goes whatever its length.
            let first = bytes == 0;
            bytes += 2 + entry.key().len();
            first || bytes <= most
        });
        let due: usize = due.map(|entry| 2 + entry.key().len()).sum();
        drop(held);
        if due > 0 && !self.removal_paused() {
            self.expire_some(keyspace, shard, now_ms, due)
        } else if over {
            self.fit_some(keyspace, shard)
        } else if untidy {
            let mut moved = Victims::default();
            keyspace.map.write(shard).tidy(&mut moved);
            // What they were is freed here, without the lock.
            drop(moved);
            Step::Tidied
        } else {
            Step::Done
        }
    }

    /// Most bytes of keys that one record of the sweep names, if it is more than one key.
    fn expiry_bytes(&self) -> usize {
        narrow(self.log.room().shared_bytes() / 4)
    }

    /// Removes expired entries of a shard whose keys take up to `bytes`, as one change.
    fn expire_some(&self, keyspace: &Keyspace, shard: usize, now_ms: u64, bytes: usize) -> Step {
        let memory = keyspace.durability() == Durability::Memory;
        let grant = self.sweep_grant(EXPIRE_BYTES + bytes);
        if grant.is_none() && !memory {
            return Step::Blocked;
        }
        let grant = grant.filter(|_| !memory);
        let mut held = keyspace.map.write(shard);
        let mut left = bytes;
        let due = held.due(now_ms).take(STEP_KEYS).take_while(|entry| {
            let fits = 2 + entry.key().len() <= left;
            left = left.saturating_sub(2 + entry.key().len());
            fits
        });
        let due: Vec<_> = due.cloned().collect();
        if due.is_empty() || keyspace.is_dropped() {
            return Step::Done;
        }
        let keys: Vec<&[u8]> = due.iter().map(Entry::key).collect();
        let payload = record::expire(keyspace.id(), &keys);
        let fields = (kind::EXPIRE, now_ms, Level::Written);
        let queued = self.queue_with(keyspace, grant.as_ref(), fields, |teller| {
            for entry in &due {
                teller.tell(Change::Expire(entry.clone()));
            }
            Payload::whole(&payload)
        });
        let durable = self.log.durable();
        let remove = |key| {
            let effect = Effect::Remove {
                key,
                revision: queued.revision,
            };
            held.apply(keyspace.map.place(key).hash, effect, durable)
        };
        let removed: Vec<_> = keys.into_iter().filter_map(remove).collect();
        drop(held);
        queued.settle(grant);
        self.expired
            .fetch_add(wide(removed.len()), Ordering::Relaxed);
        Step::More
    }

    /// Lets some entries leave a shard whose bound was lowered.
    fn fit_some(&self, keyspace: &Keyspace, shard: usize) -> Step {
        let mut keys = self.expiry_bytes();
        loop {
            let memory = keyspace.durability() == Durability::Memory;
            let grant = self.sweep_grant(EVICT_BYTES + keys);
            if grant.is_none() && !memory {
                return Step::Blocked;
            }
            let spare = Spare::alone(grant.filter(|_| !memory), keys);
            let mut held = keyspace.map.write(shard);
            if keyspace.is_dropped() {
                return Step::Done;
            }
            let (next, left) = self.fit(keyspace, &mut held, &spare, STEP_KEYS);
            drop(held);
            let nobody = left.is_empty();
            left.settle(self, None, spare.grant);
            match next {
                None => return Step::Done,
                // A key that is longer than everything that was claimed.
                Some(key_bytes) if nobody => keys = key_bytes,
                Some(_) => return Step::More,
            }
        }
    }

    /// Room for a record of the sweep, at once or not at all; only a record too large to share a segment waits for it.
    fn sweep_grant(&self, len: usize) -> Option<Grant> {
        let room = self.log.room();
        let bytes = frame_len(wide(len));
        if bytes > room.shared_bytes() {
            return block_on(room.claim(bytes, Purpose::Shrink)).ok();
        }
        room.try_claim(bytes, Purpose::Shrink)
    }
}
