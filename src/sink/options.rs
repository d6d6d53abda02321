//! What a sink can be told, checked and typed. It must not know where that was said.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::outbound::{self, Auth, HeaderMap, Secret};

/// `keyspaces.*.sink`: where the changes of one keyspace go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `sql` or `http`
    pub target: Target,
    /// `mode`
    pub mode: Mode,
    /// `every`: how often.
    pub every: Duration,
    /// `timeout`: of one statement or request.
    pub timeout: Duration,
    /// `batch`: the most keys of one statement or request.
    pub batch: usize,
    /// `max_pending`: the most keys that may wait; a change of one more is refused.
    pub max_pending: u64,
    /// `max_dead`: the most keys that the target has refused for good.
    pub max_dead: u64,
    /// `backoff_min`: the first pause after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// `backoff_max`: the longest.
    pub backoff_max: Duration,
}

#[cfg(test)]
impl Options {
    /// Sums, without waiting.
    pub(super) fn for_tests(target: Target) -> Self {
        Self {
            target,
            mode: Mode::Increment,
            every: Duration::from_hours(1),
            timeout: Duration::from_secs(30),
            batch: 500,
            max_pending: 1_000,
            max_dead: 100,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
        }
    }
}

/// What is passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// `increment`: what the counters have gained since the last time.
    Increment,
    /// `upsert`: the latest values.
    Upsert(Deletes),
}

/// What becomes of deletions where the latest values are passed on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Deletes {
    /// They are not passed on.
    #[default]
    Ignore,
    /// The row goes too.
    Propagate,
}

/// Where to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A table.
    Sql(SqlTarget),
    /// Whoever takes batches.
    Http(HttpTarget),
}

/// A table of a database, which has a unique index on its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlTarget {
    /// `url` or `url_file`
    pub url: Secret,
    /// `table`, perhaps with its schema before it.
    pub table: String,
    /// `key_column`
    pub key_column: String,
    /// `value_column`
    pub value_column: String,
}

/// An address to which batches are posted as JSON. Shown without its query, which may hold what should be secret.
#[derive(Clone, Eq, PartialEq)]
pub struct HttpTarget {
    /// `endpoint`
    pub endpoint: String,
    /// `header`
    pub headers: HeaderMap,
    /// `auth`
    pub auth: Option<Auth>,
    /// `ca`: authorities that are believed beside the others.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget")
            .field("endpoint", &outbound::shown(&self.endpoint))
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .field("ca", &self.ca)
            .finish()
    }
}
