//! `/keyspaces/{ks}/counters/{key}`: one client, wrong inputs, bounds, and many clients at once.

use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::harness::{Answer, PATIENCE, Server};

const COUNTER: &str = "/keyspaces/default/counters/n";

fn add(server: &Server, body: &str) -> Answer {
    server.send("POST", COUNTER, &[], body.as_bytes())
}

#[test]
fn without_a_body_one_is_added() {
    let server = Server::start();
    server.get(COUNTER).assert_problem(404, "key_not_found");
    for n in 1..4 {
        let added = add(&server, "");
        assert_eq!(added.status, 200);
        let expected = json!({"key": "n", "value": n, "previous": n - 1});
        assert_eq!(added.json(), expected);
        assert_eq!(added.header("cache-control"), Some("no-store"));
        let read = server.get(COUNTER);
        assert_eq!(read.json(), json!({"key": "n", "value": n}));
        assert_eq!(read.etag(), added.etag());
    }
    assert_eq!(add(&server, "{}").json()["value"], 4);
}

#[test]
fn a_counter_is_a_value_like_any_other() {
    let server = Server::start();
    let added = add(&server, r#"{"by":-7}"#);
    let value = server.get("/v1/n");
    assert_eq!((value.text(), value.etag()), ("-7", added.etag()));
    assert_eq!(
        value.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(server.put("/v1/n", b"40").status, 204);
    assert_eq!(add(&server, r#"{"by":2}"#).json()["value"], 42);
    for media_type in ["text/plain", "text/plain;charset=UTF-8"] {
        server.send("PUT", "/v1/n", &[("Content-Type", media_type)], b"1");
        assert_eq!(server.get(COUNTER).json()["value"], 1, "{media_type}");
        assert_eq!(add(&server, "").json()["value"], 2, "{media_type}");
    }
}

#[test]
fn an_absent_counter_starts_from_initial() {
    let server = Server::start();
    let made = add(&server, r#"{"initial":100,"by":-1}"#).json();
    assert_eq!(
        (&made["value"], &made["previous"]),
        (&99.into(), &100.into())
    );
    let next = add(&server, r#"{"initial":100,"by":-1}"#).json();
    assert_eq!(
        (&next["value"], &next["previous"]),
        (&98.into(), &99.into())
    );
    let same = add(
        &server,
        r#"{"by":0,"initial":null,"min":null,"max":null,"ttl":null}"#,
    );
    assert_eq!(same.json()["value"], 98);
}

#[test]
fn a_sum_beyond_the_bounds_changes_nothing() {
    let server = Server::start();
    for (body, refused) in [
        (r#"{"by":5,"max":5}"#, r#"{"by":1,"max":5}"#),
        (r#"{"by":-5,"min":0}"#, r#"{"by":-1,"min":0}"#),
        (r#"{"by":9223372036854775807}"#, "{\"by\":1}"),
    ] {
        assert_eq!(add(&server, body).status, 200, "{body}");
        let before = server.get("/v1/n");
        let problem = add(&server, refused).assert_problem(409, "counter_out_of_range");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("the counter is {}", before.text())),
            "{detail}"
        );
        let after = server.get("/v1/n");
        assert_eq!((after.text(), after.etag()), (before.text(), before.etag()));
    }
    for (initial, by) in [(i64::MIN, -1), (i64::MAX, 1), (i64::MIN, i64::MIN)] {
        server.send("DELETE", "/v1/n", &[], b"");
        let body = format!(r#"{{"initial":{initial},"by":{by}}}"#);
        add(&server, &body).assert_problem(409, "counter_out_of_range");
        assert_eq!(server.get("/v1/n").status, 404);
    }
    let edges = format!(
        r#"{{"initial":{},"by":{},"min":-1,"max":-1}}"#,
        i64::MAX,
        i64::MIN
    );
    assert_eq!(add(&server, &edges).json()["value"], -1);
}

#[test]
fn other_values_are_no_counters_and_stay() {
    let server = Server::start();
    for (media_type, value) in [
        ("text/plain", "007"),
        ("text/plain", "+7"),
        ("text/plain", "-0"),
        ("text/plain", " 7"),
        ("text/plain", "7\n"),
        ("text/plain", ""),
        ("text/plain", "seven"),
        ("text/plain", "1.0"),
        ("text/plain", "9223372036854775808"),
        ("application/json", "7"),
        ("text/html", "7"),
    ] {
        server.send(
            "PUT",
            "/v1/n",
            &[("Content-Type", media_type)],
            value.as_bytes(),
        );
        let before = server.get("/v1/n");
        add(&server, "").assert_problem(409, "not_a_counter");
        server.get(COUNTER).assert_problem(409, "not_a_counter");
        let after = server.get("/v1/n");
        assert_eq!((after.text(), after.etag()), (value, before.etag()));
    }
}

#[test]
fn a_ttl_counts_only_for_a_counter_that_is_made() {
    let server = Server::start();
    let ttl_ms = || server.get("/keyspaces/default/ttl/n").json()["ttl_ms"].clone();
    add(&server, r#"{"ttl":"1h"}"#);
    let first = ttl_ms().as_u64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&first), "{first}");
    add(&server, r#"{"ttl":"2h"}"#);
    add(&server, r#"{"ttl":"none"}"#);
    add(&server, "");
    assert!(ttl_ms().as_u64().unwrap() <= first);
    server.put("/v1/n", b"5");
    add(&server, r#"{"ttl":"1h"}"#);
    assert!(ttl_ms().is_null());
    assert_eq!(server.get(COUNTER).json()["value"], 6);
}

#[test]
fn an_expired_counter_starts_anew() {
    let server = Server::start();
    assert_eq!(add(&server, r#"{"by":7,"ttl":"50ms"}"#).status, 200);
    let deadline = Instant::now() + PATIENCE;
    while server.get(COUNTER).status != 404 {
        assert!(Instant::now() < deadline, "the counter never left");
    }
    let anew = add(&server, "").json();
    assert_eq!((&anew["value"], &anew["previous"]), (&1.into(), &0.into()));
    assert!(server.get("/v1/n").header("expires").is_none());
}

#[test]
fn counters_answer_conditions_of_readers_and_refuse_those_of_writers() {
    let server = Server::start();
    let added = add(&server, "");
    let known = server.send("GET", COUNTER, &[("If-None-Match", added.etag())], b"");
    assert_eq!((known.status, known.body.len()), (304, 0));
    server
        .send("GET", COUNTER, &[("If-Match", "\"x\"")], b"")
        .assert_problem(412, "condition_failed");
    for header in ["If-Match", "If-None-Match"] {
        server
            .send("POST", COUNTER, &[(header, added.etag())], b"")
            .assert_problem(400, "invalid_parameter");
    }
    assert_eq!(server.get(COUNTER).json()["value"], 1);
}

#[test]
fn wrong_addresses_parameters_and_methods_are_told() {
    let server = Server::start();
    let post = |target: &str| server.send("POST", target, &[], b"");
    post("/keyspaces/none/counters/n").assert_problem(404, "keyspace_not_found");
    server
        .get("/keyspaces/none/counters/n")
        .assert_problem(404, "keyspace_not_found");
    post("/keyspaces/default/counters/").assert_problem(400, "invalid_key");
    post("/keyspaces/default/counters/%ff").assert_problem(400, "invalid_key");
    post("/keyspaces/default/counters").assert_problem(404, "route_not_found");
    let long = format!("/keyspaces/default/counters/{}", "k".repeat(1025));
    post(&long).assert_problem(400, "key_too_long");
    post(&format!("{COUNTER}?by=2")).assert_problem(400, "unknown_parameter");
    post(&format!("{COUNTER}?durability=memory")).assert_problem(400, "durability_unavailable");
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = server.send(method, COUNTER, &[], b"");
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    }
    assert_eq!(post(&format!("{COUNTER}?durability=written")).status, 200);
    assert_eq!(post("/keyspaces/default/counters/a/b%2Fc").status, 200);
    assert_eq!(server.get("/v1/a/b/c").text(), "1");
}

#[test]
fn sixty_four_clients_on_one_counter_add_up_exactly() {
    const CLIENTS: i64 = 64;
    const EACH: i64 = 25;
    let server = Server::start();
    let mut seen: Vec<i64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = server.connect();
                scope.spawn(move || {
                    (0..EACH)
                        .map(|_| {
                            let answer = client.send("POST", COUNTER, &[], b"").json();
                            let value = answer["value"].as_i64().unwrap();
                            assert_eq!(answer["previous"], value - 1);
                            value
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    // Each number came out exactly once: no two clients saw the same sum, and none is missing.
    seen.sort_unstable();
    assert_eq!(seen, (1..=CLIENTS * EACH).collect::<Vec<_>>());
    assert_eq!(server.get(COUNTER).json()["value"], CLIENTS * EACH);
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get(COUNTER).json()["value"], CLIENTS * EACH);
}
