//! An entry: key, value and the facts about them in one allocation behind one pointer.
//!
//! ```text
//! count 8 | revision 8 | packed 8 | len 8 | [facts id 4 [u16 len, facts]] [expires_at 8] [stale_at 8] key value
//! packed: created_at in ms (44 bits) | key length (16) | kind (2) | stale (1) | expires (1)
//! kind: 0 = text, 1 = binary, 2 = its facts are told, 3 = the mark of a deletion
//! ```
//!
//! The header is 32 bytes; four more only where the facts are not one of the two usual ones, eight more for each time that
//! it has. Key and value lie side by side, so that the log takes both in one piece.
//! It knows neither shards nor the log.

use std::fmt;

use bytes::Bytes;
use triomphe::ThinArc;

use super::facts::{BINARY_ID, Facts, FactsOf, FactsTable, OWNED, TEXT_ID};
use crate::int::wide;
use crate::record::{Lifetime, Meta, Parts};

const CREATED_BITS: u32 = 44;
const CREATED_MASK: u64 = (1 << CREATED_BITS) - 1;
const KEY_SHIFT: u32 = CREATED_BITS;
const KIND: u64 = 3 << 60;
const BINARY: u64 = 1 << 60;
const FACTS: u64 = 2 << 60;
const TOMBSTONE: u64 = 3 << 60;
const STALE: u64 = 1 << 62;
const EXPIRES: u64 = 1 << 63;
/// In place of a facts id, but for [`OWNED`], which tells as it does there: the facts themselves follow.
const INLINE: u32 = !OWNED;

/// Bytes of an entry's allocation before its own.
pub(super) const HEADER: u64 = 32;

/// The longest key, in bytes, whatever the limits say: 16 bits hold its length.
pub const MAX_KEY_BYTES: usize = 65_535;

#[derive(Debug, Clone, Copy)]
struct Head {
    revision: u64,
    packed: u64,
}

/// A key with its value, or the mark that a key was deleted. Cloning is one atomic increment.
#[derive(Clone)]
pub struct Entry(ThinArc<Head, u8>);

impl Entry {
    /// Puts the fixed parts in place; the value is zeros until [`Entry::fill`].
    pub(crate) fn reserve(parts: &Parts<'_>, value_len: usize, table: &FactsTable) -> Self {
        let mut packed = packed_of(parts.key, parts.created_at_ms);
        let mut prefix = Vec::new();
        match table.id(&parts.meta) {
            Some(TEXT_ID) => {}
            Some(BINARY_ID) => packed |= BINARY,
            Some(id) => {
                packed |= FACTS;
                prefix.extend_from_slice(&id.to_le_bytes());
            }
            None => {
                packed |= FACTS;
                let encoded = parts.meta.encoded();
                let owned = if parts.meta.owner.is_some() { OWNED } else { 0 };
                prefix.extend_from_slice(&(INLINE | owned).to_le_bytes());
                let len =
                    u16::try_from(encoded.len()).expect("Meta::fits bounds the encoded length");
                prefix.extend_from_slice(&len.to_le_bytes());
                prefix.extend_from_slice(&encoded);
            }
        }
        let Lifetime {
            expires_at_ms,
            stale_at_ms,
        } = parts.lifetime;
        packed |= expires_at_ms.map_or(0, |_| EXPIRES) | stale_at_ms.map_or(0, |_| STALE);
        parts.lifetime.put(&mut prefix);
        Self::build(packed, &prefix, parts.key, value_len)
    }

    /// The same value with another lifetime: everything else stays, the time of writing too.
    pub(crate) fn with_lifetime(&self, lifetime: Lifetime, table: &FactsTable) -> Self {
        let facts = self.facts(table);
        let parts = Parts {
            key: self.key(),
            meta: facts.as_meta(),
            lifetime,
            created_at_ms: self.created_at_ms(),
        };
        let mut entry = Self::reserve(&parts, self.value().len(), table);
        entry.fill(|value| value.copy_from_slice(self.value()));
        entry
    }

    /// The mark that `key` was deleted by `revision`.
    pub(crate) fn tombstone(key: &[u8], revision: u64) -> Self {
        let mut entry = Self::build(packed_of(key, 0) | TOMBSTONE, &[], key, 0);
        entry.set_revision(revision);
        entry
    }

    /// The same entry in an allocation of its own.
    pub(crate) fn copied(&self) -> Self {
        let head = *self.head();
        Self(ThinArc::from_header_and_slice(head, self.bytes()))
    }

    fn build(packed: u64, prefix: &[u8], key: &[u8], value_len: usize) -> Self {
        const ZEROS: &[u8] = &[0; 4096];
        let len = prefix.len() + key.len() + value_len;
        let head = Head {
            revision: 0,
            packed,
        };
        let mut thin = ZEROS.get(..len).map_or_else(
            // A large zeroed vector is untouched memory: the copy costs one pass, not two.
            || ThinArc::from_header_and_slice(head, &vec![0; len]),
            |zeros| ThinArc::from_header_and_slice(head, zeros),
        );
        thin.with_arc_mut(|arc| {
            let inner = triomphe::Arc::get_mut(arc).expect("nobody else has seen this allocation");
            let (start, rest) = inner.slice_mut().split_at_mut(prefix.len());
            start.copy_from_slice(prefix);
            rest.split_at_mut(key.len()).0.copy_from_slice(key);
        });
        Self(thin)
    }

    /// The value's bytes, writable until the entry is shared.
    ///
    /// # Panics
    /// Where the entry has been cloned already.
    pub(crate) fn fill<R>(&mut self, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let start = self.value_start();
        self.0.with_arc_mut(|arc| {
            let inner =
                triomphe::Arc::get_mut(arc).expect("a draft is not shared before it is put");
            write(inner.slice_mut().split_at_mut(start).1)
        })
    }

    /// Gives the entry its place in the order of changes; only before it is shared.
    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.0.with_arc_mut(|arc| {
            let inner =
                triomphe::Arc::get_mut(arc).expect("a draft is not shared before it is put");
            inner.header_mut().revision = revision;
        });
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    #[inline]
    fn has(&self, flag: u64) -> bool {
        self.head().packed & flag != 0
    }

    #[inline]
    fn is(&self, kind: u64) -> bool {
        self.head().packed & KIND == kind
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    #[inline]
    fn facts_len(&self) -> usize {
        if !self.is(FACTS) {
            return 0;
        }
        if self.facts_id() & !OWNED == INLINE {
            6 + self.inline_len()
        } else {
            4
        }
    }

    fn facts_id(&self) -> u32 {
        self.bytes()
            .first_chunk()
            .map_or(INLINE, |id| u32::from_le_bytes(*id))
    }

    fn inline_len(&self) -> usize {
        let len = self.bytes().get(4..6).and_then(<[u8]>::first_chunk);
        len.map_or(0, |len| usize::from(u16::from_le_bytes(*len)))
    }

    #[inline]
    fn key_start(&self) -> usize {
        let times = (self.head().packed & (EXPIRES | STALE)).count_ones();
        self.facts_len() + crate::int::index(times) * 8
    }

    #[inline]
    fn value_start(&self) -> usize {
        self.key_start() + self.key_len()
    }

    #[inline]
    fn key_len(&self) -> usize {
        crate::int::narrow((self.head().packed >> KEY_SHIFT) & 0xFFFF)
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let start = self.key_start();
        self.bytes()
            .get(start..start + self.key_len())
            .unwrap_or_default()
    }

    /// The value, exactly as it was put.
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.bytes().get(self.value_start()..).unwrap_or_default()
    }

    /// Key and value side by side, as the log and the snapshot keep them.
    #[inline]
    pub(crate) fn key_and_value(&self) -> &[u8] {
        self.bytes().get(self.key_start()..).unwrap_or_default()
    }

    /// The value as reference-counted bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(ValueOf(self))
    }

    /// Key and value as reference-counted bytes, without a copy.
    pub(crate) fn into_key_and_value(self) -> Bytes {
        Bytes::from_owner(KeyAndValueOf(self))
    }

    /// The change that wrote this entry.
    #[inline]
    pub fn revision(&self) -> u64 {
        self.head().revision
    }

    /// When the value was written, in Unix milliseconds.
    #[inline]
    pub fn created_at_ms(&self) -> u64 {
        self.head().packed & CREATED_MASK
    }

    /// When the entry leaves, in Unix milliseconds; `None` = never.
    #[inline]
    pub fn expires_at_ms(&self) -> Option<u64> {
        if !self.has(EXPIRES) {
            return None;
        }
        self.time_at(self.facts_len())
    }

    /// When somebody should look for a newer value, in Unix milliseconds; `None` = never.
    #[inline]
    pub fn stale_at_ms(&self) -> Option<u64> {
        if !self.has(STALE) {
            return None;
        }
        let before = if self.has(EXPIRES) { 8 } else { 0 };
        self.time_at(self.facts_len() + before)
    }

    fn time_at(&self, start: usize) -> Option<u64> {
        let at = self.bytes().get(start..).and_then(<[u8]>::first_chunk);
        at.map(|at| u64::from_le_bytes(*at))
    }

    /// Until when it is there and fresh.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime {
            expires_at_ms: self.expires_at_ms(),
            stale_at_ms: self.stale_at_ms(),
        }
    }

    /// Whether the entry has expired at `now_ms`.
    #[inline]
    pub fn expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at| at <= now_ms)
    }

    /// Whether this is the mark of a deletion.
    #[inline]
    pub(crate) fn is_tombstone(&self) -> bool {
        self.is(TOMBSTONE)
    }

    /// Whether a source wrote the value: then it never leaves for room.
    #[inline]
    pub(crate) fn is_owned(&self) -> bool {
        self.is(FACTS) && self.facts_id() & OWNED != 0
    }

    /// Where in memory it lies. The entry itself is not looked at.
    #[inline]
    pub(super) fn address(&self) -> usize {
        self.0.heap_ptr().addr()
    }

    /// Bytes of memory that this entry's allocation takes.
    pub(crate) fn footprint(&self) -> u64 {
        HEADER + wide(self.bytes().len())
    }

    /// The facts about the value; `table` is the one that the entry was made with.
    pub(crate) fn facts<'t>(&self, table: &'t FactsTable) -> FactsOf<'t> {
        let id = if self.is(BINARY) {
            BINARY_ID
        } else if self.is(FACTS) {
            self.facts_id()
        } else {
            TEXT_ID
        };
        table
            .shared(id)
            .map_or_else(|| FactsOf::Inline(self.inline_facts()), FactsOf::Shared)
    }

    fn inline_facts(&self) -> Facts {
        let encoded = self
            .bytes()
            .get(6..6 + self.inline_len())
            .unwrap_or_default();
        Facts::of(&Meta::decode(encoded).unwrap_or(Meta::of_type(Meta::BINARY)))
    }
}

fn packed_of(key: &[u8], created_at_ms: u64) -> u64 {
    debug_assert!(key.len() <= MAX_KEY_BYTES);
    (created_at_ms & CREATED_MASK) | ((wide(key.len()) & 0xFFFF) << KEY_SHIFT)
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are never shown: they may be secrets.
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("len", &self.value().len())
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// Lets [`Bytes`] hold an entry and show its value.
struct ValueOf(Entry);

impl AsRef<[u8]> for ValueOf {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

/// Lets [`Bytes`] hold an entry and show its key and value.
struct KeyAndValueOf(Entry);

impl AsRef<[u8]> for KeyAndValueOf {
    fn as_ref(&self) -> &[u8] {
        self.0.key_and_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(meta: Meta<'_>, lifetime: Lifetime) -> Parts<'_> {
        Parts {
            key: b"a/key",
            meta,
            lifetime,
            created_at_ms: 1_800_000_000_123,
        }
    }

    #[test]
    fn every_combination_of_parts_reads_back() {
        let table = FactsTable::new();
        let metas = [
            Meta::of_type(Meta::TEXT),
            Meta::of_type(Meta::BINARY),
            Meta {
                content_type: "image/png",
                content_encoding: Some("br"),
                owner: Some("pump"),
            },
        ];
        for meta in metas {
            let times = [
                (None, None),
                (Some(9), None),
                (None, Some(8)),
                (Some(7), Some(6)),
            ];
            for (expires_at_ms, stale_at_ms) in times {
                let lifetime = Lifetime {
                    expires_at_ms,
                    stale_at_ms,
                };
                for len in [0_usize, 1, 100, 10_000] {
                    let mut entry = Entry::reserve(&parts(meta, lifetime), len, &table);
                    entry.fill(|value| value.fill(7));
                    entry.set_revision(42);
                    assert_eq!(entry.key(), b"a/key");
                    assert_eq!(entry.value(), vec![7; len]);
                    assert_eq!(entry.revision(), 42);
                    assert_eq!(entry.created_at_ms(), 1_800_000_000_123);
                    assert_eq!(entry.lifetime(), lifetime);
                    assert_eq!(entry.facts(&table).as_meta(), meta);
                    assert_eq!(entry.is_owned(), meta.owner.is_some());
                    assert!(!entry.is_tombstone());
                    assert_eq!(entry.into_bytes(), vec![7; len]);
                }
            }
        }
    }

    #[test]
    fn a_full_table_of_facts_makes_entries_carry_their_own() {
        let table = FactsTable::new();
        for n in 0..5_000 {
            table.id(&Meta::of_type(&format!("x/{n}")));
        }
        let meta = Meta {
            content_type: "x/last",
            content_encoding: None,
            owner: Some("s"),
        };
        let mut entry = Entry::reserve(&parts(meta, Lifetime::until(Some(9))), 3, &table);
        entry.fill(|value| value.copy_from_slice(b"abc"));
        assert_eq!((entry.key(), entry.value()), (&b"a/key"[..], &b"abc"[..]));
        assert_eq!(entry.expires_at_ms(), Some(9));
        assert_eq!(entry.facts(&table).as_meta(), meta);
        assert!(entry.is_owned());
        let own = Meta {
            owner: None,
            ..meta
        };
        let entry = Entry::reserve(&parts(own, Lifetime::FOREVER), 0, &table);
        assert_eq!(entry.facts(&table).as_meta(), own);
        assert!(!entry.is_owned());
    }

    #[test]
    fn the_header_is_32_bytes() {
        let table = FactsTable::new();
        let text = Meta::of_type(Meta::TEXT);
        let entry = Entry::reserve(&parts(text, Lifetime::FOREVER), 1, &table);
        assert_eq!(entry.footprint(), 32 + 6);
        assert_eq!(Entry::tombstone(b"a/key", 1).footprint(), 32 + 5);
        let stale = Lifetime {
            stale_at_ms: Some(1),
            ..Lifetime::FOREVER
        };
        let entry = Entry::reserve(&parts(text, stale), 1, &table);
        assert_eq!(entry.footprint(), 32 + 6 + 8);
        assert_eq!(size_of::<Option<Entry>>(), 8);
    }
}
