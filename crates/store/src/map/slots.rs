//! The entries of a shard by slot. A key keeps its slot for as long as it is there.
//!
//! What is in a slot is counted in the [`Pages`] of the store. It knows neither keys nor locks.

use std::sync::Arc;

use super::Entry;
use super::pages::{Pages, Sparse};
use crate::int::{index, slot32};

/// Slots, empty ones among them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    places: Vec<Option<Entry>>,
    pages: Arc<Pages>,
}

impl Slots {
    /// No slots, and room for `count`.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            places: Vec::with_capacity(count),
            pages: Arc::default(),
        }
    }

    /// No slots, counted where these are.
    pub(super) fn another(&self) -> Self {
        Self {
            places: Vec::new(),
            pages: Arc::clone(&self.pages),
        }
    }

    /// Counts in `pages` what comes from now on, while nothing is here yet.
    pub(super) fn count_in(&mut self, pages: &Arc<Pages>) {
        debug_assert!(self.places.is_empty());
        self.pages = Arc::clone(pages);
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.places.get(index(slot)).and_then(Option::as_ref)
    }

    /// Another slot, empty.
    pub(super) fn grow(&mut self) -> u32 {
        if self.places.len() == self.places.capacity() {
            // Doubling would leave up to eight bytes of air for each entry.
            self.places.reserve_exact(self.places.len() / 8 + 16);
        }
        self.places.push(None);
        slot32(self.places.len() - 1)
    }

    /// Puts an entry into a slot. Returns what was there.
    pub(super) fn put(&mut self, slot: u32, entry: Entry) -> Option<Entry> {
        let place = self.places.get_mut(index(slot))?;
        self.pages.enter(&entry);
        let old = place.replace(entry);
        if let Some(old) = &old {
            self.pages.leave(old);
        }
        old
    }

    /// Empties a slot.
    pub(super) fn take(&mut self, slot: u32) -> Option<Entry> {
        let old = self.places.get_mut(index(slot))?.take()?;
        self.pages.leave(&old);
        Some(old)
    }

    /// Which pages should be left, where so many are so empty that it matters.
    pub(super) fn sparse(&self) -> Option<Sparse> {
        self.pages.sparse()
    }

    /// Copies the entry of a slot to another place, where it lies in a page that should be left. Returns what was there.
    pub(super) fn renew(&mut self, slot: u32, most: Sparse) -> Option<Entry> {
        let entry = self.get(slot)?;
        let leaves = self.pages.is_sparse(entry, most);
        let copy = leaves.then(|| entry.copied())?;
        self.put(slot, copy)
    }

    /// How many there are, the empty ones included.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of memory that they take, without the entries.
    pub(super) fn footprint(&self) -> usize {
        self.places.capacity() * size_of::<Option<Entry>>()
    }

    /// The entries with their slots, in the order of these.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(slot, place)| place.as_ref().map(|entry| (slot32(slot), entry)))
    }

    /// All entries, which are counted no longer.
    pub(super) fn into_entries(mut self) -> impl Iterator<Item = Entry> + use<> {
        self.leave_all();
        std::mem::take(&mut self.places).into_iter().flatten()
    }

    fn leave_all(&self) {
        for entry in self.places.iter().flatten() {
            self.pages.leave(entry);
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.leave_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::FactsTable;
    use crate::record::{Lifetime, Meta, Parts};

    fn slots(pages: &Arc<Pages>) -> Slots {
        let mut slots = Slots::with_capacity(4);
        slots.count_in(pages);
        slots
    }

    fn entry(len: usize) -> Entry {
        let parts = Parts {
            key: b"key",
            meta: Meta::of_type(Meta::TEXT),
            lifetime: Lifetime::until(None),
            created_at_ms: 1,
        };
        Entry::reserve(&parts, len, &FactsTable::new())
    }

    #[test]
    fn whatever_leaves_is_counted_no_longer() {
        let pages = Arc::new(Pages::default());
        let mut slots = slots(&pages);
        for _ in 0..3 {
            let slot = slots.grow();
            assert!(slots.put(slot, entry(100)).is_none());
        }
        let one = pages.filled() / 3;
        assert!(one > 100);
        assert_eq!(slots.put(1, entry(100)).unwrap().value().len(), 100);
        assert_eq!(pages.filled(), 3 * one);
        assert!(slots.take(0).is_some() && slots.take(0).is_none());
        assert_eq!(pages.filled(), 2 * one);
        let found: Vec<u32> = slots.iter().map(|(slot, _)| slot).collect();
        assert_eq!((found, slots.len()), (vec![1, 2], 3));
        // Before the first of them is taken over: nobody has to take them all.
        let entries = slots.into_entries();
        assert_eq!(pages.filled(), 0);
        assert_eq!(entries.count(), 2);
    }

    #[test]
    fn slots_that_are_dropped_take_their_entries_along() {
        let pages = Arc::new(Pages::default());
        let mut first = slots(&pages);
        let mut second = first.another();
        for slots in [&mut first, &mut second] {
            let slot = slots.grow();
            drop(slots.put(slot, entry(100)));
        }
        let both = pages.filled();
        drop(first);
        assert_eq!(pages.filled(), both / 2);
        drop(second);
        assert_eq!(pages.filled(), 0);
    }
}
