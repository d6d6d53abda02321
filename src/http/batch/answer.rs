//! The answer to a batch: one item for each operation, in their order. It must not know how operations are done.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::encode::Value;
use crate::http::code::Code;
use crate::http::problem::{Exceeded, Problem};
use crate::http::shown;
use crate::http::values;
use crate::keyspace::{Acknowledged, Counted, Done, Entry, Outcome};

/// Pieces of the answer have about this size.
const PIECE: usize = 64 << 10;
/// A value of at most this many bytes is written at once; a larger one is kept as it is until its turn comes.
const SMALL: usize = 4 << 10;

/// What became of each operation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes the answer in the document")]
pub(crate) struct BatchAnswer {
    /// One for each operation, in their order.
    items: Vec<BatchItem>,
}

/// What became of one operation.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct BatchItem {
    #[schema(example = "color")]
    key: String,
    /// What the operation would have been answered with by itself: 201 created, 204 replaced or absent now, 202
    /// acknowledged below the keyspace's promise, 200 read or counted, or the status of the failure.
    #[schema(example = 201)]
    status: u16,
    /// The version that was written or read; of a failed condition the one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "\"68b4ae0c0f7d2a91-5\"")]
    etag: Option<String>,
    /// The media type of a value that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_type: Option<String>,
    /// How the bytes of a value that was read are encoded, where their writer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_encoding: Option<String>,
    /// The value that was read, where it is UTF-8; the number of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    value: Option<ItemValue>,
    /// The value that was read, in base64 where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    value_base64: Option<String>,
    /// The number of a counter before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous: Option<i64>,
    /// Of a failure: its stable name, as in a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'static str>,
    /// Of a failure: what is particular about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Of a failure by a limit: what is allowed, what it was, and the setting.
    #[serde(flatten)]
    #[schema(ignore)]
    exceeded: Option<Exceeded>,
}

/// A value or a number.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ItemValue {
    /// A value that was read.
    #[expect(dead_code, reason = "values are written by themselves, in pieces")]
    Text(String),
    /// The number of a counter.
    Number(i64),
}

/// An answer that is being put together.
pub(super) struct Answer {
    pieces: VecDeque<Piece>,
    /// What is behind the last piece.
    text: Vec<u8>,
    items: usize,
    len: u64,
    /// Bytes that values may still take.
    room: usize,
    limit: usize,
}

/// A part of an answer.
enum Piece {
    Ready(Bytes),
    Value(Value),
}

impl Answer {
    /// An answer whose values take at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            text: br#"{"items":["#.to_vec(),
            items: 0,
            len: 0,
            room: limit,
            limit,
        }
    }

    /// Tells what became of the next operation, which was about `key`.
    pub(super) fn push(&mut self, key: &str, outcome: Result<Done, Problem>) {
        let item = BatchItem {
            key: key.to_owned(),
            ..BatchItem::default()
        };
        match outcome {
            Ok(Done::Put(stored)) => self.plain(&BatchItem {
                status: match (stored.acknowledged, stored.outcome) {
                    (Acknowledged::Below, _) => 202,
                    (Acknowledged::AsPromised, Outcome::Created) => 201,
                    (Acknowledged::AsPromised, Outcome::Replaced) => 204,
                },
                etag: Some(shown::version(stored.version)),
                ..item
            }),
            Ok(Done::Got(Some(entry))) => self.read(item, entry),
            Ok(Done::Got(None)) => self.plain(&failed(item, &values::absent())),
            Ok(Done::Deleted(acknowledged)) => self.plain(&BatchItem {
                status: match acknowledged {
                    Acknowledged::AsPromised => 204,
                    Acknowledged::Below => 202,
                },
                ..item
            }),
            Ok(Done::Counted(counted)) => self.plain(&number(item, &counted)),
            Err(problem) => self.plain(&failed(item, &problem)),
        }
    }

    fn plain(&mut self, item: &BatchItem) {
        self.begin(item);
        self.text.push(b'}');
    }

    /// Writes all of an item but its closing brace.
    fn begin(&mut self, item: &BatchItem) {
        if self.items > 0 {
            self.text.push(b',');
        }
        self.items += 1;
        serde_json::to_writer(&mut self.text, item)
            .expect("an item holds only text and numbers, and memory takes every byte");
        self.text.pop();
    }

    fn read(&mut self, item: BatchItem, entry: Entry) {
        let item = BatchItem {
            etag: Some(shown::version(entry.version)),
            ..item
        };
        let value = Value::of(entry.value);
        let len = value.len();
        if len > self.room {
            return self.plain(&failed(item, &self.too_large(len)));
        }
        self.room -= len;
        self.begin(&BatchItem {
            status: 200,
            content_type: Some(entry.media_type.as_str().to_owned()),
            content_encoding: entry.content_encoding.as_deref().map(str::to_owned),
            ..item
        });
        self.text
            .extend_from_slice(format!(",\"{}\":\"", value.name()).as_bytes());
        self.value(value, len);
        self.text.extend_from_slice(b"\"}");
    }

    fn value(&mut self, mut value: Value, len: usize) {
        if len <= SMALL {
            while !value.is_empty() {
                value.write_some(SMALL, &mut self.text);
            }
            return;
        }
        self.cut();
        self.len += wide(len);
        self.pieces.push_back(Piece::Value(value));
    }

    fn cut(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.len += wide(text.len());
        self.pieces.push_back(Piece::Ready(text.into()));
    }

    fn too_large(&self, len: usize) -> Problem {
        let actual = wide(self.limit - self.room) + wide(len);
        let detail = "the value does not fit into this answer any more: read it by itself";
        Problem::new(Code::AnswerTooLarge, detail).exceeding(Exceeded {
            limit: wide(self.limit),
            actual,
            setting: "limits.batch_answer_bytes",
        })
    }

    /// The answer as it is sent.
    pub(super) fn into_response(mut self) -> HttpResponse {
        self.text.extend_from_slice(b"]}");
        self.cut();
        let body = Pieces {
            pieces: self.pieces,
            left: self.len,
        };
        HttpResponse::build(StatusCode::OK)
            .insert_header((
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ))
            .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
            .body(body)
    }
}

fn number(item: BatchItem, counted: &Counted) -> BatchItem {
    BatchItem {
        status: 200,
        etag: Some(shown::version(counted.version)),
        value: Some(ItemValue::Number(counted.value)),
        previous: Some(counted.previous),
        ..item
    }
}

fn failed(item: BatchItem, problem: &Problem) -> BatchItem {
    let etag = problem.etag().map(str::to_owned);
    BatchItem {
        status: problem.code().status().as_u16(),
        etag: etag.or(item.etag),
        code: Some(problem.code().name()),
        detail: Some(problem.detail().to_owned()),
        exceeded: problem.exceeded(),
        ..item
    }
}

/// The body, written as it is sent.
struct Pieces {
    pieces: VecDeque<Piece>,
    left: u64,
}

impl MessageBody for Pieces {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let piece = self.next_piece();
        self.left -= wide(piece.len());
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

impl Pieces {
    /// The next bytes; none at the end.
    fn next_piece(&mut self) -> Bytes {
        while let Some(piece) = self.pieces.front_mut() {
            match piece {
                Piece::Ready(bytes) if bytes.is_empty() => {}
                Piece::Ready(bytes) => return bytes.split_to(bytes.len().min(PIECE)),
                Piece::Value(value) if value.is_empty() => {}
                Piece::Value(value) => {
                    let mut out = Vec::with_capacity(PIECE);
                    // In base64 this is a whole piece; text may take up to six times as much where it has to be escaped.
                    value.write_some(PIECE / 4 * 3, &mut out);
                    return out.into();
                }
            }
            self.pieces.pop_front();
        }
        Bytes::new()
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
