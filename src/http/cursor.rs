//! The cursor of a list: everything that its next page needs, as opaque text. The server keeps nothing, so a cursor is
//! good for as long as there is the keyspace, across restarts too. It must not know what is listed.
//!
//! ```text
//! base64url( version 1 | crc32 of the rest 4 | prefix | delimiter | after | place )
//! each part: len 4, little-endian, and its bytes; a delimiter of 0 bytes is none; `after`: 1 and the part, or 0
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The only layout so far.
const VERSION: u8 = 1;

/// What a cursor holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cursor {
    /// The prefix that the list was asked for with.
    pub(crate) prefix: String,
    /// Its delimiter; empty where it has none.
    pub(crate) delimiter: String,
    /// Its `after`.
    pub(crate) after: Option<String>,
    /// Where the page before it ended.
    pub(crate) place: Vec<u8>,
}

impl Cursor {
    /// The cursor as text, of characters that stand in an address as they are.
    pub(crate) fn encoded(&self) -> String {
        let mut body = Vec::new();
        push(&mut body, self.prefix.as_bytes());
        push(&mut body, self.delimiter.as_bytes());
        body.push(u8::from(self.after.is_some()));
        if let Some(after) = &self.after {
            push(&mut body, after.as_bytes());
        }
        push(&mut body, &self.place);
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor. `None` for every text that [`Cursor::encoded`] does not make.
    pub(crate) fn decoded(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&VERSION, rest) = bytes.split_first()? else {
            return None;
        };
        let (sum, mut body) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != crc32fast::hash(body) {
            return None;
        }
        let cursor = Self {
            prefix: text_of(take(&mut body)?)?,
            delimiter: text_of(take(&mut body)?)?,
            after: match take_byte(&mut body)? {
                0 => None,
                1 => Some(text_of(take(&mut body)?)?),
                _ => return None,
            },
            place: take(&mut body)?.to_vec(),
        };
        body.is_empty().then_some(cursor)
    }
}

fn push(body: &mut Vec<u8>, part: &[u8]) {
    let len = u32::try_from(part.len()).expect("a part came in an address or is a key");
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(part);
}

fn take<'b>(body: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, rest) = body.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (part, rest) = rest.split_at_checked(len)?;
    *body = rest;
    Some(part)
}

fn take_byte(body: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = body.split_first()?;
    *body = rest;
    Some(*byte)
}

fn text_of(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            prefix: "us\u{e9}r/".to_owned(),
            delimiter: "/".to_owned(),
            after: Some("us\u{e9}r/a".to_owned()),
            place: b"us\xc3\xa9r/b/\xff".to_vec(),
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let plain = Cursor {
            prefix: String::new(),
            delimiter: String::new(),
            after: None,
            place: Vec::new(),
        };
        for cursor in [cursor(), plain] {
            let text = cursor.encoded();
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
            assert_eq!(Cursor::decoded(&text), Some(cursor));
        }
    }

    #[test]
    fn the_layout_does_not_change() {
        // Cursors outlive restarts, so they outlive upgrades.
        let text = "AVb9ILwBAAAAYQEAAAAvAQIAAABhYgMAAABhYmM";
        let kept = Cursor {
            prefix: "a".to_owned(),
            delimiter: "/".to_owned(),
            after: Some("ab".to_owned()),
            place: b"abc".to_vec(),
        };
        assert_eq!(kept.encoded(), text);
        assert_eq!(Cursor::decoded(text), Some(kept));
    }

    #[test]
    fn a_cursor_with_any_damage_is_none() {
        let text = cursor().encoded();
        for at in 0..text.len() {
            for replacement in ["A", "_", "=", "%", ""] {
                let mut damaged = text.clone();
                damaged.replace_range(at..=at, replacement);
                if damaged != text {
                    assert_eq!(Cursor::decoded(&damaged), None, "{damaged}");
                }
            }
            assert_eq!(Cursor::decoded(text.get(..at).unwrap()), None);
        }
        assert_eq!(Cursor::decoded(""), None);
        assert_eq!(Cursor::decoded(&(text + "AAAA")), None);
    }
}
