//! `POST /keyspaces/{ks}/batch`, operation by operation: what each item answers, and what is refused as a whole.

use serde_json::{Value, json};

use crate::harness::{Answer, Server};

const BATCH: &str = "/keyspaces/default/batch";

pub(crate) fn send(server: &Server, body: &Value) -> Answer {
    server.send("POST", BATCH, &[], body.to_string().as_bytes())
}

/// The items of the answer to operations that are each done for themselves.
fn items(server: &Server, operations: &Value) -> Vec<Value> {
    let answer = send(server, &json!({"operations": operations}));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()["items"].as_array().unwrap().clone()
}

/// The statuses of the items.
fn statuses(items: &[Value]) -> Vec<u64> {
    items
        .iter()
        .map(|item| item["status"].as_u64().unwrap())
        .collect()
}

#[test]
fn every_operation_answers_in_its_place() {
    let server = Server::start();
    server.put("/v1/old", b"x");
    let items = items(
        &server,
        &json!([
            {"op": "put", "key": "a", "value": "gr\u{fc}n"},
            {"op": "put", "key": "b", "value_base64": "/wA="},
            {"op": "get", "key": "a"},
            {"op": "get", "key": "b"},
            {"op": "get", "key": "none"},
            {"op": "delete", "key": "old"},
            {"op": "delete", "key": "none"},
            {"op": "increment", "key": "n"},
            {"op": "increment", "key": "n", "by": -3},
        ]),
    );
    let (a, b) = (server.get("/v1/a"), server.get("/v1/b"));
    let n = server.get("/v1/n");
    assert_eq!(
        items[0],
        json!({"key": "a", "status": 201, "etag": a.etag()})
    );
    assert_eq!(
        items[1],
        json!({"key": "b", "status": 201, "etag": b.etag()})
    );
    let read = json!({"key": "a", "status": 200, "etag": a.etag(),
        "content_type": "text/plain; charset=utf-8", "value": "gr\u{fc}n"});
    assert_eq!(items[2], read);
    let read = json!({"key": "b", "status": 200, "etag": b.etag(),
        "content_type": "application/octet-stream", "value_base64": "/wA="});
    assert_eq!(items[3], read);
    assert_eq!(
        (&items[4]["status"], &items[4]["code"]),
        (&404.into(), &"key_not_found".into())
    );
    assert!(!items[4]["detail"].as_str().unwrap().is_empty());
    assert_eq!(items[5], json!({"key": "old", "status": 204}));
    assert_eq!(items[6], json!({"key": "none", "status": 204}));
    assert_eq!(
        (&items[7]["value"], &items[7]["previous"]),
        (&1.into(), &0.into())
    );
    let counted = json!({"key": "n", "status": 200, "etag": n.etag(), "value": -2, "previous": 1});
    assert_eq!(items[8], counted);
    assert_eq!((a.text(), n.text()), ("gr\u{fc}n", "-2"));
    assert_eq!(b.body, b"\xff\0");
    assert_eq!(server.get("/v1/old").status, 404);
}

#[test]
fn the_same_key_is_done_in_order() {
    let server = Server::start();
    let items = items(
        &server,
        &json!([
            {"op": "put", "key": "a", "value": "1"},
            {"op": "get", "key": "a"},
            {"op": "put", "key": "a", "value": "2", "if_none_match": "*"},
            {"op": "increment", "key": "a", "by": 41},
            {"op": "get", "key": "a"},
            {"op": "delete", "key": "a"},
            {"op": "get", "key": "a"},
            {"op": "put", "key": "a", "value": "3", "if_none_match": "*"},
        ]),
    );
    assert_eq!(statuses(&items), [201, 200, 412, 200, 200, 204, 404, 201]);
    assert_eq!(
        (&items[1]["value"], &items[4]["value"]),
        (&"1".into(), &"42".into())
    );
    // The failed condition tells the version that is there.
    assert_eq!(items[2]["etag"], items[0]["etag"]);
    assert_eq!(items[2]["code"], "condition_failed");
    assert_eq!(server.get("/v1/a").text(), "3");
}

#[test]
fn a_put_takes_type_ttl_and_conditions() {
    let server = Server::start();
    let etag = server.put("/v1/a", b"1").etag().to_owned();
    let items = items(
        &server,
        &json!([
            {"op": "put", "key": "a", "value": "{}", "content_type": "application/json", "ttl": "1h", "if_match": etag},
            {"op": "put", "key": "a", "value": "x", "if_match": etag},
            {"op": "put", "key": "b", "value": "x", "if_match": "*"},
            {"op": "put", "key": "c", "value": "x", "ttl": 60},
            {"op": "put", "key": "d", "value": "", "ttl": "none", "if_none_match": "\"x\", W/\"y\""},
            {"op": "delete", "key": "c", "if_match": etag},
            {"op": "delete", "key": "e", "if_match": "*"},
            {"op": "increment", "key": "f", "by": 5, "initial": 10, "min": 0, "max": 15, "ttl": "1h"},
            {"op": "increment", "key": "f", "by": 1, "max": 15},
            {"op": "increment", "key": "a"},
        ]),
    );
    assert_eq!(
        statuses(&items),
        [204, 412, 412, 201, 201, 412, 412, 200, 409, 409]
    );
    assert_eq!(items[8]["code"], "counter_out_of_range");
    assert_eq!(items[9]["code"], "not_a_counter");
    let a = server.get("/v1/a");
    assert_eq!(
        (a.text(), a.header("content-type")),
        ("{}", Some("application/json"))
    );
    for key in ["a", "c", "f"] {
        let value = server.get(&format!("/v1/{key}"));
        assert!(value.header("expires").is_some(), "{key}");
    }
    let d = server.get("/v1/d");
    assert_eq!((d.status, d.text(), d.header("expires")), (200, "", None));
}

#[test]
fn keys_that_no_address_can_hold_work_here() {
    let server = Server::start();
    let keys = [
        ".",
        "..",
        "../..",
        "/",
        " ",
        "a?b#c",
        "\u{0}",
        "%2F",
        "\u{1F600}",
    ];
    for key in keys {
        let items = items(
            &server,
            &json!([
                {"op": "put", "key": key, "value": key},
                {"op": "get", "key": key},
                {"op": "delete", "key": key},
            ]),
        );
        assert_eq!(statuses(&items), [201, 200, 204], "{key:?}");
        assert_eq!(
            (&items[1]["key"], &items[1]["value"]),
            (&key.into(), &key.into())
        );
    }
}

#[test]
fn what_exceeds_a_limit_fails_in_its_item_alone() {
    let server = Server::with(|options| {
        options.limits.value_bytes = 100;
        options.limits.key_bytes = 10;
    });
    let items = items(
        &server,
        &json!([
            {"op": "put", "key": "a", "value": "x".repeat(100)},
            {"op": "put", "key": "b", "value": "x".repeat(101)},
            {"op": "put", "key": "k".repeat(10), "value": "x"},
            {"op": "put", "key": "k".repeat(11), "value": "x"},
            {"op": "get", "key": "k".repeat(11)},
            {"op": "get", "key": "a"},
        ]),
    );
    assert_eq!(statuses(&items), [201, 413, 201, 400, 400, 200]);
    assert_eq!(items[1]["code"], "value_too_large");
    let limit = (
        &items[1]["limit"],
        &items[1]["actual"],
        &items[1]["setting"],
    );
    assert_eq!(
        limit,
        (&100.into(), &101.into(), &"limits.value_bytes".into())
    );
    assert_eq!(items[3]["code"], "key_too_long");
    assert_eq!(server.get("/v1/b").status, 404);
}

#[test]
fn a_batch_has_at_most_so_many_operations_and_bytes() {
    let server = Server::with(|options| {
        options.limits.batch_operations = 20;
        options.limits.batch_bytes = 10_000;
    });
    let gets = |count: usize| {
        let operations: Vec<_> = (0..count)
            .map(|n| json!({"op": "get", "key": n.to_string()}))
            .collect();
        json!({"operations": operations})
    };
    assert_eq!(
        send(&server, &gets(20)).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
    for count in [21, 300] {
        let problem = send(&server, &gets(count)).assert_problem(413, "batch_too_large");
        let limit = (&problem["limit"], &problem["actual"], &problem["setting"]);
        assert_eq!(
            limit,
            (&20.into(), &21.into(), &"limits.batch_operations".into())
        );
    }
    let put = |len: usize| {
        let text = json!({"operations": [{"op": "put", "key": "a", "value": "x"}]}).to_string();
        format!("{text:len$}").into_bytes()
    };
    assert_eq!(server.send("POST", BATCH, &[], &put(10_000)).status, 200);
    let problem = server
        .send("POST", BATCH, &[], &put(10_001))
        .assert_problem(413, "batch_too_large");
    let limit = (&problem["limit"], &problem["actual"], &problem["setting"]);
    assert_eq!(
        limit,
        (&10_000.into(), &10_001.into(), &"limits.batch_bytes".into())
    );
    // Also before it is sent.
    let mut client = server.connect();
    client.write_request("POST", BATCH, &[("Content-Length", "99999999")], b"");
    client
        .read_answer("POST")
        .assert_problem(413, "batch_too_large");
}

#[test]
fn values_that_do_not_fit_into_the_answer_stay_away_and_the_rest_is_done() {
    let server = Server::with(|options| options.limits.batch_answer_bytes = 1_000);
    server.put("/v1/a", &[b'x'; 600]);
    server.put("/v1/exact", &[b'x'; 400]);
    // A quote takes two bytes in JSON, a zero six, three bytes of no text four.
    server.put("/v1/quotes", &[b'"'; 500]);
    server.put("/v1/zeros", &[0; 167]);
    server.put("/v1/binary", &[0xFF; 751]);
    for atomic in [false, true] {
        let body = json!({"atomic": atomic, "operations": [
            {"op": "get", "key": "a"},
            {"op": "get", "key": "quotes"},
            {"op": "get", "key": "exact"},
            {"op": "put", "key": "b", "value": "1"},
            {"op": "get", "key": "zeros"},
        ]});
        let answer = send(&server, &body).json();
        let items = answer["items"].as_array().unwrap();
        let put = if atomic { 204 } else { 201 };
        assert_eq!(statuses(items), [200, 413, 200, put, 413]);
        assert_eq!(items[1]["code"], "answer_too_large");
        let limit = (
            &items[1]["limit"],
            &items[1]["actual"],
            &items[1]["setting"],
        );
        assert_eq!(
            limit,
            (
                &1000.into(),
                &1600.into(),
                &"limits.batch_answer_bytes".into()
            )
        );
        assert_eq!(items[1]["etag"], server.get("/v1/quotes").etag());
        assert!(items[1].get("value").is_none());
        assert_eq!(server.get("/v1/b").text(), "1");
    }
    for (key, status) in [("quotes", 200), ("zeros", 413), ("binary", 413)] {
        let items = items(&server, &json!([{"op": "get", "key": key}]));
        assert_eq!(statuses(&items), [status], "{key}");
    }
    server.put("/v1/binary", &[0xFF; 750]);
    let items = items(&server, &json!([{"op": "get", "key": "binary"}]));
    assert_eq!(items[0]["value_base64"].as_str().unwrap().len(), 1000);
}

#[test]
fn large_values_arrive_whole() {
    let server = Server::start();
    let text: String = (0..400_000_u32)
        .filter_map(|n| char::from_u32(n % 0x3000))
        .collect();
    let bytes: Vec<u8> = (0x80..=0xFF_u8).cycle().take(1_000_003).collect();
    server.put("/v1/text", text.as_bytes());
    server.put("/v1/bytes", &bytes);
    let items = items(
        &server,
        &json!([
            {"op": "get", "key": "text"},
            {"op": "get", "key": "bytes"},
            {"op": "put", "key": "again", "value": text},
            {"op": "get", "key": "again"},
        ]),
    );
    assert_eq!(items[0]["value"], text.as_str());
    assert_eq!(items[3]["value"], text.as_str());
    // The same bytes come out of base64, by putting them back the same way.
    let encoded = items[1]["value_base64"].as_str().unwrap();
    let put = json!([{"op": "put", "key": "copy", "value_base64": encoded}]);
    assert_eq!(statuses(&self::items(&server, &put)), [201]);
    assert!(server.get("/v1/copy").body == bytes);
}

#[test]
fn an_encoding_is_told_and_nothing_is_inflated() {
    let server = Server::start();
    server.send("PUT", "/v1/z", &[("Content-Encoding", "br")], b"abc");
    let items = items(&server, &json!([{"op": "get", "key": "z"}]));
    assert_eq!(
        (&items[0]["content_encoding"], &items[0]["value"]),
        (&"br".into(), &"abc".into())
    );
}

#[test]
fn durability_is_asked_for_once_and_told_by_each_item() {
    let server = Server::start();
    let body = json!({"operations": [
        {"op": "put", "key": "a", "value": "1"},
        {"op": "put", "key": "a", "value": "2"},
        {"op": "increment", "key": "a"},
        {"op": "get", "key": "a"},
        {"op": "delete", "key": "a"},
    ]});
    let target = |durability: &str| format!("{BATCH}?durability={durability}");
    let body = body.to_string();
    let answer = server.send("POST", &target("written"), &[], body.as_bytes());
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(
        statuses(answer["items"].as_array().unwrap()),
        [202, 202, 200, 200, 202]
    );
    server
        .send("POST", &target("memory"), &[], body.as_bytes())
        .assert_problem(400, "durability_unavailable");
    server
        .send(
            "POST",
            &format!("{BATCH}?atomic=true"),
            &[],
            body.as_bytes(),
        )
        .assert_problem(400, "unknown_parameter");
}

#[test]
fn wrong_addresses_and_methods_are_told() {
    let server = Server::start();
    let empty = json!({"operations": []}).to_string();
    server
        .send("POST", "/keyspaces/none/batch", &[], empty.as_bytes())
        .assert_problem(404, "keyspace_not_found");
    server
        .send("POST", "/keyspaces/default/batch/", &[], empty.as_bytes())
        .assert_problem(404, "route_not_found");
    let answer = server.get(BATCH);
    answer.assert_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
    server
        .send(
            "POST",
            BATCH,
            &[("Content-Type", "text/plain")],
            empty.as_bytes(),
        )
        .assert_problem(415, "unsupported_media_type");
}
