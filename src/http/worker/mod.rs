//! From a request to its answer, on one worker thread: guards, route, handler, counter. It must not know what the
//! handlers do.

use std::cell::OnceCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};

use super::access;
use super::access_log;
use super::call::Call;
use super::code::Code;
use super::cors;
use super::guard;
use super::http2;
use super::keyspaces;
use super::prefixes;
use super::problem::Problem;
use super::request_id::{Named, RequestIds, X_REQUEST_ID};
use super::routes::{self, Admission, Operation, Target};
use super::service::Service;
use super::{
    batch, counters, entries, keyspace_values, listing, lookup, mirrors, operations, pages, probes,
    sinks, sources, ttl, ui, values, watch,
};
use crate::metrics::{Counter, Durations};

/// What the requests of one worker thread share, beside what all requests share.
pub(super) struct Worker {
    pub(super) service: Arc<Service>,
    counters: Counters,
    durations: Arc<Durations>,
    request_ids: RequestIds,
}

impl Worker {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let operations = Operation::ALL.iter().map(|operation| operation.name());
        let durations = service.metrics.durations(operations.chain([NOTHING]));
        Self {
            service,
            durations,
            request_ids: RequestIds::new(),
            counters: Counters::default(),
        }
    }

    /// Answers a request. Never fails: every failure has an answer.
    pub(super) fn answer(
        self: Rc<Self>,
        request: ServiceRequest,
    ) -> impl Future<Output = Result<ServiceResponse, actix_web::Error>> {
        let mut call = Call::new(request, self);
        async move {
            let began = Instant::now();
            let stream = http2::open(&call);
            let (counted, result) = match http2::admit(stream.as_ref(), &call) {
                Ok(()) => dispatch(&mut call).await,
                Err(problem) => (None, Err(problem)),
            };
            let result = settle(&call, result).await;
            let mut response = result.unwrap_or_else(Problem::into_response);
            let worker = Rc::clone(&call.worker);
            let gate = &worker.service.gate;
            cors::expose(gate, call.headers(), response.headers_mut());
            let logs = gate.logs();
            let named = if logs { Named::Always } else { Named::IfAsked };
            if let Some(id) = worker.request_ids.of(call.headers(), named) {
                response
                    .headers_mut()
                    .insert(X_REQUEST_ID.clone(), id.clone());
                if logs {
                    response = access_log::follow(&call, response, began, id);
                }
            }
            if let Some(stream) = stream {
                response = stream.follow(response);
            }
            let row = row(counted);
            worker.durations.record(row, began.elapsed());
            worker
                .counters
                .count(&worker.service, counted, row, response.status().as_u16());
            Ok(ServiceResponse::new(call.request, response))
        }
    }
}

/// The counted name of the operation, and how it went.
async fn dispatch(call: &mut Call) -> (Counted, Result<HttpResponse, Problem>) {
    let target = routes::target(call.method(), call.path());
    let counted = match target {
        Target::Operation(operation) => Some(operation),
        Target::WrongMethod(_) | Target::Nothing => None,
    };
    if let Some(answer) = preflight(call, &target) {
        return (None, answer);
    }
    let result = match admit(call, &target) {
        Err(problem) => Err(problem),
        Ok(()) => match target {
            Target::Operation(operation) => perform(operation, call).await,
            Target::WrongMethod(route) => Err(wrong_method(call, route.allow)),
            Target::Nothing => Err(pages::nowhere(call)),
        },
    };
    (counted, result)
}

/// That a keyspace is not there is told once it is on disk: a crash must not bring back what was told to be dropped. What
/// else is not there is waited for where it is looked for.
#[inline]
async fn settle(
    call: &Call,
    result: Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    if let Err(problem) = &result
        && problem.code() == Code::KeyspaceNotFound
    {
        call.keyspaces()?.settled().await?;
    }
    result
}

/// A browser's question whether a page may send a request, which comes without the request's own token and at any time.
#[inline]
fn preflight(call: &Call, target: &Target) -> Option<Result<HttpResponse, Problem>> {
    let Target::WrongMethod(route) = target else {
        return None;
    };
    let service = call.service();
    let answer = cors::preflight(&service.gate, call.head(), route.allow)?;
    Some(service.hosts.check(call.head()).map(|()| answer))
}

/// What must hold before anything is done.
#[inline]
fn admit(call: &mut Call, target: &Target) -> Result<(), Problem> {
    call.service().hosts.check(call.head())?;
    guard::check_site(call.head()).or_else(|refusal| {
        let page = cors::allowed_origin(&call.service().gate, call.headers());
        page.map(|_let_in| ()).ok_or(refusal)
    })?;
    // Nobody learns what is there, or how far a start has come, before it is known who asks.
    if let Target::Operation(operation) = target {
        access::admit(call, *operation)?;
    }
    match target {
        Target::Operation(operation) if operation.admission() == Admission::Always => Ok(()),
        Target::Operation(_) | Target::WrongMethod(_) | Target::Nothing => {
            call.keyspaces().map(|_open| ())
        }
    }
}

async fn perform(operation: Operation, call: &mut Call) -> Result<HttpResponse, Problem> {
    match operation {
        Operation::GetValue => values::get(call).await,
        Operation::HeadValue => values::head(call).await,
        Operation::PutValue => values::put(call).await,
        Operation::DeleteValue => values::delete(call).await,
        Operation::GetKey => keyspace_values::get(call).await,
        Operation::HeadKey => keyspace_values::head(call).await,
        Operation::PutKey => keyspace_values::put(call).await,
        Operation::DeleteKey => keyspace_values::delete(call).await,
        Operation::ListKeys => listing::list(call).await,
        Operation::GetEntry => entries::get(call).await,
        Operation::GetTtl => ttl::get(call).await,
        Operation::PutTtl => ttl::put(call).await,
        Operation::DeleteTtl => ttl::delete(call).await,
        Operation::GetCounter => counters::get(call).await,
        Operation::AddToCounter => counters::add(call).await,
        Operation::Batch => batch::batch(call).await,
        Operation::DeleteKeys => prefixes::delete(call).await,
        Operation::ListKeyspaces => keyspaces::list(call).await,
        Operation::DropKeyspaces => keyspaces::drop_all(call).await,
        Operation::GetKeyspace => keyspaces::get(call).await,
        Operation::PutKeyspace => keyspaces::put(call).await,
        Operation::DropKeyspace => keyspaces::drop_one(call).await,
        Operation::Watch => watch::watch(call),
        Operation::FlushKeyspace => keyspace_values::flush(call).await,
        Operation::FlushByDelete => operations::flush_by_delete(call).await,
        Operation::FlushByPost => operations::flush_by_post(call).await,
        Operation::Lookup => lookup::root(call).await,
        Operation::HeadLookup => lookup::head_root(call).await,
        Operation::ListSinks => sinks::list(call),
        Operation::SyncSink => sinks::sync(call).await,
        Operation::PendingOfSink => sinks::pending(call).await,
        Operation::DeadOfSink => sinks::dead(call).await,
        Operation::RedriveSink => sinks::redrive(call).await,
        Operation::ResumeSink => sinks::resume(call).await,
        Operation::Health => probes::health(call),
        Operation::Livez => probes::livez(call),
        Operation::Readyz => probes::readyz(call),
        Operation::Metrics => operations::metrics(call),
        Operation::Limits => operations::limits(call),
        Operation::Mirrors => mirrors::list(call),
        Operation::Snapshot => operations::snapshot(call).await,
        Operation::ListSources => sources::list(call),
        Operation::RunSource => sources::run(call),
        Operation::DocsRedirect => pages::docs_redirect(call),
        Operation::Docs => pages::docs(call),
        Operation::ProblemPage => pages::problem(call),
        Operation::OpenApiJson => pages::openapi_json(call),
        Operation::OpenApiYaml => pages::openapi_yaml(call),
        Operation::PostmanJson => pages::postman_json(call),
        Operation::UiRedirect => ui::redirect(call),
        Operation::Ui => ui::page(call),
    }
}

pub(super) fn wrong_method(call: &Call, allow: &'static str) -> Problem {
    let detail = format!("{} is not allowed here, these are: {allow}", call.method());
    Problem::new(Code::MethodNotAllowed, detail)
        .with_header(header::ALLOW, HeaderValue::from_static(allow))
}

/// What is counted; `None` is a request for nothing that we serve.
type Counted = Option<Operation>;

/// How a request for nothing that we serve is called in the metrics.
const NOTHING: &str = "none";

/// The row of what is counted: operations as they are listed, then everything else.
fn row(counted: Counted) -> usize {
    let all = Operation::ALL;
    counted
        .and_then(|counted| all.iter().position(|operation| *operation == counted))
        .unwrap_or(all.len())
}

/// The statuses that are counted each for itself. Any other counts as 0, which no dashboard overlooks.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 302, 304, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 416,
    421, 422, 500, 502, 503, 504, 507, 101, 0,
];

/// Counters of one worker, each looked up once.
#[derive(Default)]
struct Counters {
    handles: OnceCell<Vec<OnceCell<Counter>>>,
}

impl Counters {
    fn count(&self, service: &Service, counted: Counted, row: usize, status: u16) {
        let rows = Operation::ALL.len() + 1;
        let handles = self
            .handles
            .get_or_init(|| vec![OnceCell::new(); rows * STATUSES.len()]);
        let column = STATUSES
            .iter()
            .position(|known| *known == status)
            .unwrap_or(STATUSES.len() - 1);
        let place = row * STATUSES.len() + column;
        if let Some(handle) = handles.get(place) {
            let name = counted.map_or(NOTHING, Operation::name);
            let status = STATUSES.get(column).copied().unwrap_or_default();
            handle
                .get_or_init(|| service.metrics.requests(name, status))
                .inc();
        }
    }
}

#[cfg(test)]
mod tests;
