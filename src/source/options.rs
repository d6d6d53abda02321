//! What a source can be told, checked and typed. It must not know where that was said.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::outbound::{self, Auth, HeaderMap, Method, Secret};

/// A request over HTTP. Shown without its query and its body, which may hold what should be secret.
#[derive(Clone, Eq, PartialEq)]
pub struct HttpOptions {
    /// `endpoint`: http or https. `{key}` in its path or its query stands for the percent-encoded key, where there is one. A
    /// user and a password in it have been taken out and are in `auth`.
    pub endpoint: String,
    /// `method`
    pub method: Method,
    /// `header`: each may have several values, which are sent as several lines. Sensitive as a whole.
    pub headers: HeaderMap,
    /// `auth`
    pub auth: Option<Auth>,
    /// `body`: sent with any method, and nothing is said about its type.
    pub body: Option<String>,
    /// `ca`: authorities that are believed beside the others.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("endpoint", &outbound::shown(&self.endpoint))
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .field("body_bytes", &self.body.as_ref().map(String::len))
            .field("ca", &self.ca)
            .finish()
    }
}

/// A file of the operator's: absolute or relative to the working directory, behind links too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileOptions {
    /// `path`
    pub path: PathBuf,
}

/// A file for each key, beneath a directory that no key leads out of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BeneathOptions {
    /// `root`: the directory.
    pub root: PathBuf,
    /// `path`: below it, with `{key}` for the key; `{key}` where nothing was said.
    pub path: String,
}

/// A question to a database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlOptions {
    /// `url` or `url_file`
    pub url: Secret,
    /// `query`: one column, of which the first row counts. The key is its one parameter: `$1`, or `?` in `MySQL`.
    pub query: String,
    /// `content_type` of the value.
    pub content_type: String,
}

/// Where the value of an absent key comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// `http`
    Http(Box<HttpOptions>),
    /// `file`
    File(BeneathOptions),
    /// `sql`
    Sql(SqlOptions),
}

impl Origin {
    /// Which of them it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::File(_) => "file",
            Self::Sql(_) => "sql",
        }
    }
}

/// How many fetches may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// `per_second`: more than 0.
    pub per_second: f64,
    /// `burst`: how many at once, at least 1.
    pub burst: u32,
}

/// When a source that fails is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Breaker {
    /// `failures`: so many in a row open it.
    pub failures: u32,
    /// `reset`: so long it stays open, then one fetch tries whether it can close.
    pub reset: Duration,
}

/// `keyspaces.*.source`: how a keyspace reads through.
#[derive(Clone, Debug, PartialEq)]
pub struct ThroughOptions {
    /// `http`, `file` or `sql`
    pub origin: Origin,
    /// `timeout`: of one fetch, and the longest that a caller waits for its turn.
    pub timeout: Duration,
    /// `max_bytes`: the largest value, once inflated.
    pub max_bytes: usize,
    /// `honour_source`: whether `Cache-Control` and `Expires` of the source win over the keyspace's ttl.
    pub honour_source: bool,
    /// `negative_ttl`: how long a key that the source does not have is not asked for again.
    pub negative_ttl: Option<Duration>,
    /// `negative_keys`: the most keys that are remembered so.
    pub negative_keys: usize,
    /// `stale_while_revalidate`: how long a value whose ttl is over is answered while a new one is fetched (RFC 5861).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale_if_error`: how long a value whose ttl is over is answered when the source fails (RFC 5861).
    pub stale_if_error: Option<Duration>,
    /// `max_concurrency`: the most fetches at one time.
    pub max_concurrency: usize,
    /// `rate_limit`
    pub rate_limit: Option<RateLimit>,
    /// `circuit_breaker`
    pub breaker: Option<Breaker>,
    /// `refresh_ahead`: a key that was read within that time before its ttl is over is fetched again before that.
    pub refresh_ahead: Option<Duration>,
}
