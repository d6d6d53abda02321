//! A keyspace `views` with a sink, and the database behind it.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use standpipe::outbound::Secret;
use standpipe::server::{Options, Policy};
use standpipe::sink::{self, Mode, SqlTarget, Target};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use crate::harness::{Answer, Server};

/// So long that the clock does nothing during a test.
const NEVER: Duration = Duration::from_hours(1);

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

/// A server with a sink that has made its first attempt, so that the next one is asked for by the test.
pub(crate) fn serving(sink: sink::Options) -> Server {
    settled(Server::with(views(sink)))
}

/// The same over a directory that is there: what waited in it has been passed on.
pub(crate) fn serving_over(directory: TempDir, sink: sink::Options) -> Server {
    settled(Server::over(directory, views(sink)))
}

#[track_caller]
fn settled(server: Server) -> Server {
    synced(&server);
    server
}

pub(crate) fn shown(server: &Server) -> Value {
    let answer = server.get("/sinks");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"][0].clone()
}

/// What waits, as it is told.
pub(crate) fn waiting(server: &Server, query: &str) -> String {
    let mut client = server.connect();
    client.write_request("GET", &format!("/sinks/views/pending?{query}"), &[], b"");
    // The head alone: the body comes in chunks.
    assert_eq!(client.read_answer("HEAD").status, 200);
    let mut body = Vec::new();
    while let Some(chunk) = client.read_chunk() {
        body.extend(chunk);
    }
    String::from_utf8(body).unwrap()
}
