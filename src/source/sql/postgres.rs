//! The first column of the first row, of `PostgreSQL`: values come in its binary form and become the text that a cast to
//! `text` would give in UTC. It must not know what is asked.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgTypeKind, PgValueFormat};
use sqlx::{
    AssertSqlSafe, Either, Encode, Error, Executor as _, PgPool, Postgres, Row as _,
    SqlSafeStr as _, Statement as _, Type, TypeInfo as _, ValueRef as _,
};

use super::{Asked, Found, numbers, times};

pub(super) async fn ask(pool: &PgPool, query: &Arc<str>, key: &str) -> Result<Found, Asked> {
    let mut connection = pool.acquire().await.map_err(Asked::NoConnection)?;
    // The server says what the query compares the key with. Each connection asks it once.
    let query = AssertSqlSafe(Arc::clone(query)).into_sql_str();
    let prepared = connection.prepare(query).await;
    let prepared = prepared.map_err(Asked::NoAnswer)?;
    let of_type = match prepared.parameters() {
        Some(Either::Left([of_type])) => of_type.clone(),
        _ => return Ok(Found::NotOneParameter),
    };
    let parameter = match Parameter::of(key, of_type) {
        Ok(parameter) => parameter,
        Err(found) => return Ok(found),
    };
    let row = connection
        .fetch_optional(prepared.query().bind(parameter))
        .await;
    match row.map_err(Asked::NoAnswer)? {
        None => Ok(Found::Nothing),
        Some(row) => first(&row).map_err(Asked::NoAnswer),
    }
}

fn first(row: &PgRow) -> Result<Found, Error> {
    let value = row.try_get_raw(0)?;
    let Ok(bytes) = value.as_bytes() else {
        return Ok(Found::Nothing);
    };
    let of_type = value.type_info();
    let is_text = value.format() == PgValueFormat::Text || is_enumeration(&of_type);
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

fn is_enumeration(of_type: &PgTypeInfo) -> bool {
    matches!(of_type.kind(), PgTypeKind::Enum(_))
}

/// A key as the query wants it, in the server's binary form.
struct Parameter {
    of_type: PgTypeInfo,
    bytes: Vec<u8>,
}

impl Parameter {
    /// `key` as a value of that type. A key that is none is equal to none, so nothing is found.
    fn of(key: &str, of_type: PgTypeInfo) -> Result<Self, Found> {
        let bytes = match of_type.name() {
            "INT2" => key.parse::<i16>().ok().map(|n| high_first(n.to_le_bytes())),
            "INT4" => key.parse::<i32>().ok().map(|n| high_first(n.to_le_bytes())),
            "INT8" => key.parse::<i64>().ok().map(|n| high_first(n.to_le_bytes())),
            "OID" => key.parse::<u32>().ok().map(|n| high_first(n.to_le_bytes())),
            "UUID" => bytes_of_uuid(key),
            "BYTEA" => Some(key.as_bytes().to_vec()),
            name if is_text(name) || is_enumeration(&of_type) => {
                // There is no such text there.
                (!key.contains('\0')).then(|| key.as_bytes().to_vec())
            }
            name => {
                let type_name = name.to_owned();
                return Err(Found::KeyOfType { type_name });
            }
        };
        match bytes {
            Some(bytes) => Ok(Self { of_type, bytes }),
            None => Err(Found::Nothing),
        }
    }
}

impl Type<Postgres> for Parameter {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Parameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.of_type.clone())
    }
}

/// Whether the binary form of a type is text.
fn is_text(type_name: &str) -> bool {
    matches!(
        type_name,
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "JSON" | "XML" | "citext"
    )
}

fn high_first<const N: usize>(mut bytes: [u8; N]) -> Vec<u8> {
    bytes.reverse();
    bytes.to_vec()
}

/// The bytes of a UUID in its usual form: 32 digits, and four hyphens among them.
fn bytes_of_uuid(text: &str) -> Option<Vec<u8>> {
    let hyphens: Vec<usize> = text.match_indices('-').map(|(place, _)| place).collect();
    if text.len() != 36 || hyphens != [8, 13, 18, 23] {
        return None;
    }
    let digits: Vec<u32> = text
        .chars()
        .filter(|letter| *letter != '-')
        .map(|letter| letter.to_digit(16))
        .collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
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

    fn parameter(key: &str, of_type: &str) -> Option<Vec<u8>> {
        let of_type = match of_type {
            "INT4" => <i32 as Type<Postgres>>::type_info(),
            "INT8" => <i64 as Type<Postgres>>::type_info(),
            "BYTEA" => <[u8] as Type<Postgres>>::type_info(),
            _ => <str as Type<Postgres>>::type_info(),
        };
        Parameter::of(key, of_type)
            .ok()
            .map(|parameter| parameter.bytes)
    }

    #[test]
    fn a_key_is_sent_as_what_it_is_compared_with() {
        assert_eq!(parameter("256", "INT4").unwrap(), [0, 0, 1, 0]);
        assert_eq!(parameter("-1", "INT8").unwrap(), [255; 8]);
        assert_eq!(parameter("gr\u{fc}n", "TEXT").unwrap(), b"gr\xC3\xBCn");
        assert_eq!(parameter("a\0", "BYTEA").unwrap(), b"a\0");
        // These are equal to nothing.
        for key in ["", "x", "1.0", "2147483648", " 1"] {
            assert_eq!(parameter(key, "INT4"), None, "{key:?}");
        }
        assert_eq!(parameter("a\0", "TEXT"), None);
    }

    #[test]
    fn a_uuid_is_read_in_its_usual_form_alone() {
        let text = "00112233-4455-6677-8899-AAbbccddeeff";
        let bytes = bytes_of_uuid(text).unwrap();
        assert_eq!(uuid(bytes.try_into().unwrap()), text.to_lowercase());
        for text in [
            "",
            "00112233445566778899aabbccddeeff",
            "0011223-34455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeefg",
            "00112233-4455-6677-8899-aabbccddeef\u{e9}",
        ] {
            assert_eq!(bytes_of_uuid(text), None, "{text}");
        }
    }
}
