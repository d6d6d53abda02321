//! How an answer came about, and why there is none. It must not know how either is told to a client.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Entry;
use crate::source::FetchError;

/// What a reader accepts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Accepts {
    /// Whatever the keyspace has or can get.
    #[default]
    Anything,
    /// Only what is fetched from now on, or is being fetched.
    Fetched,
    /// Only what is stored.
    Stored,
    /// Neither: what is fetched and yet not fetched.
    Nothing,
}

/// What a reader is given.
#[derive(Clone, Debug)]
pub struct Read {
    /// The value; `None` where the key is absent.
    pub entry: Option<Entry>,
    /// How it came about, where the keyspace reads through.
    pub served: Option<Served>,
}

/// How an answer of a keyspace that reads through came about, in the terms of RFC 9211.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Served {
    /// From what is stored.
    Hit,
    /// From what is remembered: the source did not have the key when it was last asked.
    NegativeHit,
    /// From what is stored although its time is over.
    Stale {
        /// Since when.
        over_for: Duration,
        /// Why it was good enough.
        because: Stale,
    },
    /// By a fetch.
    Fetched {
        /// Why it was made.
        forwarded: Forwarded,
        /// Whether what it brought is stored now.
        stored: bool,
        /// Whether somebody else had begun it.
        collapsed: bool,
    },
}

/// Why a value was good enough whose time was over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stale {
    /// A newer one is being fetched.
    WhileRevalidating,
    /// There was none to be had, for this reason.
    If(SourceFailure),
}

/// Why a fetch was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarded {
    /// Nothing was stored.
    Miss,
    /// The time of what was stored was over.
    Stale,
    /// The reader would not have it.
    Request,
}

/// Why there is no value to be had from a source. It shows no address, no path and nothing else that is the operator's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SourceFailure {
    /// It failed.
    #[error("{told}")]
    Failed {
        /// How, in words for anybody.
        told: Arc<str>,
    },
    /// Its value is larger than it may be.
    #[error("the source's value has more than {limit} bytes")]
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// It took too long.
    #[error("the source gave no whole answer within {} ms", after.as_millis())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// It has failed so often that it is left alone for a while.
    #[error("the source has failed too often and is left alone for a while")]
    BreakerOpen {
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// It is asked as much as it may be.
    #[error("the source is asked as much as it may be, and there was no turn for this key in time")]
    RateLimited {
        /// When there may be a turn.
        retry_after: Duration,
    },
    /// Only what is stored was asked for, and it is not.
    #[error(
        "the key is not stored, or its time is over, and the request forbids to ask the source"
    )]
    NotStored,
}

impl SourceFailure {
    /// Whoever fetched broke off.
    pub(super) fn broken_off() -> Self {
        Self::Failed {
            told: "the fetch broke off".into(),
        }
    }
}

impl From<&FetchError> for SourceFailure {
    fn from(error: &FetchError) -> Self {
        if let FetchError::Timeout { after } = error {
            return Self::TimedOut { after: *after };
        }
        if let FetchError::TooLarge { limit } = error {
            return Self::TooLarge { limit: *limit };
        }
        Self::Failed {
            told: error.told().into(),
        }
    }
}
