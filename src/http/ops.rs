//! The port for those who watch over the process: probes and figures, without a token, and nothing else. It must not
//! answer anything that tells what is stored.

use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::dev::{ServiceRequest, ServiceResponse};

use super::call::Call;
use super::guard::Hosts;
use super::problem::Problem;
use super::routes::{self, Operation, Target};
use super::worker::{Worker, wrong_method};
use super::{operations, pages, probes};

/// Answers a request on that port.
pub(super) fn answer(
    worker: Rc<Worker>,
    hosts: &Hosts,
    request: ServiceRequest,
) -> Ready<Result<ServiceResponse, actix_web::Error>> {
    let call = Call::new(request, worker);
    let result = hosts
        .check(call.head())
        .and_then(|()| perform(&call, routes::target(call.method(), call.path())));
    let response = result.unwrap_or_else(Problem::into_response);
    ready(Ok(ServiceResponse::new(call.request, response)))
}

fn perform(call: &Call, target: Target) -> Result<HttpResponse, Problem> {
    if let Target::Operation(operation) = target
        && let Some(handler) = handler(operation)
    {
        return handler(call);
    }
    match target {
        Target::WrongMethod(route)
            if route
                .operations
                .iter()
                .any(|(_, it)| handler(*it).is_some()) =>
        {
            Err(wrong_method(call, route.allow))
        }
        Target::Operation(_) | Target::WrongMethod(_) | Target::Nothing => {
            Err(pages::nowhere(call))
        }
    }
}

type Handler = fn(&Call) -> Result<HttpResponse, Problem>;

/// What is served here. Whatever joins the operations is not, unless somebody decides it.
fn handler(operation: Operation) -> Option<Handler> {
    let served: [(Operation, Handler); 4] = [
        (Operation::Livez, probes::livez),
        (Operation::Readyz, probes::readyz),
        (Operation::Health, probes::health),
        (Operation::Metrics, operations::metrics),
    ];
    served
        .into_iter()
        .find_map(|(known, handler)| (known == operation).then_some(handler))
}
