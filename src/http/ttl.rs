//! `/keyspaces/{ks}/ttl/{key}`: when a value leaves, and changes of that which leave the value alone. It must not know how
//! entries leave.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies::TtlBody;
use super::call::Call;
use super::code::Code;
use super::failures::{FieldFailures, TtlReadFailures, TtlWriteFailures};
use super::probes::json;
use super::problem::Problem;
use super::shapes::{
    ExistingConditions, HowDurable, Key, Keyspace, NotModified, ReadConditions, TtlRemoved,
};
use super::values::{absent, change, done};
use super::{answer, conditions, etag, json as body, parameters, shown};
use crate::keyspace::{Entry, Ttl, Values, Verdict};

/// When a value leaves.
#[derive(Serialize, ToSchema)]
pub(crate) struct TtlAnswer {
    #[schema(example = "greeting")]
    key: String,
    /// When the value leaves; null where it stays.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// The milliseconds that are left of that; null where the value stays.
    #[schema(required, example = 90_000)]
    ttl_ms: Option<u64>,
    /// The version, as the `ETag` header has it. A changed expiry is a new version.
    #[schema(example = "\"68b4ae0c0f7d2a91-5\"")]
    etag: String,
}

/// When does a value leave?
///
/// Answers the time and what is left until then; both are null where the value stays.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/ttl/{key}",
    operation_id = "get_ttl",
    tag = "keys",
    params(Keyspace, Key, ReadConditions),
    responses(
        (status = 200, description = "When it leaves", body = TtlAnswer),
        NotModified,
        TtlReadFailures
    )
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let conditions = conditions::parse(call.headers())?;
    let (values, key) = (call.values_of_path()?, call.key_of_path()?);
    let entry = values.find(key.as_bytes()).await?.ok_or_else(absent)?;
    match conditions.judge_read(entry.version) {
        Verdict::Proceed => Ok(answer_of(&values, key, &entry)),
        Verdict::NotModified => Ok(answer::not_modified(&entry, None)),
        Verdict::Failed => Err(answer::condition_failed(Some(entry.version))),
    }
}

/// Let a value leave after a time
///
/// Counted from now, whatever it had before. The value and the time of its writing stay what they are; the version is a new
/// one. A key that is absent is not made.
#[utoipa::path(
    put,
    path = "/keyspaces/{ks}/ttl/{key}",
    operation_id = "put_ttl",
    tag = "keys",
    params(Keyspace, Key, HowDurable, ExistingConditions),
    request_body(
        content = TtlBody,
        description = "How long to keep it from now on",
        example = json!({"ttl": "90s"})
    ),
    responses(
        (status = 200, description = "When it leaves now", body = TtlAnswer,
         headers(("ETag" = String, description = "The new version"))),
        TtlWriteFailures, FieldFailures
    )
)]
pub(super) async fn put(call: &mut Call) -> Result<HttpResponse, Problem> {
    let received = call.take_body();
    let change = change(call)?;
    let (values, key) = (call.values_of_path()?, call.key_of_path()?);
    values.check_key(key.as_bytes())?;
    let text = body::receive_fields(call, received).await?;
    let mut fields = text.document(Code::InvalidOperation)?.object(&["ttl"])?;
    let ttl = fields
        .require("ttl")?
        .text_or_number(|text| parameters::ttl_of(&text))?;
    let set = values.set_ttl(key.as_bytes(), ttl, &change).await?;
    let (entry, _) = set.ok_or_else(absent)?;
    Ok(answer_of(&values, key, &entry))
}

/// Let a value stay
///
/// It has no expiry from now on. That it had none before is no failure.
#[utoipa::path(
    delete,
    path = "/keyspaces/{ks}/ttl/{key}",
    operation_id = "delete_ttl",
    tag = "keys",
    params(Keyspace, Key, HowDurable, ExistingConditions),
    responses(TtlRemoved, TtlWriteFailures)
)]
pub(super) async fn delete(call: &Call) -> Result<HttpResponse, Problem> {
    let change = change(call)?;
    let (values, key) = (call.values_of_path()?, call.key_of_path()?);
    let set = values
        .set_ttl(key.as_bytes(), Ttl::Forever, &change)
        .await?;
    let (entry, acknowledged) = set.ok_or_else(absent)?;
    let mut response = HttpResponse::new(done(acknowledged));
    response
        .headers_mut()
        .insert(header::ETAG, etag::header(entry.version));
    Ok(response)
}

fn answer_of(values: &Values, key: Cow<'_, str>, entry: &Entry) -> HttpResponse {
    let answer = TtlAnswer {
        key: key.into_owned(),
        expires_at: entry.expires_at_ms.map(shown::time),
        ttl_ms: values.ttl_left_ms(entry),
        etag: shown::version(entry.version),
    };
    let mut response = json(StatusCode::OK, &answer);
    response
        .headers_mut()
        .insert(header::ETAG, etag::header(entry.version));
    response
}
