//! Conditions under contention: of all who ask for the same, exactly one gets it.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::harness::{Client, PATIENCE, Server};

/// Clients that all have sent everything but the last byte of a PUT of their number.
fn contenders(server: &Server, count: usize, etag: &str) -> Vec<Client> {
    let contender = |n: usize| {
        let mut client = server.connect();
        let body = format!("{n:04}");
        let headers = [("If-Match", etag), ("Content-Length", "4")];
        let (most, _last) = body.split_at(3);
        client.write_request("PUT", "/v1/contended", &headers, most.as_bytes());
        client
    };
    (0..count).map(contender).collect()
}

#[test]
fn of_a_thousand_concurrent_puts_with_one_etag_exactly_one_wins() {
    const CLIENTS: usize = 1_000;
    let server = Server::with(|options| options.limits.body_stall = PATIENCE);
    let etag = server.put("/v1/contended", b"start").etag().to_owned();
    let mut clients = contenders(&server, CLIENTS, &etag);
    for (n, client) in clients.iter_mut().enumerate() {
        let last = format!("{n:04}").into_bytes()[3];
        client.write(&[last]).unwrap();
    }
    let mut statuses = BTreeMap::new();
    let mut winner = None;
    for (n, client) in clients.iter_mut().enumerate() {
        let answer = client.read_answer("PUT");
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 204 {
            winner = Some((n, answer.etag().to_owned()));
        } else {
            answer.assert_problem(412, "condition_failed");
        }
    }
    assert_eq!(statuses, BTreeMap::from([(204, 1), (412, CLIENTS - 1)]));
    let (n, etag) = winner.unwrap();
    let value = server.get("/v1/contended");
    assert_eq!(
        (value.text(), value.etag()),
        (format!("{n:04}").as_str(), etag.as_str())
    );
}

#[test]
fn of_all_who_create_a_key_that_is_about_to_expire_exactly_one_does() {
    const CLIENTS: usize = 6;
    let server = Server::start();
    for round in 0..10 {
        let key = format!("/v1/lease{round}");
        let target = format!("{key}?ttl=40ms");
        assert_eq!(server.put(&target, b"before").status, 201);
        let barrier = Barrier::new(CLIENTS);
        let won: Vec<String> = thread::scope(|scope| {
            let contend = |n: usize| {
                let (server, key, barrier) = (&server, &key, &barrier);
                move || {
                    let mut client = server.connect();
                    let deadline = Instant::now() + PATIENCE;
                    let body = format!("owner {n}");
                    barrier.wait();
                    loop {
                        let create = [("If-None-Match", "*")];
                        let put = client.send("PUT", key, &create, body.as_bytes());
                        match put.status {
                            201 => return Some(body),
                            412 => {}
                            _ => panic!("{put:?}"),
                        }
                        // Somebody else has it, for good.
                        if client.send("GET", key, &[], b"").body.starts_with(b"owner") {
                            return None;
                        }
                        assert!(Instant::now() < deadline, "it never expired");
                    }
                }
            };
            let threads: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(contend(n))).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(server.get(&key).text(), won[0]);
    }
}
