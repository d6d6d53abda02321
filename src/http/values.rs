//! `/v1/{key}` and `/keyspaces/{ks}/keys/{key}`: read, write and remove one value. It must not know durability or
//! versions beyond passing them on.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use bytes::Bytes;

use super::body::{self, Body};
use super::budget::Hold;
use super::call::Call;
use super::code::Code;
use super::failures::{BodyFailures, RangeFailures, ValueFailures, WriteFailures};
use super::problem::Problem;
use super::shapes::{
    Acceptance, Bytes as AnyBytes, HowDurable, Key, NotModified, PartHeaders, PartOfValue,
    ReadConditions, Removed, Tuning, WholeValue, WriteConditions, Written,
};
use super::{caches, conditions, etag, key, media, parameters};
use crate::keyspace::{
    Acknowledged, Change, Draft, MediaType, Outcome, Read, Stored, Ttl, Value, Values,
};

/// Read a value
///
/// Answers exactly the bytes that were put, with the media type that they came with.
#[utoipa::path(
    get,
    path = "/v1/{key}",
    operation_id = "get_value",
    tag = "values",
    params(Key, ReadConditions, Acceptance, PartHeaders),
    responses(WholeValue, PartOfValue, NotModified, ValueFailures, RangeFailures)
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    read(call, call.values()?, default_key(call)?).await
}

/// Read a value's headers
///
/// Answers what GET would, without the bytes.
#[utoipa::path(
    head,
    path = "/v1/{key}",
    operation_id = "head_value",
    tag = "values",
    params(Key, ReadConditions, Acceptance),
    responses(WholeValue, NotModified, ValueFailures)
)]
pub(super) async fn head(call: &Call) -> Result<HttpResponse, Problem> {
    read(call, call.values()?, default_key(call)?).await
}

/// Answers a read of one value.
pub(super) async fn read(
    call: &Call,
    values: &Values,
    key: Cow<'_, str>,
) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let conditions = conditions::parse(call.headers())?;
    let accepts = || caches::accepts(call.headers());
    let Read { entry, served } = values.read(&key, accepts).await?;
    match entry {
        Some(entry) => caches::found(call, values, &key, &conditions, entry, served.as_ref()),
        None => Err(caches::nothing(absent(), served.as_ref())),
    }
}

/// Write a value
///
/// Keeps the bytes and their media type. The answer means that they survive a crash, unless `durability=written` asked
/// for less.
#[utoipa::path(
    put,
    path = "/v1/{key}",
    operation_id = "put_value",
    tag = "values",
    params(Key, Tuning, WriteConditions),
    request_body(
        description = "The bytes to keep",
        content(
            (String = "text/plain", example = "Hello, world!"),
            (serde_json::Value = "application/json", example = json!({"hello": "world"})),
            (AnyBytes = "application/octet-stream"),
        )
    ),
    responses(Written, WriteFailures, BodyFailures)
)]
pub(super) async fn put(call: &mut Call) -> Result<HttpResponse, Problem> {
    let body = call.take_body();
    write(call, body, call.values()?, default_key(call)?).await
}

/// Writes one value.
pub(super) async fn write(
    call: &Call,
    body: Body,
    values: &Values,
    key: Cow<'_, str>,
) -> Result<HttpResponse, Problem> {
    let query = call.query(&["durability", "ttl"])?;
    let change = Change {
        when: conditions::parse(call.headers())?,
        durability: parameters::durability(&query)?,
    };
    let put = Put::parse(call, values, key, parameters::ttl(&query)?)?;
    let draft = put.receive(call, values, body).await?;
    let stored = values.put(draft, &change).await?;
    Ok(stored_answer(&stored))
}

/// Remove a value
///
/// That the key was not there is no failure, unless `If-Match` asked for it.
#[utoipa::path(
    delete,
    path = "/v1/{key}",
    operation_id = "delete_value",
    tag = "values",
    params(Key, HowDurable, WriteConditions),
    responses(Removed, WriteFailures)
)]
pub(super) async fn delete(call: &Call) -> Result<HttpResponse, Problem> {
    remove(call, call.values()?, default_key(call)?).await
}

/// Removes one value.
pub(super) async fn remove(
    call: &Call,
    values: &Values,
    key: Cow<'_, str>,
) -> Result<HttpResponse, Problem> {
    let change = change(call)?;
    let acknowledged = values.delete(key.as_bytes(), &change).await?;
    Ok(HttpResponse::new(done(acknowledged)))
}

/// What a change without a body of its own asks for.
pub(super) fn change(call: &Call) -> Result<Change, Problem> {
    let query = call.query(&["durability"])?;
    Ok(Change {
        when: conditions::parse(call.headers())?,
        durability: parameters::durability(&query)?,
    })
}

/// The status of a change that leaves nothing to tell.
pub(super) fn done(acknowledged: Acknowledged) -> StatusCode {
    match acknowledged {
        Acknowledged::AsPromised => StatusCode::NO_CONTENT,
        Acknowledged::Below => StatusCode::ACCEPTED,
    }
}

/// That there is no such key.
pub(super) fn absent() -> Problem {
    Problem::new(Code::KeyNotFound, "given key not found")
}

/// The key behind `/v1/`.
fn default_key(call: &Call) -> Result<Cow<'_, str>, Problem> {
    key::of(call.raw_path(), 2)
}

fn stored_answer(stored: &Stored) -> HttpResponse {
    let status = match (stored.acknowledged, stored.outcome) {
        (Acknowledged::Below, _) => StatusCode::ACCEPTED,
        (Acknowledged::AsPromised, Outcome::Created) => StatusCode::CREATED,
        (Acknowledged::AsPromised, Outcome::Replaced) => StatusCode::NO_CONTENT,
    };
    let mut response = HttpResponse::new(status);
    response
        .headers_mut()
        .insert(header::ETAG, etag::header(stored.version));
    response
}

/// A PUT without its body.
struct Put<'a> {
    key: Cow<'a, str>,
    /// `None` where the bytes decide.
    media_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    ttl: Ttl,
    announced_len: Option<u64>,
}

impl<'a> Put<'a> {
    fn parse(
        call: &'a Call,
        values: &Values,
        key: Cow<'a, str>,
        ttl: Ttl,
    ) -> Result<Self, Problem> {
        let headers = call.headers();
        if headers.contains_key(header::CONTENT_RANGE) {
            let detail = "a PUT with Content-Range would replace the whole value with a part of it";
            return Err(Problem::new(Code::PartialPut, detail));
        }
        // What can be refused without the body is refused before it is read.
        values.check_writable()?;
        values.check_key(key.as_bytes())?;
        let announced_len = body::announced_len(headers);
        values.check_value_len(announced_len.unwrap_or_default())?;
        let (media_type, content_encoding) = (media::named(headers)?, media::encoding(headers)?);
        Ok(Self {
            key,
            media_type,
            content_encoding,
            ttl,
            announced_len,
        })
    }

    /// Reads the body into a draft. A body that comes in one piece (most do) or with its length and type known is copied
    /// once, straight to its place; any other is gathered first.
    async fn receive(
        &self,
        call: &Call,
        values: &Values,
        mut body: Body,
    ) -> Result<Draft, Problem> {
        let mut hold = call.service().budget.hold();
        let first = body.next().await?.unwrap_or_default();
        let announced = self.announced_len.and_then(|len| usize::try_from(len).ok());
        match (announced, self.media_type) {
            (Some(len), _) if first.len() == len => self.filled(values, &first),
            (Some(len), Some(media_type)) => {
                hold.grow(len)?;
                let draft = values.draft(&self.value(media_type), len)?;
                receive_into(draft, len, first, body).await
            }
            _ => {
                let gathered = gather(values, &mut hold, announced, first, body).await?;
                self.filled(values, &gathered)
            }
        }
    }

    fn filled(&self, values: &Values, bytes: &[u8]) -> Result<Draft, Problem> {
        let media_type = self
            .media_type
            .unwrap_or_else(|| MediaType::of_bytes(bytes));
        let mut draft = values.draft(&self.value(media_type), bytes.len())?;
        draft.write(0, bytes);
        Ok(draft)
    }

    fn value<'v>(&'v self, media_type: &'v str) -> Value<'v> {
        Value {
            key: self.key.as_bytes(),
            media_type,
            content_encoding: self.content_encoding,
            ttl: self.ttl,
        }
    }
}

/// Fills the draft as the body arrives.
async fn receive_into(
    mut draft: Draft,
    len: usize,
    first: Bytes,
    mut body: Body,
) -> Result<Draft, Problem> {
    draft.write(0, &first);
    let mut offset = first.len();
    while let Some(chunk) = body.next().await? {
        draft.write(offset, &chunk);
        offset += chunk.len();
    }
    if offset == len {
        Ok(draft)
    } else {
        Err(wrong_len(len, offset))
    }
}

/// Gathers a body whose length or type shows only at its end.
async fn gather(
    values: &Values,
    hold: &mut Hold<'_>,
    announced: Option<usize>,
    first: Bytes,
    mut body: Body,
) -> Result<Vec<u8>, Problem> {
    hold.grow(announced.unwrap_or_default())?;
    let mut gathered = Vec::with_capacity(announced.unwrap_or(first.len()));
    let mut next = Some(first);
    while let Some(chunk) = next {
        let len = gathered.len() + chunk.len();
        values.check_value_len(u64::try_from(len).unwrap_or(u64::MAX))?;
        if announced.is_none() {
            hold.grow(chunk.len())?;
        }
        gathered.extend_from_slice(&chunk);
        next = body.next().await?;
    }
    match announced {
        Some(len) if len != gathered.len() => Err(wrong_len(len, gathered.len())),
        _ => Ok(gathered),
    }
}

fn wrong_len(announced: usize, actual: usize) -> Problem {
    let detail =
        format!("the body has {actual} bytes and announced {announced}; nothing was changed");
    Problem::new(Code::InvalidBody, detail)
}
