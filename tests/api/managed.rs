//! Values that a scheduled source wrote: read as any other, changed by no client.

use std::time::Duration;

use serde_json::json;
use standpipe::engine::{self, Conditions, Durability, Facts, Lifetime, Put, StoreOptions, Writer};
use standpipe::server::Options;
use tempfile::TempDir;

use crate::harness::{Answer, Server};

const KEYS: &str = "/keyspaces/default";

/// A directory in which the source `report` has written `mine`, and a client `free`.
fn written_by_a_source() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let options = engine::Options {
        path: directory.path().join("data"),
        read_wait: Duration::from_secs(30),
        store: StoreOptions::default(),
    };
    let engine = engine::open(options, &engine::Opening::default()).unwrap();
    let entries = engine.default_entries();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for (key, writer) in [("mine", Writer::Source("report")), ("free", Writer::Client)] {
        let facts = Facts {
            media_type: "text/plain; charset=utf-8",
            content_encoding: None,
            lifetime: Lifetime::default(),
            writer,
        };
        let mut draft = entries.draft(key.as_bytes(), 1, &facts).unwrap();
        draft.write(0, b"1");
        let always = Conditions::default();
        let put = entries.put(draft, &always, Durability::Synced);
        let put = runtime.block_on(put).unwrap();
        assert!(matches!(put, Put::Created(_)));
    }
    engine.close().unwrap();
    directory
}

/// What was written stays: its source is not known to be gone.
fn nobody_fetches(options: &mut Options) {
    options.sources.unreadable = Some("nobody fetches here".to_owned());
}

fn managed(answer: &Answer) {
    let problem = answer.assert_problem(409, "managed_by_source");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("\"report\""), "{detail}");
}

fn batch(server: &Server, body: &serde_json::Value) -> Answer {
    let target = format!("{KEYS}/batch");
    server.send("POST", &target, &[], body.to_string().as_bytes())
}

#[test]
fn no_client_changes_what_a_source_wrote_whatever_it_asks_for() {
    let server = Server::over(written_by_a_source(), nobody_fetches);
    let value = server.get("/v1/mine");
    assert_eq!((value.status, value.text()), (200, "1"));
    let etag = value.etag().to_owned();
    let ttl = format!("{KEYS}/ttl/mine");
    let counter = format!("{KEYS}/counters/mine");
    let named = format!("{KEYS}/keys/mine");
    let conditions = [
        vec![],
        vec![("If-Match", &*etag)],
        vec![("If-None-Match", "*")],
    ];
    for headers in &conditions {
        for key in ["/v1/mine", &named] {
            managed(&server.send("PUT", key, headers, b"2"));
            managed(&server.send("DELETE", key, headers, b""));
        }
        managed(&server.send("PUT", &ttl, headers, br#"{"ttl":"1h"}"#));
        managed(&server.send("DELETE", &ttl, headers, b""));
    }
    managed(&server.send("POST", &counter, &[], b""));
    assert_eq!(server.get(&counter).json()["value"], json!(1));
    let after = server.get("/v1/mine");
    assert_eq!((after.text(), after.etag()), ("1", &*etag));
}

#[test]
fn an_item_of_a_batch_fails_alone_and_an_atomic_batch_as_a_whole() {
    let server = Server::over(written_by_a_source(), nobody_fetches);
    let operations = [
        json!({"op": "put", "key": "mine", "value": "2"}),
        json!({"op": "delete", "key": "mine"}),
        json!({"op": "increment", "key": "mine"}),
    ];
    let all: Vec<_> = operations
        .iter()
        .cloned()
        .chain([json!({"op": "get", "key": "mine"})])
        .collect();
    let answer = batch(&server, &json!({"operations": all})).json();
    for item in &answer["items"].as_array().unwrap()[..3] {
        assert_eq!(item["status"], json!(409), "{item}");
        assert_eq!(item["code"], json!("managed_by_source"), "{item}");
    }
    assert_eq!(answer["items"][3]["value"], json!("1"));
    for operation in operations {
        let put = json!({"op": "put", "key": "other", "value": "2"});
        let body = json!({"atomic": true, "operations": [put, operation]});
        let problem = batch(&server, &body).assert_problem(409, "batch_failed");
        assert_eq!(problem["operation"], json!(1));
        assert_eq!(problem["cause"], json!("managed_by_source"));
        assert_eq!(server.get("/v1/other").status, 404);
    }
}

#[test]
fn a_delete_by_prefix_leaves_it_and_a_flush_takes_it() {
    let server = Server::over(written_by_a_source(), nobody_fetches);
    server.put("/v1/mind", b"1");
    let deleted = server.send("DELETE", &format!("{KEYS}/keys?prefix=m"), &[], b"");
    assert_eq!(deleted.json(), json!({"deleted": 1}));
    assert_eq!(server.get("/v1/mine").status, 200);
    let flushed = server.send("POST", "/flush", &[], b"");
    assert_eq!(flushed.json(), json!({"flushed": 2}));
    assert_eq!(server.get("/v1/mine").status, 404);
    assert_eq!(server.put("/v1/mine", b"2").status, 201);
}
