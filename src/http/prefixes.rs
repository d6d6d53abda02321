//! `DELETE /keyspaces/{ks}/keys?prefix=`: every key that begins so. It must not know how they are found.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::failures::KeyspaceFlushFailures;
use super::parameters;
use super::probes::json;
use super::problem::Problem;
use super::query::Query;
use super::shapes::{HowDurable, Keyspace, PrefixParameters};

/// How many keys a delete by prefix removed, or would remove.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedAnswer {
    /// Keys that were there and had not expired.
    #[schema(example = 3)]
    deleted: u64,
}

/// Remove the keys that begin with a prefix
///
/// With `dry_run=true` they are only counted. Not one step: what others do meanwhile comes in between.
#[utoipa::path(
    delete,
    path = "/keyspaces/{ks}/keys",
    operation_id = "delete_keys",
    tag = "keys",
    params(Keyspace, PrefixParameters, HowDurable),
    responses(
        (status = 200, description = "None of them is there any more", body = DeletedAnswer),
        KeyspaceFlushFailures
    )
)]
pub(super) async fn delete(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(&["prefix", "dry_run", "durability"])?;
    let durability = parameters::durability(&query)?;
    let prefix = query.value("prefix").unwrap_or_default();
    if prefix.is_empty() {
        let detail = "prefix is missing or empty: POST .../flush empties the whole keyspace";
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    let values = call.values_of_path()?;
    let deleted = if is_dry_run(&query)? {
        values.count_prefix(prefix).await?
    } else {
        values.delete_prefix(prefix, durability).await?
    };
    Ok(json(StatusCode::OK, &DeletedAnswer { deleted }))
}

fn is_dry_run(query: &Query<'_>) -> Result<bool, Problem> {
    match query.value("dry_run") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Problem::new(
            Code::InvalidParameter,
            format!("dry_run={other:?} is not known: give true or false"),
        )),
    }
}
