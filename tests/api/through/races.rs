//! A client that changes a key while it is fetched wins: what was fetched is shown to whoever waits for it and not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::origin::Reply;

/// What a client can do to the key `a`, and what is stored there afterwards.
type Change = (&'static str, fn(&Server) -> Answer, Option<&'static str>);

const CHANGES: &[Change] = &[
    (
        "delete",
        |server| server.send("DELETE", &at("a"), &[], b""),
        None,
    ),
    ("put", |server| server.put(&at("a"), b"mine"), Some("mine")),
    (
        "flush",
        |server| server.send("POST", "/keyspaces/users/flush", &[], b""),
        None,
    ),
    (
        "prefix",
        |server| server.send("DELETE", "/keyspaces/users/keys?prefix=a", &[], b""),
        None,
    ),
    (
        "increment",
        |server| server.send("POST", "/keyspaces/users/counters/a", &[], b""),
        Some("1"),
    ),
    (
        "batch",
        |server| {
            let body = br#"{"operations":[{"op":"put","key":"a","value":"mine"}]}"#;
            server.send("POST", "/keyspaces/users/batch", &[], body)
        },
        Some("mine"),
    ),
    (
        "atomic batch",
        |server| {
            let body = br#"{"atomic":true,"operations":[{"op":"delete","key":"a"}]}"#;
            server.send("POST", "/keyspaces/users/batch", &[], body)
        },
        None,
    ),
];

#[test]
fn whatever_a_client_does_to_a_key_while_it_is_fetched_stands() {
    for (name, change, left) in CHANGES {
        let origin = Origin::start();
        origin.hold();
        let server = server(&origin, |setup| setup.source.negative_ttl = Some(LONG));
        let mut client = server.connect();
        client.write_request("GET", &at("a"), &[], b"");
        origin.wait_for(1);
        assert!(change(&server).status < 300, "{name}");
        // Only a read that begins now may ask again.
        assert_eq!(stored(&server, "a").as_deref(), *left, "{name}");
        origin.release();
        let answer = client.read_answer("GET");
        assert_value(&answer, "value of /users/a", "standpipe; fwd=miss");
        assert_eq!(stored(&server, "a").as_deref(), *left, "{name}");
        let only_stored = get_with(&server, "a", "only-if-cached");
        assert_eq!(only_stored.status == 200, left.is_some(), "{name}");
    }
}

#[test]
fn an_absence_that_a_client_has_overtaken_is_not_remembered_and_takes_nothing_away() {
    let origin = Origin::saying(|_| Reply::status(404));
    origin.hold();
    let server = server(&origin, |setup| {
        setup.source.negative_ttl = Some(LONG * 100);
    });
    let mut client = server.connect();
    client.write_request("GET", &at("a"), &[], b"");
    origin.wait_for(1);
    assert_eq!(server.put(&at("a"), b"mine").status, 201);
    origin.release();
    client
        .read_answer("GET")
        .assert_problem(404, "key_not_found");
    assert_value(&get(&server, "a"), "mine", "standpipe; hit");
    assert_eq!(server.send("DELETE", &at("a"), &[], b"").status, 204);
    get(&server, "a").assert_problem(404, "key_not_found");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_changed_ttl_of_what_is_being_renewed_stands() {
    let origin = Origin::saying(|_| Reply::ok("old"));
    let server = server(&origin, |setup| setup.policy.ttl = Some(LONG));
    assert_eq!(get(&server, "a").text(), "old");
    origin.say(|_| Reply::ok("new"));
    origin.hold();
    let mut client = server.connect();
    client.write_request("GET", &at("a"), &[("Cache-Control", "no-cache")], b"");
    origin.wait_for(2);
    let ttl = "/keyspaces/users/ttl/a";
    let headers = [("Content-Type", "application/json")];
    assert_eq!(
        server.send("PUT", ttl, &headers, br#"{"ttl":"1h"}"#).status,
        200
    );
    origin.release();
    let answer = client.read_answer("GET");
    assert_value(&answer, "new", "standpipe; fwd=request");
    assert_value(&get(&server, "a"), "old", "standpipe; hit");
    assert!(server.get(ttl).json()["ttl_ms"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn a_read_behind_a_change_asks_the_source_anew() {
    let origin = Origin::saying(|_| Reply::ok("old"));
    origin.hold();
    let server = server(&origin, |_| {});
    let mut clients = [server.connect(), server.connect()];
    clients[0].write_request("GET", &at("a"), &[], b"");
    origin.wait_for(1);
    origin.say(|_| Reply::ok("new"));
    assert_eq!(server.send("DELETE", &at("a"), &[], b"").status, 204);
    clients[1].write_request("GET", &at("a"), &[], b"");
    origin.wait_for(2);
    origin.release();
    assert_value(&clients[0].read_answer("GET"), "old", "standpipe; fwd=miss");
    assert_value(
        &clients[1].read_answer("GET"),
        "new",
        "standpipe; fwd=miss; stored",
    );
    assert_eq!(stored(&server, "a").unwrap(), "new");
}

/// Large, so that storing it takes a while.
fn value(number: u64) -> String {
    format!("{number:>60000}")
}

/// Readers without a pause, while this thread changes the source, then the key, several times, and looks.
fn hammer(rounds: u64, change: fn(&Server, u64), check: fn(&Server, u64)) {
    let newest = Arc::new(AtomicU64::new(0));
    let origin = Origin::saying({
        let newest = Arc::clone(&newest);
        move |_| Reply::ok(value(newest.load(Ordering::SeqCst)))
    });
    let server = server(&origin, |_| {});
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !ended.load(Ordering::Relaxed) {
                    assert_eq!(client.send("GET", &at("a"), &[], b"").status, 200);
                }
            });
        }
        let changed = scope.spawn(|| {
            for round in 1..=rounds {
                newest.store(round, Ordering::SeqCst);
                change(&server, round);
                // A fetch takes a while: most changes meet one that is under way.
                if round % 4 == 0 {
                    check(&server, round);
                }
            }
        });
        let changed = changed.join();
        ended.store(true, Ordering::Relaxed);
        changed.unwrap();
    });
}

/// What the source has said before the change must not be answered after it.
fn is_new(server: &Server, round: u64) {
    let answer = get(server, "a");
    let seen: u64 = answer.text().trim().parse().unwrap();
    assert!(seen >= round, "{seen} in round {round}");
}

#[test]
fn nothing_that_was_fetched_before_a_delete_is_ever_answered_after_it() {
    let delete = |server: &Server, _| {
        assert_eq!(server.send("DELETE", &at("a"), &[], b"").status, 204);
    };
    hammer(800, delete, is_new);
}

#[test]
fn nothing_that_was_fetched_before_a_flush_is_ever_answered_after_it() {
    let flush = |server: &Server, round| {
        let (method, target) = match round % 2 {
            0 => ("POST", "/keyspaces/users/flush"),
            _ => ("DELETE", "/keyspaces/users/keys?prefix=a"),
        };
        assert_eq!(server.send(method, target, &[], b"").status, 200);
    };
    hammer(800, flush, is_new);
}

#[test]
fn nothing_that_was_fetched_ever_takes_the_place_of_what_was_put() {
    let put = |server: &Server, round| {
        // So that it is fetched again and again.
        assert_eq!(server.send("DELETE", &at("a"), &[], b"").status, 204);
        if round % 4 == 0 {
            let put = server.put(&at("a"), format!("mine {round}").as_bytes());
            assert!(put.status < 300);
        }
    };
    let is_mine = |server: &Server, round| {
        for _ in 0..3 {
            assert_eq!(get(server, "a").text(), format!("mine {round}"));
        }
    };
    hammer(800, put, is_mine);
}
