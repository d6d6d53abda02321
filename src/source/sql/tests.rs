//! A database in a file, asked as a source.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::*;
use crate::source::{Origin, Source, ThroughOptions, Validators, plain};

const SCHEMA: &str = "
    CREATE TABLE v (key TEXT PRIMARY KEY, value);
    INSERT INTO v VALUES ('text', 'gr\u{fc}n'), ('bytes', x'FF00'), ('whole', -7), ('real', 2.5), ('none', NULL),
        ('it''s', 'quoted'), ('5', 'five');
    CREATE TABLE many (key INTEGER, value TEXT);
    INSERT INTO many VALUES (1, 'first'), (1, 'second');
";

async fn filled(path: &Path) -> String {
    let url = format!("sqlite://{}", path.display());
    let options = SqliteConnectOptions::from_str(&url).unwrap();
    let mut database = options.create_if_missing(true).connect().await.unwrap();
    database.execute(SCHEMA).await.unwrap();
    url
}

fn source(url: &str, query: &str) -> Source {
    let origin = Origin::Sql(SqlOptions {
        url: Secret::Given(url.into()),
        query: query.to_owned(),
        content_type: "text/plain".to_owned(),
    });
    plain::sources().through(&ThroughOptions {
        max_bytes: 100,
        ..plain::through(origin)
    })
}

async fn ask(source: &Source, key: &str) -> Result<Fetched, FetchError> {
    source.fetch(Some(key), &Validators::default()).await
}

fn bytes(fetched: Result<Fetched, FetchError>) -> Option<Vec<u8>> {
    match fetched.unwrap() {
        Fetched::Value(value) => {
            assert_eq!(value.media_type.as_deref(), Some("text/plain"));
            Some(value.bytes.to_vec())
        }
        Fetched::Absent => None,
        Fetched::NotModified { .. } => panic!("nothing was known"),
    }
}

#[tokio::test]
async fn the_first_column_of_the_first_row_is_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let url = filled(&folder.path().join("db")).await;
    let by_key = source(&url, "SELECT value, 'more' FROM v WHERE key = ?");
    for (key, value) in [
        ("text", Some("gr\u{fc}n".as_bytes())),
        ("bytes", Some(&[0xFF, 0])),
        ("whole", Some(b"-7")),
        ("real", Some(b"2.5")),
        ("it's", Some(b"quoted")),
        ("5", Some(b"five")),
        ("none", None),
        ("absent", None),
        ("' OR 1 = 1 --", None),
    ] {
        assert_eq!(bytes(ask(&by_key, key).await).as_deref(), value, "{key}");
    }
    let first = source(&url, "SELECT value FROM many WHERE key = ? ORDER BY value");
    assert_eq!(bytes(ask(&first, "1").await).unwrap(), b"first");
}

#[tokio::test]
async fn a_value_is_taken_to_its_limit_and_not_one_byte_further() {
    let folder = tempfile::tempdir().unwrap();
    let url = filled(&folder.path().join("db")).await;
    let long = source(&url, "SELECT hex(zeroblob(50)) WHERE ? <> ''");
    assert_eq!(bytes(ask(&long, "x").await).unwrap().len(), 100);
    let longer = source(&url, "SELECT hex(zeroblob(50)) || 'x' WHERE ? <> ''");
    let failure = ask(&longer, "x").await.unwrap_err();
    assert!(
        matches!(failure, FetchError::TooLarge { limit: 100 }),
        "{failure}"
    );
}

#[tokio::test]
async fn failures_of_a_database_quote_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = filled(&folder.path().join("db")).await;
    let absent = format!("sqlite://{}", folder.path().join("hunter2").display());
    for (url, query) in [
        (url.as_str(), "SELECT hunter2 FROM v WHERE key = ?"),
        (url.as_str(), "hunter2"),
        (absent.as_str(), "SELECT value FROM v WHERE key = ?"),
        ("hunter2://x", "SELECT 1"),
        ("postgres://u:hunter2@169.254.169.254/hunter2", "SELECT 1"),
    ] {
        let source = source(url, query);
        let failure = ask(&source, "hunter2").await.unwrap_err();
        let shown = format!("{failure} {} {}", failure.told(), failure.kind());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_database_that_comes_later_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let url = format!("sqlite://{}", path.display());
    let source = source(&url, "SELECT value FROM v WHERE key = ?");
    let failure = ask(&source, "text").await.unwrap_err();
    assert_eq!(failure.kind(), "database", "{failure}");
    assert!(!failure.is_of_value());
    filled(&path).await;
    assert!(bytes(ask(&source, "text").await).is_some());
}
