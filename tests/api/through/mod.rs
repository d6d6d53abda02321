//! Keyspaces that read through, over HTTP on both sides: an origin in the test, a client in the test, the server between.

mod batches;
mod failing;
mod limits;
mod races;
mod reading;
mod stale;
mod storing;

use std::time::{Duration, Instant};

use standpipe::outbound::{HeaderMap, Method};
use standpipe::server::{Durability, Options, Policy};
use standpipe::source::{HttpOptions, Origin as Source, ThroughOptions};

use crate::harness::{Answer, PATIENCE, Server};
use crate::origin::Origin;

/// Longer than anything takes that is not held back.
const LONG: Duration = Duration::from_secs(20);

/// A source at that origin, with nothing but what has to be said.
pub(crate) fn source(origin: &Origin) -> ThroughOptions {
    ThroughOptions {
        origin: Source::Http(Box::new(HttpOptions {
            endpoint: format!("http://{}/users/{{key}}", origin.address()),
            method: Method::GET,
            headers: HeaderMap::new(),
            auth: None,
            body: None,
            ca: None,
        })),
        timeout: LONG,
        max_bytes: 1 << 20,
        honour_source: false,
        negative_ttl: None,
        negative_keys: 1_000,
        stale_while_revalidate: None,
        stale_if_error: None,
        max_concurrency: 100,
        rate_limit: None,
        breaker: None,
        refresh_ahead: None,
    }
}

/// How a keyspace with that source is set up.
pub(crate) struct Setup {
    pub(crate) source: ThroughOptions,
    pub(crate) policy: Policy,
}

impl Setup {
    fn options(self, options: &mut Options) {
        options.keyspaces.push(("users".to_owned(), self.policy));
        options.through.insert("users".to_owned(), self.source);
    }
}

/// A server whose keyspace `users` reads through.
pub(crate) fn server(origin: &Origin, change: impl FnOnce(&mut Setup)) -> Server {
    let mut setup = Setup {
        source: source(origin),
        policy: Policy {
            durability: Durability::Written,
            ..Policy::default()
        },
    };
    change(&mut setup);
    Server::with(|options| setup.options(options))
}

/// The address of a key.
fn at(key: &str) -> String {
    format!("/keyspaces/users/keys/{key}")
}

fn get(server: &Server, key: &str) -> Answer {
    server.get(&at(key))
}

fn get_with(server: &Server, key: &str, cache_control: &str) -> Answer {
    let headers = [("Cache-Control", cache_control)];
    server.send("GET", &at(key), &headers, b"")
}

/// What is stored, whatever the source says.
fn stored(server: &Server, key: &str) -> Option<String> {
    let answer = server.get(&format!("/keyspaces/users/entries/{key}"));
    let value = |answer: &Answer| answer.json()["value"].as_str().unwrap().to_owned();
    (answer.status == 200).then(|| value(&answer))
}

/// A value and how it came about.
#[track_caller]
fn assert_value(answer: &Answer, value: &str, status: &str) {
    assert_eq!((answer.status, answer.text()), (200, value), "{answer:?}");
    assert_eq!(answer.header("cache-status"), Some(status));
    let age: u64 = answer.header("age").unwrap().parse().unwrap();
    assert!(age < PATIENCE.as_secs(), "{age}");
}

/// Asks again and again until an answer is as wanted.
#[track_caller]
fn until(server: &Server, key: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(server, key);
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

/// A figure of this keyspace, as `/metrics` shows it.
fn figure(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics");
    let start = format!("standpipe_read_through_{name}{{keyspace=\"users\"}} ");
    let line = text
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start}"))
        .parse()
        .unwrap()
}
