//! One request on its way through: what a handler may look at. It must not decide anything.

use std::borrow::Cow;
use std::rc::Rc;

use actix_web::HttpRequest;
use actix_web::dev::{Payload, RequestHead, ServiceRequest};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;

use super::Worker;
use super::access::Bearer;
use super::body::Body;
use super::key;
use super::problem::Problem;
use super::query::Query;
use super::service::Service;
use crate::keyspace::{Keyspaces, Values};
use crate::pump::Pump;

/// A request with what it needs to be answered.
pub(crate) struct Call {
    pub(super) request: HttpRequest,
    pub(super) payload: Payload,
    pub(super) worker: Rc<Worker>,
    /// Who sent it, as far as its operation had to know.
    pub(super) bearer: Bearer,
}

impl Call {
    pub(super) fn new(request: ServiceRequest, worker: Rc<Worker>) -> Self {
        let (request, payload) = request.into_parts();
        Self {
            request,
            payload,
            worker,
            bearer: Bearer::Anyone,
        }
    }

    pub(super) fn head(&self) -> &RequestHead {
        self.request.head()
    }

    pub(super) fn method(&self) -> &Method {
        &self.head().method
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.head().headers()
    }

    /// The path as it came, percent-encoded.
    pub(super) fn raw_path(&self) -> &str {
        self.head().uri.path()
    }

    /// The path as the router compares it: letters that need no encoding are decoded, nothing else.
    pub(super) fn path(&self) -> &str {
        self.request.match_info().as_str()
    }

    /// What stands behind the `?`.
    pub(super) fn query_text(&self) -> Option<&str> {
        self.head().uri.query()
    }

    /// The query parameters; others than `known` are refused.
    pub(super) fn query(&self, known: &[&str]) -> Result<Query<'_>, Problem> {
        match self.query_text() {
            None => Ok(Query::default()),
            text => Query::parse_known(text, known),
        }
    }

    pub(super) fn service(&self) -> &Service {
        &self.worker.service
    }

    pub(super) fn keyspaces(&self) -> Result<&Keyspaces, Problem> {
        self.service().keyspaces()
    }

    pub(super) fn pump(&self) -> Result<&Pump, Problem> {
        self.service().pump()
    }

    pub(super) fn values(&self) -> Result<&Values, Problem> {
        self.service().values()
    }

    /// The name in `/keyspaces/{ks}`, percent-decoded.
    pub(super) fn keyspace_of_path(&self) -> Result<Cow<'_, str>, Problem> {
        key::keyspace(self.raw_path())
    }

    /// The values of the keyspace that `/keyspaces/{ks}/...` names.
    pub(super) fn values_of_path(&self) -> Result<Values, Problem> {
        let name = self.keyspace_of_path()?;
        Ok(self.keyspaces()?.values(&name)?)
    }

    /// The key in `/keyspaces/{ks}/{resource}/{key}`.
    pub(super) fn key_of_path(&self) -> Result<Cow<'_, str>, Problem> {
        key::of(self.raw_path(), 4)
    }

    /// Takes the body; a second time it is empty.
    pub(super) fn take_body(&mut self) -> Body {
        Body::new(
            std::mem::replace(&mut self.payload, Payload::None),
            self.service().limits().body_stall,
        )
    }
}
