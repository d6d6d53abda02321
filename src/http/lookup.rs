//! `GET /`: the way to the pages, and with a query cachepump's lookup, whose clients rely on its plain-text answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};

use super::call::Call;
use super::failures::LookupFailures;
use super::problem::Problem;
use super::query::Query;
use super::shapes::{
    Acceptance, LookupAnswers, LookupKey, NotModified, PartHeaders, PartOfValue, ReadConditions,
    WholeValue,
};
use super::{caches, conditions, pages};
use crate::keyspace::Read;

/// cachepump's own words, spelling included: clients compare them.
const NO_PARAMETER: &str = "Parametor 'key' is not found";
const NO_KEY: &str = "key is not found";

/// Look a value up, as cachepump does
///
/// The same bytes as `GET /v1/{key}`; failures are plain text, in cachepump's words. Without a query the answer is a
/// redirect to `/docs/`.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "lookup_value",
    tag = "values",
    params(LookupKey, ReadConditions, Acceptance, PartHeaders),
    responses(WholeValue, PartOfValue, NotModified, LookupAnswers, LookupFailures)
)]
pub(super) async fn root(call: &Call) -> Result<HttpResponse, Problem> {
    either(call).await
}

/// Look a value's headers up, as cachepump does
///
/// Answers what GET would, without the bytes.
#[utoipa::path(
    head,
    path = "/",
    operation_id = "head_lookup_value",
    tag = "values",
    params(LookupKey, ReadConditions, Acceptance),
    responses(WholeValue, NotModified, LookupAnswers, LookupFailures)
)]
pub(super) async fn head_root(call: &Call) -> Result<HttpResponse, Problem> {
    either(call).await
}

async fn either(call: &Call) -> Result<HttpResponse, Problem> {
    match call.query_text() {
        None | Some("") => Ok(pages::redirect("/docs/")),
        Some(text) => look_up(call, text).await,
    }
}

async fn look_up(call: &Call, text: &str) -> Result<HttpResponse, Problem> {
    let values = call.values()?;
    // Other parameters are ignored, as they were there.
    let query = match Query::parse(Some(text)) {
        Ok(query) => query,
        Err(problem) => return Ok(plain(StatusCode::BAD_REQUEST, problem.detail().to_owned())),
    };
    let Some(key) = query.value("key").filter(|key| !key.is_empty()) else {
        return Ok(plain(StatusCode::BAD_REQUEST, NO_PARAMETER.to_owned()));
    };
    if let Err(refusal) = values.check_key(key.as_bytes()) {
        return Ok(plain(StatusCode::BAD_REQUEST, refusal.to_string()));
    }
    let conditions = match conditions::parse(call.headers()) {
        Ok(conditions) => conditions,
        Err(problem) => return Ok(plain(StatusCode::BAD_REQUEST, problem.detail().to_owned())),
    };
    let accepts = || caches::accepts(call.headers());
    let Read { entry, served } = values.read(key, accepts).await?;
    match entry {
        None => Ok(plain(StatusCode::NOT_FOUND, NO_KEY.to_owned())),
        Some(entry) => caches::found(call, values, key, &conditions, entry, served.as_ref()),
    }
}

fn plain(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ))
        .insert_header((
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(text)
}
