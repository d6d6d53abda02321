//! Keyspaces whose sink has not caught up: what is refused, with what code, and what a policy that is put leaves alone.

use std::time::Duration;

use serde_json::json;
use standpipe::engine::{self, Deletes, Durability, Increment, Pending, Policy, StoreOptions};
use tempfile::TempDir;

use crate::harness::Server;

/// A directory with the keyspaces `sums`, of which one key may be pending and is, and `small`, which keeps all of its few bytes
/// for its sink.
pub(crate) fn with_sinks() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    add_sinks(&directory);
    directory
}

pub(crate) fn add_sinks(directory: &TempDir) {
    let options = engine::Options {
        path: directory.path().join("data"),
        read_wait: Duration::from_secs(30),
        store: StoreOptions::default(),
    };
    let engine = engine::open(options, &engine::Opening::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sums = Policy {
            pending: Pending::Sums { most: 1 },
            ..Policy::default()
        };
        engine.set_keyspace("sums", &sums, 9).await.unwrap();
        let small = Policy {
            max_bytes: Some(4 << 10),
            pending: Pending::Latest {
                deletes: Deletes::Ignore,
                most: 1_000,
            },
            ..Policy::default()
        };
        engine.set_keyspace("small", &small, 9).await.unwrap();
        let one = Increment {
            by: 5,
            initial: 0,
            min: None,
            max: None,
            expires_at_ms: None,
        };
        let sums = engine.keyspace("sums").unwrap();
        let counted = sums.increment(b"n", &one, Durability::Synced).await;
        assert!(matches!(counted, Ok(engine::Incremented::Counted { .. })));
    });
    engine.close().unwrap();
}

#[test]
fn more_pending_keys_than_there_may_be_are_refused_and_the_others_go_on() {
    let server = Server::over(with_sinks(), |_| {});
    let count = |key: &str, body: &[u8]| {
        server.send(
            "POST",
            &format!("/keyspaces/sums/counters/{key}"),
            &[],
            body,
        )
    };
    let problem = count("m", b"").assert_problem(507, "sink_backlog");
    assert_eq!(
        (&problem["limit"], &problem["actual"], &problem["setting"]),
        (&json!(1), &json!(2), &json!("sink.max_pending"))
    );
    assert_eq!(server.get("/keyspaces/sums/counters/m").status, 404);
    assert_eq!(count("n", b"").json()["value"], json!(6));
    let operations = json!([{"op": "increment", "key": "m"}, {"op": "increment", "key": "n"}]);
    let body = json!({"operations": operations}).to_string();
    let batch = server.send("POST", "/keyspaces/sums/batch", &[], body.as_bytes());
    assert_eq!(batch.json()["items"][0]["code"], json!("sink_backlog"));
    assert_eq!(batch.json()["items"][1]["value"], json!(7));
    // A plain value makes nothing pending.
    assert_eq!(server.put("/keyspaces/sums/keys/m", b"1").status, 201);
    let large = json!({"by": i64::MAX, "initial": 0}).to_string();
    assert_eq!(server.put("/keyspaces/sums/keys/n", b"0").status, 204);
    let problem = count("n", large.as_bytes()).assert_problem(409, "counter_out_of_range");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("increments of 7 wait"), "{detail}");
}

#[test]
fn a_full_keyspace_says_that_its_sink_is_behind() {
    let server = Server::over(with_sinks(), |_| {});
    let mut client = server.connect();
    for n in 0..1_000 {
        let put = client.send(
            "PUT",
            &format!("/keyspaces/small/keys/{n}"),
            &[],
            &[b'x'; 100],
        );
        if put.status == 201 {
            continue;
        }
        let problem = put.assert_problem(507, "sink_backlog");
        assert_eq!(
            (&problem["limit"], &problem["setting"]),
            (&json!(4096), &json!("max_bytes"))
        );
        return;
    }
    panic!("it was never full")
}

#[test]
fn a_keyspace_is_not_dropped_over_what_is_pending() {
    let server = Server::over(with_sinks(), |_| {});
    for target in [
        "/keyspaces/sums",
        "/keyspaces?name=sums",
        "/keyspaces?name=small&name=sums",
    ] {
        let problem = server
            .send("DELETE", target, &[], b"")
            .assert_problem(409, "sink_pending");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("1 keys wait"), "{detail}");
    }
    // All or none: the one before it in the list is still there.
    assert_eq!(server.get("/keyspaces/small").status, 200);
    server.send("POST", "/keyspaces/sums/flush", &[], b"");
    let memory = server.send("PUT", "/keyspaces/sums", &[], br#"{"durability":"memory"}"#);
    memory.assert_problem(409, "sink_pending");
    assert_eq!(server.get("/keyspaces/sums").status, 200);
    server.wait_for("standpipe_store_pending_keys", 1);
    server.wait_for("standpipe_store_dead_keys", 0);
}

#[test]
fn a_policy_that_is_put_says_nothing_of_what_is_pending() {
    let server = Server::over(with_sinks(), |_| {});
    let put = server.send("PUT", "/keyspaces/sums", &[], br#"{"ttl":"1h"}"#);
    assert_eq!(put.status, 200);
    assert!(put.json()["policy"].get("pending").is_none());
    let named = server.send("PUT", "/keyspaces/sums", &[], br#"{"pending":"sums"}"#);
    named.assert_problem(422, "invalid_policy");
    let counter = "/keyspaces/sums/counters/m";
    let refused = server.send("POST", counter, &[], b"");
    refused.assert_problem(507, "sink_backlog");
    // Nothing waits here: it may be kept in memory, where nothing is kept for a sink.
    let memory = server.send(
        "PUT",
        "/keyspaces/small",
        &[],
        br#"{"durability":"memory"}"#,
    );
    assert_eq!(memory.status, 200, "{}", memory.text());
    for n in 0..100 {
        let target = format!("/keyspaces/small/keys/{n}");
        assert_eq!(server.put(&target, &[b'x'; 100]).status, 201);
    }
}
