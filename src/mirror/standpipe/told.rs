//! What an event of another Standpipe's watch says. It must not know what becomes of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::lines::Block;

/// What the upstream says while nothing happens: that this stream is up to date.
const CAUGHT_UP: &str = "caught up";
/// What it says at the beginning: how many milliseconds there are between two signs of life.
const HEARTBEAT: &str = "heartbeat ";

/// An event.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// The key has this value.
    Put(Value),
    /// The key has a value that is too large to be taken.
    TooLarge {
        /// The key.
        key: String,
    },
    /// The key is not there any more.
    Gone {
        /// The key.
        key: String,
    },
    /// No key is there any more that begins so.
    Flushed {
        /// What they began with.
        prefix: String,
    },
    /// Everything that is there has been told.
    Synced,
    /// Events were missed: everything that is there is told again.
    Reset,
    /// The stream ends.
    Bye {
        /// Why.
        reason: String,
    },
    /// A sign of life.
    Alive {
        /// Whether nothing was left to be told when it was made.
        caught_up: bool,
        /// The milliseconds until the next one, where it says so.
        heartbeat_ms: Option<u64>,
    },
}

/// A value, as it was told.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Value {
    pub(super) key: String,
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
}

/// What was told makes no sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

#[derive(Deserialize)]
struct PutData<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content_encoding: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value_base64: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct KeyData {
    key: String,
}

#[derive(Deserialize)]
struct FlushData {
    prefix: String,
}

#[derive(Deserialize)]
struct ByeData {
    reason: String,
}

impl Told {
    /// What `block` says; `None` for an event that is not known here, which a newer upstream may send.
    pub(super) fn of(block: &Block) -> Result<Option<Self>, Malformed> {
        let Some(data) = &block.data else {
            return Ok(Some(Self::alive(block)));
        };
        if block.cut {
            let key = key_of_head(data).ok_or(Malformed)?;
            return Ok((block.event == "put").then_some(Self::TooLarge { key }));
        }
        Ok(Some(match &*block.event {
            "put" => Self::Put(value(data)?),
            "delete" | "expire" | "evict" => Self::Gone {
                key: parse::<KeyData>(data)?.key,
            },
            "flush" => Self::Flushed {
                prefix: parse::<FlushData>(data)?.prefix,
            },
            "bye" => Self::Bye {
                reason: parse::<ByeData>(data)?.reason,
            },
            "synced" => Self::Synced,
            "reset" => Self::Reset,
            _ => return Ok(None),
        }))
    }

    fn alive(block: &Block) -> Self {
        let said = |comment: &String| comment.strip_prefix(HEARTBEAT)?.parse().ok();
        Self::Alive {
            caught_up: block.comments.iter().any(|comment| comment == CAUGHT_UP),
            heartbeat_ms: block.comments.iter().find_map(said),
        }
    }
}

fn parse<'d, T: Deserialize<'d>>(data: &'d [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(data).map_err(|_no_json_of_ours| Malformed)
}

fn value(data: &[u8]) -> Result<Value, Malformed> {
    let put: PutData<'_> = parse(data)?;
    let bytes = match (put.value, put.value_base64) {
        (Some(text), None) => Bytes::from(text.into_owned()),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text.as_bytes());
            bytes.map_err(|_not_base64| Malformed)?.into()
        }
        (None, None) | (Some(_), Some(_)) => return Err(Malformed),
    };
    Ok(Value {
        key: put.key.into_owned(),
        bytes,
        content_type: put.content_type.map(Cow::into_owned),
        content_encoding: put.content_encoding.map(Cow::into_owned),
    })
}

/// The key of an event of which only the beginning is there: the key is its first member.
fn key_of_head(head: &[u8]) -> Option<String> {
    let behind = head.trim_ascii_start().strip_prefix(b"{")?;
    let behind = behind.trim_ascii_start().strip_prefix(b"\"key\"")?;
    let behind = behind.trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(behind).into_iter::<String>();
    values.next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(event: &str, data: &str) -> Block {
        Block {
            event: event.to_owned(),
            data: Some(data.as_bytes().to_vec()),
            ..Block::default()
        }
    }

    fn told(event: &str, data: &str) -> Result<Option<Told>, Malformed> {
        Told::of(&block(event, data))
    }

    #[test]
    fn values_come_as_text_or_in_base64_with_what_they_are() {
        let text = r#"{"key":"a\n\u00e4","etag":"\"x\"","content_type":"text/css","content_encoding":"br","value":"1\u0000"}"#;
        let expected = Value {
            key: "a\n\u{e4}".to_owned(),
            bytes: Bytes::from_static(b"1\0"),
            content_type: Some("text/css".to_owned()),
            content_encoding: Some("br".to_owned()),
        };
        assert_eq!(told("put", text), Ok(Some(Told::Put(expected))));
        let bytes = r#"{"key":"k","value_base64":"AP8="}"#;
        let Ok(Some(Told::Put(value))) = told("put", bytes) else {
            panic!("a value")
        };
        assert_eq!(&*value.bytes, b"\0\xFF");
        assert_eq!((value.content_type, value.content_encoding), (None, None));
        let empty = r#"{"key":"k","value":""}"#;
        assert!(matches!(told("put", empty), Ok(Some(Told::Put(value))) if value.bytes.is_empty()));
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        for (event, data) in [
            ("put", "{}"),
            ("put", r#"{"key":"k"}"#),
            ("put", r#"{"key":"k","value":"a","value_base64":"YQ=="}"#),
            ("put", r#"{"key":"k","value_base64":"?"}"#),
            ("put", r#"{"key":1,"value":"a"}"#),
            ("put", r#"{"key":"k","value":"a"} x"#),
            ("put", "\u{FFFD}"),
            ("delete", "{}"),
            ("expire", "[]"),
            ("flush", "{}"),
            ("bye", ""),
        ] {
            assert_eq!(told(event, data), Err(Malformed), "{event} {data}");
        }
    }

    #[test]
    fn every_way_to_leave_is_known_and_what_is_unknown_is_passed_over() {
        for event in ["delete", "expire", "evict"] {
            let key = "k".to_owned();
            assert_eq!(told(event, r#"{"key":"k"}"#), Ok(Some(Told::Gone { key })));
        }
        let prefix = "a/".to_owned();
        let flush = told("flush", r#"{"prefix":"a/","deleted":3}"#);
        assert_eq!(flush, Ok(Some(Told::Flushed { prefix })));
        assert_eq!(told("synced", "{}"), Ok(Some(Told::Synced)));
        assert_eq!(told("reset", "{}"), Ok(Some(Told::Reset)));
        assert_eq!(told("rename", "anything"), Ok(None));
    }

    #[test]
    fn of_a_value_that_was_cut_the_key_is_known() {
        let mut cut = block("put", r#"{ "key" : "a\"b", "etag":"x","value":"aaaa"#);
        cut.cut = true;
        let key = "a\"b".to_owned();
        assert_eq!(Told::of(&cut), Ok(Some(Told::TooLarge { key })));
        for head in [r#"{"key":"a"#, r#"{"etag":"x","key":"a""#, ""] {
            cut.data = Some(head.as_bytes().to_vec());
            assert_eq!(Told::of(&cut), Err(Malformed), "{head}");
        }
    }

    #[test]
    fn signs_of_life_say_how_often_they_come_and_whether_all_is_told() {
        let alive = |comments: &[&str]| {
            let comments = comments.iter().map(|comment| (*comment).to_owned());
            Told::of(&Block {
                comments: comments.collect(),
                ..Block::default()
            })
        };
        let expected = |caught_up, heartbeat_ms| {
            Ok(Some(Told::Alive {
                caught_up,
                heartbeat_ms,
            }))
        };
        assert_eq!(alive(&[]), expected(false, None));
        assert_eq!(alive(&["caught up"]), expected(true, None));
        assert_eq!(alive(&["heartbeat 15000"]), expected(false, Some(15_000)));
        assert_eq!(alive(&["heartbeat soon", "x"]), expected(false, None));
    }
}
