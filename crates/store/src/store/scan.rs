//! Lists: in key order, every shard's sorted keys merged; and what sources wrote, in no order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Store;
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

/// A shard's next entries, in order.
struct Run {
    shard: usize,
    entries: std::vec::IntoIter<Entry>,
    /// Whether the shard has no more behind these.
    last: bool,
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
        let shards = keyspace.map.shards();
        // What a shard is expected to give, and a little more, so that few shards are asked twice.
        let piece = limit / shards * 2 + 2;
        let mut scan = Scan {
            entries: Vec::new(),
            seen: 0,
            end: true,
        };
        let mut runs = Vec::with_capacity(shards);
        let mut heads = BinaryHeap::new();
        for shard in 0..shards {
            let mut run = next_run(keyspace, shard, prefix, after, piece, &mut scan.seen);
            if let Some(head) = run.entries.next() {
                heads.push(Reverse(Head { entry: head, shard }));
            }
            runs.push(run);
        }
        while let Some(Reverse(Head { entry, shard })) = heads.pop() {
            if let Some(run) = runs.get_mut(shard) {
                let mut next = run.entries.next();
                if next.is_none() && !run.last {
                    *run = next_run(
                        keyspace,
                        run.shard,
                        prefix,
                        Some(entry.key()),
                        piece,
                        &mut scan.seen,
                    );
                    next = run.entries.next();
                }
                if let Some(next) = next {
                    heads.push(Reverse(Head { entry: next, shard }));
                }
            }
            if entry.is_tombstone() || entry.expired(now_ms) {
                continue;
            }
            if scan.entries.len() == limit {
                scan.end = false;
                break;
            }
            scan.entries.push(entry);
        }
        scan
    }
}

/// The next `piece` entries of a shard, marks of deletions included.
fn next_run(
    keyspace: &Keyspace,
    shard: usize,
    prefix: &[u8],
    after: Option<&[u8]>,
    piece: usize,
    seen: &mut u64,
) -> Run {
    let from = after.map_or(prefix, |after| after.max(prefix));
    let held = keyspace.map.read(shard);
    *seen = held.mark().max(*seen);
    let behind = held
        .range(from)
        .skip_while(|entry| after.is_some_and(|after| entry.key() <= after));
    let entries: Vec<Entry> = behind
        .take_while(|entry| entry.key().starts_with(prefix))
        .take(piece)
        .cloned()
        .collect();
    drop(held);
    *seen = entries.iter().map(Entry::revision).fold(*seen, u64::max);
    Run {
        shard,
        last: entries.len() < piece,
        entries: entries.into_iter(),
    }
}

/// An entry that is ordered by its key.
struct Head {
    entry: Entry,
    shard: usize,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.entry.key() == other.entry.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.entry.key().cmp(other.entry.key())
    }
}
