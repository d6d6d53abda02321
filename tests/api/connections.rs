//! How many connections are served, how long one may be idle, and how long a head may take.

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Server};

#[test]
fn as_many_connections_as_the_limit_are_served_and_one_more_waits() {
    let server = Server::with(|options| {
        options.workers = NonZeroUsize::MIN;
        options.limits.connections = 2;
    });
    let (mut first, mut second) = (server.connect(), server.connect());
    for client in [&mut first, &mut second] {
        assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
    }
    let mut third = server.connect();
    third.write_request("GET", "/livez", &[], b"");
    let short = Some(Duration::from_millis(300));
    third.stream().set_read_timeout(short).unwrap();
    let waits = third.try_read_answer("GET").unwrap_err();
    assert!(matches!(
        waits.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    // The two go on, and where one leaves the third is served.
    assert_eq!(second.send("GET", "/livez", &[], b"").status, 200);
    drop(first);
    third.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(third.read_answer("GET").status, 200);
}

#[test]
fn an_idle_connection_is_closed_after_a_time_and_a_busy_one_is_not() {
    let server = Server::with(|options| options.keep_alive = Duration::from_secs(1));
    let (mut idle, mut busy) = (server.connect(), server.connect());
    assert_eq!(idle.send("GET", "/livez", &[], b"").status, 200);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(busy.send("GET", "/livez", &[], b"").status, 200);
    }
    assert_eq!(idle.read_to_end(), b"");
}

#[test]
fn a_head_that_does_not_arrive_is_given_up() {
    let server = Server::with(|options| options.limits.head_timeout = Duration::from_millis(300));
    let mut slow = server.connect();
    slow.write(b"GET /livez HTTP/1.1\r\nHo").unwrap();
    let began = Instant::now();
    let rest = slow.read_to_end();
    assert!(began.elapsed() < PATIENCE);
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{rest:?}"
    );
    // Who sends its head in time is served.
    assert_eq!(server.get("/livez").status, 200);
}
