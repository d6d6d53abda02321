//! Keyspaces whose changes are passed on, and what of them is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::{assert_refused, loaded, shown};
use crate::outbound::{Auth, Secret};
use crate::server::Durability;
use crate::sink::{Deletes, Mode, Options, SqlTarget, Target};

/// Refuses each sink of the keyspace `a` with a sentence about it.
fn assert_sinks_refused(cases: &[(&str, &str)]) {
    for (sink, expected) in cases {
        let text = format!("keyspaces:\n  a:\n    sink: {sink}\n");
        let expected = format!("file.yml:3: keyspaces.a.sink{expected}");
        assert_refused(&[(&text, &expected)]);
    }
}

#[test]
fn counters_go_to_a_table() {
    let config = loaded(
        "
keyspaces:
  views:
    sink:
      sql: { url_file: /run/secrets/db, table: page_views, key_column: page, value_column: views, mode: increment }
      every: 3s
",
    );
    let expected = Options {
        target: Target::Sql(SqlTarget {
            url: Secret::File(PathBuf::from("/run/secrets/db")),
            table: "page_views".to_owned(),
            key_column: "page".to_owned(),
            value_column: "views".to_owned(),
        }),
        mode: Mode::Increment,
        every: Duration::from_secs(3),
        timeout: Duration::from_secs(10),
        batch: 500,
        max_pending: 1_000_000,
        max_dead: 10_000,
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_mins(1),
    };
    assert_eq!(config.server.sinks["views"], expected);
    let (_, policy) = &config.server.keyspaces[0];
    assert_eq!(policy.durability, Durability::Synced);
}

#[test]
fn values_go_to_an_address() {
    let config = loaded(
        "
keyspaces:
  a:
    durability: written
    sink:
      http: { endpoint: 'https://u:p@h/hook?t=1', header: { X-A: b }, timeout: 2s, ca: ours.pem }
      mode: upsert
      deletes: propagate
      every: 1s
      batch: 1
      max_pending: 2
      max_dead: 3
      backoff_min: 4s
      backoff_max: 5s
  b: { sink: { http: { endpoint: 'http://h', mode: upsert, deletes: propagate } } }
  c: { sink: { http: { endpoint: 'http://h' }, mode: upsert } }
",
    );
    let sink = &config.server.sinks["a"];
    let Target::Http(target) = &sink.target else {
        panic!("{sink:?}");
    };
    let auth = Auth {
        user: "u".to_owned(),
        password: Secret::Given("p".into()),
    };
    assert_eq!(
        (target.endpoint.as_str(), target.auth.as_ref()),
        ("https://h/hook?t=1", Some(&auth))
    );
    assert_eq!(
        (&target.headers["x-a"], target.ca.as_ref()),
        (&"b".parse().unwrap(), Some(&PathBuf::from("ours.pem")))
    );
    let expected = Options {
        target: sink.target.clone(),
        mode: Mode::Upsert(Deletes::Propagate),
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        batch: 1,
        max_pending: 2,
        max_dead: 3,
        backoff_min: Duration::from_secs(4),
        backoff_max: Duration::from_secs(5),
    };
    assert_eq!(*sink, expected);
    let mode = |name: &str| config.server.sinks[name].mode;
    assert_eq!(
        (mode("b"), mode("c")),
        (
            Mode::Upsert(Deletes::Propagate),
            Mode::Upsert(Deletes::Ignore)
        )
    );
    assert_eq!(
        shown(&config, "keyspaces.a.sink.http"),
        [
            "keyspaces.a.sink.http.endpoint=https://***@h/hook?t=***",
            "keyspaces.a.sink.http.header={X-A: '***'}",
            "keyspaces.a.sink.http.ca=ours.pem",
            "keyspaces.a.sink.http.timeout=2s",
        ]
    );
}

#[test]
fn a_sink_may_stand_beside_a_source() {
    let config = loaded(
        "keyspaces: { a: { source: { file: { root: x } }, sink: { http: { endpoint: 'http://h' }, mode: upsert } } }\n",
    );
    assert_eq!(
        (config.server.through.len(), config.server.sinks.len()),
        (1, 1)
    );
}

#[test]
fn what_waits_for_a_sink_is_logged() {
    assert_refused(&[(
        "keyspaces:\n  a:\n    durability: memory\n    sink: { http: { endpoint: 'http://h' }, mode: upsert }\n",
        "file.yml:4: keyspaces.a.sink: what waits for a sink has to be logged; durability can be synced or written",
    )]);
}

#[test]
fn what_is_wrong_with_a_target_is_said_with_its_line() {
    let sql = |rest: &str| format!("{{ sql: {{ url_file: x, {rest} }}, mode: upsert }}");
    assert_sinks_refused(&[
        ("{}", ": one of these belongs here: sql, http"),
        (
            "{ sql: {}, http: {} }",
            ".http: sql is set as well; keep one of the two",
        ),
        ("{ http: {} }", ".http: endpoint is missing"),
        (
            "{ http: { endpoint: 'http://h/{key}' } }",
            ".http.endpoint: \"http://h/{key}\" has {key} in it, but there is no key that it could stand for",
        ),
        ("{ sql: {} }", ".sql: url or url_file is missing"),
        (
            "{ sql: { url: 'sqlite://data/x' } }",
            ".sql.url: \"sqlite://***\" lies under storage.path: the data is read and written over HTTP alone",
        ),
        (&sql("table: ''"), ".sql: table is missing"),
        (
            &sql("table: a.b.c"),
            ".sql.table: \"a.b.c\" is not a table, or a schema, a dot and a table",
        ),
        (&sql("table: t"), ".sql: key_column is missing"),
        (
            &sql("table: t, key_column: k"),
            ".sql: value_column is missing",
        ),
        (
            &sql("table: t, key_column: 'a`', value_column: v"),
            ".sql.key_column: \"a`\" holds a quote, a backslash or a character that no name has",
        ),
        (
            &sql("table: t, key_column: k, value_column: k"),
            ".sql.value_column: it is the key_column as well",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_sink_is_said_with_its_line() {
    for (rest, expected) in [
        (
            "mode: replace",
            ".mode: \"replace\" is not known; it can be increment, upsert",
        ),
        (
            "mode: increment, deletes: ignore",
            ".deletes: only upsert passes deletions on; take this out",
        ),
        (
            "mode: upsert, deletes: some",
            ".deletes: \"some\" is not known; it can be ignore, propagate",
        ),
        ("every: 1s", ": mode is missing"),
        (
            "mode: upsert, every: 0s",
            ".every: \"0s\" is out of range: from 1ms to 86400 s",
        ),
        (
            "mode: upsert, batch: 10001",
            ".batch: \"10001\" is out of range: from 1 to 10000",
        ),
        (
            "mode: upsert, batch: 0",
            ".batch: \"0\" is out of range: from 1 to 10000",
        ),
        (
            "mode: upsert, max_pending: 0",
            ".max_pending: \"0\" is out of range: from 1 to 1099511627776",
        ),
        (
            "mode: upsert, max_dead: 0",
            ".max_dead: \"0\" is out of range: from 1 to 1099511627776",
        ),
        (
            "mode: upsert, backoff_min: 2m",
            ".backoff_max: it is less than backoff_min",
        ),
        (
            "mode: upsert, evry: 1s",
            ".evry is not a setting; did you mean keyspaces.a.sink.every? (`standpipe check` prints all of them)",
        ),
    ] {
        let sink = format!("{{ http: {{ endpoint: 'http://h' }}, {rest} }}");
        assert_sinks_refused(&[(&sink, expected)]);
    }
    assert_sinks_refused(&[(
        "{ http: { endpoint: 'http://h', mode: upsert }, mode: upsert }",
        ".mode: mode is set further in as well; keep one of the two",
    )]);
}
