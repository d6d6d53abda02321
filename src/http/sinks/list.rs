//! `GET /sinks`: how each sink fares.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::call::Call;
use super::super::failures::SinkListFailures;
use super::super::probes::json;
use super::super::problem::Problem;
use super::super::shown;
use crate::sink::{Deletes, Mode, Status};

/// Every sink.
#[derive(Serialize, ToSchema)]
pub(crate) struct SinksAnswer {
    /// In the order of the keyspaces' names.
    items: Vec<SinkAnswer>,
}

/// A sink as it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct SinkAnswer {
    /// The keyspace whose changes are passed on.
    #[schema(example = "views")]
    keyspace: String,
    target: TargetAnswer,
    /// `increment` or `upsert`.
    #[schema(example = "increment")]
    mode: &'static str,
    /// Whether deletions are passed on; only with `upsert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deletes: Option<&'static str>,
    /// `idle`, `sending`, `retrying`, `unsuitable` (the table or what is said of it has to be changed), `sink_ahead` (a person
    /// has to decide: `resume`), `dead_full` (more keys are refused than may be set aside).
    #[schema(example = "idle")]
    state: &'static str,
    /// Keys that wait; one that waits in two generations counts twice.
    #[schema(example = 3)]
    pending: u64,
    /// How long the oldest has waited.
    #[schema(example = 1200)]
    lag_ms: u64,
    /// The generation that changes go to now.
    #[schema(example = 7)]
    generation: u64,
    /// Keys that the target has refused for good.
    #[schema(example = 0)]
    dead: u64,
    /// When an attempt last succeeded; null where none has since the start.
    #[schema(required, format = DateTime)]
    last_success: Option<String>,
    /// The last failure since the start, also behind a success; null where there was none.
    #[schema(required)]
    last_error: Option<LastError>,
    since_start: SinceStart,
}

/// Where changes go.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetAnswer {
    /// `sql` or `http`.
    #[schema(example = "sql")]
    kind: &'static str,
    /// Without anything secret; null while it could not be read.
    #[schema(required, example = "postgres://db.internal:5432/web")]
    address: Option<String>,
    /// The table, in a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "page_views")]
    table: Option<String>,
}

/// A failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastError {
    #[schema(format = DateTime)]
    at: String,
    /// What happened.
    text: String,
}

/// Counts since the start of this process.
#[derive(Serialize, ToSchema)]
pub(crate) struct SinceStart {
    /// Keys that were passed on.
    #[schema(example = 120)]
    passed_on: u64,
    /// Keys that the target refused for good.
    #[schema(example = 0)]
    set_aside: u64,
    /// Keys that were skipped, as `resume` was told.
    #[schema(example = 0)]
    skipped: u64,
    /// Attempts that passed something on.
    #[schema(example = 40)]
    successes: u64,
    /// Attempts that failed.
    #[schema(example = 0)]
    failures: u64,
}

/// List sinks
///
/// Where the changes of each keyspace go, what waits, and how the last attempts went.
#[utoipa::path(
    get,
    path = "/sinks",
    operation_id = "list_sinks",
    tag = "sinks",
    responses((status = 200, description = "The sinks", body = SinksAnswer), SinkListFailures)
)]
pub(in crate::http) fn list(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let now_ms = call.keyspaces()?.now_ms();
    let all = super::sinks(call)?.list().into_iter();
    let items = all.map(|status| answer(status, now_ms)).collect();
    Ok(json(StatusCode::OK, &SinksAnswer { items }))
}

fn answer(status: Status, now_ms: u64) -> SinkAnswer {
    let (mode, deletes) = match status.mode {
        Mode::Increment => ("increment", None),
        Mode::Upsert(Deletes::Ignore) => ("upsert", Some("ignore")),
        Mode::Upsert(Deletes::Propagate) => ("upsert", Some("propagate")),
    };
    SinkAnswer {
        lag_ms: status
            .lag(now_ms)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX),
        mode,
        deletes,
        state: status.state.name(),
        pending: status.counts.pending,
        generation: status.counts.generation,
        dead: status.counts.dead,
        last_success: status.done.last_success_ms.map(shown::time),
        last_error: status.done.last_failure.map(|(at_ms, trouble)| LastError {
            at: shown::time(at_ms),
            text: trouble.text,
        }),
        since_start: SinceStart {
            passed_on: status.done.passed.passed_on,
            set_aside: status.done.passed.set_aside,
            skipped: status.done.passed.skipped,
            successes: status.done.successes,
            failures: status.done.failures,
        },
        target: TargetAnswer {
            kind: status.place.kind,
            address: status.place.address,
            table: status.place.table,
        },
        keyspace: status.keyspace,
    }
}
