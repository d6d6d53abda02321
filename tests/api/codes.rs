//! Every code happens: each is met here over HTTP, or by the test that is named.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use standpipe::mirror::Upstream;
use standpipe::server::{self, Access, Options, Policy, Token, Verbs};

use crate::follower::Follower;
use crate::harness::{Answer, Client, Server};
use crate::mirrors::{copying, default_of, mirror};
use crate::pump::{fixed, http, options as sources};
use crate::sinks_behind::add_sinks;

/// What the codes are asked of.
struct Stage {
    /// Has a source that has written `mine`, and one that never ends.
    server: Server,
    /// What the latter asks: it accepts and says nothing.
    _silent: TcpListener,
    /// Has a token called `reader` for the keyspace `default`.
    guarded: Server,
}

impl Stage {
    fn new() -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endless = http(&format!("http://{}/", silent.local_addr().unwrap()));
        let server = Server::with(|options| {
            options.sources = sources(&[("endless", endless), ("mine", fixed("1"))]);
            options.limits.batch_operations = 2;
            options.limits.batch_answer_bytes = 1_000;
            options.limits.json_bytes = 1_000;
            options.limits.value_bytes = 10_000;
            options.limits.body_stall = std::time::Duration::from_millis(100);
            options.watch.history_events = 1;
            options.keyspaces = vec![("filed".to_owned(), Policy::default())];
            add_sinks(options);
            // Nobody listens there: who follows need not have found anybody yet.
            let nobody = mirror(Upstream::Standpipe(default_of(([127, 0, 0, 1], 9).into())));
            copying(options, nobody);
        });
        let guarded = Server::with(|options| {
            options.access = Access {
                tokens: vec![Token {
                    name: "reader".to_owned(),
                    sha256: Token::hash("reader"),
                    keyspaces: Some(vec!["default".to_owned()]),
                    verbs: Verbs {
                        read: true,
                        write: false,
                        admin: false,
                    },
                }],
                ..Access::default()
            };
        });
        assert_eq!(server.put("/v1/text", b"text").status, 201);
        server.wait_until(|server| server.get("/v1/mine").status == 200);
        Self {
            server,
            _silent: silent,
            guarded,
        }
    }

    fn json(&self, method: &str, target: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.server
            .send(method, target, &headers, body.to_string().as_bytes())
    }

    fn batch(&self, body: &Value) -> Answer {
        self.json("POST", "/keyspaces/default/batch", body)
    }

    /// A keyspace of its own with that policy.
    fn keyspace(&self, name: &str, policy: &Value) {
        let made = self.json("PUT", &format!("/keyspaces/{name}"), policy);
        assert_eq!(made.status, 201, "{}", made.text());
    }
}

type Make = fn(&Stage) -> Answer;

fn with(stage: &Stage, method: &str, target: &str, header: (&str, &str)) -> Answer {
    stage.server.send(method, target, &[header], b"1")
}

/// How each code comes about.
const MADE: &[(&str, Make)] = &[
    ("invalid_key", |stage| stage.server.get("/v1/")),
    ("key_too_long", |stage| {
        stage.server.get(&format!("/v1/{}", "k".repeat(1_025)))
    }),
    ("invalid_parameter", |stage| {
        stage.server.put("/v1/a?ttl=0", b"1")
    }),
    ("unknown_parameter", |stage| {
        stage.server.put("/v1/a?tll=1", b"1")
    }),
    ("invalid_body", |stage| {
        let mut client = stage.server.connect();
        client.write_request(
            "PUT",
            "/v1/a",
            &[("Transfer-Encoding", "chunked")],
            b"no chunk\r\n",
        );
        client.read_answer("PUT")
    }),
    ("invalid_json", |stage| {
        stage.server.send(
            "PUT",
            "/keyspaces/a",
            &[("Content-Type", "application/json")],
            b"{",
        )
    }),
    ("invalid_cursor", |stage| {
        stage.server.get("/keyspaces/default/keys?cursor=none")
    }),
    ("durability_unavailable", |stage| {
        stage.server.put("/v1/a?durability=memory", b"1")
    }),
    ("partial_put", |stage| {
        with(stage, "PUT", "/v1/a", ("Content-Range", "bytes 0-0/1"))
    }),
    ("token_required", |stage| stage.guarded.get("/v1/a")),
    ("forbidden", |stage| {
        let bearer = [("Authorization", "Bearer reader")];
        stage.guarded.send("PUT", "/v1/a", &bearer, b"1")
    }),
    ("cross_site", |stage| {
        with(stage, "PUT", "/v1/a", ("Sec-Fetch-Site", "cross-site"))
    }),
    ("key_not_found", |stage| stage.server.get("/v1/absent")),
    ("keyspace_not_found", |stage| {
        stage.server.get("/keyspaces/absent")
    }),
    ("route_not_found", |stage| stage.server.get("/nothing")),
    ("source_not_found", |stage| {
        stage.server.send("POST", "/sources/run/absent", &[], b"")
    }),
    ("already_running", |stage| {
        stage.server.send("POST", "/sources/run/endless", &[], b"")
    }),
    ("method_not_allowed", |stage| {
        stage.server.send("POST", "/v1/a", &[], b"")
    }),
    ("body_stalled", |stage| {
        let mut client = stage.server.connect();
        client.write_request("PUT", "/v1/a", &[("Content-Length", "5")], b"1");
        client.read_answer("PUT")
    }),
    ("counter_out_of_range", |stage| {
        stage.json(
            "POST",
            "/keyspaces/default/counters/n",
            &json!({"by": 5, "max": 4}),
        )
    }),
    ("not_a_counter", |stage| {
        stage.server.get("/keyspaces/default/counters/text")
    }),
    ("batch_failed", |stage| {
        let missing = json!({"op": "delete", "key": "absent", "if_match": "*"});
        stage.batch(&json!({"atomic": true, "operations": [missing]}))
    }),
    ("defined_by_file", |stage| {
        stage.json("PUT", "/keyspaces/filed", &json!({}))
    }),
    ("managed_by_source", |stage| {
        stage.server.put("/v1/mine", b"2")
    }),
    ("sink_backlog", |stage| {
        stage.json("POST", "/keyspaces/sums/counters/n", &json!({}));
        stage.json("POST", "/keyspaces/sums/counters/m", &json!({}))
    }),
    ("sink_failed", |stage| {
        stage.json("POST", "/keyspaces/sums/counters/n", &json!({}));
        stage.server.send("POST", "/sinks/sums/sync", &[], b"")
    }),
    ("sink_not_found", |stage| {
        stage.server.send("POST", "/sinks/filed/sync", &[], b"")
    }),
    ("durability_fixed", |stage| {
        stage.json(
            "PUT",
            "/keyspaces/default",
            &json!({"durability": "memory"}),
        )
    }),
    ("keyspace_protected", |stage| {
        stage.server.send("DELETE", "/keyspaces/default", &[], b"")
    }),
    ("compacted", |stage| {
        let id = Follower::new(&stage.server, "default/watch").last_id;
        for value in ["1", "2", "3"] {
            assert!(stage.server.put("/v1/changed", value.as_bytes()).status < 205);
        }
        stage
            .server
            .get(&format!("/keyspaces/default/watch?since={id}&timeout=1ms"))
    }),
    ("condition_failed", |stage| {
        with(stage, "PUT", "/v1/absent", ("If-Match", "*"))
    }),
    ("value_too_large", |stage| {
        stage.server.put("/v1/a", &[b'x'; 10_001])
    }),
    ("entry_too_large", |stage| {
        stage.keyspace("tiny", &json!({"max_bytes": "4KiB"}));
        stage.server.put("/keyspaces/tiny/keys/a", &[b'x'; 9_000])
    }),
    ("batch_too_large", |stage| {
        let get = json!({"op": "get", "key": "a"});
        stage.batch(&json!({"operations": [get, get, get]}))
    }),
    ("answer_too_large", |stage| {
        assert_eq!(stage.server.put("/v1/large", &[b'x'; 2_000]).status, 201);
        let large = json!({"op": "get", "key": "large"});
        stage.batch(&json!({"operations": [large]}))
    }),
    ("body_too_large", |stage| {
        stage.json("PUT", "/keyspaces/a", &json!({"ttl": "x".repeat(1_000)}))
    }),
    ("unsupported_media_type", |stage| {
        with(stage, "PUT", "/keyspaces/a", ("Content-Type", "text/plain"))
    }),
    ("range_not_satisfiable", |stage| {
        with(stage, "GET", "/v1/text", ("Range", "bytes=9-"))
    }),
    ("wrong_host", |stage| {
        with(stage, "GET", "/v1/text", ("Host", "evil.example"))
    }),
    ("invalid_policy", |stage| {
        stage.json("PUT", "/keyspaces/a", &json!({"tll": "1s"}))
    }),
    ("file_only", |stage| {
        stage.json("PUT", "/keyspaces/a", &json!({"source": {}}))
    }),
    ("invalid_operation", |stage| {
        stage.batch(&json!({"operations": [{"op": "none"}]}))
    }),
    ("internal", |stage| {
        // The snapshot's own place is taken, whichever it is.
        let revisions = 0..1_000;
        let store = stage.server.directory().join("data/store");
        for revision in revisions {
            fs::create_dir_all(store.join(format!("snapshot-{revision:020}.kv.tmp"))).unwrap();
        }
        stage.server.send("POST", "/admin/snapshot", &[], b"")
    }),
    ("starting", |_| starting()),
    ("overloaded", |_| {
        const LEN: usize = 1 << 20;
        let server = Server::with(|options| options.limits.inflight_bytes = LEN);
        let mut client = server.connect();
        let len = [("Content-Length", "1048576")];
        client.write_request("PUT", "/v1/a", &len, b"x");
        server.wait_for("standpipe_http_inflight_bytes", 1 << 20);
        server.put("/v1/b", &vec![b'x'; LEN])
    }),
    ("keyspace_read_only", |stage| {
        stage.server.put("/keyspaces/copy/keys/a", b"1")
    }),
    ("keyspace_full", |stage| {
        stage.keyspace("full", &json!({"max_bytes": "256KiB", "eviction": "none"}));
        let mut client = stage.server.connect();
        for n in 0..10_000 {
            let put = client.send("PUT", &format!("/keyspaces/full/keys/{n}"), &[], b"value");
            if put.status != 201 {
                return put;
            }
        }
        panic!("it was never full")
    }),
];

/// What takes more than a client: the tests that do it, each of which names the code.
const ELSEWHERE: &[(&str, &str)] = &[
    ("draining", "src/server/tests.rs"),
    ("durability_lost", "tests/live/failed_sync.py"),
    ("source_failed", "tests/api/through/failing.rs"),
    ("source_timeout", "tests/api/through/failing.rs"),
    ("breaker_open", "tests/api/through/failing.rs"),
    ("source_rate_limited", "tests/api/through/limits.rs"),
    ("not_stored", "tests/api/through/reading.rs"),
    ("disk_full", "tests/live/full_disk.py"),
    ("sink_pending", "tests/api/sinks_behind.rs"),
    ("sink_ahead", "tests/api/sinks_ahead.rs"),
];

/// Asks a server whose store cannot be opened yet: its manifest is a pipe that nobody has written to.
fn starting() -> Answer {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("data/store");
    fs::create_dir_all(&store).unwrap();
    let manifest = store.join("MANIFEST");
    let made = Command::new("mkfifo").arg(&manifest).status().unwrap();
    assert!(made.success());
    let mut options = Options {
        endpoint: "127.0.0.1:0".to_owned(),
        ..Options::default()
    };
    options.storage.path = directory.path().join("data");
    let handle = server::spawn(options).unwrap();
    let answer = Client::connect(handle.addresses()[0]).send("GET", "/v1/a", &[], b"");
    handle.ask_to_stop();
    handle.join().unwrap();
    // Whoever still waits for the pipe sees its end.
    let writer = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&manifest);
    drop(writer.unwrap());
    answer
}

#[test]
fn every_code_happens_over_http() {
    let stage = Stage::new();
    for (code, make) in MADE {
        let answer = make(&stage);
        let (status, body) = (answer.status, answer.json());
        // One operation of a batch fails as an item of its answer.
        let item = (status == 200).then(|| &body["items"][0]);
        assert_eq!(item.unwrap_or(&body)["code"], *code, "{status} {body}");
        if item.is_none() {
            answer.assert_problem(status, code);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (code, file) in ELSEWHERE {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(
            text.contains(&format!("\"{code}\"")),
            "{file} does not meet {code}"
        );
    }
    let met: BTreeSet<&str> = MADE.iter().map(|(code, _)| *code).collect();
    let met: BTreeSet<&str> = met
        .into_iter()
        .chain(ELSEWHERE.iter().map(|(code, _)| *code))
        .collect();
    let document = stage.server.get("/openapi.json").json();
    let known = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let known = known.as_array().unwrap().iter();
    let known: BTreeSet<&str> = known.map(|code| code.as_str().unwrap()).collect();
    assert_eq!(met, known);
}
