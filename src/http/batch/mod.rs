//! `POST /keyspaces/{ks}/batch`: many operations in one request. It must not know how they are done.

mod answer;
mod encode;
mod request;

use std::borrow::Cow;

use actix_web::HttpResponse;

use super::access::Verb;
use super::bodies::BatchBody;
use super::call::Call;
use super::code::Code;
use super::failures::BatchFailures;
use super::json::{self, Bound};
use super::limits::BatchLimits;
use super::parameters;
use super::problem::{FailedOperation, Problem};
use super::shapes::{HowDurable, Keyspace};
use crate::keyspace::{Action, Atomic, Durability, Operation, Values};
use answer::Answer;
use request::Request;

pub(crate) use answer::BatchAnswer;

/// Do many operations
///
/// One after the other, each with an answer of its own, waited for once; or with `atomic` all of them or none. A get whose
/// value would make the answer larger than `limits.batch_answer_bytes` is answered 413 `answer_too_large` in its item;
/// that changes nothing about the others, atomic or not.
#[utoipa::path(
    post,
    path = "/keyspaces/{ks}/batch",
    operation_id = "batch",
    tag = "batch",
    params(Keyspace, HowDurable),
    request_body(content = BatchBody, description = "What is to be done", example = json!({
        "atomic": false,
        "operations": [
            {"op": "put", "key": "color", "value": "green", "ttl": "1h"},
            {"op": "get", "key": "greeting"},
            {"op": "increment", "key": "visits", "by": 2},
            {"op": "delete", "key": "old"}
        ]
    })),
    responses(
        (status = 200, description = "What became of each operation", body = BatchAnswer, example = json!({"items": [
            {"key": "color", "status": 201, "etag": "\"68b4ae0c0f7d2a91-5\""},
            {"key": "greeting", "status": 200, "etag": "\"68b4ae0c0f7d2a91-2\"",
             "content_type": "text/plain; charset=utf-8", "value": "Hello, world!"},
            {"key": "visits", "status": 200, "etag": "\"68b4ae0c0f7d2a91-6\"", "value": 2, "previous": 0},
            {"key": "old", "status": 204}
        ]})),
        BatchFailures
    )
)]
pub(super) async fn batch(call: &mut Call) -> Result<HttpResponse, Problem> {
    let body = call.take_body();
    let durability = parameters::durability(&call.query(&["durability"])?)?;
    let values = call.values_of_path()?;
    let limits = call.service().limits().batch;
    let bound = Bound {
        limit: limits.bytes,
        setting: "limits.batch_bytes",
        code: Code::BatchTooLarge,
    };
    let text = json::receive(call, body, bound).await?;
    let request = Request::read(&text, &limits)?;
    let keyspace = call.keyspace_of_path()?;
    if request.atomic {
        atomically(
            call,
            &values,
            &keyspace,
            &request.operations,
            durability,
            &limits,
        )
        .await
    } else {
        each(
            call,
            &values,
            &keyspace,
            request.operations,
            durability,
            &limits,
        )
        .await
    }
}

async fn each(
    call: &Call,
    values: &Values,
    keyspace: &str,
    operations: Vec<Operation<'_>>,
    durability: Option<Durability>,
    limits: &BatchLimits,
) -> Result<HttpResponse, Problem> {
    let mut answer = Answer::new(limits.answer_bytes);
    let keys: Vec<Cow<'_, str>> = operations
        .iter()
        .map(|operation| operation.key.clone())
        .collect();
    let refused: Vec<_> = operations
        .iter()
        .map(|operation| allowed(call, keyspace, operation).err())
        .collect();
    let allowed: Vec<_> = operations
        .into_iter()
        .zip(&refused)
        .filter_map(|(operation, refused)| refused.is_none().then_some(operation))
        .collect();
    let mut done = values
        .each(&allowed, durability, limits.answer_bytes)
        .await?
        .into_iter();
    for (key, refused) in keys.iter().zip(refused) {
        match refused {
            Some(problem) => answer.push(key, Err(problem)),
            None => {
                if let Some(done) = done.next() {
                    answer.push(key, done.map_err(Problem::from));
                }
            }
        }
    }
    Ok(answer.into_response())
}

async fn atomically(
    call: &Call,
    values: &Values,
    keyspace: &str,
    operations: &[Operation<'_>],
    durability: Option<Durability>,
    limits: &BatchLimits,
) -> Result<HttpResponse, Problem> {
    let failed = |index: usize, why: &Problem| {
        let key = operations.get(index).map_or("", |operation| &operation.key);
        batch_failed(index, key, why)
    };
    for (index, operation) in operations.iter().enumerate() {
        if let Err(why) = allowed(call, keyspace, operation) {
            return Err(failed(index, &why));
        }
    }
    match values.atomically(operations, durability).await? {
        Atomic::Failed { index, why } => Err(failed(index, &Problem::from(why))),
        Atomic::Done(done) => {
            let mut answer = Answer::new(limits.answer_bytes);
            for (operation, done) in operations.iter().zip(done) {
                answer.push(&operation.key, Ok(done));
            }
            Ok(answer.into_response())
        }
    }
}

/// Whether the sender may do this operation.
fn allowed(call: &Call, keyspace: &str, operation: &Operation<'_>) -> Result<(), Problem> {
    let verb = match operation.action {
        Action::Get => Verb::Read,
        Action::Put { .. } | Action::Delete { .. } | Action::Increment(_) => Verb::Write,
    };
    call.bearer.check(verb, keyspace)
}

/// 409 that names the operation because of which nothing was done.
fn batch_failed(index: usize, key: &str, why: &Problem) -> Problem {
    let key: String = key.chars().take(64).collect();
    let detail = format!("operations[{index}] of the key {key:?}: {}", why.detail());
    let problem = Problem::new(Code::BatchFailed, detail).of_operation(FailedOperation {
        operation: index,
        cause: why.code().name(),
    });
    match why.exceeded() {
        Some(exceeded) => problem.exceeding(exceeded),
        None => problem,
    }
}
