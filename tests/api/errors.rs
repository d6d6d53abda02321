//! Every failure is a problem, and says what to do.

use std::collections::BTreeSet;

use crate::harness::Server;

#[test]
fn an_unknown_path_is_a_problem() {
    let server = Server::start();
    for target in [
        "/nothing",
        "/v1",
        "/v2/a",
        "/flush/",
        "/v1%2Fa",
        "//v1/a",
        "/admin",
        "/problems",
        "/problems/none",
    ] {
        server.get(target).assert_problem(404, "route_not_found");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start();
    for (method, target, allowed) in [
        ("POST", "/v1/a", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/v1/a", "GET, HEAD, PUT, DELETE"),
        ("OPTIONS", "/v1/a", "GET, HEAD, PUT, DELETE"),
        ("BREW", "/v1/a", "GET, HEAD, PUT, DELETE"),
        ("GET", "/flush", "DELETE, POST"),
        ("PUT", "/flush", "DELETE, POST"),
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/health", "GET, HEAD"),
        ("GET", "/admin/snapshot", "POST"),
        ("POST", "/docs/", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("DELETE", "/problems/key_not_found", "GET, HEAD"),
    ] {
        let answer = server.send(method, target, &[], b"");
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
    }
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest() {
    let server = Server::start();
    let problem = server
        .put("/v1/a?tll=90s", b"1")
        .assert_problem(400, "unknown_parameter");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains(r#"did you mean "ttl""#),
        "{problem}"
    );
    assert_eq!(server.get("/v1/a").status, 404);
    for target in [
        "/v1/a?x=1",
        "/health?x",
        "/livez?x",
        "/readyz?x",
        "/metrics?x",
        "/limits?x",
        "/openapi.json?x",
    ] {
        server.get(target).assert_problem(400, "unknown_parameter");
    }
    server
        .send("POST", "/flush?key=a", &[], b"")
        .assert_problem(400, "unknown_parameter");
}

#[test]
fn a_malformed_query_is_refused() {
    let server = Server::start();
    for query in ["ttl=%", "ttl=%ff", "ttl=1&ttl=2", "durability=maybe"] {
        server
            .put(&format!("/v1/a?{query}"), b"1")
            .assert_problem(400, "invalid_parameter");
    }
}

#[test]
fn every_code_of_the_document_has_a_page_and_every_page_a_code() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    let codes: BTreeSet<_> =
        document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
    assert!(codes.len() > 20);
    for code in codes {
        let page = server.get(&format!("/problems/{code}"));
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        assert!(page.text().contains(&code));
        let head = server.send("HEAD", &format!("/problems/{code}"), &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
}

#[test]
fn what_the_parser_refuses_is_bare_and_ends_the_connection() {
    let server = Server::start();
    for request in [
        "PUT /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "PUT /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.write(request.as_bytes()).unwrap();
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{request:?} {answer:?}"
        );
        assert!(!answer.contains("problem+json"));
    }
    assert_eq!(server.get("/v1/a").status, 404);
}
