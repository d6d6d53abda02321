//! Calls over HTTP: bounded in time and size, at most three redirects, and none to another origin with what could be a
//! credential. It must not know what the answers are for.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::address::{Reach, Refused};
use super::{Options, OutboundError};

/// The most redirects that are followed.
const REDIRECTS: usize = 3;

/// Headers of a call that can be sent to another origin: whatever else an operator has set may be a credential.
const HARMLESS: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::USER_AGENT,
];

/// Who we say that we are, where a call says nothing else.
const USER_AGENT: &str = concat!("standpipe/", env!("CARGO_PKG_VERSION"));

/// A request that is to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// GET, POST, ...
    pub method: Method,
    /// Where to: http or https.
    pub url: Url,
    /// Sent as they are, credentials included.
    pub headers: HeaderMap,
    /// Sent with any method, as it is.
    pub body: Bytes,
}

/// Its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The time for everything, from the first name to the last byte.
    pub timeout: Duration,
    /// The most bytes of the answer's body, once inflated.
    pub bytes: usize,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, inflated where the upstream compressed it.
    pub body: Bytes,
}

/// Why there is no answer. No variant holds anything that the operator may have meant to be secret: of an address only
/// scheme, host and port.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallError {
    /// It took too long.
    #[error("no whole answer within {} ms", after.as_millis())]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The address is not called.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No connection came about, or no answer began.
    #[error("{origin}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// What failed.
        reason: String,
    },
    /// The answer's body ended early or cannot be read.
    #[error("{origin}: the answer broke off: {reason}")]
    Broken {
        /// Scheme, host and port.
        origin: String,
        /// What failed.
        reason: String,
    },
    /// The answer's body is larger than it may be.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The most.
        limit: usize,
    },
    /// The answer leads somewhere where we do not go.
    #[error("{origin} redirects {reason}")]
    Redirect {
        /// Scheme, host and port.
        origin: String,
        /// Where, and why not.
        reason: &'static str,
    },
}

/// Makes calls. Cheap to clone; the clones share their connections. Its futures are to be polled on the runtime of
/// [`super::Outbound`].
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    reach: Reach,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Opened {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    origin: String,
    response: reqwest::Response,
}

impl Client {
    pub(super) fn new(
        options: &Options,
        reach: Reach,
        tls: &ClientConfig,
    ) -> Result<Self, OutboundError> {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(options.connect_timeout)
            .redirect(Policy::none())
            .referer(false)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(Names(reach.clone())))
            .no_proxy();
        if let Some(proxy) = &options.proxy {
            let url = proxy
                .reveal()
                .map_err(|error| OutboundError::new("outbound.proxy", &error))?;
            let proxy = reqwest::Proxy::all(url).map_err(|error| {
                OutboundError::new("outbound.proxy", &innermost(&error.without_url()))
            })?;
            builder = builder.proxy(proxy);
        }
        let client = builder
            .build()
            .map_err(|error| OutboundError::new("the HTTP client", &innermost(&error)))?;
        Ok(Self { client, reach })
    }

    /// Makes the call and reads its whole answer.
    pub async fn call(&self, call: Call, bounds: Bounds) -> Result<Answer, CallError> {
        let whole = async {
            let mut opened = self.open(call).await?;
            let body = opened.body(bounds.bytes).await?;
            Ok(Answer {
                status: opened.status,
                headers: opened.headers,
                body,
            })
        };
        let after = bounds.timeout;
        timeout(after, whole)
            .await
            .unwrap_or(Err(CallError::Timeout { after }))
    }

    /// Makes the call and returns as soon as its answer has begun. How long that may take is the caller's to bound.
    pub async fn open(&self, mut call: Call) -> Result<Opened, CallError> {
        for _ in 0..=REDIRECTS {
            let origin = origin(&call.url);
            self.check(&call.url, &origin)?;
            let request = self
                .client
                .request(call.method.clone(), call.url.clone())
                .headers(call.headers.clone())
                .body(call.body.clone());
            let sent = request.send().await;
            let response = sent.map_err(|error| unreachable(origin.clone(), error))?;
            let Some(next) = target(&response, &call.url, &origin)? else {
                return Ok(Opened {
                    status: response.status(),
                    headers: response.headers().clone(),
                    origin,
                    response,
                });
            };
            follow(&mut call, next, response.status(), origin)?;
        }
        let origin = origin(&call.url);
        let reason = "for the fourth time: three redirects are followed";
        Err(CallError::Redirect { origin, reason })
    }

    /// A name is looked at when it is resolved; an address that stands in the URL itself is not resolved.
    fn check(&self, url: &Url, origin: &str) -> Result<(), CallError> {
        let unreachable = |reason: &str| CallError::Unreachable {
            origin: origin.to_owned(),
            reason: reason.to_owned(),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unreachable("only http and https are called"));
        }
        let host = url.host_str().ok_or_else(|| unreachable("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(self.reach.check(address)?),
            Err(_a_name) => Ok(()),
        }
    }
}

impl Opened {
    /// The next bytes of the body; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| CallError::Broken {
            origin: self.origin.clone(),
            reason: innermost(&error),
        })
    }

    /// The whole body, if it has no more than `limit` bytes.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let too_large = CallError::TooLarge { limit };
        // What is announced is what comes over the wire: if that is too much already, nothing needs to be read.
        let announced = self.response.content_length().unwrap_or_default();
        if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            if body.len() + chunk.len() > limit {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Where a response leads; `None` where it is the answer itself.
fn target(
    response: &reqwest::Response,
    from: &Url,
    origin: &str,
) -> Result<Option<Url>, CallError> {
    let leads = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(header::LOCATION).filter(|_| leads) else {
        return Ok(None);
    };
    let url = location.to_str().ok().and_then(|to| from.join(to).ok());
    match url {
        Some(url) => Ok(Some(url)),
        None => Err(CallError::Redirect {
            origin: origin.to_owned(),
            reason: "to what is no address",
        }),
    }
}

/// Turns `call` to `next`, as a browser would (WHATWG Fetch, HTTP-redirect fetch).
fn follow(call: &mut Call, next: Url, status: StatusCode, origin: String) -> Result<(), CallError> {
    let elsewhere = next.origin() != call.url.origin();
    let carries = call.headers.keys().any(|name| !HARMLESS.contains(name));
    if elsewhere && carries {
        let reason = "to another origin, which is not told the headers of the call";
        return Err(CallError::Redirect { origin, reason });
    }
    let to_get = match status {
        StatusCode::SEE_OTHER => call.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => call.method == Method::POST,
        _ => false,
    };
    if to_get {
        call.method = Method::GET;
        call.body = Bytes::new();
        call.headers.remove(header::CONTENT_TYPE);
    }
    call.url = next;
    Ok(())
}

/// Scheme, host and port: what may be shown of a URL.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn unreachable(origin: String, error: reqwest::Error) -> CallError {
    // The resolver's own refusal is somewhere in the chain.
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return (*refused).into();
        }
        source = cause.source();
    }
    let reason = if error.is_timeout() {
        "no connection in time (outbound.connect_timeout)".to_owned()
    } else {
        innermost(&error.without_url())
    };
    CallError::Unreachable { origin, reason }
}

/// The cause at the bottom: the layers above only say that something below failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

/// Resolves names to addresses that may be called.
struct Names(Reach);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let addresses = reach.resolve(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
