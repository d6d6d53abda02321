//! `/sources`, runs on demand, and the age of what sources write.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use standpipe::pump::{Options, Scheduled, Task};

use crate::harness::{Answer, Server};
use crate::pump::origin::{Behaviour, Origin, answer, good};
use crate::pump::{SELDOM, fixed, http, options};

fn with(sources: &[(&str, Task)]) -> Server {
    let sources = options(sources);
    Server::with(|options| options.sources = sources)
}

/// What `/sources` says of a source.
fn source(server: &Server, name: &str) -> Value {
    let all = server.get("/sources");
    assert_eq!(all.status, 200, "{}", all.text());
    let items = all.json()["items"].as_array().unwrap().clone();
    items
        .into_iter()
        .find(|item| item["name"] == name)
        .unwrap_or_else(|| panic!("no source {name}"))
}

fn wait_for(server: &Server, name: &str, state: &str) -> Value {
    server.wait_until(|server| source(server, name)["state"] == state);
    source(server, name)
}

fn run(server: &Server, name: &str) -> Answer {
    server.send("POST", &format!("/sources/run/{name}"), &[], b"")
}

#[test]
fn a_source_is_shown_with_everything_that_is_known_of_it() {
    let server = with(&[("words", fixed("Hello world!"))]);
    let shown = wait_for(&server, "words", "ok");
    for (member, expected) in [
        ("keyspace", json!("default")),
        ("kind", json!("static")),
        ("rule", json!(SELDOM)),
        ("last_error", json!(null)),
        ("runs", json!(1)),
        ("failures", json!(0)),
        ("stale", json!(false)),
        ("size", json!(12)),
    ] {
        assert_eq!(shown[member], expected, "{member}: {shown}");
    }
    for member in ["last_run", "last_success", "next_run"] {
        let time = shown[member].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{shown}");
    }
    assert!(
        shown["next_run"]
            .as_str()
            .unwrap()
            .contains("-02-29T00:00:00Z")
    );
    assert!(shown["age_ms"].as_u64().unwrap() < 30_000, "{shown}");
    assert!(shown.get("reason").is_none(), "{shown}");
    server.send("HEAD", "/sources", &[], b"");
    let empty = Server::start();
    assert_eq!(empty.get("/sources").json(), json!({"items": []}));
}

#[test]
fn failures_and_what_is_invalid_are_told_as_such() {
    let origin = Origin::start(good("1"));
    let mut sources = options(&[("failing", http(&origin.url("/secret?token=hunter2")))]);
    sources.scheduled.push(Scheduled {
        name: "invalid".to_owned(),
        task: Err("rule: no".to_owned()),
    });
    let server = Server::with(|options| options.sources = sources);
    wait_for(&server, "failing", "ok");
    origin.behave(answer("500 No", "", ""));
    assert_eq!(run(&server, "failing").status, 202);
    let failing = wait_for(&server, "failing", "failing");
    assert_eq!(
        (&failing["stale"], &failing["failures"]),
        (&json!(true), &json!(1))
    );
    let error = &failing["last_error"];
    assert_eq!(error["code"], "source_failed");
    let detail = error["detail"].as_str().unwrap();
    assert!(
        detail.contains("500") && detail.contains("http://127.0.0.1:"),
        "{detail}"
    );
    assert!(!server.get("/sources").text().contains("hunter2"));
    assert!(!server.get("/sources").text().contains("secret"));
    let invalid = source(&server, "invalid");
    assert_eq!(
        (&invalid["state"], &invalid["reason"]),
        (&json!("invalid"), &json!("rule: no"))
    );
    for member in ["keyspace", "kind", "rule", "next_run", "size"] {
        assert_eq!(invalid[member], json!(null), "{member}");
    }
    let refused = run(&server, "invalid").assert_problem(422, "invalid_operation");
    assert!(refused["detail"].as_str().unwrap().contains("rule: no"));
    let metrics = server.get("/metrics");
    for line in [
        r#"standpipe_source_runs_total{source="failing"} 2"#,
        r#"standpipe_source_failures_total{source="failing"} 1"#,
        r#"standpipe_source_failing{source="failing"} 1"#,
        r#"standpipe_source_stale{source="failing"} 1"#,
        r#"standpipe_source_failing{source="invalid"} 1"#,
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[test]
fn a_name_is_the_raw_rest_of_the_path_decoded_once() {
    let names = ["a/b", "a b", "%2F", "\u{e4}", "a//"];
    let sources: Vec<_> = names.iter().map(|name| (*name, fixed("1"))).collect();
    let server = with(&sources);
    for (path, name) in [
        ("a/b", "a/b"),
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("%252F", "%2F"),
        ("%C3%A4", "\u{e4}"),
        ("a//", "a//"),
    ] {
        wait_for(&server, name, "ok");
        let answer = run(&server, path);
        assert_eq!(answer.status, 202, "{path}: {}", answer.text());
        assert_eq!(answer.json()["name"], name);
        assert_eq!(answer.json()["state"], "running");
        wait_for(&server, name, "ok");
    }
    run(&server, "a").assert_problem(404, "source_not_found");
    run(&server, "a%2525").assert_problem(404, "source_not_found");
    run(&server, "").assert_problem(400, "invalid_key");
    run(&server, "%FF").assert_problem(400, "invalid_key");
    run(&server, "a%20b?x=1").assert_problem(400, "unknown_parameter");
    server
        .get("/sources/run/a/b")
        .assert_problem(405, "method_not_allowed");
    server
        .get("/sources/")
        .assert_problem(404, "route_not_found");
    server
        .send("POST", "/sources", &[], b"")
        .assert_problem(405, "method_not_allowed");
}

#[test]
fn a_run_that_goes_on_is_not_joined() {
    let origin = Origin::start(Behaviour::Hang);
    let server = with(&[("a", http(&origin.url("/")))]);
    server.wait_until(|_| origin.open() == 1);
    assert_eq!(source(&server, "a")["state"], "running");
    run(&server, "a").assert_problem(409, "already_running");
    origin.behave(good("1"));
    wait_for(&server, "a", "ok");
    assert_eq!(run(&server, "a").status, 202);
}

#[test]
fn what_a_source_wrote_tells_its_age_and_nothing_else_does() {
    let origin = Origin::start(answer("200 OK", "ETag: \"1\"\r\n", "value"));
    let server = with(&[("a", http(&origin.url("/")))]);
    wait_for(&server, "a", "ok");
    assert_eq!(server.put("/v1/plain", b"1").status, 201);
    assert_eq!(server.get("/v1/plain").header("age"), None);
    let age = |server: &Server| {
        let age = server.get("/v1/a").header("age").unwrap().to_owned();
        age.parse::<u64>().unwrap()
    };
    server.wait_until(|server| age(server) >= 1);
    // It ages while the source fails, and is as new as can be when the source says so.
    origin.behave(Behaviour::Vanish);
    run(&server, "a");
    wait_for(&server, "a", "failing");
    assert!(age(&server) >= 1);
    origin.behave(answer("304 Same", "", ""));
    run(&server, "a");
    wait_for(&server, "a", "ok");
    server.wait_until(|server| age(server) <= 1);
    for target in ["/?key=a", "/keyspaces/default/keys/a"] {
        assert!(server.get(target).header("age").is_some(), "{target}");
    }
    let whole = server.get("/v1/a");
    let known = [("If-None-Match", whole.etag())];
    let same = server.send("GET", "/v1/a", &known, b"");
    assert_eq!((same.status, same.header("age").is_some()), (304, true));
    let head = server.send("HEAD", "/v1/a", &[], b"");
    assert!(head.header("age").is_some());
    let part = server.send("GET", "/v1/a", &[("Range", "bytes=0-1")], b"");
    assert_eq!((part.status, part.header("age").is_some()), (206, true));
}

#[test]
fn after_a_restart_the_age_counts_from_when_it_was_written() {
    let origin = Origin::start(good("value"));
    let source = [("a", http(&origin.url("/")))];
    let server = with(&source);
    wait_for(&server, "a", "ok");
    let directory = server.stop();
    origin.behave(Behaviour::Hang);
    let sources = options(&source);
    let server = Server::over(directory, |options| options.sources = sources);
    // Whether anybody has found it or not: it is there, and it is not new.
    server.wait_until(|server| {
        let value = server.get("/v1/a");
        assert_eq!(value.text(), "value");
        value.header("age").unwrap().parse::<u64>().unwrap() >= 1
    });
    let shown = source_of(&server);
    assert_eq!((&shown["size"], &shown["runs"]), (&json!(5), &json!(0)));
    assert!(shown["age_ms"].as_u64().unwrap() >= 1_000, "{shown}");
}

fn source_of(server: &Server) -> Value {
    source(server, "a")
}

#[test]
fn a_client_may_keep_it_for_as_long_as_the_policy_says_beyond_its_age() {
    let server = Server::with(|options| {
        let policy = standpipe::server::Policy {
            client_max_age: Some(Duration::from_mins(1)),
            ..standpipe::server::Policy::default()
        };
        options.keyspaces = vec![("default".to_owned(), policy)];
        options.sources = crate::pump::options(&[("a", fixed("1"))]);
    });
    wait_for(&server, "a", "ok");
    server.wait_until(|server| {
        let value = server.get("/v1/a");
        assert_eq!(value.status, 200, "{}", value.text());
        let age: u64 = value.header("age").unwrap().parse().unwrap();
        let kept = value.header("cache-control").unwrap();
        let max_age: u64 = kept.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert_eq!(max_age, age + 60, "{kept}");
        age >= 1
    });
}

#[test]
fn no_client_changes_it_and_a_flush_brings_it_back_at_once() {
    let server = with(&[("a", fixed("1"))]);
    wait_for(&server, "a", "ok");
    server
        .put("/v1/a", b"2")
        .assert_problem(409, "managed_by_source");
    server
        .send("DELETE", "/v1/a", &[], b"")
        .assert_problem(409, "managed_by_source");
    assert_eq!(server.put("/v1/b", b"2").status, 201);
    let flushed = server.send("POST", "/flush", &[], b"");
    assert_eq!(flushed.json(), json!({"flushed": 2}));
    server.wait_until(|server| source(server, "a")["runs"] == 2);
    assert_eq!(server.get("/v1/a").text(), "1");
    assert_eq!(server.get("/v1/b").status, 404);
}

#[test]
fn the_sources_that_run_do_not_keep_the_server_from_ending() {
    let origin = Origin::start(Behaviour::Hang);
    let path = tempfile::tempdir().unwrap();
    let report = path.path().join("report");
    fs::write(&report, "x").unwrap();
    let often = Task {
        rule: "* * * * * *".to_owned(),
        ..fixed("tick")
    };
    let server = with(&[("hangs", http(&origin.url("/"))), ("ticks", often)]);
    server.wait_until(|_| origin.open() == 1);
    wait_for(&server, "ticks", "ok");
    let directory = server.stop();
    server_is_closed(&directory);
    // Given up, not waited for.
    let waited = std::time::Instant::now();
    while origin.open() > 0 {
        assert!(
            waited.elapsed() < crate::harness::PATIENCE,
            "the call goes on"
        );
    }
}

/// Nobody holds the directory any more.
fn server_is_closed(directory: &tempfile::TempDir) {
    let options = standpipe::engine::Options {
        path: directory.path().join("data"),
        read_wait: Duration::from_secs(1),
        store: standpipe::engine::StoreOptions::default(),
    };
    let opened = standpipe::engine::open(options, &standpipe::engine::Opening::default());
    opened.unwrap().close().unwrap();
}

#[test]
fn names_that_cannot_be_read_leave_what_is_there() {
    let server = with(&[("a", fixed("1"))]);
    wait_for(&server, "a", "ok");
    let directory = server.stop();
    let server = Server::over(directory, |options| {
        options.sources = Options {
            scheduled: Vec::new(),
            unreadable: Some("sources: no map".to_owned()),
        };
    });
    assert_eq!(server.get("/v1/a").text(), "1");
    server
        .put("/v1/a", b"2")
        .assert_problem(409, "managed_by_source");
    let directory = server.stop();
    let server = Server::over(directory, |_| {});
    assert_eq!(server.get("/v1/a").status, 404);
}
