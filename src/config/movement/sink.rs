//! `keyspaces.*.sink`: where the changes of a keyspace go. It must not know how they get there.

use super::super::error::ConfigError;
use super::super::secrets;
use super::super::section::Section;
use super::super::value;
use super::web::{self, Key, Web};
use super::{Bounds, backoff, beside, database, timeout};
use crate::sink::{Deletes, HttpTarget, Mode, Options, SqlTarget, Target};

/// Where changes can go, and what a file can say about each.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "sql",
        &[
            "url",
            "url_file",
            "table",
            "key_column",
            "value_column",
            "mode",
            "deletes",
        ],
    ),
    (
        "http",
        &[
            "endpoint", "header", "auth", "ca", "timeout", "mode", "deletes",
        ],
    ),
];

/// What a file can say about a sink.
const SINK: &[&str] = &[
    "sql",
    "http",
    "mode",
    "deletes",
    "every",
    "timeout",
    "batch",
    "max_pending",
    "max_dead",
    "backoff_min",
    "backoff_max",
];

/// Reads where the changes of a keyspace go, where they go anywhere.
pub(in crate::config) fn sink(
    keyspace: &mut Section<'_>,
    bounds: &Bounds<'_>,
) -> Result<Option<Options>, ConfigError> {
    let Some(mut sink) = keyspace.section("sink", SINK)? else {
        return Ok(None);
    };
    let sink = &mut sink;
    let (kind, mut inner) = sink.one_of(TARGETS)?;
    let target = match kind {
        "sql" => Target::Sql(sql(&mut inner, bounds)?),
        _ => Target::Http(http(&mut inner)?),
    };
    let said_timeout = inner.given("timeout", secrets::open, value::patience)?;
    let said_mode = inner.given("mode", secrets::open, mode_word)?;
    let said_deletes = inner.given("deletes", secrets::open, deletes_word)?;
    let mode = mode(sink, said_mode, said_deletes)?;
    let (backoff_min, backoff_max) = backoff(sink, "1s", "1m")?;
    Ok(Some(Options {
        target,
        mode,
        every: sink.or("every", "5s", value::patience)?,
        timeout: timeout(sink, said_timeout, "10s")?,
        batch: sink.or("batch", "500", |text| {
            value::within(value::number(text)?, 1, 10_000, "from 1 to 10000")
        })?,
        max_pending: sink.or("max_pending", "1000000", |text| {
            value::within(value::number(text)?, 1, 1 << 40, "from 1 to 1099511627776")
        })?,
        max_dead: sink.or("max_dead", "10000", |text| {
            value::within(value::number(text)?, 1, 1 << 40, "from 1 to 1099511627776")
        })?,
        backoff_min,
        backoff_max,
    }))
}

/// The words of a mode.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Word {
    Increment,
    Upsert,
}

fn mode_word(text: &str) -> Result<Word, String> {
    let words = [("increment", Word::Increment), ("upsert", Word::Upsert)];
    value::word(text, &words)
}

fn deletes_word(text: &str) -> Result<Deletes, String> {
    let words = [
        ("ignore", Deletes::Ignore),
        ("propagate", Deletes::Propagate),
    ];
    value::word(text, &words)
}

/// What is passed on, which may be said beside the target or within it.
fn mode(
    sink: &mut Section<'_>,
    said_mode: Option<Word>,
    said_deletes: Option<Deletes>,
) -> Result<Mode, ConfigError> {
    let word = match beside(sink, "mode", said_mode)? {
        Some(word) => word,
        None => sink.needed("mode", secrets::open, mode_word)?,
    };
    let said_deletes = beside(sink, "deletes", said_deletes)?;
    match (word, said_deletes) {
        (Word::Increment, None) if !sink.has("deletes") => Ok(Mode::Increment),
        (Word::Increment, _) => {
            let words = "only upsert passes deletions on; take this out";
            Err(sink.ill("deletes", words))
        }
        (Word::Upsert, Some(deletes)) => Ok(Mode::Upsert(deletes)),
        (Word::Upsert, None) => sink.or("deletes", "ignore", deletes_word).map(Mode::Upsert),
    }
}

fn sql(section: &mut Section<'_>, bounds: &Bounds<'_>) -> Result<SqlTarget, ConfigError> {
    let (url, _kind) = database::database(section, bounds)?;
    let target = SqlTarget {
        url,
        table: section.needed("table", secrets::open, database::table)?,
        key_column: section.needed("key_column", secrets::open, database::column)?,
        value_column: section.needed("value_column", secrets::open, database::column)?,
    };
    if target.key_column == target.value_column {
        return Err(section.ill("value_column", "it is the key_column as well"));
    }
    Ok(target)
}

fn http(section: &mut Section<'_>) -> Result<HttpTarget, ConfigError> {
    let Web {
        endpoint,
        headers,
        auth,
        ca,
    } = web::web(section, Key::Refused)?;
    Ok(HttpTarget {
        endpoint,
        headers,
        auth,
        ca,
    })
}
