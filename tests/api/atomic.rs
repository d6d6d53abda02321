//! Atomic batches: all or nothing, for one client and for many at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::batch::send;
use crate::harness::{Client, Server};

fn atomic(operations: &Value) -> Value {
    json!({"atomic": true, "operations": operations})
}

#[test]
fn all_is_done_as_one_change() {
    let server = Server::start();
    server.put("/v1/old", b"x");
    let answer = send(
        &server,
        &atomic(&json!([
            {"op": "put", "key": "a", "value": "1"},
            {"op": "get", "key": "old"},
            {"op": "delete", "key": "gone"},
            {"op": "increment", "key": "n", "by": 2},
            {"op": "get", "key": "none"},
        ])),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].clone();
    let (a, n, old) = (
        server.get("/v1/a"),
        server.get("/v1/n"),
        server.get("/v1/old"),
    );
    let expected = json!([
        {"key": "a", "status": 201, "etag": a.etag()},
        {"key": "old", "status": 200, "etag": old.etag(), "content_type": "text/plain; charset=utf-8", "value": "x"},
        {"key": "gone", "status": 204},
        {"key": "n", "status": 200, "etag": n.etag(), "value": 2, "previous": 0},
        {"key": "none", "status": 404, "code": "key_not_found", "detail": items[4]["detail"]},
    ]);
    assert_eq!(items, expected);
    let server = Server::over(server.stop(), |_| {});
    let after = (server.get("/v1/a"), server.get("/v1/n"));
    assert_eq!((after.0.etag(), after.1.etag()), (a.etag(), n.etag()));
    assert_eq!((after.0.text(), after.1.text()), ("1", "2"));
}

#[test]
fn one_that_cannot_be_done_undoes_all_and_is_named() {
    let server = Server::start();
    let etag = server.put("/v1/a", b"1").etag().to_owned();
    server.put("/v1/text", b"no number");
    for (bad, cause) in [
        (
            json!({"op": "put", "key": "a", "value": "2", "if_none_match": "*"}),
            "condition_failed",
        ),
        (
            json!({"op": "put", "key": "b", "value": "2", "if_match": "*"}),
            "condition_failed",
        ),
        (
            json!({"op": "delete", "key": "a", "if_match": "\"x\""}),
            "condition_failed",
        ),
        (
            json!({"op": "delete", "key": "b", "if_match": "*"}),
            "condition_failed",
        ),
        (json!({"op": "increment", "key": "text"}), "not_a_counter"),
        (
            json!({"op": "increment", "key": "a", "by": -2, "min": 0}),
            "counter_out_of_range",
        ),
        (
            json!({"op": "increment", "key": "a", "by": i64::MAX}),
            "counter_out_of_range",
        ),
        (
            json!({"op": "put", "key": "k".repeat(1025), "value": ""}),
            "key_too_long",
        ),
    ] {
        let body = atomic(&json!([
            {"op": "put", "key": "new", "value": "x"},
            {"op": "increment", "key": "n"},
            bad,
            {"op": "delete", "key": "other"},
        ]));
        let problem = send(&server, &body).assert_problem(409, "batch_failed");
        assert_eq!(
            (&problem["operation"], &problem["cause"]),
            (&2.into(), &cause.into())
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("operations[2] of the key "), "{detail}");
        for key in ["new", "n", "b"] {
            assert_eq!(server.get(&format!("/v1/{key}")).status, 404, "{bad}");
        }
        assert_eq!(server.get("/v1/a").etag(), etag);
    }
}

#[test]
fn a_value_beyond_its_limit_is_named_with_the_limit() {
    let server = Server::with(|options| options.limits.value_bytes = 10);
    let body = atomic(&json!([
        {"op": "put", "key": "a", "value": "x"},
        {"op": "put", "key": "b", "value": "x".repeat(11)},
    ]));
    let problem = send(&server, &body).assert_problem(409, "batch_failed");
    assert_eq!(
        (&problem["operation"], &problem["cause"]),
        (&1.into(), &"value_too_large".into())
    );
    assert_eq!(
        (&problem["limit"], &problem["setting"]),
        (&10.into(), &"limits.value_bytes".into())
    );
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn a_key_that_is_named_twice_is_422() {
    let server = Server::start();
    for (first, second) in [
        (
            json!({"op": "put", "key": "a", "value": "1"}),
            json!({"op": "put", "key": "a", "value": "2"}),
        ),
        (
            json!({"op": "get", "key": "a"}),
            json!({"op": "put", "key": "a", "value": "2"}),
        ),
        (
            json!({"op": "increment", "key": "a"}),
            json!({"op": "increment", "key": "\u{61}"}),
        ),
    ] {
        let other = json!({"op": "put", "key": "b", "value": "1"});
        let problem = send(&server, &atomic(&json!([first, other, second])))
            .assert_problem(422, "invalid_operation");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("operations[2].key is the key of operations[0] too"),
            "{detail}"
        );
        assert_eq!(server.get("/v1/b").status, 404);
    }
}

#[test]
fn the_largest_batch_is_one_change() {
    let server = Server::start();
    let half = "x".repeat(15 << 20);
    let body = atomic(&json!([
        {"op": "put", "key": "a", "value": half},
        {"op": "put", "key": "b", "value": half},
    ]));
    assert_eq!(send(&server, &body).status, 200);
    let many: Vec<_> = (0..1000)
        .map(|n| json!({"op": "increment", "key": format!("n{n}")}))
        .collect();
    assert_eq!(send(&server, &atomic(&many.into())).status, 200);
    let server = Server::over(server.stop(), |_| {});
    assert!(server.get("/v1/b").text() == half);
    assert_eq!(server.get("/v1/n999").text(), "1");
}

const ACCOUNTS: [&str; 3] = ["x", "y", "z"];
const TOTAL: i64 = 300;

/// What all accounts hold, as one atomic look sees it.
fn sum(client: &mut Client) -> (i64, Vec<Value>) {
    let gets: Vec<_> = ACCOUNTS
        .iter()
        .map(|key| json!({"op": "get", "key": key}))
        .collect();
    let body = atomic(&gets.into()).to_string();
    let answer = client.send("POST", "/keyspaces/default/batch", &[], body.as_bytes());
    let items = answer.json()["items"].as_array().unwrap().clone();
    let numbers = items
        .iter()
        .map(|item| item["value"].as_str().unwrap().parse::<i64>().unwrap());
    (numbers.sum(), items)
}

#[test]
fn transfers_by_many_clients_keep_the_sum() {
    let server = Server::start();
    for key in ACCOUNTS {
        server.put(&format!("/v1/{key}"), b"100");
    }
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for worker in 0..6_usize {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..40_usize {
                    let from = ACCOUNTS[(worker + round) % 3];
                    let to = ACCOUNTS[(worker + round + 1 + round / 3 % 2) % 3];
                    let body = if worker % 2 == 0 {
                        by_increments(from, to)
                    } else {
                        by_conditions(&mut client, from, to)
                    };
                    let body = atomic(&body).to_string();
                    let answer =
                        client.send("POST", "/keyspaces/default/batch", &[], body.as_bytes());
                    match answer.status {
                        200 => done.fetch_add(1, Ordering::Relaxed),
                        _ => u64::from(answer.assert_problem(409, "batch_failed")["status"] == 0),
                    };
                }
            });
        }
        let server = &server;
        scope.spawn(move || {
            let mut client = server.connect();
            for _ in 0..60 {
                let (sum, items) = sum(&mut client);
                assert_eq!(sum, TOTAL, "{items:?}");
            }
        });
    });
    assert!(done.into_inner() > 50, "hardly any transfer was made");
    assert_eq!(sum(&mut server.connect()).0, TOTAL);
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(sum(&mut server.connect()).0, TOTAL);
}

/// A transfer that fails where the account would be overdrawn.
fn by_increments(from: &str, to: &str) -> Value {
    json!([
        {"op": "increment", "key": from, "by": -7, "min": 0},
        {"op": "increment", "key": to, "by": 7},
    ])
}

/// A transfer of what was read, which fails where it has changed meanwhile.
fn by_conditions(client: &mut Client, from: &str, to: &str) -> Value {
    let (_, items) = sum(client);
    let of = |key: &str| {
        let item = items.iter().find(|item| item["key"] == key).unwrap();
        let number: i64 = item["value"].as_str().unwrap().parse().unwrap();
        (number, item["etag"].clone())
    };
    let ((from_has, from_etag), (to_has, to_etag)) = (of(from), of(to));
    json!([
        {"op": "put", "key": from, "value": (from_has - 3).to_string(), "if_match": from_etag},
        {"op": "put", "key": to, "value": (to_has + 3).to_string(), "if_match": to_etag},
    ])
}
