//! Versions as entity tags: strong, opaque, the same text for the same version for ever. It must not know conditions.

use std::borrow::Cow;

use actix_web::http::header::HeaderValue;
use bytes::Bytes;

use crate::keyspace::Version;

/// Two quotes, two numbers of 16 digits and the sign between them.
const LEN: usize = 2 + 16 + 1 + 16;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The version as the value of an `ETag` header, quotes included.
pub(crate) fn header(version: Version) -> HeaderValue {
    let text = Text::new(version);
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes()))
        .expect("quotes, hexadecimal digits and a minus are allowed in a header")
}

/// The version that an entity tag, without its quotes, names. `None` where we never made such a tag.
pub(crate) fn parse(tag: &str) -> Option<Version> {
    let (mark, revision) = tag.split_once('-')?;
    let version = Version {
        mark: number(mark, 16)?,
        revision: number(revision, 1)?,
    };
    // Tags are opaque: another spelling of the same numbers is another tag.
    (Text::new(version).tag() == tag.as_bytes()).then_some(version)
}

fn number(digits: &str, least: usize) -> Option<u64> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if plain && digits.len() >= least {
        u64::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// The text of one tag, built without the formatting machinery: every answer carries one.
struct Text {
    bytes: [u8; LEN],
    len: usize,
}

impl Text {
    fn new(version: Version) -> Self {
        let mut text = Self {
            bytes: [0; LEN],
            len: 0,
        };
        text.push(b'"');
        text.push_hex(version.mark, 16);
        text.push(b'-');
        let digits = (u64::BITS - version.revision.leading_zeros())
            .div_ceil(4)
            .max(1);
        text.push_hex(version.revision, digits);
        text.push(b'"');
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn push_hex(&mut self, number: u64, digits: u32) {
        for place in (0..digits).rev() {
            let [digit, ..] = (number >> (place * 4)).to_le_bytes();
            self.push(
                DIGITS
                    .get(usize::from(digit & 0xF))
                    .copied()
                    .unwrap_or(b'0'),
            );
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn tag(&self) -> &[u8] {
        self.as_bytes()
            .get(1..self.len.saturating_sub(1))
            .unwrap_or_default()
    }
}

/// One tag of a list, as it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tag<'a> {
    /// What stands between the quotes.
    pub(crate) opaque: Cow<'a, str>,
    /// Whether `W/` stands before them.
    pub(crate) strength: Strength,
}

/// What a tag claims of the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strength {
    /// That they are the same.
    Strong,
    /// That they mean the same.
    Weak,
}

/// Reads one tag off the front of `text` (RFC 9110, section 8.8.3) and returns what follows it.
pub(crate) fn take_tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let (strength, quoted) = match text.strip_prefix("W/") {
        Some(quoted) => (Strength::Weak, quoted),
        None => (Strength::Strong, text),
    };
    let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
    let allowed = |byte: u8| byte == 0x21 || (0x23..=0x7E).contains(&byte) || byte >= 0x80;
    opaque.bytes().all(allowed).then_some((
        Tag {
            opaque: Cow::Borrowed(opaque),
            strength,
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mark: u64, revision: u64) -> String {
        header(Version { mark, revision })
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_version_has_one_text_that_reads_back() {
        assert_eq!(text(0xAB, 0), r#""00000000000000ab-0""#);
        assert_eq!(text(u64::MAX, 0x1F), r#""ffffffffffffffff-1f""#);
        for (mark, revision) in [(0, 1), (1, u64::MAX), (u64::MAX, 1 << 63), (7, 0x1000)] {
            let text = text(mark, revision);
            assert_eq!(
                parse(text.trim_matches('"')),
                Some(Version { mark, revision }),
                "{text}"
            );
        }
    }

    #[test]
    fn a_tag_that_we_never_made_names_no_version() {
        let other = [
            "",
            "abc",
            "-",
            "00000000000000ab-",
            "00000000000000AB-1",
            "00000000000000ab-01",
            "ab-1",
            "00000000000000ab-+1",
            "00000000000000ab-1-2",
            "100000000000000ab-1",
            "00000000000000ab-10000000000000000",
        ];
        for tag in other {
            assert_eq!(parse(tag), None, "{tag:?}");
        }
    }

    #[test]
    fn tags_are_taken_off_one_by_one() {
        let (tag, rest) = take_tag(r#"W/"a,b", "c""#).unwrap();
        assert_eq!(
            (tag.opaque.as_ref(), tag.strength, rest),
            ("a,b", Strength::Weak, r#", "c""#)
        );
        let (tag, rest) = take_tag(r#""""#).unwrap();
        assert_eq!(
            (tag.opaque.as_ref(), tag.strength, rest),
            ("", Strength::Strong, "")
        );
        for text in ["abc", "\"abc", "w/\"a\"", "\"a b\"", ""] {
            assert_eq!(take_tag(text), None, "{text:?}");
        }
    }
}
