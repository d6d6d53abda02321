//! `standpipe serve`: logging on, a word about the surroundings, then the server. It must not know how the server works.

use std::net::ToSocketAddrs as _;

use super::Failure;
use crate::config::Config;
use crate::logging::{self, Format, Level};
use crate::server;

/// Serves until it is told to stop.
pub(super) fn run(config: Config) -> Result<(), Failure> {
    logging::start(config.logging);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        endpoint = config.server.endpoint,
        data = %config.server.storage.path.display(),
        config = config.file.as_deref().map(|file| file.display().to_string()),
        "standpipe is starting"
    );
    if config.server.access.tokens.is_empty()
        && reaches_beyond_this_machine(&config.server.endpoint)
    {
        tracing::warn!(
            "server.endpoint {} is not a loopback address and there are no tokens: whoever reaches it can read, change \
             and delete everything",
            config.server.endpoint
        );
    }
    let logging = config.logging;
    server::run(config.server).map_err(|error| {
        let failure = Failure::from(error);
        // Who collects JSON lines gets it as one; everybody else the plain line that every failure ends with.
        if logging.format == Format::Json && logging.level != Level::Off {
            tracing::error!("{failure}");
            return failure.told();
        }
        failure
    })
}

/// Whether the endpoint is, or may be, reachable from elsewhere. An endpoint without an address is the server's to refuse.
fn reaches_beyond_this_machine(endpoint: &str) -> bool {
    if endpoint.starts_with(':') {
        return true;
    }
    endpoint
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|address| !address.ip().is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_stays_on_this_machine() {
        for endpoint in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"] {
            assert!(!reaches_beyond_this_machine(endpoint), "{endpoint}");
        }
        for endpoint in [":80", "0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            assert!(reaches_beyond_this_machine(endpoint), "{endpoint}");
        }
    }
}
