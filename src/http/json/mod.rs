//! The JSON bodies of the operations that take one: received within bounds here, read strictly by `node`, taken apart by
//! `object`. It must not know which operation reads what.

mod node;
mod object;

use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;

use super::body::{self, Body};
use super::budget::Hold;
use super::call::Call;
use super::code::Code;
use super::media;
use super::problem::{Exceeded, Problem};
use node::{Node, Refused};

pub(crate) use object::{Document, Field, List, Object};

/// How much of something a body may have, and what it is told when it has more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// The most.
    pub(crate) limit: usize,
    /// The setting that changes it.
    pub(crate) setting: &'static str,
    /// The problem of having more.
    pub(crate) code: Code,
}

impl Bound {
    fn exceeded(self, what: &str, actual: u64) -> Problem {
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
        let detail = format!(
            "the body has {actual} {what} or more, the limit is {limit}; nothing was changed"
        );
        Problem::new(self.code, detail).exceeding(Exceeded {
            limit,
            actual,
            setting: self.setting,
        })
    }
}

/// A body that is there as a whole, and counted as held until it is dropped.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    bytes: Bytes,
    _hold: Hold<'a>,
}

/// Receives the body of an operation that takes a few fields: at most `limits.json_bytes`.
pub(crate) async fn receive_fields(call: &Call, body: Body) -> Result<Text<'_>, Problem> {
    let bound = Bound {
        limit: call.service().limits().json_bytes,
        setting: "limits.json_bytes",
        code: Code::BodyTooLarge,
    };
    receive(call, body, bound).await
}

/// Receives a body of at most `bound` bytes, if the request may carry JSON. That it is too long is told as soon as its
/// announced length shows it.
pub(crate) async fn receive(
    call: &Call,
    mut body: Body,
    bound: Bound,
) -> Result<Text<'_>, Problem> {
    check_type(call.headers())?;
    let announced = body::announced_len(call.headers());
    let fits = |len: u64| usize::try_from(len).is_ok_and(|len| len <= bound.limit);
    if let Some(len) = announced.filter(|len| !fits(*len)) {
        return Err(bound.exceeded("bytes", len));
    }
    let mut hold = call.service().budget.hold();
    let first = body.next().await?.unwrap_or_default();
    if announced == Some(wide(first.len())) {
        hold.grow(first.len())?;
        return Ok(Text {
            bytes: first,
            _hold: hold,
        });
    }
    let room = announced.and_then(|len| usize::try_from(len).ok());
    hold.grow(room.unwrap_or_default())?;
    let mut gathered = Vec::with_capacity(room.unwrap_or(first.len()));
    let mut next = Some(first);
    while let Some(chunk) = next {
        let len = gathered.len() + chunk.len();
        if !fits(wide(len)) {
            return Err(bound.exceeded("bytes", wide(len)));
        }
        if room.is_none() {
            hold.grow(chunk.len())?;
        }
        gathered.extend_from_slice(&chunk);
        next = body.next().await?;
    }
    Ok(Text {
        bytes: Bytes::from(gathered),
        _hold: hold,
    })
}

/// JSON is what says so, and what says nothing: no type, or the one that `curl -d` adds by itself. A body that is
/// encoded is not inflated, so it cannot be read (RFC 9110, section 15.5.16).
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    if !media::may_be_json(headers)? {
        let detail = "the body of this operation is JSON: send Content-Type application/json";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    match media::encoding(headers)? {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Problem::new(
            Code::UnsupportedMediaType,
            format!(
                "the body of this operation is read as it is: send it without {}",
                header::CONTENT_ENCODING
            ),
        )),
    }
}

impl Text<'_> {
    /// Whether there was no body, or one of no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads the body. What can be read but is impossible is refused as `impossible` from then on.
    pub(crate) fn document(&self, impossible: Code) -> Result<Document<'_>, Problem> {
        // No operation that reads its body so takes lists of more than a few words.
        let items = Bound {
            limit: 64,
            setting: "",
            code: Code::InvalidJson,
        };
        self.document_with_list(impossible, items)
    }

    /// Reads a body that may have a list of `items`.
    pub(crate) fn document_with_list(
        &self,
        impossible: Code,
        items: Bound,
    ) -> Result<Document<'_>, Problem> {
        match Node::read(&self.bytes, items.limit) {
            Ok(root) => Ok(Document::new(root, impossible)),
            Err(Refused::TooManyItems) if items.code != Code::InvalidJson => {
                Err(items.exceeded("items in a list", wide(items.limit) + 1))
            }
            Err(refused) => Err(Problem::new(
                Code::InvalidJson,
                format!("the body cannot be read: {refused}; nothing was changed"),
            )),
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
