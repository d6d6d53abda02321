//! A server that runs: what it says at its start, and how it ends.

use std::net::TcpListener;

use crate::harness::Place;

#[test]
fn a_start_names_version_address_and_directory() {
    let place = Place::new();
    let mut server = place.serve(&["--data", "some-data"]);
    assert_eq!(server.ask("GET", "/livez").status, 200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let address = server.address.clone();
    let log = server.log();
    for words in [env!("CARGO_PKG_VERSION"), "some-data", &address] {
        assert!(log.contains(words), "{words} is missing in {log}");
    }
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn an_address_beyond_loopback_is_warned_about_once() {
    let place = Place::new();
    let mut server = place.start(&["-e", "0.0.0.0:0"]);
    server.wait_for_line("listening");
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert_eq!(log.matches("no tokens").count(), 1, "{log}");
}

#[test]
fn an_unknown_level_is_info_and_a_warning() {
    let place = Place::new();
    let mut server = place.serve(&["-l", "loud"]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert!(log.contains("is not a level; using INFO"), "{log}");
}

#[test]
fn json_lines_are_json() {
    let place = Place::new().with_variable("STANDPIPE_LOGGING__FORMAT", "json");
    let mut server = place.serve(&[]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = place.run(&["-e", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(refused.code, Some(69));
    assert!(refused.stderr.contains("cannot listen"), "{refused:?}");
    for line in log.lines().chain(refused.stderr.lines()) {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    assert!(log.lines().count() >= 2, "{log}");
}

#[test]
fn level_off_leaves_the_reason_for_an_end_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Place::new().run(&["-l", "OFF", "-e", &address]);
    assert_eq!(ended.code, Some(69));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn limits_go_by_the_names_and_values_of_the_settings() {
    let place = Place::new()
        .with_variable("STANDPIPE_LIMITS__VALUE_BYTES", "5")
        .with_variable("STANDPIPE_SERVER__READ_WAIT", "1234ms");
    let server = place.serve(&[]).ready();
    let limits: serde_json::Value =
        serde_json::from_slice(&server.ask("GET", "/limits").body).unwrap();
    let items = limits["items"].as_array().unwrap();
    let value_of = |setting: &str| {
        items
            .iter()
            .find(|item| item["setting"] == setting)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(
        (value_of("limits.value_bytes"), value_of("server.read_wait")),
        (5.into(), 1234.into())
    );
    let known = place.run(&["check", "--config-only"]).stdout;
    let mut section = "";
    let mut settings = Vec::new();
    for line in known.lines() {
        let name = line.trim_start().split(':').next().unwrap();
        if line.starts_with(' ') {
            settings.push(format!("{section}.{name}"));
        } else {
            section = name;
        }
    }
    assert!(items.len() > 5, "{limits}");
    for item in items {
        let setting = item["setting"].as_str().unwrap();
        assert!(
            settings.iter().any(|known| known == setting),
            "{setting} is no setting of {settings:?}"
        );
    }
    assert_eq!(server.put("a", "text/plain", b"123456"), 413);
    assert_eq!(server.put("a", "text/plain", b"12345"), 201);
}
