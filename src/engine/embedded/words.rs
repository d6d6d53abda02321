//! Between the engine's words and the store's: entries, versions, conditions, failures. It must not do anything.

use std::sync::Arc;
use std::time::Duration;

use standpipe_store::{CompactError, Counted, Deleted, Lost, Putted, Store, WriteError};

use super::pending::backlog;
use crate::engine::{
    Conditions, Delete, Entry, Failure, Holder, Increment, Incremented, Lifetime, MediaType, Put,
    Version, Versions, Writer,
};

/// An entry of the store as the engine shows it.
pub(super) fn shown(store: &Store, entry: standpipe_store::Entry) -> Entry {
    let facts = store.facts(&entry);
    let media_type = match &*facts.content_type {
        MediaType::TEXT => MediaType::Text,
        MediaType::BINARY => MediaType::Binary,
        _ => MediaType::Named(Arc::clone(&facts.content_type)),
    };
    Entry {
        version: ours(store.version(&entry)),
        media_type,
        content_encoding: facts.content_encoding.clone(),
        created_at_ms: entry.created_at_ms(),
        expires_at_ms: entry.expires_at_ms(),
        stale_at_ms: entry.stale_at_ms(),
        owner: facts.owner.clone(),
        value: entry.into_bytes(),
    }
}

/// A version of the store as the engine shows it.
pub(super) fn ours(version: standpipe_store::Version) -> Version {
    Version {
        mark: version.mark,
        revision: version.revision,
    }
}

/// A lifetime in the store's words.
pub(super) fn their_lifetime(lifetime: Lifetime) -> standpipe_store::Lifetime {
    standpipe_store::Lifetime {
        expires_at_ms: lifetime.expires_at_ms,
        stale_at_ms: lifetime.stale_at_ms,
    }
}

/// Who makes a change, in the store's words.
pub(super) fn their_writer(writer: Writer<'_>) -> standpipe_store::Writer<'_> {
    match writer {
        Writer::Client => standpipe_store::Writer::Client,
        Writer::Source(name) => standpipe_store::Writer::Source(name),
        Writer::Mirror => standpipe_store::Writer::Restore,
    }
}

/// Whose an entry is, as the engine tells it.
pub(super) fn our_holder(holder: standpipe_store::Holder) -> Holder {
    match holder {
        standpipe_store::Holder::Client => Holder::Client,
        standpipe_store::Holder::Source(name) => Holder::Source(name),
    }
}

/// The versions that conditions name, in the store's type.
pub(super) struct Named {
    if_match: Vec<standpipe_store::Version>,
    if_none_match: Vec<standpipe_store::Version>,
}

impl Named {
    pub(super) fn by(when: &Conditions) -> Self {
        let theirs = |ours: &Version| standpipe_store::Version {
            mark: ours.mark,
            revision: ours.revision,
        };
        let named = |versions: &Option<Versions>| match versions {
            Some(Versions::OneOf(versions)) => versions.iter().map(theirs).collect(),
            Some(Versions::Any) | None => Vec::new(),
        };
        Self {
            if_match: named(&when.if_match),
            if_none_match: named(&when.if_none_match),
        }
    }

    pub(super) fn conditions(&self, when: &Conditions) -> standpipe_store::Conditions<'_> {
        standpipe_store::Conditions {
            if_match: when
                .if_match
                .as_ref()
                .map(|versions| their_versions(versions, &self.if_match)),
            if_none_match: when
                .if_none_match
                .as_ref()
                .map(|versions| their_versions(versions, &self.if_none_match)),
        }
    }
}

/// What became of a put, as the engine tells it.
pub(super) fn stored(putted: Putted) -> Put {
    match putted {
        Putted::Stored {
            version,
            created: true,
        } => Put::Created(ours(version)),
        Putted::Stored {
            version,
            created: false,
        } => Put::Replaced(ours(version)),
        Putted::Refused { current } => Put::Refused(current.map(ours)),
        Putted::Foreign(holder) => Put::Foreign(our_holder(holder)),
    }
}

/// What became of a delete, as the engine tells it.
pub(super) fn removed(deleted: Deleted) -> Delete {
    match deleted {
        Deleted::Removed => Delete::Removed,
        Deleted::Absent => Delete::Absent,
        Deleted::Refused { current } => Delete::Refused(current.map(ours)),
        Deleted::Foreign(holder) => Delete::Foreign(our_holder(holder)),
    }
}

/// An increment in the store's words.
pub(super) fn theirs(increment: &Increment) -> standpipe_store::Increment {
    standpipe_store::Increment {
        by: increment.by,
        initial: increment.initial,
        min: increment.min,
        max: increment.max,
        expires_at_ms: increment.expires_at_ms,
    }
}

/// What became of an increment, as the engine tells it.
pub(super) fn counted(counted: Counted) -> Incremented {
    match counted {
        Counted::Added {
            value,
            previous,
            version,
            ..
        } => Incremented::Counted {
            value,
            previous,
            version: ours(version),
        },
        Counted::OutOfRange { current } => Incremented::OutOfRange { current },
        Counted::NotACounter => Incremented::NotACounter,
        Counted::Foreign(holder) => Incremented::Foreign(our_holder(holder)),
        Counted::PendingOutOfRange { pending } => Incremented::PendingOutOfRange { pending },
    }
}

fn their_versions<'a>(
    versions: &Versions,
    named: &'a [standpipe_store::Version],
) -> standpipe_store::Versions<'a> {
    match versions {
        Versions::Any => standpipe_store::Versions::Any,
        Versions::OneOf(_) => standpipe_store::Versions::OneOf(named),
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::Lost {
            reason: lost.reason,
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::DiskFull => Self::DiskFull,
            WriteError::Overloaded { waited_ms } => Self::Overloaded {
                waited: Duration::from_millis(waited_ms),
            },
            WriteError::Lost(lost) => lost.into(),
            WriteError::TooLarge { limit, actual } => Self::TooLarge { limit, actual },
            WriteError::Dropped => Self::KeyspaceDropped,
            WriteError::KeyspaceFull { limit } => Self::KeyspaceFull { limit },
            WriteError::EntryTooLarge { limit, actual } => Self::EntryTooLarge { limit, actual },
            WriteError::SinkBacklog { limit, of } => Self::SinkBacklog {
                limit,
                of: backlog(of),
            },
            WriteError::Closing => Self::Closing,
        }
    }
}

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        match error {
            CompactError::NoSpace { .. } => Self::DiskFull,
            CompactError::Lost(lost) => lost.into(),
            CompactError::Closing => Self::Closing,
            CompactError::Discarded(reason) => Self::NoSnapshot { reason },
        }
    }
}
