//! Entries as JSON: everything that is known about a value.

use crate::harness::Server;

#[test]
fn an_entry_tells_everything_about_its_value() {
    let server = Server::start();
    let headers = [
        ("Content-Type", "text/csv"),
        ("Content-Encoding", "identity"),
    ];
    let put = server.send("PUT", "/v1/a%2Fb?ttl=1h", &headers, "gr\u{fc}n".as_bytes());
    let answer = server.get("/keyspaces/default/entries/a/b");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let entry = answer.json();
    assert_eq!(entry["key"], "a/b");
    assert_eq!(entry["value"], "gr\u{fc}n");
    assert!(entry.get("value_base64").is_none());
    assert_eq!(entry["content_type"], "text/csv");
    assert_eq!(entry["content_encoding"], "identity");
    assert_eq!(entry["etag"], put.etag());
    assert_eq!(entry["size"], 5);
    let left = entry["ttl_ms"].as_u64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let (created, expires) = (&entry["created_at"], &entry["expires_at"]);
    for time in [created, expires] {
        let time = time.as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }
    assert!(created.as_str() < expires.as_str());
}

#[test]
fn bytes_that_are_no_text_come_in_base64() {
    let server = Server::start();
    server.put("/v1/a", b"\xff\x00\xfe");
    let entry = server.get("/keyspaces/default/entries/a").json();
    assert_eq!(entry["value_base64"], "/wD+");
    for absent in ["value", "content_encoding"] {
        assert!(entry.get(absent).is_none(), "{absent}");
    }
    assert!(entry["ttl_ms"].is_null() && entry["expires_at"].is_null());
    assert_eq!(entry["content_type"], "application/octet-stream");
}

#[test]
fn an_entry_that_is_not_there_is_not_found() {
    let server = Server::start();
    server
        .get("/keyspaces/default/entries/a")
        .assert_problem(404, "key_not_found");
    server
        .get("/keyspaces/other/entries/a")
        .assert_problem(404, "keyspace_not_found");
    server
        .get("/keyspaces/default/entries/")
        .assert_problem(400, "invalid_key");
    server
        .get("/keyspaces/default/entries/a?x=1")
        .assert_problem(400, "unknown_parameter");
    let long = "k".repeat(1025);
    server
        .get(&format!("/keyspaces/default/entries/{long}"))
        .assert_problem(400, "key_too_long");
}
