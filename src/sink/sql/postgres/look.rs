//! What the catalogue of `PostgreSQL` tells of a table. It must not know what is done with it.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::sink::ledger::Fault;
use crate::sink::options::Mode;
use crate::sink::sql::column::{Column, Kind, Shape, folds, missing, not_unique, unfilled};
use crate::sink::sql::fault::passing;
use crate::sink::sql::session::Table;

/// What was found of a table that is fit.
pub(super) struct Found {
    /// What the columns take.
    pub(super) shape: Shape,
    /// The schema that the table is in.
    pub(super) schema: String,
    /// What has to follow a text that becomes a value.
    pub(super) cast: &'static str,
}

/// A column as the catalogue tells of it.
struct Told {
    number: i32,
    type_name: String,
    modifier: i32,
    is_generated: bool,
}

/// What is told of the table, if it is fit.
pub(super) async fn look(connection: &mut PgConnection, table: &Table) -> Result<Found, Fault> {
    let (oid, schema) = find(connection, table).await?;
    let (key, value) = columns(connection, table, oid).await?;
    unique(connection, table, oid, key.number).await?;
    let shape = Shape::new(
        column(&key, Role::Key),
        column(&value, Role::Value(table.mode)),
        table.mode,
        (&table.key, &table.value),
    )?;
    let cast = match value.type_name.as_str() {
        "json" => "::json",
        "jsonb" => "::jsonb",
        _ => "",
    };
    Ok(Found {
        shape,
        schema,
        cast,
    })
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
        ("text", _) | ("json" | "jsonb", Role::Value(Mode::Upsert(_))) => text,
        ("varchar", _) => Column {
            // The modifier counts four bytes of a header; without one there is no limit.
            most_chars: told
                .modifier
                .checked_sub(4)
                .and_then(|most| u64::try_from(most).ok()),
            ..text
        },
        ("bytea", _) => Column::of(Kind::Bytes),
        ("int2" | "int4" | "int8" | "numeric", Role::Value(Mode::Increment)) => {
            Column::of(Kind::Integer)
        }
        _ => return None,
    })
}
