//! `PostgreSQL`, from version 12 on. It must not know when a statement is run.

mod look;

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::NOTES;
use super::column::{Kind, Shape};
use super::fault::passing;
use super::name::{TableName, quoted};
use super::notes;
use super::session::{Does, Table};
use crate::sink::ahead::Note;
use crate::sink::ledger::Fault;
use crate::sink::row::{Change, Identity, Row, text};
use look::Found;

/// A connection with its statements.
#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
    statements: Statements,
    shape: Shape,
}

#[derive(Debug)]
struct Statements {
    begin: String,
    add: String,
    add_to_existing: String,
    put: String,
    remove: String,
    note: String,
    make_note: String,
    set_note: String,
}

impl Session {
    pub(super) async fn open(
        mut connection: PgConnection,
        table: Table,
    ) -> Result<(Self, Shape), Fault> {
        let Found {
            shape,
            schema,
            cast,
        } = look::look(&mut connection, &table).await?;
        let name = TableName {
            schema: Some(schema),
            ..table.name.clone()
        };
        let noted = name.beside(NOTES).quoted('"');
        make_notes(&mut connection, &noted).await?;
        let statements = statements(&table, &name.quoted('"'), cast, &shape, &noted);
        let session = Self {
            connection,
            statements,
            shape,
        };
        Ok((session, shape))
    }

    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        passing(self.connection.ping().await)
    }

    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        let statement = self.statements.begin.clone();
        run(&mut self.connection, statement).await
    }

    pub(super) async fn note(&mut self, identity: Identity) -> Result<Option<Note>, Fault> {
        let (store, keyspace) = notes::named(identity)?;
        // The row is made first, because what is not there cannot be locked.
        let made = sqlx::query(AssertSqlSafe(self.statements.make_note.clone()))
            .bind(&store)
            .bind(keyspace)
            .execute(&mut self.connection)
            .await;
        passing(made)?;
        let row = sqlx::query(AssertSqlSafe(self.statements.note.clone()))
            .bind(&store)
            .bind(keyspace)
            .fetch_one(&mut self.connection)
            .await;
        let row = passing(row)?;
        notes::read(row.try_get(0), row.try_get(1), row.try_get(2))
    }

    pub(super) async fn set_note(
        &mut self,
        identity: Identity,
        keyspace: &str,
        note: Note,
    ) -> Result<(), Fault> {
        let (store, id) = notes::named(identity)?;
        let (mark, number, keys) = notes::written(note)?;
        let set = sqlx::query(AssertSqlSafe(self.statements.set_note.clone()))
            .bind(store)
            .bind(id)
            .bind(keyspace)
            .bind(mark)
            .bind(number)
            .bind(keys)
            .execute(&mut self.connection)
            .await;
        passing(set).map(drop)
    }

    pub(super) async fn mark(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "SAVEPOINT s".to_owned()).await
    }

    pub(super) async fn unmark(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "RELEASE SAVEPOINT s".to_owned()).await
    }

    pub(super) async fn go_back(&mut self) -> Result<(), Fault> {
        let statement = "ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s".to_owned();
        run(&mut self.connection, statement).await
    }

    pub(super) async fn run(&mut self, does: Does, rows: &[Row]) -> Result<(), Fault> {
        let statement = match does {
            Does::Add => &self.statements.add,
            Does::Put => &self.statements.put,
            Does::Remove => &self.statements.remove,
        };
        let query = sqlx::query(AssertSqlSafe(statement.clone()));
        let query = match self.shape.key.kind {
            Kind::Bytes => query.bind(rows.iter().map(|row| &*row.key).collect::<Vec<_>>()),
            Kind::Text | Kind::Integer => {
                query.bind(rows.iter().map(Row::key_text).collect::<Vec<_>>())
            }
        };
        let values = rows.iter().filter_map(|row| match &row.change {
            Change::Put(value) => Some(&*value.bytes),
            Change::Add(_) | Change::Remove => None,
        });
        let query = match (does, self.shape.value.kind) {
            (Does::Remove, _) => query,
            (Does::Add, _) => query.bind(rows.iter().map(Row::sum).collect::<Vec<_>>()),
            (Does::Put, Kind::Bytes) => query.bind(values.collect::<Vec<_>>()),
            (Does::Put, Kind::Text | Kind::Integer) => {
                query.bind(values.map(text).collect::<Vec<_>>())
            }
        };
        let ran = query.execute(&mut self.connection).await;
        ran.map(drop).map_err(|error| Fault::of(&error))
    }

    pub(super) async fn add_to_existing(&mut self, row: &Row) -> Result<bool, Fault> {
        let query = sqlx::query(AssertSqlSafe(self.statements.add_to_existing.clone()));
        let query = match self.shape.key.kind {
            Kind::Bytes => query.bind(&*row.key),
            Kind::Text | Kind::Integer => query.bind(row.key_text()),
        };
        let ran = query.bind(row.sum()).execute(&mut self.connection).await;
        let ran = ran.map_err(|error| Fault::of(&error))?;
        Ok(ran.rows_affected() > 0)
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "ROLLBACK".to_owned()).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "COMMIT".to_owned()).await
    }

    pub(super) async fn close(self) -> Result<(), Fault> {
        passing(self.connection.close().await)
    }
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), Fault> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement));
    passing(ran.execute(connection).await).map(drop)
}

async fn make_notes(connection: &mut PgConnection, noted: &str) -> Result<(), Fault> {
    let there = sqlx::query("SELECT pg_catalog.to_regclass($1) IS NOT NULL")
        .bind(noted)
        .fetch_one(&mut *connection)
        .await;
    if passing(passing(there)?.try_get(0))? {
        return Ok(());
    }
    let made = run(
        connection,
        format!(
            "CREATE TABLE IF NOT EXISTS {noted} (store_id text NOT NULL, keyspace_id bigint NOT NULL, \
             keyspace text NOT NULL, mark text NOT NULL, generation bigint NOT NULL, keys bigint NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (store_id, keyspace_id))"
        ),
    )
    .await;
    made.map_err(|fault| notes::not_made(noted, &fault))
}

fn begin(timeout: Duration) -> String {
    let ms = timeout.as_millis();
    // All of it for this transaction alone: behind a pooler the next one may be on another connection. A server that no
    // longer hears of us lets the rows go; a commit that is answered is on its disk; every constraint is looked at where
    // the row is still known; what triggers print is not logged.
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL client_min_messages = error; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'; \
         SET CONSTRAINTS ALL IMMEDIATE",
        ms.saturating_mul(2)
    )
}

fn statements(table: &Table, name: &str, cast: &str, shape: &Shape, notes: &str) -> Statements {
    let (key, value) = (quoted(&table.key, '"'), quoted(&table.value, '"'));
    let array = |kind| match kind {
        Kind::Text => "text[]",
        Kind::Bytes => "bytea[]",
        Kind::Integer => "bigint[]",
    };
    let (keys, values) = (array(shape.key.kind), array(shape.value.kind));
    let one = keys.trim_end_matches("[]");
    let insert = format!(
        "INSERT INTO {name} AS t ({key}, {value}) SELECT u.k, u.v{cast} FROM UNNEST($1::{keys}, $2::{values}) AS u(k, v) \
         ON CONFLICT ({key}) DO UPDATE SET {value} ="
    );
    Statements {
        begin: begin(table.timeout),
        // A row without a number counts from 0.
        add: format!("{insert} COALESCE(t.{value}, 0) + EXCLUDED.{value}"),
        add_to_existing: format!(
            "UPDATE {name} AS t SET {value} = COALESCE(t.{value}, 0) + $2::bigint WHERE t.{key} = $1::{one}"
        ),
        put: format!("{insert} EXCLUDED.{value}"),
        remove: format!("DELETE FROM {name} AS t WHERE t.{key} = ANY($1::{keys})"),
        note: format!(
            "SELECT mark, generation, keys FROM {notes} WHERE store_id = $1 AND keyspace_id = $2 FOR UPDATE"
        ),
        make_note: format!(
            "INSERT INTO {notes} (store_id, keyspace_id, keyspace, mark, generation, keys) VALUES ($1, $2, '', '', 0, 0) \
             ON CONFLICT DO NOTHING"
        ),
        set_note: format!(
            "UPDATE {notes} SET keyspace = $3, mark = $4, generation = $5, keys = $6, applied_at = now() \
             WHERE store_id = $1 AND keyspace_id = $2"
        ),
    }
}
