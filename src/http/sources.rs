//! `/sources` and `/sources/run/{name}`: what is fetched by the clock, how it fares, and a run at once. It must not know how
//! anything is fetched.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::failures::{SourceListFailures, SourceRunFailures};
use super::probes::json;
use super::problem::Problem;
use super::shapes::SourceName;
use super::{key, shown};
use crate::pump::{Facts, Kind, LastFailure, NotRun, State};

/// Every scheduled source.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourcesAnswer {
    /// In the order of their names.
    items: Vec<SourceAnswer>,
}

/// A scheduled source.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceAnswer {
    /// Its name, which is the key of its value too.
    #[schema(example = "motd")]
    name: String,
    /// Where its value goes; null where it is invalid.
    #[schema(required, example = "default")]
    keyspace: Option<String>,
    /// Where its value comes from; null where it is invalid.
    #[schema(required)]
    kind: Option<KindAnswer>,
    /// When it runs, as the file says it; null where it is invalid.
    #[schema(required, example = "0 0 * * * *")]
    rule: Option<String>,
    state: StateAnswer,
    /// Why it cannot run, where it is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// When a run last began; null where none has since the start.
    #[schema(required, format = DateTime)]
    last_run: Option<String>,
    /// When a run last ended well; null where none has since the start.
    #[schema(required, format = DateTime)]
    last_success: Option<String>,
    /// Why a run last failed, whatever came after; null where none has since the start.
    #[schema(required)]
    last_error: Option<SourceErrorAnswer>,
    /// When the rule asks for the next run; null where it never does.
    #[schema(required, format = DateTime)]
    next_run: Option<String>,
    /// Runs that have ended since the start.
    #[schema(example = 12)]
    runs: u64,
    /// Those of them that failed.
    #[schema(example = 0)]
    failures: u64,
    /// Milliseconds since the value was last known to be the newest one; null where there is no value.
    #[schema(required, example = 1500)]
    age_ms: Option<u64>,
    /// Whether the value is older than it should be: the source is failing or invalid.
    #[schema(example = false)]
    stale: bool,
    /// Bytes of the value; null where there is none.
    #[schema(required, example = 13)]
    size: Option<usize>,
}

/// Why a run failed.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceErrorAnswer {
    #[schema(format = DateTime)]
    at: String,
    /// The kind of failure: `source_failed` and `source_timeout` are those of the source itself, `key_taken` that a client
    /// wrote the key.
    #[schema(example = "source_failed")]
    code: &'static str,
    /// The same as a sentence.
    detail: String,
}

/// Where a value comes from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindAnswer {
    /// Fixed words.
    Static,
    /// An HTTP request.
    Http,
    /// A file.
    File,
}

/// How a source is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateAnswer {
    /// What the file says of it cannot be done.
    Invalid,
    /// It has not run yet.
    Waiting,
    /// It runs now.
    Running,
    /// The last run went well.
    Ok,
    /// The last run failed.
    Failing,
}

impl SourceAnswer {
    fn of(facts: Facts, now_ms: u64) -> Self {
        let (keyspace, kind, rule) = match facts.work {
            None => (None, None, None),
            Some(work) => (
                Some(work.keyspace.as_ref().to_owned()),
                Some(KindAnswer::of(work.kind)),
                Some(work.rule.as_ref().to_owned()),
            ),
        };
        let next_run = facts.next_run_ms.and_then(|at| u64::try_from(at).ok());
        let age = |confirmed_at_ms| now_ms.saturating_sub(confirmed_at_ms);
        Self {
            name: facts.name.as_ref().to_owned(),
            keyspace,
            kind,
            rule,
            state: StateAnswer::of(facts.state),
            reason: facts.reason.map(|reason| reason.as_ref().to_owned()),
            last_run: facts.last_run_ms.map(shown::time),
            last_success: facts.last_success_ms.map(shown::time),
            last_error: facts.last_failure.map(SourceErrorAnswer::from),
            next_run: next_run.map(shown::time),
            runs: facts.runs,
            failures: facts.failures,
            age_ms: facts.held.map(|held| age(held.confirmed_at_ms)),
            stale: facts.stale,
            size: facts.held.map(|held| held.len),
        }
    }
}

impl KindAnswer {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Static => Self::Static,
            Kind::Http => Self::Http,
            Kind::File => Self::File,
        }
    }
}

impl StateAnswer {
    fn of(state: State) -> Self {
        match state {
            State::Invalid => Self::Invalid,
            State::Waiting => Self::Waiting,
            State::Running => Self::Running,
            State::Ok => Self::Ok,
            State::Failing => Self::Failing,
        }
    }
}

impl From<LastFailure> for SourceErrorAnswer {
    fn from(failure: LastFailure) -> Self {
        Self {
            at: shown::time(failure.at_ms),
            code: failure.code,
            detail: failure.detail.as_ref().to_owned(),
        }
    }
}

impl From<NotRun> for Problem {
    fn from(refusal: NotRun) -> Self {
        let detail = refusal.to_string();
        let code = match refusal {
            NotRun::NotFound { .. } => Code::SourceNotFound,
            NotRun::AlreadyRunning { .. } => Code::AlreadyRunning,
            NotRun::Invalid { .. } => Code::InvalidOperation,
        };
        Self::new(code, detail)
    }
}

/// Every scheduled source
///
/// What the configuration file has to be fetched by the clock, and how that fares.
#[utoipa::path(get, path = "/sources", operation_id = "list_sources", tag = "sources", responses(
    (status = 200, description = "The sources", body = SourcesAnswer), SourceListFailures
))]
pub(super) fn list(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let now_ms = call.keyspaces()?.now_ms();
    let all = call.pump()?.list().into_iter();
    let items = all.map(|facts| SourceAnswer::of(facts, now_ms)).collect();
    Ok(json(StatusCode::OK, &SourcesAnswer { items }))
}

/// Run a source now
///
/// Begins a run and answers at once; `/sources` tells how it ended. The rule goes on as if nothing had been.
#[utoipa::path(
    post,
    path = "/sources/run/{name}",
    operation_id = "run_source",
    tag = "sources",
    params(SourceName),
    responses(
        (status = 202, description = "The run has begun", body = SourceAnswer), SourceRunFailures
    )
)]
pub(super) fn run(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let name = key::of(call.raw_path(), 3)?;
    let now_ms = call.keyspaces()?.now_ms();
    let facts = call.pump()?.run(&name)?;
    let answer = SourceAnswer::of(facts, now_ms);
    Ok(json(StatusCode::ACCEPTED, &answer))
}
