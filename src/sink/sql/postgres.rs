//! `PostgreSQL`, from version 12 on. It must not know when a statement is run.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::NOTES;
use super::column::{Column, Kind, Shape, folds, missing, not_unique, unfilled};
use super::name::{TableName, quoted};
use super::notes;
use super::session::{Does, Table};
use crate::sink::ahead::Note;
use crate::sink::ledger::Fault;
use crate::sink::options::Mode;
use crate::sink::row::{Change, Identity, Row};

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

/// A column as the catalogue tells of it.
struct Told {
    number: i32,
    type_name: String,
    modifier: i32,
    is_generated: bool,
}

impl Session {
    pub(super) async fn open(
        mut connection: PgConnection,
        table: Table,
    ) -> Result<(Self, Shape), Fault> {
        let (oid, schema) = find(&mut connection, &table).await?;
        let (key, value) = columns(&mut connection, &table, oid).await?;
        unique(&mut connection, &table, oid, key.number).await?;
        let shape = Shape::new(
            column(&key, Role::Key),
            column(&value, Role::Value(table.mode)),
            table.mode,
            (&table.key, &table.value),
        )?;
        let name = TableName {
            schema: Some(schema),
            ..table.name.clone()
        };
        let noted = name.beside(NOTES).quoted('"');
        make_notes(&mut connection, &noted).await?;
        let statements = statements(&table, &name.quoted('"'), &value.type_name, &shape, &noted);
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
                query.bind(rows.iter().map(|row| text(&row.key)).collect::<Vec<_>>())
            }
        };
        let values = rows.iter().filter_map(|row| match &row.change {
            Change::Put(value) => Some(&*value.bytes),
            Change::Add(_) | Change::Remove => None,
        });
        let query = match (does, self.shape.value.kind) {
            (Does::Remove, _) => query,
            (Does::Add, _) => query.bind(rows.iter().map(sum).collect::<Vec<_>>()),
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
            Kind::Text | Kind::Integer => query.bind(text(&row.key)),
        };
        let ran = query.bind(sum(row)).execute(&mut self.connection).await;
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

fn passing<T>(result: Result<T, sqlx::Error>) -> Result<T, Fault> {
    result.map_err(|error| Fault::passing(&error))
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), Fault> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement));
    passing(ran.execute(connection).await).map(drop)
}

fn text(bytes: &[u8]) -> &str {
    // Rows that are not are set aside before.
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn sum(row: &Row) -> i64 {
    match row.change {
        Change::Add(sum) => sum,
        Change::Put(_) | Change::Remove => 0,
    }
}

/// The table's number and its schema.
async fn find(connection: &mut PgConnection, table: &Table) -> Result<(i64, String), Fault> {
    let found = sqlx::query(
        "SELECT c.oid::bigint, c.relkind::text, n.nspname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass($1)::oid",
    )
    .bind(table.name.quoted('"'))
    .fetch_optional(connection)
    .await;
    let Some(row) = passing(found)? else {
        let name = table.name.quoted('"');
        return Err(Fault::unsuitable(format!("there is no table {name}")));
    };
    let (oid, kind, schema): (i64, String, String) = passing(three(&row))?;
    // Tables, and tables in parts: nothing else takes ON CONFLICT.
    if kind != "r" && kind != "p" {
        let name = table.name.quoted('"');
        return Err(Fault::unsuitable(format!("{name} is no table")));
    }
    Ok((oid, schema))
}

fn three(row: &PgRow) -> Result<(i64, String, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// What is told of the two columns, if every other one can be left out.
async fn columns(
    connection: &mut PgConnection,
    table: &Table,
    oid: i64,
) -> Result<(Told, Told), Fault> {
    // A domain is what it is a domain of; domains of domains are of no type that is known here.
    let rows = sqlx::query(
        "SELECT a.attname::text, a.attnum::int4, a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', \
         b.typname::text, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
         WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind(oid)
    .fetch_all(connection)
    .await;
    let (mut key, mut value, mut left_out) = (None, None, None);
    for row in passing(rows)? {
        let (name, told, must_be_filled) = passing(told(&row))?;
        if name == table.key {
            key = Some(told);
        } else if name == table.value {
            value = Some(told);
        } else if must_be_filled {
            left_out = Some(name);
        }
    }
    let key = key.ok_or_else(|| missing("key_column", &table.key))?;
    let value = value.ok_or_else(|| missing("value_column", &table.value))?;
    // Told last: what is missing may only be called otherwise.
    match left_out {
        None => Ok((key, value)),
        Some(name) => Err(unfilled(&name)),
    }
}

fn told(row: &PgRow) -> Result<(String, Told, bool), sqlx::Error> {
    let (is_not_null, has_default): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    let told = Told {
        number: row.try_get(1)?,
        is_generated: row.try_get(4)?,
        type_name: row.try_get(5)?,
        modifier: row.try_get(6)?,
    };
    let must_be_filled = is_not_null && !has_default && !told.is_generated;
    Ok((row.try_get(0)?, told, must_be_filled))
}

/// Sees that rows can be found by their key, and by their key alone.
async fn unique(
    connection: &mut PgConnection,
    table: &Table,
    oid: i64,
    number: i32,
) -> Result<(), Fault> {
    let rows = sqlx::query(
        "SELECT c.collname::text, c.collisdeterministic FROM pg_catalog.pg_index i \
         LEFT JOIN pg_catalog.pg_collation c ON c.oid = i.indcollation[0] \
         WHERE i.indrelid = $1::bigint::oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL \
         AND i.indnkeyatts = 1 AND i.indkey[0] = $2::int4",
    )
    .bind(oid)
    .bind(number)
    .fetch_all(connection)
    .await;
    let rows = passing(rows)?;
    if rows.is_empty() {
        return Err(not_unique(&table.key));
    }
    for row in rows {
        let collation: Option<String> = passing(row.try_get(0))?;
        let tells_apart: Option<bool> = passing(row.try_get(1))?;
        if tells_apart == Some(false) {
            let collation = collation.unwrap_or_default();
            return Err(folds(&table.key, &collation, "give it a deterministic one"));
        }
    }
    Ok(())
}

/// What a column is for.
#[derive(Clone, Copy)]
enum Role {
    Key,
    Value(Mode),
}

fn column(told: &Told, role: Role) -> Option<Column> {
    let text = Column {
        refuses_nul: true,
        ..Column::of(Kind::Text)
    };
    if told.is_generated {
        return None;
    }
    Some(match (told.type_name.as_str(), role) {
        ("text", _) => text,
        ("varchar", _) => Column {
            // The modifier counts four bytes of a header; without one there is no limit.
            most_chars: told
                .modifier
                .checked_sub(4)
                .and_then(|most| u64::try_from(most).ok()),
            ..text
        },
        ("bytea", _) => Column::of(Kind::Bytes),
        ("json" | "jsonb", Role::Value(Mode::Upsert(_))) => text,
        ("int2" | "int4" | "int8" | "numeric", Role::Value(Mode::Increment)) => {
            Column::of(Kind::Integer)
        }
        _ => return None,
    })
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

fn statements(
    table: &Table,
    name: &str,
    value_type: &str,
    shape: &Shape,
    notes: &str,
) -> Statements {
    let (key, value) = (quoted(&table.key, '"'), quoted(&table.value, '"'));
    let array = |kind| match kind {
        Kind::Text => "text[]",
        Kind::Bytes => "bytea[]",
        Kind::Integer => "bigint[]",
    };
    let (keys, values) = (array(shape.key.kind), array(shape.value.kind));
    let one = keys.trim_end_matches("[]");
    let cast = match value_type {
        "json" => "::json",
        "jsonb" => "::jsonb",
        _ => "",
    };
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
