//! Mirrors of the binary by the binary: the configuration file, kill -9 on either side, reloads, and what is shown of secrets.
#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what it should have fails the test"
)]

use serde_json::Value;

use crate::harness::{Place, Server, wait_until};

const TOKEN: &str = "s3cret-of-the-upstream";
/// Its SHA-256.
const HASH: &str = "8af598a25544790fcbc7da66f4f93d2b6146858e2bca21e323bb20659c92349e";
const BEARER: &str = "Authorization: Bearer s3cret-of-the-upstream";

/// What the upstream is told: a token, and quick signs of life.
fn upstream() -> Place {
    let text = format!(
        "watch: {{ heartbeat: 500ms }}\naccess: {{ tokens: [{{ name: all, sha256: {HASH}, verbs: [read, write, admin] }}] }}\n"
    );
    Place::new().with_file("config.yml", &text)
}

/// What the mirror is told: `more` stands in the file too.
fn mirror(address: &str, more: &str) -> String {
    format!(
        "server: {{ reload_interval: 10ms }}
logging: {{ level: DEBUG, access: true }}
keyspaces:
  copy:
    mirror:
      standpipe: {{ endpoint: 'http://{address}', token_file: token }}
      backoff_min: 20ms
      backoff_max: 200ms
{more}"
    )
}

fn place(text: &str) -> Place {
    Place::new()
        .with_file("token", &format!("{TOKEN}\n"))
        .with_file("config.yml", text)
}

fn state(server: &Server) -> Value {
    let answer = server.ask("GET", "/mirrors");
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["items"][0].clone()
}

fn wait_for_state(server: &Server, wanted: &str) {
    wait_until(wanted, || state(server)["state"] == wanted);
}

fn change(upstream: &Server, method: &str, key: &str, value: &[u8]) {
    let header = format!("{BEARER}\r\n");
    let answer = upstream.try_request(method, &format!("/v1/{key}"), &header, value);
    assert!(answer.unwrap().status < 300, "{method} {key}");
}

fn copied(server: &Server, key: &str) -> Option<Vec<u8>> {
    let answer = server.ask("GET", &format!("/keyspaces/copy/keys/{key}"));
    (answer.status == 200).then_some(answer.body)
}

fn wait_for_copy(server: &Server, key: &str, value: Option<&[u8]>) {
    wait_until(key, || copied(server, key).as_deref() == value);
}

#[test]
fn a_mirror_outlives_kill_9_of_its_upstream_and_of_itself() {
    let theirs = upstream();
    let original = theirs.serve(&[]).ready();
    let address = original.address.clone();
    for key in ["stays", "goes", "changes"] {
        change(&original, "PUT", key, b"1");
    }
    let ours = place(&mirror(&address, ""));
    let copy = ours.serve(&[]).ready();
    wait_for_state(&copy, "following");
    original.kill();
    wait_for_state(&copy, "waiting");
    assert_eq!(copied(&copy, "stays").as_deref(), Some(b"1".as_slice()));
    // While it is away from where the mirror looks for it, things happen to it.
    let elsewhere = theirs.serve(&[]).ready();
    change(&elsewhere, "DELETE", "goes", b"");
    change(&elsewhere, "PUT", "changes", b"2");
    change(&elsewhere, "PUT", "new", b"1");
    elsewhere.kill();
    copy.kill();
    let copy = ours.serve(&[]).ready();
    wait_for_state(&copy, "waiting");
    assert_eq!(copied(&copy, "goes").as_deref(), Some(b"1".as_slice()));
    let stale = copy.ask("GET", "/keyspaces/copy/keys/stays");
    assert!(stale.header("cache-status").unwrap().contains("stale"));
    let back = theirs.serve(&["-e", &address]).ready();
    wait_for_copy(&copy, "goes", None);
    wait_for_copy(&copy, "changes", Some(b"2"));
    wait_for_copy(&copy, "new", Some(b"1"));
    wait_for_state(&copy, "following");
    change(&back, "PUT", "stays", b"2");
    wait_for_copy(&copy, "stays", Some(b"2"));
}

#[test]
fn a_reload_that_leaves_a_mirror_as_it_is_leaves_its_stream() {
    let theirs = upstream();
    let original = theirs.serve(&[]).ready();
    change(&original, "PUT", "a", b"1");
    let ours = place(&mirror(&original.address, ""));
    let copy = ours.serve(&[]).ready();
    wait_for_state(&copy, "following");
    let watches = || {
        let text = original.ask_with("GET", "/metrics", BEARER).body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line =
            |line: &str| line.starts_with("standpipe_http_requests_total{operation=\"watch\"");
        let line = text.lines().find(|known| line(known)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(watches(), 1);
    let write = |more: &str| ours.replace_file("config.yml", &mirror(&original.address, more));
    write("  other: {}\n");
    wait_until("the other", || {
        copy.ask("GET", "/keyspaces/other").status == 200
    });
    change(&original, "PUT", "a", b"2");
    wait_for_copy(&copy, "a", Some(b"2"));
    assert_eq!(watches(), 1);
    // Another setting of the mirror is another mirror.
    write("      on_delete: keep\n");
    wait_until("another stream", || watches() == 2);
    wait_for_state(&copy, "following");
}

#[test]
fn a_keyspace_becomes_a_mirror_and_ceases_to_be_one_at_a_reload() {
    let theirs = upstream();
    let original = theirs.serve(&[]).ready();
    change(&original, "PUT", "theirs", b"1");
    let plain = "server: { reload_interval: 10ms }\nkeyspaces: { copy: { durability: written } }\n";
    let ours = place(plain);
    let copy = ours.serve(&[]).ready();
    let put = |key: &str| {
        let path = format!("/keyspaces/copy/keys/{key}");
        copy.try_request("PUT", &path, "", b"mine").unwrap().status
    };
    assert_eq!(put("mine"), 201);
    ours.replace_file("config.yml", &mirror(&original.address, ""));
    wait_for_copy(&copy, "theirs", Some(b"1"));
    wait_for_copy(&copy, "mine", None);
    assert_eq!(put("mine"), 405);
    ours.replace_file("config.yml", plain);
    wait_until("a keyspace of its own", || put("mine") == 201);
    assert_eq!(copied(&copy, "theirs").as_deref(), Some(b"1".as_slice()));
    assert_eq!(state(&copy), Value::Null);
    // What happens upstream is nobody's business here any more.
    change(&original, "DELETE", "theirs", b"");
    ours.replace_file("config.yml", &mirror(&original.address, ""));
    wait_for_copy(&copy, "theirs", None);
    wait_for_copy(&copy, "mine", None);
}

#[test]
fn a_publication_that_leaves_the_list_leaves_with_its_key_although_nobody_can_be_reached() {
    let smartcore = |publications: &str| {
        format!(
            "server: {{ reload_interval: 10ms }}\nkeyspaces:\n  copy:\n    mirror:\n      smartcore: {{ endpoint: 'http://127.0.0.1:9', device: d, publications: [{publications}] }}\n"
        )
    };
    let plain = "server: { reload_interval: 10ms }\nkeyspaces: { copy: { durability: written } }\n";
    let ours = place(plain);
    let copy = ours.serve(&[]).ready();
    for key in ["a", "b"] {
        let path = format!("/keyspaces/copy/keys/{key}");
        assert_eq!(
            copy.try_request("PUT", &path, "", b"1").unwrap().status,
            201
        );
    }
    ours.replace_file("config.yml", &smartcore("a, b"));
    wait_for_state(&copy, "waiting");
    assert!(copied(&copy, "b").is_some(), "nothing is known of it yet");
    ours.replace_file("config.yml", &smartcore("a"));
    wait_for_copy(&copy, "b", None);
    assert!(copied(&copy, "a").is_some());
}

#[test]
fn no_secret_is_shown_anywhere() {
    let theirs = upstream();
    let original = theirs.serve(&[]).ready();
    change(&original, "PUT", "a", b"v4lue");
    let ours = place(&mirror(&original.address, ""));
    let mut copy = ours.serve(&[]).ready();
    wait_for_copy(&copy, "a", Some(b"v4lue"));
    ours.replace_file("token", &format!("{TOKEN}-wrong\n"));
    let address = original.address.clone();
    original.kill();
    let back = theirs.serve(&["-e", &address]).ready();
    wait_until("a refusal", || {
        state(&copy)["error"] == "the upstream answers 401 token_required"
    });
    let shown = String::from_utf8(copy.ask("GET", "/mirrors").body).unwrap();
    let figures = String::from_utf8(copy.ask("GET", "/metrics").body).unwrap();
    let checked = ours.run(&["check"]);
    copy.signal("TERM");
    assert_eq!(copy.wait(), Some(0));
    let log = copy.log();
    assert!(log.contains("the mirror does not follow"), "{log}");
    for (place, text) in [
        ("/mirrors", &shown),
        ("/metrics", &figures),
        ("the log", &log),
        ("check", &(checked.stdout + &checked.stderr)),
    ] {
        assert!(!text.contains("s3cret"), "{place}: {text}");
        assert!(!text.contains("v4lue"), "{place}: {text}");
    }
    drop(back);
}
