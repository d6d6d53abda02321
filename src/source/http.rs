//! Values from an HTTP server. It must not know how a call is made, only what its answer means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::time::timeout;

use super::template::Template;
use super::{FetchError, Fetched, HttpOptions, Lifetime, Validators, Value, apart};
use crate::outbound::{
    Auth, Call, HeaderMap, HeaderName, HeaderValue, Method, Opened, Outbound, StatusCode, origin,
};

const AUTHORIZATION: HeaderName = HeaderName::from_static("authorization");
const CONTENT_ENCODING: HeaderName = HeaderName::from_static("content-encoding");
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const ETAG: HeaderName = HeaderName::from_static("etag");
const IF_MODIFIED_SINCE: HeaderName = HeaderName::from_static("if-modified-since");
const IF_NONE_MATCH: HeaderName = HeaderName::from_static("if-none-match");
const LAST_MODIFIED: HeaderName = HeaderName::from_static("last-modified");

/// The most bytes of a header that is kept with a value.
const MOST_KEPT: usize = 1024;
/// A body that says nothing is read so far, so that its connection can be used again.
const DRAINED_BYTES: usize = 16 << 10;
/// And for so long.
const DRAINED_FOR: Duration = Duration::from_millis(100);

/// A request that is made again and again.
pub(super) struct Http {
    outbound: Outbound,
    /// Or what is wrong with the endpoint.
    template: Result<Template, &'static str>,
    options: HttpOptions,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path or a query may hold a key that somebody pays for.
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(outbound: Outbound, options: &HttpOptions) -> Self {
        Self {
            outbound,
            template: Template::new(&options.endpoint),
            options: options.clone(),
        }
    }

    /// Whether `key` has an address.
    pub(super) fn can_have(&self, key: &str) -> bool {
        let template = self.template.as_ref();
        template.map_or(true, |template| template.leads_to(key))
    }

    /// Makes the request. How long that may take is the caller's to bound.
    pub(super) async fn fetch(
        &self,
        key: Option<&str>,
        known: &Validators,
        most: usize,
    ) -> Result<Fetched, FetchError> {
        let unusable = |reason: &'static str| FetchError::Endpoint { reason };
        let template = self.template.as_ref().map_err(|reason| unusable(reason))?;
        let Some(url) = template.of(key).map_err(unusable)? else {
            return Ok(Fetched::Absent);
        };
        let origin = origin(&url);
        let mut headers = self.options.headers.clone();
        self.authorize(&mut headers).await?;
        let asked = self.ask_whether_modified(&mut headers, known);
        let client = self.outbound.client(self.options.ca.as_deref())?;
        let body = self.options.body.clone().unwrap_or_default();
        let opened = client.open(Call {
            method: self.options.method.clone(),
            url,
            headers,
            body: Bytes::from(body),
        });
        let mut opened = opened.await?;
        match opened.status {
            status if status.is_success() => value(opened, most).await,
            StatusCode::NOT_MODIFIED if asked => Ok(Fetched::NotModified {
                lifetime: Lifetime::of(&opened.headers),
            }),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                drain(&mut opened).await;
                Ok(Fetched::Absent)
            }
            status => {
                drain(&mut opened).await;
                Err(FetchError::Status { origin, status })
            }
        }
    }

    async fn authorize(&self, headers: &mut HeaderMap) -> Result<(), FetchError> {
        let Some(Auth { user, password }) = &self.options.auth else {
            return Ok(());
        };
        let password = password.clone();
        let password = apart(move || password.reveal())
            .await
            .map_err(|error| FetchError::Password(Arc::new(error)))?;
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut value =
            HeaderValue::try_from(format!("Basic {pair}")).expect("base64 can stand in a header");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Asks only for what is newer than what is known, and says whether it did. Other methods than GET have no validators,
    /// and conditions of the operator's are not touched.
    fn ask_whether_modified(&self, headers: &mut HeaderMap, known: &Validators) -> bool {
        let conditions = [IF_NONE_MATCH, IF_MODIFIED_SINCE];
        let set = conditions.iter().any(|name| headers.contains_key(name));
        if self.options.method != Method::GET || set || known.is_empty() {
            return false;
        }
        let Validators {
            etag,
            last_modified,
        } = known.clone();
        let known = [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, last_modified)];
        for (name, value) in known {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        true
    }
}

/// The value that an answer is.
async fn value(mut opened: Opened, most: usize) -> Result<Fetched, FetchError> {
    let bytes = opened.body(most).await?;
    let headers = &opened.headers;
    Ok(Fetched::Value(Value {
        bytes,
        media_type: kept(headers, &CONTENT_TYPE),
        content_encoding: kept(headers, &CONTENT_ENCODING),
        validators: Validators {
            etag: headers.get(ETAG).cloned(),
            last_modified: headers.get(LAST_MODIFIED).cloned(),
        },
        lifetime: Lifetime::of(headers),
    }))
}

/// A header that is kept with a value, where it is text that can stand in a header again.
fn kept(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let may_be_kept = !text.is_empty() && text.len() <= MOST_KEPT;
    may_be_kept.then(|| text.into())
}

/// Reads what nobody looks at, where that is soon done.
async fn drain(opened: &mut Opened) {
    let drained = timeout(DRAINED_FOR, opened.body(DRAINED_BYTES)).await;
    // Whatever became of it, the answer is known already.
    drop(drained);
}
