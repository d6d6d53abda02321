//! Sources that answer well and badly: an HTTP server of a few lines, files, links, pipes.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::plain::sources;
use super::*;
use crate::outbound::{Auth, Method, Secret};

const PATIENT: Bounds = Bounds {
    timeout: Duration::from_secs(20),
    bytes: 100,
};

fn nothing() -> Validators {
    Validators::default()
}

/// A server that answers each request with the next of these, the last one again and again, and tells what it was asked.
async fn answering(answers: &[&str]) -> (SocketAddr, UnboundedReceiver<String>) {
    let answers = answers.iter().map(|answer| answer.as_bytes().to_vec());
    answering_bytes(answers.collect()).await
}

async fn answering_bytes(answers: Vec<Vec<u8>>) -> (SocketAddr, UnboundedReceiver<String>) {
    let answers = Arc::new(answers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let answered = Arc::new(AtomicUsize::new(0));
        while let Ok((mut stream, _)) = listener.accept().await {
            let (sender, answered) = (sender.clone(), Arc::clone(&answered));
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                while let Some(request) = read_request(&mut stream).await {
                    let place = answered.fetch_add(1, Ordering::Relaxed);
                    let answer = &answers[place.min(answers.len() - 1)];
                    let told = sender.send(request).is_ok();
                    if !told || stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, receiver)
}

/// A head with its body, as far as it is announced.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let read = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let announced = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |len| len.parse().unwrap());
            if body.len() >= announced {
                return Some(read);
            }
        }
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    }
}

async fn get(address: SocketAddr, known: &Validators) -> Result<Fetched, FetchError> {
    let source = sources().http(&plain::get(format!("http://{address}/x")), PATIENT);
    source.fetch(None, known).await
}

fn value(fetched: Result<Fetched, FetchError>) -> Value {
    match fetched.unwrap() {
        Fetched::Value(value) => value,
        other @ (Fetched::NotModified { .. } | Fetched::Absent) => {
            panic!("no value but {other:?}")
        }
    }
}

fn read(path: &Path, bounds: Bounds) -> impl Future<Output = Result<Fetched, FetchError>> {
    let path = path.to_owned();
    let source = sources().file(&FileOptions { path }, bounds);
    async move { source.fetch(None, &nothing()).await }
}

#[tokio::test]
async fn fixed_words_are_always_there() {
    let source = sources().fixed("words");
    let fixed = value(source.fetch(None, &nothing()).await);
    assert_eq!((&*fixed.bytes, fixed.media_type), (&b"words"[..], None));
}

#[tokio::test]
async fn an_answer_is_a_value_with_what_was_said_of_it() {
    let (address, mut asked) = answering(&[
        "HTTP/1.1 203 X\r\nContent-Length: 2\r\nContent-Type:  text/csv \r\nContent-Encoding: br\r\nETag: \"e\"\r\n\
         Last-Modified: then\r\nCache-Control: max-age=7\r\n\r\nhi",
    ])
    .await;
    let got = value(get(address, &nothing()).await);
    assert_eq!(got.bytes, "hi");
    assert_eq!(got.media_type.as_deref(), Some("text/csv"));
    assert_eq!(got.content_encoding.as_deref(), Some("br"));
    assert_eq!(got.lifetime, Lifetime::For(Duration::from_secs(7)));
    assert_eq!(got.validators.etag.unwrap(), "\"e\"");
    assert_eq!(got.validators.last_modified.unwrap(), "then");
    assert!(
        asked
            .recv()
            .await
            .unwrap()
            .starts_with("GET /x HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn what_is_too_long_to_be_kept_with_a_value_is_left_out() {
    let typed = |len: usize| {
        let long = "x".repeat(len - "text/".len());
        let answer =
            format!("HTTP/1.1 200 X\r\nContent-Length: 0\r\nContent-Type: text/{long}\r\n\r\n");
        answer.into_bytes()
    };
    let (address, _asked) = answering_bytes(vec![typed(1024), typed(1025)]).await;
    let kept = value(get(address, &nothing()).await).media_type;
    assert_eq!(kept.map(|text| text.len()), Some(1024));
    assert_eq!(value(get(address, &nothing()).await).media_type, None);
}

#[tokio::test]
async fn a_request_is_sent_as_the_operator_said_it() {
    let (address, mut asked) = answering(&["HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"]).await;
    let mut options = plain::get(format!("http://{address}/q?k={{key}}"));
    options.method = Method::POST;
    options.body = Some("SELECT 1\n".to_owned());
    options
        .headers
        .append("x-a", HeaderValue::from_static("one"));
    options
        .headers
        .append("x-a", HeaderValue::from_static("two"));
    options.auth = Some(Auth {
        user: "admin".to_owned(),
        password: Secret::Given("adminadmin".into()),
    });
    let source = sources().http(&options, PATIENT);
    assert!(
        value(source.fetch(Some("a/b"), &nothing()).await)
            .bytes
            .is_empty()
    );
    let request = asked.recv().await.unwrap();
    let lines: Vec<_> = request.lines().collect();
    assert_eq!(lines.first(), Some(&"POST /q?k=a%2Fb HTTP/1.1"));
    for line in [
        "x-a: one",
        "x-a: two",
        "authorization: Basic YWRtaW46YWRtaW5hZG1pbg==",
        "SELECT 1",
    ] {
        assert!(lines.contains(&line), "{line}: {request}");
    }
    assert!(!request.contains("content-type"), "{request}");
}

#[tokio::test]
async fn what_is_known_is_shown_and_may_still_hold() {
    let (address, mut asked) = answering(&[
        "HTTP/1.1 200 X\r\nContent-Length: 2\r\nETag: \"e\"\r\nLast-Modified: then\r\n\r\nhi",
        "HTTP/1.1 304 X\r\nCache-Control: max-age=3\r\n\r\n",
    ])
    .await;
    let known = value(get(address, &nothing()).await).validators;
    let first = asked.recv().await.unwrap();
    assert!(!first.contains("if-"), "{first}");
    assert_eq!(
        get(address, &known).await.unwrap(),
        Fetched::NotModified {
            lifetime: Lifetime::For(Duration::from_secs(3))
        }
    );
    let second = asked.recv().await.unwrap();
    assert!(second.contains("if-none-match: \"e\"\r\n"), "{second}");
    assert!(second.contains("if-modified-since: then\r\n"), "{second}");
    // Whoever knows nothing cannot be told that nothing has changed.
    let failure = get(address, &nothing()).await.unwrap_err();
    assert_eq!(failure.told(), "the source answered 304");
}

#[tokio::test]
async fn only_two_statuses_say_that_there_is_no_value() {
    let (address, _asked) = answering(&[
        "HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 410 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad",
    ])
    .await;
    let source = sources().http(
        &plain::get(format!("http://{address}/secret?hunter2")),
        PATIENT,
    );
    for _ in 0..2 {
        let fetched = source.fetch(None, &nothing()).await;
        assert_eq!(fetched.unwrap(), Fetched::Absent);
    }
    for status in [403, 500] {
        let failure = source.fetch(None, &nothing()).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!("http://{address} answered {status}")
        );
        assert_eq!(failure.told(), format!("the source answered {status}"));
        assert_eq!(failure.kind(), "status");
    }
}

#[tokio::test]
async fn a_key_that_would_lead_up_is_absent_and_nobody_is_asked() {
    let (address, mut asked) = answering(&["HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"]).await;
    let source = sources().http(
        &plain::get(format!("http://{address}/users/{{key}}")),
        PATIENT,
    );
    for key in [".", ".."] {
        let fetched = source.fetch(Some(key), &nothing()).await;
        assert_eq!(fetched.unwrap(), Fetched::Absent);
    }
    assert!(
        value(source.fetch(Some("..."), &nothing()).await)
            .bytes
            .is_empty()
    );
    assert!(asked.recv().await.unwrap().starts_with("GET /users/... "));
}

#[tokio::test]
async fn whoever_hangs_is_given_up_in_time_and_what_is_too_large_is_not_taken() {
    let (address, _asked) = answering(&["HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nhel"]).await;
    let after = Duration::from_millis(100);
    let bounded = |timeout, bytes| {
        let options = plain::get(format!("http://{address}/"));
        let source = sources().http(&options, Bounds { timeout, bytes });
        async move { source.fetch(None, &nothing()).await.unwrap_err() }
    };
    let failure = bounded(after, 100).await;
    assert!(
        matches!(failure, FetchError::Timeout { after: waited } if waited == after),
        "{failure}"
    );
    let failure = bounded(PATIENT.timeout, 4).await;
    assert!(
        matches!(failure, FetchError::TooLarge { limit: 4 }),
        "{failure}"
    );
}

/// 50 times the letter x, as gzip has it.
const FIFTY: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\xa8\x20\x15\x00\x00\x03\x8a\x62\xac\x32\x00\x00\x00";
/// 20,000 zeros, as gzip has it.
const BOMB: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xf5\x4f\x6d\x0d\x0f\xa0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x78\x30\x02\x53\x2f\x97\x20\x4e\x00\x00";

#[tokio::test]
async fn what_came_compressed_is_inflated_and_not_beyond_its_limit() {
    let compressed = |body: &[u8]| {
        let len = body.len();
        let head =
            format!("HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {len}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let (address, mut asked) = answering_bytes(vec![compressed(FIFTY), compressed(BOMB)]).await;
    let inflated = value(get(address, &nothing()).await);
    assert_eq!(inflated.bytes, "x".repeat(50));
    assert_eq!(inflated.content_encoding, None);
    let request = asked.recv().await.unwrap();
    assert!(request.contains("accept-encoding: gzip\r\n"), "{request}");
    assert!(BOMB.len() < PATIENT.bytes);
    let failure = get(address, &nothing()).await.unwrap_err();
    assert!(
        matches!(failure, FetchError::TooLarge { limit: 100 }),
        "{failure}"
    );
}

#[tokio::test]
async fn failures_show_neither_addresses_nor_passwords() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let mut gone = plain::get(format!("http://{address}/hunter2?hunter2#hunter2"));
    gone.auth = Some(Auth {
        user: "hunter2".to_owned(),
        password: Secret::Given("hunter2".into()),
    });
    let mut locked = gone.clone();
    locked.auth.as_mut().unwrap().password = Secret::File(folder.path().join("absent"));
    let mut distrusted = gone.clone();
    distrusted.ca = Some(folder.path().join("absent"));
    let refused = HttpOptions {
        endpoint: "http://169.254.169.254/hunter2".to_owned(),
        ..gone.clone()
    };
    let nowhere = plain::get("hunter2".to_owned());
    for (options, kind) in [
        (gone, "unreachable"),
        (locked, "setup"),
        (distrusted, "setup"),
        (refused, "unreachable"),
        (nowhere, "setup"),
    ] {
        let source = sources().http(&options, PATIENT);
        let failure = source.fetch(None, &nothing()).await.unwrap_err();
        assert_eq!(failure.kind(), kind, "{failure}");
        assert!(
            !format!("{failure} {failure:?} {source:?}").contains("hunter2"),
            "{failure:?} {source:?}"
        );
        let told = failure.told();
        assert!(!told.contains("127.0.0.1") && !told.contains('/'), "{told}");
    }
}

#[tokio::test]
async fn a_file_is_read_behind_links_and_typed_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("real.JSON"), "{}").unwrap();
    symlink(at("real.JSON"), at("link")).unwrap();
    let real = value(read(&at("real.JSON"), PATIENT).await);
    assert_eq!(real.media_type.as_deref(), Some("application/json"));
    let linked = value(read(&at("link"), PATIENT).await);
    assert_eq!((&*linked.bytes, linked.media_type), (&b"{}"[..], None));
}

#[tokio::test]
async fn what_is_no_regular_file_is_a_failure_and_what_is_not_there_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    fs::write(at("file"), "").unwrap();
    assert_eq!(read(&at("absent"), PATIENT).await.unwrap(), Fetched::Absent);
    assert_eq!(
        read(&at("file/below"), PATIENT).await.unwrap(),
        Fetched::Absent
    );
    for path in [at("pipe"), folder.path().to_owned()] {
        let failure = read(&path, PATIENT).await.unwrap_err();
        assert_eq!(failure.kind(), "unreadable", "{failure}");
        assert_eq!(failure.told(), "the source's file cannot be read");
    }
}

#[tokio::test]
async fn a_file_is_taken_to_its_limit_and_not_one_byte_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, [0; 100]).unwrap();
    assert_eq!(value(read(&path, PATIENT).await).bytes.len(), 100);
    fs::write(&path, [0; 101]).unwrap();
    let failure = read(&path, PATIENT).await.unwrap_err();
    assert!(
        matches!(failure, FetchError::TooLarge { limit: 100 }),
        "{failure}"
    );
    // What announces nothing and has no end is no regular file either.
    let failure = read(Path::new("/dev/zero"), PATIENT).await.unwrap_err();
    assert_eq!(failure.kind(), "unreadable", "{failure}");
}

/// A source beneath `root`.
fn beneath(root: &Path, path: &str) -> Source {
    let origin = Origin::File(BeneathOptions {
        root: root.to_owned(),
        path: path.to_owned(),
    });
    sources().through(&ThroughOptions {
        max_bytes: PATIENT.bytes,
        ..plain::through(origin)
    })
}

#[tokio::test]
async fn a_key_is_a_file_beneath_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/a.json"), "{}").unwrap();
    fs::write(folder.path().join("...json"), "dots").unwrap();
    fs::write(folder.path().join("large.json"), [0; 101]).unwrap();
    let source = beneath(folder.path(), "{key}.json");
    let deep = value(source.fetch(Some("sub/a"), &nothing()).await);
    assert_eq!(&*deep.bytes, b"{}");
    assert_eq!(deep.media_type.as_deref(), Some("application/json"));
    let dots = value(source.fetch(Some(".."), &nothing()).await);
    assert_eq!(&*dots.bytes, b"dots");
    let failure = source.fetch(Some("large"), &nothing()).await.unwrap_err();
    assert!(
        matches!(failure, FetchError::TooLarge { limit: 100 }),
        "{failure}"
    );
    let long = "x".repeat(1000);
    for key in [
        "absent",
        "absent/a",
        "sub/a.json/b",
        "/sub/a",
        "sub//a",
        long.as_str(),
    ] {
        let fetched = source.fetch(Some(key), &nothing()).await;
        assert_eq!(fetched.unwrap(), Fetched::Absent, "{key}");
    }
}

#[tokio::test]
async fn no_key_leads_out_of_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("root/sub")).unwrap();
    fs::write(at("secret"), "secret").unwrap();
    fs::write(at("root/there"), "there").unwrap();
    symlink(at("secret"), at("root/out")).unwrap();
    symlink("there", at("root/in")).unwrap();
    symlink(folder.path(), at("root/up")).unwrap();
    symlink("..", at("root/sub/parent")).unwrap();
    // The directory itself is the operator's, and may be a link.
    symlink(at("root"), at("linked")).unwrap();
    let source = beneath(&at("linked"), "{key}");
    assert_eq!(
        value(source.fetch(Some("there"), &nothing()).await).bytes,
        "there"
    );
    for key in [
        "../secret",
        "sub/../../secret",
        "..",
        ".",
        "sub/..",
        "",
        "sub",
    ] {
        let fetched = source.fetch(Some(key), &nothing()).await;
        assert_eq!(fetched.unwrap(), Fetched::Absent, "{key}");
    }
    for key in ["out", "in", "up/secret", "sub/parent/there"] {
        let failure = source.fetch(Some(key), &nothing()).await.unwrap_err();
        assert!(
            failure.to_string().contains("links are not followed"),
            "{key}: {failure}"
        );
    }
}

#[tokio::test]
async fn without_its_directory_nothing_is_known_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = beneath(&folder.path().join("absent"), "{key}");
    let failure = source.fetch(Some("a"), &nothing()).await.unwrap_err();
    assert_eq!(failure.kind(), "unreadable");
    fs::create_dir_all(folder.path().join("absent")).unwrap();
    let made = Command::new("mkfifo")
        .arg(folder.path().join("absent/a"))
        .status();
    assert!(made.unwrap().success());
    // A pipe is there, and no file.
    let failure = source.fetch(Some("a"), &nothing()).await.unwrap_err();
    assert!(failure.to_string().contains("no regular file"), "{failure}");
}
