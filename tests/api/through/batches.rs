//! Batches in a keyspace that reads through: their gets fetch, several at one time, and stay in order.

use serde_json::{Value, json};

use super::*;
use crate::harness::Client;
use crate::origin::Reply;

fn batch(server: &Server, operations: &Value) -> Value {
    let mut client = server.connect();
    send(&mut client, operations);
    read(&mut client)
}

fn send(client: &mut Client, operations: &Value) {
    let body = json!({"operations": operations}).to_string();
    let target = "/keyspaces/users/batch";
    client.write_request("POST", target, &[], body.as_bytes());
}

fn read(client: &mut Client) -> Value {
    let answer = client.read_answer("POST");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].clone()
}

fn gets(keys: &[&str]) -> Value {
    let get = |key: &&str| json!({"op": "get", "key": key});
    keys.iter().map(get).collect()
}

#[test]
fn missing_keys_are_fetched_at_one_time_as_far_as_that_is_allowed() {
    let origin = Origin::saying(|path| match path {
        "/users/absent" => Reply::status(404),
        "/users/broken" => Reply::status(500),
        _ => Reply::ok(format!("value of {path}")),
    });
    let server = server(&origin, |setup| setup.source.max_concurrency = 3);
    assert_eq!(server.put(&at("stored"), b"stored").status, 201);
    origin.hold();
    let mut client = server.connect();
    let keys = ["a", "stored", "absent", "b", "broken", "c", "d", "a", ".."];
    send(&mut client, &gets(&keys));
    origin.wait_for(3);
    let waiters = "standpipe_read_through_waiters{keyspace=\"users\"}";
    server.wait_for(waiters, 3);
    assert_eq!(
        (origin.count(), figure(&server, "fetches_in_flight")),
        (3, 3)
    );
    origin.release();
    let items = read(&mut client);
    let told: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let text = |name: &str| item[name].as_str().unwrap_or("-").to_owned();
            let value = text("value");
            (item["status"].as_u64().unwrap(), value, text("code"))
        })
        .collect();
    let value = |key: &str| (200, format!("value of /users/{key}"), "-".to_owned());
    let failed = |status, code: &str| (status, "-".to_owned(), code.to_owned());
    assert_eq!(
        told,
        [
            value("a"),
            (200, "stored".to_owned(), "-".to_owned()),
            failed(404, "key_not_found"),
            value("b"),
            failed(502, "source_failed"),
            value("c"),
            value("d"),
            value("a"),
            failed(404, "key_not_found"),
        ]
    );
    assert_eq!(origin.count(), 6);
    assert_eq!(stored(&server, "d").unwrap(), "value of /users/d");
}

#[test]
fn a_batch_larger_than_what_may_be_fetched_at_one_time_is_fetched_whole() {
    let origin = Origin::start();
    let server = server(&origin, |setup| setup.source.max_concurrency = 2);
    let keys: Vec<_> = (0..200).map(|n| format!("k{n}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let items = batch(&server, &gets(&keys));
    for (item, key) in items.as_array().unwrap().iter().zip(keys) {
        assert_eq!(item["value"], format!("value of /users/{key}"));
    }
    assert_eq!(origin.count(), 200);
}

#[test]
fn operations_on_one_key_happen_in_their_order() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    let items = batch(
        &server,
        &json!([
            {"op": "get", "key": "a"},
            {"op": "put", "key": "a", "value": "mine"},
            {"op": "get", "key": "a"},
            {"op": "delete", "key": "a"},
            {"op": "get", "key": "a"},
            {"op": "increment", "key": "n"},
            {"op": "get", "key": "n"},
        ]),
    );
    let of = |place: usize| {
        (
            items[place]["status"].as_u64().unwrap(),
            items[place]["value"].clone(),
        )
    };
    let fetched = json!("value of /users/a");
    assert_eq!(of(0), (200, fetched.clone()));
    // The fetch before has stored it.
    assert_eq!(of(1).0, 204);
    assert_eq!(of(2), (200, json!("mine")));
    assert_eq!(of(3).0, 204);
    assert_eq!(of(4), (200, fetched));
    assert_eq!(of(5), (200, json!(1)));
    assert_eq!(of(6), (200, json!("1")));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_value_that_is_stale_is_answered_in_a_batch_too() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_millis(1));
        setup.source.stale_if_error = Some(Duration::from_hours(1));
    });
    let first = get(&server, "a");
    origin.say(|_| Reply::status(500));
    until(&server, "a", |answer| {
        answer.header("cache-status") != Some("standpipe; hit")
    });
    let items = batch(&server, &gets(&["a"]));
    assert_eq!(
        (&items[0]["status"], &items[0]["etag"]),
        (&json!(200), &json!(first.etag()))
    );
}

#[test]
fn what_has_no_room_in_the_answer_is_not_fetched() {
    let origin = Origin::saying(|_| Reply::ok(vec![b'x'; 1_000]));
    let source = source(&origin);
    let server = Server::with(|options| {
        options.limits.batch_answer_bytes = 2_500;
        options
            .keyspaces
            .push(("users".to_owned(), Policy::default()));
        options.through.insert(
            "users".to_owned(),
            ThroughOptions {
                max_concurrency: 1,
                ..source
            },
        );
    });
    let items = batch(&server, &gets(&["a", "b", "c", "d", "e", "f"]));
    let statuses: Vec<_> = (0..6)
        .map(|n| items[n]["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 200, 413, 413, 413, 413]);
    for place in 2..6 {
        assert_eq!(items[place]["code"], "answer_too_large");
        assert_eq!(items[place]["setting"], "limits.batch_answer_bytes");
    }
    assert_eq!(origin.count(), 3);
}
