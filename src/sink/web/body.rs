//! One part of a generation as JSON, and its name. It must not know how it is sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::sink::options::Mode;
use crate::sink::row::{Change, Generation, Identity, Row, Value, hex};

/// Some rows of a generation.
pub(super) struct Part<'a> {
    pub(super) identity: Identity,
    pub(super) keyspace: &'a str,
    pub(super) generation: Generation,
    /// Counted from 0.
    pub(super) number: u64,
    pub(super) mode: Mode,
    pub(super) rows: &'a [Row],
}

#[derive(Serialize)]
struct Document<'a> {
    keyspace: &'a str,
    mode: &'static str,
    store: String,
    keyspace_id: u64,
    mark: String,
    generation: u64,
    part: u64,
    items: Vec<Item<'a>>,
}

#[derive(Default, Serialize)]
struct Item<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

impl Part<'_> {
    /// The body.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let document = Document {
            keyspace: self.keyspace,
            mode: match self.mode {
                Mode::Increment => "increment",
                Mode::Upsert(_) => "upsert",
            },
            store: self.identity.store_hex(),
            keyspace_id: self.identity.keyspace,
            mark: format!("{:016x}", self.generation.mark),
            generation: self.generation.number,
            part: self.number,
            items: self.rows.iter().map(item).collect(),
        };
        serde_json::to_vec(&document).expect("text, numbers and lists")
    }

    /// The name, in the quotes of a structured field. It holds what its keys come to: after a change of `batch` the parts are
    /// others, and a name that stood for other keys must not stand for these.
    pub(super) fn name(&self) -> String {
        let mut keys = Sha256::new();
        for row in self.rows {
            keys.update(
                u64::try_from(row.key.len())
                    .unwrap_or(u64::MAX)
                    .to_le_bytes(),
            );
            keys.update(&row.key);
        }
        let digest = keys.finalize();
        let digest = hex(digest.get(..8).unwrap_or_default());
        format!(
            "\"{}-{}-{:016x}-{}-{}-{digest}\"",
            self.identity.store_hex(),
            self.identity.keyspace,
            self.generation.mark,
            self.generation.number,
            self.number
        )
    }
}

fn item(row: &Row) -> Item<'_> {
    // Keys are UTF-8: whoever puts one says so.
    let key = std::str::from_utf8(&row.key).unwrap_or_default();
    let item = Item {
        key,
        ..Item::default()
    };
    match &row.change {
        Change::Add(sum) => Item {
            sum: Some(*sum),
            ..item
        },
        Change::Remove => Item {
            deleted: Some(true),
            ..item
        },
        Change::Put(value) => of_value(item, value),
    }
}

fn of_value<'a>(item: Item<'a>, value: &'a Value) -> Item<'a> {
    let item = Item {
        content_type: Some(&value.media_type),
        content_encoding: value.content_encoding.as_deref(),
        ..item
    };
    match std::str::from_utf8(&value.bytes) {
        Ok(text) => Item {
            value: Some(text),
            ..item
        },
        Err(_bytes) => Item {
            value_base64: Some(BASE64_STANDARD.encode(&value.bytes)),
            ..item
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::options::Deletes;

    fn part(rows: &[Row], mode: Mode) -> Part<'_> {
        Part {
            identity: Identity {
                store: [0xAB; 16],
                keyspace: 7,
            },
            keyspace: "views",
            generation: Generation {
                mark: 255,
                number: 3,
            },
            number: 2,
            mode,
            rows,
        }
    }

    fn row(key: &str, change: Change) -> Row {
        Row {
            key: key.to_owned().into(),
            change,
        }
    }

    fn value(bytes: &'static [u8]) -> Change {
        Change::Put(Value {
            bytes: bytes.into(),
            media_type: "text/plain".into(),
            content_encoding: None,
        })
    }

    #[test]
    fn sums_are_numbers_and_values_text_or_base64() {
        let rows = [row("a\0\"", Change::Add(-3))];
        let body = String::from_utf8(part(&rows, Mode::Increment).to_json()).unwrap();
        let store = "ab".repeat(16);
        assert_eq!(
            body,
            format!(
                "{{\"keyspace\":\"views\",\"mode\":\"increment\",\"store\":\"{store}\",\"keyspace_id\":7,\
                 \"mark\":\"00000000000000ff\",\"generation\":3,\"part\":2,\
                 \"items\":[{{\"key\":\"a\\u0000\\\"\",\"sum\":-3}}]}}"
            )
        );
        let rows = [
            row("t", value(b"x")),
            row("b", value(b"\xff")),
            row("d", Change::Remove),
        ];
        let body = part(&rows, Mode::Upsert(Deletes::Propagate)).to_json();
        let body = String::from_utf8(body).unwrap();
        let items = "\"items\":[{\"key\":\"t\",\"value\":\"x\",\"content_type\":\"text/plain\"},\
             {\"key\":\"b\",\"value_base64\":\"/w==\",\"content_type\":\"text/plain\"},{\"key\":\"d\",\"deleted\":true}]}";
        assert!(body.ends_with(items), "{body}");
    }

    #[test]
    fn a_name_stands_for_these_keys_of_this_generation() {
        let one = [row("a", Change::Add(1)), row("bc", Change::Add(1))];
        let other = [row("ab", Change::Add(1)), row("c", Change::Add(1))];
        let name = |rows: &[Row]| part(rows, Mode::Increment).name();
        assert_eq!(name(&one), name(&one.clone()));
        assert_ne!(name(&one), name(&other));
        assert_ne!(name(&one), name(&one[..1]));
        let expected = format!("\"{}-7-00000000000000ff-3-2-", "ab".repeat(16));
        assert!(name(&one).starts_with(&expected), "{}", name(&one));
    }
}
