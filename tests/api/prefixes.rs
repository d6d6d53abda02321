//! Deletes by prefix.

use serde_json::json;

use crate::harness::{Answer, Server};

const KEYS: &str = "/keyspaces/default/keys";

fn delete(server: &Server, query: &str) -> Answer {
    server.send("DELETE", &format!("{KEYS}?{query}"), &[], b"")
}

fn listed(server: &Server) -> Vec<String> {
    let list = server.get(KEYS).json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_key_that_begins_so_goes_and_no_other() {
    let server = Server::start();
    for key in ["a", "b", "b/1", "b/2", "b0", "c"] {
        server.put(&format!("/v1/{key}"), b"1");
    }
    let counted = delete(&server, "prefix=b/&dry_run=true");
    assert_eq!(
        (counted.status, counted.json()),
        (200, json!({"deleted": 2}))
    );
    assert_eq!(listed(&server).len(), 6);
    let deleted = delete(&server, "prefix=b%2F&dry_run=false");
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"deleted": 2}))
    );
    assert_eq!(listed(&server), ["a", "b", "b0", "c"]);
    assert_eq!(delete(&server, "prefix=b/").json(), json!({"deleted": 0}));
    assert_eq!(delete(&server, "prefix=b").json(), json!({"deleted": 2}));
    assert_eq!(listed(&server), ["a", "c"]);
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(listed(&server), ["a", "c"]);
}

#[test]
fn many_keys_go_in_steps() {
    let server = Server::start();
    let mut client = server.connect();
    for n in 0..2_500 {
        let target = format!("/v1/n/{n}?durability=written");
        assert_eq!(client.send("PUT", &target, &[], b"1").status, 202);
    }
    server.put("/v1/other", b"1");
    assert_eq!(
        delete(&server, "prefix=n/&dry_run=true").json()["deleted"],
        2_500
    );
    assert_eq!(delete(&server, "prefix=n/").json()["deleted"], 2_500);
    assert_eq!(listed(&server), ["other"]);
}

#[test]
fn the_prefix_is_required_and_not_empty() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    for query in [
        "",
        "prefix",
        "prefix=",
        "dry_run=true",
        "prefix=a&dry_run",
        "prefix=a&dry_run=1",
        "prefix=%FF",
    ] {
        delete(&server, query).assert_problem(400, "invalid_parameter");
    }
    delete(&server, "prefix=a&delimiter=/").assert_problem(400, "unknown_parameter");
    let absent = server.send("DELETE", "/keyspaces/absent/keys?prefix=a", &[], b"");
    absent.assert_problem(404, "keyspace_not_found");
    assert_eq!(listed(&server), ["a"]);
}
