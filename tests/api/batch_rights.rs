//! Batches with a token: each operation needs the right that it would need by itself.

use serde_json::{Value, json};
use standpipe::server::{Access, Token, Verbs};

use crate::harness::{Answer, Server};

const MIXED: &str = r#"{"op":"put","key":"b","value":"1"},{"op":"get","key":"a"},{"op":"increment","key":"n"},{"op":"delete","key":"c"}"#;

fn server() -> Server {
    let token = |name: &str, read, write| Token {
        name: name.to_owned(),
        sha256: Token::hash(name),
        keyspaces: Some([String::from("default")].into_iter().collect()),
        verbs: Verbs {
            read,
            write,
            admin: false,
        },
    };
    let tokens = [
        token("reader", true, false),
        token("writer", false, true),
        token("both", true, true),
        token("neither", false, false),
    ];
    Server::with(|options| {
        options.access = Access {
            tokens: tokens.into(),
            ..Access::default()
        };
    })
}

fn send(server: &Server, token: &str, atomic: bool) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    for target in ["/v1/a", "/v1/c"] {
        server.send("PUT", target, &[("Authorization", "Bearer writer")], b"1");
    }
    let body = format!(r#"{{"atomic":{atomic},"operations":[{MIXED}]}}"#);
    server.send(
        "POST",
        "/keyspaces/default/batch",
        &headers,
        body.as_bytes(),
    )
}

fn is_there(server: &Server, key: &str) -> bool {
    let headers = [("Authorization", "Bearer reader")];
    server
        .send("GET", &format!("/v1/{key}"), &headers, b"")
        .status
        == 200
}

#[test]
fn an_operation_without_its_right_is_403_in_its_item_and_not_done() {
    let server = server();
    for (token, expected) in [
        ("reader", [403, 200, 403, 403]),
        ("writer", [201, 403, 200, 204]),
        ("both", [204, 200, 200, 204]),
    ] {
        let answer = send(&server, token, false);
        assert_eq!(answer.status, 200, "{token}");
        let items = answer.json()["items"].clone();
        for (item, expected) in items.as_array().unwrap().iter().zip(expected) {
            assert_eq!(item["status"], expected, "{token} {item}");
            assert_eq!(item["code"] == "forbidden", expected == 403, "{item}");
        }
        assert_eq!(is_there(&server, "c"), token == "reader", "{token}");
        assert_eq!(is_there(&server, "b"), token != "reader", "{token}");
    }
}

#[test]
fn an_atomic_batch_needs_all_its_rights() {
    let server = server();
    for (token, operation) in [("reader", 0), ("writer", 1)] {
        let problem = send(&server, token, true).assert_problem(409, "batch_failed");
        let expected: [Value; 2] = [operation.into(), json!("forbidden")];
        assert_eq!(
            [&problem["operation"], &problem["cause"]],
            [&expected[0], &expected[1]]
        );
        assert!(is_there(&server, "c") && !is_there(&server, "b"));
    }
    assert_eq!(send(&server, "both", true).status, 200);
    assert!(!is_there(&server, "c") && is_there(&server, "b"));
}

#[test]
fn without_any_right_the_whole_is_refused() {
    let server = server();
    send(&server, "neither", false).assert_problem(403, "forbidden");
    send(&server, "nobody", false).assert_problem(401, "token_required");
}
