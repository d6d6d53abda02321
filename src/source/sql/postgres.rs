//! The first column of the first row, of `PostgreSQL`: values come in its binary form and become the text that a cast to
//! `text` would give in UTC. It must not know what is asked.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::postgres::{PgTypeKind, PgValueFormat};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _, TypeInfo as _, ValueRef as _};

use super::{Asked, Found, numbers, times};

pub(super) async fn ask(pool: &PgPool, query: &Arc<str>, key: &str) -> Result<Found, Asked> {
    // There is no such text there.
    if key.contains('\0') {
        return Ok(Found::Nothing);
    }
    let mut connection = pool.acquire().await.map_err(Asked::NoConnection)?;
    let query = sqlx::query(AssertSqlSafe(Arc::clone(query))).bind(key);
    let row = connection.fetch_optional(query).await;
    let Some(row) = row.map_err(Asked::NoAnswer)? else {
        return Ok(Found::Nothing);
    };
    let value = row.try_get_raw(0).map_err(Asked::NoAnswer)?;
    let Ok(bytes) = value.as_bytes() else {
        return Ok(Found::Nothing);
    };
    let of_type = value.type_info();
    let is_text =
        value.format() == PgValueFormat::Text || matches!(of_type.kind(), PgTypeKind::Enum(_));
    let name = of_type.name();
    let told = if is_text {
        Some(bytes.to_vec())
    } else {
        told(name, bytes)
    };
    Ok(told.map_or_else(
        || Found::Untold {
            type_name: name.to_owned(),
        },
        Found::Column,
    ))
}

/// The usual text of a value; `None` where there is none that everybody agrees on.
fn told(of_type: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = match of_type {
        "BYTEA" | "TEXT" | "VARCHAR" | "CHAR" | "\"CHAR\"" | "NAME" | "UNKNOWN" | "JSON"
        | "XML" | "citext" => return Some(bytes.to_vec()),
        "JSONB" => return bytes.split_first().map(|(_version, json)| json.to_vec()),
        "BOOL" => (bytes != [0]).to_string(),
        "INT2" => i16::from_le_bytes(low_first(bytes)?).to_string(),
        "INT4" => i32::from_le_bytes(low_first(bytes)?).to_string(),
        "INT8" => i64::from_le_bytes(low_first(bytes)?).to_string(),
        "OID" => u32::from_le_bytes(low_first(bytes)?).to_string(),
        "FLOAT4" => numbers::float32(f32::from_le_bytes(low_first(bytes)?)),
        "FLOAT8" => numbers::float64(f64::from_le_bytes(low_first(bytes)?)),
        "NUMERIC" => numbers::decimal(bytes)?,
        "UUID" => uuid(bytes.try_into().ok()?),
        "DATE" => times::day(i32::from_le_bytes(low_first(bytes)?))?,
        "TIME" => times::time_of_day(i64::from_le_bytes(low_first(bytes)?))?,
        "TIMESTAMP" => times::moment(i64::from_le_bytes(low_first(bytes)?))?,
        "TIMESTAMPTZ" => in_utc(times::moment(i64::from_le_bytes(low_first(bytes)?))?),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// `PostgreSQL` sends the highest byte first.
fn low_first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = bytes.try_into().ok()?;
    bytes.reverse();
    Some(bytes)
}

/// `infinity` has no zone.
fn in_utc(moment: String) -> String {
    if moment.ends_with("infinity") {
        moment
    } else {
        moment + "+00"
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of_type: &str, bytes: &[u8]) -> Option<String> {
        told(of_type, bytes).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn values_become_the_text_that_a_cast_gives() {
        for (of_type, bytes, expected) in [
            ("TEXT", &b"gr\xC3\xBCn"[..], "gr\u{fc}n"),
            ("JSON", b"{\"a\": 1}", "{\"a\": 1}"),
            ("JSONB", b"\x01{\"a\": 1}", "{\"a\": 1}"),
            ("BOOL", &[1], "true"),
            ("BOOL", &[0], "false"),
            ("INT2", &[0xFF, 0xFE], "-2"),
            ("INT4", &[0, 0, 1, 0], "256"),
            ("INT8", &[0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
            ("OID", &[0xFF, 0xFF, 0xFF, 0xFF], "4294967295"),
            ("FLOAT4", &[0x3F, 0, 0, 0], "0.5"),
            (
                "FLOAT8",
                &[0x44, 0x30, 0, 0, 0, 0, 0, 0],
                "2.9514790517935283e+20",
            ),
            ("NUMERIC", &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9], "9"),
            ("DATE", &[0, 0, 0, 31], "2000-02-01"),
            ("TIME", &[0, 0, 0, 0, 0, 0, 0, 1], "00:00:00.000001"),
            ("TIMESTAMP", &[0; 8], "2000-01-01 00:00:00"),
            ("TIMESTAMPTZ", &[0; 8], "2000-01-01 00:00:00+00"),
            (
                "TIMESTAMPTZ",
                &[0x7F, 255, 255, 255, 255, 255, 255, 255],
                "infinity",
            ),
            (
                "UUID",
                b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF",
                "00112233-4455-6677-8899-aabbccddeeff",
            ),
        ] {
            assert_eq!(text(of_type, bytes).as_deref(), Some(expected), "{of_type}");
        }
        assert_eq!(told("BYTEA", &[0xFF, 0]), Some(vec![0xFF, 0]));
    }

    #[test]
    fn what_has_no_usual_text_or_another_length_is_not_guessed_at() {
        assert_eq!(told("INTERVAL", &[0; 16]), None);
        assert_eq!(told("INT4[]", &[0; 16]), None);
        assert_eq!(told("INT4", &[0; 3]), None);
        assert_eq!(told("UUID", &[0; 15]), None);
        assert_eq!(told("JSONB", &[]), None);
    }
}
