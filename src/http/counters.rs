//! `/keyspaces/{ks}/counters/{key}`: add to a number in one step. It must not know how a number is kept.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies::CountBody;
use super::call::Call;
use super::code::Code;
use super::failures::{CounterReadFailures, CounterWriteFailures, FieldFailures};
use super::json::Object;
use super::probes::json;
use super::problem::Problem;
use super::shapes::{CounterKey, HowDurable, Keyspace, NotModified, ReadConditions};
use super::values::absent;
use super::{answer, conditions, etag, json as body, parameters};
use crate::keyspace::{Count, Verdict, Version};

/// The fields of an increment.
pub(super) const FIELDS: [&str; 5] = ["by", "initial", "max", "min", "ttl"];

/// A counter after it was added to.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountedAnswer {
    #[schema(example = "visits")]
    key: String,
    /// The number now.
    #[schema(example = 1)]
    value: i64,
    /// The number before; where there was none, `initial`.
    #[schema(example = 0)]
    previous: i64,
}

/// A counter.
#[derive(Serialize, ToSchema)]
pub(crate) struct CounterAnswer {
    #[schema(example = "visits")]
    key: String,
    /// The number.
    #[schema(example = 1)]
    value: i64,
}

/// Read a counter
///
/// Answers the number.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/counters/{key}",
    operation_id = "get_counter",
    tag = "counters",
    params(Keyspace, CounterKey, ReadConditions),
    responses(
        (status = 200, description = "The number", body = CounterAnswer,
         headers(("ETag" = String, description = "The version of the counter"))),
        NotModified, CounterReadFailures
    )
)]
pub(super) async fn get(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let conditions = conditions::parse(call.headers())?;
    let (values, key) = (call.values_of_path()?, call.key_of_path()?);
    let counter = values.counter(key.as_bytes()).await?.ok_or_else(absent)?;
    match conditions.judge_read(counter.version) {
        Verdict::Proceed => {
            let answer = CounterAnswer {
                key: key.into_owned(),
                value: counter.value,
            };
            Ok(versioned(&answer, counter.version))
        }
        Verdict::NotModified => Ok(answer::not_modified_version(counter.version)),
        Verdict::Failed => Err(answer::condition_failed(Some(counter.version))),
    }
}

/// Add to a counter
///
/// In one step, however many clients do it at once. Without a body it adds 1. A counter that is absent starts from
/// `initial`. What would leave the bounds or 64 bits changes nothing. There are no conditions here: `min` and `max`, or a
/// batch, guard what has to be guarded.
#[utoipa::path(
    post,
    path = "/keyspaces/{ks}/counters/{key}",
    operation_id = "add_to_counter",
    tag = "counters",
    params(Keyspace, CounterKey, HowDurable),
    request_body(
        content = CountBody,
        description = "What to add; nothing adds 1",
        example = json!({"by": 1})
    ),
    responses(
        (status = 200, description = "The number now", body = CountedAnswer,
         headers(("ETag" = String, description = "The new version"))),
        CounterWriteFailures, FieldFailures
    )
)]
pub(super) async fn add(call: &mut Call) -> Result<HttpResponse, Problem> {
    let received = call.take_body();
    let durability = parameters::durability(&call.query(&["durability"])?)?;
    refuse_conditions(call)?;
    let (values, key) = (call.values_of_path()?, call.key_of_path()?);
    values.check_key(key.as_bytes())?;
    let text = body::receive_fields(call, received).await?;
    let count = if text.is_empty() {
        Count::default()
    } else {
        count(&mut text.document(Code::InvalidOperation)?.object(&FIELDS)?)?
    };
    let counted = values.count(key.as_bytes(), &count, durability).await?;
    let answer = CountedAnswer {
        key: key.into_owned(),
        value: counted.value,
        previous: counted.previous,
    };
    Ok(versioned(&answer, counted.version))
}

/// Reads what is to be added off `fields`.
pub(super) fn count(fields: &mut Object<'_>) -> Result<Count, Problem> {
    let mut count = Count::default();
    if let Some(by) = fields.take("by") {
        count.by = by.integer()?;
    }
    if let Some(initial) = fields.take("initial") {
        count.initial = initial.integer()?;
    }
    count.min = fields.take("min").map(body::Field::integer).transpose()?;
    count.max = fields.take("max").map(body::Field::integer).transpose()?;
    if let (Some(min), Some(max)) = (count.min, count.max)
        && min > max
    {
        return Err(fields.refuse("min", "is more than max"));
    }
    if let Some(ttl) = fields.take("ttl") {
        count.ttl = ttl.text_or_number(|text| parameters::ttl_of(&text))?;
    }
    Ok(count)
}

/// A condition that were ignored would turn a guarded change into an unguarded one.
fn refuse_conditions(call: &Call) -> Result<(), Problem> {
    if conditions::parse(call.headers())?.is_empty() {
        return Ok(());
    }
    let detail = "counters are added to whatever their version is: leave If-Match and If-None-Match out, give min and max, \
        or PUT the number";
    Err(Problem::new(Code::InvalidParameter, detail))
}

fn versioned(answer: &impl Serialize, version: Version) -> HttpResponse {
    let mut response = json(StatusCode::OK, answer);
    response
        .headers_mut()
        .insert(header::ETAG, etag::header(version));
    response
}
