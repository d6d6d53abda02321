//! Generations posted to a server of a few lines, which remembers what it was sent and answers as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::outbound::{Options as OutboundOptions, Secret};
use crate::sink::book::{Book, added, put, removed};
use crate::sink::options::{Deletes, Target};

/// What a server was sent, in order.
type Seen = Arc<Mutex<Vec<Post>>>;

/// The answer's status and its header fields, each with its line end.
type Answer = (u16, &'static str);

#[derive(Clone, Debug)]
struct Post {
    fields: BTreeMap<String, String>,
    body: Value,
}

impl Post {
    fn name(&self) -> &str {
        &self.fields["idempotency-key"]
    }

    fn keys(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["key"].as_str().unwrap())
            .collect()
    }
}

/// A server that answers as `answer` says, by the number of the request and what it holds; `None` hangs up.
async fn server(
    answer: impl Fn(usize, &Post) -> Option<Answer> + Send + Sync + 'static,
) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            tokio::spawn(serve(stream, kept, move |number, post| {
                answer(number, post)
            }));
        }
    });
    (address, seen)
}

async fn serve(mut stream: TcpStream, seen: Seen, answer: impl Fn(usize, &Post) -> Option<Answer>) {
    while let Some(post) = read(&mut stream).await {
        let number = {
            let mut seen = seen.lock();
            seen.push(post.clone());
            seen.len() - 1
        };
        let Some((status, fields)) = answer(number, &post) else {
            break;
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
    }
}

async fn read(stream: &mut TcpStream) -> Option<Post> {
    let mut text = Vec::new();
    let (head, len) = loop {
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
        let end = text.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            break (String::from_utf8(text[..end].to_vec()).unwrap(), end + 4);
        }
    };
    let fields: BTreeMap<_, _> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let whole = len + fields["content-length"].parse::<usize>().unwrap();
    while text.len() < whole {
        assert!(stream.read_buf(&mut text).await.ok()? > 0);
    }
    let body = serde_json::from_slice(&text[len..whole]).unwrap();
    Some(Post { fields, body })
}

fn poster(address: SocketAddr, mode: Mode) -> Poster {
    poster_of(address, mode, 2)
}

fn poster_of(address: SocketAddr, mode: Mode, batch: usize) -> Poster {
    let target = HttpTarget {
        endpoint: format!("http://{address}/private?token=hunter2"),
        headers: HeaderMap::new(),
        auth: Some(Auth {
            user: "u".to_owned(),
            password: Secret::Given("hunter2".into()),
        }),
        ca: None,
    };
    let outbound = Outbound::start(OutboundOptions::default()).unwrap();
    let options = Options {
        mode,
        timeout: Duration::from_secs(20),
        batch,
        ..Options::for_tests(Target::Http(target.clone()))
    };
    Poster::new(outbound, &target, &options)
}

fn failed<T>(result: Result<T, Unapplied<&'static str>>) -> Unapplied<&'static str> {
    result.map(drop).unwrap_err()
}

fn names(seen: &Seen) -> Vec<String> {
    seen.lock()
        .iter()
        .map(|post| post.name().to_owned())
        .collect()
}

#[tokio::test]
async fn a_generation_is_posted_part_by_part() {
    let (address, seen) = server(|_, _| Some((204, ""))).await;
    let book = Book::sums(&[("a", 1), ("b", -2), ("c", 3)]);
    let applied = poster(address, Mode::Increment).send(&book).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (3, 0));
    let posts = seen.lock().clone();
    assert_eq!(posts.len(), 2);
    assert_eq!(
        (posts[0].keys(), posts[1].keys()),
        (vec!["a", "b"], vec!["c"])
    );
    assert_eq!(posts[0].body["items"][1]["sum"], -2);
    assert_eq!(
        (&posts[0].body["part"], &posts[1].body["part"]),
        (&0.into(), &1.into())
    );
    assert_eq!(posts[0].fields["authorization"], "Basic dTpodW50ZXIy");
    assert_eq!(posts[0].fields["content-type"], "application/json");
}

#[tokio::test]
async fn values_and_deletions_are_told_apart() {
    let (address, seen) = server(|_, _| Some((200, ""))).await;
    let book = Book::new([put("a", b"x"), removed("b")]);
    let mut poster = poster(address, Mode::Upsert(Deletes::Propagate));
    poster.send(&book).await.unwrap();
    let body = &seen.lock()[0].body;
    assert_eq!(body["mode"], "upsert");
    assert_eq!(body["items"][0]["value"], "x");
    assert_eq!(body["items"][1]["deleted"], true);
}

#[tokio::test]
async fn the_same_part_has_the_same_name_whoever_sends_it_again() {
    let (address, seen) = server(|number, _| (number != 1).then_some((200, ""))).await;
    let book = Book::sums(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
    let mut first = poster(address, Mode::Increment);
    let error = failed(first.send(&book).await);
    assert!(
        matches!(error, Unapplied::Fault(Fault::Failed(_))),
        "{error:?}"
    );
    // The one that goes on sends only what was not taken.
    first.send(&book).await.unwrap();
    let told = names(&seen);
    assert_eq!(told.len(), 4);
    assert_eq!(told[1], told[2]);
    // The one that starts anew, as behind a crash, sends everything, under the same names.
    poster(address, Mode::Increment).send(&book).await.unwrap();
    let told = names(&seen);
    assert_eq!(
        told[4..],
        [told[0].clone(), told[1].clone(), told[3].clone()]
    );
    // Another generation with the same keys has other names.
    let same: Vec<_> = [("a", 1), ("b", 1)].into();
    let next = book.next(added(&same));
    first.send(&next).await.unwrap();
    let told = names(&seen);
    assert!(!told[..7].contains(&told[7]));
}

#[tokio::test]
async fn a_part_that_its_bytes_have_cut_is_the_same_for_whoever_goes_on() {
    let (address, seen) = server(|number, _| (number != 1).then_some((200, ""))).await;
    let keys: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|key| key.repeat(PART_BYTES / 3))
        .into();
    let sums: Vec<_> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let book = Book::sums(&sums);
    let mut first = poster_of(address, Mode::Increment, 3);
    failed(first.send(&book).await);
    first.send(&book).await.unwrap();
    let told = names(&seen);
    assert_eq!(told[1], told[2]);
    let mut another = poster_of(address, Mode::Increment, 3);
    another.send(&book).await.unwrap();
    let again = &names(&seen)[told.len()..];
    assert_eq!(again[0], told[0]);
    assert_eq!(again[1..], told[2..]);
}

#[tokio::test]
async fn a_row_that_is_refused_is_found_and_set_aside_at_the_end() {
    let (address, seen) = server(|_, post| {
        let bad = post.keys().contains(&"b");
        Some((if bad { 422 } else { 200 }, ""))
    })
    .await;
    let book = Book::sums(&[("a", 1), ("b", 1), ("c", 1)]);
    let applied = poster(address, Mode::Increment).send(&book).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (2, 1));
    assert_eq!(book.dead_keys(), ["b"]);
    assert!(book.dead.lock()[0].reason.contains("422"));
    let told = names(&seen);
    assert_eq!(told.len(), 4);
    let distinct: std::collections::BTreeSet<_> = told.iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[tokio::test]
async fn where_rows_cannot_be_set_aside_it_says_so() {
    let (address, _) = server(|_, _| Some((400, ""))).await;
    let book = Book {
        room: 1,
        ..Book::sums(&[("a", 1), ("b", 1)])
    };
    let error = failed(poster(address, Mode::Increment).send(&book).await);
    assert!(matches!(error, Unapplied::NoRoom { limit: 1 }), "{error:?}");
    assert!(book.dead_keys().is_empty());
}

#[tokio::test]
async fn what_may_pass_sets_nothing_aside_and_shows_no_secret() {
    for (status, fields) in [(503, "Retry-After: 7\r\n"), (401, ""), (409, ""), (500, "")] {
        let (address, _) = server(move |_, _| Some((status, fields))).await;
        let book = Book::sums(&[("a", 1)]);
        let error = failed(poster(address, Mode::Increment).send(&book).await);
        let told = format!("{error:?}");
        assert!(told.contains(&status.to_string()), "{told}");
        assert!(
            !told.contains("hunter2") && !told.contains("private"),
            "{told}"
        );
        assert!(book.dead_keys().is_empty());
        let later =
            matches!(error, Unapplied::Fault(Fault::Later(_, after)) if after.as_secs() == 7);
        assert_eq!(later, status == 503);
    }
}

#[tokio::test]
async fn a_large_value_goes_alone() {
    let (address, seen) = server(|_, _| Some((200, ""))).await;
    let large = vec![b'x'; PART_BYTES];
    let book = Book::new([put("a", b"x"), put("b", &large)]);
    let mut poster = poster(address, Mode::Upsert(Deletes::Ignore));
    poster.send(&book).await.unwrap();
    let posts = seen.lock().clone();
    let keys: Vec<_> = posts.iter().map(Post::keys).collect();
    assert_eq!(keys, [["a"], ["b"]]);
}
