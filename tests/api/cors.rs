//! Pages of other origins: shut out, unless the operator lets them in.

use standpipe::server::{Access, Token, Verbs};

use crate::harness::{Answer, Server};

const APP: &str = "https://app.example";

fn server() -> Server {
    Server::with(|options| {
        options.access = Access {
            allow_origins: vec![APP.to_owned(), "http://localhost:3000".to_owned()],
            ..Access::default()
        };
    })
}

fn preflight(server: &Server, target: &str, origin: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "PUT")];
    server.send("OPTIONS", target, &[&headers, more].concat(), b"")
}

fn vary(answer: &Answer) -> String {
    let values = answer.headers.iter().filter(|(name, _)| name == "vary");
    values
        .map(|(_, value)| value.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn without_a_list_there_are_no_cors_headers() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let get = server.send("GET", "/v1/a", &[("Origin", APP)], b"");
    assert_eq!(get.text(), "1");
    let preflight = preflight(&server, "/v1/a", APP, &[]);
    preflight.assert_problem(405, "method_not_allowed");
    for answer in [get, preflight] {
        let cors = |name: &str| name.starts_with("access-control-") || name == "vary";
        assert!(
            !answer.headers.iter().any(|(name, _)| cors(name)),
            "{answer:?}"
        );
    }
}

#[test]
fn a_preflight_tells_methods_headers_and_for_how_long() {
    let server = server();
    let asked = [(
        "Access-Control-Request-Headers",
        "authorization,content-type,if-match",
    )];
    let answer = preflight(&server, "/v1/a", APP, &asked);
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-methods", "GET, HEAD, PUT, DELETE"),
        (
            "access-control-allow-headers",
            "authorization,content-type,if-match",
        ),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(
        vary(&answer).contains("Origin") && vary(&answer).contains("Access-Control-Request-Method")
    );
    let flush = preflight(&server, "/flush", "http://localhost:3000", &[]);
    assert_eq!(
        flush.header("access-control-allow-methods"),
        Some("DELETE, POST")
    );
    assert_eq!(flush.header("access-control-allow-headers"), None);
}

#[test]
fn a_page_that_is_let_in_reads_and_changes() {
    let server = server();
    let headers = [("Origin", APP), ("Sec-Fetch-Site", "cross-site")];
    let put = server.send("PUT", "/v1/a?ttl=1h", &headers, b"1");
    assert_eq!(put.status, 201);
    let get = server.send("GET", "/v1/a", &headers, b"");
    let missing = server.send("GET", "/v1/b", &headers, b"");
    assert_eq!((get.text(), missing.status), ("1", 404));
    let tag = [("Origin", APP), ("If-None-Match", get.etag())];
    let unchanged = server.send("GET", "/v1/a", &tag, b"");
    assert_eq!(unchanged.status, 304);
    let flush = server.send("POST", "/flush", &headers, b"");
    assert_eq!(flush.status, 200);
    for answer in [put, get, missing, unchanged, flush] {
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(APP),
            "{answer:?}"
        );
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("ETag, Link, Age, Cache-Status, Expires, Retry-After")
        );
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(vary(&answer), "Origin");
    }
}

#[test]
fn any_other_page_is_as_shut_out_as_ever() {
    let server = server();
    server.put("/v1/a", b"1");
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://APP.example",
        "null",
        "*",
    ] {
        for headers in [
            vec![("Origin", origin)],
            vec![("Origin", origin), ("Sec-Fetch-Site", "cross-site")],
            vec![
                ("Origin", APP),
                ("Origin", origin),
                ("Sec-Fetch-Site", "cross-site"),
            ],
        ] {
            let change = server.send("DELETE", "/v1/a", &headers, b"");
            change.assert_problem(403, "cross_site");
            let read = server.send("GET", "/v1/a", &headers, b"");
            assert_eq!(read.text(), "1");
            for answer in [change, read] {
                assert_eq!(
                    answer.header("access-control-allow-origin"),
                    None,
                    "{origin}"
                );
                assert_eq!(vary(&answer), "Origin");
            }
        }
        preflight(&server, "/v1/a", origin, &[]).assert_problem(405, "method_not_allowed");
    }
    let plain = server.get("/v1/a");
    assert_eq!((plain.text(), vary(&plain)), ("1", "Origin".to_owned()));
}

#[test]
fn what_is_no_preflight_is_a_wrong_method() {
    let server = server();
    let options = server.send("OPTIONS", "/v1/a", &[("Origin", APP)], b"");
    options.assert_problem(405, "method_not_allowed");
    assert_eq!(options.header("access-control-allow-origin"), Some(APP));
    preflight(&server, "/nothing", APP, &[]).assert_problem(404, "route_not_found");
    let rebound = preflight(&server, "/v1/a", APP, &[("Host", "evil.example")]);
    rebound.assert_problem(421, "wrong_host");
}

#[test]
fn a_preflight_needs_no_token_and_what_follows_does() {
    let server = Server::with(|options| {
        options.access = Access {
            tokens: vec![Token {
                name: "app".to_owned(),
                sha256: Token::hash("secret"),
                keyspaces: None,
                verbs: Verbs {
                    write: true,
                    ..Verbs::default()
                },
            }],
            allow_origins: vec![APP.to_owned()],
        };
    });
    assert_eq!(preflight(&server, "/v1/a", APP, &[]).status, 204);
    let without = server.send("PUT", "/v1/a", &[("Origin", APP)], b"1");
    without.assert_problem(401, "token_required");
    assert_eq!(without.header("access-control-allow-origin"), Some(APP));
    let with = [("Origin", APP), ("Authorization", "Bearer secret")];
    assert_eq!(server.send("PUT", "/v1/a", &with, b"1").status, 201);
}
