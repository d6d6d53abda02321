//! What is answered in the moment between a closed store and the end of the process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::life::{http_options, keyspace_options, listener_options};
use super::{Options, Server};
use crate::engine::{self, Opening};
use crate::http::{self, Listener, Service};
use crate::keyspace::Keyspaces;

/// The answer to a request that is the last one of its connection.
fn ask(address: SocketAddr, method: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} /v1/a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_change_that_meets_a_closed_store_is_told_that_the_server_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options {
        endpoint: "127.0.0.1:0".to_owned(),
        workers: NonZeroUsize::MIN,
        ..Options::default()
    };
    options.storage.path = directory.path().join("data");
    let server = Server::bind(&options).unwrap();
    let addresses = server.addresses();
    let address = *addresses.first().unwrap();
    let opening = Opening::default();
    let service = Arc::new(Service::new(
        http_options(&options, &addresses),
        opening.clone(),
    ));
    let told = engine::Options {
        path: options.storage.path.clone(),
        read_wait: options.read_wait,
        store: options.storage.store.clone(),
    };
    let engine = engine::open(told, &opening).unwrap();
    let keyspaces = Keyspaces::new(engine, keyspace_options(&options));
    service.open(keyspaces.clone());
    let answers = http::block_on(async {
        let listener = Listener::new(server.listeners, &service, listener_options(&options), None);
        let listener = listener.unwrap();
        let stopper = listener.stopper();
        let asked = async {
            let answers = spawn_blocking(move || {
                let before = ask(address, "PUT");
                keyspaces.close().unwrap();
                [before, ask(address, "PUT"), ask(address, "GET")]
            });
            let answers = answers.await.unwrap();
            stopper.stop().await;
            answers
        };
        let (_served, answers) = tokio::join!(listener.run(), asked);
        answers
    });
    let [before, put, get] = answers;
    assert!(before.starts_with("HTTP/1.1 201 "), "{before}");
    assert!(put.starts_with("HTTP/1.1 503 "), "{put}");
    assert!(put.contains(r#""code":"draining""#), "{put}");
    assert!(put.to_lowercase().contains("retry-after: "), "{put}");
    assert!(get.starts_with("HTTP/1.1 200 "), "{get}");
}
