//! A configuration file that changes under a running server: what takes effect, what waits, what is refused.
#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what it should have fails the test"
)]

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::harness::{Place, Server, wait_until};

/// Looked at often enough for a test.
const OFTEN: &str = "server: { reload_interval: 10ms }\n";

/// Never looked at within a test unless it is asked for.
const SELDOM: &str = "server: { reload_interval: 1d }\n";

/// A place whose configuration file holds these two parts.
fn place(interval: &str, text: &str) -> Place {
    Place::new().with_file("config.yml", &format!("{interval}{text}"))
}

fn write(place: &Place, text: &str) {
    place.replace_file("config.yml", text);
}

/// Waits until `/limits` shows this.
fn wait_for_limit(server: &Server, setting: &str, wanted: u64) {
    wait_until(setting, || limit(server, setting) == wanted);
}

fn limit(server: &Server, setting: &str) -> Value {
    let limits = json(server, "/limits");
    let items = limits["items"].as_array().unwrap();
    let named = items.iter().find(|item| item["setting"] == setting);
    named.unwrap()["value"].clone()
}

fn json(server: &Server, path: &str) -> Value {
    serde_json::from_slice(&server.ask("GET", path).body).unwrap()
}

/// Whether a check of `/readyz?verbose` is fine, and its detail.
fn check(server: &Server, name: &str) -> (bool, String) {
    let ready = json(server, "/readyz?verbose");
    assert_eq!(ready["status"], "ok", "{ready}");
    let checks = ready["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    let detail = check["detail"].as_str().unwrap().to_owned();
    (check["ok"] == true, detail)
}

/// Waits until a check of `/readyz?verbose` is not fine, and gives its detail.
fn wait_for_failing(server: &Server, name: &str) -> String {
    wait_until(name, || !check(server, name).0);
    check(server, name).1
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = String::from_utf8(server.ask("GET", "/metrics").body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn a_changed_limit_is_found_by_looking() {
    let place = place(OFTEN, "limits: { value_bytes: 5 }\n");
    let server = place.serve(&[]).ready();
    assert_eq!(server.put("a", "text/plain", b"123456"), 413);
    write(
        &place,
        &format!("{OFTEN}limits: {{ value_bytes: 6, key_bytes: 3 }}\n"),
    );
    wait_for_limit(&server, "limits.value_bytes", 6);
    assert_eq!(server.put("a", "text/plain", b"123456"), 201);
    assert_eq!(server.put("a", "text/plain", b"1234567"), 413);
    assert_eq!(server.put("four", "text/plain", b"1"), 400);
    assert_eq!(limit(&server, "limits.key_bytes"), 3);
    // Taken out again, the defaults hold again.
    write(&place, OFTEN);
    wait_for_limit(&server, "limits.value_bytes", 16 << 20);
    assert_eq!(server.put("four", "text/plain", b"1234567"), 201);
    assert_eq!(metric(&server, "standpipe_config_stale"), 0);
    assert!(metric(&server, "standpipe_config_last_reload_timestamp_seconds") > 1_700_000_000);
}

#[test]
fn a_signal_reads_at_once_and_an_unchanged_file_changes_nothing() {
    let place = place(SELDOM, "limits: { value_bytes: 5 }\n");
    let mut server = place.serve(&[]).ready();
    server.signal("HUP");
    server.wait_for_line("nothing has changed");
    write(&place, &format!("{SELDOM}limits: {{ value_bytes: 6 }}\n"));
    server.signal("HUP");
    let line = server.wait_for_line("the configuration was reloaded");
    assert!(line.contains("limits.value_bytes"), "{line}");
    assert!(!line.contains("server."), "{line}");
    assert_eq!(limit(&server, "limits.value_bytes"), 6);
    assert_eq!(
        metric(&server, "standpipe_config_reloads_total{result=\"done\"}"),
        2
    );
    assert_eq!(
        metric(
            &server,
            "standpipe_config_reloads_total{result=\"refused\"}"
        ),
        0
    );
}

#[test]
fn a_signal_during_the_start_is_kept_for_later() {
    let place = place(SELDOM, "");
    let mut server = place.serve(&[]);
    server.signal("HUP");
    server.wait_for_line("nothing has changed");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_once_until_it_is_mended() {
    let place = place(OFTEN, "limits: { value_bytes: 5 }\n");
    let mut server = place.serve(&[]).ready();
    write(
        &place,
        &format!("{OFTEN}limits: {{ value_bytes: 7, key_bites: 3 }}\n"),
    );
    let line = server.wait_for_line("the configuration was not reloaded");
    for words in [
        "config.yml:2: limits.key_bites is not a setting",
        "did you mean limits.key_bytes",
    ] {
        assert!(line.contains(words), "{line}");
    }
    let (ok, detail) = check(&server, "configuration");
    assert!(!ok && detail.contains("limits.key_bites"), "{detail}");
    assert_eq!(limit(&server, "limits.value_bytes"), 5);
    assert_eq!(metric(&server, "standpipe_config_stale"), 1);
    // As long as nothing changes, nothing is said.
    let looks = metric(
        &server,
        "standpipe_config_reloads_total{result=\"refused\"}",
    );
    assert_eq!(looks, 1);
    write(&place, &format!("{OFTEN}limits: {{ value_bytes: 7 }}\n"));
    wait_for_limit(&server, "limits.value_bytes", 7);
    wait_until("a good configuration", || check(&server, "configuration").0);
    assert_eq!(metric(&server, "standpipe_config_stale"), 0);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert_eq!(log.matches("was not reloaded").count(), 1, "{log}");
    assert_eq!(log.matches("loads again").count(), 1, "{log}");
}

#[test]
fn a_file_that_is_removed_changes_nothing() {
    let place = place(OFTEN, "limits: { value_bytes: 5 }\n");
    let mut server = place.serve(&[]).ready();
    fs::remove_file(place.path("config.yml")).unwrap();
    let line = server.wait_for_line("the configuration was not reloaded");
    assert!(line.contains("config.yml: cannot be read"), "{line}");
    assert_eq!(limit(&server, "limits.value_bytes"), 5);
    write(&place, &format!("{OFTEN}limits: {{ value_bytes: 6 }}\n"));
    wait_for_limit(&server, "limits.value_bytes", 6);
}

#[test]
fn a_file_may_appear_later() {
    let place = Place::new().with_variable("STANDPIPE_SERVER__RELOAD_INTERVAL", "10ms");
    let server = place.serve(&[]).ready();
    write(&place, "limits: { value_bytes: 6 }\n");
    wait_for_limit(&server, "limits.value_bytes", 6);
}

#[test]
fn a_file_behind_swapped_links_is_found() {
    // As Kubernetes mounts a ConfigMap: the file is a link into a directory that is a link, which is replaced.
    let place = Place::new();
    for (name, value_bytes) in [("a", 5), ("b", 6)] {
        let directory = place.path(name);
        fs::create_dir_all(&directory).unwrap();
        let text = format!("{OFTEN}limits: {{ value_bytes: {value_bytes} }}\n");
        fs::write(directory.join("config.yml"), text).unwrap();
    }
    symlink("a", place.path("data")).unwrap();
    symlink("data/config.yml", place.path("config.yml")).unwrap();
    let server = place.serve(&["--data", "store"]).ready();
    assert_eq!(limit(&server, "limits.value_bytes"), 5);
    symlink("b", place.path("new")).unwrap();
    fs::rename(place.path("new"), place.path("data")).unwrap();
    wait_for_limit(&server, "limits.value_bytes", 6);
}

#[test]
fn what_needs_a_restart_is_named_until_it_is_as_it_was() {
    let place = place(OFTEN, "");
    let mut server = place.serve(&[]).ready();
    let text = format!(
        "{OFTEN}log: {{ sync_interval: 2s }}\nstorage: {{ path: ./other }}\nlimits: {{ value_bytes: 6 }}\n"
    );
    write(&place, &text);
    let line = server.wait_for_line("only at the next start");
    for setting in ["log.sync_interval", "storage.path"] {
        assert!(line.contains(setting), "{line}");
    }
    // The rest has taken effect.
    wait_for_limit(&server, "limits.value_bytes", 6);
    let detail = wait_for_failing(&server, "restart");
    assert!(
        detail.ends_with("log.sync_interval, storage.path"),
        "{detail}"
    );
    assert_eq!(metric(&server, "standpipe_config_waiting_settings"), 2);
    write(&place, OFTEN);
    wait_until("nothing that waits", || check(&server, "restart").0);
    assert_eq!(metric(&server, "standpipe_config_waiting_settings"), 0);
}

#[test]
fn a_value_beyond_what_the_log_was_opened_for_waits_for_a_restart() {
    let place = place(OFTEN, "");
    let server = place.serve(&[]).ready();
    write(
        &place,
        &format!("{OFTEN}limits: {{ value_bytes: 200MiB, read_stall: 7s }}\n"),
    );
    wait_for_limit(&server, "limits.read_stall", 7000);
    assert_eq!(limit(&server, "limits.value_bytes"), 16 << 20);
    let detail = wait_for_failing(&server, "restart");
    assert!(detail.ends_with("limits.value_bytes"), "{detail}");
}

#[test]
fn a_setting_that_a_variable_covers_stays_covered() {
    let place = place(OFTEN, "").with_variable("STANDPIPE_LIMITS__VALUE_BYTES", "5");
    let server = place.serve(&[]).ready();
    write(
        &place,
        &format!("{OFTEN}limits: {{ value_bytes: 6, key_bytes: 9 }}\n"),
    );
    wait_for_limit(&server, "limits.key_bytes", 9);
    assert_eq!(limit(&server, "limits.value_bytes"), 5);
}

#[test]
fn names_of_this_server_come_and_go() {
    let place = place(OFTEN, "");
    let server = place.serve(&[]).ready();
    // A name in the target wins over the one in the header (RFC 9112, section 3.2.2).
    let status = || server.ask("GET", "http://kv.test/v1/a").status;
    assert_eq!(status(), 421);
    let text = "server: { reload_interval: 10ms, allowed_hosts: [kv.test] }\n";
    write(&place, text);
    wait_until("a name of ours", || status() == 404);
    write(&place, OFTEN);
    wait_until("nobody's name", || status() == 421);
}

#[test]
fn the_level_of_the_log_changes() {
    let place = place(SELDOM, "");
    let mut server = place.serve(&[]).ready();
    let done = "standpipe_config_reloads_total{result=\"done\"}";
    write(&place, &format!("{SELDOM}logging: {{ level: ERROR }}\n"));
    server.signal("HUP");
    wait_until(done, || metric(&server, done) == 1);
    write(&place, "logging: { level: loud }\n");
    server.signal("HUP");
    server.wait_for_line("the configuration was not reloaded");
    write(&place, &format!("{SELDOM}logging: {{ level: INFO }}\n"));
    server.signal("HUP");
    server.wait_for_line("the configuration was reloaded");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert_eq!(
        log.matches("the configuration was reloaded").count(),
        1,
        "{log}"
    );
}

#[test]
fn tokens_come_and_go() {
    // SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    let token = "access: { tokens: [{ name: ci, verbs: [read], \
                 sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }] }\n";
    let place = place(OFTEN, "");
    let mut server = place.serve(&[]).ready();
    assert_eq!(server.ask("GET", "/v1/a").status, 404);
    write(&place, &format!("{OFTEN}{token}"));
    wait_until("a closed door", || server.ask("GET", "/v1/a").status == 401);
    let with_token = |method| {
        server
            .ask_with(method, "/v1/a", "Authorization: Bearer abc")
            .status
    };
    assert_eq!((with_token("GET"), with_token("DELETE")), (404, 403));
    write(
        &place,
        &format!("{OFTEN}{}", token.replace("[read]", "[read, write]")),
    );
    wait_until("another right", || with_token("DELETE") == 204);
    // A file that is refused takes no token away.
    write(&place, &format!("{OFTEN}access: {{ token: [] }}\n"));
    server.wait_for_line("the configuration was not reloaded");
    assert_eq!(server.ask("GET", "/v1/a").status, 401);
    write(&place, OFTEN);
    wait_until("an open door", || server.ask("GET", "/v1/a").status == 404);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert!(
        log.contains("access.tokens") && !log.contains("ba7816"),
        "{log}"
    );
}

#[test]
fn what_moves_by_itself_changes_at_once_and_no_secret_is_named() {
    let text = |secret: &str, threads: u32| {
        format!(
            "{OFTEN}outbound: {{ threads: {threads}, proxy: 'http://u:{secret}@127.0.0.1:9' }}\n\
             keyspaces: {{ a: {{ source: {{ http: {{ endpoint: 'http://127.0.0.1:9/{{key}}', header: {{ X-A: {secret} }} }} }} }} }}\n\
             sources: {{ 'b c': {{ rule: '@daily', http: {{ endpoint: 'http://127.0.0.1:9', body: {secret} }} }} }}\n"
        )
    };
    let place = Place::new().with_file("config.yml", &text("hunter2", 2));
    let mut server = place.serve(&[]).ready();
    write(&place, &text("hunter3", 2));
    let line = server.wait_for_line("the configuration was reloaded");
    for setting in [
        "keyspaces.a.source.http.header",
        "outbound.proxy",
        "sources.\\\"b c\\\".http.body",
    ] {
        let plain = line.replace('\\', "");
        assert!(
            plain.contains(&setting.replace('\\', "")),
            "{setting}: {line}"
        );
    }
    wait_until("nothing that waits", || check(&server, "restart").0);
    write(&place, &text("hunter3", 3));
    let detail = wait_for_failing(&server, "restart");
    assert!(detail.ends_with("outbound.threads"), "{detail}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert!(!log.contains("hunter"), "{log}");
}
