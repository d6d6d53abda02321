//! Keyspaces that read through, and what of them is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::{Place, assert_refused, loaded, origin, shown};
use crate::outbound::{Auth, HeaderValue, Method, Secret};
use crate::server::Durability;
use crate::source::{BeneathOptions, Breaker, Origin, RateLimit, SqlOptions, ThroughOptions};

/// The options of the keyspace `a`, whose source is this.
pub(super) fn through(source: &str) -> ThroughOptions {
    let config = loaded(&format!(
        "keyspaces: {{ a: {{ ttl: 1h, source: {source} }} }}\n"
    ));
    assert_eq!(config.warnings, Vec::<String>::new());
    config.server.through["a"].clone()
}

/// Refuses each source of the keyspace `a` with a sentence about it.
pub(super) fn assert_sources_refused(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        let text = format!("keyspaces:\n  a:\n    ttl: 1h\n    source: {source}\n");
        let expected = format!("file.yml:4: keyspaces.a.source{expected}");
        assert_refused(&[(&text, &expected)]);
    }
}

#[test]
fn a_source_has_defaults_for_everything_but_where_it_is() {
    let text = "{ http: { endpoint: 'https://h/{key}' } }";
    let options = through(text);
    let Origin::Http(http) = &options.origin else {
        panic!("{options:?}");
    };
    assert_eq!(
        (http.endpoint.as_str(), &http.method),
        ("https://h/{key}", &Method::GET)
    );
    assert!(http.headers.is_empty());
    assert_eq!((&http.auth, &http.body, &http.ca), (&None, &None, &None));
    let expected = ThroughOptions {
        origin: options.origin.clone(),
        timeout: Duration::from_secs(5),
        max_bytes: 16 << 20,
        honour_source: false,
        negative_ttl: None,
        negative_keys: 10_000,
        stale_while_revalidate: None,
        stale_if_error: None,
        max_concurrency: 64,
        rate_limit: None,
        breaker: None,
        refresh_ahead: None,
    };
    assert_eq!(options, expected);
}

#[test]
fn every_setting_of_a_source_takes_a_value_of_its_own() {
    let text = "
limits: { value_bytes: 2MiB }
keyspaces:
  users:
    ttl: 10m
    source:
      http:
        endpoint: 'http://127.0.0.1:9000/users/{key}?as={key}'
        method: post
        header: { X-A: [one, 2], Accept: text/plain, X-None: }
        auth: { user: admin, password: adminadmin }
        body: hello
        timeout: 2s
        ca: ours.pem
      max_bytes: 1MiB
      honour_source: true
      negative_ttl: 30s
      negative_keys: 7
      stale_while_revalidate: 1m
      stale_if_error: 1h
      max_concurrency: 3
      rate_limit: { per_second: 2.5 }
      circuit_breaker: { failures: 4, reset: 20s }
      refresh_ahead: 1m
";
    let config = loaded(text);
    assert_eq!(config.warnings, Vec::<String>::new());
    let options = &config.server.through["users"];
    let Origin::Http(http) = &options.origin else {
        panic!("{options:?}");
    };
    assert_eq!(http.endpoint, "http://127.0.0.1:9000/users/{key}?as={key}");
    assert_eq!(http.method, Method::POST);
    let several: Vec<_> = http.headers.get_all("x-a").iter().collect();
    assert_eq!(several, ["one", "2"]);
    assert_eq!(
        (&http.headers["accept"], http.headers.len()),
        (&"text/plain".parse().unwrap(), 3)
    );
    assert!(http.headers.values().all(HeaderValue::is_sensitive));
    let auth = Auth {
        user: "admin".to_owned(),
        password: Secret::Given("adminadmin".into()),
    };
    assert_eq!(
        (http.auth.as_ref(), http.body.as_deref()),
        (Some(&auth), Some("hello"))
    );
    assert_eq!(http.ca, Some(PathBuf::from("ours.pem")));
    let expected = ThroughOptions {
        origin: options.origin.clone(),
        timeout: Duration::from_secs(2),
        max_bytes: 1 << 20,
        honour_source: true,
        negative_ttl: Some(Duration::from_secs(30)),
        negative_keys: 7,
        stale_while_revalidate: Some(Duration::from_mins(1)),
        stale_if_error: Some(Duration::from_hours(1)),
        max_concurrency: 3,
        rate_limit: Some(RateLimit {
            per_second: 2.5,
            burst: 3,
        }),
        breaker: Some(Breaker {
            failures: 4,
            reset: Duration::from_secs(20),
        }),
        refresh_ahead: Some(Duration::from_mins(1)),
    };
    assert_eq!(*options, expected);
}

#[test]
fn a_file_and_a_database_are_origins_too() {
    assert_eq!(
        through("{ file: { root: ./users, path: '{key}/it.json' }, timeout: 1s }").origin,
        Origin::File(BeneathOptions {
            root: PathBuf::from("./users"),
            path: "{key}/it.json".to_owned(),
        })
    );
    assert_eq!(
        through("{ file: { root: ./users } }").origin,
        Origin::File(BeneathOptions {
            root: PathBuf::from("./users"),
            path: "{key}".to_owned(),
        })
    );
    let query = "SELECT v FROM t WHERE k = $1";
    assert_eq!(
        through(&format!(
            "{{ sql: {{ url: 'postgres://u:p@h/d', query: '{query}' }} }}"
        ))
        .origin,
        Origin::Sql(SqlOptions {
            url: Secret::Given("postgres://u:p@h/d".into()),
            query: query.to_owned(),
            content_type: "text/plain".to_owned(),
        })
    );
    let query = "SELECT v FROM t WHERE k = ?";
    assert_eq!(
        through(&format!(
            "{{ sql: {{ url_file: /run/db, query: '{query}', content_type: application/json }} }}"
        ))
        .origin,
        Origin::Sql(SqlOptions {
            url: Secret::File(PathBuf::from("/run/db")),
            query: query.to_owned(),
            content_type: "application/json".to_owned(),
        })
    );
}

#[test]
fn what_can_be_fetched_again_is_written_and_not_synced() {
    let config = loaded(
        "keyspaces:\n  a: { source: { file: { root: x } } }\n  b: { durability: synced, source: { file: { root: x } } }\n  \
         c: { durability: memory, source: { file: { root: x } } }\n  d: { source: }\n",
    );
    let durabilities: Vec<_> = config
        .server
        .keyspaces
        .iter()
        .map(|(_, policy)| policy.durability)
        .collect();
    assert_eq!(
        durabilities,
        [
            Durability::Written,
            Durability::Synced,
            Durability::Memory,
            Durability::Synced
        ]
    );
    assert_eq!(origin(&config, "keyspaces.a.durability"), "default");
    assert_eq!(config.server.through.len(), 3);
}

#[test]
fn a_source_is_shown_as_it_holds() {
    let config = loaded(
        "keyspaces: { a: { ttl: 1h, source: { http: { endpoint: 'http://u:p@h/{key}?t=x', header: { X-A: [b, c] }, timeout: 3s }, rate_limit: { per_second: 3 } } } }\n",
    );
    assert_eq!(
        shown(&config, "keyspaces.a.source."),
        [
            "keyspaces.a.source.http.endpoint=http://***@h/{key}?t=***",
            "keyspaces.a.source.http.header={X-A: ['***', '***']}",
            "keyspaces.a.source.http.method=GET",
            "keyspaces.a.source.http.timeout=3s",
            "keyspaces.a.source.max_bytes=16MiB",
            "keyspaces.a.source.honour_source=false",
            "keyspaces.a.source.negative_ttl=none",
            "keyspaces.a.source.negative_keys=10000",
            "keyspaces.a.source.stale_while_revalidate=none",
            "keyspaces.a.source.stale_if_error=none",
            "keyspaces.a.source.max_concurrency=64",
            "keyspaces.a.source.rate_limit.per_second=3",
            "keyspaces.a.source.rate_limit.burst=3",
            "keyspaces.a.source.refresh_ahead=none",
        ]
    );
}

#[test]
fn what_can_have_no_effect_is_a_warning() {
    let source = "http: { endpoint: 'http://h/{key}', body: 'x {key}' }, stale_if_error: 1h, refresh_ahead: 1m";
    let text = format!("keyspaces:\n  a:\n    source: {{ {source} }}\n");
    let place = Place::new().with_file("file.yml", &text);
    let directory = format!("{}/", place.path("").display());
    let warnings: Vec<String> = place
        .load()
        .unwrap()
        .warnings
        .iter()
        .map(|warning| {
            warning
                .replace(directory.trim_end_matches('/'), "")
                .replace('/', "")
        })
        .collect();
    let no_effect = "it has no effect: the keyspace has no ttl, so its values never grow old";
    assert_eq!(
        warnings,
        [
            "file.yml:3: keyspaces.a.source.http.body: {key} stays as it is here: it stands for the key in the endpoint alone"
                .to_owned(),
            format!("file.yml:3: keyspaces.a.source.stale_if_error: {no_effect}"),
            format!("file.yml:3: keyspaces.a.source.refresh_ahead: {no_effect}"),
        ]
    );
    through("{ http: { endpoint: 'http://h/{key}' }, stale_if_error: 1h, refresh_ahead: 1m }");
}

/// Sources of the keyspace `a`, and what is said of them.
const BROKEN: &[(&str, &str)] = &[
    ("{}", ": one of these belongs here: http, file, sql"),
    ("7", ": a section belongs here: lines of `name: value`"),
    (
        "{ file: { root: x }, http: { endpoint: 'http://h/{key}' } }",
        ".file: http is set as well; keep one of the two",
    ),
    ("{ file: {} }", ".file: root is missing"),
    (
        "{ file: { root: x }, negativ_ttl: 1s }",
        ".negativ_ttl is not a setting; did you mean keyspaces.a.source.negative_ttl? (`standpipe check` prints all of them)",
    ),
    (
        "{ file: { root: x, root: y } }",
        ".file.root is set twice; keep one of the two",
    ),
    (
        "{ file: { root: x, path: a } }",
        ".file.path: \"a\" has no {key}: every key would get the same value",
    ),
    (
        "{ file: { root: x, path: '/{key}' } }",
        ".file.path: \"/{key}\" is not a path below root: it begins with / or holds ..",
    ),
    (
        "{ file: { root: x, path: 'a/../{key}' } }",
        ".file.path: \"a/../{key}\" is not a path below root: it begins with / or holds ..",
    ),
    (
        "{ file: { root: ./data/x } }",
        ".file.root: \"./data/x\" and storage.path lie within each other: the data is read and written over HTTP alone",
    ),
    (
        "{ file: { root: . } }",
        ".file.root: \".\" and storage.path lie within each other: the data is read and written over HTTP alone",
    ),
    (
        "{ file: { root: x }, timeout: 0 }",
        ".timeout: \"0\" is out of range: from 1ms to 86400 s",
    ),
    (
        "{ file: { root: x }, max_bytes: 17MiB }",
        ".max_bytes: \"17MiB\" is more than limits.value_bytes, 16MiB: such a value could not be kept",
    ),
    (
        "{ file: { root: x }, max_bytes: 0 }",
        ".max_bytes: \"0\" lets no value through",
    ),
    (
        "{ file: { root: x }, honour_source: true }",
        ".honour_source: only an http source says how long its values are good",
    ),
    (
        "{ file: { root: x }, refresh_ahead: 1h }",
        ".refresh_ahead: it is not less than the keyspace's ttl: every value would be fetched again and again",
    ),
    (
        "{ file: { root: x }, max_concurrency: 0 }",
        ".max_concurrency: \"0\" is out of range: from 1 to 10000",
    ),
    (
        "{ file: { root: x }, negative_keys: 0 }",
        ".negative_keys: \"0\" is out of range: from 1 to 10000000",
    ),
    (
        "{ file: { root: x }, rate_limit: {} }",
        ".rate_limit: per_second is missing",
    ),
    (
        "{ file: { root: x }, rate_limit: { per_second: 0 } }",
        ".rate_limit.per_second: \"0\" is out of range: from 0.001 to 1000000",
    ),
    (
        "{ file: { root: x }, rate_limit: { per_second: NaN } }",
        ".rate_limit.per_second: \"NaN\" is not a number",
    ),
    (
        "{ file: { root: x }, rate_limit: { per_second: 1, burst: 0 } }",
        ".rate_limit.burst: \"0\" is out of range: from 1 to 1000000",
    ),
    (
        "{ file: { root: x }, circuit_breaker: { failures: 0 } }",
        ".circuit_breaker.failures: \"0\" is out of range: from 1 to 1000000",
    ),
];

#[test]
fn what_is_wrong_with_a_source_is_said_with_its_line() {
    assert_sources_refused(BROKEN);
}

#[test]
fn what_is_wrong_with_a_question_is_said_with_its_line() {
    assert_sources_refused(&[
        (
            "{ sql: { query: 'SELECT $1' } }",
            ".sql: url or url_file is missing",
        ),
        (
            "{ sql: { url: 'postgres://u:hunter2@h/d', url_file: x, query: 'SELECT $1' } }",
            ".sql.url_file: url is set as well; keep one of the two",
        ),
        (
            "{ sql: { url: 'oracle://u:hunter2@h/d', query: 'SELECT $1' } }",
            ".sql.url: \"***\" begins with none of postgres:, mysql:, mariadb:, sqlite:",
        ),
        (
            "{ sql: { url: 'sqlite:./data/x.db', query: 'SELECT $1' } }",
            ".sql.url: \"sqlite://***\" lies under storage.path: the data is read and written over HTTP alone",
        ),
        ("{ sql: { url_file: x } }", ".sql: query is missing"),
        (
            "{ sql: { url: 'mysql://h/d', query: 'SELECT $1' } }",
            ".sql.query: \"SELECT $1\" needs the key as its one parameter: ?",
        ),
        (
            "{ sql: { url: 'postgres://h/d', query: 'SELECT ?' } }",
            ".sql.query: \"SELECT ?\" needs the key as its one parameter: $1",
        ),
        (
            "{ sql: { url_file: x, query: 'SELECT 1' } }",
            ".sql.query: \"SELECT 1\" needs the key as its one parameter: $1, or ? for MySQL",
        ),
        (
            "{ sql: { url_file: x, query: 'SELECT ?', content_type: text } }",
            ".sql.content_type: \"text\" is not a media type, such as text/plain",
        ),
        (
            "{ sql: { url_file: x, query: 'SELECT ?' }, honour_source: true }",
            ".honour_source: only an http source says how long its values are good",
        ),
    ]);
}
