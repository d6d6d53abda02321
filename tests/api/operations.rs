//! Flush, lookup, probes, figures, limits, snapshots.

use crate::harness::Server;

#[test]
fn a_flush_empties_the_store_and_may_be_repeated() {
    let server = Server::start();
    for (round, method) in ["DELETE", "POST"].into_iter().enumerate() {
        for n in 0..10 + round {
            server.put(&format!("/v1/{n}"), b"x");
        }
        let flush = server.send(method, "/flush", &[], b"");
        assert_eq!(
            (flush.status, &flush.json()["flushed"]),
            (200, &(10 + round).into())
        );
        let again = server.send(method, "/flush", &[], b"");
        assert_eq!((again.status, &again.json()["flushed"]), (200, &0.into()));
        assert_eq!(server.get("/v1/1").status, 404);
    }
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get("/v1/1").status, 404);
}

#[test]
fn the_lookup_answers_as_cachepump_does() {
    let server = Server::start();
    server.send(
        "PUT",
        "/v1/a%20b",
        &[("Content-Type", "application/json")],
        b"{}",
    );
    let found = server.get("/?key=a%20b");
    assert_eq!((found.status, found.text()), (200, "{}"));
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(server.get("/?other=1&key=a+b").status, 200);
    let head = server.send("HEAD", "/?key=a+b", &[], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("2"))
    );

    let absent = server.get("/?key=none");
    assert_eq!((absent.status, absent.text()), (404, "key is not found"));
    for target in ["/?other=1", "/?key=", "/?key"] {
        let missing = server.get(target);
        assert_eq!(
            (missing.status, missing.text()),
            (400, "Parametor 'key' is not found"),
            "{target}"
        );
        assert_eq!(
            missing.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    assert_eq!(server.get("/?key=%ff").status, 400);
    assert_eq!(server.get("/?key=a&key=b").status, 400);
}

#[test]
fn the_root_leads_to_the_documentation() {
    let server = Server::start();
    for (target, method) in [("/", "GET"), ("/", "HEAD"), ("/?", "GET"), ("/docs", "GET")] {
        let root = server.send(method, target, &[], b"");
        assert_eq!(
            (root.status, root.header("location")),
            (302, Some("/docs/")),
            "{method} {target}"
        );
    }
}

#[test]
fn probes_say_that_all_is_well() {
    let server = Server::start();
    for probe in ["/health", "/livez", "/readyz"] {
        let answer = server.get(probe);
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &"ok".into()),
            "{probe}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(server.send("HEAD", probe, &[], b"").status, 200);
    }
    let verbose = server.get("/readyz?verbose").json();
    let checks = verbose["checks"].as_array().unwrap();
    assert!(checks.len() >= 4);
    assert!(checks.iter().all(|check| check["ok"] == true), "{verbose}");
    server
        .get("/readyz?verbose=maybe")
        .assert_problem(400, "invalid_parameter");
}

#[test]
fn figures_count_what_happens() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    server.get("/v1/a");
    server.get("/v1/none");
    server.get("/nothing");
    let metrics = server.get("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = metrics.text();
    for line in [
        r#"standpipe_http_requests_total{operation="put_value",status="201"} 1"#,
        r#"standpipe_http_requests_total{operation="get_value",status="200"} 1"#,
        r#"standpipe_http_requests_total{operation="get_value",status="404"} 1"#,
        r#"standpipe_http_requests_total{operation="none",status="404"} 1"#,
        "standpipe_store_entries 1",
        "standpipe_ready 1",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in {text}"
        );
    }
    let open = server.send(
        "GET",
        "/metrics",
        &[("Accept", "application/openmetrics-text; version=1.0.0")],
        b"",
    );
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
}

#[test]
fn limits_are_shown_with_their_settings() {
    let server = Server::with(|options| options.limits.value_bytes = 1000);
    let limits = server.get("/limits").json();
    let items = limits["items"].as_array().unwrap();
    let shown = |setting: &str| {
        items
            .iter()
            .find(|item| item["setting"] == setting)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(shown("limits.value_bytes"), 1000);
    assert_eq!(shown("limits.key_bytes"), 1024);
    assert_eq!(shown("limits.body_stall"), 10_000);
}

#[test]
fn a_snapshot_holds_everything() {
    let server = Server::start();
    for n in 0..100 {
        server.put(&format!("/v1/{n}"), b"x");
    }
    let snapshot = server.send("POST", "/admin/snapshot", &[], b"");
    assert_eq!(snapshot.status, 200, "{snapshot:?}");
    assert_eq!(snapshot.json()["entries"], 100);
    assert!(snapshot.json()["bytes"].as_u64().unwrap() > 100);
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get("/v1/99").text(), "x");
}
