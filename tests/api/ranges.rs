//! Parts of values (RFC 9110, section 14).

use crate::harness::{Answer, Server};

fn digits() -> Server {
    let server = Server::start();
    server.put("/v1/a", b"0123456789");
    server
}

fn range(server: &Server, range: &str) -> Answer {
    server.send("GET", "/v1/a", &[("Range", range)], b"")
}

#[test]
fn one_range_is_answered_with_that_part() {
    let server = digits();
    for (asked, part, shown) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = range(&server, asked);
        assert_eq!((answer.status, answer.text()), (206, part));
        assert_eq!(answer.header("content-range"), Some(shown));
        assert_eq!(answer.etag(), server.get("/v1/a").etag());
    }
}

#[test]
fn a_range_behind_the_end_says_how_long_the_value_is() {
    let server = digits();
    let answer = range(&server, "bytes=10-");
    answer.assert_problem(416, "range_not_satisfiable");
    assert_eq!(answer.header("content-range"), Some("bytes */10"));
}

#[test]
fn several_ranges_or_another_unit_are_answered_whole() {
    let server = digits();
    for asked in ["bytes=0-1,3-4", "lines=0-1", "bytes=x", "bytes=4-2"] {
        let answer = range(&server, asked);
        assert_eq!(
            (answer.status, answer.text()),
            (200, "0123456789"),
            "{asked}"
        );
        assert_eq!(answer.header("content-range"), None);
    }
}

#[test]
fn if_range_of_another_version_is_answered_whole() {
    let server = digits();
    let old = server.get("/v1/a").etag().to_owned();
    let with = |tag: &str| {
        server.send(
            "GET",
            "/v1/a",
            &[("Range", "bytes=0-3"), ("If-Range", tag)],
            b"",
        )
    };
    assert_eq!(with(&old).status, 206);
    server.put("/v1/a", b"9876543210");
    let answer = with(&old);
    assert_eq!((answer.status, answer.text()), (200, "9876543210"));
}

#[test]
fn a_condition_is_asked_before_the_range() {
    let server = digits();
    let etag = server.get("/v1/a").etag().to_owned();
    let answer = server.send(
        "GET",
        "/v1/a",
        &[("Range", "bytes=99-"), ("If-None-Match", &etag)],
        b"",
    );
    assert_eq!(answer.status, 304);
}

#[test]
fn head_knows_no_range() {
    let server = digits();
    let head = server.send("HEAD", "/v1/a", &[("Range", "bytes=0-3")], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
}

#[test]
fn a_part_of_a_large_value_is_that_part() {
    let server = Server::start();
    let value: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    server.put("/v1/a", &value);
    let answer = range(&server, "bytes=100000-2999999");
    assert_eq!(answer.status, 206);
    assert!(answer.body == value[100_000..3_000_000]);
}
