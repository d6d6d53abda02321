//! What has come and could not be stored yet: for each key its newest value, or that it is gone. Bounded in bytes. It must not
//! know why something is not stored.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::engine::{Entry, MediaType, Version};

/// What a key takes beside its own bytes and those of its value.
const OVERHEAD_BYTES: usize = 256;

/// What a key stands for that is not stored.
#[derive(Clone, Debug)]
pub(in crate::keyspace) enum Over {
    /// This value.
    Value(Entry),
    /// Nothing: it is gone.
    Gone,
}

impl Over {
    /// The entry that it stands for.
    pub(in crate::keyspace) fn into_entry(self) -> Option<Entry> {
        match self {
            Self::Value(entry) => Some(entry),
            Self::Gone => None,
        }
    }

    /// The version, where there is one. No two values ever have the same.
    pub(super) fn version(&self) -> Option<Version> {
        match self {
            Self::Value(entry) => Some(entry.version),
            Self::Gone => None,
        }
    }

    /// The number that it counts, with its version; without a number where it is no counter.
    pub(in crate::keyspace) fn number(&self) -> Option<(Version, Option<i64>)> {
        match self {
            Self::Value(entry) => Some((entry.version, number(entry))),
            Self::Gone => None,
        }
    }

    /// The bytes of the value.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Value(entry) => entry.value.len(),
            Self::Gone => 0,
        }
    }
}

/// The number that a value is: decimal, in its one spelling, as plain text.
fn number(entry: &Entry) -> Option<i64> {
    let essence = MediaType::essence(entry.media_type.as_str());
    if entry.content_encoding.is_some() || !essence.eq_ignore_ascii_case("text/plain") {
        return None;
    }
    let text = str::from_utf8(&entry.value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[derive(Clone, Debug)]
struct Slot {
    over: Over,
    order: u64,
}

/// The keys that stand for something else than what is stored.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    keys: BTreeMap<Bytes, Slot>,
    /// The keys, the one first that has been here the longest.
    order: BTreeMap<u64, Bytes>,
    bytes: usize,
    next: u64,
}

impl Overlay {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn of(&self, key: &[u8]) -> Option<&Over> {
        self.keys.get(key).map(|slot| &slot.over)
    }

    /// Whether everything takes at most `limit` bytes once `key` stands for a value of `len` bytes.
    pub(super) fn fits(&self, key: &[u8], len: usize, limit: usize) -> bool {
        let of = |len: usize| OVERHEAD_BYTES + key.len() + len;
        let before = self.keys.get(key).map_or(0, |slot| of(slot.over.len()));
        self.bytes - before + of(len) <= limit
    }

    /// Lets `key` stand for `over`.
    pub(super) fn set(&mut self, key: &[u8], over: Over) {
        self.remove_bytes(key);
        self.bytes += OVERHEAD_BYTES + key.len() + over.len();
        if let Some(slot) = self.keys.get_mut(key) {
            // It keeps its turn: a key that changes all the time is stored as well.
            slot.over = over;
            return;
        }
        let (key, order) = (Bytes::copy_from_slice(key), self.next);
        self.next += 1;
        self.order.insert(order, key.clone());
        self.keys.insert(key, Slot { over, order });
    }

    fn remove_bytes(&mut self, key: &[u8]) {
        if let Some(slot) = self.keys.get(key) {
            self.bytes -= OVERHEAD_BYTES + key.len() + slot.over.len();
        }
    }

    /// What is stored is what `key` stands for again.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.remove_bytes(key);
        if let Some(slot) = self.keys.remove(key) {
            self.order.remove(&slot.order);
        }
    }

    /// Up to `most` keys, the one first that has been here the longest.
    pub(super) fn oldest(&self, most: usize) -> Vec<Bytes> {
        self.order.values().take(most).cloned().collect()
    }

    /// The keys that begin with `prefix`, in byte order, behind `after` where that is given.
    pub(super) fn range<'o>(
        &'o self,
        prefix: &'o [u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'o Bytes, &'o Over)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.keys
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, slot)| (key, &slot.over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(keys: &[&str]) -> Overlay {
        let mut overlay = Overlay::default();
        for key in keys {
            overlay.set(key.as_bytes(), Over::Gone);
        }
        overlay
    }

    fn ranged(overlay: &Overlay, prefix: &str, after: Option<&str>) -> Vec<String> {
        let keys = overlay.range(prefix.as_bytes(), after.map(str::as_bytes));
        keys.map(|(key, _)| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    #[test]
    fn a_key_is_bounded_with_what_it_takes_and_gives_it_back() {
        let mut overlay = Overlay::default();
        let limit = 2 * (OVERHEAD_BYTES + 1);
        for key in [b"a", b"b"] {
            assert!(overlay.fits(key, 0, limit));
            overlay.set(key, Over::Gone);
        }
        assert!(!overlay.fits(b"c", 0, limit));
        assert_eq!((overlay.len(), overlay.bytes()), (2, limit));
        assert!(overlay.fits(b"a", 0, limit), "it has its room already");
        assert!(!overlay.fits(b"a", 1, limit));
        overlay.set(b"a", Over::Gone);
        overlay.remove(b"a");
        overlay.remove(b"a");
        assert!(overlay.fits(b"c", 0, limit));
        overlay.remove(b"b");
        assert_eq!((overlay.len(), overlay.bytes()), (0, 0));
        assert_eq!(overlay.oldest(9), Vec::<Bytes>::new());
    }

    #[test]
    fn the_oldest_come_first_and_a_change_keeps_the_turn() {
        let mut overlay = gone(&["b", "a", "c"]);
        overlay.set(b"b", Over::Gone);
        assert_eq!(overlay.oldest(2), ["b", "a"]);
        overlay.remove(b"b");
        overlay.set(b"b", Over::Gone);
        assert_eq!(overlay.oldest(9), ["a", "c", "b"]);
    }

    #[test]
    fn a_range_begins_behind_a_place_and_ends_with_the_prefix() {
        let overlay = gone(&["a", "a/1", "a/2", "a0", "b"]);
        assert_eq!(ranged(&overlay, "a/", None), ["a/1", "a/2"]);
        assert_eq!(ranged(&overlay, "a/", Some("a/1")), ["a/2"]);
        assert_eq!(ranged(&overlay, "a/", Some("a")), ["a/1", "a/2"]);
        assert_eq!(ranged(&overlay, "a/", Some("a0")), Vec::<String>::new());
        assert_eq!(ranged(&overlay, "", Some("a/2")), ["a0", "b"]);
    }
}
