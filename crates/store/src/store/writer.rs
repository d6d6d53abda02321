//! Who makes a change, and whose an entry is. What a source wrote carries its name, and is changed by that source alone; a
//! source leaves alone what anybody else wrote. It must not know what a change does.

use std::sync::Arc;

use super::Core;
use super::change::Draft;
use crate::map::{Entry, Lookup};

/// Who makes a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writer<'a> {
    /// A client: it changes whatever no source wrote.
    #[default]
    Client,
    /// The source of this name: it changes what it wrote itself, and writes keys that are absent.
    Source(&'a str),
    /// Who puts a backup back: it changes everything.
    Restore,
}

/// Whose an entry is that was not the writer's to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A client's.
    Client,
    /// That of the source of this name.
    Source(Arc<str>),
}

impl Core {
    /// Whose the entry is, where it is not `by` who may change it. The shard's lock is held by the caller.
    #[inline]
    pub(super) fn foreign(&self, found: &Lookup<'_>, by: Writer<'_>) -> Option<Holder> {
        let Lookup::Live(entry) = found else {
            return None;
        };
        match by {
            Writer::Client if !entry.is_owned() => None,
            Writer::Restore => None,
            Writer::Client | Writer::Source(_) => self.holder(entry, by),
        }
    }

    /// The same for who puts `draft`.
    #[inline]
    pub(super) fn foreign_to_draft(&self, found: &Lookup<'_>, draft: &Draft) -> Option<Holder> {
        if draft.restores() {
            return self.foreign(found, Writer::Restore);
        }
        if !draft.entry().is_owned() {
            return self.foreign(found, Writer::Client);
        }
        let facts = draft.entry().facts(&self.contents.facts);
        let by = facts
            .owner
            .as_deref()
            .map_or(Writer::Client, Writer::Source);
        self.foreign(found, by)
    }

    fn holder(&self, entry: &Entry, by: Writer<'_>) -> Option<Holder> {
        let facts = entry.facts(&self.contents.facts);
        match (&facts.owner, by) {
            (Some(owner), Writer::Source(name)) if **owner == *name => None,
            (Some(owner), _) => Some(Holder::Source(Arc::clone(owner))),
            (None, _) => Some(Holder::Client),
        }
    }
}
