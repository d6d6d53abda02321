//! Values from a database: one column, of which the first row counts. It must not know how a connection comes about.

mod mysql;
mod numbers;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;
mod times;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::sync::Mutex;

use super::{FetchError, Fetched, SqlOptions, Value};
use crate::outbound::{Database, Outbound, Secret};

/// A question to a database that is asked again and again, with a key.
#[derive(Debug)]
pub(super) struct Sql {
    outbound: Outbound,
    url: Secret,
    query: Arc<str>,
    content_type: Box<str>,
    /// The most connections.
    most: u32,
    /// The longest that a connection may take to come about.
    patience: Duration,
    /// Made when it is needed, and made anew after a connection has failed: the address or the password may have changed.
    database: Mutex<Option<Database>>,
}

/// What was found in the first row.
enum Found {
    /// Its column, as bytes.
    Column(Vec<u8>),
    /// No row, or NULL.
    Nothing,
    /// A column of a type that has no usual text.
    Untold {
        /// The type.
        type_name: String,
    },
    /// The key is compared with a column of a type that no key can be taken for.
    KeyOfType {
        /// The type.
        type_name: String,
    },
    /// The query has no place for the key, or several.
    NotOneParameter,
}

impl Sql {
    pub(super) fn new(
        outbound: Outbound,
        options: &SqlOptions,
        most: usize,
        timeout: Duration,
    ) -> Self {
        let patience = outbound.options().connect_timeout.min(timeout);
        Self {
            outbound,
            url: options.url.clone(),
            query: options.query.as_str().into(),
            content_type: options.content_type.as_str().into(),
            most: u32::try_from(most).unwrap_or(u32::MAX).max(1),
            patience,
            database: Mutex::new(None),
        }
    }

    /// Asks. How long that may take is the caller's to bound. The whole row is received before it is known how large it is.
    pub(super) async fn fetch(&self, key: &str, most: usize) -> Result<Fetched, FetchError> {
        let database = self.database().await?;
        let asked = match &database {
            Database::Postgres(pool) => postgres::ask(pool, &self.query, key).await,
            Database::MySql(pool) => mysql::ask(pool, &self.query, key).await,
            Database::Sqlite(pool) => sqlite::ask(pool, &self.query, key).await,
        };
        match asked {
            Ok(Found::Column(bytes)) if bytes.len() > most => {
                Err(FetchError::TooLarge { limit: most })
            }
            Ok(Found::Column(bytes)) => Ok(Fetched::Value(Value {
                media_type: Some(self.content_type.clone()),
                ..Value::of(Bytes::from(bytes))
            })),
            Ok(Found::Nothing) => Ok(Fetched::Absent),
            Ok(Found::Untold { type_name }) => Err(FetchError::Column { type_name }),
            Ok(Found::KeyOfType { type_name }) => Err(FetchError::Parameter { type_name }),
            Ok(Found::NotOneParameter) => Err(FetchError::Database {
                what: "the query has not exactly one parameter, which is the key: $1",
                code: None,
            }),
            Err(Asked::NoConnection(error)) => {
                *self.database.lock().await = None;
                Err(failure(&error, "the database refused the connection"))
            }
            Err(Asked::NoAnswer(error)) => {
                if let Error::Database(said) = &error {
                    // The message may quote the query or the key.
                    tracing::debug!(words = said.message(), "the database refused the query");
                }
                Err(failure(&error, "the database refused the query"))
            }
        }
    }

    async fn database(&self) -> Result<Database, FetchError> {
        let mut database = self.database.lock().await;
        if let Some(known) = &*database {
            return Ok(known.clone());
        }
        let made = self.outbound.database(&self.url, self.most, self.patience);
        let made = made.await?;
        *database = Some(made.clone());
        Ok(made)
    }
}

/// Why there was no answer to a question.
enum Asked {
    /// No connection came about.
    NoConnection(Error),
    /// There was one.
    NoAnswer(Error),
}

/// A failure without what could be secret: messages of servers quote names of users and databases, queries and keys.
/// `otherwise` is what it is called where the database's code tells no more.
fn failure(error: &Error, otherwise: &'static str) -> FetchError {
    if let Error::Database(said) = error {
        return refused(&**said, otherwise);
    }
    let known = [
        (
            matches!(
                error,
                Error::Io(_) | Error::WorkerCrashed | Error::Protocol(_)
            ),
            "the connection broke",
        ),
        (
            matches!(error, Error::Tls(_)),
            "the connection could not be made safe",
        ),
        (
            matches!(error, Error::PoolTimedOut),
            "there was no connection in time (outbound.connect_timeout)",
        ),
        (
            matches!(error, Error::ColumnIndexOutOfBounds { .. }),
            "the query has no column",
        ),
    ];
    let known = known.into_iter().find(|(is_it, _)| *is_it);
    FetchError::Database {
        what: known.map_or("the answer cannot be read", |(_, what)| what),
        code: None,
    }
}

fn refused(said: &dyn DatabaseError, otherwise: &'static str) -> FetchError {
    let code = said.code().map(String::from);
    let class = code.as_deref().and_then(|code| code.get(..2));
    // The classes of SQLSTATE that both PostgreSQL and MySQL use. SQLite has numbers of its own.
    let what = match class {
        Some("08") => "the connection broke",
        Some("22") => "the query cannot be answered for this key",
        Some("28") => "the user or the password was refused",
        Some("3D") => "there is no such database",
        Some("42") => "the query is wrong, or not allowed",
        Some("53") => "the database has no room for the query",
        Some("57") => "the database is shutting down, or cancelled the query",
        _ => otherwise,
    };
    FetchError::Database { what, code }
}
