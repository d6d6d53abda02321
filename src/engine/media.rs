//! What the bytes of a value are: which texts can be kept as a media type, and what bytes are of which nothing was said. It
//! must not look at more of a value than whether it is UTF-8.

use std::sync::Arc;

/// A media type, cheap to clone; the two that values get without asking cost no reference count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MediaType {
    /// `text/plain; charset=utf-8`
    Text,
    /// `application/octet-stream`
    Binary,
    /// Any other, as it was sent.
    Named(Arc<str>),
}

impl MediaType {
    /// The type of text that came without one.
    pub const TEXT: &'static str = "text/plain; charset=utf-8";
    /// The type of bytes that came without one.
    pub const BINARY: &'static str = "application/octet-stream";
    /// The most bytes of a media type or an encoding that is kept with a value.
    pub const MOST_BYTES: usize = 1024;

    /// The same as it stands in a `Content-Type` header.
    pub fn named(text: &str) -> Self {
        match text {
            Self::TEXT => Self::Text,
            Self::BINARY => Self::Binary,
            _ => Self::Named(text.into()),
        }
    }

    /// As it stands in a `Content-Type` header.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text => Self::TEXT,
            Self::Binary => Self::BINARY,
            Self::Named(name) => name,
        }
    }

    /// The type of a value whose writer left it open.
    pub fn of_bytes(value: &[u8]) -> &'static str {
        if std::str::from_utf8(value).is_ok() {
            Self::TEXT
        } else {
            Self::BINARY
        }
    }

    /// The type of `value`: the one that is named, where that can be kept as a media type, else what its bytes look like.
    pub fn choose<'n>(named: Option<&'n str>, value: &[u8]) -> &'n str {
        named
            .filter(|named| Self::may_be_kept(named))
            .unwrap_or_else(|| Self::of_bytes(value))
    }

    /// Whether a text may be kept as a media type: it is one, and it can stand in a header.
    pub fn may_be_kept(text: &str) -> bool {
        let visible = |byte: u8| (0x20..=0x7E).contains(&byte) || byte == b'\t';
        text.len() <= Self::MOST_BYTES && text.bytes().all(visible) && Self::is_one(text)
    }

    /// Whether a text is `type/subtype`, and behind it nothing or parameters (RFC 9110, section 8.3.1).
    pub fn is_one(text: &str) -> bool {
        let essence = Self::essence(text);
        let parameters = text
            .get(essence.len()..)
            .unwrap_or_default()
            .trim_start_matches([' ', '\t']);
        let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_token_byte);
        let separated = parameters.is_empty() || parameters.starts_with(';');
        separated
            && essence
                .split_once('/')
                .is_some_and(|(main, sub)| is_token(main) && is_token(sub))
    }

    /// The text without its parameters.
    pub fn essence(text: &str) -> &str {
        text.split([';', ' ', '\t']).next().unwrap_or_default()
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_as_a_media_type_can_stand_in_a_header() {
        for text in [
            "image/png",
            "text/html; charset=\"utf-8\"",
            "application/x-www-form-urlencoded",
        ] {
            assert!(MediaType::may_be_kept(text), "{text:?}");
        }
        let long = format!("text/{}", "x".repeat(MediaType::MOST_BYTES));
        for text in [
            "",
            "text",
            "a/b\r\nX: y",
            "a/b; c=\u{e9}",
            "a/b;\0",
            long.as_str(),
        ] {
            assert!(!MediaType::may_be_kept(text), "{text:?}");
        }
    }

    #[test]
    fn open_types_follow_the_bytes() {
        assert_eq!(MediaType::of_bytes("gr\u{fc}n".as_bytes()), MediaType::TEXT);
        assert_eq!(MediaType::of_bytes(b""), MediaType::TEXT);
        assert_eq!(MediaType::of_bytes(&[0xFF, 0x00]), MediaType::BINARY);
    }

    #[test]
    fn a_name_that_is_no_media_type_leaves_it_open() {
        assert_eq!(MediaType::choose(Some("a/b"), b"x"), "a/b");
        assert_eq!(MediaType::choose(Some("a"), b"x"), MediaType::TEXT);
        assert_eq!(MediaType::choose(None, &[0xFF]), MediaType::BINARY);
    }

    #[test]
    fn a_name_and_its_type_are_the_same() {
        for text in [MediaType::TEXT, MediaType::BINARY, "image/png"] {
            assert_eq!(MediaType::named(text).as_str(), text);
        }
        assert_eq!(MediaType::named(MediaType::TEXT), MediaType::Text);
        assert_eq!(MediaType::named(MediaType::BINARY), MediaType::Binary);
    }
}
