//! Where values come from that nobody has put: fixed words, an HTTP answer, a file, a row of a database. It must not know who
//! asks: a clock, or a key that is absent.

mod beneath;
mod error;
mod file;
mod http;
mod lifetime;
mod options;
#[cfg(test)]
pub(crate) mod plain;
mod sql;
mod template;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::outbound::{HeaderValue, Outbound};

pub use error::FetchError;
pub use lifetime::Lifetime;
pub use options::{
    BeneathOptions, Breaker, FileOptions, HttpOptions, Origin, RateLimit, SqlOptions,
    ThroughOptions,
};

/// How much one fetch may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The time for everything, from the first name to the last byte.
    pub timeout: Duration,
    /// The most bytes of the value, once inflated.
    pub bytes: usize,
}

/// What a source said of its value so that it can be asked later whether that is still the newest one (RFC 9110, section
/// 8.8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Validators {
    pub(crate) etag: Option<HeaderValue>,
    pub(crate) last_modified: Option<HeaderValue>,
}

impl Validators {
    /// Whether nothing was said, so that nothing can be asked.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// A value as its source has it. Cloning copies no bytes.
#[derive(Clone, Eq, PartialEq)]
pub struct Value {
    /// The bytes, inflated where the source compressed them on their way.
    pub bytes: Bytes,
    /// What they are, as the source says: text that can stand in a header, of at most 1,024 bytes, but not necessarily a media
    /// type. `None` where it says nothing.
    pub media_type: Option<Box<str>>,
    /// How they are still encoded, where the source says so: text that can stand in a header, of at most 1,024 bytes.
    pub content_encoding: Option<Box<str>>,
    /// To be shown to [`Source::fetch`] the next time.
    pub validators: Validators,
    /// How long it may be kept.
    pub lifetime: Lifetime,
}

impl Value {
    /// A value of which nothing is known but its bytes.
    fn of(bytes: Bytes) -> Self {
        Self {
            bytes,
            media_type: None,
            content_encoding: None,
            validators: Validators::default(),
            lifetime: Lifetime::Unsaid,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are never shown: they may be secrets.
        f.debug_struct("Value")
            .field("len", &self.bytes.len())
            .field("media_type", &self.media_type)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// What a source answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetched {
    /// This value.
    Value(Value),
    /// The value is the one whose [`Validators`] it was shown.
    NotModified {
        /// How long that may be kept from now on.
        lifetime: Lifetime,
    },
    /// There is none: 404 or 410, no such file, no row or NULL.
    Absent,
}

/// Makes sources, and runs whatever asks them on the runtime for outbound calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    outbound: Outbound,
}

impl Sources {
    /// Sources that reach out as `outbound` says.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Always the same words.
    pub fn fixed(&self, words: &str) -> Source {
        let bytes = Bytes::copy_from_slice(words.as_bytes());
        let bounds = Bounds {
            timeout: Duration::MAX,
            bytes: bytes.len(),
        };
        self.source(Kind::Fixed(bytes), bounds)
    }

    /// What an HTTP request is answered with.
    pub fn http(&self, options: &HttpOptions, bounds: Bounds) -> Source {
        let http = http::Http::new(self.outbound.clone(), options);
        self.source(Kind::Http(Box::new(http)), bounds)
    }

    /// What a file of the operator's holds.
    pub fn file(&self, options: &FileOptions, bounds: Bounds) -> Source {
        let path = options.path.clone();
        self.source(Kind::File(path, file::Readers::new()), bounds)
    }

    /// What a key that is absent stands for.
    pub fn through(&self, options: &ThroughOptions) -> Source {
        let bounds = Bounds {
            timeout: options.timeout,
            bytes: options.max_bytes,
        };
        match &options.origin {
            Origin::Http(http) => self.http(http, bounds),
            Origin::File(beneath) => {
                let beneath = beneath::Beneath::new(beneath);
                self.source(Kind::Beneath(beneath, file::Readers::new()), bounds)
            }
            Origin::Sql(sql) => {
                // Whoever may fetch has a connection: nobody waits for one.
                let connections = options.max_concurrency;
                let sql = sql::Sql::new(self.outbound.clone(), sql, connections, options.timeout);
                self.source(Kind::Sql(Box::new(sql)), bounds)
            }
        }
    }

    /// Runs `work` on the runtime for outbound calls, whoever waits for it.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.outbound.spawn(work)
    }

    fn source(&self, kind: Kind, bounds: Bounds) -> Source {
        Source {
            kind: Arc::new(kind),
            bounds,
            outbound: self.outbound.clone(),
        }
    }
}

/// Where a value comes from. Cheap to clone; the clones share their connections.
#[derive(Clone, Debug)]
pub struct Source {
    kind: Arc<Kind>,
    bounds: Bounds,
    outbound: Outbound,
}

#[derive(Debug)]
enum Kind {
    Fixed(Bytes),
    Http(Box<http::Http>),
    File(PathBuf, file::Readers),
    Beneath(beneath::Beneath, file::Readers),
    Sql(Box<sql::Sql>),
}

impl Source {
    /// Whether there may be a value of `key`: of some it is known without asking that there is none.
    pub fn can_have(&self, key: &str) -> bool {
        match &*self.kind {
            Kind::Fixed(_) | Kind::File(..) | Kind::Sql(_) => true,
            Kind::Http(http) => http.can_have(key),
            Kind::Beneath(beneath, _) => beneath.place(key).is_some(),
        }
    }

    /// Asks for the value, of `key` where the source has many. `known` are the validators of the value that is there already:
    /// with none, [`Fetched::NotModified`] is never answered. May be awaited on any runtime; what is given up stops.
    ///
    /// # Errors
    /// See [`FetchError`]. Nothing is known of the value then: what is there stays as good as it was.
    pub async fn fetch(
        &self,
        key: Option<&str>,
        known: &Validators,
    ) -> Result<Fetched, FetchError> {
        if let Kind::Fixed(bytes) = &*self.kind {
            return Ok(Fetched::Value(Value::of(bytes.clone())));
        }
        let (kind, bounds) = (Arc::clone(&self.kind), self.bounds);
        let (key, known) = (key.map(str::to_owned), known.clone());
        // Connections belong to the runtime that made them.
        self.outbound
            .run(async move {
                let after = bounds.timeout;
                timeout(after, kind.fetch(key.as_deref(), &known, bounds.bytes))
                    .await
                    .unwrap_or(Err(FetchError::Timeout { after }))
            })
            .await
    }
}

impl Kind {
    async fn fetch(
        &self,
        key: Option<&str>,
        known: &Validators,
        most: usize,
    ) -> Result<Fetched, FetchError> {
        match self {
            Self::Fixed(bytes) => Ok(Fetched::Value(Value::of(bytes.clone()))),
            Self::Http(http) => http.fetch(key, known, most).await,
            Self::File(path, readers) => {
                let path = path.clone();
                readers.run(move || file::read(&path, most)).await
            }
            Self::Beneath(beneath, readers) => match beneath.place(key.unwrap_or_default()) {
                None => Ok(Fetched::Absent),
                Some(place) => readers.run(move || place.read(most)).await,
            },
            Self::Sql(sql) => sql.fetch(key.unwrap_or_default(), most).await,
        }
    }
}

/// Does what blocks on a thread for that.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work)
        .await
        .expect("the thread ends with what it found, unless it panicked")
}
