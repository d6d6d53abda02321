//! `standpipe serve`: logging on, a word about the surroundings, then the server. It must not know how the server works.

use std::net::ToSocketAddrs as _;

use super::Failure;
use crate::config::{Config, Reader};
use crate::logging::{self, Format, Level};
use crate::server::{self, Loaded, Look, Source, Words};

/// Serves until it is told to stop.
pub(super) fn run(config: Config, reader: Reader) -> Result<(), Failure> {
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
    if let Some(warning) = exposure(&config) {
        tracing::warn!("{warning}");
    }
    let logging = config.logging;
    let words = words(&config);
    server::run(config.server, words, Box::new(Again(reader))).map_err(|error| {
        let failure = Failure::from(error);
        // Who collects JSON lines gets it as one; everybody else the plain line that every failure ends with.
        if logging.format == Format::Json && logging.level != Level::Off {
            tracing::error!("{failure}");
            return failure.told();
        }
        failure
    })
}

/// The configuration, for a server that wants to know what has become of it.
struct Again(Reader);

impl Source for Again {
    fn look(&mut self) -> Look {
        self.0.look()
    }

    fn read(&mut self) -> Result<Loaded, String> {
        let mut config = self.0.read().map_err(|error| error.to_string())?;
        config.warnings.extend(exposure(&config));
        Ok(Loaded {
            words: words(&config),
            options: config.server,
            level: config.logging.level,
            warnings: config.warnings,
        })
    }
}

fn words(config: &Config) -> Words {
    config
        .effective()
        .map(|(path, given)| (path.to_string(), given.words()))
        .collect()
}

/// What to say of a service that everybody can reach.
fn exposure(config: &Config) -> Option<String> {
    let endpoint = &config.server.endpoint;
    let open = config.server.access.tokens.is_empty() && reaches_beyond_this_machine(endpoint);
    open.then(|| {
        format!(
            "server.endpoint {endpoint} is not a loopback address and there are no tokens: whoever reaches it can read, \
             change and delete everything"
        )
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
