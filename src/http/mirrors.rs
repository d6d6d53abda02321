//! `GET /mirrors`: the keyspaces that follow somebody else, whom, and how that fares. It must not know how anybody is followed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::failures::MirrorsFailures;
use super::probes::json;
use super::problem::Problem;
use super::shown;
use crate::keyspace::Freshness;
use crate::mirror::{Audience, Followed, Key, Mirror, Receipt, State};

/// The most keys that are shown of one mirror.
const KEYS: usize = 1_000;

/// Every keyspace that follows somebody else.
#[derive(Serialize, ToSchema)]
pub(crate) struct MirrorsAnswer {
    /// In the order of their names.
    items: Vec<MirrorAnswer>,
}

/// A keyspace that follows somebody else.
#[derive(Serialize, ToSchema)]
pub(crate) struct MirrorAnswer {
    #[schema(example = "plant")]
    keyspace: String,
    upstream: UpstreamAnswer,
    #[schema(example = "following")]
    state: StateName,
    /// When the next attempt is made; null unless it waits for that.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// When something came for the last time; null where nothing has yet since the start.
    #[schema(required, format = DateTime)]
    last_event_at: Option<String>,
    /// How many milliseconds ago it was known for the last time that everything here is what the upstream has; null where that
    /// was never known since the start.
    #[schema(required)]
    age_ms: Option<u64>,
    /// Whether the upstream may have something else by now.
    stale: bool,
    /// Keys that are served from memory because they cannot be stored.
    unstored: usize,
    /// Bytes of memory that those take.
    unstored_bytes: usize,
    /// What went wrong last; null where all is well.
    #[schema(required)]
    error: Option<String>,
    /// The publications of a Smart Core server, and of any upstream the keys of which there is something to say; at most 1,000.
    keys: Vec<MirroredKey>,
    /// How many of them there are, shown or not.
    keys_in_all: usize,
}

/// Whom a keyspace follows.
#[derive(Serialize, ToSchema)]
pub(crate) struct UpstreamAnswer {
    #[schema(example = "smartcore")]
    kind: &'static str,
    /// Scheme, host and port.
    #[schema(example = "http://127.0.0.1:23557")]
    endpoint: String,
    /// The keyspace there, of another Standpipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    keyspace: Option<String>,
    /// What the keys there begin with that are followed, of another Standpipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    prefix: Option<String>,
    /// The device there, of a Smart Core server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    device: Option<String>,
}

/// What a mirror is at: it hears of every change, asks from time to time, calls the upstream, or waits for the next attempt.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateName {
    /// Every change is told as it happens.
    Following,
    /// The upstream is asked from time to time.
    Polling,
    /// The upstream is called, or tells what is there.
    Connecting,
    /// The last attempt failed.
    Waiting,
}

/// A key of a mirror.
#[derive(Serialize, ToSchema)]
pub(crate) struct MirroredKey {
    #[schema(example = "test/area-controller-1:config")]
    key: String,
    /// What the following of this key is at; null where all keys are followed together.
    #[schema(required)]
    state: Option<StateName>,
    /// When the next attempt is made; null unless it waits for that.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// When something came for it for the last time.
    #[schema(required, format = DateTime)]
    last_event_at: Option<String>,
    /// How many milliseconds ago its value was known for the last time to be the upstream's; null where all keys are followed
    /// together, or where it was never known since the start.
    #[schema(required)]
    age_ms: Option<u64>,
    /// The version of the publication, as the upstream calls it.
    #[schema(required)]
    version: Option<String>,
    /// When that was published.
    #[schema(required, format = DateTime)]
    published_at: Option<String>,
    /// Whom it is for.
    #[schema(required)]
    audience: Option<AudienceAnswer>,
    /// Whether it is served from memory because it cannot be stored.
    unstored: bool,
    /// Whether the upstream does not have it any more, and it was kept.
    deleted_upstream: bool,
    /// What is wrong with it.
    #[schema(required)]
    error: Option<String>,
}

/// Whom a publication is for.
#[derive(Serialize, ToSchema)]
pub(crate) struct AudienceAnswer {
    name: String,
    /// `accepted`, `rejected`, `no_signal`, or null where nothing is said about that.
    #[schema(required)]
    receipt: Option<&'static str>,
    /// Why it was rejected.
    #[schema(required)]
    rejected_reason: Option<String>,
    /// When it was accepted or rejected.
    #[schema(required, format = DateTime)]
    receipt_at: Option<String>,
}

/// Keyspaces that follow somebody else
///
/// Whom each follows, whether it does at the moment, and how old what it serves may be. Only the configuration file makes one.
#[utoipa::path(get, path = "/mirrors", operation_id = "mirrors", tag = "operation", responses(
    (status = 200, description = "The mirrors", body = MirrorsAnswer), MirrorsFailures
))]
pub(super) fn list(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let mirrors = call.service().mirrors();
    let mirrors = mirrors
        .map(|mirrors| mirrors.list(KEYS))
        .unwrap_or_default();
    let items = mirrors.into_iter().map(MirrorAnswer::from).collect();
    Ok(json(StatusCode::OK, &MirrorsAnswer { items }))
}

impl From<Mirror> for MirrorAnswer {
    fn from(mirror: Mirror) -> Self {
        let (state, next_attempt_at) = state(mirror.state);
        Self {
            keyspace: mirror.keyspace,
            upstream: mirror.followed.into(),
            state,
            next_attempt_at,
            last_event_at: mirror.last_event_ms.map(shown::time),
            age_ms: mirror.freshness.map(age_ms),
            stale: mirror.freshness.is_none_or(|freshness| freshness.stale),
            unstored: mirror.unstored,
            unstored_bytes: mirror.unstored_bytes,
            error: mirror.error,
            keys: mirror.keys.into_iter().map(MirroredKey::from).collect(),
            keys_in_all: mirror.keys_in_all,
        }
    }
}

impl From<Followed> for UpstreamAnswer {
    fn from(followed: Followed) -> Self {
        match followed {
            Followed::Standpipe {
                endpoint,
                keyspace,
                prefix,
            } => Self {
                kind: "standpipe",
                endpoint,
                keyspace: Some(keyspace),
                prefix: Some(prefix),
                device: None,
            },
            Followed::SmartCore { endpoint, device } => Self {
                kind: "smartcore",
                endpoint,
                keyspace: None,
                prefix: None,
                device: Some(device),
            },
        }
    }
}

impl From<Key> for MirroredKey {
    fn from(key: Key) -> Self {
        let (state, next_attempt_at) = key.state.map(state).unzip();
        Self {
            key: key.key,
            state,
            next_attempt_at: next_attempt_at.flatten(),
            last_event_at: key.last_event_ms.map(shown::time),
            age_ms: key.freshness.map(age_ms),
            version: key.facts.version,
            published_at: key.facts.published_ms.map(shown::time),
            audience: key.facts.audience.map(AudienceAnswer::from),
            unstored: key.unstored,
            deleted_upstream: key.kept,
            error: key.error,
        }
    }
}

impl From<Audience> for AudienceAnswer {
    fn from(audience: Audience) -> Self {
        Self {
            name: audience.name,
            receipt: match audience.receipt {
                Receipt::Unspecified => None,
                Receipt::NoSignal => Some("no_signal"),
                Receipt::Accepted => Some("accepted"),
                Receipt::Rejected => Some("rejected"),
            },
            rejected_reason: audience.rejected_reason,
            receipt_at: audience.receipt_ms.map(shown::time),
        }
    }
}

fn state(state: State) -> (StateName, Option<String>) {
    match state {
        State::Following => (StateName::Following, None),
        State::Polling => (StateName::Polling, None),
        State::Connecting => (StateName::Connecting, None),
        State::Waiting { until_ms } => (StateName::Waiting, Some(shown::time(until_ms))),
    }
}

fn age_ms(freshness: Freshness) -> u64 {
    u64::try_from(freshness.age.as_millis()).unwrap_or(u64::MAX)
}
