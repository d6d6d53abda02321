//! The keys of one shard in byte order, as slots of the shard's table.
//!
//! A sorted list of sorted chunks: an insert moves at most one chunk, a replaced value touches nothing (a slot keeps its
//! key), and an entry costs four bytes and a little air. The keys themselves stay in the entries: every call brings a
//! function that shows the key of a slot.

use super::Entry;
use super::slots::Slots;

/// Most slots of a chunk.
const CHUNK: usize = 512;

/// Sorted slots.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Never holds an empty chunk.
    chunks: Vec<Vec<u32>>,
}

impl Index {
    /// Builds the index of `slots`, which may come in any order; runs that are sorted already cost little.
    pub(crate) fn build<'k>(slots: &[u32], key_of: impl Fn(u32) -> &'k [u8]) -> Self {
        let common = common_prefix(slots, &key_of);
        // Most comparisons are decided by eight bytes that lie with the slot: each look at a key is a cache miss.
        let mut sorted: Vec<(u64, u32)> = slots
            .iter()
            .map(|slot| (word_at(key_of(*slot), common), *slot))
            .collect();
        // The standard stable sort finds sorted runs, and a snapshot is one run per shard.
        sorted.sort_by(|a, b| {
            let words = a.0.cmp(&b.0);
            words.then_with(|| key_of(a.1).cmp(key_of(b.1)))
        });
        // A quarter is left free, so that the first inserts do not split every chunk.
        let chunks = sorted.chunks(CHUNK / 4 * 3);
        let slots_of = |chunk: &[(u64, u32)]| chunk.iter().map(|(_, slot)| *slot).collect();
        Self {
            chunks: chunks.map(slots_of).collect(),
        }
    }

    /// The place of `key`: chunk and position, and whether it is there.
    fn place<'k>(
        &self,
        key: &[u8],
        key_of: &impl Fn(u32) -> &'k [u8],
    ) -> (usize, Result<usize, usize>) {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(|slot| key_of(*slot) <= key));
        let chunk = after.saturating_sub(1);
        let found = self.chunks.get(chunk).map_or(Err(0), |slots| {
            slots.binary_search_by(|slot| key_of(*slot).cmp(key))
        });
        (chunk, found)
    }

    /// Adds `slot`, whose key is `key`. Does nothing where the key is there already.
    pub(crate) fn insert<'k>(&mut self, slot: u32, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) {
        let (chunk, Err(position)) = self.place(key, &key_of) else {
            return;
        };
        let Some(slots) = self.chunks.get_mut(chunk) else {
            self.chunks.push(vec![slot]);
            return;
        };
        slots.insert(position, slot);
        if slots.len() > CHUNK {
            // Keys that come in order fill the chunk before and start a new one: no half-empty chunks behind.
            let at = if position + 1 == slots.len() {
                CHUNK
            } else {
                CHUNK / 2
            };
            let upper = slots.split_off(at);
            slots.shrink_to(CHUNK);
            self.chunks.insert(chunk + 1, upper);
        }
    }

    /// Takes the slot of `key` out.
    pub(crate) fn remove<'k>(&mut self, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) {
        let (chunk, Ok(position)) = self.place(key, &key_of) else {
            return;
        };
        let Some(slots) = self.chunks.get_mut(chunk) else {
            return;
        };
        slots.remove(position);
        if slots.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// The slots in key order from the first key that is `from` or behind it.
    pub(crate) fn from<'k>(
        &self,
        from: &[u8],
        key_of: impl Fn(u32) -> &'k [u8],
    ) -> impl Iterator<Item = u32> {
        let (chunk, place) = self.place(from, &key_of);
        let position = place.unwrap_or_else(|position| position);
        let first = self
            .chunks
            .get(chunk)
            .and_then(|slots| slots.get(position..))
            .unwrap_or_default();
        let rest = self.chunks.get(chunk + 1..).unwrap_or_default();
        first.iter().copied().chain(rest.iter().flatten().copied())
    }

    /// Bytes of memory that the index takes.
    pub(crate) fn footprint(&self) -> usize {
        let slots: usize = self.chunks.iter().map(Vec::capacity).sum();
        self.chunks.capacity() * size_of::<Vec<u32>>() + slots * size_of::<u32>()
    }
}

/// How many bytes the keys of all slots have in common at their start.
fn common_prefix<'k>(slots: &[u32], key_of: &impl Fn(u32) -> &'k [u8]) -> usize {
    let first = slots.first().map_or(&[][..], |slot| key_of(*slot));
    slots.iter().fold(first.len(), |len, slot| {
        let both = first.iter().zip(key_of(*slot)).take(len);
        both.take_while(|(a, b)| a == b).count()
    })
}

/// The eight bytes of a key behind its first `start`, ordered as the keys are: what is missing counts as zeros, and where
/// that makes two equal the whole keys decide.
fn word_at(key: &[u8], start: usize) -> u64 {
    let mut word = [0; 8];
    for (place, byte) in word.iter_mut().zip(key.iter().skip(start)) {
        *place = *byte;
    }
    word.iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// A function that shows keys out of a table of slots, for [`Index`].
pub(crate) fn keys_of<'s>(slots: &'s Slots) -> impl Fn(u32) -> &'s [u8] {
    |slot| slots.get(slot).map_or(&[], Entry::key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::int::index;

    fn keys() -> Vec<Vec<u8>> {
        (0..3_000_u32)
            .map(|n| {
                (n.wrapping_mul(2_654_435_761) % 3_001)
                    .to_string()
                    .into_bytes()
            })
            .collect()
    }

    #[test]
    fn slots_come_back_in_key_order_however_they_were_added() {
        let mut keys = keys();
        keys.sort_unstable();
        keys.dedup();
        keys.reverse();
        let key_of = |slot: u32| &*keys[index(slot)];
        let mut inserted = Index::default();
        for (slot, key) in keys.iter().enumerate() {
            inserted.insert(crate::int::slot32(slot), key, key_of);
        }
        let slots: Vec<u32> = (0..crate::int::slot32(keys.len())).collect();
        let built = Index::build(&slots, key_of);
        let mut expected: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        expected.sort_unstable();
        for index in [&inserted, &built] {
            let found: Vec<_> = index.from(b"", key_of).map(key_of).collect();
            assert_eq!(found, expected);
            assert!(
                index
                    .chunks
                    .iter()
                    .all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK)
            );
        }
    }

    #[test]
    fn keys_that_share_a_start_and_end_early_are_in_byte_order() {
        let texts: [&[u8]; 8] = [
            b"user/",
            b"user/\0",
            b"user/\0\0",
            b"user/12345678",
            b"user/123456789",
            b"user/12345678\0",
            b"user/\xff",
            b"user/1",
        ];
        let key_of = |slot: u32| texts[index(slot)];
        let built = Index::build(&[0, 1, 2, 3, 4, 5, 6, 7], key_of);
        let found: Vec<_> = built.from(b"", key_of).map(key_of).collect();
        let mut expected = texts.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
        let one = Index::build(&[3], key_of);
        assert_eq!(one.from(b"", key_of).collect::<Vec<_>>(), [3]);
        let none = Index::build(&[], key_of);
        assert_eq!(none.from(b"", key_of).count(), 0);
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_set_does(steps in prop::collection::vec((any::<bool>(), 0_u32..600), 1..2_000)) {
            let keys: Vec<Vec<u8>> = (0..600_u32).map(|n| n.to_string().into_bytes()).collect();
            let key_of = |slot: u32| &*keys[index(slot)];
            let mut subject = Index::default();
            let mut model = BTreeSet::new();
            for (add, slot) in steps {
                if add {
                    subject.insert(slot, key_of(slot), key_of);
                    model.insert(key_of(slot).to_vec());
                } else {
                    subject.remove(key_of(slot), key_of);
                    model.remove(key_of(slot));
                }
            }
            for from in [&b""[..], b"3", b"599", b"zzz"] {
                let found: Vec<_> = subject.from(from, key_of).map(|slot| key_of(slot).to_vec()).collect();
                let expected: Vec<_> = model.range(from.to_vec()..).cloned().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
