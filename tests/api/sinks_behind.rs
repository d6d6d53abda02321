//! Keyspaces whose sink has not caught up: what is refused, with what code, and what a policy that is put leaves alone.

use serde_json::json;
use standpipe::outbound::Secret;
use standpipe::server::{Options, Policy};
use standpipe::sink::{self, Deletes, Mode, SqlTarget, Target};

use crate::harness::Server;
use crate::sink_stage::{options, post};

/// A sink whose database is not there, so that everything waits.
fn behind(mode: Mode, max_pending: u64) -> sink::Options {
    let target = Target::Sql(SqlTarget {
        url: Secret::Given("sqlite:///nowhere/at-all".into()),
        table: "t".to_owned(),
        key_column: "k".to_owned(),
        value_column: "v".to_owned(),
    });
    sink::Options {
        max_pending,
        ..options(target, mode)
    }
}

/// The keyspaces `sums`, of which one key may wait, and `small`, which keeps all of its few bytes for its sink.
pub(crate) fn add_sinks(options: &mut Options) {
    let small = Policy {
        max_bytes: Some(4 << 10),
        ..Policy::default()
    };
    let keyspaces = [("sums", Policy::default()), ("small", small)];
    let keyspaces = keyspaces.map(|(name, policy)| (name.to_owned(), policy));
    options.keyspaces.extend(keyspaces);
    let upsert = Mode::Upsert(Deletes::Ignore);
    let sinks = [
        ("sums", behind(Mode::Increment, 1)),
        ("small", behind(upsert, 1_000)),
    ];
    let sinks = sinks.map(|(name, sink)| (name.to_owned(), sink));
    options.sinks.extend(sinks);
}

/// A server with both, and the 5 of a counter waiting.
fn with_sinks() -> Server {
    let server = Server::with(add_sinks);
    let counted = post(&server, "/keyspaces/sums/counters/n", &json!({"by": 5}));
    assert_eq!(counted.status, 200, "{}", counted.text());
    server
}

#[test]
fn more_pending_keys_than_there_may_be_are_refused_and_the_others_go_on() {
    let server = with_sinks();
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
    let server = with_sinks();
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
    // Without the file's entry it can be dropped and changed by requests, but for what waits.
    let server = Server::over(with_sinks().stop(), |_| {});
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
    let server = Server::over(with_sinks().stop(), |_| {});
    let put = server.send("PUT", "/keyspaces/sums", &[], br#"{"ttl":"1h"}"#);
    assert_eq!(put.status, 200);
    assert!(put.json()["policy"].get("pending").is_none());
    let named = server.send("PUT", "/keyspaces/sums", &[], br#"{"pending":"sums"}"#);
    named.assert_problem(422, "invalid_policy");
    // What waited stays, and nothing more waits for a sink that is gone.
    let counted = server.send("POST", "/keyspaces/sums/counters/m", &[], b"");
    assert_eq!(counted.status, 200, "{}", counted.text());
    server.wait_for("standpipe_store_pending_keys", 1);
    // Nothing waits here: it may be kept in memory.
    let memory = server.send(
        "PUT",
        "/keyspaces/small",
        &[],
        br#"{"durability":"memory"}"#,
    );
    assert_eq!(memory.status, 200, "{}", memory.text());
}
