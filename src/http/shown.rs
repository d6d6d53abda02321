//! How the facts of an entry stand in JSON answers: versions, times, bytes. It must not know which answer they are for.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::etag;
use crate::keyspace::Version;

/// A version as it stands in an `ETag` header, quotes included: it can be sent back as it is.
pub(crate) fn version(version: Version) -> String {
    let header = etag::header(version);
    header.to_str().unwrap_or_default().to_owned()
}

/// A time as RFC 3339 has it, in UTC, to the millisecond. Times behind the year 9999 are told as its end.
pub(crate) fn time(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.unwrap_or(Timestamp::MAX).to_string()
}

/// The bytes of a value: as text where they are UTF-8, else in base64.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Shown {
    /// The value, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "Hello, world!")]
    value: Option<Text>,
    /// The value in base64 (RFC 4648, section 4), where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    value_base64: Option<String>,
}

impl Shown {
    /// Shows `value`, without a copy where it is text.
    pub(crate) fn of(value: Bytes) -> Self {
        if std::str::from_utf8(&value).is_ok() {
            Self {
                value: Some(Text(value)),
                value_base64: None,
            }
        } else {
            Self {
                value: None,
                value_base64: Some(BASE64_STANDARD.encode(value)),
            }
        }
    }
}

/// Bytes that are UTF-8.
#[derive(Debug)]
struct Text(Bytes);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_to_the_millisecond() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_700_000_000_120), "2023-11-14T22:13:20.12Z");
        assert!(time(u64::MAX).starts_with("9999-12-3"));
    }

    #[test]
    fn text_is_shown_as_text_and_other_bytes_in_base64() {
        let json = |value: &'static [u8]| {
            serde_json::to_string(&Shown::of(Bytes::from_static(value))).unwrap()
        };
        assert_eq!(json("\u{e9}\0".as_bytes()), "{\"value\":\"\u{e9}\\u0000\"}");
        assert_eq!(json(b""), r#"{"value":""}"#);
        assert_eq!(json(b"\xff\xfe"), r#"{"value_base64":"//4="}"#);
    }

    #[test]
    fn a_version_is_shown_as_its_header_has_it() {
        let shown = version(Version {
            mark: 1,
            revision: 2,
        });
        assert_eq!(shown, "\"0000000000000001-2\"");
    }
}
