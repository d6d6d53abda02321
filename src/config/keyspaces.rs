//! From the words of `keyspaces` to policies, each checked and whole. It must not know what is in the store: whether a
//! policy fits the data that is there is found out when it is applied.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::layers::{Given, Origin};
use super::options::Wordbook;
use super::said::{self, PROPERTIES};
use super::value;
use crate::server::{Durability, Eviction, Policy, is_keyspace_name};

/// The keyspace that always exists.
const DEFAULT: &str = "default";

/// A hundred years of 365.25 days, as long as a request may ask for.
const CENTURY: Duration = Duration::from_hours(36_525 * 24);

/// The words of a durability.
const DURABILITIES: &[(&str, Durability)] = &[
    ("synced", Durability::Synced),
    ("written", Durability::Written),
    ("memory", Durability::Memory),
];

/// The policy of every keyspace that is named, by name.
pub(super) fn check(
    words: &Wordbook<'_>,
    named: &BTreeMap<String, Origin>,
    limit: usize,
) -> Result<Vec<(String, Policy)>, ConfigError> {
    let mut policies = Vec::new();
    for (name, origin) in named {
        let refused = |problem| ConfigError::Value {
            origin: origin.clone(),
            path: "keyspaces".to_owned(),
            value: name.clone(),
            problem,
        };
        if !is_keyspace_name(name) {
            let problem = "is not a name for a keyspace: it is 1 to 64 of a-z 0-9 _ -";
            return Err(refused(problem.to_owned()));
        }
        policies.push((name.clone(), policy(words, name)?));
        let others = usize::from(!named.contains_key(DEFAULT));
        if policies.len() + others > limit {
            let problem =
                format!("is one more than limits.keyspaces, {limit}, which counts {DEFAULT} too");
            return Err(refused(problem));
        }
    }
    Ok(policies)
}

fn policy(words: &Wordbook<'_>, keyspace: &str) -> Result<Policy, ConfigError> {
    let usual = Policy::default();
    let path = |property| said::property(keyspace, property);
    let eviction = [("sieve", Eviction::Sieve), ("none", Eviction::None)];
    Ok(Policy {
        ttl: words
            .given(&path("ttl"), |text| span(text, Duration::from_millis(1)))?
            .unwrap_or(usual.ttl),
        max_bytes: words
            .given(&path("max_bytes"), max_bytes)?
            .unwrap_or(usual.max_bytes),
        eviction: words
            .given(&path("eviction"), |text| value::word(text, &eviction))?
            .unwrap_or(usual.eviction),
        durability: words
            .given(&path("durability"), |text| value::word(text, DURABILITIES))?
            .unwrap_or(usual.durability),
        client_max_age: words
            .given(&path("client_max_age"), |text| {
                span(text, Duration::from_secs(1))
            })?
            .unwrap_or(usual.client_max_age),
        pending: usual.pending,
    })
}

/// The word that stands for no limit of that kind, else a span.
fn span(text: &str, low: Duration) -> Result<Option<Duration>, String> {
    if text == "none" {
        return Ok(None);
    }
    let range = format!("from {low:?} to 36525d, or none");
    value::within(value::span(text)?, low, CENTURY, range).map(Some)
}

fn max_bytes(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    value::within(
        value::bytes(text)?,
        1,
        1 << 50,
        "from 1 to 1125899906842624, or unlimited",
    )
    .map(Some)
}

/// What the named keyspaces have without having been told.
pub(super) fn defaults(
    given: &BTreeMap<String, Given>,
    named: &BTreeMap<String, Origin>,
) -> BTreeMap<String, Given> {
    let paths = named.keys().flat_map(|name| {
        PROPERTIES
            .iter()
            .map(|property| (said::property(name, property), *property))
    });
    paths
        .filter(|(path, _)| !given.contains_key(path))
        .map(|(path, property)| {
            let text = usual_word(property).to_owned();
            let origin = Origin::Default;
            (path, Given { text, origin })
        })
        .collect()
}

/// [`Policy::default`] in the words of a file; a test holds them together.
fn usual_word(property: &str) -> &'static str {
    match property {
        "max_bytes" => "unlimited",
        "eviction" => "sieve",
        "durability" => "synced",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_nobody_said_mean_the_usual_policy() {
        let named = BTreeMap::from([("a".to_owned(), Origin::Default)]);
        let given = defaults(&BTreeMap::new(), &named);
        assert_eq!(given.len(), PROPERTIES.len());
        let words = Wordbook { settings: &given };
        assert_eq!(policy(&words, "a").unwrap(), Policy::default());
    }
}
