//! What the clock can be told, checked and typed. It must not know where that was said.

use std::time::Duration;

use crate::source::{FileOptions, HttpOptions};

/// `sources`: everything that is fetched by the clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// By name.
    pub scheduled: Vec<Scheduled>,
    /// Why no value of the file can be taken for the names of its sources, where that is so: none of them is forgotten then.
    pub unreadable: Option<String>,
}

/// A scheduled source.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its name, which is the key too: any text.
    pub name: String,
    /// What it does, or why it cannot: the others go on.
    pub task: Result<Task, String>,
}

/// What a scheduled source does.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// `keyspace`: where the value goes.
    pub keyspace: String,
    /// `rule`, as it was said: six fields (second first), a `@` word, or `@every`; `TZ=` or `CRON_TZ=` before it.
    pub rule: String,
    /// Where the value comes from.
    pub supply: Supply,
    /// `timeout`: of one run.
    pub timeout: Duration,
    /// `max_bytes`: the largest value, once inflated.
    pub max_bytes: usize,
    /// `jitter`: a run by the rule begins up to so much later.
    pub jitter: Duration,
}

/// Where the value of a scheduled source comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Supply {
    /// `static`: these words.
    Static(String),
    /// `http`
    Http(Box<HttpOptions>),
    /// `file`
    File(FileOptions),
}
