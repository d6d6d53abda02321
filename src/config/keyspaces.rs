//! From the words of `keyspaces` to policies, each checked and whole, and to what moves in and out of each keyspace by itself.
//! It must not know what is in the store: whether a policy fits the data that is there is found out when it is applied.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::layers::Block;
use super::movement::{self, Bounds};
use super::path::SettingPath;
use super::section::{Notes, Section, Strictness};
use super::value;
use crate::server::{self, Durability, Eviction, Pending, Policy, is_keyspace_name};

/// The keyspace that always exists.
const DEFAULT: &str = "default";

/// A hundred years of 365.25 days, as long as a request may ask for.
const CENTURY: Duration = Duration::from_hours(36_525 * 24);

/// What a file can say about a keyspace.
const PROPERTIES: &[&str] = &[
    "ttl",
    "max_bytes",
    "eviction",
    "durability",
    "client_max_age",
    "source",
    "mirror",
    "sink",
];

/// The words of a durability.
const DURABILITIES: &[(&str, Durability)] = &[
    ("synced", Durability::Synced),
    ("written", Durability::Written),
    ("memory", Durability::Memory),
];

/// Reads every keyspace that is named into `options`.
pub(super) fn check(
    named: &BTreeMap<String, Block>,
    bounds: &Bounds<'_>,
    options: &mut server::Options,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let limit = bounds.limits.keyspaces;
    let others = usize::from(!named.contains_key(DEFAULT));
    for (index, (name, block)) in named.iter().enumerate() {
        let refused = |problem| ConfigError::Value {
            origin: block.document.at(block.line),
            path: "keyspaces".to_owned(),
            value: name.clone(),
            problem,
        };
        if !is_keyspace_name(name) {
            return Err(refused(value::NOT_A_KEYSPACE.to_owned()));
        }
        if index + 1 + others > limit {
            let problem =
                format!("is one more than limits.keyspaces, {limit}, which counts {DEFAULT} too");
            return Err(refused(problem));
        }
        keyspace(name, block, bounds, options, notes)?;
    }
    Ok(())
}

fn keyspace(
    name: &str,
    block: &Block,
    bounds: &Bounds<'_>,
    options: &mut server::Options,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let path = SettingPath::of("keyspaces").join(name);
    let mut section = Section::open(block, path, PROPERTIES, Strictness::Refuse, notes)?;
    let policy = policy(&mut section)?;
    if section.has("mirror") {
        only_a_mirror(&section, &policy)?;
    }
    if section.has("sink") && policy.durability == Durability::Memory {
        let words = "what waits for a sink has to be logged; durability can be synced or written";
        return Err(section.ill("sink", words));
    }
    if let Some(source) = movement::through(&mut section, bounds, &policy)? {
        options.through.insert(name.to_owned(), source);
    }
    if let Some(mirror) = movement::mirror(&mut section, bounds)? {
        options.mirrors.insert(name.to_owned(), mirror);
    }
    if let Some(sink) = movement::sink(&mut section, bounds)? {
        options.sinks.insert(name.to_owned(), sink);
    }
    options.keyspaces.push((name.to_owned(), policy));
    Ok(())
}

/// A keyspace that follows somebody else's has nothing of its own.
fn only_a_mirror(section: &Section<'_>, policy: &Policy) -> Result<(), ConfigError> {
    let others = [
        ("source", section.has("source")),
        ("sink", section.has("sink")),
        ("ttl", policy.ttl.is_some()),
        ("max_bytes", policy.max_bytes.is_some()),
    ];
    match others.into_iter().find(|(_, there)| *there) {
        None => Ok(()),
        Some((name, _)) => {
            let words = "a keyspace with a mirror holds what its upstream does; take this out";
            Err(section.ill(name, words))
        }
    }
}

fn policy(section: &mut Section<'_>) -> Result<Policy, ConfigError> {
    let eviction = [("sieve", Eviction::Sieve), ("none", Eviction::None)];
    // What can be fetched again need not be on the disk before anybody goes on.
    let durability = if section.has("source") || section.has("mirror") {
        "written"
    } else {
        "synced"
    };
    Ok(Policy {
        ttl: section.or("ttl", "none", |text| span(text, Duration::from_millis(1)))?,
        max_bytes: section.or("max_bytes", "unlimited", max_bytes)?,
        eviction: section.or("eviction", "sieve", |text| value::word(text, &eviction))?,
        durability: section.or("durability", durability, |text| {
            value::word(text, DURABILITIES)
        })?,
        client_max_age: section.or("client_max_age", "none", |text| {
            span(text, Duration::from_secs(1))
        })?,
        // What a keyspace keeps for its sink follows from the sink.
        pending: Pending::None,
    })
}

/// The word that stands for no limit of that kind, else a span.
pub(super) fn span(text: &str, low: Duration) -> Result<Option<Duration>, String> {
    value::unless(text, "none", |text| {
        let range = format!("from {low:?} to 36525d, or none");
        value::within(value::span(text)?, low, CENTURY, range)
    })
}

fn max_bytes(text: &str) -> Result<Option<u64>, String> {
    value::unless(text, "unlimited", |text| {
        let range = "from 1 to 1125899906842624, or unlimited";
        value::within(value::bytes(text)?, 1, 1 << 50, range)
    })
}
