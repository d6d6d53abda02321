//! Sinks over HTTP, with a table of `SQLite` behind them: what is passed on, what waits, what was refused. The other databases
//! are in `tests/live`.

use std::time::Duration;

use serde_json::{Value, json};
use standpipe::sink::{self, Deletes, Mode};

use crate::harness::Server;
use crate::sink_stage::{
    Base, add, post, rows, serving, serving_over, shown, sync, synced, views, waiting,
};

#[test]
fn increments_are_summed_and_passed_on_once() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    for by in [1, 2, -5] {
        add(&server, "a", by);
    }
    add(&server, "b", 7);
    assert_eq!(shown(&server)["pending"], 2);
    assert_eq!(synced(&server), 2);
    assert_eq!(base.rows(), rows(&[("a", "-2"), ("b", "7")]));
    assert_eq!(synced(&server), 0);
    add(&server, "a", 10);
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("a", "8"), ("b", "7")]));
    let shown = shown(&server);
    assert_eq!(
        (&shown["pending"], &shown["state"]),
        (&0.into(), &"idle".into())
    );
    assert_eq!(shown["since_start"]["passed_on"], 3);
    assert_eq!(shown["last_error"], Value::Null);
    assert_eq!(shown["target"]["kind"], "sql");
}

#[test]
fn only_increments_make_sums_and_nothing_else_changes_them() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    add(&server, "a", 5);
    assert_eq!(server.put("/keyspaces/views/keys/a", b"100").status, 204);
    add(&server, "a", 1);
    server.send("DELETE", "/keyspaces/views/keys/a", &[], b"");
    server.put("/keyspaces/views/keys/b", b"3");
    server.send("POST", "/keyspaces/views/flush", &[], b"");
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("a", "6")]));
}

#[test]
fn the_latest_values_are_passed_on_and_deletions_where_that_was_asked_for() {
    for (deletes, left) in [(Deletes::Propagate, 1), (Deletes::Ignore, 3)] {
        let base = Base::new("TEXT");
        let server = serving(base.sink(Mode::Upsert(deletes)));
        for (key, value) in [("a", "1"), ("a", "2"), ("b", "x"), ("c", "x")] {
            server.put(&format!("/keyspaces/views/keys/{key}"), value.as_bytes());
        }
        assert_eq!(synced(&server), 3);
        assert_eq!(base.rows(), rows(&[("a", "2"), ("b", "x"), ("c", "x")]));
        server.send("DELETE", "/keyspaces/views/keys/b", &[], b"");
        server.send("POST", "/keyspaces/views/flush", &[], b"");
        server.put("/keyspaces/views/keys/d", b"new");
        synced(&server);
        assert_eq!(
            base.rows().len(),
            left + usize::from(deletes == Deletes::Ignore),
            "{:?}",
            base.rows()
        );
        assert!(base.rows().contains(&("d".to_owned(), "new".to_owned())));
    }
}

#[test]
fn what_waits_survives_a_restart_and_is_passed_on_by_a_stop() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    add(&server, "a", 1);
    base.execute("ALTER TABLE t RENAME TO away");
    assert_eq!(sync(&server).status, 502);
    let directory = server.stop();
    base.execute("ALTER TABLE away RENAME TO t");
    let server = serving_over(directory, base.sink(Mode::Increment));
    assert_eq!(base.rows(), rows(&[("a", "1")]));
    add(&server, "a", 2);
    let directory = server.stop();
    assert_eq!(base.rows(), rows(&[("a", "3")]));
    serving_over(directory, base.sink(Mode::Increment));
    assert_eq!(base.rows(), rows(&[("a", "3")]));
}

#[test]
fn what_waits_is_passed_on_by_the_clock_also_behind_a_failure() {
    let base = Base::new("INTEGER");
    let soon = Duration::from_millis(10);
    let sink = sink::Options {
        every: soon,
        backoff_min: soon,
        backoff_max: soon,
        ..base.sink(Mode::Increment)
    };
    let server = serving(sink);
    add(&server, "a", 1);
    server.wait_until(|_| base.rows() == rows(&[("a", "1")]));
    base.execute("ALTER TABLE t RENAME TO away");
    add(&server, "a", 2);
    server.wait_until(|server| shown(server)["state"] == "retrying");
    base.execute("ALTER TABLE away RENAME TO t");
    server.wait_until(|_| base.rows() == rows(&[("a", "3")]));
    server.wait_until(|server| shown(server)["state"] == "idle");
    let error = &shown(&server)["last_error"];
    assert!(
        error["text"].as_str().unwrap().contains("no such table"),
        "{error}"
    );
}

#[test]
fn a_target_that_is_not_fit_is_told_before_anything_waits() {
    let base = Base::new("TEXT");
    let server = Server::with(views(base.sink(Mode::Increment)));
    server.wait_until(|server| shown(server)["state"] == "unsuitable");
    // With nothing to pass on nothing has failed.
    assert_eq!(synced(&server), 0);
    add(&server, "a", 1);
    let problem = sync(&server).assert_problem(502, "sink_failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("value_column"), "{detail}");
    assert_eq!(shown(&server)["pending"], 1);
}

#[test]
fn whoever_asks_at_the_same_time_shares_one_attempt() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    assert_eq!(synced(&server), 0);
    add(&server, "a", 1);
    // Somebody writes to the file for as long as this stays open.
    let mut other = base.connect();
    base.run(&mut other, "BEGIN IMMEDIATE");
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_request("POST", "/sinks/views/sync", &[], b"");
    }
    server.wait_until(|server| shown(server)["state"] == "sending");
    // What waits is seen and writers go on meanwhile.
    add(&server, "a", 1);
    add(&server, "b", 1);
    base.run(&mut other, "COMMIT");
    let passed: u64 = clients
        .iter_mut()
        .map(|client| client.read_answer("POST"))
        .map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()["passed_on"].as_u64().unwrap()
        })
        .max()
        .unwrap();
    assert!((1..=3).contains(&passed), "{passed}");
    synced(&server);
    assert_eq!(base.rows(), rows(&[("a", "2"), ("b", "1")]));
    let successes = shown(&server)["since_start"]["successes"].as_u64().unwrap();
    assert!(successes <= 3, "{successes} attempts for 21 requests");
}

#[test]
fn what_the_target_refuses_is_set_aside_and_can_be_tried_again() {
    let base = Base::new("INTEGER CHECK (v < 100)");
    let server = serving(base.sink(Mode::Increment));
    for (key, by) in [("a", 1), ("b", 500), ("c", 3)] {
        add(&server, key, by);
    }
    let answer = sync(&server).json();
    assert_eq!(
        (&answer["passed_on"], &answer["set_aside"]),
        (&2.into(), &1.into())
    );
    assert_eq!(base.rows(), rows(&[("a", "1"), ("c", "3")]));
    let dead = server.get("/sinks/views/dead").json();
    let item = &dead["items"][0];
    assert_eq!((&item["key"], &item["sum"]), (&"b".into(), &500.into()));
    assert!(item["reason"].as_str().unwrap().contains("CHECK"), "{item}");
    assert_eq!(
        (&shown(&server)["dead"], &shown(&server)["state"]),
        (&1.into(), &"idle".into())
    );
    // What comes of it later is added to what waits, and both to what is in the list.
    add(&server, "b", 1);
    let redriven = post(
        &server,
        "/sinks/views/redrive",
        &json!({"keys": ["b", "none"]}),
    )
    .json();
    assert_eq!(redriven["redriven"], 1);
    assert_eq!(waiting(&server, ""), r#"{"b":501}"#);
    assert_eq!(sync(&server).json()["set_aside"], 1);
    let directory = server.stop();
    base.execute("ALTER TABLE t RENAME TO u; CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)");
    let server = serving_over(directory, base.sink(Mode::Increment));
    let redriven = server.send("POST", "/sinks/views/redrive", &[], b"").json();
    assert_eq!(redriven["redriven"], 1);
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("b", "501")]));
    assert_eq!(server.get("/sinks/views/dead").json()["items"], json!([]));
}

#[test]
fn a_full_list_of_refused_keys_stops_the_sink_and_loses_nothing() {
    let base = Base::new("INTEGER CHECK (v < 100)");
    let sink = sink::Options {
        max_dead: 1,
        ..base.sink(Mode::Increment)
    };
    let server = serving(sink);
    for (key, by) in [("a", 1), ("b", 500), ("c", 500)] {
        add(&server, key, by);
    }
    let problem = sync(&server).assert_problem(502, "sink_failed");
    assert!(problem["detail"].as_str().unwrap().contains("max_dead"));
    assert_eq!(shown(&server)["state"], "dead_full");
    assert_eq!(base.rows(), []);
    assert_eq!(waiting(&server, ""), r#"{"a":1,"b":500,"c":500}"#);
}

#[test]
fn too_much_that_waits_is_507_and_what_waits_can_still_change() {
    let base = Base::new("INTEGER");
    let sink = sink::Options {
        max_pending: 2,
        ..base.sink(Mode::Increment)
    };
    let server = serving(sink);
    add(&server, "a", 1);
    add(&server, "b", 1);
    let refused = post(&server, "/keyspaces/views/counters/c", &json!({}));
    refused.assert_problem(507, "sink_backlog");
    assert_eq!(server.get("/keyspaces/views/counters/c").status, 404);
    add(&server, "a", 1);
    assert_eq!(synced(&server), 2);
    add(&server, "c", 1);
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("a", "2"), ("b", "1"), ("c", "1")]));
}

#[test]
fn what_waits_is_one_json_object_whatever_the_keys_hold() {
    let base = Base::new("INTEGER");
    let sink = sink::Options {
        max_pending: 100_000,
        ..base.sink(Mode::Increment)
    };
    let server = serving(sink);
    for target in [
        "%22quoted%22",
        "nul%00",
        "%F0%9F%98%80",
        "back%5Cslash",
        "a%2Fb",
        "%7F%0A",
    ] {
        add(&server, target, 1);
    }
    let answer = server.get("/sinks/views/pending");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let all = waiting(&server, "");
    let expected = json!({"\"quoted\"": 1, "a/b": 1, "back\\slash": 1, "nul\0": 1, "\u{7f}\n": 1, "\u{1F600}": 1});
    assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), expected);
    // Sorted by the bytes of the keys, in parts, by prefix.
    let part = |query| waiting(&server, query);
    assert_eq!(part("limit=2"), r#"{"\"quoted\"":1,"a/b":1}"#);
    assert_eq!(part("limit=1&after=a/b"), r#"{"back\\slash":1}"#);
    assert_eq!(part("prefix=nul"), r#"{"nul\u0000":1}"#);
    assert_eq!(part("prefix=none"), "{}");
    // More than one page of them.
    let operations: Vec<_> = (0..1_000)
        .map(|number| json!({"op": "increment", "key": format!("many/{number:04}"), "by": number + 1}))
        .collect();
    let batch = post(
        &server,
        "/keyspaces/views/batch",
        &json!({"operations": operations}),
    );
    assert_eq!(batch.status, 200);
    let many: Value = serde_json::from_str(&part("prefix=many/")).unwrap();
    let many = many.as_object().unwrap();
    assert_eq!(many.len(), 1_000);
    let sorted: Vec<_> = (0..1_000)
        .map(|number| format!("many/{number:04}"))
        .collect();
    assert!(many.keys().eq(&sorted));
    for query in ["limit=0", "limit=x", "limit=-1"] {
        let refused = server.get(&format!("/sinks/views/pending?{query}"));
        refused.assert_problem(400, "invalid_parameter");
    }
}

#[test]
fn a_keyspace_without_a_sink_is_told_so() {
    let server = Server::start();
    assert_eq!(server.get("/sinks").json(), json!({"items": []}));
    for (method, act) in [
        ("POST", "sync"),
        ("GET", "pending"),
        ("GET", "dead"),
        ("POST", "redrive"),
    ] {
        let answer = server.send(method, &format!("/sinks/default/{act}"), &[], b"");
        answer.assert_problem(404, "sink_not_found");
    }
    let answer = post(
        &server,
        "/sinks/none/resume",
        &json!({"generation": "skip"}),
    );
    answer.assert_problem(404, "sink_not_found");
    let wrong = server.get("/sinks/default/sync");
    wrong.assert_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
    server
        .get("/sinks/default/none")
        .assert_problem(404, "route_not_found");
}

#[test]
fn a_keyspace_with_something_that_waits_is_not_dropped() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    base.execute("ALTER TABLE t RENAME TO away");
    add(&server, "a", 1);
    let directory = server.stop();
    // Without the file nobody defines it any more.
    let server = Server::over(directory, |_| {});
    assert_eq!(server.get("/sinks").json(), json!({"items": []}));
    let refused = server.send("DELETE", "/keyspaces/views", &[], b"");
    refused.assert_problem(409, "sink_pending");
    // What comes now waits for nobody.
    add(&server, "b", 1);
    let directory = server.stop();
    base.execute("ALTER TABLE away RENAME TO t");
    let server = serving_over(directory, base.sink(Mode::Increment));
    assert_eq!(base.rows(), rows(&[("a", "1")]));
    let directory = server.stop();
    let server = Server::over(directory, |_| {});
    assert_eq!(
        server.send("DELETE", "/keyspaces/views", &[], b"").status,
        204
    );
}

#[test]
fn the_figures_tell_how_a_sink_fares() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    add(&server, "a", 1);
    server.wait_for(r#"standpipe_sink_pending_keys{keyspace="views"}"#, 1);
    assert_eq!(synced(&server), 1);
    server.wait_for(r#"standpipe_sink_pending_keys{keyspace="views"}"#, 0);
    server.wait_for(
        r#"standpipe_sink_passed_on_keys_total{keyspace="views"}"#,
        1,
    );
    server.wait_for(r#"standpipe_sink_state{keyspace="views",state="idle"}"#, 1);
}
