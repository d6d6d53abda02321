//! Counters, expiries and batches in keyspaces with a policy: a default ttl, in memory only, full.

use serde_json::{Value, json};

use crate::harness::{Answer, Server};

fn make(server: &Server, name: &str, policy: &Value) {
    let made = server.send(
        "PUT",
        &format!("/keyspaces/{name}"),
        &[],
        policy.to_string().as_bytes(),
    );
    assert_eq!(made.status, 201, "{made:?}");
}

fn post(server: &Server, target: &str, body: &Value) -> Answer {
    server.send("POST", target, &[], body.to_string().as_bytes())
}

fn ttl_ms(server: &Server, key: &str) -> Option<u64> {
    server.get(&format!("/keyspaces/demo/ttl/{key}")).json()["ttl_ms"].as_u64()
}

#[test]
fn what_is_made_without_a_ttl_takes_the_one_of_its_keyspace() {
    let server = Server::start();
    make(&server, "demo", &json!({"ttl": "1h"}));
    post(&server, "/keyspaces/demo/counters/n", &json!({}));
    post(
        &server,
        "/keyspaces/demo/counters/forever",
        &json!({"ttl": "none"}),
    );
    let operations = json!([
        {"op": "put", "key": "put", "value": "1"},
        {"op": "put", "key": "day", "value": "1", "ttl": "1d"},
        {"op": "put", "key": "stays", "value": "1", "ttl": "none"},
        {"op": "increment", "key": "counted"},
    ]);
    for atomic in [false, true] {
        let body = json!({"atomic": atomic, "operations": operations});
        assert_eq!(post(&server, "/keyspaces/demo/batch", &body).status, 200);
        for (key, hours) in [("put", 1), ("day", 24), ("counted", 1), ("n", 1)] {
            let left = ttl_ms(&server, key).unwrap();
            assert!(
                left > (hours - 1) * 3_600_000 && left <= hours * 3_600_000,
                "{key} {left}"
            );
        }
        assert_eq!(
            (ttl_ms(&server, "stays"), ttl_ms(&server, "forever")),
            (None, None)
        );
    }
    // Removing an expiry is asked for by name: the default does not come back.
    let removed = server.send("DELETE", "/keyspaces/demo/ttl/put", &[], b"");
    assert_eq!((removed.status, ttl_ms(&server, "put")), (204, None));
}

#[test]
fn a_keyspace_in_memory_counts_and_batches_and_forgets() {
    let server = Server::start();
    make(&server, "demo", &json!({"durability": "memory"}));
    let body = json!({"atomic": true, "operations": [
        {"op": "increment", "key": "n", "by": 2},
        {"op": "put", "key": "a", "value": "1"},
    ]});
    assert_eq!(post(&server, "/keyspaces/demo/batch", &body).status, 200);
    let added = post(&server, "/keyspaces/demo/counters/n", &json!({"by": 5}));
    assert_eq!(added.json()["value"], 7);
    let set = server.send("PUT", "/keyspaces/demo/ttl/a", &[], br#"{"ttl":"1h"}"#);
    assert_eq!(set.status, 200);
    for (target, body) in [
        ("counters/n", json!({})),
        ("batch", json!({"operations": []})),
    ] {
        post(
            &server,
            &format!("/keyspaces/demo/{target}?durability=written"),
            &body,
        )
        .assert_problem(400, "durability_unavailable");
    }
    let server = Server::over(server.stop(), |_| {});
    server
        .get("/keyspaces/demo/counters/n")
        .assert_problem(404, "key_not_found");
}

#[test]
fn a_full_keyspace_refuses_in_the_item_or_the_whole_atomic_batch() {
    let server = Server::start();
    make(
        &server,
        "demo",
        &json!({"max_bytes": "64KiB", "eviction": "none"}),
    );
    let value = "x".repeat(10_000);
    let puts: Vec<_> = (0..10)
        .map(|n| json!({"op": "put", "key": format!("k{n}"), "value": value}))
        .collect();
    let answer = post(
        &server,
        "/keyspaces/demo/batch",
        &json!({"operations": puts}),
    )
    .json();
    let items = answer["items"].as_array().unwrap();
    let stored = items.iter().filter(|item| item["status"] == 201).count();
    assert!((1..10).contains(&stored), "{stored} of ten stored");
    for item in items {
        let fits = item["status"] == 201;
        assert!(
            fits || (item["status"] == 507 && item["code"] == "keyspace_full"),
            "{item}"
        );
        let key = item["key"].as_str().unwrap();
        let there = server.get(&format!("/keyspaces/demo/keys/{key}")).status == 200;
        assert_eq!(there, fits, "{key}");
    }
    let more: Vec<_> = (0..9)
        .map(|n| json!({"op": "put", "key": format!("m{n}"), "value": value}))
        .collect();
    post(
        &server,
        "/keyspaces/demo/batch",
        &json!({"atomic": true, "operations": more}),
    )
    .assert_problem(507, "keyspace_full");
    for n in 0..9 {
        assert_eq!(
            server.get(&format!("/keyspaces/demo/keys/m{n}")).status,
            404
        );
    }
    // Deletes make room, also in a batch.
    let deletes: Vec<_> = (0..10)
        .map(|n| json!({"op": "delete", "key": format!("k{n}")}))
        .collect();
    let answer = post(
        &server,
        "/keyspaces/demo/batch",
        &json!({"atomic": true, "operations": deletes}),
    );
    assert_eq!(answer.status, 200);
    let put = json!({"operations": [{"op": "put", "key": "k0", "value": value}]});
    let answer = post(&server, "/keyspaces/demo/batch", &put).json();
    assert_eq!(answer["items"][0]["status"], 201);
}

#[test]
fn a_dropped_keyspace_takes_nothing_more() {
    let server = Server::start();
    make(&server, "demo", &json!({}));
    post(&server, "/keyspaces/demo/counters/n", &json!({}));
    assert_eq!(
        server.send("DELETE", "/keyspaces/demo", &[], b"").status,
        204
    );
    let operations = json!({"operations": [{"op": "put", "key": "a", "value": "1"}]});
    for (target, body) in [("counters/n", json!({})), ("batch", operations)] {
        post(&server, &format!("/keyspaces/demo/{target}"), &body)
            .assert_problem(404, "keyspace_not_found");
    }
    make(&server, "demo", &json!({}));
    let anew = post(&server, "/keyspaces/demo/counters/n", &json!({}));
    assert_eq!(anew.json()["value"], 1);
}
