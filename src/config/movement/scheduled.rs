//! `sources`: what is fetched by the clock, as cachepump's files say it. Each is read for itself: what is wrong with one
//! disables that one, and what it says beside that is a warning. It must not know when a rule is due.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::given::{Form, Given};
use super::super::layers::Block;
use super::super::path::SettingPath;
use super::super::secrets;
use super::super::section::{Notes, Section, Strictness};
use super::super::value::{self, KEY};
use super::super::yaml::{self, Shape};
use super::places::{self, INTO_STORAGE};
use super::web::{self, Key};
use super::{Bounds, timeout};
use crate::mirror;
use crate::pump::{Options, Rule, Scheduled, Supply, Task};
use crate::server::is_keyspace_name;
use crate::source::FileOptions;

/// What a file can say about a source.
const SOURCE: &[&str] = &[
    "rule",
    "static",
    "http",
    "file",
    "keyspace",
    "timeout",
    "max_bytes",
    "jitter",
];

/// Where a value can come from, and what has to be said for that; the first one that is filled counts.
const SUPPLIES: &[(&str, &str)] = &[("static", "value"), ("http", "endpoint"), ("file", "path")];

/// Every hour, as in cachepump.
const RULE: &str = "0 0 * * * *";

/// The most sources.
const MOST: usize = 10_000;

/// Reads every source that is named. `mirrors` are the keyspaces that nobody but their upstream may change.
pub(in crate::config) fn sources(
    named: &BTreeMap<String, Block>,
    bounds: &Bounds<'_>,
    mirrors: &BTreeMap<String, mirror::Options>,
    notes: &mut Notes,
) -> Result<Options, ConfigError> {
    if let Some((_, block)) = named.iter().nth(MOST) {
        return Err(ConfigError::Malformed {
            origin: block.document.at(block.line),
            path: "sources".to_owned(),
            words: format!("there are {} sources; {MOST} is the most", named.len()),
        });
    }
    let scheduled = named.iter().map(|(name, block)| Scheduled {
        name: name.clone(),
        task: source(name, block, bounds, mirrors, notes),
    });
    Ok(Options {
        scheduled: scheduled.collect(),
        unreadable: None,
    })
}

/// One source, or what is wrong with it.
fn source(
    name: &str,
    block: &Block,
    bounds: &Bounds<'_>,
    mirrors: &BTreeMap<String, mirror::Options>,
    notes: &mut Notes,
) -> Result<Task, String> {
    let path = SettingPath::of("sources").join(name);
    let before = notes.given.len();
    let opened = Section::open(block, path.clone(), SOURCE, Strictness::Warn, notes);
    let read = opened.and_then(|mut section| {
        check_name(name, &section, bounds)?;
        task(&mut section, bounds, mirrors)
    });
    read.map_err(|error| {
        // What is shown is to be as invalid as what was said.
        notes.given.truncate(before);
        let origin = block.document.at(block.line);
        let whole = yaml::flow(&block.value);
        let given = Given::new(Form::Flow, "{}".to_owned(), &whole, origin);
        notes.given.push((path, given));
        notes.warnings.push(format!(
            "{error}; this source does nothing until that is mended"
        ));
        error.by_line()
    })
}

/// A source is called as its key is.
fn check_name(name: &str, section: &Section<'_>, bounds: &Bounds<'_>) -> Result<(), ConfigError> {
    let most = bounds.limits.key_bytes;
    if name.is_empty() {
        return Err(section.whole("its name is empty, and no key is"));
    }
    if name.len() > most {
        let words = format!("its name is longer than limits.key_bytes, {most}");
        return Err(section.whole(words));
    }
    Ok(())
}

fn task(
    section: &mut Section<'_>,
    bounds: &Bounds<'_>,
    mirrors: &BTreeMap<String, mirror::Options>,
) -> Result<Task, ConfigError> {
    let rule = section.or("rule", RULE, |text| match text.parse::<Rule>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is not a rule: {error}")),
    })?;
    let keyspace = section.or("keyspace", "default", |text| {
        if !is_keyspace_name(text) {
            Err(value::NOT_A_KEYSPACE.to_owned())
        } else if mirrors.contains_key(text) {
            Err("has a mirror: nobody but its upstream changes it".to_owned())
        } else {
            Ok(text.to_owned())
        }
    })?;
    let (supply, within) = match supply(section)? {
        "static" => (fixed(section)?, None),
        "http" => web(section)?,
        _ => (file(section, bounds)?, None),
    };
    Ok(Task {
        keyspace,
        rule,
        supply,
        timeout: timeout(section, within, "10s")?,
        max_bytes: bounds.max_bytes(section)?,
        jitter: section.or("jitter", "0s", |text| {
            value::span_between(text, Duration::ZERO, value::DAY)
        })?,
    })
}

/// Which supply counts. Of nothing but an empty text, in quotes, that one: in cachepump it could not be said.
fn supply(section: &mut Section<'_>) -> Result<&'static str, ConfigError> {
    let mut filled = Vec::new();
    for (kind, field) in SUPPLIES {
        if said(section, kind, field)?.is_some_and(|text| !text.is_empty()) {
            filled.push(*kind);
        }
    }
    match *filled.as_slice() {
        [] if said(section, "static", "value")?.is_some() => Ok("static"),
        [] => Err(section.whole(
            "it is not supported: it has none of static.value, http.endpoint and file.path",
        )),
        [one] => Ok(one),
        [first, ..] => {
            let all = filled.join(", ");
            section.warn(&section.whole(format!("it has {all}; of these {first} counts")));
            Ok(first)
        }
    }
}

/// The text of a field of a part of a source.
fn said<'a>(
    section: &Section<'a>,
    kind: &str,
    field: &str,
) -> Result<Option<&'a str>, ConfigError> {
    let Some(node) = section.value(kind) else {
        return Ok(None);
    };
    let entries = node.section().map_err(|words| section.ill(kind, words))?;
    let last = entries.iter().rev().find(|entry| entry.name == field);
    Ok(last.and_then(|entry| match &entry.value.shape {
        Shape::Text(text) => Some(text.as_str()),
        // Of what is no text it is said later that it should be one.
        Shape::List(_) | Shape::Section(_) => Some("not empty"),
        Shape::Null => None,
    }))
}

fn fixed(section: &mut Section<'_>) -> Result<Supply, ConfigError> {
    let mut inner = section.needed_section("static", &["value"])?;
    inner.or("value", "", |text| Ok(Supply::Static(text.to_owned())))
}

fn web(section: &mut Section<'_>) -> Result<(Supply, Option<Duration>), ConfigError> {
    let mut inner = section.needed_section("http", web::REQUEST)?;
    let (request, timeout) = web::request(&mut inner, Key::Text)?;
    if request.endpoint.contains(KEY) {
        let words = "{key} stays as it is: it stands for a key only where a keyspace reads through";
        inner.warn(&inner.ill("endpoint", words));
    }
    Ok((Supply::Http(Box::new(request)), timeout))
}

fn file(section: &mut Section<'_>, bounds: &Bounds<'_>) -> Result<Supply, ConfigError> {
    let mut inner = section.needed_section("file", &["path"])?;
    let path = inner.needed("path", secrets::open, |text| {
        let path = PathBuf::from(text);
        if text.contains('\0') {
            return Err("is not a path".to_owned());
        }
        if places::is_within(&path, bounds.storage) {
            return Err(INTO_STORAGE.to_owned());
        }
        Ok(path)
    })?;
    Ok(Supply::File(FileOptions { path }))
}
