//! `GET /keyspaces/{ks}/watch`: what is told, in which form, and to whom.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::follower::{Follower, told};
use crate::harness::Server;

/// Makes a keyspace.
fn make(server: &Server, name: &str, policy: &str) {
    let made = server.send("PUT", &format!("/keyspaces/{name}"), &[], policy.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
}

#[test]
fn the_stream_is_what_an_event_source_and_a_proxy_expect() {
    let server = Server::start();
    let follower = Follower::new(&server, "default/watch");
    let answer = &follower.answer;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(follower.retry.as_deref(), Some("2000"));
    assert!(
        !follower.last_id.is_empty(),
        "there is a place to come back to at once"
    );
}

#[test]
fn a_put_is_told_with_its_facts_and_without_its_value() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    let put = server.put("/v1/greeting", b"Hello");
    let event = follower.next();
    assert_eq!(event.name, "put");
    let expected = json!({
        "key": "greeting",
        "etag": put.etag(),
        "content_type": "text/plain; charset=utf-8",
    });
    assert_eq!(event.data, expected);
    let headers = [("Content-Type", "text/css"), ("Content-Encoding", "br")];
    let put = server.send("PUT", "/v1/style", &headers, b"a");
    let expected = json!({
        "key": "style",
        "etag": put.etag(),
        "content_type": "text/css",
        "content_encoding": "br",
    });
    assert_eq!(follower.next().data, expected);
}

#[test]
fn values_are_told_on_request_as_text_or_in_base64() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch?values=true");
    server.put("/v1/text", "line\nline\r\n\u{e9}".as_bytes());
    server.put("/v1/bytes", b"\xff\x00");
    server.send("DELETE", "/v1/text", &[], b"");
    let text = follower.next();
    assert_eq!(text.data["value"], "line\nline\r\n\u{e9}");
    assert_eq!(text.data.get("value_base64"), None);
    let bytes = follower.next();
    assert_eq!(bytes.data["value_base64"], "/wA=");
    assert_eq!(bytes.data.get("value"), None);
    assert_eq!(follower.next().data, json!({"key": "text"}));
}

#[test]
fn a_value_of_megabytes_comes_whole() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch?values=true");
    let value = "0123456789abcdef\n".repeat(30_000);
    server.put("/v1/large", value.as_bytes());
    server.put("/v1/small", b"s");
    assert_eq!(follower.next().data["value"].as_str(), Some(&*value));
    assert_eq!(follower.next().key(), "small");
}

#[test]
fn everything_that_can_happen_to_a_key_is_told_in_order() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    server.put("/v1/a", b"1");
    server.put("/v1/a", b"2");
    server.send("DELETE", "/v1/a", &[], b"");
    server.send("DELETE", "/v1/a", &[], b"");
    server.put("/v1/brief?ttl=1ms", b"1");
    let expired = follower.take(5);
    let names = [
        ("put", "a"),
        ("put", "a"),
        ("delete", "a"),
        ("put", "brief"),
        ("expire", "brief"),
    ];
    assert_eq!(expired, told(&names), "a delete of nothing is no change");
    server.send("POST", "/keyspaces/default/counters/n", &[], b"");
    server.send("PUT", "/keyspaces/default/ttl/n", &[], br#"{"ttl":"1h"}"#);
    assert_eq!(follower.take(2), told(&[("put", "n"), ("put", "n")]));
}

#[test]
fn a_flush_is_one_event_with_its_count_and_reaches_everybody() {
    let server = Server::start();
    for key in ["a", "b", "ab/c"] {
        server.put(&format!("/v1/{key}"), b"1");
    }
    let targets = ["watch", "watch?key=zz", "watch?prefix=ab", "watch?prefix=q"];
    let mut followers = targets.map(|target| Follower::new(&server, &format!("default/{target}")));
    server.send("POST", "/flush", &[], b"");
    for follower in &mut followers {
        let event = follower.next();
        assert_eq!(event.name, "flush");
        assert_eq!(event.data, json!({"prefix": "", "deleted": 3}));
    }
}

#[test]
fn a_deletion_by_prefix_reaches_every_filter_that_overlaps() {
    let server = Server::start();
    let targets = [
        "watch?prefix=a",
        "watch?prefix=ab/c",
        "watch?key=ab/x",
        "watch?prefix=b",
    ];
    let mut followers = targets.map(|target| Follower::new(&server, &format!("default/{target}")));
    server.put("/v1/ab/1", b"1");
    server.put("/v1/ab/2", b"1");
    server.put("/v1/b", b"1");
    server.send("DELETE", "/keyspaces/default/keys?prefix=ab/", &[], b"");
    server.put("/v1/b", b"2");
    let flush = json!({"prefix": "ab/", "deleted": 2});
    assert_eq!(
        followers[0].take(2),
        told(&[("put", "ab/1"), ("put", "ab/2")])
    );
    for follower in followers.iter_mut().take(3) {
        let event = follower.next();
        assert_eq!((event.name.as_str(), &event.data), ("flush", &flush));
    }
    assert_eq!(followers[3].take(2), told(&[("put", "b"), ("put", "b")]));
}

#[test]
fn a_filter_lets_through_what_it_names_and_nothing_else() {
    let server = Server::start();
    let mut exact = Follower::new(&server, "default/watch?key=a%2F1");
    let mut begins = Follower::new(&server, "default/watch?prefix=a/");
    make(&server, "other", "{}");
    server.put("/keyspaces/other/keys/a/1", b"1");
    for key in ["a", "a/1", "a/10", "b", "a/1"] {
        server.put(&format!("/v1/{key}"), b"1");
    }
    assert_eq!(exact.take(2), told(&[("put", "a/1"), ("put", "a/1")]));
    let all = [("put", "a/1"), ("put", "a/10"), ("put", "a/1")];
    assert_eq!(begins.take(3), told(&all));
}

#[test]
fn a_batch_is_as_many_events_as_it_has_changes() {
    let server = Server::start();
    server.put("/v1/old", b"1");
    let mut follower = Follower::new(&server, "default/watch");
    let body = br#"{"atomic":true,"operations":[
        {"op":"put","key":"x","value":"1"},{"op":"get","key":"other"},
        {"op":"put","key":"y","value":"2"},{"op":"delete","key":"old"},{"op":"delete","key":"none"}]}"#;
    let done = server.send("POST", "/keyspaces/default/batch", &[], body);
    assert_eq!(done.status, 200, "{}", done.text());
    server.put("/v1/after", b"1");
    let all = [
        ("put", "x"),
        ("put", "y"),
        ("delete", "old"),
        ("put", "after"),
    ];
    assert_eq!(follower.take(4), told(&all));
}

#[test]
fn what_had_to_make_room_is_told() {
    let server = Server::start();
    make(&server, "small", r#"{"max_bytes":"64KiB"}"#);
    let mut follower = Follower::new(&server, "small/watch");
    let value = vec![b'x'; 2_000];
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    for n in 0.. {
        assert!(Instant::now() < deadline, "nothing was evicted: {seen:?}");
        let put = server.put(&format!("/keyspaces/small/keys/{n}"), &value);
        assert_eq!(put.status, 201, "{}", put.text());
        let event = follower.next();
        if event.name == "evict" {
            assert_eq!(event.data, json!({"key": event.key()}));
            assert!(seen.contains(&event.key().to_owned()), "{event:?}");
            break;
        }
        assert_eq!(
            (event.name.as_str(), event.key()),
            ("put", n.to_string().as_str())
        );
        seen.push(event.key().to_owned());
    }
}

#[test]
fn keyspaces_of_every_durability_are_told_of() {
    let server = Server::start();
    for durability in ["synced", "written", "memory"] {
        make(
            &server,
            durability,
            &format!(r#"{{"durability":"{durability}"}}"#),
        );
        let mut follower = Follower::new(&server, &format!("{durability}/watch"));
        for key in ["a", "b"] {
            server.put(&format!("/keyspaces/{durability}/keys/{key}"), b"1");
        }
        server.send("POST", &format!("/keyspaces/{durability}/flush"), &[], b"");
        let all = [("put", "a"), ("put", "b"), ("flush", "")];
        assert_eq!(follower.take(3), told(&all), "{durability}");
    }
}

#[test]
fn what_is_there_comes_first_without_ids_then_synced_with_one() {
    let server = Server::start();
    for key in ["b", "a", "c/d"] {
        server.put(&format!("/v1/{key}"), key.as_bytes());
    }
    let mut follower = Follower::new(&server, "default/watch?initial=true&values=true");
    for key in ["a", "b", "c/d"] {
        let event = follower.next();
        assert_eq!((event.name.as_str(), event.key()), ("put", key));
        assert_eq!(event.data["value"], key);
        assert_eq!(event.id, None, "who loses the connection now begins anew");
    }
    assert_eq!(follower.last_id, "");
    let synced = follower.next();
    assert_eq!(synced.name, "synced");
    assert!(synced.id.is_some());
    server.put("/v1/d", b"1");
    assert_eq!(follower.take(1), told(&[("put", "d")]));
}

#[test]
fn synced_comes_also_when_nothing_is_there() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    for target in ["watch?initial=true&key=b", "watch?initial=true&prefix=b"] {
        let mut follower = Follower::new(&server, &format!("default/{target}"));
        assert_eq!(follower.next().name, "synced", "{target}");
    }
    let mut follower = Follower::new(&server, "default/watch?initial=true&key=a");
    assert_eq!(follower.take(2), told(&[("put", "a"), ("synced", "")]));
}

#[test]
fn nothing_that_changes_while_what_is_there_is_told_goes_missing() {
    const KEYS: usize = 2_000;
    let server = Server::start();
    let batch = |from: usize, value: &str| {
        let operations: Vec<_> = (from..from + 500)
            .map(|n| json!({"op": "put", "key": format!("{n:05}"), "value": value}))
            .collect();
        let body = json!({"operations": operations}).to_string();
        let done = server.send("POST", "/keyspaces/default/batch", &[], body.as_bytes());
        assert_eq!(done.status, 200);
    };
    for from in (0..KEYS).step_by(500) {
        batch(from, "old");
    }
    let mut follower = Follower::new(&server, "default/watch?initial=true&values=true");
    // It is read no further for now: what follows changes behind its back.
    for from in (0..KEYS).step_by(500) {
        batch(from, "new");
    }
    server.put("/v1/last", b"1");
    let mut state = std::collections::BTreeMap::new();
    let mut synced = false;
    loop {
        let event = follower.next();
        match event.name.as_str() {
            "synced" => synced = true,
            "put" if event.key() == "last" => break,
            "put" => {
                let value = event.data["value"].as_str().unwrap().to_owned();
                assert_eq!(event.id.is_some(), synced, "{event:?}");
                let before = state.insert(event.key().to_owned(), value.clone());
                assert!(
                    before.as_deref() != Some("new") || value == "new",
                    "back in time"
                );
            }
            other => panic!("{other}"),
        }
    }
    assert!(synced);
    assert_eq!(state.len(), KEYS);
    assert!(state.values().all(|value| value == "new"));
}

#[test]
fn malformed_requests_are_refused() {
    let server = Server::start();
    for (query, code) in [
        ("key=a&prefix=b", "invalid_parameter"),
        ("key=", "invalid_key"),
        ("since=", "invalid_parameter"),
        ("since=1", "invalid_parameter"),
        ("since=0000000000000001-01", "invalid_parameter"),
        ("initial=yes", "invalid_parameter"),
        ("values=1", "invalid_parameter"),
        ("limit=0", "invalid_parameter"),
        ("limit=-1", "invalid_parameter"),
        ("limit=", "invalid_parameter"),
        ("timeout=0", "invalid_parameter"),
        ("timeout=none", "invalid_parameter"),
        ("timeout=x", "invalid_parameter"),
        ("keys=a", "unknown_parameter"),
    ] {
        let answer = server.get(&format!("/keyspaces/default/watch?{query}"));
        answer.assert_problem(400, code);
    }
    let long = "k".repeat(1_025);
    for name in ["key", "prefix"] {
        let answer = server.get(&format!("/keyspaces/default/watch?{name}={long}"));
        assert_eq!(answer.assert_problem(400, "key_too_long")["limit"], 1_024);
    }
    let headers = [("Last-Event-ID", "nonsense")];
    let answer = server.send("GET", "/keyspaces/default/watch", &headers, b"");
    answer.assert_problem(400, "invalid_parameter");
    let answer = server.get("/keyspaces/none/watch");
    answer.assert_problem(404, "keyspace_not_found");
}

#[test]
fn a_watch_has_no_head() {
    let server = Server::start();
    for method in ["HEAD", "POST", "PUT", "DELETE"] {
        let answer = server.send(method, "/keyspaces/default/watch", &[], b"");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET"));
    }
}
