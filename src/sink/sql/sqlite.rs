//! `SQLite`. It must not know when a statement is run.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::NOTES;
use super::column::{Column, Kind, Shape, folds, missing, not_unique, unfilled};
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
    connection: SqliteConnection,
    statements: Statements,
    shape: Shape,
}

#[derive(Debug)]
struct Statements {
    add: String,
    add_to_existing: String,
    put: String,
    remove: String,
    note: String,
    set_note: String,
}

impl Session {
    pub(super) async fn open(
        mut connection: SqliteConnection,
        table: Table,
    ) -> Result<(Self, Shape), Fault> {
        // A commit that is answered is on the disk, whoever has made the file with which setting.
        run(&mut connection, "PRAGMA synchronous = FULL").await?;
        let (key, value) = columns(&mut connection, &table).await?;
        unique(&mut connection, &table).await?;
        let names = (table.key.as_str(), table.value.as_str());
        let shape = Shape::new(column(&key), column(&value), table.mode, names)?;
        let noted = table.name.beside(NOTES).quoted('"');
        make_notes(&mut connection, &table.name, &noted).await?;
        let session = Self {
            connection,
            statements: statements(&table, &noted),
            shape,
        };
        Ok((session, shape))
    }

    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        passing(self.connection.ping().await)
    }

    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        // Nobody else writes from here on, so that nothing needs a lock of its own.
        run(&mut self.connection, "BEGIN IMMEDIATE").await
    }

    pub(super) async fn note(&mut self, identity: Identity) -> Result<Option<Note>, Fault> {
        let (store, keyspace) = notes::named(identity)?;
        let row = sqlx::query(AssertSqlSafe(self.statements.note.clone()))
            .bind(store)
            .bind(keyspace)
            .fetch_optional(&mut self.connection)
            .await;
        match passing(row)? {
            None => Ok(None),
            Some(row) => notes::read(row.try_get(0), row.try_get(1), row.try_get(2)),
        }
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
        run(&mut self.connection, "SAVEPOINT s").await
    }

    pub(super) async fn unmark(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "RELEASE s").await
    }

    pub(super) async fn go_back(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "ROLLBACK TO s").await?;
        run(&mut self.connection, "RELEASE s").await
    }

    /// Row by row: the database is in this process, and a statement of many rows would be no faster.
    pub(super) async fn run(&mut self, does: Does, rows: &[Row]) -> Result<(), Fault> {
        for row in rows {
            let statement = match does {
                Does::Add => &self.statements.add,
                Does::Put => &self.statements.put,
                Does::Remove => &self.statements.remove,
            };
            self.run_one(statement.clone(), row).await?;
        }
        Ok(())
    }

    pub(super) async fn add_to_existing(&mut self, row: &Row) -> Result<bool, Fault> {
        let statement = self.statements.add_to_existing.clone();
        Ok(self.run_one(statement, row).await? > 0)
    }

    async fn run_one(&mut self, statement: String, row: &Row) -> Result<u64, Fault> {
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = match self.shape.key.kind {
            Kind::Bytes => query.bind(&*row.key),
            Kind::Text | Kind::Integer => query.bind(row.key_text()),
        };
        let query = match &row.change {
            Change::Add(sum) => query.bind(*sum),
            Change::Remove => query,
            Change::Put(value) if self.shape.value.kind == Kind::Bytes => query.bind(&*value.bytes),
            Change::Put(value) => query.bind(text(&value.bytes)),
        };
        let ran = query.execute(&mut self.connection).await;
        let ran = ran.map_err(|error| Fault::of(&error))?;
        Ok(ran.rows_affected())
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "ROLLBACK").await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        run(&mut self.connection, "COMMIT").await
    }

    pub(super) async fn close(self) -> Result<(), Fault> {
        passing(self.connection.close().await)
    }
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), Fault> {
    passing(sqlx::raw_sql(statement).execute(connection).await).map(drop)
}

fn schema(name: &TableName) -> &str {
    name.schema.as_deref().unwrap_or("main")
}

/// The declared types of the two columns, if every other one can be left out.
async fn columns(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<(String, String), Fault> {
    let rows = sqlx::query(
        "SELECT name, upper(type), \"notnull\" <> 0 AND dflt_value IS NULL AND pk = 0, hidden <> 0 \
         FROM pragma_table_xinfo(?1, ?2)",
    )
    .bind(&table.name.table)
    .bind(schema(&table.name))
    .fetch_all(connection)
    .await;
    let rows = passing(rows)?;
    if rows.is_empty() {
        let name = table.name.quoted('"');
        return Err(Fault::unsuitable(format!("there is no table {name}")));
    }
    let (mut key, mut value, mut left_out) = (None, None, None);
    for row in rows {
        let (name, declared, must_be_filled, is_made) = passing(told(&row))?;
        // Names of columns are compared without case here, as the database does.
        if name.eq_ignore_ascii_case(&table.key) && !is_made {
            key = Some(declared);
        } else if name.eq_ignore_ascii_case(&table.value) && !is_made {
            value = Some(declared);
        } else if must_be_filled && !is_made {
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

fn told(row: &SqliteRow) -> Result<(String, String, bool, bool), sqlx::Error> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
    ))
}

/// Sees that rows can be found by their key, and by their key alone.
async fn unique(connection: &mut SqliteConnection, table: &Table) -> Result<(), Fault> {
    let rows = sqlx::query(
        "SELECT x.name, x.coll, count(*) FROM pragma_index_list(?1, ?2) l, pragma_index_xinfo(l.name, ?2) x \
         WHERE l.\"unique\" = 1 AND l.partial = 0 AND x.key = 1 GROUP BY l.name HAVING count(*) = 1",
    )
    .bind(&table.name.table)
    .bind(schema(&table.name))
    .fetch_all(connection)
    .await;
    let mut folding = None;
    for row in passing(rows)? {
        let name: Option<String> = passing(row.try_get(0))?;
        let collation: String = passing(row.try_get(1))?;
        if !name.is_some_and(|name| name.eq_ignore_ascii_case(&table.key)) {
            continue;
        }
        if collation == "BINARY" {
            return Ok(());
        }
        folding = Some(collation);
    }
    Err(match folding {
        None => not_unique(&table.key),
        Some(collation) => folds(&table.key, &collation, "declare it COLLATE BINARY"),
    })
}

/// What a column of that declared type takes, by the rules of affinity (`datatype3.html`, section 3.1). A column of numeric
/// affinity turns text that looks like a number into one, so it keeps neither keys nor values.
fn column(declared: &str) -> Option<Column> {
    if declared.contains("INT") {
        return Some(Column::of(Kind::Integer));
    }
    let is_text = ["CHAR", "CLOB", "TEXT"];
    if is_text.iter().any(|part| declared.contains(part)) {
        return Some(Column::of(Kind::Text));
    }
    let is_bytes = declared.contains("BLOB");
    is_bytes.then(|| Column::of(Kind::Bytes))
}

async fn make_notes(
    connection: &mut SqliteConnection,
    name: &TableName,
    noted: &str,
) -> Result<(), Fault> {
    let there = sqlx::query("SELECT count(*) > 0 FROM pragma_table_xinfo(?1, ?2)")
        .bind(NOTES)
        .bind(schema(name))
        .fetch_one(&mut *connection)
        .await;
    if passing(passing(there)?.try_get(0))? {
        return Ok(());
    }
    let made = sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE TABLE IF NOT EXISTS {noted} (store_id TEXT NOT NULL, keyspace_id INTEGER NOT NULL, keyspace TEXT NOT NULL, \
         mark TEXT NOT NULL, generation INTEGER NOT NULL, keys INTEGER NOT NULL, \
         applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (store_id, keyspace_id))"
    )));
    let made = passing(made.execute(connection).await);
    made.map(drop)
        .map_err(|fault| notes::not_made(noted, &fault))
}

fn statements(table: &Table, notes: &str) -> Statements {
    let (key, value) = (quoted(&table.key, '"'), quoted(&table.value, '"'));
    let name = table.name.quoted('"');
    let insert = format!(
        "INSERT INTO {name} AS t ({key}, {value}) VALUES (?1, ?2) ON CONFLICT ({key}) DO UPDATE SET {value} ="
    );
    // Integers that leave their range become floating point without a word, and text counts as 0: both are made errors.
    // The argument of abs is the one number that has no absolute value, kept from being computed before the row is met.
    let sum = |more: &str| {
        let before = format!("COALESCE(t.{value}, 0)");
        format!(
            "CASE WHEN typeof({before}) = 'integer' AND typeof({before} + {more}) = 'integer' THEN {before} + {more} \
             ELSE abs(-9223372036854775807 - ({more} IS NOT NULL)) END"
        )
    };
    Statements {
        add: format!("{insert} {}", sum(&format!("excluded.{value}"))),
        add_to_existing: format!(
            "UPDATE {name} AS t SET {value} = {} WHERE t.{key} = ?1",
            sum("?2")
        ),
        put: format!("{insert} excluded.{value}"),
        remove: format!("DELETE FROM {name} AS t WHERE t.{key} = ?1"),
        note: format!(
            "SELECT mark, generation, keys FROM {notes} WHERE store_id = ?1 AND keyspace_id = ?2"
        ),
        set_note: format!(
            "INSERT INTO {notes} (store_id, keyspace_id, keyspace, mark, generation, keys) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (store_id, keyspace_id) DO UPDATE SET keyspace = excluded.keyspace, mark = excluded.mark, \
             generation = excluded.generation, keys = excluded.keys, applied_at = CURRENT_TIMESTAMP"
        ),
    }
}
