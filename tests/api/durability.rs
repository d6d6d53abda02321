//! What an answer promises.

use crate::harness::Server;

#[test]
fn less_than_promised_is_told_and_more_is_not() {
    let server = Server::start();
    let written = server.put("/v1/a?durability=written", b"1");
    assert_eq!(written.status, 202);
    let synced = server.put("/v1/a?durability=synced", b"2");
    assert_eq!(synced.status, 204);
    assert_ne!(written.etag(), synced.etag());
    assert_eq!(
        server
            .send("DELETE", "/v1/a?durability=written", &[], b"")
            .status,
        202
    );
    assert_eq!(server.get("/v1/a").status, 404);
    server.put("/v1/b?durability=written", b"1");
    let flush = server.send("POST", "/flush?durability=written", &[], b"");
    assert_eq!((flush.status, &flush.json()["flushed"]), (200, &1.into()));
}

#[test]
fn memory_cannot_be_asked_for() {
    let server = Server::start();
    server
        .put("/v1/a?durability=memory", b"1")
        .assert_problem(400, "durability_unavailable");
    server
        .send("DELETE", "/v1/a?durability=memory", &[], b"")
        .assert_problem(400, "durability_unavailable");
    assert_eq!(server.get("/v1/a").status, 404);
}

#[test]
fn a_failed_condition_of_a_written_request_is_no_acceptance() {
    let server = Server::start();
    server.put("/v1/a", b"1");
    let put = server.send(
        "PUT",
        "/v1/a?durability=written",
        &[("If-None-Match", "*")],
        b"2",
    );
    put.assert_problem(412, "condition_failed");
}
