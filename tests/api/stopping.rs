//! Starting and stopping.

use std::time::{Duration, Instant};

use crate::harness::{Client, PATIENCE, Server};

#[test]
fn a_request_in_flight_is_finished() {
    let server = Server::start();
    let mut client = server.connect();
    begin(&server, &mut client);
    server.handle().ask_to_stop();
    wait_until_closed(&server);
    client.write(b"world").unwrap();
    let put = client.read_answer("PUT");
    assert_eq!(put.status, 201);
    let server = Server::over(server.stop(), |_| {});
    assert_eq!(server.get("/v1/a").text(), "helloworld");
}

/// Sends half of a PUT and waits until the server reads it.
fn begin(server: &Server, client: &mut Client) {
    client.write_request("PUT", "/v1/a", &[("Content-Length", "10")], b"hello");
    server.wait_for("standpipe_http_inflight_bytes", 10);
}

fn wait_until_closed(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(server.address()).is_ok() {
        assert!(Instant::now() < deadline, "the listener never closed");
    }
}

#[test]
fn while_it_is_about_to_stop_it_serves_and_says_so() {
    let server = Server::with(|options| options.shutdown_delay = PATIENCE);
    let mut client = server.connect();
    assert_eq!(client.send("GET", "/readyz", &[], b"").status, 200);
    server.handle().ask_to_stop();
    let deadline = Instant::now() + PATIENCE;
    let ready = loop {
        let ready = client.send("GET", "/readyz", &[], b"");
        if ready.status == 503 {
            break ready;
        }
        assert!(Instant::now() < deadline, "{ready:?}");
    };
    assert_eq!(ready.json()["status"], "draining");
    assert_eq!(
        client.send("GET", "/health", &[], b"").json()["status"],
        "draining"
    );
    assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
    assert_eq!(client.send("PUT", "/v1/a", &[], b"1").status, 201);
    assert_eq!(
        Client::connect(server.address())
            .send("GET", "/v1/a", &[], b"")
            .text(),
        "1"
    );
}

#[test]
fn an_idle_connection_does_not_hold_a_stop() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PUT", "/v1/a", &[], b"1");
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(client.read_to_end().is_empty());
}

#[test]
fn a_second_request_to_stop_ends_it_at_once() {
    let server = Server::with(|options| options.drain_timeout = PATIENCE * 10);
    let mut client = server.connect();
    begin(&server, &mut client);
    server.handle().ask_to_stop();
    wait_until_closed(&server);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_request_that_does_not_finish_is_given_up_when_the_time_is_over() {
    let server = Server::with(|options| options.drain_timeout = Duration::from_millis(300));
    let mut client = server.connect();
    begin(&server, &mut client);
    let began = Instant::now();
    let directory = server.stop();
    assert!(began.elapsed() < Duration::from_secs(8));
    let server = Server::over(directory, |_| {});
    assert_eq!(server.get("/v1/a").status, 404);
}
