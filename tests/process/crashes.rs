//! A server that is killed: what it acknowledged is there after the next start, and the next, byte for byte.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use crate::harness::{Place, Server};

type Acknowledged = BTreeMap<String, (&'static str, Vec<u8>)>;

/// A value that is different for every key and round, and no text for every third.
fn value(key: usize, round: usize) -> (&'static str, Vec<u8>) {
    let text = format!("value {key} of round {round} ")
        .repeat(key % 50 + 1)
        .into_bytes();
    match key % 3 {
        0 => (
            "image/png",
            text.iter().map(|byte| byte.wrapping_mul(31)).collect(),
        ),
        1 => ("text/markdown; charset=utf-8", text),
        _ => ("application/json", text),
    }
}

fn assert_kept(server: &Server, acknowledged: &Acknowledged) {
    for (key, (media_type, value)) in acknowledged {
        let answer = server.ask("GET", &format!("/v1/{key}"));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(*media_type)),
            "{key}"
        );
        assert!(answer.body == *value, "{key} came back different");
    }
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let place = Place::new();
    let mut acknowledged = Acknowledged::new();
    for round in 0..4 {
        let server = place.serve(&[]).ready();
        assert_kept(&server, &acknowledged);
        for key in 0..40 {
            let (media_type, value) = value(key, round);
            let name = format!("dir/{key}");
            let status = server.put(&name, media_type, &value);
            assert!(status == 201 || status == 204, "{status}");
            acknowledged.insert(name, (media_type, value));
        }
        let gone = format!("/v1/dir/{round}");
        assert_eq!(server.ask("DELETE", &gone).status, 204);
        acknowledged.remove(&format!("dir/{round}"));
        server.kill();
    }
    let server = place.serve(&[]).ready();
    assert_kept(&server, &acknowledged);
    // The last round wrote all keys again and deleted one.
    assert_eq!(acknowledged.len(), 39);
    assert_eq!(server.ask("GET", "/v1/dir/3").status, 404);
}

#[test]
fn a_kill_in_the_middle_of_writing_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    for round in 0..3 {
        let server = place.serve(&[]).ready();
        let acknowledged = Mutex::new(Acknowledged::new());
        thread::scope(|scope| {
            for writer in 0..4 {
                let (server, acknowledged) = (&server, &acknowledged);
                scope.spawn(move || {
                    for key in 0.. {
                        let (media_type, value) = value(key, round);
                        let name = format!("{round}/{writer}/{key}");
                        // The first failure is the kill; what was on its way then may or may not be there.
                        let Ok(201) = server.try_put(&name, media_type, &value) else {
                            break;
                        };
                        acknowledged
                            .lock()
                            .unwrap()
                            .insert(name, (media_type, value));
                    }
                });
            }
            scope.spawn(|| {
                while acknowledged.lock().unwrap().len() < 200 {
                    thread::yield_now();
                }
                server.signal("KILL");
            });
        });
        drop(server);
        let server = place.serve(&[]).ready();
        assert_kept(&server, &acknowledged.into_inner().unwrap());
        let mut server = server;
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{}", server.log());
    }
}

#[test]
fn what_was_imported_is_served() {
    let place = Place::new();
    let text = b"{\"key\":\"a/b\",\"value\":\"42\"}\n{\"key\":\"c\",\"value_base64\":\"/w==\",\"content_encoding\":\"br\"}\n";
    assert_eq!(place.run_with_input(&["import"], text).code, Some(0));
    let server = place.serve(&[]).ready();
    let plain = server.ask("GET", "/v1/a/b");
    assert_eq!((plain.status, plain.body.as_slice()), (200, &b"42"[..]));
    // The types that a PUT without one gets.
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let bytes = server.ask("GET", "/v1/c");
    assert_eq!((bytes.status, bytes.body.as_slice()), (200, &b"\xff"[..]));
    assert_eq!(
        bytes.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(bytes.header("content-encoding"), Some("br"));
}

#[test]
fn a_killed_import_leaves_a_beginning_of_its_input() {
    let place = Place::new();
    place.kill_import_after(60_000, |number| {
        format!("{{\"key\":\"{number:06}\",\"value\":\"{number}\"}}")
    });
    let exported = place.run(&["export"]);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    let mut count = 0;
    for line in exported.stdout.lines() {
        let expected = format!("{{\"key\":\"{count:06}\",\"value\":\"{count}\",");
        assert!(
            line.starts_with(&expected),
            "{line} is there and {count:06} is not"
        );
        count += 1;
    }
    // All but what the pipe and the last two chunks hold was awaited on the disk.
    assert!(count > 10_000, "only {count} entries");
}

#[test]
fn a_server_may_be_stopped_while_it_reads_its_data() {
    let place = Place::new();
    let text: Vec<String> = (0..50_000)
        .map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{n}\"}}\n"))
        .collect();
    assert_eq!(
        place
            .run_with_input(&["import"], text.concat().as_bytes())
            .code,
        Some(0)
    );
    for _ in 0..3 {
        let mut server = place.serve(&[]);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{}", server.log());
    }
    let server = place.serve(&[]).ready();
    assert_eq!(server.ask("GET", "/v1/k49999").body, b"49999");
}
