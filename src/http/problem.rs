//! Error answers: `application/problem+json` (RFC 9457). It must not know which operation failed.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;

use super::code::Code;

/// The media type of every problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which a client that met a passing condition may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An operation that failed, as it is answered. Boxed inside: the answers that succeed should not carry its size.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    exceeded: Option<Exceeded>,
    failed: Option<FailedOperation>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A limit that was exceeded.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Exceeded {
    /// What is allowed.
    pub(crate) limit: u64,
    /// What it was, or was at least.
    pub(crate) actual: u64,
    /// The setting that raises the limit.
    pub(crate) setting: &'static str,
}

/// The operation of a batch because of which nothing was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct FailedOperation {
    /// Its place, counted from 0.
    pub(crate) operation: usize,
    /// The code of what is wrong with it.
    pub(crate) cause: &'static str,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(flatten)]
    exceeded: Option<Exceeded>,
    #[serde(flatten)]
    failed: Option<FailedOperation>,
}

impl Problem {
    /// A problem with what is particular about this occurrence.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            exceeded: None,
            failed: None,
            headers: Vec::new(),
        }))
    }

    /// Adds the limit that was exceeded.
    pub(crate) fn exceeding(mut self, exceeded: Exceeded) -> Self {
        self.0.exceeded = Some(exceeded);
        self
    }

    /// Adds the operation of a batch that failed.
    pub(crate) fn of_operation(mut self, failed: FailedOperation) -> Self {
        self.0.failed = Some(failed);
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Which problem it is.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// What is particular about this occurrence.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The limit that was exceeded, where it was that.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.0.exceeded
    }

    /// The version that is told with it.
    pub(crate) fn etag(&self) -> Option<&str> {
        let headers = &self.0.headers;
        let (_, value) = headers.iter().find(|(name, _)| *name == header::ETAG)?;
        value.to_str().ok()
    }

    /// The answer.
    pub(crate) fn into_response(self) -> HttpResponse {
        let Parts {
            code,
            detail,
            exceeded,
            failed,
            headers,
        } = *self.0;
        let status = code.status();
        let document = Document {
            r#type: code.page(),
            title: code.title(),
            status: status.as_u16(),
            detail: &detail,
            code: code.name(),
            exceeded,
            failed,
        };
        let body = serde_json::to_vec(&document).expect("a problem holds only text and numbers");
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)))
            .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if status.as_u16() == 503 {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        for header in headers {
            response.insert_header(header);
        }
        response.body(body)
    }
}
