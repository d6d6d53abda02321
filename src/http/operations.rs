//! What an operator does: empty the store, make a snapshot, read figures and limits.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::failures::{FlushFailures, LimitsFailures, MetricsFailures, SnapshotFailures};
use super::parameters;
use super::probes::json;
use super::problem::Problem;
use super::service::Phase;
use super::shapes::HowDurable;
use crate::keyspace::Values;

/// How many entries a flush removed.
#[derive(Serialize, ToSchema)]
pub(crate) struct FlushAnswer {
    /// Entries that were there and had not expired.
    #[schema(example = 3)]
    flushed: u64,
}

/// The snapshot that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct SnapshotAnswer {
    /// Entries in it.
    #[schema(example = 1200)]
    entries: u64,
    /// Its size.
    #[schema(example = 98304)]
    bytes: u64,
}

/// Every limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitsAnswer {
    items: Vec<LimitAnswer>,
}

/// A limit and the setting that changes it.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitAnswer {
    /// The name of the setting.
    #[schema(example = "limits.value_bytes")]
    setting: &'static str,
    /// Its value; null where it is off.
    #[schema(example = 16_777_216)]
    value: Option<u64>,
    /// What it counts.
    #[schema(example = "bytes")]
    unit: &'static str,
}

/// Empty the store
///
/// Answers how many values there were; an empty store is no failure.
#[utoipa::path(delete, path = "/flush", operation_id = "flush", tag = "values", params(HowDurable), responses(
    (status = 200, description = "The store is empty", body = FlushAnswer), FlushFailures
))]
pub(super) async fn flush_by_delete(call: &Call) -> Result<HttpResponse, Problem> {
    flush(call, call.values()?).await
}

/// Empty the store, for clients that cannot send DELETE
///
/// The same as `DELETE /flush`.
#[utoipa::path(post, path = "/flush", operation_id = "flush_by_post", tag = "values", params(HowDurable), responses(
    (status = 200, description = "The store is empty", body = FlushAnswer), FlushFailures
))]
pub(super) async fn flush_by_post(call: &Call) -> Result<HttpResponse, Problem> {
    flush(call, call.values()?).await
}

/// Empties one keyspace.
pub(super) async fn flush(call: &Call, values: &Values) -> Result<HttpResponse, Problem> {
    let durability = parameters::durability(&call.query(&["durability"])?)?;
    let flushed = values.flush(durability).await?;
    Ok(json(StatusCode::OK, &FlushAnswer { flushed }))
}

/// Make a snapshot now
///
/// Folds the log into a snapshot, which makes the next start faster, and waits for it.
#[utoipa::path(post, path = "/admin/snapshot", operation_id = "snapshot", tag = "operation", responses(
    (status = 200, description = "The snapshot is on disk", body = SnapshotAnswer), SnapshotFailures
))]
pub(super) async fn snapshot(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let made = call.keyspaces()?.compact().await?;
    Ok(json(
        StatusCode::OK,
        &SnapshotAnswer {
            entries: made.entries,
            bytes: made.bytes,
        },
    ))
}

/// Every limit
///
/// Each with its value and the setting that changes it.
#[utoipa::path(get, path = "/limits", operation_id = "limits", tag = "operation", responses(
    (status = 200, description = "The limits", body = LimitsAnswer), LimitsFailures
))]
pub(super) fn limits(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let limits = call.service().limits();
    let items = limits.shown.iter().map(|limit| LimitAnswer {
        setting: limit.setting,
        value: limit.value,
        unit: limit.unit,
    });
    Ok(json(
        StatusCode::OK,
        &LimitsAnswer {
            items: items.collect(),
        },
    ))
}

/// Figures for Prometheus
///
/// Text, one figure on each line.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operation", responses(
    (status = 200, description = "The figures", body = String, content_type = "text/plain",
     example = "standpipe_ready 1"),
    MetricsFailures
))]
pub(super) fn metrics(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let service = call.service();
    let metrics = &service.metrics;
    metrics
        .http
        .ready
        .set(u64::from(service.phase() == Phase::Serving));
    if let Ok(keyspaces) = service.keyspaces() {
        keyspaces.observe(&metrics.store);
    }
    if let Ok(sinks) = service.sinks() {
        sinks.observe(&metrics.sinks);
    }
    if let Some(mirrors) = service.mirrors() {
        mirrors.observe();
    }
    let text = metrics
        .text()
        .map_err(|_no_memory| Problem::new(Code::Internal, "the figures cannot be written"))?;
    // A scraper asks for OpenMetrics by name; a person with a browser should see text.
    let accepts = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.contains("application/openmetrics-text"))
    };
    let openmetrics = call.headers().get_all(header::ACCEPT).any(accepts);
    let media_type = if openmetrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(media_type)))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(text))
}
