//! The port for those who watch over the process.

use standpipe::server::{Access, Token, Verbs};

use crate::harness::{Answer, Client, Server};

fn server() -> Server {
    Server::with(|options| {
        options.ops_endpoint = Some("127.0.0.1:0".to_owned());
        options.access = Access {
            tokens: vec![Token {
                name: "any".to_owned(),
                sha256: Token::hash("secret"),
                keyspaces: None,
                verbs: Verbs::default(),
            }],
            allow_origins: vec!["https://app.example".to_owned()],
        };
    })
}

fn ask(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    Client::connect(server.ops_address()).send(method, target, headers, b"")
}

#[test]
fn probes_and_figures_need_no_token_there() {
    let server = server();
    for target in [
        "/livez",
        "/readyz",
        "/readyz?verbose",
        "/health",
        "/metrics",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&server, method, target, &[]);
            assert_eq!(answer.status, 200, "{method} {target}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    assert!(
        ask(&server, "GET", "/metrics", &[])
            .text()
            .contains("standpipe_ready 1")
    );
    assert!(ask(&server, "GET", "/readyz?verbose", &[]).json()["checks"].is_array());
    assert_eq!(server.get("/metrics").status, 401);
    ask(&server, "POST", "/livez", &[]).assert_problem(405, "method_not_allowed");
    ask(&server, "GET", "/livez?x=1", &[]).assert_problem(400, "unknown_parameter");
}

#[test]
fn nothing_else_is_there() {
    let server = server();
    let token = [("Authorization", "Bearer secret")];
    let document = server.get("/openapi.json").json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if ["/livez", "/readyz", "/health", "/metrics"].contains(&path.as_str()) {
            continue;
        }
        let target = path.replace("{key}", "a").replace("{ks}", "default");
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let answer = ask(&server, &method, &target, &token);
            assert_eq!(answer.status, 404, "{method} {target}");
            asked += 1;
        }
    }
    assert!(asked > 10, "{asked}");
    for target in [
        "/",
        "/docs/",
        "/ui/",
        "/openapi.json",
        "/problems/forbidden",
        "/?key=a",
    ] {
        ask(&server, "GET", target, &token).assert_problem(404, "route_not_found");
    }
    ask(&server, "OPTIONS", "/v1/a", &token).assert_problem(404, "route_not_found");
}

#[test]
fn another_host_is_refused_there_too() {
    let server = server();
    let answer = ask(&server, "GET", "/metrics", &[("Host", "evil.example")]);
    answer.assert_problem(421, "wrong_host");
}
