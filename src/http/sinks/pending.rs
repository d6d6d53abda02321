//! `GET /sinks/{ks}/pending`: what waits, as one JSON object, sorted by key. It is read page by page while it is sent, so that
//! it costs the memory of a page however much waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use bytes::Bytes;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use super::super::call::Call;
use super::super::code::Code;
use super::super::failures::SinkReadFailures;
use super::super::problem::Problem;
use super::super::query::Query;
use super::super::shapes::{PendingParameters, SinkKeyspace};
use crate::keyspace::{Failure, PendingRow, Total, Waiting};

/// Keys that are read at once.
const PAGE: usize = 500;

/// What waits of each key: the sum of its increments, or, where values are passed on, the word `changed`.
pub(crate) enum PendingAnswer {}

impl ToSchema for PendingAnswer {}

impl utoipa::PartialSchema for PendingAnswer {
    fn schema() -> RefOr<Schema> {
        let kinds = SchemaType::from_iter([Type::Integer, Type::String]);
        ObjectBuilder::new()
            .description(Some(
                "What waits of each key: the sum of its increments, or, where values are passed on, the word `changed`",
            ))
            .additional_properties(Some(ObjectBuilder::new().schema_type(kinds)))
            .examples([json!({"/about.html": 2, "/index.html": 40})])
            .into()
    }
}

/// Read what waits
///
/// One JSON object, sorted by key. It is no snapshot: what is passed on, or comes, while it is read may or may not be in it.
#[utoipa::path(
    get,
    path = "/sinks/{ks}/pending",
    operation_id = "pending_of_sink",
    tag = "sinks",
    params(SinkKeyspace, PendingParameters),
    responses(
        (status = 200, description = "What waits of each key", body = PendingAnswer),
        SinkReadFailures
    )
)]
pub(in crate::http) async fn pending(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(&["prefix", "after", "limit"])?;
    let keyspace = call.keyspace_of_path()?;
    let waiting = super::sinks(call)?.waiting(&keyspace)?;
    let text = |name| query.value(name).map(str::to_owned);
    let reader = Reader {
        waiting,
        prefix: text("prefix").unwrap_or_default(),
        after: text("after"),
        left: limit(&query)?,
        is_first: true,
    };
    // What fails at once is told by a status.
    let first = reader.read().await?;
    Ok(HttpResponse::build(StatusCode::OK)
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(Object {
            piece: Some(first.text),
            next: first.rest.map(next),
        }))
}

fn limit(query: &Query<'_>) -> Result<u64, Problem> {
    let Some(text) = query.value("limit") else {
        return Ok(u64::MAX);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && limit > 0 => Ok(limit),
        _ => Err(Problem::new(
            Code::InvalidParameter,
            format!("limit={text:?} is not a number from 1 on"),
        )),
    }
}

/// Reads on where the last page ended.
struct Reader {
    waiting: Waiting,
    prefix: String,
    after: Option<String>,
    /// Keys that may still be told.
    left: u64,
    is_first: bool,
}

/// A page as text, and the reader of the next one, where there is one.
struct Read {
    text: Bytes,
    rest: Option<Reader>,
}

impl Reader {
    async fn read(mut self) -> Result<Read, Failure> {
        let limit = usize::try_from(self.left).map_or(PAGE, |left| left.min(PAGE));
        let after = self.after.as_deref();
        let page = self.waiting.page(&self.prefix, after, limit).await?;
        let mut text = Vec::new();
        if self.is_first {
            text.push(b'{');
        }
        for PendingRow { key, total } in &page.rows {
            if !std::mem::take(&mut self.is_first) {
                text.push(b',');
            }
            let key = String::from_utf8_lossy(key);
            serde_json::to_writer(&mut text, &key).expect("memory takes every byte");
            match total {
                Total::Sum(sum) => text.extend_from_slice(format!(":{sum}").as_bytes()),
                Total::Mark => text.extend_from_slice(b":\"changed\""),
            }
            self.after = Some(key.into_owned());
            self.left -= 1;
        }
        let is_last = page.end || self.left == 0;
        if is_last {
            text.push(b'}');
        }
        Ok(Read {
            text: text.into(),
            rest: (!is_last).then_some(self),
        })
    }
}

type Next = Pin<Box<dyn Future<Output = Result<Read, Failure>>>>;

fn next(reader: Reader) -> Next {
    Box::pin(reader.read())
}

/// The body.
struct Object {
    /// What is to be sent next.
    piece: Option<Bytes>,
    /// What is being read behind it.
    next: Option<Next>,
}

impl MessageBody for Object {
    /// Whoever reads is cut off: what was sent is no whole object, and nobody takes it for one.
    type Error = Failure;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if let Some(piece) = self.piece.take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(reading) = &mut self.next else {
            return Poll::Ready(None);
        };
        match reading.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(failure)) => {
                self.next = None;
                Poll::Ready(Some(Err(failure)))
            }
            Poll::Ready(Ok(read)) => {
                self.next = read.rest.map(next);
                Poll::Ready(Some(Ok(read.text)))
            }
        }
    }
}
