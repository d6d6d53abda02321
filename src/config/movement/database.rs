//! Which database to ask, and what: addresses, questions, names of tables. It must not know what the answers are for.

use super::super::error::ConfigError;
use super::super::secrets;
use super::super::section::Section;
use super::Bounds;
use super::places::{self, INTO_STORAGE};
use crate::outbound::{DatabaseKind, Secret};

/// The longest name of a column or a table. No database takes a longer one.
const MOST_NAME_CHARS: usize = 128;

/// Reads the address of a database, and the kind of it where the file says so itself.
pub(super) fn database(
    section: &mut Section<'_>,
    bounds: &Bounds<'_>,
) -> Result<(Secret, Option<DatabaseKind>), ConfigError> {
    let mut kind = None;
    let url = section.secret("url", "url_file", secrets::database, |text| {
        kind = DatabaseKind::of(text);
        if kind.is_none() {
            let words = "begins with none of postgres:, mysql:, mariadb:, sqlite:";
            return Err(words.to_owned());
        }
        let file = places::sqlite_file(text);
        if file.is_some_and(|file| places::is_within(&file, bounds.storage)) {
            return Err(INTO_STORAGE.to_owned());
        }
        Ok(())
    })?;
    match url {
        Some(url) => Ok((url, kind)),
        None => Err(section.whole("url or url_file is missing")),
    }
}

/// A question whose one parameter is the key. Without a kind it may be for any.
pub(super) fn question(text: &str, kind: Option<DatabaseKind>) -> Result<String, String> {
    let found = Parameters::of(text, kind == Some(DatabaseKind::MySql));
    let (dollar, mark) = (found.is_dollar_one(), found.is_one_mark());
    let (good, wanted) = match kind {
        Some(DatabaseKind::Postgres) => (dollar, "$1"),
        Some(DatabaseKind::MySql) => (mark, "?"),
        Some(DatabaseKind::Sqlite) => (dollar || mark, "$1"),
        None => (dollar || mark, "$1, or ? for MySQL"),
    };
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("needs the key as its one parameter: {wanted}"))
    }
}

/// The places in a question where values go.
#[derive(Debug, Default, Eq, PartialEq)]
struct Parameters {
    /// The numbers of `$1`, `$2`.
    dollars: Vec<u32>,
    /// How many `?` there are.
    marks: usize,
}

impl Parameters {
    /// Those outside of quotes and comments.
    fn of(text: &str, mysql: bool) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            rest = match c {
                '\'' | '"' | '`' => behind_quote(after, c, mysql),
                '#' if mysql => behind(after, "\n"),
                '-' if after.starts_with('-') => behind(after, "\n"),
                '/' if after.starts_with('*') => behind(after, "*/"),
                '$' => {
                    let end = after.find(|c: char| !c.is_ascii_digit());
                    let (number, after) = after.split_at(end.unwrap_or(after.len()));
                    found.dollars.extend(number.parse::<u32>());
                    after
                }
                '?' => {
                    found.marks += 1;
                    after
                }
                _ => after,
            };
        }
        found
    }

    fn is_dollar_one(&self) -> bool {
        !self.dollars.is_empty() && self.dollars.iter().all(|number| *number == 1)
    }

    fn is_one_mark(&self) -> bool {
        self.marks == 1 && self.dollars.is_empty()
    }
}

fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What follows a quoted text. A doubled quote ends one and begins another; `MySQL` knows the backslash as well.
fn behind_quote(text: &str, quote: char, mysql: bool) -> &str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if mysql && c == '\\' {
            chars.next();
        } else if c == quote {
            return text.get(at + c.len_utf8()..).unwrap_or_default();
        }
    }
    ""
}

/// The name of a column.
pub(super) fn column(text: &str) -> Result<String, String> {
    let wrong = |c: char| c.is_control() || matches!(c, '"' | '`' | '\'' | '\\');
    if text.contains(wrong) {
        return Err("holds a quote, a backslash or a character that no name has".to_owned());
    }
    if text.chars().count() > MOST_NAME_CHARS {
        return Err(format!("is longer than {MOST_NAME_CHARS} characters"));
    }
    Ok(text.to_owned())
}

/// The name of a table, perhaps with its schema before it.
pub(super) fn table(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.is_empty()) {
        return Err("is not a table, or a schema, a dot and a table".to_owned());
    }
    column(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DatabaseKind::{MySql, Postgres, Sqlite};

    #[test]
    fn a_question_has_the_key_as_its_one_parameter() {
        for (kind, text) in [
            (Some(Postgres), "SELECT v FROM t WHERE k = $1"),
            (
                Some(Postgres),
                "SELECT v -> '?' FROM t WHERE a ? 'x' AND k = $1 AND l = $1",
            ),
            (Some(MySql), "SELECT v FROM t WHERE k = ?"),
            (
                Some(MySql),
                "SELECT 'it\\'s ?', \"?\", `?` # ?\n FROM t WHERE k = ? -- ?",
            ),
            (Some(Sqlite), "SELECT v FROM t WHERE k = $1"),
            (Some(Sqlite), "SELECT v FROM t WHERE k = ?1"),
            (None, "SELECT v FROM t WHERE k = $1"),
            (None, "SELECT 'é''?' FROM t /* ? */ WHERE k = ?"),
        ] {
            assert_eq!(question(text, kind).as_deref(), Ok(text));
        }
        for (kind, text) in [
            (Some(Postgres), "SELECT v FROM t WHERE k = ?"),
            (Some(Postgres), "SELECT v FROM t WHERE k = $2"),
            (Some(Postgres), "SELECT v FROM t WHERE k = $1 AND l = $2"),
            (Some(Postgres), "SELECT '$1'"),
            (Some(Postgres), "SELECT 1 -- $1"),
            (Some(Postgres), "SELECT $"),
            (Some(MySql), "SELECT v FROM t WHERE k = $1"),
            (Some(MySql), "SELECT v FROM t WHERE k = ? AND l = ?"),
            (Some(Sqlite), "SELECT 1"),
            (None, "SELECT '?' /* $1"),
            (None, "SELECT 'open ?"),
        ] {
            let problem = question(text, kind).unwrap_err();
            assert!(problem.contains("one parameter"), "{text}: {problem}");
        }
    }

    #[test]
    fn tables_and_columns_have_plain_names() {
        for text in ["t", "public.page_views", "Page Views", "größe"] {
            assert_eq!(table(text).as_deref(), Ok(text));
        }
        for text in [
            "a.b.c",
            ".t",
            "s.",
            "a\"b",
            "a`b",
            "a\\b",
            "a\nb",
            &"x".repeat(129),
        ] {
            assert!(table(text).is_err(), "{text}");
        }
        assert_eq!(column(&"x".repeat(128)).map(|text| text.len()), Ok(128));
        assert!(column("a.b").is_ok() && column("a'b").is_err());
    }
}
