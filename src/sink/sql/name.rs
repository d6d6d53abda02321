//! Names of tables and columns as statements hold them. They come from the configuration and are quoted all the same: a name
//! with a space, a capital letter or a quotation mark is a name. It must not know which statements.

/// A table, perhaps with its schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TableName {
    /// The schema, which in `MySQL` is a database.
    pub(super) schema: Option<String>,
    /// The table in it.
    pub(super) table: String,
}

impl TableName {
    /// Reads `table` or `schema.table`; a part that holds a dot stands in double quotes, and one in it is doubled.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a table nor schema.table");
        let (first, rest) = part(text).ok_or_else(wrong)?;
        let Some(rest) = rest else {
            return Ok(Self {
                schema: None,
                table: first,
            });
        };
        match part(rest) {
            Some((table, None)) => Ok(Self {
                schema: Some(first),
                table,
            }),
            _ => Err(wrong()),
        }
    }

    /// The table called `name` beside this one.
    pub(super) fn beside(&self, name: &str) -> Self {
        Self {
            schema: self.schema.clone(),
            table: name.to_owned(),
        }
    }

    /// As a statement holds it, each part within `mark`s.
    pub(super) fn quoted(&self, mark: char) -> String {
        let table = quoted(&self.table, mark);
        match &self.schema {
            None => table,
            Some(schema) => format!("{}.{table}", quoted(schema, mark)),
        }
    }
}

/// A name within `mark`s, those in it doubled.
pub(super) fn quoted(name: &str, mark: char) -> String {
    let doubled = name.replace(mark, &format!("{mark}{mark}"));
    format!("{mark}{doubled}{mark}")
}

/// The first part of a name, and what is behind the dot after it.
fn part(text: &str) -> Option<(String, Option<&str>)> {
    let (name, rest) = match text.strip_prefix('"') {
        None => match text.split_once('.') {
            None => (text.to_owned(), None),
            Some((name, rest)) => (name.to_owned(), Some(rest)),
        },
        Some(inner) => {
            let (name, behind) = within_quotes(inner)?;
            match behind.strip_prefix('.') {
                Some(rest) => (name, Some(rest)),
                None if behind.is_empty() => (name, None),
                None => return None,
            }
        }
    };
    // No database has such a name, and a protocol may end at the NUL.
    let is_name = !name.is_empty() && !name.contains('\0');
    is_name.then_some((name, rest))
}

/// The name up to the closing quotation mark, and what is behind it.
fn within_quotes(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            None => return Some((name, behind)),
            Some(more) => {
                name.push('"');
                rest = more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, String) {
        let name = TableName::parse(text).unwrap();
        (name.schema, name.table)
    }

    #[test]
    fn a_dot_parts_schema_and_table_unless_it_is_quoted() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("views"), (None, "views".into()));
        assert_eq!(parsed("web.views"), (some("web"), "views".into()));
        assert_eq!(parsed("\"web.views\""), (None, "web.views".into()));
        assert_eq!(parsed("\"a.b\".\"c\"\"d\""), (some("a.b"), "c\"d".into()));
        assert_eq!(parsed("page views"), (None, "page views".into()));
        for text in [
            "", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\0b", "\"\"",
        ] {
            TableName::parse(text).unwrap_err();
        }
    }

    #[test]
    fn whatever_stands_in_a_name_stays_in_it() {
        let name = TableName::parse("we\"b.vi`ews\"; DROP TABLE x; --").unwrap();
        assert_eq!(
            name.quoted('"'),
            "\"we\"\"b\".\"vi`ews\"\"; DROP TABLE x; --\""
        );
        assert_eq!(name.quoted('`'), "`we\"b`.`vi``ews\"; DROP TABLE x; --`");
        assert_eq!(
            name.beside("standpipe_sink").quoted('"'),
            "\"we\"\"b\".\"standpipe_sink\""
        );
    }
}
