//! A file of entries, read one by one, whatever its size: lines as export writes them, or the state file of
//! In-Memory-Cache. It must not know what becomes of an entry.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use clap::ValueEnum;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::Failure;
use super::line::{self, Item, Said};

/// The shapes that a file of entries can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line, as `standpipe export` writes it
    Lines,
    /// The state file of In-Memory-Cache: one JSON object of strings
    State,
}

/// Where in the input something stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Position {
    /// This line, from 1.
    Line(u64),
    /// This member of the state file's object, from 1.
    Member(u64),
    /// Somewhere that the reason itself names.
    Named,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}: "),
            Self::Member(member) => write!(f, "entry {member}: "),
            Self::Named => Ok(()),
        }
    }
}

/// Takes each entry and keyspace, or the reason why there is none at this position. Its failure ends the reading.
pub(super) type Taker<'a> =
    dyn FnMut(Position, Result<Said<'_>, String>) -> Result<(), Failure> + 'a;

/// What to read and how.
pub(super) struct Incoming<R> {
    /// The bytes.
    pub(super) reader: R,
    /// The shape; `None` looks at the first line.
    pub(super) format: Option<Format>,
    /// The longest line that an entry within the limits can need.
    pub(super) line_bytes: u64,
}

impl<R: BufRead> Incoming<R> {
    /// Hands every entry to `take`, in the order of the file.
    pub(super) fn each(mut self, take: &mut Taker<'_>) -> Result<(), Failure> {
        let mut first = self.next_line()?;
        if let Some(text) = first.as_mut().and_then(|line| line.text.as_mut())
            && text.starts_with(b"\xef\xbb\xbf")
        {
            text.drain(..3);
        }
        let Some(first) = first else { return Ok(()) };
        let format = self
            .format
            .unwrap_or_else(|| guess(first.text.as_deref().unwrap_or_default()));
        match format {
            Format::Lines => self.lines(first, take),
            Format::State => state(first.text.unwrap_or_default().chain(self.reader), take),
        }
    }

    fn lines(&mut self, first: Line, take: &mut Taker<'_>) -> Result<(), Failure> {
        let mut next = Some(first);
        let mut number = 0;
        while let Some(line) = next {
            number += 1;
            let at = Position::Line(number);
            match line.text.as_deref().map(<[u8]>::trim_ascii) {
                Some(b"") => {}
                Some(text) => take(at, line::read(text))?,
                None => {
                    let reason = format!(
                        "it is longer than {} bytes, which no entry within limits.key_bytes and limits.value_bytes needs",
                        self.line_bytes
                    );
                    take(at, Err(reason))?;
                }
            }
            next = self.next_line()?;
        }
        Ok(())
    }

    /// The next line without more of it in memory than a line may have.
    fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        let failed = |error: io::Error| Failure::io("read the input", &error);
        let mut text = Vec::new();
        let cap = self.line_bytes.saturating_add(1);
        let count = self
            .reader
            .by_ref()
            .take(cap)
            .read_until(b'\n', &mut text)
            .map_err(failed)?;
        if count == 0 {
            return Ok(None);
        }
        let whole =
            text.last() == Some(&b'\n') || u64::try_from(count).is_ok_and(|count| count < cap);
        if !whole {
            self.reader.skip_until(b'\n').map_err(failed)?;
        }
        Ok(Some(Line {
            text: whole.then_some(text),
        }))
    }
}

/// A line; without its text where that is too long.
struct Line {
    text: Option<Vec<u8>>,
}

/// An object with a `key` or a `policy` on one line is a line of ours; any other beginning of an object, or `null`, is a state file, which
/// In-Memory-Cache writes with one member a line.
fn guess(first: &[u8]) -> Format {
    let text = first.trim_ascii();
    match serde_json::from_slice::<Map<String, Value>>(text) {
        Ok(object) if object.contains_key("key") || object.contains_key("policy") => Format::Lines,
        Ok(_) => Format::State,
        Err(error)
            if text.starts_with(b"{") && error.is_eof() && !text.starts_with(b"{\"key\"") =>
        {
            Format::State
        }
        Err(_) if text == b"null" => Format::State,
        Err(_) => Format::Lines,
    }
}

fn state(reader: impl BufRead, take: &mut Taker<'_>) -> Result<(), Failure> {
    let mut members = Members {
        take,
        count: 0,
        stopped: None,
    };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = json
        .deserialize_option(&mut members)
        .and_then(|()| json.end());
    let Members { take, stopped, .. } = members;
    match (stopped, read) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) if error.is_io() => Err(Failure::io("read the input", &error.into())),
        (None, Err(error)) => take(
            Position::Named,
            Err(format!("it is no state file of In-Memory-Cache: {error}")),
        ),
        (None, Ok(())) => Ok(()),
    }
}

/// Visits the one object of a state file. `null` is what the program wrote when it had nothing.
struct Members<'a, 'b> {
    take: &'a mut Taker<'b>,
    count: u64,
    stopped: Option<Failure>,
}

impl<'de> Visitor<'de> for &mut Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of strings")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, object: D) -> Result<(), D::Error> {
        object.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let text = std::marker::PhantomData::<String>;
        while let Some(key) = map.next_key_seed(text)? {
            let value = map.next_value_seed(text)?;
            self.count += 1;
            let item = Item {
                keyspace: None,
                key: key.into(),
                value: value.into_bytes().into(),
                content_type: None,
                content_encoding: None,
                source: None,
                created_at_ms: None,
                expires_at_ms: None,
            };
            if let Err(failure) = (self.take)(Position::Member(self.count), Ok(Said::Entry(item))) {
                self.stopped = Some(failure);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    /// Position by position: `key=value`, or the reason.
    fn read_as(format: Option<Format>, text: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        let incoming = Incoming {
            reader: text,
            format,
            line_bytes: 100,
        };
        incoming
            .each(&mut |at, item| {
                seen.push(match item {
                    Ok(Said::Entry(item)) => {
                        format!("{at}{}={}", item.key, String::from_utf8_lossy(&item.value))
                    }
                    Ok(Said::Keyspace(name, _)) => format!("{at}{name}"),
                    Err(reason) => format!("{at}{reason}"),
                });
                Ok(())
            })
            .unwrap();
        seen
    }

    fn read(text: &[u8]) -> Vec<String> {
        read_as(None, text)
    }

    #[test]
    fn lines_are_counted_blank_ones_too() {
        let text = b"{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\"}\r\n{\"value\":\"3\",\"key\":\"c\"}";
        assert_eq!(
            read(text),
            [
                "line 1: a=1",
                "line 3: it has neither value nor value_base64",
                "line 4: c=3"
            ]
        );
        assert_eq!(read(b""), Vec::<String>::new());
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_whole() {
        let long = format!(
            "{{\"key\":\"a\",\"value\":\"{}\"}}\n{{\"key\":\"b\",\"value\":\"2\"}}\n",
            "x".repeat(10_000)
        );
        let seen = read_as(Some(Format::Lines), long.as_bytes());
        assert!(
            seen[0].starts_with("line 1: it is longer than 100 bytes"),
            "{seen:?}"
        );
        assert_eq!(seen[1..], ["line 2: b=2"]);
    }

    #[test]
    fn a_state_file_is_known_by_its_first_line() {
        let tabbed = b"{\n\t\"a\": \"1\",\n\t\"key\": \"\\u003cb\\u003e\"\n}";
        assert_eq!(read(tabbed), ["entry 1: a=1", "entry 2: key=<b>"]);
        assert_eq!(
            read(br#"{"a":"1","b":"2"}"#),
            ["entry 1: a=1", "entry 2: b=2"]
        );
        assert_eq!(
            read_as(Some(Format::State), br#"{"key":"k","value":"v"}"#),
            ["entry 1: key=k", "entry 2: value=v"]
        );
        for empty in [&b"{}"[..], b"null", b"null\n", b"\xef\xbb\xbf{}"] {
            assert_eq!(read(empty), Vec::<String>::new());
        }
    }

    #[test]
    fn a_broken_state_file_names_the_place() {
        let cut = read(b"{\n\t\"a\": \"1\",\n\t\"b\": \"");
        assert_eq!(cut[0], "entry 1: a=1");
        assert!(
            cut[1].starts_with(
                "it is no state file of In-Memory-Cache: EOF while parsing a string at line 3"
            ),
            "{cut:?}"
        );
        let number = read(b"{\n\t\"a\": true\n}");
        assert!(
            number[0].contains("expected a string at line 2"),
            "{number:?}"
        );
        let twice = read(b"{\n}\n{}");
        assert!(
            twice[0].contains("trailing characters at line 3"),
            "{twice:?}"
        );
    }

    #[test]
    fn a_cut_first_line_is_a_bad_line() {
        let cut = read(b"{\"key\":\"a\",\"val");
        assert_eq!(cut, ["line 1: EOF while parsing a string at column 15"]);
        assert_eq!(read(b"hello\n"), ["line 1: expected value at column 1"]);
    }

    #[test]
    fn the_takers_failure_ends_the_reading() {
        for text in [
            &b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"1\"}\n"[..],
            b"{\n\"a\": \"1\",\n\"b\": \"1\"}",
        ] {
            let mut count = 0;
            let incoming = Incoming {
                reader: text,
                format: None,
                line_bytes: 100,
            };
            let failure = incoming
                .each(&mut |_, _| {
                    count += 1;
                    Err(Failure::new(Exit::IO, "enough"))
                })
                .unwrap_err();
            assert_eq!((count, failure.to_string().as_str()), (1, "enough"));
        }
    }
}
