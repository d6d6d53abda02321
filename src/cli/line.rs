//! One entry, or one keyspace, as one line of JSON: what export writes and import reads. It must not know files or the
//! store.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use standpipe_store::{Durability, Eviction, Pending, Policy};

use crate::server::is_keyspace_name;

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said<'a> {
    /// An entry.
    Entry(Item<'a>),
    /// A keyspace, by name, with its policy.
    Keyspace(Cow<'a, str>, Policy),
}

/// An entry with everything that is kept about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Item<'a> {
    /// The name of its keyspace; `None`: the one that always exists, or that the command names.
    pub(super) keyspace: Option<Cow<'a, str>>,
    pub(super) key: Cow<'a, str>,
    pub(super) value: Cow<'a, [u8]>,
    /// `None`: nobody said.
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) content_encoding: Option<Cow<'a, str>>,
    /// The source that owns the entry.
    pub(super) source: Option<Cow<'a, str>>,
    /// When the value was written, in Unix milliseconds.
    pub(super) created_at_ms: Option<u64>,
    /// Unix milliseconds.
    pub(super) expires_at_ms: Option<u64>,
}

/// The line's shape. A field that is not known refuses the line: it may say something that must not be lost.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    keyspace: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyLine>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    source: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

/// A policy in numbers, so that nothing of it is rounded.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PolicyLine {
    durability: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    eviction: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_max_age_ms: Option<u64>,
}

impl From<&Policy> for PolicyLine {
    fn from(policy: &Policy) -> Self {
        let eviction = match policy.eviction {
            Eviction::Sieve => "sieve",
            Eviction::None => "none",
        };
        Self {
            durability: policy.durability.to_string(),
            ttl_ms: policy.ttl_ms,
            max_bytes: policy.max_bytes,
            eviction: eviction.to_owned(),
            client_max_age_ms: policy.client_max_age_ms,
        }
    }
}

impl PolicyLine {
    fn policy(&self) -> Result<Policy, String> {
        let durability = match self.durability.as_str() {
            "synced" => Durability::Synced,
            "written" => Durability::Written,
            "memory" => Durability::Memory,
            other => return Err(format!("the durability {other:?} is not known")),
        };
        let eviction = match self.eviction.as_str() {
            "sieve" => Eviction::Sieve,
            "none" => Eviction::None,
            other => return Err(format!("the eviction {other:?} is not known")),
        };
        Ok(Policy {
            durability,
            ttl_ms: self.ttl_ms.filter(|ttl_ms| *ttl_ms > 0),
            max_bytes: self.max_bytes,
            eviction,
            client_max_age_ms: self.client_max_age_ms,
            // Sinks are the configuration's business.
            pending: Pending::None,
        })
    }
}

/// Appends a keyspace as a line, its end included.
pub(super) fn write_keyspace(name: &str, policy: &Policy, out: &mut Vec<u8>) -> Result<(), String> {
    let line = Line {
        keyspace: Some(name.into()),
        policy: Some(policy.into()),
        ..Line::default()
    };
    append(&line, out)
}

fn append(line: &Line<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(&mut *out, line).map_err(|error| error.to_string())?;
    out.push(b'\n');
    Ok(())
}

/// Appends an entry as a line, its end included. A value that is text stays readable, any other is base64.
pub(super) fn write(item: &Item<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let (value, value_base64) = match str::from_utf8(&item.value) {
        Ok(text) => (Some(Cow::Borrowed(text)), None),
        Err(_binary) => (None, Some(Cow::Owned(STANDARD.encode(&item.value)))),
    };
    let line = Line {
        keyspace: item.keyspace.as_deref().map(Cow::Borrowed),
        policy: None,
        key: Some(Cow::Borrowed(&item.key)),
        value,
        value_base64,
        content_type: item.content_type.as_deref().map(Cow::Borrowed),
        content_encoding: item.content_encoding.as_deref().map(Cow::Borrowed),
        source: item.source.as_deref().map(Cow::Borrowed),
        created_at: item.created_at_ms.map(moment).transpose()?,
        expires_at: item.expires_at_ms.map(moment).transpose()?,
    };
    append(&line, out)
}

/// Reads one line. The error is the end of a sentence about it.
pub(super) fn read(line: &[u8]) -> Result<Said<'_>, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| json_words(&error))?;
    if line
        .keyspace
        .as_deref()
        .is_some_and(|name| !is_keyspace_name(name))
    {
        return Err("its keyspace is no name: 1 to 64 of a-z 0-9 _ -".to_owned());
    }
    match (line.policy, line.key) {
        (None, Some(key)) => {
            let line = Line {
                policy: None,
                key: None,
                ..line
            };
            item(key, line).map(Said::Entry)
        }
        (Some(_), None) if line.value.is_some() || line.value_base64.is_some() => {
            Err("it has a policy and a value".to_owned())
        }
        (Some(policy), None) => match line.keyspace {
            Some(keyspace) => Ok(Said::Keyspace(keyspace, policy.policy()?)),
            None => Err("it has a policy and no keyspace".to_owned()),
        },
        (Some(_), Some(_)) => Err("it has both a key and a policy".to_owned()),
        (None, None) => Err("it has no key".to_owned()),
    }
}

fn item<'a>(key: Cow<'a, str>, line: Line<'a>) -> Result<Item<'a>, String> {
    let value = match (line.value, line.value_base64) {
        (Some(Cow::Borrowed(text)), None) => Cow::Borrowed(text.as_bytes()),
        (Some(Cow::Owned(text)), None) => Cow::Owned(text.into_bytes()),
        (None, Some(encoded)) => Cow::Owned(
            STANDARD
                .decode(encoded.as_bytes())
                .map_err(|error| format!("value_base64 is not base64: {error}"))?,
        ),
        (Some(_), Some(_)) => return Err("it has both value and value_base64".to_owned()),
        (None, None) => return Err("it has neither value nor value_base64".to_owned()),
    };
    Ok(Item {
        keyspace: line.keyspace,
        key,
        value,
        content_type: line.content_type,
        content_encoding: line.content_encoding,
        source: line.source,
        created_at_ms: line
            .created_at
            .map(|at| milliseconds(at, "created_at"))
            .transpose()?,
        expires_at_ms: line
            .expires_at
            .map(|at| milliseconds(at, "expires_at"))
            .transpose()?,
    })
}

/// The parser's words without its line number, which counts from the start of the line; the column stays.
pub(super) fn json_words(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

fn moment(unix_ms: u64) -> Result<Timestamp, String> {
    let out_of_range = || format!("{unix_ms} ms is beyond the year 9999");
    let signed = i64::try_from(unix_ms).ok().ok_or_else(out_of_range)?;
    Timestamp::from_millisecond(signed)
        .ok()
        .ok_or_else(out_of_range)
}

fn milliseconds(at: Timestamp, field: &str) -> Result<u64, String> {
    u64::try_from(at.as_millisecond())
        .ok()
        .ok_or_else(|| format!("{field} is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: &[u8]) -> Item<'_> {
        Item {
            keyspace: None,
            key: "a/é\n\"".into(),
            value: value.into(),
            content_type: Some("text/plain; charset=utf-8".into()),
            content_encoding: None,
            source: None,
            created_at_ms: Some(1_800_000_000_123),
            expires_at_ms: None,
        }
    }

    fn written(item: &Item<'_>) -> String {
        let mut line = Vec::new();
        write(item, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn text_stays_readable_and_bytes_are_base64() {
        let text = concat!(
            r#"{"key":"a/é\n\"","value":"hello\u0000","content_type":"text/plain; charset=utf-8","#,
            r#""created_at":"2027-01-15T08:00:00.123Z"}"#,
            "\n"
        );
        assert_eq!(written(&item(b"hello\0")), text);
        let whole = Item {
            content_encoding: Some("br".into()),
            source: Some("report".into()),
            expires_at_ms: Some(1_900_000_000_000),
            ..item(b"\xff\xfe\0")
        };
        let bytes = concat!(
            r#"{"key":"a/é\n\"","value_base64":"//4A","content_type":"text/plain; charset=utf-8","content_encoding":"br","#,
            r#""source":"report","created_at":"2027-01-15T08:00:00.123Z","expires_at":"2030-03-17T17:46:40Z"}"#,
            "\n"
        );
        assert_eq!(written(&whole), bytes);
    }

    #[test]
    fn what_was_written_reads_back() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for value in [
            &b""[..],
            b"text",
            "snow \u{2603} \u{1F4A7}\r\n\t\u{7f}\u{2028}".as_bytes(),
            &every_byte,
        ] {
            let whole = Item {
                content_encoding: Some("gzip".into()),
                source: Some("s".into()),
                expires_at_ms: Some(4_102_444_800_001),
                ..item(value)
            };
            let line = written(&whole);
            assert_eq!(read(line.trim_end().as_bytes()), Ok(Said::Entry(whole)));
        }
    }

    #[test]
    fn a_keyspace_and_its_entries_read_back() {
        let policy = Policy {
            durability: Durability::Written,
            ttl_ms: Some(1),
            max_bytes: Some(u64::MAX),
            eviction: Eviction::None,
            client_max_age_ms: Some(9),
            pending: Pending::None,
        };
        for policy in [policy, Policy::default()] {
            let mut line = Vec::new();
            write_keyspace("users", &policy, &mut line).unwrap();
            assert_eq!(
                read(line.trim_ascii()),
                Ok(Said::Keyspace("users".into(), policy))
            );
        }
        let entry = Item {
            keyspace: Some("users".into()),
            ..item(b"x")
        };
        let line = written(&entry);
        assert!(line.starts_with(r#"{"keyspace":"users","key":"#), "{line}");
        assert_eq!(read(line.trim_end().as_bytes()), Ok(Said::Entry(entry)));
    }

    #[test]
    fn a_line_that_says_too_much_or_too_little_is_refused() {
        let cases = [
            (
                &br#"{"key":"a"}"#[..],
                "it has neither value nor value_base64",
            ),
            (
                br#"{"key":"a","value":"","value_base64":""}"#,
                "it has both value and value_base64",
            ),
            (br#"{"value":"a"}"#, "it has no key"),
            (
                br#"{"key":"a","value":"","keyspace":"A"}"#,
                "its keyspace is no name: 1 to 64 of a-z 0-9 _ -",
            ),
            (
                br#"{"keyspace":"a","policy":{"durability":"eventual","eviction":"none"}}"#,
                "the durability \"eventual\" is not known",
            ),
            (
                br#"{"policy":{"durability":"synced","eviction":"none"}}"#,
                "it has a policy and no keyspace",
            ),
            (
                br#"{"keyspace":"a","value":"","policy":{"durability":"synced","eviction":"none"}}"#,
                "it has a policy and a value",
            ),
            (
                br#"{"key":"a","value":1}"#,
                "invalid type: integer `1`, expected a string at column 20",
            ),
            (
                br#"{"key":"a","value_base64":"=="}"#,
                "value_base64 is not base64: Invalid symbol 61, offset 0.",
            ),
            (
                br#"{"key":"a","value":"","expires_at":"1969-01-01T00:00:00Z"}"#,
                "expires_at is before 1970",
            ),
            (
                br#"{"key":"a","value":"#,
                "EOF while parsing a value at column 19",
            ),
            (
                b"{\"key\":\"a\",\"value\":\"\xff\"}",
                "invalid unicode code point at column 21",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(
                read(line).unwrap_err(),
                expected,
                "{}",
                String::from_utf8_lossy(line)
            );
        }
        let unknown = read(br#"{"key":"a","value":"","owner":"b"}"#).unwrap_err();
        assert!(
            unknown.starts_with("unknown field `owner`, expected one of `keyspace`, `policy`"),
            "{unknown}"
        );
    }
}
