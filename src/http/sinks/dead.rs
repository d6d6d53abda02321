//! `GET /sinks/{ks}/dead`: what the target has refused for good, page by page.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::call::Call;
use super::super::code::Code;
use super::super::failures::SinkReadFailures;
use super::super::json::{Bound, Text};
use super::super::listing;
use super::super::probes::json;
use super::super::problem::Problem;
use super::super::shapes::{DeadParameters, SinkKeyspace};
use super::super::shown;
use crate::keyspace::{Dead, Total};

/// Keys of a page that nobody asked for more or less of.
const USUAL_ITEMS: usize = 100;

/// A page of refused keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadAnswer {
    /// In byte order of the keys.
    items: Vec<DeadItem>,
    /// The `after` of the next page; null on the last one.
    #[schema(required)]
    after: Option<String>,
}

/// A key that the target has refused for good.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadItem {
    #[schema(example = "/index.html")]
    key: String,
    /// The sum of its increments; absent where values are passed on: then it is the value as it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, nullable = false, example = 40)]
    sum: Option<serde_json::Number>,
    /// What the target said, the last time.
    #[schema(example = "value out of range (22003)")]
    reason: String,
    /// When that was.
    #[schema(format = DateTime)]
    at: String,
}

/// Read what was refused
///
/// Keys that the target refuses for good, with what it said. They are kept, apart from what waits, until `redrive` lets them
/// wait again.
#[utoipa::path(
    get,
    path = "/sinks/{ks}/dead",
    operation_id = "dead_of_sink",
    tag = "sinks",
    params(SinkKeyspace, DeadParameters),
    responses(
        (status = 200, description = "A page of refused keys", body = DeadAnswer),
        SinkReadFailures
    )
)]
pub(in crate::http) async fn dead(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(&["after", "limit"])?;
    let limit = listing::limit(&query)?.unwrap_or(USUAL_ITEMS);
    let keyspace = call.keyspace_of_path()?;
    let after = query.value("after");
    let waiting = super::sinks(call)?.waiting(&keyspace)?;
    let page = waiting.dead(after, limit).await?;
    let items: Vec<DeadItem> = page.letters.into_iter().map(item).collect();
    let last = items.last().map(|item| item.key.clone());
    let after = last.filter(|_| !page.end);
    Ok(json(StatusCode::OK, &DeadAnswer { items, after }))
}

fn item(letter: Dead) -> DeadItem {
    DeadItem {
        key: String::from_utf8_lossy(&letter.key).into_owned(),
        sum: match letter.total {
            Total::Sum(sum) => serde_json::Number::from_i128(sum),
            Total::Mark => None,
        },
        reason: letter.reason.into(),
        at: shown::time(letter.at_ms),
    }
}

/// The keys that a body names; none is all of them.
pub(super) fn keys<'a>(
    text: &'a Text<'_>,
    bound: Bound,
) -> Result<Option<Vec<Cow<'a, str>>>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let document = text.document_with_list(Code::InvalidOperation, bound)?;
    let mut fields = document.object(&["keys"])?;
    match fields.take("keys") {
        None => Ok(None),
        Some(field) => Ok(Some(field.list()?.texts()?)),
    }
}
