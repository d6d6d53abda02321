//! Who leaves when room is needed: SIEVE (Zhang et al., NSDI '24) over the slots of one shard.
//!
//! The slots stand in the order in which their keys came. A hit sets a bit, which needs no more than the lock for reading.
//! A hand walks from the oldest to the newest and begins again behind the newest: a slot whose bit is set loses the bit and
//! stays where it is, the first without one leaves. So what was used once since the hand came by outlives what nobody asked
//! for, and a scan passes through without pushing out what is used.
//!
//! A slot costs two links of four bytes and one bit. Slots that must not leave are not in the order at all. It knows only
//! numbers of slots: neither entries nor what they cost.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::int::{index, slot32};

/// No slot.
const NONE: u32 = u32::MAX;
/// Most slots that the hand passes for one victim: the lock is held for a bounded time. Then the next leaves, used or not.
const STEPS: usize = 10_000;

/// The neighbours of a slot. A slot that is not in the order is its own neighbour.
#[derive(Debug, Clone, Copy)]
struct Link {
    older: u32,
    newer: u32,
}

/// The order of eviction.
#[derive(Debug)]
pub(crate) struct Sieve {
    links: Vec<Link>,
    /// A bit per slot: asked for since the hand came by.
    visited: Vec<AtomicU64>,
    oldest: u32,
    newest: u32,
    /// Where the hand goes on; `NONE`: at the oldest.
    hand: u32,
    len: usize,
}

impl Default for Sieve {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            visited: Vec::new(),
            oldest: NONE,
            newest: NONE,
            hand: NONE,
            len: 0,
        }
    }
}

impl Sieve {
    /// An order with room for `slots`.
    pub(crate) fn with_capacity(slots: usize) -> Self {
        Self {
            links: Vec::with_capacity(slots),
            visited: Vec::with_capacity(slots.div_ceil(64)),
            ..Self::default()
        }
    }

    /// How many slots are in the order.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Notes that the entry of `slot` was asked for. Needs no lock but the one that keeps the slot in place.
    #[inline]
    pub(crate) fn visit(&self, slot: u32) {
        let bit = 1 << (slot % 64);
        if let Some(word) = self.visited.get(index(slot / 64))
            && word.load(Ordering::Relaxed) & bit == 0
        {
            // Only the first hit writes: a hot key's line stays shared between the readers.
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Puts `slot`, which is not in the order, at its newest end, without a visit.
    pub(crate) fn push(&mut self, slot: u32) {
        self.make_place(slot);
        self.clear(slot);
        let older = self.newest;
        self.set(slot, Link { older, newer: NONE });
        match self.links.get_mut(index(older)) {
            Some(link) => link.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes `slot` out of the order, if it is in it.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get(index(slot)).copied() else {
            return;
        };
        if link.older == slot {
            return;
        }
        match self.links.get_mut(index(link.older)) {
            Some(older) => older.newer = link.newer,
            None => self.oldest = link.newer,
        }
        match self.links.get_mut(index(link.newer)) {
            Some(newer) => newer.older = link.older,
            None => self.newest = link.older,
        }
        if self.hand == slot {
            self.hand = link.newer;
        }
        self.set(
            slot,
            Link {
                older: slot,
                newer: slot,
            },
        );
        self.len -= 1;
    }

    /// The slot that leaves next, `keep` aside; `None` where there is no other. It stays in the order until it is removed.
    pub(crate) fn victim(&mut self, keep: impl Fn(u32) -> bool) -> Option<u32> {
        // Twice round is enough: the first round takes every bit.
        let mut steps = 0;
        let last = self.len * 2;
        while steps <= last {
            if self.hand == NONE {
                self.hand = self.oldest;
            }
            let at = self.hand;
            let newer = self.links.get(index(at))?.newer;
            let used = self.clear(at) && steps < STEPS;
            if !used && !keep(at) {
                return Some(at);
            }
            self.hand = newer;
            steps += 1;
        }
        None
    }

    /// Bytes of memory that the order takes.
    pub(crate) fn footprint(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + self.visited.capacity() * size_of::<u64>()
    }

    fn make_place(&mut self, slot: u32) {
        while self.links.len() <= index(slot) {
            if self.links.len() == self.links.capacity() {
                self.links.reserve_exact(self.links.len() / 8 + 16);
            }
            let own = slot32(self.links.len());
            self.links.push(Link {
                older: own,
                newer: own,
            });
        }
        while self.visited.len() <= index(slot / 64) {
            self.visited.push(AtomicU64::new(0));
        }
    }

    fn set(&mut self, slot: u32, link: Link) {
        if let Some(place) = self.links.get_mut(index(slot)) {
            *place = link;
        }
    }

    /// Takes the bit of `slot`; whether it was set.
    fn clear(&mut self, slot: u32) -> bool {
        let bit = 1 << (slot % 64);
        self.visited.get_mut(index(slot / 64)).is_some_and(|word| {
            let word = word.get_mut();
            let was = *word & bit != 0;
            *word &= !bit;
            was
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SIEVE as its paper tells it: a list, newest first, and a hand that goes from the end to the front.
    #[derive(Debug, Default)]
    struct Plain {
        list: Vec<(u32, bool)>,
        /// The slot under the hand.
        hand: Option<u32>,
    }

    impl Plain {
        fn place(&self, slot: u32) -> Option<usize> {
            self.list.iter().position(|(there, _)| *there == slot)
        }

        fn visit(&mut self, slot: u32) {
            if let Some(place) = self.place(slot) {
                self.list[place].1 = true;
            }
        }

        fn push(&mut self, slot: u32) {
            self.list.insert(0, (slot, false));
        }

        fn remove(&mut self, slot: u32) {
            let Some(place) = self.place(slot) else {
                return;
            };
            if self.hand == Some(slot) {
                self.hand = place.checked_sub(1).map(|before| self.list[before].0);
            }
            self.list.remove(place);
        }

        fn victim(&mut self, keep: u32) -> Option<u32> {
            if self.list.iter().all(|(slot, _)| *slot == keep) {
                self.list
                    .iter_mut()
                    .for_each(|(_, visited)| *visited = false);
                return None;
            }
            let last = self.list.len() - 1;
            let mut at = self.hand.and_then(|slot| self.place(slot)).unwrap_or(last);
            loop {
                let (slot, visited) = self.list[at];
                if !visited && slot != keep {
                    self.hand = Some(slot);
                    return Some(slot);
                }
                self.list[at].1 = false;
                at = at.checked_sub(1).unwrap_or(last);
            }
        }
    }

    #[test]
    fn what_was_asked_for_outlives_what_was_not() {
        let mut sieve = Sieve::default();
        for slot in 0..4 {
            sieve.push(slot);
        }
        sieve.visit(0);
        sieve.visit(2);
        let mut gone = Vec::new();
        for _ in 0..4 {
            let victim = sieve.victim(|_| false).unwrap();
            sieve.remove(victim);
            gone.push(victim);
        }
        assert_eq!(gone, [1, 3, 0, 2]);
        assert_eq!(sieve.victim(|_| false), None);
        assert_eq!(sieve.len(), 0);
    }

    #[test]
    fn the_hand_takes_somebody_after_a_bounded_walk() {
        let mut sieve = Sieve::default();
        let count = slot32(STEPS * 3);
        for slot in 0..count {
            sieve.push(slot);
            sieve.visit(slot);
        }
        assert_eq!(sieve.victim(|_| false), Some(slot32(STEPS)));
    }

    #[test]
    fn nobody_leaves_where_all_are_to_be_kept() {
        let mut sieve = Sieve::default();
        sieve.push(7);
        sieve.push(9);
        assert_eq!(sieve.victim(|_| true), None);
        assert_eq!(sieve.victim(|slot| slot == 7), Some(9));
        // Slots that never came in are no matter.
        sieve.remove(8);
        sieve.remove(1_000);
        sieve.visit(1_000);
        assert_eq!(sieve.len(), 2);
    }

    proptest! {
        #[test]
        fn it_chooses_as_the_plain_list_does(steps in prop::collection::vec((0_u8..4, 0_u32..80), 1..1_500)) {
            let mut subject = Sieve::default();
            let mut model = Plain::default();
            for (what, slot) in steps {
                match what {
                    0 if model.place(slot).is_none() => {
                        subject.push(slot);
                        model.push(slot);
                    }
                    0 | 1 => {
                        subject.visit(slot);
                        model.visit(slot);
                    }
                    2 => {
                        subject.remove(slot);
                        model.remove(slot);
                    }
                    _ => {
                        let victim = subject.victim(|other| other == slot);
                        prop_assert_eq!(victim, model.victim(slot));
                        if let Some(victim) = victim {
                            subject.remove(victim);
                            model.remove(victim);
                        }
                    }
                }
                prop_assert_eq!(subject.len(), model.list.len());
            }
            while let Some(victim) = subject.victim(|_| false) {
                prop_assert_eq!(Some(victim), model.victim(u32::MAX));
                subject.remove(victim);
                model.remove(victim);
            }
            prop_assert_eq!(model.list.len(), 0);
        }
    }
}
