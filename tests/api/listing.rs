//! Lists: byte order, prefixes, groups, cursors, and keys that come and go meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::harness::{Client, Server};

const LIST: &str = "/keyspaces/default/keys";

/// Puts keys that need no encoding.
fn fill(server: &Server, keys: &[&str]) {
    let mut client = server.connect();
    for key in keys {
        let answer = client.send("PUT", &format!("/v1/{key}"), &[], b"value");
        assert_eq!(answer.status, 201, "{key}");
    }
}

fn page(client: &mut Client, query: &str) -> Value {
    let answer = client.send("GET", &format!("{LIST}?{query}"), &[], b"");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let text = |item: &Value| {
        item.as_str()
            .unwrap_or_else(|| item["key"].as_str().unwrap())
            .to_owned()
    };
    items.map(text).collect()
}

/// Keys and common prefixes of every page, in the order of the list.
fn walk(client: &mut Client, query: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut page = page(client, query);
    loop {
        let mut items = texts(&page["items"]);
        items.extend(texts(&page["prefixes"]));
        items.sort_unstable();
        all.extend(items);
        let Some(cursor) = page["cursor"].as_str() else {
            return all;
        };
        let limit = query.split('&').find(|part| part.starts_with("limit="));
        page = self::page(
            client,
            &format!("cursor={cursor}&{}", limit.unwrap_or_default()),
        );
    }
}

#[test]
fn keys_are_listed_in_byte_order_with_their_facts() {
    let server = Server::start();
    let utf8 = "%C3%A9";
    fill(&server, &["b", "a/b", "a", "B", "a%2Fa", utf8, "a0", "a//"]);
    let put = server.send(
        "PUT",
        "/v1/c?ttl=1h",
        &[("Content-Type", "image/png")],
        b"12345",
    );
    let answer = server.get(LIST);
    let list = answer.json();
    assert_eq!(
        texts(&list["items"]),
        ["B", "a", "a//", "a/a", "a/b", "a0", "b", "c", "\u{e9}"]
    );
    assert_eq!(list["prefixes"], serde_json::json!([]));
    assert!(list["cursor"].is_null() && list.get("cursor").is_some());
    assert_eq!(answer.header("link"), None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let item = &list["items"][7];
    assert_eq!(item["size"], 5);
    assert_eq!(item["etag"], put.etag());
    assert_eq!(item["content_type"], "image/png");
    let expires_at = item["expires_at"].as_str().unwrap();
    assert!(expires_at.starts_with("20") && expires_at.ends_with('Z') && expires_at.contains('T'));
    assert!(list["items"][0]["expires_at"].is_null());
    assert_eq!(
        list["items"][0]["content_type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(server.send("HEAD", LIST, &[], b"").status, 200);
}

#[test]
fn an_empty_keyspace_is_an_empty_list() {
    let server = Server::start();
    let list = server.get(LIST).json();
    assert_eq!(
        list,
        serde_json::json!({"items": [], "prefixes": [], "cursor": null})
    );
    server
        .get("/keyspaces/absent/keys")
        .assert_problem(404, "keyspace_not_found");
}

#[test]
fn a_prefix_picks_keys_and_after_is_exclusive() {
    let server = Server::start();
    fill(&server, &["a", "b", "b/1", "b/2", "b0", "c"]);
    let mut client = server.connect();
    let mut keys = |query: &str| texts(&page(&mut client, query)["items"]);
    assert_eq!(keys("prefix=b"), ["b", "b/1", "b/2", "b0"]);
    assert_eq!(keys("prefix=b%2F"), ["b/1", "b/2"]);
    assert_eq!(keys("prefix=b&after=b"), ["b/1", "b/2", "b0"]);
    assert_eq!(keys("after=b/1"), ["b/2", "b0", "c"]);
    assert_eq!(keys("after=b/10"), ["b/2", "b0", "c"]);
    assert_eq!(keys("prefix=b&after=a"), ["b", "b/1", "b/2", "b0"]);
    assert_eq!(keys("prefix=b&after=c"), [""; 0]);
    assert_eq!(keys("prefix=x"), [""; 0]);
    assert_eq!(
        keys("prefix=&delimiter=&after="),
        ["a", "b", "b/1", "b/2", "b0", "c"]
    );
}

#[test]
fn a_common_prefix_stands_for_its_keys_and_counts_as_one() {
    let server = Server::start();
    fill(
        &server,
        &[
            "a", "b/1", "b/2", "b/3", "b/4/x", "b0", "c/", "c/1", "d", "e/f/g", "e/f/h", "e/g",
        ],
    );
    let mut client = server.connect();
    let list = page(&mut client, "delimiter=/");
    assert_eq!(texts(&list["items"]), ["a", "b0", "d"]);
    assert_eq!(texts(&list["prefixes"]), ["b/", "c/", "e/"]);
    assert!(list["cursor"].is_null());
    let list = page(&mut client, "delimiter=/&prefix=b/");
    assert_eq!(texts(&list["items"]), ["b/1", "b/2", "b/3"]);
    assert_eq!(texts(&list["prefixes"]), ["b/4/"]);
    let list = page(&mut client, "delimiter=/&prefix=e");
    assert_eq!(texts(&list["prefixes"]), ["e/"]);
    let whole = ["a", "b/", "b0", "c/", "d", "e/"];
    for limit in 1..=7 {
        assert_eq!(
            walk(&mut client, &format!("delimiter=/&limit={limit}")),
            whole,
            "{limit}"
        );
    }
    let list = page(&mut client, "delimiter=/&limit=2");
    assert_eq!(
        (texts(&list["items"]).len(), texts(&list["prefixes"]).len()),
        (1, 1)
    );
    // What was shown last is behind the client, the keys under it too.
    for after in ["b/", "b/2", "b/zzz"] {
        assert_eq!(
            walk(&mut client, &format!("delimiter=/&after={after}")),
            ["b0", "c/", "d", "e/"],
            "{after}"
        );
    }
    assert_eq!(walk(&mut client, "delimiter=/f&limit=1").len(), 11);
    assert_eq!(walk(&mut client, "delimiter=zz&limit=5").len(), 12);
}

#[test]
fn every_page_is_full_but_the_last_and_links_to_the_next() {
    let server = Server::start();
    let keys: Vec<String> = (0..250).map(|n| format!("key{n:03}")).collect();
    fill(
        &server,
        &keys.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut client = server.connect();
    let (mut seen, mut target, mut sizes) = (Vec::new(), LIST.to_owned(), Vec::new());
    loop {
        let answer = client.send("GET", &target, &[], b"");
        let list = answer.json();
        let items = texts(&list["items"]);
        sizes.push(items.len());
        seen.extend(items);
        let Some(link) = answer.header("link") else {
            assert!(list["cursor"].is_null());
            break;
        };
        let reference = link
            .strip_prefix('<')
            .unwrap()
            .strip_suffix(">; rel=\"next\"")
            .unwrap();
        assert!(reference.contains(list["cursor"].as_str().unwrap()));
        target = format!("{LIST}{reference}");
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(seen, keys);
    for (limit, pages) in [(1, 250), (125, 2), (249, 2), (250, 1), (1000, 1)] {
        assert_eq!(
            walk(&mut client, &format!("limit={limit}")),
            keys,
            "{limit} {pages}"
        );
    }
    // The limit is kept by the link.
    let answer = client.send("GET", &format!("{LIST}?limit=7"), &[], b"");
    assert!(answer.header("link").unwrap().contains("limit=7"));
}

#[test]
fn a_limit_is_one_to_a_thousand() {
    let server = Server::start();
    for limit in ["1", "1000"] {
        assert_eq!(server.get(&format!("{LIST}?limit={limit}")).status, 200);
    }
    for limit in [
        "0",
        "1001",
        "-1",
        "+1",
        "%2B1",
        "1.0",
        "",
        "ten",
        "99999999999999999999",
    ] {
        server
            .get(&format!("{LIST}?limit={limit}"))
            .assert_problem(400, "invalid_parameter");
    }
}

#[test]
fn unreadable_and_unknown_parameters_are_refused() {
    let server = Server::start();
    for query in [
        "prefix=%FF",
        "after=%",
        "delimiter=%C3",
        "prefix=a&prefix=a",
    ] {
        server
            .get(&format!("{LIST}?{query}"))
            .assert_problem(400, "invalid_parameter");
    }
    let problem = server.get(&format!("{LIST}?prefx=a"));
    let problem = problem.assert_problem(400, "unknown_parameter");
    assert!(
        problem["detail"].as_str().unwrap().contains("prefix"),
        "{problem}"
    );
}

#[test]
fn a_cursor_belongs_to_its_list() {
    let server = Server::start();
    fill(&server, &["a/1", "a/2", "a/3", "a/4", "b"]);
    let mut client = server.connect();
    let first = page(&mut client, "prefix=a/&after=a/1&delimiter=%2B&limit=1");
    let cursor = first["cursor"].as_str().unwrap();
    for same in [
        "",
        "&prefix=a/",
        "&after=a%2F1",
        "&delimiter=%2B&prefix=a/&after=a/1",
        "&limit=2",
    ] {
        let next = page(&mut client, &format!("cursor={cursor}{same}"));
        assert_eq!(texts(&next["items"])[0], "a/3", "{same}");
    }
    for other in [
        "&prefix=a",
        "&prefix=",
        "&after=a/2",
        "&after=",
        "&delimiter=/",
        "&delimiter=",
    ] {
        client
            .send("GET", &format!("{LIST}?cursor={cursor}{other}"), &[], b"")
            .assert_problem(400, "invalid_cursor");
    }
    // Without an `after` in the list there is none in its cursor either.
    let first = page(&mut client, "limit=1");
    let cursor = first["cursor"].as_str().unwrap();
    for (other, status) in [("prefix=", 200), ("after=a", 400), ("delimiter=", 200)] {
        let answer = client.send("GET", &format!("{LIST}?cursor={cursor}&{other}"), &[], b"");
        assert_eq!(answer.status, status, "{other}");
    }
}

#[test]
fn a_damaged_cursor_is_refused() {
    let server = Server::start();
    fill(&server, &["a", "b"]);
    let mut client = server.connect();
    let first = page(&mut client, "limit=1");
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    let shorter = cursor.strip_suffix(|_: char| true).unwrap();
    let rest = cursor.strip_prefix('A').unwrap();
    let flipped = format!("B{rest}");
    for damaged in [
        "",
        "x",
        "null",
        "%F0%9F%98%80",
        shorter,
        &flipped,
        &format!("{cursor}A"),
    ] {
        client
            .send("GET", &format!("{LIST}?cursor={damaged}"), &[], b"")
            .assert_problem(400, "invalid_cursor");
    }
}

#[test]
fn a_cursor_survives_a_restart() {
    let server = Server::start();
    fill(&server, &["a", "b", "c"]);
    let first = page(&mut server.connect(), "limit=1");
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    let server = Server::over(server.stop(), |_| {});
    let next = page(&mut server.connect(), &format!("cursor={cursor}"));
    assert_eq!(texts(&next["items"]), ["b", "c"]);
}

#[test]
fn expired_keys_are_not_listed() {
    let server = Server::start();
    let put = server.put("/v1/short?ttl=50ms", b"1");
    assert_eq!(put.status, 201);
    fill(&server, &["long"]);
    server.wait_until(|server| server.get("/v1/short").status == 404);
    assert_eq!(texts(&server.get(LIST).json()["items"]), ["long"]);
    assert_eq!(walk(&mut server.connect(), "delimiter=o"), ["lo"]);
}

#[test]
fn keys_that_stay_are_seen_once_each_while_others_come_and_go() {
    let server = Server::start();
    let stays: Vec<String> = (0..400).map(|n| format!("k{:03}/stays", n * 2)).collect();
    fill(
        &server,
        &stays.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.connect();
                let mut n = writer;
                while !done.load(Ordering::Relaxed) {
                    n = (n * 7 + 11) % 800;
                    let key = format!("/v1/k{n:03}/comes{writer}?durability=written");
                    client.send("PUT", &key, &[], b"1");
                    client.send("DELETE", &key, &[], b"");
                }
            });
        }
        let mut client = server.connect();
        for limit in [3, 10, 50, 100] {
            let mut seen = BTreeMap::new();
            let keys = walk(&mut client, &format!("limit={limit}"));
            assert!(keys.is_sorted(), "limit {limit}");
            for key in keys {
                *seen.entry(key).or_insert(0) += 1;
            }
            for key in &stays {
                assert_eq!(seen.get(key), Some(&1), "{key} with limit {limit}");
            }
            assert!(seen.values().all(|times| *times == 1));
            let groups = walk(&mut client, &format!("limit={limit}&delimiter=/"));
            for key in &stays {
                let group = key.strip_suffix("stays").unwrap();
                let times = groups.iter().filter(|seen| *seen == group).count();
                assert_eq!(times, 1, "{group} with limit {limit}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
