//! `keyspaces.*.source`: how a keyspace reads through. It must not know how a value is fetched.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::keyspaces;
use super::super::secrets;
use super::super::section::Section;
use super::super::value::{self, KEY};
use super::web::{self, Key};
use super::{Bounds, database, places, timeout};
use crate::outbound::HeaderValue;
use crate::server::Policy;
use crate::source::{BeneathOptions, Breaker, Origin, RateLimit, SqlOptions, ThroughOptions};

/// Where values can come from, and what a file can say about each.
const ORIGINS: &[(&str, &[&str])] = &[
    ("http", web::REQUEST),
    ("file", &["root", "path"]),
    ("sql", &["url", "url_file", "query", "content_type"]),
];

/// What a file can say about a source.
const SOURCE: &[&str] = &[
    "http",
    "file",
    "sql",
    "timeout",
    "max_bytes",
    "honour_source",
    "negative_ttl",
    "negative_keys",
    "stale_while_revalidate",
    "stale_if_error",
    "max_concurrency",
    "rate_limit",
    "circuit_breaker",
    "refresh_ahead",
];

/// How long a fetch may take, where nothing was said.
const TIMEOUT: &str = "5s";

/// Reads the source of a keyspace with that policy, where there is one.
pub(in crate::config) fn through(
    keyspace: &mut Section<'_>,
    bounds: &Bounds<'_>,
    policy: &Policy,
) -> Result<Option<ThroughOptions>, ConfigError> {
    let Some(mut source) = keyspace.section("source", SOURCE)? else {
        return Ok(None);
    };
    let source = &mut source;
    let (origin, within) = origin(source, bounds)?;
    let options = ThroughOptions {
        timeout: timeout(source, within, TIMEOUT)?,
        max_bytes: bounds.max_bytes(source)?,
        honour_source: source.or("honour_source", "false", value::truth)?,
        negative_ttl: source.or("negative_ttl", "none", span)?,
        negative_keys: source.or("negative_keys", "10000", |text| {
            value::within(value::number(text)?, 1, 10_000_000, "from 1 to 10000000")
        })?,
        stale_while_revalidate: source.or("stale_while_revalidate", "none", span)?,
        stale_if_error: source.or("stale_if_error", "none", span)?,
        max_concurrency: source.or("max_concurrency", "64", |text| {
            value::within(value::number(text)?, 1, 10_000, "from 1 to 10000")
        })?,
        rate_limit: rate_limit(source)?,
        breaker: breaker(source)?,
        refresh_ahead: source.or("refresh_ahead", "none", span)?,
        origin,
    };
    check(source, &options, policy)?;
    Ok(Some(options))
}

/// The word that stands for never, else a span.
fn span(text: &str) -> Result<Option<Duration>, String> {
    keyspaces::span(text, Duration::from_millis(1))
}

/// What fits together, and what can have no effect.
fn check(
    source: &mut Section<'_>,
    options: &ThroughOptions,
    policy: &Policy,
) -> Result<(), ConfigError> {
    if options.honour_source && !matches!(options.origin, Origin::Http(_)) {
        let words = "only an http source says how long its values are good";
        return Err(source.ill("honour_source", words));
    }
    if let (Some(ahead), Some(ttl)) = (options.refresh_ahead, policy.ttl)
        && ahead >= ttl
    {
        let words =
            "it is not less than the keyspace's ttl: every value would be fetched again and again";
        return Err(source.ill("refresh_ahead", words));
    }
    if policy.ttl.is_some() || options.honour_source {
        return Ok(());
    }
    for (name, set) in [
        ("stale_while_revalidate", options.stale_while_revalidate),
        ("stale_if_error", options.stale_if_error),
        ("refresh_ahead", options.refresh_ahead),
    ] {
        if set.is_some() {
            let words = "it has no effect: the keyspace has no ttl, so its values never grow old";
            source.warn(&source.ill(name, words));
        }
    }
    Ok(())
}

/// Where values come from, and the time for a fetch where that was said there.
fn origin(
    source: &mut Section<'_>,
    bounds: &Bounds<'_>,
) -> Result<(Origin, Option<Duration>), ConfigError> {
    let (kind, mut inner) = source.one_of(ORIGINS)?;
    match kind {
        "http" => {
            let (request, timeout) = web::request(&mut inner, Key::Needed)?;
            if request
                .body
                .as_deref()
                .is_some_and(|body| body.contains(KEY))
            {
                let words =
                    "{key} stays as it is here: it stands for the key in the endpoint alone";
                inner.warn(&inner.ill("body", words));
            }
            Ok((Origin::Http(Box::new(request)), timeout))
        }
        "file" => Ok((Origin::File(beneath(&mut inner, bounds)?), None)),
        _ => Ok((Origin::Sql(sql(&mut inner, bounds)?), None)),
    }
}

fn beneath(section: &mut Section<'_>, bounds: &Bounds<'_>) -> Result<BeneathOptions, ConfigError> {
    let root = section.needed("root", secrets::open, |text| {
        let root = PathBuf::from(text);
        if places::overlaps(&root, bounds.storage) {
            return Err(
                "and storage.path lie within each other: the data is read and written over HTTP alone"
                    .to_owned(),
            );
        }
        Ok(root)
    })?;
    let path = section.or("path", KEY, |text| {
        if !text.contains(KEY) {
            return Err("has no {key}: every key would get the same value".to_owned());
        }
        let plain = |step| matches!(step, Component::Normal(_) | Component::CurDir);
        if text.contains('\0') || !Path::new(text).components().all(plain) {
            return Err("is not a path below root: it begins with / or holds ..".to_owned());
        }
        Ok(text.to_owned())
    })?;
    Ok(BeneathOptions { root, path })
}

fn sql(section: &mut Section<'_>, bounds: &Bounds<'_>) -> Result<SqlOptions, ConfigError> {
    let (url, kind) = database::database(section, bounds)?;
    Ok(SqlOptions {
        url,
        query: section.needed("query", secrets::open, |text| {
            database::question(text, kind)
        })?,
        content_type: section.or("content_type", "text/plain", media_type)?,
    })
}

fn media_type(text: &str) -> Result<String, String> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
    let plain = |part: &str| !part.is_empty() && part.chars().all(token);
    let parts = essence.split_once('/');
    let sent = HeaderValue::from_str(text).is_ok();
    if sent && parts.is_some_and(|(kind, sub)| plain(kind) && plain(sub)) {
        Ok(text.to_owned())
    } else {
        Err("is not a media type, such as text/plain".to_owned())
    }
}

fn rate_limit(source: &mut Section<'_>) -> Result<Option<RateLimit>, ConfigError> {
    let Some(mut limit) = source.section("rate_limit", &["per_second", "burst"])? else {
        return Ok(None);
    };
    let per_second = limit.needed("per_second", secrets::open, |text| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| "is not a number".to_owned())?;
        value::within(number, 0.001, 1e6, "from 0.001 to 1000000")
    })?;
    // What a second allows may come at once.
    let usual = format!("{:.0}", per_second.ceil());
    let burst = limit.or("burst", &usual, |text| {
        value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
    })?;
    Ok(Some(RateLimit { per_second, burst }))
}

fn breaker(source: &mut Section<'_>) -> Result<Option<Breaker>, ConfigError> {
    let Some(mut breaker) = source.section("circuit_breaker", &["failures", "reset"])? else {
        return Ok(None);
    };
    Ok(Some(Breaker {
        failures: breaker.or("failures", "5", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
        reset: breaker.or("reset", "10s", value::patience)?,
    }))
}
