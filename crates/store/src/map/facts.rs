//! What an entry says about its value beside the bytes: media type, content encoding, owning source.
//!
//! Nearly all entries share a handful of combinations, so an entry carries an id of four bytes and the strings are kept
//! once. The table is bounded: what does not fit into it is carried by the entry itself.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::record::Meta;

/// Combinations kept once; later ones are carried inline by their entries.
const INTERNED: usize = 4_096;

/// The facts of one value, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The media type.
    pub content_type: Arc<str>,
    /// The content encoding, where one was given.
    pub content_encoding: Option<Arc<str>>,
    /// The source that wrote the value, where one did.
    pub owner: Option<Arc<str>>,
}

impl Facts {
    /// Borrows the facts as a [`Meta`].
    pub fn as_meta(&self) -> Meta<'_> {
        Meta {
            content_type: &self.content_type,
            content_encoding: self.content_encoding.as_deref(),
            owner: self.owner.as_deref(),
        }
    }

    pub(crate) fn of(meta: &Meta<'_>) -> Self {
        Self {
            content_type: meta.content_type.into(),
            content_encoding: meta.content_encoding.map(Into::into),
            owner: meta.owner.map(Into::into),
        }
    }
}

/// The facts of an entry: shared, or taken out of the entry.
#[derive(Debug)]
pub enum FactsOf<'a> {
    /// Kept once in the table.
    Shared(&'a Facts),
    /// Carried by the entry.
    Inline(Facts),
}

impl std::ops::Deref for FactsOf<'_> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        match self {
            Self::Shared(facts) => facts,
            Self::Inline(facts) => facts,
        }
    }
}

/// The table of shared combinations. Ids are local to the process; disk formats carry the strings.
#[derive(Debug)]
pub(crate) struct FactsTable {
    slots: Box<[OnceLock<Facts>]>,
    ids: RwLock<HashMap<Box<[u8]>, u32>>,
}

/// Set in the id of a combination that names an owner, so that an entry tells without a look at the table.
pub(crate) const OWNED: u32 = 1 << 31;
/// The id of `text/plain; charset=utf-8` alone.
pub(crate) const TEXT_ID: u32 = 0;
/// The id of `application/octet-stream` alone.
pub(crate) const BINARY_ID: u32 = 1;

impl FactsTable {
    pub(crate) fn new() -> Self {
        let table = Self {
            slots: (0..INTERNED).map(|_| OnceLock::new()).collect(),
            ids: RwLock::new(HashMap::new()),
        };
        let text = table.intern(&Meta::of_type(Meta::TEXT));
        let binary = table.intern(&Meta::of_type(Meta::BINARY));
        debug_assert_eq!((text, binary), (Some(TEXT_ID), Some(BINARY_ID)));
        table
    }

    /// The id of a combination; `None` where the table is full and the entry has to carry it.
    pub(crate) fn id(&self, meta: &Meta<'_>) -> Option<u32> {
        if meta.content_encoding.is_none() && meta.owner.is_none() {
            match meta.content_type {
                Meta::TEXT => return Some(TEXT_ID),
                Meta::BINARY => return Some(BINARY_ID),
                _ => {}
            }
        }
        self.intern(meta)
    }

    fn intern(&self, meta: &Meta<'_>) -> Option<u32> {
        let encoded = meta.encoded();
        if let Some(id) = self.ids.read().get(&*encoded) {
            return Some(*id);
        }
        let mut ids = self.ids.write();
        if let Some(id) = ids.get(&*encoded) {
            return Some(*id);
        }
        let id = ids.len();
        let slot = self.slots.get(id)?;
        slot.get_or_init(|| Facts::of(meta));
        let owned = if meta.owner.is_some() { OWNED } else { 0 };
        let id = crate::int::slot32(id) | owned;
        ids.insert(encoded.into_boxed_slice(), id);
        Some(id)
    }

    /// The facts with that id.
    pub(crate) fn shared(&self, id: u32) -> Option<&Facts> {
        self.slots
            .get(crate::int::index(id & !OWNED))
            .and_then(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_combinations_share_an_id_and_a_full_table_says_so() {
        let table = FactsTable::new();
        let json = Meta {
            content_type: "application/json",
            content_encoding: Some("gzip"),
            owner: None,
        };
        let id = table.id(&json).unwrap();
        assert_eq!(table.id(&json), Some(id));
        assert_eq!(table.shared(id).unwrap().as_meta(), json);
        let owned = Meta {
            owner: Some("pump"),
            ..json
        };
        let owned_id = table.id(&owned).unwrap();
        assert_eq!((id & OWNED, owned_id & OWNED), (0, OWNED));
        assert_eq!(table.shared(owned_id).unwrap().as_meta(), owned);
        let known = table.ids.read().len();
        for n in known..INTERNED {
            assert!(table.id(&Meta::of_type(&format!("x/{n}"))).is_some());
        }
        assert_eq!(table.id(&Meta::of_type("x/one-more")), None);
        assert_eq!(table.id(&json), Some(id));
    }
}
