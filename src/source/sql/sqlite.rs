//! The first column of the first row, of `SQLite`, whose values say themselves what they are. It must not know what is asked.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Error, Executor as _, Row as _, SqlitePool, TypeInfo as _, ValueRef as _,
};

use super::{Asked, Found, numbers};

pub(super) async fn ask(pool: &SqlitePool, query: &Arc<str>, key: &str) -> Result<Found, Asked> {
    let mut connection = pool.acquire().await.map_err(Asked::NoConnection)?;
    let query = sqlx::query(AssertSqlSafe(Arc::clone(query))).bind(key);
    let row = connection.fetch_optional(query).await;
    match row.map_err(Asked::NoAnswer)? {
        None => Ok(Found::Nothing),
        Some(row) => first(&row).map_err(Asked::NoAnswer),
    }
}

fn first(row: &SqliteRow) -> Result<Found, Error> {
    let (is_null, name) = {
        let value = row.try_get_raw(0)?;
        (value.is_null(), value.type_info().name().to_owned())
    };
    if is_null {
        return Ok(Found::Nothing);
    }
    Ok(Found::Column(match name.as_str() {
        "INTEGER" | "BOOLEAN" => row.try_get_unchecked::<i64, _>(0)?.to_string().into_bytes(),
        "REAL" => numbers::float64(row.try_get_unchecked(0)?).into_bytes(),
        _ => row.try_get_unchecked::<Vec<u8>, _>(0)?,
    }))
}
