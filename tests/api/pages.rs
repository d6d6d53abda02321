//! Pages and documents, all from the binary.

use crate::harness::Server;

#[test]
fn the_documentation_is_in_the_binary() {
    let server = Server::start();
    let index = server.get("/docs/");
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html"))
    );
    // Everything that the page names is served from here: it works without a network.
    let text = index.text();
    for part in text.split(['"', '\'']).filter(|part| is_asset(part)) {
        assert!(!part.contains("//"), "{part} is somewhere else");
        let file = server.get(&format!("/docs/{}", part.trim_start_matches("./")));
        assert_eq!(file.status, 200, "{part}");
        assert!(!file.body.is_empty());
    }
    assert!(
        server
            .get("/docs/swagger-initializer.js")
            .text()
            .contains("/openapi.json")
    );
    assert_eq!(server.send("HEAD", "/docs/", &[], b"").status, 200);
    server
        .get("/docs/none.js")
        .assert_problem(404, "route_not_found");
}

fn is_asset(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("js" | "css"))
}

#[test]
fn the_documents_are_those_of_the_repository() {
    let server = Server::start();
    for (target, media_type) in [
        ("/openapi.json", "application/json"),
        ("/openapi.yaml", "application/yaml"),
        ("/postman.json", "application/json"),
    ] {
        let served = server.get(target);
        assert_eq!(
            (served.status, served.header("content-type")),
            (200, Some(media_type))
        );
        let kept =
            std::fs::read(format!("{}/openapi{target}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(served.body == kept, "{target}");
    }
}

#[test]
fn the_page_for_people_is_in_the_binary_and_names_nothing_elsewhere() {
    let server = Server::start();
    let redirect = server.get("/ui");
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (302, Some("/ui/"))
    );
    let index = server.get("/ui/");
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    // Modules name each other: every script that is reached from the page is served.
    let mut named = vec![String::new()];
    let mut at = 0;
    while let Some(name) = named.get(at).cloned() {
        let file = server.get(&format!("/ui/{name}"));
        assert_eq!(file.status, 200, "{name}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let text = file.text().to_owned();
        for part in text.split(['"', '\'']).filter(|part| is_asset(part)) {
            assert!(!part.contains("//"), "{part} is somewhere else");
            let part = part.trim_start_matches("./").to_owned();
            if !named.contains(&part) {
                named.push(part);
            }
        }
        at += 1;
    }
    assert!(named.len() > 10, "{named:?}");
}

#[test]
fn the_page_for_people_is_asked_for_again_by_its_etag() {
    let server = Server::start();
    for target in ["/ui/", "/ui/app.js"] {
        let whole = server.get(target);
        assert_eq!(whole.header("cache-control"), Some("no-cache"));
        let known = format!("\"another\", W/{}", whole.etag());
        for (tag, status) in [
            (whole.etag(), 304),
            (&known, 304),
            ("*", 304),
            ("\"another\"", 200),
        ] {
            let again = server.send("GET", target, &[("If-None-Match", tag)], b"");
            assert_eq!(again.status, status, "{target} {tag}");
            assert_eq!(again.etag(), whole.etag());
            assert_eq!(again.body.is_empty(), status == 304);
        }
        let head = server.send("HEAD", target, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        let wrong = server.send("POST", target, &[], b"");
        wrong.assert_problem(405, "method_not_allowed");
        assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
    }
    assert_ne!(server.get("/ui/").etag(), server.get("/ui/app.js").etag());
    for target in ["/ui/none.js", "/ui/ui/", "/ui/mod.rs"] {
        server.get(target).assert_problem(404, "route_not_found");
    }
}
