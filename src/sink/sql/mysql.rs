//! `MySQL` and `MariaDB`. It must not know when a statement is run.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::NOTES;
use super::column::{Column, Kind, Shape, folds, missing, not_unique, unfilled};
use super::name::{TableName, quoted};
use super::notes;
use super::session::{Does, Table};
use crate::sink::ahead::Note;
use crate::sink::ledger::Fault;
use crate::sink::row::{Change, Identity, Row};

/// Beside a value a packet holds the statement and the other values of its row.
const PACKET_REST: u64 = 8 << 10;

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

/// A column as the catalogue tells of it.
struct Told {
    type_name: String,
    most_chars: Option<i64>,
    most_bytes: Option<i64>,
    collation: Option<String>,
    is_generated: bool,
}

impl Session {
    pub(super) async fn open(
        mut connection: MySqlConnection,
        table: Table,
    ) -> Result<(Self, Shape), Fault> {
        set_up(&mut connection, &table).await?;
        let schema = find(&mut connection, &table).await?;
        let (key, value) = columns(&mut connection, &table, &schema).await?;
        unique(&mut connection, &table, &schema).await?;
        let key_column = key_column(&table, &key)?;
        let most_bytes = packet(&mut connection).await?;
        let shape = Shape::new(
            key_column,
            column(&value, most_bytes),
            table.mode,
            (&table.key, &table.value),
        )?;
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
                Kind::Text | Kind::Integer => query.bind(text(&row.key)),
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
        let sum = match row.change {
            Change::Add(sum) => sum,
            Change::Put(_) | Change::Remove => 0,
        };
        let query = sqlx::query(AssertSqlSafe(self.statements.add_to_existing.clone())).bind(sum);
        let query = match self.shape.key.kind {
            Kind::Bytes => query.bind(&*row.key),
            Kind::Text | Kind::Integer => query.bind(text(&row.key)),
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

fn passing<T>(result: Result<T, sqlx::Error>) -> Result<T, Fault> {
    result.map_err(|error| Fault::passing(&error))
}

async fn run(connection: &mut MySqlConnection, statement: String) -> Result<(), Fault> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement));
    passing(ran.execute(connection).await).map(drop)
}

fn text(bytes: &[u8]) -> &str {
    // Rows that are not are set aside before.
    std::str::from_utf8(bytes).unwrap_or_default()
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

/// The table's database.
async fn find(connection: &mut MySqlConnection, table: &Table) -> Result<String, Fault> {
    let found = sqlx::query(
        "SELECT CAST(t.TABLE_SCHEMA AS CHAR), t.TABLE_TYPE = 'BASE TABLE', COALESCE(e.TRANSACTIONS = 'YES', 0) \
         FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE t.TABLE_SCHEMA = COALESCE(?, DATABASE()) AND t.TABLE_NAME = ?",
    )
    .bind(&table.name.schema)
    .bind(&table.name.table)
    .fetch_optional(connection)
    .await;
    let name = table.name.quoted('`');
    let Some(row) = passing(found)? else {
        return Err(Fault::unsuitable(format!("there is no table {name}")));
    };
    let is_table: i64 = passing(row.try_get(1))?;
    let is_transactional: i64 = passing(row.try_get(2))?;
    if is_table == 0 {
        return Err(Fault::unsuitable(format!("{name} is no table")));
    }
    if is_transactional == 0 {
        let text = format!("{name} has an engine without transactions; make it InnoDB");
        return Err(Fault::unsuitable(text));
    }
    passing(row.try_get(0))
}

/// What is told of the two columns, if every other one can be left out.
async fn columns(
    connection: &mut MySqlConnection,
    table: &Table,
    schema: &str,
) -> Result<(Told, Told), Fault> {
    let rows = sqlx::query(
        "SELECT CAST(COLUMN_NAME AS CHAR), CAST(LOWER(DATA_TYPE) AS CHAR), \
         CAST(CHARACTER_MAXIMUM_LENGTH AS SIGNED), CAST(CHARACTER_OCTET_LENGTH AS SIGNED), \
         CAST(COLLATION_NAME AS CHAR), CAST(UPPER(EXTRA) LIKE '% GENERATED%' AS SIGNED), \
         CAST(IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND UPPER(EXTRA) NOT LIKE '%AUTO_INCREMENT%' \
         AND UPPER(EXTRA) NOT LIKE '%GENERATED%' AS SIGNED) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
    )
    .bind(schema)
    .bind(&table.name.table)
    .fetch_all(connection)
    .await;
    let (mut key, mut value, mut left_out) = (None, None, None);
    for row in passing(rows)? {
        let (name, told, must_be_filled) = passing(told(&row))?;
        // Names of columns are compared without case here.
        if name.to_lowercase() == table.key.to_lowercase() {
            key = Some(told);
        } else if name.to_lowercase() == table.value.to_lowercase() {
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

fn told(row: &MySqlRow) -> Result<(String, Told, bool), sqlx::Error> {
    let flag = |column: usize| Ok::<bool, sqlx::Error>(row.try_get::<i64, _>(column)? != 0);
    let told = Told {
        type_name: row.try_get(1)?,
        most_chars: row.try_get(2)?,
        most_bytes: row.try_get(3)?,
        collation: row.try_get(4)?,
        is_generated: flag(5)?,
    };
    Ok((row.try_get(0)?, told, flag(6)?))
}

/// A column of an index.
struct Indexed {
    index: String,
    column: String,
    /// Whether the index looks at its beginning alone.
    is_cut: bool,
    /// Whether two rows of which nothing was said about it can be equal in it.
    can_clash: bool,
}

/// Sees that a row is found by its key, and by nothing else: where the rows of another unique index are equal, this database
/// changes the row of that one.
async fn unique(
    connection: &mut MySqlConnection,
    table: &Table,
    schema: &str,
) -> Result<(), Fault> {
    let rows = sqlx::query(
        "SELECT CAST(s.INDEX_NAME AS CHAR), CAST(COALESCE(s.COLUMN_NAME, '') AS CHAR), \
         CAST(s.SUB_PART IS NOT NULL AS SIGNED), CAST(COALESCE(NOT (UPPER(c.EXTRA) LIKE '%AUTO_INCREMENT%' \
         OR (c.IS_NULLABLE = 'YES' AND (c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL'))), 1) AS SIGNED) \
         FROM information_schema.STATISTICS s LEFT JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = s.TABLE_SCHEMA \
         AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME \
         WHERE s.TABLE_SCHEMA = ? AND s.TABLE_NAME = ? AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX",
    )
    .bind(schema)
    .bind(&table.name.table)
    .fetch_all(connection)
    .await;
    let rows = passing(rows)?.iter().map(indexed).collect();
    let rows: Vec<Indexed> = passing(rows)?;
    let is = |name: &str, column: &str| name.to_lowercase() == column.to_lowercase();
    let mut is_unique = false;
    for index in rows.chunk_by(|one, next| one.index == next.index) {
        if let [one] = index
            && is(&one.column, &table.key)
            && !one.is_cut
        {
            is_unique = true;
        }
        let is_apart = |indexed: &Indexed| {
            is(&indexed.column, &table.key)
                || (!indexed.can_clash && !is(&indexed.column, &table.value))
        };
        // A cut key can be equal where keys differ.
        let is_cut = index
            .iter()
            .any(|one| is(&one.column, &table.key) && one.is_cut);
        if is_cut || !index.iter().any(is_apart) {
            let name = index.first().map_or("", |one| &one.index);
            return Err(Fault::unsuitable(format!(
                "rows could be mistaken for one another by the unique index {name:?}: here it may only be one of \
                 key_column, or have a column that is NULL or AUTO_INCREMENT"
            )));
        }
    }
    if is_unique {
        Ok(())
    } else {
        Err(not_unique(&table.key))
    }
}

fn indexed(row: &MySqlRow) -> Result<Indexed, sqlx::Error> {
    Ok(Indexed {
        index: row.try_get(0)?,
        column: row.try_get(1)?,
        is_cut: row.try_get::<i64, _>(2)? != 0,
        can_clash: row.try_get::<i64, _>(3)? != 0,
    })
}

/// The most bytes of a value that a packet can hold.
async fn packet(connection: &mut MySqlConnection) -> Result<u64, Fault> {
    let row = sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)")
        .fetch_one(connection)
        .await;
    let most: i64 = passing(passing(row)?.try_get(0))?;
    let most = u64::try_from(most).unwrap_or_default();
    Ok(most.saturating_sub(PACKET_REST))
}

/// The column of the keys, if its collation tells all of them apart.
fn key_column(table: &Table, told: &Told) -> Result<Option<Column>, Fault> {
    // A key is short: what a packet holds is no limit for it.
    let Some(column) = column(told, u64::MAX) else {
        return Ok(None);
    };
    let Some(collation) = told.collation.as_deref() else {
        return Ok(Some(column));
    };
    if collation == "binary" {
        return Ok(Some(column));
    }
    if !collation.ends_with("_bin") {
        let remedy = "declare it CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, or VARBINARY";
        return Err(folds(&table.key, collation, remedy));
    }
    let pads = !collation.contains("_nopad_") && !collation.contains("_0900_");
    Ok(Some(Column {
        ignores_final_spaces: pads,
        ..column
    }))
}

fn column(told: &Told, packet: u64) -> Option<Column> {
    if told.is_generated {
        return None;
    }
    let number = |most: Option<i64>| most.and_then(|most| u64::try_from(most).ok());
    let most_bytes = Some(number(told.most_bytes).unwrap_or(u64::MAX).min(packet));
    Some(match told.type_name.as_str() {
        // Of other sets of characters the database knows how many bytes they take; here it is not fewer than that.
        "varchar" => Column {
            most_chars: number(told.most_chars),
            most_bytes: Some(packet),
            ..Column::of(Kind::Text)
        },
        "tinytext" | "text" | "mediumtext" | "longtext" => Column {
            most_bytes,
            ..Column::of(Kind::Text)
        },
        "json" => Column {
            most_bytes: Some(packet),
            ..Column::of(Kind::Text)
        },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Column {
            most_bytes,
            ..Column::of(Kind::Bytes)
        },
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" => {
            Column::of(Kind::Integer)
        }
        _ => return None,
    })
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
