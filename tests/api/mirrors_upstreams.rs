//! Upstreams that tests play themselves, because no server of ours behaves so, and one under TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use standpipe::mirror::{Standpipe, Upstream};

use crate::authority::{Authority, Files};
use crate::follower::Follower;
use crate::harness::Server;
use crate::mirrors::{copied, copying, default_of, mirror, state, wait_for_copy, wait_for_state};
use crate::tls;

#[test]
fn who_follows_a_silent_upstream_for_too_long_takes_it_for_gone() {
    // It answers, says that it shows signs of life every 100 ms, and then shows none.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let len = stream.read(&mut asked).unwrap();
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
            retry: 2000\n: heartbeat 100\n\nevent: put\ndata: {\"key\":\"a\",\"value\":\"1\"}\n\n\
            id: 1-1\nevent: synced\ndata: {}\n\n: caught up\nid: 1-1\n\n";
        stream.write_all(text.as_bytes()).unwrap();
        // It comes back, and says where it was.
        let (mut again, _) = listener.accept().unwrap();
        let len_again = again.read(&mut asked).unwrap();
        drop(stream);
        (
            len,
            String::from_utf8_lossy(&asked[..len_again]).into_owned(),
        )
    });
    let mirror = mirror(Upstream::Standpipe(default_of(address)));
    let copy = Server::with(|options| copying(options, mirror));
    wait_for_copy(&copy, "a", "1");
    copy.wait_until(|copy| state(copy)["error"].to_string().contains("no sign of life"));
    let (_, asked) = silent.join().unwrap();
    assert!(asked.contains("\r\nlast-event-id: 1-1\r\n"), "{asked}");
    let begins = "GET /keyspaces/default/watch?prefix=&initial=true&values=true HTTP/1.1\r\n";
    assert!(asked.starts_with(begins), "{asked}");
}

#[test]
fn what_makes_no_sense_is_named_and_shown_to_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let confused = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: put\ndata: {\"key\":\"a\",\"value\":\"1\"}\n\n\
            event: put\ndata: {\"key\":\"b\"}\n\n";
        stream.write_all(text.as_bytes()).unwrap();
        stream
    });
    let mirror = mirror(Upstream::Standpipe(default_of(address)));
    let copy = Server::with(|options| copying(options, mirror));
    wait_for_copy(&copy, "a", "1");
    wait_for_state(&copy, "waiting");
    let error = state(&copy)["error"].to_string();
    assert!(
        error.contains("cannot be read") || error.contains("refused"),
        "{error}"
    );
    assert_eq!(copied(&copy, "b").status, 404);
    drop(confused.join().unwrap());
    let mut follower = Follower::new(&copy, "copy/watch?initial=true");
    assert_eq!(follower.next().key(), "a");
}

#[test]
fn an_upstream_that_fails_is_called_less_and_less_often() {
    const CALLS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let failing = thread::spawn(move || {
        let call = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let at = Instant::now();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let text = "HTTP/1.1 503 Nope\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(text.as_bytes()).unwrap();
            at
        };
        (0..CALLS).map(call).collect::<Vec<_>>()
    });
    let mirror = mirror(Upstream::Standpipe(default_of(address)));
    let copy = Server::with(|options| copying(options, mirror));
    let calls = failing.join().unwrap();
    // 20 ms, twice as long each time, at most 200 ms; chance takes less than half.
    let least = [10, 20, 40, 80, 100, 100, 100].map(Duration::from_millis);
    for ((pair, least), n) in calls.windows(2).zip(least).zip(0..) {
        assert!(
            pair[1] - pair[0] > least,
            "pause {n}: {:?}",
            pair[1] - pair[0]
        );
    }
    copy.wait_until(|copy| {
        // The listener is gone with the last call.
        let error = state(copy)["error"].to_string();
        error.contains("the upstream answers 503") || error.contains("refused")
    });
}

#[test]
fn an_upstream_under_tls_is_believed_by_the_authority_of_the_file() {
    let (authority, files) = (Authority::new(), Files::new());
    files.install(&authority.sign("localhost"));
    authority.write(&files.path("ca.pem"));
    let upstream = tls::server(&files, |_| {});
    let port = upstream.address().port();
    let doubtful = Standpipe {
        endpoint: format!("https://localhost:{port}"),
        ..default_of(upstream.address())
    };
    let believing = Standpipe {
        ca: Some(files.path("ca.pem")),
        ..doubtful.clone()
    };
    let copy = Server::with(|options| copying(options, mirror(Upstream::Standpipe(doubtful))));
    copy.wait_until(|copy| state(copy)["error"].to_string().contains("certificate"));
    let copy = Server::with(|options| copying(options, mirror(Upstream::Standpipe(believing))));
    wait_for_state(&copy, "following");
}
