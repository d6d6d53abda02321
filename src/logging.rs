//! One subscriber for everything that the program says while it runs: lines of text or of JSON, on standard error, so
//! that standard output stays free for data. It must not say anything itself, and nobody may hand it a value or, above
//! debug, a key.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;

/// How to log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The least important message that is shown.
    pub level: Level,
    /// The shape of a line.
    pub format: Format,
}

/// The levels by their names in the settings. There are no more than these: what is fatal is an error and the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Everything, keys included.
    Debug,
    /// What an operator wants to know of a healthy service: the default.
    Info,
    /// What will need a hand.
    Warn,
    /// What failed.
    Error,
    /// Only what ends the process; the same messages as [`Level::Error`].
    Fatal,
    /// Nothing.
    Off,
}

impl Level {
    /// The level of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let levels = [
            ("debug", Self::Debug),
            ("info", Self::Info),
            ("warn", Self::Warn),
            ("error", Self::Error),
            ("fatal", Self::Fatal),
            ("off", Self::Off),
        ];
        levels
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, level)| level)
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error | Self::Fatal => LevelFilter::ERROR,
            Self::Off => LevelFilter::OFF,
        }
    }
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people: time, level, sentence, facts.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What changes the level of the one subscriber.
static LEVEL: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

/// The target of the lines about single requests. Whoever asks for them wants to see them, whatever else is shown.
pub const ACCESS: &str = "standpipe::access";

/// What is shown at a level.
fn shown_at(level: Level) -> Targets {
    let access = match level {
        Level::Off => LevelFilter::OFF,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info | Level::Warn | Level::Error | Level::Fatal => LevelFilter::INFO,
    };
    let level = level.filter();
    // Libraries may warn; what they do at lower levels is their business, except where someone looks for it.
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("standpipe", level)
        .with_target(ACCESS, access)
        .with_target("standpipe_store", level)
}

/// Shows another level from now on. Without [`start`] there is nothing to change.
pub fn set_level(level: Level) {
    if let Some(handle) = LEVEL.get() {
        // It fails when the subscriber is gone, and with it everybody who could read the failure.
        drop(handle.reload(shown_at(level)));
    }
}

/// Starts logging for the rest of the process. Only the first call has an effect.
pub fn start(options: Options) {
    let (filter, handle) = reload::Layer::new(shown_at(options.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    let started = match options.format {
        Format::Text => {
            let lines = lines
                .with_ansi(io::stderr().is_terminal())
                .with_target(false);
            registry.with(lines.with_filter(filter)).try_init()
        }
        Format::Json => registry
            .with(lines.json().flatten_event(true).with_filter(filter))
            .try_init(),
    };
    // A second call is a test's: the first subscriber goes on.
    if started.is_ok() {
        drop(LEVEL.set(handle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_name_in_any_case() {
        for (name, level) in [
            ("DEBUG", Level::Debug),
            ("Info", Level::Info),
            ("off", Level::Off),
            ("FATAL", Level::Fatal),
        ] {
            assert_eq!(Level::from_name(name), Some(level), "{name}");
        }
        for name in ["", "verbose", "trace", "info "] {
            assert_eq!(Level::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn lines_about_requests_are_shown_at_every_level_but_off() {
        let shown = |level| shown_at(level).would_enable(ACCESS, &tracing::Level::INFO);
        for level in [
            Level::Debug,
            Level::Info,
            Level::Warn,
            Level::Error,
            Level::Fatal,
        ] {
            assert!(shown(level), "{level:?}");
        }
        assert!(!shown(Level::Off));
        let keys = |level| shown_at(level).would_enable(ACCESS, &tracing::Level::DEBUG);
        assert!(keys(Level::Debug) && !keys(Level::Info) && !keys(Level::Error));
    }
}
