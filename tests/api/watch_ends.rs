//! How a watch ends, what it shows meanwhile, and how many there may be.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::follower::{Follower, told};
use crate::harness::{PATIENCE, Server};

#[test]
fn it_ends_after_so_many_events_synced_aside() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let mut follower = Follower::new(&server, "default/watch?initial=true&limit=3");
    server.put("/v1/b", b"1");
    server.put("/v1/c", b"1");
    server.put("/v1/d", b"1");
    let all = [("put", "a"), ("synced", ""), ("put", "b"), ("put", "c")];
    assert_eq!(follower.take(4), told(&all));
    assert!(follower.event().is_none());
    // The connection is as good as before.
    let answer = follower.client().send("GET", "/v1/a", &[], b"");
    assert_eq!(answer.text(), "1");
}

#[test]
fn it_ends_after_its_time_with_a_word_of_why() {
    let server = Server::start();
    let began = Instant::now();
    let mut follower = Follower::new(&server, "default/watch?timeout=300ms&limit=5");
    let rest = follower.rest();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0].name, "bye");
    assert_eq!(rest[0].data, json!({"reason": "timeout"}));
}

#[test]
fn no_watch_lasts_longer_than_the_server_lets_it() {
    let server = Server::with(|options| {
        options.limits.watch_duration = Some(Duration::from_millis(300));
    });
    let mut follower = Follower::new(&server, "default/watch?timeout=1h");
    let bye = follower.next();
    assert_eq!(bye.data, json!({"reason": "watch_duration"}));
    assert!(follower.event().is_none());
    let mut follower = Follower::new(&server, "default/watch?timeout=1ms");
    assert_eq!(follower.next().data, json!({"reason": "timeout"}));
}

#[test]
fn a_stopping_server_says_so_at_once_and_is_not_held() {
    let server = Server::with(|options| options.drain_timeout = PATIENCE);
    server.put("/v1/a", b"1");
    let mut followers: Vec<_> = ["watch", "watch?key=a", "watch?initial=true"]
        .iter()
        .map(|target| Follower::new(&server, &format!("default/{target}")))
        .collect();
    assert_eq!(followers[2].take(2), told(&[("put", "a"), ("synced", "")]));
    let began = Instant::now();
    drop(server.stop());
    assert!(began.elapsed() < PATIENCE / 3, "{:?}", began.elapsed());
    for follower in &mut followers {
        let rest = follower.rest();
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!(rest[0].name, "bye");
        assert_eq!(rest[0].data, json!({"reason": "draining"}));
    }
}

#[test]
fn dropping_the_keyspace_ends_its_watches_and_no_others() {
    let server = Server::start();
    for name in ["one", "two", "memory"] {
        let policy = if name == "memory" {
            r#"{"durability":"memory"}"#
        } else {
            "{}"
        };
        server.send("PUT", &format!("/keyspaces/{name}"), &[], policy.as_bytes());
    }
    let mut one = Follower::new(&server, "one/watch?key=x");
    let mut two = Follower::new(&server, "two/watch");
    let mut memory = Follower::new(&server, "memory/watch");
    server.put("/keyspaces/one/keys/x", b"1");
    for name in ["one", "memory"] {
        assert_eq!(
            server
                .send("DELETE", &format!("/keyspaces/{name}"), &[], b"")
                .status,
            204
        );
    }
    assert_eq!(one.next().key(), "x");
    for follower in [&mut one, &mut memory] {
        let bye = follower.next();
        assert_eq!(bye.name, "bye");
        assert_eq!(bye.data, json!({"reason": "keyspace_dropped"}));
        assert!(follower.event().is_none());
    }
    server.put("/keyspaces/two/keys/x", b"1");
    assert_eq!(two.take(1), told(&[("put", "x")]));
}

#[test]
fn a_quiet_watch_shows_that_it_lives_and_where_to_go_on() {
    let server = Server::with(|options| options.watch.heartbeat = Duration::from_millis(100));
    let mut follower = Follower::new(&server, "default/watch?key=mine");
    let begun = follower.last_id.clone();
    server.put("/v1/other", b"1");
    // What happens to other keys moves it on: it does not fall behind because nothing concerns it.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let block = follower.block().unwrap();
        assert!(block.data.is_null(), "{block:?}");
        assert!(block.id.is_some());
        if follower.last_id != begun {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    server.put("/v1/mine", b"1");
    assert_eq!(follower.take(1), told(&[("put", "mine")]));
    let mut again = Follower::with(
        &server,
        "default/watch",
        &[("Last-Event-ID", begun.as_str())],
    );
    assert_eq!(again.take(2), told(&[("put", "other"), ("put", "mine")]));
}

#[test]
fn there_are_so_many_watches_and_no_more() {
    let server = Server::with(|options| options.limits.watchers = 3);
    let followers: Vec<_> = (0..3)
        .map(|_| Follower::new(&server, "default/watch"))
        .collect();
    let problem = server.get("/keyspaces/default/watch");
    let problem = problem.assert_problem(503, "overloaded");
    assert_eq!(problem["limit"], 3);
    assert_eq!(problem["actual"], 4);
    assert_eq!(problem["setting"], "limits.watchers");
    server.wait_for("standpipe_watchers", 3);
    // Who goes away without a word leaves a place.
    drop(followers);
    server.wait_for("standpipe_watchers", 0);
    drop(Follower::new(&server, "default/watch"));
    let limits = server.get("/limits").json();
    let shown = limits["items"].as_array().unwrap();
    assert!(
        shown
            .iter()
            .any(|item| item["setting"] == "limits.watchers")
    );
}

#[test]
fn a_reader_that_has_stopped_is_cut_and_a_quiet_one_is_not() {
    let server = Server::with(|options| {
        options.limits.read_stall = Duration::from_secs(1);
        options.watch.heartbeat = Duration::from_millis(200);
    });
    let mut quiet = Follower::new(&server, "default/watch?key=mine");
    let mut stopped = server.connect();
    let target = "/keyspaces/default/watch?values=true";
    stopped.write_request("GET", target, &[], b"");
    server.wait_for("standpipe_watchers", 2);
    let value = vec![b'v'; 200_000];
    let deadline = Instant::now() + PATIENCE;
    let watchers = |count: &str| {
        let line = format!("standpipe_watchers {count}");
        server
            .get("/metrics")
            .text()
            .lines()
            .any(|known| known == line)
    };
    while !watchers("1") {
        assert!(Instant::now() < deadline, "it was never cut");
        server.put("/v1/other", &value);
        // The quiet one shows that it lives, all the while.
        assert!(quiet.block().unwrap().data.is_null());
    }
    server.put("/v1/mine", b"1");
    assert_eq!(quiet.take(1), told(&[("put", "mine")]));
}
