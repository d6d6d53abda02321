//! The bodies of operations that read JSON: what counts as JSON, what can be read, how large they may be. The counters
//! stand for all of them.

use std::io::ErrorKind;
use std::time::Duration;

use crate::harness::{Answer, Server};

const COUNTER: &str = "/keyspaces/default/counters/n";

fn add(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    server.send("POST", COUNTER, headers, body)
}

#[test]
fn a_body_is_json_by_its_type_or_by_having_none() {
    let server = Server::start();
    let types = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "",
    ];
    for (done, media_type) in (1..).zip(types) {
        let added = add(&server, &[("Content-Type", media_type)], br#"{"by":2}"#);
        assert_eq!(added.status, 200, "{media_type:?} {added:?}");
        assert_eq!(added.json()["value"], 2 * done, "{media_type:?}");
    }
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/jsonp",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
    ] {
        for body in [&br#"{"by":2}"#[..], b""] {
            add(&server, &[("Content-Type", media_type)], body)
                .assert_problem(415, "unsupported_media_type");
        }
    }
    add(&server, &[("Content-Encoding", "gzip")], b"\x1f\x8b")
        .assert_problem(415, "unsupported_media_type");
    let plain = add(&server, &[("Content-Encoding", "identity")], b"");
    assert_eq!(plain.json()["previous"], 10);
}

#[test]
fn what_is_no_json_is_400_with_line_and_column() {
    let server = Server::start();
    let deep = "[".repeat(5_000);
    for (body, told) in [
        (&b"{\"by\":\n  x}"[..], "line 2 column 3"),
        (b"{\"by\":1", "line 1 column 7"),
        (b"{\"by\":1} {}", "line 1 column 10"),
        (b"{\"by\":1,\"by\":2}", "\"by\" is there twice at line 1"),
        (b"{\"by\":\"\xff\"}", "line 1 column"),
        (b"by=1", "line 1 column 1"),
        (b" ", "line 1 column 1"),
        (b"{'by':1}", "line 1 column 2"),
        (deep.as_bytes(), "recursion limit exceeded at line 1"),
        (b"{\"by\":01}", "line 1 column"),
    ] {
        let problem = add(&server, &[], body).assert_problem(400, "invalid_json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{detail}");
    }
    assert_eq!(server.get("/v1/n").status, 404);
}

#[test]
fn what_is_json_but_impossible_is_422_and_names_the_field() {
    let server = Server::start();
    for (body, told) in [
        (
            "{\"bi\":1}",
            "the field \"bi\" is not known: did you mean \"by\"?",
        ),
        ("{\"by\":\"1\"}", "by is a text"),
        ("{\"by\":1.5}", "by is a number with a fraction"),
        ("{\"by\":9223372036854775808}", "by is not a whole number"),
        ("{\"min\":3,\"max\":2}", "min is more than max"),
        ("{\"ttl\":\"0\"}", "ttl \"0\" would expire at once"),
        ("[1]", "the body is a list, not an object"),
        ("1", "the body is a number, not an object"),
    ] {
        let problem = add(&server, &[], body.as_bytes()).assert_problem(422, "invalid_operation");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(told), "{detail}");
        assert!(detail.ends_with("nothing was changed"), "{detail}");
    }
    assert_eq!(server.get("/v1/n").status, 404);
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let server = Server::with(|options| options.limits.json_bytes = 2_000);
    let body = |len: usize| format!("{:len$}", "{\"by\":1}").into_bytes();
    assert_eq!(add(&server, &[], &body(2_000)).status, 200);
    let problem = add(&server, &[], &body(2_001)).assert_problem(413, "body_too_large");
    assert_eq!(
        (&problem["limit"], &problem["actual"], &problem["setting"]),
        (&2_000.into(), &2_001.into(), &"limits.json_bytes".into())
    );
    // A length that is announced is refused before the body is sent.
    let mut client = server.connect();
    client.write_request("POST", COUNTER, &[("Content-Length", "4000000")], b"");
    client
        .read_answer("POST")
        .assert_problem(413, "body_too_large");
    // One that is not is refused when it is reached.
    let mut client = server.connect();
    client.write_request("POST", COUNTER, &[("Transfer-Encoding", "chunked")], b"");
    let chunk = [b"400\r\n".as_slice(), &[b' '; 0x400], b"\r\n"].concat();
    for _ in 0..4 {
        if let Err(error) = client.write(&chunk) {
            assert!(matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ));
            break;
        }
    }
    client
        .read_answer("POST")
        .assert_problem(413, "body_too_large");
    assert_eq!(server.get("/v1/n").text(), "1");
}

#[test]
fn a_body_that_comes_in_pieces_is_one_body() {
    let server = Server::start();
    let mut client = server.connect();
    client.write_request("POST", COUNTER, &[("Transfer-Encoding", "chunked")], b"");
    for piece in ["{\"b", "y\":", "41}"] {
        client
            .write(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())
            .unwrap();
    }
    client.write(b"0\r\n\r\n").unwrap();
    assert_eq!(client.read_answer("POST").json()["value"], 41);
    // The connection goes on.
    let again = client.send("POST", COUNTER, &[], b"");
    assert_eq!(again.json()["value"], 42);
}

#[test]
fn a_stalled_body_is_given_up() {
    let server = Server::with(|options| options.limits.body_stall = Duration::from_millis(200));
    let mut client = server.connect();
    client.write_request("POST", COUNTER, &[("Content-Length", "8")], b"{\"by\"");
    client
        .read_answer("POST")
        .assert_problem(408, "body_stalled");
    assert_eq!(server.get("/v1/n").status, 404);
}

#[test]
fn a_body_counts_towards_what_may_be_held() {
    let server = Server::with(|options| {
        options.limits.inflight_bytes = 10_000;
        options.limits.json_bytes = 60_000;
    });
    let mut client = server.connect();
    client.write_request("POST", COUNTER, &[("Content-Length", "20000")], b"{");
    let problem = client.read_answer("POST").assert_problem(503, "overloaded");
    assert_eq!(problem["setting"], "limits.inflight_bytes");
    server.wait_for("standpipe_http_inflight_bytes", 0);
}
