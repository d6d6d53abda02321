//! Merges what the shards of a keyspace hold in key order, one lock at a time. It must not know what that is.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that has a key.
pub(super) trait Keyed {
    fn its_key(&self) -> &[u8];
}

/// A shard's next items, in order.
struct Run<T> {
    items: std::vec::IntoIter<T>,
    /// Whether the shard has no more behind these.
    last: bool,
}

/// Up to `limit` items in key order, behind `after` where that is given, of those that `keeps` lets through; and whether
/// nothing is behind the last of them. `next` gives a shard's items behind a key, at most so many of them.
pub(super) fn merge<T: Keyed>(
    shards: usize,
    after: Option<&[u8]>,
    limit: usize,
    mut next: impl FnMut(usize, Option<&[u8]>, usize) -> Vec<T>,
    keeps: impl Fn(&T) -> bool,
) -> (Vec<T>, bool) {
    // What a shard is expected to give, and a little more, so that few shards are asked twice.
    let piece = limit / shards * 2 + 2;
    let mut run = |shard, after: Option<&[u8]>| {
        let items = next(shard, after, piece);
        Run {
            last: items.len() < piece,
            items: items.into_iter(),
        }
    };
    let mut runs = Vec::with_capacity(shards);
    let mut heads = BinaryHeap::new();
    for shard in 0..shards {
        let mut first = run(shard, after);
        if let Some(item) = first.items.next() {
            heads.push(Reverse(Head { item, shard }));
        }
        runs.push(first);
    }
    let mut found = Vec::new();
    while let Some(Reverse(Head { item, shard })) = heads.pop() {
        if let Some(of_shard) = runs.get_mut(shard) {
            let mut next = of_shard.items.next();
            if next.is_none() && !of_shard.last {
                *of_shard = run(shard, Some(item.its_key()));
                next = of_shard.items.next();
            }
            if let Some(item) = next {
                heads.push(Reverse(Head { item, shard }));
            }
        }
        if !keeps(&item) {
            continue;
        }
        if found.len() == limit {
            return (found, false);
        }
        found.push(item);
    }
    (found, true)
}

/// An item that is ordered by its key.
struct Head<T> {
    item: T,
    shard: usize,
}

impl<T: Keyed> PartialEq for Head<T> {
    fn eq(&self, other: &Self) -> bool {
        self.item.its_key() == other.item.its_key()
    }
}

impl<T: Keyed> Eq for Head<T> {}

impl<T: Keyed> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Keyed> Ord for Head<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.item.its_key().cmp(other.item.its_key())
    }
}
