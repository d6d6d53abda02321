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

    /// All entries.
    pub(super) fn into_entries(mut self) -> impl Iterator<Item = Entry> + use<> {
        let pages = Arc::clone(&self.pages);
        let places = std::mem::take(&mut self.places).into_iter();
        places.flatten().inspect(move |entry| pages.leave(entry))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for entry in self.places.drain(..).flatten() {
            self.pages.leave(&entry);
        }
    }
}
