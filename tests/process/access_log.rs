//! The access log: one line for each request, and what must never be in it.

use serde_json::Value;

use crate::harness::Place;

const SECRET: &str = "a-value-that-nobody-may-log";

/// Does some requests of a server that logs them as JSON and has one token, `ci`; the whole log, and the token.
fn log_of(level: &str) -> (String, String) {
    let made = Place::new().run(&["token", "--name", "ci", "--verb", "read", "--verb", "write"]);
    let (token, lines) = made.stdout.split_once('\n').unwrap();
    let file = format!("{lines}logging: {{ level: {level}, format: json, access: true }}\n");
    let place = Place::new().with_file("config.yml", &file);
    let mut server = place.serve(&[]).ready();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let named = format!("{bearer}X-Request-Id: mine-1\r\n");
    let ask = |method: &str, path: &str, headers: &str, body: &[u8]| {
        server.try_request(method, path, headers, body).unwrap()
    };
    let put = ask("PUT", "/v1/some-key?ttl=1h", &named, SECRET.as_bytes());
    assert_eq!(
        (put.status, put.header("x-request-id")),
        (201, Some("mine-1"))
    );
    let get = ask("GET", "/v1/some-key", &bearer, b"");
    assert!(get.status == 200 && get.header("x-request-id").is_some());
    assert_eq!(ask("GET", "/v1/some-key", "", b"").status, 401);
    assert_eq!(ask("POST", "/flush", &bearer, b"").status, 403);
    assert_eq!(ask("HEAD", "/v1/some-key", &bearer, b"").status, 200);
    assert_eq!(ask("GET", "/nowhere/some-key", &bearer, b"").status, 404);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    (server.log(), token.to_owned())
}

fn requests(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["target"] == "standpipe::access" && line["route"] != "/readyz")
        .collect()
}

#[test]
fn each_request_is_a_line_with_who_what_and_how_much() {
    let (log, _) = log_of("INFO");
    let lines = requests(&log);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            let bytes = line["bytes"].as_u64().unwrap();
            (
                text("method"),
                text("route"),
                line["status"].as_u64().unwrap(),
                bytes,
                text("token"),
            )
        })
        .collect();
    let len = u64::try_from(SECRET.len()).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|(method, route, status, bytes, token)| {
            // The length of a problem is nobody's promise.
            let bytes = if *status >= 400 {
                u64::from(*bytes > 0)
            } else {
                *bytes
            };
            (
                method.as_str(),
                route.as_str(),
                *status,
                bytes,
                token.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("PUT", "/v1/{key}", 201, 0, "ci"),
            ("GET", "/v1/{key}", 200, len, "ci"),
            ("GET", "/v1/{key}", 401, 1, "-"),
            ("POST", "/flush", 403, 1, "ci"),
            ("HEAD", "/v1/{key}", 200, 0, "ci"),
            ("GET", "-", 404, 1, "-"),
        ]
    );
    assert_eq!(lines[0]["request_id"], "mine-1");
    for line in &lines {
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
        assert!(
            line["duration_us"].is_u64() && line["cut"].is_null(),
            "{line}"
        );
        assert!(!line["request_id"].as_str().unwrap().is_empty(), "{line}");
    }
}

#[test]
fn keys_are_there_only_for_who_debugs_and_values_and_tokens_never() {
    for (level, keys) in [("INFO", false), ("DEBUG", true)] {
        let (log, token) = log_of(level);
        assert_eq!(requests(&log).len(), 6, "{level}: {log}");
        assert_eq!(log.contains("some-key"), keys, "{level}: {log}");
        assert!(
            !log.contains(SECRET) && !log.contains(&token),
            "{level}: {log}"
        );
    }
}

#[test]
fn nothing_is_logged_unless_it_is_asked_for() {
    let place = Place::new();
    let mut server = place.serve(&[]).ready();
    let answer = server.ask("GET", "/health");
    assert_eq!((answer.status, answer.header("x-request-id")), (200, None));
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!server.log().contains("request_id"));
}

#[test]
fn text_lines_keep_to_one_line_each() {
    let place = Place::new().with_file("config.yml", "logging: { access: true }\n");
    let mut server = place.serve(&[]).ready();
    let answer = server
        .try_request("GET", "/health", "X-Request-Id: two words\r\n", b"")
        .unwrap();
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert!(!id.contains("two"), "{id}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    let line = log.lines().find(|line| line.contains(&id)).unwrap();
    for words in [
        "INFO",
        "request",
        "method=GET",
        "route=\"/health\"",
        "status=200",
        "bytes=15",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
}
