//! How a sink fares, as it is shown. It must not know who shows it.

use std::time::Duration;

use super::ahead::Ahead;
use super::backlog::Counts;
use super::options::{Mode, Options, Target};

/// What a sink is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    /// It waits for its time.
    #[default]
    Idle,
    /// It is passing changes on.
    Sending,
    /// The last attempt failed; it tries again.
    Retrying,
    /// The target or what is said of it has to be changed; it tries again.
    Unsuitable,
    /// The target is ahead: it waits for a person.
    Ahead,
    /// More keys are refused than may be set aside; it tries again.
    DeadFull,
}

impl State {
    /// The names of all of them.
    pub const NAMES: &[&str] = &[
        "idle",
        "sending",
        "retrying",
        "unsuitable",
        "sink_ahead",
        "dead_full",
    ];

    /// Its name: one of [`State::NAMES`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Unsuitable => "unsuitable",
            Self::Ahead => "sink_ahead",
            Self::DeadFull => "dead_full",
        }
    }
}

/// What was passed on, and what was not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    /// Keys that the target has now.
    pub passed_on: u64,
    /// Keys that the target refused for good and that were set aside.
    pub set_aside: u64,
    /// Keys that a person has taken for passed on.
    pub skipped: u64,
}

impl Passed {
    pub(super) fn add(&mut self, other: Self) {
        self.passed_on = self.passed_on.saturating_add(other.passed_on);
        self.set_aside = self.set_aside.saturating_add(other.set_aside);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

/// Why nothing was passed on, or not everything.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    /// What the sink does about it.
    pub state: State,
    /// What happened, for who looks after it.
    pub text: String,
    /// What was found, where a person has to decide.
    pub(super) ahead: Option<Ahead>,
}

/// A sink as it is.
#[derive(Clone, Debug)]
pub struct Status {
    /// The keyspace whose changes are passed on.
    pub keyspace: String,
    /// What can be said of where they go.
    pub place: Place,
    /// What is passed on.
    pub mode: Mode,
    /// What it is doing.
    pub state: State,
    /// What waits.
    pub counts: Counts,
    /// What it has done.
    pub done: Done,
}

impl Status {
    /// How long the oldest change has waited.
    pub fn lag(&self, now_ms: u64) -> Duration {
        let since = self.counts.oldest_ms;
        Duration::from_millis(since.map_or(0, |since| now_ms.saturating_sub(since)))
    }
}

/// Where changes go, without anything secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// `sql` or `http`.
    pub kind: &'static str,
    /// Kind, host and name of a database, or scheme and host of a server; `None` while it was never understood.
    pub address: Option<String>,
    /// The table, in a database.
    pub table: Option<String>,
}

impl Place {
    pub(super) fn of(options: &Options, address: Option<String>) -> Self {
        let (kind, table) = match &options.target {
            Target::Sql(target) => ("sql", Some(target.table.clone())),
            Target::Http(_) => ("http", None),
        };
        Self {
            kind,
            address,
            table,
        }
    }
}

/// What a sink has done since the start of this process.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// What was passed on.
    pub passed: Passed,
    /// How often everything that waited was passed on, where something did.
    pub successes: u64,
    /// How often that failed.
    pub failures: u64,
    /// When an attempt last succeeded, in Unix milliseconds.
    pub last_success_ms: Option<u64>,
    /// The last failure, and when it was, in Unix milliseconds; also behind a success.
    pub last_failure: Option<(u64, Trouble)>,
}
