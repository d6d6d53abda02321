//! Probes: alive, ready, and why not. They answer in every phase, so they must need nothing that may be missing.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::failures::{ProbeFailures, ReadyFailures};
use super::problem::Problem;
use super::service::{Configuration, Phase, Service};
use super::shapes::Verbose;
use crate::keyspace::{Health, Keyspaces};

/// The state of the service.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthAnswer {
    status: Status,
}

/// How the service is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It serves.
    Ok,
    /// The store is being opened.
    Starting,
    /// It was asked to stop.
    Draining,
    /// The disk failed.
    Failed,
}

/// Whether the service is ready, and why not.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyAnswer {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressAnswer>,
    /// True where recovery set damaged bytes aside, until an operator acknowledges it.
    #[serde(skip_serializing_if = "is_false")]
    quarantined: bool,
    /// Each check; only with `?verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
}

/// How far the start has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressAnswer {
    /// What is being done.
    step: &'static str,
    bytes_done: u64,
    bytes_total: u64,
    percent: u64,
    /// An estimate, once there is something to estimate from.
    seconds_left: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// One thing that was checked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

/// Alive?
///
/// Answers as soon as the process listens.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "probes", responses(
    (status = 200, description = "The process is alive", body = HealthAnswer, example = json!({"status": "ok"})),
    ProbeFailures
))]
pub(super) fn livez(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    Ok(json(StatusCode::OK, &HealthAnswer { status: Status::Ok }))
}

/// How is the service?
///
/// True when `/readyz` is.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "probes", responses(
    (status = 200, description = "It serves", body = HealthAnswer, example = json!({"status": "ok"})),
    (status = 503, description = "It is starting, draining or failed", body = HealthAnswer,
     example = json!({"status": "starting"})),
    ProbeFailures
))]
pub(super) fn health(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let status = status(call.service(), &store_health(call));
    Ok(json(code_of(status), &HealthAnswer { status }))
}

/// Ready?
///
/// While the store is being opened the answer shows how far that is. `verbose` lists each check.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "probes", params(Verbose), responses(
    (status = 200, description = "Requests are served", body = ReadyAnswer, example = json!({"status": "ok"})),
    (status = 503, description = "Starting, draining or failed", body = ReadyAnswer, example = json!({
        "status": "starting",
        "progress": {"step": "replay", "bytes_done": 50, "bytes_total": 200, "percent": 25, "seconds_left": 3}
    })),
    ReadyFailures
))]
pub(super) fn readyz(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(&["verbose"])?;
    let verbose = match query.value("verbose") {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(other) => {
            let detail = format!("verbose={other:?} is not known: give true, false or nothing");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
    };
    let (service, health) = (call.service(), store_health(call));
    let status = status(service, &health);
    let progress = (status == Status::Starting).then(|| progress(service));
    let checks = verbose.then(|| checks(service, &health));
    Ok(json(
        code_of(status),
        &ReadyAnswer {
            status,
            progress,
            quarantined: health.quarantined,
            checks,
        },
    ))
}

/// An answer that no cache keeps.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_vec(body).expect("answers hold only text, numbers and lists");
    HttpResponse::build(status)
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(body)
}

fn store_health(call: &Call) -> Health {
    call.keyspaces().map(Keyspaces::health).unwrap_or_default()
}

fn status(service: &Service, health: &Health) -> Status {
    match service.phase() {
        Phase::Failed => Status::Failed,
        _ if health.failed.is_some() => Status::Failed,
        Phase::Draining => Status::Draining,
        Phase::Starting => Status::Starting,
        Phase::Serving => Status::Ok,
    }
}

fn code_of(status: Status) -> StatusCode {
    match status {
        Status::Ok => StatusCode::OK,
        Status::Starting | Status::Draining | Status::Failed => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn progress(service: &Service) -> ProgressAnswer {
    let progress = service.opening().progress();
    let (done, total) = (progress.bytes_done, progress.bytes_total);
    ProgressAnswer {
        step: progress.step,
        bytes_done: done,
        bytes_total: total,
        percent: percent(done, total),
        seconds_left: seconds_left(service.elapsed(), done, total),
    }
}

fn percent(done: u64, total: u64) -> u64 {
    done.saturating_mul(100)
        .checked_div(total)
        .unwrap_or_default()
        .min(100)
}

fn seconds_left(elapsed: Duration, done: u64, total: u64) -> Option<u64> {
    let left_ms = elapsed.as_millis() * u128::from(total.saturating_sub(done));
    let left_ms = left_ms.checked_div(u128::from(done))?;
    u64::try_from(left_ms.div_ceil(1000)).ok()
}

fn checks(service: &Service, health: &Health) -> Vec<Check> {
    let check = |name, ok, detail: &str| Check {
        name,
        ok,
        detail: detail.to_owned(),
    };
    let phase = service.phase();
    let serving = match phase {
        Phase::Starting => "the store is being opened",
        Phase::Serving => "requests are served",
        Phase::Draining => "the server was asked to stop",
        Phase::Failed => "the store failed",
    };
    let mut checks = vec![check("phase", phase == Phase::Serving, serving)];
    checks.extend(of_configuration(&service.configuration()));
    if phase == Phase::Starting {
        return checks;
    }
    let disk = if health.failed.is_some() {
        "a sync failed: see the log"
    } else {
        "every sync so far succeeded"
    };
    checks.push(check("disk", health.failed.is_none(), disk));
    let room = if health.disk_full {
        "the disk is full: writes are refused"
    } else {
        "there is room for writes"
    };
    checks.push(check("room", !health.disk_full, room));
    let aside = if health.quarantined {
        "damaged bytes were set aside: see the log, then `standpipe repair --acknowledge`"
    } else {
        "nothing was set aside"
    };
    checks.push(check("recovery", !health.quarantined, aside));
    let passed_over = health.snapshot_passed_over.is_some();
    let snapshot = if passed_over {
        "a damaged snapshot was passed over, the one before it was used: see the log"
    } else {
        "the newest snapshot was used"
    };
    checks.push(check("snapshot", !passed_over, snapshot));
    let clock = if health.removal_paused {
        "the clock jumped: expired entries are hidden, not yet removed"
    } else {
        "the clock is steady"
    };
    checks.push(check("clock", !health.removal_paused, clock));
    checks
}

/// Neither makes a server unready: it goes on with the configuration that it has.
fn of_configuration(configuration: &Configuration) -> [Check; 3] {
    let refused = configuration.refused.as_ref();
    let waiting = configuration.waiting.join(", ");
    [
        Check {
            name: "configuration",
            ok: refused.is_none(),
            detail: refused.map_or_else(
                || "what the configuration says is what holds".to_owned(),
                |reason| format!("it was not reloaded, all stays as it was: {reason}"),
            ),
        },
        Check {
            name: "certificates",
            ok: configuration.certificates.is_none(),
            detail: configuration.certificates.as_ref().map_or_else(
                || "nothing is wrong with them".to_owned(),
                |reason| format!("they were not reloaded, the ones before stay: {reason}"),
            ),
        },
        Check {
            name: "restart",
            ok: waiting.is_empty(),
            detail: if waiting.is_empty() {
                "no changed setting waits for the next start".to_owned()
            } else {
                format!("changed settings take effect only at the next start: {waiting}")
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_estimated_from_what_is_done() {
        let estimate = |done, total| seconds_left(Duration::from_secs(10), done, total);
        assert_eq!(estimate(0, 100), None);
        assert_eq!(estimate(25, 100), Some(30));
        assert_eq!(estimate(100, 100), Some(0));
        assert_eq!(estimate(200, 100), Some(0));
    }

    #[test]
    fn nothing_of_nothing_is_no_division_by_zero() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(4, 3), 100);
    }
}
