//! Counters and atomic batches on a server that is killed: what was acknowledged is counted, what was on its way counts at
//! most once, and no batch is ever half there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use crate::harness::{Place, Server};

const COUNTER: &str = "/keyspaces/default/counters/hits";
const BATCH: &str = "/keyspaces/default/batch";

/// The number under a key; 0 where it is absent.
fn number(server: &Server, key: &str) -> i64 {
    let answer = server.ask("GET", &format!("/v1/{key}"));
    match answer.status {
        404 => 0,
        _ => String::from_utf8(answer.body).unwrap().parse().unwrap(),
    }
}

/// Lets `clients` clients repeat `step` until the server is gone, and kills it once `acknowledged` says that enough was
/// done. A step says whether it was acknowledged.
fn until_killed(
    server: Server,
    clients: usize,
    step: impl Fn(&Server, usize) -> Option<()> + Sync,
    enough: impl Fn() -> bool + Sync,
) {
    thread::scope(|scope| {
        let (server, step, enough) = (&server, &step, &enough);
        for client in 0..clients {
            scope.spawn(move || while step(server, client).is_some() {});
        }
        scope.spawn(move || {
            while !enough() {
                thread::yield_now();
            }
            server.signal("KILL");
        });
    });
    // Waits until the process is gone, and its hold on the directory with it.
    drop(server);
}

#[test]
fn increments_add_up_over_every_kill() {
    const CLIENTS: i64 = 64;
    let place = Place::new();
    // What must be there, and what may be.
    let (mut least, mut most) = (0, 0);
    for _ in 0..3 {
        let server = place.serve(&[]).ready();
        let found = number(&server, "hits");
        assert!(
            (least..=most).contains(&found),
            "{least} <= {found} <= {most}"
        );
        let acknowledged = AtomicI64::new(0);
        let highest = Mutex::new(found);
        until_killed(
            server,
            64,
            |server, _| {
                let answer = server.try_request("POST", COUNTER, "", b"").ok()?;
                if answer.status != 200 {
                    return None;
                }
                let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                let value = told["value"].as_i64().unwrap();
                let mut highest = highest.lock().unwrap();
                *highest = value.max(*highest);
                acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(())
            },
            || acknowledged.load(Ordering::Relaxed) > 300,
        );
        let acknowledged = acknowledged.into_inner();
        // What somebody was told cannot be taken back, and each client had at most one more on its way.
        least = (found + acknowledged).max(highest.into_inner().unwrap());
        most = found + acknowledged + CLIENTS;
    }
    let server = place.serve(&[]).ready();
    let found = number(&server, "hits");
    assert!(
        (least..=most).contains(&found),
        "{least} <= {found} <= {most}"
    );
}

#[test]
fn an_atomic_batch_is_never_half_there_after_a_kill() {
    const EACH: i64 = 1_000;
    let place = Place::new();
    let accounts = ["a", "b", "c", "d", "e"];
    let total = EACH * 5;
    let server = place.serve(&[]).ready();
    for key in accounts {
        assert_eq!(
            server.put(key, "text/plain", EACH.to_string().as_bytes()),
            201
        );
    }
    let mut server = server;
    let mut marks = 0;
    for round in 0..3 {
        let done = AtomicI64::new(0);
        let broken = AtomicBool::new(false);
        until_killed(
            server,
            8,
            |server, client| {
                let (from, to) = (accounts[client % 5], accounts[(client + 1) % 5]);
                let body = format!(
                    r#"{{"atomic":true,"operations":[
                        {{"op":"increment","key":"{from}","by":-3}},
                        {{"op":"increment","key":"{to}","by":3}},
                        {{"op":"increment","key":"marks"}},
                        {{"op":"put","key":"last/{round}/{client}","value":"{client}"}}]}}"#
                );
                let answer = server
                    .try_request("POST", BATCH, "", body.as_bytes())
                    .ok()?;
                if answer.status != 200 {
                    broken.store(true, Ordering::Relaxed);
                    return None;
                }
                done.fetch_add(1, Ordering::Relaxed);
                Some(())
            },
            || done.load(Ordering::Relaxed) > 100 || broken.load(Ordering::Relaxed),
        );
        assert!(!broken.into_inner(), "a batch was refused");
        server = place.serve(&[]).ready();
        let sum: i64 = accounts.iter().map(|key| number(&server, key)).sum();
        assert_eq!(sum, total);
        let (before, done) = (marks, done.into_inner());
        marks = number(&server, "marks");
        assert!(
            (before + done..=before + done + 8).contains(&marks),
            "{before} + {done} <= {marks}"
        );
    }
}
