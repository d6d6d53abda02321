//! Keys: the raw rest of the path, decoded once.

use crate::harness::Server;

#[test]
fn a_slash_is_a_slash_however_it_is_written() {
    let server = Server::start();
    server.put("/v1/a/b", b"slash");
    for target in [
        "/v1/a/b",
        "/v1/a%2Fb",
        "/v1/a%2fb",
        "/v1/%61/b",
        "/%76%31/a/b",
    ] {
        assert_eq!(server.get(target).text(), "slash", "{target}");
    }
}

#[test]
fn keys_that_look_alike_are_not_the_same() {
    let server = Server::start();
    let targets = [
        "/v1/a",
        "/v1/a/",
        "/v1/a//",
        "/v1//a",
        "/v1/A",
        "/v1/a%20",
        "/v1/a+",
        "/v1/%2F",
        "/v1/%252F",
        "/v1/.",
        "/v1/..",
        "/v1/./a",
        "/v1/a/..",
        "/v1/%C3%A4",
        "/v1/a%CC%88",
        "/v1/%00",
        "/v1/flush",
        "/v1/keys",
        "/v1/v1/a",
    ];
    for target in targets {
        assert_eq!(
            server.put(target, target.as_bytes()).status,
            201,
            "{target}"
        );
    }
    for target in targets {
        assert_eq!(server.get(target).text(), target);
    }
    let flushed = server.send("POST", "/flush", &[], b"").json();
    assert_eq!(flushed["flushed"], targets.len());
}

#[test]
fn a_key_that_cannot_be_read_is_refused_by_every_method() {
    let server = Server::start();
    for target in [
        "/v1/%ff",
        "/v1/%FE",
        "/v1/%",
        "/v1/a%2",
        "/v1/%zz",
        "/v1/%C0%80",
        "/v1/",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            server
                .send(method, target, &[], b"")
                .assert_problem(400, "invalid_key");
        }
    }
}

#[test]
fn a_key_may_have_1024_bytes_and_no_more() {
    let server = Server::start();
    let longest = format!("/v1/{}", "%C3%A4".repeat(512));
    assert_eq!(server.put(&longest, b"1").status, 201);
    assert_eq!(server.get(&longest).text(), "1");
    let longer = format!("{longest}a");
    for method in ["GET", "PUT", "DELETE"] {
        let problem = server
            .send(method, &longer, &[], b"")
            .assert_problem(400, "key_too_long");
        assert_eq!(
            (&problem["limit"], &problem["actual"]),
            (&1024.into(), &1025.into())
        );
        assert_eq!(problem["setting"], "limits.key_bytes");
    }
}

#[test]
fn the_limit_of_keys_is_a_setting() {
    let server = Server::with(|options| options.limits.key_bytes = 3);
    assert_eq!(server.put("/v1/abc", b"1").status, 201);
    server
        .put("/v1/abcd", b"1")
        .assert_problem(400, "key_too_long");
}

#[test]
fn a_target_with_a_host_names_the_same_key() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let target = format!("http://{}/v1/a", server.address());
    assert_eq!(server.get(&target).text(), "1");
}
