//! How much a source is asked, and that whoever waits for it is nobody else's business.

use standpipe::source::RateLimit;

use super::*;

#[test]
fn so_many_fetches_are_made_at_one_time_and_the_next_waits_and_is_refused() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |setup| {
        setup.source.max_concurrency = 2;
        setup.source.timeout = Duration::from_secs(3);
    });
    let mut clients = [server.connect(), server.connect()];
    for (client, key) in clients.iter_mut().zip(["a", "b"]) {
        client.write_request("GET", &at(key), &[], b"");
    }
    origin.wait_for(2);
    let mut third = server.connect();
    third.write_request("GET", &at("c"), &[], b"");
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 3);
    assert_eq!(
        (origin.count(), figure(&server, "fetches_in_flight")),
        (2, 2)
    );
    // These are given up when the third is refused, or a moment later.
    let refused = third.read_answer("GET");
    if refused.status == 503 {
        refused.assert_problem(503, "source_rate_limited");
        assert_eq!(refused.header("retry-after"), Some("1"));
    } else {
        // They were given up in time for it to be asked after all.
        refused.assert_problem(504, "source_timeout");
    }
    for client in &mut clients {
        client
            .read_answer("GET")
            .assert_problem(504, "source_timeout");
    }
    origin.release();
    assert_eq!(get(&server, "c").status, 200);
}

#[test]
fn who_waits_for_a_turn_gets_it_when_another_ends() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |setup| setup.source.max_concurrency = 1);
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for (client, key) in clients.iter_mut().zip(["a", "b", "c"]) {
        client.write_request("GET", &at(key), &[], b"");
    }
    server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 3);
    origin.wait_for(1);
    assert_eq!(figure(&server, "fetches_in_flight"), 1);
    origin.release();
    for client in &mut clients {
        assert_eq!(client.read_answer("GET").status, 200);
    }
}

#[test]
fn nobody_is_asked_for_a_client_that_left_before_its_turn() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |setup| setup.source.max_concurrency = 1);
    let mut first = server.connect();
    first.write_request("GET", &at("first"), &[], b"");
    origin.wait_for(1);
    let mut leaving: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (n, client) in leaving.iter_mut().enumerate() {
        client.write_request("GET", &at(&format!("left{n}")), &[], b"");
    }
    let waiters = "standpipe_read_through_waiters{keyspace=\"users\"}";
    server.wait_for(waiters, 21);
    drop(leaving);
    server.wait_for(waiters, 1);
    let mut last = server.connect();
    last.write_request("GET", &at("last"), &[], b"");
    server.wait_for(waiters, 2);
    origin.release();
    assert_eq!(first.read_answer("GET").status, 200);
    assert_eq!(last.read_answer("GET").status, 200);
    assert_eq!(
        origin.asked(),
        ["GET /users/first HTTP/1.1", "GET /users/last HTTP/1.1"]
    );
}

#[test]
fn so_many_fetches_begin_in_a_while_and_readers_are_told_when_the_next_may() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.source.rate_limit = Some(RateLimit {
            per_second: 0.01,
            burst: 2,
        });
    });
    assert_eq!(get(&server, "a").status, 200);
    assert_eq!(get(&server, "b").status, 200);
    let refused = get(&server, "c");
    refused.assert_problem(503, "source_rate_limited");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=100).contains(&seconds), "{seconds}");
    // What is stored costs nothing.
    for _ in 0..20 {
        assert_value(&get(&server, "a"), "value of /users/a", "standpipe; hit");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_rate_lets_a_reader_wait_for_its_turn() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.source.rate_limit = Some(RateLimit {
            per_second: 20.0,
            burst: 1,
        });
    });
    let began = Instant::now();
    for n in 0..5 {
        assert_eq!(get(&server, &format!("a{n}")).status, 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_value_that_is_stale_is_answered_where_there_is_no_turn() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_millis(1));
        setup.source.stale_if_error = Some(Duration::from_hours(1));
        setup.source.rate_limit = Some(RateLimit {
            per_second: 0.001,
            burst: 1,
        });
    });
    let first = get(&server, "a");
    assert_eq!(first.status, 200);
    let stale = until(&server, "a", |answer| {
        answer.header("cache-status") != Some("standpipe; hit")
    });
    assert_eq!(stale.etag(), first.etag());
    let status = stale.header("cache-status").unwrap();
    assert!(
        status.starts_with("standpipe; hit; ttl=-")
            && status.ends_with("; detail=source_rate_limited"),
        "{status}"
    );
}

/// The time within which 99 of 100 reads are answered.
fn p99(server: &Server) -> Duration {
    let mut client = server.connect();
    let mut times: Vec<_> = (0..1_000)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(client.send("GET", "/v1/plain", &[], b"").status, 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[989]
}

#[test]
fn whoever_reads_elsewhere_does_not_notice_that_a_source_hangs() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    assert_eq!(server.put("/v1/plain", b"plain").status, 201);
    let rounds: Vec<_> = (0..3)
        .map(|round| {
            let alone = p99(&server);
            origin.hold();
            let mut hanging: Vec<_> = (0..300).map(|_| server.connect()).collect();
            for (n, client) in hanging.iter_mut().enumerate() {
                client.write_request("GET", &at(&format!("{round}-{n}")), &[], b"");
            }
            server.wait_for("standpipe_read_through_waiters{keyspace=\"users\"}", 300);
            let beside = p99(&server);
            origin.release();
            for client in &mut hanging {
                assert_eq!(client.read_answer("GET").status, 200);
            }
            (alone, beside)
        })
        .collect();
    // The machine may be busy with something else at any time, but not each time only while the source hangs.
    let bounded = |(alone, beside): &(Duration, Duration)| {
        *beside <= (*alone * 3).max(Duration::from_millis(20))
    };
    assert!(rounds.iter().any(bounded), "{rounds:?}");
}
