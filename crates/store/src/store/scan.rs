//! Lists: in key order, every shard's sorted keys merged; and what sources wrote, in no order.

use super::Store;
use super::merge::{Keyed, merge};
use crate::map::{Entry, Keyspace};

/// A part of a keyspace in key order.
#[derive(Debug)]
pub struct Scan {
    /// Live entries.
    pub entries: Vec<Entry>,
    /// The newest change that the answer rests on, the deletions that it met included.
    pub seen: u64,
    /// Whether there is nothing behind the last entry.
    pub end: bool,
}

/// Most entries that one lock hold of [`Store::owned`] refers to.
const OWNED_PER_HOLD: usize = 512;

impl Store {
    /// Everything that sources wrote and that is there, in no order; [`Store::facts`] tells whose each is. It takes as long as
    /// there is of it, however much else is there. One lock at a time.
    pub fn owned(&self, keyspace: &Keyspace) -> Scan {
        let now_ms = self.core.clock.now_ms();
        let mut scan = Scan {
            entries: Vec::new(),
            seen: 0,
            end: true,
        };
        for shard in 0..keyspace.map.shards() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let held = keyspace.map.read(shard);
                let (entries, next) = held.owned(slot, OWNED_PER_HOLD);
                // What was removed has left no trace in the list of what is there.
                scan.seen = held.newest().max(scan.seen);
                drop(held);
                let live = entries.into_iter().filter(|entry| !entry.expired(now_ms));
                scan.entries.extend(live);
                from = next;
            }
        }
        scan
    }

    /// Up to `limit` entries whose keys begin with `prefix`, in byte order, behind `after` where that is given. One lock at a
    /// time: each key that stays is seen exactly once over the pages of a listing.
    pub fn scan(
        &self,
        keyspace: &Keyspace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Scan {
        let now_ms = self.core.clock.now_ms();
        let mut seen = 0;
        let next = |shard, after: Option<&[u8]>, most| {
            next_entries(keyspace, shard, (prefix, after), most, &mut seen)
        };
        let live = |entry: &Entry| !entry.is_tombstone() && !entry.expired(now_ms);
        let (entries, end) = merge(keyspace.map.shards(), after, limit, next, live);
        Scan { entries, seen, end }
    }
}

impl Keyed for Entry {
    fn its_key(&self) -> &[u8] {
        self.key()
    }
}

/// The next entries of a shard, at most `most`, marks of deletions included.
fn next_entries(
    keyspace: &Keyspace,
    shard: usize,
    (prefix, after): (&[u8], Option<&[u8]>),
    most: usize,
    seen: &mut u64,
) -> Vec<Entry> {
    let from = after.map_or(prefix, |after| after.max(prefix));
    let held = keyspace.map.read(shard);
    *seen = held.mark().max(*seen);
    let behind = held
        .range(from)
        .skip_while(|entry| after.is_some_and(|after| entry.key() <= after));
    let entries: Vec<Entry> = behind
        .take_while(|entry| entry.key().starts_with(prefix))
        .take(most)
        .cloned()
        .collect();
    drop(held);
    *seen = entries.iter().map(Entry::revision).fold(*seen, u64::max);
    entries
}
