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
