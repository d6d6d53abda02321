//! Sources for tests, here and above: with nothing but what has to be said.

use std::time::Duration;

use super::{HttpOptions, Origin, Sources, ThroughOptions};
use crate::outbound::{HeaderMap, Method, Options, Outbound};

/// As a server has them of which nothing was said.
pub(crate) fn sources() -> Sources {
    Sources::new(Outbound::start(Options::default()).unwrap())
}

/// A GET.
pub(crate) fn get(endpoint: String) -> HttpOptions {
    HttpOptions {
        endpoint,
        method: Method::GET,
        headers: HeaderMap::new(),
        auth: None,
        body: None,
        ca: None,
    }
}

/// Patience and no more than that: nothing is remembered, nothing stale is answered, nothing is limited.
pub(crate) fn through(origin: Origin) -> ThroughOptions {
    ThroughOptions {
        origin,
        timeout: Duration::from_secs(20),
        max_bytes: 1 << 20,
        honour_source: false,
        negative_ttl: None,
        negative_keys: 10,
        stale_while_revalidate: None,
        stale_if_error: None,
        max_concurrency: 10,
        rate_limit: None,
        breaker: None,
        refresh_ahead: None,
    }
}
