//! Sinks that post to an HTTP server: each part under a name of its own, tried again until it is taken, without a secret told
//! to anybody.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use standpipe::outbound::{Auth, HeaderMap, HeaderValue, Secret};
use standpipe::sink::{Deletes, HttpTarget, Mode, Options, Target};

use crate::harness::Server;
use crate::sink_stage::{add, options, post, serving, shown, sync, synced, views};

/// What a target was sent, and how it answers next.
#[derive(Default)]
struct Told {
    posts: Vec<(String, Value)>,
    /// Statuses of the next answers; 200 where there is none.
    next: Vec<u16>,
}

struct Upstream {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &told));
            }
        });
        Self { address, told }
    }

    fn sink(&self, mode: Mode) -> Options {
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static("hunter2"));
        options(
            Target::Http(HttpTarget {
                endpoint: format!("http://{}/changes?token=hunter2", self.address),
                headers,
                auth: Some(Auth {
                    user: "u".to_owned(),
                    password: Secret::Given("hunter2".into()),
                }),
                ca: None,
            }),
            mode,
        )
    }

    fn answer_next(&self, statuses: &[u16]) {
        self.told.lock().unwrap().next = statuses.to_vec();
    }

    fn posts(&self) -> Vec<(String, Value)> {
        self.told.lock().unwrap().posts.clone()
    }
}

fn serve(mut stream: TcpStream, told: &Mutex<Told>) {
    let mut text = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut text) {
        let name = head
            .lines()
            .find_map(|line| line.strip_prefix("idempotency-key: "))
            .unwrap();
        let status = {
            let mut told = told.lock().unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            told.posts.push((name.to_owned(), body));
            if told.next.is_empty() {
                200
            } else {
                told.next.remove(0)
            }
        };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The head and the body of the next request; `None` at the end.
fn request(stream: &mut TcpStream, text: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(text[..end].to_vec()).unwrap();
            let len = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |len| len.parse().unwrap());
            if text.len() >= end + 4 + len {
                let body = text[end + 4..end + 4 + len].to_vec();
                text.drain(..end + 4 + len);
                return Some((head, body));
            }
        }
        let len = stream.read(&mut buffer).ok().filter(|len| *len > 0)?;
        text.extend_from_slice(&buffer[..len]);
    }
}

#[test]
fn sums_are_posted_and_a_failed_part_comes_again_under_its_name() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Increment));
    add(&server, "a", 2);
    add(&server, "a", 3);
    upstream.answer_next(&[503]);
    let problem = sync(&server).assert_problem(502, "sink_failed");
    assert!(problem["detail"].as_str().unwrap().contains("503"));
    add(&server, "a", 10);
    assert_eq!(synced(&server), 2);
    let posts = upstream.posts();
    assert_eq!(posts.len(), 3);
    assert_eq!(posts[0], posts[1]);
    assert_eq!(posts[0].1["items"], json!([{"key": "a", "sum": 5}]));
    assert_eq!(posts[2].1["items"], json!([{"key": "a", "sum": 10}]));
    assert_ne!(posts[0].0, posts[2].0);
    assert!(posts[0].0.starts_with('"') && posts[0].0.ends_with('"'));
    assert_eq!(posts[0].1["keyspace"], "views");
}

#[test]
fn the_name_of_a_part_is_the_same_behind_a_restart() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Increment));
    add(&server, "a", 2);
    upstream.answer_next(&[500]);
    sync(&server).assert_problem(502, "sink_failed");
    upstream.answer_next(&[500, 500, 500, 500]);
    let directory = server.stop();
    upstream.answer_next(&[]);
    let server = Server::over(directory, views(upstream.sink(Mode::Increment)));
    server.wait_until(|server| shown(server)["pending"] == 0);
    let posts = upstream.posts();
    assert!(posts.len() >= 3);
    assert!(posts.iter().all(|post| *post == posts[0]), "{posts:?}");
}

#[test]
fn values_and_deletions_are_posted() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Upsert(Deletes::Propagate)));
    server.put("/keyspaces/views/keys/a", "\u{e4}".as_bytes());
    server.put("/keyspaces/views/keys/b", b"\xff");
    server.put("/keyspaces/views/keys/c", b"x");
    server.send("DELETE", "/keyspaces/views/keys/c", &[], b"");
    assert_eq!(server.get("/sinks/views/pending").status, 200);
    assert_eq!(synced(&server), 3);
    let items = &upstream.posts()[0].1["items"];
    assert_eq!(
        *items,
        json!([
            {"key": "a", "value": "\u{e4}", "content_type": "text/plain; charset=utf-8"},
            {"key": "b", "value_base64": "/w==", "content_type": "application/octet-stream"},
            {"key": "c", "deleted": true},
        ])
    );
}

#[test]
fn a_part_that_is_refused_is_halved_and_its_row_set_aside() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Increment));
    add(&server, "a", 1);
    add(&server, "b", 1);
    // The whole, then the first half.
    upstream.answer_next(&[422, 422, 200]);
    let answer = sync(&server).json();
    assert_eq!(
        (&answer["passed_on"], &answer["set_aside"]),
        (&1.into(), &1.into())
    );
    let dead = server.get("/sinks/views/dead").json();
    assert_eq!(dead["items"][0]["key"], "a");
    assert!(dead["items"][0]["reason"].as_str().unwrap().contains("422"));
    let redriven = post(&server, "/sinks/views/redrive", &json!({}));
    assert_eq!(redriven.json()["redriven"], 1);
    assert_eq!(synced(&server), 1);
}

#[test]
fn a_wrong_token_sets_no_row_aside() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Increment));
    add(&server, "a", 1);
    upstream.answer_next(&[401]);
    sync(&server).assert_problem(502, "sink_failed");
    assert_eq!(
        (&shown(&server)["dead"], &shown(&server)["pending"]),
        (&0.into(), &1.into())
    );
    assert_eq!(synced(&server), 1);
}

#[test]
fn nothing_secret_is_shown() {
    let upstream = Upstream::start();
    let server = serving(upstream.sink(Mode::Increment));
    add(&server, "a", 1);
    upstream.answer_next(&[500, 400]);
    let failed = sync(&server);
    sync(&server);
    let shown = [
        server.get("/sinks"),
        server.get("/sinks/views/dead"),
        server.get("/metrics"),
        failed,
    ];
    for answer in &shown {
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        assert!(!answer.text().contains("/changes"), "{}", answer.text());
    }
    let address = format!("http://{}", upstream.address);
    assert_eq!(shown[0].json()["items"][0]["target"]["address"], address);
}
