//! Keyspaces that the configuration file defines: at a start, and as the file changes under a running server.
#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what it should have fails the test"
)]

use serde_json::Value;

use crate::harness::{Place, Server, wait_until};

const OFTEN: &str = "server: { reload_interval: 10ms }\n";

fn place(text: &str) -> Place {
    Place::new().with_file("config.yml", &format!("{OFTEN}{text}"))
}

fn write(place: &Place, text: &str) {
    place.replace_file("config.yml", &format!("{OFTEN}{text}"));
}

/// The policy that `/keyspaces/{name}` shows.
fn policy(server: &Server, name: &str) -> Option<Value> {
    let answer = server.ask("GET", &format!("/keyspaces/{name}"));
    match answer.status {
        200 => {
            let described: Value = serde_json::from_slice(&answer.body).unwrap();
            Some(described["policy"].clone())
        }
        404 => None,
        status => panic!("{status}"),
    }
}

fn put(server: &Server, keyspace: &str, key: &str) -> u16 {
    let path = format!("/keyspaces/{keyspace}/keys/{key}");
    server.try_request("PUT", &path, "", b"1").unwrap().status
}

fn get(server: &Server, keyspace: &str, key: &str) -> u16 {
    server
        .ask("GET", &format!("/keyspaces/{keyspace}/keys/{key}"))
        .status
}

/// Sets a policy over HTTP.
fn set(server: &Server, keyspace: &str, policy: &str) -> u16 {
    let json = "Content-Type: application/json\r\n";
    let path = format!("/keyspaces/{keyspace}");
    let answer = server.try_request("PUT", &path, json, policy.as_bytes());
    answer.unwrap().status
}

#[test]
fn what_the_file_defines_is_there_at_the_start() {
    let place = place(
        "keyspaces:\n  users: { ttl: 1h, max_bytes: 64MiB, eviction: none, client_max_age: 5s }\n  default: { durability: written }\n",
    );
    let server = place.serve(&[]).ready();
    let users = policy(&server, "users").unwrap();
    assert_eq!(
        (&users["ttl"], &users["max_bytes"], &users["eviction"]),
        (&"1h".into(), &(64 << 20).into(), &"none".into()),
        "{users}"
    );
    assert_eq!(policy(&server, "default").unwrap()["durability"], "written");
    assert_eq!(put(&server, "users", "a"), 201);
    let answer = server.ask("GET", "/keyspaces/users/keys/a");
    assert!(answer.header("expires").is_some(), "{answer:?}");
    // The file's are the file's.
    assert_eq!(set(&server, "users", "{}"), 409);
    assert_eq!(server.ask("DELETE", "/keyspaces/users").status, 409);
    assert_eq!(set(&server, "default", "{}"), 409);
}

#[test]
fn a_policy_changes_while_the_server_runs_and_the_data_stays() {
    let place = place("keyspaces: { users: { ttl: 1h } }\n");
    let server = place.serve(&[]).ready();
    assert_eq!(put(&server, "users", "a"), 201);
    write(&place, "keyspaces: { users: { durability: written } }\n");
    wait_until("another durability", || {
        policy(&server, "users").unwrap()["durability"] == "written"
    });
    assert_eq!(policy(&server, "users").unwrap()["ttl"], Value::Null);
    assert_eq!(put(&server, "users", "b"), 201);
    let expires = |key: &str| {
        let answer = server.ask("GET", &format!("/keyspaces/users/keys/{key}"));
        assert_eq!(answer.status, 200);
        answer.header("expires").is_some()
    };
    assert!(expires("a") && !expires("b"));
}

#[test]
fn an_entry_that_is_added_makes_a_keyspace_and_one_that_is_taken_out_deletes_nothing() {
    let place = place("");
    let server = place.serve(&[]).ready();
    assert_eq!(get(&server, "users", "a"), 404);
    write(&place, "keyspaces: { users: { ttl: 1h } }\n");
    wait_until("a keyspace", || policy(&server, "users").is_some());
    assert_eq!(put(&server, "users", "a"), 201);
    assert_eq!(set(&server, "users", "{}"), 409);
    write(&place, "");
    wait_until("a keyspace of nobody's", || {
        set(&server, "users", "{}") == 200
    });
    assert_eq!(get(&server, "users", "a"), 200);
    assert_eq!(policy(&server, "users").unwrap()["ttl"], Value::Null);
    assert_eq!(server.ask("DELETE", "/keyspaces/users").status, 204);
}

#[test]
fn an_entry_takes_over_a_keyspace_that_is_there() {
    let place = place("");
    let server = place.serve(&[]).ready();
    assert_eq!(set(&server, "users", "{\"ttl\":\"2h\"}"), 201);
    assert_eq!(put(&server, "users", "a"), 201);
    write(&place, "keyspaces: { users: { max_bytes: 1MiB } }\n");
    wait_until("the file's policy", || {
        policy(&server, "users").unwrap()["max_bytes"] == 1 << 20
    });
    assert_eq!(policy(&server, "users").unwrap()["ttl"], Value::Null);
    assert_eq!(get(&server, "users", "a"), 200);
    assert_eq!(set(&server, "users", "{}"), 409);
}

#[test]
fn a_keyspace_with_values_does_not_change_to_or_from_memory() {
    let place = place("keyspaces: { users: {}, empty: {} }\nlimits: { key_bytes: 100 }\n");
    let mut server = place.serve(&[]).ready();
    assert_eq!(put(&server, "users", "a"), 201);
    write(
        &place,
        "keyspaces: { users: { durability: memory }, empty: { ttl: 1h } }\nlimits: { key_bytes: 200 }\n",
    );
    let line = server.wait_for_line("the configuration was not reloaded");
    assert!(
        line.contains("keyspaces.users.durability: it is synced and holds values"),
        "{line}"
    );
    // All of it or nothing.
    assert_eq!(policy(&server, "empty").unwrap()["ttl"], Value::Null);
    let limits = String::from_utf8(server.ask("GET", "/limits").body).unwrap();
    assert!(
        limits.contains("\"limits.key_bytes\",\"value\":100"),
        "{limits}"
    );
    assert_eq!(get(&server, "users", "a"), 200);

    // Once it is empty it may: the file is tried again, though nobody has touched it.
    assert_eq!(server.ask("POST", "/keyspaces/users/flush").status, 200);
    wait_until("a keyspace in memory", || {
        policy(&server, "users").unwrap()["durability"] == "memory"
    });
    assert_eq!(policy(&server, "empty").unwrap()["ttl"], "1h");

    // At a start it is the end.
    assert_eq!(put(&server, "empty", "a"), 201);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    write(&place, "keyspaces: { empty: { durability: memory } }\n");
    let ended = place.run(&["-e", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let words =
        "keyspaces.empty.durability: it is synced and holds values, so it cannot become memory";
    assert!(ended.stderr.contains(words), "{ended:?}");
    // And the data is as it was.
    write(&place, "");
    let server = place.serve(&[]).ready();
    assert_eq!(get(&server, "empty", "a"), 200);
}

#[test]
fn there_are_no_more_keyspaces_than_the_limit_says() {
    let place = place("limits: { keyspaces: 3 }\n");
    let mut server = place.serve(&[]).ready();
    assert_eq!(set(&server, "by-hand", "{}"), 201);
    write(
        &place,
        "limits: { keyspaces: 3 }\nkeyspaces: { a: {}, b: {} }\n",
    );
    let line = server.wait_for_line("the configuration was not reloaded");
    assert!(
        line.contains("keyspaces.b: with it there would be 4 keyspaces, and limits.keyspaces is 3"),
        "{line}"
    );
    assert_eq!(policy(&server, "a"), None);
    write(
        &place,
        "limits: { keyspaces: 4 }\nkeyspaces: { a: {}, b: {} }\n",
    );
    wait_until("both", || policy(&server, "b").is_some());
    assert!(policy(&server, "a").is_some());
    // The limit has changed for requests as well.
    assert_eq!(set(&server, "one-more", "{}"), 422);
    write(
        &place,
        "limits: { keyspaces: 5 }\nkeyspaces: { a: {}, b: {} }\n",
    );
    wait_until("room for one more", || {
        set(&server, "one-more", "{}") == 201
    });
}
