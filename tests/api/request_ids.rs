//! The name of a request: who sends one gets it back, whatever becomes of the request.

use crate::harness::Server;

#[test]
fn a_name_comes_back_with_every_kind_of_answer() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let named = [("X-Request-Id", "7b1f-c0ffee")];
    for (method, target, status) in [
        ("GET", "/v1/a", 200),
        ("HEAD", "/v1/a", 200),
        ("GET", "/v1/b", 404),
        ("PUT", "/v1/a?ttl=never", 400),
        ("BREW", "/v1/a", 405),
        ("GET", "/nothing", 404),
        ("GET", "/docs/", 200),
        ("GET", "/livez", 200),
    ] {
        let answer = server.send(method, target, &named, b"");
        let told = (answer.status, answer.header("x-request-id"));
        assert_eq!(told, (status, Some("7b1f-c0ffee")), "{method} {target}");
    }
}

#[test]
fn who_sends_none_gets_none() {
    let server = Server::start();
    assert_eq!(server.get("/health").header("x-request-id"), None);
}

#[test]
fn a_name_that_could_not_stand_in_a_line_is_replaced() {
    let server = Server::start();
    let long = "x".repeat(129);
    for given in ["two words", "tab\there", "", &long] {
        let answer = server.send("GET", "/health", &[("X-Request-Id", given)], b"");
        let id = answer.header("x-request-id").unwrap();
        assert!(
            id != given && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "{id}"
        );
    }
    let longest = "x".repeat(128);
    let answer = server.send("GET", "/health", &[("X-Request-Id", &longest)], b"");
    assert_eq!(answer.header("x-request-id"), Some(longest.as_str()));
}
