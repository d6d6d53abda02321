//! Generations against real tables. In `cargo test` these are tables of `SQLite`; `tests/run sinks` starts the other databases,
//! names them in the environment and runs the tests that are ignored here. It must not know how a store keeps a generation.

mod applying;
mod fitness;
mod refusing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;

use super::*;
use crate::outbound::{
    DatabaseConnection as Connection, Options as OutboundOptions, Outbound, Secret,
};
use crate::sink::book::Book;
use crate::sink::ledger::{Applied, Choice, Decision, Fault, Ledger as _, Unapplied};
use crate::sink::options::{Deletes, Mode, SqlTarget};

const PATIENCE: Duration = Duration::from_secs(30);
const BATCH: usize = 10;
const UPSERT: Mode = Mode::Upsert(Deletes::Propagate);

/// A kind of database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Postgres,
    MariaDb,
    Sqlite,
}

impl Kind {
    /// The one of three words that is this database's.
    fn pick<T>(self, postgres: T, mariadb: T, sqlite: T) -> T {
        match self {
            Self::Postgres => postgres,
            Self::MariaDb => mariadb,
            Self::Sqlite => sqlite,
        }
    }

    /// A type for keys that tells all of them apart.
    fn key(self) -> &'static str {
        self.pick(
            "text",
            "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
            "TEXT",
        )
    }

    fn bytes(self) -> &'static str {
        self.pick("bytea", "LONGBLOB", "BLOB")
    }
}

/// A database with a table of this test's own.
struct Base {
    kind: Kind,
    url: Secret,
    outbound: Outbound,
    table: String,
    _folder: TempDir,
}

impl Base {
    /// With a table of a key `k` and these columns behind it.
    async fn new(kind: Kind, columns: &str) -> Self {
        let base = Self::bare(kind);
        let (table, key) = (&base.table, kind.key());
        base.execute(&format!(
            "CREATE TABLE {table} (k {key} NOT NULL PRIMARY KEY, {columns})"
        ))
        .await;
        base
    }

    /// Without a table yet.
    fn bare(kind: Kind) -> Self {
        static TABLES: AtomicU64 = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let named = |name| std::env::var(name).expect("tests/run sinks names the databases");
        let url = match kind {
            Kind::Postgres => named("STANDPIPE_TEST_POSTGRES"),
            Kind::MariaDb => named("STANDPIPE_TEST_MARIADB"),
            Kind::Sqlite => format!("sqlite://{}/base?mode=rwc", folder.path().display()),
        };
        let options = OutboundOptions {
            connect_timeout: PATIENCE,
            ..OutboundOptions::default()
        };
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        Self {
            kind,
            url: Secret::Given(url.into()),
            outbound: Outbound::start(options).unwrap(),
            table: format!("t{}_{number}", std::process::id()),
            _folder: folder,
        }
    }

    async fn connect(&self) -> Connection {
        self.outbound
            .connect_database(&self.url, PATIENCE)
            .await
            .unwrap()
    }

    async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.connect().await {
            Connection::Postgres(mut c) => {
                sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
            }
            Connection::MySql(mut c) => {
                sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
            }
            Connection::Sqlite(mut c) => {
                sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
                c.close().await.unwrap();
            }
        }
    }

    /// Every row, in the order of the keys, its value as text.
    async fn rows(&self) -> Vec<(String, Option<String>)> {
        let text = self
            .kind
            .pick("v::text", "CAST(v AS CHAR)", "CAST(v AS TEXT)");
        let sql = AssertSqlSafe(format!("SELECT k, {text} FROM {}", self.table));
        macro_rules! read {
            ($connection:expr) => {
                sqlx::query(sql)
                    .fetch_all(&mut $connection)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| (row.get(0), row.get(1)))
                    .collect()
            };
        }
        let mut rows: Vec<(String, Option<String>)> = match self.connect().await {
            Connection::Postgres(mut c) => read!(c),
            Connection::MySql(mut c) => read!(c),
            Connection::Sqlite(mut c) => read!(c),
        };
        rows.sort();
        rows
    }

    fn target(&self) -> SqlTarget {
        SqlTarget {
            url: self.url.clone(),
            table: self.table.clone(),
            key_column: "k".to_owned(),
            value_column: "v".to_owned(),
        }
    }

    async fn open(&self, mode: Mode) -> Result<Session, Fault> {
        Session::open(self.connect().await, &self.target(), mode, PATIENCE, BATCH).await
    }

    /// Applies the book on a connection of its own.
    async fn apply(&self, book: &Book, mode: Mode) -> Result<Applied, Unapplied<&'static str>> {
        self.apply_with(book, mode, None).await
    }

    async fn apply_with(
        &self,
        book: &Book,
        mode: Mode,
        decision: Option<Decision>,
    ) -> Result<Applied, Unapplied<&'static str>> {
        let mut session = self.open(mode).await.unwrap();
        let applied = apply(&mut session, book, decision).await;
        session.close().await;
        applied
    }
}

/// The same test for each kind of database.
macro_rules! each_database {
    ($($(#[$meta:meta])* async fn $name:ident($kind:ident: Kind) $body:block)*) => {
        $(mod $name {
            use super::*;

            async fn holds($kind: Kind) $body

            $(#[$meta])*
            #[tokio::test]
            async fn in_sqlite() {
                holds(Kind::Sqlite).await;
            }

            #[tokio::test]
            #[ignore = "needs a database: tests/run sinks"]
            async fn in_postgres() {
                holds(Kind::Postgres).await;
            }

            #[tokio::test]
            #[ignore = "needs a database: tests/run sinks"]
            async fn in_mariadb() {
                holds(Kind::MariaDb).await;
            }
        })*
    };
}
use each_database;

fn texts(rows: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
    rows.iter().map(owned).collect()
}
