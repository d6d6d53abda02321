//! Strict percent-decoding, once: a malformed `%` is an error, never passed through. It must not know what is decoded.

use std::borrow::Cow;

/// Why text could not be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("a % is not followed by two hexadecimal digits")]
    Malformed,
    /// The decoded bytes are not UTF-8.
    #[error("the bytes are not UTF-8 once decoded")]
    NotUtf8,
}

/// What `+` stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Plus {
    /// Itself, as in paths.
    Plus,
    /// A space, as in queries.
    Space,
}

/// Decodes `text` exactly once. Borrows where there is nothing to decode.
pub(crate) fn decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, DecodeError> {
    let is_special = |byte: &u8| *byte == b'%' || (*byte == b'+' && plus == Plus::Space);
    if !text.as_bytes().iter().any(is_special) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let [high, low, tail @ ..] = tail else {
                    return Err(DecodeError::Malformed);
                };
                let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
                    return Err(DecodeError::Malformed);
                };
                decoded.push(high << 4 | low);
                rest = tail;
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_not_utf8| DecodeError::NotUtf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(
            decode("a/b+c", Plus::Plus),
            Ok(Cow::Borrowed("a/b+c"))
        ));
    }

    #[test]
    fn escapes_are_decoded_exactly_once() {
        assert_eq!(decode("a%2Fb%2fc", Plus::Plus).unwrap(), "a/b/c");
        assert_eq!(decode("%252F", Plus::Plus).unwrap(), "%2F");
        assert_eq!(decode("%E2%82%AC", Plus::Plus).unwrap(), "\u{20ac}");
        assert_eq!(decode("%00", Plus::Plus).unwrap(), "\0");
    }

    #[test]
    fn a_plus_is_a_space_only_in_queries() {
        assert_eq!(decode("a+b%2B", Plus::Space).unwrap(), "a b+");
        assert_eq!(decode("a+b%2B", Plus::Plus).unwrap(), "a+b+");
    }

    #[test]
    fn malformed_escapes_and_other_encodings_are_refused() {
        for text in ["%", "a%", "%2", "%G0", "%0G", "%%", "%+1", "% 1"] {
            assert_eq!(
                decode(text, Plus::Plus),
                Err(DecodeError::Malformed),
                "{text}"
            );
        }
        for text in ["%FF", "%FE", "%C0%80", "%ED%A0%80", "a%E2%82"] {
            assert_eq!(
                decode(text, Plus::Plus),
                Err(DecodeError::NotUtf8),
                "{text}"
            );
        }
    }
}
