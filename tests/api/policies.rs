//! Keyspaces as a whole: made, changed and dropped while the service runs, and what their policies do.

use std::time::Duration;

use serde_json::{Value, json};
use standpipe::server::Policy;

use crate::harness::{Answer, Server};

fn set(server: &Server, name: &str, policy: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    let target = format!("/keyspaces/{name}");
    server.send("PUT", &target, &headers, policy.to_string().as_bytes())
}

fn make(server: &Server, name: &str, policy: &Value) {
    let made = set(server, name, policy);
    assert_eq!(made.status, 201, "{}", made.text());
}

fn delete(server: &Server, target: &str) -> Answer {
    server.send("DELETE", target, &[], b"")
}

fn names(server: &Server) -> Vec<String> {
    let list = server.get("/keyspaces").json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_keyspace_is_made_changed_and_dropped() {
    let server = Server::start();
    let made = set(&server, "demo", &json!({"ttl": "7d", "max_bytes": "64MiB"}));
    assert_eq!(made.status, 201, "{}", made.text());
    let whole = json!({
        "name": "demo",
        "policy": {
            "ttl": "7d",
            "max_bytes": 64 << 20,
            "eviction": "sieve",
            "durability": "synced",
            "client_max_age": null,
        },
        "keys": 0,
        "bytes": 0,
        "defined_by_file": false,
    });
    assert_eq!(made.json(), whole);
    assert_eq!(server.get("/keyspaces/demo").json(), whole);
    assert_eq!(server.put("/keyspaces/demo/keys/a", b"1").status, 201);
    // The whole policy is taken: what is absent is as by default, and the data stays.
    let changed = set(&server, "demo", &json!({"eviction": "none"}));
    assert_eq!(changed.status, 200);
    let policy = &changed.json()["policy"];
    assert_eq!(policy["eviction"], "none");
    assert!(policy["ttl"].is_null() && policy["max_bytes"].is_null());
    assert_eq!(changed.json()["keys"], 1);
    assert!(changed.json()["bytes"].as_u64().unwrap() > 0);
    assert_eq!(server.get("/keyspaces/demo/keys/a").text(), "1");
    assert_eq!(names(&server), ["default", "demo"]);
    assert_eq!(delete(&server, "/keyspaces/demo").status, 204);
    assert_eq!(names(&server), ["default"]);
    for answer in [
        delete(&server, "/keyspaces/demo"),
        server.get("/keyspaces/demo"),
        server.get("/keyspaces/demo/keys/a"),
        server.put("/keyspaces/demo/keys/a", b"1"),
    ] {
        answer.assert_problem(404, "keyspace_not_found");
    }
    // A keyspace of the same name begins empty.
    make(&server, "demo", &json!({}));
    server
        .get("/keyspaces/demo/keys/a")
        .assert_problem(404, "key_not_found");
}

#[test]
fn keyspaces_hold_values_of_their_own() {
    let server = Server::start();
    for name in ["one", "two"] {
        make(&server, name, &json!({}));
        server.put(&format!("/keyspaces/{name}/keys/a"), name.as_bytes());
    }
    server.put("/v1/a", b"default");
    for name in ["one", "two", "default"] {
        assert_eq!(
            server.get(&format!("/keyspaces/{name}/keys/a")).text(),
            name
        );
    }
    let flushed = server.send("POST", "/keyspaces/one/flush", &[], b"");
    assert_eq!(flushed.json()["flushed"], 1);
    assert_eq!(server.get("/keyspaces/one/keys/a").status, 404);
    assert_eq!(server.get("/keyspaces/two/keys/a").text(), "two");
    assert_eq!(server.get("/v1/a").text(), "default");
}

#[test]
fn keyspaces_and_their_policies_outlive_the_server() {
    let server = Server::start();
    make(
        &server,
        "kept",
        &json!({"ttl": "90m", "client_max_age": 30}),
    );
    make(&server, "gone", &json!({}));
    server.put("/keyspaces/kept/keys/a", b"1");
    assert_eq!(delete(&server, "/keyspaces/gone").status, 204);
    let before = server.get("/keyspaces").json();
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get("/keyspaces").json(), before);
    assert_eq!(names(&server), ["default", "kept"]);
    assert_eq!(server.get("/keyspaces/kept/keys/a").text(), "1");
}

#[test]
fn the_default_keyspace_can_be_changed_but_not_dropped() {
    let server = Server::start();
    assert_eq!(set(&server, "default", &json!({"ttl": "1h"})).status, 200);
    server.put("/v1/a", b"1");
    assert!(server.get("/v1/a").header("expires").is_some());
    for target in [
        "/keyspaces/default",
        "/keyspaces?name=default",
        "/keyspaces?name=x&name=default",
    ] {
        delete(&server, target).assert_problem(409, "keyspace_protected");
    }
    assert_eq!(server.get("/v1/a").status, 200);
}

#[test]
fn several_keyspaces_are_dropped_at_once_and_absent_ones_skipped() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        make(&server, name, &json!({}));
    }
    let dropped = delete(
        &server,
        "/keyspaces?name=c&name=absent&name=a&name=NO&name=c",
    );
    assert_eq!(
        (dropped.status, dropped.json()),
        (200, json!({"dropped": ["c", "a"]}))
    );
    assert_eq!(names(&server), ["b", "default"]);
    // Where one may not be dropped, none is.
    delete(&server, "/keyspaces?name=b&name=default").assert_problem(409, "keyspace_protected");
    assert_eq!(names(&server), ["b", "default"]);
    let none = delete(&server, "/keyspaces?name=absent");
    assert_eq!(none.json(), json!({"dropped": []}));
    for target in ["/keyspaces", "/keyspaces?", "/keyspaces?name=%FF"] {
        delete(&server, target).assert_problem(400, "invalid_parameter");
    }
    delete(&server, "/keyspaces?name=a&nam=b").assert_problem(400, "unknown_parameter");
}

#[test]
fn an_impossible_policy_is_refused_by_the_name_of_its_field() {
    let server = Server::start();
    for (policy, field) in [
        (json!({"ttl": "0"}), "ttl"),
        (json!({"ttl": "soon"}), "ttl"),
        (json!({"ttl": true}), "ttl"),
        (json!({"ttl": "40000d"}), "ttl"),
        (json!({"max_bytes": 0}), "max_bytes"),
        (json!({"max_bytes": -1}), "max_bytes"),
        (json!({"max_bytes": 1.5}), "max_bytes"),
        (json!({"max_bytes": "64 MiB"}), "max_bytes"),
        (json!({"eviction": "lru"}), "eviction"),
        (json!({"durability": "eventual"}), "durability"),
        (json!({"client_max_age": "10ms"}), "client_max_age"),
        (json!({"client_max_age": []}), "client_max_age"),
        (json!({"tll": "1h"}), "tll"),
        (json!([]), "object"),
    ] {
        let problem = set(&server, "demo", &policy).assert_problem(422, "invalid_policy");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(field), "{policy}: {detail}");
    }
    for field in ["source", "mirror", "sink"] {
        let problem = set(&server, "demo", &json!({field: {}})).assert_problem(422, "file_only");
        assert!(problem["detail"].as_str().unwrap().contains(field));
    }
    let send = |content_type, body: &[u8]| {
        server.send(
            "PUT",
            "/keyspaces/demo",
            &[("Content-Type", content_type)],
            body,
        )
    };
    send("application/json", b"{").assert_problem(400, "invalid_json");
    send("text/plain", b"{}").assert_problem(415, "unsupported_media_type");
    assert_eq!(names(&server), ["default"]);
}

#[test]
fn a_policy_is_read_in_every_way_that_it_can_be_written() {
    let server = Server::start();
    for (policy, ttl, max_bytes, client_max_age) in [
        (json!({}), Value::Null, Value::Null, Value::Null),
        (
            json!({"ttl": null, "max_bytes": null, "eviction": null, "durability": null, "client_max_age": null}),
            Value::Null,
            Value::Null,
            Value::Null,
        ),
        (
            json!({"ttl": "none", "max_bytes": "unlimited", "client_max_age": "none"}),
            Value::Null,
            Value::Null,
            Value::Null,
        ),
        (
            json!({"ttl": 60, "max_bytes": 1_048_576, "client_max_age": 1}),
            json!("1m"),
            json!(1 << 20),
            json!("1s"),
        ),
        (
            json!({"ttl": "500ms", "max_bytes": "1GiB", "client_max_age": "2h"}),
            json!("500ms"),
            json!(1 << 30),
            json!("2h"),
        ),
    ] {
        let answer = set(&server, "demo", &policy);
        assert!(
            [200, 201].contains(&answer.status),
            "{policy}: {}",
            answer.text()
        );
        let shown = &answer.json()["policy"];
        assert_eq!(shown["ttl"], ttl, "{policy}");
        assert_eq!(shown["max_bytes"], max_bytes, "{policy}");
        assert_eq!(shown["client_max_age"], client_max_age, "{policy}");
        // What is shown can be sent back.
        let again = set(&server, "demo", shown);
        assert_eq!((again.status, &again.json()["policy"]), (200, shown));
    }
    // curl's own type, and no body at all.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let curl = server.send("PUT", "/keyspaces/curl", &form, br#"{"ttl":"1h"}"#);
    assert_eq!(
        (curl.status, &curl.json()["policy"]["ttl"]),
        (201, &json!("1h"))
    );
    assert_eq!(server.put("/keyspaces/plain", b"").status, 201);
}

#[test]
fn a_name_is_one_to_64_plain_characters() {
    let server = Server::start();
    let longest = "n".repeat(64);
    for name in ["a", "0-_", &longest] {
        make(&server, name, &json!({}));
        assert_eq!(server.get(&format!("/keyspaces/{name}")).status, 200);
    }
    // The same name, percent-encoded.
    assert_eq!(set(&server, "%61", &json!({})).status, 200);
    for name in ["A", "a.b", "a%2Fb", "%C3%A9", "a%20b", "", &"n".repeat(65)] {
        let problem = set(&server, name, &json!({})).assert_problem(404, "keyspace_not_found");
        assert!(
            problem["detail"].as_str().unwrap().contains("a-z"),
            "{problem}"
        );
    }
    for target in ["/keyspaces/a/", "/keyspaces/a/b", "/Keyspaces", "/keyspace"] {
        server.get(target).assert_problem(404, "route_not_found");
    }
}

#[test]
fn what_the_file_defines_is_read_only_here() {
    let server = Server::with(|options| {
        let policy = Policy {
            ttl: Some(Duration::from_mins(1)),
            ..Policy::default()
        };
        options.keyspaces = vec![("filed".to_owned(), policy)];
    });
    let filed = server.get("/keyspaces/filed").json();
    assert_eq!(
        (&filed["defined_by_file"], &filed["policy"]["ttl"]),
        (&json!(true), &json!("1m"))
    );
    assert_eq!(server.put("/keyspaces/filed/keys/a", b"1").status, 201);
    set(&server, "filed", &json!({})).assert_problem(409, "defined_by_file");
    for target in [
        "/keyspaces/filed",
        "/keyspaces?name=filed",
        "/keyspaces?name=absent&name=filed",
    ] {
        delete(&server, target).assert_problem(409, "defined_by_file");
    }
    assert_eq!(server.get("/keyspaces/filed").json()["policy"]["ttl"], "1m");
    // Without its entry the keyspace keeps its policy and its data, and can be changed again.
    let server = Server::over(server.stop(), |_| {});
    let kept = server.get("/keyspaces/filed").json();
    assert_eq!(
        (&kept["defined_by_file"], &kept["policy"]["ttl"]),
        (&json!(false), &json!("1m"))
    );
    assert_eq!(server.get("/keyspaces/filed/keys/a").text(), "1");
    assert_eq!(set(&server, "filed", &json!({})).status, 200);
    // An entry for a keyspace that is there takes over its policy and keeps its data.
    let server = Server::over(server.stop(), |options| {
        let policy = Policy {
            max_bytes: Some(1 << 30),
            ..Policy::default()
        };
        options.keyspaces = vec![("filed".to_owned(), policy)];
    });
    let again = server.get("/keyspaces/filed").json();
    assert_eq!(
        (&again["defined_by_file"], &again["policy"]["max_bytes"]),
        (&json!(true), &json!(1 << 30))
    );
    assert_eq!(server.get("/keyspaces/filed/keys/a").text(), "1");
}

#[test]
fn one_keyspace_more_than_the_limit_is_refused() {
    let server = Server::with(|options| options.limits.keyspaces = 3);
    make(&server, "a", &json!({}));
    make(&server, "b", &json!({}));
    let problem = set(&server, "c", &json!({})).assert_problem(422, "invalid_operation");
    assert_eq!(
        (&problem["limit"], &problem["actual"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(problem["setting"], "limits.keyspaces");
    // Those that are there can be changed, and a dropped one makes room.
    assert_eq!(set(&server, "a", &json!({"ttl": 1})).status, 200);
    assert_eq!(delete(&server, "/keyspaces/a").status, 204);
    make(&server, "c", &json!({}));
}

#[test]
fn synced_and_written_are_exchanged_at_any_time_and_memory_only_while_empty() {
    let server = Server::start();
    make(&server, "demo", &json!({"durability": "synced"}));
    let key = "/keyspaces/demo/keys/a";
    server.put(key, b"1");
    for durability in ["written", "synced"] {
        let changed = set(&server, "demo", &json!({"durability": durability}));
        assert_eq!(
            (changed.status, &changed.json()["policy"]["durability"]),
            (200, &json!(durability))
        );
        assert_eq!(server.get(key).text(), "1");
    }
    set(&server, "demo", &json!({"durability": "memory"})).assert_problem(409, "durability_fixed");
    assert_eq!(server.get(key).text(), "1");
    assert_eq!(delete(&server, key).status, 204);
    for durability in ["memory", "synced", "memory"] {
        assert_eq!(
            set(&server, "demo", &json!({"durability": durability})).status,
            200
        );
        assert_eq!(server.put(key, b"2").status, 201);
        assert_eq!(server.get(key).text(), "2");
        assert_eq!(delete(&server, key).status, 204);
    }
    server.put(key, b"3");
    set(&server, "demo", &json!({"durability": "written"})).assert_problem(409, "durability_fixed");
}

#[test]
fn the_default_keyspace_can_become_memory_and_cease_to_be() {
    let server = Server::start();
    for durability in ["memory", "synced", "memory"] {
        assert_eq!(
            set(&server, "default", &json!({"durability": durability})).status,
            200
        );
        for target in ["/v1/a", "/keyspaces/default/keys/a"] {
            assert_eq!(server.put(target, durability.as_bytes()).status, 201);
            assert_eq!(server.get("/v1/a").text(), durability);
            assert_eq!(server.get("/keyspaces/default/keys/a").text(), durability);
            assert_eq!(delete(&server, target).status, 204);
        }
        assert_eq!(server.get("/v1/a").status, 404);
    }
}

#[test]
fn a_keyspace_in_memory_is_empty_after_a_restart() {
    let server = Server::start();
    make(&server, "cache", &json!({"durability": "memory"}));
    make(&server, "kept", &json!({}));
    for name in ["cache", "kept"] {
        assert_eq!(
            server
                .put(&format!("/keyspaces/{name}/keys/a"), b"1")
                .status,
            201
        );
    }
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get("/keyspaces/cache").json()["keys"], 0);
    assert_eq!(server.get("/keyspaces/cache/keys/a").status, 404);
    assert_eq!(server.get("/keyspaces/kept/keys/a").text(), "1");
}

#[test]
fn a_request_may_ask_for_what_the_keyspace_offers() {
    let server = Server::start();
    for durability in ["synced", "written", "memory"] {
        make(&server, durability, &json!({"durability": durability}));
    }
    let put = |name: &str, durability: &str| {
        server.put(
            &format!("/keyspaces/{name}/keys/{durability}?durability={durability}"),
            b"1",
        )
    };
    // Only a request for less than the promise is told so.
    for (name, asked, status) in [
        ("synced", "synced", 201),
        ("synced", "written", 202),
        ("written", "written", 201),
        ("written", "synced", 201),
        ("memory", "memory", 201),
    ] {
        assert_eq!(put(name, asked).status, status, "{asked} in {name}");
        let key = format!("/keyspaces/{name}/keys/{asked}");
        assert_eq!(server.get(&key).text(), "1");
        let removed = delete(&server, &format!("{key}?durability={asked}"));
        assert_eq!(removed.status, if status == 202 { 202 } else { 204 });
    }
    for (name, asked) in [
        ("synced", "memory"),
        ("written", "memory"),
        ("memory", "written"),
        ("memory", "synced"),
    ] {
        put(name, asked).assert_problem(400, "durability_unavailable");
    }
    // An answer with a body stays 200.
    for target in [
        "/keyspaces/synced/flush?durability=written",
        "/keyspaces/memory/flush?durability=memory",
    ] {
        assert_eq!(server.send("POST", target, &[], b"").status, 200);
    }
    let target = "/keyspaces/synced/keys?prefix=a&durability=written";
    assert_eq!(delete(&server, target).status, 200);
}

#[test]
fn a_put_takes_the_ttl_of_its_keyspace_and_none_keeps_for_ever() {
    let server = Server::start();
    make(&server, "short", &json!({"ttl": "1h"}));
    let left = |key: &str| {
        server
            .get(&format!("/keyspaces/short/entries/{key}"))
            .json()["ttl_ms"]
            .clone()
    };
    let put = |target: &str| {
        server
            .put(&format!("/keyspaces/short/keys/{target}"), b"1")
            .status
    };
    assert_eq!(put("a"), 201);
    assert!((3_590_000..=3_600_000).contains(&left("a").as_u64().unwrap()));
    assert_eq!(put("a?ttl=none"), 204);
    assert!(left("a").is_null());
    assert_eq!(put("a?ttl=1d"), 204);
    assert!(left("a").as_u64().unwrap() > 86_000_000);
    // A PUT without ttl never keeps an old expiry.
    assert_eq!(put("a"), 204);
    assert!(left("a").as_u64().unwrap() <= 3_600_000);
    // A changed policy is for what is written from then on.
    set(&server, "short", &json!({}));
    assert!(left("a").as_u64().unwrap() <= 3_600_000);
    assert_eq!(put("a"), 204);
    assert!(left("a").is_null());
}

#[test]
fn an_expired_entry_is_absent_everywhere() {
    let server = Server::start();
    make(&server, "short", &json!({"ttl": "60ms"}));
    let key = "/keyspaces/short/keys/a";
    assert_eq!(server.put(key, b"1").status, 201);
    server.wait_until(|server| server.get(key).status == 404);
    assert_eq!(server.get("/keyspaces/short").json()["keys"], 0);
    assert_eq!(
        server.get("/keyspaces/short/keys").json()["items"],
        json!([])
    );
    assert_eq!(server.get("/keyspaces/short/entries/a").status, 404);
    let counted = delete(&server, "/keyspaces/short/keys?prefix=a&dry_run=true");
    assert_eq!(counted.json()["deleted"], 0);
    assert_eq!(server.put(&format!("{key}?ttl=none"), b"1").status, 201);
    assert_eq!(
        server
            .send("POST", "/keyspaces/short/flush", &[], b"")
            .json()["flushed"],
        1
    );
}

#[test]
fn a_client_may_keep_a_value_as_long_as_the_policy_says_and_the_value_stays() {
    let server = Server::start();
    make(&server, "shown", &json!({"client_max_age": "1h"}));
    let key = "/keyspaces/shown/keys/a";
    let kept = |headers: &[(&str, &str)]| {
        let answer = server.send("GET", key, headers, b"");
        answer.header("cache-control").unwrap().to_owned()
    };
    let etag = server.put(key, b"1").etag().to_owned();
    assert_eq!(kept(&[]), "max-age=3600");
    assert_eq!(kept(&[("If-None-Match", &etag)]), "max-age=3600");
    assert_eq!(kept(&[("Range", "bytes=0-0")]), "max-age=3600");
    server.put(&format!("{key}?ttl=100s"), b"1");
    let max_age: u64 = kept(&[]).strip_prefix("max-age=").unwrap().parse().unwrap();
    assert!((90..=100).contains(&max_age), "{max_age}");
    server.put(&format!("{key}?ttl=2h"), b"1");
    assert_eq!(kept(&[]), "max-age=3600");
    set(&server, "shown", &json!({}));
    assert_eq!(kept(&[]), "no-cache");
}

#[test]
fn other_methods_are_told_which_are_allowed_for_keyspaces() {
    let server = Server::start();
    for (target, allow) in [
        ("/keyspaces", "GET, HEAD, DELETE"),
        ("/keyspaces/default", "GET, HEAD, PUT, DELETE"),
        ("/keyspaces/default/keys", "GET, HEAD, DELETE"),
    ] {
        let answer = server.send("POST", target, &[], b"");
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow));
        assert_eq!(server.send("HEAD", target, &[], b"").status, 200);
    }
}
