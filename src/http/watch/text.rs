//! Events as server-sent events (HTML, section 9.2): the id, the name, the data as JSON on one line. It must not know when an
//! event is sent, nor to whom.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::id::Id;
use crate::http::shown::{self, Shown};
use crate::keyspace::{Entry, Event, Place, TextKind, What};

/// Milliseconds after which a client that lost its connection comes back.
const RETRY_MS: u64 = 2_000;

/// The beginning of a stream: when to come back, and beside that, for who keeps a copy, how often there is a sign of life.
pub(super) fn greeting(heartbeat: Duration) -> Bytes {
    let heartbeat_ms = heartbeat.as_millis();
    format!("retry: {RETRY_MS}\n: heartbeat {heartbeat_ms}\n").into()
}

/// The data of a `put`.
#[derive(Serialize)]
struct Put<'a> {
    key: &'a str,
    etag: String,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    #[serde(flatten)]
    value: Option<Shown>,
}

/// The data of what happens to a key alone.
#[derive(Serialize)]
struct Gone<'a> {
    key: &'a str,
}

/// The data of a `flush`.
#[derive(Serialize)]
struct Flush<'a> {
    prefix: &'a str,
    deleted: u64,
}

/// The data of a `reset` or a `bye`.
#[derive(Serialize)]
struct Reason {
    reason: &'static str,
}

/// A change; made once for all who are sent it.
pub(super) fn of_event(event: &Event, kind: TextKind) -> Bytes {
    of_what(event.place(), event.what(), kind)
}

/// What was only announced has no place: no client is to go on from there.
fn of_what(id: Option<Place>, what: What<'_>, kind: TextKind) -> Bytes {
    match what {
        What::Put(key, entry) => put(id, key, &entry, kind),
        What::Delete(key) => gone(id, "delete", key),
        What::Expire(key) => gone(id, "expire", key),
        What::Evict(key) => gone(id, "evict", key),
        What::Flush { prefix, deleted } => {
            let prefix = &*String::from_utf8_lossy(prefix);
            block(id, "flush", &Flush { prefix, deleted })
        }
    }
}

/// What is there, or was put.
pub(super) fn put(id: Option<Place>, key: &[u8], entry: &Entry, kind: TextKind) -> Bytes {
    let value = match kind {
        TextKind::Plain => None,
        TextKind::WithValue => Some(Shown::of(entry.value.clone())),
    };
    let data = Put {
        key: &String::from_utf8_lossy(key),
        etag: shown::version(entry.version),
        content_type: entry.media_type.as_str(),
        content_encoding: entry.content_encoding.as_deref(),
        value,
    };
    block(id, "put", &data)
}

/// That a key is not there, or not any more.
pub(super) fn gone(id: Option<Place>, name: &str, key: &[u8]) -> Bytes {
    let key = &*String::from_utf8_lossy(key);
    block(id, name, &Gone { key })
}

/// Everything that was there has been told.
pub(super) fn synced(place: Place) -> Bytes {
    block(Some(place), "synced", &serde_json::Map::new())
}

/// Events were missed. Without an id who loses the connection comes back with the one from before, and is told again.
pub(super) fn reset(id: Option<Place>) -> Bytes {
    let reason = "compacted";
    block(id, "reset", &Reason { reason })
}

/// Nothing more comes.
pub(super) fn bye(id: Option<Place>, reason: &'static str) -> Bytes {
    block(id, "bye", &Reason { reason })
}

/// A sign of life: where to go on, or nothing at all.
pub(super) fn heartbeat(id: Option<Place>) -> Bytes {
    id.map_or_else(
        || Bytes::from_static(b":\n\n"),
        |place| format!("id: {}\n\n", Id(place)).into(),
    )
}

/// A sign of life that says more: everything has been told that came before what comes next.
pub(super) fn caught_up(place: Place) -> Bytes {
    format!(": caught up\nid: {}\n\n", Id(place)).into()
}

fn block(id: Option<Place>, name: &str, data: &impl Serialize) -> Bytes {
    let mut text = Vec::with_capacity(256);
    if let Some(place) = id {
        text.extend_from_slice(format!("id: {}\n", Id(place)).as_bytes());
    }
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\ndata: ");
    // JSON has no line breaks of its own, and writes those of texts as \n and \r.
    serde_json::to_writer(&mut text, data).expect("events hold only text and numbers");
    text.extend_from_slice(b"\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_was_only_announced_has_no_id_line() {
        for id in [None, Some("id: 0000000000000001-2\n")] {
            let place = id.map(|_| Place {
                mark: 1,
                revision: 2,
                index: None,
            });
            let told = of_what(place, What::Delete(b"a"), TextKind::WithValue);
            let expected = "event: delete\ndata: {\"key\":\"a\"}\n\n";
            assert_eq!(text(&told), format!("{}{expected}", id.unwrap_or_default()));
        }
    }

    #[test]
    fn an_event_is_a_few_lines_with_its_data_on_one() {
        let place = Place {
            mark: 1,
            revision: 2,
            index: Some(3),
        };
        let id = "id: 0000000000000001-2-3\n";
        let deleted = gone(Some(place), "delete", "a\nb\r\u{2028}".as_bytes());
        let expected = "event: delete\ndata: {\"key\":\"a\\nb\\r\u{2028}\"}\n\n";
        assert_eq!(text(&deleted), format!("{id}{expected}"));
        let said = bye(None, "timeout");
        assert_eq!(
            text(&said),
            "event: bye\ndata: {\"reason\":\"timeout\"}\n\n"
        );
        assert_eq!(text(&heartbeat(Some(place))), format!("{id}\n"));
        assert_eq!(
            text(&synced(place)),
            format!("{id}event: synced\ndata: {{}}\n\n")
        );
        assert!(text(&reset(None)).starts_with("event: reset\ndata: {"));
    }
}
