//! What is stored is answered, what is not is fetched once.

use super::*;
use crate::origin::Reply;

#[test]
fn a_thousand_requests_for_one_absent_key_are_one_fetch() {
    const REQUESTS: usize = 1_000;
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |_| {});
    let mut clients: Vec<_> = (0..REQUESTS).map(|_| server.connect()).collect();
    let began = Instant::now();
    for client in &mut clients {
        client.write_request("GET", &at("a"), &[], b"");
    }
    let waiters = "standpipe_read_through_waiters{keyspace=\"users\"}";
    server.wait_for(waiters, u64::try_from(REQUESTS).unwrap());
    // A source that takes a second.
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(figure(&server, "fetches_in_flight"), 1);
    }
    origin.release();
    let answers = clients.iter_mut().map(|client| client.read_answer("GET"));
    let answers: Vec<_> = answers.collect();
    let etag = answers[0].etag();
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (200, "value of /users/a"));
        assert_eq!(answer.etag(), etag);
    }
    let told = |status: &str| {
        let is = |answer: &&Answer| answer.header("cache-status") == Some(status);
        answers.iter().filter(is).count()
    };
    assert_eq!(told("standpipe; fwd=miss; stored"), 1);
    assert_eq!(told("standpipe; fwd=miss; stored; collapsed"), REQUESTS - 1);
    assert_eq!(origin.asked(), ["GET /users/a HTTP/1.1"]);
    server.wait_for(waiters, 0);
    assert_value(&get(&server, "a"), "value of /users/a", "standpipe; hit");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_leader_whose_client_leaves_fails_nobody() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |_| {});
    let mut first = server.connect();
    first.write_request("GET", &at("a"), &[], b"");
    origin.wait_for(1);
    let mut second = server.connect();
    second.write_request("GET", &at("a"), &[], b"");
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 2);
    drop(first);
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 1);
    origin.release();
    let answer = second.read_answer("GET");
    let collapsed = "standpipe; fwd=miss; stored; collapsed";
    assert_value(&answer, "value of /users/a", collapsed);
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_was_fetched_for_a_client_that_left_is_stored() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |_| {});
    let mut client = server.connect();
    client.write_request("GET", &at("a"), &[], b"");
    origin.wait_for(1);
    drop(client);
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 0);
    origin.release();
    server.wait_until(|server| stored(server, "a").is_some());
    assert_value(&get(&server, "a"), "value of /users/a", "standpipe; hit");
    assert_eq!(origin.count(), 1);
}

#[test]
fn head_is_get_without_the_body_fetch_included() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let head = server.send("HEAD", &at("a"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("17"));
    assert_eq!(
        head.header("cache-status"),
        Some("standpipe; fwd=miss; stored")
    );
    let get = get(&server, "a");
    assert_value(&get, "value of /users/a", "standpipe; hit");
    assert_eq!(get.etag(), head.etag());
    assert_eq!(origin.count(), 1);
}

#[test]
fn conditions_and_ranges_hold_for_what_was_fetched() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let part = server.send("GET", &at("a"), &[("Range", "bytes=0-4")], b"");
    assert_eq!((part.status, part.text()), (206, "value"));
    assert_eq!(
        part.header("cache-status"),
        Some("standpipe; fwd=miss; stored")
    );
    let known = [("If-None-Match", part.etag())];
    let not_modified = server.send("GET", &at("a"), &known, b"");
    assert_eq!(not_modified.status, 304);
    assert_eq!(not_modified.header("cache-status"), Some("standpipe; hit"));
    let other = server.send(
        "GET",
        &at("b"),
        &[("If-Match", "\"0000000000000000-1\"")],
        b"",
    );
    other.assert_problem(412, "condition_failed");
    assert!(other.header("cache-status").is_some());
}

#[test]
fn the_root_looks_up_through_the_source_of_the_default_keyspace() {
    let origin = Origin::start();
    let source = source(&origin);
    let server = Server::with(|options| {
        options.through.insert("default".to_owned(), source);
    });
    let looked_up = server.get("/?key=a%20b");
    assert_value(
        &looked_up,
        "value of /users/a%20b",
        "standpipe; fwd=miss; stored",
    );
    let got = server.get("/v1/a%20b");
    assert_value(&got, "value of /users/a%20b", "standpipe; hit");
}

#[test]
fn a_request_may_forbid_to_ask_the_source_or_to_answer_what_is_stored() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let refused = get_with(&server, "a", "only-if-cached");
    refused.assert_problem(504, "not_stored");
    assert_eq!(
        refused.header("cache-status"),
        Some("standpipe; detail=not_stored")
    );
    assert_eq!(origin.count(), 0);
    let first = get(&server, "a");
    let hit = get_with(&server, "a", "max-age=0, Only-If-Cached");
    assert_value(&hit, "value of /users/a", "standpipe; hit");
    origin.say(|_| Reply::ok("newer"));
    let newer = get_with(&server, "a", "no-cache");
    assert_value(&newer, "newer", "standpipe; fwd=request; stored");
    assert_ne!(newer.etag(), first.etag());
    assert_value(&get(&server, "a"), "newer", "standpipe; hit");
    let impossible = get_with(&server, "a", "no-cache, only-if-cached");
    impossible.assert_problem(504, "not_stored");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_demand_joins_the_fetch_that_is_under_way() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |_| {});
    let mut clients = [server.connect(), server.connect()];
    clients[0].write_request("GET", &at("a"), &[], b"");
    origin.wait_for(1);
    clients[1].write_request("GET", &at("a"), &[("Cache-Control", "no-cache")], b"");
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 2);
    origin.release();
    for client in &mut clients {
        assert_eq!(client.read_answer("GET").status, 200);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_key_reaches_the_source_encoded_and_never_leads_up() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    for (key, path) in [
        ("a%2Fb", "/users/a%2Fb"),
        ("a/b", "/users/a%2Fb"),
        ("a%3Fb%23c%20d", "/users/a%3Fb%23c%20d"),
        ("%25", "/users/%25"),
        ("gr%C3%BCn", "/users/gr%C3%BCn"),
        ("...", "/users/..."),
    ] {
        let answer = get_with(&server, key, "no-cache");
        assert_eq!(answer.text(), format!("value of {path}"), "{key}");
    }
    let asked = origin.count();
    for key in [".", "..", "%2e", "%2E%2e"] {
        get(&server, key).assert_problem(404, "key_not_found");
    }
    assert_eq!(origin.count(), asked);
}

#[test]
fn everything_else_sees_only_what_is_stored() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let keyspace = |rest: &str| format!("/keyspaces/users/{rest}");
    for rest in ["entries/a", "ttl/a", "counters/a"] {
        server
            .get(&keyspace(rest))
            .assert_problem(404, "key_not_found");
    }
    let listed = server.get(&keyspace("keys"));
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 0);
    let only_over = server.send("PUT", &at("a"), &[("If-Match", "*")], b"x");
    only_over.assert_problem(412, "condition_failed");
    let counted = server.send("POST", &keyspace("counters/n"), &[], b"");
    assert_eq!(counted.json()["value"], 1);
    let batch = r#"{"atomic":true,"operations":[{"op":"get","key":"a"}]}"#;
    let batch = server.send("POST", &keyspace("batch"), &[], batch.as_bytes());
    assert_eq!(batch.json()["items"][0]["code"], "key_not_found");
    assert_eq!(origin.count(), 0);
    // Once it is stored it is like any other value.
    assert_eq!(get(&server, "a").status, 200);
    assert_eq!(stored(&server, "a").unwrap(), "value of /users/a");
    let listed = server.get(&keyspace("keys"));
    assert_eq!(listed.json()["items"][0]["key"], "a");
}

#[test]
fn a_keyspace_shows_the_kind_of_its_source_and_no_address() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let shown = server.get("/keyspaces/users");
    assert_eq!(shown.json()["source"], "http");
    assert!(!shown.text().contains(&origin.address().port().to_string()));
    let default = server.get("/keyspaces/default");
    assert!(default.json().get("source").is_none());
    assert_eq!(server.get("/v1/a").status, 404);
    assert!(server.get("/v1/a").header("cache-status").is_none());
}
