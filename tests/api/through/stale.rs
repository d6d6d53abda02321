//! Values whose time is over are answered while newer ones are fetched, and where there are none to be had.

use super::*;
use crate::origin::Reply;

/// The time of a value that is over as soon as it is looked at again.
const AT_ONCE: Duration = Duration::from_millis(1);
const FOR_LONG: Duration = Duration::from_hours(1);

fn is_stale(answer: &Answer) -> bool {
    let status = answer.header("cache-status").unwrap();
    status.contains("; ttl=-")
}

#[test]
fn a_value_whose_time_is_over_is_answered_at_once_while_a_newer_one_is_fetched() {
    let origin = Origin::saying(|_| Reply::ok("old"));
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(AT_ONCE);
        setup.source.stale_while_revalidate = Some(FOR_LONG);
    });
    assert_value(&get(&server, "a"), "old", "standpipe; fwd=miss; stored");
    origin.hold();
    origin.say(|_| Reply::ok("new"));
    let stale = until(&server, "a", is_stale);
    let revalidating = "standpipe; hit; ttl=-1; detail=revalidating";
    assert_value(&stale, "old", revalidating);
    origin.wait_for(2);
    // However many ask, one fetch is under way.
    for _ in 0..10 {
        let stale = get(&server, "a");
        assert_eq!((stale.text(), is_stale(&stale)), ("old", true));
    }
    assert_eq!(origin.count(), 2);
    assert!(figure(&server, "stale_answers_total") > 10);
    let only_stored = get_with(&server, "a", "only-if-cached");
    assert_eq!((only_stored.status, is_stale(&only_stored)), (200, true));
    origin.release();
    until(&server, "a", |answer| answer.text() == "new");
}

#[test]
fn a_failed_renewal_changes_nothing_and_is_not_repeated_at_once() {
    let origin = Origin::saying(|_| Reply::ok("old"));
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(AT_ONCE);
        setup.source.stale_while_revalidate = Some(FOR_LONG);
    });
    assert_eq!(get(&server, "a").status, 200);
    origin.say(|_| Reply::status(500));
    until(&server, "a", is_stale);
    origin.wait_for(2);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert_eq!(get(&server, "a").text(), "old");
    }
    // A second passes between one and the next; how long this loop really took nobody knows.
    let most = 3 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(origin.count() <= most, "{}", origin.count());
}

#[test]
fn while_the_origin_is_gone_not_one_read_fails() {
    let mut origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(AT_ONCE);
        setup.source.stale_if_error = Some(FOR_LONG);
    });
    let first = get(&server, "a");
    assert_eq!(first.status, 200);
    origin.die();
    let mut client = server.connect();
    for _ in 0..500 {
        let answer = client.send("GET", &at("a"), &[], b"");
        assert_eq!((answer.status, answer.etag()), (200, first.etag()));
        let status = answer.header("cache-status").unwrap();
        let failed = status.ends_with("; detail=source_failed");
        assert!(failed || status == "standpipe; hit", "{status}");
    }
    // Whoever demands a newer one is told that there is none, and takes nothing away.
    get_with(&server, "a", "no-cache").assert_problem(502, "source_failed");
    assert_eq!(stored(&server, "a").unwrap(), "value of /users/a");
    get(&server, "b").assert_problem(502, "source_failed");
    origin.revive();
    origin.say(|_| Reply::ok("new"));
    until(&server, "a", |answer| answer.text() == "new");
}

#[test]
fn a_value_is_not_answered_for_longer_than_it_may_be() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(AT_ONCE);
        setup.source.stale_if_error = Some(Duration::from_millis(200));
        setup.source.stale_while_revalidate = Some(Duration::from_millis(1));
    });
    assert_eq!(get(&server, "a").status, 200);
    origin.say(|_| Reply::status(503));
    let refused = until(&server, "a", |answer| answer.status != 200);
    refused.assert_problem(502, "source_failed");
    let text = refused.text();
    assert!(text.contains("the source answered 503"), "{text}");
    assert_eq!(
        refused.header("cache-status"),
        Some("standpipe; fwd=miss; detail=source_failed")
    );
}

#[test]
fn a_key_that_is_read_before_its_time_is_over_is_fetched_again_before_that() {
    let origin = Origin::saying(|_| Reply::ok("old"));
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(FOR_LONG);
        setup.source.refresh_ahead = Some(FOR_LONG * 2);
    });
    assert_eq!(get(&server, "a").text(), "old");
    assert_eq!(origin.count(), 1);
    origin.say(|_| Reply::ok("new"));
    assert_value(&get(&server, "a"), "old", "standpipe; hit");
    server.wait_until(|server| stored(server, "a").unwrap() == "new");
    // A client's own time for it stands.
    let put = server.put(&format!("{}?ttl=1h", at("mine")), b"mine");
    assert_eq!(put.status, 201);
    let asked = origin.count();
    assert_eq!(get(&server, "mine").text(), "mine");
    assert_eq!(origin.count(), asked);
}

#[test]
fn a_client_puts_a_value_that_is_over_in_its_time_too() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_millis(300));
        setup.source.stale_if_error = Some(FOR_LONG);
    });
    assert_eq!(server.put(&at("a"), b"mine").status, 201);
    assert_value(&get(&server, "a"), "mine", "standpipe; hit");
    let fetched = until(&server, "a", |answer| answer.text() != "mine");
    assert_value(
        &fetched,
        "value of /users/a",
        "standpipe; fwd=stale; stored",
    );
}
