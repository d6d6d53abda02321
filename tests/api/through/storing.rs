//! What is fetched is stored as the source and the keyspace say, and a client's own value as the client says.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value;
use standpipe::outbound::Secret;
use standpipe::server::Eviction;
use standpipe::source::{BeneathOptions, SqlOptions};

use super::*;
use crate::origin::Reply;

fn entry(server: &Server, key: &str) -> Value {
    server
        .get(&format!("/keyspaces/users/entries/{key}"))
        .json()
}

#[test]
fn the_type_and_the_encoding_of_the_source_are_kept() {
    let origin = Origin::saying(|path| match path {
        "/users/typed" => Reply::ok("{}").with("Content-Type", "application/json"),
        "/users/encoded" => Reply::ok("\u{1}").with("Content-Encoding", "br"),
        "/users/wrong" => Reply::ok("x").with("Content-Type", "none"),
        _ => Reply::ok([0xFF]),
    });
    let server = server(&origin, |_| {});
    for (key, media_type, encoding) in [
        ("typed", "application/json", None),
        ("encoded", "text/plain; charset=utf-8", Some("br")),
        ("wrong", "text/plain; charset=utf-8", None),
        ("bytes", "application/octet-stream", None),
    ] {
        // As it was fetched, and as it was stored.
        for _ in 0..2 {
            let answer = get(&server, key);
            assert_eq!(answer.header("content-type"), Some(media_type), "{key}");
            assert_eq!(answer.header("content-encoding"), encoding, "{key}");
        }
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn the_keyspace_says_how_long_a_value_is_fresh_unless_the_source_is_honoured() {
    let says = |path: &str| match path {
        "/users/long" => Reply::ok("x").with("Cache-Control", "max-age=5000"),
        "/users/never" => Reply::ok("x").with("Cache-Control", "no-store"),
        "/users/over" => Reply::ok("x").with("Cache-Control", "max-age=0"),
        _ => Reply::ok("x"),
    };
    let ttl = |server: &Server, key: &str| entry(server, key)["ttl_ms"].as_u64();
    let origin = Origin::saying(says);
    let of_keyspace = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_secs(100));
    });
    for key in ["long", "never", "over", "unsaid"] {
        assert_eq!(get(&of_keyspace, key).status, 200);
        let ttl = ttl(&of_keyspace, key).unwrap();
        assert!((60_000..=100_000).contains(&ttl), "{key}: {ttl}");
    }
    let honoured = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_secs(100));
        setup.source.honour_source = true;
    });
    let stored = "standpipe; fwd=miss; stored";
    assert_value(&get(&honoured, "long"), "x", stored);
    assert!(ttl(&honoured, "long").unwrap() > 4_000_000);
    assert_value(&get(&honoured, "unsaid"), "x", stored);
    assert!(ttl(&honoured, "unsaid").unwrap() <= 100_000);
    for key in ["never", "over"] {
        for _ in 0..2 {
            assert_value(&get(&honoured, key), "x", "standpipe; fwd=miss");
        }
    }
    assert_eq!(origin.count(), 4 + 2 + 4);
}

#[test]
fn what_is_soon_over_says_so_and_how_old_it_is() {
    let origin = Origin::start();
    let server = server(&origin, |setup| {
        setup.policy.ttl = Some(Duration::from_secs(1_000));
        setup.policy.client_max_age = Some(Duration::from_mins(1));
        setup.source.stale_if_error = Some(Duration::from_secs(5_000));
    });
    let answer = get(&server, "a");
    // A client adds the age to it, and has a minute left.
    assert_eq!(answer.header("age"), Some("0"));
    assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    let entry = entry(&server, "a");
    assert!(entry["ttl_ms"].as_u64().unwrap() > 5_000_000, "{entry}");
    // It leaves much later than it is over.
    let expires = answer.header("expires").unwrap();
    let leaves = entry["expires_at"].as_str().unwrap();
    let over = rfc2822::parse(expires).unwrap().timestamp();
    let left = leaves.parse::<Timestamp>().unwrap().as_second() - over.as_second();
    assert!((4_999..=5_001).contains(&left), "{expires} {leaves}");
}

#[test]
fn a_value_of_a_client_is_answered_and_never_goes_to_the_source() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    assert_eq!(server.put(&at("a"), b"mine").status, 201);
    assert_value(&get(&server, "a"), "mine", "standpipe; hit");
    assert_eq!(origin.count(), 0);
    assert_eq!(server.send("DELETE", &at("a"), &[], b"").status, 204);
    assert_value(
        &get(&server, "a"),
        "value of /users/a",
        "standpipe; fwd=miss; stored",
    );
    // One that is to be kept for a time of its own is not renewed before that.
    let put = server.put(&format!("{}?ttl=1h", at("b")), b"mine");
    assert_eq!(put.status, 201);
    assert_value(&get(&server, "b"), "mine", "standpipe; hit");
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_absence_is_remembered_until_a_client_changes_the_key() {
    let origin = Origin::saying(|_| Reply::status(404));
    let server = server(&origin, |setup| {
        setup.source.negative_ttl = Some(LONG * 100);
        setup.source.negative_keys = 2;
    });
    let absent = |key: &str, status: &str| {
        let answer = get(&server, key);
        answer.assert_problem(404, "key_not_found");
        assert_eq!(answer.header("cache-status"), Some(status), "{key}");
    };
    let (asked, known) = ("standpipe; fwd=miss", "standpipe; hit; detail=negative");
    absent("a", asked);
    absent("a", known);
    assert_eq!(figure(&server, "negative_hits_total"), 1);
    get_with(&server, "a", "only-if-cached").assert_problem(404, "key_not_found");
    // Each of these may mean that the key is there now.
    for (method, target) in [
        ("DELETE", at("a")),
        ("DELETE", "/keyspaces/users/keys?prefix=a".to_owned()),
        ("POST", "/keyspaces/users/flush".to_owned()),
    ] {
        assert!(server.send(method, &target, &[], b"").status < 300);
        absent("a", asked);
        absent("a", known);
    }
    assert_eq!(get_with(&server, "a", "no-cache").status, 404);
    assert_eq!(origin.count(), 5);
    // The oldest makes room.
    absent("b", asked);
    absent("c", asked);
    absent("a", asked);
    absent("c", known);
    assert_eq!(server.put(&at("c"), b"mine").status, 201);
    assert_value(&get(&server, "c"), "mine", "standpipe; hit");
}

#[test]
fn an_absence_is_forgotten_in_time() {
    let origin = Origin::saying(|_| Reply::status(410));
    let server = server(&origin, |setup| {
        setup.source.negative_ttl = Some(Duration::from_millis(50));
    });
    get(&server, "a").assert_problem(404, "key_not_found");
    origin.say(|_| Reply::ok("there"));
    let answer = until(&server, "a", |answer| answer.status == 200);
    assert_value(&answer, "there", "standpipe; fwd=miss; stored");
    assert_eq!(origin.count(), 2);
}

#[test]
fn without_a_time_for_it_no_absence_is_remembered() {
    let origin = Origin::saying(|_| Reply::status(404));
    let server = server(&origin, |_| {});
    for count in 1..4 {
        get(&server, "a").assert_problem(404, "key_not_found");
        assert_eq!(origin.count(), count);
    }
}

#[test]
fn a_value_that_its_source_has_no_longer_goes() {
    let origin = Origin::start();
    let server = server(&origin, |_| {});
    assert_eq!(get(&server, "a").status, 200);
    origin.say(|_| Reply::status(404));
    get_with(&server, "a", "no-cache").assert_problem(404, "key_not_found");
    assert_eq!(stored(&server, "a"), None);
}

#[test]
fn a_value_is_taken_to_its_limit_and_not_one_byte_further() {
    const MOST: usize = 16 << 20;
    let origin = Origin::saying(|path| match path {
        "/users/largest" => Reply::ok(vec![b'x'; MOST]),
        _ => Reply::ok(vec![b'x'; MOST + 1]),
    });
    let server = server(&origin, |setup| setup.source.max_bytes = MOST);
    let largest = get(&server, "largest");
    assert_eq!((largest.status, largest.body.len()), (200, MOST));
    assert_eq!(
        largest.header("cache-status"),
        Some("standpipe; fwd=miss; stored")
    );
    let refused = get(&server, "larger");
    let problem = refused.assert_problem(502, "source_failed");
    assert_eq!(problem["limit"], MOST);
    assert_eq!(problem["setting"], "source.max_bytes");
    assert_eq!(stored(&server, "larger"), None);
}

#[test]
fn what_does_not_fit_into_the_keyspace_is_answered_and_not_stored() {
    let origin = Origin::saying(|path| match path {
        "/users/small" => Reply::ok("x"),
        _ => Reply::ok(vec![b'x'; 10_000]),
    });
    let server = server(&origin, |setup| {
        setup.policy.max_bytes = Some(4 << 10);
        setup.policy.eviction = Eviction::None;
    });
    let mut etags = Vec::new();
    for count in 1..4 {
        let answer = get(&server, "large");
        assert_eq!((answer.status, answer.body.len()), (200, 10_000));
        assert_eq!(answer.header("cache-status"), Some("standpipe; fwd=miss"));
        assert!(!etags.contains(&answer.etag().to_owned()));
        etags.push(answer.etag().to_owned());
        assert_eq!(origin.count(), count);
    }
    assert_eq!(stored(&server, "large"), None);
    assert_eq!(
        get(&server, "small").header("cache-status"),
        Some("standpipe; fwd=miss; stored")
    );
}

#[test]
fn a_restart_keeps_values_and_how_fresh_they_are() {
    let origin = Origin::start();
    let setup = || Setup {
        source: ThroughOptions {
            stale_if_error: Some(LONG * 100),
            ..source(&origin)
        },
        policy: Policy {
            durability: Durability::Written,
            ttl: Some(Duration::from_millis(300)),
            ..Policy::default()
        },
    };
    let before = Server::with(|options| setup().options(options));
    let fetched = get(&before, "a");
    let directory = before.stop();
    let after = Server::over(directory, |options| setup().options(options));
    assert_eq!(stored(&after, "a").unwrap(), "value of /users/a");
    assert_eq!(entry(&after, "a")["etag"], fetched.etag());
    // Its time is over some time, and then the source is asked, or it is answered if that fails.
    origin.say(|_| Reply::status(500));
    let stale = until(&after, "a", |answer| {
        answer.header("cache-status") != Some("standpipe; hit")
    });
    assert_eq!((stale.status, stale.etag()), (200, fetched.etag()));
    let status = stale.header("cache-status").unwrap();
    assert!(
        status.starts_with("standpipe; fwd=stale; ttl=-"),
        "{status}"
    );
}

#[test]
fn files_and_databases_are_sources_too() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), "{}").unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("db").display());
    let of_file = source_of(
        &origin,
        Source::File(BeneathOptions {
            root: folder.path().to_owned(),
            path: "{key}.json".to_owned(),
        }),
    );
    let of_database = source_of(
        &origin,
        Source::Sql(SqlOptions {
            url: Secret::Given(url.as_str().into()),
            query: "SELECT 'row of ' || ? WHERE ?1 <> 'absent'".to_owned(),
            content_type: "text/x-row".to_owned(),
        }),
    );
    let server = Server::with(|options| {
        for (name, source) in [("files", of_file), ("rows", of_database)] {
            options.keyspaces.push((name.to_owned(), Policy::default()));
            options.through.insert(name.to_owned(), source);
        }
    });
    let file = server.get("/keyspaces/files/keys/a");
    assert_value(&file, "{}", "standpipe; fwd=miss; stored");
    assert_eq!(file.header("content-type"), Some("application/json"));
    for key in ["absent", "../a", "a/"] {
        server
            .get(&format!("/keyspaces/files/keys/{key}"))
            .assert_problem(404, "key_not_found");
    }
    let row = server.get("/keyspaces/rows/keys/it's");
    assert_value(&row, "row of it's", "standpipe; fwd=miss; stored");
    assert_eq!(row.header("content-type"), Some("text/x-row"));
    server
        .get("/keyspaces/rows/keys/absent")
        .assert_problem(404, "key_not_found");
    assert_eq!(server.get("/keyspaces/files").json()["source"], "file");
    assert_eq!(server.get("/keyspaces/rows").json()["source"], "sql");
}

fn source_of(origin: &Origin, other: Source) -> ThroughOptions {
    ThroughOptions {
        origin: other,
        ..source(origin)
    }
}
