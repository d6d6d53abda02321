//! From words to meaning: every component's `Options` out of the settings' texts, each checked. It must not know where
//! words come from, only where to point when they are wrong.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::error::ConfigError;
use super::layers::{Given, Origin};
use super::value;
use crate::logging::{self, Format, Level};
use crate::server::{self, OnSyncError};

type Settings = BTreeMap<&'static str, Given>;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_hours(24);

/// Reads everything: the server's options, the log's, and what deserves a warning.
pub(super) fn check(
    settings: &Settings,
) -> Result<(server::Options, logging::Options, Vec<String>), ConfigError> {
    let words = Wordbook { settings };
    words.read("version", version)?;
    let (logging, warnings) = logging(&words)?;
    Ok((server(&words)?, logging, warnings))
}

struct Wordbook<'a> {
    settings: &'a Settings,
}

impl Wordbook<'_> {
    /// Reads one setting and, when it is wrong, says which and where.
    fn read<T>(
        &self,
        path: &'static str,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        // The compiled-in defaults name every setting; a test holds them to it.
        let Some(Given { text, origin }) = self.settings.get(path) else {
            let problem = "has no default".to_owned();
            return Err(ConfigError::Value {
                origin: Origin::Default,
                path,
                value: String::new(),
                problem,
            });
        };
        meaning(text).map_err(|problem| ConfigError::Value {
            origin: origin.clone(),
            path,
            value: text.clone(),
            problem,
        })
    }

    fn size(&self, path: &'static str, low: u64, high: u64) -> Result<u64, ConfigError> {
        self.read(path, |text| {
            value::within(
                value::bytes(text)?,
                low,
                high,
                format_args!("from {} to {}", shown(low), shown(high)),
            )
        })
    }

    fn length(&self, path: &'static str, low: u64, high: u64) -> Result<usize, ConfigError> {
        let bytes = self.size(path, low, high)?;
        self.read(path, |_| {
            usize::try_from(bytes)
                .ok()
                .ok_or_else(|| "is more than this machine can address".to_owned())
        })
    }

    fn span(
        &self,
        path: &'static str,
        low: Duration,
        high: Duration,
    ) -> Result<Duration, ConfigError> {
        self.read(path, |text| {
            value::within(
                value::span(text)?,
                low,
                high,
                format_args!("from {low:?} to {} s", high.as_secs()),
            )
        })
    }
}

fn version(text: &str) -> Result<(), String> {
    if text == "1.0" {
        Ok(())
    } else {
        Err("is not a version that this program reads; it reads '1.0'".to_owned())
    }
}

fn server(words: &Wordbook<'_>) -> Result<server::Options, ConfigError> {
    let ms = Duration::from_millis(1);
    Ok(server::Options {
        endpoint: words.read("server.endpoint", value::endpoint)?,
        workers: words.read("server.workers", workers)?,
        keep_alive: words.span("server.keep_alive", Duration::from_secs(1), DAY)?,
        shutdown_delay: words.span("server.shutdown_delay", Duration::ZERO, DAY)?,
        drain_timeout: words.span("server.drain_timeout", Duration::ZERO, DAY)?,
        read_wait: words.span("server.read_wait", ms, DAY)?,
        allowed_hosts: words.read("server.allowed_hosts", |text| Ok(value::list(text)))?,
        limits: limits(words)?,
        storage: server::Storage {
            path: words.read("storage.path", path)?,
        },
        on_sync_error: words.read("log.on_sync_error", |text| {
            value::word(
                text,
                &[
                    ("exit", OnSyncError::Exit),
                    ("read-only", OnSyncError::ReadOnly),
                ],
            )
        })?,
    })
}

fn limits(words: &Wordbook<'_>) -> Result<server::Limits, ConfigError> {
    let ms = Duration::from_millis(1);
    Ok(server::Limits {
        key_bytes: words.length("limits.key_bytes", 1, 64 << 10)?,
        value_bytes: words.length("limits.value_bytes", 1, GIB)?,
        inflight_bytes: words.length("limits.inflight_bytes", MIB, 1 << 40)?,
        body_stall: words.span("limits.body_stall", ms, DAY)?,
        read_stall: words.span("limits.read_stall", ms, DAY)?,
        head_timeout: words.span("limits.head_timeout", ms, DAY)?,
        connections: words.read("limits.connections", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
    })
}

/// A word that the flag has and the levels have not is INFO, as cachepump's users know it; anywhere else it is refused.
fn logging(words: &Wordbook<'_>) -> Result<(logging::Options, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let by_flag = words
        .settings
        .get("logging.level")
        .is_some_and(|given| matches!(given.origin, Origin::Flag(_)));
    let level = words.read("logging.level", |text| match Level::from_name(text) {
        Some(level) => Ok(level),
        None if by_flag => {
            warnings.push(format!(
                "-l {text:?} is not a level; using INFO (levels: DEBUG INFO WARN ERROR FATAL OFF)"
            ));
            Ok(Level::Info)
        }
        None => Err("is not a level; it can be DEBUG, INFO, WARN, ERROR, FATAL or OFF".to_owned()),
    })?;
    let format = words.read("logging.format", |text| {
        value::word(text, &[("text", Format::Text), ("json", Format::Json)])
    })?;
    Ok((logging::Options { level, format }, warnings))
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    if text == "auto" {
        return Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    }
    let wrong = "is not a number of threads; write a number from 1 to 1024, or auto";
    let number: NonZeroUsize = text.parse().ok().ok_or_else(|| wrong.to_owned())?;
    if number.get() > 1024 {
        Err(wrong.to_owned())
    } else {
        Ok(number)
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("names no directory".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

/// A size in the largest unit that divides it.
fn shown(bytes: u64) -> String {
    let units = [(GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
    units
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || bytes.to_string(),
            |(unit, name)| format!("{}{name}", bytes / unit),
        )
}
