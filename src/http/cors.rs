//! Cross-origin requests (WHATWG Fetch, section 3.2): which pages of other sites a browser may let in. Only origins that
//! the operator lists, and never with the browser's own credentials: a token is sent by the page that knows it. It must
//! not know what is asked for.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};

use super::gate::Gate;

/// The headers of an answer that a script may read, beside those that every script may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, Link, Age, Cache-Status, Expires, Retry-After");

/// How many seconds a browser may keep the answer to a preflight: not much longer than a change of the list may take.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

const BY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers");

/// The one origin of a request, where it is one of those that are let in.
pub(super) fn allowed_origin<'a>(gate: &Gate, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    if !gate.has_origins() {
        return None;
    }
    let mut origins = headers.get_all(header::ORIGIN);
    let origin = origins.next()?;
    let known = origin.to_str().is_ok_and(|origin| gate.allows(origin));
    origins.next().is_none().then_some(origin).filter(|_| known)
}

/// The answer to a preflight for a path where `methods` are allowed; `None` where it is none, or not from an origin that
/// is let in. It needs no token: a browser sends none with it.
pub(super) fn preflight(
    gate: &Gate,
    head: &RequestHead,
    methods: &'static str,
) -> Option<HttpResponse> {
    let headers = head.headers();
    if head.method != Method::OPTIONS
        || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    allowed_origin(gate, headers)?;
    let mut response = HttpResponse::new(StatusCode::NO_CONTENT);
    let answer = response.headers_mut();
    answer.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    answer.append(header::VARY, BY_PREFLIGHT);
    // A page that is let in may send what any other program may.
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    Some(response)
}

/// Lets the page read the answer, where its origin is let in. Where any is, caches are told that the origin counts.
#[inline]
pub(super) fn expose(gate: &Gate, request: &HeaderMap, answer: &mut HeaderMap) {
    if !gate.has_origins() {
        return;
    }
    answer.append(header::VARY, BY_ORIGIN);
    if let Some(origin) = allowed_origin(gate, request) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(EXPOSE_HEADERS, EXPOSED);
    }
}

const EXPOSE_HEADERS: HeaderName = header::ACCESS_CONTROL_EXPOSE_HEADERS;
