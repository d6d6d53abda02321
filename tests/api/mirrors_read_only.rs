//! Clients only read a keyspace that follows somebody else: whatever would change it is refused, and reads are as anywhere.

use serde_json::json;
use standpipe::mirror::Upstream;

use crate::harness::{Answer, Server};
use crate::mirrors::{copied, copying, default_of, mirror, wait_for_copy, wait_for_state};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[track_caller]
fn assert_read_only(answer: &Answer) {
    assert_eq!(answer.status, 405, "{}", answer.text());
    assert_eq!(answer.json()["code"], "keyspace_read_only");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

fn copy_with_a(upstream: &Server) -> Server {
    upstream.put("/v1/a", b"7");
    let mirror = mirror(Upstream::Standpipe(default_of(upstream.address())));
    let copy = Server::with(|options| copying(options, mirror));
    wait_for_copy(&copy, "a", "7");
    copy
}

#[test]
fn every_change_by_a_client_is_refused() {
    let upstream = Server::start();
    let copy = copy_with_a(&upstream);
    for (method, target, body) in [
        ("PUT", "keys/a", "1"),
        ("PUT", "keys/new", "1"),
        ("DELETE", "keys/a", ""),
        ("DELETE", "keys/absent", ""),
        ("PUT", "ttl/a", r#"{"ttl":"1h"}"#),
        ("DELETE", "ttl/a", ""),
        ("POST", "counters/a", ""),
        ("POST", "flush", ""),
        ("DELETE", "keys?prefix=a", ""),
    ] {
        let target = format!("/keyspaces/copy/{target}");
        let answer = copy.send(method, &target, &[], body.as_bytes());
        assert_read_only(&answer);
    }
    for method in ["PUT", "DELETE"] {
        assert_read_only(&copy.send(method, "/keyspaces/copy", &[JSON], b""));
    }
    let dropped = copy.send("DELETE", "/keyspaces?name=copy", &[], b"");
    assert_eq!(dropped.json()["code"], "defined_by_file");
    assert_eq!(copied(&copy, "a").text(), "7");
    // Others are written as ever.
    assert_eq!(copy.put("/v1/a", b"1").status, 201);
}

#[test]
fn a_body_that_would_be_refused_is_not_read() {
    let upstream = Server::start();
    let copy = copy_with_a(&upstream);
    let mut client = copy.connect();
    let head =
        "PUT /keyspaces/copy/keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    client.write(head.as_bytes()).unwrap();
    assert_read_only(&client.read_answer("PUT"));
}

#[test]
fn in_a_batch_reads_are_answered_and_changes_are_refused_each() {
    let upstream = Server::start();
    let copy = copy_with_a(&upstream);
    let batch = |body: serde_json::Value| {
        let body = body.to_string();
        copy.send("POST", "/keyspaces/copy/batch", &[JSON], body.as_bytes())
    };
    let operations = json!([
        {"op": "get", "key": "a"},
        {"op": "put", "key": "a", "value": "1"},
        {"op": "delete", "key": "a"},
        {"op": "increment", "key": "a"},
        {"op": "get", "key": "absent"},
    ]);
    let answer = batch(json!({"operations": operations}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let items = answer.json()["items"].clone();
    let statuses: Vec<_> = (0..5).map(|n| items[n]["status"].clone()).collect();
    assert_eq!(statuses, [200, 405, 405, 405, 404]);
    assert_eq!(items[0]["value"], "7");
    assert_eq!(items[1]["code"], "keyspace_read_only");
    let changes = json!([{"op": "get", "key": "b"}, {"op": "put", "key": "a", "value": "1"}]);
    let atomic = batch(json!({"atomic": true, "operations": changes}));
    assert_eq!(
        (atomic.status, &atomic.json()["operation"]),
        (409, &json!(1))
    );
    assert_eq!(atomic.json()["cause"], "keyspace_read_only");
    let reads = json!([{"op": "get", "key": "a"}]);
    let atomic = batch(json!({"atomic": true, "operations": reads}));
    assert_eq!(atomic.json()["items"][0]["value"], "7");
    assert_eq!(copied(&copy, "a").text(), "7");
}

#[test]
fn everything_that_only_reads_is_as_anywhere() {
    let upstream = Server::start();
    let copy = copy_with_a(&upstream);
    let answer = copied(&copy, "a");
    let etag = answer.header("etag").unwrap().to_owned();
    let known = [("If-None-Match", &*etag)];
    let unchanged = copy.send("GET", "/keyspaces/copy/keys/a", &known, b"");
    assert_eq!(unchanged.status, 304);
    assert_eq!(unchanged.header("cache-status"), Some("standpipe; hit"));
    let head = copy.send("HEAD", "/keyspaces/copy/keys/a", &[], b"");
    assert_eq!((head.status, head.header("age")), (200, Some("0")));
    assert_eq!(copy.get("/keyspaces/copy/counters/a").json()["value"], 7);
    assert_eq!(copy.get("/keyspaces/copy/entries/a").json()["value"], "7");
    assert!(copy.get("/keyspaces/copy/ttl/a").json()["expires_at"].is_null());
    assert_eq!(copy.get("/keyspaces/copy").json()["keys"], 1);
    let counted = copy.send(
        "DELETE",
        "/keyspaces/copy/keys?prefix=a&dry_run=true",
        &[],
        b"",
    );
    assert_eq!(counted.json()["deleted"], 1);
}

#[test]
fn the_default_keyspace_may_follow_too() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"1");
    let mirror = mirror(Upstream::Standpipe(default_of(upstream.address())));
    let copy = Server::with(|options| {
        options.mirrors.insert("default".to_owned(), mirror);
    });
    copy.wait_until(|copy| copy.get("/v1/a").status == 200);
    wait_for_state(&copy, "following");
    assert_eq!(
        copy.get("/?key=a").header("cache-status"),
        Some("standpipe; hit")
    );
    for (method, target) in [
        ("PUT", "/v1/a"),
        ("DELETE", "/v1/a"),
        ("DELETE", "/flush"),
        ("POST", "/flush"),
    ] {
        assert_read_only(&copy.send(method, target, &[], b""));
    }
}

#[test]
fn mirrors_are_for_who_operates_the_server() {
    let server = Server::start();
    let answer = server.get("/mirrors");
    assert_eq!((answer.status, answer.json()), (200, json!({"items": []})));
    assert_eq!(server.get("/mirrors?x=1").status, 400);
    let refused = server.send("POST", "/mirrors", &[], b"");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD"))
    );
}
