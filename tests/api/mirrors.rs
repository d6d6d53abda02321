//! A keyspace that follows a keyspace of another Standpipe: two servers of one process, of which one may die and come back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use standpipe::mirror::{OnDelete, Options as Mirror, Standpipe, Upstream};
use standpipe::outbound::Secret;
use standpipe::server::{Access, Durability, Options, Policy, Token, Verbs};

use crate::follower::{Follower, told};
use crate::harness::{Answer, Server};

/// A mirror with pauses that a test can wait for.
pub(crate) fn mirror(upstream: Upstream) -> Mirror {
    Mirror {
        upstream,
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        on_delete: OnDelete::Remove,
        max_bytes: 1 << 20,
        unstored_bytes: 1 << 20,
    }
}

/// What another server has in its keyspace `default`.
pub(crate) fn default_of(address: SocketAddr) -> Standpipe {
    Standpipe {
        endpoint: format!("http://{address}"),
        keyspace: "default".to_owned(),
        prefix: String::new(),
        token: None,
        ca: None,
    }
}

/// Lets the keyspace `copy` follow that.
pub(crate) fn copying(options: &mut Options, mirror: Mirror) {
    let policy = Policy {
        durability: Durability::Written,
        ..Policy::default()
    };
    options.keyspaces.push(("copy".to_owned(), policy));
    options.mirrors.insert("copy".to_owned(), mirror);
}

/// A server whose keyspace `copy` follows what `upstream` has.
fn copy_of(upstream: &Server) -> Server {
    let mirror = mirror(Upstream::Standpipe(default_of(upstream.address())));
    Server::with(|options| copying(options, mirror))
}

/// The one mirror of a server.
pub(crate) fn state(server: &Server) -> Value {
    let answer = server.get("/mirrors");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"][0].clone()
}

#[track_caller]
pub(crate) fn wait_for_state(server: &Server, wanted: &str) {
    server.wait_until(|server| state(server)["state"] == wanted);
}

pub(crate) fn copied(server: &Server, key: &str) -> Answer {
    server.get(&format!("/keyspaces/copy/keys/{key}"))
}

#[track_caller]
pub(crate) fn wait_for_copy(server: &Server, key: &str, value: &str) {
    server.wait_until(|server| {
        let answer = copied(server, key);
        answer.status == 200 && answer.body == value.as_bytes()
    });
}

#[track_caller]
pub(crate) fn wait_until_gone(server: &Server, key: &str) {
    server.wait_until(|server| copied(server, key).status == 404);
}

fn keys(server: &Server) -> Vec<String> {
    let list = server.get("/keyspaces/copy/keys").json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["key"].as_str().unwrap().to_owned())
        .collect()
}

/// A port at which nobody listens until a server is started there.
fn at(address: SocketAddr) -> impl FnOnce(&mut Options) {
    move |options| options.endpoint = address.to_string()
}

#[test]
fn what_is_there_is_copied_with_what_it_is_and_then_every_change() {
    let upstream = Server::start();
    let html = [("Content-Type", "text/html"), ("Content-Encoding", "br")];
    upstream.send("PUT", "/v1/page", &html, b"\x00\xFF");
    upstream.put("/v1/a%2Fb%20%C3%A4", "text\0 \u{1F600}".as_bytes());
    upstream.put("/v1/empty", b"");
    let copy = copy_of(&upstream);
    wait_for_state(&copy, "following");
    assert_eq!(keys(&copy), ["a/b \u{e4}", "empty", "page"]);
    let page = copied(&copy, "page");
    assert_eq!(page.body, b"\x00\xFF");
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("content-encoding"), Some("br"));
    assert_eq!(page.header("age"), Some("0"));
    assert_eq!(page.header("cache-status"), Some("standpipe; hit"));
    assert_eq!(copied(&copy, "a/b%20%C3%A4").text(), "text\0 \u{1F600}");
    assert_eq!(copied(&copy, "empty").body, b"");

    upstream.put("/v1/page", b"new");
    wait_for_copy(&copy, "page", "new");
    let page = copied(&copy, "page");
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(page.header("content-encoding"), None);
    upstream.send("DELETE", "/v1/page", &[], b"");
    wait_until_gone(&copy, "page");
    upstream.put("/v1/short?ttl=50ms", b"1");
    upstream.wait_until(|upstream| upstream.get("/v1/short").status == 404);
    wait_until_gone(&copy, "short");
    upstream.put("/v1/p/1", b"1");
    upstream.put("/v1/p/2", b"2");
    wait_for_copy(&copy, "p/2", "2");
    upstream.send("DELETE", "/keyspaces/default/keys?prefix=p/", &[], b"");
    wait_until_gone(&copy, "p/1");
    upstream.send("POST", "/flush", &[], b"");
    copy.wait_until(|copy| keys(copy).is_empty());
    let state = state(&copy);
    assert_eq!(
        (&state["stale"], &state["error"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn who_watches_the_copy_is_told_every_change_once_and_in_order() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"0");
    let copy = copy_of(&upstream);
    wait_for_copy(&copy, "a", "0");
    let mut follower = Follower::new(&copy, "copy/watch?initial=true&values=true");
    let there: Vec<_> = (0..2).map(|_| follower.next()).collect();
    assert_eq!((there[0].key(), &*there[1].name), ("a", "synced"));
    for value in ["1", "1", "2", "2", "3"] {
        upstream.put("/v1/a", value.as_bytes());
    }
    upstream.send("DELETE", "/v1/a", &[], b"");
    let changes: Vec<_> = (0..4).map(|_| follower.next()).collect();
    let values: Vec<_> = changes.iter().map(|event| &event.data["value"]).collect();
    assert_eq!(
        values,
        [&json!("1"), &json!("2"), &json!("3"), &Value::Null]
    );
    assert_eq!(changes[3].name, "delete");
    assert!(changes.iter().all(|event| event.id.is_some()));
}

#[test]
fn an_upstream_that_dies_is_served_on_and_taken_up_again() {
    let upstream = Server::start();
    for key in ["stays", "goes", "changes"] {
        upstream.put(&format!("/v1/{key}"), b"1");
    }
    let address = upstream.address();
    let copy = copy_of(&upstream);
    wait_for_state(&copy, "following");
    let mut follower = Follower::new(&copy, "copy/watch");

    let directory = upstream.stop();
    wait_for_state(&copy, "waiting");
    let answer = copied(&copy, "stays");
    assert_eq!(answer.text(), "1");
    let status = answer.header("cache-status").unwrap();
    assert!(status.starts_with("standpipe; hit; ttl="), "{status}");
    assert!(status.ends_with("; detail=stale"), "{status}");
    let shown = state(&copy);
    assert_eq!(shown["stale"], true);
    assert!(shown["next_attempt_at"].is_string(), "{shown}");
    let error = shown["error"].as_str().unwrap();
    assert!(error.contains(&address.to_string()), "{error}");

    let upstream = Server::over(directory, at(address));
    upstream.send("DELETE", "/v1/goes", &[], b"");
    upstream.put("/v1/changes", b"2");
    wait_for_copy(&copy, "changes", "2");
    wait_until_gone(&copy, "goes");
    wait_for_state(&copy, "following");
    assert_eq!(copied(&copy, "stays").header("age"), Some("0"));
    let mut changes = follower.take(2);
    changes.sort();
    assert_eq!(
        changes,
        told(&[("delete", "goes"), ("put", "changes")]),
        "and nothing that stayed was told again"
    );
}

#[test]
fn a_mirror_that_starts_without_its_upstream_serves_what_it_stored() {
    let upstream = Server::start();
    upstream.put("/v1/kept", b"1");
    upstream.put("/v1/deleted", b"1");
    let mirror = mirror(Upstream::Standpipe(default_of(upstream.address())));
    let copy = Server::with(|options| copying(options, mirror.clone()));
    wait_for_state(&copy, "following");
    let mine = copy.stop();
    let address = upstream.address();
    let theirs = upstream.stop();

    let copy = Server::over(mine, |options| copying(options, mirror));
    wait_for_state(&copy, "waiting");
    let answer = copied(&copy, "kept");
    assert_eq!(answer.text(), "1");
    assert!(answer.header("age").is_some());
    assert!(answer.header("cache-status").unwrap().contains("stale"));
    let shown = state(&copy);
    assert_eq!(
        (&shown["stale"], &shown["age_ms"]),
        (&json!(true), &Value::Null)
    );
    let etag = answer.header("etag").unwrap().to_owned();

    let upstream = Server::over(theirs, at(address));
    upstream.send("DELETE", "/v1/deleted", &[], b"");
    wait_until_gone(&copy, "deleted");
    wait_for_state(&copy, "following");
    let answer = copied(&copy, "kept");
    assert_eq!(
        answer.header("etag"),
        Some(&*etag),
        "what is there already is not written again"
    );
    assert_eq!(answer.header("age"), Some("0"));
}

#[test]
fn what_was_there_before_leaves_when_the_upstream_is_known_and_not_before() {
    let upstream = Server::start();
    upstream.put("/v1/theirs", b"theirs");
    upstream.put("/v1/both", b"theirs");
    let address = upstream.address();
    let mirror = mirror(Upstream::Standpipe(default_of(address)));
    let theirs = upstream.stop();
    let plain = Server::with(|options| {
        options.keyspaces = vec![("copy".to_owned(), Policy::default())];
    });
    for key in ["mine", "both"] {
        plain.put(&format!("/keyspaces/copy/keys/{key}?ttl=1h"), b"mine");
    }
    let copy = Server::over(plain.stop(), |options| {
        copying(options, mirror);
    });
    wait_for_state(&copy, "waiting");
    assert_eq!(copied(&copy, "mine").text(), "mine");
    let upstream = Server::over(theirs, at(address));
    wait_until_gone(&copy, "mine");
    wait_for_copy(&copy, "both", "theirs");
    assert_eq!(copied(&copy, "both").header("expires"), None);
    assert_eq!(keys(&copy), ["both", "theirs"]);
    // A keyspace that follows nobody any more keeps its data, and clients write there again.
    let plain = Server::over(copy.stop(), |_| {});
    assert_eq!(copied(&plain, "theirs").text(), "theirs");
    assert_eq!(copied(&plain, "theirs").header("age"), None);
    assert_eq!(
        plain.put("/keyspaces/copy/keys/theirs", b"mine").status,
        204
    );
    drop(upstream);
}

#[test]
fn what_is_deleted_upstream_may_be_kept_and_is_marked() {
    let upstream = Server::start();
    for key in ["a", "p/1", "p/2", "z"] {
        upstream.put(&format!("/v1/{key}"), b"1");
    }
    let mirror = Mirror {
        on_delete: OnDelete::Keep,
        ..mirror(Upstream::Standpipe(default_of(upstream.address())))
    };
    let copy = Server::with(|options| copying(options, mirror.clone()));
    wait_for_state(&copy, "following");
    upstream.send("DELETE", "/v1/a", &[], b"");
    upstream.send("DELETE", "/keyspaces/default/keys?prefix=p/", &[], b"");
    let marked = |server: &Server| -> Vec<String> {
        let state = state(server);
        let keys = state["keys"].as_array().unwrap().iter();
        keys.filter(|key| key["deleted_upstream"] == true)
            .map(|key| key["key"].as_str().unwrap().to_owned())
            .collect()
    };
    copy.wait_until(|copy| marked(copy) == ["a", "p/1", "p/2"]);
    assert_eq!(copied(&copy, "a").text(), "1");
    assert!(
        copied(&copy, "a")
            .header("cache-status")
            .unwrap()
            .contains("stale")
    );
    assert_eq!(
        copied(&copy, "z").header("cache-status"),
        Some("standpipe; hit")
    );
    // It is found again after a start, and is current again when it is back.
    let copy = Server::over(copy.stop(), |options| copying(options, mirror));
    copy.wait_until(|copy| marked(copy) == ["a", "p/1", "p/2"]);
    upstream.put("/v1/a", b"1");
    copy.wait_until(|copy| marked(copy) == ["p/1", "p/2"]);
    assert_eq!(
        copied(&copy, "a").header("cache-status"),
        Some("standpipe; hit")
    );
}

#[test]
fn only_the_keys_with_the_prefix_are_followed() {
    let upstream = Server::start();
    upstream.put("/v1/a/1", b"1");
    upstream.put("/v1/b/1", b"1");
    let followed = Standpipe {
        prefix: "a/".to_owned(),
        ..default_of(upstream.address())
    };
    let copy = Server::with(|options| copying(options, mirror(Upstream::Standpipe(followed))));
    wait_for_state(&copy, "following");
    upstream.put("/v1/b/2", b"1");
    upstream.put("/v1/a/2", b"1");
    wait_for_copy(&copy, "a/2", "1");
    assert_eq!(keys(&copy), ["a/1", "a/2"]);
    upstream.send("DELETE", "/keyspaces/default/keys?prefix=b/", &[], b"");
    upstream.send("DELETE", "/keyspaces/default/keys?prefix=a/1", &[], b"");
    wait_until_gone(&copy, "a/1");
    upstream.send("POST", "/flush", &[], b"");
    wait_until_gone(&copy, "a/2");
}

#[test]
fn a_value_that_is_too_large_is_named_and_holds_up_nothing() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"small");
    upstream.put("/v1/b", &vec![b'x'; 3000]);
    // This one does not even fit into the buffer for one event.
    upstream.put("/v1/c", &vec![b'x'; 300_000]);
    let mirror = Mirror {
        max_bytes: 2000,
        ..mirror(Upstream::Standpipe(default_of(upstream.address())))
    };
    let copy = Server::with(|options| copying(options, mirror));
    wait_for_state(&copy, "following");
    assert_eq!(keys(&copy), ["a"]);
    upstream.put("/v1/a", &vec![b'x'; 2001]);
    upstream.put("/v1/d", &vec![b'x'; 2000]);
    copy.wait_until(|copy| copied(copy, "d").status == 200);
    let shown = state(&copy);
    assert_eq!(shown["state"], "following");
    assert_eq!(shown["keys_in_all"], 3);
    let error = shown["keys"][0]["error"].as_str().unwrap();
    assert!(error.contains("the limit is 2000"), "{shown}");
    assert_eq!(copied(&copy, "a").text(), "small");
    assert!(
        copied(&copy, "a")
            .header("cache-status")
            .unwrap()
            .contains("stale")
    );
    upstream.put("/v1/b", b"small");
    wait_for_copy(&copy, "b", "small");
    copy.wait_until(|copy| state(copy)["keys_in_all"] == 2);
}

#[test]
fn a_key_that_is_too_long_here_is_named_and_holds_up_nothing() {
    let upstream = Server::start();
    upstream.put(&format!("/v1/{}", "k".repeat(100)), b"1");
    upstream.put("/v1/z", b"1");
    let mirror = mirror(Upstream::Standpipe(default_of(upstream.address())));
    let copy = Server::with(|options| {
        options.limits.key_bytes = 50;
        copying(options, mirror);
    });
    wait_for_state(&copy, "following");
    assert_eq!(keys(&copy), ["z"]);
    let error = state(&copy)["keys"][0]["error"].to_string();
    assert!(error.contains("the limit is 50"), "{error}");
}

#[test]
fn an_upstream_with_tokens_is_told_one_and_nobody_else_is() {
    const TOKEN: &str = "s3cret-of-the-upstream";
    let upstream = Server::with(|options| {
        options.access = Access {
            tokens: vec![Token {
                name: "reader".to_owned(),
                sha256: Token::hash(TOKEN),
                keyspaces: Some(vec!["default".to_owned()]),
                verbs: Verbs {
                    read: true,
                    write: true,
                    admin: false,
                },
            }],
            ..Access::default()
        };
    });
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*authorization)];
    assert_eq!(upstream.send("PUT", "/v1/a", &headers, b"1").status, 201);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}-old\n")).unwrap();
    let followed = Standpipe {
        token: Some(Secret::File(file.clone())),
        ..default_of(upstream.address())
    };
    let copy = Server::with(|options| copying(options, mirror(Upstream::Standpipe(followed))));
    wait_for_state(&copy, "waiting");
    let shown = state(&copy).to_string();
    assert!(shown.contains("401 token_required"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    // A secret that is replaced on the disk needs no restart.
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    wait_for_copy(&copy, "a", "1");
    wait_for_state(&copy, "following");
}

#[test]
fn a_keyspace_that_is_not_there_upstream_is_named_and_nothing_leaves() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"1");
    let mut followed = default_of(upstream.address());
    let copy = Server::with(|options| {
        copying(options, mirror(Upstream::Standpipe(followed.clone())));
    });
    wait_for_copy(&copy, "a", "1");
    followed.keyspace = "other".to_owned();
    let copy = Server::over(copy.stop(), |options| {
        copying(options, mirror(Upstream::Standpipe(followed)));
    });
    wait_for_state(&copy, "waiting");
    let error = state(&copy)["error"].to_string();
    assert!(error.contains("no keyspace"), "{error}");
    assert_eq!(copied(&copy, "a").text(), "1");
}

#[test]
fn an_upstream_that_ends_every_watch_after_a_while_is_followed_all_the_while() {
    let upstream = Server::with(|options| {
        options.limits.watch_duration = Some(Duration::from_millis(200));
    });
    let copy = copy_of(&upstream);
    wait_for_state(&copy, "following");
    for n in 0..20 {
        upstream.put("/v1/a", n.to_string().as_bytes());
        wait_for_copy(&copy, "a", &n.to_string());
    }
    let answer = copy.get("/metrics");
    let text = answer.text();
    let failures = r#"standpipe_mirror_failures_total{keyspace="copy"} 0"#;
    assert!(text.contains(failures), "{text}");
}

#[test]
fn events_that_are_not_kept_any_more_are_made_up_for() {
    let upstream = Server::with(|options| options.watch.history_events = 4);
    for n in 0..10 {
        upstream.put(&format!("/v1/{n}"), b"1");
    }
    let address = upstream.address();
    let copy = copy_of(&upstream);
    wait_for_state(&copy, "following");
    let directory = upstream.stop();
    wait_for_state(&copy, "waiting");
    // Changed more often than is kept, before the mirror comes back: by a server at another address.
    let upstream = Server::over(directory, |_| {});
    for n in 0..10 {
        upstream.put(&format!("/v1/{n}"), b"2");
    }
    upstream.send("DELETE", "/v1/3", &[], b"");
    for n in 10..20 {
        upstream.put(&format!("/v1/{n}"), b"2");
    }
    let directory = upstream.stop();
    let upstream = Server::over(directory, |options| {
        options.watch.history_events = 4;
        at(address)(options);
    });
    wait_for_copy(&copy, "19", "2");
    wait_until_gone(&copy, "3");
    wait_for_state(&copy, "following");
    assert_eq!(keys(&copy).len(), 19);
    assert_eq!(copied(&copy, "9").text(), "2");
    drop(upstream);
}

#[test]
fn a_hundred_watch_and_one_stream_goes_upstream() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"0");
    let copy = copy_of(&upstream);
    wait_for_copy(&copy, "a", "0");
    let mut followers: Vec<_> = (0..100)
        .map(|_| Follower::new(&copy, "copy/watch?key=a&values=true"))
        .collect();
    upstream.wait_for("standpipe_watchers", 1);
    copy.wait_for("standpipe_watchers", 100);
    upstream.put("/v1/a", b"1");
    for follower in &mut followers {
        assert_eq!(follower.next().data["value"], "1");
    }
    upstream.wait_for("standpipe_watchers", 1);
}

#[test]
fn a_copy_can_be_copied() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"1");
    let copy = copy_of(&upstream);
    let followed = Standpipe {
        keyspace: "copy".to_owned(),
        ..default_of(copy.address())
    };
    let second = Server::with(|options| copying(options, mirror(Upstream::Standpipe(followed))));
    wait_for_copy(&second, "a", "1");
    upstream.put("/v1/b", b"2");
    wait_for_copy(&second, "b", "2");
    upstream.send("DELETE", "/v1/a", &[], b"");
    wait_until_gone(&second, "a");
}

#[test]
fn the_figures_tell_how_a_mirror_fares() {
    let upstream = Server::start();
    upstream.put("/v1/a", b"1");
    let copy = copy_of(&upstream);
    wait_for_state(&copy, "following");
    copy.wait_for(r#"standpipe_mirror_stale{keyspace="copy"}"#, 0);
    copy.wait_for(r#"standpipe_mirror_age_seconds{keyspace="copy"}"#, 0);
    upstream.stop();
    copy.wait_for(r#"standpipe_mirror_stale{keyspace="copy"}"#, 1);
    assert!(
        !copy
            .get("/metrics")
            .text()
            .contains(r#"standpipe_mirror_failures_total{keyspace="copy"} 0"#)
    );
}
