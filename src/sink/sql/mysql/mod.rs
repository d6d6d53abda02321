//! `MySQL` and `MariaDB`. It must not know when a statement is run.

mod look;

use sqlx::mysql::MySqlConnection;
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

/// A connection with its statements.
#[derive(Debug)]
pub(super) struct Session {
    connection: MySqlConnection,
    statements: Statements,
    shape: Shape,
    batch: usize,
}

#[derive(Debug)]
struct Statements {
    /// Up to the rows.
    insert: String,
    /// Behind the rows.
    add: String,
    put: String,
    add_to_existing: String,
    /// Up to the keys.
    remove: String,
    note: String,
    make_note: String,
    set_note: String,
}

impl Session {
    pub(super) async fn open(
        mut connection: MySqlConnection,
        table: Table,
    ) -> Result<(Self, Shape), Fault> {
        set_up(&mut connection, &table).await?;
        let (shape, schema) = look::look(&mut connection, &table).await?;
        let name = TableName {
            schema: Some(schema),
            ..table.name.clone()
        };
        make_notes(&mut connection, &name.beside(NOTES)).await?;
        let session = Self {
            connection,
            statements: statements(&table, &name),
            shape,
            batch: table.batch,
        };
        Ok((session, shape))
    }

    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        passing(self.connection.ping().await)
    }

    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "START TRANSACTION".to_owned()).await
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
            .bind(keyspace)
            .bind(mark)
            .bind(number)
            .bind(keys)
            .bind(store)
            .bind(id)
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
        // This takes the marks behind it along; its own stays, and the next one of its name replaces it.
        run(&mut self.connection, "ROLLBACK TO SAVEPOINT s".to_owned()).await
    }

    pub(super) async fn run(&mut self, does: Does, rows: &[Row]) -> Result<(), Fault> {
        let statements = &self.statements;
        let statement = match does {
            Does::Add => format!(
                "{}{}{}",
                statements.insert,
                pairs(rows.len()),
                statements.add
            ),
            Does::Put => format!(
                "{}{}{}",
                statements.insert,
                pairs(rows.len()),
                statements.put
            ),
            Does::Remove => format!("{}({})", statements.remove, marks(rows.len())),
        };
        // Only a statement of the usual length comes again.
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(rows.len() == self.batch);
        for row in rows {
            query = match self.shape.key.kind {
                Kind::Bytes => query.bind(&*row.key),
                Kind::Text | Kind::Integer => query.bind(row.key_text()),
            };
            query = match &row.change {
                Change::Add(sum) => query.bind(*sum),
                Change::Remove => query,
                Change::Put(value) if self.shape.value.kind == Kind::Bytes => {
                    query.bind(&*value.bytes)
                }
                Change::Put(value) => query.bind(text(&value.bytes)),
            };
        }
        let ran = query.execute(&mut self.connection).await;
        ran.map(drop).map_err(|error| Fault::of(&error))
    }

    pub(super) async fn add_to_existing(&mut self, row: &Row) -> Result<bool, Fault> {
        let statement = self.statements.add_to_existing.clone();
        let query = sqlx::query(AssertSqlSafe(statement)).bind(row.sum());
        let query = match self.shape.key.kind {
            Kind::Bytes => query.bind(&*row.key),
            Kind::Text | Kind::Integer => query.bind(row.key_text()),
        };
        let ran = query.execute(&mut self.connection).await;
        // The driver asks for the rows that were found, not for those that were changed.
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

async fn run(connection: &mut MySqlConnection, statement: String) -> Result<(), Fault> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement));
    passing(ran.execute(connection).await).map(drop)
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

fn pairs(count: usize) -> String {
    vec!["(?,?)"; count].join(",")
}

/// What does not fit is an error and is not made to fit; a lock is waited for as long as for anything else; and a server that
/// no longer hears of us lets the rows go.
async fn set_up(connection: &mut MySqlConnection, table: &Table) -> Result<(), Fault> {
    let seconds = table.timeout.as_secs().max(1);
    let statement = format!(
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), innodb_lock_wait_timeout = {seconds}, \
         lock_wait_timeout = {seconds}, wait_timeout = {}",
        seconds.saturating_mul(2).max(60)
    );
    run(connection, statement).await?;
    let how = sqlx::query("SELECT CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS CHAR)")
        .fetch_one(connection)
        .await;
    // Who does not have the setting has rules of its own.
    let how = how.and_then(|row| row.try_get::<String, _>(0));
    if how.is_ok_and(|how| how != "1") {
        tracing::warn!(
            table = %table.name.quoted('`'),
            "innodb_flush_log_at_trx_commit of the database is not 1: when its machine dies, it may lose changes that it \
             has confirmed"
        );
    }
    Ok(())
}

async fn make_notes(connection: &mut MySqlConnection, table: &TableName) -> Result<(), Fault> {
    let there = sqlx::query(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    )
    .bind(&table.schema)
    .bind(&table.table)
    .fetch_one(&mut *connection)
    .await;
    let there: i64 = passing(passing(there)?.try_get(0))?;
    let name = table.quoted('`');
    if there == 0 {
        let made = run(
            connection,
            format!(
                "CREATE TABLE IF NOT EXISTS {name} (store_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 keyspace_id BIGINT NOT NULL, keyspace VARCHAR(64) CHARACTER SET ascii NOT NULL, \
                 mark CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, generation BIGINT NOT NULL, \
                 `keys` BIGINT NOT NULL, applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
                 PRIMARY KEY (store_id, keyspace_id)) ENGINE = InnoDB"
            ),
        )
        .await;
        return made.map_err(|fault| notes::not_made(&name, &fault));
    }
    Ok(())
}

fn statements(table: &Table, name: &TableName) -> Statements {
    let (key, value) = (quoted(&table.key, '`'), quoted(&table.value, '`'));
    let notes = name.beside(NOTES).quoted('`');
    let name = name.quoted('`');
    Statements {
        insert: format!("INSERT INTO {name} ({key}, {value}) VALUES "),
        // A row without a number counts from 0.
        add: format!(" ON DUPLICATE KEY UPDATE {value} = COALESCE({value}, 0) + VALUES({value})"),
        put: format!(" ON DUPLICATE KEY UPDATE {value} = VALUES({value})"),
        add_to_existing: format!(
            "UPDATE {name} SET {value} = COALESCE({value}, 0) + ? WHERE {key} = ?"
        ),
        remove: format!("DELETE FROM {name} WHERE {key} IN "),
        note: format!(
            "SELECT mark, generation, `keys` FROM {notes} WHERE store_id = ? AND keyspace_id = ? FOR UPDATE"
        ),
        make_note: format!(
            "INSERT INTO {notes} (store_id, keyspace_id, keyspace, mark, generation, `keys`) VALUES (?, ?, '', '', 0, 0) \
             ON DUPLICATE KEY UPDATE keyspace_id = VALUES(keyspace_id)"
        ),
        set_note: format!(
            "UPDATE {notes} SET keyspace = ?, mark = ?, generation = ?, `keys` = ?, applied_at = CURRENT_TIMESTAMP \
             WHERE store_id = ? AND keyspace_id = ?"
        ),
    }
}
