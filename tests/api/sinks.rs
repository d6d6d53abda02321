//! Sinks over HTTP, with a table of `SQLite` behind them: what is passed on, what waits, what was refused, and what a person is
//! asked. The other databases are in `tests/live`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use standpipe::outbound::Secret;
use standpipe::server::{Options, Policy};
use standpipe::sink::{self, Deletes, Mode, SqlTarget, Target};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use crate::harness::{Answer, Server};

/// So long that the clock does nothing during a test.
const NEVER: Duration = Duration::from_secs(3600);

/// A database in a folder of its own.
pub(crate) struct Base {
    runtime: Runtime,
    folder: TempDir,
}

impl Base {
    /// With a table `t` of a key and a value.
    pub(crate) fn new(value: &str) -> Self {
        let base = Self {
            runtime: runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        base.execute(&format!("CREATE TABLE t (k TEXT PRIMARY KEY, v {value})"));
        base
    }

    fn options(&self) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("base"));
        options.create_if_missing(true).busy_timeout(NEVER)
    }

    pub(crate) fn connect(&self) -> SqliteConnection {
        self.runtime.block_on(self.options().connect()).unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        let mut connection = self.connect();
        self.run(&mut connection, sql);
        self.runtime.block_on(connection.close()).unwrap();
    }

    pub(crate) fn run(&self, connection: &mut SqliteConnection, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        let ran = sqlx::raw_sql(sql).execute(connection);
        self.runtime.block_on(ran).unwrap();
    }

    /// Every row, in the order of the keys, its value as text.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut connection = self.connect();
        let rows = sqlx::query("SELECT k, CAST(v AS TEXT) FROM t ORDER BY k");
        let rows = self.runtime.block_on(rows.fetch_all(&mut connection));
        self.runtime.block_on(connection.close()).unwrap();
        let rows = rows.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(crate) fn sink(&self, mode: Mode) -> sink::Options {
        let path = self.folder.path().join("base");
        let url = format!("sqlite://{}", path.display());
        options(
            Target::Sql(SqlTarget {
                url: Secret::Given(url.into()),
                table: "t".to_owned(),
                key_column: "k".to_owned(),
                value_column: "v".to_owned(),
            }),
            mode,
        )
    }
}

/// A sink that does nothing by the clock.
pub(crate) fn options(target: Target, mode: Mode) -> sink::Options {
    sink::Options {
        target,
        mode,
        every: NEVER,
        timeout: Duration::from_secs(20),
        batch: 500,
        max_pending: 1_000,
        max_dead: 100,
        backoff_min: NEVER,
        backoff_max: NEVER,
    }
}

/// The keyspace `views` with that sink.
pub(crate) fn views(sink: sink::Options) -> impl FnOnce(&mut Options) {
    move |options| {
        options.keyspaces = vec![("views".to_owned(), Policy::default())];
        options.sinks = [("views".to_owned(), sink)].into();
    }
}

pub(crate) fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    rows.iter().map(owned).collect()
}

pub(crate) fn post(server: &Server, target: &str, body: &Value) -> Answer {
    server.send("POST", target, &[], body.to_string().as_bytes())
}

pub(crate) fn add(server: &Server, key: &str, by: i64) {
    let target = format!("/keyspaces/views/counters/{key}");
    let added = post(server, &target, &json!({"by": by}));
    assert_eq!(added.status, 200, "{}", added.text());
}

pub(crate) fn sync(server: &Server) -> Answer {
    server.send("POST", "/sinks/views/sync", &[], b"")
}

/// What a sync that went well has passed on.
#[track_caller]
pub(crate) fn synced(server: &Server) -> u64 {
    let answer = sync(server);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["passed_on"].as_u64().unwrap()
}

pub(crate) fn shown(server: &Server) -> Value {
    let answer = server.get("/sinks");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"][0].clone()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A copy of a stopped server's directory.
fn backup(directory: &TempDir) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(directory.path(), copied.path());
    copied
}

#[test]
fn increments_are_summed_and_passed_on_once() {
    let base = Base::new("INTEGER");
    let server = Server::with(views(base.sink(Mode::Increment)));
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
    assert_eq!((&shown["pending"], &shown["state"]), (&0.into(), &"idle".into()));
    assert_eq!(shown["since_start"]["passed_on"], 3);
    assert_eq!(shown["last_error"], Value::Null);
    assert_eq!(shown["target"]["kind"], "sql");
}

#[test]
fn only_increments_make_sums_and_nothing_else_changes_them() {
    let base = Base::new("INTEGER");
    let server = Server::with(views(base.sink(Mode::Increment)));
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
        let server = Server::with(views(base.sink(Mode::Upsert(deletes))));
        for (key, value) in [("a", "1"), ("a", "2"), ("b", "x"), ("c", "x")] {
            server.put(&format!("/keyspaces/views/keys/{key}"), value.as_bytes());
        }
        assert_eq!(synced(&server), 3);
        assert_eq!(base.rows(), rows(&[("a", "2"), ("b", "x"), ("c", "x")]));
        server.send("DELETE", "/keyspaces/views/keys/b", &[], b"");
        server.send("POST", "/keyspaces/views/flush", &[], b"");
        server.put("/keyspaces/views/keys/d", b"new");
        synced(&server);
        assert_eq!(base.rows().len(), left + usize::from(deletes == Deletes::Ignore), "{:?}", base.rows());
        assert!(base.rows().contains(&("d".to_owned(), "new".to_owned())));
    }
}

#[test]
fn what_waits_survives_a_restart_and_is_passed_on_by_a_stop() {
    let base = Base::new("INTEGER");
    let server = Server::with(views(base.sink(Mode::Increment)));
    add(&server, "a", 1);
    base.execute("ALTER TABLE t RENAME TO away");
    assert_eq!(sync(&server).status, 502);
    let directory = server.stop();
    base.execute("ALTER TABLE away RENAME TO t");
    let server = Server::over(directory, views(base.sink(Mode::Increment)));
    assert_eq!(shown(&server)["pending"], 1);
    add(&server, "a", 2);
    let directory = server.stop();
    assert_eq!(base.rows(), rows(&[("a", "3")]));
    let server = Server::over(directory, views(base.sink(Mode::Increment)));
    assert_eq!(synced(&server), 0);
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
    let server = Server::with(views(sink));
    add(&server, "a", 1);
    server.wait_until(|_| base.rows() == rows(&[("a", "1")]));
    base.execute("ALTER TABLE t RENAME TO away");
    add(&server, "a", 2);
    server.wait_until(|server| shown(server)["state"] == "retrying");
    base.execute("ALTER TABLE away RENAME TO t");
    server.wait_until(|_| base.rows() == rows(&[("a", "3")]));
    server.wait_until(|server| shown(server)["state"] == "idle");
    let error = &shown(&server)["last_error"];
    assert!(error["text"].as_str().unwrap().contains("no such table"), "{error}");
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
    let server = Server::with(views(base.sink(Mode::Increment)));
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
    let server = Server::with(views(base.sink(Mode::Increment)));
    for (key, by) in [("a", 1), ("b", 500), ("c", 3)] {
        add(&server, key, by);
    }
    let answer = sync(&server).json();
    assert_eq!((&answer["passed_on"], &answer["set_aside"]), (&2.into(), &1.into()));
    assert_eq!(base.rows(), rows(&[("a", "1"), ("c", "3")]));
    let dead = server.get("/sinks/views/dead").json();
    let item = &dead["items"][0];
    assert_eq!((&item["key"], &item["sum"]), (&"b".into(), &500.into()));
    assert!(item["reason"].as_str().unwrap().contains("CHECK"), "{item}");
    assert_eq!((&shown(&server)["dead"], &shown(&server)["state"]), (&1.into(), &"idle".into()));
    // What comes of it later is added to what waits, and both to what is in the list.
    add(&server, "b", 1);
    let redriven = post(&server, "/sinks/views/redrive", &json!({"keys": ["b", "none"]})).json();
    assert_eq!(redriven["redriven"], 1);
    assert_eq!(server.get("/sinks/views/pending").text(), r#"{"b":501}"#);
    assert_eq!(sync(&server).json()["set_aside"], 1);
    let directory = server.stop();
    base.execute("ALTER TABLE t RENAME TO u; CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)");
    let server = Server::over(directory, views(base.sink(Mode::Increment)));
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
    let server = Server::with(views(sink));
    for (key, by) in [("a", 1), ("b", 500), ("c", 500)] {
        add(&server, key, by);
    }
    let problem = sync(&server).assert_problem(502, "sink_failed");
    assert!(problem["detail"].as_str().unwrap().contains("max_dead"));
    assert_eq!(shown(&server)["state"], "dead_full");
    assert_eq!(base.rows(), []);
    let waiting = server.get("/sinks/views/pending").json();
    assert_eq!(waiting["a"], 1);
}

#[test]
fn too_much_that_waits_is_507_and_what_waits_can_still_change() {
    let base = Base::new("INTEGER");
    let sink = sink::Options {
        max_pending: 2,
        ..base.sink(Mode::Increment)
    };
    let server = Server::with(views(sink));
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
    let server = Server::with(views(sink));
    for target in ["%22quoted%22", "nul%00", "%F0%9F%98%80", "back%5Cslash", "a%2Fb", "%7F%0A"] {
        add(&server, target, 1);
    }
    let answer = server.get("/sinks/views/pending");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut client = server.connect();
    client.write_request("GET", "/sinks/views/pending", &[], b"");
    let waiting = whole(&mut client);
    let expected = json!({"\"quoted\"": 1, "a/b": 1, "back\\slash": 1, "nul\0": 1, "\u{7f}\n": 1, "\u{1F600}": 1});
    assert_eq!(serde_json::from_str::<Value>(&waiting).unwrap(), expected);
    // Sorted by the bytes of the keys, in parts, by prefix.
    let part = |query: &str| {
        let mut client = server.connect();
        client.write_request("GET", &format!("/sinks/views/pending?{query}"), &[], b"");
        whole(&mut client)
    };
    assert_eq!(part("limit=2"), r#"{"\"quoted\"":1,"a/b":1}"#);
    assert_eq!(part("limit=1&after=a/b"), r#"{"back\\slash":1}"#);
    assert_eq!(part("prefix=nul"), r#"{"nul\u0000":1}"#);
    assert_eq!(part("prefix=none"), "{}");
    // More than one page of them.
    let operations: Vec<_> = (0..1_000)
        .map(|number| json!({"op": "increment", "key": format!("many/{number:04}"), "by": number + 1}))
        .collect();
    let batch = post(&server, "/keyspaces/views/batch", &json!({"operations": operations}));
    assert_eq!(batch.status, 200);
    let many: Value = serde_json::from_str(&part("prefix=many/")).unwrap();
    let many = many.as_object().unwrap();
    assert_eq!(many.len(), 1_000);
    let sorted: Vec<_> = (0..1_000).map(|number| format!("many/{number:04}")).collect();
    assert!(many.keys().eq(&sorted));
    for query in ["limit=0", "limit=x", "limit=-1"] {
        let refused = server.get(&format!("/sinks/views/pending?{query}"));
        refused.assert_problem(400, "invalid_parameter");
    }
}

/// The body of a chunked answer.
fn whole(client: &mut crate::harness::Client) -> String {
    let head = client.read_answer("HEAD");
    assert_eq!(head.status, 200);
    let mut body = Vec::new();
    while let Some(chunk) = client.read_chunk() {
        body.extend(chunk);
    }
    String::from_utf8(body).unwrap()
}

#[test]
fn a_restored_store_stops_until_a_person_has_decided() {
    for (choice, expected) in [("skip", "7"), ("resend", "8")] {
        let base = Base::new("INTEGER");
        let server = Server::with(views(base.sink(Mode::Increment)));
        base.execute("ALTER TABLE t RENAME TO away");
        add(&server, "a", 1);
        let directory = server.stop();
        let restored = backup(&directory);
        base.execute("ALTER TABLE away RENAME TO t");
        let server = Server::over(directory, views(base.sink(Mode::Increment)));
        assert_eq!(synced(&server), 1);
        add(&server, "a", 2);
        assert_eq!(synced(&server), 1);
        drop(server.stop());
        assert_eq!(base.rows(), rows(&[("a", "3")]));
        // The backup has the first change waiting, which the database has already.
        let server = Server::over(restored, views(base.sink(Mode::Increment)));
        add(&server, "a", 4);
        let problem = sync(&server).assert_problem(502, "sink_ahead");
        assert!(problem["detail"].as_str().unwrap().contains("restored"));
        assert_eq!(shown(&server)["state"], "sink_ahead");
        assert_eq!(base.rows(), rows(&[("a", "3")]));
        add(&server, "b", 1);
        let wrong = post(&server, "/sinks/views/resume", &json!({"generation": "both"}));
        wrong.assert_problem(422, "invalid_operation");
        let resumed = post(&server, "/sinks/views/resume", &json!({"generation": choice}));
        assert_eq!(resumed.status, 200, "{}", resumed.text());
        let skipped = u64::from(choice == "skip");
        assert_eq!(resumed.json()["skipped"], skipped);
        // What came after the restore is passed on either way.
        assert_eq!(base.rows(), rows(&[("a", expected), ("b", "1")]));
        assert_eq!(shown(&server)["state"], "idle");
    }
}

#[test]
fn a_copy_of_a_store_that_goes_on_beside_it_stops() {
    let base = Base::new("INTEGER");
    let server = Server::with(views(base.sink(Mode::Increment)));
    add(&server, "a", 1);
    assert_eq!(synced(&server), 1);
    let directory = server.stop();
    let copied = backup(&directory);
    let one = Server::over(directory, views(base.sink(Mode::Increment)));
    let other = Server::over(copied, views(base.sink(Mode::Increment)));
    add(&one, "a", 10);
    assert_eq!(synced(&one), 1);
    add(&other, "a", 100);
    sync(&other).assert_problem(502, "sink_ahead");
    assert_eq!(base.rows(), rows(&[("a", "11")]));
    add(&one, "a", 10);
    assert_eq!(synced(&one), 1);
    // A person lets the copy be the one that goes on.
    let resumed = post(&other, "/sinks/views/resume", &json!({"generation": "resend"}));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    assert_eq!(base.rows(), rows(&[("a", "121")]));
    add(&one, "a", 1000);
    sync(&one).assert_problem(502, "sink_ahead");
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
    let answer = post(&server, "/sinks/none/resume", &json!({"generation": "skip"}));
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
    let server = Server::with(views(base.sink(Mode::Increment)));
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
    let server = Server::over(directory, views(base.sink(Mode::Increment)));
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("a", "1")]));
    let directory = server.stop();
    let server = Server::over(directory, |_| {});
    assert_eq!(server.send("DELETE", "/keyspaces/views", &[], b"").status, 204);
}

#[test]
fn the_figures_tell_how_a_sink_fares() {
    let base = Base::new("INTEGER");
    let server = Server::with(views(base.sink(Mode::Increment)));
    add(&server, "a", 1);
    server.wait_for(r#"standpipe_sink_pending_keys{keyspace="views"}"#, 1);
    assert_eq!(synced(&server), 1);
    server.wait_for(r#"standpipe_sink_pending_keys{keyspace="views"}"#, 0);
    server.wait_for(r#"standpipe_sink_passed_on_keys_total{keyspace="views"}"#, 1);
    server.wait_for(r#"standpipe_sink_state{keyspace="views",state="idle"}"#, 1);
}
