//! What is pending for a sink, as a store and its snapshots have it.

use super::{Buried, Pended};

/// What is pending of a key in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The change that made it so.
    pub(crate) revision: u64,
    pub(crate) pended: Pended<i64>,
}

/// The generation that the first changes go to.
pub(crate) const FIRST: u64 = 1;

/// A generation that is being passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frozen {
    pub(crate) generation: u64,
    /// Of the start that logged the freeze.
    pub(crate) mark: u64,
    /// The change that froze it; 0 where that was before this start.
    pub(crate) revision: u64,
    /// Since when its oldest row has been pending, in Unix milliseconds.
    pub(crate) since_ms: u64,
}

/// The generations of a keyspace, as a snapshot has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generations {
    pub(crate) current: u64,
    /// Since when its oldest row has been pending, in Unix milliseconds; 0 where none is.
    pub(crate) since_ms: u64,
    pub(crate) frozen: Option<Frozen>,
}

impl Generations {
    /// As a start finds them: whatever it finds was durable before.
    pub(crate) fn settled(self) -> Self {
        let settled = |frozen| Frozen {
            revision: 0,
            ..frozen
        };
        Self {
            frozen: self.frozen.map(settled),
            ..self
        }
    }

    /// Whether it says anything.
    pub(crate) fn is_new(&self) -> bool {
        self.current == FIRST && self.since_ms == 0 && self.frozen.is_none()
    }
}

/// A key that could not be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The burial.
    pub(crate) revision: u64,
    /// All that was buried of the key.
    pub(crate) pended: Pended<i128>,
    pub(crate) reason: Box<str>,
    /// When, in Unix milliseconds.
    pub(crate) at_ms: u64,
}

impl Letter {
    /// What a burial by `revision` at `at_ms` says.
    pub(crate) fn of(buried: &Buried<'_>, revision: u64, at_ms: u64) -> Self {
        Self {
            revision,
            pended: buried.pended,
            reason: buried.reason.into(),
            at_ms,
        }
    }
}
