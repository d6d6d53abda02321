//! `/keyspaces/{ks}/ttl/{key}`: reading, setting and removing an expiry.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, PATIENCE, Server};

const TTL: &str = "/keyspaces/default/ttl/a";

fn set(server: &Server, body: &str) -> Answer {
    server.send("PUT", TTL, &[], body.as_bytes())
}

/// The milliseconds left, of an answer that has to have some.
fn left(answer: &Answer) -> u64 {
    answer.json()["ttl_ms"]
        .as_u64()
        .unwrap_or_else(|| panic!("no ttl_ms: {answer:?}"))
}

#[test]
fn an_expiry_is_read_set_and_removed() {
    let server = Server::start();
    let put = server.put("/v1/a", b"1");

    let none = server.get(TTL);
    assert_eq!(none.status, 200);
    let expected = json!({"key": "a", "expires_at": null, "ttl_ms": null, "etag": put.etag()});
    assert_eq!(none.json(), expected);
    assert_eq!(none.etag(), put.etag());
    assert_eq!(none.header("content-type"), Some("application/json"));
    assert_eq!(none.header("cache-control"), Some("no-store"));

    let set = set(&server, r#"{"ttl":"90s"}"#);
    assert_eq!(set.status, 200);
    assert!((80_001..=90_000).contains(&left(&set)), "{set:?}");
    assert!(set.json()["expires_at"].as_str().unwrap().ends_with('Z'));
    assert_ne!(set.etag(), put.etag());
    assert_eq!(set.json()["etag"], set.etag());
    let value = server.get("/v1/a");
    assert_eq!((value.text(), value.etag()), ("1", set.etag()));
    assert!(value.header("expires").is_some());
    assert_eq!(
        server.get(TTL).json()["expires_at"],
        set.json()["expires_at"]
    );

    let removed = server.send("DELETE", TTL, &[], b"");
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    let value = server.get("/v1/a");
    assert_eq!((value.text(), value.header("expires")), ("1", None));
    assert_eq!(value.etag(), removed.etag());
    assert_eq!(server.get(TTL).json()["ttl_ms"], Value::Null);
}

#[test]
fn what_stays_as_it_is_keeps_its_version() {
    let server = Server::start();
    let put = server.put("/v1/a", b"1");
    for answer in [
        server.send("DELETE", TTL, &[], b""),
        set(&server, r#"{"ttl":"none"}"#),
    ] {
        assert_eq!(answer.etag(), put.etag());
    }
    assert_eq!(server.get("/v1/a").etag(), put.etag());
}

#[test]
fn every_spelling_of_a_ttl_is_read() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    for (ttl, ms) in [
        (r#""60000ms""#, 60_000),
        (r#""90s""#, 90_000),
        (r#""90""#, 90_000),
        ("90", 90_000),
        (r#""15m""#, 900_000),
        (r#""2h""#, 7_200_000),
        (r#""7d""#, 604_800_000),
        (r#""36525d""#, 3_155_760_000_000),
    ] {
        let set = set(&server, &format!(r#"{{"ttl":{ttl}}}"#));
        assert_eq!(set.status, 200, "{ttl}");
        assert!((ms - 20_000..=ms).contains(&left(&set)), "{ttl}: {set:?}");
    }
    let none = set(&server, r#"{"ttl":"none"}"#);
    assert_eq!((none.status, &none.json()["ttl_ms"]), (200, &Value::Null));
}

#[test]
fn a_ttl_that_cannot_be_is_422_and_names_the_field() {
    let server = Server::start();
    let put = server.put("/v1/a", b"1");
    for body in [
        r#"{"ttl":"0"}"#,
        r#"{"ttl":0}"#,
        r#"{"ttl":-1}"#,
        r#"{"ttl":"-1s"}"#,
        r#"{"ttl":"36526d"}"#,
        r#"{"ttl":"soon"}"#,
        r#"{"ttl":1.5}"#,
        r#"{"ttl":true}"#,
        r#"{"ttl":null}"#,
        r#"{"ttl":["90s"]}"#,
        "{}",
        r#"{"ttl":"90s","key":"a"}"#,
        r#"{"TTL":"90s"}"#,
        r#""90s""#,
        "[]",
        "null",
    ] {
        let problem = set(&server, body).assert_problem(422, "invalid_operation");
        let detail = problem["detail"].as_str().unwrap();
        let named = ["ttl ", "the field ", "the body "]
            .iter()
            .any(|start| detail.starts_with(start));
        assert!(named, "{body}: {detail}");
    }
    assert_eq!(server.get("/v1/a").etag(), put.etag());
}

#[test]
fn an_absent_key_is_not_made() {
    let server = Server::start();
    server.get(TTL).assert_problem(404, "key_not_found");
    set(&server, r#"{"ttl":"90s"}"#).assert_problem(404, "key_not_found");
    server
        .send("DELETE", TTL, &[], b"")
        .assert_problem(404, "key_not_found");
    assert_eq!(server.get("/v1/a").status, 404);
    for method in ["GET", "PUT", "DELETE"] {
        server
            .send(method, "/keyspaces/none/ttl/a", &[], br#"{"ttl":"90s"}"#)
            .assert_problem(404, "keyspace_not_found");
        server
            .send(method, "/keyspaces/default/ttl/", &[], br#"{"ttl":"90s"}"#)
            .assert_problem(400, "invalid_key");
        let long = format!("/keyspaces/default/ttl/{}", "k".repeat(1025));
        server
            .send(method, &long, &[], br#"{"ttl":"90s"}"#)
            .assert_problem(400, "key_too_long");
    }
}

#[test]
fn an_expired_key_is_absent_here_too() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    assert_eq!(set(&server, r#"{"ttl":"30ms"}"#).status, 200);
    let deadline = Instant::now() + PATIENCE;
    while server.get("/v1/a").status != 404 {
        assert!(Instant::now() < deadline, "the key never left");
    }
    server.get(TTL).assert_problem(404, "key_not_found");
    set(&server, r#"{"ttl":"90s"}"#).assert_problem(404, "key_not_found");
    assert_eq!(server.put("/v1/a", b"2").status, 201);
    assert_eq!(server.get(TTL).json()["ttl_ms"], Value::Null);
}

#[test]
fn conditions_guard_a_change_and_spare_a_reader() {
    let server = Server::start();
    let put = server.put("/v1/a", b"1");
    let (etag, other) = (put.etag(), "\"0000000000000000-1\"");
    let body = br#"{"ttl":"90s"}"#;
    for headers in [
        vec![("If-Match", other)],
        vec![("If-None-Match", "*")],
        vec![("If-None-Match", etag)],
    ] {
        for (method, body) in [("PUT", &body[..]), ("DELETE", b"")] {
            let refused = server.send(method, TTL, &headers, body);
            refused.assert_problem(412, "condition_failed");
            assert_eq!(refused.etag(), etag);
        }
    }
    assert_eq!(server.get("/v1/a").etag(), etag);
    server
        .send(
            "PUT",
            "/keyspaces/default/ttl/none",
            &[("If-Match", "*")],
            body,
        )
        .assert_problem(412, "condition_failed");
    let known = server.send("GET", TTL, &[("If-None-Match", etag)], b"");
    assert_eq!((known.status, known.body.len()), (304, 0));
    server
        .send("GET", TTL, &[("If-Match", other)], b"")
        .assert_problem(412, "condition_failed");
    let changed = server.send("PUT", TTL, &[("If-Match", etag)], body);
    assert_eq!(changed.status, 200);
    server
        .send("DELETE", TTL, &[("If-Match", etag)], b"")
        .assert_problem(412, "condition_failed");
    let removed = server.send("DELETE", TTL, &[("If-Match", changed.etag())], b"");
    assert_eq!(removed.status, 204);
}

#[test]
fn an_answer_below_the_promise_is_told_where_it_has_no_body() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let target = format!("{TTL}?durability=written");
    let set = server.send("PUT", &target, &[], br#"{"ttl":"90s"}"#);
    assert_eq!(set.status, 200);
    assert_eq!(server.send("DELETE", &target, &[], b"").status, 202);
    server
        .send("DELETE", &format!("{TTL}?durability=memory"), &[], b"")
        .assert_problem(400, "durability_unavailable");
    server
        .send("DELETE", &format!("{TTL}?ttl=1"), &[], b"")
        .assert_problem(400, "unknown_parameter");
}

#[test]
fn expiries_survive_a_restart() {
    let server = Server::start();
    for key in ["a", "b", "c"] {
        server.put(&format!("/v1/{key}?ttl=1h"), b"1");
    }
    assert_eq!(set(&server, r#"{"ttl":"2h"}"#).status, 200);
    let removed = server.send("DELETE", "/keyspaces/default/ttl/b", &[], b"");
    let before = server.get(TTL).json();
    let server = Server::over(server.stop(), |_| {});
    let after = server.get(TTL).json();
    for member in ["expires_at", "etag"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let b = server.get("/keyspaces/default/ttl/b");
    assert_eq!(
        (b.etag(), &b.json()["ttl_ms"]),
        (removed.etag(), &Value::Null)
    );
    assert!(left(&server.get("/keyspaces/default/ttl/c")) > 3_000_000);
}

#[test]
fn the_head_of_an_expiry_is_its_get_without_a_body() {
    let server = Server::with(|options| options.limits.body_stall = Duration::from_secs(1));
    let put = server.put("/v1/a", b"1");
    let head = server.send("HEAD", TTL, &[], b"");
    assert_eq!((head.status, head.etag()), (200, put.etag()));
}
