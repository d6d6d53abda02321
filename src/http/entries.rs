//! `GET /keyspaces/{ks}/entries/{key}`: a value with everything that is known about it, as JSON.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::failures::EntryFailures;
use super::probes::json;
use super::problem::Problem;
use super::shapes::{Key, Keyspace};
use super::shown::{self, Shown};
use super::values;

/// A value with its facts.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryAnswer {
    #[schema(example = "greeting")]
    key: String,
    #[serde(flatten)]
    shown: Shown,
    #[schema(example = "text/plain; charset=utf-8")]
    content_type: String,
    /// How the bytes are encoded, where their writer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_encoding: Option<String>,
    /// The version, as the `ETag` header of the value has it.
    #[schema(example = "\"68b4ae0c0f7d2a91-5\"")]
    etag: String,
    /// Bytes of the value.
    #[schema(example = 13)]
    size: usize,
    /// When this value was written; a changed ttl leaves it.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it leaves; null where it stays.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// Milliseconds until then; null where it stays.
    #[schema(required)]
    ttl_ms: Option<u64>,
}

/// Read an entry
///
/// The value as text, or in base64 where it is not UTF-8, with everything that is known about it.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/entries/{key}",
    operation_id = "get_entry",
    tag = "keys",
    params(Keyspace, Key),
    responses((status = 200, description = "The entry", body = EntryAnswer), EntryFailures)
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let values = call.values_of_path()?;
    let key = call.key_of_path()?;
    let entry = values.find(key.as_bytes()).await?;
    let entry = entry.ok_or_else(values::absent)?;
    let answer = EntryAnswer {
        size: entry.value.len(),
        etag: shown::version(entry.version),
        created_at: shown::time(entry.created_at_ms),
        expires_at: entry.expires_at_ms.map(shown::time),
        ttl_ms: values.ttl_left_ms(&entry),
        content_type: entry.media_type.as_str().to_owned(),
        content_encoding: entry.content_encoding.as_deref().map(str::to_owned),
        shown: Shown::of(entry.value),
        key: key.into_owned(),
    };
    Ok(json(StatusCode::OK, &answer))
}
