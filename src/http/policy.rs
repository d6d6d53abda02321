//! The policy of a keyspace as JSON: read from a body, and shown. It must not know what a policy does.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::code::Code;
use super::json::Document;
use super::parameters;
use super::problem::Problem;
use super::shapes::TTL;
use crate::keyspace::{Durability, Eviction, Policy, Ttl};

/// Most bytes that a keyspace may be given: what nobody has.
const MOST_BYTES: u64 = 1 << 50;

/// A hundred years of 365.25 days.
const MOST_SECONDS: u64 = 36_525 * 86_400;
/// The texts that stand for a whole number of seconds, or for none.
const CLIENT_MAX_AGE: &str =
    "^(none|[1-9][0-9]{0,8}s?|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d)$";

/// What a request may say.
const FIELDS: &[&str] = &[
    "ttl",
    "max_bytes",
    "eviction",
    "durability",
    "client_max_age",
    "source",
    "mirror",
    "sink",
];
/// What of that only the file may say.
const FILE_ONLY: [&str; 3] = ["source", "mirror", "sink"];

/// The body of a PUT, as the document shows it.
pub(crate) enum PolicyBody {}

impl ToSchema for PolicyBody {}

impl PartialSchema for PolicyBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "Always the whole policy: what is absent or null is as by default",
            ))
            .property(
                "ttl",
                either(
                    "How long a value is kept that was put without a ttl; by default for ever",
                    TTL,
                    MOST_SECONDS,
                ),
            )
            .property(
                "max_bytes",
                either(
                    "The most memory that the entries may take; by default as much as there is",
                    "^(unlimited|[1-9][0-9]{0,5}(B|kB|KB|MB|GB|KiB|MiB|GiB)?)$",
                    MOST_BYTES,
                ),
            )
            .property(
                "eviction",
                word(
                    "What happens when it is full: what has not been read for long leaves, or writes are refused",
                    &["sieve", "none"],
                ),
            )
            .property(
                "durability",
                word(
                    "What a successful answer means: on disk, handed to the operating system, in memory only",
                    &["synced", "written", "memory"],
                ),
            )
            .property(
                "client_max_age",
                either(
                    "How long a client may keep a value without asking again; by default not at all",
                    CLIENT_MAX_AGE,
                    MOST_SECONDS,
                ),
            )
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([json!({
                "ttl": "7d",
                "max_bytes": "64MiB",
                "eviction": "sieve",
                "durability": "synced",
                "client_max_age": "10s",
            })])
            .into()
    }
}

/// A text, a number from 1 on, or null.
fn either(description: &str, pattern: &str, most: u64) -> OneOfBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    OneOfBuilder::new()
        .description(Some(description))
        .item(text.pattern(Some(pattern)))
        .item(number.minimum(Some(1)).maximum(Some(most)))
        .item(ObjectBuilder::new().schema_type(Type::Null))
}

/// One of some words, or null.
fn word(description: &str, words: &[&str]) -> OneOfBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    OneOfBuilder::new()
        .description(Some(description))
        .item(text.enum_values(Some(words.iter().copied())))
        .item(ObjectBuilder::new().schema_type(Type::Null))
}

/// A policy, as it holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyAnswer {
    /// How long a value is kept that was put without a ttl; null is for ever.
    #[schema(required, example = "7d")]
    ttl: Option<String>,
    /// The most bytes of memory that the entries may take; null is as many as there are.
    #[schema(required, example = 67_108_864)]
    max_bytes: Option<u64>,
    /// What happens when they are full.
    eviction: EvictionWord,
    /// What a successful answer means.
    durability: DurabilityWord,
    /// How long a client may keep a value without asking again; null is not at all.
    #[schema(required, example = "10s")]
    client_max_age: Option<String>,
}

/// How a full keyspace makes room.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "sieve")]
pub(crate) enum EvictionWord {
    /// What has not been read for long leaves.
    Sieve,
    /// Nothing leaves: writes are refused.
    None,
}

/// What a successful answer means.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "synced")]
pub(crate) enum DurabilityWord {
    /// On disk.
    Synced,
    /// Handed to the operating system.
    Written,
    /// In memory only.
    Memory,
}

impl From<Policy> for PolicyAnswer {
    fn from(policy: Policy) -> Self {
        Self {
            ttl: policy.ttl.map(span),
            max_bytes: policy.max_bytes,
            eviction: match policy.eviction {
                Eviction::Sieve => EvictionWord::Sieve,
                Eviction::None => EvictionWord::None,
            },
            durability: match policy.durability {
                Durability::Synced => DurabilityWord::Synced,
                Durability::Written => DurabilityWord::Written,
                Durability::Memory => DurabilityWord::Memory,
            },
            client_max_age: policy.client_max_age.map(span),
        }
    }
}

/// Reads the policy that a body holds.
pub(super) fn read(document: Document<'_>) -> Result<Policy, Problem> {
    let mut fields = document.object(FIELDS)?;
    if let Some(name) = FILE_ONLY.into_iter().find(|name| fields.has(name)) {
        let detail =
            format!("{name} can only be said in the configuration file; nothing was changed");
        return Err(Problem::new(Code::FileOnly, detail));
    }
    let mut policy = Policy::default();
    if let Some(field) = fields.take("ttl") {
        policy.ttl = field.text_or_number(|text| age(&text))?;
    }
    if let Some(field) = fields.take("max_bytes") {
        policy.max_bytes = field.text_or_number(|text| bytes(&text))?;
    }
    if let Some(field) = fields.take("eviction") {
        policy.eviction = field.text(|text| match &*text {
            "sieve" => Ok(Eviction::Sieve),
            "none" => Ok(Eviction::None),
            _ => Err("is not known: give sieve or none".to_owned()),
        })?;
    }
    if let Some(field) = fields.take("durability") {
        policy.durability = field.text(|text| match &*text {
            "synced" => Ok(Durability::Synced),
            "written" => Ok(Durability::Written),
            "memory" => Ok(Durability::Memory),
            _ => Err("is not known: give synced, written or memory".to_owned()),
        })?;
    }
    if let Some(field) = fields.take("client_max_age") {
        policy.client_max_age = field.text_or_number(|text| match age(&text)? {
            Some(age) if age < Duration::from_secs(1) => {
                Err("is under a second: clients count in seconds".to_owned())
            }
            age => Ok(age),
        })?;
    }
    Ok(policy)
}

/// A span of time as a ttl is written; `none` is no span at all.
fn age(text: &str) -> Result<Option<Duration>, String> {
    Ok(match parameters::ttl_of(text)? {
        Ttl::After(age) => Some(age),
        Ttl::Forever | Ttl::Unspecified => None,
    })
}

/// A number of bytes, with or without a unit; `unlimited` is no number at all.
fn bytes(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            return Err(
                "cannot be read: give a number of bytes, 64MiB, 16MB or unlimited".to_owned(),
            );
        }
    };
    if number.is_empty() {
        return Err("cannot be read: give a number of bytes, 64MiB, 16MB or unlimited".to_owned());
    }
    let bytes = number.parse().unwrap_or(u64::MAX).saturating_mul(factor);
    if (1..=MOST_BYTES).contains(&bytes) {
        Ok(Some(bytes))
    } else {
        Err(format!("is not from 1 to {MOST_BYTES} bytes"))
    }
}

/// A span of time as it is written here, in the largest unit that it is a whole number of.
fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let whole = units
        .into_iter()
        .find(|(unit_ms, _)| ms.is_multiple_of(*unit_ms));
    let (unit_ms, unit) = whole.unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_shown_as_it_can_be_read() {
        for text in ["1ms", "1500ms", "90s", "61m", "25h", "7d"] {
            assert_eq!(span(age(text).unwrap().unwrap()), text);
        }
        for (text, shown) in [
            ("60", "1m"),
            ("86400s", "1d"),
            ("24h", "1d"),
            ("1000ms", "1s"),
        ] {
            assert_eq!(span(age(text).unwrap().unwrap()), shown);
        }
        assert_eq!(age("none"), Ok(None));
    }

    #[test]
    fn bytes_come_with_and_without_a_unit() {
        for (text, read) in [
            ("1", 1),
            ("67108864", 64 << 20),
            ("64MiB", 64 << 20),
            ("1kB", 1_000),
            ("2GiB", 2 << 30),
            ("7B", 7),
        ] {
            assert_eq!(bytes(text), Ok(Some(read)), "{text}");
        }
        assert_eq!(bytes("unlimited"), Ok(None));
        for text in [
            "",
            "0",
            "-1",
            "1.5MiB",
            "MiB",
            "64 MiB",
            "64mib",
            "1PB",
            "99999999GiB",
            "99999999999999999999",
        ] {
            bytes(text).unwrap_err();
        }
    }
}
