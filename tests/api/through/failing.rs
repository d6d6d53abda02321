//! Sources that fail: each failure has its code, and one that goes on is left alone.

use standpipe::source::Breaker;

use super::*;
use crate::origin::Reply;

fn breaker(failures: u32, reset: Duration) -> impl FnOnce(&mut Setup) {
    move |setup| setup.source.breaker = Some(Breaker { failures, reset })
}

#[test]
fn each_failure_has_its_code_and_shows_no_address() {
    let mut origin = Origin::saying(|path| match path {
        "/users/short" => Reply::ok("x").with("Content-Length", "5"),
        "/users/elsewhere" => Reply::status(302).with("Location", "file:///etc/passwd"),
        _ => Reply::status(418),
    });
    let server = server(&origin, |_| {});
    for key in ["refused", "elsewhere"] {
        let answer = get(&server, key);
        answer.assert_problem(502, "source_failed");
        let text = answer.text();
        assert!(
            !text.contains("127.0.0.1") && !text.contains("etc"),
            "{text}"
        );
    }
    origin.die();
    let gone = get(&server, "a").assert_problem(502, "source_failed");
    assert_eq!(gone["detail"], "the source cannot be reached");
    let text = server.get("/metrics");
    for (result, count) in [("status", 1), ("unreachable", 2)] {
        let line = format!(
            "standpipe_read_through_fetches_total{{keyspace=\"users\",result=\"{result}\"}} {count}\n"
        );
        assert!(text.text().contains(&line), "{line}: {}", text.text());
    }
}

#[test]
fn a_source_that_takes_too_long_is_told_as_that() {
    let origin = Origin::start();
    origin.hold();
    let server = server(&origin, |setup| {
        setup.source.timeout = Duration::from_millis(100);
    });
    let problem = get(&server, "a").assert_problem(504, "source_timeout");
    assert!(
        problem["detail"].as_str().unwrap().contains("100 ms"),
        "{problem}"
    );
    assert_eq!(figure(&server, "waiters"), 0);
    assert_eq!(figure(&server, "fetches_in_flight"), 0);
}

#[test]
fn a_source_that_fails_too_often_is_left_alone_and_readers_are_told_at_once() {
    let origin = Origin::saying(|_| Reply::status(500));
    let server = server(&origin, breaker(3, Duration::from_secs(1_000)));
    for key in ["a", "b", "c"] {
        get(&server, key).assert_problem(502, "source_failed");
    }
    for _ in 0..50 {
        let refused = get(&server, "a");
        refused.assert_problem(503, "breaker_open");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((900..=1_000).contains(&seconds), "{seconds}");
        assert_eq!(
            refused.header("cache-status"),
            Some("standpipe; detail=breaker_open")
        );
    }
    get_with(&server, "a", "no-cache").assert_problem(503, "breaker_open");
    assert_eq!((origin.count(), figure(&server, "breaker")), (3, 2));
}

#[test]
fn what_is_stale_is_answered_while_the_source_is_left_alone() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        breaker(1, Duration::from_secs(1_000))(setup);
        setup.policy.ttl = Some(Duration::from_millis(1));
        setup.source.stale_if_error = Some(Duration::from_hours(1));
    });
    assert_eq!(get(&server, "a").status, 200);
    origin.say(|_| Reply::status(500));
    get(&server, "b").assert_problem(502, "source_failed");
    let stale = until(&server, "a", |answer| {
        answer.header("cache-status") != Some("standpipe; hit")
    });
    assert_value(
        &stale,
        "value of /users/a",
        "standpipe; hit; ttl=-1; detail=breaker_open",
    );
    assert_eq!(origin.count(), 2);
}

#[test]
fn one_fetch_tries_whether_the_source_has_recovered() {
    let origin = Origin::saying(|_| Reply::status(500));
    let server = server(&origin, breaker(1, Duration::from_millis(50)));
    get(&server, "a").assert_problem(502, "source_failed");
    origin.hold();
    origin.say(|_| Reply::ok("well"));
    // The first that is let through is held back, and nobody else is let through meanwhile.
    server.wait_until(|server| {
        let mut client = server.connect();
        client.write_request("GET", &at("probe"), &[], b"");
        server.wait_until(|server| origin.count() > 1 || figure(server, "waiters") == 0);
        origin.count() > 1
    });
    server.wait_for("standpipe_read_through_breaker{keyspace=\"users\"}", 1);
    let others: Vec<_> = (0..20)
        .map(|n| get(&server, &format!("other{n}")))
        .collect();
    for other in others {
        other.assert_problem(503, "breaker_open");
    }
    assert_eq!(origin.count(), 2);
    origin.release();
    server.wait_for("standpipe_read_through_breaker{keyspace=\"users\"}", 0);
    assert_eq!(get(&server, "a").text(), "well");
}

#[test]
fn a_key_that_the_source_does_not_have_is_no_failure_of_it() {
    let origin = Origin::saying(|_| Reply::status(404));
    let server = server(&origin, breaker(1, Duration::from_secs(1_000)));
    for n in 0..5 {
        get(&server, &format!("a{n}")).assert_problem(404, "key_not_found");
    }
    assert_eq!((origin.count(), figure(&server, "breaker")), (5, 0));
}

#[test]
fn a_key_that_needs_no_asking_says_nothing_about_the_source() {
    let origin = Origin::saying(|_| Reply::status(500));
    let server = server(&origin, breaker(1, Duration::from_millis(1)));
    get(&server, "a").assert_problem(502, "source_failed");
    for cache_control in ["max-age=9", "no-cache", "only-if-cached"] {
        get_with(&server, "..", cache_control).assert_problem(404, "key_not_found");
    }
    assert_eq!((origin.count(), figure(&server, "breaker")), (1, 2));
}
