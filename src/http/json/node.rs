//! JSON as a tree that borrows from its text, read strictly: no name twice, nothing behind the end, and no more members,
//! items or values than any operation has, so that a small body cannot become a large tree. It must not know what the
//! values mean.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The most members of one object: several times what any operation knows.
const MEMBERS: usize = 64;
/// The most values in a body, for each item that its list may have: members of members included.
const VALUES_PER_ITEM: usize = 32;
/// What a byte order mark is in UTF-8. Some editors and shells put one in front (RFC 8259, section 8.1).
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Boolean(bool),
    /// A whole number that fits 64 bits, with a sign or without; `2.0` and `1e3` are whole too.
    Integer(i128),
    /// Any other number.
    Fraction(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Members<'a>),
}

/// The members of an object, in order; no name is there twice.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is not JSON, or more of it than is read.
    #[error("{0}")]
    Unreadable(serde_json::Error),
    /// A list is longer than it may be.
    #[error("a list in it is too long")]
    TooManyItems,
}

impl<'a> Node<'a> {
    /// Reads `text`, whose lists may have at most `items` items.
    pub(super) fn read(text: &'a [u8], items: usize) -> Result<Self, Refused> {
        let text = text.strip_prefix(MARK).unwrap_or(text);
        let bounds = Bounds {
            items,
            values: Cell::new(
                items
                    .saturating_mul(VALUES_PER_ITEM)
                    .saturating_add(MEMBERS),
            ),
            too_many_items: Cell::new(false),
        };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read = Seed(&bounds).deserialize(&mut reader);
        match read.and_then(|node| reader.end().map(|()| node)) {
            Ok(node) => Ok(node),
            Err(_) if bounds.too_many_items.get() => Err(Refused::TooManyItems),
            Err(error) => Err(Refused::Unreadable(error)),
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::Fraction(_) => "a number with a fraction or too many digits",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// A name or text as an error shows it: not more of it than a line.
pub(super) fn shown(text: &str) -> String {
    const CHARS: usize = 64;
    let mut short: String = text.chars().take(CHARS).collect();
    if short.len() < text.len() {
        short.push('\u{2026}');
    }
    format!("{short:?}")
}

/// How much may still be read.
struct Bounds {
    items: usize,
    values: Cell<usize>,
    too_many_items: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Seed<'b>(&'b Bounds);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Node<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        // Beyond this a double no longer tells one whole number from the next.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = value.fract() == 0.0 && value.abs() <= EXACT;
        let text = whole.then(|| format!("{value:.0}"));
        let number = text.and_then(|text| text.parse().ok());
        Ok(number.map_or(Node::Fraction(value), Node::Integer))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            if items.len() == self.0.items {
                self.0.too_many_items.set(true);
                return Err(A::Error::custom("a list is too long"));
            }
            self.count()?;
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node<'de>, A::Error> {
        let mut members = Members::new();
        while let Some(name) = object.next_key_seed(Name)? {
            if members.iter().any(|(earlier, _)| *earlier == name) {
                let twice = format_args!("the name {} is there twice", shown(&name));
                return Err(A::Error::custom(twice));
            }
            if members.len() == MEMBERS {
                let many = format_args!("an object has more than {MEMBERS} members");
                return Err(A::Error::custom(many));
            }
            self.count()?;
            members.push((name, object.next_value_seed(self)?));
        }
        Ok(Node::Object(members))
    }
}

impl Seed<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        match self.0.values.get().checked_sub(1) {
            Some(left) => {
                self.0.values.set(left);
                Ok(())
            }
            None => Err(E::custom("it has more values than any operation takes")),
        }
    }
}

/// The name of a member, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node<'_>, String> {
        Node::read(text.as_bytes(), 4).map_err(|refused| refused.to_string())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let node = read(r#" {"a":[null,true,-1,1.5],"b\n":"c","d":{"e":18446744073709551615}} "#);
        let integer = |value: i128| Node::Integer(value);
        let expected = Node::Object(vec![
            (
                "a".into(),
                Node::List(vec![
                    Node::Null,
                    Node::Boolean(true),
                    integer(-1),
                    Node::Fraction(1.5),
                ]),
            ),
            ("b\n".into(), Node::Text("c".into())),
            (
                "d".into(),
                Node::Object(vec![("e".into(), integer(u64::MAX.into()))]),
            ),
        ]);
        assert_eq!(node, Ok(expected));
    }

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        for (text, number) in [("2.0", 2), ("1e3", 1_000), ("-0.0", 0), ("-7e0", -7)] {
            assert_eq!(read(text), Ok(Node::Integer(number)), "{text}");
        }
        for text in [
            "2.5",
            "1e-1",
            "9007199254740994.0",
            "18446744073709551616",
            "1e300",
        ] {
            let number = read(text).unwrap();
            assert!(matches!(number, Node::Fraction(_)), "{text} {number:?}");
        }
    }

    #[test]
    fn plain_text_is_borrowed() {
        let Ok(Node::Text(Cow::Borrowed("plain"))) = read(r#""plain""#) else {
            panic!("the text was copied");
        };
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(read("\u{FEFF}1"), Ok(Node::Integer(1)));
    }

    #[test]
    fn what_is_no_json_is_told_by_line_and_column() {
        for (text, told) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\n\"a\":}", "expected value at line 2 column 5"),
            ("1 2", "trailing characters at line 1 column 3"),
            ("{\"a\":1,}", "trailing comma at line 1 column 8"),
            (
                "\"\\ud800\"",
                "unexpected end of hex escape at line 1 column 8",
            ),
            ("nul", "EOF while parsing a value at line 1 column 3"),
            ("nulL", "expected ident at line 1 column 4"),
            ("1e999", "number out of range at line 1 column 5"),
            ("'a'", "expected value at line 1 column 1"),
        ] {
            assert_eq!(read(text), Err(told.to_owned()), "{text:?}");
        }
        let told = Node::read(b"\"\xFF\"", 4).unwrap_err().to_string();
        assert!(told.starts_with("invalid unicode code point"), "{told}");
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_also_when_it_is_escaped() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"a":1}}]"#,
        ] {
            let told = read(text).unwrap_err();
            assert!(
                told.starts_with("the name \"a\" is there twice at line 1 column"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_small_body_cannot_become_a_large_tree() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert!(
            read(&deep)
                .unwrap_err()
                .starts_with("recursion limit exceeded")
        );
        assert!(matches!(
            Node::read(b"[1,2,3,4,5]", 4),
            Err(Refused::TooManyItems)
        ));
        let names: Vec<_> = (0..65).map(|n| format!("\"{n}\":0")).collect();
        let wide = format!("{{{}}}", names.join(","));
        assert!(read(&wide).unwrap_err().contains("more than 64 members"));
        // Four items at most in each list, and still far too many.
        let bushy = (0..5).fold("0".to_owned(), |inner, _| {
            format!("[{inner},{inner},{inner},{inner}]")
        });
        assert!(read(&bushy).unwrap_err().contains("more values"));
    }

    #[test]
    fn what_is_shown_of_a_text_is_short() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown(&"x".repeat(1_000)).chars().count(), 64 + 3);
    }
}
