//! Configurations that are refused, each with the exact sentence.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::{Flags, Place, assert_refused};

#[test]
fn a_file_that_was_asked_for_has_to_be_there() {
    let place = Place::new();
    let flags = Flags {
        config: Some(place.path("absent.yml")),
        ..Flags::default()
    };
    let refusal = place.load_with(flags).unwrap_err();
    let expected = "absent.yml: cannot be read: No such file or directory (os error 2); \
                    name another file with -c or STANDPIPE_CONFIG";
    assert_eq!(refusal, expected);
}

#[test]
fn names_and_shapes_are_refused_by_place() {
    assert_refused(&[
        (
            "server:\n  enpoint: ':1'\n",
            "file.yml:2: server.enpoint is not a setting; did you mean server.endpoint? (`standpipe check` prints all of them)",
        ),
        (
            "sever: {}\n",
            "file.yml:1: sever is not a setting; did you mean server? (`standpipe check` prints all of them)",
        ),
        (
            "whatever: 1\n",
            "file.yml:1: whatever is not a setting; `standpipe check` prints all of them",
        ),
        (
            "keyspaces:\n  default:\n    durabilty: synced\n",
            "file.yml:3: keyspaces.default.durabilty is not a setting; did you mean keyspaces.default.durability? \
             (`standpipe check` prints all of them)",
        ),
        (
            "server: { read_wait: 1s }\nserver: {}\n",
            "file.yml:2: server is set twice; keep one of the two",
        ),
        (
            "log:\n  recovery: refuse\n  recovery: refuse\n",
            "file.yml:3: log.recovery is set twice; keep one of the two",
        ),
        (
            "server:\n  endpoint: [a, b]\n",
            "file.yml:2: server.endpoint: one value belongs here, not a list or a section",
        ),
        (
            "server:\n  allowed_hosts: app.test\n",
            "file.yml:2: server.allowed_hosts: a list belongs here: [one, two]",
        ),
        (
            "server.endpoint: ':1'\n",
            "file.yml:1: \"server.endpoint\" is not a setting; did you mean server.endpoint? (`standpipe check` prints all \
             of them)",
        ),
        (
            "- server\n",
            "file.yml:1: a section belongs here: lines of `name: value`",
        ),
        (
            "server: 7\n",
            "file.yml:1: server: a section belongs here: lines of `name: value`",
        ),
        (
            "server: { endpoint: ':1' }\n---\nserver: {}\n",
            "file.yml:2: more than one YAML document",
        ),
    ]);
}

#[test]
fn values_are_refused_by_place_setting_and_reason() {
    assert_refused(&[
        (
            "version: '2.0'\n",
            "file.yml:1: version: \"2.0\" is not a version that this program reads; it reads '1.0'",
        ),
        (
            "\nserver:\n  endpoint: 8080\n",
            "file.yml:3: server.endpoint: \"8080\" is not host:port: it has no port; write it like 127.0.0.1:8080, or :8080 \
             for all interfaces",
        ),
        (
            "limits: { value_bytes: 16M }\n",
            "file.yml:1: limits.value_bytes: \"16M\" is not a size; write it like 64MiB, 16MB or 4096",
        ),
        (
            "limits: { value_bytes: 2GiB }\n",
            "file.yml:1: limits.value_bytes: \"2GiB\" is out of range: from 1 to 1GiB",
        ),
        (
            "server: { drain_timeout: soon }\n",
            "file.yml:1: server.drain_timeout: \"soon\" is not a span of time; write it like 500ms, 10s, 15m, 2h or 7d",
        ),
        (
            "server: { read_wait: 0s }\n",
            "file.yml:1: server.read_wait: \"0s\" is out of range: from 1ms to 86400 s",
        ),
        (
            "server: { workers: 0 }\n",
            "file.yml:1: server.workers: \"0\" is not a number of threads; write a number from 1 to 1024, or auto",
        ),
        (
            "log: { on_sync_error: ignore }\n",
            "file.yml:1: log.on_sync_error: \"ignore\" is not known; it can be exit, read-only",
        ),
        (
            "logging: { level: loud }\n",
            "file.yml:1: logging.level: \"loud\" is not a level; it can be DEBUG, INFO, WARN, ERROR, FATAL or OFF",
        ),
        (
            "storage: { shards: 3 }\n",
            "file.yml:1: storage.shards: \"3\" is not a power of two",
        ),
        (
            "storage: { reserve: some }\n",
            "file.yml:1: storage.reserve: \"some\" is not a size; write it like 64MiB, 16MB or 4096",
        ),
        (
            "keyspaces: { default: { durability: eventual } }\n",
            "file.yml:1: keyspaces.default.durability: \"eventual\" is not known; it can be synced, written, memory",
        ),
        (
            "limits: { value_bytes: 512MiB }\n",
            "file.yml:1: limits.value_bytes: \"512MiB\" is more than limits.inflight_bytes, 256MiB: \
             a value of the largest size could never be put",
        ),
        (
            "limits: { inflight_bytes: 1MiB }\n",
            "file.yml:1: limits.inflight_bytes: \"1MiB\" is less than limits.value_bytes, 16MiB: \
             a value of the largest size could never be put",
        ),
        (
            "storage: { path: '' }\n",
            "file.yml:1: storage.path: \"\" names no directory",
        ),
    ]);
}

#[test]
fn rooms_of_later_versions_are_refused_by_name() {
    let cases = [
        ("engine: valkey\n", "file.yml:1: engine"),
        (
            "version: '1.0'\ndiscovery:\n  dns: { name: a }\n",
            "file.yml:2: discovery",
        ),
    ];
    for (text, place) in cases {
        let refusal = Place::new()
            .with_file("file.yml", text)
            .load()
            .expect_err(text);
        let expected = format!(
            "{place} is not built yet: this version has nothing that it could set; take it out"
        );
        assert_eq!(refusal, expected, "{text}");
    }
}

#[test]
fn certificates_are_whole_or_absent() {
    for (text, expected) in [
        (
            "{ cert: a }",
            "default: server.tls.key: \"\" is missing, but server.tls.cert is set",
        ),
        (
            "{ key: a }",
            "default: server.tls.cert: \"\" is missing, but server.tls.key is set",
        ),
        (
            "{ client_ca: a }",
            "default: server.tls.cert: \"\" is missing, but server.tls.client_ca is set",
        ),
    ] {
        let text = format!("server:\n  tls: {text}\n");
        let refusal = Place::new().with_file("file.yml", &text).load();
        assert_eq!(refusal.unwrap_err(), expected, "{text}");
    }
    let place = Place::new()
        .with_file("file.yml", "server:\n  tls: { cert: a, key: b }\n")
        .with_variable("STANDPIPE_SERVER__TLS__CLIENT_CA", "c");
    let tls = place.load().unwrap().server.tls.unwrap();
    assert_eq!(tls.client_ca.unwrap().to_str(), Some("c"));
}

#[test]
fn a_token_is_refused_by_its_place_and_never_repeated() {
    let file = |token: &str| format!("access:\n  tokens:\n    - {token}\n");
    for (text, expected) in [
        (
            "{ name: ci, sha256: hunter2, verbs: [read] }",
            "file.yml:3: access.tokens[0] (\"ci\"): sha256 is not 64 hexadecimal digits; `standpipe token` prints a \
             token and its hash",
        ),
        (
            "{ name: ci, token: hunter2 }",
            "file.yml:3: access.tokens[0].token is not a setting; `standpipe check` prints all of them",
        ),
        (
            "hunter2",
            "file.yml:3: access.tokens[0]: a section belongs here: lines of `name: value`",
        ),
    ] {
        let refusal = Place::new().with_file("file.yml", &file(text)).load();
        assert_eq!(refusal.unwrap_err(), expected, "{text}");
    }
    let place = Place::new().with_variable("STANDPIPE_ACCESS__TOKENS", "hunter2");
    let refusal = place.load().unwrap_err();
    assert_eq!(
        refusal,
        "STANDPIPE_ACCESS__TOKENS: access.tokens: a list belongs here: [one, two]"
    );
}

#[test]
fn a_wrong_variable_is_refused_by_its_own_name() {
    let cases = [
        (
            "STANDPIPE_SERVER__ENPOINT",
            ":1",
            "STANDPIPE_SERVER__ENPOINT: server.enpoint is not a setting; did you mean STANDPIPE_SERVER__ENDPOINT? \
             (`standpipe check` prints all of them)",
        ),
        (
            "STANDPIPE_SERVER__ENDPOINT",
            "here",
            "STANDPIPE_SERVER__ENDPOINT: server.endpoint: \"here\" is not host:port: it has no port; \
             write it like 127.0.0.1:8080, or :8080 for all interfaces",
        ),
        (
            "STANDPIPE_KEYSPACES__DEFAULT__DURABILITY",
            "written",
            "STANDPIPE_KEYSPACES__DEFAULT__DURABILITY: keyspaces.default.durability cannot come from the environment, \
             only from the configuration file",
        ),
    ];
    for (name, value, expected) in cases {
        let refusal = Place::new().with_variable(name, value).load().unwrap_err();
        assert_eq!(refusal, expected, "{name}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_refused() {
    let mut place = Place::new();
    let value = OsString::from_vec(b"\xff:80".to_vec());
    place
        .variables
        .push(("STANDPIPE_SERVER__ENDPOINT".into(), value));
    let refusal = place.load().unwrap_err();
    assert_eq!(
        refusal,
        "STANDPIPE_SERVER__ENDPOINT: its value is not UTF-8 text"
    );
}
