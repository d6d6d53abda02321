//! Versions and conditions (RFC 9110, section 13).

use std::sync::Barrier;
use std::thread;

use crate::harness::Server;

#[test]
fn if_none_match_star_creates_only() {
    let server = Server::start();
    let create = |body: &[u8]| server.send("PUT", "/v1/a", &[("If-None-Match", "*")], body);
    assert_eq!(create(b"1").status, 201);
    let current = server.get("/v1/a").etag().to_owned();
    let refused = create(b"2");
    refused.assert_problem(412, "condition_failed");
    assert_eq!(refused.etag(), current);
    assert_eq!(server.get("/v1/a").text(), "1");
}

#[test]
fn if_match_changes_only_that_version() {
    let server = Server::start();
    let first = server.put("/v1/a", b"1").etag().to_owned();
    let second = server.send("PUT", "/v1/a", &[("If-Match", &first)], b"2");
    assert_eq!(second.status, 204);
    let refused = server.send("PUT", "/v1/a", &[("If-Match", &first)], b"3");
    refused.assert_problem(412, "condition_failed");
    assert_eq!(refused.etag(), second.etag());
    let list = format!("\"other\", {first}, {}", second.etag());
    assert_eq!(
        server
            .send("PUT", "/v1/a", &[("If-Match", &list)], b"4")
            .status,
        204
    );
    assert_eq!(
        server
            .send("PUT", "/v1/a", &[("If-Match", "*")], b"5")
            .status,
        204
    );
    assert_eq!(server.get("/v1/a").text(), "5");
}

#[test]
fn if_match_on_an_absent_key_writes_nothing() {
    let server = Server::start();
    for tag in ["*", "\"0000000000000001-1\""] {
        let put = server.send("PUT", "/v1/a", &[("If-Match", tag)], b"1");
        put.assert_problem(412, "condition_failed");
        assert_eq!(put.header("etag"), None);
        let delete = server.send("DELETE", "/v1/a", &[("If-Match", tag)], b"");
        delete.assert_problem(412, "condition_failed");
    }
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn weak_tags_never_match_a_change() {
    let server = Server::start();
    let weak = format!("W/{}", server.put("/v1/a", b"1").etag());
    server
        .send("PUT", "/v1/a", &[("If-Match", &weak)], b"2")
        .assert_problem(412, "condition_failed");
    assert_eq!(
        server
            .send("GET", "/v1/a", &[("If-None-Match", &weak)], b"")
            .status,
        304
    );
}

#[test]
fn a_known_version_is_not_sent_again() {
    let server = Server::start();
    let etag = server.put("/v1/a?ttl=1h", b"1").etag().to_owned();
    for method in ["GET", "HEAD"] {
        let answer = server.send(method, "/v1/a", &[("If-None-Match", &etag)], b"");
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        assert_eq!(answer.etag(), etag);
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert!(answer.header("expires").is_some());
        assert_eq!(
            server
                .send(method, "/v1/a", &[("If-None-Match", "\"other\"")], b"")
                .status,
            200
        );
        assert_eq!(
            server
                .send(method, "/v1/a", &[("If-None-Match", "*")], b"")
                .status,
            304
        );
    }
}

#[test]
fn if_match_guards_reads_too_but_never_hides_that_a_key_is_absent() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    server
        .send("GET", "/v1/a", &[("If-Match", "\"other\"")], b"")
        .assert_problem(412, "condition_failed");
    server
        .send("GET", "/v1/none", &[("If-Match", "\"other\"")], b"")
        .assert_problem(404, "key_not_found");
}

#[test]
fn if_match_is_asked_before_if_none_match() {
    let server = Server::start();
    let etag = server.put("/v1/a", b"1").etag().to_owned();
    let both = [("If-Match", "\"other\""), ("If-None-Match", etag.as_str())];
    server
        .send("GET", "/v1/a", &both, b"")
        .assert_problem(412, "condition_failed");
    let both = [
        ("If-Match", etag.as_str()),
        ("If-None-Match", etag.as_str()),
    ];
    server
        .send("PUT", "/v1/a", &both, b"2")
        .assert_problem(412, "condition_failed");
}

#[test]
fn a_condition_that_cannot_be_read_is_refused_not_ignored() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    for tag in ["abc", "\"open", "\"a\" \"b\""] {
        for method in ["PUT", "DELETE", "GET"] {
            server
                .send(method, "/v1/a", &[("If-Match", tag)], b"")
                .assert_problem(400, "invalid_parameter");
        }
    }
    assert_eq!(server.get("/v1/a").text(), "1");
}

#[test]
fn an_empty_list_of_versions_matches_none() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    server
        .send("PUT", "/v1/a", &[("If-Match", "")], b"2")
        .assert_problem(412, "condition_failed");
    assert_eq!(
        server
            .send("GET", "/v1/a", &[("If-None-Match", "")], b"")
            .text(),
        "1"
    );
}

#[test]
fn a_delete_of_another_version_is_refused() {
    let server = Server::start();
    let first = server.put("/v1/a", b"1").etag().to_owned();
    let second = server.put("/v1/a", b"2").etag().to_owned();
    let refused = server.send("DELETE", "/v1/a", &[("If-Match", &first)], b"");
    refused.assert_problem(412, "condition_failed");
    assert_eq!(refused.etag(), second);
    assert_eq!(
        server
            .send("DELETE", "/v1/a", &[("If-Match", &second)], b"")
            .status,
        204
    );
}

#[test]
fn a_version_never_comes_again() {
    let server = Server::start();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        assert!(seen.insert(server.put("/v1/a", b"same").etag().to_owned()));
        server.send("DELETE", "/v1/a", &[], b"");
        assert!(seen.insert(server.put("/v1/a", b"same").etag().to_owned()));
        server.send("POST", "/flush", &[], b"");
    }
    let server = Server::over(server.stop(), |_| {});
    assert!(seen.insert(server.put("/v1/a", b"same").etag().to_owned()));
}

#[test]
fn of_many_concurrent_puts_with_one_etag_exactly_one_wins() {
    const CLIENTS: usize = 16;
    const ROUNDS: usize = 20;
    let server = Server::start();
    for _ in 0..ROUNDS {
        let etag = server.put("/v1/a", b"start").etag().to_owned();
        let barrier = Barrier::new(CLIENTS);
        let won: Vec<String> = thread::scope(|scope| {
            let contenders: Vec<_> = (0..CLIENTS)
                .map(|n| {
                    let (server, etag, barrier) = (&server, &etag, &barrier);
                    scope.spawn(move || {
                        let mut client = server.connect();
                        let body = n.to_string();
                        barrier.wait();
                        let put =
                            client.send("PUT", "/v1/a", &[("If-Match", etag)], body.as_bytes());
                        assert!(put.status == 204 || put.status == 412, "{put:?}");
                        (put.status == 204).then_some(body)
                    })
                })
                .collect();
            contenders
                .into_iter()
                .filter_map(|contender| contender.join().unwrap())
                .collect()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(server.get("/v1/a").text(), won[0]);
    }
}
