//! Keyspaces: found by their name, each with its own values; `/v1` is the one called `default`.

use crate::harness::Server;

#[test]
fn a_key_of_the_default_keyspace_has_two_addresses() {
    let server = Server::start();
    let put = server.put("/v1/a%2Fb", b"1");
    assert_eq!(put.status, 201);
    let read = server.get("/keyspaces/default/keys/a/b");
    assert_eq!((read.status, read.text()), (200, "1"));
    assert_eq!(read.etag(), put.etag());
    let target = "/keyspaces/default/keys/a%2Fb";
    assert_eq!(server.put(target, b"2").status, 204);
    assert_eq!(server.get("/v1/a/b").text(), "2");
    assert_eq!(server.send("HEAD", target, &[], b"").status, 200);
    assert_eq!(server.send("DELETE", target, &[], b"").status, 204);
    assert_eq!(server.get("/v1/a/b").status, 404);
    server.get(target).assert_problem(404, "key_not_found");
}

#[test]
fn the_key_follows_the_fourth_slash_of_the_raw_path() {
    let server = Server::start();
    for (target, key) in [
        ("/keyspaces/default/keys/flush", "flush"),
        ("/keyspaces/default/keys//", "%2F"),
        ("/keyspaces/default/keys/a//b/", "a%2F%2Fb%2F"),
        ("/key%73paces/de%66ault/k%65ys/%252F", "%252F"),
    ] {
        assert_eq!(server.put(target, key.as_bytes()).status, 201, "{target}");
        assert_eq!(server.get(&format!("/v1/{key}")).text(), key, "{target}");
    }
}

#[test]
fn an_empty_key_is_never_the_list() {
    let server = Server::start();
    for method in ["GET", "PUT", "DELETE"] {
        let answer = server.send(method, "/keyspaces/default/keys/", &[], b"");
        answer.assert_problem(400, "invalid_key");
    }
}

#[test]
fn a_keyspace_that_is_not_there_is_not_found_and_not_made() {
    let server = Server::start();
    for name in [
        "absent",
        "",
        "Default",
        "a%2Fb",
        "%FF",
        "%",
        "a.b",
        &"a".repeat(65),
    ] {
        let key = format!("/keyspaces/{name}/keys/k");
        for method in ["GET", "PUT", "DELETE"] {
            let answer = server.send(method, &key, &[], b"");
            answer.assert_problem(404, "keyspace_not_found");
        }
        let flush = server.send("POST", &format!("/keyspaces/{name}/flush"), &[], b"");
        flush.assert_problem(404, "keyspace_not_found");
    }
}

#[test]
fn a_flush_says_how_many_values_there_were() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    server.put("/v1/b", b"1");
    for flushed in [2, 0] {
        let answer = server.send("POST", "/keyspaces/default/flush", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["flushed"], flushed);
    }
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let server = Server::start();
    let problem = server.send("POST", "/keyspaces/default/keys/a", &[], b"");
    problem.assert_problem(405, "method_not_allowed");
    assert_eq!(problem.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    let problem = server.send("DELETE", "/keyspaces/default/flush", &[], b"");
    problem.assert_problem(405, "method_not_allowed");
    assert_eq!(problem.header("allow"), Some("POST"));
}
