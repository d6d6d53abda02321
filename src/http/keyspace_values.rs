//! What `/v1/{key}` and `/flush` do, in any keyspace: `/keyspaces/{ks}/keys/{key}` and `/keyspaces/{ks}/flush`. It must not
//! know how a value is read or written.

use actix_web::HttpResponse;

use super::call::Call;
use super::failures::{
    BodyFailures, KeyValueFailures, KeyWriteFailures, KeyspaceFlushFailures, RangeFailures,
};
use super::operations::{self, FlushAnswer};
use super::problem::Problem;
use super::shapes::{
    Acceptance, Bytes as AnyBytes, HowDurable, Key, Keyspace, NotModified, PartHeaders,
    PartOfValue, ReadConditions, Removed, Tuning, WholeValue, WriteConditions, Written,
};
use super::values;

/// Read a value of a keyspace
///
/// Answers exactly the bytes that were put, with the media type that they came with.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/keys/{key}",
    operation_id = "get_key",
    tag = "keys",
    params(Keyspace, Key, ReadConditions, Acceptance, PartHeaders),
    responses(WholeValue, PartOfValue, NotModified, KeyValueFailures, RangeFailures)
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    values::read(call, &call.values_of_path()?, call.key_of_path()?).await
}

/// Read the headers of a value of a keyspace
///
/// Answers what GET would, without the bytes.
#[utoipa::path(
    head,
    path = "/keyspaces/{ks}/keys/{key}",
    operation_id = "head_key",
    tag = "keys",
    params(Keyspace, Key, ReadConditions, Acceptance),
    responses(WholeValue, NotModified, KeyValueFailures)
)]
pub(super) async fn head(call: &Call) -> Result<HttpResponse, Problem> {
    values::read(call, &call.values_of_path()?, call.key_of_path()?).await
}

/// Write a value in a keyspace
///
/// Keeps the bytes and their media type. The answer means what the keyspace's `durability` promises, unless the request
/// asked for less. A keyspace is never made by writing into it.
#[utoipa::path(
    put,
    path = "/keyspaces/{ks}/keys/{key}",
    operation_id = "put_key",
    tag = "keys",
    params(Keyspace, Key, Tuning, WriteConditions),
    request_body(
        description = "The bytes to keep",
        content(
            (String = "text/plain", example = "Hello, world!"),
            (serde_json::Value = "application/json", example = json!({"hello": "world"})),
            (AnyBytes = "application/octet-stream"),
        )
    ),
    responses(Written, KeyWriteFailures, BodyFailures)
)]
pub(super) async fn put(call: &mut Call) -> Result<HttpResponse, Problem> {
    let body = call.take_body();
    values::write(call, body, &call.values_of_path()?, call.key_of_path()?).await
}

/// Remove a value of a keyspace
///
/// That the key was not there is no failure, unless `If-Match` asked for it.
#[utoipa::path(
    delete,
    path = "/keyspaces/{ks}/keys/{key}",
    operation_id = "delete_key",
    tag = "keys",
    params(Keyspace, Key, HowDurable, WriteConditions),
    responses(Removed, KeyWriteFailures)
)]
pub(super) async fn delete(call: &Call) -> Result<HttpResponse, Problem> {
    values::remove(call, &call.values_of_path()?, call.key_of_path()?).await
}

/// Empty a keyspace
///
/// Answers how many values there were; an empty keyspace is no failure.
#[utoipa::path(
    post,
    path = "/keyspaces/{ks}/flush",
    operation_id = "flush_keyspace",
    tag = "keyspaces",
    params(Keyspace, HowDurable),
    responses(
        (status = 200, description = "The keyspace is empty", body = FlushAnswer),
        KeyspaceFlushFailures
    )
)]
pub(super) async fn flush(call: &Call) -> Result<HttpResponse, Problem> {
    operations::flush(call, &call.values_of_path()?).await
}
