//! A web page must not empty a developer's store.

use crate::harness::Server;

#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let foreign = [
        [
            ("Sec-Fetch-Site", "cross-site"),
            ("Origin", "http://evil.example"),
        ],
        [
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "http://localhost:3000"),
        ],
        [
            ("Origin", "http://evil.example"),
            ("Referer", "http://evil.example/"),
        ],
        [("Origin", "null"), ("Accept", "*/*")],
    ];
    for headers in &foreign {
        for (method, target) in [
            ("POST", "/flush"),
            ("DELETE", "/flush"),
            ("PUT", "/v1/a"),
            ("DELETE", "/v1/a"),
            ("POST", "/admin/snapshot"),
        ] {
            server
                .send(method, target, headers, b"")
                .assert_problem(403, "cross_site");
        }
        assert_eq!(server.send("GET", "/v1/a", headers, b"").text(), "1");
    }
}

#[test]
fn our_own_pages_and_other_programs_pass() {
    let server = Server::start();
    let origin = format!("http://{}", server.address());
    for headers in [
        vec![],
        vec![("Sec-Fetch-Site", "same-origin"), ("Origin", &origin)],
        vec![("Sec-Fetch-Site", "none")],
        vec![("Origin", origin.as_str())],
    ] {
        assert!(
            server.send("PUT", "/v1/a", &headers, b"1").status < 205,
            "{headers:?}"
        );
        assert_eq!(
            server.send("POST", "/flush", &headers, b"").json()["flushed"],
            1
        );
    }
}

#[test]
fn another_host_is_refused_on_a_loopback_address() {
    let server = Server::with(|options| options.allowed_hosts = vec!["kv.test".to_owned()]);
    server.put("/v1/a", b"1");
    for target in [
        "/v1/a", "/?key=a", "/metrics", "/docs/", "/nothing", "/readyz",
    ] {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            server
                .send("GET", target, &[("Host", host)], b"")
                .assert_problem(421, "wrong_host");
        }
    }
    for host in [
        "localhost",
        "LocalHost:1",
        "127.0.0.1",
        "[::1]:8080",
        "192.0.2.7",
        "kv.test",
        "KV.test:8080",
    ] {
        assert_eq!(
            server.send("GET", "/v1/a", &[("Host", host)], b"").status,
            200,
            "{host}"
        );
    }
}

#[test]
fn elsewhere_any_host_may_be_named() {
    let server = Server::with(|options| options.endpoint = "0.0.0.0:0".to_owned());
    assert_eq!(
        server
            .send("PUT", "/v1/a", &[("Host", "kv.example")], b"1")
            .status,
        201
    );
}
