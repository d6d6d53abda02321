//! A value as an answer: its headers, its bytes or a part of them, without a copy. It must not know where values come
//! from.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{self, HeaderMap, HeaderValue, HttpDate};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;

use super::code::Code;
use super::problem::Problem;
use super::range::{self, Wanted};
use super::{etag, media};
use crate::keyspace::{Conditions, Entry, MediaType, Verdict, Version};

/// Larger bodies are handed over in pieces of this size: the connection copies each piece into its write buffer, which
/// then stays small however large the value is.
const PIECE: usize = 64 << 10;

/// The answer to a read of `entry`, which a client may keep for `max_age` without asking again.
pub(crate) fn of_entry(
    method: &Method,
    headers: &HeaderMap,
    conditions: &Conditions,
    entry: Entry,
    max_age: Option<Duration>,
) -> Result<HttpResponse, Problem> {
    match conditions.judge_read(entry.version) {
        Verdict::Proceed => {}
        Verdict::Failed => return Err(condition_failed(Some(entry.version))),
        Verdict::NotModified => return Ok(not_modified(&entry, max_age)),
    }
    let len = entry.value.len();
    // RFC 9110 defines ranges for GET alone.
    let wanted = if *method == Method::GET {
        range::wanted(headers, entry.version, len)
    } else {
        Wanted::Whole
    };
    match wanted {
        Wanted::Whole => Ok(full(StatusCode::OK, method, entry, max_age)),
        Wanted::Outside => Err(outside(len)),
        Wanted::Part(start, end) => {
            let value = entry.value.slice(start..end);
            let mut response = full(
                StatusCode::PARTIAL_CONTENT,
                method,
                Entry { value, ..entry },
                max_age,
            );
            let range = format!("bytes {start}-{}/{len}", end - 1);
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, text(range));
            Ok(response)
        }
    }
}

/// 412 with the version that is there instead.
pub(crate) fn condition_failed(current: Option<Version>) -> Problem {
    match current {
        None => Problem::new(
            Code::ConditionFailed,
            "the key is absent; nothing was changed",
        ),
        Some(version) => Problem::new(
            Code::ConditionFailed,
            "the key has another version; nothing was changed",
        )
        .with_header(header::ETAG, etag::header(version)),
    }
}

fn outside(len: usize) -> Problem {
    Problem::new(
        Code::RangeNotSatisfiable,
        format!("the value has {len} bytes"),
    )
    .with_header(header::CONTENT_RANGE, text(format!("bytes */{len}")))
}

/// 304 for a reader that has this version of a value.
pub(crate) fn not_modified(entry: &Entry, max_age: Option<Duration>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    freshness(response.headers_mut(), entry, max_age);
    response
}

/// 304 for a reader that has this version of something that is told about a value.
pub(crate) fn not_modified_version(version: Version) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    response
        .headers_mut()
        .insert(header::ETAG, etag::header(version));
    response
}

fn full(
    status: StatusCode,
    method: &Method,
    entry: Entry,
    max_age: Option<Duration>,
) -> HttpResponse {
    let mut response = HttpResponse::new(status);
    let headers = response.headers_mut();
    freshness(headers, &entry, max_age);
    headers.insert(header::CONTENT_TYPE, media_type(&entry.media_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if media::is_runnable(&entry.media_type) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox"),
        );
    }
    if let Some(encoding) = &entry.content_encoding {
        headers.insert(header::CONTENT_ENCODING, text(encoding.as_ref().to_owned()));
    }
    let value = entry.value;
    // Only who asks for something large comes back for the rest of it.
    if value.len() > PIECE {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if *method == Method::HEAD {
        return response
            .set_body(Announced(value.len()))
            .map_into_boxed_body();
    }
    if value.len() <= PIECE {
        return response.set_body(value).map_into_boxed_body();
    }
    response.set_body(Pieces(value)).map_into_boxed_body()
}

/// What a cache needs to know: the version, when it has to ask again, and when the value leaves.
fn freshness(headers: &mut HeaderMap, entry: &Entry, max_age: Option<Duration>) {
    headers.insert(header::ETAG, etag::header(entry.version));
    let kept = max_age.map_or_else(
        || HeaderValue::from_static("no-cache"),
        |max_age| text(format!("max-age={}", max_age.as_secs())),
    );
    headers.insert(header::CACHE_CONTROL, kept);
    // What is stale, or is not any more, is over for a client alike.
    if let Some(at) = entry
        .stale_at_ms
        .or(entry.expires_at_ms)
        .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
    {
        headers.insert(header::EXPIRES, text(HttpDate::from(at).to_string()));
    }
}

fn media_type(media_type: &MediaType) -> HeaderValue {
    match media_type {
        MediaType::Text => HeaderValue::from_static(MediaType::TEXT),
        MediaType::Binary => HeaderValue::from_static(MediaType::BINARY),
        MediaType::Named(name) => text(name.as_ref().to_owned()),
    }
}

/// A header value of text that came in by a header or was made here.
fn text(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The body of a large value, piece by piece.
struct Pieces(Bytes);

impl MessageBody for Pieces {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len().try_into().unwrap_or(u64::MAX))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.0.len().min(PIECE);
        Poll::Ready(Some(Ok(self.0.split_to(len))))
    }
}

/// The body that a HEAD only tells the length of.
struct Announced(usize);

impl MessageBody for Announced {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.try_into().unwrap_or(u64::MAX))
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}
