//! How full the pages of memory are in which entries lie, so that who stays can move out of those that most have left.
//!
//! An allocator hands out the blocks of one size from a page of their own, and gives a page back when its last block is free.
//! Where sizes drift, each page that nearly all have left is kept by a few, and the process takes far more than its entries
//! do. Here is counted what lies in each page, by the address of an entry alone: a look costs no more than that.
//!
//! ```text
//! a page is 64 KiB for blocks up to 8 KiB, 512 KiB for blocks up to 64 KiB (mimalloc); larger blocks have their own
//! ```
//!
//! Nothing depends on that being so: with other pages the figure is coarser, and other entries move. The two sizes of pages
//! have counters of their own, so that the sums are right wherever a block lies. There is one allocator for all, so all
//! keyspaces of a store are counted together. It knows entries, but neither shards nor who may leave.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::Entry;
use super::cost::size_class;
use crate::int::low32;

/// Of two to the power of this are the pages of small blocks.
const SMALL: u32 = 16;
/// The largest block that is small.
const SMALL_BLOCK: u64 = 8 << 10;
/// The same of blocks of a middle size.
const MIDDLE: u32 = 19;
const MIDDLE_BLOCK: u64 = 64 << 10;
/// Of two to the power of this are the parts of memory that are counted together.
const PART: u32 = 30;
/// How many parts are told apart. An address beyond that shares the counter of one before it, and both look fuller than they are.
const PARTS: usize = 256;

/// Pages are wasteful where they are larger than what lies in them by more than this part of that, ...
const WASTE: u64 = 20;
/// ... and by more than these bytes.
const WASTE_BYTES: u64 = 1 << 20;
/// A page is sparse where it holds less than an average page does; with less than so many hundredths of what it could hold it
/// always is, ...
const SPARSE: u64 = 75;
/// ... with more than so many never.
const FULL: u64 = 90;

/// The pages. What every writer changes lies apart from what all only read.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    parts: OnceLock<Box<[OnceLock<Part>]>>,
    /// Bytes of the pages in which anything lies.
    spanned: CachePadded<AtomicU64>,
    /// Bytes of what lies in them.
    filled: CachePadded<AtomicU64>,
}

/// What lies in each page of a part of memory, in parts of [`WHOLE`].
#[derive(Debug)]
struct Part {
    small: Box<[AtomicU32]>,
    middle: Box<[AtomicU32]>,
}

impl Part {
    fn new() -> Self {
        let counters = |size| (0..1_u32 << (PART - size)).map(|_| AtomicU32::new(0));
        Self {
            small: counters(SMALL).collect(),
            middle: counters(MIDDLE).collect(),
        }
    }
}

/// What a full page holds, in its counter.
const WHOLE: u32 = 1 << SMALL;

/// What an entry means for its page.
#[derive(Debug, Clone, Copy)]
struct Lot {
    address: usize,
    /// Two to the power of this is the size of the page.
    size: u32,
    bytes: u64,
    /// What the entry takes of the page, in parts of [`WHOLE`].
    share: u32,
}

impl Lot {
    /// `None` where the entry has pages of its own.
    fn of(entry: &Entry) -> Option<Self> {
        let bytes = size_class(entry.footprint());
        let size = if bytes <= SMALL_BLOCK {
            SMALL
        } else if bytes <= MIDDLE_BLOCK {
            MIDDLE
        } else {
            return None;
        };
        Some(Self {
            address: entry.address(),
            size,
            bytes,
            share: low32(bytes >> (size - SMALL)),
        })
    }
}

/// What a page holds at most, in parts of [`WHOLE`], if who lies in it should move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sparse(u32);

impl Pages {
    /// The counter of the page of that size in which `address` lies.
    fn counter(&self, address: usize, size: u32) -> &AtomicU32 {
        let parts = self
            .parts
            .get_or_init(|| (0..PARTS).map(|_| OnceLock::new()).collect());
        let part = parts
            .get((address >> PART) % PARTS)
            .expect("a number below PARTS is one of the parts");
        let part = part.get_or_init(Part::new);
        let counters = if size == SMALL {
            &part.small
        } else {
            &part.middle
        };
        counters
            .get((address >> size) % counters.len())
            .expect("a number below the count of counters is one of them")
    }

    /// Counts an entry that is kept from now on.
    pub(super) fn enter(&self, entry: &Entry) {
        let Some(lot) = Lot::of(entry) else {
            return;
        };
        self.filled.fetch_add(lot.bytes, Ordering::Relaxed);
        let counter = self.counter(lot.address, lot.size);
        if counter.fetch_add(lot.share, Ordering::Relaxed) == 0 {
            self.spanned.fetch_add(1 << lot.size, Ordering::Relaxed);
        }
    }

    /// Counts an entry no longer that was counted.
    pub(super) fn leave(&self, entry: &Entry) {
        let Some(lot) = Lot::of(entry) else {
            return;
        };
        self.filled.fetch_sub(lot.bytes, Ordering::Relaxed);
        let counter = self.counter(lot.address, lot.size);
        if counter.fetch_sub(lot.share, Ordering::Relaxed) == lot.share {
            self.spanned.fetch_sub(1 << lot.size, Ordering::Relaxed);
        }
    }

    /// Bytes of what lies in them.
    #[cfg(test)]
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Ordering::Relaxed)
    }

    /// Which pages should be left, where so many are so empty that it matters.
    pub(super) fn sparse(&self) -> Option<Sparse> {
        let filled = self.filled.load(Ordering::Relaxed);
        let spanned = self.spanned.load(Ordering::Relaxed);
        let wasted = spanned.saturating_sub(filled);
        let wasteful = wasted > filled / WASTE + WASTE_BYTES;
        let average = filled / (spanned >> SMALL).max(1);
        let whole = u64::from(WHOLE);
        let most = average.clamp(whole * SPARSE / 100, whole * FULL / 100);
        wasteful.then(|| Sparse(low32(most)))
    }

    /// Whether an entry that is counted lies in such a page.
    pub(super) fn is_sparse(&self, entry: &Entry, most: Sparse) -> bool {
        // Most are told by their address: no look at the entry, which seldom is in a cache.
        let address = entry.address();
        let held = |size| self.counter(address, size).load(Ordering::Relaxed);
        let holds = Some(held(SMALL)).filter(|holds| *holds > 0);
        let holds = holds.unwrap_or_else(|| held(MIDDLE));
        holds < most.0
            && Lot::of(entry).is_some_and(|lot| {
                // What is left over at the end of a page takes no further entry.
                let fits = u64::from(WHOLE.saturating_sub(lot.share));
                u64::from(held(lot.size)) < fits * FULL / 100
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::map::FactsTable;
    use crate::record::{Lifetime, Meta, Parts};

    fn entry(len: usize) -> Entry {
        let parts = Parts {
            key: b"key",
            meta: Meta::of_type(Meta::TEXT),
            lifetime: Lifetime::until(None),
            created_at_ms: 1,
        };
        Entry::reserve(&parts, len, &FactsTable::new())
    }

    fn counted(pages: &Pages) -> (u64, u64) {
        (pages.filled(), pages.spanned.load(Ordering::Relaxed))
    }

    /// Counts `count` entries of about `len` bytes.
    fn fill(pages: &Pages, count: usize, len: usize) -> Vec<Entry> {
        let entries: Vec<_> = (0..count).map(|_| entry(len)).collect();
        for entry in &entries {
            pages.enter(entry);
        }
        entries
    }

    #[test]
    fn what_lies_there_is_counted_and_what_has_left_is_not() {
        let pages = Pages::default();
        let entries = fill(&pages, 5_000, 980);
        let larger = fill(&pages, 100, 30_000);
        let own = fill(&pages, 3, 100_000);
        let (filled, spanned) = counted(&pages);
        assert_eq!(filled, 5_000 * 1_024 + 100 * 32_768);
        assert!(spanned > 5_000 * 1_000 + 100 * 30_000, "{spanned}");
        for entry in entries.iter().chain(&larger).chain(&own) {
            pages.leave(entry);
        }
        assert_eq!(counted(&pages), (0, 0));
    }

    #[test]
    fn sizes_that_lie_side_by_side_are_counted_apart_in_any_order() {
        let pages = Pages::default();
        let pair = |_| [entry(500), entry(20_000)];
        let entries: Vec<_> = (0..200).flat_map(pair).collect();
        let (even, odd) = (
            || entries.iter().step_by(2),
            || entries.iter().skip(1).step_by(2),
        );
        // Whoever comes or goes first: small ones here, those of a middle size there.
        for entry in even().chain(odd()) {
            pages.enter(entry);
        }
        for entry in even().chain(odd()) {
            pages.leave(entry);
        }
        assert_eq!(counted(&pages), (0, 0));
        for entry in odd().chain(even()) {
            pages.enter(entry);
        }
        for entry in even().chain(odd()) {
            pages.leave(entry);
        }
        assert_eq!(counted(&pages), (0, 0));
    }

    #[test]
    fn nothing_is_lost_where_many_come_and_go_at_once() {
        let pages = Pages::default();
        let entries = fill(&pages, 400, 600);
        let before = counted(&pages);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let mine = entries.iter().skip(thread).step_by(4);
                let mine: Vec<_> = mine.collect();
                let pages = &pages;
                scope.spawn(move || {
                    for _ in 0..200 {
                        for entry in &mine {
                            pages.leave(entry);
                        }
                        for entry in &mine {
                            pages.enter(entry);
                        }
                    }
                });
            }
        });
        assert_eq!(counted(&pages), before);
        for entry in &entries {
            pages.leave(entry);
        }
        assert_eq!(counted(&pages), (0, 0));
    }

    #[test]
    fn pages_that_most_have_left_are_sparse_and_full_ones_are_not() {
        let pages = Pages::default();
        let entries = fill(&pages, 8_000, 980);
        // Wherever the allocator put them: who lies among many is left alone.
        let mut held = BTreeMap::new();
        for entry in &entries {
            *held.entry(entry.address() >> SMALL).or_insert(0) += 1_024;
        }
        let most = Sparse(low32(u64::from(WHOLE) * FULL / 100));
        for entry in &entries {
            let full = held[&(entry.address() >> SMALL)] > 60_000;
            assert!(!full || !pages.is_sparse(entry, most), "{entry:?}");
        }
        for (n, entry) in entries.iter().enumerate() {
            if n % 4 != 0 {
                pages.leave(entry);
            }
        }
        let sparse = pages.sparse().unwrap();
        let left = entries.iter().step_by(4);
        assert_eq!(left.filter(|one| !pages.is_sparse(one, sparse)).count(), 0);
    }

    #[test]
    fn a_little_waste_is_no_reason_to_move() {
        let pages = Pages::default();
        assert!(pages.sparse().is_none());
        // Each in a page of its own, or nearly.
        let entries = fill(&pages, 10, 5_000);
        assert!(pages.sparse().is_none(), "{:?}", counted(&pages));
        drop(entries);
    }
}
