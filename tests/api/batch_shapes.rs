//! Batches whose shape is wrong: refused as a whole, by the path of what is wrong, and nothing runs.

use serde_json::json;

use crate::batch::send;
use crate::harness::Server;

/// An operation that is wrong whatever the keyspace holds, and how the detail begins.
const WRONG: &[(&str, &str)] = &[
    (r#"{"op":"set","key":"a"}"#, "operations[1].op is not known"),
    (r#"{"op":1,"key":"a"}"#, "operations[1].op is a number"),
    (r#"{"key":"a"}"#, "operations[1].op is missing"),
    (r#"{"op":"get"}"#, "operations[1].key is missing"),
    (r#"{"op":"get","key":""}"#, "operations[1].key is empty"),
    (r#"{"op":"get","key":7}"#, "operations[1].key is a number"),
    (r#"{"op":"get","key":null}"#, "operations[1].key is missing"),
    (
        r#"{"op":"get","key":"a","value":"x"}"#,
        "the field \"value\" of operations[1]",
    ),
    (
        r#"{"op":"get","key":"a","if_match":"*"}"#,
        "the field \"if_match\" of operations[1]",
    ),
    (
        r#"{"op":"delete","key":"a","ttl":"1s"}"#,
        "the field \"ttl\" of operations[1]",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","by":1}"#,
        "the field \"by\" of operations[1]",
    ),
    (
        r#"{"op":"increment","key":"a","value":"1"}"#,
        "the field \"value\" of operations[1]",
    ),
    (
        r#"{"op":"increment","key":"a","by":1.5}"#,
        "operations[1].by is a number with",
    ),
    (
        r#"{"op":"increment","key":"a","min":2,"max":1}"#,
        "operations[1].min is more than max",
    ),
    (
        r#"{"op":"put","key":"a"}"#,
        "operations[1].value is missing",
    ),
    (
        r#"{"op":"put","key":"a","value":null}"#,
        "operations[1].value is missing",
    ),
    (
        r#"{"op":"put","key":"a","value":{"x":1}}"#,
        "operations[1].value is an object",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","value_base64":"eA=="}"#,
        "operations[1].value and value_base64 are both there",
    ),
    (
        r#"{"op":"put","key":"a","value_base64":"eA"}"#,
        "operations[1].value_base64 is not base64",
    ),
    (
        r#"{"op":"put","key":"a","value_base64":"e A=="}"#,
        "operations[1].value_base64 is not",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","content_type":"text"}"#,
        "operations[1].content_type is no media type",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","content_type":"a/b\r\nX: y"}"#,
        "operations[1].content_type is no media type",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","ttl":"0"}"#,
        "operations[1].ttl \"0\" would expire",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","if_match":"abc"}"#,
        "operations[1].if_match is neither",
    ),
    (
        r#"{"op":"put","key":"a","value":"x","if_match":""}"#,
        "operations[1].if_match is neither",
    ),
    (
        r#"{"op":"delete","key":"a","if_none_match":"*, \"x\""}"#,
        "operations[1].if_none_match is neither",
    ),
    (r#""get""#, "operations[1] is a text, not an object"),
];

#[test]
fn one_wrong_operation_stops_all_of_them() {
    let server = Server::start();
    for (bad, told) in WRONG {
        for atomic in ["", r#""atomic":true,"#, r#""atomic":false,"#] {
            let good = r#"{"op":"put","key":"good","value":"x"}"#;
            let body = format!(r#"{{{atomic}"operations":[{good},{bad}]}}"#);
            let problem = server
                .send("POST", "/keyspaces/default/batch", &[], body.as_bytes())
                .assert_problem(422, "invalid_operation");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with(told), "{bad}: {detail}");
        }
    }
    assert_eq!(server.get("/v1/good").status, 404);
}

#[test]
fn a_body_that_is_no_batch_is_refused() {
    let server = Server::start();
    for body in [
        json!({}),
        json!({"operations": null}),
        json!({"operations": {}}),
        json!({"operations": [], "atomc": true}),
        json!({"operations": [], "atomic": "yes"}),
        json!([]),
    ] {
        send(&server, &body).assert_problem(422, "invalid_operation");
    }
    for body in [
        "",
        "{\"operations\":[",
        r#"{"operations":[{"op":"get","key":"a","key":"b"}]}"#,
        r#"{"operations":[],"operations":[]}"#,
    ] {
        server
            .send("POST", "/keyspaces/default/batch", &[], body.as_bytes())
            .assert_problem(400, "invalid_json");
    }
}

#[test]
fn a_batch_of_nothing_does_nothing() {
    let server = Server::start();
    for atomic in [false, true] {
        let answer = send(&server, &json!({"atomic": atomic, "operations": []}));
        assert_eq!((answer.status, answer.json()), (200, json!({"items": []})));
    }
}
