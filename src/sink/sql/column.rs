//! What the columns of a table take: whether a table is fit for a sink at all, and which rows it would not keep as they are.
//! It must not know how a database is asked for these facts.

use crate::sink::ledger::Fault;
use crate::sink::options::Mode;
use crate::sink::row::{Change, Row};

/// How a column wants what it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A whole number.
    Integer,
}

/// A column that is written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Column {
    /// What it wants.
    pub(super) kind: Kind,
    /// The most characters that it takes. More are refused here: a database may cut spaces off the end without a word.
    pub(super) most_chars: Option<u64>,
    /// The most bytes that it takes.
    pub(super) most_bytes: Option<u64>,
    /// Whether text with U+0000 in it cannot be kept.
    pub(super) refuses_nul: bool,
    /// Whether texts are compared as if spaces at their end were not there.
    pub(super) ignores_final_spaces: bool,
}

impl Column {
    /// A column without particular limits.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            most_chars: None,
            most_bytes: None,
            refuses_nul: false,
            ignores_final_spaces: false,
        }
    }

    /// Says why `bytes` would not stay what they are, where that can be told before they are sent.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(most) = self.most_bytes.filter(|most| len > *most) {
            return Err(format!("{len} bytes, and the column takes {most}"));
        }
        if self.kind == Kind::Bytes {
            return Ok(());
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err("not UTF-8, and the column takes text".to_owned());
        };
        if self.refuses_nul && text.contains('\0') {
            return Err("holds U+0000, which text of this database cannot".to_owned());
        }
        if self.ignores_final_spaces && text.ends_with(' ') {
            return Err("ends with a space, which the column's collation ignores".to_owned());
        }
        if let Some(most) = self.most_chars {
            let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
            if chars > most {
                return Err(format!("{chars} characters, and the column takes {most}"));
            }
        }
        Ok(())
    }
}

/// The two columns that are written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// Of the key.
    pub(super) key: Column,
    /// Of the value.
    pub(super) value: Column,
}

impl Shape {
    /// The columns, if they are of use in that mode. `names` are those of the key's column and the value's.
    pub(super) fn new(
        key: Option<Column>,
        value: Option<Column>,
        mode: Mode,
        names: (&str, &str),
    ) -> Result<Self, Fault> {
        let key = key.filter(|column| column.kind != Kind::Integer).ok_or_else(|| {
            Fault::unsuitable(format!(
                "key_column {:?} is of a type that does not keep every key as it is; make it text or bytes without a fixed \
                 length",
                names.0
            ))
        })?;
        let integer = |column: &Column| column.kind == Kind::Integer;
        let value = match mode {
            Mode::Increment => value.filter(integer).ok_or_else(|| {
                Fault::unsuitable(format!(
                    "value_column {:?} is no whole number, and mode is increment",
                    names.1
                ))
            })?,
            Mode::Upsert(_) => value.filter(|column| !integer(column)).ok_or_else(|| {
                Fault::unsuitable(format!(
                    "value_column {:?} is of a type that does not keep every value as it is; make it text, JSON or bytes",
                    names.1
                ))
            })?,
        };
        // What a collation ignores matters where rows are told apart, not where they are read.
        let value = Column {
            ignores_final_spaces: false,
            ..value
        };
        Ok(Self { key, value })
    }

    /// Says why a row would not stay what it is, where that can be told before it is sent.
    pub(super) fn check(&self, row: &Row) -> Result<(), String> {
        self.key
            .check(&row.key)
            .map_err(|why| format!("the key: {why}"))?;
        match &row.change {
            // What was pending before the mode was changed.
            Change::Add(_) if self.value.kind != Kind::Integer => {
                Err("a sum, and mode is not increment any more".to_owned())
            }
            Change::Put(_) if self.value.kind == Kind::Integer => {
                Err("a value, and mode is not upsert any more".to_owned())
            }
            Change::Add(_) | Change::Remove => Ok(()),
            Change::Put(value) => self
                .value
                .check(&value.bytes)
                .map_err(|why| format!("the value: {why}")),
        }
    }
}

/// That a column is not there.
pub(super) fn missing(setting: &str, name: &str) -> Fault {
    Fault::unsuitable(format!("the table has no column {name:?} ({setting})"))
}

/// That another column would have to be filled as well.
pub(super) fn unfilled(name: &str) -> Fault {
    Fault::unsuitable(format!(
        "the column {name:?} is NOT NULL without a default, so no row could be made; give it a default"
    ))
}

/// That rows cannot be found by their key.
pub(super) fn not_unique(name: &str) -> Fault {
    Fault::unsuitable(format!(
        "key_column {name:?} needs a unique index or a primary key of exactly that column"
    ))
}

/// That different keys would be taken for the same.
pub(super) fn folds(name: &str, collation: &str, remedy: &str) -> Fault {
    Fault::unsuitable(format!(
        "key_column {name:?} has the collation {collation}, which takes different keys for the same, so that they would \
         share a row; {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::options::Deletes;

    #[test]
    fn what_a_column_would_not_keep_as_it_is_is_told_before() {
        let text = Column::of(Kind::Text);
        let told = |column: Column, bytes: &[u8]| column.check(bytes).is_err();
        assert!(!told(text, "any \u{1F600}\0 ".as_bytes()));
        assert!(told(text, b"\xff"));
        assert!(!told(Column::of(Kind::Bytes), b"\xff\0 "));
        let no_nul = Column {
            refuses_nul: true,
            ..text
        };
        assert!(told(no_nul, b"a\0") && !told(no_nul, b"a"));
        let pads = Column {
            ignores_final_spaces: true,
            ..text
        };
        assert!(told(pads, b"a ") && !told(pads, b" a") && !told(pads, b"a\t"));
        let short = Column {
            most_chars: Some(2),
            ..text
        };
        assert!(told(short, b"ab ") && !told(short, "\u{e4}\u{1F600}".as_bytes()));
        let small = Column {
            most_bytes: Some(2),
            ..Column::of(Kind::Bytes)
        };
        assert!(told(small, b"abc") && !told(small, b"ab"));
    }

    #[test]
    fn a_mode_wants_its_kind_of_column() {
        let column = |kind| Some(Column::of(kind));
        let fit = |key, value, mode| Shape::new(key, value, mode, ("k", "v")).is_ok();
        let (text, integer) = (column(Kind::Text), column(Kind::Integer));
        let upsert = Mode::Upsert(Deletes::Ignore);
        assert!(fit(text, integer, Mode::Increment));
        assert!(fit(text, column(Kind::Bytes), upsert));
        assert!(!fit(text, text, Mode::Increment));
        assert!(!fit(text, integer, upsert));
        assert!(!fit(integer, integer, Mode::Increment));
        assert!(!fit(None, integer, Mode::Increment) && !fit(text, None, upsert));
    }
}
