//! Coming back: from an event, from inside a change of many events, after a restart; and what is said where that is not
//! possible.

use serde_json::json;

use crate::follower::{Event, Follower, told};
use crate::harness::Server;

fn since(server: &Server, id: &str) -> Follower {
    Follower::new(server, &format!("default/watch?since={id}"))
}

fn last_event_id(server: &Server, query: &str, id: &str) -> Follower {
    let target = format!("default/watch?{query}");
    Follower::with(server, &target, &[("Last-Event-ID", id)])
}

#[test]
fn a_watch_goes_on_behind_any_event() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    let begun = follower.last_id.clone();
    let keys = ["a", "b", "c", "d"];
    for key in keys {
        server.put(&format!("/v1/{key}"), b"1");
    }
    let ids: Vec<String> = keys.map(|_| follower.next().id.unwrap()).into();
    let puts = keys.map(|key| ("put", key));
    assert_eq!(since(&server, &begun).take(4), told(&puts));
    for (n, id) in ids.iter().enumerate().take(3) {
        assert_eq!(since(&server, id).take(3 - n), told(&puts[n + 1..]));
        let mut follower = last_event_id(&server, "", id);
        assert_eq!(follower.take(3 - n), told(&puts[n + 1..]));
    }
    let mut live = since(&server, &ids[3]);
    server.put("/v1/e", b"1");
    assert_eq!(live.take(1), told(&[("put", "e")]));
}

#[test]
fn a_watch_goes_on_inside_a_batch() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    let operations: Vec<_> = (0..5)
        .map(|n| json!({"op": "put", "key": n.to_string(), "value": "1"}))
        .collect();
    let body = json!({"atomic": true, "operations": operations}).to_string();
    server.send("POST", "/keyspaces/default/batch", &[], body.as_bytes());
    server.put("/v1/after", b"1");
    let events: Vec<Event> = (0..6).map(|_| follower.next()).collect();
    let etags = events.iter().take(5).map(|event| &event.data["etag"]);
    let etags: std::collections::BTreeSet<_> = etags.map(ToString::to_string).collect();
    assert_eq!(etags.len(), 1, "one change");
    for n in 0..5 {
        let id = events[n].id.as_deref().unwrap();
        let rest = since(&server, id).take(5 - n);
        let keys: Vec<_> = events[n + 1..]
            .iter()
            .map(|event| ("put", event.key()))
            .collect();
        assert_eq!(rest, told(&keys), "behind {n}");
    }
}

#[test]
fn the_last_event_id_wins_over_since_which_wins_over_initial() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    for key in ["a", "b", "c"] {
        server.put(&format!("/v1/{key}"), b"1");
    }
    let [a, b, _] = [0; 3].map(|_| follower.next().id.unwrap());
    let query = format!("since={a}&initial=true");
    let mut follower = Follower::new(&server, &format!("default/watch?{query}"));
    assert_eq!(follower.take(2), told(&[("put", "b"), ("put", "c")]));
    let mut follower = last_event_id(&server, &query, &b);
    assert_eq!(follower.take(1), told(&[("put", "c")]));
    let mut follower = last_event_id(&server, "initial=true", "");
    assert_eq!(
        follower.take(1),
        told(&[("put", "a")]),
        "an empty one is none"
    );
}

#[test]
fn who_comes_back_after_a_restart_misses_nothing() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "default/watch");
    server.put("/v1/a", b"1");
    let id = follower.next().id.unwrap();
    server.put("/v1/b", b"1");
    server.send("DELETE", "/v1/a", &[], b"");
    let body = br#"{"atomic":true,"operations":[{"op":"put","key":"x","value":"1"},{"op":"delete","key":"b"}]}"#;
    server.send("POST", "/keyspaces/default/batch", &[], body);
    server.put("/v1/t", b"1");
    server.send("PUT", "/keyspaces/default/ttl/t", &[], br#"{"ttl":"1h"}"#);
    server.send("DELETE", "/keyspaces/default/keys?prefix=x", &[], b"");
    server.send("POST", "/flush", &[], b"");
    let before: Vec<Event> = (0..8).map(|_| follower.next()).collect();
    drop(follower);
    let server = Server::over(server.stop(), |_| {});
    let mut follower = last_event_id(&server, "", &id);
    let after: Vec<Event> = (0..8).map(|_| follower.next()).collect();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.id, after.id);
        assert_eq!(before.name, after.name);
        assert_eq!(before.data, after.data);
    }
    // Also from the middle of the batch.
    let mut follower = last_event_id(&server, "", before[2].id.as_deref().unwrap());
    assert_eq!(follower.take(1), told(&[("delete", "b")]));
    server.put("/v1/new", b"1");
    let mut live = last_event_id(&server, "", before[7].id.as_deref().unwrap());
    assert_eq!(live.take(1), told(&[("put", "new")]));
}

#[test]
fn a_place_that_is_not_kept_is_gone_or_a_reset() {
    let server = Server::with(|options| options.watch.history_events = 3);
    let mut follower = Follower::new(&server, "default/watch");
    let old = follower.last_id.clone();
    for key in ["a", "b", "c", "d", "e"] {
        server.put(&format!("/v1/{key}"), b"1");
    }
    let ids: Vec<String> = (0..5).map(|_| follower.next().id.unwrap()).collect();
    // What is kept is enough to go on behind the second.
    assert_eq!(since(&server, &ids[1]).take(1), told(&[("put", "c")]));
    for id in [&old, &ids[0]] {
        let gone = server.get(&format!("/keyspaces/default/watch?since={id}"));
        gone.assert_problem(410, "compacted");
        let mut follower = last_event_id(&server, "", id);
        let reset = follower.next();
        assert_eq!(reset.name, "reset");
        assert_eq!(reset.data, json!({"reason": "compacted"}));
        assert!(reset.id.is_some(), "a place to go on from");
        server.put("/v1/f", b"1");
        assert_eq!(follower.take(1), told(&[("put", "f")]));
    }
}

#[test]
fn a_reset_is_followed_by_what_is_there_where_that_was_asked_for() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    server.put("/v1/b", b"1");
    let mut follower = last_event_id(&server, "initial=true", "00000000000000ab-1");
    let reset = follower.next();
    assert_eq!((reset.name.as_str(), reset.id), ("reset", None));
    let all = [("put", "a"), ("put", "b"), ("synced", "")];
    assert_eq!(follower.take(3), told(&all));
    server.put("/v1/c", b"1");
    assert_eq!(follower.take(1), told(&[("put", "c")]));
}

#[test]
fn a_place_of_another_store_or_of_the_future_is_not_known() {
    let server = Server::start();
    let put = server.put("/v1/a", b"1");
    let place = put.etag().trim_matches('"');
    // The version of a value is the place behind the change that wrote it.
    let mut follower = since(&server, place);
    let (mark, _) = place.split_once('-').unwrap();
    for id in [
        "00000000000000ab-1".to_owned(),
        format!("{mark}-ffff"),
        format!("{mark}-8000000000000005"),
    ] {
        let answer = server.get(&format!("/keyspaces/default/watch?since={id}"));
        answer.assert_problem(410, "compacted");
        assert_eq!(last_event_id(&server, "", &id).next().name, "reset");
    }
    server.put("/v1/b", b"1");
    assert_eq!(follower.take(1), told(&[("put", "b")]));
}

#[test]
fn what_was_in_memory_alone_is_not_known_after_a_restart() {
    let server = Server::start();
    let policy = br#"{"durability":"memory"}"#;
    server.send("PUT", "/keyspaces/fast", &[], policy);
    let mut follower = Follower::new(&server, "fast/watch");
    server.put("/keyspaces/fast/keys/a", b"1");
    server.put("/keyspaces/fast/keys/b", b"1");
    let id = follower.next().id.unwrap();
    let mut again = Follower::new(&server, &format!("fast/watch?since={id}"));
    assert_eq!(again.take(1), told(&[("put", "b")]));
    drop((follower, again));
    let server = Server::over(server.stop(), |_| {});
    let gone = server.get(&format!("/keyspaces/fast/watch?since={id}"));
    gone.assert_problem(410, "compacted");
}

#[test]
fn a_keyspace_that_took_the_name_of_another_is_not_what_was_watched() {
    let server = Server::start();
    server.send("PUT", "/keyspaces/one", &[], b"{}");
    let mut follower = Follower::new(&server, "one/watch");
    server.put("/keyspaces/one/keys/a", b"1");
    let id = follower.next().id.unwrap();
    server.send("DELETE", "/keyspaces/one", &[], b"");
    server.send("PUT", "/keyspaces/one", &[], b"{}");
    server.put("/keyspaces/one/keys/b", b"1");
    let headers = [("Last-Event-ID", id.as_str())];
    let mut follower = Follower::with(&server, "one/watch?initial=true", &headers);
    let all = [("reset", ""), ("put", "b"), ("synced", "")];
    assert_eq!(follower.take(3), told(&all));
}

#[test]
fn a_reader_that_falls_behind_is_told_or_of_one_key_gets_the_newest_value() {
    let server = Server::with(|options| options.watch.history_events = 10);
    server.send(
        "PUT",
        "/keyspaces/fast",
        &[],
        br#"{"durability":"written"}"#,
    );
    let mut all = Follower::new(&server, "fast/watch?values=true");
    let mut one = Follower::new(&server, "fast/watch?key=k&values=true");
    // More than the connection takes while nobody reads.
    let value = "x".repeat(100_000);
    for n in 0..300 {
        let put = server.put("/keyspaces/fast/keys/k", format!("{n} {value}").as_bytes());
        assert!(put.status < 300);
    }
    server.put("/keyspaces/fast/keys/k", b"last");
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "reset") {
        names.push(all.next().name);
    }
    assert!(
        names.len() < 300,
        "it was told before everything had passed"
    );
    let mut values = Vec::new();
    while values.last().is_none_or(|value| value != "last") {
        let event = one.next();
        assert_eq!((event.name.as_str(), event.key()), ("put", "k"));
        values.push(event.data["value"].as_str().unwrap().to_owned());
    }
    assert!(values.len() < 300, "it did not hear of everything");
    let numbers: Vec<u32> = values
        .iter()
        .filter_map(|value| value.split_once(' ')?.0.parse().ok())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}
