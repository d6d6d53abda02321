//! What databases say when they do not do something, sorted. Only what is listed here as a refusal of a row ever sets a row
//! aside: whatever is not known is tried again. It must not know what was being done.

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::sink::ledger::Fault;

/// The longest text of a database that is kept.
const MOST_TEXT: usize = 300;

impl Fault {
    /// A table that is not fit.
    pub(super) fn unsuitable(text: String) -> Self {
        Self::Unsuitable(text)
    }

    /// Sorts what the driver says.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let Some(said) = error.as_database_error() else {
            return Self::Failed(short(&error.to_string()));
        };
        let code = said.code().unwrap_or_default();
        let text = short(&format!("{} ({})", said.message(), number(said, &code)));
        if refuses_a_row(said, &code) {
            Self::Refused(text)
        } else {
            Self::Failed(text)
        }
    }

    /// The same as something that may pass: of a statement that names no rows.
    pub(super) fn passing(error: &sqlx::Error) -> Self {
        match Self::of(error) {
            Self::Refused(text) => Self::Failed(text),
            fault @ (Self::Failed(_) | Self::Later(..) | Self::Unsuitable(_)) => fault,
        }
    }
}

/// What came of a statement that names no rows.
pub(super) fn passing<T>(result: Result<T, sqlx::Error>) -> Result<T, Fault> {
    result.map_err(|error| Fault::passing(&error))
}

/// The first characters of what may be long.
fn short(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

/// The error's number where the database has one of its own beside the standard's.
fn number(said: &dyn DatabaseError, code: &str) -> String {
    let mysql = said.as_error().downcast_ref::<MySqlDatabaseError>();
    mysql.map_or_else(|| code.to_owned(), |said| said.number().to_string())
}

fn refuses_a_row(said: &dyn DatabaseError, code: &str) -> bool {
    let error = said.as_error();
    if let Some(said) = error.downcast_ref::<MySqlDatabaseError>() {
        return MYSQL_REFUSALS.contains(&said.number());
    }
    if error.is::<PgDatabaseError>() {
        return POSTGRES_REFUSALS
            .iter()
            .any(|known| code.starts_with(known));
    }
    // The extended codes of SQLite keep the primary one in their low byte.
    let primary = code.parse::<u32>().unwrap_or_default() & 0xFF;
    SQLITE_REFUSALS.contains(&primary) || said.message() == SQLITE_OVERFLOW
}

/// Classes and codes (`PostgreSQL` manual, appendix A): data exceptions; integrity constraints; `raise_exception`, of a
/// trigger; `program_limit_exceeded`, of a value that an index cannot hold.
const POSTGRES_REFUSALS: &[&str] = &["22", "23", "P0001", "54000"];

/// Numbers of errors that `MySQL` and `MariaDB` share where both have them.
const MYSQL_REFUSALS: &[u16] = &[
    1048, // a column cannot be NULL
    1062, // a duplicate in another unique index
    1118, // the row is too large
    1216, 1217, 1451, 1452, // foreign keys
    1264, 1690, // out of range
    1265, 1292, 1366, // a value that is none of the column's type or character set
    1406, // too long
    1644, // SIGNAL, of a trigger
    3140, // no JSON
    3819, 4025, // CHECK, of MySQL and of MariaDB
];

/// Primary result codes: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`.
const SQLITE_REFUSALS: &[u32] = &[18, 19, 20];

/// What our own statement provokes where a sum would leave the integers.
const SQLITE_OVERFLOW: &str = "integer overflow";
