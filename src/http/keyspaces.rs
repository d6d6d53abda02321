//! `/keyspaces` and `/keyspaces/{ks}`: what keyspaces there are; made, changed and dropped. It must not know what a policy
//! does.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Verb;
use super::call::Call;
use super::code::Code;
use super::failures::{
    KeyspaceDropFailures, KeyspaceFailures, KeyspaceListFailures, KeyspaceSetFailures,
    KeyspacesDropFailures, PolicyFailures,
};
use super::json as body;
use super::policy::{self, PolicyAnswer, PolicyBody};
use super::probes::json;
use super::problem::Problem;
use super::query::Query;
use super::shapes::{Demo, Names};
use crate::keyspace::{DefinedBy, Described, KeyspaceSet, Policy};

/// Every keyspace that the token may see.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyspacesAnswer {
    /// In the order of their names.
    items: Vec<KeyspaceAnswer>,
}

/// A keyspace.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyspaceAnswer {
    #[schema(example = "demo")]
    name: String,
    policy: PolicyAnswer,
    /// Keys that are there and have not expired.
    #[schema(example = 3)]
    keys: u64,
    /// Bytes of memory that they take.
    #[schema(example = 512)]
    bytes: u64,
    /// Whether the configuration file defines it, so that it cannot be changed here.
    #[schema(example = false)]
    defined_by_file: bool,
    /// What its absent keys are asked of, where they are: `http`, `file` or `sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<&'static str>,
}

/// Which keyspaces were dropped.
#[derive(Serialize, ToSchema)]
pub(crate) struct DroppedAnswer {
    /// Those that there were.
    #[schema(example = json!(["old"]))]
    dropped: Vec<String>,
}

impl From<Described> for KeyspaceAnswer {
    fn from(described: Described) -> Self {
        let facts = described.facts;
        Self {
            name: facts.name,
            policy: facts.policy.into(),
            keys: facts.keys,
            bytes: facts.bytes,
            defined_by_file: described.defined_by == DefinedBy::File,
            source: described.source,
        }
    }
}

/// List keyspaces
///
/// Each with its policy, its keys and the memory that they take.
#[utoipa::path(
    get,
    path = "/keyspaces",
    operation_id = "list_keyspaces",
    tag = "keyspaces",
    responses(
        (status = 200, description = "The keyspaces", body = KeyspacesAnswer),
        KeyspaceListFailures
    )
)]
pub(super) async fn list(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let all = call.keyspaces()?.list().await?;
    let seen = |described: &Described| call.bearer.check(Verb::Read, &described.facts.name).is_ok();
    let items = all
        .into_iter()
        .filter(seen)
        .map(KeyspaceAnswer::from)
        .collect();
    Ok(json(StatusCode::OK, &KeyspacesAnswer { items }))
}

/// Drop keyspaces
///
/// With everything in them. Names of keyspaces that are not there are skipped; where one of them may not be dropped, none is.
#[utoipa::path(
    delete,
    path = "/keyspaces",
    operation_id = "drop_keyspaces",
    tag = "keyspaces",
    params(Names),
    responses(
        (status = 200, description = "They are gone", body = DroppedAnswer),
        KeyspacesDropFailures
    )
)]
pub(super) async fn drop_all(call: &Call) -> Result<HttpResponse, Problem> {
    let names = Query::repeated(call.query_text(), "name")?;
    for name in &names {
        call.bearer.check(Verb::Admin, name)?;
    }
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let dropped = call.keyspaces()?.drop_all(&names).await?;
    Ok(json(StatusCode::OK, &DroppedAnswer { dropped }))
}

/// Read a keyspace
///
/// Its policy, its keys and the memory that they take.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}",
    operation_id = "get_keyspace",
    tag = "keyspaces",
    params(Demo),
    responses((status = 200, description = "The keyspace", body = KeyspaceAnswer), KeyspaceFailures)
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    describe(call, StatusCode::OK).await
}

/// Make or change a keyspace
///
/// Takes the whole policy; what is absent is as by default. Changing the policy keeps the data.
#[utoipa::path(
    put,
    path = "/keyspaces/{ks}",
    operation_id = "put_keyspace",
    tag = "keyspaces",
    params(Demo),
    request_body(
        content = PolicyBody,
        description = "The policy",
        example = json!({"ttl": "7d", "max_bytes": "64MiB", "eviction": "sieve", "durability": "synced"})
    ),
    responses(
        (status = 200, description = "Changed", body = KeyspaceAnswer),
        (status = 201, description = "Made", body = KeyspaceAnswer),
        KeyspaceSetFailures, PolicyFailures
    )
)]
pub(super) async fn put(call: &mut Call) -> Result<HttpResponse, Problem> {
    let received = call.take_body();
    call.query(&[])?;
    let text = body::receive_fields(call, received).await?;
    let policy = if text.is_empty() {
        Policy::default()
    } else {
        policy::read(text.document(Code::InvalidPolicy)?)?
    };
    let name = call.keyspace_of_path()?;
    let status = match call.keyspaces()?.set(&name, &policy).await? {
        KeyspaceSet::Created => StatusCode::CREATED,
        KeyspaceSet::Changed => StatusCode::OK,
    };
    describe(call, status).await
}

/// Drop a keyspace
///
/// With everything in it.
#[utoipa::path(
    delete,
    path = "/keyspaces/{ks}",
    operation_id = "drop_keyspace",
    tag = "keyspaces",
    params(Demo),
    responses((status = 204, description = "It is gone"), KeyspaceDropFailures)
)]
pub(super) async fn drop_one(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let name = call.keyspace_of_path()?;
    call.keyspaces()?.drop_one(&name).await?;
    Ok(HttpResponse::new(StatusCode::NO_CONTENT))
}

async fn describe(call: &Call, status: StatusCode) -> Result<HttpResponse, Problem> {
    let name = call.keyspace_of_path()?;
    let described = call.keyspaces()?.describe(&name).await?;
    Ok(json(status, &KeyspaceAnswer::from(described)))
}
