//! How a mirror fares, for whoever asks: what it follows, how far it is, what went wrong last. It must not hold anything secret,
//! nor know how current the values are: the keyspace knows that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::trouble::Trouble;
use super::{Options, Upstream};
use crate::metrics::MirrorMetrics;
use crate::outbound::{Url, origin};

/// Whom a mirror follows, as far as it may be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Followed {
    /// A keyspace of another Standpipe.
    Standpipe {
        /// Scheme, host and port.
        endpoint: String,
        /// The keyspace there.
        keyspace: String,
        /// What its keys begin with.
        prefix: String,
    },
    /// Publications of a Smart Core server.
    SmartCore {
        /// Scheme, host and port.
        endpoint: String,
        /// The device that publishes them.
        device: String,
    },
}

impl Followed {
    pub(super) fn of(options: &Options) -> Self {
        match &options.upstream {
            Upstream::Standpipe(upstream) => Self::Standpipe {
                endpoint: shown(&upstream.endpoint),
                keyspace: upstream.keyspace.clone(),
                prefix: upstream.prefix.clone(),
            },
            Upstream::SmartCore(upstream) => Self::SmartCore {
                endpoint: shown(&upstream.endpoint),
                device: upstream.device.clone(),
            },
        }
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standpipe {
                endpoint, keyspace, ..
            } => write!(f, "{keyspace} of {endpoint}"),
            Self::SmartCore { endpoint, device } => write!(f, "{device} of {endpoint}"),
        }
    }
}

/// Scheme, host and port of an endpoint; whatever else stands in it is nobody's business.
fn shown(endpoint: &str) -> String {
    Url::parse(endpoint).map_or_else(|_no_url| "?".to_owned(), |url| origin(&url))
}

/// What a mirror, or its following of one key, is at. The later ones are the worse ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Every change is told as it happens.
    Following,
    /// The upstream is asked from time to time.
    Polling,
    /// It calls the upstream, or is being told what is there.
    Connecting,
    /// The last attempt failed; the next one is at that time, in Unix milliseconds.
    Waiting {
        /// When.
        until_ms: u64,
    },
}

/// Whom a publication is for, and whether that one has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audience {
    /// The name of the device.
    pub name: String,
    /// What that one says of it.
    pub receipt: Receipt,
    /// Why it rejects it.
    pub rejected_reason: Option<String>,
    /// When it said so, in Unix milliseconds.
    pub receipt_ms: Option<u64>,
}

/// What an audience says of a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Receipt {
    /// Nothing is said about that.
    Unspecified,
    /// Nothing yet.
    NoSignal,
    /// It has it.
    Accepted,
    /// It does not want it.
    Rejected,
}

/// What is known of a publication beside its value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// Its version, opaque.
    pub version: Option<String>,
    /// When it was published, in Unix milliseconds.
    pub published_ms: Option<u64>,
    /// Whom it is for.
    pub audience: Option<Audience>,
}

/// One thing that is followed: all keys of a keyspace together, or one publication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) state: State,
    pub(super) last_event_ms: Option<u64>,
    pub(super) error: Option<String>,
    pub(super) facts: Facts,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            state: State::Connecting,
            last_event_ms: None,
            error: None,
            facts: Facts::default(),
        }
    }
}

/// How one mirror fares.
#[derive(Debug)]
pub(super) struct Board {
    keyspace: String,
    lines: Mutex<BTreeMap<String, Line>>,
    metrics: Arc<MirrorMetrics>,
}

impl Board {
    /// Nothing has happened yet.
    pub(super) fn new(keyspace: &str, metrics: Arc<MirrorMetrics>) -> Self {
        Self {
            keyspace: keyspace.to_owned(),
            lines: Mutex::default(),
            metrics,
        }
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Arc<MirrorMetrics> {
        &self.metrics
    }

    /// Everything as it is, by the publication; one that is called nothing where all keys are followed together.
    pub(super) fn lines(&self) -> BTreeMap<String, Line> {
        self.lines.lock().clone()
    }

    /// The upstream is called.
    pub(super) fn connecting(&self, line: &str) {
        self.change(line, |line| line.state = State::Connecting);
    }

    /// What is there is known, and its changes will be.
    pub(super) fn up_to_date(&self, name: &str, state: State) {
        let before = self.change(name, |line| {
            let before = line.clone();
            line.state = state;
            line.error = None;
            before
        });
        if before.state != state && before.error.is_some() {
            let keyspace = &self.keyspace;
            tracing::info!(keyspace, publication = name, "the mirror follows again");
        }
    }

    /// Something came, at this time.
    pub(super) fn heard(&self, line: &str, now_ms: u64) {
        self.metrics.count_event();
        self.change(line, |line| line.last_event_ms = Some(now_ms));
    }

    /// What a publication is.
    pub(super) fn learned(&self, line: &str, facts: Facts) {
        self.change(line, |line| line.facts = facts);
    }

    /// An attempt failed. It is logged once for each other reason.
    pub(super) fn failed(&self, name: &str, trouble: &Trouble, now_ms: u64, pause: Duration) {
        self.metrics.count_failure();
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let error = trouble.to_string();
        let news = self.change(name, |line| {
            line.state = State::Waiting {
                until_ms: now_ms.saturating_add(pause_ms),
            };
            line.error.replace(error.clone()) != Some(error.clone())
        });
        let keyspace = &self.keyspace;
        if news {
            tracing::warn!(
                keyspace,
                publication = name,
                pause_ms,
                "the mirror does not follow: {error}"
            );
        } else {
            tracing::debug!(keyspace, publication = name, pause_ms, "still: {error}");
        }
    }

    fn change<T>(&self, line: &str, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get_mut(line) {
            return change(line);
        }
        change(lines.entry(line.to_owned()).or_default())
    }
}
