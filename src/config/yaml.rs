//! YAML in, typed sections out: the only module that knows the YAML library. It must not know what any setting means.

use serde::de::DeserializeOwned;
use serde_saphyr::Error;
use serde_saphyr::options::DuplicateKeyPolicy;

pub(super) use serde_saphyr::Spanned;

/// What is wrong with a document, and where.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// The line it was met at, from 1; 0 where the parser could not tell.
    pub(super) line: u64,
    /// The keys down to it, joined by dots; empty at the top.
    pub(super) path: String,
    /// Its kind.
    pub(super) what: What,
}

/// The kinds of fault whose messages differ.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum What {
    /// The last key of the path is none of those that its section has.
    Unknown,
    /// The last key of the path stands twice in its section.
    Duplicate,
    /// Anything else, such as text that is no YAML or a list where one value belongs: the library's own words.
    Other(String),
}

/// Reads one document. Nothing but comments means the default of everything, and so does a key without a value.
pub(super) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Fault> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let mut path = String::new();
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        serde_path_to_error::deserialize::<_, Option<T>>(document).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    })
    .map(Option::unwrap_or_default)
    .map_err(|error| fault(&error, &path))
}

fn fault(error: &Error, path: &str) -> Fault {
    let line = error.location().map_or(0, |location| location.line());
    let (what, key) = if let Error::SerdeUnknownField { field, .. } = error {
        (What::Unknown, Some(field.as_str()))
    } else if let Error::DuplicateMappingKey { key, .. } = error {
        (What::Duplicate, key.as_deref())
    } else {
        (What::Other(words(error)), None)
    };
    Fault {
        line,
        path: user_path(path, key),
        what,
    }
}

/// The library ends its sentence with the place, which stands at the front of ours, and advises programmers.
fn words(error: &Error) -> String {
    if let Error::MultipleDocuments { .. } = error {
        return "more than one YAML document".to_owned();
    }
    if let Error::Unexpected { expected, .. } = error {
        let shapes = [
            (
                "string scalar",
                "one value belongs here, not a list or a section",
            ),
            ("sequence start", "a list belongs here: [one, two]"),
            (
                "mapping start",
                "a section belongs here: lines of `name: value`",
            ),
        ];
        if let Some((_, ours)) = shapes.into_iter().find(|(theirs, _)| theirs == expected) {
            return ours.to_owned();
        }
    }
    let whole = error.to_string();
    whole
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The tracked path without the steps that are ours: `value` inside a spanned one, `?` for a key being read, `.` for
/// the top. The key that the fault is about, where it is known, ends it.
fn user_path(tracked: &str, key: Option<&str>) -> String {
    let mut steps: Vec<String> = Vec::new();
    for step in tracked.split('.') {
        // An item of a spanned list is `value[0]` there and `tokens[0]` for people.
        match (step.strip_prefix("value["), steps.last_mut()) {
            (Some(item), Some(list)) => list.extend(["[", item]),
            _ if matches!(step, "" | "?" | "value") => {}
            _ => steps.push(step.to_owned()),
        }
    }
    if let Some(key) = key {
        if steps.last().is_some_and(|last| last == key) {
            steps.pop();
        }
        steps.push(key.to_owned());
    }
    steps.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Top {
        version: Option<Spanned<String>>,
        house: Option<House>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct House {
        rooms: Option<Spanned<String>>,
    }

    fn refused(text: &str) -> Fault {
        read::<Top>(text).expect_err("a faulty document")
    }

    #[test]
    fn nothing_said_is_the_default_of_everything() {
        for text in [
            "",
            "# only words\n",
            "---\n",
            "house:\n",
            "house:\n  rooms:\n",
        ] {
            let top: Top = read(text).expect(text);
            assert!(
                top.version.is_none() && top.house.unwrap_or_default().rooms.is_none(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_scalar_keeps_its_own_spelling_and_line() {
        let top: Top = read("\n\nversion: 1.0\n").expect("a valid document");
        let version = top.version.expect("said");
        assert_eq!(
            (version.value.as_str(), version.referenced.line()),
            ("1.0", 3)
        );
    }

    #[test]
    fn faults_carry_line_and_path() {
        let unknown = refused("house:\n  romms: 2\n");
        assert_eq!(
            unknown,
            Fault {
                line: 2,
                path: "house.romms".to_owned(),
                what: What::Unknown
            }
        );
        let twice = refused("house: { rooms: 1,\n rooms: 2 }\n");
        assert_eq!(
            twice,
            Fault {
                line: 2,
                path: "house.rooms".to_owned(),
                what: What::Duplicate
            }
        );
        let list = refused("house:\n  rooms: [1]\n");
        assert_eq!((list.line, list.path.as_str()), (2, "house.rooms"));
        assert_eq!(
            list.what,
            What::Other("one value belongs here, not a list or a section".to_owned())
        );
        let value = refused("value: 1\n");
        assert_eq!(
            value,
            Fault {
                line: 1,
                path: "value".to_owned(),
                what: What::Unknown
            }
        );
    }

    #[test]
    fn a_second_document_is_refused() {
        assert_eq!(
            refused("version: a\n---\nversion: b\n").what,
            What::Other("more than one YAML document".to_owned())
        );
    }
}
