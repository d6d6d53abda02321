//! Keys that the source did not have when it was last asked, for a while. It must not read a clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::keyspace::role::Changing;

/// A bounded number of absent keys. All are remembered equally long, so the oldest is always the first that is forgotten.
#[derive(Debug)]
pub(super) struct Negatives {
    ttl: Duration,
    most: usize,
    by_key: HashMap<Arc<str>, (u64, Instant)>,
    /// In the order in which they were remembered.
    in_order: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl Negatives {
    /// Remembers up to `most` keys, each for `ttl`.
    pub(super) fn new(ttl: Duration, most: usize) -> Self {
        Self {
            ttl,
            most,
            by_key: HashMap::new(),
            in_order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Whether the source has said lately that it does not have `key`.
    pub(super) fn has(&self, key: &str, now: Instant) -> bool {
        self.by_key.get(key).is_some_and(|(_, until)| now < *until)
    }

    /// The source has said that it does not have `key`.
    pub(super) fn remember(&mut self, key: &str, now: Instant) {
        self.forget_key(key);
        while self.by_key.len() >= self.most || self.oldest_is_over(now) {
            let Some((_, oldest)) = self.in_order.pop_first() else {
                return;
            };
            self.by_key.remove(&oldest);
        }
        let key: Arc<str> = key.into();
        self.by_key
            .insert(Arc::clone(&key), (self.next, now + self.ttl));
        self.in_order.insert(self.next, key);
        self.next += 1;
    }

    /// Nothing is known any more of what a client changes.
    pub(super) fn forget(&mut self, changing: Changing<'_>) {
        match changing {
            Changing::Key(key) => {
                if let Ok(key) = std::str::from_utf8(key) {
                    self.forget_key(key);
                }
            }
            Changing::Prefix(prefix) => {
                let stays = |key: &Arc<str>| !key.as_bytes().starts_with(prefix);
                self.by_key.retain(|key, _| stays(key));
                self.in_order.retain(|_, key| stays(key));
            }
            Changing::All => {
                self.by_key = HashMap::new();
                self.in_order = BTreeMap::new();
            }
        }
    }

    fn forget_key(&mut self, key: &str) {
        if let Some((place, _)) = self.by_key.remove(key) {
            self.in_order.remove(&place);
        }
    }

    fn oldest_is_over(&self, now: Instant) -> bool {
        let oldest = self.in_order.first_key_value();
        oldest.is_some_and(|(_, key)| !self.has(key, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_key_is_remembered_for_a_while() {
        let (mut negatives, now) = (Negatives::new(TTL, 10), Instant::now());
        negatives.remember("a", now);
        assert!(negatives.has("a", now) && !negatives.has("b", now));
        assert!(negatives.has("a", now + TTL.saturating_sub(Duration::from_nanos(1))));
        assert!(!negatives.has("a", now + TTL));
        negatives.remember("a", now + TTL / 2);
        assert!(negatives.has("a", now + TTL));
        // What is over makes room by itself.
        negatives.remember("b", now + TTL * 2);
        assert_eq!((negatives.by_key.len(), negatives.in_order.len()), (1, 1));
    }

    #[test]
    fn the_oldest_makes_room_at_the_limit() {
        let (mut negatives, now) = (Negatives::new(TTL, 2), Instant::now());
        for key in ["a", "b", "a", "c"] {
            negatives.remember(key, now);
        }
        let known = ["a", "b", "c"].map(|key| negatives.has(key, now));
        assert_eq!(known, [true, false, true]);
        assert_eq!((negatives.by_key.len(), negatives.in_order.len()), (2, 2));
        let mut none = Negatives::new(TTL, 0);
        none.remember("a", now);
        assert!(!none.has("a", now));
    }

    #[test]
    fn what_a_client_changes_is_forgotten() {
        let (mut negatives, now) = (Negatives::new(TTL, 10), Instant::now());
        let mut with = |changing| {
            for key in ["a", "ab", "b"] {
                negatives.remember(key, now);
            }
            negatives.forget(changing);
            assert_eq!(negatives.by_key.len(), negatives.in_order.len());
            ["a", "ab", "b"].map(|key| negatives.has(key, now))
        };
        assert_eq!(with(Changing::Key(b"a")), [false, true, true]);
        assert_eq!(with(Changing::Key(&[0xFF])), [true, true, true]);
        assert_eq!(with(Changing::Prefix(b"a")), [false, false, true]);
        assert_eq!(with(Changing::All), [false, false, false]);
    }
}
