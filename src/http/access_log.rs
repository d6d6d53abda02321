//! One line for each answered request, once its last byte has left, where the operator asks for that. It must not hold
//! values or tokens, and keys only at debug.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use tracing::Level;

use super::access::Bearer;
use super::call::Call;
use super::routes;
use super::token::Token;

/// What the lines are filtered by.
const TARGET: &str = crate::logging::ACCESS;

/// What is known of a request when its answer begins.
struct Line {
    began: Instant,
    method: Method,
    route: Option<String>,
    /// The path as it came, and only for who debugs.
    path: Option<String>,
    status: StatusCode,
    peer: Option<SocketAddr>,
    token: Option<Arc<Token>>,
    id: HeaderValue,
}

/// Lets the line be written when the answer has left, or can leave no more.
pub(super) fn follow(
    call: &Call,
    response: HttpResponse,
    began: Instant,
    id: HeaderValue,
) -> HttpResponse {
    let debug = tracing::enabled!(target: TARGET, Level::DEBUG);
    let line = Line {
        began,
        method: call.method().clone(),
        route: routes::template(call.path()),
        path: debug.then(|| path(call)),
        status: response.status(),
        peer: call.head().peer_addr,
        token: match &call.bearer {
            Bearer::Anyone => None,
            Bearer::Token(token) => Some(Arc::clone(token)),
        },
        id,
    };
    response.map_body(|_, body| {
        BoxBody::new(Followed {
            expected: match body.size() {
                BodySize::Sized(len) if line.method != Method::HEAD => Some(len),
                BodySize::Sized(_) | BodySize::None | BodySize::Stream => None,
            },
            sent: 0,
            body,
            line,
        })
    })
}

/// The path, and the query where the key is in it.
fn path(call: &Call) -> String {
    match call.query_text() {
        Some(query) if call.raw_path() == "/" => format!("/?{query}"),
        _ => call.raw_path().to_owned(),
    }
}

/// A body that is counted as it leaves.
struct Followed {
    body: BoxBody,
    /// How long it is; `None` where nobody knows before, or nothing of it is sent.
    expected: Option<u64>,
    sent: u64,
    line: Line,
}

impl MessageBody for Followed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.sent += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        next
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let Line {
            began,
            method,
            route,
            path,
            status,
            peer,
            token,
            id,
        } = &self.line;
        let duration = began.elapsed();
        tracing::info!(
            target: TARGET,
            %method,
            route,
            path,
            status = status.as_u16(),
            bytes = self.sent,
            // Only where the answer ended before its end.
            cut = self.expected.is_some_and(|len| self.sent < len).then_some(true),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            peer = peer.map(tracing::field::display),
            token = token.as_ref().map(|token| token.name.as_str()),
            request_id = id.to_str().unwrap_or_default(),
            "request"
        );
    }
}
