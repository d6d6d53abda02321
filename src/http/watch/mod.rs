//! `GET /keyspaces/{ks}/watch`: the changes of a keyspace as server-sent events. It must not know where changes come from.

mod id;
mod seats;
mod stream;
mod text;

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::failures::WatchFailures;
use super::parameters;
use super::problem::Problem;
use super::query::Query;
use super::shapes::{Keyspace, WatchParameters};
use crate::keyspace::{Begin, Filter, Place, TextKind, Watching};
pub(super) use seats::Seats;
use stream::{Events, Shape, Until};

const PARAMETERS: &[&str] = &[
    "key", "prefix", "since", "initial", "values", "limit", "timeout",
];

/// An event of the stream, as an event source shows it; one without data is a sign of life.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes the stream in the document")]
pub(crate) struct WatchEvent {
    /// Where to go on behind it.
    id: Option<String>,
    /// What happened.
    event: Option<String>,
    /// One JSON object on one line.
    data: Option<String>,
}

/// What a browser's event source sends when it comes back (HTML, section 9.2.5).
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells a proxy not to gather what is to be seen at once.
static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow changes
///
/// Server-sent events, in the order of the changes: `put`, `delete`, `expire`, `evict`, `flush` (also for a deletion by
/// prefix). Nothing is told before it is as durable as the keyspace promises. Each event has an id to go on from; a browser's
/// `EventSource` does that by itself. With `initial=true` what is there comes first, then `synced`. Who misses events is told
/// `reset`; `bye` says why the stream ends.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/watch",
    operation_id = "watch",
    tag = "keys",
    params(Keyspace, WatchParameters),
    responses(
        (status = 200, description = "The changes, as they happen", body = WatchEvent, content_type = "text/event-stream",
         example = "retry: 2000\n: heartbeat 15000\nid: 68b4ae0c0f7d2a91-4\n\nid: 68b4ae0c0f7d2a91-5-0\nevent: put\ndata: {\"key\":\"greeting\",\"etag\":\"\\\"68b4ae0c0f7d2a91-5\\\"\",\"content_type\":\"text/plain; charset=utf-8\"}\n\nevent: bye\ndata: {\"reason\":\"timeout\"}\n\n"),
        WatchFailures
    )
)]
pub(super) fn watch(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(PARAMETERS)?;
    let asked = Asked::parse(call, &query)?;
    let values = call.values_of_path()?;
    let service = call.service();
    let limits = service.limits();
    let seat = service.watchers.take(limits.watchers)?;
    let longest = limits.watch_duration.map(|time| (time, "watch_duration"));
    let timeout = asked.timeout.map(|time| (time, "timeout"));
    let until = Until {
        limit: asked.limit,
        time: timeout
            .into_iter()
            .chain(longest)
            .min_by_key(|(time, _)| *time),
    };
    let shape = Shape {
        kind: asked.kind,
        initial: asked.watching.initial,
        resumed: asked.watching.begin != Begin::Now,
    };
    let watch = values.watch(asked.watching)?;
    let events = Events::new(watch, shape, until, limits.watch_heartbeat, seat);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((ACCEL_BUFFERING.clone(), HeaderValue::from_static("no")));
    Ok(response.streaming(events))
}

/// What a request asks for.
struct Asked {
    watching: Watching,
    kind: TextKind,
    limit: Option<u64>,
    timeout: Option<Duration>,
}

impl Asked {
    fn parse(call: &Call, query: &Query<'_>) -> Result<Self, Problem> {
        let bytes = |text: &str| text.as_bytes().into();
        let filter = match (query.value("key"), query.value("prefix")) {
            (Some(_), Some(_)) => {
                return Err(invalid("key and prefix cannot both be given".to_owned()));
            }
            (Some(""), None) => {
                let detail = "key is empty: a key has at least one byte; leave it out for all keys";
                return Err(Problem::new(Code::InvalidKey, detail));
            }
            (Some(key), None) => Filter::Key(bytes(key)),
            (None, prefix) => Filter::Prefix(bytes(prefix.unwrap_or_default())),
        };
        let with_values = parameters::flag(query, "values")?;
        Ok(Self {
            watching: Watching {
                filter,
                begin: begin(call, query)?,
                initial: parameters::flag(query, "initial")?,
            },
            kind: if with_values {
                TextKind::WithValue
            } else {
                TextKind::Plain
            },
            limit: limit(query)?,
            timeout: parameters::time(query, "timeout")?,
        })
    }
}

/// The header of a client that comes back wins: its address is still the one that it began with.
fn begin(call: &Call, query: &Query<'_>) -> Result<Begin, Problem> {
    let since = query
        .value("since")
        .map(|text| place("since", text))
        .transpose()?;
    let header = call.headers().get(&LAST_EVENT_ID);
    // An event source that was never given an id sends none, or an empty one.
    let last = header.filter(|value| !value.is_empty());
    if let Some(value) = last {
        let text = value.to_str().unwrap_or_default();
        return place("Last-Event-ID", text).map(Begin::BehindOrReset);
    }
    Ok(since.map_or(Begin::Now, Begin::Behind))
}

fn place(name: &str, text: &str) -> Result<Place, Problem> {
    id::parse(text).ok_or_else(|| invalid(format!("{name}={text:?} is no id of an event of ours")))
}

fn limit(query: &Query<'_>) -> Result<Option<u64>, Problem> {
    let Some(text) = query.value("limit") else {
        return Ok(None);
    };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| plain && *number > 0);
    number
        .map(Some)
        .ok_or_else(|| invalid(format!("limit={text:?} is no number of events from 1 on")))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}
