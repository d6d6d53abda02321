//! `/sinks`: how changes are passed on, asked for now, tried again, decided about. It must not know where they go.

mod dead;
mod list;
mod pending;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies::{RedriveBody, ResumeBody};
use super::call::Call;
use super::code::Code;
use super::failures::{FieldFailures, SinkActFailures, SinkRedriveFailures};
use super::json::{self as body, Bound};
use super::probes::json;
use super::problem::Problem;
use super::shapes::SinkKeyspace;
use crate::keyspace::Redriven;
use crate::sink::{Choice, Passed, SinkError, Sinks, State};

pub(super) use dead::{__path_dead, dead};
pub(super) use list::{__path_list, list};
pub(super) use pending::{__path_pending, pending};

/// What was passed on.
#[derive(Serialize, ToSchema)]
pub(crate) struct PassedAnswer {
    /// Keys whose changes the target has now; 0 where nothing waited.
    #[schema(example = 3)]
    passed_on: u64,
    /// Keys that the target refused for good; `dead` lists them.
    #[schema(example = 0)]
    set_aside: u64,
    /// Keys that were taken for passed on, because `resume` was told to skip them.
    #[schema(example = 0)]
    skipped: u64,
}

impl From<Passed> for PassedAnswer {
    fn from(passed: Passed) -> Self {
        Self {
            passed_on: passed.passed_on,
            set_aside: passed.set_aside,
            skipped: passed.skipped,
        }
    }
}

/// What became of the keys that were refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RedrivenAnswer {
    /// Keys that wait again.
    #[schema(example = 1)]
    redriven: u64,
    /// Keys that stay refused, because their sum and what waits of them would not fit into 64 bits together.
    #[schema(example = 0)]
    kept: usize,
}

/// Pass on now
///
/// Waits until everything that waited when this was asked for has been passed on. Who asks at the same time shares one
/// attempt.
#[utoipa::path(
    post,
    path = "/sinks/{ks}/sync",
    operation_id = "sync_sink",
    tag = "sinks",
    params(SinkKeyspace),
    responses(
        (status = 200, description = "Nothing waits any more of what waited", body = PassedAnswer),
        SinkActFailures
    )
)]
pub(super) async fn sync(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let keyspace = call.keyspace_of_path()?;
    let passed = sinks(call)?.sync(&keyspace).await?;
    Ok(json(StatusCode::OK, &PassedAnswer::from(passed)))
}

/// Decide about a generation
///
/// A sink stops with the state `sink_ahead` where its database has seen what this store has not: one of the two is a restored
/// backup or a copy. `skip` takes the generation that is to be passed on for passed on, `resend` passes it on; from then on
/// this store's history is the one that the database goes on with. Where the sink has not stopped, this passes on what waits.
#[utoipa::path(
    post,
    path = "/sinks/{ks}/resume",
    operation_id = "resume_sink",
    tag = "sinks",
    params(SinkKeyspace),
    request_body(content = ResumeBody, example = json!({"generation": "skip"})),
    responses(
        (status = 200, description = "It was decided, and nothing waits any more of what waited", body = PassedAnswer),
        SinkActFailures, FieldFailures
    )
)]
pub(super) async fn resume(call: &mut Call) -> Result<HttpResponse, Problem> {
    let received = call.take_body();
    call.query(&[])?;
    let text = body::receive_fields(call, received).await?;
    let mut fields = text
        .document(Code::InvalidOperation)?
        .object(&["generation"])?;
    let choice = fields.require("generation")?.text(|text| choice(&text))?;
    let keyspace = call.keyspace_of_path()?;
    let passed = sinks(call)?.resume(&keyspace, choice).await?;
    Ok(json(StatusCode::OK, &PassedAnswer::from(passed)))
}

fn choice(text: &str) -> Result<Choice, String> {
    match text {
        "skip" => Ok(Choice::Skip),
        "resend" => Ok(Choice::Resend),
        _ => Err("is neither skip nor resend".to_owned()),
    }
}

/// Try refused keys again
///
/// They wait again, with what has come since. Without a body all of them.
#[utoipa::path(
    post,
    path = "/sinks/{ks}/redrive",
    operation_id = "redrive_sink",
    tag = "sinks",
    params(SinkKeyspace),
    request_body(
        content = RedriveBody,
        description = "Which keys; nothing is all of them",
        example = json!({"keys": ["/index.html"]})
    ),
    responses(
        (status = 200, description = "They wait", body = RedrivenAnswer),
        SinkRedriveFailures, FieldFailures
    )
)]
pub(super) async fn redrive(call: &mut Call) -> Result<HttpResponse, Problem> {
    let received = call.take_body();
    call.query(&[])?;
    let keyspace = call.keyspace_of_path()?.into_owned();
    let text = body::receive_fields(call, received).await?;
    let bound = Bound {
        limit: call.service().limits().batch.operations,
        setting: "limits.batch_operations",
        code: Code::BatchTooLarge,
    };
    let keys = dead::keys(&text, bound)?;
    let keys: Option<Vec<&[u8]>> = keys
        .as_ref()
        .map(|keys| keys.iter().map(|key| key.as_bytes()).collect());
    let waiting = sinks(call)?.waiting(&keyspace)?;
    let Redriven { keys, kept } = waiting.redrive(keys.as_deref()).await?;
    let answer = RedrivenAnswer {
        redriven: keys,
        kept: kept.len(),
    };
    Ok(json(StatusCode::OK, &answer))
}

fn sinks(call: &Call) -> Result<&Sinks, Problem> {
    call.service().sinks()
}

impl From<SinkError> for Problem {
    fn from(error: SinkError) -> Self {
        let detail = error.to_string();
        match error {
            SinkError::NotFound { .. } => Self::new(Code::SinkNotFound, detail),
            SinkError::Trouble(trouble) if trouble.state == State::Ahead => {
                Self::new(Code::SinkAhead, detail)
            }
            SinkError::Trouble(_) => Self::new(
                Code::SinkFailed,
                format!("{detail}; what waits is kept and is tried again"),
            ),
        }
    }
}
