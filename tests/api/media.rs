//! Media types and encodings: kept as they came, chosen where they were left open.

use crate::harness::Server;

fn stored_as(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> String {
    assert!(server.send("PUT", "/v1/a", headers, body).status < 205);
    server
        .get("/v1/a")
        .header("content-type")
        .unwrap()
        .to_owned()
}

#[test]
fn a_media_type_comes_back_as_it_was_sent() {
    let server = Server::start();
    for media_type in [
        "image/png",
        "application/json",
        "text/csv; charset=latin1",
        "application/x-www-form-urlencoded; a=b",
    ] {
        assert_eq!(
            stored_as(&server, &[("Content-Type", media_type)], b"x"),
            media_type
        );
    }
}

#[test]
fn without_one_the_bytes_decide() {
    let server = Server::start();
    assert_eq!(
        stored_as(&server, &[], "gr\u{fc}n".as_bytes()),
        "text/plain; charset=utf-8"
    );
    assert_eq!(stored_as(&server, &[], b""), "text/plain; charset=utf-8");
    assert_eq!(
        stored_as(&server, &[], &[0xFF, 0xFE, 0]),
        "application/octet-stream"
    );
    let mut late = vec![b'a'; 300_000];
    late.push(0xFF);
    assert_eq!(stored_as(&server, &[], &late), "application/octet-stream");
}

#[test]
fn what_curl_adds_and_what_is_none_leave_it_open() {
    let server = Server::start();
    for media_type in ["application/x-www-form-urlencoded", "text", "a b", ""] {
        assert_eq!(
            stored_as(&server, &[("Content-Type", media_type)], b"x"),
            "text/plain; charset=utf-8"
        );
    }
}

#[test]
fn accept_is_ignored() {
    let server = Server::start();
    server.send("PUT", "/v1/a", &[("Content-Type", "image/png")], b"x");
    let get = server.send(
        "GET",
        "/v1/a",
        &[("Accept", "text/html"), ("Accept-Encoding", "gzip")],
        b"",
    );
    assert_eq!(
        (get.status, get.header("content-type")),
        (200, Some("image/png"))
    );
    assert_eq!(get.header("content-encoding"), None);
}

#[test]
fn an_encoded_body_is_stored_as_it_came() {
    let server = Server::start();
    // A gzip header that promises much and a body that is no gzip at all: nobody looks inside.
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00\x01\x02\x03";
    for encoding in ["gzip", "deflate", "br", "zstd", "made-up"] {
        let put = server.send("PUT", "/v1/a", &[("Content-Encoding", encoding)], bomb);
        assert!(put.status < 205);
        let get = server.get("/v1/a");
        assert_eq!(get.body, bomb);
        assert_eq!(get.header("content-encoding"), Some(encoding));
    }
    server.put("/v1/a", b"plain");
    assert_eq!(server.get("/v1/a").header("content-encoding"), None);
}

#[test]
fn what_a_browser_would_run_is_sandboxed() {
    let server = Server::start();
    for media_type in [
        "text/html",
        "image/svg+xml",
        "application/xml",
        "text/javascript",
    ] {
        server.send("PUT", "/v1/a", &[("Content-Type", media_type)], b"<script>");
        let get = server.get("/v1/a");
        assert_eq!(
            get.header("content-security-policy"),
            Some("sandbox"),
            "{media_type}"
        );
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
    }
    server.send("PUT", "/v1/a", &[("Content-Type", "image/png")], b"x");
    assert_eq!(server.get("/v1/a").header("content-security-policy"), None);
}

#[test]
fn a_media_type_that_cannot_be_kept_is_refused() {
    let server = Server::start();
    let long = format!("a/{}", "b".repeat(1024));
    server
        .send("PUT", "/v1/a", &[("Content-Type", &long)], b"x")
        .assert_problem(400, "invalid_parameter");
    let twice = [("Content-Type", "a/b"), ("Content-Type", "c/d")];
    server
        .send("PUT", "/v1/a", &twice, b"x")
        .assert_problem(400, "invalid_parameter");
}
