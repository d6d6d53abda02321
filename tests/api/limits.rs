//! At each limit and past it, and that nothing is left behind.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Server};

#[test]
fn a_value_may_be_as_large_as_the_limit_and_no_larger() {
    let server = Server::with(|options| options.limits.value_bytes = 100_000);
    assert_eq!(server.put("/v1/a", &vec![1; 100_000]).status, 201);
    let problem = server
        .put("/v1/b", &vec![1; 100_001])
        .assert_problem(413, "value_too_large");
    assert_eq!(
        (&problem["limit"], &problem["actual"]),
        (&100_000.into(), &100_001.into())
    );
    assert_eq!(problem["setting"], "limits.value_bytes");
    assert_eq!(server.get("/v1/b").status, 404);
}

#[test]
fn a_value_that_announces_too_much_is_refused_before_it_is_sent() {
    let server = Server::start();
    let mut client = server.connect();
    let len = (17_usize << 20).to_string();
    client.write_request("PUT", "/v1/a", &[("Content-Length", &len)], b"");
    client
        .read_answer("PUT")
        .assert_problem(413, "value_too_large");
}

#[test]
fn seventeen_mebibytes_are_refused_with_an_answer_that_arrives() {
    let server = Server::start();
    let value = vec![7; 17 << 20];
    let mut client = server.connect();
    let len = value.len().to_string();
    client.write_request("PUT", "/v1/a", &[("Content-Length", &len)], b"");
    // The server may stop listening at any byte; what counts is that its answer can be read.
    if let Err(error) = client.write(&value) {
        assert!(matches!(
            error.kind(),
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
        ));
    }
    client
        .read_answer("PUT")
        .assert_problem(413, "value_too_large");
    assert_eq!(server.put("/v1/a", b"1").status, 201);
}

#[test]
fn chunks_are_counted_as_they_come() {
    let server = Server::with(|options| options.limits.value_bytes = 10_000);
    let mut client = server.connect();
    client.write_request("PUT", "/v1/a", &[("Transfer-Encoding", "chunked")], b"");
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
    for _ in 0..4 {
        if client.write(&chunk).is_err() {
            break;
        }
    }
    client
        .read_answer("PUT")
        .assert_problem(413, "value_too_large");
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn a_stalled_body_is_given_up() {
    let server = Server::with(|options| options.limits.body_stall = Duration::from_millis(200));
    for headers in [
        vec![("Content-Length", "100")],
        vec![("Transfer-Encoding", "chunked")],
    ] {
        for sent in [&b""[..], b"5\r\nhello\r\n"] {
            let mut client = server.connect();
            client.write_request("PUT", "/v1/a", &headers, sent);
            client
                .read_answer("PUT")
                .assert_problem(408, "body_stalled");
        }
    }
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn a_slow_body_that_makes_progress_is_not_given_up() {
    let server = Server::with(|options| options.limits.body_stall = Duration::from_millis(400));
    let mut client = server.connect();
    client.write_request("PUT", "/v1/a", &[("Content-Length", "8")], b"");
    let began = Instant::now();
    for byte in b"progress" {
        client.write(&[*byte]).unwrap();
        // What is tested is the passing of time itself: twice the deadline in all, a quarter of it each time.
        thread::park_timeout(Duration::from_millis(100));
    }
    assert!(began.elapsed() > Duration::from_millis(400));
    assert_eq!(client.read_answer("PUT").status, 201);
    assert_eq!(server.get("/v1/a").text(), "progress");
}

#[test]
fn a_reader_that_stops_is_cut() {
    let server = Server::with(|options| options.limits.read_stall = Duration::from_secs(1));
    let value = vec![7; 16 << 20];
    server.put("/v1/large", &value);
    let mut client = server.connect();
    client.write_request("GET", "/v1/large", &[], b"");
    // The kernel holds some megabytes for us; the rest cannot be sent until we read, and we do not.
    let deadline = Instant::now() + PATIENCE;
    loop {
        thread::park_timeout(Duration::from_millis(100));
        if let Some(error) = client.stream().take_error().unwrap() {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            break;
        }
        if peer_is_gone(&server) {
            break;
        }
        assert!(Instant::now() < deadline, "the reader was never cut");
    }
    // What the kernel had is all that there is.
    assert!(client.read_to_end().len() < value.len());
}

/// Whether the server has no connection left that still has bytes to send.
pub(crate) fn peer_is_gone(server: &Server) -> bool {
    let port = format!(":{:04X}", server.address().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // Columns: local address, remote address, state (01 is established), bytes to send:bytes to read.
    !table.lines().skip(1).any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns[1].ends_with(&port) && columns[3] == "01" && !columns[4].starts_with("00000000:")
    })
}

#[test]
fn bodies_beyond_the_budget_are_refused_until_there_is_room() {
    let server = Server::with(|options| options.limits.inflight_bytes = 1 << 20);
    let len = (1_usize << 20).to_string();
    for headers in [
        vec![("Content-Length", len.as_str())],
        vec![("Content-Length", &len), ("Content-Type", "a/b")],
    ] {
        let mut first = server.connect();
        first.write_request("PUT", "/v1/a", &headers, b"x");
        server.wait_for("standpipe_http_inflight_bytes", 1 << 20);
        let problem = server
            .put("/v1/b", &vec![7; 1 << 20])
            .assert_problem(503, "overloaded");
        assert_eq!(problem["setting"], "limits.inflight_bytes");
        // Small values and reads go on.
        assert!(server.put("/v1/small", b"1").status < 205);
        first.write(&vec![b'x'; (1 << 20) - 1]).unwrap();
        assert!(first.read_answer("PUT").status < 205);
        server.wait_for("standpipe_http_inflight_bytes", 0);
        assert!(server.put("/v1/b", &vec![7; 1 << 20]).status < 205);
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .write(b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n")
        .unwrap();
    let line = format!("X-Filler: {}\r\n", "x".repeat(8_000));
    for _ in 0..40 {
        if client.write(line.as_bytes()).is_err() {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(server.get("/livez").status, 200);
}
