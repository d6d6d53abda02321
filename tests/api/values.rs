//! Reading, writing and removing values.

use crate::harness::Server;

#[test]
fn what_was_put_comes_back_byte_by_byte() {
    let server = Server::start();
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, value) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("bytes", &every_byte),
    ] {
        let target = format!("/v1/{key}");
        let put = server.put(&target, value);
        assert_eq!(put.status, 201);
        let get = server.get(&target);
        assert_eq!((get.status, get.body.as_slice()), (200, value));
        assert_eq!(get.etag(), put.etag());
        assert_eq!(get.header("cache-control"), Some("no-cache"));
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn large_values_come_back_whole() {
    let server = Server::start();
    // Around the size of one piece of an answer, and the largest that the defaults allow.
    for len in [65_535_usize, 65_536, 65_537, 1 << 20, 16 << 20] {
        let value: Vec<u8> = (0..len).map(|n| (n % 251).to_le_bytes()[0]).collect();
        assert!(server.put("/v1/large", &value).status < 205);
        let get = server.get("/v1/large");
        assert_eq!(get.status, 200);
        assert!(get.body == value, "{len} bytes");
    }
}

#[test]
fn a_value_is_created_once_and_then_replaced() {
    let server = Server::start();
    let created = server.put("/v1/a", b"1");
    let replaced = server.put("/v1/a", b"2");
    assert_eq!((created.status, replaced.status), (201, 204));
    assert_ne!(created.etag(), replaced.etag());
    assert_eq!(server.get("/v1/a").text(), "2");
}

#[test]
fn deleting_is_idempotent() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    for _ in 0..2 {
        let deleted = server.send("DELETE", "/v1/a", &[], b"");
        assert_eq!((deleted.status, deleted.header("etag")), (204, None));
        server.get("/v1/a").assert_problem(404, "key_not_found");
    }
    assert_eq!(server.put("/v1/a", b"2").status, 201);
}

#[test]
fn an_absent_key_says_what_users_of_in_memory_cache_know() {
    let server = Server::start();
    let problem = server.get("/v1/none").assert_problem(404, "key_not_found");
    assert_eq!(problem["detail"], "given key not found");
}

#[test]
fn head_is_get_without_the_bytes() {
    let server = Server::start();
    let mut client = server.connect();
    for len in [0, 5, 200_000] {
        client.send(
            "PUT",
            "/v1/a",
            &[("Content-Type", "image/png")],
            &vec![7; len],
        );
        let head = client.send("HEAD", "/v1/a", &[], b"");
        let get = client.send("GET", "/v1/a", &[], b"");
        assert_eq!(head.status, 200);
        let without_date = |headers: &[(String, String)]| {
            headers
                .iter()
                .filter(|(name, _)| name != "date")
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head.headers), without_date(&get.headers));
        assert_eq!(
            head.header("content-length"),
            Some(len.to_string().as_str())
        );
    }
    let absent = client.send("HEAD", "/v1/none", &[], b"");
    assert_eq!(
        (absent.status, absent.header("content-type")),
        (404, Some("application/problem+json"))
    );
}

#[test]
fn a_body_in_chunks_is_a_body() {
    let server = Server::start();
    let mut client = server.connect();
    let chunks = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
    let put = client.send("PUT", "/v1/a", &[("Transfer-Encoding", "chunked")], chunks);
    assert_eq!(put.status, 201);
    assert_eq!(client.send("GET", "/v1/a", &[], b"").text(), "hello, world");
}

#[test]
fn a_body_that_arrives_slowly_is_kept_whole() {
    let server = Server::start();
    for content_type in [None, Some(("Content-Type", "image/png"))] {
        let mut client = server.connect();
        let value: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let len = value.len().to_string();
        let headers: Vec<_> = [("Content-Length", len.as_str())]
            .into_iter()
            .chain(content_type)
            .collect();
        client.write_request("PUT", "/v1/slow", &headers, &value[..1]);
        for piece in value[1..].chunks(9_999) {
            client.write(piece).unwrap();
        }
        assert!(client.read_answer("PUT").status < 205);
        assert!(server.get("/v1/slow").body == value);
    }
}

#[test]
fn a_client_that_breaks_off_changes_nothing() {
    let server = Server::start();
    server.put("/v1/a", b"before");
    let mut client = server.connect();
    client.write_request("PUT", "/v1/a", &[("Content-Length", "100")], b"half");
    drop(client);
    // The next answer on another connection comes after the break was seen at the latest when the server stops.
    assert_eq!(server.get("/v1/a").text(), "before");
    let directory = server.stop();
    let server = Server::over(directory, |_| {});
    assert_eq!(server.get("/v1/a").text(), "before");
}

#[test]
fn values_outlive_the_server() {
    let server = Server::start();
    server.send(
        "PUT",
        "/v1/a%2Fb",
        &[("Content-Type", "image/png"), ("Content-Encoding", "br")],
        b"\x89PNG",
    );
    let before = server.get("/v1/a/b");
    let server = Server::over(server.stop(), |_| {});
    let after = server.get("/v1/a/b");
    assert_eq!(
        (after.status, after.body.as_slice()),
        (200, &b"\x89PNG"[..])
    );
    assert_eq!(after.etag(), before.etag());
    assert_eq!(after.header("content-type"), Some("image/png"));
    assert_eq!(after.header("content-encoding"), Some("br"));
}

#[test]
fn a_value_with_a_ttl_says_when_it_leaves_and_leaves() {
    let server = Server::start();
    assert_eq!(server.put("/v1/a?ttl=1h", b"1").status, 201);
    let get = server.get("/v1/a");
    assert!(get.header("expires").unwrap().ends_with(" GMT"));
    // A later PUT without a ttl does not keep the old one.
    server.put("/v1/a", b"2");
    assert_eq!(server.get("/v1/a").header("expires"), None);
    server.put("/v1/a?ttl=1h", b"3");
    server.put("/v1/a?ttl=none", b"4");
    assert_eq!(server.get("/v1/a").header("expires"), None);

    assert_eq!(server.put("/v1/b?ttl=300ms", b"1").status, 201);
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while server.get("/v1/b").status == 200 {
        assert!(std::time::Instant::now() < deadline, "the value never left");
    }
    server.get("/v1/b").assert_problem(404, "key_not_found");
    assert_eq!(server.put("/v1/b", b"2").status, 201);
}

#[test]
fn an_unreadable_ttl_is_refused_and_nothing_is_written() {
    let server = Server::start();
    for ttl in ["0", "-1s", "soon", "", "101y", "36526d"] {
        server
            .put(&format!("/v1/a?ttl={ttl}"), b"1")
            .assert_problem(400, "invalid_parameter");
    }
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn a_part_of_a_value_cannot_be_put() {
    let server = Server::start();
    let put = server.send("PUT", "/v1/a", &[("Content-Range", "bytes 0-1/10")], b"ab");
    put.assert_problem(400, "partial_put");
    assert_eq!(server.get("/v1/a").status, 404);
}
