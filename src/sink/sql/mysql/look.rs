//! What the catalogue of `MySQL` and `MariaDB` tells of a table. It must not know what is done with it.

use sqlx::Row as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use crate::sink::ledger::Fault;
use crate::sink::sql::column::{Column, Kind, Shape, folds, missing, not_unique, unfilled};
use crate::sink::sql::fault::passing;
use crate::sink::sql::session::Table;

/// Beside a value a packet holds the statement and the other values of its row.
const PACKET_REST: u64 = 8 << 10;

/// A column as the catalogue tells of it.
struct Told {
    type_name: String,
    most_chars: Option<i64>,
    most_bytes: Option<i64>,
    collation: Option<String>,
    is_generated: bool,
}

/// What the columns take, and in which database the table is, if it is fit.
pub(super) async fn look(
    connection: &mut MySqlConnection,
    table: &Table,
) -> Result<(Shape, String), Fault> {
    let schema = find(connection, table).await?;
    let (key, value) = columns(connection, table, &schema).await?;
    unique(connection, table, &schema).await?;
    let key = key_column(table, &key)?;
    let most_bytes = packet(connection).await?;
    let value = column(&value, most_bytes);
    let shape = Shape::new(key, value, table.mode, (&table.key, &table.value))?;
    Ok((shape, schema))
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
    let number = |most: Option<i64>| u64::try_from(most?).ok();
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
