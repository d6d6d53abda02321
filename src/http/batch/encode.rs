//! Values as JSON has them, measured before they are written and written in pieces: an answer with many megabytes of values
//! is never in memory as text. It must not know what the values are for.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

/// A value's bytes on their way into a JSON text, without the quotes.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// As text, because they are UTF-8.
    Text(Bytes),
    /// In base64, because they are not.
    Base64(Bytes),
}

impl Value {
    /// How `bytes` are shown.
    pub(super) fn of(bytes: Bytes) -> Self {
        if std::str::from_utf8(&bytes).is_ok() {
            Self::Text(bytes)
        } else {
            Self::Base64(bytes)
        }
    }

    /// The name of the member that shows them.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "value",
            Self::Base64(_) => "value_base64",
        }
    }

    /// How many bytes they take in the JSON text.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(bytes) => bytes.iter().map(|byte| escaped_len(*byte)).sum(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }

    /// Whether everything has been taken.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(bytes) | Self::Base64(bytes) => bytes.is_empty(),
        }
    }

    /// Takes about `len` bytes of the value off the front, at least one letter, and appends them to `out`.
    pub(super) fn write_some(&mut self, len: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(bytes) => {
                let part = bytes.split_to(boundary(bytes, len));
                let text = std::str::from_utf8(&part).expect("cut between letters of UTF-8");
                let start = out.len();
                serde_json::to_writer(&mut *out, text).expect("memory takes every byte");
                // The quotes stand around the whole value, not around each piece.
                out.pop();
                out.remove(start);
            }
            Self::Base64(bytes) => {
                // Whole groups of three bytes, so that only the last piece is padded.
                let len = (len.max(3) / 3 * 3).min(bytes.len());
                let part = bytes.split_to(len);
                out.extend_from_slice(BASE64_STANDARD.encode(part).as_bytes());
            }
        }
    }
}

/// The first place from `len` on where a letter begins.
fn boundary(text: &[u8], len: usize) -> usize {
    let continues = |byte: &u8| byte & 0xC0 == 0x80;
    let from = len.max(1);
    let rest = text.get(from..).unwrap_or_default();
    let more = rest.iter().take_while(|byte| continues(byte)).count();
    (from + more).min(text.len())
}

/// How many bytes a byte of UTF-8 takes within the quotes of a JSON text.
fn escaped_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8], piece: usize) -> (usize, Vec<u8>) {
        let mut value = Value::of(Bytes::copy_from_slice(bytes));
        let (len, mut out) = (value.len(), Vec::new());
        while !value.is_empty() {
            value.write_some(piece, &mut out);
        }
        (len, out)
    }

    #[test]
    fn text_in_pieces_is_what_it_is_as_a_whole() {
        let mut text: String = (0..=0x7F_u8).map(char::from).collect();
        text.push_str("\u{e9}\u{20ac}\u{1F600}\u{7FF}\u{800}\u{FFFF}\u{10000}end");
        let whole = serde_json::to_vec(&text).unwrap();
        for piece in [0, 1, 2, 3, 4, 5, 7, 64, 10_000] {
            let (len, out) = written(text.as_bytes(), piece);
            assert_eq!(out, whole[1..whole.len() - 1], "{piece}");
            assert_eq!(len, out.len());
        }
    }

    #[test]
    fn bytes_in_pieces_are_one_base64() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in [1, 2, 3, 4, 255, 256] {
            let bytes = &bytes[256 - len..];
            let whole = BASE64_STANDARD.encode(bytes);
            for piece in [0, 1, 3, 4, 64, 10_000] {
                let (measured, out) = written(bytes, piece);
                assert_eq!(out, whole.as_bytes(), "{len} {piece}");
                assert_eq!(measured, out.len());
            }
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(written(b"", 3), (0, Vec::new()));
        assert_eq!(Value::of(Bytes::new()).name(), "value");
        assert_eq!(
            Value::of(Bytes::from_static(b"\xff")).name(),
            "value_base64"
        );
    }
}
