//! The limit of connections for each address, at it and past it.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::harness::{Client, PATIENCE, Server};

fn server(most: Option<usize>) -> Server {
    Server::with(|options| {
        options.limits.connections_per_address = most;
        // So that the harness's own probes take no place.
        options.ops_endpoint = Some("127.0.0.1:0".to_owned());
    })
}

/// A connection that has been served once: it is counted.
fn served(server: &Server) -> Client {
    let mut client = server.connect();
    assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
    client
}

fn is_closed_without_an_answer(server: &Server) {
    let mut client = server.connect();
    // The server may have closed it before we write, or after.
    drop(client.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn as_many_as_the_limit_are_served_and_one_more_is_closed() {
    let server = server(Some(3));
    let mut clients: Vec<_> = (0..3).map(|_| served(&server)).collect();
    is_closed_without_an_answer(&server);
    is_closed_without_an_answer(&server);
    for client in &mut clients {
        assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
    }
    let metrics = clients[0].send("GET", "/metrics", &[], b"");
    let line = "standpipe_http_connections_refused_total 2";
    assert!(
        metrics.text().lines().any(|known| known == line),
        "{}",
        metrics.text()
    );
}

#[test]
fn a_place_is_free_again_once_its_connection_has_gone() {
    let server = server(Some(1));
    let mut client = served(&server);
    for _ in 0..5 {
        drop(client);
        let deadline = Instant::now() + PATIENCE;
        // The server hears of the end a little later.
        client = loop {
            let mut next = server.connect();
            drop(next.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            if matches!(next.stream().peek(&mut [0]), Ok(1)) {
                assert_eq!(next.read_answer("GET").status, 200);
                break next;
            }
            assert!(Instant::now() < deadline, "the place was never free again");
        };
    }
}

#[test]
fn another_address_has_places_of_its_own() {
    let server = server(Some(1));
    let _first = served(&server);
    is_closed_without_an_answer(&server);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())
        .unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut other = Client::over(TcpStream::from(socket));
    assert_eq!(other.send("GET", "/health", &[], b"").status, 200);
}

#[test]
fn without_the_limit_there_are_only_the_limits_of_all() {
    let server = server(None);
    let clients: Vec<_> = (0..50).map(|_| served(&server)).collect();
    assert_eq!(clients.len(), 50);
}
