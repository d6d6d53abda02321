//! The first column of the first row, of `MySQL` and `MariaDB`. It must not know what is asked.

use std::sync::Arc;

use sqlx::mysql::MySqlRow;
use sqlx::{
    AssertSqlSafe, Error, Executor as _, MySqlPool, Row as _, TypeInfo as _, ValueRef as _,
};

use super::{Asked, Found, numbers, times};

pub(super) async fn ask(pool: &MySqlPool, query: &Arc<str>, key: &str) -> Result<Found, Asked> {
    let mut connection = pool.acquire().await.map_err(Asked::NoConnection)?;
    let query = sqlx::query(AssertSqlSafe(Arc::clone(query))).bind(key);
    let row = connection.fetch_optional(query).await;
    match row.map_err(Asked::NoAnswer)? {
        None => Ok(Found::Nothing),
        Some(row) => first(&row).map_err(Asked::NoAnswer),
    }
}

fn first(row: &MySqlRow) -> Result<Found, Error> {
    let value = row.try_get_raw(0)?;
    // A date of zeros, which is no date, is NULL here.
    if value.is_null() {
        return Ok(Found::Nothing);
    }
    let name = value.type_info().name().to_owned();
    // Whatever the type, these are the bytes as they came.
    let sent = || row.try_get_unchecked::<&[u8], _>(0);
    let text = match name.as_str() {
        "FLOAT" => Some(numbers::float32(row.try_get_unchecked(0)?)),
        "DOUBLE" => Some(numbers::float64(row.try_get_unchecked(0)?)),
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            Some(row.try_get_unchecked::<i64, _>(0)?.to_string())
        }
        "YEAR" | "BIT" => Some(row.try_get_unchecked::<u64, _>(0)?.to_string()),
        name if name.ends_with(" UNSIGNED") => {
            Some(row.try_get_unchecked::<u64, _>(0)?.to_string())
        }
        "DATE" => moment(sent()?).and_then(|moment| moment.get(..10).map(str::to_owned)),
        "DATETIME" | "TIMESTAMP" => moment(sent()?),
        "TIME" => span(sent()?),
        "GEOMETRY" => None,
        // Text, bytes, JSON, decimals, names of an enumeration: they come as they are.
        _ => return Ok(Found::Column(sent()?.to_vec())),
    };
    Ok(match text {
        Some(text) => Found::Column(text.into_bytes()),
        None => Found::Untold { type_name: name },
    })
}

/// A date and a time as they are sent: how many bytes follow, then the year, the month, the day, and, where they are not zero,
/// the time and its microseconds.
fn moment(sent: &[u8]) -> Option<String> {
    let (_len, rest) = sent.split_first()?;
    let (date, rest) = rest.split_first_chunk::<4>()?;
    let [low, high, month, day] = *date;
    let year = u16::from_le_bytes([low, high]);
    let time = clock(rest)?;
    Some(format!("{year:04}-{month:02}-{day:02} {time}"))
}

/// A span as it is sent: how many bytes follow, then its sign, days, the time and its microseconds.
fn span(sent: &[u8]) -> Option<String> {
    let (_len, rest) = sent.split_first()?;
    let Some((negative, rest)) = rest.split_first() else {
        return clock(&[]);
    };
    let (days, rest) = rest.split_first_chunk::<4>()?;
    let ([hours, minutes, seconds], micros) = parts(rest)?;
    let hours = u64::from(u32::from_le_bytes(*days)) * 24 + u64::from(hours);
    let clock = times::clock(hours, minutes.into(), seconds.into(), micros);
    let sign = if *negative == 0 { "" } else { "-" };
    Some(format!("{sign}{clock}"))
}

fn clock(sent: &[u8]) -> Option<String> {
    let ([hours, minutes, seconds], micros) = parts(sent)?;
    Some(times::clock(
        hours.into(),
        minutes.into(),
        seconds.into(),
        micros,
    ))
}

/// Hours, minutes and seconds, and microseconds; what is zero may be left out.
fn parts(sent: &[u8]) -> Option<([u8; 3], u64)> {
    let Some((time, rest)) = sent.split_first_chunk::<3>() else {
        return sent.is_empty().then_some(([0; 3], 0));
    };
    let micros = match rest.first_chunk::<4>() {
        Some(micros) => u32::from_le_bytes(*micros).into(),
        None => 0,
    };
    Some((*time, micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_whatever_was_left_out() {
        let sent = [11, 0xE8, 0x07, 2, 29, 12, 30, 1, 0x20, 0xA1, 0x07, 0];
        assert_eq!(moment(&sent).unwrap(), "2024-02-29 12:30:01.5");
        assert_eq!(moment(&sent[..8]).unwrap(), "2024-02-29 12:30:01");
        assert_eq!(moment(&sent[..5]).unwrap(), "2024-02-29 00:00:00");
        assert_eq!(moment(&sent[..4]), None);
        assert_eq!(moment(&[]), None);
    }

    #[test]
    fn spans_may_be_longer_than_a_day_and_negative() {
        assert_eq!(span(&[0]).unwrap(), "00:00:00");
        assert_eq!(
            span(&[8, 1, 34, 0, 0, 0, 22, 59, 59]).unwrap(),
            "-838:59:59"
        );
        assert_eq!(span(&[8, 0, 0, 0, 0, 0, 1, 2, 3]).unwrap(), "01:02:03");
        assert_eq!(span(&[1, 0]), None);
    }
}
